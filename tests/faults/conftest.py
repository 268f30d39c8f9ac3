"""One world for most of the fault tests: misbehaving servers beside a good one, and a client of every kind."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from faults.speakers import HttpLegacy, HttpModern, Speaker, Stdio, stdio_gateway, wait_for_tools
from gateway_process import REPOSITORY, Gateway, free_port, running_gateway
from upstream_processes import listening_process

EVIL = REPOSITORY / "tests" / "faults" / "evil_server.py"
KINDS = ("http-modern", "http-legacy", "stdio-modern", "stdio-legacy")


def evil(*arguments: str, **settings: Any) -> dict[str, Any]:
    """The `mcpServers` entry of the misbehaving server as a stdio child."""
    return {"command": sys.executable, "args": [str(EVIL), "--stdio", *arguments], "timeout": 20, **settings}


@dataclass(frozen=True)
class World:
    gateway: Gateway
    speakers: dict[str, Speaker]
    data_dirs: tuple[Path, ...]

    def logs(self) -> str:
        stdio = [each.log_text() for each in self.speakers.values() if isinstance(each, Stdio)]
        return "\n".join([self.gateway.log_text(), *stdio])


@pytest.fixture(scope="package")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    tmp_path = tmp_path_factory.mktemp("faults")
    port = free_port()
    short = {"timeout": 1}
    config = {
        "mcpServers": {
            "evil": evil(**short),
            "web": {"url": f"http://127.0.0.1:{port}/mcp", **short},
            "good": evil(aliases={"twice": "second"}, trust="trusted"),
            "many": evil("--tools", "100000"),
            "odd": evil("--bad-schema"),
        },
        "flow": {"enabled": False},
        "policy": {"data": {"settings": {"forbidden": ["good/fail", "good/twice"]}}},
    }
    with ExitStack() as stack:
        command = [sys.executable, str(EVIL), "--port", str(port)]
        stack.enter_context(listening_process(command, port, tmp_path / "web.log"))
        gateway = stack.enter_context(running_gateway(config, tmp_path))
        path = gateway.config_path
        speakers: dict[str, Speaker] = {
            "http-modern": HttpModern(gateway),
            "stdio-modern": stack.enter_context(stdio_gateway(path, tmp_path, "modern")),
            "stdio-legacy": stack.enter_context(stdio_gateway(path, tmp_path, "legacy")),
        }
        speakers["http-legacy"] = HttpLegacy(gateway)
        for speaker in speakers.values():
            wait_for_tools(speaker, "evil__echo", "web__echo", "good__echo", "odd__echo")
        yield World(gateway, speakers, (gateway.data_dir, tmp_path / "data-modern", tmp_path / "data-legacy"))


@pytest.fixture(params=KINDS)
def speaker(world: World, request: pytest.FixtureRequest) -> Speaker:
    """A client of each era over each transport."""
    return world.speakers[request.param]
