"""One catalogue of every kind of server, under the names the configuration gives, however large it is."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
import pytest
from gateway_process import Gateway, running_gateway
from mcp import MCPError

from tests.gateway.full_world import (
    LEGACY,
    MODERN,
    Record,
    Seen,
    client_of,
    full_over_http,
    full_over_stdio,
    other_server,
    text_of,
    until,
)

JSON = dict[str, Any]
ERAS = (LEGACY, MODERN)

TOOL_FILE = '''
from typing import Annotated

from fastmcp.tools import tool
from pydantic import BaseModel, Field


class Area(BaseModel):
    square_metres: float


@tool(annotations={"title": "Area", "readOnlyHint": True})
def area(width: Annotated[float, Field(gt=0)], height: float) -> Area:
    """The area of a rectangle."""
    return Area(square_metres=width * height)
'''


@dataclass
class Shop:
    gateway: Gateway
    folder: Path

    def record(self, name: str) -> Record:
        return Record(self.folder / f"{name}.jsonl")


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """A gateway in front of one server under many entries, and of one of each other kind."""
    folder = tmp_path_factory.mktemp("shop")
    (folder / "more").mkdir()
    (folder / "more" / "area.py").write_text(TOOL_FILE)
    with ExitStack() as stack:
        url = stack.enter_context(full_over_http("full", folder))
        old = stack.enter_context(full_over_http("old", folder, "legacy", sse=True))
        port = stack.enter_context(other_server("api", folder, str(folder / "api.jsonl")))
        servers: JSON = {
            "plain": {"url": url},
            "renamed": {"url": url, "namespace": "n", "deny": ["*o*"], "allow": ["*"]},
            "bare": {"url": url, "namespace": "", "allow": ["whoami", "count"], "deny": ["count"]},
            "again": {"url": url, "namespace": "", "allow": ["whoami"]},
            "aliased": {"url": url, "aliases": {"echo": "say", "fail": "break"}, "allow": ["echo", "fail"]},
            "quick": {"url": url, "timeout": 0.5, "allow": ["slow", "echo"]},
            "off": {"url": url, "disabled": True},
            "headed": {
                "url": url,
                "headers": {"X-Team": "blue", "Authorization": "of the headers"},
                "credentials": {"authorization": "Bearer ${UPSTREAM_TOKEN}"},
                "allow": ["echo"],
            },
            "child": {
                **full_over_stdio("child", folder),
                "env": {"GIVEN": "in the file"},
                "env_allow": ["LET_THROUGH"],
                "allow": ["environment"],
            },
            "old": {"url": old},
            "orders": {
                "spec": f"http://127.0.0.1:{port}/openapi.json",
                "credentials": {"X-Api-Key": "${UPSTREAM_TOKEN}"},
                "headers": {"X-Team": "blue"},
            },
        }
        env = {"UPSTREAM_TOKEN": "token-of-the-upstream", "LET_THROUGH": "yes", "KEPT_BACK": "no"}
        config = {"mcpServers": servers, "tools": [str(folder / "more")]}
        gateway = stack.enter_context(running_gateway(config, folder, env=env))
        gateway.wait_for_tools("plain__echo", "child__environment", "old__echo", "orders__get_order", "area")
        yield Shop(gateway, folder)


def said(answer: JSON) -> str:
    assert "result" in answer, answer
    text: str = answer["result"]["content"][0]["text"]
    return text


# --- the keys of an entry --------------------------------------------------------------------------------------


def test_every_entry_shows_its_tools_under_the_names_it_asks_for(shop: Shop) -> None:
    names = shop.gateway.tool_names()
    assert len(names) == len(set(names))
    assert {name for name in names if name.startswith("n__")} == {"n__fail", "n__ask", "n__die"}
    assert not [name for name in names if name.startswith(("renamed__", "off__", "bare__", "aliased__"))]
    assert {"whoami", "say", "break", "plain__echo", "quick__slow"} <= set(names)
    assert "count" not in names


def test_a_name_that_is_taken_is_refused_and_named(shop: Shop) -> None:
    status, body = shop.gateway.get("/readyz")
    assert status == 200
    problems = json.loads(body)["problems"]
    assert any("again" in problem and "'whoami'" in problem and "bare" in problem for problem in problems), problems
    answer = shop.gateway.call("whoami")
    assert "result" in answer


def test_an_alias_calls_the_tool_it_stands_for(shop: Shop) -> None:
    answer = shop.gateway.call("say", {"city": "Moss"})
    assert answer["result"]["structuredContent"]["leg"]["city"] == "Moss"
    assert shop.gateway.call("break")["error"]["code"] == -32042


@pytest.mark.parametrize("name", ["bare__count", "count", "n__echo", "n__slow", "off__echo", "aliased__echo"])
def test_what_is_not_shown_cannot_be_called(shop: Shop, name: str) -> None:
    assert shop.gateway.call(name)["error"]["code"] == -32602


def test_a_server_has_its_own_timeout_and_is_told_when_it_is_over(shop: Shop) -> None:
    file = str(shop.folder / "never")
    answer = shop.gateway.call("quick__slow", {"until": file})
    assert answer["error"]["code"] == -32016
    assert "0.5 s" in answer["error"]["message"]

    def cancelled() -> bool:
        return any(entry["arguments"] == {"until": file} for entry in shop.record("full").of("cancelled"))

    anyio.run(until, cancelled, "the upstream sees the cancellation")
    assert "result" in shop.gateway.call("quick__echo")


def test_headers_and_credentials_are_sent_and_credentials_win(shop: Shop) -> None:
    shop.gateway.call("headed__echo", {"city": "Headed"})
    calls = shop.record("full").calls("echo")
    (mine,) = [entry for entry in calls if entry["params"]["arguments"] == {"city": "Headed"}]
    assert mine["headers"]["x-team"] == "blue"
    assert mine["headers"]["authorization"] == "Bearer token-of-the-upstream"
    others = [entry for entry in calls if entry is not mine]
    assert not any("authorization" in entry["headers"] for entry in others)


def test_a_child_sees_only_the_environment_it_is_allowed(shop: Shop) -> None:
    seen = json.loads(said(shop.gateway.call("child__environment")))
    assert seen["GIVEN"] == "in the file"
    assert seen["LET_THROUGH"] == "yes"
    assert not {"KEPT_BACK", "UPSTREAM_TOKEN", "AGENTFLOW_DATA_DIR"} & set(seen)


# --- other kinds of servers ------------------------------------------------------------------------------------


@pytest.mark.parametrize("era", ERAS)
async def test_a_server_over_legacy_sse(shop: Shop, era: str) -> None:
    seen = Seen()
    async with client_of(shop.gateway, era, seen) as client:
        result = await client.call_tool("old__echo", {"city": "Voss"})
        assert result.structured_content["leg"]["city"] == "Voss"  # type: ignore[index]
        await client.call_tool("old__progress", progress_callback=seen.on_progress)
        assert [step for step, _, _ in seen.progress] == [0, 0.5, 1]
        await client.call_tool("old__ask", {"method": "roots/list"})
        assert seen.asked == [("roots/list", None)]
        assert (await client.get_prompt("old__greet", {"who": "you"})).description == "greets"
        item: Any = (await client.read_resource("old://item/9")).contents[0]
        assert item.text == "content of old://item/9"


@pytest.mark.parametrize("era", ERAS)
async def test_the_operations_of_an_openapi_document_are_tools(shop: Shop, era: str) -> None:
    async with client_of(shop.gateway, era) as client:
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}
        get, create = tools["orders__get_order"], tools["orders__create_order"]
        assert get.annotations is not None
        assert get.annotations.read_only_hint is True
        assert create.annotations is not None
        assert create.annotations.read_only_hint is False
        assert create.input_schema["required"] == ["number", "item"]
        found = await client.call_tool("orders__get_order", {"number": "A-7", "verbose": True})
        assert found.structured_content == {"number": "A-7", "item": "lamp", "amount": 2}
        made = await client.call_tool("orders__create_order", {"number": "A-8", "item": "chair"})
        assert made.structured_content == {"number": "A-8", "item": "chair"}
        assert (await client.call_tool("orders__get_order", {"number": "none"})).is_error
    lines = [json.loads(line) for line in (shop.folder / "api.jsonl").read_text().splitlines()]
    assert {line["headers"]["x-api-key"] for line in lines} == {"token-of-the-upstream"}
    assert any(line["path"].endswith("/orders/A-7?verbose=true") for line in lines)
    assert any(line["body"] == {"number": "A-8", "item": "chair"} for line in lines)


@pytest.mark.parametrize("era", ERAS)
async def test_a_file_in_the_operator_s_folder_is_a_tool(shop: Shop, era: str) -> None:
    async with client_of(shop.gateway, era) as client:
        tool = next(tool for tool in (await client.list_tools()).tools if tool.name == "area")
        assert tool.annotations is not None
        assert tool.annotations.read_only_hint is True
        result = await client.call_tool("area", {"width": 2, "height": 2.5})
        assert result.structured_content == {"square_metres": 5.0}
        with pytest.raises(MCPError) as refused:
            await client.call_tool("area", {"width": -1, "height": 1})
        assert refused.value.error.code == -32602


# --- large catalogues ------------------------------------------------------------------------------------------

COUNT = 10_000


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Iterator[JSON]:
    folder = tmp_path_factory.mktemp("many")
    with other_server("many", folder, str(COUNT)) as port:
        yield {"url": f"http://127.0.0.1:{port}/mcp"}


@pytest.fixture(scope="module")
def crowded(many: JSON, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with running_gateway({"mcpServers": {"many": many}}, tmp_path_factory.mktemp("crowded")) as gateway:
        gateway.wait_for_tools(f"many__tool_{COUNT - 1:05}")
        yield gateway


@pytest.mark.parametrize("era", ERAS)
async def test_ten_thousand_tools_are_listed_in_pages_and_called(crowded: Gateway, era: str) -> None:
    async with client_of(crowded, era) as client:
        names: list[str] = []
        pages, cursor = 0, None
        while pages == 0 or cursor:
            page = await client.list_tools(cursor=cursor)
            names += [tool.name for tool in page.tools]
            pages, cursor = pages + 1, page.next_cursor
        assert len(set(names)) == len(names) == COUNT + 5  # with the gateway's own
        assert pages == 11
        assert text_of(await client.call_tool("many__tool_07777")) == "tool_07777 was called"


@pytest.fixture(scope="module")
def searched(many: JSON, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """The same server with tool search; its tool 4321 is forbidden."""
    config = {
        "mcpServers": {"many": many},
        "catalogue": {"search_threshold": 100},
        "policy": {"data": {"settings": {"forbidden": ["many/tool_04321"]}}},
    }
    with running_gateway(config, tmp_path_factory.mktemp("searched")) as gateway:
        gateway.wait_for_tools("search_tools", "call_tool")
        yield gateway


@pytest.mark.parametrize("era", ERAS)
async def test_a_large_catalogue_may_be_searched_instead(searched: Gateway, era: str) -> None:
    async with client_of(searched, era) as client:
        listed = {tool.name for tool in (await client.list_tools()).tools}
        assert listed == {"search_tools", "call_tool", "compute", "planner", "executor", "verifier", "solver"}
        found = await client.call_tool("search_tools", {"query": "parcel number 4322", "limit": 5})
        assert found.structured_content is not None
        hits = found.structured_content["tools"]
        assert hits[0]["name"] == "many__tool_04322"
        assert hits[0]["inputSchema"]["properties"]["text"]["type"] == "string"
        assert len(hits) == 5
        called = await client.call_tool("call_tool", {"name": "many__tool_04322", "arguments": {"text": "x"}})
        assert text_of(called) == "tool_04322 was called"
        assert text_of(await client.call_tool("many__tool_04322")) == "tool_04322 was called"


@pytest.mark.parametrize("era", ERAS)
async def test_what_a_caller_may_not_call_is_not_found_either(searched: Gateway, era: str) -> None:
    async with client_of(searched, era) as client:
        found = await client.call_tool("search_tools", {"query": "invoice number 4321 tool_04321", "limit": 50})
        assert found.structured_content is not None
        assert found.structured_content["tools"]
        assert "many__tool_04321" not in text_of(found)
        for name, arguments in (
            ("call_tool", {"name": "many__tool_04321", "arguments": {}}),
            ("many__tool_04321", {}),
            ("call_tool", {"name": "many__no_such_tool", "arguments": {}}),
        ):
            with pytest.raises(MCPError) as refused:
                await client.call_tool(name, arguments)
            assert refused.value.error.code == -32602
            assert "unknown" in refused.value.error.message.lower()
