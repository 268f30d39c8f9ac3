"""DNS rebinding: whatever the route and method, a foreign Host or Origin is refused before anything else happens."""

from __future__ import annotations

import pytest
from faults.speakers import raw_http
from security.conftest import ADA, House
from security.governed import ROOT_KEY, Governed, filled, page_routes, rest_routes

ROUTES = ("/mcp", "/healthz", "/readyz", "/", "/nowhere")


def status(house: House, head: str) -> int:
    answer = raw_http(house.gateway, f"{head}Connection: close\r\n\r\n".encode("latin-1"))
    return int(answer.split()[1]) if answer else 0


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE", "OPTIONS", "PUT"])
def test_a_foreign_host_or_origin_is_refused_on_every_route(house: House, route: str, method: str) -> None:
    start = f"{method} {route} HTTP/1.1\r\n"
    key = f"Authorization: {ADA['authorization']}\r\n"
    for host in ("evil.example", "127.0.0.1.evil.example", "localhost@evil.example", "localhost:80:80", "[::1", "\xe4"):
        assert status(house, f"{start}Host: {host}\r\n{key}") in (400, 421), host
    for origin in ("http://evil.example", "null", "http://localhost.evil.example", "file://", "http://127.0.0.1@evil"):
        assert status(house, f"{start}Host: localhost\r\nOrigin: {origin}\r\n{key}") == 403, origin
    assert status(house, f"{start}Host: localhost\r\nHost: evil.example\r\n{key}") in (400, 421)
    assert status(house, f"{start}{key}") in (400, 421)


BESIDE = [
    ("GET", "/api/v1/openapi.json"), ("GET", "/.well-known/oauth-protected-resource"),
    ("GET", "/.well-known/oauth-protected-resource/mcp"), ("GET", "/connect/far"), ("POST", "/connect/far"),
    ("GET", "/oauth/callback/far"), ("GET", "/oauth/client/far"), ("GET", "/readyz"), ("POST", "/mcp"),
]  # fmt: skip


def test_so_it_is_on_every_route_that_there_is(office: Governed) -> None:
    """Of the REST interface's table, the page's router, and what lies beside them, for somebody with a good key."""
    for method, path in [*rest_routes(), *page_routes(), *BESIDE]:
        body = b"{}" if method in ("POST", "PUT") else b""
        head = {"authorization": f"Bearer {ROOT_KEY}", "content_type": "application/json"}
        for host in ("evil.example", "127.0.0.1.evil.example"):
            assert office.http(method, filled(path), body, **head, host=host)[0] == 421, (method, path)
        for origin in ("http://evil.example", "null"):
            assert office.http(method, filled(path), body, **head, origin=origin)[0] == 403, (method, path)


def test_the_absolute_form_does_not_get_around_it(house: House) -> None:
    assert status(house, "GET http://evil.example/healthz HTTP/1.1\r\nHost: evil.example\r\n") in (400, 421)
    for target in ("http://evil.example/mcp", "http://localhost/../mcp", "//mcp", "/mcp/../healthz/", "/%6dcp/x"):
        # What is served is decided by the path alone, and a key is asked for like anywhere else.
        assert status(house, f"POST {target} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n") in (400, 401, 404)


def test_no_answer_invites_another_origin(house: House) -> None:
    preflight = "OPTIONS /mcp HTTP/1.1\r\nHost: localhost\r\nOrigin: http://localhost:6274\r\n"
    asked = f"{preflight}Access-Control-Request-Method: POST\r\nConnection: close\r\n\r\n"
    assert b"access-control-allow-origin" not in raw_http(house.gateway, asked.encode()).lower()
