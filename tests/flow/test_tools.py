"""The four tool files as FastMCP finds them, called through a real client."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from fastmcp import Client, FastMCP
from fastmcp.exceptions import ToolError
from fastmcp.server.providers import FileSystemProvider

from agentflow.config_flow import FlowConfig
from agentflow.errors import ConfigError, LimitExceeded, ModelUnavailable, Unsupported
from agentflow.flow import service
from agentflow.flow.port import CALLER
from agentflow.flow.service import RunOptions
from agentflow.flow.settings import SETTINGS
from agentflow.paths import shipped
from tests.flow.scripted_models import ANSWER, RUN, ScriptedModels
from tests.flow.worlds import World

QUERY = "What is the status of the last order of Ada Lovelace?"


@asynccontextmanager
async def client(world: World | None, **more: Any) -> AsyncIterator[Client[Any]]:
    """A client of the tool files; the server runs in a context where `world` is the caller."""
    if world is not None:
        CALLER.set(world)
    server = FastMCP("tools", providers=[FileSystemProvider(shipped("tools"))])
    async with Client(server, **more) as connected:
        yield connected


async def test_four_tools_with_typed_inputs_and_outputs(helpdesk: World) -> None:
    async with client(helpdesk) as connected:
        tools = {tool.name: tool for tool in await connected.list_tools()}
    assert {"planner", "executor", "verifier", "solver"} <= tools.keys()
    shown = {
        name: set(tools[name].output_schema["properties"]) for name in ("planner", "executor", "verifier", "solver")
    }
    assert shown["planner"] == {"current_sub_goal", "selected_tool", "required_skills", "actions", "reasoning"}
    assert shown["executor"] == {"commands", "results", "context"}
    assert shown["verifier"] == {
        "execution_analysis",
        "memory_analysis",
        "verification_status",
        "next_action",
        "reasoning",
    }
    assert {"answer", "confidence", "evidence"} <= shown["solver"]
    assert tools["planner"].annotations.read_only_hint is True
    assert tools["executor"].annotations.read_only_hint is False


async def test_solver_answers_and_reports_each_turn(helpdesk: World) -> None:
    told: list[tuple[float, float | None]] = []

    async def progress(done: float, total: float | None, message: str | None) -> None:
        told.append((done, total))

    async with client(helpdesk, progress_handler=progress) as connected:
        result = await connected.call_tool("solver", {"query": QUERY})
    assert result.structured_content["answer"] == "shipped"
    assert result.structured_content["status"] == "complete"
    assert told == [(1, 5), (2, 5)]


async def test_the_modules_work_one_by_one(helpdesk: World) -> None:
    async with client(helpdesk) as connected:
        plan = (await connected.call_tool("planner", {"query": QUERY})).structured_content
        done = (await connected.call_tool("executor", {"actions": plan["actions"]})).structured_content
        judged = await connected.call_tool("verifier", {"query": QUERY, "results": done["results"]})
    assert plan["selected_tool"] == "helpdesk__find_customer"
    assert done["results"][0]["success"] is True
    assert judged.structured_content["next_action"] == "continue"
    assert [event for event, _ in helpdesk.notes] == ["flow.plan", "flow.execute", "flow.verify"]


async def test_a_memory_leads_to_the_next_step(helpdesk: World) -> None:
    async with client(helpdesk) as connected:
        first = {
            "tool": "helpdesk__find_customer",
            "arguments": {"query": "Ada Lovelace"},
            "success": True,
            "output": [{"id": "C-1", "name": "Ada Lovelace"}],
            "turn": 1,
        }
        memory = {"turn": 2, "query": QUERY, "executed_actions": [first]}
        plan = (await connected.call_tool("planner", {"query": QUERY, "memory": memory})).structured_content
    assert plan["actions"][0]["arguments"] == {"customer_id": "C-1"}


@pytest.mark.parametrize(
    ("tool", "arguments"),
    [
        ("planner", {"query": ""}),
        ("executor", {"actions": []}),
        ("solver", {"query": "x", "max_turns": 0}),
        ("verifier", {"query": "x", "results": [{"tool": "t"}]}),
    ],
)
async def test_wrong_input_is_refused(helpdesk: World, tool: str, arguments: dict[str, Any]) -> None:
    async with client(helpdesk) as connected:
        with pytest.raises(ToolError):
            await connected.call_tool(tool, arguments)


async def test_cancelling_the_request_stops_the_run(helpdesk: World) -> None:
    started, ended = asyncio.Event(), asyncio.Event()

    async def hang(query: str) -> Any:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    helpdesk._runs["helpdesk__find_customer"] = hang
    async with client(helpdesk) as connected:
        call = asyncio.create_task(connected.call_tool("solver", {"query": QUERY}))
        await asyncio.wait_for(started.wait(), 10)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        await asyncio.wait_for(ended.wait(), 10)


async def test_outside_the_gateway_the_error_is_clear() -> None:
    with pytest.raises(Unsupported, match="gateway"):
        await service.solve(QUERY)
    async with client(None) as connected:
        with pytest.raises(ToolError, match="gateway"):
            await connected.call_tool("solver", {"query": QUERY})


async def test_a_model_is_asked_where_there_is_one(models: ScriptedModels, helpdesk: World) -> None:
    CALLER.set(helpdesk)
    models.say({"current_sub_goal": "nothing to do", "selected_tool": None})
    assert (await service.plan(QUERY)).current_sub_goal == "nothing to do"
    assert models.requests[0].tier == "silver"
    SETTINGS.set(FlowConfig(planner="offline"))
    assert (await service.plan(QUERY)).selected_tool == "helpdesk__find_customer"


async def test_a_model_that_is_demanded_must_be_configured(helpdesk: World) -> None:
    CALLER.set(helpdesk)
    SETTINGS.set(FlowConfig(planner="model"))
    with pytest.raises(ConfigError, match="without a model"):
        await service.plan(QUERY)


async def test_the_settings_bound_the_turns(helpdesk: World) -> None:
    CALLER.set(helpdesk)
    SETTINGS.set(FlowConfig(max_turns=1))
    assert (await service.solve(QUERY)).turns == 1
    assert (await service.solve(QUERY, RunOptions(max_turns=3))).answer == "shipped"


async def test_a_run_may_lower_the_configured_limits_and_not_raise_them(models: ScriptedModels) -> None:
    config = FlowConfig(max_tokens=1000, max_cost=0.5)
    assert service.account(config, RunOptions(max_tokens=100, max_cost=2.0)).max_tokens == 100
    assert service.account(config, RunOptions(max_tokens=5000, max_cost=2.0)).max_cost == 500_000_000
    assert service.account(FlowConfig(), RunOptions(max_cost=0.1)).max_cost == 100_000_000
    assert service.account(FlowConfig()).max_tokens is None


@pytest.mark.parametrize(
    "pattern", ["direct", "chain-of-thought", "react", "tree-of-thought", "reflection", "plan-and-solve"]
)
async def test_every_pattern_answers_without_a_model(helpdesk: World, pattern: str) -> None:
    async with client(helpdesk) as connected:
        result = await connected.call_tool("solver", {"query": QUERY, "pattern": pattern})
    assert result.structured_content["answer"] == "shipped"
    assert result.structured_content["pattern"] == pattern
    assert len(result.structured_content["run"]) == 16


async def test_the_answer_is_streamed_to_a_client_that_listens(models: ScriptedModels, helpdesk: World) -> None:
    told: list[tuple[float, str]] = []

    async def progress(done: float, total: float | None, message: str | None) -> None:
        told.append((done, message or ""))

    long = "It is shipped, and it has been on its way since Tuesday of last week."
    models.say(*RUN[:4], {**ANSWER, "answer": long})
    async with client(helpdesk, progress_handler=progress) as connected:
        result = await connected.call_tool("solver", {"query": QUERY})
    assert result.structured_content["answer"] == long
    assert [done for done, _ in told] == sorted({done for done, _ in told})
    assert "".join(message for done, message in told if done > 2) == long


async def test_offline_needs_no_http_client() -> None:
    script = (
        "import sys, agentflow.flow.service as s; print([m for m in ('httpx2','openai','litellm') if m in sys.modules])"
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", script, stdout=asyncio.subprocess.PIPE, env={"PYTHONPATH": ":".join(sys.path)}
    )
    out, _ = await process.communicate()
    assert out.strip() == b"[]"


@pytest.mark.parametrize("tool", ["planner", "verifier"])
async def test_a_module_alone_goes_on_by_rules_where_no_model_answers(
    models: ScriptedModels, helpdesk: World, tool: str
) -> None:
    models.say(ModelUnavailable("every provider failed"))
    async with client(helpdesk) as connected:
        result = await connected.call_tool(tool, {"query": QUERY})
    if tool == "planner":
        assert result.structured_content["selected_tool"] == "helpdesk__find_customer"
    else:
        assert result.structured_content["next_action"] == "escalate"
    assert "flow.degraded" in [event for event, _ in helpdesk.notes]


async def test_a_module_alone_that_needs_a_model_says_that_none_answers(
    models: ScriptedModels, helpdesk: World
) -> None:
    CALLER.set(helpdesk)
    SETTINGS.set(FlowConfig(planner="model"))
    models.say(ModelUnavailable("every provider failed"))
    with pytest.raises(ModelUnavailable):
        await service.plan(QUERY)


async def test_a_module_alone_has_the_deadline_of_a_run(
    models: ScriptedModels, helpdesk: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def hang(request: Any) -> Any:
        await asyncio.Event().wait()

    monkeypatch.setattr(models, "complete", hang)
    CALLER.set(helpdesk)
    SETTINGS.set(FlowConfig(timeout=0.05))
    with pytest.raises(LimitExceeded, match=r"0\.05 s"):
        await service.plan(QUERY)
    with pytest.raises(LimitExceeded, match=r"0\.05 s"):
        await service.verify(QUERY, None, [])
