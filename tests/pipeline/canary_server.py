"""An MCP server that speaks on every channel there is, in both eras, and says whatever it is told to say.

    canary_server.py --port N | --stdio

The text of environment variable CANARY appears in every string of every channel: resources, prompts, completions,
results, errors, progress, logs, elicitation, sampling; that of CANARY_DEFINITIONS (default: the same) in tool, resource
and prompt definitions and the instructions. What clients send ends up in the file named by CANARY_SEEN, one JSON
line per message.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import warnings
from typing import Any

import mcp_types as types
import uvicorn
from mcp.server.lowlevel import Server
from mcp.server.stdio import stdio_server
from mcp.shared.exceptions import MCPError
from mcp_types.version import MODERN_PROTOCOL_VERSIONS

warnings.simplefilter("ignore")
SAY = os.environ.get("CANARY", "canary")
DEFINE = os.environ.get("CANARY_DEFINITIONS", SAY)
TEXT = {"type": "object", "properties": {"text": {"type": "string", "description": DEFINE}}}


def seen(what: str, value: Any) -> None:
    if path := os.environ.get("CANARY_SEEN"):
        with open(path, "a") as file:
            file.write(json.dumps({"what": what, "value": value}) + "\n")


def say(text: str = "") -> list[Any]:
    return [types.TextContent(type="text", text=f"{SAY} {text}".strip())]


async def list_tools(ctx: Any, params: Any) -> types.ListToolsResult:
    def tool(name: str, **more: Any) -> types.Tool:
        return types.Tool(name=name, description=f"{name}: {DEFINE}", title=DEFINE, input_schema=TEXT, **more)

    output = {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]}
    return types.ListToolsResult(
        tools=[tool("talk", output_schema=output), tool("fail"), tool("report"), tool("ask"), tool("sample")]
    )


async def call_tool(ctx: Any, params: types.CallToolRequestParams) -> Any:
    seen("tools/call", params.model_dump(mode="json", by_alias=True, exclude_none=True))
    if params.name == "fail":
        raise MCPError(code=-32050, message=SAY, data={"why": SAY})
    if params.name == "report":
        await ctx.session.report_progress(0.5, 1.0, SAY)
        await ctx.session.send_log_message("warning", SAY, "canary", related_request_id=ctx.request_id)
        return types.CallToolResult(content=say(), is_error=True)
    if params.name in ("ask", "sample"):
        return await _interact(ctx, params)
    echoed = str((params.arguments or {}).get("text", ""))
    return types.CallToolResult(content=say(echoed), structured_content={"text": f"{SAY} {echoed}"})


async def _interact(ctx: Any, params: types.CallToolRequestParams) -> Any:
    schema: Any = {"type": "object", "properties": {"reply": {"type": "string", "description": SAY}}}
    message = types.SamplingMessage(role="user", content=types.TextContent(type="text", text=SAY))
    if ctx.protocol_version in MODERN_PROTOCOL_VERSIONS:
        if params.input_responses:
            (answer,) = params.input_responses.values()
            return _heard(answer)
        question: Any = (
            types.ElicitRequest(params=types.ElicitRequestFormParams(message=SAY, requested_schema=schema))
            if params.name == "ask"
            else types.CreateMessageRequest(
                params=types.CreateMessageRequestParams(messages=[message], max_tokens=5, system_prompt=SAY)
            )
        )
        return types.InputRequiredResult(input_requests={"q": question}, request_state="state-1")
    if params.name == "ask":
        return _heard(await ctx.session.elicit_form(SAY, schema, related_request_id=ctx.request_id))
    return _heard(
        await ctx.session.create_message([message], max_tokens=5, system_prompt=SAY, related_request_id=ctx.request_id)
    )


def _heard(answer: Any) -> types.CallToolResult:
    value = answer.model_dump(mode="json", by_alias=True, exclude_none=True)
    seen("answer", value)
    return types.CallToolResult(content=say(json.dumps(value)))


async def list_resources(ctx: Any, params: Any) -> types.ListResourcesResult:
    return types.ListResourcesResult(resources=[types.Resource(uri="canary://one", name="one", description=DEFINE)])


async def list_templates(ctx: Any, params: Any) -> types.ListResourceTemplatesResult:
    template = types.ResourceTemplate(uri_template="canary://item/{id}", name="item", description=DEFINE)
    return types.ListResourceTemplatesResult(resource_templates=[template])


async def read_resource(ctx: Any, params: types.ReadResourceRequestParams) -> types.ReadResourceResult:
    seen("resources/read", str(params.uri))
    return types.ReadResourceResult(contents=[types.TextResourceContents(uri=params.uri, text=SAY)])


async def subscribe(ctx: Any, params: types.SubscribeRequestParams) -> types.EmptyResult:
    return types.EmptyResult()


async def list_prompts(ctx: Any, params: Any) -> types.ListPromptsResult:
    argument = types.PromptArgument(name="who", description=DEFINE)
    return types.ListPromptsResult(prompts=[types.Prompt(name="greet", description=DEFINE, arguments=[argument])])


async def get_prompt(ctx: Any, params: types.GetPromptRequestParams) -> types.GetPromptResult:
    seen("prompts/get", params.arguments)
    message = types.PromptMessage(role="user", content=types.TextContent(type="text", text=SAY))
    return types.GetPromptResult(description=SAY, messages=[message])


async def complete(ctx: Any, params: types.CompleteRequestParams) -> types.CompleteResult:
    seen("completion/complete", params.argument.value)
    return types.CompleteResult(completion=types.Completion(values=[SAY]))


async def set_level(ctx: Any, params: Any) -> types.EmptyResult:
    return types.EmptyResult()


def server() -> Server[Any]:
    return Server(
        "canary",
        version="1",
        instructions=f"Instructions: {DEFINE}",
        on_list_tools=list_tools,
        on_call_tool=call_tool,
        on_list_resources=list_resources,
        on_list_resource_templates=list_templates,
        on_read_resource=read_resource,
        on_subscribe_resource=subscribe,
        on_unsubscribe_resource=subscribe,
        on_list_prompts=list_prompts,
        on_get_prompt=get_prompt,
        on_completion=complete,
        on_set_logging_level=set_level,
    )


async def stdio() -> None:
    app = server()
    async with stdio_server() as (read, write):
        await app.run(read, write, app.create_initialization_options())


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int)
    parser.add_argument("--stdio", action="store_true")
    a = parser.parse_args()
    if a.stdio:
        asyncio.run(stdio())
    else:
        uvicorn.run(server().streamable_http_app(), host="127.0.0.1", port=a.port, log_level="error", access_log=False)


if __name__ == "__main__":
    main()
