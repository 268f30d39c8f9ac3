"""Language models as surfaces of the one pipeline: `models/chat`, `models/embed` and `models/list`.

It promises: what goes to the model worker is the labelled form of the request, personal data and secrets as tokens, or
nothing goes; a model that policy hides is neither listed nor asked, also not where the request says `auto`, and reads
as unknown; policy's `model_tier` bounds who answers; the record says which model answered, at what cost, after what
attempts. Of the answer, tokens of what this caller typed clear in this very request are turned back; others stay.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

from agentflow.config_models import ModelTier
from agentflow.errors import AgentFlowError, PolicyDenied, StageFailed
from agentflow.gateway.client import ClientEnd
from agentflow.gateway.model_answers import Choice, about_of, body_of, choices_of, usage_of, with_texts
from agentflow.gateway.model_catalogue import AUTO, TIERS, Kind, ModelEntry
from agentflow.gateway.models_stream import Find, Relay, Send
from agentflow.gateway.models_worker import Workers
from agentflow.guard.own import Own, own_of
from agentflow.models.context import RequestContext
from agentflow.pipeline.call import MODELS, Call, Session
from agentflow.pipeline.defuse import NOTE
from agentflow.pipeline.scope import scope_of
from agentflow.pipeline.stages.decide import unknown_name
from agentflow.policy.listing import Item

if TYPE_CHECKING:
    from agentflow.gateway.core import Gateway

JSON = dict[str, Any]
log = logging.getLogger(__name__)
Surface = Literal["models/chat", "models/embed"]
_KINDS: dict[str, Kind] = {"models/chat": "chat", "models/embed": "embedding"}
_FAILED = ("attempts", "cost_nano", "tokens")  # of an error's data: what was tried, and paid all the same


@dataclass(frozen=True, slots=True)
class Asked:
    """A request to a model, as somebody made it.

    Attributes:
        model: a name of the catalogue; `auto` as routed.
        arguments: of OpenAI's request, without `model`, as `model_schemas` has it.
        context: what the asker says of it beside that; who asks is put in here.
        parent: the call that it is a part of, its session and what bounds its models; None for one of its own.
    """

    surface: Surface
    model: str
    arguments: JSON
    context: RequestContext = field(default_factory=RequestContext)
    parent: Call | None = None


@dataclass(slots=True)
class Answer:
    """What came of it.

    Attributes:
        about: which model, at what cost (`model_answers.about_of`); note: what the screen did to the answer.
        record: id of the call's record.
    """

    model: str = ""
    choices: list[Choice] = field(default_factory=list)
    vectors: list[Any] = field(default_factory=list)
    usage: JSON = field(default_factory=dict)
    about: JSON = field(default_factory=dict)
    note: JSON | None = None
    record: str = ""


class ModelSurface:
    """What may be asked of models, through the gateway's pipeline.

    Args:
        workers: who answers.
    """

    def __init__(self, gateway: Gateway, workers: Workers) -> None:
        self._gateway = gateway
        self.workers = workers

    @property
    def configured(self) -> bool:
        """Whether there is any model."""
        return self.workers.configured

    def item(self, name: str) -> Item | None:
        """What policy is asked about a listed model."""
        entry = self.workers.catalogue.entries.get(name)
        return entry.item if entry is not None else None

    async def usable(self, client: ClientEnd, most: ModelTier | None, name: str | None) -> bool:
        """Whether this caller may ask a model no stronger than `most`: that one, or any where none is named."""
        catalogue = await self.workers.current()
        entries = [catalogue.entries[name]] if name in catalogue.entries else [] if name else catalogue.named("chat")
        for entry in entries:
            if entry.within(most) and await self._gateway.shows(client.principal, "model", entry.item):
                return True
        return False

    async def list(self, client: ClientEnd) -> list[ModelEntry]:
        """The models that this caller may ask, `auto` among them where any other is.

        Raises:
            AgentFlowError: as the pipeline refused it.
        """
        catalogue = await self.workers.current()
        entries = list(catalogue.entries.values())
        call = self._gateway.call_for("models/list", {}, client)

        async def listed(_: Call) -> JSON:
            # By their places: a name may read as somebody's number, and comes back as a token then.
            return {"models": [{"name": each.name, "place": place} for place, each in enumerate(entries)]}

        result = await self._gateway.pipeline.handle(call, listed)
        shown = [entries[each["place"]] for each in result["models"]]
        return shown if any(each.kind == "chat" and each.name != AUTO for each in shown) else _without_auto(shown)

    async def ask(self, asked: Asked, client: ClientEnd, restore: bool = True) -> Answer:
        """Ask for one whole answer.

        Args:
            restore: turn the tokens of what the caller typed clear back; the flow goes on with tokens.

        Raises:
            AgentFlowError: as the pipeline or the worker refused it; `UnknownName` for a model that is not shown.
        """
        if asked.surface == "models/embed":
            return await self._served(asked, client, restore, self._embed)
        return await self._served(asked, client, restore, self._complete)

    async def stream(self, asked: Asked, client: ClientEnd, send: Send, restore: bool = True) -> Answer:
        """Ask for an answer that comes in pieces; returns the whole once it is recorded.

        Args:
            send: takes the pieces of each choice's text and reasoning in order; calls of tools come with the whole.

        Raises:
            AgentFlowError: as `ask`; also after the first pieces.
        """
        whole = False

        async def streamed(call: Call, worker_body: JSON, context: RequestContext, own: Own, answer: Answer) -> JSON:
            nonlocal whole
            whole = self._whole(call)
            find = self._finder(call)
            relay = Relay(self._gateway.pipeline, call, own if restore else Own(), send, find, whole)
            with self.workers.in_use() as worker:
                chunks = worker.stream(worker_body, context)
                try:
                    async for chunk in chunks:
                        await relay.take(chunk)
                finally:
                    if isinstance(chunks, AsyncGenerator):  # whoever has left is no longer written for
                        await chunks.aclose()
            await relay.finish()
            answer.choices = relay.choices
            _noted(call, answer, relay.last)
            return body_of(answer.choices)

        answer = await self._served(asked, client, restore, streamed)
        for index, choice in enumerate(answer.choices if whole else ()):
            for part, text in (("reasoning_content", choice.reasoning), ("content", choice.text)):
                if text:
                    await send(index, part, text)  # type: ignore[arg-type]
        return answer

    def _finder(self, call: Call) -> Find:
        matcher = self._gateway.matcher.for_tenant(call.principal.tenant)
        return lambda text: ((found.start, found.end) for found in matcher.find(text))

    def _whole(self, call: Call) -> bool:
        """Whether policy, or a search for names, has to see an answer whole before any of it leaves."""
        guard = self._gateway.guard
        demanded = call.decision is not None and call.decision.obligations.deep
        return demanded or guard.deep.mode == "always" or self._gateway.judges_answers

    async def outcome(self, ids: Sequence[str], reward: float) -> None:
        """Tell the router how answers served; never fails."""
        try:
            with self.workers.in_use() as worker:
                await worker.ask("outcome", {"ids": list(ids), "reward": reward})
        except AgentFlowError as error:
            log.warning("the models' router was not told of an outcome: %s", error.message)

    async def _complete(self, call: Call, body: JSON, context: RequestContext, _: Own, answer: Answer) -> JSON:
        with self.workers.in_use() as worker:
            given = await worker.complete(body, context)
        answer.choices = choices_of(given)
        _noted(call, answer, given)
        return body_of(answer.choices)

    async def _embed(self, call: Call, body: JSON, context: RequestContext, _: Own, answer: Answer) -> JSON:
        with self.workers.in_use() as worker:
            given = await worker.embed(body, context)
        rows = given.get("data")
        answer.vectors = [each.get("embedding") for each in rows or () if isinstance(each, dict)]
        _noted(call, answer, given)
        return {"content": [], "choices": []}  # a vector is no text

    async def _served(self, asked: Asked, client: ClientEnd, restore: bool, dispatch: _Dispatch) -> Answer:
        pipeline = self._gateway.pipeline
        pipeline.enter()
        try:
            entry = await self._entry(asked, client)
            call = self._call(asked, client, entry)
            answer, own = Answer(entry.name, record=call.id), Own()

            async def answered(c: Call) -> JSON:
                nonlocal own
                context = await self._context(asked, c, entry, client)
                body, own = {**_labelled(c), "model": entry.name}, await self.own(c)
                try:
                    return await dispatch(c, body, context, own, answer)
                except AgentFlowError as error:
                    known = {name: error.data[name] for name in _FAILED if name in error.data}
                    if known:
                        c.model = {"model": entry.name, **known}
                    raise

            result = await pipeline.handle(call, answered)
            answer.note = (result.get("_meta") or {}).get(NOTE)
            result = own.restored(result) if restore else result
            answer.choices = with_texts(answer.choices, result)
            return answer
        finally:
            pipeline.leave()

    async def own(self, call: Call) -> Own:
        """The tokens of what the caller of a call typed clear in it.

        Raises:
            VaultUnavailable: the vault could not be read.
        """
        vault, scope = self._gateway.vault, scope_of(call, self._gateway.guard.vault.scope)
        labelled = call.labelled or {}
        asked = vault, call.principal.tenant, call.params.get("arguments"), labelled.get("arguments"), scope
        return await asyncio.to_thread(own_of, *asked) if vault.blocking else own_of(*asked)

    # Who may ask what ---------------------------------------------------------------------------------------

    async def _entry(self, asked: Asked, client: ClientEnd) -> ModelEntry:
        """The model that is asked for, if this caller may know of it.

        Raises:
            UnknownName, PolicyDenied: recorded already.
        """
        gateway, name = self._gateway, asked.model or AUTO
        entry = (await self.workers.current()).entries.get(name)
        if entry is not None and entry.kind != _KINDS[asked.surface]:
            entry = None
        refused: AgentFlowError | None = None
        try:
            if entry is None:
                await gateway.answering(client.principal, "model")
            elif await gateway.sees(client.principal, "model", entry.item):
                return entry
            refused = unknown_name("model", name)
        except PolicyDenied as error:  # the policy cannot answer: every name is refused alike
            refused = error
        params = {"name": name, "arguments": asked.arguments}
        call = gateway.call_for(asked.surface, params, client, _session(asked), name=name, **_parent(asked))
        if entry is not None:
            behind = {"event": "hidden", "server": MODELS.name, "target": entry.name}
            call.events.append(await gateway.pipeline.clean(call, behind))
        await gateway.pipeline.refuse(call, refused)
        raise refused

    def _call(self, asked: Asked, client: ClientEnd, entry: ModelEntry) -> Call:
        facts: JSON = {"name": entry.name, "target": entry.name, "upstream": MODELS, "definition": entry.definition}
        params = {"name": entry.name, "arguments": asked.arguments}
        return self._gateway.call_for(asked.surface, params, client, _session(asked), **facts, **_parent(asked))

    async def _context(self, asked: Asked, call: Call, entry: ModelEntry, client: ClientEnd) -> RequestContext:
        """What the worker is told: who asks, for what, and which models may serve it.

        Raises:
            PolicyDenied: none may.
        """
        most = self._most(asked, call)
        if not entry.within(most):
            raise _too_strong(f"the model {entry.name}", most)
        catalogue = await self.workers.current()
        rivals = catalogue.named(entry.kind)
        names = [
            e.name for e in rivals if e.within(most) and await self._gateway.shows(client.principal, "model", e.item)
        ]
        names = await self._gateway.alike(call, names)
        if entry.name != AUTO and entry.name not in names:
            names.append(entry.name)
        if not names:
            raise PolicyDenied(
                "Denied by policy: no single model may serve what `auto` may", fix="name a model of those listed",
                reasons=[{"code": "no_model", "message": "no model has the same obligations as `auto`"}],
            )  # fmt: skip
        parent, said = asked.parent, asked.context
        tier = said.tier
        if most is not None:  # what nobody asked for must not be more than what is allowed
            tier = _weaker(tier or self.workers.config.routing.default_tier, most)
        who = call.principal
        return replace(
            said,
            principal=who.id,
            tenant=who.tenant,
            tool=parent.name if parent is not None else said.tool,
            run=said.run or (parent.id if parent is not None else ""),
            tier=tier,
            models=None if len(names) == len(rivals) else tuple(names),
            most=most,
        )

    def _most(self, asked: Asked, call: Call) -> ModelTier | None:
        """The strongest tier that policy leaves to this call, and to the call that it is a part of."""
        bounds = [
            each.decision.obligations.model_tier
            for each in (call, asked.parent)
            if each is not None and each.decision is not None
        ]
        most: ModelTier | None = asked.context.most
        for bound in bounds:
            if bound == "offline":
                raise _too_strong("every model", None)
            if bound is not None:
                most = bound if most is None else _weaker(bound, most)
        return most


_Dispatch = Callable[[Call, JSON, RequestContext, Own, Answer], Awaitable[JSON]]


def _labelled(call: Call) -> JSON:
    """The request without anything personal in it.

    Raises:
        StageFailed: nobody has labelled it.
    """
    arguments = call.labelled.get("arguments") if call.labelled is not None else None
    if not isinstance(arguments, dict):
        raise StageFailed(
            "The prompt was not labelled, so it stays here",
            fix="switch pipeline.stages.label on: models get personal data as tokens only",
            stage="label",
        )
    return {name: value for name, value in arguments.items() if value is not None}


def _noted(call: Call, answer: Answer, given: JSON) -> None:
    """Keep which model it was, for the caller and for the record."""
    answer.usage, answer.about = usage_of(given), about_of(given)
    kept = {name: value for name, value in answer.about.items() if value not in (None, [], "")}
    spent = {name: count for name, count in answer.usage.items() if isinstance(count, int) and name != "total_tokens"}
    call.model = {**kept, **spent}


def _session(asked: Asked) -> Session | None:
    return asked.parent.session if asked.parent is not None else None


def _parent(asked: Asked) -> JSON:
    return {"parent": asked.parent.id} if asked.parent is not None else {}


def _weaker(one: Any, other: Any) -> Any:
    return min(one, other, key=TIERS.index)


def _without_auto(shown: list[ModelEntry]) -> list[ModelEntry]:
    return [each for each in shown if each.name != AUTO]


def _too_strong(what: str, most: ModelTier | None) -> PolicyDenied:
    text = f"policy allows no model above {most} here" if most else "policy allows no model here"
    return PolicyDenied(
        f"Denied by policy: {text}; {what} is stronger" if most else f"Denied by policy: {text}",
        fix="name a weaker model, or ask the administrator of this gateway's policy",
        reasons=[{"code": "model_tier", "message": text}],
    )
