"""Rego evaluated in a thread of the gateway's own process: for bounded programs, which is half the memory.

It promises the same answers and faults as a process of their own would give. The compiler, which can abort the
process it runs in, sees a program here only after it has compiled it elsewhere, and only where what it compiled there
cannot be taken over, which is 7 MB less. A question that is not small goes to
a process; so does every later one once a question was late, for a running evaluation cannot be ended here.
"""

from __future__ import annotations

import importlib
import threading
from concurrent.futures import Future
from dataclasses import dataclass, field
from queue import SimpleQueue

from agentflow.policy.evaluator import CompileFailed, Fault, Program, late, value_of
from agentflow.policy.process import LOAD_TIMEOUT, RegoProcess
from agentflow.policy.worker import Rego

# What a question may be for `bounded` to hold: bytes, values side by side, and levels of nesting.
_BYTES, _VALUES, _LEVELS = 4096, 256, 64
_STACK = 16 * 2**20  # bytes; the compiler is recursive, and some platforms give a thread half a megabyte


@dataclass(frozen=True, slots=True)
class _Question:
    entrypoint: str
    document: bytes
    answer: Future[tuple[bytes, bytes]] = field(default_factory=Future)


class RegoThread:
    """An `Evaluator` of programs that are `bounded`."""

    def __init__(self, program: Program) -> None:
        """Compile the program, first in a process that may crash over it.

        Raises:
            CompileFailed: the compiler refused it, crashed over it, or did not finish.
        """
        first = RegoProcess(program, kept=True)
        first.close()
        self._program = program
        self._lock = threading.Lock()
        self._closed = False
        self._late = False
        self._process: RegoProcess | None = None
        self._questions: SimpleQueue[_Question | None] = SimpleQueue()
        loaded: Future[None] = Future()
        arguments = (program, first.compiled, loaded, self._questions)
        self._thread = threading.Thread(target=_serve, args=arguments, name="rego", daemon=True)
        usual = threading.stack_size(_STACK)
        try:
            self._thread.start()
        finally:
            threading.stack_size(usual)
        try:
            loaded.result(LOAD_TIMEOUT)
        except TimeoutError:
            raise CompileFailed(f"the Rego compiler did not finish within {LOAD_TIMEOUT:g} s") from None

    def ask(self, entrypoint: str, document: bytes, timeout: float) -> bytes:
        """See `Evaluator.ask`."""
        with self._lock:
            if self._closed:
                raise Fault("policy_error", "the policy engine is closed")
            if self._late or not _small(document):
                return self._aside().ask(entrypoint, document, timeout)
            question = _Question(entrypoint, document)
            self._questions.put(question)
            try:
                kind, body = question.answer.result(timeout)
            except TimeoutError:
                self._late = True
                self._questions.put(None)
                raise late(timeout) from None
        return value_of(entrypoint, kind, body)

    def close(self) -> None:
        """See `Evaluator.close`."""
        with self._lock:
            self._closed = True
            if self._process is not None:
                self._process.close()
            self._questions.put(None)
            if not self._late:
                self._thread.join()

    def _aside(self) -> RegoProcess:
        if self._process is None:
            try:
                self._process = RegoProcess(self._program)
            except (CompileFailed, OSError) as error:
                raise Fault("policy_error", "the policy engine does not start") from error
        return self._process


def _small(document: bytes) -> bool:
    return (
        len(document) <= _BYTES
        and document.count(b",") <= _VALUES
        and document.count(b"[") + document.count(b"{") <= _LEVELS
    )


def _serve(program: Program, compiled: bytes, loaded: Future[None], questions: SimpleQueue[_Question | None]) -> None:
    """The thread: the interpreter lives and dies in it."""
    try:
        regopy = importlib.import_module("regopy")
        rego = Rego.loaded(regopy, compiled) if compiled else None
        if rego is None:
            rego = Rego.built(regopy, program.modules, program.data, list(program.entrypoints))
    except Exception as error:  # RegoError, mostly
        loaded.set_exception(CompileFailed(str(error)))
        return
    loaded.set_result(None)
    while (question := questions.get()) is not None:
        question.answer.set_result(rego.ask(question.entrypoint, question.document))
