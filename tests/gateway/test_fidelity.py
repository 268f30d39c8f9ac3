"""What an upstream says reaches the client as it was said, whatever era and transport each of them speaks."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
import httpx2
import mcp_types as types
import pytest
from gateway_process import Gateway, running_gateway
from mcp import Client, MCPError

from tests.gateway import full_definitions as definitions
from tests.gateway.full_world import (
    LEGACY,
    MODERN,
    UPSTREAMS,
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
ERAS = (LEGACY, MODERN)
PAIRS = [(up, era) for up in UPSTREAMS for era in ERAS]
pairs = pytest.mark.parametrize(("up", "era"), PAIRS, ids=[f"{up}-{era[:6]}" for up, era in PAIRS])


@dataclass
class World:
    gateway: Gateway
    folder: Path

    def record(self, up: str) -> Record:
        return Record(self.folder / f"{up}.jsonl")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("fidelity")
    with ExitStack() as stack:
        servers: JSON = {}
        for name, (transport, era) in UPSTREAMS.items():
            if transport == "http":
                servers[name] = {"url": stack.enter_context(full_over_http(name, folder, era))}
            else:
                servers[name] = full_over_stdio(name, folder, era)
        gateway = stack.enter_context(running_gateway({"mcpServers": servers}, folder))
        gateway.wait_for_tools(*(f"{name}__echo" for name in UPSTREAMS))
        yield World(gateway, folder)


class Handshake:
    """A bare handshake-era session with the gateway: what it answers, as it stands on the wire."""

    def __init__(self, gateway: Gateway, **headers: str) -> None:
        self.url = gateway.url
        self.headers = {"content-type": "application/json", "accept": "application/json, text/event-stream", **headers}
        hello = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "bare", "version": "1"}}
        answer = self._post({"id": 0, "method": "initialize", "params": hello})
        self.headers["mcp-session-id"] = answer.headers["mcp-session-id"]
        self.headers["mcp-protocol-version"] = "2025-11-25"
        self._post({"method": "notifications/initialized"})

    def _post(self, message: JSON) -> httpx2.Response:
        return httpx2.post(self.url, json={"jsonrpc": "2.0", **message}, headers=self.headers, timeout=30)

    def request(self, method: str, params: JSON) -> JSON:
        body = self._post({"id": 1, "method": method, "params": params}).text
        lines = [line[5:].strip() for line in body.splitlines() if line.startswith("data:")] or [body]
        messages = [json.loads(line) for line in lines if line]
        return next(dict(message) for message in messages if message.get("id") == 1)


def listed(gateway: Gateway, method: str, key: str) -> list[JSON]:
    """A listing in raw JSON, as a client of today's era gets it."""
    answer = gateway.rpc(method)
    assert "result" in answer, answer
    found: list[JSON] = answer["result"][key]
    return found


# --- definitions and results -----------------------------------------------------------------------------------


@pytest.mark.parametrize("up", UPSTREAMS)
def test_definitions_arrive_whole_with_only_the_name_changed(world: World, up: str) -> None:
    tools = {tool["name"]: tool for tool in listed(world.gateway, "tools/list", "tools")}
    for tool in definitions.TOOLS:
        assert tools[f"{up}__{tool['name']}"] == {**tool, "name": f"{up}__{tool['name']}"}
    prompts = {prompt["name"]: prompt for prompt in listed(world.gateway, "prompts/list", "prompts")}
    assert prompts[f"{up}__greet"] == {**definitions.PROMPT, "name": f"{up}__greet"}
    assert definitions.resource(up) in listed(world.gateway, "resources/list", "resources")
    template = {**definitions.TEMPLATE, "uriTemplate": f"{up}://item/{{id}}"}
    assert template in listed(world.gateway, "resources/templates/list", "resourceTemplates")


@pairs
async def test_a_result_arrives_whole(world: World, up: str, era: str) -> None:
    async with client_of(world.gateway, era) as client:
        result = await client.call_tool(f"{up}__echo", {"city": "Bergen"}, meta={"com.example/mine": "kept"})
    raw = result.model_dump(mode="json", by_alias=True, exclude_unset=True)
    assert result.structured_content == {"leg": {"city": "Bergen", "stops": [1, 2.5, None]}}
    assert raw["content"][0]["annotations"] == {"audience": ["user"], "priority": 0.5}
    assert raw["content"][1]["uri"] == f"{up}://one"
    assert {k: v for k, v in raw["_meta"].items() if not k.startswith("io.model")} == {
        "com.example/trace": {"id": 7},
        "plain": "yes",
    }
    meta = json.loads(text_of(result))
    assert meta["com.example/mine"] == "kept"


def raw_call(world: World, era: str, tool: str) -> JSON:
    """The result of a call exactly as it stood on the wire, in either era."""
    if era == MODERN:
        answer = world.gateway.call(tool)
    else:
        answer = Handshake(world.gateway).request("tools/call", {"name": tool, "arguments": {}})
    assert "result" in answer, answer
    found: JSON = answer["result"]
    return found


@pairs
def test_members_of_a_result_that_nobody_knows_yet_are_kept(world: World, up: str, era: str) -> None:
    result = raw_call(world, era, f"{up}__echo")
    assert result["x-future"] == {"nested": [1, {"deep": True}]}
    assert result["content"][1]["x-link"] == {"kept": True}
    assert result["isError"] is False


@pairs
async def test_an_error_keeps_its_code_message_and_data(world: World, up: str, era: str) -> None:
    async with client_of(world.gateway, era) as client:
        with pytest.raises(MCPError) as caught:
            await client.call_tool(f"{up}__fail")
    assert caught.value.error.code == -32042
    assert caught.value.error.message == "the reactor is cold"
    assert caught.value.error.data == {"because": ["no fuel", 3], "nested": {"retry": False}}


@pairs
async def test_resources_prompts_and_completion(world: World, up: str, era: str) -> None:
    async with client_of(world.gateway, era) as client:
        read = await client.read_resource(f"{up}://one")
        content = read.contents[0].model_dump(mode="json", by_alias=True, exclude_unset=True)
        assert content["text"] == f"content of {up}://one"
        assert content["_meta"] == {"rev": 4}
        item: Any = (await client.read_resource(f"{up}://item/41")).contents[0]
        assert item.text == f"content of {up}://item/41"

        prompt = await client.get_prompt(f"{up}__greet", {"who": "world"})
        assert prompt.description == "greets"
        assert prompt.messages[0].content.text == "Hello world"  # type: ignore[union-attr]

        by_name = types.PromptReference(name=f"{up}__greet")
        (value,) = (await client.complete(by_name, {"name": "who", "value": "wo"}, {"other": "x"})).completion.values
        told = json.loads(value)
        assert (told["value"], told["ref"]["name"], told["context"]) == ("wo", "greet", {"other": "x"})
        by_uri = types.ResourceTemplateReference(uri=f"{up}://item/{{id}}")
        (value,) = (await client.complete(by_uri, {"name": "id", "value": "4"})).completion.values
        assert json.loads(value)["ref"]["uri"] == f"{up}://item/{{id}}"


# --- during a call ---------------------------------------------------------------------------------------------


@pairs
async def test_progress_arrives_in_order_with_its_messages(world: World, up: str, era: str) -> None:
    seen = Seen()
    async with client_of(world.gateway, era) as client:
        await client.call_tool(f"{up}__progress", progress_callback=seen.on_progress)
    assert seen.progress == [(0, 1.0, "step 0"), (0.5, 1.0, "step 1"), (1, 1.0, "step 2")]


@pairs
async def test_the_log_level_of_the_client_is_honoured(world: World, up: str, era: str) -> None:
    heard = {}
    for level in ("error", "debug"):
        seen = Seen()
        async with client_of(world.gateway, era, seen, level=level if era == MODERN else None) as client:
            if era == LEGACY:
                await client.set_logging_level(level)
            await client.call_tool(f"{up}__log")
        heard[level] = seen.logs
    assert heard == {"error": ["error"], "debug": ["debug", "info", "error"]}


@pytest.mark.parametrize("up", UPSTREAMS)
async def test_a_2026_client_that_did_not_opt_in_gets_no_log(world: World, up: str) -> None:
    seen = Seen()
    async with client_of(world.gateway, MODERN, seen) as client:
        await client.call_tool(f"{up}__log")
    assert seen.logs == []


@pairs
async def test_a_cancelled_call_is_cancelled_at_the_upstream(world: World, up: str, era: str, tmp_path: Path) -> None:
    record, file = world.record(up), str(tmp_path / "never")

    def noted(what: str) -> bool:
        return any(entry["arguments"] == {"until": file} for entry in record.of(what))

    async with client_of(world.gateway, era) as client:
        async with anyio.create_task_group() as group:
            group.start_soon(client.call_tool, f"{up}__slow", {"until": file})
            await until(lambda: noted("began"), "the call reaches the upstream")
            group.cancel_scope.cancel()
        await until(lambda: noted("cancelled"), "the upstream sees the cancellation")


FORM = {
    "mode": "form",
    "message": "Which colour?",
    "requestedSchema": {
        "type": "object",
        "properties": {"colour": {"type": "string", "enum": ["green", "red"]}, "depth": {"type": "integer"}},
        "required": ["colour"],
    },
}
URL = {"mode": "url", "message": "Please sign in", "url": "https://login.example.com/start", "elicitationId": "e-1"}
SAMPLE = {
    "messages": [{"role": "user", "content": {"type": "text", "text": "Say it"}}],
    "maxTokens": 17,
    "systemPrompt": "Be brief",
    "temperature": 0.5,
    "stopSequences": ["END"],
    "modelPreferences": {"hints": [{"name": "small"}], "costPriority": 0.75},
}


def without_era(answer: JSON) -> JSON:
    return {k: v for k, v in answer.items() if k != "resultType"}


@pairs
async def test_elicitation_by_form(world: World, up: str, era: str) -> None:
    seen = Seen()
    async with client_of(world.gateway, era, seen) as client:
        result = await client.call_tool(
            f"{up}__ask", {"method": "elicitation/create", "params": {"mode": "form", **FORM}}
        )
    (question,) = [params for method, params in seen.asked if method == "elicitation/create"]
    assert question.message == FORM["message"]
    assert question.requested_schema == FORM["requestedSchema"]
    assert without_era(json.loads(text_of(result))) == {"action": "accept", "content": {"colour": "green", "depth": 3}}


@pairs
async def test_elicitation_by_url(world: World, up: str, era: str) -> None:
    seen = Seen()
    # 2026-07-28 has no elicitationId.
    params = URL if UPSTREAMS[up][1] == "legacy" else {k: v for k, v in URL.items() if k != "elicitationId"}
    async with client_of(world.gateway, era, seen) as client:
        result = await client.call_tool(f"{up}__ask", {"method": "elicitation/create", "params": params})
    (question,) = [params for method, params in seen.asked if method == "elicitation/create"]
    assert (question.mode, question.url, question.message) == ("url", URL["url"], URL["message"])
    assert without_era(json.loads(text_of(result)))["action"] == "accept"


@pytest.mark.parametrize("up", ["lh", "ls"])
async def test_a_url_elicitation_that_completes_after_the_call_is_announced(world: World, up: str) -> None:
    seen = Seen()
    async with client_of(world.gateway, LEGACY, seen) as client:
        await client.call_tool(f"{up}__complete_later", {"id": "e-77"})
        await until(lambda: "notifications/elicitation/complete" in seen.methods(), "the announcement")
    (told,) = [each.params for each in seen.notified if each.method == "notifications/elicitation/complete"]
    assert told.elicitation_id == "e-77"


@pairs
async def test_sampling(world: World, up: str, era: str) -> None:
    seen = Seen()
    async with client_of(world.gateway, era, seen) as client:
        result = await client.call_tool(f"{up}__ask", {"method": "sampling/createMessage", "params": SAMPLE})
    (question,) = [params for method, params in seen.asked if method == "sampling/createMessage"]
    asked = question.model_dump(mode="json", by_alias=True, exclude_unset=True)
    assert {k: asked[k] for k in SAMPLE} == SAMPLE
    answer = json.loads(text_of(result))
    assert (answer["role"], answer["model"], answer["stopReason"]) == ("assistant", "m-1", "endTurn")
    assert answer["content"]["text"] == "sampled"


@pairs
async def test_roots(world: World, up: str, era: str) -> None:
    seen = Seen()
    async with client_of(world.gateway, era, seen) as client:
        result = await client.call_tool(f"{up}__ask", {"method": "roots/list"})
    assert [method for method, _ in seen.asked] == ["roots/list"]
    assert without_era(json.loads(text_of(result))) == {"roots": [{"uri": "file:///home/ada/one", "name": "one"}]}


@pytest.mark.parametrize("up", ["lh", "ls"])
async def test_a_handshake_client_s_changed_roots_are_announced(world: World, up: str) -> None:
    record = world.record(up)
    before = len(record.of("notifications/roots/list_changed"))
    async with client_of(world.gateway, LEGACY) as client:
        await client.call_tool(f"{up}__echo")
        await client.send_roots_list_changed()
        await until(lambda: len(record.of("notifications/roots/list_changed")) > before, "the announcement")


# --- who is calling --------------------------------------------------------------------------------------------


@pairs
async def test_the_upstream_sees_the_real_client(world: World, up: str, era: str) -> None:
    async with client_of(world.gateway, era) as client:
        seen = json.loads(text_of(await client.call_tool(f"{up}__whoami")))
    assert seen["info"] == {"name": "fidelity", "version": "3.2.1", "title": "The fidelity test"}
    assert {"elicitation", "sampling", "roots"} <= set(seen["capabilities"])
    assert seen["protocol"] == {"legacy": "2025-11-25", "modern": MODERN}[UPSTREAMS[up][1]]


@pytest.mark.parametrize("up", ["lh", "mh"])
@pytest.mark.parametrize("era", ERAS)
async def test_a_client_that_declares_nothing_is_not_asked(world: World, up: str, era: str) -> None:
    async with Client(world.gateway.url, mode=era, cache=None) as client:
        seen = json.loads(text_of(await client.call_tool(f"{up}__whoami")))
        assert seen["capabilities"] == {}
        with pytest.raises(MCPError):
            await client.call_tool(f"{up}__ask", {"method": "roots/list"})


@pytest.mark.parametrize("up", ["lh", "ls", "ms"])  # 2026-07-28 has no sessions over HTTP
@pytest.mark.parametrize("era", ERAS)
async def test_a_client_keeps_its_session_from_the_first_call_on(world: World, up: str, era: str) -> None:
    async with client_of(world.gateway, era, name=f"first-{era}") as client:
        counts = [json.loads(text_of(await client.call_tool(f"{up}__count"))) for _ in range(3)]
    first = counts[0]["count"]
    assert [each["count"] for each in counts] == [first, first + 1, first + 2]
    # A handshake session is this client's own; a 2026 child serves every client of its principal.
    assert first == 1 or up == "ms"


@pairs
async def test_one_call_is_one_request(world: World, up: str, era: str) -> None:
    record = world.record(up)
    async with client_of(world.gateway, era) as client:
        await client.call_tool(f"{up}__echo")
        before = len(record.all())
        for _ in range(3):
            await client.call_tool(f"{up}__echo")
        await client.read_resource(f"{up}://one")
        await client.get_prompt(f"{up}__greet", {"who": "x"})
        methods = [entry["what"] for entry in record.all()[before:]]
    assert methods == ["tools/call"] * 3 + ["resources/read", "prompts/get"]


# --- subscriptions ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("up", UPSTREAMS)
async def test_a_handshake_client_hears_of_changed_resources(world: World, up: str) -> None:
    seen = Seen()
    uri = f"{up}://one"

    def heard() -> int:
        return seen.methods().count("notifications/resources/updated")

    async with client_of(world.gateway, LEGACY, seen) as client:
        await client.subscribe_resource(uri)
        await client.call_tool(f"{up}__touch")
        await until(lambda: heard() == 1, "the first change")
        assert str(next(n for n in seen.notified if n.method.endswith("updated")).params.uri) == uri
        await client.unsubscribe_resource(uri)
        await client.call_tool(f"{up}__touch")
        await client.call_tool(f"{up}__echo")
        assert heard() == 1


@pytest.mark.parametrize("up", UPSTREAMS)
async def test_a_2026_client_hears_of_changed_resources(world: World, up: str) -> None:
    uri = f"{up}://one"
    async with client_of(world.gateway, MODERN) as client:
        async with client.listen(resource_subscriptions=[uri]) as subscription:
            await client.call_tool(f"{up}__touch")
            with anyio.fail_after(10):
                event = await anext(aiter(subscription))
        assert str(event.uri) == uri  # type: ignore[union-attr]


@pytest.mark.parametrize("up", UPSTREAMS)
async def test_one_of_two_subscribers_leaving_does_not_deafen_the_other(world: World, up: str) -> None:
    stays, leaves = Seen(), Seen()
    uri = f"{up}://one"
    async with client_of(world.gateway, LEGACY, stays) as staying:
        await staying.subscribe_resource(uri)
        async with client_of(world.gateway, LEGACY, leaves) as leaving:
            await leaving.subscribe_resource(uri)
            await leaving.unsubscribe_resource(uri)
        await staying.call_tool(f"{up}__touch")
        await until(lambda: "notifications/resources/updated" in stays.methods(), "the change")


@pytest.mark.parametrize("up", ["lh", "ls"])
@pytest.mark.parametrize("era", ERAS)
async def test_a_subscription_ends_at_the_upstream_when_its_client_leaves(world: World, up: str, era: str) -> None:
    record, uri = world.record(up), f"{up}://one"
    async with client_of(world.gateway, era) as client:
        before = len(record.of("resources/unsubscribe"))
        if era == LEGACY:
            await client.subscribe_resource(uri)
        else:
            async with client.listen(resource_subscriptions=[uri]):
                assert len(record.of("resources/unsubscribe")) == before
    await until(lambda: len(record.of("resources/unsubscribe")) == before + 1, "the upstream is told")


# --- lists that change -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("up", UPSTREAMS)
async def test_a_tool_that_appears_is_announced_and_listed_in_both_eras(world: World, up: str) -> None:
    seen = Seen()
    async with client_of(world.gateway, LEGACY, seen) as old, client_of(world.gateway, MODERN) as new:
        await old.call_tool(f"{up}__echo")
        async with new.listen(tools_list_changed=True) as subscription:
            events = aiter(subscription)
            await new.call_tool(f"{up}__grow", {"name": f"new_{up}"})
            with anyio.fail_after(15):
                await anext(events)
            await until(
                lambda: "notifications/tools/list_changed" in seen.methods(), "the handshake client hears of it"
            )
        await until(lambda: f"{up}__new_{up}" in world.gateway.tool_names(), "the new tool is listed")
        assert f"{up}__new_{up}" in [tool.name for tool in (await old.list_tools()).tools]
