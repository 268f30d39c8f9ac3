"""A whole run: plan → execute → verify, until the question is answered, then solve (AgentFlow, arXiv 2510.05592).

Promises: at most `max_turns` turns of a line; a deadline, which stands still while a person is asked; limits of
tokens and money; cancellation ends everything under way; a failed tool, planner or verdict ends in an escalation with
its reason, never in a crash; one trajectory for each run, however it ended. One memory per run.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from agentflow.errors import (
    AgentFlowError,
    AuditUnavailable,
    BudgetExceeded,
)
from agentflow.flow import experience
from agentflow.flow.account import Account
from agentflow.flow.memory import Memory
from agentflow.flow.patterns.direct import Direct
from agentflow.flow.planner import Planner
from agentflow.flow.port import Caller
from agentflow.flow.run import AWAY, Bounds, Escalation, Modules, Procedure, Progress, Run
from agentflow.flow.trajectories.record import RECORDER, Outcome, Trajectory
from agentflow.flow.transcript import Thread
from agentflow.flow.types import Solution, SolverOutput
from agentflow.flow.verifier import Verifier
from agentflow.flow.writer import Writer
from agentflow.models.port import NANO

_WORTH_KEEPING = 0.5  # confidence from which the way to an answer is remembered
_KEEPING = 5.0  # seconds that a run waits for its record to be kept
log = logging.getLogger(__name__)


@dataclass(slots=True)
class Flow:
    """The parts of runs. A `Flow` may be used for several runs; they share nothing but these parts.

    Attributes:
        max_turns: of one line; retries, replans: for one sub-goal; branches: side by side; nodes: of a search tree.
        procedure: the reasoning pattern; pattern: its name in the record.
        timeout: seconds for the whole run, without those in which a person is asked.
        account: what each run's requests to models may use; every run has a fresh one with these limits.
        planned_by: `offline`, `model` or `local`.
        may_ask: whether the person at the client may be asked; patience: seconds for one answer.
        fallback: modules that need no model, for when none answers; None: the run ends then.
    """

    planner: Planner
    verifier: Verifier
    writer: Writer
    caller: Caller
    max_turns: int = 5
    retries: int = 2
    replans: int = 3
    branches: int = 4
    nodes: int = 12
    procedure: Procedure = field(default_factory=Direct)
    pattern: str = "direct"
    timeout: float = 120.0
    account: Account = field(default_factory=Account)
    planned_by: str = "offline"
    may_ask: bool = False
    patience: float = 240.0
    fallback: Modules | None = None
    progress: Progress | None = None

    async def solve(self, query: str, knowledge: dict[str, Any] | None = None) -> Solution:
        """Answer a question.

        Returns:
            A solution; `status` is `escalated` with a reason where there is no answer.

        Raises:
            AuditUnavailable: a turn could not be recorded, so nothing may be answered.
        """
        ending = _Ending(self, query, knowledge)
        try:
            return await ending.solved()
        except asyncio.CancelledError:
            ending.outcome, ending.reason = "cancelled", "the run was cancelled"
            raise
        except BaseException as error:
            ending.outcome, ending.reason = "failed", type(error).__name__
            raise
        finally:
            await ending.keep()


class _Ending:
    """One run from its start to its record."""

    def __init__(self, flow: Flow, query: str, knowledge: dict[str, Any] | None) -> None:
        given = flow.account
        self.account = Account(
            run=secrets.token_hex(8),
            max_tokens=given.max_tokens,
            max_cost=given.max_cost,
            wishes=given.wishes,
            instructions=given.instructions,
            models=given.models,
        )
        self.memory = Memory(query=query, knowledge=dict(knowledge or {})).on(Thread(self.account))
        self.flow = flow
        self.run = Run(
            flow.caller,
            Modules(flow.planner, flow.verifier, flow.writer),
            Bounds(flow.max_turns, flow.retries, flow.replans, flow.branches, flow.nodes),
            by_model=flow.planned_by == "model",
            may_ask=flow.may_ask,
            patience=flow.patience,
            progress=flow.progress,
        )
        self.outcome: Outcome = "complete"
        self.reason = ""
        self.recalled: list[str] = []
        self.written: SolverOutput | None = None
        self._started, self._clock = time.time(), time.monotonic()

    async def solved(self) -> Solution:
        flow = self.flow
        deadline = asyncio.timeout(flow.timeout)
        try:
            async with deadline:
                self.run.deadline = deadline
                await self.run.open(self.memory)
                if flow.planned_by == "model":
                    from agentflow.flow import select_tools  # the encoder's vectors: only where a model plans

                    await select_tools.read(self.run.tools)
                    self.recalled = await experience.recall(self.memory)
                self.written = await self._written()
        except TimeoutError:
            if not deadline.expired():
                raise
            self._ended("timeout", f"the run's deadline of {flow.timeout:g} s passed")
        except Escalation as escalation:
            self._ended("refused" if self.run.refusals and not self._any_data() else "escalated", str(escalation))
        except AuditUnavailable:
            raise
        except AgentFlowError as error:
            self._ended("failed", f"{error.kind}: {error.message}")
        return await self._solution()

    async def _written(self) -> SolverOutput:
        flow, run = self.flow, self.run
        try:
            try:
                return await flow.procedure.solve(run, self.memory)
            except AWAY as error:
                if flow.fallback is None:
                    raise
                written = await run.without_models(error, flow.fallback)
                self.reason = f"answered without models: {error.kind}: {error.message}"
                return written
        except BudgetExceeded as error:
            closing = run.closing()
            fix = f" ({error.fix})" if error.fix else ""
            self._ended("complete" if closing else "budget", f"{error.kind}: {error.message}{fix}")
            if closing is None:
                raise Escalation(self.reason) from None
            return closing

    def _any_data(self) -> bool:
        return any(a.success for memory in self.run.lines.values() for a in memory.executed_actions)

    def _ended(self, outcome: Outcome, reason: str) -> None:
        if self.outcome == "complete":
            self.outcome, self.reason = outcome, reason

    async def _solution(self) -> Solution:
        written, account = self.written, self.account
        detail: dict[str, Any] = {"run": account.run, "pattern": self.flow.pattern}
        if written is None:
            await self.flow.caller.note("flow.escalate", {"turn": self.run.done, "reason": self.reason, **detail})
            written = SolverOutput(answer="", confidence=0.0)
        else:
            confidence = {"answer": written.answer, "confidence": written.confidence}
            await self.flow.caller.note("flow.solve", {**confidence, **detail})
            if not self.reason and written.confidence >= _WORTH_KEEPING:
                await experience.remember(self.run.lines[0], written, account.run, self.flow.planned_by)
        await self._reward()
        return Solution(
            **written.model_dump(),
            status="complete" if self.outcome == "complete" else "escalated",
            reason=self.reason,
            turns=self.run.done,
            run=account.run,
            pattern=self.flow.pattern,
            tokens=account.tokens,
            cost=account.cost / NANO,
            models=self._models(),
        )

    async def _reward(self) -> None:
        """One reward for the whole run, to all its requests alike: a good turn in a failed run earns nothing."""
        if self.outcome == "complete" and self.written is not None and not self.reason:
            await self.account.outcome(0.5 + self.written.confidence)
        elif self.outcome in ("escalated", "failed"):
            await self.account.outcome(-1.0)

    def _models(self) -> list[str]:
        return self._trajectory().models

    def _trajectory(self) -> Trajectory:
        run, written = self.run, self.written or SolverOutput(answer="", confidence=0.0)
        left = [exchange for line in run.lines.values() for exchange in line.thread.exchanges]
        return Trajectory(
            data_id=self.account.run,
            question=self.memory.query,
            answer=written.answer,
            confidence=written.confidence,
            evidence=written.evidence,
            outcome=self.outcome,
            reason=self.reason,
            turns=run.turns,
            exchanges=list({id(exchange): exchange for exchange in left}.values()),
            refusals=run.refusals,
            memories=self.recalled,
            planner=self.flow.planned_by,
            pattern=self.flow.pattern,
            started=self._started,
            seconds=max(time.monotonic() - self._clock, 0.0),
        )

    async def keep(self) -> None:
        """Hand the run's record over; a run that was cancelled waits for that too, a moment.

        In a task of its own: whoever cancels a call may do so again and again until it has ended.
        """
        recorder = RECORDER.get(None)
        if recorder is None:
            return
        keeping = asyncio.ensure_future(recorder.keep(self._trajectory()))
        _UNDER_WAY.add(keeping)
        keeping.add_done_callback(_kept)
        with suppress(TimeoutError):
            async with asyncio.timeout(_KEEPING):
                await asyncio.shield(keeping)


_UNDER_WAY: set[asyncio.Future[None]] = set()  # the loop alone holds its tasks by weak references


def _kept(keeping: asyncio.Future[None]) -> None:
    _UNDER_WAY.discard(keeping)
    if not keeping.cancelled() and (error := keeping.exception()) is not None:
        log.warning("a run's record was not kept: %s", type(error).__name__)
