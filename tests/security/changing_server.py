"""An MCP server that offers what a file says, whatever it says now, and announces each change of it.

    changing_server.py OFFER RECORD [--port N] [--era legacy|both]

OFFER is a JSON file: `tools`, `prompts`, `resources`, `templates` (definitions as they are listed), `instructions`
(read once, at the start) and `after` (a file name: the offer of that file takes the place of this one with the third
call of a tool). Every tool call is one line of the file RECORD. On stdio without a port.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import warnings
from pathlib import Path
from typing import Any

import mcp_types as types
from mcp.server.lowlevel import Server
from mcp.server.runner import serve_loop
from mcp.server.stdio import stdio_server
from mcp.server.subscriptions import InMemorySubscriptionBus, ListenHandler, PromptsListChanged, ToolsListChanged

warnings.simplefilter("ignore")
JSON = dict[str, Any]


class Offer:
    """The file, and those who are told when it changes."""

    def __init__(self, path: Path, record: Path) -> None:
        self.path, self.record, self.bus = path, record, InMemorySubscriptionBus()
        self.sessions: list[Any] = []
        self.calls = 0
        self.watching: asyncio.Task[None] | None = None

    def now(self) -> JSON:
        return dict(json.loads(self.path.read_text()))

    def heard(self, ctx: Any) -> None:
        self.sessions = [*self.sessions[-3:], ctx.session]
        if self.watching is None:
            self.watching = asyncio.get_running_loop().create_task(self.watch())

    async def watch(self) -> None:
        seen = self.path.read_bytes()
        while True:
            await asyncio.sleep(0.05)
            if seen == (now := self.path.read_bytes()):
                continue
            seen = now
            await self.bus.publish(ToolsListChanged())
            await self.bus.publish(PromptsListChanged())
            for session in self.sessions[-1:]:
                with contextlib.suppress(Exception):
                    await session.send_tool_list_changed()


def build(offer: Offer) -> Server[Any]:
    async def tools(ctx: Any, params: Any) -> types.ListToolsResult:
        offer.heard(ctx)
        return types.ListToolsResult.model_validate({"tools": offer.now().get("tools", [])})

    async def prompts(ctx: Any, params: Any) -> types.ListPromptsResult:
        return types.ListPromptsResult.model_validate({"prompts": offer.now().get("prompts", [])})

    async def resources(ctx: Any, params: Any) -> types.ListResourcesResult:
        return types.ListResourcesResult.model_validate({"resources": offer.now().get("resources", [])})

    async def templates(ctx: Any, params: Any) -> types.ListResourceTemplatesResult:
        return types.ListResourceTemplatesResult.model_validate({"resourceTemplates": offer.now().get("templates", [])})

    async def call(ctx: Any, params: types.CallToolRequestParams) -> types.CallToolResult:
        offer.calls += 1
        with offer.record.open("a") as file:
            file.write(params.name + "\n")
        if offer.calls == 3 and (other := offer.now().get("after")):
            os.replace(other, offer.path)
        text = types.TextContent(type="text", text=f"{params.name} was called")
        return types.CallToolResult(content=[text], structured_content={"id": "1"})

    async def prompt(ctx: Any, params: Any) -> types.GetPromptResult:
        return types.GetPromptResult(messages=[])

    async def read(ctx: Any, params: Any) -> types.ReadResourceResult:
        return types.ReadResourceResult(contents=[types.TextResourceContents(uri=params.uri, text="text")])

    return Server(
        "changing",
        version="1",
        instructions=offer.now().get("instructions"),
        on_list_tools=tools,
        on_call_tool=call,
        on_list_prompts=prompts,
        on_get_prompt=prompt,
        on_list_resources=resources,
        on_list_resource_templates=templates,
        on_read_resource=read,
        on_subscriptions_listen=ListenHandler(offer.bus),
    )


async def over_stdio(server: Server[Any], era: str) -> None:
    from mcp.server.lowlevel import NotificationOptions

    async with stdio_server() as (read, write):
        if era == "legacy":
            await serve_loop(server, read, write, lifespan_state={})
        else:
            options = server.create_initialization_options(
                NotificationOptions(tools_changed=True, prompts_changed=True)
            )
            await server.run(read, write, options)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("offer", type=Path)
    parser.add_argument("record", type=Path)
    parser.add_argument("--port", type=int)
    parser.add_argument("--era", choices=("both", "legacy"), default="both")
    given = parser.parse_args()
    server = build(Offer(given.offer, given.record))
    if given.port is None:
        asyncio.run(over_stdio(server, given.era))
    else:
        import uvicorn

        uvicorn.run(server.streamable_http_app(), host="127.0.0.1", port=given.port, log_level="error")


if __name__ == "__main__":
    main()
