"""The tools of the conformance fixture, each working in both protocol eras.

Where a tool needs something of the client it asks in the way of the era it is called in: a request of the
server's own in the handshake era, a multi-round-trip result (SEP-2322) in the stateless one. So the gateway
may speak either era to this fixture and either to its client, and every combination has to work.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import anyio
import mcp_types as types
from mcp.server.context import ServerRequestContext
from mcp.server.session import ServerSession
from mcp.server.subscriptions import (
    InMemorySubscriptionBus,
    PromptsListChanged,
    ResourceUpdated,
    ServerEvent,
    ToolsListChanged,
)
from mcp.shared.exceptions import MCPError
from mcp.shared.message import ServerMessageMetadata
from mcp_types.version import MODERN_PROTOCOL_VERSIONS

Context = ServerRequestContext[Any, Any]
Params = types.CallToolRequestParams
Answer = types.CallToolResult | types.InputRequiredResult
Run = Callable[[Context, Params], Awaitable[Answer]]
JSON = dict[str, Any]

PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8DwHwAFBQIAX8jx0gAAAABJRU5ErkJggg=="
WAV = "UklGRiYAAABXQVZFZm10IBAAAAABAAEAQB8AAAB9AAACABAAZGF0YQIAAAA="
WATCHED = "test://watched-resource"

_RESULTS: dict[str, type[types.ElicitResult | types.CreateMessageResult | types.ListRootsResult]] = {
    "elicitation/create": types.ElicitResult,
    "sampling/createMessage": types.CreateMessageResult,
    "roots/list": types.ListRootsResult,
}
_CAPABILITY = {"elicitation/create": "elicitation", "sampling/createMessage": "sampling", "roots/list": "roots"}

Responses = dict[str, Any]


@dataclass(frozen=True)
class Entry:
    """One tool: what the listing says, and what a call does."""

    definition: types.Tool
    run: Run


@dataclass
class World:
    """What calls can change: the lists, the watched resource, and who is told of it.

    Attributes:
        sessions: the newest request's view of each handshake session, by session id.
        subscribers: ids of the sessions that watch a resource, by its URI.
    """

    bus: InMemorySubscriptionBus = field(default_factory=InMemorySubscriptionBus)
    sessions: dict[str, ServerSession] = field(default_factory=dict)
    subscribers: dict[str, set[str]] = field(default_factory=dict)
    extra_tool: bool = False
    extra_prompt: bool = False
    watched_revision: int = 0
    log_level: str = "debug"

    async def changed(self, event: ServerEvent, legacy: types.ServerNotification) -> None:
        """Tell listen streams (2026) through the bus, and every handshake session that it concerns."""
        await self.bus.publish(event)
        told = self.subscribers.get(event.uri, set()) if isinstance(event, ResourceUpdated) else set(self.sessions)
        for key in told & set(self.sessions):
            with contextlib.suppress(anyio.ClosedResourceError, anyio.BrokenResourceError):
                await self.sessions[key].send_notification(legacy)


def session_key(ctx: Context) -> str:
    """The id of the handshake session; there is only one over stdio."""
    return str(ctx.request.headers.get("mcp-session-id")) if ctx.request is not None else "stdio"


WORLD = World()
TOOLS: dict[str, Entry] = {}


def tool(description: str, properties: JSON | None = None, schema: JSON | None = None) -> Callable[[Run], Run]:
    """Register the decorated coroutine under its own name, with `schema` or an object schema of `properties`."""

    def register(run: Run) -> Run:
        name = getattr(run, "__name__", "")
        required = {"required": sorted(properties)} if properties else {}
        full = schema or {"type": "object", "properties": properties or {}, **required}
        TOOLS[name] = Entry(types.Tool(name=name, description=description, input_schema=full), run)
        return run

    return register


def text(value: str, *, error: bool = False) -> types.CallToolResult:
    return types.CallToolResult(content=[types.TextContent(text=value)], is_error=error)


def elicit(message: str, properties: JSON, required: list[str] | None = None) -> types.ElicitRequest:
    schema = {"type": "object", "properties": properties, "required": required or []}
    return types.ElicitRequest(params=types.ElicitRequestFormParams(message=message, requested_schema=schema))


def sample(prompt: str, max_tokens: int = 100) -> types.CreateMessageRequest:
    message = types.SamplingMessage(role="user", content=types.TextContent(text=prompt))
    return types.CreateMessageRequest(
        params=types.CreateMessageRequestParams(messages=[message], max_tokens=max_tokens)
    )


def declared(ctx: Context, method: str) -> bool:
    """Whether the client said it can answer `method`."""
    capabilities = ctx.session.client_capabilities
    return capabilities is not None and getattr(capabilities, _CAPABILITY[method]) is not None


def require(ctx: Context, method: str) -> None:
    """Refuse (-32021) a client that did not declare the capability for `method`."""
    if not declared(ctx, method):
        name = _CAPABILITY[method]
        raise MCPError(
            types.MISSING_REQUIRED_CLIENT_CAPABILITY,
            f"this tool needs the client capability {name!r}",
            {"requiredCapabilities": {name: {}}},
        )


async def ask(
    ctx: Context,
    params: types.InputResponseRequestParams,
    requests: types.InputRequests,
    state: str | None = None,
) -> Responses | types.InputRequiredResult:
    """Put `requests` to the client, in the way of its era.

    Returns:
        The answers by key, or the `InputRequiredResult` to return to a 2026 client. `state` is accepted
        back only as it was sent (the server's middleware has verified its seal).
    """
    if ctx.protocol_version not in MODERN_PROTOCOL_VERSIONS:
        back = ServerMessageMetadata(related_request_id=ctx.request_id)
        return {
            key: await ctx.session.send_request(request, _RESULTS[request.method], metadata=back)
            for key, request in requests.items()
        }
    given = params.input_responses or {}
    complete = all(isinstance(given.get(key), _RESULTS[request.method]) for key, request in requests.items())
    if complete and params.request_state == state:
        return {key: given[key] for key in requests}
    return types.InputRequiredResult(input_requests=requests, request_state=state)


async def log(ctx: Context, data: str) -> None:
    """Send an `info` log message on the stream of this request, if its client wants that level."""
    order = ["debug", "info", "notice", "warning", "error", "critical", "alert", "emergency"]
    modern = ctx.protocol_version in MODERN_PROTOCOL_VERSIONS
    if modern or order.index(WORLD.log_level) <= order.index("info"):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # logging is deprecated as of 2026-07-28, and still has to work
            await ctx.session.send_log_message("info", data, related_request_id=ctx.request_id)


# --- content -------------------------------------------------------------------------------------------------


@tool("Returns simple text")
async def test_simple_text(ctx: Context, params: Params) -> Answer:
    return text("This is a simple text response for testing.")


@tool("Returns a PNG image")
async def test_image_content(ctx: Context, params: Params) -> Answer:
    return types.CallToolResult(content=[types.ImageContent(data=PNG, mime_type="image/png")])


@tool("Returns a WAV clip")
async def test_audio_content(ctx: Context, params: Params) -> Answer:
    return types.CallToolResult(content=[types.AudioContent(data=WAV, mime_type="audio/wav")])


def embedded(uri: str, mime: str, body: str) -> types.EmbeddedResource:
    return types.EmbeddedResource(resource=types.TextResourceContents(uri=uri, mime_type=mime, text=body))


@tool("Returns an embedded resource")
async def test_embedded_resource(ctx: Context, params: Params) -> Answer:
    resource = embedded("test://embedded-resource", "text/plain", "This is an embedded resource content.")
    return types.CallToolResult(content=[resource])


@tool("Returns text, an image and a resource")
async def test_multiple_content_types(ctx: Context, params: Params) -> Answer:
    return types.CallToolResult(
        content=[
            types.TextContent(text="Multiple content types test:"),
            types.ImageContent(data=PNG, mime_type="image/png"),
            embedded("test://mixed-content-resource", "application/json", '{"test":"data","value":123}'),
        ]
    )


@tool("Always fails")
async def test_error_handling(ctx: Context, params: Params) -> Answer:
    return text("This tool intentionally returns an error for testing", error=True)


# --- what happens during a call ------------------------------------------------------------------------------


@tool("Sends three log messages")
async def test_tool_with_logging(ctx: Context, params: Params) -> Answer:
    for message in ("Tool execution started", "Tool processing data", "Tool execution completed"):
        await log(ctx, message)
        await anyio.sleep(0.02)
    return text("Logged three messages.")


@tool("Logs, but only where the request asked for a log level")
async def test_logging_tool(ctx: Context, params: Params) -> Answer:
    await log(ctx, "Log line of test_logging_tool")
    return text("Logged if asked to.")


@tool("Reports progress 0, 50 and 100 of 100")
async def test_tool_with_progress(ctx: Context, params: Params) -> Answer:
    for done in (0, 50, 100):
        await ctx.session.report_progress(done, 100, f"Completed step {done} of 100")
        await anyio.sleep(0.02)
    return text("Progress reported.")


@tool("Closes its event stream before it answers; the client comes back for the answer (SEP-1699)")
async def test_reconnection(ctx: Context, params: Params) -> Answer:
    if ctx.close_sse_stream is not None:
        await ctx.close_sse_stream()
    await anyio.sleep(0.1)
    return text("Reconnection test completed.")


# --- asking the client, as the scenarios of the handshake era know it ----------------------------------------


@tool("Asks the client's model", {"prompt": {"type": "string", "description": "what to ask"}})
async def test_sampling(ctx: Context, params: Params) -> Answer:
    require(ctx, "sampling/createMessage")
    answers = await ask(ctx, params, {"sample": sample(str((params.arguments or {})["prompt"]))})
    if isinstance(answers, types.InputRequiredResult):
        return answers
    return text(f"LLM response: {answers['sample'].content.text}")


async def _elicited(ctx: Context, params: Params, request: types.ElicitRequest, prefix: str) -> Answer:
    require(ctx, "elicitation/create")
    answers = await ask(ctx, params, {"form": request})
    if isinstance(answers, types.InputRequiredResult):
        return answers
    form: types.ElicitResult = answers["form"]
    return text(f"{prefix}: action={form.action}, content={form.content}")


@tool("Asks the user", {"message": {"type": "string", "description": "what to show the user"}})
async def test_elicitation(ctx: Context, params: Params) -> Answer:
    properties = {
        "username": {"type": "string", "description": "User's response"},
        "email": {"type": "string", "description": "User's email address"},
    }
    request = elicit(str((params.arguments or {})["message"]), properties, ["username", "email"])
    return await _elicited(ctx, params, request, "User response")


@tool("Asks with default values of every primitive type (SEP-1034)")
async def test_elicitation_sep1034_defaults(ctx: Context, params: Params) -> Answer:
    properties = {
        "name": {"type": "string", "default": "John Doe"},
        "age": {"type": "integer", "default": 30},
        "score": {"type": "number", "default": 95.5},
        "status": {"type": "string", "enum": ["active", "inactive", "pending"], "default": "active"},
        "verified": {"type": "boolean", "default": True},
    }
    return await _elicited(ctx, params, elicit("Please review", properties), "Elicitation completed")


@tool("Asks with every kind of enumeration (SEP-1330)")
async def test_elicitation_sep1330_enums(ctx: Context, params: Params) -> Answer:
    options = ["option1", "option2", "option3"]
    titled = [{"const": f"value{n}", "title": f"Choice {n}"} for n in (1, 2, 3)]
    properties = {
        "untitledSingle": {"type": "string", "enum": options},
        "titledSingle": {"type": "string", "oneOf": titled},
        "legacyEnum": {"type": "string", "enum": ["opt1", "opt2"], "enumNames": ["Option One", "Option Two"]},
        "untitledMulti": {"type": "array", "items": {"type": "string", "enum": options}},
        "titledMulti": {"type": "array", "items": {"anyOf": titled}},
    }
    return await _elicited(ctx, params, elicit("Please choose", properties), "Elicitation completed")


# --- multi-round-trip (SEP-2322) -----------------------------------------------------------------------------

NAME = {"name": {"type": "string"}}


@tool("Asks for a name, then greets")
async def test_input_required_result_elicitation(ctx: Context, params: Params) -> Answer:
    answers = await ask(ctx, params, {"user_name": elicit("What is your name?", NAME, ["name"])})
    if isinstance(answers, types.InputRequiredResult):
        return answers
    return text(f"Hello, {(answers['user_name'].content or {}).get('name')}!")


@tool("Asks the client's model for a capital")
async def test_input_required_result_sampling(ctx: Context, params: Params) -> Answer:
    answers = await ask(ctx, params, {"capital_question": sample("What is the capital of France?")})
    if isinstance(answers, types.InputRequiredResult):
        return answers
    return text(answers["capital_question"].content.text)


@tool("Asks for the client's roots")
async def test_input_required_result_list_roots(ctx: Context, params: Params) -> Answer:
    answers = await ask(ctx, params, {"client_roots": types.ListRootsRequest()})
    if isinstance(answers, types.InputRequiredResult):
        return answers
    return text("Roots: " + ", ".join(str(root.uri) for root in answers["client_roots"].roots))


@tool("Asks for a confirmation and keeps sealed state between the rounds")
async def test_input_required_result_request_state(ctx: Context, params: Params) -> Answer:
    confirm = elicit("Please confirm", {"ok": {"type": "boolean"}}, ["ok"])
    answers = await ask(ctx, params, {"confirm": confirm}, "awaiting-confirmation")
    return answers if isinstance(answers, types.InputRequiredResult) else text("state-ok")


@tool("Refuses state that was tampered with")
async def test_input_required_result_tampered_state(ctx: Context, params: Params) -> Answer:
    confirm = elicit("Please confirm", {"ok": {"type": "boolean"}}, ["ok"])
    answers = await ask(ctx, params, {"confirm": confirm}, "sealed")
    return answers if isinstance(answers, types.InputRequiredResult) else text("confirmed")


@tool("Asks three things of the client at once")
async def test_input_required_result_multiple_inputs(ctx: Context, params: Params) -> Answer:
    requests: types.InputRequests = {
        "user_name": elicit("What is your name?", NAME, ["name"]),
        "greeting": sample("Generate a greeting", 50),
        "client_roots": types.ListRootsRequest(),
    }
    answers = await ask(ctx, params, requests, "three-questions")
    if isinstance(answers, types.InputRequiredResult):
        return answers
    return text(f"{answers['greeting'].content.text} ({len(answers['client_roots'].roots)} roots)")


@tool("Asks twice, one thing after the other")
async def test_input_required_result_multi_round(ctx: Context, params: Params) -> Answer:
    first = {"step1": elicit("Step 1: What is your name?", NAME, ["name"])}
    second = {"step2": elicit("Step 2: What is your favorite color?", {"color": {"type": "string"}}, ["color"])}
    if params.request_state != "round-2":
        answers = await ask(ctx, params, first, "round-1")  # type: ignore[arg-type]  # dict is invariant
        if isinstance(answers, types.InputRequiredResult):
            return answers
    answers = await ask(ctx, params, second, "round-2")  # type: ignore[arg-type]  # dict is invariant
    return answers if isinstance(answers, types.InputRequiredResult) else text("Both rounds done.")


@tool("Asks only what the client declared it can answer")
async def test_input_required_result_capabilities(ctx: Context, params: Params) -> Answer:
    every: types.InputRequests = {
        "user_name": elicit("What is your name?", NAME, ["name"]),
        "greeting": sample("Generate a greeting", 50),
    }
    possible = {key: request for key, request in every.items() if declared(ctx, request.method)}
    if not possible:
        return text("This client can answer nothing.")
    answers = await ask(ctx, params, possible)
    return answers if isinstance(answers, types.InputRequiredResult) else text(f"Answered: {sorted(answers)}")


@tool("Needs a client that can sample (-32021 otherwise)")
async def test_missing_capability(ctx: Context, params: Params) -> Answer:
    require(ctx, "sampling/createMessage")
    return text("The client can sample.")


@tool("Elicits within a streamed answer")
async def test_streaming_elicitation(ctx: Context, params: Params) -> Answer:
    answers = await ask(ctx, params, {"user_name": elicit("What is your name?", NAME, ["name"])})
    return answers if isinstance(answers, types.InputRequiredResult) else text("Elicited.")


# --- changes -------------------------------------------------------------------------------------------------


@tool("Adds a tool to the list, or takes it away again")
async def test_trigger_tool_change(ctx: Context, params: Params) -> Answer:
    WORLD.extra_tool = not WORLD.extra_tool
    await WORLD.changed(ToolsListChanged(), types.ToolListChangedNotification())
    return text("Tool list changed.")


@tool("Adds a prompt to the list, or takes it away again")
async def test_trigger_prompt_change(ctx: Context, params: Params) -> Answer:
    WORLD.extra_prompt = not WORLD.extra_prompt
    await WORLD.changed(PromptsListChanged(), types.PromptListChangedNotification())
    return text("Prompt list changed.")


@tool("Changes the watched resource")
async def test_trigger_resource_update(ctx: Context, params: Params) -> Answer:
    WORLD.watched_revision += 1
    note = types.ResourceUpdatedNotification(params=types.ResourceUpdatedNotificationParams(uri=WATCHED))
    await WORLD.changed(ResourceUpdated(uri=WATCHED), note)
    return text(f"Revision {WORLD.watched_revision}.")


# --- schemas -------------------------------------------------------------------------------------------------

_STRING = {"type": "string"}


@tool(
    "Tool with JSON Schema 2020-12 features",
    schema={
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "$defs": {
            "address": {
                "$anchor": "addressDef",
                "type": "object",
                "properties": {"street": _STRING, "city": _STRING},
            }
        },
        "properties": {
            "name": _STRING,
            "address": {"$ref": "#/$defs/address"},
            "contactMethod": {"type": "string", "enum": ["phone", "email"]},
            "phone": _STRING,
            "email": _STRING,
        },
        "allOf": [{"anyOf": [{"required": ["phone"]}, {"required": ["email"]}]}],
        "if": {"properties": {"contactMethod": {"const": "phone"}}, "required": ["contactMethod"]},
        "then": {"required": ["phone"]},
        "else": {"required": ["email"]},
        "additionalProperties": False,
    },
)
async def json_schema_2020_12_tool(ctx: Context, params: Params) -> Answer:
    return text(f"Arguments: {params.arguments}")


@tool(
    "Takes a parameter that also travels as a header (SEP-2243)",
    {"region": {"type": "string", "x-mcp-header": "Region"}},
)
async def test_custom_header(ctx: Context, params: Params) -> Answer:
    return text(f"Region: {(params.arguments or {}).get('region')}")
