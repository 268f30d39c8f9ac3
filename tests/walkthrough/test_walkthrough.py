"""The run that README shows, through the real gateway with both samples, as `make serve` starts them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from mcp import Client, MCPError
from sample_world import SampleWorld, sample_world

TOKEN = re.compile(r"<([A-Z]+(?:_[A-Z]+)*)_[0-9a-f]{8,}>")
POISONED = "https://recipes.example/poisoned"
CONTENT_BLOCKED = -32011
INVALID_PARAMS = -32602


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SampleWorld]:
    with sample_world(tmp_path_factory.mktemp("walkthrough")) as world:
        yield world


@pytest.fixture
async def client(world: SampleWorld) -> Any:
    """A conversation of its own for each test: what one has been tainted with stays there."""
    async with Client(world.gateway.url, mode="legacy") as client:
        yield client


async def call(client: Client, tool: str, **arguments: Any) -> dict[str, Any]:
    result = await client.call_tool(tool, arguments)
    assert not result.is_error, result.content
    answer: dict[str, Any] | None = result.structured_content
    assert answer is not None
    return answer


async def refused(client: Client, tool: str, **arguments: Any) -> MCPError:
    with pytest.raises(MCPError) as error:
        await client.call_tool(tool, arguments)
    return error.value


def kind_of(value: str) -> str:
    match = TOKEN.fullmatch(value)
    assert match, f"{value!r} is not a token"
    return match[1]


async def test_a_customer_record_comes_back_tokenised(client: Client) -> None:
    result = await client.call_tool("helpdesk__get_customer", {"customer_id": 2})
    record = result.structured_content or {}
    assert record["name"] == "Marcus Bell"
    assert kind_of(record["email"]) == "EMAIL"
    assert "PHONE" in kind_of(record["phone"])
    assert "SSN" in kind_of(record["ssn"])
    everything = result.model_dump_json()
    for value in ("marcus.bell@example.org", "555 0143", "536-22-8411"):
        assert value not in everything


async def test_the_same_value_is_the_same_token_wherever_it_appears(client: Client) -> None:
    found = await call(client, "helpdesk__find_customer", query="Ada Lindqvist")
    record = await call(client, "helpdesk__get_customer", customer_id=1)
    assert found["customers"][0]["email"] == record["email"]
    assert kind_of(record["iban"]).startswith("IBAN")


async def test_a_token_reaches_the_help_desk_as_the_real_value(client: Client, world: SampleWorld) -> None:
    email = (await call(client, "helpdesk__get_customer", customer_id=1))["email"]
    ticket = await call(
        client,
        "helpdesk__create_ticket",
        customer_email=email,
        subject="Where is my keyboard?",
        body=f"Please answer to {email}.",
    )
    assert ticket["customer_id"] == 1
    assert ticket["body"] == f"Please answer to {email}."
    stored = world.rows("SELECT customer_id, body FROM tickets WHERE ticket_id = ?", ticket["ticket_id"])
    assert stored == [(1, "Please answer to ada.lindqvist@example.com.")]


async def test_a_poisoned_page_is_blocked_with_a_reason(client: Client) -> None:
    error = await refused(client, "webnotes__fetch_page", url=POISONED)
    assert error.code == CONTENT_BLOCKED
    assert error.data["type"] == "content_blocked"
    assert error.message
    assert "collect-data.example" not in json.dumps([error.message, error.data])


async def test_an_ordinary_page_is_not_blocked(client: Client) -> None:
    for url in ("https://recipes.example/tomato-soup", "https://blog.example/why-agents-need-guards"):
        assert (await call(client, "webnotes__fetch_page", url=url))["url"] == url


async def test_a_forbidden_tool_is_not_listed(client: Client) -> None:
    names = {tool.name for tool in (await client.list_tools()).tools}
    assert "helpdesk__get_customer" in names
    assert "helpdesk__delete_customer" not in names


async def test_a_forbidden_tool_reads_as_an_unknown_one(client: Client, world: SampleWorld) -> None:
    forbidden = await refused(client, "helpdesk__delete_customer", customer_id=20)
    unknown = await refused(client, "helpdesk__no_such_tool", customer_id=20)
    assert forbidden.code == unknown.code == INVALID_PARAMS
    assert forbidden.message.startswith("Unknown tool")
    assert forbidden.message.replace("delete_customer", "no_such_tool") == unknown.message
    assert world.rows("SELECT count(*) FROM customers WHERE customer_id = 20") == [(1,)]


@pytest.mark.parametrize(("name", "status"), [("Ada Lindqvist", "shipped"), ("Ingrid Sommer", "processing")])
async def test_the_solver_answers_a_two_step_question_offline(name: str, status: str, client: Client) -> None:
    answer = await call(client, "solver", query=f"What is the status of the last order of {name}?")
    assert status in answer["answer"]
    assert "@example" not in json.dumps(answer)


async def test_the_whole_run_works_in_one_conversation_of_2026(world: SampleWorld) -> None:
    async with Client(world.gateway.url, mode="2026-07-28") as client:
        record = await call(client, "helpdesk__get_customer", customer_id=4)
        ticket = await call(
            client, "helpdesk__create_ticket", customer_email=record["email"], subject="Chair", body="It squeaks."
        )
        assert ticket["customer_id"] == 4
        assert (await refused(client, "webnotes__fetch_page", url=POISONED)).code == CONTENT_BLOCKED
        assert (await refused(client, "helpdesk__delete_customer", customer_id=4)).code == INVALID_PARAMS
        answer = await call(client, "solver", query="What is the status of the last order of Grace Okafor?")
        assert "delivered" in answer["answer"]
