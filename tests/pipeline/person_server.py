"""An MCP server (2025-11-25, stdio) with one person's data: `look_up` gives it, `file` takes it.

    person_server.py PERSON RECORD

PERSON is a JSON object of strings and numbers. The arguments of every call of `file` are one JSON line of RECORD.
Standard library only.
"""

from __future__ import annotations

import json
import sys
from typing import Any

person, record = json.loads(sys.argv[1]), sys.argv[2]
SHAPE = {name: {"type": "integer" if isinstance(value, int) else "string"} for name, value in person.items()}
ANY = {"type": "object"}
TOOLS = [
    {"name": "look_up", "inputSchema": ANY, "outputSchema": {**ANY, "properties": SHAPE, "required": list(SHAPE)}},
    {"name": "file", "inputSchema": ANY},
]


def result_of(method: str, params: dict[str, Any]) -> dict[str, Any]:
    if method == "initialize":
        info = {"name": "person", "version": "1"}
        return {"protocolVersion": "2025-11-25", "capabilities": {"tools": {}}, "serverInfo": info}
    if method == "tools/list":
        return {"tools": TOOLS}
    if params.get("name") == "look_up":
        return {"content": [{"type": "text", "text": json.dumps(person)}], "structuredContent": person}
    if params.get("name") == "file":
        with open(record, "a", encoding="utf-8") as file:
            file.write(json.dumps(params["arguments"]) + "\n")
    return {"content": [{"type": "text", "text": "filed"}]}


for line in sys.stdin:
    message = json.loads(line)
    if "id" not in message:
        continue
    answer: dict[str, Any] = {"jsonrpc": "2.0", "id": message["id"]}
    if message["method"] in ("initialize", "tools/list", "tools/call", "ping"):
        answer["result"] = result_of(message["method"], message.get("params") or {})
    else:
        answer["error"] = {"code": -32601, "message": "Method not found"}
    print(json.dumps(answer), flush=True)
