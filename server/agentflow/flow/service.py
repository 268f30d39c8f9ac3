"""What the four tool files call: the flow, built from the settings, as the calling principal.

The gateway sets `flow.port.CALLER` (who calls), `flow.settings.SETTINGS` (what is configured) and, where there are
language models, `models.port.MODELS` around every call of a tool file. Without a caller nothing here runs; without
settings or models the offline planner works.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from agentflow.config_flow import FlowConfig, Pattern
from agentflow.config_models import ModelTier
from agentflow.errors import LimitExceeded, Unsupported
from agentflow.flow.account import Account, Pieces, Wishes
from agentflow.flow.assembly import assemble
from agentflow.flow.catalogue import catalogue_of
from agentflow.flow.executor import Executor
from agentflow.flow.loop import Flow
from agentflow.flow.memory import ExecutedAction, Memory
from agentflow.flow.port import CALLER, Caller
from agentflow.flow.run import AWAY, Modules, Progress
from agentflow.flow.settings import settings
from agentflow.flow.transcript import Thread
from agentflow.flow.types import Action, ActionResult, ExecutorOutput, PlannerOutput, Solution, VerifierOutput
from agentflow.models.port import NANO

Said = TypeVar("Said")


@dataclass(frozen=True, slots=True)
class RunOptions:
    """What one run asks for beside its question; None as configured. Limits can be lowered only.

    Attributes:
        model, tier: which model is asked; project: what is charged as well.
        timeout: seconds; max_tokens: of all requests to models together; max_cost: US dollars.
        instructions: of whoever runs the flow (not of its user), before every conversation with a model.
        temperature, answer_tokens: of each request.
    """

    max_turns: int | None = None
    pattern: Pattern | None = None
    model: str | None = None
    tier: ModelTier | None = None
    timeout: float | None = None
    max_tokens: int | None = None
    max_cost: float | None = None
    project: str = ""
    instructions: str = ""
    temperature: float = 0.0
    answer_tokens: int = 2048


def caller() -> Caller:
    """The calling principal's way to the tools.

    Raises:
        Unsupported: this code runs outside the gateway.
    """
    found = CALLER.get(None)
    if found is None:
        raise Unsupported(
            "the flow tools reach other tools through AgentFlow's gateway, and there is none here",
            fix="start it with `agentflow serve` and call this tool there",
        )
    return found


def account(config: FlowConfig, options: RunOptions = RunOptions()) -> Account:
    """What a run's requests to models may use, and ask for."""
    dollars = _lower(config.max_cost, options.max_cost)
    return Account(
        max_tokens=_lower(config.max_tokens, options.max_tokens),
        max_cost=int(dollars * NANO) if dollars is not None else None,
        wishes=Wishes(
            model=options.model or config.model,
            tier=options.tier or config.tier,
            project=options.project,
            temperature=options.temperature,
            max_tokens=options.answer_tokens,
        ),
        instructions=options.instructions,
    )


def _lower(configured: Any, asked: Any) -> Any:
    given = [limit for limit in (configured, asked) if limit is not None]
    return min(given) if given else None


def _remembered(query: str, memory: Memory | None, config: FlowConfig) -> Memory:
    known = memory.model_copy(deep=True, update={"query": query}) if memory is not None else Memory(query=query)
    return known.on(Thread(account(config)))


async def _alone(config: FlowConfig, ask: Callable[[Modules], Awaitable[Said]]) -> Said:
    """One answer of one module, within the settings' timeout; by rules where those allow it and no model answers.

    Raises:
        LimitExceeded: it took too long.
        AgentFlowError: as the module.
    """
    made, within = assemble(config), asyncio.timeout(config.timeout)
    try:
        async with within:
            try:
                return await ask(made.modules)
            except AWAY as error:
                if made.fallback is None:
                    raise
                await caller().note("flow.degraded", {"reason": error.message})
                return await ask(made.fallback)
    except TimeoutError:
        if not within.expired():
            raise
        raise LimitExceeded(
            f"there was no answer within {config.timeout:g} s", fix="ask again, or raise flow.timeout"
        ) from None


async def plan(query: str, memory: Memory | None = None) -> PlannerOutput:
    """One step for a question. Raises as `Planner.plan`, and `Unsupported` outside the gateway."""
    who, config = caller(), settings()
    known, tools = _remembered(query, memory, config), catalogue_of(await who.tools()).views
    step = await _alone(config.model_copy(update={"branches": 1}), lambda made: made.planner.plan(known, tools))
    await who.note("flow.plan", step.model_dump(mode="json"))
    return step


async def execute(actions: Sequence[Action]) -> ExecutorOutput:
    """Run actions as the calling principal. Failures are results, never exceptions."""
    who = caller()
    outcome = await Executor(who, catalogue_of(await who.tools())).run(actions)
    await who.note("flow.execute", outcome.model_dump(mode="json", include={"commands", "context"}))
    return outcome


async def verify(query: str, memory: Memory | None, results: Sequence[ActionResult]) -> VerifierOutput:
    """Judge a memory, or bare results, against a question."""
    who, config = caller(), settings()
    judged = _remembered(query, memory, config)
    judged.executed_actions = [
        *judged.executed_actions,
        *(ExecutedAction(turn=judged.turn, **result.model_dump()) for result in results),
    ]
    tools = catalogue_of(await who.tools()).views
    verdict = await _alone(config, lambda made: made.verifier.verify(judged, tools))
    await who.note("flow.verify", verdict.model_dump(mode="json"))
    return verdict


async def solve(
    query: str,
    options: RunOptions = RunOptions(),
    *,
    knowledge: dict[str, Any] | None = None,
    progress: Progress | None = None,
    pieces: Pieces | None = None,
) -> Solution:
    """Run the whole loop for a question.

    Args:
        pieces: is told the answer's text as a model writes it.

    Raises:
        ConfigError: the settings demand a model, and there is none.
        AuditUnavailable: what happened could not be recorded.
    """
    who, config = caller(), settings()
    pattern = options.pattern or config.pattern
    may_ask = config.ask and who.can_ask
    made = assemble(config, pattern, may_ask=may_ask, pieces=pieces)
    flow = Flow(
        made.modules.planner,
        made.modules.verifier,
        made.modules.writer,
        who,
        max_turns=options.max_turns or config.max_turns,
        retries=config.retries,
        replans=config.replans,
        branches=config.branches,
        nodes=config.nodes,
        procedure=made.procedure,
        pattern=pattern,
        timeout=_lower(config.timeout, options.timeout),
        account=account(config, options),
        planned_by=made.planned_by,
        may_ask=may_ask,
        patience=config.ask_timeout,
        fallback=made.fallback,
        progress=progress,
    )
    return await flow.solve(query, knowledge)
