"""The policy asked of an Open Policy Agent over REST: the same questions and typed decisions as the embedded engine.

It promises that undefined, wrong type, error, timeout and an OPA that cannot be reached each deny with a reason code
of that name; that what was asked with parts left out is asked again whole when another revision answers; and that an
old answer stands in for a missing one only where `policy.opa.last_known_good` allows it, and says so. An answer is
reused for `policy.opa.cache` seconds at most: so long a change in OPA may go unseen.

The revision of a decision is the one that OPA's answer names (`provenance`); an OPA that loaded the bundle of
`agentflow policy build` names the revision of the local bundle, whose knowledge of what is read then applies.
API: OPA documentation, "REST API", Data API.
"""

from __future__ import annotations

import asyncio
import ssl
import threading
import time
from collections import OrderedDict
from collections.abc import Coroutine
from concurrent import futures
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import httpx2
import orjson

from agentflow.config import OpaConfig, PolicyConfig
from agentflow.errors import ConfigError
from agentflow.pipeline.call import JSON, Decision
from agentflow.policy.bundle import Bundle, read_bundle
from agentflow.policy.decision import WrongType, denied, parse
from agentflow.policy.evaluator import Fault, late
from agentflow.policy.projection import Path as InputPath
from agentflow.policy.projection import Projection, canonical

T = TypeVar("T")

PREFIX = "opa:"
UNVERSIONED = "unversioned"
_MAX_ANSWER = 2**20  # bytes
_AT_ONCE = 16  # requests in flight
_TURNS = 4  # times the timeout of one request: two for the question, two until it is its turn
_GATEWAY_FAULTS = frozenset({502, 503, 504})  # a proxy's, for an OPA that is not there
_OUTAGES = frozenset({"policy_unavailable", "policy_timeout"})
_EVERYTHING = Projection([()])


@dataclass(slots=True)
class _Breaker:
    """Leaves an OPA that fails alone for a while; then one question at a time tries it."""

    failures: int
    pause: float
    _failed: int = 0
    _closed_from: float = 0.0  # monotonic seconds; before it nothing is asked
    _trying: bool = False

    def enter(self) -> None:
        """Ask whether a question may be sent.

        Raises:
            Fault: not now.
        """
        if self._failed < self.failures:
            return
        if self._trying or time.monotonic() < self._closed_from:
            raise Fault("policy_unavailable", "OPA does not answer, and is left alone for a moment")
        self._trying = True

    def leave(self, worked: bool | None) -> None:
        """Note how the question went; None where nobody knows."""
        self._trying = False
        if worked is None:
            return
        self._failed = 0 if worked else self._failed + 1
        if self._failed >= self.failures:
            self._closed_from = time.monotonic() + self.pause


class OpaEngine:
    """Decides calls by an OPA; the counterpart of `engine.Engine`.

    Requests run on a thread with an event loop of its own, so that any thread and any loop may ask.
    """

    def __init__(self, config: PolicyConfig) -> None:
        """Read the local bundle; OPA itself is asked first when the first call comes.

        Raises:
            ConfigError: the local bundle or the certificates cannot be read, or there is no address.
        """
        self._config = config.opa
        self._local = read_bundle(config)
        self._blind = replace(self._local, reads=_EVERYTHING, selectors=None, results=True)
        self._client = _client(self._config)
        self._url = f"{self._config.url.rstrip('/')}/v1/data/{self._config.path}"
        self._breaker = _Breaker(self._config.failures, self._config.pause)
        self._size = config.cache_size
        self._answers: OrderedDict[bytes, tuple[Decision, float]] = OrderedDict()
        self._lock = threading.Lock()
        self._revision = ""  # as OPA named it last
        self._closed = False
        self._gate = asyncio.Semaphore(_AT_ONCE)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="opa", daemon=True)
        self._thread.start()

    @property
    def bundle(self) -> Bundle:
        """The local bundle; said to read everything, answers too, as long as OPA does not answer by its revision."""
        return self._local if self._knows() else self._blind

    @property
    def revision(self) -> str:
        """What decided last, as OPA names it."""
        return PREFIX + (self._revision or UNVERSIONED)

    @property
    def epoch(self) -> int:
        """Changes as time goes by: what was decided in another epoch is to be asked again."""
        return int(time.monotonic() / self._config.cache) if self._config.cache else time.monotonic_ns()

    def reads(self, *path: str) -> bool:
        """Whether the policy may read this part of the input document."""
        wanted: InputPath = path
        return self.bundle.reads.reads(wanted)

    def known(self, document: JSON) -> Decision | None:
        """Return the decision for this input if it was taken a moment ago; never waits."""
        try:
            key = canonical(self.bundle.reads(document))
        except (ValueError, TypeError):
            return self._inexpressible()
        return self._kept(key, self._config.cache)

    def decide(self, document: JSON) -> Decision:
        """Return the decision for this input; waits for OPA. Not for OPA's own event loop."""
        return self._submit(self._decide(document))

    async def decide_soon(self, *documents: JSON) -> list[Decision]:
        """Return the decisions for these inputs, in order."""
        future = self._started(self._decide_all(documents))
        if future is None:
            return [self._refusal(_CLOSED)] * len(documents)
        try:
            async with asyncio.timeout(self._patience(len(documents))):
                return await asyncio.wrap_future(future)
        except TimeoutError:
            return [self._refusal(late(self._config.timeout))] * len(documents)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if not self._closed or (task is not None and task.cancelling()):
                raise
            return [self._refusal(_CLOSED)] * len(documents)

    def close(self) -> None:
        """Close the connections. Idempotent; questions asked later are denied."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
        asyncio.run_coroutine_threadsafe(self._ended(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _ended(self) -> None:
        """Questions under way fail as their connections are closed."""
        await self._client.aclose()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        if others:
            _, left = await asyncio.wait(others, timeout=self._config.timeout)
            for task in left:
                task.cancel()
            await asyncio.gather(*left, return_exceptions=True)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()

    def _submit(self, work: Coroutine[Any, Any, Decision]) -> Decision:
        future = self._started(work)
        if future is None:
            return self._refusal(_CLOSED)
        try:
            return future.result(self._patience(1))
        except TimeoutError:
            future.cancel()
            return self._refusal(late(self._config.timeout))
        except futures.CancelledError:
            return self._refusal(_CLOSED)

    def _started(self, work: Coroutine[Any, Any, T]) -> futures.Future[T] | None:
        """Hand work to the loop; None where it is closed, and it never ends between the look and the handing over."""
        with self._lock:
            if not self._closed:
                return asyncio.run_coroutine_threadsafe(work, self._loop)
        work.close()
        return None

    def _patience(self, questions: int) -> float:
        """How long so many questions may take in all, in seconds, waiting for others' turn included."""
        return self._config.timeout * _TURNS * (1 + questions // _AT_ONCE)

    def _knows(self) -> bool:
        return self._revision in (self._local.revision, self._local.label or self._local.revision)

    async def _decide_all(self, documents: tuple[JSON, ...]) -> list[Decision]:
        return await asyncio.gather(*(self._decide(document) for document in documents))

    async def _decide(self, document: JSON) -> Decision:
        """Ask with what the policy reads; once more, with everything, where another revision answered."""
        for _ in range(2):
            bundle = self.bundle
            try:
                key = canonical(bundle.reads(document))
            except (ValueError, TypeError):
                return self._inexpressible()
            if (kept := self._kept(key, self._config.cache)) is not None:
                return kept
            try:
                body = await self._asked(key)
            except Fault as fault:
                return self._stands_in(key, fault)
            self._revision = _revision_of(body)
            if bundle is self.bundle or bundle is self._blind:
                return self._decided(key, body)
        return self._decided(key, body)

    def _decided(self, key: bytes, body: JSON) -> Decision:
        revision = self.revision
        try:
            if "result" not in body:
                raise Fault("policy_undefined", f"OPA gives no value for {self._config.path}")
            decision = parse(body["result"], revision)
        except WrongType as error:
            return denied("policy_wrong_type", f"OPA's answer is no decision: {error}", revision)
        except Fault as fault:
            return denied(fault.code, fault.message, revision)
        with self._lock:
            self._answers[key] = (decision, time.monotonic())
            self._answers.move_to_end(key)
            while len(self._answers) > self._size:
                self._answers.popitem(last=False)
        return decision

    def _kept(self, key: bytes, seconds: float) -> Decision | None:
        with self._lock:
            decision, at = self._answers.get(key, (None, 0.0))
        return decision if decision is not None and time.monotonic() - at < seconds else None

    def _stands_in(self, key: bytes, fault: Fault) -> Decision:
        if fault.code in _OUTAGES and self._config.last_known_good:
            last = self._kept(key, self._config.last_known_good)
            if last is not None:
                said = ("last_known_good", f"as decided before: {fault.message}")
                return replace(last, reasons=(*last.reasons, said))
        return self._refusal(fault)

    def _refusal(self, fault: Fault) -> Decision:
        return denied(fault.code, fault.message, self.revision)

    def _inexpressible(self) -> Decision:
        return denied("policy_error", "the call holds text that is not valid Unicode", self.revision)

    async def _asked(self, document: bytes) -> JSON:
        async with self._gate:
            self._breaker.enter()
            worked: bool | None = False
            try:
                async with asyncio.timeout(self._config.timeout):
                    status, content = await self._exchange(document)
                worked = status not in _GATEWAY_FAULTS
            except TimeoutError:
                raise late(self._config.timeout) from None
            except asyncio.CancelledError:
                worked = None  # it was the caller who left
                raise
            except (httpx2.HTTPError, httpx2.StreamError, OSError) as error:
                why = str(error)[:200] or type(error).__name__
                raise Fault("policy_unavailable", f"OPA cannot be reached: {why}") from None
            finally:
                self._breaker.leave(worked)
        return _body(status, content)

    async def _exchange(self, document: bytes) -> tuple[int, bytes]:
        """Returns status and body; of one that is larger than any decision nothing, which is no JSON."""
        content = b'{"input":%s}' % document
        async with self._client.stream("POST", self._url, content=content) as response:
            parts, size = [], 0
            async for part in response.aiter_bytes():
                parts.append(part)
                size += len(part)
                if size > _MAX_ANSWER:
                    return response.status_code, b""
            return response.status_code, b"".join(parts)


_CLOSED = Fault("policy_error", "the policy engine is closed")


def _client(config: OpaConfig) -> httpx2.AsyncClient:
    if not config.url.startswith(("http://", "https://")):
        raise ConfigError("policy.engine is opa, and policy.opa.url names none", fix="write http(s)://host:8181")
    try:
        verify = ssl.create_default_context(cafile=str(config.ca) if config.ca else None)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(f"policy.opa.ca cannot be used: {error}", fix="name a PEM file") from None
    headers = {"content-type": "application/json", "accept-encoding": "identity"}
    if config.token is not None:
        headers["authorization"] = f"Bearer {config.token.get_secret_value()}"
    return httpx2.AsyncClient(
        params={"provenance": "true", "strict-builtin-errors": "true"},
        headers=headers,
        verify=verify,
        timeout=None,  # the engine's own
        trust_env=False,  # the question must not leave by a proxy of the environment
        limits=httpx2.Limits(max_connections=_AT_ONCE, max_keepalive_connections=_AT_ONCE, keepalive_expiry=60),
    )


def _body(status: int, content: bytes) -> JSON:
    """The answer's JSON.

    Raises:
        Fault: it is an error, or no answer of an OPA.
    """
    try:
        body = orjson.loads(content)
    except ValueError:
        body = None
    if status in _GATEWAY_FAULTS:
        raise Fault("policy_unavailable", f"OPA cannot be reached: HTTP {status}")
    if status in (401, 403):
        raise Fault("policy_error", f"OPA does not accept the gateway's token: HTTP {status}")
    if status != 200:
        message = str(body.get("message", "")) if isinstance(body, dict) else ""
        raise Fault("policy_error", f"OPA failed: HTTP {status} {message[:200]}".rstrip())
    if not isinstance(body, dict):
        raise Fault("policy_error", "what came from OPA is not its answer")
    return body


def _revision_of(body: JSON) -> str:
    """The revisions of the bundles that OPA has loaded, as its answer names them; "" where it names none."""
    provenance = body.get("provenance")
    bundles = provenance.get("bundles") if isinstance(provenance, dict) else None
    if not isinstance(bundles, dict):
        revision = provenance.get("revision") if isinstance(provenance, dict) else None
        return revision if isinstance(revision, str) else ""
    named = {str(name): str(bundle.get("revision", "")) for name, bundle in bundles.items() if isinstance(bundle, dict)}
    if len(named) == 1:
        return next(iter(named.values()))
    return ",".join(f"{name}={revision}" for name, revision in sorted(named.items()))
