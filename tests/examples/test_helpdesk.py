"""The help-desk sample by itself: the same data everywhere, real e-mail addresses only, both protocol eras."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import mcp_types as types
import pytest
from mcp import Client, StdioServerParameters
from upstream_processes import HELPDESK

ERAS = ("legacy", "2026-07-28")


@pytest.fixture
def server(tmp_path: Path) -> StdioServerParameters:
    env = {"HELPDESK_DB": str(tmp_path / "helpdesk.db")}
    return StdioServerParameters(command=sys.executable, args=[str(HELPDESK)], env=env)


async def call(client: Client, tool: str, **arguments: Any) -> Any:
    result = await client.call_tool(tool, arguments)
    assert not result.is_error, result.content
    return result.structured_content


@pytest.mark.parametrize("mode", ERAS)
async def test_it_finds_a_customer_and_their_last_order(mode: str, server: StdioServerParameters) -> None:
    async with Client(server, mode=mode) as client:
        found = await call(client, "find_customer", query="ada lindqvist")
        number = found["customers"][0]["customer_id"]
        orders = (await call(client, "list_orders", customer_id=number))["orders"]
        assert [order["ordered_on"] for order in orders] == sorted((o["ordered_on"] for o in orders), reverse=True)
        assert await call(client, "get_order", order_id=orders[0]["order_id"]) == orders[0]
        assert orders[0]["status"] == "shipped"


async def test_twenty_customers_are_there_with_their_data(server: StdioServerParameters) -> None:
    async with Client(server) as client:
        records = [await call(client, "get_customer", customer_id=number) for number in range(1, 21)]
    assert all(record["ssn"] or record["iban"] for record in records)
    assert len({record["email"] for record in records}) == 20


async def test_a_ticket_needs_a_real_address(server: StdioServerParameters) -> None:
    async with Client(server) as client:
        body = {"subject": "Lamp", "body": "Broken"}
        opened = await call(client, "create_ticket", customer_email="grace.okafor@example.org", **body)
        assert (opened["customer_id"], opened["status"]) == (5, "open")
        refused = await client.call_tool("create_ticket", {"customer_email": "<EMAIL_1f3a9c2e>", **body})
        assert refused.is_error
        closed = await call(client, "update_ticket_status", ticket_id=opened["ticket_id"], status="closed")
        assert closed["status"] == "closed"


async def test_deleting_a_customer_takes_everything_along(server: StdioServerParameters) -> None:
    async with Client(server) as client:
        assert (await call(client, "delete_customer", customer_id=7))["deleted"] is True
        assert (await call(client, "delete_customer", customer_id=7))["deleted"] is False
        assert (await client.call_tool("list_orders", {"customer_id": 7})).is_error


async def test_every_tool_says_what_it_does_to_the_world(server: StdioServerParameters) -> None:
    async with Client(server) as client:
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}
    assert all(tool.output_schema and tool.annotations for tool in tools.values())
    hints = {name: tool.annotations for name, tool in tools.items() if tool.annotations}
    assert hints["delete_customer"].destructive_hint is True
    assert hints["create_ticket"].read_only_hint is False
    assert {name for name, hint in hints.items() if hint.read_only_hint} == {
        "find_customer", "get_customer", "list_orders", "get_order", "list_tickets", "search_tickets",
    }  # fmt: skip


async def test_resources_prompt_and_completion_are_there(server: StdioServerParameters) -> None:
    async with Client(server) as client:
        faq = (await client.read_resource("helpdesk://faq")).contents[0]
        assert isinstance(faq, types.TextResourceContents)
        assert "Returns" in faq.text
        record = (await client.read_resource("helpdesk://customers/3")).contents[0]
        assert isinstance(record, types.TextResourceContents)
        assert "Ingrid Sommer" in record.text
        prompt = await client.get_prompt("reply_to_customer", {"customer": "Ada Lindqvist", "tone": "brief"})
        assert "brief" in prompt.model_dump_json()
        reference = types.PromptReference(name="reply_to_customer")
        completed = await client.complete(reference, {"name": "customer", "value": "a"})
        assert completed.completion.values == ["Ada Lindqvist", "Amelia Stone"]


def test_several_processes_may_seed_the_same_file_at_once(tmp_path: Path) -> None:
    code = f"import sys; sys.path.insert(0, {str(HELPDESK.parent)!r})\n"
    code += f"from pathlib import Path; from helpdesk_store import Store\nprint(len(Store(Path({str(tmp_path)!r}) / "
    code += "'h.db').rows('SELECT * FROM customers')))"
    started = [subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) for _ in range(4)]
    assert [process.communicate(timeout=60)[0].strip() for process in started] == ["20"] * 4
