"""The official Python client through the gateway: both eras, HTTP and stdio."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import mcp_types as types
import pytest
from client_walk import ORDERS, Observed, judge, listed
from gateway_process import Gateway, child_environment, running_gateway, stdio_command, write_config
from mcp import Client, MCPError, StdioServerParameters
from mcp.client.session import ClientRequestContext
from upstream_processes import fixture_over_http, helpdesk_over_stdio

ERAS = {"legacy": "2025-11-25", "2026-07-28": "2026-07-28"}


async def elicit(context: ClientRequestContext, params: types.ElicitRequestParams) -> types.ElicitResult:
    return types.ElicitResult(action="accept", content={"username": "testuser", "email": "test@example.com"})


async def sample(context: ClientRequestContext, params: types.CreateMessageRequestParams) -> types.CreateMessageResult:
    return types.CreateMessageResult(
        role="assistant", content=types.TextContent(text="sampled by the client"), model="none"
    )


def text_of(content: Any) -> str:
    assert isinstance(content, types.TextContent | types.TextResourceContents), content
    return content.text


async def walk(server: str | StdioServerParameters, mode: str) -> Observed:
    logs: list[str] = []
    steps: list[float] = []

    async def on_log(params: types.LoggingMessageNotificationParams) -> None:
        logs.append(str(params.data))

    async def on_progress(progress: float, total: float | None, message: str | None) -> None:
        steps.append(progress)

    async with Client(
        server,
        mode=mode,
        elicitation_callback=elicit,
        sampling_callback=sample,
        logging_callback=on_log,
        log_level="info",
    ) as client:
        await listed(client, "helpdesk__find_customer")
        tools = await listed(client, "test_simple_text")
        if mode == "legacy":
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # deprecated as of 2026-07-28, and still has to pass through
                await client.set_logging_level("info")
        text = await client.call_tool("test_simple_text")
        await client.call_tool("test_tool_with_progress", progress_callback=on_progress)
        await client.call_tool("test_tool_with_logging")
        elicited = await client.call_tool("test_elicitation", {"message": "Who are you?"})
        sampled = await client.call_tool("test_sampling", {"prompt": "Say something"})
        resource = await client.read_resource("test://static-text")
        template = await client.read_resource("test://template/123/data")
        prompt = await client.get_prompt("test_prompt_with_arguments", {"arg1": "hello", "arg2": "world"})
        reference = types.PromptReference(name="test_prompt_with_arguments")
        completion = await client.complete(reference, {"name": "arg1", "value": "par"})
        structured = await client.call_tool(ORDERS["name"], ORDERS["arguments"])  # type: ignore[arg-type]
        failed = await client.call_tool("test_error_handling")
        with pytest.raises(MCPError) as unknown:
            await client.call_tool("no_such_tool")
        return {
            "protocol": client.protocol_version,
            "tools": tools,
            "text": text_of(text.content[0]),
            "progress": steps,
            "logs": logs,
            "elicited": text_of(elicited.content[0]),
            "sampled": text_of(sampled.content[0]),
            "resource": text_of(resource.contents[0]),
            "template": text_of(template.contents[0]),
            "prompt": text_of(prompt.messages[0].content),
            "completion": completion.completion.values,
            "structured": structured.structured_content or {},
            "tool_error": failed.is_error,
            "unknown": unknown.value.code,
        }


@pytest.mark.parametrize("mode", ERAS)
async def test_the_python_client_works_over_http(mode: str, gateway: Gateway) -> None:
    judge(await walk(gateway.url, mode), ERAS[mode])


@pytest.mark.parametrize("mode", ERAS)
async def test_the_python_client_works_over_stdio(mode: str, stdio_config: dict[str, Any], tmp_path: Path) -> None:
    command, *arguments = stdio_command(write_config(stdio_config, tmp_path / "agentflow.yaml"))
    server = StdioServerParameters(command=command, args=arguments, env=child_environment(tmp_path / "data"))
    judge(await walk(server, mode), ERAS[mode])


@pytest.mark.parametrize("mode", ERAS)
@pytest.mark.parametrize("upstream_era", ["legacy", "modern"])
async def test_the_python_client_works_whatever_era_the_upstream_speaks(
    upstream_era: str, mode: str, tmp_path: Path
) -> None:
    """Elicitation and sampling included: a server's own requests become multi-round-trip results and back."""
    with fixture_over_http(tmp_path, era=upstream_era) as url:
        servers = {
            "fixture": {"type": "http", "url": url, "namespace": "", "trust": "trusted"},
            "helpdesk": helpdesk_over_stdio(tmp_path / "helpdesk.db"),
        }
        with running_gateway({"mcpServers": servers}, tmp_path) as gateway:
            judge(await walk(gateway.url, mode), ERAS[mode])
