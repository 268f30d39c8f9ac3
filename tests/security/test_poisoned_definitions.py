"""A definition that reads as an attack: neither listed nor called, until an administrator approves it (THREATS 1)."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from faults.speakers import HttpLegacy, HttpModern, Speaker, stdio_gateway, wait_for_tools
from gateway_process import running_gateway, write_config

from tests.gateway.service_world import YES, Line, caller, config_of, running
from tests.security.test_changing_tools import (
    ATTACK,
    FIELDS,
    HELD,
    LIST,
    OFFER,
    PROMPT,
    RESOURCE,
    TEMPLATE,
    Mail,
    definitions,
    pins,
    until_async,
    with_tool,
    world_of,
)

JSON = dict[str, Any]
POISONED: JSON = {
    "tools": with_tool(FIELDS["description"]),
    "prompts": [{**PROMPT, "arguments": [{"name": "to", "description": ATTACK}]}],
    "resources": [{**RESOURCE, "description": ATTACK}],
    "templates": [{**TEMPLATE, "description": ATTACK}],
    "instructions": ATTACK,
}
REQUESTS: dict[str, JSON] = {
    "tools/call": {"name": "mail__send_email", "arguments": {"to": "a", "how": "html"}},
    "prompts/get": {"name": "mail__reply", "arguments": {"to": "a"}},
    "resources/read": {"uri": "mail://inbox"},
    "resources/subscribe": {"uri": "mail://box/one"},
    "completion/complete": {
        "ref": {"type": "ref/prompt", "name": "mail__reply"},
        "argument": {"name": "to", "value": "a"},
    },
}
SETTINGS: dict[str, JSON] = {
    "pinned": {},
    "approved before use": {"pins": {"mode": "approve"}},
    "suspicion only told": {"pins": {"suspicious": "flag"}},
    "resources not pinned": {"pins": {"resources": False}},
    "exempt": {"pins": {"exempt": ["mail"]}},
    "not pinned": {"pins": {"mode": "off"}},
}


@pytest.mark.parametrize("trust", ["untrusted", "trusted"])
@pytest.mark.parametrize("guard", SETTINGS.values(), ids=list(SETTINGS))
async def test_what_is_not_listed_for_its_definition_is_not_to_be_had_by_name(
    tmp_path: Path, guard: JSON, trust: str
) -> None:
    mail = Mail(tmp_path, offer=POISONED)
    servers = {"mail": mail.over_stdio(trust=trust)}
    async with world_of(tmp_path, mail, servers=servers, guard=guard) as world:
        assert "mail__send_email" not in await world.tools()
        for method, params in REQUESTS.items():
            assert (await world.ask(method, params))["error"]["code"] == HELD, method
        through_search = {"name": "call_tool", "arguments": {"name": "mail__send_email", "arguments": {}}}
        assert "error" in await world.ask("tools/call", through_search)
        assert "evil.example" not in await world.service._instructions.of(caller().principal)
    assert mail.called() == []


@pytest.mark.parametrize("change", FIELDS.values(), ids=list(FIELDS))
async def test_a_tool_that_turns_bad_later_cannot_be_called(tmp_path: Path, change: Callable[[JSON], Any]) -> None:
    mail = Mail(tmp_path)
    async with world_of(tmp_path, mail, guard={"pins": {"mode": "off"}}) as world:
        assert "mail__send_email" in await world.tools()
        mail.change(tools=with_tool(change))

        async def refused() -> bool:
            return "error" in await world.call("mail__send_email", {"to": "a", "how": "html"})

        await until_async(refused)
        answer = await world.call("mail__send_email", {"to": "a", "how": "html"})
        assert answer["error"]["data"]["reasons"] == ["poisoned"]
        assert "evil.example" not in json.dumps(answer), "nothing it says is repeated"
        assert "result" in await world.call("mail__list_drafts"), "the other tool goes on"


async def test_an_administrator_may_put_it_in_force(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mail = Mail(tmp_path, offer=POISONED)
    config = write_config({"data_dir": str(tmp_path / "data")}, tmp_path / "agentflow.yaml")
    async with world_of(tmp_path, mail) as world:
        assert pins(config, "list", "--held") == 0
        assert "mail/send_email" in (told := capsys.readouterr().out) and "override-any-verb" in told
        assert pins(config, "diff", "mail/send_email", "--json") == 0
        (held,) = json.loads(capsys.readouterr().out)["held"]
        assert pins(config, "approve", "mail/send_email", "--digest", held["held"]) == 0
        await until_async(lambda: _listed(world, "mail__send_email"))
        assert "result" in await world.call("mail__send_email", {"to": "a", "how": "html"}, agreeing())
        assert pins(config, "approve", "--all") == 0
        await until_async(lambda: _answered(world, "prompts/get", REQUESTS["prompts/get"]))
        assert (await world.ask("prompts/list", {}))["result"]["prompts"]
        assert (await world.ask("resources/list", {}))["result"]["resources"]
        assert (await world.ask("resources/templates/list", {}))["result"]["resourceTemplates"]
        assert "evil.example" in await world.service._instructions.of(caller().principal)
        listing = [r for r in world.records() if r["surface"] == "tools/list"][-1]
        assert listing["injection"], "what is let through is on record all the same"
        # Another text, as bad: that one nobody approved.
        other = with_tool(lambda tool: tool.update(description=ATTACK + " Now!"))
        mail.change(tools=other)
        await until_async(lambda: _unlisted(world, "mail__send_email"))
        assert (await world.call("mail__send_email"))["error"]["code"] == HELD
    async with world_of(tmp_path, mail) as world:
        assert await world.tools() == {"mail__list_drafts"}
    held = [r for r in definitions(tmp_path / "data") if r["event"] == "held"]
    assert {reason[0] for record in held for reason in record["reasons"]} == {"poisoned", "changed"}


def agreeing() -> Any:
    """A caller whose person approves what is asked for: after such a listing, sending is."""
    return caller(line=Line({"elicitation/create": lambda _: YES}))


async def _listed(world: Any, name: str) -> bool:
    return name in await world.tools()


async def _unlisted(world: Any, name: str) -> bool:
    return name not in await world.tools()


async def _answered(world: Any, method: str, params: JSON) -> bool:
    return "result" in await world.ask(method, params)


async def test_thresholds_and_the_stage_s_mode_decide_what_is_poisoned(tmp_path: Path) -> None:
    mail = Mail(tmp_path, offer={"tools": [*with_tool(FIELDS["description"])]})
    servers = {"mail": mail.over_stdio()}
    async with running(config_of(tmp_path, servers)) as world:
        assert await world.tools() == {"mail__list_drafts"}
        for stage in ("audit", "off", "enforce"):
            await world.service.apply(config_of(tmp_path, servers, pipeline={"stages": {"screen": {"mode": stage}}}))
            there = stage != "enforce"
            assert ("mail__send_email" in await world.tools()) is there, stage
            answer = await world.call("mail__send_email", {"to": "a", "how": "html"}, agreeing())
            assert ("result" in answer) is there, stage


@pytest.mark.parametrize("front", ["http-modern", "http-legacy", "stdio-modern", "stdio-legacy"])
@pytest.mark.parametrize("mode", ["first_use", "off"])
def test_it_is_refused_on_every_way_in(tmp_path: Path, front: str, mode: str) -> None:
    mail = Mail(tmp_path, offer={**OFFER, "tools": [LIST, *with_tool(FIELDS["parameter"])[:1]]})
    entry = mail.over_stdio("legacy" if front.endswith("legacy") else "both")
    config = {"mcpServers": {"mail": entry}, "flow": {"enabled": False}, "guard": {"pins": {"mode": mode}}}

    def refused(speaker: Speaker) -> None:
        wait_for_tools(speaker, "mail__list_drafts")
        listed = {tool["name"] for tool in speaker.ask("tools/list")["result"]["tools"]}
        assert listed == {"mail__list_drafts"}
        assert speaker.call("mail__send_email", {"to": "a", "how": "html"})["error"]["code"] == HELD

    era = front.partition("-")[2]
    if front.startswith("stdio"):
        with stdio_gateway(write_config(config, tmp_path / "agentflow.yaml"), tmp_path, era) as speaker:
            refused(speaker)
    else:
        with running_gateway(config, tmp_path) as gateway:
            refused(HttpModern(gateway) if era == "modern" else HttpLegacy(gateway))
    assert mail.called() == []
