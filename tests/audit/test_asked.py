"""The input document survives its record, and nothing clear gets into it."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from policy.recorded_calls import question, record_of

from agentflow.audit import record
from agentflow.audit.asked import NotRecorded, abridged, restored, same, told
from agentflow.identity.principal import Principal
from agentflow.pipeline.call import Call, Decision, Obligations, Pii, Session, UpstreamFacts
from agentflow.policy import document

names = st.text("abc_", min_size=1, max_size=5)
hints = st.dictionaries(st.sampled_from(["readOnlyHint", "destructiveHint", "openWorldHint"]), st.booleans())
flows = st.fixed_dictionaries(
    {
        "sink": st.just("send"),
        "destinations": st.lists(st.builds(lambda name: {"path": f"/{name}", "type": "email"}, names), max_size=2),
        "provenance": st.lists(st.builds(lambda name: {"path": f"/{name}", "kind": "text"}, names), max_size=2),
        "carries": st.lists(names, max_size=2),
        "incomplete": st.booleans(),
        "swayed": st.just([]),
    },
    optional={"hosts": st.lists(names, max_size=2)},
)
documents = st.builds(
    lambda role, server, tool, arguments, hint, taint, counts, score, scopes, flow: question(
        role,
        server,
        tool,
        arguments,
        call={
            "server": server,
            "tool": tool,
            "arguments": arguments,
            "annotations": hint,
            "injection": {"score": score, "findings": [{"rule": r, "path": f"/{r}"} for r in scopes]},
            **({"flow": flow} if flow else {}),
        },
        session={"taint": taint, "counts": counts},
        principal={"roles": [role], "scopes": scopes},
    ),
    names,
    names,
    names,
    st.dictionaries(names, st.text(max_size=5) | st.integers(-9, 9) | st.lists(names, max_size=2), max_size=3),
    hints,
    st.lists(names, max_size=2),
    st.dictionaries(names, st.integers(0, 9), max_size=2),
    st.sampled_from([0.0, 0.7]),
    st.lists(names, max_size=2),
    st.none() | flows,
)


@given(documents)
def test_the_document_comes_back_from_its_record(document: dict[str, Any]) -> None:
    record = orjson.loads(orjson.dumps(record_of(document, Decision(True))))
    assert restored(record) == document


def test_the_record_keeps_only_hints_of_what_a_tool_says_and_masks_names() -> None:
    document = question(
        call={
            **question()["call"],
            "annotations": {"title": "Ann Lee", "readOnlyHint": True},
            "pii": {"types": ["EMAIL"], "counts": {"EMAIL": 1}, "paths": ["/ann@x.example"]},
            "flow": {
                "sink": "send",
                "destinations": [{"path": "/ann@x.example/0"}],
                "provenance": [{"path": "/ann@x.example/1"}],
                "hosts": ["ann@x.example"],
            },
        }
    )
    kept = abridged(document, lambda text: text.replace("ann@x.example", "<EMAIL_1>"))
    assert kept["annotations"] == {"readOnlyHint": True}
    assert b"ann@x" not in orjson.dumps(kept)
    assert b"Ann" not in orjson.dumps(kept)
    assert kept["flow"]["destinations"] == [{"path": "/<EMAIL_1>/0"}]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"kind": "log"}, "not a record of a call"),
        ({"decision": None}, "never came to the policy"),
        ({"asked": None}, "without the policy's input"),
        ({"arguments": {"bytes": 9000, "hash": "x", "start": "{"}}, "arguments recorded as a hash"),
    ],
)
def test_a_record_that_cannot_give_it_back_says_why(change: dict[str, Any], reason: str) -> None:
    with pytest.raises(NotRecorded, match=reason):
        restored({**record_of(question(), Decision(True)), **change})


def test_decisions_are_compared_by_what_they_come_to() -> None:
    allowed = told(Decision(True, (("a", "x"),), Obligations(), "r1"))
    assert same(allowed, told(Decision(True, (("b", "y"),), Obligations(), "r2")))
    assert same(orjson.loads(orjson.dumps(allowed)), allowed)
    assert not same(allowed, told(Decision(False)))
    assert not same(allowed, told(Decision(True, (), Obligations(deep=True))))
    assert same(told(Decision(False, (("a", "x"),))), told(Decision(False, (("b", "y"),))))


def test_the_gateways_own_record_gives_the_question_back() -> None:
    principal = Principal(id="p", kind="agent", roles=("agent",), tenant="default", scopes=("s",), auth="local")
    session = Session("s1", principal, taint={"private"}, counts={"crm/find": 2})
    call = Call(
        "tools/call",
        principal,
        session,
        {"name": "crm__find", "arguments": {"name": "Ann"}},
        name="crm__find",
        target="find",
        upstream=UpstreamFacts("crm", "http"),
        definition={"name": "find", "annotations": {"readOnlyHint": True}},
    )
    call.labelled = {"name": "crm__find", "arguments": {"name": "<PERSON_1>"}}
    call.pii = Pii(counts={"PERSON": 1}, paths=["/name"], tokens=1)
    call.question = document.for_call(call)
    call.decision = Decision(True, (("role", "x"),), revision="r")
    session.counts["crm/find"] = 3
    session.taint.add("untrusted")
    asked = orjson.loads(orjson.dumps(call.question))
    assert restored(orjson.loads(orjson.dumps(record.of(call)))) == asked
    assert (asked["session"]["taint"], asked["session"]["counts"]) == (["private"], {"crm/find": 2})
    call.labelled = None
    with pytest.raises(NotRecorded):
        restored(record.of(call))
