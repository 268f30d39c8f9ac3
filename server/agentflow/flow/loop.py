"""The loop: plan → execute → verify, until the question is answered, then solve (AgentFlow, arXiv 2510.05592).

Promises: at most `max_turns` turns and `retries` repeats of failed calls; a deadline; every turn noted in the
call's record; cancellation ends everything under way; a failed tool, planner or verdict ends in an escalation
with its reason, never in a crash. One memory per run.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from agentflow.errors import AgentFlowError, AuditUnavailable
from agentflow.flow.catalogue import Catalogue
from agentflow.flow.executor import Executor
from agentflow.flow.memory import Memory
from agentflow.flow.planner import Planner
from agentflow.flow.port import Caller
from agentflow.flow.types import Action, ExecutorOutput, PlannerOutput, Solution, SolverOutput, VerifierOutput
from agentflow.flow.verifier import Verifier
from agentflow.flow.writer import Writer

Progress = Callable[[int, int, str], Awaitable[None]]
"""(turn, max_turns, message) → nothing: called once per turn."""


class _Escalation(Exception):
    """Ends the run with a reason."""


@dataclass(slots=True)
class Flow:
    """One run's parts. A `Flow` may be used for several runs; they share nothing but these parts.

    Attributes:
        retries: how often failed calls may be repeated in one run.
        timeout: seconds for the whole run.
    """

    planner: Planner
    verifier: Verifier
    writer: Writer
    caller: Caller
    max_turns: int = 5
    retries: int = 2
    timeout: float = 120.0
    progress: Progress | None = None

    async def solve(self, query: str, knowledge: dict[str, Any] | None = None) -> Solution:
        """Answer a question.

        Returns:
            A solution; `status` is `escalated` with a reason where there is no answer.

        Raises:
            AuditUnavailable: a turn could not be recorded, so nothing may be answered.
        """
        run = _Run(self, Memory(query=query, knowledge=dict(knowledge or {})))
        try:
            async with asyncio.timeout(self.timeout) as deadline:
                written = await run.turns()
        except TimeoutError:
            if not deadline.expired():
                raise
            return await run.escalated(f"the run's deadline of {self.timeout:g} s passed")
        except _Escalation as escalation:
            return await run.escalated(str(escalation))
        except AuditUnavailable:
            raise
        except AgentFlowError as error:
            return await run.escalated(f"{error.kind}: {error.message}")
        await self.caller.note("flow.solve", {"answer": written.answer, "confidence": written.confidence})
        return Solution(**written.model_dump(), status="complete", turns=run.memory.turn)


class _Run:
    """The state of one run."""

    def __init__(self, flow: Flow, memory: Memory) -> None:
        self._flow = flow
        self.memory = memory
        self._retries = flow.retries

    async def turns(self) -> SolverOutput:
        flow = self._flow
        tools = await flow.caller.tools()
        executor = Executor(flow.caller, Catalogue(tools))
        again: PlannerOutput | None = None
        while True:
            step = again or await flow.planner.plan(self.memory, tools)
            self.memory.plan(step)
            outcome = await executor.run(step.actions)
            self.memory.execute(outcome)
            verdict = await flow.verifier.verify(self.memory, tools)
            self.memory.verify(step, verdict)
            await self._tell(step, outcome, verdict)
            again = self._next(step, outcome, verdict)
            if verdict.next_action == "complete":
                return await flow.writer.write(self.memory, tools)
            if self.memory.turn >= flow.max_turns:
                raise _Escalation(f"not answered within {flow.max_turns} turns: {verdict.memory_analysis}")
            self.memory = self.memory.clone_for_next_turn()

    def _next(self, step: PlannerOutput, outcome: ExecutorOutput, verdict: VerifierOutput) -> PlannerOutput | None:
        """The step to repeat, or None to plan anew."""
        if verdict.next_action == "escalate":
            raise _Escalation(verdict.reasoning or "the verifier asked for a person")
        if verdict.next_action == "continue" and not step.actions:
            raise _Escalation(verdict.reasoning or step.reasoning or "the planner has no further step")
        if verdict.next_action != "retry":
            return None
        repeat = [Action(tool=r.tool, arguments=r.arguments) for r in outcome.results if r.error and r.error.retryable]
        if not repeat:
            return None
        if self._retries <= 0:
            raise _Escalation(f"retries used up: {verdict.reasoning}")
        self._retries -= 1
        return step.model_copy(update={"actions": repeat, "reasoning": "retry of what failed"})

    async def _tell(self, step: PlannerOutput, outcome: ExecutorOutput, verdict: VerifierOutput) -> None:
        flow, turn = self._flow, self.memory.turn
        detail = {
            "turn": turn,
            "plan": step.model_dump(mode="json"),
            "execution": outcome.model_dump(mode="json", include={"commands", "context"}),
            "verdict": verdict.model_dump(mode="json"),
        }
        await flow.caller.note("flow.turn", detail)
        if flow.progress is not None:
            message = f"{step.selected_tool or 'no call'}: {verdict.verification_status}, {verdict.next_action}"
            await flow.progress(turn, flow.max_turns, message)

    async def escalated(self, reason: str) -> Solution:
        await self._flow.caller.note("flow.escalate", {"turn": self.memory.turn, "reason": reason})
        return Solution(answer="", confidence=0.0, status="escalated", reason=reason, turns=self.memory.turn)
