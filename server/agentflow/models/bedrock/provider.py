"""Bedrock as a provider of the model worker: Converse over boto3, in threads, region after region.

Promises: the regions are asked in their order, those that failed lately last; a request goes to the next one as long as
nothing of an answer has come, from one that hangs after two thirds of the time; every failure is one `BedrockFailure`
that names each region's reason. Repeats within a region are botocore's (adaptive mode), so that the worker need not
repeat. A request that is cancelled, or out of time, lets go of its thread at once; an answer in one piece may still be
on its way then, and is dropped.
Refuses to fetch anything (pictures), and to make up tokens that Bedrock did not count.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import suppress
from typing import Any, Final, TypeVar

from agentflow.config_models import ModelConfig, ProviderConfig
from agentflow.models.bedrock.answers import Chunks, completion_of
from agentflow.models.bedrock.catalogue import discovered
from agentflow.models.bedrock.clients import Clients
from agentflow.models.bedrock.converse import converse_request, wanted_schema
from agentflow.models.bedrock.embedding import embedded, texts_of
from agentflow.models.bedrock.failures import BedrockFailure, explained
from agentflow.models.bedrock.regions import Place, Places, profiles_in
from agentflow.models.fleet import Deployment
from agentflow.models.worker.provider import JSON, MAX_ANSWER, PASSING

T = TypeVar("T")
_WARMING: Final = 3.0  # seconds
_SHARE: Final = 2 / 3  # of the time that is left, for a region while there is another


class BedrockProvider:
    """One AWS account's Bedrock (`Provider` of the worker).

    Attributes:
        retries_itself: repeating what failed for the moment has been done by the time it fails.
    """

    retries_itself = True

    def __init__(self, config: ProviderConfig) -> None:
        self._config = config
        self._clients = Clients(config)
        self._places: Places | None = None
        self._by_tool: set[str] = set()  # models that are held to a schema by a forced tool

    async def complete(self, deployment: Deployment, body: JSON, timeout: float) -> JSON:
        """As `Provider.complete`."""

        async def ask(place: Place, forced: bool) -> JSON:
            request = converse_request(place.model, body, schema_as_tool=forced)
            client = await self._client(place)
            answer = await _in_thread(lambda: client.converse(modelId=place.model, **request))
            return _bounded(completion_of(answer, place.model, forced=forced))

        return await self._somewhere(deployment, body, timeout, ask)

    async def stream(self, deployment: Deployment, body: JSON, timeout: float) -> AsyncIterator[JSON]:
        """As `Provider.stream`."""

        async def begin(place: Place, forced: bool) -> _Streaming:
            request = converse_request(place.model, body, schema_as_tool=forced)
            client = await self._client(place)
            streaming = _Streaming(client, place, request, Chunks(place.model, forced=forced), timeout)
            await streaming.begin()
            return streaming

        streaming = await self._somewhere(deployment, body, timeout, begin)
        try:
            async for chunk in streaming.chunks():
                yield chunk
        finally:
            streaming.end()

    async def embed(self, deployment: Deployment, body: JSON, timeout: float) -> JSON:
        """As `Provider.embed`."""
        texts = texts_of(body)
        dimensions = body.get("dimensions")

        async def ask(place: Place, _: bool) -> tuple[list[list[float]], int]:
            client = await self._client(place)
            return await _in_thread(lambda: embedded(client, place.model, texts, dimensions))

        vectors, tokens = await self._somewhere(deployment, body, timeout, ask)
        data = [{"object": "embedding", "index": i, "embedding": vector} for i, vector in enumerate(vectors)]
        usage = {"prompt_tokens": tokens, "total_tokens": tokens}
        return {"object": "list", "data": data, "model": deployment.model, "usage": usage}

    async def discover(self) -> Sequence[ModelConfig]:
        """As `Provider.discover`: what every region lists, each model under the id of the first one that has it."""
        regions = (await self._located()).regions
        try:
            async with asyncio.timeout(self._config.timeout):
                return await _in_thread(lambda: discovered(self._clients, regions))
        except TimeoutError:
            raise _late(self._config.timeout, "") from None
        except Exception as error:
            raise explained(error, "") from None

    async def warm(self) -> None:
        """Import boto3's parts and make the first region's client, so that the first request need not."""
        with suppress(Exception):  # what is wrong is said to whoever asks
            async with asyncio.timeout(_WARMING):
                await self._client(Place((await self._located()).regions[0], ""))

    async def close(self) -> None:
        """As `Provider.close`."""
        self._clients.close()

    async def _client(self, place: Place) -> Any:
        # Apart from the request: who leaves while the client is being made must not be charged for an answer.
        return self._clients.made("bedrock-runtime", place.region) or await _in_thread(
            lambda: self._clients.get("bedrock-runtime", place.region)
        )

    async def _located(self) -> Places:
        if self._places is None:
            regions = self._config.regions
            if not regions:
                try:
                    found = await _in_thread(self._clients.default_region)
                except Exception as error:
                    raise explained(error, "") from None
                if not found:
                    raise BedrockFailure("not_found", "Bedrock: no region is configured", fix="set `regions`")
                regions = (found,)
            self._places = Places(regions)
        return self._places

    async def _somewhere(
        self, deployment: Deployment, body: JSON, timeout: float, ask: Callable[[Place, bool], Awaitable[T]]
    ) -> T:
        """What `ask(place, forced)` gives in the first place that answers; `forced`: a tool holds it to its schema."""
        places = await self._located()
        waiting = places.of(deployment.model)
        schema = wanted_schema(body) is not None and not body.get("tools")
        forced = schema and deployment.model in self._by_tool
        failures: list[BedrockFailure] = []
        tried: set[Place] = set()
        ends = time.monotonic() + timeout
        while waiting and (left := ends - time.monotonic()) > 0:
            place = waiting.pop(0)
            tried.add(place)
            others = any(other.region != place.region for other in waiting)
            seconds = left * _SHARE if others else left
            try:
                async with asyncio.timeout(seconds):
                    result = await ask(place, forced)
            except TimeoutError:
                failure = _late(seconds, place.region)
            except Exception as error:
                failure = explained(error, place.region)
            else:
                places.worked(deployment.model, place)
                if forced:
                    self._by_tool.add(deployment.model)
                return result
            if failure.kind == "bad_request" and schema and not forced:
                forced = True  # the model may know no `outputConfig`
                waiting.insert(0, place)
                continue
            places.failed(place, failure.kind)
            failures.append(failure)
            if failure.profile_needed:
                profiles = [Place(place.region, name) for name in profiles_in(place.region, place.model)]
                waiting[:0] = [found for found in profiles if found not in tried]
            elif not failure.elsewhere:
                break
        raise _summary(failures or [_late(timeout, "")])


def _late(seconds: float, region: str) -> BedrockFailure:
    place = f"Bedrock ({region})" if region else "Bedrock"
    return BedrockFailure("timeout", f"{place}: did not answer within {seconds:.3g} s", elsewhere=True)


def _summary(failures: Sequence[BedrockFailure]) -> BedrockFailure:
    """One failure of all regions': the kind that may pass, or else that of the last word."""
    decisive = failures[-1] if not failures[-1].elsewhere else None
    chosen = decisive or next((f for f in failures if f.kind in PASSING), failures[0])
    reasons = "; ".join(dict.fromkeys(failure.message for failure in failures))
    return BedrockFailure(chosen.kind, reasons, fix=chosen.fix, retry_after=chosen.retry_after, usage=chosen.usage)


def _bounded(answer: JSON) -> JSON:
    message = answer["choices"][0]["message"]
    calls = message.get("tool_calls") or []
    if len(message["content"]) + sum(len(call["function"]["arguments"]) for call in calls) > MAX_ANSWER:
        too_large = f"Bedrock's answer is larger than {MAX_ANSWER} bytes"
        raise BedrockFailure("protocol", too_large, usage=answer.get("usage"))
    return answer


async def _in_thread(work: Callable[[], T]) -> T:
    """Run `work` in a thread that neither a cancelled caller nor the end of the process waits for."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()

    def settle(result: T | None, error: Exception | None) -> None:
        if future.done():
            return
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(result)  # type: ignore[arg-type]

    def run() -> None:
        result, raised = None, None
        try:
            result = work()
        except Exception as error:
            raised = error
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(settle, result, raised)

    threading.Thread(target=run, name="bedrock", daemon=True).start()
    return await future


class _Streaming:
    """One streamed answer, read by a thread."""

    def __init__(self, client: Any, place: Place, request: JSON, chunks: Chunks, timeout: float) -> None:
        self._client = client
        self._place = place
        self._request = request
        self._chunks = chunks
        self._timeout = timeout
        self._loop = asyncio.get_running_loop()
        self._queue: asyncio.Queue[JSON | Exception | None] = asyncio.Queue()
        self._ended = threading.Event()
        self._raw: Any = None
        self._first: list[JSON] = []

    async def begin(self) -> None:
        """Send the request and wait for the first event with anything in it; until then another region may be asked."""
        threading.Thread(target=self._read, name="bedrock-stream", daemon=True).start()
        try:
            while not any(chunk["choices"] and _says(chunk) for chunk in self._first):
                event = await self._next()
                if event is None:
                    break
                self._first += self._chunks.of(event)
        except BaseException:
            self.end()
            raise

    async def chunks(self) -> AsyncIterator[JSON]:
        """The chunks, in order."""
        for chunk in self._first:
            yield chunk
        try:
            while (event := await self._next()) is not None:
                for chunk in self._chunks.of(event):
                    yield chunk
                if self._chunks.size > MAX_ANSWER:
                    raise BedrockFailure("protocol", f"Bedrock's answer is larger than {MAX_ANSWER} bytes")
        except Exception as error:
            raise explained(error, self._place.region) from None

    def end(self) -> None:
        """Let go of the connection, wherever the thread is."""
        self._ended.set()
        raw = self._raw
        if raw is not None:
            with suppress(Exception):  # it may be at its end already
                raw.shutdown()

    async def _next(self) -> JSON | None:
        try:
            async with asyncio.timeout(self._timeout):
                item = await self._queue.get()
        except TimeoutError:
            raise BedrockFailure("timeout", f"Bedrock sent nothing for {self._timeout:g} s") from None
        if isinstance(item, Exception):
            raise item
        if item is None:
            self._queue.put_nowait(None)  # for whoever asks again
            if not self._chunks.finished:
                raise BedrockFailure(
                    "protocol", f"Bedrock ({self._place.region}): broke its answer off", elsewhere=True
                )
        return item

    def _read(self) -> None:
        try:
            for event in self._events():
                self._put(event)
            self._put(None)
        except Exception as error:
            self._put(error)

    def _events(self) -> Iterator[JSON]:
        stream = self._client.converse_stream(modelId=self._place.model, **self._request)["stream"]
        self._raw = getattr(stream, "_raw_stream", None)
        try:
            for event in stream:
                if self._ended.is_set():
                    return
                yield event
        finally:
            stream.close()

    def _put(self, item: JSON | Exception | None) -> None:
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            self._loop.call_soon_threadsafe(self._queue.put_nowait, item)


def _says(chunk: JSON) -> bool:
    choice = chunk["choices"][0]
    delta = choice["delta"]
    return bool(delta.get("content") or delta.get("tool_calls") or delta.get("reasoning_content")) or (
        choice["finish_reason"] is not None
    )
