"""Export: every record is one line that a SIEM reads back as it was, and OCSF events have what the class requires."""

from __future__ import annotations

import json
from typing import Any

import pytest
from audit.test_record import call
from hypothesis import given
from hypothesis import strategies as st

from agentflow.audit import export, record
from agentflow.audit.events import Event
from agentflow.audit.read import Entry
from agentflow.pipeline.call import Decision

ANY_TEXT = st.text(max_size=40)
NOISE = st.text(alphabet="\\|=\r\n a\u2028\x00\x85", max_size=20)


def entry(made: dict[str, Any]) -> Entry:
    return Entry("chain-0001", 7, json.loads(json.dumps(made)))


CALL = entry(record.of(call()))
DENIED = entry(
    record.of(
        call(decision=Decision(False, (("forbidden", "the role may not"),), revision="rev"), outcome="policy_denied",
             error_code=-32010)
    )
)  # fmt: skip
EVENT = entry(Event("request", "refused", outcome="unauthenticated", details={"network": "203.0.113.0/24"}).record())


def read_cef(line: str) -> tuple[list[str], dict[str, str]]:
    """A reader of CEF after its specification: seven fields between bars, then keys and values."""
    assert line.startswith("CEF:0|")
    fields, field, position = [], "", 0
    while len(fields) < 7:
        mark = line[position]
        if mark == "\\":
            assert line[position + 1] in "\\|"
            field, position = field + line[position + 1], position + 2
        elif mark == "|":
            fields.append(field)
            field, position = "", position + 1
        else:
            field, position = field + mark, position + 1
    parts, text, rest = [], "", line[position:]
    escapes = {"\\": "\\", "=": "=", "n": "\n", "r": "\r"}
    marks = iter(rest)
    for mark in marks:
        if mark == "\\":
            text += escapes[next(marks)]
        elif mark == "=":
            key = text.rpartition(" ")[2]
            if parts:
                parts[-1] = (parts[-1][0], text[: -len(key) - 1])
            parts.append((key, ""))
            text = ""
        else:
            text += mark
    if parts:
        parts[-1] = (parts[-1][0], text)
    assert len({key for key, _ in parts}) == len(parts)
    return fields, dict(parts)


def plain(text: str) -> str:
    """As it may be expected back: control characters but CR and LF are spaces."""
    return "".join(
        " " if (ord(c) < 32 and c not in "\r\n") or 127 <= ord(c) < 160 or ord(c) in (0x2028, 0x2029) else c
        for c in text
    )


@given(ANY_TEXT | NOISE)
def test_a_value_of_the_extension_comes_back_as_it_was(text: str) -> None:
    escaped = export.extension_value(text)
    assert len(f"a={escaped}".splitlines()) == 1
    _, found = read_cef(f"CEF:0|a|b|c|d|e|1|first={escaped} second=2")
    assert found == {"first": plain(text), "second": "2"}


@given(ANY_TEXT | NOISE)
def test_a_field_of_the_header_comes_back_in_one_line(text: str) -> None:
    escaped = export.header_value(text)
    assert len(f"a{escaped}b".splitlines()) == 1
    fields, _ = read_cef(f"CEF:0|a|b|c|{escaped}|e|1|k=v")
    expected = plain(text)
    for pair in ("\r\n", "\n\r"):
        expected = expected.replace(pair, "\n")
    assert fields[4].split() == expected.split()
    assert len(fields) == 7


@given(st.dictionaries(st.sampled_from(["outcome", "server", "name", "surface", "event", "id"]), ANY_TEXT | NOISE))
def test_whatever_a_record_says_it_is_one_line_in_every_format(members: dict[str, str]) -> None:
    found = Entry("chain-0001", 1, {"kind": "call", "time": 1.0, **members})
    for form in ("jsonl", "ocsf", "cef"):
        text = export.line(found, form)  # type: ignore[arg-type]
        assert "\n" not in text and "\r" not in text
    fields, extension = read_cef(export.cef(found))
    assert len(fields) == 7
    assert extension["cn1"] == "1"
    if members.get("server"):
        assert extension["destinationServiceName"] == plain(members["server"])


def test_a_call_in_cef_says_who_did_what_and_how_it_went() -> None:
    fields, extension = read_cef(export.cef(DENIED))
    assert fields[0:3] == ["CEF:0", "AgentFlow", "AgentFlow Gateway"]
    assert (fields[4], fields[5], fields[6]) == ("tools/call", "tools/call crm__find: policy_denied", "6")
    assert extension["suid"] == "acme/agent-7"
    assert extension["destinationServiceName"] == "crm"
    assert (extension["act"], extension["outcome"]) == ("denied", "policy_denied")
    assert extension["reason"] == "forbidden: the role may not"
    assert (extension["cs1"], extension["cs1Label"]) == ("crm__find", "tool")
    assert (extension["cs4"], extension["cs4Label"]) == ("forbidden", "reasonCodes")
    assert int(extension["rt"]) == int(DENIED.record["time"] * 1000)


@pytest.mark.parametrize("found", [CALL, DENIED, EVENT])
def test_an_ocsf_event_has_what_the_class_requires(found: Entry) -> None:
    event = export.ocsf(found)
    assert (event["category_uid"], event["class_uid"]) == (6, 6003)
    assert event["type_uid"] == 6003 * 100 + event["activity_id"]
    assert event["activity_id"] in (0, 1, 2, 3, 4, 99)
    assert event["severity_id"] in range(7)
    assert isinstance(event["time"], int) and event["time"] > 1.7e12
    assert event["actor"]["user"]["uid"]
    assert event["api"]["operation"] and event["api"]["request"]["uid"]
    assert event["src_endpoint"]["name"]
    assert event["metadata"]["version"] == "1.3.0"
    assert event["metadata"]["product"]["vendor_name"]
    assert event["metadata"]["profiles"] == ["security_control"]
    assert event["action_id"] in (1, 2) and event["disposition_id"] in (1, 2)
    assert event["status_id"] in (1, 2)
    json.dumps(event)


def test_an_ocsf_event_maps_the_record() -> None:
    event = export.ocsf(DENIED)
    assert event["actor"]["user"] == {
        "uid": "agent-7",
        "type_id": 1,
        "type": "User",
        "org": {"uid": "acme", "name": "acme"},
        "groups": [{"name": "agent"}],
    }
    assert (event["action"], event["disposition"], event["status"]) == ("Denied", "Blocked", "Failure")
    assert (event["status_code"], event["status_detail"]) == ("-32010", "forbidden: the role may not")
    assert event["api"]["service"] == {"name": "crm"}
    assert event["api"]["response"] == {"error": "policy_denied", "code": -32010}
    assert event["resources"] == [{"name": "crm__find", "type": "tool", "uid": "crm/find"}]
    assert event["policy"]["version"] == "rev"
    assert event["metadata"]["uid"] == DENIED.record["id"]
    assert event["metadata"]["labels"] == ["pii:EMAIL"]
    assert event["unmapped"]["arguments"] == DENIED.record["arguments"]
    allowed = export.ocsf(CALL)
    assert (allowed["action"], allowed["status"], allowed["severity_id"]) == ("Allowed", "Success", 1)
    refused = export.ocsf(EVENT)
    assert (refused["action"], refused["src_endpoint"]["name"]) == ("Denied", "203.0.113.0/24")
    assert refused["metadata"]["event_code"] == "request.refused"
