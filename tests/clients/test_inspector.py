"""The MCP Inspector's command line through the gateway: both eras over HTTP, and over stdio."""

from __future__ import annotations

import json
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest
from gateway_process import Gateway
from judges import package, run_node
from stand_in_checkout import make_checkout

ERAS = ("legacy", "modern")
TOOL_NOT_FOUND = 5  # the Inspector's own exit status


def inspect(folder: Path, *arguments: str) -> CompletedProcess[str]:
    launcher = package("@modelcontextprotocol/inspector", "clients", "launcher", "build", "index.js")
    # HOME is the test's: the Inspector keeps a catalogue in it.
    return run_node(launcher, "--cli", *arguments, cwd=folder, env={"HOME": str(folder)})


def answer(done: CompletedProcess[str]) -> Any:
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("era", ERAS)
def test_it_lists_the_tools(era: str, gateway: Gateway, tmp_path: Path) -> None:
    tools = answer(inspect(tmp_path, gateway.url, "--protocol-era", era, "--method", "tools/list"))["tools"]
    by_name = {tool["name"]: tool for tool in tools}
    assert by_name["helpdesk__get_customer"]["annotations"]["readOnlyHint"] is True
    assert "$defs" in by_name["json_schema_2020_12_tool"]["inputSchema"]


@pytest.mark.parametrize("era", ERAS)
def test_it_calls_a_tool(era: str, gateway: Gateway, tmp_path: Path) -> None:
    call = ("--method", "tools/call", "--tool-name", "helpdesk__get_order", "--tool-arg", "order_id=SO-10002")
    result = answer(inspect(tmp_path, gateway.url, "--protocol-era", era, *call))
    assert result["structuredContent"]["status"] == "shipped"


def test_it_reads_a_resource_and_gets_a_prompt(gateway: Gateway, tmp_path: Path) -> None:
    read = inspect(tmp_path, gateway.url, "--method", "resources/read", "--uri", "test://static-text")
    assert answer(read)["contents"][0]["text"] == "This is the content of the static text resource."
    prompt = ("--method", "prompts/get", "--prompt-name", "test_prompt_with_arguments", "--prompt-args")
    got = answer(inspect(tmp_path, gateway.url, *prompt, "arg1=a", "arg2=b"))
    assert got["messages"][0]["content"]["text"] == "Prompt with arguments: arg1='a', arg2='b'"


def test_it_says_that_a_tool_is_not_there(gateway: Gateway, tmp_path: Path) -> None:
    done = inspect(tmp_path, gateway.url, "--method", "tools/call", "--tool-name", "no_such_tool")
    assert done.returncode == TOOL_NOT_FOUND


def test_it_works_over_stdio(tmp_path: Path) -> None:
    root = make_checkout(tmp_path)
    arguments = ["serve", "--stdio", "--config", str(root / "examples" / "agentflow.yaml")]
    entry = {"type": "stdio", "command": str(root / ".venv" / "bin" / "agentflow"), "args": arguments}
    servers = tmp_path / "mcp.json"
    servers.write_text(json.dumps({"mcpServers": {"agentflow": entry}}), encoding="utf-8")
    done = inspect(tmp_path, "--config", str(servers), "--server", "agentflow", "--method", "tools/list")
    assert {"planner", "helpdesk__find_customer"} <= {tool["name"] for tool in answer(done)["tools"]}
