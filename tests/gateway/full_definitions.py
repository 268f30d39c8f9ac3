"""What `full_server.py` offers, as raw JSON: every member of the specification, and some from the future."""

from __future__ import annotations

from typing import Any

JSON = dict[str, Any]
LEVELS = ("debug", "info", "notice", "warning", "error", "critical", "alert", "emergency")
_PIXEL = "data:image/png;base64,iVBORw0KGgo="
_ICON = {"src": _PIXEL, "mimeType": "image/png", "sizes": ["48x48"], "theme": "dark"}
_LEG = {
    "type": "object",
    "properties": {"city": {"$ref": "#/$defs/City"}, "stops": {"type": "array"}},
    "required": ["city"],
}
_CITY = {"type": "string", "title": "City", "examples": ["Oslo"]}


def _tool(name: str, properties: JSON | None = None, required: list[str] | None = None) -> JSON:
    schema: JSON = {"type": "object", "properties": properties or {}}
    return {"name": name, "description": f"The tool {name}", "inputSchema": schema | _only(required=required)}


def _only(**members: Any) -> JSON:
    return {key: value for key, value in members.items() if value is not None}


ECHO: JSON = {
    "name": "echo",
    "title": "Echo, with all there is",
    "description": "Says what it was told",
    "icons": [_ICON],
    "inputSchema": {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "properties": {"city": {"$ref": "#/$defs/City"}},
        "$defs": {"City": _CITY},
        "additionalProperties": False,
    },
    "outputSchema": {
        "type": "object",
        "properties": {"leg": {"$ref": "#/$defs/Leg"}},
        "required": ["leg"],
        "$defs": {"Leg": _LEG, "City": _CITY},
    },
    "annotations": {
        "title": "Echo",
        "readOnlyHint": True,
        "idempotentHint": True,
        "destructiveHint": False,
        "openWorldHint": False,
    },
    "_meta": {"com.example/ui": {"colour": "blue"}},
    "x-future": {"kept": ["whole"]},
}
TOOLS: list[JSON] = [
    ECHO,
    _tool("fail"),
    _tool("progress"),
    _tool("log"),
    _tool("slow", {"until": {"type": "string"}}, ["until"]),
    _tool("ask", {"method": {"type": "string"}, "params": {"type": "object"}}, ["method"]),
    _tool("whoami"),
    _tool("touch"),
    _tool("grow", {"name": {"type": "string"}}, ["name"]),
    _tool("complete_later", {"id": {"type": "string"}}, ["id"]),
    _tool("count"),
    _tool("die"),
    _tool("environment"),
]
TEMPLATE: JSON = {
    "name": "item",
    "title": "An item",
    "description": "Any item",
    "mimeType": "text/plain",
    "annotations": {"audience": ["assistant"], "priority": 0.25},
    "icons": [_ICON],
}
PROMPT: JSON = {
    "name": "greet",
    "title": "Greet",
    "description": "Greets somebody",
    "arguments": [{"name": "who", "title": "Who", "description": "Whom to greet", "required": True}],
    "icons": [_ICON],
    "_meta": {"com.example/kind": "greeting"},
}


def resource(scheme: str) -> JSON:
    """The one resource."""
    return {
        "uri": f"{scheme}://one",
        "name": "one",
        "title": "The one",
        "description": "The only resource",
        "mimeType": "text/plain",
        "size": 12,
        "annotations": {"audience": ["user"], "priority": 1.0, "lastModified": "2026-01-01T00:00:00Z"},
        "icons": [_ICON],
        "_meta": {"com.example/owner": "me"},
    }
