"""Embedding requests that come close together go out as one.

It promises that each caller gets the vectors of its own texts, in their order, and its share of the tokens, all shares
adding up to what the provider counted; that a request waits no longer than `max_wait` for others; that what one caller
does (leave, fail its own check) takes nothing from the others; and that only requests that agree in everything but
their texts share one. A failure of the provider is a failure of everybody in that request.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from agentflow.config_models import BatchingConfig
from agentflow.errors import UpstreamProtocolError

JSON = dict[str, Any]
Send = Callable[[JSON], Awaitable[JSON]]
_IDLE: Final = frozenset({"input", "user", "agentflow", "metadata"})


@dataclass(frozen=True, slots=True)
class BatchStats:
    """Requests that came, and those that went out for them."""

    requests: int
    texts: int
    sent: int

    @property
    def saved_requests(self) -> int:
        return self.requests - self.sent


@dataclass(slots=True)
class _Waiting:
    texts: list[str]
    done: asyncio.Future[JSON]


@dataclass(slots=True)
class _Window:
    body: JSON
    waiting: list[_Waiting]
    size: int
    timer: asyncio.TimerHandle | None


class EmbeddingBatcher:
    """Gathers requests by deployment and parameters.

    Args:
        config: how many texts, and how long.
    """

    def __init__(self, config: BatchingConfig) -> None:
        self._config = config
        self._windows: dict[str, _Window] = {}
        self._going: set[asyncio.Task[None]] = set()
        self._requests = self._texts = self._sent = 0

    async def embed(self, deployment: str, body: Mapping[str, Any], send: Send) -> JSON:
        """The answer to one embeddings request, as if it had gone out alone.

        Args:
            deployment: key of the model; body: OpenAI's, with `input` a text or a list of texts.
            send: asks that model; of a shared request, whoever came first lends its `send`.

        Raises:
            UpstreamProtocolError: the provider did not answer with one vector for each text.
            Exception: as `send` raised it.
        """
        texts = _texts(body.get("input"))
        self._requests += 1
        if texts is None or len(texts) >= self._config.max_batch_size or not self._config.max_wait:
            self._texts += len(texts or ())
            self._sent += 1
            return await send(dict(body))
        self._texts += len(texts)
        rest = {name: value for name, value in body.items() if name not in _IDLE}
        key = json.dumps([deployment, rest], sort_keys=True, default=str)
        window = self._windows.get(key)
        if window is not None and window.size + len(texts) > self._config.max_batch_size:
            self._leave(key, send)
            window = None
        if window is None:
            window = self._windows[key] = _Window(rest, [], 0, None)
            loop = asyncio.get_running_loop()
            window.timer = loop.call_later(self._config.max_wait, self._leave, key, send)
        one = _Waiting(texts, asyncio.get_running_loop().create_future())
        window.waiting.append(one)
        window.size += len(texts)
        if window.size >= self._config.max_batch_size:
            self._leave(key, send)
        return await one.done

    def stats(self) -> BatchStats:
        """Totals since the process began."""
        return BatchStats(self._requests, self._texts, self._sent)

    async def close(self) -> None:
        """Send nothing more; who waits is cancelled."""
        for window in self._windows.values():
            if window.timer is not None:
                window.timer.cancel()
            for one in window.waiting:
                one.done.cancel()
        self._windows.clear()
        for task in list(self._going):
            task.cancel()
        await asyncio.gather(*self._going, return_exceptions=True)

    def _leave(self, key: str, send: Send) -> None:
        window = self._windows.pop(key, None)
        if window is None:
            return
        if window.timer is not None:
            window.timer.cancel()
        task = asyncio.get_running_loop().create_task(self._send(window, send))
        self._going.add(task)
        task.add_done_callback(self._going.discard)

    async def _send(self, window: _Window, send: Send) -> None:
        window.waiting = [one for one in window.waiting if not one.done.done()]  # some have left
        if not window.waiting:
            return
        self._sent += 1
        every = [text for one in window.waiting for text in one.texts]
        try:
            answers = divided(await send({**window.body, "input": every}), [one.texts for one in window.waiting])
        except asyncio.CancelledError:
            for one in window.waiting:
                one.done.cancel()
            raise
        except Exception as error:
            for one in window.waiting:
                if not one.done.done():
                    one.done.set_exception(error)
            return
        for one, answer in zip(window.waiting, answers, strict=True):
            if not one.done.done():
                one.done.set_result(answer)


def divided(answer: JSON, texts: Sequence[Sequence[str]]) -> list[JSON]:
    """One answer to several requests' texts, taken apart again.

    Raises:
        UpstreamProtocolError: there is not one vector for each text.
    """
    count = sum(len(each) for each in texts)
    data = answer.get("data")
    items = [item for item in data if isinstance(item, Mapping)] if isinstance(data, list) else []
    if len(items) != count or {item.get("index", place) for place, item in enumerate(items)} != set(range(count)):
        raise UpstreamProtocolError(f"the embedding model answered {len(items)} vectors to {count} texts")
    items = [item for _, item in sorted(enumerate(items), key=lambda pair: pair[1].get("index", pair[0]))]
    told = answer.get("usage")
    usage = told if isinstance(told, Mapping) else {}
    weights = [sum(len(text) + 1 for text in each) for each in texts]
    shares = {name: split(value, weights) for name, value in usage.items() if _counts(value)}
    parts, at = [], 0
    for number, each in enumerate(texts):
        own = [{**item, "index": place} for place, item in enumerate(items[at : at + len(each)])]
        at += len(each)
        part = {name: value for name, value in answer.items() if name not in ("data", "usage")}
        parts.append({**part, "data": own, "usage": {name: share[number] for name, share in shares.items()}})
    return parts


def split(total: int, weights: Sequence[int]) -> list[int]:
    """`total` divided in proportion to positive weights, in whole parts that add up to it (largest remainders)."""
    whole = sum(weights)
    parts = [total * weight // whole for weight in weights]
    by_rest = sorted(range(len(weights)), key=lambda place: (-(total * weights[place] % whole), place))
    for place in by_rest[: total - sum(parts)]:
        parts[place] += 1
    return parts


def _texts(value: object) -> list[str] | None:
    if isinstance(value, str):
        return [value]
    if isinstance(value, list) and value and all(isinstance(each, str) for each in value):
        return list(value)
    return None


def _counts(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0
