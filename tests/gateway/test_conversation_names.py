"""A stateless client's name for its conversation holds for everything that a request of it sets off."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.gateway.service_world import READS, caller, config_of, running, told

MAIL = "mina.hemmelig@kunde.example"


def named(handle: str, **params: Any) -> dict[str, Any]:
    return {**params, "_meta": {"agentflow/conversation": handle}}


async def test_what_a_flow_tool_calls_is_part_of_its_own_conversation(tmp_path: Path) -> None:
    servers = {"web": told(tmp_path / "web.jsonl", tools={"look": READS})}
    async with running(config_of(tmp_path, servers, flow={"enabled": True})) as world:
        client = caller(era="modern")
        actions = [{"tool": "look", "arguments": {"text": "soup of the day"}}]
        answer = await world.ask("tools/call", named("X", name="executor", arguments={"actions": actions}), client)
        assert "result" in answer
        records = [record for record in world.records() if record["surface"] == "tools/call"]
        assert {record["name"] for record in records} >= {"executor", "look"}
        assert len({record["session"] for record in records}) == 1
        session = world.service.gateway.sessions.session(client.principal, None, "told", "X")
        assert "untrusted" in session.taint
        other = world.service.gateway.sessions.session(client.principal, None, "told")
        assert not other.taint


async def test_a_resource_is_read_by_the_token_of_the_same_conversation(tmp_path: Path) -> None:
    servers = {"shop": told(tmp_path / "told.jsonl", resources=[f"shop://{MAIL}"])}
    async with running(config_of(tmp_path, servers, guard={"vault": {"scope": "session"}})) as world:
        client = caller(era="modern")
        listed = await world.ask("resources/list", named("X"), client)
        (resource,) = listed["result"]["resources"]
        assert MAIL not in resource["uri"]
        assert "result" in await world.ask("resources/read", named("X", uri=resource["uri"]), client)
        assert "error" in await world.ask("resources/read", named("Y", uri=resource["uri"]), client)


async def test_too_long_a_name_is_refused_and_recorded(tmp_path: Path) -> None:
    servers = {"web": told(tmp_path / "web.jsonl", tools={"look": READS})}
    async with running(config_of(tmp_path, servers)) as world:
        answer = await world.ask("tools/call", named("x" * 257, name="look", arguments={}), caller(era="modern"))
        assert answer["error"]["data"]["type"] == "invalid_arguments"
        assert "256" in answer["error"]["message"]
        assert [record["outcome"] for record in world.records()] == ["invalid_arguments"]
