"""The agents: one that answers, one that uses tools, one that reasons."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from agentflow.errors import ModelUnavailable, UnknownName
from agentflow.flow.agents import AgentConfig, ReasoningAgent, SimpleAgent, ToolAgent
from agentflow.flow.agents.agents import _Narrowed
from agentflow.flow.port import CALLER
from agentflow.models.port import MODELS, ChatMessage
from tests.flow.scripted_models import ANSWER, DONE, FIND, LIST, ON, QUERY, ScriptedModels
from tests.flow.worlds import World

ADA = "What is the status of the last order of Ada Lovelace?"


async def test_a_simple_agent_asks_its_model_once_with_its_instructions(models: ScriptedModels) -> None:
    agent = SimpleAgent(
        AgentConfig(name="poet", system_prompt="Rhyme.", model_type="small", temperature=0.7, max_tokens=99)
    )
    models.say("Roses are red")
    assert (await agent.run("Go on.", [ChatMessage("user", "Hello")])).text == "Roses are red"
    request = models.requests[0]
    assert [m.content for m in request.messages] == ["Rhyme.", "Hello", "Go on."]
    assert (request.model, request.temperature, request.max_tokens) == ("small", 0.7, 99)


async def test_a_tool_agent_sees_the_tools_it_was_given_and_no_others(models: ScriptedModels, helpdesk: World) -> None:
    CALLER.set(helpdesk)
    models.say(FIND, ON, LIST, DONE, ANSWER)
    agent = ToolAgent(
        AgentConfig(name="desk", system_prompt="Be brief.", tools=("helpdesk__find_*", "helpdesk__list_*"))
    )
    assert (await agent.run(QUERY)).answer == "It is shipped."
    system, user = models.prompts()[0]
    assert system.startswith("Be brief.\n\nYou are the planner")
    assert "helpdesk__find_customer" in user
    assert "helpdesk__send_email" not in user
    assert CALLER.get() is helpdesk


async def test_a_reasoning_agent_reasons_in_its_own_way(helpdesk: World) -> None:
    CALLER.set(helpdesk)
    agent = ReasoningAgent(AgentConfig(name="thinker", reasoning_pattern="tree-of-thought"))
    solution = await agent.run(ADA)
    assert (solution.answer, solution.pattern) == ("shipped", "tree-of-thought")
    assert "flow.search" in [event for event, _ in helpdesk.notes]


async def test_an_agent_that_wants_a_model_says_so_where_there_is_none(helpdesk: World) -> None:
    CALLER.set(helpdesk)
    MODELS.set(None)  # type: ignore[arg-type]
    with pytest.raises(ModelUnavailable, match="the agent desk wants the model big"):
        await ToolAgent(AgentConfig(name="desk", model_type="big")).run(QUERY)
    with pytest.raises(ModelUnavailable, match="no language model is configured"):
        await SimpleAgent(AgentConfig(name="poet")).run("Hello")


def test_settings_that_mean_nothing_are_refused() -> None:
    with pytest.raises(ValidationError):
        AgentConfig(name="x", temprature=1)  # type: ignore[call-arg]
    with pytest.raises(ValidationError):
        AgentConfig(name="x", reasoning_pattern="guess")  # type: ignore[arg-type]


async def test_an_agent_reaches_no_tool_that_it_was_not_given(helpdesk: World) -> None:
    narrowed = _Narrowed(helpdesk, ("helpdesk__get_*",))
    with pytest.raises(UnknownName):
        await narrowed.call("helpdesk__close_ticket", {"ticket_id": "T-1"})
    assert helpdesk.calls == []
