"""Search over the catalogue."""

from __future__ import annotations

import random

from agentflow.flow.bm25 import Index
from agentflow.flow.catalogue import Catalogue, read_tool
from agentflow.flow.port import ToolView
from tests.flow.worlds import World


def _view(name: str, description: str = "", **more: object) -> ToolView:
    schema = more.get("schema", {"type": "object", "properties": {}})
    return ToolView(name, "", description, schema, None, more.get("annotations", {}), "")  # type: ignore[arg-type]


async def test_the_tool_that_names_the_thing_comes_first(helpdesk: World) -> None:
    index = Index(await helpdesk.tools())
    assert index.search("tickets of a customer", 1)[0][0].name == "helpdesk__list_tickets"
    assert index.search("cost of a product", 3)[0][0].name.endswith("_product" + "s") or index.search("product", 1)


async def test_two_thousand_tools_do_not_hide_the_right_ones(helpdesk: World) -> None:
    wanted = await helpdesk.tools()
    rng = random.Random(7)
    words = ["alpha", "bravo", "carol", "delta", "eagle", "fjord", "grape", "hotel", "india", "jolly"]
    others = [_view(f"get_{rng.choice(words)}_{i}", " ".join(rng.choices(words, k=6))) for i in range(2000)]
    found = [t.name for t, _ in Index([*others, *wanted]).search("open tickets of the customer", 20)]
    assert "helpdesk__list_tickets" in found
    assert "helpdesk__find_customer" in found


def test_camel_and_snake_case_meet() -> None:
    index = Index([_view("getCustomerOrders"), _view("delete_everything")])
    assert [t.name for t, _ in index.search("order of customers", 5)] == ["getCustomerOrders"]


def test_an_empty_catalogue_finds_nothing() -> None:
    assert Catalogue([]).search("anything", 5) == []


def test_a_tool_is_read_only_only_when_it_says_so_or_its_verb_reads() -> None:
    assert read_tool(_view("get_order")).read_only
    assert read_tool(_view("orders", "Returns the orders of a customer")).read_only
    assert not read_tool(_view("delete_order")).read_only
    assert not read_tool(_view("frobnicate", "Frobnicates the order")).read_only
    assert not read_tool(_view("get_order", annotations={"readOnlyHint": False})).read_only
    assert not read_tool(_view("get_and_delete_order")).read_only


def test_ids_name_the_entity_they_belong_to() -> None:
    schema = {"type": "object", "properties": {"customer_id": {"type": "string"}, "id": {}, "orderId": {}, "name": {}}}
    tool = read_tool(_view("get_ticket", schema=schema))
    assert [p.entity for p in tool.params] == ["customer", "ticket", "order", ""]
    assert tool.entity == "ticket"
