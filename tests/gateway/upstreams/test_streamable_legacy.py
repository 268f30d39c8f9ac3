"""Handshake-era sessions over streamable HTTP, with the SDK's server and with servers that misbehave."""

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
    Scripted,
    Store,
    World,
    chunk,
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

from agentflow import __version__
from agentflow.config import LimitsConfig, ServerConfig
from agentflow.errors import (
    AgentFlowError,
    Unsupported,
    UpstreamError,
    UpstreamProtocolError,
    UpstreamTimeout,
    UpstreamUnavailable,
)
from agentflow.gateway.upstreams.port import ClientIdentity
from agentflow.gateway.upstreams.streamable import StreamableConnector
from agentflow.gateway.upstreams.streamable_legacy import LegacyConnection

# Logging is deprecated in the SDK and in use by servers.
pytestmark = pytest.mark.filterwarnings("ignore::mcp.shared.exceptions.MCPDeprecationWarning")

CLIENT = ClientIdentity("p", "legacy", '{"name":"real client","version":"3"}', '{"elicitation":{},"roots":{}}')
Notes = list[tuple[str, JSON]]


def config(url: str, **more: Any) -> ServerConfig:
    return ServerConfig.model_validate({"type": "http", "url": url, "timeout": 10, **more})


@asynccontextmanager
async def connected(
    url: str, notes: Notes | None = None, identity: ClientIdentity = CLIENT, limits: LimitsConfig | None = None
) -> AsyncIterator[LegacyConnection]:
    connector = StreamableConnector(config(url), limits or LimitsConfig(), name="up")
    kept = notes if notes is not None else []
    connection = await connector.connect(identity, "legacy", lambda method, params: kept.append((method, params)))
    assert isinstance(connection, LegacyConnection)
    try:
        yield connection
    finally:
        await connection.close()
        await connector.close()


@asynccontextmanager
async def misbehaving(calls: Script, **options: Any) -> AsyncIterator[tuple[LegacyConnection, Scripted, Notes]]:
    notes: Notes = []
    limits = options.pop("limits", None)
    async with scripted(legacy_server(calls, **options)) as server, connected(server.url, notes, limits=limits) as conn:
        yield conn, server, notes


@asynccontextmanager
async def sdk(world: World, notes: Notes | None = None, **options: Any) -> AsyncIterator[LegacyConnection]:
    app = sdk_server(world).streamable_http_app(**options)
    async with serving(app) as origin, connected(f"{origin}/mcp", notes) as connection:
        yield connection


def call(tool: str, **arguments: Any) -> JSON:
    return {"name": tool, "arguments": arguments}


# ------------------------------------------------------------------------------------------------ with the SDK


@pytest.mark.parametrize("options", [{}, {"json_response": True}, {"stateless_http": True}])
async def test_a_call_is_answered_in_every_mode_of_the_sdk(options: JSON) -> None:
    async with sdk(World(), **options) as connection:
        assert (connection.era, connection.protocol) == ("legacy", "2025-11-25")
        assert connection.server_info == {"name": "sdk", "version": "9"}
        assert connection.instructions == "hello"
        assert "tools" in connection.capabilities
        assert connection.stateful is ("stateless_http" not in options)
        for text in ("a", "b"):
            result = await connection.request("tools/call", call("echo", text=text), None, 10)
            assert result["content"] == [{"type": "text", "text": json.dumps({"text": text})}]


async def test_the_upstream_sees_the_real_client() -> None:
    world = World()
    async with sdk(world) as connection:
        await connection.request("tools/call", call("echo"), None, 10)
    seen = world.clients[0]
    assert seen["clientInfo"] == {"name": "real client", "version": "3"}
    assert set(seen["capabilities"]) == {"elicitation", "roots"}


async def test_the_gateway_introduces_itself_where_no_client_is_behind_it() -> None:
    async def calls(request: Request, writer: asyncio.StreamWriter) -> None: ...

    async with scripted(legacy_server(calls)) as server, connected(server.url, identity=ClientIdentity()):
        params = server.requests[0].message["params"]
    assert params == {
        "protocolVersion": "2025-11-25",
        "capabilities": {},
        "clientInfo": {"name": "agentflow", "version": __version__},
    }


async def test_progress_and_logs_reach_the_call_under_the_clients_own_token() -> None:
    async with sdk(World()) as connection:
        exchange = Recorder()
        params = {**call("chatty"), "_meta": {"progressToken": "mine"}}
        await connection.request("tools/call", params, exchange, 10)
    assert [(p["progressToken"], p["progress"]) for _, p in exchange.notifications[:2]] == [("mine", 1), ("mine", 2)]
    assert exchange.notifications[2] == ("notifications/message", {"level": "warning", "data": "watch out"})
    assert params["_meta"] == {"progressToken": "mine"}


async def test_an_elicitation_is_put_to_the_client_and_its_answer_given_back() -> None:
    async with sdk(World()) as connection:
        exchange = Recorder()
        exchange.answers["elicitation/create"] = {"action": "accept", "content": {"name": "Ada"}}
        result = await connection.request("tools/call", call("ask"), exchange, 10)
    assert json.loads(result["content"][0]["text"]) == {"name": "Ada"}
    assert exchange.asked[0][1]["message"] == "Who are you?"


@pytest.mark.parametrize("exchange", [None, Recorder()])
async def test_an_elicitation_that_nobody_answers_fails_the_call_instead_of_hanging(exchange: Recorder | None) -> None:
    async with sdk(World()) as connection:
        with pytest.raises(UpstreamError):
            await connection.request("tools/call", call("ask"), exchange, 10)


async def test_the_upstream_is_not_late_while_the_client_is_being_asked() -> None:
    async with sdk(World()) as connection:
        exchange = Recorder()
        exchange.answers["elicitation/create"] = {"action": "accept", "content": {}}
        exchange.gate = asyncio.Event()
        task = asyncio.create_task(connection.request("tools/call", call("ask"), exchange, 1))
        await until(lambda: exchange.asked, "the client is asked")
        await asyncio.sleep(1.2)  # past the timeout: the point of the test
        exchange.gate.set()
        await task


async def test_cancelling_a_call_cancels_it_at_the_upstream() -> None:
    world = World()
    async with sdk(world) as connection:
        task = asyncio.create_task(connection.request("tools/call", call("slow"), Recorder(), 30))
        await until(lambda: "slow" in world.seen, "the tool runs")
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await until(lambda: "cancelled" in world.seen, "the tool was cancelled")


async def test_a_timeout_cancels_at_the_upstream() -> None:
    world = World()
    async with sdk(world) as connection:
        with pytest.raises(UpstreamTimeout, match="did not answer tools/call"):
            await connection.request("tools/call", call("slow"), None, 0.2)
        await until(lambda: "cancelled" in world.seen, "the tool was cancelled")


async def test_an_upstream_error_keeps_its_code() -> None:
    async with sdk(World()) as connection:
        with pytest.raises(UpstreamError) as caught:
            await connection.request("prompts/get", {"name": "x"}, None, 10)
        assert caught.value.rpc_code == -32601


async def test_a_stream_that_the_server_closes_early_is_resumed() -> None:
    async with sdk(World(), event_store=Store(), retry_interval=20) as connection:
        result = await connection.request("tools/call", call("poll"), None, 10)
    assert result["content"][0]["text"] == "resumed"


async def test_list_changed_arrives_on_the_standalone_stream() -> None:
    notes: Notes = []
    async with sdk(World(), notes) as connection:
        for _ in range(200):  # the stream may open a moment after the session
            await connection.request("tools/call", call("announce"), None, 10)
            if notes:
                break
            await asyncio.sleep(0.01)
    assert notes[0][0] == "notifications/tools/list_changed"


async def test_a_lost_session_closes_the_connection_and_says_that_nothing_ran() -> None:
    world = World()
    async with sdk(world) as connection:
        await connection._delete()
        with pytest.raises(UpstreamUnavailable, match="no longer knows our session") as caught:
            await connection.request("tools/call", call("echo"), None, 10)
        assert caught.value.data["sent"] is False
        assert connection.closed.is_set()
        assert "session" in connection.reason
        assert world.seen == []
        with pytest.raises(UpstreamUnavailable):
            await connection.request("tools/call", call("echo"), None, 10)


# ------------------------------------------------------------------------------------------------ the wire


async def test_every_request_carries_session_protocol_and_credentials() -> None:
    async def calls(request: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(rpc(request, {}))

    async with scripted(legacy_server(calls)) as server:
        entry = config(
            server.url, headers={"X-A": "1", "authorization": "no"}, credentials={"Authorization": "Bearer t"}
        )
        connector = StreamableConnector(entry, LimitsConfig())
        connection = await connector.connect(CLIENT, "legacy", lambda method, params: None)
        await connection.request("ping", {}, None, 10)
        await connection.close()
        await connector.close()
        first, last = server.requests[0], server.requests[-1]
        ping = next(r for r in server.requests if r.method == "POST" and r.message["method"] == "ping")
    assert "mcp-session-id" not in first.headers
    assert "mcp-protocol-version" not in first.headers
    for request in server.requests:
        assert (request.headers["authorization"], request.headers["x-a"]) == ("Bearer t", "1")
    assert ping.headers["mcp-session-id"] == "s-1"
    assert ping.headers["mcp-protocol-version"] == "2025-11-25"
    assert ping.headers["accept"] == "application/json, text/event-stream"
    assert (last.method, last.headers["mcp-session-id"]) == ("DELETE", "s-1")


async def test_params_go_out_as_given_without_what_belongs_to_the_other_era() -> None:
    async def calls(request: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(rpc(request, {"odd": [None], "_meta": {"x": 1}}))

    meta = {
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientInfo": {},
        "io.modelcontextprotocol/clientCapabilities": {},
        "io.modelcontextprotocol/logLevel": "debug",
        "com.example/trace": "t",
    }
    async with misbehaving(calls) as (connection, server, _):
        result = await connection.request("tools/call", {"name": "x", "unknown": 1, "_meta": meta}, Recorder(), 10)
    assert result == {"odd": [None], "_meta": {"x": 1}}
    sent = next(r.message for r in server.requests if r.method == "POST" and r.message["method"] == "tools/call")
    assert sent["params"] == {"name": "x", "unknown": 1, "_meta": {"com.example/trace": "t"}}


@pytest.mark.parametrize("version", ["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"])
async def test_an_older_protocol_is_accepted(version: str) -> None:
    async def script(request: Request, writer: asyncio.StreamWriter) -> None:
        known = request.method == "POST" and "id" in request.message
        writer.write(rpc(request, {**INITIALIZED, "protocolVersion": version}) if known else http(202))

    async with scripted(script) as server, connected(server.url) as connection:
        assert (connection.protocol, connection.stateful) == (version, False)


@pytest.mark.parametrize("version", ["2026-07-28", "1999-01-01", None, 7])
async def test_a_protocol_that_does_not_exist_is_refused(version: Any) -> None:
    async def script(request: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(rpc(request, {**INITIALIZED, "protocolVersion": version}))

    async with scripted(script) as server:
        with pytest.raises(Unsupported):
            async with connected(server.url):
                pass


async def test_a_batch_and_messages_before_the_answer_are_taken() -> None:
    async def calls(request: Request, writer: asyncio.StreamWriter) -> None:
        number = request.message["id"]
        note = {"jsonrpc": "2.0", "method": "notifications/message", "params": {"data": 1}}
        changed = {"jsonrpc": "2.0", "method": "notifications/tools/list_changed"}
        answer = {"jsonrpc": "2.0", "id": number, "result": {"ok": True}}
        writer.write(sse_head() + chunk(": hello\n\n") + event([note, changed]) + event(answer) + END)

    async with misbehaving(calls) as (connection, _, notes):
        exchange = Recorder()
        assert await connection.request("tools/call", {}, exchange, 10) == {"ok": True}
    assert exchange.notifications == [("notifications/message", {"data": 1})]
    assert notes == [("notifications/tools/list_changed", {})]


async def test_streams_reuse_their_connection() -> None:
    async def calls(request: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(sse_head() + event({"jsonrpc": "2.0", "id": request.message["id"], "result": {}}))
        await writer.drain()
        await asyncio.sleep(0.01)  # the end marker comes apart from the answer
        writer.write(END)

    async with misbehaving(calls) as (connection, server, _):
        for _ in range(10):
            await until(lambda: connection._http._idle, "the last stream's connection is free again")
            await connection.request("tools/call", {}, None, 10)
        assert len({r.connection for r in server.requests}) <= 3


async def test_a_ping_from_the_server_is_answered_and_an_unknown_request_refused() -> None:
    async def calls(request: Request, writer: asyncio.StreamWriter) -> None:
        message = request.message
        if "method" not in message:
            answers.append(message)
            writer.write(http(202))
            if len(answers) == 2:
                streams[0].write(event({"jsonrpc": "2.0", "id": numbers[0], "result": {}}) + END)
            return
        numbers.append(message["id"])
        streams.append(writer)
        writer.write(sse_head())
        writer.write(event({"jsonrpc": "2.0", "id": "p", "method": "ping"}))
        writer.write(event({"jsonrpc": "2.0", "id": 5, "method": "files/delete", "params": {}}))

    answers: list[JSON] = []
    streams: list[asyncio.StreamWriter] = []
    numbers: list[int] = []
    async with misbehaving(calls) as (connection, _, _notes):
        await connection.request("tools/call", {}, Recorder(), 10)
    by_id = {answer["id"]: answer for answer in answers}
    assert by_id["p"]["result"] == {}
    assert by_id[5]["error"]["code"] == -32601


async def test_a_request_on_the_standalone_stream_goes_to_the_call_in_flight() -> None:
    async def gets(request: Request, writer: asyncio.StreamWriter) -> None:
        stream.append(writer)
        writer.write(sse_head())

    async def calls(request: Request, writer: asyncio.StreamWriter) -> None:
        message = request.message
        if "method" in message:
            pending.append((message["id"], writer))
            stream[0].write(event({"jsonrpc": "2.0", "id": 1, "method": "roots/list"}))
        else:
            writer.write(http(202))
            number, waiting = pending[0]
            body = json.dumps({"jsonrpc": "2.0", "id": number, "result": message["result"]}).encode()
            waiting.write(http(200, body))

    stream: list[asyncio.StreamWriter] = []
    pending: list[tuple[int, asyncio.StreamWriter]] = []
    async with misbehaving(calls, gets=gets) as (connection, _, _notes):
        await until(lambda: stream, "the stream is open")
        exchange = Recorder()
        exchange.answers["roots/list"] = {"roots": [{"uri": "file:///x"}]}
        result = await connection.request("tools/call", {}, exchange, 10)
    assert result == {"roots": [{"uri": "file:///x"}]}


async def test_the_standalone_stream_reconnects_from_where_it_was() -> None:
    async def gets(request: Request, writer: asyncio.StreamWriter) -> None:
        seen.append(request.headers.get("last-event-id"))
        note = {"jsonrpc": "2.0", "method": "notifications/resources/updated", "params": {"uri": str(len(seen))}}
        writer.write(sse_head() + event(note, f"id: e{len(seen)}\nretry: 10\n") + (END if len(seen) < 2 else b""))

    async def calls(request: Request, writer: asyncio.StreamWriter) -> None: ...

    seen: list[str | None] = []
    async with misbehaving(calls, gets=gets) as (_, _server, notes):
        await until(lambda: len(notes) == 2, "both streams brought something")
    assert seen == [None, "e1"]


async def test_progress_gives_a_call_more_time_but_not_for_ever() -> None:
    async def calls(request: Request, writer: asyncio.StreamWriter) -> None:
        token = request.message["params"]["_meta"]["progressToken"]
        progress = {"jsonrpc": "2.0", "method": "notifications/progress", "params": {"progressToken": token}}
        writer.write(sse_head())
        for _ in range(100):
            writer.write(event(progress))
            await writer.drain()
            await asyncio.sleep(0.05)

    async with misbehaving(calls) as (connection, _, _notes):
        exchange = Recorder()
        with pytest.raises(UpstreamTimeout):
            await connection.request("tools/call", {"_meta": {"progressToken": 0}}, exchange, 0.15)
    assert len(exchange.notifications) > 5
    assert exchange.notifications[0][1]["progressToken"] == 0


async def test_a_client_that_refuses_a_notification_still_gets_its_answer() -> None:
    class Refusing(Recorder):
        async def notification(self, method: str, params: JSON) -> None:
            raise AgentFlowError("blocked")

    async with sdk(World()) as connection:
        await connection.request("tools/call", call("chatty"), Refusing(), 10)


# ------------------------------------------------------------------------------------------------ misbehaviour

PAGE = b"<html>hello</html>"


def answer_with(data: bytes) -> Script:
    async def calls(request: Request, writer: asyncio.StreamWriter) -> None:
        number = str(request.message.get("id", 0)).encode()
        writer.write(data.replace(b"@", number))
        await writer.drain()
        writer.close()

    return calls


@pytest.mark.parametrize(
    ("data", "kind", "message"),
    [
        (http(200, PAGE), UpstreamProtocolError, "not JSON"),
        (http(200, b"[1]"), UpstreamProtocolError, "not a JSON-RPC message"),
        (http(200, b"{}"), UpstreamProtocolError, "not a JSON-RPC message"),
        (http(200, b'{"id":@,"result":{"a":"\xff"}}'), UpstreamProtocolError, "not JSON"),
        (http(200, b'{"id":' + b"[" * 100_000), UpstreamProtocolError, "not JSON"),
        (http(200, PAGE, "text/html; charset=x"), UpstreamProtocolError, "answered with text/html, neither"),
        (http(200, b"", ""), UpstreamProtocolError, "no content type"),
        (http(200, b'{"jsonrpc":"2.0","id":99999,"result":{}}'), UpstreamProtocolError, "answered request 99999"),
        (http(200, b'{"jsonrpc":"2.0","id":null,"result":{}}'), UpstreamProtocolError, "answered request"),
        (http(200, b'{"jsonrpc":"2.0","id":"@","result":{}}'), UpstreamProtocolError, "answered request"),
        (http(200, b'{"jsonrpc":"2.0","id":@,"result":[]}'), UpstreamProtocolError, "not an object"),
        (http(200, b'{"jsonrpc":"2.0","id":@,"error":"no"}'), UpstreamProtocolError, "malformed"),
        (http(200, b'{"jsonrpc":"2.0","method":"ping"}'), UpstreamProtocolError, "without a response"),
        (http(202), UpstreamProtocolError, "HTTP 202 and no result"),
        (sse_head() + END, UpstreamProtocolError, "ended its event stream without answering"),
        (sse_head() + chunk("data: {nonsense\n\n") + END, UpstreamProtocolError, "not JSON"),
        (sse_head() + chunk("data: {"), UpstreamProtocolError, "broke off"),
        (sse_head() + event({"id": -7, "result": {}}) + END, UpstreamProtocolError, "answered request -7"),
        (b"garbage", UpstreamProtocolError, "not HTTP"),
        (b"", UpstreamProtocolError, "without answering"),
        (http(307, extra="Location: https://else.where/mcp\r\n"), UpstreamProtocolError, "https://else.where/mcp"),
        (http(401), UpstreamUnavailable, "wants credentials"),
        (http(403, b'{"jsonrpc":"2.0","id":@,"error":{"code":1,"message":"x"}}'), UpstreamUnavailable, "refuses"),
        (http(405), UpstreamUnavailable, "no MCP endpoint"),
        (http(429), UpstreamUnavailable, "too many requests"),
        (http(500, PAGE, "text/html"), UpstreamProtocolError, "answered HTTP 500"),
        (http(500, b'{"jsonrpc":"2.0","id":@,"error":{"code":-5,"message":"x"}}'), UpstreamError, "x"),
        (http(400, b'{"jsonrpc":"2.0","id":null,"error":{"code":-5,"message":"x"}}'), UpstreamError, "x"),
        (http(404, b'{"jsonrpc":"2.0","id":@,"error":{"code":-32601,"message":"x"}}'), UpstreamError, "x"),
    ],
)
async def test_a_bad_answer_is_one_clear_error(data: bytes, kind: type[AgentFlowError], message: str) -> None:
    async with misbehaving(answer_with(data)) as (connection, server, _):
        with pytest.raises(kind, match=message) as caught:
            await connection.request("tools/call", {}, None, 10)
        assert type(caught.value) is kind or isinstance(caught.value, UpstreamProtocolError)
        assert server.methods().count("tools/call") == 1


@pytest.mark.parametrize(
    "data",
    [
        http(404),
        http(404, b'{"jsonrpc":"2.0","id":null,"error":{"code":-32600,"message":"Session not found"}}'),
        http(404, b'{"jsonrpc":"2.0","id":"server-error","error":{"code":-32600,"message":"gone"}}'),
        http(400, b'{"jsonrpc":"2.0","id":null,"error":{"code":-32000,"message":"No valid session ID provided"}}'),
    ],
)
async def test_every_spelling_of_a_forgotten_session_is_understood(data: bytes) -> None:
    async with misbehaving(answer_with(data)) as (connection, _, _notes):
        with pytest.raises(UpstreamUnavailable, match="no longer knows our session"):
            await connection.request("tools/call", {}, None, 10)
        assert connection.closed.is_set()


async def test_without_a_session_404_is_a_wrong_url() -> None:
    async with misbehaving(answer_with(http(404)), session=None) as (connection, _, _notes):
        with pytest.raises(UpstreamUnavailable, match="no MCP endpoint"):
            await connection.request("tools/call", {}, None, 10)


async def test_two_answers_to_one_request_harm_nobody() -> None:
    async def calls(request: Request, writer: asyncio.StreamWriter) -> None:
        number = request.message["id"]
        first = {"jsonrpc": "2.0", "id": number, "result": {"n": number}}
        if number % 2:
            writer.write(rpc(request, {"n": number}) * 2)
        else:
            writer.write(sse_head() + event(first) + event({**first, "result": {"n": "again"}}) + END)

    async with misbehaving(calls) as (connection, _, _notes):
        for _ in range(6):
            result = await connection.request("tools/call", {}, None, 10)
            assert isinstance(result["n"], int)


async def test_a_hundred_megabytes_are_refused_early_and_the_next_call_works() -> None:
    sent = 0

    async def calls(request: Request, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        if request.message["params"] == {"small": True}:
            writer.write(rpc(request, {}))
            return
        writer.write(
            sse_head()
            if request.message["params"]
            else b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
        )
        for _ in range(1000):
            writer.write(chunk("x" * 100_000))
            await writer.drain()
            sent += 100_000

    async with misbehaving(calls, limits=LimitsConfig(max_result=1_000_000)) as (connection, _, _notes):
        for params in ({}, {"stream": True}):
            with pytest.raises(UpstreamProtocolError, match="larger than 1000000 bytes"):
                await connection.request("tools/call", params, None, 30)
        assert await connection.request("tools/call", {"small": True}, None, 10) == {}
    assert sent < 100_000_000


async def test_a_server_that_trickles_for_ever_is_given_up() -> None:
    async def calls(request: Request, writer: asyncio.StreamWriter) -> None:
        if request.message.get("method") == "notifications/cancelled":
            writer.write(http(202))
            return
        writer.write(sse_head())
        while not writer.is_closing():
            writer.write(chunk(": still here\n\n"))
            await writer.drain()
            await asyncio.sleep(0.02)

    async with misbehaving(calls) as (connection, server, _):
        with pytest.raises(UpstreamTimeout):
            await connection.request("tools/call", {}, None, 0.3)
        await until(lambda: "notifications/cancelled" in server.methods(), "the upstream is told")
        sent = [r.message for r in server.requests if r.method == "POST"]
    number = next(m["id"] for m in sent if m["method"] == "tools/call")
    assert next(m["params"]["requestId"] for m in sent if m["method"] == "notifications/cancelled") == number


async def test_one_bad_call_leaves_the_others_alone() -> None:
    async def calls(request: Request, writer: asyncio.StreamWriter) -> None:
        if request.message["params"]["n"] % 3 == 0:
            writer.write(b"garbage")
            await writer.drain()
            writer.close()
        else:
            writer.write(rpc(request, request.message["params"]))

    async with misbehaving(calls) as (connection, _, _notes):
        asked = [connection.request("tools/call", {"n": n}, None, 10) for n in range(30)]
        answers = await asyncio.gather(*asked, return_exceptions=True)
    for number, answer in enumerate(answers):
        assert isinstance(answer, UpstreamProtocolError) if number % 3 == 0 else answer == {"n": number}


async def test_an_upstream_that_goes_away_closes_the_connection_with_a_reason() -> None:
    async def calls(request: Request, writer: asyncio.StreamWriter) -> None: ...

    async with scripted(legacy_server(calls)) as server:
        connector = StreamableConnector(config(server.url), LimitsConfig(), name="up")
        connection = await connector.connect(CLIENT, "legacy", lambda method, params: None)
    with pytest.raises(AgentFlowError):  # the sockets that were open end first
        await connection.request("tools/list", {}, None, 10)
    with pytest.raises(UpstreamUnavailable):
        await connection.request("tools/list", {}, None, 10)
    assert "upstream 'up' cannot be reached" in connection.reason
    await connection.close()
    await connector.close()


async def test_resumption_gives_up_when_the_server_refuses() -> None:
    async def calls(request: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(sse_head() + chunk("id: 1\nretry: 1\ndata:\n\n") + END)

    async with misbehaving(calls) as (connection, _, _notes):
        with pytest.raises(UpstreamProtocolError, match="refused to resume it"):
            await connection.request("tools/call", {}, None, 10)


async def test_what_cannot_be_json_is_the_callers_error() -> None:
    async def calls(request: Request, writer: asyncio.StreamWriter) -> None: ...

    async with misbehaving(calls) as (connection, server, _):
        with pytest.raises(AgentFlowError, match="cannot be sent as JSON"):
            await connection.request("tools/call", {"n": 1 << 70}, None, 10)
        assert "tools/call" not in server.methods()
