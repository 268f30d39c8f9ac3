"""The gateway's side of the model worker: starts it, asks it, starts it anew when it died, ends it.

Promises: nothing is started before the first question or `prewarm`; a worker that dies fails what it was answering with
one clear error, and the next question starts another; secrets go to it over a pipe, never over a command line or an
environment. Refuses to import litellm, boto3 or the like: this is the gateway's process.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

import orjson

from agentflow.config import Config
from agentflow.errors import AgentFlowError, LimitExceeded, ModelUnavailable, UpstreamProtocolError, UpstreamTimeout
from agentflow.models.context import RequestContext
from agentflow.models.unix_http import Answer, Broken, NotReached, Silent, UnixHttp
from agentflow.models.worker.wire import error_of

if TYPE_CHECKING:
    from agentflow.models.spawn import WorkerProcess

__all__ = ["ModelWorker", "RequestContext"]

JSON = dict[str, Any]
_LOG: Final = logging.getLogger(__name__)
_LARGEST: Final = 64 * 1024 * 1024  # bytes of an answer: a batch of embeddings
_SILENCE: Final = 30.0  # seconds beyond a request's own limit after which the worker counts as hanging
_DYING: Final = 1.0  # seconds that a process whose connections broke may take to be gone
_PATIENCE: Final = 3_600.0  # seconds for a request without a limit of its own
_PAUSES: Final = (0.0, 0.5, 2.0, 5.0)  # seconds between starts that fail in a row


class ModelWorker:
    """The model worker of one gateway: one process at a time.

    Args:
        config: the whole configuration; the worker is given the sections `models` and `store`, and `data_dir`.
        heard: is told what the worker says of itself, in a thread: `{"budget": …}` is a `BudgetWarning`.
    """

    def __init__(self, config: Config, heard: Callable[[JSON], object] = lambda _: None) -> None:
        self._config = config
        self._heard = heard
        self._process: WorkerProcess | None = None
        self._client: UnixHttp | None = None
        self._starting: asyncio.Task[None] | None = None
        self._suspected: asyncio.Task[None] | None = None  # whether it is dying, for a connection of it broke
        self._failures = 0  # starts that failed in a row
        self._last = 0.0  # when one did
        self._closed = False

    @property
    def pid(self) -> int | None:
        """The running process's; None where there is none."""
        return None if self._process is None or self._process.died else self._process.pid

    def prewarm(self) -> None:
        """Start the worker in the background, if it does not run. Returns at once; never fails."""
        if self._closed or not self._config.models.configured:
            return
        if self.pid is None and (self._starting is None or self._starting.done()):
            self._starting = asyncio.get_running_loop().create_task(self._start())
            self._starting.add_done_callback(_seen)

    async def complete(self, body: JSON, context: RequestContext) -> JSON:
        """Ask for one answer.

        Args:
            body: of OpenAI's `POST /v1/chat/completions`; `model` may be missing, or "auto": as routed.

        Returns:
            A `chat.completion` with `usage`, and a member `agentflow`: `id` (of the routing decision), `provider`,
            `model`, `name`, `tier`, `cost_nano` (of the whole request, what failed before included; None: its price
            is not known), `failed_tokens` (of what failed before), `cached`, `attempts` (what failed before, as
            `provider:model: reason`), `latency` (seconds).

        Raises (with `cost_nano` and `tokens` in `data`, where models were paid that did not answer):
            InvalidArguments: the body is malformed, or every model refused it as such.
            ModelUnavailable: there is no such model, every one that may serve it failed, or the worker is down.
            BudgetExceeded, LimitExceeded: refused before anything was asked; also a prompt too long for any model.
            StoreUnavailable: a budget applies and cannot be looked up.
            ContentBlocked: the provider's own filter refused it.
            UpstreamTimeout: not in `context.timeout`.
        """
        return await self._post("/v1/chat/completions", {**body, "stream": False}, context)

    async def stream(self, body: JSON, context: RequestContext) -> AsyncIterator[JSON]:
        """The `chat.completion.chunk`s of one answer as they come; the last has `usage` and `agentflow`, no choices.

        Close it (`aclosing`) when leaving early: the worker then stops the provider.

        Raises:
            AgentFlowError: as `complete`; also in the middle (`UpstreamProtocolError`), when the provider breaks off
                or the worker dies.
        """
        content = orjson.dumps({**body, "stream": True, "agentflow": context.as_json()})
        begun = ended = False
        try:
            async with self._open("POST", "/v1/chat/completions", content, _timeout(context)) as answer:
                if answer.status != 200:
                    raise error_of(_json(await _read(answer)))
                async for chunk in _events(answer):
                    if "error" in chunk:
                        raise error_of(chunk)
                    begun = True
                    ended = ended or "agentflow" in chunk
                    yield chunk
            if not ended:
                self._suspect()
                raise UpstreamProtocolError("the answer broke off: the model worker ended", fix="ask again")
        except Broken as error:
            raise self._lost(error, context, begun) from None

    async def embed(self, body: JSON, context: RequestContext) -> JSON:
        """`POST /v1/embeddings`: a `list` of embeddings in the order of `input`. Raises as `complete`."""
        return await self._post("/v1/embeddings", body, context)

    async def models(self) -> list[JSON]:
        """What there is to ask, one item for each deployment. Raises as `complete`.

        Returns:
            `{id, object, owned_by, agentflow}`, where `agentflow` has provider, model, name, tier, kind, quality, price
            ({input, output} in US dollars for a million tokens, or None), context_window, max_output, json_schema.
        """
        listed: list[JSON] = (await self._asked("GET", "/v1/models", None, 60.0))["data"]
        return listed

    async def ask(self, path: str, body: JSON | None = None) -> JSON:
        """Anything else.

        Args:
            path: `route` (explain where a request would go: the body of a request), `outcome` ({ids, reward}), `test`
                ({model?}: asks for a word), `stats` ({tenant?}), `reset` ({arm?}: begin anew).

        Raises:
            AgentFlowError: as `complete`.
        """
        return await self._asked("POST", f"/ask/{path}", body or {}, 600.0)

    async def close(self) -> None:
        """End the worker, after what it wrote is safe. Idempotent; a question after that is refused."""
        self._closed = True
        if self._starting is not None and not self._starting.done():
            self._starting.cancel()
            await asyncio.gather(self._starting, return_exceptions=True)
        await self._drop(orderly=True)

    async def _post(self, path: str, body: JSON, context: RequestContext) -> JSON:
        return await self._asked("POST", path, {**body, "agentflow": context.as_json()}, _timeout(context), context)

    async def _asked(
        self, method: str, path: str, body: JSON | None, timeout: float, context: RequestContext | None = None
    ) -> JSON:
        content = None if body is None else orjson.dumps(body)
        try:
            async with self._open(method, path, content, timeout) as answer:
                raw = await _read(answer)
        except Broken as error:
            raise self._lost(error, context, False) from None
        told = _json(raw)
        if answer.status != 200:
            raise error_of(told)
        return told

    @asynccontextmanager
    async def _open(self, method: str, path: str, content: bytes | None, timeout: float) -> AsyncIterator[Answer]:
        """A request to the worker that runs; to another one where that has just died, for then it was never sent."""
        for last in (False, True):
            client, process = await self._running(), self._process
            async with contextlib.AsyncExitStack() as stack:
                try:
                    answer = await stack.enter_async_context(client.open(method, path, content, timeout))
                except NotReached:
                    if last:
                        raise
                    if self._process is process:
                        await self._drop(orderly=False)
                    continue
                yield answer
                return

    def _lost(self, error: Exception, context: RequestContext | None, begun: bool) -> AgentFlowError:
        """The one error for a connection that ended; the worker is looked at by whoever asks next."""
        if isinstance(error, Silent):
            limit = "" if context is None or context.timeout is None else f" within {context.timeout:g} s"
            return UpstreamTimeout(f"the model worker did not answer{limit}")
        self._suspect()
        said = "the model worker ended while it was answering"
        _LOG.warning("%s (%s)", said, type(error).__name__)
        if begun:
            return UpstreamProtocolError(f"the answer broke off: {said}", fix="ask again")
        return ModelUnavailable(said, fix="ask again: it is started anew", reason="worker_died")

    def _suspect(self) -> None:
        """A connection broke: before the next question it is seen whether the worker is dying."""
        if self._process is not None and self._suspected is None:
            self._suspected = asyncio.get_running_loop().create_task(self._process.seen(_DYING))

    async def _running(self) -> UnixHttp:
        """The client of a worker that runs, started if need be."""
        if self._closed:
            raise ModelUnavailable("the gateway is shutting down")
        if not self._config.models.configured:
            raise ModelUnavailable(
                "no model is configured", fix="add a provider with models to models.providers", reason="none_configured"
            )
        if self._suspected is not None:
            suspected = self._suspected
            await asyncio.shield(suspected)
            self._suspected = None if self._suspected is suspected else self._suspected
        if self._process is not None and self._process.died:
            await self._drop(orderly=False)
        if self._client is None:
            if self._starting is None or self._starting.done():
                self._starting = asyncio.get_running_loop().create_task(self._start())
                self._starting.add_done_callback(_seen)
            await asyncio.shield(self._starting)
        if self._client is None:
            raise ModelUnavailable("the model worker ended while it was starting", fix="ask again")
        return self._client

    async def _start(self) -> None:
        from agentflow.models.spawn import WorkerProcess

        pause = _PAUSES[min(self._failures, len(_PAUSES) - 1)]
        if self._failures and time.monotonic() - self._last < pause:
            raise ModelUnavailable(
                "the model worker does not start; it is tried again in a moment", fix="see the gateway's log"
            )
        process = WorkerProcess(self._config, self._heard)
        try:
            await process.started()
        except BaseException as error:
            await process.end(orderly=False)
            if isinstance(error, Exception):
                self._failures, self._last = self._failures + 1, time.monotonic()
            raise
        self._failures = 0
        self._process = process
        headers = {"authorization": f"Bearer {process.key}", "content-type": "application/json"}
        self._client = UnixHttp(str(process.socket), headers)

    async def _drop(self, *, orderly: bool) -> None:
        process, self._process = self._process, None
        client, self._client = self._client, None
        if client is not None:
            client.close()
        if process is not None:
            await process.end(orderly=orderly)


def _timeout(context: RequestContext) -> float:
    return _PATIENCE if context.timeout is None else context.timeout + _SILENCE


def _seen(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and task.exception() is not None:
        error = task.exception()
        _LOG.warning("The model worker could not be started: %s", getattr(error, "message", type(error).__name__))


def _json(raw: bytes) -> JSON:
    try:
        told = orjson.loads(raw)
    except ValueError:
        told = None
    if not isinstance(told, dict):
        raise ModelUnavailable("the model worker answered what is no answer", fix="ask again")
    return told


async def _read(answer: Answer) -> bytes:
    parts, size = [], 0
    async for part in answer.parts():
        size += len(part)
        if size > _LARGEST:
            raise LimitExceeded(f"the answer is larger than {_LARGEST} bytes")
        parts.append(part)
    return b"".join(parts)


async def _events(answer: Answer) -> AsyncIterator[JSON]:
    kept = b""
    async for part in answer.parts():
        lines = (kept + part).split(b"\n\n") if kept else part.split(b"\n\n")
        kept = lines.pop()
        for line in lines:
            if line != b"data: [DONE]":
                yield _json(line[6:])
