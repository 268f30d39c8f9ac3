"""Bad requests, pages of other sites, and what every answer carries."""

from __future__ import annotations

import socket

import pytest
from admin.conftest import Headquarters
from admin.offices import KEYS
from faults.speakers import raw_http
from gateway_process import running_gateway

KEY = f"Authorization: Bearer {KEYS['ROOT']}\r\n"


def raw(house: Headquarters, head: str, body: bytes = b"") -> tuple[int, bytes]:
    port = house.gateway.base.rpartition(":")[2]
    text = head.replace("HOST", f"127.0.0.1:{port}") + f"Connection: close\r\nContent-Length: {len(body)}\r\n\r\n"
    answer = raw_http(house.gateway, text.encode("latin-1") + body)
    return int(answer.split()[1]), answer.partition(b"\r\n\r\n")[2]


@pytest.mark.parametrize(
    ("body", "kind", "status", "name"),
    [
        (b"{", "application/json", 400, "parse_error"),
        (b"", "application/json", 400, "parse_error"),
        (b"\xff\xfe", "application/json", 400, "parse_error"),
        (b"[" * 5000 + b"]" * 5000, "application/json", 400, "parse_error"),
        (b"[]", "application/json", 422, "invalid_arguments"),
        (b"null", "application/json", 422, "invalid_arguments"),
        (b'{"principal": 1}', "application/json", 422, "invalid_arguments"),
        (b'{"principal": "x", "kind": "god"}', "application/json", 422, "invalid_arguments"),
        (b'{"principal": "x", "surprise": true}', "application/json", 422, "invalid_arguments"),
        (b'{"principal": "x", "expires": 1}', "application/json", 422, "invalid_arguments"),
        (b'{"principal": "x", "label": "\\u0000"}', "application/json", 422, "invalid_arguments"),
        (b'{"principal": "../x"}', "application/json", 422, "invalid_arguments"),
        (b'{"principal": "x", "roles": ["a b"]}', "application/json", 422, "invalid_arguments"),
        (b"principal=x", "application/x-www-form-urlencoded", 415, "unsupported_media_type"),
        (b'{"principal": "x"}', "text/plain", 415, "unsupported_media_type"),
        (b'{"principal": "x"}', "", 415, "unsupported_media_type"),
    ],
)
def test_a_body_that_does_not_fit_is_a_problem(
    house: Headquarters, body: bytes, kind: str, status: int, name: str
) -> None:
    answer = house.office("ROOT").ask("POST", "/keys", content=body, content_type=kind)
    assert (answer.status, answer.kind) == (status, name)
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json["status"] == status and answer.json["title"] and answer.json["detail"]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nothing", 404),
        ("GET", "/servers/none-such", 404),
        ("GET", "/servers/..%2f..%2fetc%2fpasswd", 404),
        ("GET", "/servers/%2e%2e", 404),
        ("GET", "/servers/" + "x" * 5000, 404),
        ("GET", "/servers/%00", 404),
        ("GET", "/audit/records?principal=%00", 422),
        ("GET", "/credentials?server=%00", 422),
        ("GET", "/servers/%ff", 404),
        ("GET", "/audit/records/none-such", 404),
        ("GET", "/audit/records/%27%20OR%201=1", 404),
        ("GET", "/quarantine/none-such", 404),
        ("GET", "/keys/none-such", 404),
        ("GET", "/approvals/none-such", 404),
        ("GET", "/policies/none-such/files", 404),
        ("GET", "/policies/..%2f..%2fetc/files", 404),
        ("GET", "/policies/replays/none-such", 404),
        ("DELETE", "/credentials/a/b/c", 404),
        ("PUT", "/servers", 405),
        ("DELETE", "/status", 405),
        ("TRACE", "/status", 405),
        ("OPTIONS", "/status", 405),
        ("GET", "/servers?limit=0", 422),
        ("GET", "/servers?limit=many", 422),
        ("GET", "/servers?limit=1&limit=2", 422),
        ("GET", "/servers?surprise=1", 422),
        ("GET", "/servers?cursor=%21%21", 422),
        ("GET", "/audit/records?cursor=bm90aGluZw", 422),
        ("GET", "/audit/records?since=yesterday", 422),
        ("GET", "/audit/records?decision=perhaps", 422),
        ("GET", "/catalogue/tools?principal=none-such", 422),
        ("GET", "/status?x=1", 422),
    ],
)
def test_what_is_not_there_or_cannot_be_is_a_problem(house: Headquarters, method: str, path: str, status: int) -> None:
    answer = house.office("ROOT").ask(method, path)
    assert answer.status == status, answer.body
    assert answer.headers["content-type"] == "application/problem+json"
    if status == 405:
        assert "GET" in answer.headers["allow"]


def test_a_body_over_the_limit_is_refused_unread(house: Headquarters) -> None:
    answer = house.office("ROOT").ask("POST", "/policies", content=b"x" * (4 * 1024 * 1024 + 1))
    assert (answer.status, answer.kind) == (413, "limit_exceeded")
    head = f"POST /api/v1/keys HTTP/1.1\r\nHost: HOST\r\n{KEY}".replace("HOST", "localhost")
    port = int(house.gateway.base.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(f"{head}Content-Length: 99999999999\r\n\r\n".encode())
        connection.settimeout(30)
        assert connection.recv(4096).startswith(b"HTTP/1.1 413")


def test_no_answer_is_kept_framed_sniffed_or_shared(house: Headquarters) -> None:
    for answer in (
        house.office("ROOT").get("/status"),
        house.office("ROOT").get("/no"),
        house.office(None).get("/status"),
    ):
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
        assert not any(name.startswith("access-control") for name in answer.headers)
    assert house.office(None).get("/status").headers["www-authenticate"].startswith("Bearer")


def test_head_is_get_without_its_body(house: Headquarters) -> None:
    answer = house.office("ROOT").ask("HEAD", "/whoami")
    assert (answer.status, answer.body) == (200, b"")


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE", "OPTIONS", "PUT"])
@pytest.mark.parametrize("path", ["/api", "/api/v1/status", "/api/v1/keys", "/ui", "/ui/sign-in", "/api/../mcp"])
def test_a_foreign_host_or_origin_gets_nowhere(house: Headquarters, method: str, path: str) -> None:
    start = f"{method} {path} HTTP/1.1\r\n"
    for host in ("evil.example", "127.0.0.1.evil.example", "localhost@evil.example", "[::1"):
        assert raw(house, f"{start}Host: {host}\r\n{KEY}")[0] in (400, 421), host
    for origin in ("http://evil.example", "null", "http://localhost:6274", "http://127.0.0.1:1", "file://"):
        assert raw(house, f"{start}Host: HOST\r\nOrigin: {origin}\r\n{KEY}")[0] == 403, origin
    assert raw(house, f"{start}Host: HOST\r\nOrigin: http://HOST\r\nOrigin: http://evil.example\r\n{KEY}")[0] == 403
    for site in ("cross-site", "same-site"):
        assert raw(house, f"{start}Host: HOST\r\nSec-Fetch-Site: {site}\r\nSec-Fetch-Mode: cors\r\n{KEY}")[0] == 403


def test_the_own_page_may_ask(house: Headquarters) -> None:
    head = f"GET /api/v1/whoami HTTP/1.1\r\nHost: HOST\r\nSec-Fetch-Site: same-origin\r\n{KEY}"
    assert raw(house, head.replace("Sec-", "Origin: http://HOST\r\nSec-", 1))[0] == 200


def test_a_form_of_another_site_changes_nothing_where_no_key_is_needed(tmp_path) -> None:  # type: ignore[no-untyped-def]
    """On loopback without keys, a browser is let in like anybody: what it is told to send by another page is not."""
    local = {"local": {"roles": ["admin"]}}
    with running_gateway({"auth": local, "flow": {"enabled": False}}, tmp_path) as gateway:
        house = Headquarters(gateway, lambda _: None, None)  # type: ignore[arg-type,return-value]
        assert raw(house, "GET /api/v1/whoami HTTP/1.1\r\nHost: HOST\r\n")[0] == 200
        form = "POST /api/v1/keys HTTP/1.1\r\nHost: HOST\r\nContent-Type: text/plain\r\n"
        assert raw(house, form, b'{"principal": "x"}')[0] == 415
        for head in (
            "Origin: http://evil.example",
            "Origin: null",
            "Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: navigate",
        ):
            typed = form.replace("text/plain", "application/json") + head + "\r\n"
            assert raw(house, typed, b'{"principal": "x"}')[0] == 403, head
        assert b'"items":[]' in raw(house, "GET /api/v1/keys HTTP/1.1\r\nHost: HOST\r\n")[1]


def test_a_cookie_alone_is_nobody(house: Headquarters) -> None:
    answer = house.office(None).get("/whoami", cookie="agentflow_session=" + "a" * 43)
    assert answer.status == 401


def test_the_administration_can_be_switched_off(own) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(AssertionError, match="404"):
        own(admin={"enabled": False})
