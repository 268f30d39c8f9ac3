"""What the pipeline asks for names, places, organisations and addresses.

It promises one answer for one question within `timeout` seconds, waiting included, or `DeepTierUnavailable`: the
message must then not leave. Questions wait in a queue of `queue` messages; one more is refused at once. The worker
is started by the first question, and by the next one after it failed.
"""

from __future__ import annotations

import importlib.util
import re
import threading
import time
from collections.abc import Sequence
from functools import partial
from typing import Final

import anyio
import anyio.lowlevel
import anyio.to_thread
import orjson

from agentflow.config_guard import DeepConfig
from agentflow.errors import ConfigError, DeepTierUnavailable
from agentflow.guard.deep.process import WorkerProcess
from agentflow.guard.entities import canonical
from agentflow.guard.spans import Match

Asked = tuple[str, str]  # text, and the key of the member that holds it ("" for none)
# What an engine needs beyond Presidio: module, and what to install for it.
PACKAGES: Final[dict[str, tuple[tuple[str, str], ...]]] = {
    "own": (),
    "spacy": (),
    "stanza": (("stanza", "stanza"),),
    "transformers": (("transformers", "presidio-analyzer[transformers]"), ("torch", "torch")),
    "gliner": (("gliner", "gliner"),),
}
_SURROGATES: Final = re.compile("[\ud800-\udfff]")
START_TIMEOUT: Final = 120.0  # seconds to load a model
_FIX: Final = (
    "see guard.deep in the configuration; `pip install 'agentflow-gateway[pii]'` installs what the own engine needs"
)


class DeepTier:
    """Presidio with an entity model, in a process of its own. Safe to use from several threads and tasks."""

    def __init__(self, config: DeepConfig) -> None:
        self.config = config
        self._lock = threading.Lock()
        self._counting = threading.Lock()
        self._waiting = 0
        self._closed = False
        self._process: WorkerProcess | None = None

    async def find(self, texts: Sequence[Asked]) -> list[list[Match]]:
        """Return what stands in each text, in order.

        Args:
            texts: all texts of one message, with their labels.

        Raises:
            DeepTierUnavailable: no answer in time, too many wait, or the engine cannot be used.
        """
        if not texts:
            return []
        return await anyio.to_thread.run_sync(partial(self.find_now, texts), limiter=_threads())

    def find_now(self, texts: Sequence[Asked]) -> list[list[Match]]:
        """Like `find`, for callers without an event loop; blocks.

        Raises:
            DeepTierUnavailable: see `find`.
        """
        if not texts:
            return []
        deadline = time.monotonic() + self.config.timeout
        with self._counting:
            if self._waiting > self.config.queue:
                raise DeepTierUnavailable("Too many messages wait for the deep tier", fix="raise guard.deep.queue")
            self._waiting += 1
        try:
            if not self._lock.acquire(timeout=self.config.timeout):
                raise self._late()
            try:
                return self._ask(texts, deadline)
            finally:
                self._lock.release()
        finally:
            with self._counting:
                self._waiting -= 1

    def need(self) -> None:
        """Check that the engine's packages are installed, without starting it.

        Raises:
            ConfigError: one is not; the text names it.
        """
        for module, package in (("presidio_analyzer", "agentflow-gateway[pii]"), *PACKAGES[self.config.engine]):
            if importlib.util.find_spec(module) is None:
                message = f"guard.deep.engine {self.config.engine} needs a package that is not installed"
                raise ConfigError(message, fix=f"pip install '{package}'")

    def check(self) -> None:
        """Start the worker now.

        Raises:
            ConfigError: the engine or its model is not installed; the text names what is missing.
        """
        with self._lock:
            try:
                self._running()
            except DeepTierUnavailable as error:
                raise ConfigError(f"guard.deep: {error.message}", fix=error.fix) from error

    def close(self) -> None:
        """End the worker; what is asked later is refused. Idempotent."""
        self._closed = True
        with self._lock:
            self._drop()

    def _ask(self, texts: Sequence[Asked], deadline: float) -> list[list[Match]]:
        started = self._process is None
        process = self._running()
        if started:
            deadline = time.monotonic() + self.config.timeout  # loading a model does not count
        try:
            kind, body = process.exchange(b"Q", orjson.dumps([list(item) for item in _writable(texts)]), deadline)
        except TimeoutError:
            self._drop()
            raise self._late() from None
        except (EOFError, OSError):
            self._drop()
            raise DeepTierUnavailable("The deep tier's worker crashed") from None
        if kind != b"V":
            raise DeepTierUnavailable(f"The deep tier failed: {body.decode('utf-8', 'replace')}")
        try:
            return [
                [Match(canonical(name), start, end, score) for name, start, end, score in found]
                for found in orjson.loads(body)
            ]
        except ValueError as error:  # of a recogniser of somebody's own
            raise DeepTierUnavailable(f"The deep tier found something nameless: {error}") from None

    def _running(self) -> WorkerProcess:
        if self._closed:
            raise DeepTierUnavailable("The deep tier is closed")
        if self._process is None:
            self._process = self._started()
        return self._process

    def _started(self) -> WorkerProcess:
        config = self.config
        order = {
            "engine": config.engine,
            "model": config.model,
            "language": config.language,
            "labels": config.labels,
            "patterns": config.patterns,
            "recognisers": config.recognisers,
        }
        process = WorkerProcess()
        try:
            kind, body = process.exchange(b"L", orjson.dumps(order), time.monotonic() + START_TIMEOUT)
            if kind == b"R":
                return process
            reason = body.decode("utf-8", "replace")
        except EOFError:
            reason = f"its worker does not start: {process.last_words() or 'no message'}"
        except TimeoutError:
            reason = f"its engine did not load within {START_TIMEOUT:g} s"
        except BaseException:
            process.end()
            raise
        process.end()
        raise DeepTierUnavailable(f"The deep tier cannot be used: {reason}", fix=_FIX)

    def _drop(self) -> None:
        if self._process is not None:
            self._process.end()
            self._process = None

    def _late(self) -> DeepTierUnavailable:
        return DeepTierUnavailable(
            f"The deep tier did not answer within {self.config.timeout:g} s", fix="raise guard.deep.timeout"
        )


def _writable(texts: Sequence[Asked]) -> Sequence[Asked]:
    """Replace surrogates, which no encoder takes, one for one: offsets stay."""
    return [(_clean(text), _clean(label)) for text, label in texts]


def _clean(text: str) -> str:
    return text if text.isascii() else _SURROGATES.sub("\ufffd", text)


def _threads() -> anyio.CapacityLimiter:
    """Threads for waiting questions, apart from those of other work: they are cheap, and mostly sleep."""
    try:
        return _LIMITERS.get()
    except LookupError:
        limiter = anyio.CapacityLimiter(256)
        _LIMITERS.set(limiter)
        return limiter


_LIMITERS: anyio.lowlevel.RunVar[anyio.CapacityLimiter] = anyio.lowlevel.RunVar("deep_tier_threads")
