"""Groups of names: two names in one group are decided alike by the policy itself."""

from __future__ import annotations

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agentflow.config import PolicyConfig
from agentflow.paths import shipped
from agentflow.policy.bundle import read_bundle
from agentflow.policy.evaluator import Program
from agentflow.policy.process import RegoProcess
from agentflow.policy.selectors import MATCH, Selectors

ASK = """package agentflow

import rego.v1

probe := {"covering": covering, "forbidden": forbidden_by} if {
	true
}
"""
name = st.text("ab/._-é\n", min_size=0, max_size=5)
pattern = st.text("ab*._-é", min_size=1, max_size=4)
rule = st.fixed_dictionaries(
    {},
    optional={
        "servers": st.lists(pattern, min_size=1, max_size=2),
        "tools": st.lists(pattern, min_size=1, max_size=2),
        "prompts": st.lists(pattern, min_size=1, max_size=1),
        "resources": st.lists(pattern, min_size=1, max_size=1),
    },
)
settings_of = st.fixed_dictionaries(
    {
        "rules": st.dictionaries(st.sampled_from(["r1", "r2", "r3"]), rule, max_size=3),
        "forbidden": st.lists(st.tuples(pattern, pattern).map("/".join), max_size=2, unique=True),
    }
)


@given(
    settings_of,
    st.lists(st.tuples(st.sampled_from(["tool", "prompt", "resource"]), name, name), min_size=1, max_size=6),
)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_python_and_rego_agree_on_what_covers_a_name(
    rules: dict[str, object], names: list[tuple[str, str, str]]
) -> None:
    selectors = Selectors(rules)
    match = (shipped("policies") / MATCH).read_text()
    evaluator = RegoProcess(Program({"m.rego": match, "p.rego": ASK}, {"settings": rules}, ("agentflow/probe",)))
    try:
        for kind, server, tool in names:
            call = {"kind": kind, "server": server, "tool": tool}
            said = orjson.loads(evaluator.ask("agentflow/probe", orjson.dumps({"call": call}), 5))
            expected = sorted([*said["covering"], *(f"\0{entry}" for entry in said["forbidden"])])
            assert sorted(selectors.group(kind, server, tool)) == expected, call
    finally:
        evaluator.close()


@pytest.fixture(scope="module")
def default() -> Selectors:
    found = read_bundle(
        PolicyConfig(
            data={"settings": {"forbidden": ["crm/drop_*"], "rules": {"r": {"servers": ["pay*"], "tools": ["x"]}}}}
        )
    ).selectors
    assert found is not None
    return found


def test_names_fall_into_groups_by_what_covers_them(default: Selectors) -> None:
    assert default.group("tool", "crm", "a") == default.group("tool", "web", "b") == ()
    assert default.group("tool", "payments", "x") == ("r",)
    assert default.group("prompt", "payments", "x") == ()
    assert default.group("tool", "crm", "drop_all") == ("\0crm/drop_*",)
