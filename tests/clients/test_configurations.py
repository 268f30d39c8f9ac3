"""Every configuration file in `clients/` is what its client accepts, and leads to a working gateway."""

from __future__ import annotations

import json
import re
import zipfile
from pathlib import Path
from typing import Any

import anyio
import jsonschema
import pytest
from client_walk import listed
from fastmcp.mcp_config import MCPConfig
from gateway_process import REPOSITORY, Gateway
from judges import package, run_node
from mcp import Client, StdioServerParameters
from stand_in_checkout import make_checkout, with_checkout

import agentflow

CLIENTS = REPOSITORY / "clients"
ENDPOINT = "http://127.0.0.1:8808/mcp"

# What each client documents for its file; the vendors publish no schema that could be had offline.
_STDIO = {
    "type": "object",
    "required": ["command"],
    "properties": {
        "type": {"const": "stdio"},
        "command": {"type": "string", "minLength": 1},
        "args": {"type": "array", "items": {"type": "string"}},
        "env": {"type": "object", "additionalProperties": {"type": "string"}},
    },
    "additionalProperties": False,
}


def _remote(*required: str) -> dict[str, Any]:
    headers = {"type": "object", "additionalProperties": {"type": "string"}}
    properties = {"type": {"enum": ["http", "sse"]}, "url": {"type": "string", "format": "uri"}, "headers": headers}
    return {"type": "object", "required": list(required), "properties": properties, "additionalProperties": False}


def _file(key: str, *entries: dict[str, Any]) -> dict[str, Any]:
    servers = {"type": "object", "minProperties": 1, "additionalProperties": {"oneOf": list(entries)}}
    return {"type": "object", "required": [key], "properties": {key: servers}, "additionalProperties": False}


_TYPED_STDIO = {**_STDIO, "required": ["type", "command"]}
_SCHEMAS = {
    "claude-desktop/claude_desktop_config.json": _file("mcpServers", _STDIO),  # programs only
    "claude-code/.mcp.json": _file("mcpServers", _remote("type", "url"), _STDIO),
    "claude-code/stdio.mcp.json": _file("mcpServers", _remote("type", "url"), _STDIO),
    "vscode/.vscode/mcp.json": _file("servers", _remote("type", "url"), _TYPED_STDIO),
    "vscode/.vscode/stdio.mcp.json": _file("servers", _remote("type", "url"), _TYPED_STDIO),
    "cursor/.cursor/mcp.json": _file("mcpServers", _remote("url"), _STDIO),
    "cursor/.cursor/stdio.mcp.json": _file("mcpServers", _remote("url"), _STDIO),
    "python/mcp.json": _file("mcpServers", _remote("type", "url"), _STDIO),
}
_HTTP = [name for name in _SCHEMAS if not re.search(r"stdio|desktop", name)]
_CHILD = [name for name in _SCHEMAS if name not in _HTTP]


def load(name: str) -> dict[str, Any]:
    return dict(json.loads((CLIENTS / name).read_text(encoding="utf-8")))


def entry(name: str) -> dict[str, Any]:
    document = load(name)
    servers = document.get("servers") or document["mcpServers"]
    assert list(servers) == ["agentflow"]
    return dict(servers["agentflow"])


def test_every_configuration_file_is_judged_here() -> None:
    found = {str(path.relative_to(CLIENTS)) for path in CLIENTS.rglob("*.json")}
    assert found == {*_SCHEMAS, "claude-desktop/mcpb/manifest.json"}


@pytest.mark.parametrize("name", _SCHEMAS)
def test_the_file_has_the_form_its_client_documents(name: str) -> None:
    jsonschema.validate(load(name), _SCHEMAS[name], format_checker=jsonschema.FormatChecker())


@pytest.mark.parametrize("name", [name for name in _SCHEMAS if "vscode" not in name])
def test_the_file_is_read_by_a_parser_of_mcp_servers(name: str) -> None:
    config = MCPConfig.from_file(CLIENTS / name)
    assert list(config.mcpServers) == ["agentflow"]


@pytest.mark.parametrize("name", _HTTP)
async def test_its_address_leads_to_the_gateway(name: str, gateway: Gateway) -> None:
    assert entry(name)["url"] == ENDPOINT
    async with Client(gateway.url) as client:
        assert "helpdesk__find_customer" in await listed(client, "helpdesk__find_customer")


async def assert_it_starts_a_gateway(command: str, arguments: list[str]) -> None:
    with anyio.fail_after(60):
        async with Client(StdioServerParameters(command=command, args=arguments)) as client:
            assert "helpdesk__find_customer" in await listed(client, "helpdesk__find_customer")


@pytest.mark.parametrize("name", _CHILD)
async def test_its_command_starts_a_gateway(name: str, tmp_path: Path) -> None:
    server = with_checkout(entry(name), make_checkout(tmp_path))
    await assert_it_starts_a_gateway(server["command"], server["args"])


def test_the_bundle_is_valid_and_packs(tmp_path: Path) -> None:
    mcpb = package("@anthropic-ai/mcpb", "dist", "cli", "cli.js")
    source = CLIENTS / "claude-desktop" / "mcpb"
    checked = run_node(mcpb, "validate", str(source / "manifest.json"), cwd=tmp_path)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    packed = run_node(mcpb, "pack", str(source), str(tmp_path / "agentflow.mcpb"), cwd=tmp_path)
    assert packed.returncode == 0, packed.stdout + packed.stderr
    with zipfile.ZipFile(tmp_path / "agentflow.mcpb") as bundle:
        assert set(bundle.namelist()) == {"manifest.json", "server/start.sh"}


def test_the_bundle_has_the_version_of_the_package() -> None:
    assert load("claude-desktop/mcpb/manifest.json")["version"] == agentflow.__version__


async def test_the_bundle_starts_a_gateway(tmp_path: Path) -> None:
    root = make_checkout(tmp_path)
    values = {
        "${__dirname}": str(CLIENTS / "claude-desktop" / "mcpb"),
        "${user_config.agentflow}": str(root / ".venv" / "bin" / "agentflow"),
        "${user_config.config}": str(root / "examples" / "agentflow.yaml"),
    }

    def filled(text: str) -> str:
        for variable, value in values.items():
            text = text.replace(variable, value)
        assert "${" not in text
        return text

    config = load("claude-desktop/mcpb/manifest.json")["server"]["mcp_config"]
    await assert_it_starts_a_gateway(filled(config["command"]), [filled(argument) for argument in config["args"]])
