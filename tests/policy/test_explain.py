"""Why a decision came out as it did."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from policy.recorded_calls import question

from agentflow.config import PolicyConfig
from agentflow.pipeline.call import JSON
from agentflow.policy import explain as explain_module
from agentflow.policy.engine import Engine
from agentflow.policy.explain import Explanation, explain, in_words

RULES = {
    "no-refunds": {"servers": ["pay"], "tools": ["refund_*"], "effect": "deny", "except_roles": ["admin"]},
    "ask": {"servers": ["mail"], "effect": "approve", "ttl": 60},
}


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    engine = Engine(PolicyConfig(data={"settings": {"rules": RULES}}))
    yield engine
    engine.close()


def why(engine: Engine, document: JSON) -> Explanation:
    return explain(engine.bundle, engine.decide, document)


def test_the_rule_and_what_it_looked_at_are_named(engine: Engine) -> None:
    found = why(engine, question("agent", "pay", "refund_all"))
    assert not found.decision.allow
    (ground,) = found.grounds
    assert ground.code == "no-refunds"
    assert "data.json: settings.rules.no-refunds" in ground.places
    assert {part.path for part in found.mattered} == {"/call/kind", "/call/server", "/call/tool"}
    assert found.complete


def test_what_would_come_out_without_a_part_is_said(engine: Engine) -> None:
    found = why(engine, question("agent", "web", "fetch"))
    assert {part.path: part.without for part in found.mattered} == {
        "/call/kind": "denied (not_allowed)",
        "/principal/roles/0": "denied (not_allowed)",
    }


def test_a_reason_that_rego_spells_is_found_there(engine: Engine) -> None:
    (ground,) = why(engine, question()).grounds
    assert any(place.startswith("agentflow/roles.rego:") for place in ground.places)


def test_an_obligation_counts_as_part_of_the_decision(engine: Engine) -> None:
    found = why(engine, question("agent", "mail", "send"))
    assert "/call/server" in {part.path for part in found.mattered}


def test_of_several_roles_only_the_one_that_counts_is_named(engine: Engine) -> None:
    document = question(principal={**question()["principal"], "roles": ["nobody", "agent", "stranger"]})
    named = {part.path: part.value for part in why(engine, document).mattered}
    assert "agent" in named.values()
    assert "nobody" not in named.values()


@given(
    st.sampled_from(["agent", "admin", "viewer", "nobody"]),
    st.sampled_from(["pay", "mail", "web"]),
    st.sampled_from(["refund_x", "send", "fetch"]),
    st.dictionaries(st.sampled_from(["readOnlyHint", "destructiveHint"]), st.booleans()),
)
@settings(max_examples=40, deadline=None)
def test_no_part_that_is_named_can_go(engine: Engine, role: str, server: str, tool: str, hints: JSON) -> None:
    document = question(role, server, tool)
    document["call"]["annotations"] = hints
    found = why(engine, document)
    assert found.decision == engine.decide(document)
    for part in found.mattered:
        assert part.without != in_words(found.decision)


def test_a_document_too_large_to_look_into_says_so(
    bundle: Callable[..., PolicyConfig], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(explain_module, "_MAX_PARTS", 20)
    made = Engine(bundle('decision := {"allow": true} if count(input.items) == 40'))
    found = explain(made.bundle, made.decide, {"items": list(range(40))})
    assert found.decision.allow
    assert not found.complete
    made.close()
