"""The HTTP guard over real sockets: Host, Origin, keys, sizes, depth, encodings and slow clients."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
import uvicorn
from mcp.server.lowlevel import Server
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from pydantic import SecretStr

from agentflow.config import LimitsConfig, ServeConfig
from agentflow.config_auth import ApiKey, AuthConfig
from agentflow.gateway.http import HttpFront
from agentflow.gateway.inbound import deeper
from agentflow.gateway.serve import _bind
from agentflow.gateway.slow import protocol
from agentflow.identity.authenticate import Authenticator

KEY = "a-key-that-is-long-enough"
INITIALIZE = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}},
}


class Site:
    """A front on a real socket, and raw HTTP to it."""

    def __init__(self, port: int) -> None:
        self.port = port

    async def raw(self, data: bytes) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            writer.write(data)
            async with asyncio.timeout(10):
                return await reader.read(65536)
        finally:
            writer.close()

    async def request(
        self, method: str = "POST", path: str = "/mcp", body: bytes = b"", headers: dict[str, str] | None = None
    ) -> tuple[int, Any]:
        sent = {
            "Host": f"127.0.0.1:{self.port}",
            "Content-Type": "application/json",
            "Accept": "application/json, text/event-stream",
            "Content-Length": str(len(body)),
            "Connection": "close",
            **(headers or {}),
        }
        head = f"{method} {path} HTTP/1.1\r\n" + "".join(f"{k}: {v}\r\n" for k, v in sent.items() if v)
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            writer.write(head.encode() + b"\r\n" + body)
            async with asyncio.timeout(10):
                answer = await reader.read()
        finally:
            writer.close()
        top, _, rest = answer.partition(b"\r\n\r\n")
        with contextlib.suppress(ValueError):
            return int(top.split()[1]), json.loads(rest)
        return int(top.split()[1]), rest


@contextlib.asynccontextmanager
async def site(auth: AuthConfig | None = None, limits: LimitsConfig | None = None) -> AsyncIterator[Site]:
    limits = limits or LimitsConfig()
    manager = StreamableHTTPSessionManager(Server("t"), max_request_body_size=limits.max_body)
    authenticator = Authenticator(auth or AuthConfig())
    front = HttpFront(
        manager,
        lambda: authenticator,
        ServeConfig(),
        limits,
        lambda caller: (200, {"status": "ready", "detailed": caller is not None}),
    )
    listener = _bind("127.0.0.1", 0)
    server = uvicorn.Server(
        uvicorn.Config(front, http=protocol(limits), ws="none", lifespan="off", log_config=None, access_log=False)
    )
    async with manager.run():
        task = asyncio.ensure_future(server.serve(sockets=[listener]))
        try:
            yield Site(listener.getsockname()[1])
        finally:
            server.should_exit = True
            await task


async def test_a_well_formed_request_reaches_the_server() -> None:
    async with site() as s:
        status, body = await s.request(body=json.dumps(INITIALIZE).encode())
        assert status == 200 and b'"serverInfo"' in body
        assert (await s.request("GET", "/healthz"))[0] == 200
        assert (await s.request("GET", "/nowhere"))[0] == 404


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "127.0.0.1:80:80", "", "127.0.0.1@evil"])
@pytest.mark.parametrize("path", ["/mcp", "/healthz", "/readyz", "/other"])
async def test_a_foreign_host_is_refused_on_every_route(host: str, path: str) -> None:
    async with site() as s:
        assert (await s.request("GET", path, headers={"Host": host}))[0] in (400, 421)


async def test_two_host_headers_are_refused() -> None:
    async with site() as s:
        answer = await s.raw(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nHost: evil\r\n\r\n")
        assert answer.split()[1] in (b"400", b"421")


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://localhost.evil.example", "file://localhost"])
@pytest.mark.parametrize("path", ["/mcp", "/healthz", "/readyz"])
async def test_a_foreign_origin_is_refused_on_every_route(origin: str, path: str) -> None:
    async with site() as s:
        assert (await s.request("GET", path, headers={"Origin": origin}))[0] == 403


async def test_a_loopback_origin_with_any_port_is_fine() -> None:
    async with site() as s:
        assert (await s.request("GET", "/healthz", headers={"Origin": "http://localhost:6274"}))[0] == 200


async def test_with_keys_configured_a_caller_needs_one() -> None:
    auth = AuthConfig(api_keys=(ApiKey(id="ada", key=SecretStr(KEY)),))
    body = json.dumps(INITIALIZE).encode()
    async with site(auth) as s:
        status, error = await s.request(body=body)
        assert status == 401 and error["error"]["data"]["type"] == "unauthenticated"
        assert (await s.request(body=body, headers={"Authorization": "Bearer wrong-key-altogether"}))[0] == 401
        assert (await s.request(body=body, headers={"Authorization": f"Bearer {KEY}"}))[0] == 200
        assert (await s.request(body=body, headers={"X-API-Key": KEY}))[0] == 200
        assert (await s.request("GET", "/healthz"))[0] == 200
        assert (await s.request("GET", "/readyz"))[1] == {"status": "ready", "detailed": False}
        assert (await s.request("GET", "/readyz", headers={"X-API-Key": KEY}))[1]["detailed"] is True


async def test_another_principal_s_session_reads_as_unknown() -> None:
    keys = (ApiKey(id="ada", key=SecretStr(KEY)), ApiKey(id="eve", key=SecretStr(KEY[::-1])))
    async with site(AuthConfig(api_keys=keys)) as s:
        body = json.dumps(INITIALIZE).encode()
        head = f"POST /mcp HTTP/1.1\r\nHost: localhost\r\nX-API-Key: {KEY}\r\nContent-Type: application/json\r\n"
        head += f"Accept: application/json, text/event-stream\r\nContent-Length: {len(body)}\r\n\r\n"
        answer = (await s.raw(head.encode() + body)).lower()
        session = answer.split(b"mcp-session-id: ")[1].split(b"\r\n")[0].decode()
        ping = json.dumps({"jsonrpc": "2.0", "id": 2, "method": "ping"}).encode()
        shown = {"Mcp-Session-Id": session, "Mcp-Protocol-Version": "2025-11-25"}
        assert (await s.request(body=ping, headers={**shown, "X-API-Key": KEY[::-1]}))[0] == 404
        assert (await s.request(body=ping, headers={**shown, "X-API-Key": KEY}))[0] == 200


async def test_a_body_over_the_limit_is_refused_by_its_announced_and_by_its_real_size() -> None:
    async with site(limits=LimitsConfig(max_body=1000)) as s:
        status, error = await s.request(body=b" " * 1001)
        assert status == 413 and error["error"]["data"]["type"] == "limit_exceeded"
        head = b"POST /mcp HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
        answer = await s.raw(head + (b"1f4\r\n" + b" " * 500 + b"\r\n") * 3 + b"0\r\n\r\n")
        assert b" 413 " in answer


async def test_a_deeply_nested_body_is_refused_and_others_go_on() -> None:
    async with site() as s:
        for body in (b"[" * 10_000 + b"]" * 10_000, b'{"a":' * 10_000 + b"1" + b"}" * 10_000, b"[" * 10_000):
            status, error = await s.request(body=body)
            assert status == 400 and "nested" in error["error"]["message"]
        assert (await s.request(body=json.dumps(INITIALIZE).encode()))[0] == 200


async def test_invalid_utf8_is_a_parse_error() -> None:
    async with site() as s:
        status, error = await s.request(body=b'{"jsonrpc":"2.0","id":1,"method":"\xff"}')
        assert status == 400 and error["error"]["code"] == -32700


async def test_an_unknown_protocol_version_is_answered_with_the_supported_ones() -> None:
    async with site() as s:
        version = "2099-01-01"
        meta = {
            "io.modelcontextprotocol/protocolVersion": version,
            "io.modelcontextprotocol/clientCapabilities": {},
        }
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {"_meta": meta}}).encode()
        headers = {"Mcp-Protocol-Version": version, "Mcp-Method": "tools/list"}
        status, error = await s.request(body=body, headers=headers)
        assert status == 400 and error["error"]["code"] == -32022
        assert "2026-07-28" in error["error"]["data"]["supported"]


async def test_oversized_headers_are_refused() -> None:
    async with site(limits=LimitsConfig(max_header=1024)) as s:
        assert b" 431 " in await s.raw(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 2000 + b"\r\n\r\n")
        assert b" 431 " in await s.raw(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 4000)


async def test_a_client_that_never_finishes_its_head_or_its_body_is_let_go() -> None:
    async with site(limits=LimitsConfig(request_read_timeout=0.2)) as s:
        assert b" 408 " in await s.raw(b"POST /mcp HTTP/1.1\r\nHost: local")
        assert b" 408 " in await s.raw(b"POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\n{")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b'{"a":"' + b"[" * 500 + b'"}', False),
        (b'{"a":"\\"' + b"[" * 500 + b'"}', False),
        (b"[" * 100 + b"]" * 100, False),
        (b"[" * 101 + b"]" * 101, True),
        (b"[]" * 5000, False),
        (b'"' + b'\\"' * 200_000, False),
    ],
)
def test_depth_is_that_of_the_structure_not_of_the_text(text: bytes, expected: bool) -> None:
    assert deeper(text, 100) is expected
