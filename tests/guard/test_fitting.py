"""Redacted structured content satisfies its schema, says the same as its text twin, and holds no value."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterator
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator, FormatChecker

from agentflow.errors import ContentBlocked
from agentflow.guard import tokens
from agentflow.guard.pii.matcher import PiiMatcher
from agentflow.guard.redaction import Tokeniser
from agentflow.guard.rehydration import rehydrate
from agentflow.guard.secrets.matcher import SecretMatcher
from agentflow.guard.sensitive import SensitiveMatcher
from agentflow.guard.vault import Vault

MATCHER = SensitiveMatcher(PiiMatcher(), SecretMatcher())
VAULT: Vault


@pytest.fixture(autouse=True, scope="module")
def _vault(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    global VAULT
    VAULT = Vault(tmp_path_factory.mktemp("vault") / "vault.db", bytes(range(32)))
    yield
    VAULT.close()


def redact(value: Any, schema: Any, **more: Any) -> Any:
    body = {"structuredContent": value, **more}
    return Tokeniser(MATCHER, VAULT, "angle").redact("t", body, output_schema=schema).body


def one(value: Any, **schema: Any) -> Any:
    kind = "string" if isinstance(value, str) else "integer"
    whole = {"type": "object", "properties": {"x": {"type": kind, **schema}}, "required": ["x"]}
    after = redact({"x": value}, whole)["structuredContent"]
    Draft202012Validator(whole, format_checker=FormatChecker()).validate(after)
    return after["x"]


MAIL, PHONE, CARD, IP, SSN = "alice@example.com", "+1 415-555-2671", "4111111111111111", "203.0.113.9", "123-45-6789"


@pytest.mark.parametrize(
    ("value", "schema", "expected"),
    [
        (MAIL, {}, r"<EMAIL_[0-9a-f]+>"),
        (MAIL, {"format": "email"}, r"EMAIL_[0-9a-f]+@redacted\.invalid"),
        (MAIL, {"pattern": "^[^<>]+$"}, r"EMAIL_[0-9a-f]+"),
        (MAIL, {"pattern": "^[a-z]+@[a-z]+\\.[a-z]{3}$"}, r"xxxxx@xxxxxxx\.xxx"),
        (MAIL, {"enum": [MAIL, "bob@example.com"]}, r"<EMAIL_[0-9a-f]+>"),
        (PHONE, {"maxLength": 15}, r"PHONE_[0-9a-f]{8}|\+0 000-000-0000"),
        (PHONE, {"pattern": "^\\+[0-9]"}, r"\+0 000-000-0000"),
        (CARD, {"pattern": "^[0-9]{16}$"}, "0{16}"),
        (CARD, {"pattern": "^[1-9][0-9]{15}$"}, "9{16}"),
        (IP, {"format": "ipv4"}, r"0\.0\.0\.0"),
        ("2001:db8::8a2e:370:7334", {"format": "ipv6"}, "::"),
        (SSN, {"pattern": "^\\d{3}-\\d{2}-\\d{4}$"}, "000-00-0000"),
        ("a.very.long.name.indeed@mail.example.com", {"minLength": 40}, r"<EMAIL_[0-9a-f]+>\.+"),
        (f"https://x.example/?m={MAIL}", {"format": "uri"}, r"https://x\.example/\?m=%3CEMAIL_[0-9a-f]+%3E"),
        ("https://u:pa55word@h.example/", {"format": "uri"}, r"https://%3CURL_CREDENTIALS_[0-9a-f]+%3E@h\.example/"),
    ],
)  # fmt: skip
def test_the_replacement_follows_what_the_schema_says(value: str, schema: dict[str, Any], expected: str) -> None:
    after = one(value, **schema) if "enum" not in schema else redact({"x": value}, {"properties": {"x": schema}})
    text = after if isinstance(after, str) else after["structuredContent"]["x"]
    assert re.fullmatch(expected, text), text


STRICT = {
    "type": "object",
    "properties": {
        "mail": {"type": "string", "format": "email"},
        "phone": {"type": "string", "pattern": "^\\+?[0-9 ()-]{7,20}$"},
        "card": {"type": "integer", "minimum": 1},
        "note": {"type": "string", "maxLength": 400},
        "id": {"type": "string", "format": "uuid"},
        "sha": {"type": "string", "pattern": "^[0-9a-f]{40}$"},
        "price": {"type": "number"},
        "at": {"type": "string", "format": "date-time"},
        "tags": {"type": "array", "items": {"type": "string", "maxLength": 24}},
    },
    "required": ["mail", "id"],
    "additionalProperties": False,
}
records = st.fixed_dictionaries(
    {"mail": st.sampled_from([MAIL, "bob.o'neil@mail.example.org"]), "id": st.uuids().map(str)},
    optional={
        "phone": st.sampled_from([PHONE, "(415) 555-2671", "0000000"]),
        "card": st.sampled_from([4111111111111111, 7, 5555555555554444]),
        "note": st.sampled_from(["plain", f"call {PHONE} or {MAIL}", "password=hunter2!xyz", "v1.2.3 costs $4.50"]),
        "sha": st.binary(min_size=20, max_size=20).map(bytes.hex),
        "price": st.floats(0, 10**6, allow_nan=False),
        "at": st.datetimes(timezones=st.timezones()).map(lambda moment: moment.isoformat(timespec="seconds")).filter(
            lambda text: len(text) == 25
        ),
        "tags": st.lists(st.sampled_from(["a", MAIL, IP, "2.31.0", "10.0.19045"]), max_size=3),
    },
)  # fmt: skip


@given(records, st.sampled_from([None, 2]))
def test_records_stay_valid_twins_stay_equal_and_nothing_else_changes(
    record: dict[str, Any], indent: int | None
) -> None:
    Draft202012Validator(STRICT).validate(record)
    text = json.dumps(record, indent=indent)
    after = redact(record, STRICT, content=[{"type": "text", "text": text}])
    content = after["structuredContent"]
    Draft202012Validator(STRICT, format_checker=FormatChecker()).validate(content)
    assert json.loads(after["content"][0]["text"]) == content
    shown = orjson.dumps(after).decode()
    assert not [value for value in (MAIL, "bob.o'neil", PHONE, IP, "hunter2", "4111111111111111") if value in shown]
    for name in ("id", "sha", "price", "at"):
        assert content.get(name) == record.get(name)
    again = redact(content, STRICT, content=after["content"])
    assert again["structuredContent"] == content


scalars = st.sampled_from(
    [MAIL, PHONE, CARD, IP, SSN, "plain words", f"to {MAIL}", 4111111111111111, 5, 1.5, True, None]
)


def schema_for(value: Any, rng: random.Random) -> Any:
    """A schema that `value` satisfies, with constraints drawn by chance."""
    if isinstance(value, dict):
        members = {name: schema_for(item, rng) for name, item in value.items()}
        return {"type": "object", "properties": members, "required": list(value), "additionalProperties": False}
    if isinstance(value, list):
        return {"type": "array", "items": {"anyOf": [schema_for(item, rng) for item in value]} if value else {}}
    if isinstance(value, str):
        choices: list[dict[str, Any]] = [
            {}, {"maxLength": len(value) + rng.randrange(10)}, {"minLength": max(0, len(value) - rng.randrange(5))},
            {"minLength": len(value), "maxLength": len(value)}, {"pattern": f"^.{{{len(value)}}}$"},
            {"format": "email"} if value == MAIL else {"format": "ipv4"} if value == IP else {},
            {"pattern": "^" + re.sub(r"[0-9]+", "[0-9]+", re.sub(r"([^0-9A-Za-z ])", r"\\\1", value)) + "$"}
            if value[-1].isdigit() else {},
        ]  # fmt: skip
        return {"type": "string", **rng.choice(choices)}
    if isinstance(value, bool) or value is None:
        return {"type": "boolean" if isinstance(value, bool) else "null"}
    return {"type": "number"} if isinstance(value, float) else {"type": "integer"}


@given(
    st.dictionaries(st.sampled_from("abcdef"), scalars | st.lists(scalars, max_size=3), max_size=5),
    st.integers(0, 10**6),
)
def test_random_schemas_still_hold_after_redaction(value: dict[str, Any], seed: int) -> None:
    schema = schema_for(value, random.Random(seed))
    Draft202012Validator(schema).validate(value)
    content = redact(value, schema)["structuredContent"]
    Draft202012Validator(schema, format_checker=FormatChecker()).validate(content)
    shown = orjson.dumps(content).decode()
    assert not [kept for kept in (MAIL, PHONE, CARD, IP, SSN) if kept in shown]
    assert redact(content, schema)["structuredContent"] == content


def test_a_result_with_no_room_for_a_replacement_is_withheld() -> None:
    schema = {"type": "object", "patternProperties": {"^[^<>]+@[^<>]+$": {}}, "additionalProperties": False}
    with pytest.raises(ContentBlocked) as caught:
        redact({MAIL: 1}, schema)
    assert MAIL not in str(caught.value) and "outputSchema" in caught.value.message


def test_what_fits_comes_back_where_it_is_a_token() -> None:
    after = one(MAIL, pattern="^[^<>]+$")
    assert tokens.find(after)
    assert rehydrate(VAULT, "t", {"arguments": {"v": after}}, ("*",)).body == {"arguments": {"v": MAIL}}
