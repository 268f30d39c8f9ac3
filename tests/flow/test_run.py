"""A run with a model: branches, limits, questions to the person, fall-back, the record."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from agentflow.config_flow import FlowConfig
from agentflow.errors import BudgetExceeded, ModelUnavailable, PolicyDenied, UpstreamTimeout
from agentflow.flow import service
from agentflow.flow.executor import ASK_USER
from agentflow.flow.long_term.port import LONG_TERM, Experience, Recalled
from agentflow.flow.long_term.port import Step as Way
from agentflow.flow.port import CALLER
from agentflow.flow.service import RunOptions
from agentflow.flow.settings import SETTINGS
from agentflow.flow.trajectories.record import RECORDER, Trajectory
from agentflow.flow.types import Solution
from agentflow.models.port import Answered, ChatRequest
from tests.flow.scripted_models import ANSWER, DONE, FIND, LIST, ON, QUERY, RUN, ScriptedModels, step, verdict
from tests.flow.test_loop import failing
from tests.flow.worlds import World

ADA = "What is the status of the last order of Ada Lovelace?"


@dataclass
class Kept:
    """A recorder that keeps in memory."""

    trajectories: list[Trajectory] = field(default_factory=list)

    async def keep(self, trajectory: Trajectory) -> None:
        await asyncio.sleep(0)
        self.trajectories.append(Trajectory.model_validate_json(trajectory.model_dump_json()))


@pytest.fixture
def kept() -> Iterator[Kept]:
    recorder = Kept()
    token = RECORDER.set(recorder)
    yield recorder
    RECORDER.reset(token)


async def solve(world: World, query: str = QUERY, options: RunOptions | None = None, **more: Any) -> Solution:
    CALLER.set(world)
    SETTINGS.set(FlowConfig(**more))
    return await service.solve(query, options or RunOptions())


# Branches -----------------------------------------------------------------------------------------------------


def of_part(request: ChatRequest) -> str:
    return request.messages[-1].content


async def test_independent_sub_goals_are_worked_on_side_by_side_and_join(
    models: ScriptedModels, helpdesk: World
) -> None:
    both = asyncio.Barrier(2)

    async def get_order(order_id: str) -> Any:
        async with asyncio.timeout(10):
            await both.wait()  # neither goes on without the other
        return {"id": order_id, "status": "shipped"}

    helpdesk._runs["helpdesk__get_order"] = get_order
    first = {**step("helpdesk__get_order", "order 1", order_id="O-1001"), "independent": ["What is order O-1002?"]}
    models.say_as("planner", first, step("helpdesk__get_order", "order 2", order_id="O-1002"))
    models.say_as("verifier", DONE, DONE, DONE)
    evidence = [{"tool": "helpdesk__get_order", "path": "/status", "value": "shipped"}]
    models.say_as("solver", {"answer": "both shipped", "confidence": 0.9, "evidence": evidence})
    solution = await solve(helpdesk)
    assert (solution.answer, solution.turns) == ("both shipped", 3)
    assert sorted(arguments["order_id"] for _, arguments in helpdesk.calls) == ["O-1001", "O-1002"]
    parent, second = models.requests[0].messages, models.requests[1 if models.purposes[1] == "planner" else 2].messages
    assert second[: len(parent)] == parent  # a branch goes on from the conversation it left
    assert "O-1002" in second[-1].content
    last = models.prompts("solver")[0][-1]
    assert "O-1001" in last
    assert "O-1002" in last


async def test_no_more_branches_run_at_once_than_allowed(models: ScriptedModels, helpdesk: World) -> None:
    running, most = 0, 0

    async def get_order(order_id: str) -> Any:
        nonlocal running, most
        running += 1
        most = max(most, running)
        for _ in range(5):
            await asyncio.sleep(0)
        running -= 1
        return {"id": order_id}

    helpdesk._runs["helpdesk__get_order"] = get_order
    parts = [f"Order O-{n}?" for n in range(6)]
    models.say_as("planner", {**step(None), "independent": parts})
    models.say_as("planner", *[lambda r: step("helpdesk__get_order", "o", order_id=of_part(r)[-60:-55])] * 6)
    models.say_as("verifier", *[DONE] * 7)
    models.say_as("solver", ANSWER)
    await solve(helpdesk, branches=2)
    assert len(helpdesk.calls) == 6
    assert most == 2


async def test_a_branch_that_fails_does_not_take_the_others_with_it(models: ScriptedModels, helpdesk: World) -> None:
    failing(helpdesk, "helpdesk__get_customer", PolicyDenied("not for you"), 99)
    two = ["Who is C-1?", "What is order O-1001?"]
    models.say_as("planner", {**step(None), "independent": two})

    def plan(request: ChatRequest) -> dict[str, Any]:
        if "Who is" in of_part(request):
            return step("helpdesk__get_customer", "c", customer_id="C-1")
        return step("helpdesk__get_order", "o", order_id="O-1001")

    models.say_as("planner", plan, plan)
    models.say_as("verifier", *[lambda r: verdict("failure", "escalate", "no") if "Who" in str(r) else DONE] * 2, DONE)
    models.say_as("solver", ANSWER)
    solution = await solve(helpdesk)
    assert solution.status == "complete"
    assert ("helpdesk__get_order", {"order_id": "O-1001"}) in helpdesk.calls


async def test_two_branches_never_write_at_the_same_time(models: ScriptedModels, helpdesk: World) -> None:
    running, most = 0, 0

    async def close(ticket_id: str) -> Any:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0)
        running -= 1
        return {"id": ticket_id, "status": "closed"}

    helpdesk._runs["helpdesk__close_ticket"] = close
    models.say_as("planner", {**step(None), "independent": ["Close T-1", "Close T-2"]})

    def plan(request: ChatRequest) -> dict[str, Any]:
        return step("helpdesk__close_ticket", "c", ticket_id=re.findall(r"T-\d", of_part(request))[-1])

    models.say_as("planner", plan, plan)
    models.say_as("verifier", *[DONE] * 3)
    models.say_as("solver", ANSWER)
    await solve(helpdesk, "Close the tickets T-1 and T-2.")
    assert len(helpdesk.calls) == 2
    assert most == 1


# Failures -----------------------------------------------------------------------------------------------------


async def test_a_new_plan_is_made_with_the_verifiers_diagnosis(models: ScriptedModels, helpdesk: World) -> None:
    failing(helpdesk, "helpdesk__find_customer", PolicyDenied("the index is locked"), 99)
    models.say(FIND, verdict("failure", "continue", "use another tool"), LIST, DONE, ANSWER)
    await solve(helpdesk)
    again = models.prompts("planner")[1][-1]
    assert "policy_denied: the index is locked" in again
    assert "use another tool" in again


async def test_a_sub_goal_is_planned_anew_only_so_often(models: ScriptedModels, helpdesk: World) -> None:
    bad = verdict("failure", "continue", "no such page")
    models.say_as("planner", *[step("helpdesk__read_page", f"try {n}", url="https://x.example/") for n in range(9)])
    models.say_as("verifier", *[bad] * 9)
    solution = await solve(helpdesk, replans=2, max_turns=9)
    assert solution.status == "escalated"
    assert "2 new plans led nowhere" in solution.reason
    assert len(helpdesk.calls) == 3


async def test_the_retry_budget_is_one_of_each_sub_goal(models: ScriptedModels, helpdesk: World) -> None:
    first = failing(helpdesk, "helpdesk__find_customer", UpstreamTimeout("slow"), 2)
    second = failing(helpdesk, "helpdesk__list_orders", UpstreamTimeout("slow"), 2)
    again = verdict("failure", "retry", "slow")
    models.say_as("planner", FIND, LIST)
    models.say_as("verifier", again, again, ON, again, again, DONE)
    models.say_as("solver", ANSWER)
    solution = await solve(helpdesk, retries=2, max_turns=9)
    assert solution.status == "complete"
    assert (len(first), len(second)) == (3, 3)


# Models away, money gone --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        pytest.param([ModelUnavailable("every provider failed")], "every provider failed", id="away"),
        pytest.param(["nonsense", "nonsense"], "twice wrote no valid", id="nonsense"),
    ],
)
async def test_where_no_model_answers_the_rules_go_on_from_there(
    models: ScriptedModels, helpdesk: World, said: list[Any], reason: str
) -> None:
    find = step("helpdesk__find_customer", "find", query="Ada Lovelace")
    models.say(find, ON, *said)
    solution = await solve(helpdesk, ADA)
    assert (solution.status, solution.answer) == ("complete", "shipped")
    assert reason in solution.reason
    assert [name for name, _ in helpdesk.calls] == ["helpdesk__find_customer", "helpdesk__list_orders"]
    assert "flow.degraded" in [event for event, _ in helpdesk.notes]
    assert models.told == []  # what the rules have done is not to the models' credit


async def test_a_demanded_model_that_is_away_ends_the_run(models: ScriptedModels, helpdesk: World) -> None:
    models.say(ModelUnavailable("every provider failed"))
    solution = await solve(helpdesk, ADA, planner="model")
    assert (solution.status, solution.reason) == ("escalated", "model_unavailable: every provider failed")


async def test_a_budget_used_up_in_the_middle_ends_with_its_name_and_a_complete_record(
    models: ScriptedModels, helpdesk: World, kept: Kept
) -> None:
    models.say(FIND, ON, BudgetExceeded("the daily budget `team` is used up until 2026-11-21", budget="team"))
    solution = await solve(helpdesk)
    assert solution.status == "escalated"
    assert "daily budget `team`" in solution.reason
    (trajectory,) = kept.trajectories
    assert (trajectory.outcome, len(trajectory.turns), trajectory.cost) == ("budget", 1, 2_000)
    assert models.told == []  # not the models' doing


async def test_what_is_known_when_the_money_is_gone_is_still_answered(models: ScriptedModels, helpdesk: World) -> None:
    find = step("helpdesk__find_customer", "find", query="Ada Lovelace")
    models.say(find, ON, LIST, BudgetExceeded("the budget is used up", budget="b"))
    solution = await solve(helpdesk, ADA)
    assert (solution.status, solution.answer) == ("complete", "shipped")
    assert "the budget is used up" in solution.reason


@pytest.mark.parametrize(
    ("limit", "said"),
    [
        pytest.param(RunOptions(max_tokens=4_000), "limit of 4000 tokens", id="tokens"),
        pytest.param(RunOptions(max_cost=0.000_003), r"limit of $0.000003", id="money"),
    ],
)
async def test_a_run_stops_at_its_own_limit(
    models: ScriptedModels, helpdesk: World, limit: RunOptions, said: str
) -> None:
    script = [FIND, ON, LIST, ON, LIST, ON]
    models.say(*[Answered(json.dumps(v), "i", "m", "p", "t", "stop", 1_000, 300, 1_500) for v in script])
    solution = await solve(helpdesk, QUERY, limit)
    assert solution.status == "escalated"
    assert said in solution.reason
    assert "budget_exceeded" in solution.reason
    assert len(models.requests) < 6
    assert all(r.run == solution.run for r in models.requests)


async def test_the_run_tells_each_request_what_it_may_still_spend(models: ScriptedModels, helpdesk: World) -> None:
    models.say(*RUN)
    await solve(helpdesk, QUERY, RunOptions(max_tokens=50_000, max_cost=1.0))
    assert [r.run_tokens for r in models.requests] == [50_000 - 18 * n for n in range(5)]
    assert [r.run_cost for r in models.requests] == [1_000_000_000 - 1_000 * n for n in range(5)]


async def test_a_prompt_in_another_script_counts_for_what_it_is(models: ScriptedModels, helpdesk: World) -> None:
    solution = await solve(helpdesk, "票" * 3_000, RunOptions(max_tokens=3_000))
    assert "limit of 3000 tokens" in solution.reason
    assert models.requests == []


async def test_with_a_limit_branches_ask_one_after_the_other(models: ScriptedModels, helpdesk: World) -> None:
    asking, most = 0, 0
    complete = models.complete

    async def counted(request: ChatRequest) -> Answered:
        nonlocal asking, most
        asking += 1
        most = max(most, asking)
        for _ in range(3):
            await asyncio.sleep(0)
        asking -= 1
        return await complete(request)

    models.complete = counted  # type: ignore[method-assign]
    models.say_as("planner", {**step(None), "independent": ["Order O-1001?", "Order O-1002?"]})
    models.say_as("planner", *[step("helpdesk__get_order", "o", order_id="O-1001")] * 2)
    models.say_as("verifier", *[DONE] * 3)
    models.say_as("solver", ANSWER)
    await solve(helpdesk, QUERY, RunOptions(max_cost=1.0))
    assert most == 1


# People -------------------------------------------------------------------------------------------------------


async def test_a_planner_may_ask_the_person_and_goes_on_with_the_answer(
    models: ScriptedModels, helpdesk: World
) -> None:
    helpdesk.says = [{"answer": "Ada Lovelace"}]
    models.say(step(ASK_USER, "ask", question="Whose order?"), ON, LIST, DONE, ANSWER)
    solution = await solve(helpdesk, "What is the status of the last order?")
    assert solution.answer == "It is shipped."
    assert helpdesk.asked[0][0] == "Whose order?"
    assert helpdesk.asked[0][1]["required"] == ["answer"]
    assert "Ada Lovelace" in models.prompts("planner")[1][-1]


async def test_nobody_is_offered_to_be_asked_where_nobody_can_be(models: ScriptedModels, helpdesk: World) -> None:
    models.say(step(ASK_USER, "ask", question="Whose order?"), FIND, DONE, ANSWER)
    await solve(helpdesk)
    assert ASK_USER not in models.prompts()[0][1]
    assert "no tool 'ask_user'" in models.prompts()[1][-1]


async def test_by_rules_a_form_asks_for_the_argument_that_is_missing(helpdesk: World) -> None:
    helpdesk.says = [{"ticket_id": "T-1"}]
    solution = await solve(helpdesk, "Close the ticket.", planner="offline")
    message, schema = helpdesk.asked[0]
    assert "ticket id" in message
    assert schema["properties"]["ticket_id"]["type"] == "string"
    assert ("helpdesk__close_ticket", {"ticket_id": "T-1"}) in helpdesk.calls
    assert solution.status == "complete"


async def test_who_declines_is_not_asked_again_and_the_run_says_why_it_ended(helpdesk: World) -> None:
    helpdesk.says = [None, {"ticket_id": "T-1"}]
    solution = await solve(helpdesk, "Close the ticket.", planner="offline")
    assert solution.status == "escalated"
    assert len(helpdesk.asked) == 1
    assert "helpdesk__close_ticket" not in [name for name, _ in helpdesk.calls]


async def test_the_deadline_stands_still_while_a_person_thinks(helpdesk: World) -> None:
    async def slowly(message: str, schema: dict[str, Any]) -> dict[str, Any]:
        await asyncio.sleep(0.6)
        return {"ticket_id": "T-1"}

    helpdesk.says = [{}]
    helpdesk.ask = slowly  # type: ignore[method-assign]
    assert (await solve(helpdesk, "Close the ticket.", planner="offline", timeout=0.5)).status == "complete"


async def test_a_person_who_never_answers_is_waited_for_only_so_long(helpdesk: World) -> None:
    async def never(message: str, schema: dict[str, Any]) -> dict[str, Any]:
        await asyncio.Event().wait()
        raise AssertionError

    helpdesk.says = [{}]
    helpdesk.ask = never  # type: ignore[method-assign]
    async with asyncio.timeout(10):
        solution = await solve(helpdesk, "Close the ticket.", planner="offline", ask_timeout=0.05)
    assert solution.status == "escalated"
    assert solution.reason


# The record ---------------------------------------------------------------------------------------------------


async def test_each_run_yields_one_record_with_prompts_calls_and_verdicts(
    models: ScriptedModels, helpdesk: World, kept: Kept
) -> None:
    models.say("nonsense", *RUN)
    solution = await solve(helpdesk)
    (trajectory,) = kept.trajectories
    assert (trajectory.data_id, trajectory.question, trajectory.answer) == (solution.run, QUERY, "It is shipped.")
    assert (trajectory.outcome, trajectory.planner, trajectory.pattern) == ("complete", "model", "direct")
    assert (trajectory.tokens, trajectory.cost, trajectory.models) == (6 * 18, 6_000, ["p:m"])
    first, second = trajectory.turns
    assert [(e.purpose, e.valid) for e in first.exchanges] == [
        ("planner", False),
        ("planner", True),
        ("verifier", True),
    ]
    assert [(c.tool, c.arguments) for c in second.calls] == [("helpdesk__list_orders", {"customer_id": "C-1"})]
    assert second.observations[0].output[0]["customer_id"] == "C-1"
    assert second.verdict is not None and second.verdict.next_action == "complete"
    assert "helpdesk__find_customer" in first.shown_tools
    assert [e.purpose for e in trajectory.exchanges] == ["solver"]


async def test_the_record_holds_what_policy_refused(helpdesk: World, kept: Kept) -> None:
    denied = PolicyDenied("orders are not for you", reasons=[{"code": "role", "message": "no"}])
    failing(helpdesk, "helpdesk__list_orders", denied, 99)
    await solve(helpdesk, ADA)
    refusal = kept.trajectories[0].refusals[0]
    assert (refusal.tool, refusal.kind, refusal.reasons) == ("helpdesk__list_orders", "policy_denied", ["role"])


async def test_a_run_that_is_cancelled_or_times_out_is_recorded_too(helpdesk: World, kept: Kept) -> None:
    started = asyncio.Event()

    async def hang(query: str) -> Any:
        started.set()
        await asyncio.Event().wait()

    helpdesk._runs["helpdesk__find_customer"] = hang
    task = asyncio.create_task(solve(helpdesk, ADA))
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await solve(helpdesk, ADA, timeout=0.05)
    assert [t.outcome for t in kept.trajectories] == ["cancelled", "timeout"]


async def test_a_call_that_was_made_is_in_the_record_though_nobody_could_judge_it(
    models: ScriptedModels, helpdesk: World, kept: Kept
) -> None:
    close = step("helpdesk__close_ticket", "close it", ticket_id="T-1")
    models.say(close, ModelUnavailable("every provider failed"))
    await solve(helpdesk, "Close the ticket T-1.", planner="model")
    (turn,) = kept.trajectories[0].turns
    assert [(c.tool, c.arguments) for c in turn.calls] == [("helpdesk__close_ticket", {"ticket_id": "T-1"})]
    assert [o.success for o in turn.observations] == [True]
    assert turn.verdict is None
    assert [e.purpose for e in turn.exchanges] == ["planner"]


async def test_what_a_model_changed_is_not_changed_again_by_the_rules_that_go_on(
    models: ScriptedModels, helpdesk: World
) -> None:
    close = step("helpdesk__close_ticket", "close it", ticket_id="T-1")
    models.say(close, ModelUnavailable("every provider failed"))
    await solve(helpdesk, "Close the ticket T-1.")
    assert [name for name, _ in helpdesk.calls].count("helpdesk__close_ticket") == 1


async def test_the_call_under_way_is_in_the_record_of_a_cancelled_run(
    helpdesk: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever cancels may do so again while the record is being kept."""
    started, keeping = asyncio.Event(), asyncio.Event()
    kept: asyncio.Queue[Trajectory] = asyncio.Queue()

    class Slow:
        async def keep(self, trajectory: Trajectory) -> None:
            keeping.set()
            for _ in range(20):
                await asyncio.sleep(0)
            kept.put_nowait(trajectory)

    async def hang(query: str) -> Any:
        started.set()
        await asyncio.Event().wait()

    monkeypatch.setitem(helpdesk._runs, "helpdesk__find_customer", hang)
    RECORDER.set(Slow())
    task = asyncio.create_task(solve(helpdesk, ADA))
    await started.wait()
    task.cancel()
    await keeping.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    record = await asyncio.wait_for(kept.get(), 10)
    assert record.outcome == "cancelled"
    assert [[c.tool for c in turn.calls] for turn in record.turns] == [["helpdesk__find_customer"]]


async def test_the_branches_of_a_run_are_in_its_record(models: ScriptedModels, helpdesk: World, kept: Kept) -> None:
    models.say_as("planner", {**step(None), "independent": ["Order O-1001?", "Order O-1002?"]})
    models.say_as("planner", *[step("helpdesk__get_order", "o", order_id="O-1001")] * 2)
    models.say_as("verifier", *[DONE] * 3)
    models.say_as("solver", ANSWER)
    await solve(helpdesk)
    (trajectory,) = kept.trajectories
    assert sorted(turn.branch for turn in trajectory.turns) == [0, 1, 2]
    assert trajectory.tokens == len(models.requests) * 18
    assert sum(len(turn.calls) for turn in trajectory.turns) == len(helpdesk.calls)


# Long-term memory ---------------------------------------------------------------------------------------------


@dataclass
class Diary:
    """A long-term memory of one entry."""

    left: list[Experience] = field(default_factory=list)

    async def recall(self, task: str, k: int = 3) -> list[Recalled]:
        way = (Way("helpdesk__get_ticket", ("ticket_id",)),)
        return [Recalled("m-1", "What is T-1 about?", way, "run", "model", 0.9, 0.0, 0.0, 1)]

    async def remember(self, experience: Experience) -> None:
        self.left.append(experience)


async def test_what_worked_is_shown_to_the_planner_and_left_for_later(
    models: ScriptedModels, helpdesk: World, kept: Kept
) -> None:
    diary = Diary()
    LONG_TERM.set(diary)
    models.say(*RUN)
    solution = await solve(helpdesk)
    assert "What is … about?: helpdesk__get_ticket(ticket_id)" in models.prompts()[0][1]
    assert "T-1" not in models.prompts()[0][1]
    assert kept.trajectories[0].memories == ["m-1"]
    assert [str(s) for s in diary.left[0].steps] == [
        "helpdesk__find_customer(query)",
        "helpdesk__list_orders(customer_id)",
    ]
    assert diary.left[0].run == solution.run


async def test_a_run_that_failed_leaves_nothing(models: ScriptedModels, helpdesk: World) -> None:
    diary = Diary()
    LONG_TERM.set(diary)
    models.say(FIND, verdict("failure", "escalate"))
    await solve(helpdesk)
    assert diary.left == []


async def test_progress_grows_with_each_turn_of_whatever_branch(models: ScriptedModels, helpdesk: World) -> None:
    told: list[tuple[int, int]] = []

    async def progress(turn: int, of: int, message: str) -> None:
        told.append((turn, of))

    parts = [f"Order O-100{n}?" for n in range(1, 7)]
    models.say_as("planner", {**step(None), "independent": parts})
    models.say_as("planner", *[step("helpdesk__get_order", "o", order_id="O-1001")] * 6)
    models.say_as("verifier", *[DONE] * 7)
    models.say_as("solver", ANSWER)
    CALLER.set(helpdesk)
    await service.solve(QUERY, progress=progress)
    assert [turn for turn, _ in told] == list(range(1, 8))
    assert all(turn <= of for turn, of in told)


async def test_a_question_that_policy_stops_counts_as_not_answered(helpdesk: World) -> None:
    async def denied(message: str, schema: dict[str, Any]) -> dict[str, Any] | None:
        raise PolicyDenied("no questions here")

    helpdesk.says = [{}]
    helpdesk.ask = denied  # type: ignore[method-assign]
    solution = await solve(helpdesk, "Close the ticket.", planner="offline")
    assert solution.status == "escalated"


async def test_an_answer_of_the_wrong_shape_is_not_taken(helpdesk: World) -> None:
    helpdesk.says = [{"ticket_id": ["T-1"], "other": "x"}]
    solution = await solve(helpdesk, "Close the ticket.", planner="offline")
    assert solution.status == "escalated"
    assert "helpdesk__close_ticket" not in [name for name, _ in helpdesk.calls]
