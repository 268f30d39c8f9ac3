"""The official TypeScript clients through the gateway: SDK v1, client v2 in both eras; HTTP and stdio."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from client_walk import ORDERS, Observed, judge
from gateway_process import Gateway, child_environment, stdio_command, write_config
from judges import place_script, run_node

SCRIPTS = Path(__file__).resolve().parent / "ts"
CLIENTS = {
    "v1": ("sdk_v1.mjs", {}, "2025-11-25"),
    "v2-legacy": ("client_v2.mjs", {"mode": "legacy"}, "2025-11-25"),
    "v2-2026": ("client_v2.mjs", {"mode": "auto"}, "2026-07-28"),
}


def run_client(script: str, target: dict[str, Any], folder: Path) -> Observed:
    place_script(SCRIPTS / "walk.mjs", folder)
    done = run_node(place_script(SCRIPTS / script, folder), json.dumps({**target, "orders": ORDERS}), cwd=folder)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    seen: Observed = json.loads(done.stdout.strip().splitlines()[-1])
    return seen


@pytest.mark.parametrize("client", CLIENTS)
def test_the_typescript_client_works_over_http(client: str, gateway: Gateway, tmp_path: Path) -> None:
    script, options, protocol = CLIENTS[client]
    judge(run_client(script, {**options, "url": gateway.url}, tmp_path), protocol)


@pytest.mark.parametrize("client", CLIENTS)
def test_the_typescript_client_works_over_stdio(client: str, stdio_config: dict[str, Any], tmp_path: Path) -> None:
    script, options, protocol = CLIENTS[client]
    command, *arguments = stdio_command(write_config(stdio_config, tmp_path / "agentflow.yaml"))
    target = {**options, "command": command, "args": arguments, "env": child_environment(tmp_path / "data")}
    judge(run_client(script, target, tmp_path), protocol)
