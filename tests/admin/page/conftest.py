"""A gateway with something to administer, a browser, and clients that call tools."""

from __future__ import annotations

import copy
import json
import os
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import chromium
import judges
import pytest
from chromium import Browser, Page
from gateway_process import Gateway, running_gateway, wait_until

JSON = dict[str, Any]
SERVER = Path(__file__).parents[2] / "security" / "changing_server.py"
SHOTS = judges.REPOSITORY / ".cache" / "screenshots"
KEYS = {
    "ops": "ops-key-0123456789abcdef",
    "oper": "oper-key-0123456789abcdef",
    "viewer": "viewer-key-0123456789abcdef",
    "bot": "bot-key-0123456789abcdef",
    "acme-admin": "acme-key-0123456789abcdef",
}
ROLES = {
    "ops": "admin",
    "second": "admin",
    "oper": "operator",
    "viewer": "viewer",
    "bot": "agent",
    "acme-admin": "admin",
}
HOSTILE = "<script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">"
REFUND: JSON = {
    "name": "refund",
    "title": "Refund an order",
    "description": "Gives money back for an order.",
    "inputSchema": {
        "type": "object",
        "properties": {"order": {"type": "string"}, "amount": {"type": "number"}, "note": {"type": "string"}},
        "required": ["order"],
    },
    "annotations": {"readOnlyHint": False},
}
LIST: JSON = {
    "name": "list_orders",
    "description": "Lists the orders of a customer.",
    "inputSchema": {"type": "object", "properties": {"customer": {"type": "string"}}},
    "annotations": {"readOnlyHint": True},
}
ASKS: JSON = {
    "tools": ["refund"], "effect": "approve", "ttl": 300, "why": "Money leaves the house.",
    "approvers": {"who": ["role:admin"]},
}  # fmt: skip
PURGE: JSON = {"name": "purge_orders", "description": "Forgets old orders.", "inputSchema": {"type": "object"}}


@dataclass
class Shop:
    """A gateway with a shop behind it, and the shop's offer."""

    gateway: Gateway
    offer: Path
    called: Path
    threads: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(4))
    lock: threading.Lock = field(default_factory=threading.Lock)

    def change(self, name: str, **members: Any) -> None:
        """Let the shop define a tool otherwise, or another tool."""
        offer = json.loads(self.offer.read_text())
        known = {tool["name"]: tool for tool in offer["tools"]}
        known[name] = {**copy.deepcopy(known.get(name, {"name": name, "inputSchema": {"type": "object"}})), **members}
        draft = self.offer.with_suffix(".new")
        draft.write_text(json.dumps({"tools": list(known.values())}))
        os.replace(draft, self.offer)

    def rpc(self, method: str, params: JSON, key: str = KEYS["bot"]) -> JSON:
        """One request of a client that only sends; who waits for an answer does so in `client`."""
        with self.lock:
            return self.gateway.rpc(method, params, authorization=f"Bearer {key}")

    def call(self, tool: str, arguments: JSON | None = None, key: str = KEYS["bot"]) -> JSON:
        return self.rpc("tools/call", {"name": f"shop__{tool}", "arguments": arguments or {}}, key)

    def listed(self, key: str = KEYS["bot"]) -> set[str]:
        answer = self.rpc("tools/list", {}, key)
        assert "result" in answer, f"{answer}\n{self.gateway.log_text()[-3000:]}"
        return {tool["name"].removeprefix("shop__") for tool in answer["result"]["tools"]}

    def called_for(self, tool: str) -> int:
        """How often the shop's tool has run."""
        return self.called.read_text().split().count(tool) if self.called.exists() else 0

    def client(self, tool: str, arguments: JSON) -> Future[str]:
        """What the official client gets for a call that may take a while."""
        return self.threads.submit(_called, self.gateway.url, f"shop__{tool}", arguments)


def _called(url: str, tool: str, arguments: JSON) -> str:
    import asyncio

    import httpx2
    from mcp import Client, MCPError
    from mcp.client.streamable_http import streamable_http_client

    async def call() -> str:
        headers = {"authorization": f"Bearer {KEYS['bot']}"}
        async with (
            httpx2.AsyncClient(headers=headers, timeout=60) as http,
            Client(streamable_http_client(url, http_client=http), mode="legacy") as client,
        ):
            try:
                result = await client.call_tool(tool, arguments)
            except MCPError as refusal:
                return f"error: {refusal}"
            return ("error: " if result.is_error else "") + "".join(
                getattr(part, "text", "") for part in result.content
            )

    return asyncio.run(call())


def configuration(offer: Path, called: Path) -> JSON:
    """The gateway's `agentflow.yaml`."""
    return {
        "mcpServers": {"shop": {"command": sys.executable, "args": [str(SERVER), str(offer), str(called)]}},
        "auth": {
            "api_keys": [
                {
                    "id": name,
                    "key": f"${{KEY_{name.upper().replace('-', '_')}}}",
                    "kind": "agent" if name == "bot" else "user",
                    "roles": [ROLES[name]],
                    **({"tenant": "acme"} if name.startswith("acme") else {}),
                }
                for name in KEYS
            ]
        },
        "flow": {"enabled": False},
        "policy": {"data": {"settings": {"rules": {"refunds": ASKS}}}},
    }


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """One for all tests of a module: each leaves it as it was, or uses what no other does."""
    tmp_path = tmp_path_factory.mktemp("shop")
    offer, called = tmp_path / "offer.json", tmp_path / "called"
    offer.write_text(json.dumps({"tools": [REFUND, LIST, PURGE]}))
    env = {f"KEY_{name.upper().replace('-', '_')}": key for name, key in KEYS.items()}
    with running_gateway(configuration(offer, called), tmp_path, env=env) as gateway:
        made = Shop(gateway, offer, called)
        wait_until(lambda: "refund" in made.listed(), "the shop's tools", 30, gateway.log_text)
        yield made
        made.threads.shutdown(wait=False, cancel_futures=True)


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with chromium.running(tmp_path_factory.mktemp("chromium")) as running:
        yield running


def sign_in(page: Page, gateway: Gateway, who: str = "ops", path: str = "/ui") -> None:
    """Sign in as a person would."""
    page.go(gateway.base + path)
    page.see("Sign in")
    page.fill("#key", KEYS[who])
    page.follow("button.main")
    page.see("Overview")  # the menu


@pytest.fixture
def page(browser: Browser, shop: Shop) -> Iterator[Page]:
    """An administrator's page; nothing that the browser objects to may have happened at the end."""
    page = browser.page()
    sign_in(page, shop.gateway)
    yield page
    assert page.complaints() == []
    assert all(url.startswith((shop.gateway.base, "data:", "about:")) for url in page.requested()), page.requested()
