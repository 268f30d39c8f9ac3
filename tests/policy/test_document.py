"""The input document: as its schema says, and free of what must not be in it."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest

from agentflow.identity.principal import Principal
from agentflow.pipeline.call import GATEWAY, JSON, Call, Pii, Session, UpstreamFacts
from agentflow.policy import document

SCHEMA = json.loads(Path(document.__file__).with_name("input.schema.json").read_text())
CALLER = Principal("ada", "user", ("agent",), "acme", ("tools",), "api_key")
CLEAR, TOKEN = "ada@example.org", "<EMAIL_1f3a>"


def call(
    surface: str = "tools/call", params: JSON | None = None, labelled: JSON | None = None, target: str = "t"
) -> Call:
    made = Call(
        surface, CALLER, Session("s", CALLER, {"private"}, {"crm": 2}), params or {}, name="crm__t", target=target
    )
    made.upstream = UpstreamFacts("crm", "stdio", "trusted", "private")
    made.labelled = labelled
    made.pii = Pii({"EMAIL": 1}, ["/arguments/to"], 0)
    made.definition = {"annotations": {"readOnlyHint": True, "title": "T"}}
    return made


def test_the_schema_is_a_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


def test_a_calls_document_holds_the_labelled_arguments_and_fits_the_schema() -> None:
    built = document.for_call(call(params={"arguments": {"to": CLEAR}}, labelled={"arguments": {"to": TOKEN}}))
    jsonschema.validate(built, SCHEMA)
    assert CLEAR not in json.dumps(built)
    assert built["call"]["arguments"] == {"to": TOKEN}
    assert built["call"]["pii"] == {"types": ["EMAIL"], "counts": {"EMAIL": 1}, "paths": ["/arguments/to"]}
    name = built["session"].pop("id")
    assert built["session"] == {"taint": ["private"], "counts": {"crm": 2}, "approvals": {}}
    assert len(name) == 32
    assert built["call"]["size"] == len(json.dumps({"to": TOKEN}, separators=(",", ":")))
    assert built["budget"] == {"calls_left": None}
    assert built["upstream"] == {"trust": "trusted", "sensitivity": "private", "kind": "stdio"}
    assert built["principal"]["roles"] == ["agent"]


def test_what_a_person_approved_and_what_is_left_to_ask_are_told() -> None:
    made = call()
    made.session.approvals["pay/transfer"] = 2
    made.calls_left = 7
    built = document.for_call(made)
    jsonschema.validate(built, SCHEMA)
    assert built["session"]["approvals"] == {"pay/transfer": 2}
    assert built["budget"] == {"calls_left": 7}


def test_arguments_that_were_not_labelled_are_left_out() -> None:
    assert document.for_call(call(params={"arguments": {"to": CLEAR}}))["call"]["arguments"] == {}


def test_a_listings_document_knows_nothing_of_session_and_arguments() -> None:
    built = document.for_listing(CALLER, "tool", UpstreamFacts("crm", "stdio"), "t", None)
    jsonschema.validate(built, SCHEMA)
    assert built["call"]["phase"] == "list"
    assert (built["session"]["taint"], built["call"]["arguments"], built["call"]["annotations"]) == ([], {}, {})


@pytest.mark.parametrize(
    ("surface", "params", "kind"),
    [
        ("tools/call", {}, "tool"),
        ("prompts/get", {}, "prompt"),
        ("resources/read", {}, "resource"),
        ("resources/subscribe", {}, "resource"),
        ("resources/unsubscribe", {}, "resource"),
        ("completion/complete", {"ref": {"type": "ref/prompt", "name": "p"}}, "prompt"),
        ("completion/complete", {"ref": {"type": "ref/resource", "uri": "u"}}, "resource"),
        ("tools/list", {}, "gateway"),
        ("something/new", {}, "gateway"),
    ],
)
def test_each_surface_has_its_kind(surface: str, params: JSON, kind: str) -> None:
    assert document.kind_of(call(surface, params)) == kind


def test_a_completion_of_the_gateway_itself_is_the_gateways() -> None:
    made = call("completion/complete", {"ref": {"type": "ref/prompt"}})
    made.upstream = GATEWAY
    assert document.kind_of(made) == "gateway"


def test_a_uri_with_pii_appears_as_labelled() -> None:
    made = call("resources/read", {"uri": f"crm://{CLEAR}"}, {"uri": f"crm://{TOKEN}"}, target=f"crm://{CLEAR}")
    assert document.for_call(made)["call"]["tool"] == f"crm://{TOKEN}"
    listed = call("resources/read", {"uri": "crm://%61"}, {"uri": "crm://%61"}, target="crm://%61")
    assert document.for_call(listed)["call"]["tool"] == "crm://%61"


@pytest.mark.parametrize(
    ("asked", "seen"),
    [
        ("file:///secret/plan", "file:///secret/plan"),
        ("file:///public/../secret/plan", "file:///secret/plan"),
        ("file:///public/./%2e%2E%2fsecret//plan", "file:///secret/plan"),
        ("file:///%73ecret/plan", "file:///secret/plan"),
        ("https://host/../../a?q=../b", "https://host/a?q=../b"),
        ("crm://open/../secret/a", "crm://secret/a"),
        ("crm:///open/../../secret/a", "crm:///secret/a"),
        ("crm://a%40b", "crm://a%40b"),
        ("note:x", "note:x"),
    ],
)
def test_a_uri_that_a_template_matched_is_seen_as_where_it_leads(asked: str, seen: str) -> None:
    made = call("resources/read", {"uri": asked}, {"uri": asked}, target="file:///{+path}")
    assert document.for_call(made)["call"]["tool"] == seen


def test_a_uri_that_was_not_labelled_is_not_seen_unless_the_catalogue_lists_it() -> None:
    assert document.for_call(call("resources/read", {"uri": "a:b"}, target="a:{x}"))["call"]["tool"] == ""
    assert document.for_call(call("resources/read", {"uri": "a:b"}, target="a:b"))["call"]["tool"] == "a:b"


@pytest.mark.parametrize("hints", [None, [], "x", 3])
def test_annotations_that_are_no_object_count_as_none(hints: object) -> None:
    assert document.hints_of({"annotations": hints}) == {}
