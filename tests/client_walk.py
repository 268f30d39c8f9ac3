"""What every official client is made to do through the gateway, and what it must see.

The same walk for each of them: list, call, progress, log, elicit, sample, read, prompt, complete, structured
content, a tool's own error, an unknown tool. A client reports it as one JSON object, judged here.
"""

from __future__ import annotations

import time
from typing import Any, TypedDict

import anyio
from mcp import Client

ORDERS = {"name": "helpdesk__list_orders", "arguments": {"customer_id": 1}}


async def listed(client: Client, name: str, deadline: float = 30.0) -> list[str]:
    """Tool names, once `name` is among them or `deadline` seconds have gone by.

    A gateway that the client has just started over stdio may still be connecting to its upstreams.
    """
    end = time.monotonic() + deadline
    while True:
        names = [tool.name for tool in (await client.list_tools(cache_mode="bypass")).tools]
        if name in names or time.monotonic() > end:
            return names
        await anyio.sleep(0.05)


class Observed(TypedDict):
    """One client's report. `progress` and `logs` are what arrived during one call each, in order."""

    protocol: str
    tools: list[str]
    text: str
    progress: list[float]
    logs: list[str]
    elicited: str
    sampled: str
    resource: str
    template: str
    prompt: str
    completion: list[str]
    structured: dict[str, Any]
    tool_error: bool
    unknown: int


def judge(seen: Observed, protocol: str) -> None:
    """Assert that nothing of the upstream was lost on the way to the client."""
    assert seen["protocol"] == protocol
    assert {"test_simple_text", "json_schema_2020_12_tool", "helpdesk__find_customer"} <= set(seen["tools"])
    assert seen["text"] == "This is a simple text response for testing."
    assert seen["progress"] == [0, 50, 100]
    assert seen["logs"] == ["Tool execution started", "Tool processing data", "Tool execution completed"]
    assert "action=accept" in seen["elicited"]
    assert "testuser" in seen["elicited"]
    assert seen["sampled"] == "LLM response: sampled by the client"
    assert seen["resource"] == "This is the content of the static text resource."
    assert '"id": "123"' in seen["template"]
    assert "arg1='hello', arg2='world'" in seen["prompt"]
    assert seen["completion"] == ["paris", "park", "party"]
    orders = seen["structured"]["orders"]
    assert [order["order_id"] for order in orders] == ["SO-10002", "SO-10001"]
    assert orders[0]["status"] == "shipped"
    assert seen["tool_error"] is True
    assert seen["unknown"] == -32602
