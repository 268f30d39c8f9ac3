"""A gateway that asks for keys, with two callers, before servers that write down everything they receive."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from faults.conftest import EVIL, evil
from faults.speakers import HttpLegacy, HttpModern, wait_for_tools
from gateway_process import REPOSITORY, Gateway, free_port, running_gateway
from security.governed import Governed, governed
from upstream_processes import listening_process

from tests.gateway.service_world import told

CANARY = REPOSITORY / "tests" / "pipeline" / "canary_server.py"
# Everything the gateway knows that no server, log or file may learn.
SECRETS = {
    "ADA_KEY": "ada-key-0123456789-hush",
    "EVE_KEY": "eve-key-0123456789-hush",
    "VAULT_KEY": "a2tra2tra2tra2tra2tra2tra2tra2tra2tra2tra2s=",
    "UPSTREAM_TOKEN": "upstream-token-hush",
    "AWS_SECRET_ACCESS_KEY": "aws-secret-hush",
    "AGENTFLOW_API_KEY": "client-side-key-hush",
}
ASKER = {"namespace": "asker", "trust": "trusted"}
ADA = {"authorization": f"Bearer {SECRETS['ADA_KEY']}"}
EVE = {"authorization": f"Bearer {SECRETS['EVE_KEY']}"}


@dataclass(frozen=True)
class House:
    gateway: Gateway
    ada: HttpModern
    eve: HttpModern
    folder: Path

    def received(self, server: str) -> list[dict[str, Any]]:
        """What a server wrote down: `{"what", "value"}`, in order."""
        return [json.loads(line) for line in (self.folder / f"{server}.jsonl").read_text().splitlines()]


@pytest.fixture(scope="package")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    tmp_path = tmp_path_factory.mktemp("security")
    port = free_port()
    url = f"http://127.0.0.1:{port}/mcp"
    own = {"Authorization": "Bearer ${UPSTREAM_TOKEN}"}
    config = {
        "mcpServers": {
            "web": {"url": url, "trust": "trusted", "credentials": own},
            "plain": {"url": url, "trust": "trusted"},
            "child": evil("--log", str(tmp_path / "child.jsonl"), env={"OWN": "yes"}, env_allow=["LET_IN"]),
            "canary": {"command": sys.executable, "args": [str(CANARY), "--stdio"], "trust": "trusted"},
            "asker": told(tmp_path / "asker.jsonl", era="legacy", tools={"ask": {}, "slow": {}}, server=ASKER),
        },
        "auth": {"api_keys": [{"id": "ada", "key": "${ADA_KEY}"}, {"id": "eve", "key": "${EVE_KEY}"}]},
        "guard": {"master_key": "${VAULT_KEY}"},
        "flow": {"enabled": False},
        "policy": {"data": {"settings": {"toxic_flow": "off"}}},
    }
    with ExitStack() as stack:
        command = [sys.executable, str(EVIL), "--port", str(port), "--log", str(tmp_path / "web.jsonl")]
        stack.enter_context(listening_process(command, port, tmp_path / "web.log"))
        gateway = stack.enter_context(running_gateway(config, tmp_path, env={**SECRETS, "LET_IN": "let in"}))
        house = House(gateway, HttpModern(gateway, ADA), HttpModern(gateway, EVE), tmp_path)
        wait_for_tools(house.ada, "web__echo", "plain__echo", "child__echo", "canary__talk", "asker__ask")
        yield house


@pytest.fixture
def ada_session(house: House) -> HttpLegacy:
    return HttpLegacy(house.gateway, ADA)


@pytest.fixture(scope="package")
def office(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Governed]:
    """A gateway with an administration, an issuer, and servers that people connect to."""
    with governed(tmp_path_factory.mktemp("office")) as made:
        yield made
