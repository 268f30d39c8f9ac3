"""What a flow tool finds around its call: its way back into the gateway, its settings, and the models it may ask.

Everything a flow does is done as the calling principal and goes through the same pipeline. Where a model outside this
process will read the question, the flow works with its labelled form; a call of a tool that carries a token of what
the caller typed clear in this very run is made with what was typed, any other token is policy's to turn back.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from agentflow.config_models import ModelTier, Tier
from agentflow.errors import AgentFlowError, PolicyDenied
from agentflow.flow.port import CALLER, ToolView, Who
from agentflow.flow.settings import SETTINGS, without_models
from agentflow.gateway.client import CallExchange, ClientEnd
from agentflow.gateway.models import Asked, ModelSurface
from agentflow.gateway.models_stream import Part
from agentflow.guard.own import Own, own_of
from agentflow.guard.taint import INJECTION
from agentflow.models.context import RequestContext
from agentflow.models.port import MODELS, Answered, ChatRequest
from agentflow.pipeline.call import JSON, Call
from agentflow.pipeline.defuse import NOTE
from agentflow.pipeline.scope import scope_of

if TYPE_CHECKING:
    from agentflow.gateway.core import Gateway
    from agentflow.gateway.models import Answer

_ELICIT = "elicitation/create"


async def entered(gateway: Gateway, call: Call, client: ClientEnd, params: JSON) -> JSON:
    """Set up the context of a call of a flow tool; returns the params that the tool is given.

    Raises:
        PolicyDenied: the configuration demands a model, and policy allows this caller none.
    """
    models, settings = gateway.models, gateway.flow
    if settings.planner == "local" and _tier(call) == "offline":
        settings = without_models(settings)
    asks = models is not None and models.configured and settings.planner not in ("offline", "local")
    if models is None or not asks:
        MODELS.set(None)
        own = Own()
    elif await _usable(models, call, client, settings.model):
        MODELS.set(FlowModels(models, call, client, settings.model, settings.tier))
        own = await models.own(call)
        if call.labelled is not None:
            params = {**params, "arguments": call.labelled.get("arguments", {})}
    else:
        settings, own = without_models(settings), Own()
        MODELS.set(None)
    SETTINGS.set(settings)
    CALLER.set(FlowCaller(gateway, call, client, own, labels=MODELS.get(None) is not None))
    return params


async def _usable(models: ModelSurface, call: Call, client: ClientEnd, name: str | None) -> bool:
    tier = _tier(call)
    return tier != "offline" and await models.usable(client, tier, name)


def _tier(call: Call) -> Tier | None:
    """The strongest model that policy allows for a call; None: any."""
    return call.decision.obligations.model_tier if call.decision is not None else None


class FlowCaller:
    """The flow tools' way to other tools and to the person at the client, bound to one call of one flow tool.

    Args:
        own: the tokens of what the caller typed clear in this call.
        labels: a model reads what the person answers, so that it becomes tokens as well.
    """

    def __init__(self, gateway: Gateway, call: Call, client: ClientEnd, own: Own, labels: bool = False) -> None:
        self._gateway, self._call, self._client = gateway, call, client
        self._own, self._labels = own, labels

    @property
    def who(self) -> Who:
        return Who(self._call.principal.tenant, self._call.principal.id)

    @property
    def can_ask(self) -> bool:
        return self._client.shows_forms

    async def tools(self) -> list[ToolView]:
        return await self._gateway.visible_tools(self._client, self._call.session)

    async def call(self, name: str, arguments: JSON) -> JSON:
        gateway, call = self._gateway, self._call
        if not gateway.computes(name, call.principal):  # a value taken apart there would come back as nobody knows it
            schema = gateway.schema_of(name, call.principal)
            arguments = self._own.restored({"arguments": arguments}, schema)["arguments"]
        result = await gateway.call_from_flow(name, arguments, self._client, call)
        if NOTE in (result.get("_meta") or {}):
            call.taint.add(INJECTION)
        return result

    async def note(self, event: str, detail: JSON) -> None:
        self._call.events.append({"event": event, **await self._gateway.pipeline.clean(self._call, detail)})

    async def ask(self, message: str, schema: JSON) -> JSON | None:
        if not self._client.shows_forms:
            return None
        exchange = CallExchange(self._call, self._client, self._gateway.pipeline)
        try:
            answer = await exchange.server_request(_ELICIT, {"message": message, "requestedSchema": schema})
        except PolicyDenied:
            raise
        except AgentFlowError:  # the client cannot, after all
            return None
        content = answer.get("content")
        if answer.get("action") != "accept" or not isinstance(content, dict):
            return None
        return await self._labelled(content) if self._labels else content

    async def _labelled(self, answer: JSON) -> JSON:
        """What a person answered, with personal data as tokens: the caller's own, like those of the question."""
        gateway, call = self._gateway, self._call
        cleaned: JSON = (await gateway.pipeline.clean(call, {"arguments": answer}))["arguments"]
        asked = gateway.vault, call.principal.tenant, answer, cleaned, scope_of(call, gateway.guard.vault.scope)
        own = await asyncio.to_thread(own_of, *asked) if gateway.vault.blocking else own_of(*asked)
        self._own = Own({**self._own.entries, **own.entries})
        return cleaned


class FlowModels:
    """Language models as the principal of one call of a flow tool (`models.port.Models`).

    Args:
        model, tier: what is asked for where a request says nothing.
    """

    def __init__(
        self, surface: ModelSurface, call: Call, client: ClientEnd, model: str | None, tier: ModelTier
    ) -> None:
        self._surface, self._call, self._client = surface, call, replace(client, transport="flow", round=None)
        self._model, self._tier = model, tier

    async def complete(self, request: ChatRequest) -> Answered:
        return _answered(await self._surface.ask(self._asked(request), self._client, restore=False))

    async def stream(self, request: ChatRequest) -> AsyncIterator[str | Answered]:
        pieces: asyncio.Queue[str | None] = asyncio.Queue()

        async def send(_: int, part: Part, text: str) -> None:
            if part == "content":
                pieces.put_nowait(text)

        async def run() -> Answer:
            try:
                return await self._surface.stream(self._asked(request), self._client, send, restore=False)
            finally:
                pieces.put_nowait(None)

        running = asyncio.ensure_future(run())
        try:
            while (text := await pieces.get()) is not None:
                yield text
            yield _answered(await running)
        finally:
            if not running.done():
                running.cancel()
                await asyncio.gather(running, return_exceptions=True)

    async def outcome(self, ids: Sequence[str], reward: float) -> None:
        if ids:
            await self._surface.outcome(ids, reward)

    def _asked(self, request: ChatRequest) -> Asked:
        arguments: JSON = {
            "messages": [{"role": each.role, "content": each.content} for each in request.messages],
            "temperature": request.temperature,
            "max_tokens": request.max_tokens,
        }
        if request.schema is not None:
            wanted = {"name": "answer", "schema": request.schema}
            arguments["response_format"] = {"type": "json_schema", "json_schema": wanted}
        context = RequestContext(
            project=request.project,
            run=request.run,
            run_tokens=request.run_tokens,
            run_cost=request.run_cost,
            purpose=request.purpose,
            tier=request.tier or self._tier,
            strategy=request.strategy,
            max_cost=request.max_cost,
            max_latency=request.max_latency,
            cache=request.cache,
        )
        return Asked("models/chat", request.model or self._model or "", arguments, context, self._call)


def _answered(answer: Answer) -> Answered:
    choice, about, usage = answer.choices[0], answer.about, answer.usage
    return Answered(
        text=choice.text or choice.refusal,
        id=str(about.get("id", "")),
        model=str(about.get("model", "")),
        provider=str(about.get("provider", "")),
        tier=str(about.get("tier", "")),
        finish_reason=choice.finish_reason,
        prompt_tokens=usage.get("prompt_tokens", 0),
        completion_tokens=usage.get("completion_tokens", 0),
        cost=int(about.get("cost_nano") or 0),
        failed_tokens=int(about.get("failed_tokens") or 0),
        cached=bool(about.get("cached")),
        attempts=tuple(map(str, about.get("attempts") or ())),
    )
