"""Redaction takes every value out and changes nothing else; rehydration puts every value back."""

from __future__ import annotations

import base64
import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from agentflow.guard.pii.matcher import PiiMatcher
from agentflow.guard.redaction import Tokeniser
from agentflow.guard.rehydration import rehydrate
from agentflow.guard.secrets.matcher import SecretMatcher
from agentflow.guard.sensitive import SensitiveMatcher
from agentflow.guard.tokens import NUMBER_FIRST
from agentflow.guard.vault import Vault

MATCHER = SensitiveMatcher(PiiMatcher(), SecretMatcher())
KEY = bytes(range(32))
PEM = "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQEF\n-----END PRIVATE KEY-----"
SAMPLES = [
    "alice@example.com", "+1 (415) 555-2671", "4111 1111 1111 1111", "4111111111111111", "123-45-6789",
    "DE89370400440532013000", "203.0.113.9", "2001:db8::8a2e:370:7334", "00:1a:2b:3c:4d:5e",
    "ghp_16C7e42F292c6912E7710c838347Ae178B4a", PEM,
]  # fmt: skip

VAULT: Vault


@pytest.fixture(autouse=True, scope="module")
def _vault(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    global VAULT
    VAULT = Vault(tmp_path_factory.mktemp("vault") / "vault.db", KEY)
    yield
    VAULT.close()


def redact(body: dict[str, Any], *types: str, **more: Any) -> Any:
    return Tokeniser(MATCHER, VAULT, "angle").redact("t", body, types or ("*",), **more)


def restore(body: dict[str, Any], *types: str, schema: Any = None) -> Any:
    return rehydrate(VAULT, "t", body, types or ("*",), schema)


sample = st.sampled_from(SAMPLES)
sentence = st.builds(
    lambda a, value, b: f"{a} {value} {b}", st.text("ab é,\n\"'{", max_size=6), sample, st.text("xy.", max_size=3)
)
leaf = (
    sample
    | sentence
    | st.sampled_from([4111111111111111, 5555555555554444, 4111111111111111.0])
    | st.integers(-(2**53), 2**53)
    | st.none()
    | st.booleans()
    | st.text(max_size=10)
)
tree = st.recursive(
    leaf, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5) | sample, inner, max_size=3)
)


def shape(value: Any) -> Any:
    if isinstance(value, dict):
        return [shape(item) for item in value.values()]
    return [shape(item) for item in value] if isinstance(value, list) else type(value)


@given(tree)
def test_redact_then_rehydrate_is_the_identity(value: Any) -> None:
    body = {"structuredContent": value}
    before = copy.deepcopy(body)
    redacted = redact(body)
    assert body == before
    assert shape(redacted.body) == shape(body)
    assert restore(redacted.body).body == body


@given(tree)
def test_no_value_is_left_and_a_second_look_finds_nothing_new(value: Any) -> None:
    redacted = redact({"structuredContent": value}).body
    text = orjson.dumps(redacted).decode()
    assert not [kept for kept in SAMPLES if kept in text or json.dumps(kept)[1:-1] in text]
    assert redact(redacted).body is redacted


@given(tree, st.sampled_from([None, 2]), st.booleans())
def test_json_inside_text_stays_json_and_gets_the_same_tokens(value: Any, indent: int | None, escape: bool) -> None:
    text = json.dumps(value, indent=indent, ensure_ascii=escape)
    body = {"content": [{"type": "text", "text": text}], "structuredContent": {"v": value}}
    redacted = redact(body).body
    if isinstance(value, dict | list):
        inside = json.loads(redacted["content"][0]["text"])
        assert shape(inside) == shape(value)
        assert not [kept for kept in SAMPLES if kept in json.dumps(inside, ensure_ascii=False)]
        back = restore(redacted).body
        assert json.loads(back["content"][0]["text"]) == value


def test_the_text_twin_and_the_structured_content_get_equal_tokens() -> None:
    record = {"email": "alice@example.com", "card": 4111111111111111, "key": PEM, "list": ["123-45-6789"]}
    redacted = redact({"content": [{"type": "text", "text": json.dumps(record)}], "structuredContent": record}).body
    assert json.loads(redacted["content"][0]["text"]) == redacted["structuredContent"]
    assert redacted["structuredContent"]["email"].startswith("<EMAIL_")
    assert redacted["structuredContent"]["card"] >= NUMBER_FIRST


def test_an_untouched_body_is_returned_as_it_is() -> None:
    body = {"content": [{"type": "text", "text": "hello number 5"}], "structuredContent": {"result": 5}}
    redaction = redact(body)
    assert redaction.body is body
    assert redaction.counts == {}


def test_counts_and_pointers_say_what_was_found_and_where() -> None:
    redaction = redact({"arguments": {"to": ["a@example.com and b@example.com"], "c@example.com": 4111111111111111}})
    assert redaction.counts == {"EMAIL": 3, "CARD": 1}
    assert sorted(redaction.paths) == ["/arguments/<EMAIL>", "/arguments/<EMAIL>", "/arguments/to/0"]


@pytest.mark.parametrize(
    ("mime", "redacted"), [("text/plain", True), ("application/json", True), (None, True), ("application/pdf", False)]
)
def test_a_text_file_is_redacted_inside_its_base64(mime: str | None, redacted: bool) -> None:
    clear = json.dumps({"note": "contact alice@example.com, straße 5"})
    file = {"uri": "x://y", "blob": base64.b64encode(clear.encode()).decode(), **({"mimeType": mime} if mime else {})}
    for body in ({"contents": [file]}, {"content": [{"type": "resource", "resource": file}]}):
        done = redact(body)
        assert (done.counts == {"EMAIL": 1}) is redacted
        if redacted:
            after = done.body.get("contents") or [done.body["content"][0]["resource"]]
            text = base64.b64decode(after[0]["blob"]).decode()
            assert "<EMAIL_" in text and "alice" not in text and "straße" in json.loads(text)["note"]
            assert done.paths[0].endswith("/blob")


def test_a_text_file_among_many_is_redacted_too() -> None:
    blob = base64.b64encode(b"contact alice@example.com").decode()
    body = {"contents": [{"uri": f"x://{n}", "text": "plain"} for n in range(50)] + [{"uri": "x://a", "blob": blob}]}
    assert redact(body).counts == {"EMAIL": 1}


def test_only_the_types_asked_for_are_replaced() -> None:
    body = {"arguments": {"x": 'alice@example.com 123-45-6789 {"a": "\\u0062ob@example.com"}'}}
    redacted = redact(body, "SSN").body["arguments"]["x"]
    assert "alice@example.com" in redacted
    assert "ob@example.com" in redacted
    assert "<SSN_" in redacted


def test_escapes_hide_nothing() -> None:
    hidden = json.dumps({"mail": "alice@example.com", "card": "4111111111111111"}).replace("@", "\\u0040")
    twice = json.dumps({"inner": hidden})
    redacted = redact({"content": [{"type": "text", "text": twice}]}).body["content"][0]["text"]
    inner = json.loads(json.loads(redacted)["inner"])
    assert inner["mail"].startswith("<EMAIL_")
    assert inner["card"].startswith("<CARD_")


def test_text_cut_off_in_the_middle_of_json_is_redacted_too() -> None:
    text = '{"a": "x\\nalice\\u0040example.com", "b": "123-45-6789", "c": "bob\\u0040example.com and'
    redacted = redact({"content": [{"type": "text", "text": text}]}).body["content"][0]["text"]
    assert "example.com" not in redacted
    assert "123-45-6789" not in redacted


def test_names_and_addresses_in_listings_stay_and_descriptions_do_not() -> None:
    tool = {"name": "mail.alice_10.1.2.3", "description": "writes to alice@example.com", "inputSchema": {}}
    assert redact({"tools": [tool]}).body["tools"][0] == {**tool, "description": redact(
        {"x": "writes to alice@example.com"}).body["x"]}  # fmt: skip
    assert "alice" not in str(redact({"tools": [{**tool, "name": "write to alice@example.com"}]}).body)
    resources = {
        "resources": [{"uri": "http://10.1.2.3/a", "name": "n"}, {"uri": "mail://bob@example.com", "name": "m"}]
    }
    redacted = redact(resources).body["resources"]
    assert redacted[0] is resources["resources"][0]
    assert redacted[1]["uri"].startswith("mail://<EMAIL_")


def test_a_long_listing_is_redacted_where_it_needs_to_be() -> None:
    tools: list[dict[str, Any]] = [{"name": f"t{n}", "description": "plain"} for n in range(500)]
    tools[321]["description"] = "ask alice@example.com"
    redacted = redact({"tools": tools}).body["tools"]
    assert "<EMAIL_" in redacted[321]["description"]
    assert all(redacted[n] is tools[n] for n in range(500) if n != 321)


SCHEMA = {
    "type": "object",
    "properties": {
        "card": {"type": "integer"},
        "small": {"type": ["integer", "null"], "minimum": 1, "maximum": 9_999_999_999_999_999 // 2},
        "mail": {"$ref": "#/$defs/mail"},
        "mails": {"type": "array", "items": {"type": "string", "format": "email"}},
    },
    "$defs": {"mail": {"type": "string", "format": "email"}},
}


def test_structured_content_still_satisfies_its_schema() -> None:
    content = {
        "card": 5555555555554444,
        "small": 4111111111111111,
        "mail": "a.b@example.com",
        "mails": ["c@example.com"],
    }
    redacted = redact({"structuredContent": content}, output_schema=SCHEMA).body["structuredContent"]
    Draft202012Validator(SCHEMA, format_checker=Draft202012Validator.FORMAT_CHECKER).validate(redacted)
    assert redacted["small"] == 1
    assert redacted["mail"].endswith("@redacted.invalid")
    del redacted["small"], content["small"]
    assert restore({"arguments": redacted}).body == {"arguments": content}


def test_only_allowed_types_come_back_and_the_rest_is_reported() -> None:
    redacted = redact({"arguments": {"m": "alice@example.com", "s": "123-45-6789"}}).body
    back = restore(redacted, "EMAIL")
    assert back.body["arguments"] == {"m": "alice@example.com", "s": redacted["arguments"]["s"]}
    assert (back.restored, back.kept) == ({"EMAIL": 1}, {"SSN": 1})
    assert rehydrate(VAULT, "t", redacted, ()).body is redacted


def test_an_unknown_token_and_another_tenants_token_stay_as_they_are() -> None:
    mine = redact({"arguments": {"m": "alice@example.com"}}).body
    assert rehydrate(VAULT, "other", mine, ("*",)).body is mine
    unknown = {"arguments": {"m": "<EMAIL_00000000>", "n": NUMBER_FIRST + 1}}
    assert restore(unknown).body is unknown


def test_tokens_come_back_at_any_depth_in_keys_text_and_addresses() -> None:
    token = redact({"x": "alice@example.com"}).body["x"]
    body = {"uri": f"mail://{token}", "arguments": {token: [{"a": f"to {token.lower()}, {token[1:-1]}"}]}}
    assert restore(body).body == {
        "uri": "mail://alice@example.com",
        "arguments": {"alice@example.com": [{"a": "to alice@example.com, alice@example.com"}]},
    }


def test_a_value_put_into_json_text_is_escaped_like_it() -> None:
    token = redact({"x": PEM}).body["x"]
    text = json.dumps({"key": token})
    assert json.loads(restore({"arguments": {"body": text}}).body["arguments"]["body"]) == {"key": PEM}
    unicode = text.replace("<", "\\u003c").replace(">", "\\u003e")
    assert json.loads(restore({"arguments": {"body": unicode}}).body["arguments"]["body"]) == {"key": PEM}


def test_a_lone_token_becomes_a_number_where_the_schema_wants_one() -> None:
    token = redact({"x": "4111 1111 1111 1111"}).body["x"]
    schema = {"properties": {"card": {"type": "integer"}, "text": {"type": "string"}, "any": {}}}
    body = {"arguments": {"card": token, "text": token, "any": token}}
    assert restore(body, schema=schema).body["arguments"] == {
        "card": 4111111111111111,
        "text": "4111 1111 1111 1111",
        "any": "4111 1111 1111 1111",
    }


def test_tokens_are_written_as_configured_and_both_ways_are_read(tmp_path: Path) -> None:
    body = {"x": "alice@example.com"}
    square = Tokeniser(MATCHER, VAULT, "redacted").redact("t", body).body
    assert square["x"].startswith("[REDACTED_EMAIL_")
    assert restore(square).body == body


def test_what_orjson_cannot_write_is_redacted_all_the_same() -> None:
    body = {"structuredContent": {"big": 2**70, "odd": "\ud800 alice@example.com"}}
    redacted = redact(body).body["structuredContent"]
    assert redacted["big"] == 2**70
    assert "alice" not in redacted["odd"]
    assert restore({"structuredContent": redacted}).body == body


def test_deep_nesting_of_json_in_json_ends() -> None:
    text = "alice@example.com"
    for _ in range(12):
        text = json.dumps({"a": text})
    assert "alice" not in redact({"x": text}).body["x"]


@pytest.mark.parametrize("text", ['"' * 5000, '\\"' * 5000, '"\\u0040' * 3000, '"a@b.de\\' * 2000])
def test_hostile_quoting_is_survived(text: str) -> None:
    redact({"x": text})


def test_a_type_that_only_the_decision_names_is_looked_for() -> None:
    body = {"content": [{"type": "text", "text": "see https://example.com/x or mail bob@example.com"}]}
    text = redact(body, "URL").body["content"][0]["text"]
    assert text.startswith("see <URL_") and text.endswith("bob@example.com")
    assert redact(body).counts == {"EMAIL": 1}


def test_equal_values_of_equal_members_are_replaced_wherever_they_stand() -> None:
    rows = [{"mail": "alice@example.com", "id": 12345678, "note": "ok"} for _ in range(12)]
    done = redact({"structuredContent": {"rows": rows}})
    assert done.counts == {"EMAIL": 12}
    assert len({row["mail"] for row in done.body["structuredContent"]["rows"]}) == 1
