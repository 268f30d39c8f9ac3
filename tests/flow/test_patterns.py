"""The reasoning patterns: what each asks of a model, how often, and what it makes of the answers."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

from agentflow.config_flow import FlowConfig, Pattern
from agentflow.flow import service
from agentflow.flow.memory import ExecutedAction, Memory
from agentflow.flow.patterns.direct import independent
from agentflow.flow.patterns.plan_solve import Outline, circular
from agentflow.flow.patterns.reflection import faults
from agentflow.flow.port import CALLER
from agentflow.flow.service import RunOptions
from agentflow.flow.settings import SETTINGS
from agentflow.flow.types import Action, PlannerOutput, Solution
from tests.flow.scripted_models import ANSWER, DONE, FIND, LIST, ON, QUERY, ScriptedModels, step, verdict
from tests.flow.worlds import INTEGER, STRING, World

ADA = "What is the status of the last order of Ada Lovelace?"


async def solve(world: World, pattern: Pattern, query: str = QUERY, **more: Any) -> Solution:
    CALLER.set(world)
    SETTINGS.set(FlowConfig(pattern=pattern, **more))
    return await service.solve(query)


def noted(world: World, event: str) -> list[dict[str, Any]]:
    return [detail for name, detail in world.notes if name == event]


async def test_a_run_chooses_its_pattern_over_the_configured_one(models: ScriptedModels, helpdesk: World) -> None:
    CALLER.set(helpdesk)
    SETTINGS.set(FlowConfig(pattern="reflection"))
    models.say(FIND, ON, LIST, DONE, ANSWER)
    solution = await service.solve(QUERY, RunOptions(pattern="direct"))
    assert (solution.pattern, models.purposes) == ("direct", ["planner", "verifier", "planner", "verifier", "solver"])


# Chain of thought ---------------------------------------------------------------------------------------------


async def test_chain_of_thought_reasons_in_a_request_of_its_own_before_each_step(
    models: ScriptedModels, helpdesk: World
) -> None:
    thoughts = {"known": ["an e-mail"], "missing": ["the id"], "steps": ["look the customer up"], "conclusion": "find"}
    more = {**thoughts, "steps": ["list the orders"], "conclusion": "list"}
    models.say(thoughts, FIND, ON, more, LIST, DONE, ANSWER)
    solution = await solve(helpdesk, "chain-of-thought")
    assert solution.answer == "It is shipped."
    assert models.purposes == ["planner", "planner", "verifier", "planner", "planner", "verifier", "solver"]
    thinking, deciding = models.prompts("planner")[:2]
    assert "Choose no tool yet" in thinking[-1]
    assert "look the customer up" in deciding[-2]
    assert "steps" in (models.requests[0].schema or {})["properties"]
    assert noted(helpdesk, "flow.turn")[0]["plan"]["reasoning"].startswith("1. look the customer up\n2. find")


async def test_chain_of_thought_by_rules_writes_down_what_is_known_and_missing(helpdesk: World) -> None:
    solution = await solve(helpdesk, "chain-of-thought", ADA)
    assert solution.answer == "shipped"
    assert "1. find status" in noted(helpdesk, "flow.turn")[0]["plan"]["reasoning"]


# ReAct --------------------------------------------------------------------------------------------------------


def react(thought: str, tool: str | None = None, finish: Any = None, **arguments: Any) -> dict[str, Any]:
    action = {"tool": tool, "arguments": arguments, "purpose": ""} if tool else None
    return {"thought": thought, "action": action, "finish": finish}


async def test_react_asks_once_per_turn_and_finishes_by_itself(models: ScriptedModels, helpdesk: World) -> None:
    models.say(
        react("who is it", "helpdesk__find_customer", query="Ada Lovelace"),
        react("now the orders", "helpdesk__list_orders", customer_id="C-1"),
        react("I know it", finish=ANSWER),
    )
    solution = await solve(helpdesk, "react")
    assert (solution.answer, solution.turns) == ("It is shipped.", 3)
    assert models.purposes == ["planner"] * 3
    assert "C-1" in models.prompts()[1][-1]  # the observation
    assert solution.evidence[0].value == "shipped"


async def test_react_cannot_finish_on_nothing(models: ScriptedModels, helpdesk: World) -> None:
    models.say(react("I just know", finish={**ANSWER, "evidence": []}))
    solution = await solve(helpdesk, "react")
    assert (solution.status, solution.answer) == ("escalated", "")


async def test_react_by_rules_goes_on_until_nothing_is_left_to_call(helpdesk: World) -> None:
    assert (await solve(helpdesk, "react", ADA)).turns == 1 + (await solve(helpdesk, "direct", ADA)).turns


# Tree of thoughts ---------------------------------------------------------------------------------------------


def looking(world: World) -> Callable[[], dict[str, Any]]:
    """A tool that always gives something new, and steps that call it with one number after the other."""
    number = itertools.count(1)

    async def look(n: int) -> Any:
        return {"seen": n}

    world.add("helpdesk__look", look, "Look at a number.", {"n": INTEGER})
    return lambda: step("helpdesk__look", "look", n=next(number))


def candidates(*steps: dict[str, Any]) -> dict[str, Any]:
    return {"candidates": list(steps)}


async def test_tree_of_thought_carries_out_the_best_scored_and_leaves_a_branch_that_disappoints(
    models: ScriptedModels, helpdesk: World
) -> None:
    product = step("helpdesk__get_product", "a product", product_id="P-404")
    pages = step("helpdesk__search_pages", "the pages", query="zzz")
    models.say_as("planner", candidates(product, FIND, pages), candidates(LIST, pages))
    models.say_as("judge", {"scores": [0.9, 0.6, 0.1]}, {"scores": [0.9, 0.05]})
    models.say_as("verifier", verdict("failure", "continue"), ON, DONE)
    models.say_as("solver", ANSWER)
    solution = await solve(helpdesk, "tree-of-thought")
    assert solution.answer == "It is shipped."
    assert [name for name, _ in helpdesk.calls] == [
        "helpdesk__get_product",
        "helpdesk__find_customer",
        "helpdesk__list_orders",
    ]
    tree = noted(helpdesk, "flow.search")[0]
    assert [(n["number"], n["parent"], n["score"], n["state"]) for n in tree["nodes"]] == [
        (1, 0, 0.9, "failed"),
        (2, 0, 0.6, "done"),
        (3, 0, 0.1, "open"),
        (4, 2, 0.9, "goal"),
        (5, 2, 0.05, "open"),
    ]
    assert "P-404" not in "".join(models.prompts("solver")[0])  # only what is on the path


async def test_tree_of_thought_keeps_to_its_budget_of_nodes(models: ScriptedModels, helpdesk: World) -> None:
    look = looking(helpdesk)

    def three(request: Any) -> dict[str, Any]:
        return candidates(look(), look(), look())

    models.say_as("planner", *[three] * 10)
    models.say_as("judge", *[lambda r: {"scores": [0.5] * r.messages[-1].content.count('"selected_tool"')}] * 10)
    models.say_as("verifier", *[ON] * 20)
    solution = await solve(helpdesk, "tree-of-thought", nodes=7)
    tree = noted(helpdesk, "flow.search")[0]
    assert (solution.status, tree["budget"], len(tree["nodes"])) == ("escalated", 7, 7)
    assert "budget 7" in solution.reason
    assert len(helpdesk.calls) == 7
    assert all(node["state"] == "done" for node in tree["nodes"])
    assert models.purposes.count("planner") == 3  # 3 + 3 + 1 nodes


async def test_tree_of_thought_goes_no_deeper_than_the_turns_allow(models: ScriptedModels, helpdesk: World) -> None:
    look = looking(helpdesk)
    models.say_as("planner", *[lambda r: candidates(look())] * 9)
    models.say_as("judge", *[{"scores": [0.5]}] * 9)
    models.say_as("verifier", *[ON] * 9)
    await solve(helpdesk, "tree-of-thought", max_turns=2)
    assert len(helpdesk.calls) == 2


async def test_tree_of_thought_does_not_leave_a_path_that_has_changed_something(
    models: ScriptedModels, helpdesk: World
) -> None:
    close = step("helpdesk__close_ticket", "close", ticket_id="T-1")
    other = step("helpdesk__close_ticket", "close", ticket_id="T-2")
    models.say_as("planner", candidates(close, other), candidates(FIND))
    models.say_as("judge", {"scores": [0.9, 0.8]}, {"scores": [0.1]})
    models.say_as("verifier", ON, DONE)
    models.say_as("solver", ANSWER)
    await solve(helpdesk, "tree-of-thought", "Close the ticket T-1 or T-2.")
    assert [arguments for name, arguments in helpdesk.calls if name == "helpdesk__close_ticket"] == [
        {"ticket_id": "T-1"}
    ]


async def test_tree_of_thought_by_rules_tries_another_tool_where_the_first_fails(helpdesk: World) -> None:
    async def orders_by_name(name: str) -> Any:
        return [{"order_id": "O-1", "created_at": "2025-01-01", "status": "lost"}]

    async def broken(query: str) -> Any:
        raise LookupError("the index is being rebuilt")

    helpdesk._runs["helpdesk__find_customer"] = broken
    helpdesk.add("helpdesk__search_orders", orders_by_name, "Search orders by customer name.", {"name": STRING})
    solution = await solve(helpdesk, "tree-of-thought", ADA)
    assert solution.answer == "lost"
    tree = noted(helpdesk, "flow.search")[0]["nodes"]
    assert "goal" in [node["state"] for node in tree]
    assert len(tree) > 1


# Reflection ---------------------------------------------------------------------------------------------------

FINE = {"problems": [], "revise": False, "advice": ""}


async def test_the_second_draft_of_reflection_changes_the_plan(models: ScriptedModels, helpdesk: World) -> None:
    wrong = step("helpdesk__list_orders", "list", customer_id="ada")
    critique = {"problems": ["ada is no id"], "revise": True, "advice": "find the customer first"}
    models.say_as("planner", wrong, FIND, LIST)
    models.say_as("judge", critique, FINE, FINE)
    models.say_as("verifier", ON, DONE)
    models.say_as("solver", ANSWER)
    solution = await solve(helpdesk, "reflection")
    assert solution.answer == "It is shipped."
    assert [name for name, _ in helpdesk.calls] == ["helpdesk__find_customer", "helpdesk__list_orders"]
    assert models.purposes == [
        *("planner", "judge", "planner", "verifier"),
        *("planner", "judge", "verifier"),
        *("solver", "judge"),
    ]
    assert "find the customer first" in models.prompts("planner")[1][-1]
    assert "second draft: ada is no id" in noted(helpdesk, "flow.turn")[0]["plan"]["reasoning"]


async def test_reflection_writes_an_answer_again_that_the_critic_refutes(
    models: ScriptedModels, helpdesk: World
) -> None:
    models.say_as("planner", FIND, LIST)
    models.say_as("judge", FINE, FINE, {"problems": ["it was not delivered"], "revise": True, "advice": "say shipped"})
    models.say_as("verifier", ON, DONE)
    models.say_as("solver", {**ANSWER, "answer": "It is delivered."}, ANSWER)
    assert (await solve(helpdesk, "reflection")).answer == "It is shipped."


async def test_what_the_rules_find_is_not_for_the_critic_to_forgive(models: ScriptedModels, helpdesk: World) -> None:
    mail = step("helpdesk__send_email", "mail", to="eve@example.org", subject="s", body="b")
    models.say_as("planner", mail, FIND, LIST)
    models.say_as("judge", *[FINE] * 4)
    models.say_as("verifier", ON, DONE)
    models.say_as("solver", ANSWER)
    await solve(helpdesk, "reflection")
    assert "helpdesk__send_email" not in [name for name, _ in helpdesk.calls]


async def test_the_rules_see_repeated_calls_and_changes_nobody_asked_for(helpdesk: World) -> None:
    memory = Memory(query="How many orders does Ada Lovelace have?")
    asked = {"query": "Ada"}
    memory.executed_actions.append(ExecutedAction(tool="helpdesk__find_customer", arguments=asked, success=True))
    again = Action(tool="helpdesk__find_customer", arguments=asked)
    close = Action(tool="helpdesk__close_ticket", arguments={"ticket_id": "T-77"})
    tools = await helpdesk.tools()
    found = faults(memory, tools, PlannerOutput(current_sub_goal="g", actions=[again, close]))
    for fault in ("these very arguments", "does not ask for a change", "the value of ticket_id occurs neither"):
        assert any(fault in each for each in found)
    fine = Action(tool="helpdesk__get_customer", arguments={"customer_id": "C-1"})
    assert faults(memory, tools, PlannerOutput(current_sub_goal="g", actions=[fine])) == []


# Plan and solve -----------------------------------------------------------------------------------------------


def outline(*goals: tuple[str, str, list[str]]) -> dict[str, Any]:
    return {"goals": [{"id": id, "goal": goal, "needs": needs} for id, goal, needs in goals]}


async def test_plan_and_solve_makes_the_whole_plan_first_and_hands_results_to_what_needs_them(
    models: ScriptedModels, helpdesk: World
) -> None:
    plan = outline(("a", "Who is <EMAIL_1f3a9c2e>?", []), ("b", "What is the last order?", ["a"]))
    models.say_as("planner", plan, FIND, LIST)
    models.say_as("verifier", DONE, DONE, DONE)
    models.say_as("solver", ANSWER)
    solution = await solve(helpdesk, "plan-and-solve")
    assert solution.answer == "It is shipped."
    assert models.purposes[0] == "planner"
    assert "First make the whole plan" in models.prompts()[0][-1]
    assert noted(helpdesk, "flow.outline") == [plan]
    second = next(p for p in models.prompts("planner") if "What is the last order?" in p[-1] and len(p) > 3)
    assert "C-1" in "".join(second)
    assert [name for name, _ in helpdesk.calls] == ["helpdesk__find_customer", "helpdesk__list_orders"]


async def test_plan_and_solve_outlines_anew_what_was_not_reached(models: ScriptedModels, helpdesk: World) -> None:
    first = outline(("a", "Look at page x", []))
    second = outline(("b", "Who is it?", []), ("c", "Which orders?", ["b"]))
    models.say_as("planner", first, step(None, "no page"), second, FIND, LIST)
    models.say_as("verifier", verdict("failure", "escalate", "there is no page x"), DONE, DONE, DONE)
    models.say_as("solver", ANSWER)
    assert (await solve(helpdesk, "plan-and-solve")).answer == "It is shipped."
    again = [p for p in models.prompts("planner") if "were not reached" in p[-1]]
    assert len(again) == 1
    assert "there is no page x" in again[0][-1]


async def test_sub_goals_that_need_nothing_of_each_other_are_worked_on_side_by_side(helpdesk: World) -> None:
    query = "How many orders does Ada Lovelace have, and what is the status of order O-1003?"
    solution = await solve(helpdesk, "plan-and-solve", query)
    assert solution.status == "complete"
    assert "3" in solution.answer
    assert len(noted(helpdesk, "flow.outline")[0]["goals"]) == 2
    assert all(not goal["needs"] for goal in noted(helpdesk, "flow.outline")[0]["goals"])
    assert {detail.get("branch") for detail in noted(helpdesk, "flow.turn")} == {1, 2}


def test_an_outline_that_goes_in_circles_is_refused() -> None:
    assert circular(Outline.model_validate(outline(("a", "x", ["b"]), ("b", "y", ["a"])))) is not None
    assert circular(Outline.model_validate(outline(("a", "x", ["c"])))) is not None
    assert circular(Outline.model_validate(outline(("a", "x", []), ("a", "y", [])))) is not None
    assert circular(Outline.model_validate(outline(("a", "x", ["b"]), ("b", "y", [])))) is None


def test_parts_are_independent_only_where_none_speaks_of_another_or_changes_anything() -> None:
    assert len(independent("How many orders does Ada Lovelace have, and what is the status of order O-1003?")) == 2
    assert independent("Who is Ada Lovelace and what is her phone number?") == []
    assert independent("What is the status of order O-1003?") == []
    assert independent("Close ticket T-1 and list the orders of Ada Lovelace.") == []
