"""Servers that are some tenants' only: for everybody else they do not exist, whatever the policy says."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import anyio
import pytest
from faults.speakers import HttpModern, stdio_gateway
from gateway_process import running_gateway, wait_until, write_config
from mcp import Client

from agentflow.audit.read import entries
from agentflow.gateway.client import ClientEnd
from agentflow.gateway.front import Subscription
from agentflow.identity.principal import Principal
from tests.gateway.full_world import LEGACY, MODERN, Seen, client_of, full_over_stdio, until
from tests.gateway.service_world import READS, Line, World, caller, config_of, heard, running, told, told_over_http

JSON = dict[str, Any]
OFFER: JSON = {
    "tools": {"look": READS, "find": READS},
    "prompts": ["ask"],
    "resources": ["shop://open"],
    "templates": ["shop://item/{number}"],
}


def of(tenant: str, role: str = "operator", era: Any = "legacy", line: Line | None = None) -> ClientEnd:
    return caller(role, era, line, tenant)


@pytest.fixture(scope="module")
def shops(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, JSON]]:
    """The same server for two tenants, each its own, and one for everybody."""
    folder = tmp_path_factory.mktemp("shops")
    with (
        told_over_http(folder / "acme.jsonl", **OFFER, instructions="The shop of acme.") as acme,
        told_over_http(folder / "globex.jsonl", **OFFER, instructions="The shop of globex.") as globex,
        told_over_http(folder / "common.jsonl", tools={"time": READS}, instructions="The clock.") as common,
    ):
        yield {
            "acme": {**acme, "tenants": ["acme"]},
            "globex": {**globex, "tenants": ["globex", "both"]},
            "common": common,
        }


def requests() -> list[tuple[str, JSON]]:
    argument = {"name": "number", "value": "a"}
    return [
        ("tools/call", {"name": "look", "arguments": {"text": "a"}}),
        ("tools/call", {"name": "look", "arguments": {"text": 7}}),
        ("prompts/get", {"name": "ask", "arguments": {"who": "me"}}),
        ("resources/read", {"uri": "shop://open"}),
        ("resources/read", {"uri": "shop://item/7"}),
        ("resources/subscribe", {"uri": "shop://open"}),
        ("completion/complete", {"ref": {"type": "ref/prompt", "name": "ask"}, "argument": argument}),
        ("completion/complete", {"ref": {"type": "ref/resource", "uri": "shop://item/{number}"}, "argument": argument}),
    ]


def absent(method: str, params: JSON) -> JSON:
    """The same request for something that does not exist."""
    text = json.dumps(params)
    for name in ('"look"', '"ask"', "shop://open", "shop://item/7", "shop://item/{number}"):
        text = text.replace(name, '"none"' if name[0] == '"' else "none://x")
    return dict(json.loads(text))


def plain(answer: JSON) -> str:
    answer["error"]["data"].pop("record")
    text = json.dumps(answer)
    for name in ("look", "ask", "shop://open", "shop://item/7", "shop://item/{number}", "none://x", "none"):
        text = text.replace(name, "NAME")
    return text


async def listed(world: World, client: ClientEnd) -> dict[str, list[str]]:
    kinds = {
        "tools": "tools",
        "prompts": "prompts",
        "resources": "resources",
        "resources/templates": "resourceTemplates",
    }
    found: dict[str, list[str]] = {}
    for method, key in kinds.items():
        result = (await world.ask(f"{method}/list", {}, client))["result"]
        found[key] = [each.get("uriTemplate") or each.get("uri") or each["name"] for each in result[key]]
    return found


@pytest.mark.parametrize("mode", ["enforce", "off"])
async def test_what_is_another_tenant_s_is_neither_listed_nor_called(
    shops: dict[str, JSON], tmp_path: Path, mode: str
) -> None:
    pipeline = {"stages": {"decide": {"mode": mode}}}
    async with running(config_of(tmp_path, shops, pipeline=pipeline)) as world:
        nothing = {"tools": ["time"], "prompts": [], "resources": [], "resourceTemplates": []}
        everything = {
            "tools": ["look", "find", "time"],
            "prompts": ["ask"],
            "resources": ["shop://open"],
            "resourceTemplates": ["shop://item/{number}"],
        }
        for role in ("operator", "admin"):  # and no role opens it
            assert await listed(world, of("default", role)) == nothing
        for tenant in ("acme", "globex", "both"):
            assert await listed(world, of(tenant)) == everything
        for method, params in requests():
            refused = await world.ask(method, params, of("default", "admin"))
            unknown = await world.ask(method, absent(method, params), of("default", "admin"))
            assert refused["error"]["code"] == -32602, refused
            assert plain(refused) == plain(unknown)
            if params.get("arguments") != {"text": 7}:
                assert "result" in await world.ask(method, params, of("acme"))


async def test_equal_names_of_two_tenants_servers_lead_each_to_its_own(tmp_path: Path) -> None:
    servers = {
        tenant: told(tmp_path / f"{tenant}.jsonl", **OFFER, server={"tenants": [tenant]})
        for tenant in ("acme", "globex")
    }
    async with running(config_of(tmp_path, servers)) as world:
        assert world.service.gateway.catalogue.problems == ()
        for tenant in ("acme", "globex"):
            await world.call("look", {"text": f"for {tenant}"}, of(tenant))
            await world.ask("resources/read", {"uri": "shop://open"}, of(tenant))
        for tenant in ("acme", "globex"):
            calls = heard(tmp_path / f"{tenant}.jsonl", "tools/call")
            assert [each["arguments"]["text"] for each in calls] == [f"for {tenant}"]
            assert len(heard(tmp_path / f"{tenant}.jsonl", "resources/read")) == 1


async def test_tool_search_finds_nothing_of_another_tenant_s(shops: dict[str, JSON], tmp_path: Path) -> None:
    async with running(config_of(tmp_path, shops, catalogue={"search_threshold": 2})) as world:
        assert await world.tools(of("default")) == {"time"}  # one tool is no large catalogue
        assert await world.tools(of("acme")) == {"search_tools", "call_tool"}
        found = await world.call("search_tools", {"query": "text"}, of("acme"))
        assert {tool["name"] for tool in found["result"]["structuredContent"]["tools"]} == {"look", "find", "time"}
        refused = await world.call("call_tool", {"name": "look", "arguments": {}}, of("default"))
        assert refused["error"]["code"] == -32602


async def test_instructions_are_those_of_the_tenant_s_servers(shops: dict[str, JSON], tmp_path: Path) -> None:
    async with running(config_of(tmp_path, shops)) as world:
        texts = {tenant: await world.service._instructions.of(of(tenant).principal) for tenant in ("acme", "both", "x")}
        assert "shop of acme" in texts["acme"] and "shop of globex" not in texts["acme"]
        assert "shop of globex" in texts["both"] and "shop of acme" not in texts["both"]
        assert "shop" not in texts["x"] and all("The clock." in text for text in texts.values())


async def test_readyz_names_the_tenant_s_servers_and_all_to_administrators_of_the_gateway(
    shops: dict[str, JSON], tmp_path: Path
) -> None:
    async with running(config_of(tmp_path, shops, auth={"home_tenant": "home"})) as world:

        def names(who: Principal) -> set[str]:
            return {server["name"] for server in world.service.report(who)[1]["servers"]}

        assert names(of("acme").principal) == {"acme", "common"}
        assert names(of("acme", "admin").principal) == {"acme", "common"}
        assert names(of("home").principal) == {"common"}
        assert names(of("home", "admin").principal) == {"acme", "globex", "common"}
        assert world.service.report(of("acme").principal)[1]["tools"] == 3


async def test_the_record_of_the_attempt_names_what_was_behind_it(shops: dict[str, JSON], tmp_path: Path) -> None:
    async with running(config_of(tmp_path, shops)) as world:
        refused = await world.call("look", {"text": "a"}, of("default"))
        record = next(each for each in world.records() if each["id"] == refused["error"]["data"]["record"])
        assert [(each["event"], each["server"]) for each in record["events"]] == [("hidden", "acme")]


async def test_a_server_given_to_another_tenant_is_gone_at_once(shops: dict[str, JSON], tmp_path: Path) -> None:
    async with running(config_of(tmp_path, shops)) as world:
        client = of("acme")
        assert "look" in await world.tools(client)
        moved = {**shops, "acme": {**shops["acme"], "tenants": ["initech"]}}
        await world.service.apply(config_of(tmp_path, moved))
        assert await world.tools(client) == {"time"}
        assert (await world.call("look", {"text": "a"}, client))["error"]["code"] == -32602
        assert "look" in await world.tools(of("initech"))


@dataclass(eq=False)
class Heard:
    """The client's end of a connection."""

    notes: list[tuple[str, JSON]] = field(default_factory=list)

    async def notify(self, method: str, params: JSON) -> None:
        self.notes.append((method, params))


async def test_changes_of_another_tenant_s_resources_are_told_to_nobody_else(
    shops: dict[str, JSON], tmp_path: Path
) -> None:
    async with running(config_of(tmp_path, shops)) as world:
        front, told_of = world.service.front, {}
        for tenant in ("acme", "globex", "default"):  # as if each had subscribed before the servers were given away
            told_of[tenant] = Heard()
            client = of(tenant)
            front._subscriptions[tenant, "shop://open"] = Subscription(
                "shop://open", client, cast(Any, told_of[tenant])
            )
        owner = next(member.upstream for member in world.service.members if member.name == "globex")
        method = "notifications/resources/updated"
        await world.service._notifications.pass_on(owner, method, {"uri": "shop://open"}, None)
        assert {tenant: len(heard.notes) for tenant, heard in told_of.items()} == {"acme": 0, "globex": 1, "default": 0}


# On stdio ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tenant", ["acme", "default"])
def test_a_caller_on_stdio_has_the_tenant_the_roles_and_the_limits_of_the_configuration(
    tmp_path: Path, tenant: str
) -> None:
    config: JSON = {
        "flow": {"enabled": False},
        "auth": {"local": {"id": "desk", "kind": "agent", "roles": ["viewer"], "tenant": tenant}},
        "limits": {"calls_per_minute": 6},
    }
    tools = {"time": READS, "wipe": {"destructiveHint": True}}
    with (  # they run already: the first listing, which counts, is to have all of them
        told_over_http(tmp_path / "shop.jsonl", **OFFER) as shop,
        told_over_http(tmp_path / "common.jsonl", tools=tools) as common,
        stdio_gateway(
            write_config(
                {**config, "mcpServers": {"shop": {**shop, "tenants": ["acme"]}, "common": common}},
                tmp_path / "agentflow.yaml",
            ),
            tmp_path,
        ) as client,
    ):
        names = {tool["name"] for tool in client.ask("tools/list")["result"]["tools"]}
        assert names == ({"look", "find", "time"} if tenant == "acme" else {"time"})  # `wipe` is not for viewers
        looked, wiped = client.call("look", {"text": "a"}), client.call("wipe", {"text": "a"})
        assert ("result" in looked) is (tenant == "acme")
        assert wiped["error"]["code"] == -32602
        answers = [client.call("time", {"text": "a"}) for _ in range(8)]
        assert [each["error"]["data"]["type"] for each in answers if "error" in each][-1:] == ["limit_exceeded"]
    principals = [each.record["principal"] for each in entries(tmp_path / "data-legacy") if "stages" in each.record]
    assert principals
    assert all((who["id"], who["tenant"], who["auth"]) == ("desk", tenant, "stdio") for who in principals)


# On HTTP -------------------------------------------------------------------------------------------------------


def folder(path: Path) -> Path:
    path.mkdir()
    return path


@pytest.mark.filterwarnings("ignore::mcp.shared.exceptions.MCPDeprecationWarning")
def test_only_the_tenant_whose_server_changes_hears_of_it(tmp_path: Path) -> None:
    """Both tenants have a server with the same names and addresses; all clients listen for everything."""
    tenants = ("acme", "globex")
    config = {
        "mcpServers": {
            tenant: {**full_over_stdio("shop", folder(tmp_path / tenant)), "namespace": "", "tenants": [tenant]}
            for tenant in tenants
        },
        "flow": {"enabled": False},
        "auth": {
            "api_keys": [
                {"id": tenant, "tenant": tenant, "key": f"${{{tenant.upper()}}}", "roles": ["operator"]}
                for tenant in tenants
            ]
        },
    }
    keys = {tenant: f"the-key-of-{tenant}-alone" for tenant in tenants}
    seen = {tenant: Seen() for tenant in tenants}
    streamed: dict[str, list[str]] = {tenant: [] for tenant in tenants}

    async def listen(client: Client, tenant: str) -> None:
        async with client.listen(resource_subscriptions=["shop://one"], tools_list_changed=True) as subscription:
            seen[tenant].asked.append(("listens", None))
            async for event in subscription:
                streamed[tenant].append(type(event).__name__)

    def updates(tenant: str) -> tuple[int, int]:
        return (
            streamed[tenant].count("ResourceUpdated"),
            seen[tenant].methods().count("notifications/resources/updated"),
        )

    def lists(tenant: str) -> tuple[bool, bool]:
        return "ToolsListChanged" in streamed[tenant], "notifications/tools/list_changed" in seen[tenant].methods()

    async def story() -> None:
        async with contextlib.AsyncExitStack() as stack:
            clients = {}
            for tenant in tenants:
                old = client_of(gateway, LEGACY, seen[tenant], key=keys[tenant])
                await (await stack.enter_async_context(old)).subscribe_resource("shop://one")
                clients[tenant] = await stack.enter_async_context(client_of(gateway, MODERN, key=keys[tenant]))
            async with anyio.create_task_group() as tasks:
                for tenant in tenants:
                    tasks.start_soon(listen, clients[tenant], tenant)
                await until(lambda: all(each.asked for each in seen.values()), "both listen")
                await clients["acme"].call_tool("touch")
                await until(lambda: updates("acme") == (1, 1), "acme hears of its resource")
                await clients["acme"].call_tool("grow", {"name": "more"})
                await until(lambda: lists("acme") == (True, True), "acme hears of its tools")
                await clients["globex"].call_tool("touch")
                await until(lambda: updates("globex") != (0, 0) and all(updates("globex")), "globex hears of its own")
                assert updates("globex") == updates("acme") == (1, 1)
                assert lists("globex") == (False, False)
                tasks.cancel_scope.cancel()

    with running_gateway(config, tmp_path, env={tenant.upper(): key for tenant, key in keys.items()}) as gateway:
        for key in keys.values():
            speaker = HttpModern(gateway, {"authorization": f"Bearer {key}"})
            wait_until(lambda s=speaker: s.ask("tools/list")["result"]["tools"], "its server's tools")  # type: ignore[misc]
        anyio.run(story)
