"""The stateless era over streamable HTTP, with the SDK's server and with servers that misbehave."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from gateway.upstreams.http_servers import (
    END,
    INITIALIZED,
    JSON,
    Recorder,
    Request,
    Script,
    World,
    event,
    http,
    legacy_server,
    rpc,
    scripted,
    sdk_server,
    serving,
    sse_head,
    until,
)
from mcp.server.subscriptions import ResourceUpdated, ToolsListChanged

from agentflow.config import LimitsConfig, ServerConfig
from agentflow.errors import Unsupported, UpstreamError, UpstreamProtocolError, UpstreamTimeout, UpstreamUnavailable
from agentflow.gateway.upstreams.port import ClientIdentity
from agentflow.gateway.upstreams.streamable import StreamableConnector
from agentflow.gateway.upstreams.streamable_legacy import LegacyConnection
from agentflow.gateway.upstreams.streamable_modern import ModernConnection, ParamHeaders, SchemaOf

# Logging is deprecated in the SDK and in use by servers.
pytestmark = pytest.mark.filterwarnings("ignore::mcp.shared.exceptions.MCPDeprecationWarning")

CLIENT = ClientIdentity("p", "modern", '{"name":"real client","version":"3"}', '{"elicitation":{}}')
META = "io.modelcontextprotocol/"
DISCOVERED: JSON = {"supportedVersions": ["2026-07-28"], "capabilities": {"tools": {}}, "resultType": "complete"}
SCHEMA = {"type": "object", "properties": {"where": {"type": "string", "x-mcp-header": "Where"}}}
Notes = list[tuple[str, JSON]]


@asynccontextmanager
async def connected(
    url: str, notes: Notes | None = None, identity: ClientIdentity = CLIENT, schema_of: SchemaOf | None = None
) -> AsyncIterator[ModernConnection]:
    entry = ServerConfig.model_validate({"type": "http", "url": url, "timeout": 10})
    connector = StreamableConnector(entry, LimitsConfig(), name="up", schema_of=schema_of)
    kept = notes if notes is not None else []
    connection = await connector.connect(identity, "modern", lambda method, params: kept.append((method, params)))
    assert isinstance(connection, ModernConnection)
    try:
        yield connection
    finally:
        await connection.close()
        await connector.close()


@asynccontextmanager
async def sdk(world: World, notes: Notes | None = None, schema_of: SchemaOf | None = None, **options: Any) -> Any:
    app = sdk_server(world).streamable_http_app(**options)
    async with serving(app) as origin, connected(f"{origin}/mcp", notes, schema_of=schema_of) as connection:
        yield connection


def discovering(calls: Script) -> Script:
    async def script(request: Request, writer: asyncio.StreamWriter) -> None:
        if request.message["method"] == "server/discover":
            writer.write(rpc(request, DISCOVERED))
        else:
            await calls(request, writer)

    return script


def call(tool: str, **arguments: Any) -> JSON:
    return {"name": tool, "arguments": arguments}


@pytest.mark.parametrize("options", [{}, {"json_response": True}])
async def test_a_call_is_answered_in_every_mode_of_the_sdk(options: JSON) -> None:
    async with sdk(World(), **options) as connection:
        assert (connection.era, connection.protocol, connection.stateful) == ("modern", "2026-07-28", False)
        assert connection.server_info == {"name": "sdk", "version": "9"}
        assert connection.instructions == "hello"
        for text in ("a", "b"):
            result = await connection.request("tools/call", call("echo", text=text), None, 10)
            assert result["content"] == [{"type": "text", "text": json.dumps({"text": text})}]


async def test_progress_and_opted_in_logs_reach_the_call() -> None:
    async with sdk(World()) as connection:
        exchange = Recorder(CLIENT, log_level="info")
        params = {**call("chatty"), "_meta": {"progressToken": 7}}
        await connection.request("tools/call", params, exchange, 10)
        silent = Recorder(CLIENT)
        await connection.request("tools/call", call("chatty"), silent, 10)
    assert [p["progressToken"] for m, p in exchange.notifications if m == "notifications/progress"] == [7, 7]
    assert "notifications/message" in [m for m, _ in exchange.notifications]
    assert silent.notifications == []


async def test_an_input_required_result_and_its_retry_pass_through() -> None:
    async with sdk(World()) as connection:
        first = await connection.request("tools/call", call("confirm"), Recorder(CLIENT), 10)
        assert (first["resultType"], first["requestState"]) == ("input_required", "st")
        assert first["inputRequests"]["sure"]["method"] == "elicitation/create"
        retry = {**call("confirm"), "inputResponses": {"sure": {"action": "accept"}}, "requestState": "st"}
        second = await connection.request("tools/call", retry, Recorder(CLIENT), 10)
        assert second["content"][0]["text"] == "confirmed"


@pytest.mark.parametrize("how", ["cancel", "timeout"])
async def test_giving_up_a_call_closes_its_stream_which_cancels_it(how: str) -> None:
    world = World()
    async with sdk(world) as connection:
        timeout = 0.2 if how == "timeout" else 30
        task = asyncio.create_task(connection.request("tools/call", call("slow"), Recorder(CLIENT), timeout))
        await until(lambda: "slow" in world.seen, "the tool runs")
        if how == "cancel":
            task.cancel()
        with pytest.raises(asyncio.CancelledError if how == "cancel" else UpstreamTimeout):
            await task
        await until(lambda: "cancelled" in world.seen, "the tool was cancelled")


async def test_arguments_are_mirrored_into_the_headers_a_schema_asks_for() -> None:
    async with sdk(World(), schema_of=lambda tool: SCHEMA) as connection:
        for where in ("here", "Genève", " edge "):
            await connection.request("tools/call", call("echo", where=where), None, 10)
        await connection.request("tools/call", call("echo"), None, 10)
    async with sdk(World()) as connection:  # the server insists: without the schema it refuses
        with pytest.raises(UpstreamError) as caught:
            await connection.request("tools/call", call("echo", where="here"), None, 10)
    assert caught.value.rpc_code == -32020


def test_a_schema_is_walked_anew_when_it_changes_and_an_invalid_one_mirrors_nothing() -> None:
    schemas: list[JSON | None] = [SCHEMA, {"type": "object"}, None, {**SCHEMA, "x-mcp-header": "root"}, SCHEMA]
    headers = ParamHeaders(lambda tool: schemas[0])
    assert headers.of("t", {"where": "x"}) == {"Mcp-Param-Where": "x"}
    assert headers.of("t", None) == {}
    for expected in ({}, {}, {}, {"Mcp-Param-Where": "x"}):
        schemas.pop(0)
        assert headers.of("t", {"where": "x"}) == expected


async def test_an_unknown_method_keeps_the_upstreams_code() -> None:
    async with sdk(World()) as connection:
        with pytest.raises(UpstreamError) as caught:
            await connection.request("prompts/get", {"name": "x"}, None, 10)
        assert caught.value.rpc_code == -32601


async def test_subscriptions_bring_what_changed_and_can_be_replaced() -> None:
    world = World()
    notes: Notes = []
    async with sdk(world, notes) as connection:
        await connection.listen({"toolsListChanged": True})
        await world.bus.publish(ToolsListChanged())
        await until(lambda: notes, "the change arrived")
        await connection.listen({"resourceSubscriptions": ["a://b"]})
        await until(lambda: len(world.bus._listeners) == 1, "the former stream is closed")
        await world.bus.publish(ToolsListChanged())
        await world.bus.publish(ResourceUpdated("a://b"))
        await until(lambda: len(notes) == 2, "the update arrived")
        assert notes == [
            ("notifications/tools/list_changed", {}),
            ("notifications/resources/updated", {"uri": "a://b"}),
        ]
        await connection.listen({})
        await until(lambda: not world.bus._listeners, "the stream is closed")


# ------------------------------------------------------------------------------------------------ the wire


async def test_envelope_and_headers_agree_with_the_body() -> None:
    async def calls(request: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(rpc(request, {"resultType": "complete"}))

    async with scripted(discovering(calls)) as server, connected(server.url, identity=ClientIdentity()) as connection:
        exchange = Recorder(CLIENT, log_level="debug")
        meta = {f"{META}protocolVersion": "1", f"{META}clientInfo": {"name": "spoof"}, "a/b": 1, "progressToken": "t"}
        params = {"uri": "note://é", "_meta": meta}
        await connection.request("resources/read", params, exchange, 10)
        await connection.notify("notifications/roots/list_changed", {})
    first, second = server.requests
    info = first.message["params"]["_meta"][f"{META}clientInfo"]
    assert info["name"] == "agentflow"
    assert second.headers["mcp-method"] == "resources/read"
    assert second.headers["mcp-protocol-version"] == "2026-07-28"
    assert second.headers["mcp-name"] == "=?base64?bm90ZTovL8Op?="
    assert second.message["params"]["_meta"] == {
        f"{META}protocolVersion": "2026-07-28",
        f"{META}clientInfo": {"name": "real client", "version": "3"},
        f"{META}clientCapabilities": {"elicitation": {}},
        f"{META}logLevel": "debug",
        "a/b": 1,
        "progressToken": second.message["id"],
    }
    assert meta["progressToken"] == "t"


async def test_a_request_from_the_server_is_not_this_eras_and_ignored() -> None:
    async def calls(request: Request, writer: asyncio.StreamWriter) -> None:
        answer = {"jsonrpc": "2.0", "id": request.message["id"], "result": {}}
        writer.write(sse_head() + event({"jsonrpc": "2.0", "id": 1, "method": "roots/list"}) + event(answer) + END)

    async with scripted(discovering(calls)) as server, connected(server.url) as connection:
        exchange = Recorder(CLIENT)
        assert await connection.request("tools/call", call("x"), exchange, 10) == {}
        assert exchange.asked == []
        assert len(server.requests) == 2


@pytest.mark.parametrize(
    ("data", "kind", "message"),
    [
        (http(200, b"garbage"), UpstreamProtocolError, "not JSON"),
        (http(200, b"{}"), UpstreamProtocolError, "not a JSON-RPC message"),
        (http(200, b'{"id":0,"result":{}}'), UpstreamProtocolError, "answered request 0"),
        (http(200, b"x", "text/plain"), UpstreamProtocolError, "text/plain"),
        (http(200, b'{"method":"x"}'), UpstreamProtocolError, "without a response"),
        (sse_head() + END, UpstreamProtocolError, "without answering"),
        (http(301, extra="Location: /elsewhere\r\n"), UpstreamProtocolError, "redirects to /elsewhere"),
        (http(401), UpstreamUnavailable, "wants credentials"),
        (http(404), UpstreamUnavailable, "no MCP endpoint"),
        (http(400, b'{"id":@,"error":{"code":-32602,"message":"bad"}}'), UpstreamError, "bad"),
        (http(400, b'{"id":@,"error":{"code":-32022,"message":"old"}}'), UpstreamUnavailable, "no longer speaks"),
        (http(502, b"<html>", "text/html"), UpstreamProtocolError, "HTTP 502"),
    ],
)
async def test_a_bad_answer_is_one_clear_error(data: bytes, kind: type[Exception], message: str) -> None:
    async def calls(request: Request, writer: asyncio.StreamWriter) -> None:
        number = str(request.message["id"]).encode()
        writer.write(data.replace(b"@", number))
        await writer.drain()
        writer.close()

    async with scripted(discovering(calls)) as server, connected(server.url) as connection:
        with pytest.raises(kind, match=message):
            await connection.request("tools/call", call("x"), None, 10)
        assert len(server.requests) == 2
        assert connection.closed.is_set() is (kind is UpstreamUnavailable)


async def test_a_subscription_is_renewed_after_a_break_and_its_owner_told_to_look_again() -> None:
    async def calls(request: Request, writer: asyncio.StreamWriter) -> None:
        number = request.message["id"]
        opened.append(number)
        ack = {"method": "notifications/subscriptions/acknowledged", "params": {"notifications": {}}}
        writer.write(sse_head() + event({"jsonrpc": "2.0", **ack}))
        if len(opened) == 1:
            writer.write(END)

    opened: list[int] = []
    notes: Notes = []
    async with scripted(discovering(calls)) as server, connected(server.url, notes) as connection:
        await connection.listen({"toolsListChanged": True, "resourceSubscriptions": ["a://b"]})
        await until(lambda: len(notes) == 2, "the owner is told")
    assert notes == [
        ("notifications/tools/list_changed", {}),
        ("notifications/resources/updated", {"uri": "a://b"}),
    ]
    assert len(set(opened)) == 2


async def test_a_server_without_subscriptions_is_asked_once() -> None:
    async def calls(request: Request, writer: asyncio.StreamWriter) -> None:
        error = {"jsonrpc": "2.0", "id": request.message["id"], "error": {"code": -32601, "message": "no"}}
        writer.write(http(404, json.dumps(error).encode()))

    async with scripted(discovering(calls)) as server, connected(server.url) as connection:
        await connection.listen({"toolsListChanged": True})
        task = connection._subscription
        assert task is not None
        await asyncio.wait_for(task, 10)
        assert len(server.requests) == 2
        assert not connection.closed.is_set()


# ------------------------------------------------------------------------------------------------ which era


async def connect_any(url: str, era: Any = None) -> tuple[str, str]:
    entry = ServerConfig.model_validate({"type": "http", "url": url, "timeout": 5})
    connector = StreamableConnector(entry, LimitsConfig())
    try:
        connection = await connector.connect(CLIENT, era, lambda method, params: None)
        await connection.close()
        return connection.era, connection.protocol
    finally:
        await connector.close()


async def test_the_newest_era_that_both_speak_is_chosen() -> None:
    async with serving(sdk_server(World()).streamable_http_app()) as origin:
        assert await connect_any(f"{origin}/mcp") == ("modern", "2026-07-28")
        assert await connect_any(f"{origin}/mcp", "legacy") == ("legacy", "2025-11-25")


@pytest.mark.parametrize(
    "probe",
    [
        http(404),
        http(400, b'{"jsonrpc":"2.0","id":null,"error":{"code":-32000,"message":"Bad Request: no session"}}'),
        http(405),
        http(406),
        http(500, b"Traceback", "text/plain"),
        http(202),
        http(200, b'{"jsonrpc":"2.0","id":1,"result":{}}'),
        http(200, b'{"jsonrpc":"2.0","id":1,"result":{"supportedVersions":["2025-11-25"]}}'),
        http(200, b'{"jsonrpc":"2.0","id":1,"error":{"code":-32601,"message":"Method not found"}}'),
        http(200, b"<html>", "text/html"),
    ],
)
async def test_a_handshake_server_is_recognised_however_it_refuses_the_probe(probe: bytes) -> None:
    async def calls(request: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(probe)

    async with scripted(legacy_server(calls)) as server:
        assert await connect_any(server.url) == ("legacy", INITIALIZED["protocolVersion"])
        assert server.methods()[:2] == ["server/discover", "initialize"]
        if b"html" not in probe:
            with pytest.raises(Unsupported):
                await connect_any(server.url, "modern")


async def test_a_modern_only_server_refuses_the_handshake_as_unsupported() -> None:
    async def calls(request: Request, writer: asyncio.StreamWriter) -> None:
        error = {"code": -32022, "message": "no", "data": {"supported": ["2026-07-28"], "requested": "2025-11-25"}}
        writer.write(http(400, json.dumps({"jsonrpc": "2.0", "id": None, "error": error}).encode()))

    async with scripted(discovering(calls)) as server:
        with pytest.raises(Unsupported):
            await connect_any(server.url, "legacy")


@pytest.mark.parametrize(
    ("data", "kind", "message"),
    [
        (http(401), UpstreamUnavailable, "wants credentials"),
        (http(308, extra="Location: https://x/mcp\r\n"), UpstreamProtocolError, "https://x/mcp"),
        (b"garbage", UpstreamProtocolError, "not HTTP"),
        (http(200, b"<html>", "text/html"), UpstreamProtocolError, "text/html"),
        (http(404), UpstreamUnavailable, "no MCP endpoint"),
    ],
)
async def test_what_is_no_mcp_server_is_reported_for_what_it_is(
    data: bytes, kind: type[Exception], message: str
) -> None:
    async def script(request: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(data)
        await writer.drain()
        writer.close()

    async with scripted(script) as server:
        with pytest.raises(kind, match=message):
            await connect_any(server.url)


async def test_a_legacy_connection_is_what_a_legacy_client_gets() -> None:
    async with serving(sdk_server(World()).streamable_http_app()) as origin:
        entry = ServerConfig.model_validate({"type": "http", "url": f"{origin}/mcp"})
        connector = StreamableConnector(entry, LimitsConfig())
        connection = await connector.connect(CLIENT, "legacy", lambda method, params: None)
        assert isinstance(connection, LegacyConnection)
        await connection.close()
        await connection.close()
        await connector.close()
