"""The web and notes sample by itself: a fixed web, a notebook, both protocol eras."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from mcp import Client
from upstream_processes import webnotes_over_http


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    with webnotes_over_http(tmp_path) as url:
        yield url


async def call(client: Client, tool: str, **arguments: Any) -> Any:
    result = await client.call_tool(tool, arguments)
    assert not result.is_error, result.content
    return result.structured_content


@pytest.mark.parametrize("mode", ["legacy", "2026-07-28"])
async def test_pages_are_found_read_and_noted(mode: str, url: str) -> None:
    async with Client(url, mode=mode) as client:
        found = await call(client, "search_pages", query="tomato soup")
        assert [page["url"] for page in found["pages"]] == ["https://recipes.example/tomato-soup"]
        page = await call(client, "fetch_page", url=found["pages"][0]["url"])
        await call(client, "save_note", title=page["title"], text=page["text"])
        assert [note["title"] for note in (await call(client, "list_notes"))["notes"]] == ["Roasted tomato soup"]


async def test_the_poisoned_page_really_carries_an_injection(url: str) -> None:
    async with Client(url) as client:
        page = await call(client, "fetch_page", url="https://recipes.example/poisoned")
    assert "Ignore all previous instructions" in page["text"]


async def test_there_is_no_way_to_the_internet(url: str) -> None:
    async with Client(url) as client:
        assert (await client.call_tool("fetch_page", {"url": "http://127.0.0.1/"})).is_error
