"""Servers of other kinds, each a process of its own.

other_servers.py api PORT RECORD     an HTTP API with an OpenAPI document at /openapi.json
other_servers.py many PORT COUNT     an MCP server with COUNT tools, listed in pages of 500
other_servers.py mute PORT           accepts connections and requests and never says a word
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import mcp_types as types
import uvicorn
from mcp.server.lowlevel import Server
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

JSON = dict[str, Any]
PAGE = 500
ORDER: JSON = {
    "type": "object",
    "properties": {"number": {"type": "string"}, "item": {"type": "string"}, "amount": {"type": "integer"}},
    "required": ["number", "item"],
}


def _operation(name: str, summary: str, parameters: list[JSON] | None = None, body: JSON | None = None) -> JSON:
    answer = {"description": "It", "content": {"application/json": {"schema": ORDER}}}
    found: JSON = {"operationId": name, "summary": summary, "responses": {"200": answer}}
    if parameters:
        found["parameters"] = parameters
    if body:
        found["requestBody"] = {"required": True, "content": {"application/json": {"schema": body}}}
    return found


def document(port: int) -> JSON:
    number = {"name": "number", "in": "path", "required": True, "schema": {"type": "string"}}
    verbose = {"name": "verbose", "in": "query", "schema": {"type": "boolean"}}
    return {
        "openapi": "3.1.0",
        "info": {"title": "Orders", "version": "1"},
        "servers": [{"url": f"http://127.0.0.1:{port}"}],
        "paths": {
            "/orders/{number}": {"get": _operation("get_order", "One order", [number, verbose])},
            "/orders": {"post": _operation("create_order", "A new order", body=ORDER)},
        },
    }


def api(port: int, record: Path) -> Starlette:
    def note(request: Request, body: Any = None) -> None:
        line = {"method": request.method, "path": str(request.url), "headers": dict(request.headers), "body": body}
        with record.open("a") as file:
            file.write(json.dumps(line) + "\n")

    async def get_order(request: Request) -> Response:
        note(request)
        number = request.path_params["number"]
        if number == "none":
            return JSONResponse({"error": "no such order"}, status_code=404)
        return JSONResponse({"number": number, "item": "lamp", "amount": 2})

    async def create_order(request: Request) -> Response:
        body = await request.json()
        note(request, body)
        return JSONResponse(body)

    async def openapi(request: Request) -> Response:
        return JSONResponse(document(port))

    return Starlette(
        routes=[
            Route("/openapi.json", openapi),
            Route("/orders/{number}", get_order),
            Route("/orders", create_order, methods=["POST"]),
        ]
    )


def many(count: int) -> Any:
    def tool(number: int) -> types.Tool:
        words = ("weather", "invoice", "parcel", "meeting", "recipe")[number % 5]
        schema = {"type": "object", "properties": {"text": {"type": "string", "description": f"About the {words}"}}}
        return types.Tool(name=f"tool_{number:05}", description=f"Handles {words} number {number}", input_schema=schema)

    async def list_tools(ctx: Any, params: types.PaginatedRequestParams | None) -> types.ListToolsResult:
        start = int(params.cursor) if params and params.cursor else 0
        end = min(start + PAGE, count)
        return types.ListToolsResult(
            tools=[tool(number) for number in range(start, end)], next_cursor=str(end) if end < count else None
        )

    async def call_tool(ctx: Any, params: types.CallToolRequestParams) -> types.CallToolResult:
        return types.CallToolResult(content=[types.TextContent(type="text", text=f"{params.name} was called")])

    return Server("many", on_list_tools=list_tools, on_call_tool=call_tool).streamable_http_app()


async def mute(port: int) -> None:
    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(65_536):
            pass
        writer.close()

    server = await asyncio.start_server(listen, "127.0.0.1", port)
    await server.serve_forever()


def main() -> None:
    kind, port = sys.argv[1], int(sys.argv[2])
    if kind == "mute":
        asyncio.run(mute(port))
    else:
        app = api(port, Path(sys.argv[3])) if kind == "api" else many(int(sys.argv[3]))
        uvicorn.run(app, host="127.0.0.1", port=port, log_level="error")


if __name__ == "__main__":
    main()
