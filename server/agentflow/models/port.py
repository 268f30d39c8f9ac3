"""What a flow, or a served request, needs of language models, whoever serves them.

`Models` is bound to one call of one principal: behind it are the pipeline (tokens for personal data, policy, record)
and the model worker (routing, budgets, cache). Money is counted in whole nano-dollars (1e-9 US dollars), so that
sums are exact.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from agentflow.config_models import ModelTier, Strategy

JSON = dict[str, Any]
NANO = 1_000_000_000  # nano-dollars in a dollar

Purpose = Literal["planner", "executor", "verifier", "solver", "summary", "judge", "chat"]
Role = Literal["system", "user", "assistant"]


@dataclass(frozen=True, slots=True)
class ChatMessage:
    """One message of a conversation."""

    role: Role
    content: str


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """One question to a model.

    Attributes:
        purpose: what the answer is for; routing learns by it.
        schema: JSON schema that the answer has to satisfy, sent to providers that can be held to one.
        model: name of a model in `models`; None: as routed.
        tier: the least tier when routed; None: the configured default.
        max_cost: most nano-dollars it may cost; max_latency: seconds that routing aims at.
        run: the run it belongs to, and what that run may still spend (`run_tokens`, `run_cost` in nano-dollars).
        project: what is charged beside tenant and principal.
        cache: whether a stored answer will do.
    """

    messages: tuple[ChatMessage, ...]
    purpose: Purpose = "chat"
    schema: JSON | None = None
    model: str | None = None
    tier: ModelTier | None = None
    strategy: Strategy | None = None
    temperature: float = 0.0
    max_tokens: int = 2048
    max_cost: int | None = None
    max_latency: float | None = None
    run: str = ""
    run_tokens: int | None = None
    run_cost: int | None = None
    project: str = ""
    cache: bool = True


@dataclass(frozen=True, slots=True)
class Answered:
    """What a model answered, and what it cost.

    Attributes:
        id: names the decision of the router, for `Models.outcome`.
        cost: nano-dollars, of what failed before it, too; 0 for a cached answer.
        failed_tokens: tokens of what failed before it, and was paid.
        attempts: what was tried before, as `provider:model: reason`.
    """

    text: str
    id: str = ""
    model: str = ""
    provider: str = ""
    tier: str = ""
    finish_reason: str = "stop"
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost: int = 0
    failed_tokens: int = 0
    cached: bool = False
    attempts: tuple[str, ...] = field(default=())


class Models(Protocol):
    """Language models, as the calling principal."""

    async def complete(self, request: ChatRequest) -> Answered:
        """Ask for one answer.

        Raises:
            AgentFlowError: `BudgetExceeded`, `ModelUnavailable`, or as the pipeline refused it. What models were paid
                all the same is in its `data`: `cost_nano` and `tokens`.
        """
        ...

    def stream(self, request: ChatRequest) -> AsyncIterator[str | Answered]:
        """Pieces of the answer as they come; the last item is the `Answered` with the whole text. Raises likewise."""
        ...

    async def outcome(self, ids: Sequence[str], reward: float) -> None:
        """Tell the router how answers served (-1 to 2, FEATURES M04). Never fails."""
        ...


MODELS: ContextVar[Models | None] = ContextVar("agentflow_models")
"""The models of the call at hand; None, or nothing, where it has none to ask."""
