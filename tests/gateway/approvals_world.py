"""A policy that asks people about some tools, gateways under it, and callers of both eras before them."""

from __future__ import annotations

import itertools
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import mcp_types as types
from gateway_process import MODERN, Gateway, fetch
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

from agentflow.audit.read import entries
from agentflow.config import Config
from agentflow.guard.vault import open_vault
from agentflow.identity.principal import Principal
from agentflow.policy.approvals import Approval, State
from agentflow.policy.approvals_stored import StoredApprovals
from agentflow.store.opened import Store
from tests.gateway.service_world import texts, told

JSON = dict[str, Any]
KEYS = {"ada": "a" * 40, "bob": "b" * 40, "eve": "e" * 40}
ENV = {f"KEY_OF_{who.upper()}": key for who, key in KEYS.items()}
ENV["MASTER"] = "QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVowMTIzNDU="
BOB = Principal("bob", roles=("finance",))
CAT = Principal("cat", roles=("finance",))
# tool → whom policy asks about it
ASKS: JSON = {
    "own": {"who": "caller", "ttl": 300, "prompt": "It leaves the house."},
    "team": {"who": "role:finance", "ttl": 300},
    "two": {"who": "role:finance", "ttl": 300, "count": 2},
    "brief": {"who": "role:finance", "ttl": 1},
    "ask": {"who": "caller", "ttl": 300},
}
YES: JSON = {"action": "accept", "content": {"approve": True}}
_ids = itertools.count(1)


def bundle(folder: Path, asks: JSON = ASKS) -> Path:
    """A bundle that lets everybody call everything, once those of `asks` have said yes."""
    folder.mkdir(exist_ok=True)
    (folder / "decision.rego").write_text(
        "package agentflow\n\nimport rego.v1\n\n"
        'decision := {"allow": true, "obligations": {"approval": object.get(data.asks, input.call.tool, null)}}\n'
    )
    (folder / "data.json").write_text(json.dumps({"asks": asks}))
    return folder


def config(folder: Path, record: Path, hold: float = 20.0, store: str | None = None, era: str = "both") -> JSON:
    """A gateway's configuration: one server with every tool of `ASKS`, three callers."""
    return {
        "mcpServers": {"s": told(record, era=era, tools={**{tool: {} for tool in ASKS}, "free": {}})},
        "flow": {"enabled": False},
        "policy": {"bundle": str(bundle(folder / "bundle"))},
        "approvals": {"hold": hold},
        "auth": {
            "api_keys": [
                {"id": who, "key": f"${{KEY_OF_{who.upper()}}}", "roles": ["finance" if who == "bob" else "agent"]}
                for who in KEYS
            ]
        },
        **({"store": {"url": store}, "guard": {"master_key": "${MASTER}"}} if store else {}),
    }


@dataclass
class Desk:
    """The approvals beside running gateways, as the command line has them."""

    config: Config
    store: Store = field(init=False)
    approvals: StoredApprovals = field(init=False)

    def __post_init__(self) -> None:
        self.store = Store(self.config.data_dir, self.config.store)
        self.approvals = StoredApprovals(self.store, "default", lambda: key(self.config), lambda event: None)

    def open(self) -> list[Approval]:
        return list(self.approvals.pending())

    def vote(self, voter: Principal = BOB, approve: bool = True) -> str:
        """Vote on the only one that is open; its id."""
        (waiting,) = self.open()
        self.approvals.vote(waiting.id, voter, approve)
        return waiting.id

    def state(self, id: str) -> State:
        found = self.approvals.find(id)
        assert found is not None
        return found.state


def desk(data_dir: Path, url: str | None = None) -> Desk:
    shared = {"store": {"url": url}, "guard": {"master_key": ENV["MASTER"]}} if url else {}
    return Desk(Config.model_validate({"data_dir": data_dir, **shared}))


def key(config: Config) -> bytes:
    """What the approvals of a gateway that has begun are sealed with."""
    with closing(open_vault(config)) as vault:
        return vault.derived_key("agentflow", b"approvals")


@dataclass
class Person:
    """Whoever sits at a client: what they were asked, and what they say."""

    says: JSON = field(default_factory=lambda: YES)
    asked: list[str] = field(default_factory=list)
    told: list[str] = field(default_factory=list)

    async def elicit(self, _: Any, params: types.ElicitRequestParams) -> types.ElicitResult:
        self.asked.append(params.message)
        return types.ElicitResult.model_validate(self.says)

    async def hear(self, progress: float, total: float | None, message: str | None) -> None:
        self.told.append(message or "")


@asynccontextmanager
async def connected(gateway: Gateway, era: str, person: Person | None, who: str = "ada") -> AsyncIterator[Client]:
    """An official client of a caller; without a person it cannot be asked anything."""
    options: JSON = {"elicitation_callback": person.elicit} if person else {}
    async with (
        httpx2.AsyncClient(headers={"authorization": f"Bearer {KEYS[who]}"}, timeout=60) as http,
        Client(
            streamable_http_client(gateway.url, http_client=http),
            mode="legacy" if era == "legacy" else MODERN,
            cache=None,
            read_timeout_seconds=60,
            **options,
        ) as client,
    ):
        yield client


def call(
    gateway: Gateway, tool: str, text: str = "x", who: str = "ada", can: JSON | None = None, **members: Any
) -> JSON:
    """One bare `tools/call` of the 2026 era; the whole JSON-RPC answer. `can`: what the client declares."""
    meta = {
        "io.modelcontextprotocol/protocolVersion": MODERN,
        "io.modelcontextprotocol/clientInfo": {"name": "tests", "version": "1"},
        "io.modelcontextprotocol/clientCapabilities": {"elicitation": {}} if can is None else can,
    }
    params = {"name": tool, "arguments": {"text": text}, "_meta": meta, **members}
    headers = {
        "authorization": f"Bearer {KEYS[who]}",
        "content-type": "application/json",
        "accept": "application/json, text/event-stream",
        "mcp-protocol-version": MODERN,
        "mcp-method": "tools/call",
        "mcp-name": tool,
    }
    body = {"jsonrpc": "2.0", "id": next(_ids), "method": "tools/call", "params": params}
    _, answer, _ = fetch(gateway.url, json.dumps(body).encode(), headers)
    said = answer.decode()
    return dict(json.loads(said[said.index("{") :]))


def back(interim: JSON, answer: JSON | None = YES) -> JSON:
    """What a client adds to its call when it comes back."""
    responses = {} if answer is None else {"inputResponses": {"approval": answer}}
    return {"requestState": interim["result"]["requestState"], **responses}


def ran(record: Path) -> list[str]:
    """The texts of the tool calls that reached the server."""
    return texts(record)


def steps(data_dir: Path) -> list[tuple[str, str]]:
    """The approval events of a gateway: what, by whom."""
    found = [each.record for each in entries(data_dir) if each.record["kind"] == "approval"]
    return [(event["event"], event.get("by", "")) for event in found]


def calls(data_dir: Path) -> list[JSON]:
    """The records of a gateway's tool calls."""
    found = [each.record for each in entries(data_dir) if each.record["kind"] == "call"]
    return [record for record in found if record["surface"] == "tools/call"]
