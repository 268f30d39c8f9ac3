"""The server behind the gateway in the benchmarks: `echo` and a 2 KB `lookup` with synthetic PII, both protocol eras.

python benchmarks/downstream.py --port 9100
"""

from __future__ import annotations

import argparse
import json
from typing import Any

import mcp_types as types
import uvicorn
from mcp.server.lowlevel import Server

_TEXT = {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]}
_ID = {"type": "object", "properties": {"id": {"type": "integer"}}, "required": ["id"]}
TOOLS = [
    types.Tool(name="echo", description="Return the text unchanged.", input_schema=_TEXT),
    types.Tool(name="lookup", description="Look up a customer record by id.", input_schema=_ID),
]


def record(number: int) -> dict[str, Any]:
    """A customer record of about 2 KB; every value is made up."""
    contacts = [
        {
            "name": f"Person {number} {k}",
            "email": f"person{number}.{k}@example.com",
            "phone": f"+1 (415) 555-{(number * 7 + k) % 10000:04d}",
            "ssn": f"{100 + (number + k) % 500:03d}-{10 + k:02d}-{1000 + (number * 13) % 8999:04d}",
            "card": "4111 1111 1111 1111",
            "last_login_ip": f"203.0.{number % 250}.{k + 1}",
        }
        for k in range(6)
    ]
    notes = "Customer asked to move the renewal date and to be reached by mail only. " * 8
    return {"id": number, "account": f"ACC-{number:08d}", "status": "active", "contacts": contacts, "notes": notes}


async def list_tools(ctx: Any, params: Any) -> types.ListToolsResult:
    return types.ListToolsResult(tools=TOOLS)


async def call_tool(ctx: Any, params: types.CallToolRequestParams) -> types.CallToolResult:
    arguments = params.arguments or {}
    text = arguments["text"] if params.name == "echo" else json.dumps(record(int(arguments["id"])))
    return types.CallToolResult(content=[types.TextContent(type="text", text=text)])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--port", type=int, default=9100)
    app = Server("downstream", on_list_tools=list_tools, on_call_tool=call_tool).streamable_http_app()
    uvicorn.run(app, host="127.0.0.1", port=parser.parse_args().port, log_level="error", access_log=False)


if __name__ == "__main__":
    main()
