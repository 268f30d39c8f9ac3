"""The front in both eras over stdio, and over HTTP for several callers at once."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
import pytest
from gateway_process import Gateway, child_environment, running_gateway, stdio_command, write_config
from mcp import MCPError, StdioServerParameters

from tests.gateway.full_world import (
    LEGACY,
    MODERN,
    Record,
    Seen,
    client_of,
    full_over_http,
    full_over_stdio,
    text_of,
    until,
)

JSON = dict[str, Any]
# What 2026-07-28 deprecates still has to pass through.
pytestmark = pytest.mark.filterwarnings("ignore::mcp.shared.exceptions.MCPDeprecationWarning")
UPSTREAMS = {"lh": "legacy", "mh": "modern"}


@dataclass
class Upstreams:
    folder: Path
    servers: JSON

    def record(self, up: str) -> Record:
        return Record(self.folder / f"{up}.jsonl")


@pytest.fixture(scope="module")
def upstreams(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Upstreams]:
    folder = tmp_path_factory.mktemp("eras")
    with full_over_http("lh", folder, "legacy") as old, full_over_http("mh", folder, "modern") as new:
        yield Upstreams(folder, {"lh": {"url": old}, "mh": {"url": new}})


# --- stdio -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mode", "protocol"), [(LEGACY, "2025-11-25"), (MODERN, MODERN), ("auto", MODERN)], ids=["legacy", "2026", "auto"]
)
async def test_a_gateway_on_stdio_passes_everything_through(
    upstreams: Upstreams, mode: str, protocol: str, tmp_path: Path
) -> None:
    config = write_config({"mcpServers": upstreams.servers}, tmp_path / "agentflow.yaml")
    command, *arguments = stdio_command(config)
    server = StdioServerParameters(command=command, args=arguments, env=child_environment(tmp_path / "data"))
    seen = Seen()
    async with client_of(server, mode, seen, level="debug") as client:
        assert client.protocol_version == protocol
        names = [tool.name for tool in (await client.list_tools()).tools]
        assert {"lh__echo", "mh__echo", "planner"} <= set(names)
        if mode == LEGACY:
            await client.set_logging_level("debug")
        for up in UPSTREAMS:
            await _walk(client, seen, up, upstreams.record(up), tmp_path, protocol == MODERN)


async def _walk(client: Any, seen: Seen, up: str, record: Record, folder: Path, modern: bool) -> None:
    seen.progress.clear()
    seen.logs.clear()
    seen.asked.clear()
    seen.notified.clear()
    result = await client.call_tool(f"{up}__echo", {"city": "Hamar"})
    assert result.structured_content["leg"]["city"] == "Hamar"
    assert result.meta["com.example/trace"] == {"id": 7}
    with pytest.raises(MCPError) as caught:
        await client.call_tool(f"{up}__fail")
    assert (caught.value.error.code, caught.value.error.data["because"]) == (-32042, ["no fuel", 3])
    await client.call_tool(f"{up}__progress", progress_callback=seen.on_progress)
    assert [step for step, _, _ in seen.progress] == [0, 0.5, 1]
    await client.call_tool(f"{up}__log")
    assert seen.logs == ["debug", "info", "error"]
    for method in ("elicitation/create", "sampling/createMessage", "roots/list"):
        await client.call_tool(f"{up}__ask", {"method": method, "params": _QUESTIONS[method]})
    assert [method for method, _ in seen.asked] == list(_QUESTIONS)
    await _cancelled(client, up, record, folder)
    uri = f"{up}://one"
    if modern:
        async with client.listen(resource_subscriptions=[uri]) as subscription:
            await client.call_tool(f"{up}__touch")
            with anyio.fail_after(10):
                assert str((await anext(aiter(subscription))).uri) == uri
        async with client.listen(tools_list_changed=True) as subscription:
            await client.call_tool(f"{up}__grow", {"name": f"grown{os.urandom(4).hex()}"})
            with anyio.fail_after(10):
                await anext(aiter(subscription))
    else:
        await client.subscribe_resource(uri)
        await client.call_tool(f"{up}__touch")
        await until(lambda: "notifications/resources/updated" in seen.methods(), "the changed resource")
        await client.call_tool(f"{up}__grow", {"name": f"grown{os.urandom(4).hex()}"})
        await until(lambda: "notifications/tools/list_changed" in seen.methods(), "the changed list")
    assert (await client.get_prompt(f"{up}__greet", {"who": "you"})).messages[0].content.text == "Hello you"
    assert (await client.read_resource(f"{up}://item/3")).contents[0].text == f"content of {up}://item/3"


_QUESTIONS: dict[str, JSON] = {
    "elicitation/create": {
        "message": "Which?",
        "requestedSchema": {"type": "object", "properties": {"colour": {"type": "string"}}},
    },
    "sampling/createMessage": {
        "messages": [{"role": "user", "content": {"type": "text", "text": "Say it"}}],
        "maxTokens": 5,
    },
    "roots/list": {},
}


async def _cancelled(client: Any, up: str, record: Record, folder: Path) -> None:
    file = str(folder / f"never-{up}")

    def noted(what: str) -> bool:
        return any(entry["arguments"] == {"until": file} for entry in record.of(what))

    async with anyio.create_task_group() as group:
        group.start_soon(client.call_tool, f"{up}__slow", {"until": file})
        await until(lambda: noted("began"), "the call reaches the upstream")
        group.cancel_scope.cancel()
    await until(lambda: noted("cancelled"), "the upstream sees the cancellation")


# --- several callers -------------------------------------------------------------------------------------------

KEYS = {"alice": "key-of-alice-0123456789", "bob": "key-of-bob-0123456789"}


@pytest.fixture(scope="module")
def shared(upstreams: Upstreams, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """One gateway for two callers, in front of an upstream of each kind."""
    folder = tmp_path_factory.mktemp("shared")
    keys = [{"id": who, "key": f"${{KEY_{who.upper()}}}", "roles": ["operator"]} for who in KEYS]
    servers = {**upstreams.servers, "child": full_over_stdio("child", upstreams.folder, "legacy")}
    config = {"mcpServers": servers, "auth": {"api_keys": keys}}
    env = {f"KEY_{who.upper()}": key for who, key in KEYS.items()}
    with running_gateway(config, folder, env=env) as gateway:
        yield gateway


@pytest.mark.parametrize("era", [LEGACY, MODERN])
@pytest.mark.parametrize("up", ["lh", "child"])
async def test_callers_never_share_a_session_of_a_stateful_upstream(shared: Gateway, up: str, era: str) -> None:
    counts: dict[str, list[JSON]] = {who: [] for who in KEYS}
    async with (
        client_of(shared.url, era, key=KEYS["alice"], name=f"same-{era}") as alice,
        client_of(shared.url, era, key=KEYS["bob"], name=f"same-{era}") as bob,
    ):
        for _ in range(2):
            counts["alice"].append(json.loads(text_of(await alice.call_tool(f"{up}__count"))))
            counts["bob"].append(json.loads(text_of(await bob.call_tool(f"{up}__count"))))
    assert [each["count"] for each in counts["alice"]] == [1, 2]
    assert [each["count"] for each in counts["bob"]] == [1, 2]
    assert {each["session"] for each in counts["alice"]}.isdisjoint(each["session"] for each in counts["bob"])


@pytest.mark.parametrize("era", [LEGACY, MODERN])
@pytest.mark.parametrize("up", ["lh", "mh"])
async def test_the_caller_s_credentials_stay_with_the_gateway(
    shared: Gateway, upstreams: Upstreams, up: str, era: str
) -> None:
    async with client_of(shared.url, era, key=KEYS["alice"]) as client:
        await client.call_tool(f"{up}__echo")
    text = upstreams.record(up).path.read_text()
    assert "key-of-alice" not in text
    assert not any("authorization" in entry.get("headers", {}) for entry in upstreams.record(up).all())


async def test_one_caller_s_news_is_not_another_s(shared: Gateway) -> None:
    hers, his = Seen(), Seen()
    async with (
        client_of(shared.url, LEGACY, hers, key=KEYS["alice"]) as alice,
        client_of(shared.url, LEGACY, his, key=KEYS["bob"]) as bob,
    ):
        await bob.call_tool("lh__echo")
        await alice.subscribe_resource("lh://one")
        await alice.call_tool("lh__touch")
        await until(lambda: "notifications/resources/updated" in hers.methods(), "the changed resource")
        await bob.call_tool("lh__echo")
        assert "notifications/resources/updated" not in his.methods()
