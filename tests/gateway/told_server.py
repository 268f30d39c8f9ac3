"""An MCP server that offers exactly what it is told to, and speaks when nobody asked it.

    told_server.py OFFER RECORD [--port N] [--era legacy|both]

OFFER is a JSON object: `tools` (name → annotations), `prompts` (names), `resources` and `templates` (URIs),
`instructions`. Every message it gets is one JSON line of the file RECORD: method and params. On stdio without a port.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import warnings
from pathlib import Path
from typing import Any

import mcp_types as types
from mcp.server.lowlevel import Server
from mcp.server.runner import serve_loop
from mcp.server.stdio import stdio_server
from mcp.server.subscriptions import InMemorySubscriptionBus, ListenHandler, ResourceUpdated
from mcp.shared.exceptions import MCPError
from mcp.shared.message import ServerMessageMetadata
from mcp_types.version import MODERN_PROTOCOL_VERSIONS

warnings.simplefilter("ignore")
JSON = dict[str, Any]
BUS = InMemorySubscriptionBus()
LATER: set[asyncio.Task[None]] = set()
ARGUMENTS = {"type": "object", "properties": {"text": {"type": "string"}, "until": {"type": "string"}}}
QUESTION: JSON = {"mode": "form", "message": "Which?", "requestedSchema": {"type": "object", "properties": {}}}


def modern(ctx: Any) -> bool:
    return ctx.protocol_version in MODERN_PROTOCOL_VERSIONS


def said(text: str) -> types.CallToolResult:
    return types.CallToolResult(content=[types.TextContent(type="text", text=text)])


async def call(ctx: Any, params: types.CallToolRequestParams) -> Any:
    arguments = params.arguments or {}
    text = str(arguments.get("text", ""))
    match params.name:
        case "slow":
            while not os.path.exists(arguments["until"]):  # noqa: ASYNC110, ASYNC240 - another process's file
                await asyncio.sleep(0.01)
        case "later":
            _soon(_log_later(ctx.session, text))
        case "update":
            await BUS.publish(ResourceUpdated(text))
            if not modern(ctx):
                _soon(ctx.session.send_resource_updated(text))
        case "ask":
            return await _ask(ctx, params)
        case "big":
            text = "x" * int(text)
    return said(f"{params.name}: {text}")


def _soon(work: Any) -> None:
    task = asyncio.get_running_loop().create_task(work)
    LATER.add(task)
    task.add_done_callback(LATER.discard)


async def _log_later(session: Any, text: str) -> None:
    """A log message a moment after the call that caused it, and belonging to none."""
    await asyncio.sleep(0.05)
    await session.send_log_message("warning", text, "told")


async def _ask(ctx: Any, params: types.CallToolRequestParams) -> Any:
    asked = types.ElicitRequest.model_validate({"method": "elicitation/create", "params": QUESTION})
    if not modern(ctx):
        back = ServerMessageMetadata(related_request_id=ctx.request_id)
        answer = await ctx.session.send_request(asked, types.ElicitResult, metadata=back)
        return said(str(answer.action))
    if params.input_responses:
        return said("answered")
    return types.InputRequiredResult(input_requests={"q": asked})


def build(offer: JSON, record: Path, era: str) -> Server[Any]:
    async def first(ctx: Any, call_next: Any) -> Any:
        with record.open("a") as file:
            file.write(json.dumps({"method": ctx.method, "params": dict(ctx.params or {}), "pid": os.getpid()}) + "\n")
        if era == "legacy" and modern(ctx):
            raise MCPError(types.METHOD_NOT_FOUND, "Method not found")
        return await call_next(ctx)

    async def tools(ctx: Any, params: Any) -> types.ListToolsResult:
        def tool(name: str, hints: JSON) -> types.Tool:
            schema = ARGUMENTS if name != "strict" else {**ARGUMENTS, "required": ["text"]}
            return types.Tool.model_validate({"name": name, "inputSchema": schema, "annotations": hints})

        return types.ListToolsResult(tools=[tool(name, hints) for name, hints in offer["tools"].items()])

    async def prompts(ctx: Any, params: Any) -> types.ListPromptsResult:
        who = types.PromptArgument(name="who", required=True)
        return types.ListPromptsResult(prompts=[types.Prompt(name=n, arguments=[who]) for n in offer["prompts"]])

    async def prompt(ctx: Any, params: Any) -> types.GetPromptResult:
        return types.GetPromptResult(messages=[])

    async def resources(ctx: Any, params: Any) -> types.ListResourcesResult:
        return types.ListResourcesResult(
            resources=[types.Resource(uri=u, name=f"r{i}") for i, u in enumerate(offer.get("resources", ()))]
        )

    async def templates(ctx: Any, params: Any) -> types.ListResourceTemplatesResult:
        found = [types.ResourceTemplate(uri_template=u, name=f"t{i}") for i, u in enumerate(offer.get("templates", ()))]
        return types.ListResourceTemplatesResult(resource_templates=found)

    async def read(ctx: Any, params: Any) -> types.ReadResourceResult:
        contents: list[Any] = [types.TextResourceContents(uri=params.uri, text=f"content of {params.uri}")]
        return types.ReadResourceResult(contents=contents)

    async def nothing(ctx: Any, params: Any) -> types.EmptyResult:
        return types.EmptyResult()

    async def heard(ctx: Any, params: Any) -> None:
        """Written down by the middleware."""

    async def complete(ctx: Any, params: Any) -> types.CompleteResult:
        return types.CompleteResult(completion=types.Completion(values=["one"]))

    handlers: JSON = {"on_roots_list_changed": heard, "on_completion": complete, "on_set_logging_level": nothing}
    if "tools" in offer:
        handlers |= {"on_list_tools": tools, "on_call_tool": call}
    if "prompts" in offer:
        handlers |= {"on_list_prompts": prompts, "on_get_prompt": prompt}
    if "resources" in offer or "templates" in offer:
        handlers |= {"on_list_resources": resources, "on_list_resource_templates": templates}
        handlers |= {"on_read_resource": read, "on_subscribe_resource": nothing, "on_unsubscribe_resource": nothing}
        handlers |= {"on_subscriptions_listen": ListenHandler(BUS)}
    server: Server[Any] = Server("told", version="1", instructions=offer.get("instructions"), **handlers)
    server.middleware[:] = [first]
    return server


async def over_stdio(server: Server[Any], era: str) -> None:
    async with stdio_server() as (read, write):
        if era == "legacy":  # as a server does that never heard of the other era
            await serve_loop(server, read, write, lifespan_state={})
        else:
            await server.run(read, write, server.create_initialization_options())


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("offer", type=json.loads)
    parser.add_argument("record", type=Path)
    parser.add_argument("--port", type=int)
    parser.add_argument("--era", choices=("both", "legacy"), default="both")
    given = parser.parse_args()
    server = build(given.offer, given.record, given.era)
    if given.port is None:
        asyncio.run(over_stdio(server, given.era))
    else:
        import uvicorn  # which takes a while, and a stdio server does without

        uvicorn.run(server.streamable_http_app(), host="127.0.0.1", port=given.port, log_level="error")


if __name__ == "__main__":
    main()
