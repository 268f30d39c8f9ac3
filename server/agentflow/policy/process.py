"""Rego evaluated in a process of its own: whatever a policy does there, the gateway stays up.

A process that is late or dead is replaced at the next question.
"""

from __future__ import annotations

import importlib.util
import threading
from pathlib import Path

import orjson

from agentflow.child import Child
from agentflow.policy.evaluator import CompileFailed, Fault, Program, late, value_of

_WORKER = Path(__file__).with_name("worker.py")
MEMORY = 2 * 2**30  # bytes a process may take; the tests of the bundle that ships take half a gigabyte
LOAD_TIMEOUT = 30.0  # seconds to compile a bundle and run its tests


_LARGE = 2**20  # bytes of a bundle from which on its data may be what takes so long


def _why_long(size: int) -> str:
    # rego-cpp takes a time that grows with the square of an object's members.
    advice = ": for data of tens of thousands of members use an OPA, policy.engine: opa"
    return advice if size > _LARGE else ""


def _child() -> Child:
    spec = importlib.util.find_spec("regopy")
    if spec is None or spec.origin is None:
        raise CompileFailed("regopy is not installed; reinstall agentflow-gateway")
    return Child(["-I", str(_WORKER), str(Path(spec.origin).parents[1]), str(MEMORY)])


class RegoProcess:
    """An `Evaluator` of any program.

    Attributes:
        compiled: the compiled bundle, for `worker.Rego.loaded`; empty where it was not asked for or cannot be had.
    """

    def __init__(self, program: Program, kept: bool = False) -> None:
        """Start the process and compile the program.

        Args:
            kept: have the compiled bundle back.

        Raises:
            CompileFailed: the compiler refused it, crashed over it, or did not finish.
        """
        self._lock = threading.Lock()
        self._closed = False
        members = {"modules": program.modules, "data": program.data, "entrypoints": program.entrypoints, "kept": kept}
        self._order = orjson.dumps(members)
        self.compiled = b""
        self._process: Child | None = self._started()

    def ask(self, entrypoint: str, document: bytes, timeout: float) -> bytes:
        """See `Evaluator.ask`."""
        with self._lock:
            if self._closed:
                raise Fault("policy_error", "the policy engine is closed")
            if self._process is None:
                try:
                    self._process = self._started()
                except (CompileFailed, OSError) as error:
                    raise Fault("policy_error", "the policy engine does not start") from error
            try:
                question = b"%f %s\n" % (timeout, entrypoint.encode()) + document
                kind, body = self._process.exchange(b"Q", question, timeout)
            except TimeoutError:
                self._drop()
                raise late(timeout) from None
            except (EOFError, OSError):
                self._drop()
                raise Fault("policy_error", "the policy engine crashed") from None
        return value_of(entrypoint, kind, body)

    def close(self) -> None:
        """End the process; questions asked later are refused. Idempotent."""
        with self._lock:
            self._closed = True
            self._drop()

    def _drop(self) -> None:
        if self._process is not None:
            self._process.end()
            self._process = None

    def _started(self) -> Child:
        process = _child()
        try:
            kind, body = process.exchange(b"L", self._order, LOAD_TIMEOUT)
            if kind == b"R":
                self.compiled = body
                return process
            reason = body.decode("utf-8", "replace")
        except EOFError:
            reason = f"the Rego compiler crashed: {process.last_words() or 'no message'}"
        except TimeoutError:
            reason = f"the Rego compiler did not finish within {LOAD_TIMEOUT:g} s{_why_long(len(self._order))}"
        except BaseException:
            process.end()
            raise
        process.end()
        raise CompileFailed(reason)
