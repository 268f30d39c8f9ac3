"""What the model worker does with a request: answer it from the cache, or have a model answer it, and keep the books.

The way of a request: parsed and checked, looked up in the cache, routed, room made in the budgets, asked (with retries,
fail-over, hedging), settled exactly once, told to the router, kept in the cache. Nothing of a prompt or an answer is
logged or written to a disk.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
import time
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Any, Final

from agentflow.config import StoreConfig
from agentflow.config_models import ModelConfig, ModelsConfig
from agentflow.errors import AgentFlowError, ConfigError, InvalidArguments, ModelUnavailable
from agentflow.models.cache.answers import AnswerCache, CacheKey
from agentflow.models.cache.batching import EmbeddingBatcher
from agentflow.models.context import RequestContext
from agentflow.models.fleet import Deployment
from agentflow.models.fleet_build import build_fleet
from agentflow.models.money.entries import BudgetWarning, Usage
from agentflow.models.money.ledger import Ledger
from agentflow.models.money.prices import PriceTable
from agentflow.models.routing.arm_store import ArmStore
from agentflow.models.routing.router import Router
from agentflow.models.worker.answers import as_chunks
from agentflow.models.worker.asking import Asking
from agentflow.models.worker.attempt import Finished, charge_of
from agentflow.models.worker.provider import JSON, Provider, ProviderFailure
from agentflow.models.worker.providers import provider_for
from agentflow.models.worker.requests import Asked, Kind, parse
from agentflow.store.opened import Store

_LOG: Final = logging.getLogger("agentflow.models")
_REDISCOVER: Final = 600.0  # seconds after which providers are asked anew what they offer
_TRY_AGAIN: Final = 15.0  # seconds, where one could not say
_FIRST_LIST: Final = 10.0  # seconds that a request waits for the first listing
_PROBE: Final = {"messages": [{"role": "user", "content": "Reply with the word OK."}], "max_tokens": 16}


class Serving:
    """The model worker's work. Started with `start`, ended with `close`; in between on one event loop.

    Args:
        config: the section `models`; store: the section `store`; data_dir: where what has to last lies.
        warned: is told each warning of a budget once, in a thread.

    Raises:
        ConfigError: a provider cannot be used as configured, or the price table is malformed.
    """

    def __init__(
        self,
        config: ModelsConfig,
        store: StoreConfig,
        data_dir: Path,
        warned: Callable[[BudgetWarning], object] = lambda _: None,
    ) -> None:
        self._config = config
        self._prices = PriceTable.load(config.prices)
        self._discovered: dict[str, Sequence[ModelConfig]] = {}
        self._failed: dict[str, str] = {}  # why a provider cannot be used, or could not list its models
        self._providers = self._made(config)
        self._fleet = self._built()
        self._store = Store(data_dir, store)
        self._arms = ArmStore(config.routing.half_life, self._store)
        self._router = Router(config.routing, lambda: self._fleet, self._arms)
        self._ledger = Ledger(self._store, data_dir / "models", days=config.usage_days, heard=warned)
        self._cache = AnswerCache(config.cache, _encoder)
        self._batcher = EmbeddingBatcher(config.batching)
        self._asking = Asking(config, self._providers, self._router, self._ledger, self._batcher, lambda: self._fleet)
        self._listing: dict[str, asyncio.Task[None]] = {}
        self._listed = asyncio.Event()
        self._began = time.monotonic()

    def start(self) -> None:
        """Begin what goes on beside requests: learning is loaded, providers are asked what they offer."""
        self._arms.start()
        for name, provider in self._providers.items():
            if self._config.providers[name].discover:
                self._listing[name] = asyncio.create_task(self._discover(name, provider))
        if not self._listing:
            self._listed.set()

    async def warm(self) -> None:
        """Load what the first request would load."""
        seen: set[str] = set()
        for name, provider in self._providers.items():
            warm, kind = getattr(provider, "warm", None), self._config.providers[name].kind
            if warm is not None and kind not in seen:
                seen.add(kind)
                await warm()

    async def close(self) -> None:
        """Settle what is under way, write what has to last, let go of connections."""
        for task in self._listing.values():
            task.cancel()
        await self._batcher.close()
        await self._asking.close()
        await self._ledger.close()
        await asyncio.to_thread(self._arms.close)
        for provider in self._providers.values():
            await provider.close()
        await asyncio.to_thread(self._store.close)

    async def complete(self, request: object) -> JSON:
        """Answer a chat request; see `ModelWorker.complete`."""
        return await self._answered(await self._parsed("chat", request))

    async def embed(self, request: object) -> JSON:
        """Answer a request for embeddings; see `ModelWorker.embed`."""
        return await self._answered(await self._parsed("embedding", request))

    async def stream(self, request: object) -> AsyncGenerator[JSON]:
        """Answer a chat request in parts; see `ModelWorker.stream`. Close it."""
        asked = await self._parsed("chat", request)
        key = self._key(asked)
        cached = await self._from_cache(asked, key)
        if cached is not None:
            for chunk in as_chunks(cached):
                yield chunk
            yield _last(cached, cached["agentflow"])
            return
        async with aclosing(self._asking.stream(asked, _fingerprint(key))) as parts:
            async for part in parts:
                if isinstance(part, dict):
                    yield part
                else:
                    finished, attempts = part
                    await self._keep(key, finished)
                    yield _last(finished.answer, _told(finished, attempts))

    def models(self) -> list[JSON]:
        """Every deployment; see `ModelWorker.models`."""
        return [
            {"id": each.name, "object": "model", "created": 0, "owned_by": each.provider, "agentflow": shown(each)}
            for each in self._fleet
        ]

    async def ask(self, path: str, body: Mapping[str, Any]) -> JSON:
        """The rest of what can be asked: `route`, `outcome`, `test`, `stats`, `reset`.

        Raises:
            InvalidArguments: there is no such question, or it is malformed.
        """
        if path == "route":
            asked = await self._parsed(_kind(body), {k: v for k, v in body.items() if k != "kind"} or _PROBE)
            explanation = self._router.explain(asked.route)
            told: JSON = _plain({f.name: getattr(explanation, f.name) for f in dataclasses.fields(explanation)})
            return told
        if path == "outcome":
            return self._outcome(body)
        if path == "test":
            return await self._test(body)
        if path == "stats":
            return self._stats(body.get("tenant"))
        if path == "reset":
            arm = body.get("arm")
            if not isinstance(arm, str | None):
                raise InvalidArguments("`arm` must be `provider:model`, or missing for all")
            self._router.forget(arm)
            return {"forgotten": arm or "all", "cleared": self._cache.clear() if arm is None else 0}
        raise InvalidArguments(f"the model worker knows no `{path[:40]}`")

    def _made(self, config: ModelsConfig) -> dict[str, Provider]:
        made: dict[str, Provider] = {}
        for name, each in config.providers.items():
            if not each.enabled or not (each.models or each.discover):
                continue
            try:
                made[name] = provider_for(name, each)
            except ConfigError as error:  # the others serve on
                self._failed[name] = f"{error.message}; {error.fix}" if error.fix else error.message
                _LOG.error("%s%s", error.message, f" ({error.fix})" if error.fix else "")
        return made

    def _built(self) -> tuple[Deployment, ...]:
        fleet = build_fleet(self._config, self._prices, self._discovered)
        return tuple(each for each in fleet if each.provider in self._providers)

    async def _discover(self, name: str, provider: Provider) -> None:
        while True:
            pause = _REDISCOVER
            try:
                self._discovered[name] = await provider.discover()
                self._failed.pop(name, None)
                self._fleet = self._built()
            except ProviderFailure as failure:
                self._failed[name] = failure.message
                _LOG.warning("Provider %s does not list its models: %s", name, failure.message)
                pause = _TRY_AGAIN
            if all(each in self._discovered or each in self._failed for each in self._listing):
                self._listed.set()
            await asyncio.sleep(pause)

    async def _parsed(self, kind: Kind, request: object) -> Asked:
        asked = parse(kind, request)
        if not self._listed.is_set() and not any(_serves(each, asked) for each in self._fleet):
            await self._first_list()
        if not self._fleet and self._failed:
            raise ModelUnavailable(
                f"no model can be used: {'; '.join(f'{k}: {v}' for k, v in sorted(self._failed.items()))}",
                fix="check models.providers",
            )
        return asked

    async def _first_list(self) -> None:
        """Wait a while for what providers offer; without it, whoever asks says what is missing."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_FIRST_LIST):
                await self._listed.wait()

    async def _answered(self, asked: Asked) -> JSON:
        key = self._key(asked)
        cached = await self._from_cache(asked, key)
        if cached is not None:
            return cached
        finished, attempts = await self._asking.answer(asked, _fingerprint(key))
        await self._keep(key, finished)
        return {**finished.answer, "agentflow": _told(finished, attempts)}

    def _key(self, asked: Asked) -> CacheKey | None:
        context = asked.context
        if not context.cache:
            return None
        allowed = "" if context.models is None else " ".join(sorted(context.models))  # no answer of another
        within = "\n".join(
            (asked.model or "", context.tier or self._config.routing.default_tier, context.most or "", allowed)
        )
        return self._cache.key(
            asked.body, context.tenant, context.project, context.principal, privacy=context.privacy, within=within
        )

    async def _from_cache(self, asked: Asked, key: CacheKey | None) -> JSON | None:
        found = None if key is None else await self._cache.get(key)
        if key is None or found is None:
            return None
        told = found.answer.pop("_served", {})
        used = found.answer.get("usage") or {}
        charge = dataclasses.replace(
            charge_of(asked, None, _fingerprint(key)),
            provider=str(told.get("provider", "")),
            model=str(told.get("model", "")),
            name=str(told.get("name", "")),
            tier=found.tier,
        )
        prompt, completion = used.get("prompt_tokens", 0), used.get("completion_tokens", 0)
        self._ledger.record(charge, Usage(prompt, completion, from_cache=True, saved=found.cost))
        own = {"id": "", "cost_nano": 0, "cached": True, "match": found.match, "attempts": [], "latency": 0.0}
        return {**found.answer, "agentflow": {**told, **own}}

    async def _keep(self, key: CacheKey | None, finished: Finished) -> None:
        if key is not None:
            deployment = finished.route.deployment
            kept = {**finished.answer, "_served": _where(deployment)}
            await self._cache.put(key, kept, deployment.tier, finished.cost or 0)

    def _outcome(self, body: Mapping[str, Any]) -> JSON:
        ids, reward = body.get("ids"), body.get("reward")
        if not isinstance(ids, list) or not all(isinstance(each, str) for each in ids):
            raise InvalidArguments("`ids` must be a list of the `agentflow.id` of answers")
        if isinstance(reward, bool) or not isinstance(reward, int | float) or reward != reward:
            raise InvalidArguments("`reward` must be a number from -1 to 2")
        self._router.reward(ids, float(reward))
        return {"ids": len(ids)}

    async def _test(self, body: Mapping[str, Any]) -> JSON:
        """Ask every deployment, or those that `model` means, for a word."""
        wanted = body.get("model")
        await self._first_list()
        context = {**RequestContext.parse(body.get("agentflow")).as_json(), "cache": False}
        chosen = [each for each in self._fleet if wanted in (None, each.name, each.key, each.model, each.provider)]
        results = await asyncio.gather(*(self._tested(each, context) for each in chosen))
        return {"results": [*results, *({"provider": k, "ok": False, "error": v} for k, v in self._failed.items())]}

    async def _tested(self, each: Deployment, context: JSON) -> JSON:
        request: JSON = {"input": ["OK"]} if each.kind == "embedding" else dict(_PROBE)
        began = time.monotonic()
        row: JSON = {**_where(each), "kind": each.kind}
        try:
            asked = parse(each.kind, {**request, "model": each.key, "agentflow": context})
            finished, _ = await self._asking.answer(asked)
        except AgentFlowError as error:
            return {**row, "ok": False, "error": error.message, "fix": error.fix, "latency": time.monotonic() - began}
        return {**row, "ok": True, "latency": finished.latency, "cost_nano": finished.charged}

    def _stats(self, tenant: object) -> JSON:
        asking = self._asking
        providers = {}
        for name, gate in asking.gates.items():
            requests, tokens = gate.minute()
            providers[name] = {
                "kind": self._config.providers[name].kind,
                "under_way": gate.under_way,
                "requests_last_minute": requests,
                "tokens_last_minute": tokens,
                "breaker": asking.breakers[name].state,
            }
        cache = self._cache.stats(tenant if isinstance(tenant, str) else None)
        return {
            "uptime": time.monotonic() - self._began,
            "providers": providers,
            "failed": dict(self._failed),
            "arms": [_plain(each) for each in self._router.arms()],
            "cooldowns": self._router.cooldowns(),
            "cache": {**_plain(cache), "hit_rate": cache.hit_rate},
            "batching": _plain(self._batcher.stats()),
            "warnings": [_plain(each) for each in self._ledger.warnings],
        }


def shown(each: Deployment) -> JSON:
    """A deployment, for people and programs: prices in US dollars for a million tokens."""
    price = each.price
    dollars = None if price is None else [float(part / 1000) for part in (price.input, price.output)]
    return {
        **_where(each),
        "kind": each.kind,
        "quality": each.quality,
        "price": None if dollars is None else {"input": dollars[0], "output": dollars[1]},
        "context_window": each.context_window,
        "max_output": each.max_output,
        "json_schema": each.json_schema,
    }


def _where(each: Deployment) -> JSON:
    return {"provider": each.provider, "model": each.model, "name": each.name, "tier": each.tier}


def _told(finished: Finished, attempts: Sequence[str]) -> JSON:
    """The member `agentflow` of an answer."""
    return {
        "id": finished.route.id,
        **_where(finished.route.deployment),
        "cost_nano": finished.charged,
        "cached": False,
        "attempts": list(attempts),
        "latency": round(finished.latency, 6),
        **({"failed_tokens": finished.before[1]} if finished.before[1] else {}),
    }


def _last(answer: JSON, told: JSON) -> JSON:
    head: JSON = {name: answer[name] for name in ("id", "created", "model") if name in answer}
    return {**head, "object": "chat.completion.chunk", "choices": [], "usage": answer.get("usage"), "agentflow": told}


def _fingerprint(key: CacheKey | None) -> str:
    return "" if key is None else key.exact.hex()[:32]


def _kind(body: Mapping[str, Any]) -> Kind:
    kind = body.get("kind", "chat")
    if kind not in ("chat", "embedding"):
        raise InvalidArguments("`kind` must be chat or embedding")
    return "embedding" if kind == "embedding" else "chat"


def _serves(each: Deployment, asked: Asked) -> bool:
    return each.kind == asked.kind and asked.model in (None, each.name, each.key, each.model)


def _plain(value: Any) -> Any:
    """A dataclass as JSON; a deployment as `shown`."""
    if isinstance(value, Deployment):
        return shown(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: _plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, dict):
        return {name: _plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return value


def _encoder() -> Any:
    from agentflow.models.encoder import encoder

    return encoder()
