"""A stdio server written with the official SDK, in both eras: definitions, progress, questions, log, subscriptions."""

import anyio
import mcp_types as types
from mcp.server.lowlevel.server import Server
from mcp.server.stdio import stdio_server
from mcp.server.subscriptions import InMemorySubscriptionBus, ListenHandler, ResourceUpdated, ToolsListChanged

bus = InMemorySubscriptionBus()
names = ["change", "ask"]
SCHEMA = {
    "type": "object",
    "properties": {"leg": {"$ref": "#/$defs/Leg"}},
    "$defs": {"Leg": {"type": "object", "properties": {"city": {"type": "string"}}}},
}


async def list_tools(ctx, params):
    return types.ListToolsResult(
        tools=[types.Tool(name=name, input_schema=SCHEMA, output_schema=SCHEMA) for name in names]
    )


async def call_tool(ctx, params):
    if params.name == "change":
        names.append(f"new{len(names)}")
        await bus.publish(ToolsListChanged())
        await bus.publish(ResourceUpdated(uri="note://one"))
        if ctx.protocol_version != "2026-07-28":
            await ctx.session.send_tool_list_changed()
    return types.CallToolResult(
        content=[types.TextContent(type="text", text=ctx.protocol_version)],
        structured_content={"leg": {"city": "Oslo"}},
    )


async def list_resources(ctx, params):
    return types.ListResourcesResult(resources=[types.Resource(name="one", uri="note://one")])


server = Server(
    "sdk",
    on_list_tools=list_tools,
    on_call_tool=call_tool,
    on_list_resources=list_resources,
    on_subscriptions_listen=ListenHandler(bus),
)


async def main() -> None:
    async with stdio_server() as (read, write):
        await server.run(read, write, server.create_initialization_options())


anyio.run(main)
