"""Real servers for the HTTP connectors' tests: a scripted one that may misbehave, and the SDK's own."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import mcp_types as types
import uvicorn
from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel.server import Server
from mcp.server.sse import SseServerTransport
from mcp.server.streamable_http import EventMessage, EventStore
from mcp.server.subscriptions import InMemorySubscriptionBus, ListenHandler
from starlette.applications import Starlette
from starlette.requests import Request as StarletteRequest
from starlette.responses import Response
from starlette.routing import Mount, Route

from agentflow.errors import UpstreamError
from agentflow.gateway.upstreams.port import ClientIdentity

JSON = dict[str, Any]


async def until(condition: Callable[[], object], what: str, seconds: float = 10.0) -> None:
    """Wait for a condition, at most `seconds`."""
    end = asyncio.get_running_loop().time() + seconds
    while not condition():
        assert asyncio.get_running_loop().time() < end, f"never happened: {what}"
        await asyncio.sleep(0.005)


class Recorder:
    """An `Exchange` that keeps what it is given and answers server requests from `answers`."""

    def __init__(self, identity: ClientIdentity | None = None, log_level: str | None = None) -> None:
        self.identity = identity or ClientIdentity()
        self.log_level = log_level
        self.subscriber = self.identity.principal
        self.notifications: list[tuple[str, JSON]] = []
        self.asked: list[tuple[str, JSON]] = []
        self.answers: dict[str, JSON | Exception] = {}
        self.gate: asyncio.Event | None = None

    async def notification(self, method: str, params: JSON) -> None:
        self.notifications.append((method, params))

    async def server_request(self, method: str, params: JSON) -> JSON:
        self.asked.append((method, params))
        if self.gate is not None:
            await self.gate.wait()
        answer = self.answers.get(method) or UpstreamError(-1, "the user declined")
        if isinstance(answer, Exception):
            raise answer
        return answer


# ------------------------------------------------------------------------------------------------ scripted server


@dataclass
class Request:
    """One request as it arrived."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes
    connection: int

    @property
    def message(self) -> JSON:
        decoded = json.loads(self.body)
        assert isinstance(decoded, dict)
        return decoded


Script = Callable[[Request, asyncio.StreamWriter], Awaitable[None]]


@dataclass
class Scripted:
    """A server that does as its script says, byte for byte."""

    url: str
    origin: str
    requests: list[Request] = field(default_factory=list)

    def methods(self) -> list[str]:
        """The JSON-RPC methods of the POSTs so far."""
        return [each.message.get("method", "") for each in self.requests if each.method == "POST"]


@contextlib.asynccontextmanager
async def scripted(
    script: Script, tls: ssl.SSLContext | None = None, host: str = "127.0.0.1"
) -> AsyncIterator[Scripted]:
    """Serve `script`, which is called once per request and may write or close whatever it likes."""
    numbers = itertools.count(1)
    tasks: set[asyncio.Task[Any]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        number = next(numbers)
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                lines = head.decode("latin-1").split("\r\n")
                method, target, _ = lines[0].split(" ")
                headers = {k.lower(): v.strip() for k, _, v in (line.partition(":") for line in lines[1:] if line)}
                body = await reader.readexactly(int(headers.get("content-length", 0)))
                request = Request(method, target, headers, body, number)
                server.requests.append(request)
                await script(request, writer)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass  # the client left, or the test is over
        finally:
            tasks.discard(task)
            writer.close()

    listener = await asyncio.start_server(serve, host, 0, ssl=tls, limit=1 << 20)
    port = listener.sockets[0].getsockname()[1]
    shown = f"[{host}]" if ":" in host else host
    origin = f"{'https' if tls else 'http'}://{shown}:{port}"
    server = Scripted(f"{origin}/mcp", origin)
    try:
        yield server
    finally:
        listener.close()
        for task in tuple(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def http(status: int, body: bytes = b"", kind: str = "application/json", extra: str = "") -> bytes:
    """A whole HTTP answer."""
    return f"HTTP/1.1 {status} X\r\nContent-Type: {kind}\r\n{extra}Content-Length: {len(body)}\r\n\r\n".encode() + body


def rpc(request: Request, result: Any) -> bytes:
    """A whole, correct JSON answer."""
    return http(200, json.dumps({"jsonrpc": "2.0", "id": request.message["id"], "result": result}).encode())


def sse_head(extra: str = "") -> bytes:
    return f"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n{extra}Transfer-Encoding: chunked\r\n\r\n".encode()


def chunk(data: str) -> bytes:
    raw = data.encode()
    return b"%x\r\n%b\r\n" % (len(raw), raw)


def event(message: Any, fields: str = "") -> bytes:
    return chunk(f"{fields}data: {json.dumps(message)}\n\n")


END = b"0\r\n\r\n"

INITIALIZED = {
    "protocolVersion": "2025-11-25",
    "capabilities": {"tools": {}},
    "serverInfo": {"name": "scripted", "version": "1"},
    "instructions": "be careful",
}


def legacy_server(calls: Script, session: str | None = "s-1", gets: Script | None = None) -> Script:
    """A script that shakes hands properly and leaves everything else to `calls` (and GETs to `gets`)."""

    async def script(request: Request, writer: asyncio.StreamWriter) -> None:
        if request.method == "GET":
            await (gets(request, writer) if gets else _write(writer, http(405)))
        elif request.method == "DELETE":
            writer.write(http(204))
        elif request.message.get("method") == "initialize":
            answer = json.dumps({"jsonrpc": "2.0", "id": request.message["id"], "result": INITIALIZED}).encode()
            writer.write(http(200, answer, extra=f"Mcp-Session-Id: {session}\r\n" if session else ""))
        elif request.message.get("method") == "notifications/initialized":
            writer.write(http(202))
        else:
            await calls(request, writer)

    return script


async def _write(writer: asyncio.StreamWriter, data: bytes) -> None:
    writer.write(data)


# ------------------------------------------------------------------------------------------------ SDK servers


@dataclass
class World:
    """What a test server saw, and how a test moves it."""

    seen: list[str] = field(default_factory=list)
    clients: list[Any] = field(default_factory=list)
    bus: InMemorySubscriptionBus = field(default_factory=InMemorySubscriptionBus)


def sdk_server(world: World) -> Server[Any]:
    """An SDK low-level server whose tools use every feature a call may have."""
    schema = {"type": "object", "properties": {"where": {"type": "string", "x-mcp-header": "Where"}}}

    async def list_tools(ctx: Any, params: Any) -> types.ListToolsResult:
        names = ("echo", "chatty", "ask", "slow", "poll", "confirm", "fail", "announce")
        return types.ListToolsResult(tools=[types.Tool(name=name, input_schema=schema) for name in names])

    async def call_tool(
        ctx: ServerRequestContext[Any, Any], params: types.CallToolRequestParams
    ) -> types.CallToolResult | types.InputRequiredResult:
        world.seen.append(params.name)
        session = ctx.session
        if params.name == "chatty":
            for step in (1, 2):
                await session.report_progress(step, 2, f"step {step}")
            await session.send_log_message("warning", "watch out", related_request_id=ctx.request_id)
        elif params.name == "ask":
            answer = await session.elicit_form(
                "Who are you?",
                {"type": "object", "properties": {"name": {"type": "string"}}},
                related_request_id=ctx.request_id,
            )
            return _text(json.dumps(answer.content))
        elif params.name == "slow":
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                world.seen.append("cancelled")
                raise
        elif params.name == "poll":
            assert ctx.close_sse_stream is not None
            await ctx.close_sse_stream()
            await asyncio.sleep(0.05)
            return _text("resumed")
        elif params.name == "confirm":
            if not params.input_responses:
                request = types.ElicitRequest(
                    params=types.ElicitRequestFormParams(
                        message="Sure?", requested_schema={"type": "object", "properties": {}}
                    )
                )
                return types.InputRequiredResult(input_requests={"sure": request}, request_state="st")
            return _text("confirmed")
        elif params.name == "fail":
            raise ValueError("boom")
        elif params.name == "announce":
            await session.send_tool_list_changed()
        if session.client_params is not None:
            world.clients.append(session.client_params.model_dump(by_alias=True, exclude_none=True))
        return _text(json.dumps(params.arguments or {}))

    server: Server[Any] = Server(
        "sdk",
        version="9",
        instructions="hello",
        on_list_tools=list_tools,
        on_call_tool=call_tool,
        on_subscriptions_listen=ListenHandler(world.bus),
    )
    return server


def _text(text: str) -> types.CallToolResult:
    return types.CallToolResult(content=[types.TextContent(text=text)])


class Store(EventStore):
    """An event store in memory, which makes an SDK server's streams resumable."""

    def __init__(self) -> None:
        self.events: list[tuple[str, Any]] = []

    async def store_event(self, stream_id: str, message: Any) -> str:
        self.events.append((stream_id, message))
        return str(len(self.events))

    async def replay_events_after(self, last_event_id: str, send_callback: Any) -> str | None:
        first = int(last_event_id)
        stream = self.events[first - 1][0]
        for number, (owner, message) in enumerate(self.events[first:], first + 1):
            if owner == stream and message is not None:
                await send_callback(EventMessage(message, str(number)))
        return stream


def sse_app(server: Server[Any]) -> Starlette:
    """An SDK server behind the HTTP+SSE transport."""
    transport = SseServerTransport("/messages/")

    async def connect(request: StarletteRequest) -> Response:
        async with transport.connect_sse(request.scope, request.receive, request._send) as (read, write):
            await server.run(read, write, server.create_initialization_options())
        return Response()

    return Starlette(routes=[Route("/sse", connect), Mount("/messages/", transport.handle_post_message)])


@contextlib.asynccontextmanager
async def serving(app: Any) -> AsyncIterator[str]:
    """Run an ASGI application under uvicorn on a free port; yields its origin."""
    config = uvicorn.Config(app, port=0, log_level="critical", timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    task = asyncio.create_task(server.serve())
    await until(lambda: server.started or task.done(), "uvicorn is up")
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        await task
