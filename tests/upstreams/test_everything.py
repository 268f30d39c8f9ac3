"""`@modelcontextprotocol/server-everything`, a real server by others, behind the gateway: stdio and HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import mcp_types as types
import pytest
from gateway_process import Gateway, running_gateway
from mcp import Client
from upstream_processes import everything_over_http, everything_over_stdio

KINDS = ("stdio", "http")
ERAS = ("legacy", "2026-07-28")


@contextmanager
def everything(kind: str, folder: Path) -> Iterator[Gateway]:
    if kind == "stdio":
        with running_gateway({"mcpServers": {"everything": everything_over_stdio()}}, folder) as gateway:
            gateway.wait_for_tools("everything__echo")
            yield gateway
    else:
        with (
            everything_over_http(folder) as url,
            running_gateway({"mcpServers": {"everything": {"type": "http", "url": url}}}, folder) as gateway,
        ):
            gateway.wait_for_tools("everything__echo")
            yield gateway


@pytest.fixture(scope="module", params=KINDS)
def gateway(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with everything(request.param, tmp_path_factory.mktemp(f"everything-{request.param}")) as gateway:
        yield gateway


def texts(result: types.CallToolResult) -> list[str]:
    return [block.text for block in result.content if isinstance(block, types.TextContent)]


@pytest.mark.parametrize("mode", ERAS)
async def test_its_tools_answer(mode: str, gateway: Gateway) -> None:
    async with Client(gateway.url, mode=mode) as client:
        assert texts(await client.call_tool("everything__echo", {"message": "hi"})) == ["Echo: hi"]
        total = await client.call_tool("everything__get-sum", {"a": 2, "b": 40})
        assert "42" in texts(total)[0]


@pytest.mark.parametrize("mode", ERAS)
async def test_structured_content_arrives_as_it_was_sent(mode: str, gateway: Gateway) -> None:
    async with Client(gateway.url, mode=mode) as client:
        weather = await client.call_tool("everything__get-structured-content", {"location": "New York"})
    assert set(weather.structured_content or {}) == {"temperature", "conditions", "humidity"}


@pytest.mark.parametrize("mode", ERAS)
async def test_annotations_and_images_arrive_unharmed(mode: str, gateway: Gateway) -> None:
    async with Client(gateway.url, mode=mode) as client:
        arguments = {"messageType": "error", "includeImage": True}
        message = await client.call_tool("everything__get-annotated-message", arguments)
    text, image = message.content
    assert isinstance(text, types.TextContent)
    assert text.annotations is not None
    assert text.annotations.priority == 1.0
    assert isinstance(image, types.ImageContent)
    assert image.data.startswith("iVBOR")


@pytest.mark.parametrize("mode", ERAS)
async def test_progress_arrives_in_order(mode: str, gateway: Gateway) -> None:
    seen: list[tuple[float, float | None]] = []

    async def on_progress(progress: float, total: float | None, message: str | None) -> None:
        seen.append((progress, total))

    async with Client(gateway.url, mode=mode) as client:
        arguments = {"duration": 0.2, "steps": 3}
        tool = "everything__trigger-long-running-operation"
        await client.call_tool(tool, arguments, progress_callback=on_progress)
    assert seen == [(1, 3), (2, 3), (3, 3)]


@pytest.mark.parametrize("mode", ERAS)
async def test_resources_and_prompts_are_there(mode: str, gateway: Gateway) -> None:
    async with Client(gateway.url, mode=mode) as client:
        uris = [str(resource.uri) for resource in (await client.list_resources()).resources]
        assert "demo://resource/static/document/features.md" in uris
        read: Any = (await client.read_resource("demo://resource/dynamic/text/7")).contents[0]
        assert "7" in read.text
        prompts = [prompt.name for prompt in (await client.list_prompts()).prompts]
        simple = next(name for name in prompts if name.endswith("simple-prompt"))
        assert (await client.get_prompt(simple)).messages
