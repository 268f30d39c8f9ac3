"""The three agents: one that answers, one that uses tools, one that reasons.

They run inside a call, as its principal, like the flow tools: what they ask of models and tools goes through the same
pipeline, within the same budgets. Promises: an agent sees only the tools its settings name, out of those its caller may
call; two runs share nothing. Refuses: to answer from a model alone what it was given tools for.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Any

from agentflow.errors import ModelUnavailable, UnknownName
from agentflow.flow import service
from agentflow.flow.account import Account, Wishes
from agentflow.flow.agents.config import AgentConfig
from agentflow.flow.port import CALLER, JSON, Caller, ToolView, Who
from agentflow.flow.service import RunOptions, caller
from agentflow.flow.settings import settings
from agentflow.flow.types import Solution
from agentflow.models.port import MODELS, Answered, ChatMessage


@dataclass(frozen=True, slots=True)
class SimpleAgent:
    """A model with instructions: one request, one answer, no tools."""

    config: AgentConfig

    async def run(self, prompt: str, history: Sequence[ChatMessage] = ()) -> Answered:
        """Answer a prompt.

        Args:
            history: earlier messages of the conversation; the agent keeps none itself.

        Raises:
            ModelUnavailable: no model is configured, or none answered.
            AgentFlowError: as `Models.complete`.
        """
        config, limits = self.config, service.account(settings())
        wishes = Wishes(
            model=config.model_type,
            temperature=config.temperature,
            max_tokens=config.max_tokens,
            tier=limits.wishes.tier,
        )
        account = Account(secrets.token_hex(8), limits.max_tokens, limits.max_cost, wishes)
        system = [ChatMessage("system", config.system_prompt)] if config.system_prompt else []
        return await account.complete((*system, *history, ChatMessage("user", prompt)), "chat")


@dataclass(frozen=True, slots=True)
class ToolAgent:
    """An agent that answers with tools, step by step, each verified (the pattern `direct`)."""

    config: AgentConfig

    async def run(self, query: str, knowledge: dict[str, Any] | None = None) -> Solution:
        """Answer a question. Raises as `flow.service.solve`."""
        return await _solved(self.config, replace(_options(self.config), pattern="direct"), query, knowledge)


@dataclass(frozen=True, slots=True)
class ReasoningAgent:
    """An agent that reasons in the way its settings name."""

    config: AgentConfig

    async def run(self, query: str, knowledge: dict[str, Any] | None = None) -> Solution:
        """Answer a question. Raises as `flow.service.solve`."""
        return await _solved(self.config, _options(self.config), query, knowledge)


def _options(config: AgentConfig) -> RunOptions:
    return RunOptions(
        pattern=config.reasoning_pattern,
        model=config.model_type,
        instructions=config.system_prompt,
        temperature=config.temperature,
        answer_tokens=config.max_tokens,
    )


async def _solved(config: AgentConfig, options: RunOptions, query: str, knowledge: dict[str, Any] | None) -> Solution:
    if config.model_type is not None and MODELS.get(None) is None:
        raise ModelUnavailable(
            f"the agent {config.name} wants the model {config.model_type}, and no language model is configured",
            fix="set models.providers, or leave the agent's model_type out to plan without a model",
        )
    token = CALLER.set(_Narrowed(caller(), config.tools))
    try:
        return await service.solve(query, options, knowledge=knowledge)
    finally:
        CALLER.reset(token)


class _Narrowed:
    """A caller that sees some tools only."""

    def __init__(self, inner: Caller, names: tuple[str, ...] | None) -> None:
        self._inner, self._names = inner, names

    @property
    def who(self) -> Who:
        return self._inner.who

    @property
    def can_ask(self) -> bool:
        return self._inner.can_ask

    def _sees(self, name: str) -> bool:
        return self._names is None or any(fnmatchcase(name, pattern) for pattern in self._names)

    async def tools(self) -> list[ToolView]:
        return [view for view in await self._inner.tools() if self._sees(view.name)]

    async def call(self, name: str, arguments: JSON) -> JSON:
        if not self._sees(name):
            raise UnknownName(f"there is no tool {name!r} for this agent")
        return await self._inner.call(name, arguments)

    async def note(self, event: str, detail: JSON) -> None:
        await self._inner.note(event, detail)

    async def ask(self, message: str, schema: JSON) -> JSON | None:
        return await self._inner.ask(message, schema)
