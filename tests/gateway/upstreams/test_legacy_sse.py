"""The HTTP+SSE transport of 2024-11-05."""

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
    chunk,
    event,
    http,
    scripted,
    sdk_server,
    serving,
    sse_app,
    sse_head,
    until,
)

from agentflow.config import LimitsConfig, ServerConfig
from agentflow.errors import AgentFlowError, Unsupported, UpstreamError, UpstreamProtocolError, UpstreamTimeout
from agentflow.gateway.upstreams.connection import Connection
from agentflow.gateway.upstreams.legacy_sse import SseConnector
from agentflow.gateway.upstreams.port import ClientIdentity

# Logging is deprecated in the SDK and in use by servers.
pytestmark = pytest.mark.filterwarnings("ignore::mcp.shared.exceptions.MCPDeprecationWarning")

CLIENT = ClientIdentity("p", "legacy", '{"name":"real client","version":"3"}', '{"elicitation":{}}')


@asynccontextmanager
async def connected(url: str, notes: list[tuple[str, JSON]] | None = None, **more: Any) -> AsyncIterator[Connection]:
    entry = ServerConfig.model_validate({"type": "sse", "url": url, "timeout": 10, **more})
    connector = SseConnector(entry, LimitsConfig(), name="up")
    kept = notes if notes is not None else []
    try:
        connection = await connector.connect(CLIENT, None, lambda method, params: kept.append((method, params)))
        yield connection
        await connection.close()
    finally:
        await connector.close()


@asynccontextmanager
async def sdk(world: World, notes: list[tuple[str, JSON]] | None = None) -> AsyncIterator[Connection]:
    async with serving(sse_app(sdk_server(world))) as origin, connected(f"{origin}/sse", notes) as connection:
        yield connection


def call(tool: str, **arguments: Any) -> JSON:
    return {"name": tool, "arguments": arguments}


async def test_calls_are_answered_and_the_real_client_is_seen() -> None:
    world = World()
    async with sdk(world) as connection:
        assert (connection.era, connection.stateful) == ("legacy", True)
        assert connection.server_info == {"name": "sdk", "version": "9"}
        calls = [connection.request("tools/call", call("echo", n=n), None, 10) for n in range(10)]
        answers = await asyncio.gather(*calls)
    assert [json.loads(answer["content"][0]["text"]) for answer in answers] == [{"n": n} for n in range(10)]
    assert world.clients[0]["clientInfo"] == {"name": "real client", "version": "3"}


async def test_progress_logs_elicitation_and_list_changes_arrive() -> None:
    notes: list[tuple[str, JSON]] = []
    async with sdk(World(), notes) as connection:
        exchange = Recorder()
        await connection.request("tools/call", {**call("chatty"), "_meta": {"progressToken": "mine"}}, exchange, 10)
        assert [p.get("progressToken") for _, p in exchange.notifications] == ["mine", "mine", None]
        exchange.answers["elicitation/create"] = {"action": "accept", "content": {"name": "Ada"}}
        result = await connection.request("tools/call", call("ask"), exchange, 10)
        assert json.loads(result["content"][0]["text"]) == {"name": "Ada"}
        await connection.request("tools/call", call("announce"), exchange, 10)
        assert notes == [("notifications/tools/list_changed", {})]
        with pytest.raises(UpstreamError):
            await connection.request("prompts/get", {"name": "x"}, None, 10)


async def test_cancelling_and_timing_out_reach_the_upstream() -> None:
    world = World()
    async with sdk(world) as connection:
        with pytest.raises(UpstreamTimeout):
            await connection.request("tools/call", call("slow"), None, 0.2)
        await until(lambda: "cancelled" in world.seen, "the tool was cancelled")


def sse_server(calls: Script, endpoint: str = "/messages?s=1") -> Script:
    """Opens a stream, names `endpoint`, shakes hands; `calls` gets the rest, with the stream as writer."""
    streams: list[asyncio.StreamWriter] = []

    async def script(request: Request, writer: asyncio.StreamWriter) -> None:
        if request.method == "GET":
            streams.append(writer)
            writer.write(sse_head() + chunk(f"event: endpoint\ndata: {endpoint}\n\n"))
            return
        writer.write(http(202))
        message = request.message
        if message["method"] == "initialize":
            streams[0].write(event({"jsonrpc": "2.0", "id": message["id"], "result": INITIALIZED}))
        elif "id" in message:
            await calls(request, streams[0])

    return script


async def test_messages_go_to_the_endpoint_with_the_credentials() -> None:
    async def calls(request: Request, stream: asyncio.StreamWriter) -> None:
        stream.write(event({"jsonrpc": "2.0", "id": request.message["id"], "result": {}}))

    async with scripted(sse_server(calls)) as server:
        async with connected(server.url, credentials={"X-Key": "k"}) as connection:
            assert await connection.request("tools/call", {}, None, 10) == {}
        assert {r.target for r in server.requests if r.method == "POST"} == {"/messages?s=1"}
        assert {r.headers["x-key"] for r in server.requests} == {"k"}


@pytest.mark.parametrize(
    "endpoint", ["http://evil.example/messages", "//evil.example/x", "https://127.0.0.1/x", "http://["]
)
async def test_an_endpoint_elsewhere_gets_nothing(endpoint: str) -> None:
    async def calls(request: Request, stream: asyncio.StreamWriter) -> None: ...

    async with scripted(sse_server(calls, endpoint)) as server:
        with pytest.raises(UpstreamProtocolError, match="endpoint"):
            async with connected(server.url):
                pass
        assert [r.method for r in server.requests] == ["GET"]


async def test_a_stream_that_ends_fails_what_is_in_flight_and_closes_the_connection() -> None:
    async def calls(request: Request, stream: asyncio.StreamWriter) -> None:
        stream.write(END)

    async with scripted(sse_server(calls)) as server, connected(server.url) as connection:
        with pytest.raises(UpstreamProtocolError, match="ended its event stream"):
            await connection.request("tools/call", {}, None, 10)
        assert connection.closed.is_set()


async def test_garbage_foreign_and_double_answers_harm_no_call() -> None:
    async def calls(request: Request, stream: asyncio.StreamWriter) -> None:
        answer = {"jsonrpc": "2.0", "id": request.message["id"], "result": {"n": request.message["params"]["n"]}}
        stream.write(chunk("data: {garbage\n\n") + event({"id": 4711, "result": {}}) + event(answer) + event(answer))

    async with scripted(sse_server(calls)) as server, connected(server.url) as connection:
        for n in range(5):
            assert await connection.request("tools/call", {"n": n}, None, 10) == {"n": n}


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (http(404), "no MCP endpoint"),
        (http(401), "wants credentials"),
        (http(302, extra="Location: /x\r\n"), "redirects to /x"),
        (http(200, b"{}"), "application/json"),
        (sse_head() + END, "without naming an endpoint"),
        (b"garbage", "not HTTP"),
    ],
)
async def test_what_is_no_event_stream_is_reported_for_what_it_is(data: bytes, message: str) -> None:
    async def script(request: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(data)

    async with scripted(script) as server:
        with pytest.raises(AgentFlowError, match=message):
            async with connected(server.url):
                pass


async def test_a_refused_post_fails_its_call_alone() -> None:
    async def script(request: Request, writer: asyncio.StreamWriter) -> None:
        if request.method == "POST" and request.message["method"] == "tools/call":
            writer.write(http(413))
        else:
            await base(request, writer)

    async def calls(request: Request, stream: asyncio.StreamWriter) -> None:
        stream.write(event({"jsonrpc": "2.0", "id": request.message["id"], "result": {}}))

    base = sse_server(calls)
    async with scripted(script) as server, connected(server.url) as connection:
        with pytest.raises(UpstreamProtocolError, match="HTTP 413"):
            await connection.request("tools/call", {}, None, 10)
        assert await connection.request("tools/list", {}, None, 10) == {}


async def test_the_stateless_era_does_not_exist_here() -> None:
    connector = SseConnector(ServerConfig.model_validate({"url": "http://127.0.0.1:1/sse"}), LimitsConfig())
    with pytest.raises(Unsupported):
        await connector.connect(CLIENT, "modern", lambda method, params: None)
    await connector.close()
