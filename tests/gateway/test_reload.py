"""The configuration file is followed while the gateway serves: no call is dropped, and nothing broken is applied."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
import pytest
from gateway_process import Gateway, running_gateway, wait_until, write_config

from agentflow.paths import shipped
from tests.gateway.full_world import (
    LEGACY,
    MODERN,
    Record,
    Seen,
    client_of,
    full_over_http,
    full_over_stdio,
    other_server,
    until,
)

JSON = dict[str, Any]
KEY = "key-of-the-reloading-test"


@dataclass
class Live:
    """A running gateway whose file can be edited, and its upstreams."""

    gateway: Gateway
    folder: Path
    first: JSON
    second: JSON

    def config(self, *names: str, **sections: Any) -> JSON:
        return {"mcpServers": {name: getattr(self, name) for name in names}, **sections}

    def edit(self, *names: str, **sections: Any) -> None:
        write_config(self.config(*names, **sections), self.gateway.config_path)

    def edit_and_wait(self, *names: str, **sections: Any) -> None:
        seen = self.applied()
        self.edit(*names, **sections)
        wait_until(lambda: self.applied() > seen, "the edit to be applied", evidence=self.gateway.log_text)

    def applied(self) -> int:
        return self.gateway.log_text().count("configuration applied")

    def refused(self) -> int:
        return self.gateway.log_text().count("configuration not applied")

    def record(self, name: str) -> Record:
        return Record(self.folder / f"{name}.jsonl")

    def shows(self, tool: str) -> bool:
        return tool in self.gateway.tool_names()

    def wait_for(self, tool: str, *, shown: bool = True) -> None:
        wait_until(lambda: self.shows(tool) == shown, f"{tool} shown: {shown}", evidence=self.gateway.log_text)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    folder = tmp_path_factory.mktemp("reload")
    with full_over_http("first", folder, "legacy") as first:
        servers = {"first": {"url": first}, "second": full_over_stdio("second", folder, "modern")}
        env = {"RELOAD_KEY": KEY}
        with running_gateway({"mcpServers": {"first": servers["first"]}}, folder, env=env) as gateway:
            yield Live(gateway, folder, servers["first"], servers["second"])


@pytest.fixture
def live(running: Live) -> Live:
    """The gateway with nothing but its first server, whatever a former test made of it."""

    def as_it_was() -> bool:
        answer = running.gateway.rpc("tools/list")
        names = {tool["name"] for tool in answer.get("result", {}).get("tools", [])}
        return {"first__echo", "first__fail"} <= names and not any(name.startswith("second") for name in names)

    running.edit("first")
    wait_until(as_it_was, "the first configuration", evidence=running.gateway.log_text)
    return running


def begun(live: Live, name: str, file: str) -> bool:
    return any(entry["arguments"] == {"until": file} for entry in live.record(name).of("began"))


async def test_a_server_that_is_added_and_removed_again_comes_and_goes(live: Live) -> None:
    seen = Seen()
    async with client_of(live.gateway, LEGACY, seen) as old, client_of(live.gateway, MODERN) as new:
        await old.list_tools()
        async with new.listen(tools_list_changed=True) as subscription:
            events = aiter(subscription)
            live.edit("first", "second")
            with anyio.fail_after(15):
                await anext(events)
        await until(lambda: "notifications/tools/list_changed" in seen.methods(), "the older client hears of it")
        live.wait_for("second__echo")
        result = await new.call_tool("second__echo", {"city": "Bodo"})
        assert (result.structured_content or {})["leg"]["city"] == "Bodo"
        live.edit("first")
        live.wait_for("second__echo", shown=False)
    assert live.gateway.call("second__echo")["error"]["code"] == -32602
    assert "result" in live.gateway.call("first__echo")


@pytest.mark.parametrize("name", ["first", "second"])
@pytest.mark.parametrize("how", ["removed", "changed"])
def test_a_call_in_flight_outlives_the_edit(live: Live, name: str, how: str) -> None:
    file = live.folder / f"go-{name}-{how}"
    live.edit_and_wait("first", "second")
    live.wait_for("second__slow")
    with ThreadPoolExecutor() as pool:
        slow = pool.submit(live.gateway.call, f"{name}__slow", {"until": str(file)})
        wait_until(lambda: begun(live, name, str(file)), "the call reaches the upstream")
        others = [other for other in ("first", "second") if other != name]
        config = live.config(*others)
        if how == "changed":
            config["mcpServers"][name] = {**getattr(live, name), "namespace": "renamed"}
        write_config(config, live.gateway.config_path)
        live.wait_for(f"{name}__slow", shown=False)
        if how == "changed":
            live.wait_for("renamed__slow")
        assert not slow.done()
        file.touch()
        answer = slow.result(30)
    assert answer["result"]["content"][0]["text"] == "at last"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("mcpServers: {first: [", "agentflow.yaml"),
        ("mcpServers: {first: {url: 'http://127.0.0.1:1/mcp', tiemout: 3}}", "tiemout"),
        ("policy: {data: {settings: {default: 7}}}", "policy"),
        ("policy: {bundle: ./nowhere}", "no such folder"),
    ],
    ids=["not-yaml", "typo", "policy-data", "no-bundle"],
)
def test_a_broken_edit_changes_nothing_and_is_reported(live: Live, text: str, said: str) -> None:
    before, refused = live.gateway.tool_names(), live.refused()
    live.gateway.config_path.write_text(text)
    wait_until(lambda: live.refused() > refused, "the complaint in the log", evidence=live.gateway.log_text)
    complaint = live.gateway.log_text().rpartition("configuration not applied")[2]
    assert said in complaint
    assert live.gateway.tool_names() == before
    assert "result" in live.gateway.call("first__echo")


def test_an_edit_of_the_policy_s_data_is_applied(live: Live) -> None:
    assert live.shows("first__fail")
    live.edit("first", policy={"data": {"settings": {"forbidden": ["first/fail"]}}})
    live.wait_for("first__fail", shown=False)
    assert live.gateway.call("first__fail")["error"]["code"] == -32602
    assert "result" in live.gateway.call("first__echo")


def test_an_edit_of_the_bundle_is_applied_and_a_refused_one_leaves_the_old(live: Live) -> None:
    bundle = Path(shutil.copytree(shipped("policies"), live.folder / "bundle"))
    data = json.loads((bundle / "data.json").read_text())
    live.edit("first", policy={"bundle": str(bundle), "data": {"settings": {"forbidden": ["first/none"]}}})
    live.wait_for("first__echo")

    rule = {"servers": ["first"], "tools": ["fail"], "effect": "deny"}
    data["settings"]["rules"] = {"no-failing": rule}
    (bundle / "data.json").write_text(json.dumps(data))
    live.wait_for("first__fail", shown=False)

    def again() -> bool:
        return live.refused() > refused

    for broken in ("package agentflow\n\nx := [", "package agentflow_test\n\ntest_never_true if 1 == 2\n"):
        refused = live.refused()
        (bundle / "agentflow" / "own_test.rego").write_text(broken)
        wait_until(again, "the complaint in the log", evidence=live.gateway.log_text)
        assert not live.shows("first__fail")
        assert "result" in live.gateway.call("first__echo")

    (bundle / "agentflow" / "own_test.rego").unlink()
    refused, away = live.refused(), live.folder / "away"
    bundle.rename(away)  # somebody tidies up
    wait_until(again, "the complaint in the log", evidence=live.gateway.log_text)
    assert not live.shows("first__fail")
    assert "result" in live.gateway.call("first__echo")
    away.rename(bundle)
    data["settings"]["rules"] = {}
    (bundle / "data.json").write_text(json.dumps(data))
    live.wait_for("first__fail")


def test_an_edit_of_the_keys_is_applied(live: Live) -> None:
    def tools(**headers: str) -> bool:
        return "result" in live.gateway.rpc("tools/list", **headers)

    assert tools()
    live.edit_and_wait("first", auth={"api_keys": [{"id": "me", "key": "${RELOAD_KEY}", "roles": ["operator"]}]})
    assert not tools()
    assert tools(authorization=f"Bearer {KEY}")


def test_a_new_server_that_never_answers_holds_up_neither_the_edit_nor_anybody(live: Live) -> None:
    with other_server("mute", live.folder) as port:
        config = live.config("first", "second")
        config["mcpServers"]["mute"] = {"url": f"http://127.0.0.1:{port}/mcp"}
        write_config(config, live.gateway.config_path)
        live.wait_for("second__echo")
        assert "result" in live.gateway.call("first__echo")
        servers = {each["name"]: each for each in json.loads(live.gateway.get("/readyz")[1])["servers"]}
        assert servers["mute"]["status"] == "connecting"
        live.edit_and_wait("first")


def test_a_file_replaced_as_editors_do_it_is_followed_too(live: Live) -> None:
    other = write_config(live.config("first", "second"), live.folder / "agentflow.yaml.tmp")
    os.replace(other, live.gateway.config_path)
    live.wait_for("second__echo")


@pytest.mark.filterwarnings("ignore::mcp.shared.exceptions.MCPDeprecationWarning")
@pytest.mark.parametrize("era", [LEGACY, MODERN])
async def test_a_subscription_goes_on_when_its_server_s_entry_changes(live: Live, era: str) -> None:
    seen, uri = Seen(), "first://one"
    before = len(live.record("first").of("resources/subscribe"))
    config = live.config("first")
    config["mcpServers"]["first"] = {**live.first, "timeout": 33 if era == LEGACY else 34}

    async def changed(client: Any) -> None:
        write_config(config, live.gateway.config_path)
        subscribed = live.record("first")
        await until(lambda: len(subscribed.of("resources/subscribe")) > before + 1, "the new subscription", 10)
        await client.call_tool("first__touch")

    async with client_of(live.gateway, era, seen) as client:
        if era == LEGACY:
            await client.subscribe_resource(uri)
            await changed(client)
            await until(lambda: "notifications/resources/updated" in seen.methods(), "the change")
        else:
            async with client.listen(resource_subscriptions=[uri]) as subscription:
                await changed(client)
                with anyio.fail_after(10):
                    await anext(aiter(subscription))
    live.edit_and_wait("first")


def test_a_session_goes_on_over_an_edit(live: Live) -> None:
    async def session() -> None:
        async with client_of(live.gateway, LEGACY, name="stays") as client:
            before = (await client.call_tool("first__count")).content[0].text  # type: ignore[union-attr]
            live.edit_and_wait("first", "second")
            after = (await client.call_tool("first__count")).content[0].text  # type: ignore[union-attr]
        assert [json.loads(before)["count"], json.loads(after)["count"]] == [1, 2]

    anyio.run(session)
