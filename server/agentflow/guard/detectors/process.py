"""Asking the heavy detectors: a process started at the first question, one question at a time, a bounded queue.

It refuses by raising: a full queue, a late or broken detector, a package that is not installed. Whoever asks must
then not let the message through. A dead process is replaced at the next question.
"""

from __future__ import annotations

import json
import os
import re
import threading
from collections.abc import Sequence
from typing import Final

import anyio
import anyio.to_thread

from agentflow.child import Child
from agentflow.errors import AgentFlowError, StageFailed
from agentflow.guard.detectors.port import LOCAL, Judgement, Spec

_LOAD_TIMEOUT: Final = 120.0  # seconds to import a framework and read weights
_ENVIRONMENT: Final = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
_SURROGATES: Final = re.compile("[\ud800-\udfff]")  # no tokenizer takes them
# Where models lie, and how a service is reached from here.
_CACHES: Final = ("HOME", "HF_HOME", "HF_HUB_CACHE", "XDG_CACHE_HOME")
_ROUTES: Final = ("HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY", "https_proxy", "http_proxy", "no_proxy", "SSL_CERT_FILE")


class HeavyDetectors:
    """The detectors of a configuration, in a process of their own.

    Args:
        specs: which detectors; they are asked together and the highest score counts.
        timeout: seconds for one question once the detectors are loaded.
        queue: questions that may wait.
    """

    def __init__(self, specs: Sequence[Spec], timeout: float, queue: int) -> None:
        self._specs = tuple(specs)
        self._timeout = timeout
        self._queue = queue
        self._waiting = 0
        self._counting = threading.Lock()
        self._lock = threading.Lock()
        self._child: Child | None = None
        self._closed = False

    async def judge(self, texts: Sequence[str]) -> list[Judgement]:
        """Return one judgement per text.

        Raises:
            StageFailed: no judgement could be had.
        """
        return await anyio.to_thread.run_sync(self.judge_now, texts, abandon_on_cancel=True)

    def judge_now(self, texts: Sequence[str]) -> list[Judgement]:
        """As `judge`, for callers without an event loop; blocks."""
        # Counted here, in the thread: a caller that was cancelled still waits in it.
        with self._counting:
            if self._waiting >= self._queue:
                raise _failed("too many messages wait for the injection detectors", "raise guard.injection.queue")
            self._waiting += 1
        try:
            if not self._lock.acquire(timeout=self._timeout):
                raise self._late()
            try:
                return self._asked(texts)
            finally:
                self._lock.release()
        finally:
            with self._counting:
                self._waiting -= 1

    def close(self) -> None:
        """End the process; later questions are refused, and one that is being answered fails. Idempotent."""
        self._closed = True
        if (child := self._child) is not None:
            child.kill()
        with self._lock:
            self._drop()

    def _asked(self, texts: Sequence[str]) -> list[Judgement]:
        if self._closed:
            raise _failed("the injection detectors are closed", "")
        child = self._child or self._started()
        try:
            question = json.dumps([_SURROGATES.sub("\ufffd", text) for text in texts]).encode()
            kind, body = child.exchange(b"Q", question, self._timeout)
        except TimeoutError:
            self._drop()
            raise self._late() from None
        except (EOFError, OSError):
            self._drop()
            raise _failed("the injection detectors crashed", "look at the gateway's memory") from None
        if kind != b"V":
            raise _failed(f"an injection detector failed: {body.decode('utf-8', 'replace')}", "check its settings")
        judged = [Judgement(*row) for row in json.loads(body)]
        if len(judged) != len(texts):
            raise _failed("an injection detector did not answer for every text", "check its settings")
        return judged

    def _late(self) -> AgentFlowError:
        return _failed(
            f"the injection detectors did not answer within {self._timeout:g} s", "raise guard.injection.timeout"
        )

    def _started(self) -> Child:
        kept = _CACHES if all(spec.kind in LOCAL for spec in self._specs) else (*_CACHES, *_ROUTES)
        passed = {name: os.environ[name] for name in kept if name in os.environ}
        child = Child(["-m", "agentflow.guard.detectors.worker"], {**passed, **_ENVIRONMENT})
        self._child = child
        try:
            kind, body = child.exchange(b"L", json.dumps(self._specs).encode(), _LOAD_TIMEOUT)
        except (TimeoutError, EOFError, OSError):
            self._drop()
            raise _failed("the injection detectors do not start", "try `agentflow guard scan` by hand") from None
        if kind != b"R":
            self._drop()
            raise _failed(body.decode("utf-8", "replace"), "check guard.injection.detectors")
        return child

    def _drop(self) -> None:
        if self._child is not None:
            self._child.end()
            self._child = None


def _failed(message: str, fix: str) -> AgentFlowError:
    return StageFailed(message[:1].upper() + message[1:], fix=fix)
