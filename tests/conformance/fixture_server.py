"""A conformant MCP server, to be judged directly and then behind the gateway.

    python fixture_server.py --port 9100                streamable HTTP at http://127.0.0.1:9100/mcp
    python fixture_server.py --port 9100 --era legacy   only the handshake era; `modern` only 2026-07-28
    python fixture_server.py --stdio                    over stdin and stdout

Serves both protocol eras, on the low-level server of the official SDK. Loopback only. It offers exactly what
the scenarios of `@modelcontextprotocol/conformance` 0.2.0-alpha.12 ask for.
"""

from __future__ import annotations

import argparse
import json
import re
import warnings
from typing import Any

import anyio
import mcp_types as types
import uvicorn
from fixture_tools import PNG, TOOLS, WATCHED, WORLD, Context, ask, elicit, embedded, session_key
from mcp.server.context import CallNext, HandlerResult
from mcp.server.lowlevel import NotificationOptions, Server
from mcp.server.models import InitializationOptions
from mcp.server.request_state import RequestStateBoundary, RequestStateSecurity
from mcp.server.stdio import stdio_server
from mcp.server.streamable_http import EventCallback, EventMessage, EventStore
from mcp.server.subscriptions import ListenHandler
from mcp.shared.exceptions import MCPError
from mcp_types.jsonrpc import INVALID_PARAMS, UNSUPPORTED_PROTOCOL_VERSION
from mcp_types.version import MODERN_PROTOCOL_VERSIONS
from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

NAME = "conformance-fixture"
TEMPLATE = re.compile(r"^test://template/([^/]+)/data$")
JSON = dict[str, Any]


class Events(EventStore):
    """Every event of every stream, in order, so that a client that lost its stream can catch up."""

    def __init__(self) -> None:
        self._events: list[tuple[str, types.JSONRPCMessage | None]] = []

    async def store_event(self, stream_id: str, message: types.JSONRPCMessage | None) -> str:
        self._events.append((stream_id, message))
        return str(len(self._events))

    async def replay_events_after(self, last_event_id: str, send_callback: EventCallback) -> str | None:
        seen = int(last_event_id)
        if not 0 < seen <= len(self._events):
            return None
        stream = self._events[seen - 1][0]
        for number, (of, message) in enumerate(self._events[seen:], seen + 1):
            if of == stream and message is not None:
                await send_callback(EventMessage(message, str(number)))
        return stream


# --- tools ---------------------------------------------------------------------------------------------------

EXTRA_TOOL = types.Tool(name="test_extra_tool", description="Comes and goes", input_schema={"type": "object"})


async def list_tools(ctx: Context, params: types.PaginatedRequestParams | None) -> types.ListToolsResult:
    tools = [entry.definition for entry in TOOLS.values()]
    return types.ListToolsResult(tools=[*tools, EXTRA_TOOL] if WORLD.extra_tool else tools)


async def call_tool(
    ctx: Context, params: types.CallToolRequestParams
) -> types.CallToolResult | types.InputRequiredResult:
    if params.name not in TOOLS:
        raise MCPError(INVALID_PARAMS, f"Unknown tool: {params.name}")
    return await TOOLS[params.name].run(ctx, params)


# --- resources -----------------------------------------------------------------------------------------------

RESOURCES = [
    types.Resource(uri="test://static-text", name="static-text", description="Text", mime_type="text/plain"),
    types.Resource(uri="test://static-binary", name="static-binary", description="PNG", mime_type="image/png"),
    types.Resource(uri=WATCHED, name="watched", description="Changes when triggered", mime_type="text/plain"),
]
TEMPLATES = [
    types.ResourceTemplate(
        uri_template="test://template/{id}/data",
        name="template",
        description="Data for an id",
        mime_type="application/json",
    )
]


async def list_resources(ctx: Context, params: types.PaginatedRequestParams | None) -> types.ListResourcesResult:
    return types.ListResourcesResult(resources=RESOURCES)


async def list_templates(
    ctx: Context, params: types.PaginatedRequestParams | None
) -> types.ListResourceTemplatesResult:
    return types.ListResourceTemplatesResult(resource_templates=TEMPLATES)


async def read_resource(ctx: Context, params: types.ReadResourceRequestParams) -> types.ReadResourceResult:
    uri = params.uri
    contents: types.TextResourceContents | types.BlobResourceContents
    if uri == "test://static-binary":
        contents = types.BlobResourceContents(uri=uri, mime_type="image/png", blob=PNG)
    elif match := TEMPLATE.match(uri):
        body = json.dumps({"id": match[1], "templateTest": True, "data": f"Data for ID: {match[1]}"})
        contents = types.TextResourceContents(uri=uri, mime_type="application/json", text=body)
    elif uri == "test://static-text":
        body = "This is the content of the static text resource."
        contents = types.TextResourceContents(uri=uri, mime_type="text/plain", text=body)
    elif uri == WATCHED:
        body = f"Revision {WORLD.watched_revision} of the watched resource."
        contents = types.TextResourceContents(uri=uri, mime_type="text/plain", text=body)
    else:
        raise MCPError(INVALID_PARAMS, "Resource not found", {"uri": uri})
    return types.ReadResourceResult(contents=[contents])


async def subscribe(ctx: Context, params: types.SubscribeRequestParams) -> types.EmptyResult:
    WORLD.subscribers.setdefault(params.uri, set()).add(session_key(ctx))
    return types.EmptyResult()


async def unsubscribe(ctx: Context, params: types.UnsubscribeRequestParams) -> types.EmptyResult:
    WORLD.subscribers.setdefault(params.uri, set()).discard(session_key(ctx))
    return types.EmptyResult()


# --- prompts -------------------------------------------------------------------------------------------------


def _argument(name: str) -> types.PromptArgument:
    return types.PromptArgument(name=name, description=f"The {name} of the prompt", required=True)


PROMPTS = [
    types.Prompt(name="test_simple_prompt", description="No arguments"),
    types.Prompt(
        name="test_prompt_with_arguments",
        description="Two arguments",
        arguments=[_argument("arg1"), _argument("arg2")],
    ),
    types.Prompt(
        name="test_prompt_with_embedded_resource",
        description="Embeds a resource",
        arguments=[_argument("resourceUri")],
    ),
    types.Prompt(name="test_prompt_with_image", description="Contains an image"),
    types.Prompt(name="test_input_required_result_prompt", description="Asks the user first"),
]
EXTRA_PROMPT = types.Prompt(name="test_extra_prompt", description="Comes and goes")


async def list_prompts(ctx: Context, params: types.PaginatedRequestParams | None) -> types.ListPromptsResult:
    return types.ListPromptsResult(prompts=[*PROMPTS, EXTRA_PROMPT] if WORLD.extra_prompt else PROMPTS)


def _user(*content: types.ContentBlock | str) -> types.GetPromptResult:
    blocks = [types.TextContent(text=block) if isinstance(block, str) else block for block in content]
    return types.GetPromptResult(messages=[types.PromptMessage(role="user", content=block) for block in blocks])


async def get_prompt(
    ctx: Context, params: types.GetPromptRequestParams
) -> types.GetPromptResult | types.InputRequiredResult:
    given = params.arguments or {}
    if params.name == "test_simple_prompt":
        return _user("This is a simple prompt for testing.")
    if params.name == "test_prompt_with_arguments":
        return _user(f"Prompt with arguments: arg1='{given['arg1']}', arg2='{given['arg2']}'")
    if params.name == "test_prompt_with_embedded_resource":
        resource = embedded(given["resourceUri"], "text/plain", "Embedded resource content for testing.")
        return _user(resource, "Please process the embedded resource above.")
    if params.name == "test_prompt_with_image":
        return _user(types.ImageContent(data=PNG, mime_type="image/png"), "Please analyze the image above.")
    if params.name == "test_input_required_result_prompt":
        question = elicit("What context should the prompt use?", {"context": {"type": "string"}}, ["context"])
        answers = await ask(ctx, params, {"user_context": question})
        if isinstance(answers, types.InputRequiredResult):
            return answers
        return _user(f"Use this context: {(answers['user_context'].content or {}).get('context')}")
    raise MCPError(INVALID_PARAMS, f"Unknown prompt: {params.name}")


# --- the rest ------------------------------------------------------------------------------------------------


async def complete(ctx: Context, params: types.CompleteRequestParams) -> types.CompleteResult:
    values = [word for word in ("paris", "park", "party") if word.startswith(params.argument.value)]
    return types.CompleteResult(completion=types.Completion(values=values, total=len(values), has_more=False))


async def set_level(ctx: Context, params: types.SetLevelRequestParams) -> types.EmptyResult:
    WORLD.log_level = params.level
    return types.EmptyResult()


class Fixture(Server[Any]):
    """The server, saying in the handshake too that its lists change."""

    def create_initialization_options(
        self,
        notification_options: NotificationOptions | None = None,
        experimental_capabilities: dict[str, JSON] | None = None,
        extensions: dict[str, JSON] | None = None,
    ) -> InitializationOptions:
        changing = notification_options or NotificationOptions(True, True, True)
        return super().create_initialization_options(changing, experimental_capabilities, extensions)


async def remember_session(ctx: Context, call_next: CallNext) -> HandlerResult:
    """Middleware: note the handshake session of each request, so that changes can be told to all of them."""
    if ctx.protocol_version not in MODERN_PROTOCOL_VERSIONS and ctx.request_id is not None:
        WORLD.sessions[session_key(ctx)] = ctx.session
    return await call_next(ctx)


class OneEra:
    """Pure ASGI: answers requests of the other era as a server does that never heard of it (HTTP 400)."""

    def __init__(self, app: ASGIApp, era: str) -> None:
        self.app = app
        self.modern = era == "modern"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            version = Headers(scope=scope).get("mcp-protocol-version")
            if (version in MODERN_PROTOCOL_VERSIONS) != self.modern:
                await self.refusal(version)(scope, receive, send)
                return
        await self.app(scope, receive, send)

    def refusal(self, version: str | None) -> JSONResponse:
        if self.modern:
            data = {"supported": list(MODERN_PROTOCOL_VERSIONS), "requested": version}
            error = {"code": UNSUPPORTED_PROTOCOL_VERSION, "message": "Unsupported protocol version", "data": data}
        else:
            error = {"code": -32000, "message": f"Bad Request: Unsupported protocol version: {version}"}
        return JSONResponse({"jsonrpc": "2.0", "id": None, "error": error}, status_code=400)


def build() -> Fixture:
    """The server, with `requestState` sealed by a key of this process."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # logging/setLevel is deprecated as of 2026-07-28, and still judged
        server = Fixture(
            NAME,
            version="1.0.0",
            instructions="A server that conforms.",
            on_list_tools=list_tools,
            on_call_tool=call_tool,
            on_list_resources=list_resources,
            on_list_resource_templates=list_templates,
            on_read_resource=read_resource,
            on_subscribe_resource=subscribe,
            on_unsubscribe_resource=unsubscribe,
            on_subscriptions_listen=ListenHandler(WORLD.bus),
            on_list_prompts=list_prompts,
            on_get_prompt=get_prompt,
            on_completion=complete,
            on_set_logging_level=set_level,
        )
    server.middleware.append(remember_session)
    server.middleware.append(RequestStateBoundary(RequestStateSecurity.ephemeral(), default_audience=NAME))
    return server


async def over_stdio(server: Server[Any]) -> None:
    async with stdio_server() as (read, write):
        await server.run(read, write, server.create_initialization_options())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--port", type=int)
    where.add_argument("--stdio", action="store_true")
    parser.add_argument("--era", choices=("both", "legacy", "modern"), default="both", help="over HTTP only")
    arguments = parser.parse_args()
    server = build()
    if arguments.stdio:
        anyio.run(over_stdio, server)
    else:
        app: ASGIApp = server.streamable_http_app(event_store=Events(), retry_interval=100)
        if arguments.era != "both":
            app = OneEra(app, arguments.era)
        uvicorn.run(app, host="127.0.0.1", port=arguments.port, log_level="warning")


if __name__ == "__main__":
    main()
