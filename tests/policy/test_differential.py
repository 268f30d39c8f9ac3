"""The default bundle means the same to a second Rego engine (regorus, through opa-eval): no quirk of one decides.

It has caught numbers compared as text, sets of another key, and members lost: each would have changed an obligation.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import opa_eval
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentflow.config import PolicyConfig
from agentflow.policy.decision import parse
from agentflow.policy.engine import Engine

RULES = {
    "a": {"servers": ["pay*"], "tools": ["r*"], "effect": "deny", "except_roles": ["admin"], "why": "w"},
    "b": {"servers": ["vault"], "only_roles": ["admin"]},
    "c": {"servers": ["mail"], "tools": ["send"], "effect": "approve", "ttl": 60},
    "d": {"servers": ["crm"], "rehydrate": ["EMAIL"], "max_result_bytes": 1000},
    "e": {"effect": "allow", "roles": ["viewer"], "prompts": ["*"]},
    "f": {"tools": ["read*"], "cache_ttl": 5, "max_result_bytes": 200},
}
Pair = tuple[Engine, Any]


@pytest.fixture(scope="module", params=["allow", "deny"])
def engines(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    chosen = {
        "default": request.param,
        "forbidden": ["crm/drop_*"],
        "rules": RULES,
        "destructive": {"trusted": "ask", "untrusted": "deny"},
        "toxic_flow": "ask",
        "roles": {"careful": {"tools": "not_destructive"}},
    }
    engine = Engine(PolicyConfig(data={"settings": chosen}))
    # opa-eval takes one file.
    bodies = (re.sub(r"^(package|import) .*$", "", text, flags=re.M) for text in engine.bundle.modules.values())
    whole: Path = tmp_path_factory.mktemp("regorus") / "whole.rego"
    whole.write_text("package agentflow\n\nimport rego.v1\n" + "\n".join(bodies))
    data = orjson.dumps(engine.bundle.data).decode()
    yield engine, opa_eval.OpaEval(str(whole), data, "data.agentflow.decision")
    engine.close()


surfaces = st.sampled_from(
    [("tool", "tools/call")] * 4
    + [("prompt", "prompts/get"), ("resource", "resources/read"), ("gateway", "ping"), ("gateway", "unheard/of")]
)
hint = st.booleans()
documents = st.builds(
    lambda surface, version, roles, phase, server, tool, hints, taint, trust, kind: {
        "version": version,
        "principal": {"roles": roles},
        "call": {
            "kind": surface[0],
            "surface": surface[1],
            "phase": phase,
            "server": server,
            "tool": tool,
            "annotations": hints,
        },
        "session": {"taint": taint},
        "upstream": {"trust": trust, "kind": kind},
    },
    surfaces,
    st.sampled_from(["agentflow/1"] * 9 + ["agentflow/2"]),
    st.lists(st.sampled_from(["admin", "operator", "agent", "viewer", "careful", "nobody"]), unique=True, max_size=2),
    st.sampled_from(["call", "list", "result"]),
    st.sampled_from(["pay", "vault", "mail", "crm", "web", ""]),
    st.sampled_from(["read", "refund", "send", "drop_x", "read/x.y"]),
    st.fixed_dictionaries({}, optional={"readOnlyHint": hint, "destructiveHint": hint, "openWorldHint": hint}),
    st.lists(st.sampled_from(["untrusted", "private", "injection"]), unique=True, max_size=3),
    st.sampled_from(["trusted", "untrusted"]),
    st.sampled_from(["http", "gateway"]),
)


@given(document=documents)
@settings(max_examples=300, deadline=None)
def test_both_engines_decide_alike(engines: Pair, document: dict[str, Any]) -> None:
    engine, other = engines
    said = parse(other.evaluate_parsed(orjson.dumps(document).decode()), engine.revision)
    assert engine.decide(document) == said
