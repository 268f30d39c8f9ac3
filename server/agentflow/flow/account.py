"""What one run asks of models: under its name, within its limits, and counted.

Promises: no request goes out once the run's tokens or money are used up; with a limit set, requests of one run go one
after the other, so that branches cannot overspend it together. One account belongs to one run, however many branches
it has. Refuses: to estimate prices; what a request costs is what the worker says it did.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace

from agentflow.config_models import ModelTier, Strategy
from agentflow.errors import AgentFlowError, BudgetExceeded, ModelUnavailable, UpstreamProtocolError
from agentflow.models.port import JSON, MODELS, NANO, Answered, ChatMessage, ChatRequest, Models, Purpose
from agentflow.models.routing.request import prompt_tokens

MIN_ANSWER = 64  # tokens; with fewer left than an answer of this size there is no use in asking
Pieces = Callable[[str], Awaitable[None]]
"""A piece of an answer as it comes → nothing."""


@dataclass(frozen=True, slots=True)
class Wishes:
    """What a run's requests ask for; None as configured.

    Attributes:
        max_tokens: of one answer; max_latency: seconds that routing aims at; project: what is charged as well.
    """

    model: str | None = None
    tier: ModelTier | None = None
    strategy: Strategy | None = None
    temperature: float = 0.0
    max_tokens: int = 2048
    max_latency: float | None = None
    project: str = ""
    cache: bool = True


@dataclass(slots=True)
class Account:
    """A run's requests to models.

    Attributes:
        run: the run's id.
        max_tokens, max_cost: what the run may use: tokens, nano-dollars; None: no limit of its own.
        tokens, cost: what it has used.
        ids: the router's decisions, for `Models.outcome`.
        instructions: of whoever runs the flow; every conversation begins with them.
        models: who serves; None: `MODELS` of the call at hand.
    """

    run: str = ""
    max_tokens: int | None = None
    max_cost: int | None = None
    wishes: Wishes = Wishes()
    instructions: str = ""
    models: Models | None = None
    tokens: int = 0
    cost: int = 0
    ids: list[str] = field(default_factory=list)
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def complete(
        self,
        messages: tuple[ChatMessage, ...],
        purpose: Purpose,
        schema: JSON | None = None,
        *,
        temperature: float | None = None,
        pieces: Pieces | None = None,
    ) -> Answered:
        """Ask for one answer; with `pieces` it is streamed there as it comes.

        Raises:
            BudgetExceeded: the run's own limit is reached, or a budget is.
            ModelUnavailable: no model is configured, or none answered.
            AgentFlowError: as `Models.complete`.
        """
        async with AsyncExitStack() as held:
            if self.max_tokens is not None or self.max_cost is not None:
                await held.enter_async_context(self._turn)
            request = self._request(messages, purpose, schema)
            if temperature is not None:
                request = replace(request, temperature=temperature)
            models = self._served()
            try:
                answered = await (models.complete(request) if pieces is None else _streamed(models, request, pieces))
            except AgentFlowError as error:
                self._charge_failed(error)
                raise
            self._charge(answered)
        return answered

    async def outcome(self, reward: float) -> None:
        """Tell the router how the run as a whole went, once for all its requests (-1 to 2, FEATURES M04)."""
        ids, self.ids = self.ids, []
        if ids:
            await self._served().outcome(ids, reward)

    def _served(self) -> Models:
        models = self.models or MODELS.get(None)
        if models is None:
            raise ModelUnavailable(
                "no language model is configured", fix="set models.providers (or flow.base_url and flow.model)"
            )
        return models

    def _request(self, messages: tuple[ChatMessage, ...], purpose: Purpose, schema: JSON | None) -> ChatRequest:
        wishes, answer = self.wishes, self.wishes.max_tokens
        tokens_left = cost_left = None
        if self.max_tokens is not None:
            tokens_left = self.max_tokens - self.tokens
            answer = min(answer, tokens_left - _estimated(messages, schema))
            if answer < MIN_ANSWER:
                raise self._used_up(f"{self.max_tokens} tokens", f"{self.tokens} are used", tokens_left)
        if self.max_cost is not None:
            cost_left = self.max_cost - self.cost
            if cost_left <= 0:
                spent = f"${self.cost / NANO:.6f} is spent"
                raise self._used_up(f"${self.max_cost / NANO:.6f}", spent, cost_left)
        return ChatRequest(
            messages,
            purpose=purpose,
            schema=schema,
            model=wishes.model,
            tier=wishes.tier,
            strategy=wishes.strategy,
            temperature=wishes.temperature,
            max_tokens=answer,
            max_latency=wishes.max_latency,
            run=self.run,
            run_tokens=tokens_left,
            run_cost=cost_left,
            project=wishes.project,
            cache=wishes.cache,
        )

    @staticmethod
    def _used_up(limit: str, used: str, left: int) -> BudgetExceeded:
        return BudgetExceeded(
            f"the run's limit of {limit} leaves nothing for a further request: {used}",
            fix="allow the run more (max_tokens, max_cost), or ask for less",
            budget="run",
            left=max(left, 0),
        )

    def _charge(self, answered: Answered) -> None:
        self.tokens += answered.prompt_tokens + answered.completion_tokens + answered.failed_tokens
        self.cost += answered.cost
        if answered.id:
            self.ids.append(answered.id)

    def _charge_failed(self, error: AgentFlowError) -> None:
        """What models took that did not answer is spent all the same."""
        cost, tokens = error.data.get("cost_nano"), error.data.get("tokens")
        self.cost += cost if isinstance(cost, int) else 0
        self.tokens += tokens if isinstance(tokens, int) else 0


def _estimated(messages: Sequence[ChatMessage], schema: JSON | None) -> int:
    """Tokens of a prompt, by the estimate by which the worker reserves them."""
    body: JSON = {"messages": [{"role": m.role, "content": m.content} for m in messages]}
    if schema is not None:
        body["response_format"] = {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema}}
    return prompt_tokens(body)


async def _streamed(models: Models, request: ChatRequest, pieces: Pieces) -> Answered:
    whole: Answered | None = None
    async for item in models.stream(request):
        if isinstance(item, Answered):
            whole = item
        else:
            await pieces(item)
    if whole is None:
        raise UpstreamProtocolError("the model's answer broke off")
    return whole
