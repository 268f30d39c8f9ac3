"""Tool search: a catalogue larger than a threshold is shown as two tools, `search_tools` and `call_tool`.

A model then sees what it asks for instead of ten thousand schemas. Only what the caller may call is found, and
`call_tool` is nothing but another way to write the call: it takes the same route as a direct one.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from time import monotonic
from typing import Any, ClassVar

import orjson

from agentflow.errors import InvalidArguments
from agentflow.flow.bm25 import Index
from agentflow.flow.port import ToolView
from agentflow.gateway.catalogue import Catalogue
from agentflow.gateway.listings import FRESH
from agentflow.identity.principal import Principal
from agentflow.pipeline.call import GATEWAY
from agentflow.policy.listing import Item

JSON = dict[str, Any]

_SEARCH: JSON = {
    "name": "search_tools",
    "title": "Search tools",
    "description": "Find tools by what they do. Returns names, descriptions and input schemas; "
    "call what you find with call_tool.",
    "inputSchema": {
        "type": "object",
        "properties": {
            "query": {"type": "string", "minLength": 1, "description": "What the tool should do, in plain words"},
            "limit": {"type": "integer", "minimum": 1, "maximum": 50, "default": 10},
        },
        "required": ["query"],
        "additionalProperties": False,
    },
    "annotations": {"readOnlyHint": True, "openWorldHint": False},
}
_CALL: JSON = {
    "name": "call_tool",
    "title": "Call a tool",
    "description": "Call a tool that search_tools found, by its exact name.",
    "inputSchema": {
        "type": "object",
        "properties": {
            "name": {"type": "string", "minLength": 1},
            "arguments": {"type": "object", "description": "Arguments as the tool's own input schema asks for"},
        },
        "required": ["name"],
        "additionalProperties": False,
    },
}


class SearchTools:
    """The two tools, shown where the catalogue has more than `threshold` tools (0: never)."""

    SEARCH: ClassVar[str] = "search_tools"
    CALL: ClassVar[str] = "call_tool"
    # What policy is asked about both of them.
    item: ClassVar[Item] = (GATEWAY, "search_tools", _SEARCH)

    def __init__(self, threshold: int) -> None:
        self._threshold = threshold
        self._indexes: OrderedDict[tuple[int, Principal, int], Index] = OrderedDict()

    def active(self, catalogue: Catalogue) -> bool:
        return 0 < self._threshold < len(catalogue.tools)

    def definitions(self, catalogue: Catalogue, flow: str) -> Mapping[str, JSON] | None:
        """What `tools/list` shows instead of the catalogue: these two and the flow tools; None when inactive."""
        if not self.active(catalogue):
            return None
        kept = {n: e.definition for n, e in catalogue.tools.items() if e.upstream.facts.name == flow}
        return {self.SEARCH: _SEARCH, self.CALL: _CALL, **kept}

    def own(self, name: str) -> JSON | None:
        """The definition of one of these two, or None for any other name."""
        return {self.SEARCH: _SEARCH, self.CALL: _CALL}.get(name)

    async def find(
        self,
        arguments: JSON,
        catalogue: Catalogue,
        principal: Principal,
        visible: Callable[[], Awaitable[list[ToolView]]],
    ) -> JSON:
        """Answer `search_tools`: a `CallToolResult` with `structuredContent.tools`, best first."""
        # What policy shows may depend on the hour: an index is as short-lived as a remembered listing.
        key = (catalogue.revision, principal, int(monotonic() / FRESH))
        index = self._indexes.get(key)
        if index is None:
            index = self._indexes[key] = Index(await visible())
            while len(self._indexes) > 64:
                self._indexes.popitem(last=False)
        hits = index.search(arguments["query"], arguments.get("limit", 10))
        found: list[JSON] = [
            {"name": tool.name, "description": tool.description, "inputSchema": tool.input_schema} for tool, _ in hits
        ]
        body: JSON = {"tools": found}
        return {"content": [{"type": "text", "text": orjson.dumps(body).decode()}], "structuredContent": body}

    @staticmethod
    def unwrap(params: JSON) -> JSON:
        """The call that `call_tool` stands for.

        Raises:
            InvalidArguments: no name, or arguments that are no object.
        """
        wrapped = params["arguments"]
        name, arguments = wrapped.get("name"), wrapped.get("arguments", {})
        if not isinstance(name, str) or not name or not isinstance(arguments, dict):
            raise InvalidArguments("call_tool needs `name` (a string) and `arguments` (an object)")
        return {**params, "name": name, "arguments": arguments}
