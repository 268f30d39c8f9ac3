"""An MCP server that uses everything the protocol has, in one era, and writes down all that reaches it.

    full_server.py NAME RECORD --era legacy|modern|both (--port N [--sse] | --stdio)

Every message it gets is one JSON line of the file RECORD: method, params as they came, headers, session, process.
Listings and tool results are returned as raw JSON, with members that no version of the SDK knows. Its resource is
`NAME://one`, its template `NAME://item/{id}`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import warnings
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import mcp_types as types
import uvicorn
from full_definitions import LEVELS, PROMPT, TEMPLATE, TOOLS, resource
from mcp.server.context import CallNext, ServerRequestContext
from mcp.server.lowlevel import NotificationOptions, Server
from mcp.server.runner import serve_loop
from mcp.server.session import ServerSession
from mcp.server.sse import SseServerTransport
from mcp.server.stdio import stdio_server
from mcp.server.subscriptions import (
    InMemorySubscriptionBus,
    ListenHandler,
    PromptsListChanged,
    ResourcesListChanged,
    ResourceUpdated,
    ToolsListChanged,
)
from mcp.shared.exceptions import MCPError
from mcp.shared.message import ServerMessageMetadata
from mcp_types.version import MODERN_PROTOCOL_VERSIONS
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route

warnings.simplefilter("ignore")
JSON = dict[str, Any]
Context = ServerRequestContext[Any, Any]
LATER: set[asyncio.Task[None]] = set()
BUS = InMemorySubscriptionBus()
# What belongs to one request and not to what its author sent.
_ENVELOPE = "io.modelcontextprotocol/"
_ANSWERS: dict[str, Any] = {
    "elicitation/create": types.ElicitResult,
    "sampling/createMessage": types.CreateMessageResult,
    "roots/list": types.ListRootsResult,
}


@dataclass
class World:
    """This process: its name, what it wrote down, and what calls have changed."""

    name: str = "full"
    record: Path = field(default_factory=Path)
    era: str = "both"
    grown: list[str] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)
    levels: dict[str, str] = field(default_factory=dict)
    sessions: dict[str, ServerSession] = field(default_factory=dict)
    watched: dict[str, set[str]] = field(default_factory=dict)

    def note(self, what: str, **more: Any) -> None:
        line = json.dumps({"what": what, "pid": os.getpid(), **more})
        with self.record.open("a") as file:
            file.write(line + "\n")


WORLD = World()


def modern(ctx: Context) -> bool:
    return ctx.protocol_version in MODERN_PROTOCOL_VERSIONS


def session_of(ctx: Context) -> str:
    return str(ctx.request.headers.get("mcp-session-id")) if ctx.request is not None else f"stdio-{os.getpid()}"


async def first(ctx: Context, call_next: CallNext) -> Any:
    """Middleware: write the message down, refuse the other era, and answer in raw JSON what is raw JSON."""
    headers = dict(ctx.request.headers) if ctx.request is not None else {}
    params = dict(ctx.params or {})
    WORLD.note(ctx.method, params=params, headers=headers, session=session_of(ctx), era=ctx.protocol_version)
    handshake = ctx.method == "initialize"
    if WORLD.era == "legacy" and modern(ctx):
        raise MCPError(types.METHOD_NOT_FOUND, "Method not found")
    if WORLD.era == "modern" and (handshake or not modern(ctx)):
        supported = {"supported": list(MODERN_PROTOCOL_VERSIONS)}
        raise MCPError(types.UNSUPPORTED_PROTOCOL_VERSION, "Unsupported protocol version", supported)
    if not modern(ctx) and ctx.request_id is not None and not handshake:
        WORLD.sessions[session_of(ctx)] = ctx.session
    if ctx.method == "tools/list":
        grown = [{"name": name, "inputSchema": {"type": "object"}} for name in WORLD.grown]
        return complete(ctx, {"tools": [*TOOLS, *grown]}, ttl=True)
    if ctx.method == "tools/call":
        return await call_tool(ctx, params)
    return await call_next(ctx)


def complete(ctx: Context, result: JSON, *, ttl: bool = False) -> JSON:
    """The result as this era wants it, and nothing else changed."""
    if not modern(ctx):
        return result
    return {"resultType": "complete", **({"ttlMs": 0, "cacheScope": "private"} if ttl else {}), **result}


def said(text: str) -> JSON:
    return {"content": [{"type": "text", "text": text}]}


async def call_tool(ctx: Context, params: JSON) -> JSON:
    tool = CALLS.get(str(params.get("name")))
    if tool is None:
        raise MCPError(types.INVALID_PARAMS, f"Unknown tool {params.get('name')!r}")
    result = await tool(ctx, params)
    return result if result.get("resultType") else complete(ctx, result)


async def echo(ctx: Context, params: JSON) -> JSON:
    arguments = params.get("arguments") or {}
    meta = {k: v for k, v in (params.get("_meta") or {}).items() if not k.startswith(_ENVELOPE)}
    leg = {"leg": {"city": arguments.get("city", "Oslo"), "stops": [1, 2.5, None]}}
    text = {"type": "text", "text": json.dumps(meta), "annotations": {"audience": ["user"], "priority": 0.5}}
    link = {"type": "resource_link", "uri": f"{WORLD.name}://one", "name": "one", "x-link": {"kept": True}}
    return {
        "content": [text, link],
        "structuredContent": leg,
        "_meta": {"com.example/trace": {"id": 7}, "plain": "yes"},
        "x-future": {"nested": [1, {"deep": True}]},
        "isError": False,
    }


async def fail(ctx: Context, params: JSON) -> JSON:
    raise MCPError(-32042, "the reactor is cold", {"because": ["no fuel", 3], "nested": {"retry": False}})


async def progress(ctx: Context, params: JSON) -> JSON:
    for step in range(3):
        await ctx.session.report_progress(step / 2, 1.0, f"step {step}")
    return said("done")


async def log(ctx: Context, params: JSON) -> JSON:
    threshold = LEVELS.index(WORLD.levels.get(session_of(ctx), "info"))
    for level in ("debug", "info", "error"):
        if modern(ctx) or LEVELS.index(level) >= threshold:
            await ctx.session.send_log_message(level, {"said": level}, "full", related_request_id=ctx.request_id)
    return said("logged")


async def slow(ctx: Context, params: JSON) -> JSON:
    """Answers once the file named in `until` exists."""
    arguments = params.get("arguments") or {}
    WORLD.note("began", arguments=arguments)
    try:
        while not os.path.exists(arguments["until"]):  # noqa: ASYNC110, ASYNC240 - the signal is another process's file
            await asyncio.sleep(0.01)
    except asyncio.CancelledError:
        WORLD.note("cancelled", arguments=arguments)
        raise
    return said("at last")


async def ask(ctx: Context, params: JSON) -> JSON:
    """Put the question `method` to the client, in the way of the era: a request, or a multi-round-trip result."""
    arguments = params.get("arguments") or {}
    method = str(arguments["method"])
    question: Any = {"method": method, "params": arguments.get("params") or {}}
    if not modern(ctx):
        back = ServerMessageMetadata(related_request_id=ctx.request_id)
        answer = await ctx.session.send_request(_typed(question), _ANSWERS[method], metadata=back)
        return said(json.dumps(answer.model_dump(mode="json", by_alias=True, exclude_none=True), sort_keys=True))
    given = params.get("inputResponses")
    if given:
        return said(json.dumps(given["q"], sort_keys=True))
    return {"resultType": "input_required", "inputRequests": {"q": question}, "requestState": "state-7"}


def _typed(question: JSON) -> Any:
    kinds: dict[str, Any] = {
        "elicitation/create": types.ElicitRequest,
        "sampling/createMessage": types.CreateMessageRequest,
        "roots/list": types.ListRootsRequest,
    }
    return kinds[question["method"]].model_validate(question)


async def whoami(ctx: Context, params: JSON) -> JSON:
    if modern(ctx):
        meta = params.get("_meta") or {}
        info, can = meta.get(f"{_ENVELOPE}clientInfo"), meta.get(f"{_ENVELOPE}clientCapabilities")
    else:
        declared = ctx.session.client_params
        assert declared is not None
        raw = declared.model_dump(mode="json", by_alias=True, exclude_none=True)
        info, can = raw["clientInfo"], raw["capabilities"]
    seen = {"info": info, "capabilities": can, "protocol": ctx.protocol_version, "session": session_of(ctx)}
    return said(json.dumps(seen))


async def touch(ctx: Context, params: JSON) -> JSON:
    """The resource has changed."""
    uri = f"{WORLD.name}://one"
    await BUS.publish(ResourceUpdated(uri))
    for key in WORLD.watched.get(uri, set()) & set(WORLD.sessions):
        await WORLD.sessions[key].send_resource_updated(uri)
    return said("touched")


async def grow(ctx: Context, params: JSON) -> JSON:
    """One more tool, told to everybody."""
    WORLD.grown.append(str((params.get("arguments") or {})["name"]))
    for event in (ToolsListChanged(), PromptsListChanged(), ResourcesListChanged()):
        await BUS.publish(event)
    for session in WORLD.sessions.values():
        await session.send_tool_list_changed()
    return said("grown")


async def complete_later(ctx: Context, params: JSON) -> JSON:
    """A URL elicitation that was answered earlier is complete, a moment after this call."""
    task = asyncio.get_running_loop().create_task(_complete_later(ctx.session, str(params["arguments"]["id"])))
    LATER.add(task)
    task.add_done_callback(LATER.discard)
    return said("soon")


async def _complete_later(session: ServerSession, elicitation: str) -> None:
    await asyncio.sleep(0.1)
    await session.send_elicit_complete(elicitation)


async def count(ctx: Context, params: JSON) -> JSON:
    """A counter that belongs to the session."""
    key = session_of(ctx)
    WORLD.counts[key] = WORLD.counts.get(key, 0) + 1
    return said(json.dumps({"count": WORLD.counts[key], "session": key, "pid": os.getpid()}))


async def die(ctx: Context, params: JSON) -> JSON:
    WORLD.note("died")
    os._exit(3)


async def environment(ctx: Context, params: JSON) -> JSON:
    return said(json.dumps(dict(os.environ)))


CALLS: dict[str, Callable[[Context, JSON], Awaitable[JSON]]] = {
    each.__name__: each
    for each in (echo, fail, progress, log, slow, ask, whoami, touch, grow, complete_later, count, die, environment)
}


async def never(ctx: Context, params: Any) -> Any:
    raise AssertionError("answered by the middleware")


async def list_resources(ctx: Context, params: Any) -> JSON:
    return complete(ctx, {"resources": [resource(WORLD.name)]}, ttl=True)


async def list_templates(ctx: Context, params: Any) -> JSON:
    template = {**TEMPLATE, "uriTemplate": f"{WORLD.name}://item/{{id}}"}
    return complete(ctx, {"resourceTemplates": [template]}, ttl=True)


async def read_resource(ctx: Context, params: types.ReadResourceRequestParams) -> JSON:
    content = {"uri": params.uri, "mimeType": "text/plain", "text": f"content of {params.uri}", "_meta": {"rev": 4}}
    return complete(ctx, {"contents": [content], "_meta": {"etag": "abc"}}, ttl=True)


async def subscribe(ctx: Context, params: types.SubscribeRequestParams) -> types.EmptyResult:
    WORLD.watched.setdefault(str(params.uri), set()).add(session_of(ctx))
    return types.EmptyResult()


async def unsubscribe(ctx: Context, params: types.UnsubscribeRequestParams) -> types.EmptyResult:
    WORLD.watched.setdefault(str(params.uri), set()).discard(session_of(ctx))
    return types.EmptyResult()


async def list_prompts(ctx: Context, params: Any) -> JSON:
    return complete(ctx, {"prompts": [PROMPT]}, ttl=True)


async def get_prompt(ctx: Context, params: types.GetPromptRequestParams) -> JSON:
    text = {"type": "text", "text": f"Hello {(params.arguments or {}).get('who')}"}
    return complete(ctx, {"description": "greets", "messages": [{"role": "user", "content": text}], "_meta": {"p": 1}})


async def completion(ctx: Context, params: types.CompleteRequestParams) -> JSON:
    given = {
        "value": params.argument.value,
        "ref": params.ref.model_dump(by_alias=True, exclude_none=True, mode="json"),
    }
    context = params.context.arguments if params.context else None
    found = {"values": [json.dumps({**given, "context": context})], "total": 1, "hasMore": False}
    return complete(ctx, {"completion": found})


async def set_level(ctx: Context, params: types.SetLevelRequestParams) -> types.EmptyResult:
    WORLD.levels[session_of(ctx)] = params.level
    return types.EmptyResult()


async def roots_changed(ctx: Context, params: Any) -> None:
    """Written down by the middleware."""


class Full(Server[Any]):
    """The server, saying in the handshake too that its lists change."""

    def create_initialization_options(self, *args: Any, **kwargs: Any) -> Any:
        return super().create_initialization_options(NotificationOptions(True, True, True), {})


def build() -> Full:
    server = Full(
        WORLD.name,
        version="9.8.7",
        instructions=f"Instructions of {WORLD.name}.",
        on_list_tools=never,
        on_call_tool=never,
        on_list_resources=list_resources,  # type: ignore[arg-type]
        on_list_resource_templates=list_templates,  # type: ignore[arg-type]
        on_read_resource=read_resource,  # type: ignore[arg-type]
        on_subscribe_resource=subscribe,
        on_unsubscribe_resource=unsubscribe,
        on_subscriptions_listen=ListenHandler(BUS),
        on_list_prompts=list_prompts,  # type: ignore[arg-type]
        on_get_prompt=get_prompt,  # type: ignore[arg-type]
        on_completion=completion,  # type: ignore[arg-type]
        on_set_logging_level=set_level,
        on_roots_list_changed=roots_changed,
    )
    server.middleware[:] = [first]
    return server


async def over_stdio(server: Server[Any]) -> None:
    async with stdio_server() as (read, write):
        if WORLD.era == "legacy":  # as a server does that never heard of the other era
            await serve_loop(server, read, write, lifespan_state={})
        else:
            await server.run(read, write, server.create_initialization_options())


def sse_app(server: Server[Any]) -> Starlette:
    """The server behind the HTTP+SSE transport of 2024-11-05, at /sse."""
    transport = SseServerTransport("/messages/")

    async def connect(request: Request) -> Response:
        async with transport.connect_sse(request.scope, request.receive, request._send) as (read, write):
            await serve_loop(server, read, write, lifespan_state={})
        return Response()

    return Starlette(routes=[Route("/sse", connect), Mount("/messages/", transport.handle_post_message)])


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("name")
    parser.add_argument("record", type=Path)
    parser.add_argument("--era", choices=("both", "legacy", "modern"), default="both")
    parser.add_argument("--port", type=int)
    parser.add_argument("--stdio", action="store_true")
    parser.add_argument("--sse", action="store_true")
    given = parser.parse_args()
    WORLD.name, WORLD.record, WORLD.era = given.name, given.record, given.era
    WORLD.note("started")
    if given.stdio:
        asyncio.run(over_stdio(build()))
    else:
        app = sse_app(build()) if given.sse else build().streamable_http_app()
        # On SIGTERM it goes at once, streams or not: a test that restarts it wants a server that forgot everything.
        uvicorn.run(app, host="127.0.0.1", port=given.port, log_level="critical", timeout_graceful_shutdown=0)


if __name__ == "__main__":
    main()
