"""What a caller may present as a credential, and how: everything else is refused, plainly, and nothing breaks.

Threats 10 and 16 at the door: a request with two credentials, or one that can be read in two ways, has none.
"""

from __future__ import annotations

import json

import pytest
from faults.speakers import BOTH_KINDS, ENVELOPE, message, raw_http
from gateway_process import MODERN
from security.conftest import ADA, EVE, SECRETS, House

KEY, OTHER = SECRETS["ADA_KEY"], SECRETS["EVE_KEY"]
STORED = b"af_0123456789ab_" + b"Q" * 49


def status(house: House, *lines: bytes, path: bytes = b"/mcp") -> int:
    """The status of a call with these header lines, byte for byte; 0 for no answer."""
    params = {"name": "child__echo", "arguments": {"text": "hi"}, "_meta": ENVELOPE}
    body = json.dumps(message("tools/call", params, 1)).encode()
    own = {**BOTH_KINDS, "host": "localhost", "connection": "close", "content-length": str(len(body))}
    own |= {"mcp-protocol-version": MODERN, "mcp-method": "tools/call", "mcp-name": "child__echo"}
    head = b"".join(f"{name}: {value}\r\n".encode() for name, value in own.items()) + b"".join(lines)
    answer = raw_http(house.gateway, b"POST " + path + b" HTTP/1.1\r\n" + head + b"\r\n" + body)
    return int(answer.split()[1]) if answer else 0


def bearer(value: bytes) -> bytes:
    return b"Authorization: Bearer " + value + b"\r\n"


def x_api_key(value: bytes) -> bytes:
    return b"X-API-Key: " + value + b"\r\n"


ADAS, EVES = KEY.encode(), OTHER.encode()


@pytest.mark.parametrize(
    "lines",
    [
        (bearer(ADAS),),
        (x_api_key(ADAS),),
        (bearer(ADAS), x_api_key(ADAS)),
        (b"authorization: bearer  " + ADAS + b" \r\n",),
        (b"AUTHORIZATION: BEARER " + ADAS + b"\r\n",),
    ],
)
def test_one_good_credential_lets_in(house: House, lines: tuple[bytes, ...]) -> None:
    assert status(house, *lines) == 200


@pytest.mark.parametrize(
    "lines",
    [
        (bearer(ADAS), bearer(ADAS)),
        (bearer(ADAS), bearer(EVES)),
        (bearer(b"unknown"), bearer(ADAS)),
        (bearer(ADAS), x_api_key(EVES)),
        (bearer(b"unknown"), x_api_key(ADAS)),
        (x_api_key(ADAS), x_api_key(EVES)),
        (x_api_key(ADAS), x_api_key(ADAS)),
        (b"Authorization: Basic YTpi\r\n", bearer(ADAS)),
    ],
)
def test_two_credentials_are_none(house: House, lines: tuple[bytes, ...]) -> None:
    assert status(house, *lines) in (400, 401)


@pytest.mark.parametrize(
    "line",
    [
        b"", bearer(b""), b"Authorization:\r\n", b"Authorization: Bearer\r\n", b"Authorization: " + ADAS + b"\r\n",
        b"Authorization: Basic " + ADAS + b"\r\n", b"Authorization: Bearer" + ADAS + b"\r\n",
        b"Authorization: Bearer," + ADAS + b"\r\n", b"Authorization: Token " + ADAS + b"\r\n",
        bearer(ADAS + b"," + EVES), bearer(ADAS + b" " + EVES), bearer(ADAS[:-1]), bearer(ADAS + b"x"),
        bearer(ADAS.upper()), bearer(b'"' + ADAS + b'"'), bearer(ADAS + b"\x00"), bearer(b"\x00" + ADAS),
        bearer(ADAS + b"\xff"), bearer("schlüssel".encode()), bearer("ключ".encode() * 20), bearer(b"\x80" * 64),
        bearer(b"%61" + ADAS[1:]), bearer(b"a" * 65_536), bearer(b"a" * 20_000), bearer(STORED), bearer(STORED[:-1]),
        bearer(STORED * 300), bearer(b"af_"), bearer(b"a.b.c"), bearer(b"." * 10_000), bearer(b"e30." * 5_000),
        x_api_key(b""), x_api_key(b"\xff\xfe"), x_api_key(b"a" * 65_536), b"Cookie: key=" + ADAS + b"\r\n",
        b"Proxy-Authorization: Bearer " + ADAS + b"\r\n", b"X-Api_Key: " + ADAS + b"\r\n",
        b"X-Forwarded-User: ada\r\nX-Remote-User: ada\r\nX-Tenant: default\r\n",
        b"Authorization: Bearer\r\n " + ADAS + b"\r\n",
    ],
)  # fmt: skip
def test_what_is_no_credential_lets_nobody_in_and_breaks_nothing(house: House, line: bytes) -> None:
    assert status(house, line) in (400, 401, 431)
    assert status(house, bearer(ADAS)) == 200


def test_a_credential_in_the_address_is_none(house: House) -> None:
    for query in (b"access_token", b"token", b"api_key", b"key"):
        assert status(house, path=b"/mcp?" + query + b"=" + ADAS) == 401


def test_an_answer_to_a_stranger_holds_nothing_of_what_was_presented(house: House) -> None:
    for presented in (b"hush-hush-hush-hush", STORED, STORED[:-3], b"eyJhbGciOiJub25lIn0.e30.hush"):
        for line in (bearer(presented), x_api_key(presented)):
            raw = raw_http(
                house.gateway,
                b"POST /mcp HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 0\r\n" + line + b"\r\n",
            )
            head, _, body = raw.partition(b"\r\n\r\n")
            assert head.split()[1] == b"401" and b"www-authenticate: bearer" in head.lower()
            assert json.loads(body)["error"]["data"]["type"] == "unauthenticated"
            assert presented not in raw and b"hush" not in raw and presented not in house.gateway.log.read_bytes()


def test_which_part_of_a_request_is_wrong_does_not_open_another_way(house: House) -> None:
    """A right key with wrong everything else is refused for the rest, a wrong key first of all for itself."""
    assert status(house, bearer(ADAS), b"Origin: https://evil.example\r\n") == 403
    assert status(house, b"Origin: https://evil.example\r\n") == 403
    assert status(house, bearer(b"unknown"), path=b"/mcp/") == 401
    assert ADA != EVE and status(house, bearer(ADAS), path=b"/mcp/") == 200
