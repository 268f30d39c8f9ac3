"""Rego evaluated in a process of its own: whatever a policy does there, the gateway stays up.

A process that is late or dead is replaced at the next question.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import select
import struct
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import IO

import orjson

from agentflow.policy.evaluator import CompileFailed, Fault, Program, late, value_of

_HEADER = struct.Struct(">cI")
_WORKER = Path(__file__).with_name("worker.py")
_KEPT_ENVIRONMENT = ("PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")  # what a dynamic linker may need; no secrets
LOAD_TIMEOUT = 30.0  # seconds to compile a bundle and run its tests


class _Process:
    """One running worker. Not thread-safe: its owner serialises."""

    def __init__(self) -> None:
        spec = importlib.util.find_spec("regopy")
        if spec is None or spec.origin is None:
            raise CompileFailed("regopy is not installed; reinstall agentflow-gateway")
        self._stderr: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the process
        self._child = subprocess.Popen(  # noqa: S603 - our own interpreter and file
            [sys.executable, "-I", str(_WORKER), str(Path(spec.origin).parents[1])],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            env={name: os.environ[name] for name in _KEPT_ENVIRONMENT if name in os.environ},
            cwd="/",
            process_group=0,  # Ctrl-C is the gateway's to handle
        )

    def exchange(self, kind: bytes, body: bytes, timeout: float) -> tuple[bytes, bytes]:
        """Send one frame and return the answer.

        Raises:
            TimeoutError: no complete answer within `timeout` seconds.
            EOFError: the process ended.
        """
        assert self._child.stdin is not None
        assert self._child.stdout is not None
        deadline = time.monotonic() + timeout
        try:
            self._child.stdin.write(_HEADER.pack(kind, len(body)) + body)
            self._child.stdin.flush()
        except (BrokenPipeError, ValueError) as error:
            raise EOFError from error
        answer, length = _HEADER.unpack(self._read(_HEADER.size, deadline))
        return answer, self._read(length, deadline)

    def _read(self, count: int, deadline: float) -> bytes:
        assert self._child.stdout is not None
        descriptor = self._child.stdout.fileno()
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        parts: list[bytes] = []
        while count:
            left = deadline - time.monotonic()
            if left <= 0 or not poll.poll(left * 1000):
                raise TimeoutError
            part = os.read(descriptor, count)
            if not part:
                raise EOFError
            parts.append(part)
            count -= len(part)
        return b"".join(parts)

    def last_words(self) -> str:
        """What the process wrote on stderr, shortened."""
        self._stderr.seek(0)
        return self._stderr.read(2000).decode("utf-8", "replace").strip()

    def end(self) -> None:
        """Kill and reap the process; idempotent."""
        self._child.kill()
        self._child.wait()
        for stream in (self._child.stdin, self._child.stdout, self._stderr):
            if stream is not None:
                with contextlib.suppress(OSError):  # closing flushes what a dead child never read
                    stream.close()


class RegoProcess:
    """An `Evaluator` of any program."""

    def __init__(self, program: Program) -> None:
        """Start the process and compile the program.

        Raises:
            CompileFailed: the compiler refused it, crashed over it, or did not finish.
        """
        self._lock = threading.Lock()
        self._closed = False
        members = {"modules": program.modules, "data": program.data, "entrypoints": program.entrypoints}
        self._order = orjson.dumps(members)
        self._process: _Process | None = self._started()

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

    def _started(self) -> _Process:
        process = _Process()
        try:
            kind, body = process.exchange(b"L", self._order, LOAD_TIMEOUT)
            if kind == b"R":
                return process
            reason = body.decode("utf-8", "replace")
        except EOFError:
            reason = f"the Rego compiler crashed: {process.last_words() or 'no message'}"
        except TimeoutError:
            reason = f"the Rego compiler did not finish within {LOAD_TIMEOUT:g} s"
        except BaseException:
            process.end()
            raise
        process.end()
        raise CompileFailed(reason)
