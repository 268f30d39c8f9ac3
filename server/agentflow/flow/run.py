"""One run: its turns, retries, new plans, branches and questions, whatever the pattern that drives them.

A reasoning pattern is a `Procedure` over these steps; it decides what is thought of next, and nothing else. Promises:
every turn is verified, noted and recorded before the next; failed calls are repeated at most `retries` times for one
sub-goal, and a sub-goal that failed is planned anew at most `replans` times, with the verifier's diagnosis; branches
are bounded, end together, and one that fails does not take the others with it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Protocol

from agentflow.errors import (
    AgentFlowError,
    AuditUnavailable,
    BudgetExceeded,
    ModelUnavailable,
    UpstreamProtocolError,
    UpstreamTimeout,
    UpstreamUnavailable,
)
from agentflow.flow.asking import Asking, forms
from agentflow.flow.catalogue import Catalogue, catalogue_of
from agentflow.flow.executor import Executor
from agentflow.flow.memory import Memory
from agentflow.flow.planner import Planner
from agentflow.flow.port import Caller, ToolView
from agentflow.flow.trajectories import record
from agentflow.flow.types import (
    Action,
    ActionResult,
    ExecutorOutput,
    PlannerOutput,
    SolverOutput,
    Step,
    VerifierOutput,
)
from agentflow.flow.verifier import Verifier, judge
from agentflow.flow.writer import Writer, from_evidence

Progress = Callable[[int, int, str], Awaitable[None]]
"""(turns done, most turns, message) → nothing: called once per turn."""

_REFUSALS = frozenset({"policy_denied", "forbidden", "approval_required", "content_blocked", "tool_held"})
# What only a model can end a run with: the executor makes results of what tools do.
AWAY = (ModelUnavailable, UpstreamProtocolError, UpstreamTimeout, UpstreamUnavailable)
_FATAL = (AuditUnavailable, BudgetExceeded, ModelUnavailable)


class Escalation(Exception):
    """Ends a line of a run with a reason."""


@dataclass(frozen=True, slots=True)
class Modules:
    """The three modules that think; all by rules, or all by a model."""

    planner: Planner
    verifier: Verifier
    writer: Writer


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a run may do.

    Attributes:
        turns: of one line; retries, replans: for one sub-goal; branches: side by side; nodes: of a search tree.
    """

    turns: int = 5
    retries: int = 2
    replans: int = 3
    branches: int = 4
    nodes: int = 12


class Procedure(Protocol):
    """A reasoning pattern: how a run gets from the question to the answer."""

    async def solve(self, run: Run, memory: Memory) -> SolverOutput:
        """Return the answer.

        Raises:
            Escalation: there is none, and why.
            AgentFlowError: a module failed.
        """
        ...


@dataclass(frozen=True, slots=True)
class Turn:
    """What one turn gave."""

    step: PlannerOutput
    outcome: ExecutorOutput
    verdict: VerifierOutput


@dataclass(frozen=True, slots=True)
class _Begun:
    """A turn under way; `at` is when it began (monotonic seconds)."""

    memory: Memory
    step: PlannerOutput
    branch: int
    attempt: int
    replanned: bool
    at: float


@dataclass(frozen=True, slots=True)
class Branch:
    """How one branch ended: its sub-goal, what it got, and why it ended without reaching it ("" if it did)."""

    goal: str
    memory: Memory
    results: tuple[ActionResult, ...]
    reason: str = ""
    error: Exception | None = None


@dataclass(slots=True)
class _Effort:
    """What may still be spent on the sub-goal at hand."""

    bounds: Bounds
    retries: int = 0
    replans: int = 0

    def reset(self) -> None:
        self.retries, self.replans = 0, 0


@dataclass(slots=True)
class Run:
    """The state of one run.

    Attributes:
        lines: the latest memory of each line; 0 is the main one.
        patience: seconds for a person's answer.
        turns: the record so far; done: how many turns that is; told: of how many the client has heard.
    """

    caller: Caller
    parts: Modules
    bounds: Bounds
    by_model: bool = False
    may_ask: bool = False
    patience: float = 240.0
    progress: Progress | None = None
    deadline: asyncio.Timeout | None = None
    tools: Sequence[ToolView] = ()
    lines: dict[int, Memory] = field(default_factory=dict)
    turns: list[record.Turn] = field(default_factory=list)
    refusals: list[record.Refusal] = field(default_factory=list)
    told: int = 0
    catalogue: Catalogue = field(init=False)
    executor: Executor = field(init=False)
    asking: Asking = field(init=False)

    async def open(self, memory: Memory) -> None:
        """Look which tools there are."""
        self.lines[0] = memory
        self.catalogue = catalogue_of(await self.caller.tools())
        self.tools = self.catalogue.views
        self.asking = Asking(self.caller, self.may_ask, self._paused, self.patience)
        self.executor = Executor(self.caller, self.catalogue, self.asking.act if self.may_ask else None)

    @property
    def done(self) -> int:
        return len(self.turns)

    @asynccontextmanager
    async def _paused(self) -> AsyncIterator[None]:
        """The run's deadline does not count the time in which a person thinks."""
        deadline, loop = self.deadline, asyncio.get_running_loop()
        due = deadline.when() if deadline is not None else None
        if deadline is None or due is None or deadline.expired():
            yield
            return
        left = due - loop.time()
        deadline.reschedule(None)
        try:
            yield
        finally:
            deadline.reschedule(loop.time() + left)

    # One turn -------------------------------------------------------------------------------------------------

    async def turn(
        self, memory: Memory, step: PlannerOutput, branch: int = 0, *, attempt: int = 0, replanned: bool = False
    ) -> Turn:
        """Execute a step, judge what came of it, and put both into the memory and the record."""
        begun = _Begun(memory, step, branch, attempt, replanned, time.monotonic())
        self.lines[branch] = memory
        memory.plan(step)
        outcome: ExecutorOutput | None = None
        try:
            outcome = await self._act(memory, step)
            memory.execute(outcome)
            verdict = await self.parts.verifier.verify(memory, self.tools)
        except BaseException:
            self._record(begun, outcome, None)  # what was called was called, whatever became of the verdict
            raise
        memory.verify(step, verdict)
        turn = Turn(step, outcome, verdict)
        self._record(begun, outcome, verdict)
        await self._tell(memory, turn, branch)
        return turn

    async def _act(self, memory: Memory, step: PlannerOutput) -> ExecutorOutput:
        independent = step.independent if isinstance(step, Step) else []
        if not independent:
            return await self.executor.run(step.actions)
        own = PlannerOutput.model_validate(step.model_dump(exclude={"independent"}))
        goals: list[tuple[str, PlannerOutput | None]] = [(goal, None) for goal in independent]
        if own.actions:
            goals.insert(0, (own.current_sub_goal, own))
        branches = await self.branch_out(memory, goals, last=self.bounds.turns)
        results = [result for branch in branches for result in branch.results]
        ends = [f"{b.goal}: {b.reason or 'done'}" for b in branches]
        return ExecutorOutput(
            commands=[Action(tool=r.tool, arguments=r.arguments) for r in results if r.success],
            results=results,
            context="\n".join(ends),
        )

    # A line of turns ------------------------------------------------------------------------------------------

    async def line(
        self, memory: Memory, first: PlannerOutput | None = None, *, branch: int = 0, last: int | None = None
    ) -> Memory:
        """Plan, execute and verify until the verifier says that it is complete; returns the memory then.

        Args:
            first: the first step, where it is known.
            last: the last turn it may take; default `bounds.turns`.

        Raises:
            Escalation: the verifier, the planner or a bound ends it.
        """
        effort, step, replanned = _Effort(self.bounds), first, False
        last = last or self.bounds.turns
        while True:
            self.lines[branch] = memory
            repeated = step is not None and step is not first
            if step is None:
                step = await self.parts.planner.plan(memory, self.tools)
            attempt = effort.retries if repeated else 0
            turn = await self.turn(memory, step, branch, attempt=attempt, replanned=replanned)
            if turn.verdict.next_action == "complete":
                return memory
            step = await self._next(memory, turn, effort, branch)
            replanned = step is None and turn.verdict.verification_status == "failure"
            if memory.turn >= last:
                raise Escalation(f"not answered within {last} turns: {turn.verdict.memory_analysis}")
            memory = memory.clone_for_next_turn()

    async def _next(self, memory: Memory, turn: Turn, effort: _Effort, branch: int) -> PlannerOutput | None:
        """The step to repeat, or None to plan anew."""
        step, verdict = turn.step, turn.verdict
        forked = isinstance(step, Step) and step.independent
        if verdict.next_action == "escalate":
            reasons = [verdict.reasoning or "the verifier asked for a person"]
            reasons += [step.reasoning] if not step.actions and not forked and not self.by_model else []
            await self.stuck(memory, ": ".join(filter(None, reasons)), branch)
            return None
        if verdict.next_action == "continue" and not step.actions and not forked:
            why = verdict.reasoning or step.reasoning or "the planner has no further step"
            await self.stuck(memory, why, branch)
            return None
        if verdict.verification_status == "success":
            effort.reset()
        if verdict.next_action == "retry":
            failed = [r for r in turn.outcome.results if r.error is not None and r.error.retryable]
            if failed:
                effort.retries += 1
                if effort.retries > effort.bounds.retries:
                    raise Escalation(f"retries used up: {verdict.reasoning}")
                repeat = [Action(tool=r.tool, arguments=r.arguments) for r in failed]
                return PlannerOutput(
                    **{
                        **step.model_dump(exclude={"independent"}),
                        "actions": repeat,
                        "reasoning": "retry of what failed",
                    }
                )
        if verdict.verification_status == "failure":
            effort.replans += 1
            if effort.replans > effort.bounds.replans:
                raise Escalation(f"{effort.bounds.replans} new plans led nowhere: {verdict.reasoning}")
        return None

    async def stuck(self, memory: Memory, reason: str, branch: int) -> None:
        """Ask a person what the run lacks; without an answer it ends."""
        if branch == 0 and self.asking.possible:
            for form in forms(memory, self.catalogue, reason, by_model=self.by_model):
                answer = await self.asking.ask(form)
                if answer:
                    memory.knowledge.update(answer)
                    said = memory.thread.data("\n".join(f"{name}: {value}" for name, value in answer.items()))
                    memory.thread.advice.append(f"The person who asked says:\n{said}")
                    return
        raise Escalation(reason)

    # Branches -------------------------------------------------------------------------------------------------

    async def branch_out(
        self, memory: Memory, goals: Sequence[tuple[str, PlannerOutput | None]], *, last: int
    ) -> list[Branch]:
        """Work on independent sub-goals side by side, at most `bounds.branches` at a time.

        Args:
            goals: each with its first step, where that is known.
            last: the last turn that each may take.

        Returns:
            How each ended, in the order given. One that leads nowhere has a reason; the others go on.

        Raises:
            BudgetExceeded, ModelUnavailable, AuditUnavailable: once all have ended.
        """
        gate = asyncio.Semaphore(self.bounds.branches)
        first = max(self.lines) + 1
        self.lines.update({first + number: memory for number in range(len(goals))})

        async def worked(number: int, goal: str, step: PlannerOutput | None) -> Branch:
            async with gate:
                return await self._branch(memory, goal, step, first + number, last)

        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(worked(n, goal, step)) for n, (goal, step) in enumerate(goals)]
        branches = [task.result() for task in tasks]
        for number, branch in enumerate(branches):
            memory.thread.exchanges += self.lines[first + number].thread.take()
            if branch.error is not None:
                raise branch.error
        return branches

    async def _branch(self, memory: Memory, goal: str, step: PlannerOutput | None, number: int, last: int) -> Branch:
        child = self.lines[number] = memory.fork(goal)
        known, reason, failed = len(child.executed_actions), "", None
        try:
            await self.line(child, step, branch=number, last=last)
        except Escalation as end:
            reason = str(end)
        except _FATAL as error:
            failed = error
        except AgentFlowError as error:
            reason = f"{error.kind}: {error.message}"
        got = self.lines[number].executed_actions[known:]
        results = tuple(ActionResult.model_validate(action.model_dump(exclude={"turn"})) for action in got)
        return Branch(goal, self.lines[number], results, reason, failed)

    # The end --------------------------------------------------------------------------------------------------

    async def write(self, memory: Memory) -> SolverOutput:
        """The answer from what the memory holds."""
        self.lines[0] = memory
        return await self.parts.writer.write(memory, self.tools)

    async def without_models(self, error: AgentFlowError, fallback: Modules) -> SolverOutput:
        """Go on by rules from where no model answered any more.

        Raises:
            Escalation: the rules find no answer either.
        """
        await self.caller.note("flow.degraded", {"turn": self.done, "reason": error.message})
        self.parts, self.by_model = fallback, False
        memory = self.lines[0]
        try:
            if not self.answered(memory):
                if memory.turn >= self.bounds.turns and memory.this_turn():
                    raise Escalation(f"not answered within {self.bounds.turns} turns")
                memory = await self.line(memory.clone_for_next_turn() if memory.this_turn() else memory)
            return await self.write(memory)
        except Escalation as end:
            raise Escalation(f"{error.kind}: {error.message}; without models: {end}") from None

    def closing(self) -> SolverOutput | None:
        """The answer by extraction where the results at hand account for the whole question, else None."""
        memory = self.lines[0]
        return from_evidence(memory, self.tools) if self.answered(memory) else None

    def answered(self, memory: Memory) -> bool:
        """Whether by the rules the results account for the whole question."""
        return bool(memory.executed_actions) and judge(memory, self.tools).next_action == "complete"

    # The record -----------------------------------------------------------------------------------------------

    def _record(self, begun: _Begun, outcome: ExecutorOutput | None, verdict: VerifierOutput | None) -> None:
        memory, step = begun.memory, begun.step
        results = outcome.results if outcome is not None else []
        planned = step.actions if not isinstance(step, Step) or not step.independent else []
        self.turns.append(
            record.Turn(
                turn=memory.turn,
                branch=begun.branch,
                attempt=begun.attempt,
                replanned=begun.replanned,
                plan=PlannerOutput.model_validate(step.model_dump(exclude={"independent"})),
                exchanges=memory.thread.take(),
                calls=[record.ToolCall.model_validate(action.model_dump()) for action in planned],
                observations=[_observation(result) for result in results] if planned else [],
                verdict=verdict,
                shown_tools=[view.name for view in memory.thread.shown or ()],
                seconds=round(max(time.monotonic() - begun.at, 0.0), 6),
            )
        )
        self.refusals += [
            record.Refusal(
                turn=memory.turn,
                tool=result.tool,
                kind=result.error.kind,
                reasons=result.error.reasons,
                message=result.error.message,
            )
            for result in (results if planned else ())
            if result.error is not None and result.error.kind in _REFUSALS
        ]

    async def _tell(self, memory: Memory, turn: Turn, branch: int) -> None:
        step, verdict = turn.step, turn.verdict
        detail = {
            "turn": memory.turn,
            "plan": step.model_dump(mode="json"),
            "execution": turn.outcome.model_dump(mode="json", include={"commands", "context"}),
            "verdict": verdict.model_dump(mode="json"),
        }
        if branch:
            detail["branch"] = branch
        await self.caller.note("flow.turn", detail)
        if self.progress is not None:
            message = f"{step.selected_tool or 'no call'}: {verdict.verification_status}, {verdict.next_action}"
            self.told += 1  # not `done`: of two branches that end together each tells more than the one before
            await self.progress(self.told, max(self.bounds.turns, self.told), message)


def _observation(result: ActionResult) -> record.Observation:
    error = result.error
    return record.Observation(
        tool=result.tool,
        success=result.success,
        output=result.output,
        error=error.kind if error is not None else "",
        message=error.message if error is not None else "",
    )
