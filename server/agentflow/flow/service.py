"""What the four tool files call: the flow, built from the settings, as the calling principal.

The gateway sets `flow.port.CALLER` (who calls) and
`flow.settings.SETTINGS` (what is configured) around every call of a tool
file. Without a caller nothing here runs; without settings the offline planner works.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from agentflow.config_flow import FlowConfig
from agentflow.errors import ConfigError, Unsupported
from agentflow.flow.catalogue import Catalogue
from agentflow.flow.executor import Executor
from agentflow.flow.loop import Flow, Progress
from agentflow.flow.memory import ExecutedAction, Memory
from agentflow.flow.offline import OfflinePlanner
from agentflow.flow.planner import Planner
from agentflow.flow.port import CALLER, Caller
from agentflow.flow.prompted import ModelPlanner, ModelVerifier, ModelWriter
from agentflow.flow.settings import settings
from agentflow.flow.types import Action, ActionResult, ExecutorOutput, PlannerOutput, Solution, VerifierOutput
from agentflow.flow.verifier import RuleVerifier, Verifier
from agentflow.flow.writer import EvidenceWriter, Writer
from agentflow.models.openai import ChatModel


@dataclass(frozen=True, slots=True)
class Modules:
    """The three modules that think; all by rules, or all by a model."""

    planner: Planner
    verifier: Verifier
    writer: Writer


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


@asynccontextmanager
async def modules(config: FlowConfig) -> AsyncIterator[Modules]:
    """The modules that the settings ask for: `auto` takes a model when one is configured.

    Raises:
        ConfigError: a model is demanded and not configured.
    """
    configured = bool(config.base_url and config.model)
    if config.planner == "model" and not configured:
        raise ConfigError("flow.planner is `model` without an endpoint", fix="set flow.base_url and flow.model")
    if config.planner == "offline" or not configured:
        yield Modules(OfflinePlanner(), RuleVerifier(), EvidenceWriter())
        return
    async with ChatModel(
        str(config.base_url), str(config.model), config.api_key, timeout=min(config.timeout, 60.0)
    ) as model:
        yield Modules(ModelPlanner(model), ModelVerifier(model), ModelWriter(model))


async def plan(query: str, memory: Memory | None = None) -> PlannerOutput:
    """One step for a question. Raises as `Planner.plan`, and `Unsupported` outside the gateway."""
    who = caller()
    remembered = memory.model_copy(update={"query": query}) if memory is not None else Memory(query=query)
    async with modules(settings()) as parts:
        step = await parts.planner.plan(remembered, await who.tools())
    await who.note("flow.plan", step.model_dump(mode="json"))
    return step


async def execute(actions: Sequence[Action]) -> ExecutorOutput:
    """Run actions as the calling principal. Failures are results, never exceptions."""
    who = caller()
    outcome = await Executor(who, Catalogue(await who.tools())).run(actions)
    await who.note("flow.execute", outcome.model_dump(mode="json", include={"commands", "context"}))
    return outcome


async def verify(query: str, memory: Memory | None, results: Sequence[ActionResult]) -> VerifierOutput:
    """Judge a memory, or bare results, against a question."""
    who = caller()
    judged = memory.model_copy(deep=True, update={"query": query}) if memory is not None else Memory(query=query)
    judged.executed_actions = [
        *judged.executed_actions,
        *(ExecutedAction(turn=judged.turn, **result.model_dump()) for result in results),
    ]
    async with modules(settings()) as parts:
        verdict = await parts.verifier.verify(judged, await who.tools())
    await who.note("flow.verify", verdict.model_dump(mode="json"))
    return verdict


async def solve(
    query: str,
    *,
    max_turns: int | None = None,
    knowledge: dict[str, Any] | None = None,
    progress: Progress | None = None,
) -> Solution:
    """Run the whole loop for a question."""
    who, config = caller(), settings()
    async with modules(config) as parts:
        flow = Flow(
            parts.planner,
            parts.verifier,
            parts.writer,
            who,
            max_turns=max_turns or config.max_turns,
            timeout=config.timeout,
            progress=progress,
        )
        return await flow.solve(query, knowledge)
