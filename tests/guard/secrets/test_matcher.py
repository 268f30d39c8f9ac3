"""Secrets are found by their form or their name; hashes, ids and placeholders are left alone; work stays linear."""

from __future__ import annotations

import base64
import json
import random
import sys
import uuid
from hashlib import md5, sha1, sha256, sha512
from itertools import pairwise
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentflow.guard.secrets import TYPES
from agentflow.guard.secrets.formats import FORMATS
from agentflow.guard.secrets.matcher import SecretMatcher

MATCHER = SecretMatcher()


def found(text: str, context: str = "") -> list[tuple[str, str]]:
    return [(match.type, text[match.start : match.end]) for match in MATCHER.find(text, context)]


HEX32 = "9f8a7b6c5d4e3f2a1b0c9d8e7f6a5b4c"
POSITIVE = [
    ("URL_CREDENTIALS", "postgres://admin:s3cr3t@db.internal:5432/x", "admin:s3cr3t"),
    ("URL_CREDENTIALS", "redis://:hunter22@cache:6379", ":hunter22"),
    ("URL_CREDENTIALS", "curl -s -u deploy:Xy7zzz12 https://ci.example.com", "deploy:Xy7zzz12"),
    ("API_KEY", "sk-ant-api03-AbCdEf0123456789AbCdEf0123456789xyz", "sk-ant-api03-AbCdEf0123456789AbCdEf0123456789xyz"),
    ("API_KEY", "x ghp_16C7e42F292c6912E7710c838347Ae178B4a", "ghp_16C7e42F292c6912E7710c838347Ae178B4a"),
    ("API_KEY", "Authorization: Bearer abcDEF123456", "abcDEF123456"),
    ("API_KEY", f"api_key={HEX32}", HEX32),
    ("API_KEY", f'{{\\"apiKey\\": \\"{HEX32}\\"}}', HEX32),
    ("API_KEY", f"the Datadog key is {HEX32}.", HEX32),
    ("API_KEY", f"X-Api-Key: {HEX32}", HEX32),
    ("API_KEY", f'<apiKey>{HEX32}</apiKey>', HEX32),
    ("API_KEY", "HEROKU_API_KEY=0b5d3b54-4b5f-4f4e-9d1c-0f6d4a1b2c3d", "0b5d3b54-4b5f-4f4e-9d1c-0f6d4a1b2c3d"),
    ("API_KEY", "https://hooks.slack.com/services/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",
     "https://hooks.slack.com/services/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"),
    ("CLOUD_KEY", "AKIAIOSFODNN7EXAMPLE", "AKIAIOSFODNN7EXAMPLE"),
    ("CLOUD_KEY", "aws_secret_access_key = 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",
     "wJalrXUtnFEMI/K7MDENG/bPxRfiCYzzzzzzzKEY"),
    ("CLOUD_KEY",
     "AccountName=x;AccountKey=Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHB==;",
     "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHB=="),
    ("CLOUD_KEY", "https://x.blob.core.windows.net/c?sv=2022&sig=Ab1%2Bcd2Ef3gh4Ij5kl6Mn7op8Qr9st0Uv1wx%3D",
     "Ab1%2Bcd2Ef3gh4Ij5kl6Mn7op8Qr9st0Uv1wx%3D"),
    ("JWT", "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjMifQ.dozjgNryP4J3",
     "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjMifQ.dozjgNryP4J3"),
    ("PASSWORD", '"password": "hunter2!xyz"', "hunter2!xyz"),
    ("PASSWORD", "DB_PASSWORD=correct7horse", "correct7horse"),
    ("PASSWORD", "Server=db;User Id=sa;Password=S3cure#Pw;Encrypt=true", "S3cure#Pw"),
    ("PASSWORD", "jdbc:mysql://db/x?user=app&password=q9wX2z7t", "q9wX2z7t"),
    ("PASSWORD", '<add key="DbPassword" value="Zx81Spectrum!" />', "Zx81Spectrum!"),
    ("PASSWORD", "passwort: Geheim123!", "Geheim123!"),
    ("SECRET", "client_secret: q8Zk2LmPw4XsTb6Y", "q8Zk2LmPw4XsTb6Y"),
    ("SECRET", "kind: Secret\nmetadata:\n  name: x\ndata:\n  tls: c2VjcmV0dmFsdWU=\n", "c2VjcmV0dmFsdWU="),
]  # fmt: skip

NEGATIVE = [
    "550e8400-e29b-41d4-a716-446655440000",
    '{"sha": "da39a3ee5e6b4b0d3255bfef95601890afd80709", "key": "d41d8cd98f00b204e9800998ecf8427e", "etag": "33a64d"}',
    '"integrity": "sha512-z4PhNX7vuL3xVChQ1m2AB9Yg5AULVxXcg/SpIdNs6c5H0NE8XYXysP+DGNKHfuwvY7kxvUdBeoGlODJ6+SfaPg=="',
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5Er",
    'max_tokens=4096 token_count: 12345678 next_page_token: "CAESBwoFbWFpbhgB0123456789abc"',
    'password: required; password=os.environ["DB_PASSWORD1"] api_key=${API_KEY} token = get_token()',
    "private_key: Ed25519PrivateKey Bearer token authentication secret: your-secret-key-1234567890",
    "task-0123456789abcdef0123456789 disk-encryption-set-premium-v2 sk-learn-contrib-package-name-v2",
    "PWD=/home/user1/project7 password: ******** pass_through=True secretName: db-credentials-v2 key_id: 7f3a9c2e1b4d",
    "api_key: <your-api-key> token: {{ vault.token }} secret=process.env.SECRET1 apiKey: 'xxxxxxxxxxxxxxxx1234'",
    "-----BEGIN PUBLIC KEY-----\nMIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8A\n-----END PUBLIC KEY-----",
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJvMgHHBGnwG8mQpBqYvXyZ1c4bFhJ0d1wq3Z5m7r9sX me@host",
    "arn:aws:iam::123456789012:role/x-0af76519 i-0abcd1234efgh5678 sg-903004f8 vol-049df61146c4d7901",
    '<EMAIL_1f3a9c2e> password=<API_KEY_1f3a9c2e> token: "[REDACTED_SECRET_1f3a9c2e]"',
    "X-GitHub-Delivery: 72d3162e-cc78-11e3-81ab-4c9367dc0958 csrf_token=8fJ2kLmN9pQ3rS5t sentry-release: 4f1d2c3b4a59",
    '"publicKey": "zQ3shokFTS3brHcDQrn82RUDfCZESWL1ZdCEJwekUDPQiYBme", "signature": "MEUCIQDx7Yz8q2Lk"',
    'ChangeToken: "abcd12f2-46da-4fdb-b8d5-fbd4c466928f", idempotency_key: 6f1ed002ab5595859014ebf0951522d9',
    "the secret to good tests is determinism; a key insight was 4f9b2c, and access is granted by role-based-access-7",
    ".btn-token{background:url(a1b2c3d4e5f6.png)} var n=t(3),r=e.key||n.auth2Provider;",
    "golang.org/x/crypto v0.17.0 h1:r8bRNjWL3GshPW3gkd+RpvzWrZAwPS49OmTGZ/uhM4k=",
]


@pytest.mark.parametrize(("kind", "text", "value"), POSITIVE)
def test_finds_the_secret_and_nothing_else(kind: str, text: str, value: str) -> None:
    assert found(text) == [(kind, value)]


@pytest.mark.parametrize("text", NEGATIVE)
def test_leaves_what_only_looks_like_a_secret(text: str) -> None:
    assert found(text) == []


@pytest.mark.parametrize(("kind", "text", "value"), POSITIVE)
def test_the_sieve_never_says_no_where_there_is_something(kind: str, text: str, value: str) -> None:
    assert MATCHER.suspect(orjson.dumps({"a": [f"line\n{text}"]}))
    assert MATCHER.suspect(orjson.dumps({"a": json.dumps({"b": f"line\n{text}"})}))


def test_the_sieve_sees_what_only_a_members_key_gives_away() -> None:
    for value in ("hunter2!xyz", ["x", "hunter2!xyz"], [["hunter2!xyz"]], ["hunter2!xyz"] * 3):
        assert MATCHER.suspect(orjson.dumps({"password": value}))
        assert MATCHER.suspect(orjson.dumps({"t": json.dumps({"password": value}, indent=2)}))


def test_a_members_key_is_evidence() -> None:
    assert found("hunter2!xyz", "password") == [("PASSWORD", "hunter2!xyz")]
    assert found("hunter2!xyz", "comment") == []
    assert found(HEX32, "apiKey") == [("API_KEY", HEX32)]
    assert found(HEX32, "checksum") == []


@pytest.mark.parametrize("label", ["RSA PRIVATE KEY", "OPENSSH PRIVATE KEY", "PGP PRIVATE KEY BLOCK", "PRIVATE KEY"])
def test_a_private_key_is_found_whole_and_also_when_cut_off(label: str) -> None:
    body = "MIIEvQIBADANBgkqhkiG9w0BAQEFAASC\n" * 20
    whole = f"-----BEGIN {label}-----\n{body}-----END {label}-----"
    assert found(f"x {whole} y") == [("PRIVATE_KEY", whole)]
    assert found(f"x {whole[:300]}") == [("PRIVATE_KEY", whole[:300])]


@given(
    st.uuids(),
    st.binary(min_size=1, max_size=40),
    st.sampled_from(["id", "sha", "hash", "etag", "key", "cursor", "ref"]),
)
def test_hashes_uuids_and_integrity_strings_are_never_secrets(identifier: uuid.UUID, seed: bytes, name: str) -> None:
    digest = base64.b64encode(sha512(seed).digest()).decode()
    values = [
        str(identifier),
        sha1(seed).hexdigest(),
        sha256(seed).hexdigest(),
        md5(seed).hexdigest(),
        f"sha512-{digest}",
    ]
    for value in values:
        assert (
            found(json.dumps({name: value, "integrity": value, "resolved": f"https://x.example/-/a.tgz#{value}"})) == []
        )
        assert found(f"{name}={value} {value} checksum: {value}") == []


@given(st.binary(min_size=200, max_size=900))
def test_pictures_in_base64_are_never_secrets(picture: bytes) -> None:
    text = base64.b64encode(picture).decode()
    assert found(f'<img src="data:image/png;base64,{text}">') == []
    assert found("\n".join(text[at : at + 76] for at in range(0, len(text), 76))) == []


CONFIGS = [
    'PAYMENTS_API_KEY="{}"', '{{"clientSecret": "{}"}}', "auth:\n  access_token: {}\n", "token = '{}'",
    "--api-key {}", "?access_token={}&x=1", "SetSecret(name, secret: \"{}\")", "the access token is {}",
]  # fmt: skip


@pytest.mark.parametrize("form", CONFIGS)
@pytest.mark.parametrize("alphabet", ["0123456789abcdef", "abcdefghijklmnopqrstuvwxyz0123456789",
                                      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_"])  # fmt: skip
def test_a_drawn_value_under_a_secret_name_is_found_in_any_notation(form: str, alphabet: str) -> None:
    rng = random.Random(f"{form}{alphabet}")
    missed = 0
    for _ in range(100):
        value = "A1b2" * (alphabet != "0123456789abcdef") + "".join(rng.choice(alphabet) for _ in range(32))
        missed += value not in [text for _, text in found(form.format(value))]
    assert missed <= 1


def test_only_the_chosen_types_are_found_and_allowed_values_are_not() -> None:
    text = f"password=hunter2!xyz api_key={HEX32} https://u:pw123@h/"
    assert [t[0] for t in found(text)] == ["PASSWORD", "API_KEY", "URL_CREDENTIALS"]
    only = SecretMatcher(types=("API_KEY",))
    assert [match.type for match in only.find(text)] == ["API_KEY"]
    allowing = SecretMatcher(allow=(HEX32,))
    assert [match.type for match in allowing.find(text)] == ["PASSWORD", "URL_CREDENTIALS"]


def test_an_unknown_type_is_refused() -> None:
    with pytest.raises(ValueError, match="SHOE_SIZE"):
        SecretMatcher(types=("SHOE_SIZE",))


def test_every_row_of_the_table_has_a_known_type_and_compiles() -> None:
    from agentflow.guard.secrets.formats import compiled

    assert all(row.type in TYPES and compiled(row.pattern) is not None for row in FORMATS)


def test_masking_names_the_type_and_keeps_the_rest() -> None:
    assert MATCHER.mask("login with password=hunter2!xyz now") == "login with password=<PASSWORD> now"


@given(st.text(alphabet=st.characters(codec="utf-8"), max_size=60), st.sampled_from(POSITIVE), st.text(max_size=20))
def test_offsets_are_string_indices_in_any_script(before: str, sample: tuple[str, str, str], after: str) -> None:
    text = f"{before} \n{sample[1]}\n {after}"
    matches = MATCHER.find(text)
    assert all(0 <= m.start < m.end <= len(text) for m in matches)
    assert all(left.end <= right.start for left, right in pairwise(matches))


HOSTILE = [
    "token=", "key key ", "password: ", "api_key=a1", "eyJ", "ey.", "-----BEGIN PRIVATE KEY-----", "://a:b",
    "curl -u a:",
    "sk-", "secret ", "authorization: bearer ", "ZXlK", "data:", "kind: secret\ndata: a", "xoxb-1", "s.a1b2", "é=token",
    "token_", "a.key.", "AKIA", "pat", "\u200btoken=", '\\"token\\":',
]  # fmt: skip


@pytest.mark.parametrize("unit", HOSTILE)
def test_the_work_grows_linearly_with_hostile_text(unit: str) -> None:
    """Counted in lines run, not seconds: four times the text is about four times the work."""

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
