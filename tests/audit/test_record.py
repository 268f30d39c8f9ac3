"""The record of a call: complete, bounded, and free of clear values."""

from __future__ import annotations

import orjson

from agentflow.audit import record
from agentflow.guard.pii.matcher import PiiMatcher
from agentflow.identity.principal import Principal
from agentflow.pipeline.call import (
    GATEWAY,
    JSON,
    Call,
    Decision,
    Direction,
    Finding,
    Obligations,
    Pii,
    Session,
    StageRun,
    UpstreamFacts,
    Verdict,
)

CLEAR = "ada@example.org"
TOKEN = "<EMAIL_1f3a9c2e>"
CALLER = Principal("agent-7", roles=("agent",), tenant="acme", auth="api_key")


def call(**changes: object) -> Call:
    made = Call(
        "tools/call",
        CALLER,
        Session("session-secret", CALLER),
        {"name": "crm__find", "arguments": {"email": CLEAR}},
        name="crm__find",
        target="find",
        upstream=UpstreamFacts("crm", "stdio"),
        definition={"name": "find"},
        labelled={"name": "crm__find", "arguments": {"email": TOKEN}},
        pii=Pii({"EMAIL": 1}, ["/arguments/email"], 0),
        decision=Decision(True, (("role", "the role agent may do this"),), Obligations(rehydrate=("*",)), "rev"),
        outcome="ok",
    )
    for name, value in changes.items():
        setattr(made, name, value)
    return made


def text(built: JSON) -> str:
    return orjson.dumps(built).decode()


def test_names_and_places_that_stages_quote_are_masked() -> None:
    path = f"/structuredContent/{CLEAR}"
    dropped = {"dropped": [{"name": f"crm://{CLEAR}", "path": f"/tools/0/{CLEAR}"}], "flagged": []}
    made = call(
        runs=[
            StageRun("validate", Direction.OUTBOUND, "tools/call", Verdict.REFUSED, 1, {"path": path}),
            StageRun("screen", Direction.OUTBOUND, "tools/list", Verdict.FLAGGED, 1, dropped),
            StageRun("redact", Direction.OUTBOUND, "tools/call", Verdict.CHANGED, 1, {"redacted": {"EMAIL": 2}}),
        ],
        findings=[Finding("override", 0.6, path, 0, 8, "ignore…")],
        client={"name": CLEAR, "version": "x" * 60 + f" {CLEAR}", "title": CLEAR},
    )
    built = record.of(made, (), PiiMatcher().mask)
    assert CLEAR not in text(built) and CLEAR[:5] not in text(built)
    assert built["stages"][0][5] == {"path": "/structuredContent/<EMAIL>"}
    assert built["stages"][1][5]["dropped"][0]["path"] == "/tools/0/<EMAIL>"
    assert built["stages"][2][5] == {"redacted": {"EMAIL": 2}}
    assert built["findings"][0][2] == "/structuredContent/<EMAIL>"


def test_a_record_says_who_did_what_and_what_was_decided() -> None:
    made = call(
        runs=[
            StageRun("decide", Direction.INBOUND, "tools/call", Verdict.PASS, 12),
            StageRun("redact", Direction.OUTBOUND, "tools/call", Verdict.CHANGED, 30, {"EMAIL": 2}),
        ],
        findings=[Finding("override", 0.6, "/content/0", 0, 8, "ignore…")],
        injection_score=0.6,
        taint={"untrusted"},
        redacted={"EMAIL": 2},
        parent="p1",
        client={"name": "inspector", "version": "1", "title": "no"},
    )
    built = orjson.loads(text(record.of(made, [{"event": "turn", "n": 1}])))
    assert built["principal"] == {
        "id": "agent-7",
        "kind": "user",
        "roles": ["agent"],
        "tenant": "acme",
        "auth": "api_key",
    }
    assert (built["id"], built["surface"], built["server"], built["name"], built["target"]) == (
        made.id,
        "tools/call",
        "crm",
        "crm__find",
        "find",
    )
    assert built["arguments"] == {"arguments": {"email": TOKEN}}
    assert built["decision"] == {
        "allow": True,
        "reasons": [["role", "the role agent may do this"]],
        "obligations": {"redact": ["*"], "rehydrate": ["*"]},
        "revision": "rev",
    }
    assert built["stages"][1] == ["redact", "outbound", "tools/call", "changed", 30, {"EMAIL": 2}]
    assert built["findings"] == [["override", 0.6, "/content/0", "ignore…"]]
    assert (built["taint"], built["redacted"]) == (["untrusted"], {"EMAIL": 2})
    assert (built["parent"], built["events"], built["client"]) == (
        "p1",
        [{"event": "turn", "n": 1}],
        {"name": "inspector", "version": "1"},
    )
    assert built["micros"] > 0


def test_no_clear_argument_and_no_session_id_is_in_it() -> None:
    for made in (
        call(),
        call(labelled=None),
        call(surface="resources/read", name=f"crm://{CLEAR}", params={"uri": f"crm://{CLEAR}"}, labelled=None),
        call(params={"name": CLEAR}, name=CLEAR, target="", definition=None, upstream=GATEWAY),
    ):
        built = text(record.of(made))
        assert CLEAR not in built
        assert "session-secret" not in built


def test_a_resource_is_named_by_its_labelled_uri() -> None:
    made = call(
        surface="resources/read",
        name=f"crm://{CLEAR}",
        params={"uri": f"crm://{CLEAR}"},
        labelled={"uri": f"crm://{TOKEN}"},
    )
    assert record.of(made)["name"] == f"crm://{TOKEN}"


def test_unlabelled_arguments_leave_only_a_keyed_hash() -> None:
    first, same, other = (
        record.of(call(labelled=None, params={"arguments": {"n": n}}))["arguments"] for n in (1, 1, 2)
    )
    assert set(first) == {"hash"}
    assert first == same != other


def test_long_arguments_are_cut() -> None:
    built = record.of(call(labelled={"arguments": {"text": "x" * 100_000}}))["arguments"]
    assert built["bytes"] > 100_000
    assert len(built["start"]) == record.MAX_ARGUMENTS


def test_a_denial_is_recorded_with_its_reasons() -> None:
    made = call(
        decision=Decision(False, (("forbidden", "no"),), revision="rev"), outcome="policy_denied", error_code=-32010
    )
    built = record.of(made)
    assert built["decision"] == {"allow": False, "reasons": (("forbidden", "no"),), "revision": "rev"}
    assert built["error_code"] == -32010


def test_a_call_refused_before_any_decision_has_a_record() -> None:
    assert record.of(call(decision=None, labelled=None, outcome="limit_exceeded"))["decision"] is None
