"""The hot tier finds what is PII, leaves what only looks like it, and never slows down on hostile text."""

from __future__ import annotations

import json
import random
import sys
import uuid
from hashlib import sha1, sha256
from itertools import pairwise
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentflow.guard.pii import patterns, validators
from agentflow.guard.pii.detectors import DETECTORS
from agentflow.guard.pii.matcher import PiiMatcher

MATCHER = PiiMatcher()


def found(text: str, context: str = "") -> list[tuple[str, str]]:
    return [(match.type, text[match.start : match.end]) for match in MATCHER.find(text, context)]


POSITIVE = [
    ("EMAIL", "mail alice.o'neil+tag@mail.example.co.uk now", "alice.o'neil+tag@mail.example.co.uk"),
    ("EMAIL", "<alice@example.com>", "alice@example.com"),
    ("EMAIL", "'bob@x.io'", "bob@x.io"),
    ("EMAIL", "q=alice%40example.com&x=1", "alice%40example.com"),
    ("EMAIL", "邮箱：alice@example.com。", "alice@example.com"),
    ("EMAIL", "联系alice@example.com你好", "alice@example.com"),
    ("EMAIL", "josé.garcía@exämple.de", "josé.garcía@exämple.de"),
    ("EMAIL", "al\u200bice@exam\u200bple.com", "al\u200bice@exam\u200bple.com"),
    ("EMAIL", r"{\"note\": \"hello\nalice@example.com\"}", "alice@example.com"),
    ("PHONE", "call +14155552671", "+14155552671"),
    ("PHONE", "+44 20 7946 0958", "+44 20 7946 0958"),
    ("PHONE", "+49 (0)30 1234567", "+49 (0)30 1234567"),
    ("PHONE", "+33 1 23 45 67 89", "+33 1 23 45 67 89"),
    ("PHONE", "+91-98765-43210", "+91-98765-43210"),
    ("PHONE", "+1 415 555 2671 2024", "+1 415 555 2671"),
    ("PHONE", "(415)555-2671 x123", "(415)555-2671 x123"),
    ("PHONE", "415-555-2671", "415-555-2671"),
    ("PHONE", "1-800-555-2671", "1-800-555-2671"),
    ("PHONE", "It is 415.555.2671.", "415.555.2671"),
    ("PHONE", "020 7946 0958", "020 7946 0958"),
    ("PHONE", "01 23 45 67 89", "01 23 45 67 89"),
    ("PHONE", "Tel. 0171/1234567", "0171/1234567"),
    ("PHONE", "phone: 4155552671", "4155552671"),
    ("PHONE", '{"customerPhone": "07700900123"}', "07700900123"),
    ("CARD", "4111111111111111", "4111111111111111"),
    ("CARD", "4111 1111 1111 1111", "4111 1111 1111 1111"),
    ("CARD", "on 2024 4111 1111 1111 1111", "4111 1111 1111 1111"),
    ("CARD", "3782 822463 10005", "3782 822463 10005"),
    ("CARD", "5555555555554444,", "5555555555554444"),
    ("CARD", "4 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1", "4 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1"),
    ("CARD", "card 41111 11111 11111 1", "41111 11111 11111 1"),
    ("CARD", "４１１１１１１１１１１１１１１１", "４１１１１１１１１１１１１１１１"),
    ("CARD", "4111‑1111‑1111‑1111", "4111‑1111‑1111‑1111"),
    ("IBAN", "DE89 3704 0044 0532 0130 00 BIC COBADEFF", "DE89 3704 0044 0532 0130 00"),
    ("IBAN", "GB29NWBK60161331926819", "GB29NWBK60161331926819"),
    ("IBAN", "iban gb29nwbk60161331926819", "gb29nwbk60161331926819"),
    ("SSN", "123-45-6789", "123-45-6789"),
    ("SSN", "SSN: 123 45 6789", "123 45 6789"),
    ("SSN", '{"ssn":"536229876"}', "536229876"),
    ("IP", "from 10.1.2.3:8080", "10.1.2.3"),
    ("IP", "<td>203.0.113.9</td>", "203.0.113.9"),
    ("IP", "ssh root@203.0.113.9", "203.0.113.9"),
    ("IP", "ip:2001:db8::1", "2001:db8::1"),
    ("IP", "[fe80::1%eth0]", "fe80::1"),
    ("MAC", "00:1A:2B:3C:4D:5E", "00:1A:2B:3C:4D:5E"),
    ("MAC", "001a.2b3c.4d5e", "001a.2b3c.4d5e"),
]  # fmt: skip

NEGATIVE = [
    "550e8400-e29b-41d4-a716-446655440000",
    "v1.2.3 2.31.0-rc.1 version 1.2.3.4 package-1.2.3.4.tar.gz foo==1.2.3.4 ^1.2.3.4 >= 1.2.3.4",
    "2024-01-15T10:30:00.000Z 2024-01-15T10:30:00+01:00 20240115T103000Z 2024-01-15 10:30:00,123 01-15-2024",
    "1705312200 1705312200123 1705312200123456 1705312200123456789",
    "$1,234,567.89 1234.5678 EUR 12.345.678,90 0.4111111111111111 3.14159265358979323846",
    '"integrity": "sha512-z4PhNX7vuL3xVChQ1m2AB9Yg5AULVxXcg/SpIdNs6c5H0NE8XYXysP+DGNKHfuwvY7kxvUdBeoGlODJ6+SfaPg=="',
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5Er",
    "git@github.com:owner/repo.git lodash@4.17.21 @types/node@20.1.0 icon@2x.png actions/checkout@v4",
    "std::vector<int>::iterator a::b Foo::Bar::baz 12:34:56 ::1 127.0.0.1 0.0.0.0 255.255.255.0 localhost:8080",
    "order 100-200-300 ISBN 978-3-16-148410-0 EAN 4006381333931 SKU-12345-67890",
    "matrix 123 456 789 234 567 8901 345",
    "MD5:16:27:ac:a5:76:28:2d:36:63:1b:56:4d:eb:df:a6:48",
    'max_tokens=4096 token_count: 12345678 next_page_token: "CAESBwoFbWFpbhgB0123456789abc"',
    'password: required; password=os.environ["DB_PASSWORD1"] api_key=${API_KEY} token = get_token()',
    "private_key: Ed25519PrivateKey Bearer token authentication secret: your-secret-key-1234567890",
    "task-0123456789abcdef0123456789 disk-encryption-set-premium-v2 sk-learn-contrib-package-name-v2",
    "1e10 1.5e-7 0x7fffffffffffffff 9007199254740991 18446744073709551615",
    "@@ -1,3 +1,9 @@ +12345678 -12345678 +1234567890",
    "arn:aws:iam::123456789012:role/x i-0abcd1234efgh5678 vol-049df61146c4d7901",
    "10.0.19045.3803 Chrome/120.0.6099.109 Safari/537.36 Mozilla/5.0",
    '{"id": 1234567890, "count": 9876543210, "size": 2345678901, "phone_id": 4155552671}',
    "traceparent 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    "RFC 5321 section 4.5.3.1 §1.2.3.4 OID 1.3.6.1.4.1.311 000-12-3456 666-12-3456 912-34-5678 123-00-4567",
    "<EMAIL_1f3a9c2e> [REDACTED_PHONE_12345678] EMAIL_1f3a9c2e@redacted.invalid password=<API_KEY_1f3a9c2e>",
]


@pytest.mark.parametrize(("kind", "text", "value"), POSITIVE)
def test_finds_the_value_and_nothing_else(kind: str, text: str, value: str) -> None:
    assert found(text) == [(kind, value)]


@pytest.mark.parametrize("text", NEGATIVE)
def test_leaves_what_only_looks_like_pii(text: str) -> None:
    assert found(text) == []


@given(st.uuids(), st.binary(min_size=1, max_size=40))
def test_uuids_and_hashes_are_never_pii(identifier: uuid.UUID, seed: bytes) -> None:
    line = f"{identifier} {sha1(seed).hexdigest()} {sha256(seed).hexdigest()}"
    assert [kind for kind, _ in found(line)] == []


@given(st.datetimes(), st.decimals(min_value=0, max_value=10**9, places=2))
def test_times_and_prices_are_never_pii(moment: Any, price: Any) -> None:
    assert found(f"{moment.isoformat()} {moment} ${price:,} {price} {int(price)}") == []


def luhn_complete(prefix: str, rng: random.Random) -> str:
    digits = prefix + "".join(str(rng.randrange(10)) for _ in range(15 - len(prefix)))
    return next(digits + last for last in "0123456789" if validators.luhn(digits + last))


def customer(rng: random.Random) -> dict[str, tuple[str, str]]:
    """One customer's fields: name of the field -> (type, value)."""
    area, exchange = rng.randrange(201, 989), rng.randrange(200, 999)
    return {
        "email": ("EMAIL", f"{rng.choice(['jean-luc', 'o.brien', 'mei_42'])}{rng.randrange(99)}@example.com"),
        "phone": ("PHONE", f"+1 ({area}) {exchange}-{rng.randrange(9999):04d}"),
        "ssn": ("SSN", f"{rng.randrange(100, 665)}-{rng.randrange(10, 99)}-{rng.randrange(1000, 9999)}"),
        "card": ("CARD", luhn_complete(rng.choice(["4111", "5500", "37828"][:2]), rng)),
        "last_login_ip": (
            "IP",
            f"{rng.randrange(1, 126)}.{rng.randrange(256)}.{rng.randrange(256)}.{rng.randrange(256)}",
        ),
        "address": ("ADDRESS", f"{rng.randrange(1, 9999)} Oak Street, Springfield, IL {rng.randrange(10_000, 99_999)}"),
    }


@pytest.mark.parametrize("seed", range(40))
def test_finds_everything_and_nothing_else_in_a_customer_record(seed: int) -> None:
    rng = random.Random(seed)
    fields = customer(rng)
    record = {
        "id": seed,
        "account": f"ACC-{seed:08d}",
        "balance": round(rng.uniform(-500, 50_000), 2),
        **{name: value for name, (_, value) in fields.items()},
        "renewal": "2026-03-01T00:00:00Z",
        "trace": str(uuid.UUID(int=rng.getrandbits(128))),
    }
    assert set(found(json.dumps(record))) == set(fields.values())
    assert set(found(json.dumps(record, indent=2))) == set(fields.values())


def test_a_key_name_is_evidence() -> None:
    assert found("4155552671") == []
    assert found("4155552671", "mobile") == [("PHONE", "4155552671")]
    assert found("536229876", "ssn") == [("SSN", "536229876")]
    assert found("536229876", "className") == []


def test_only_the_chosen_types_are_found_and_allowed_values_are_not() -> None:
    matcher = PiiMatcher(types=("EMAIL",), allow=("info@example.com",))
    text = "info@example.com bob@example.com 123-45-6789"
    assert [text[m.start : m.end] for m in matcher.find(text)] == ["bob@example.com"]


def test_an_unknown_type_is_refused() -> None:
    with pytest.raises(ValueError, match="SHOE_SIZE"):
        PiiMatcher(types=("SHOE_SIZE",))


@given(st.text(alphabet=st.characters(codec="utf-8"), max_size=60), st.sampled_from(POSITIVE), st.text(max_size=20))
def test_offsets_are_string_indices_in_any_script(before: str, sample: tuple[str, str, str], after: str) -> None:
    text = f"{before} \n{sample[1]}\n {after}"
    matches = MATCHER.find(text)
    assert all(0 <= m.start < m.end <= len(text) for m in matches)
    assert all(left.end <= right.start for left, right in pairwise(matches))


@given(st.text(alphabet='0123456789-. ()+/:@abAB_%=é\\n"sk', max_size=300))
def test_arbitrary_punctuated_text_never_breaks_a_detector(text: str) -> None:
    for match in MATCHER.find(text):
        assert text[match.start : match.end].strip()


@pytest.mark.parametrize(("kind", "text", "value"), POSITIVE)
def test_the_sieve_never_says_no_where_there_is_something(kind: str, text: str, value: str) -> None:
    assert MATCHER.suspect(orjson.dumps({"a": [text]}))
    assert MATCHER.suspect(orjson.dumps({"a": json.dumps({"b": text})}))


@pytest.mark.parametrize("name", sorted(DETECTORS))
def test_every_detector_is_woken_by_its_trigger(name: str) -> None:
    kind, detector = DETECTORS[name]
    trigger = patterns.trigger_set([patterns.TRIGGERS[name]])
    for _, text, _ in POSITIVE:
        data = text.encode()
        if any(True for _ in detector(data)):
            assert trigger.Match(data) is not None, (kind, text)
            serialised = orjson.dumps({"a": f"x\n{text}"})
            assert trigger.Match(serialised) is not None or b"\\/" in serialised, (kind, text)


HOSTILE = [
    "4 ", "4444 ", "a@", "1.2.3.", "::1:", "+1 ", "0", "DE89 ", "eyJ", 'password="', "-----BEGIN PRIVATE KEY-----",
    "://a:b", "(415) ", "é@", "aa-", "tel 555-", "1-", "a.b@c.", "authorization: ", "tel: 123-4567 ", "12:34:56 ",
    "fe80::1 ", '"\\', '\\"', "\\u0040", "{[", "ｆ", "\u200b", "sk-", "<EMAIL_",
]  # fmt: skip


@pytest.mark.parametrize("unit", HOSTILE)
def test_the_work_grows_linearly_with_hostile_text(unit: str) -> None:
    """Counted in detector steps and bytes, not seconds: four times the text is about four times the work."""

    def work(repeats: int) -> int:
        steps = 0

        def count(frame: Any, event: str, arg: Any) -> Any:
            nonlocal steps
            steps += 1
            return count

        text = unit * repeats
        sys.settrace(count)
        try:
            MATCHER.find(text)
        finally:
            sys.settrace(None)
        return steps

    assert work(2000) <= 5 * work(500) + 200


REQUESTED = [
    ("URL", "see https://example.com/a(b)?x=1. Then", "https://example.com/a(b)?x=1"),
    ("URL", "(www.example.org)", "www.example.org"),
    ("URL", "at ws://[2001:db8::1]:80/x, twice", "ws://[2001:db8::1]:80/x"),
    ("DOMAIN_NAME", "the host db1.example.co.uk is down", "db1.example.co.uk"),
    ("UUID", "id 6f1c3f9e-1c1f-4a1e-9a5d-1c1f4a1e9a5d.", "6f1c3f9e-1c1f-4a1e-9a5d-1c1f4a1e9a5d"),
    ("DATE_TIME", "at 2026-01-15T10:30:00Z, late", "2026-01-15T10:30:00Z"),
    ("DATE_TIME", "on March 5th, 2024 we met", "March 5th, 2024"),
    ("DATE_TIME", "due 12/31/2024", "12/31/2024"),
]


@pytest.mark.parametrize(("kind", "text", "value"), REQUESTED)
def test_types_that_are_no_personal_data_are_found_when_they_are_named_and_only_then(
    kind: str, text: str, value: str
) -> None:
    named = PiiMatcher([kind])
    assert [(match.type, text[match.start : match.end]) for match in named.find(text)] == [(kind, value)]
    assert named.suspect(orjson.dumps({"a": f"x\n{text}"}))
    assert kind not in {match.type for match in MATCHER.find(text)}


def test_a_domain_is_no_file_name_method_or_mail_address() -> None:
    assert PiiMatcher(["DOMAIN_NAME"]).find("bob@example.com edits foo.py and calls items.at() in a_b.com_d") == []


def test_versions_and_fractions_are_no_dates() -> None:
    assert PiiMatcher(["DATE_TIME"]).find("v2.10.11, 1.2.3, 3/4, 10/200, ratio 16:90, ::1, a:10:30b") == []


def test_a_wider_matcher_is_made_of_the_same_automata() -> None:
    wider = MATCHER.also(["URL"])
    assert [match.type for match in wider.find("https://example.com/x")] == ["URL"]
    assert wider.also(["URL", "EMAIL"]) is wider
    assert MATCHER.also(["EMAIL"]) is MATCHER
    assert MATCHER.find("https://example.com/x") == []


@pytest.mark.parametrize(
    "value", ["alice [at] example [dot] com", "a.b(at)mail.example.org", "alice {AT} example {DOT} co.uk"]
)
def test_a_mail_address_spelled_with_brackets_is_one(value: str) -> None:
    text = f"write to {value}, please"
    assert [(match.type, text[match.start : match.end]) for match in MATCHER.find(text)] == [("EMAIL", value)]
    assert MATCHER.suspect(orjson.dumps({"a": text}))


def test_words_in_brackets_are_no_mail_address() -> None:
    assert MATCHER.find("items[at] = x; f(at) returns; we met [at] noon; list(at)(dot)") == []
