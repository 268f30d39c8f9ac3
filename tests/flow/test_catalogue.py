"""Catalogues that are read once and found again."""

from __future__ import annotations

from dataclasses import replace

from agentflow.flow.catalogue import catalogue_of, without
from tests.flow.worlds import World


async def test_the_same_tools_are_read_once_however_they_are_given(helpdesk: World) -> None:
    first = catalogue_of(await helpdesk.tools())
    assert catalogue_of([replace(view) for view in first.views]) is first
    assert catalogue_of(first.views) is first


async def test_tools_that_differ_in_a_schema_alone_are_other_tools(helpdesk: World) -> None:
    tools = await helpdesk.tools()
    changed = [replace(tools[0], input_schema={"type": "object"}), *tools[1:]]
    assert catalogue_of(changed) is not catalogue_of(tools)
    assert catalogue_of(changed).views[0].input_schema == {"type": "object"}


async def test_the_rest_of_the_same_tools_is_the_very_same_rest(helpdesk: World) -> None:
    tools = await helpdesk.tools()
    rest = without(tools, tools[0].name)
    assert list(rest) == tools[1:]
    assert without(tools, tools[0].name) is rest
    assert list(without(tools, "no such tool")) == tools


async def test_a_search_gives_a_list_of_its_own_each_time(helpdesk: World) -> None:
    catalogue = catalogue_of(await helpdesk.tools())
    found = catalogue.search("the orders of a customer", 3)
    found.clear()
    assert len(catalogue.search("the orders of a customer", 3)) == 3
