"""Values inside values: whatever encoding hides a value, it is replaced there, and the text stays what it was."""

from __future__ import annotations

import base64
import html
import json
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import quote, unquote

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentflow.guard import embedded
from agentflow.guard.pii.matcher import PiiMatcher
from agentflow.guard.redaction import Tokeniser
from agentflow.guard.rehydration import rehydrate
from agentflow.guard.secrets.matcher import SecretMatcher
from agentflow.guard.sensitive import SensitiveMatcher
from agentflow.guard.vault import Vault

MATCHER = SensitiveMatcher(PiiMatcher(), SecretMatcher())
MAIL, CARD, KEY = "alice@example.com", "4111 1111 1111 1111", "ghp_16C7e42F292c6912E7710c838347Ae178B4a"
NOTE = f"please write to {MAIL}, card {CARD}, key {KEY} until noon"

VAULT: Vault


@pytest.fixture(autouse=True, scope="module")
def _vault(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    global VAULT
    VAULT = Vault(tmp_path_factory.mktemp("vault") / "vault.db", bytes(range(32)))
    yield
    VAULT.close()


def redact(body: Any, **more: Any) -> Any:
    return Tokeniser(MATCHER, VAULT, "angle").redact("t", body, **more)


def text_of(text: str) -> str:
    return str(redact({"content": [{"type": "text", "text": text}]}).body["content"][0]["text"])


def b64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def lines(text: str) -> str:
    flat = b64(text)
    return "\n".join(flat[at : at + 64] for at in range(0, len(flat), 64))


ENCODINGS: dict[str, tuple[Callable[[str], str], Callable[[str], str]]] = {
    "plain": (str, str),
    "entities": (lambda text: text.replace("4", "&#x34;").replace("@", "&#x40;"), html.unescape),
    "named entities": (lambda text: text.replace("@", "&commat;").replace(" ", "&nbsp;"), html.unescape),
    "percent": (lambda text: "https://x.example/?q=" + quote(text), unquote),
    "percent all": (lambda text: "".join(f"%{byte:02x}" for byte in text.encode()), unquote),
    "percent twice": (lambda text: quote(quote(text)), lambda text: unquote(unquote(text))),
    "base64": (b64, lambda text: base64.b64decode(text).decode()),
    "base64 in lines": (lines, lambda text: base64.b64decode(text).decode()),
    "base64 for URLs": (
        lambda text: base64.urlsafe_b64encode((text + "?>~" * 6).encode()).decode().rstrip("="),
        lambda text: base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode(),
    ),
    "data URI": (
        lambda text: f"see data:text/plain;base64,{b64(text)} end",
        lambda text: base64.b64decode(text.split(",", 1)[1].split(" ")[0]).decode(),
    ),
    "base64 twice": (lambda text: b64(b64(text)), lambda text: base64.b64decode(base64.b64decode(text)).decode()),
    "JSON": (lambda text: json.dumps({"note": text}), lambda text: str(json.loads(text)["note"])),
    "JSON in base64": (lambda text: b64(json.dumps([text])), lambda text: str(json.loads(base64.b64decode(text))[0])),
    "base64 in JSON": (
        lambda text: json.dumps([b64(text)]),
        lambda text: base64.b64decode(json.loads(text)[0]).decode(),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", ENCODINGS)
def test_no_encoding_hides_a_value_and_what_was_encoded_still_decodes(name: str) -> None:
    encode, decode = ENCODINGS[name]
    after = decode(text_of(encode(NOTE)))
    assert not [value for value in (MAIL, CARD, KEY) if value in after]
    assert "please" in after and "until" in after
    for kind in ("EMAIL", "CARD", "API_KEY"):
        assert f"<{kind}_" in after.replace("&lt;", "<").replace("%3C", "<")


@pytest.mark.parametrize("name", ENCODINGS)
def test_equal_values_get_equal_tokens_in_every_encoding(name: str) -> None:
    encode, decode = ENCODINGS[name]
    token = text_of(MAIL)
    after = decode(text_of(encode(f"to {MAIL} it goes"))).replace("&lt;", "<").replace("&gt;", ">")
    assert token in unquote(after)


@pytest.mark.parametrize("name", ENCODINGS)
def test_a_second_look_finds_nothing_new(name: str) -> None:
    once = text_of(ENCODINGS[name][0](NOTE))
    assert text_of(once) == once


@pytest.mark.parametrize("name", ["entities", "percent", "percent all", "JSON"])
def test_a_token_comes_back_in_the_spelling_of_its_place(name: str) -> None:
    encode, decode = ENCODINGS[name]
    redacted = {"arguments": {"x": text_of(encode(NOTE))}}
    back = rehydrate(VAULT, "t", redacted, ("*",)).body["arguments"]["x"]
    assert decode(back) == decode(encode(NOTE))


def test_an_address_stays_an_address() -> None:
    body = {"contents": [{"uri": f"https://x.example/u/{quote(MAIL)}?n=1", "text": "plain"}]}
    uri = redact(body).body["contents"][0]["uri"]
    assert uri.startswith("https://x.example/u/%3CEMAIL_") and uri.endswith("%3E?n=1")


@given(st.binary(min_size=30, max_size=600))
def test_what_is_encoded_but_no_text_stays_as_it_is(data: bytes) -> None:
    text = f"data:image/png;base64,{base64.b64encode(data).decode()}"
    try:
        data.decode()
    except UnicodeDecodeError:
        assert text_of(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "da39a3ee5e6b4b0d3255bfef95601890afd80709 550e8400-e29b-41d4-a716-446655440000 v1.2.3 $1,234.56",
        "sha512-z4PhNX7vuL3xVChQ1m2AB9Yg5AULVxXcg/SpIdNs6c5H0NE8XYXysP+DGNKHfuwvY7kxvUdBeoGlODJ6+SfaPg==",
        "2026-01-15T10:30:00Z 100% sure, 50%25 off & more &amp; even &copy; 2026; ThisIsAVeryLongIdentifierInCode",
        "a%20b%2Fc?x=%E2%82%AC&y=%FF%FE &#xZZ; &notanentity; %zz",
    ],
)
def test_ids_hashes_and_escapes_that_hide_nothing_stay_as_they_are(text: str) -> None:
    assert text_of(text) == text


@given(st.text(alphabet=st.characters(codec="utf-8"), max_size=80))
def test_any_text_survives_every_encoding_unchanged_where_nothing_is_found(text: str) -> None:
    for name in ("entities", "percent", "base64", "JSON"):
        shown = ENCODINGS[name][0](text)
        if not embedded.scan(MATCHER, shown):
            assert text_of(shown) == shown


@pytest.mark.parametrize("name", ENCODINGS)
def test_the_sieve_or_the_matcher_sees_that_there_is_something(name: str) -> None:
    data = orjson.dumps({"a": ENCODINGS[name][0](NOTE)})
    assert embedded.suspect(data) or MATCHER.suspect(data)


@pytest.mark.parametrize(
    "unit", ["%34", "&#64;", "%25", "YWxpY2VAZXhhbXBsZS5jb20g", "%", "&", "a%40b.c", "AAAA\n", "=="]
)
def test_hostile_encodings_are_survived(unit: str) -> None:
    text_of(unit * 4000)


# --------------------------------------------------------------------------- joints


@given(st.integers(1, len(CARD) - 1), st.booleans())
def test_a_value_cut_in_two_by_blocks_is_found(at: int, resources: bool) -> None:
    parts = [f"the card is {CARD[:at]}", f"{CARD[at:]}, thank you"]
    if resources:
        body = {"contents": [{"uri": "x://y", "text": text} for text in parts]}
    else:
        body = {"content": [{"type": "text", "text": text} for text in parts]}
    done = redact(body)
    first, second = (block["text"] for block in next(iter(done.body.values())))
    assert first.startswith("the card is <CARD_") and second == ", thank you"
    assert done.counts == {"CARD": 1}


def test_a_value_in_many_blocks_is_found_and_the_blocks_stay() -> None:
    blocks = [{"type": "text", "text": char} for char in f"key: {KEY} end"]
    after = redact({"content": blocks}).body["content"]
    assert len(after) == len(blocks)
    joined = "".join(block["text"] for block in after)
    assert joined.startswith("key: <API_KEY_") and joined.endswith(" end")


def test_blocks_with_something_between_them_are_no_joint() -> None:
    picture = {"type": "image", "mimeType": "image/png", "data": b64("x" * 60)}
    content = [{"type": "text", "text": "card 4111 1111"}, picture, {"type": "text", "text": "1111 1111"}]
    body = {"content": content}
    assert redact(body).body is body


def test_only_wanted_types_are_taken_out_of_a_joint() -> None:
    body = {"content": [{"type": "text", "text": "4111 1111"}, {"type": "text", "text": " 1111 1111"}]}
    assert redact(body, types=("EMAIL",)).body is body
