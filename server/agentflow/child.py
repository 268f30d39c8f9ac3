"""A child process that answers frames over its pipes, for work that may crash, hang or weigh too much.

Promises: every exchange ends within its time, with the answer or an error; the child gets none of the gateway's
environment but what a dynamic linker may need and what it is given; it dies when its parent closes the pipe, and is
killed by `end`. Not thread-safe: its owner serialises.

A frame, both ways: one byte of kind, four bytes of length (big endian), then the body. `serve` is the child's side.
"""

from __future__ import annotations

import contextlib
import os
import select
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from typing import IO, Final

_HEADER: Final = struct.Struct(">cI")
_KEPT_ENVIRONMENT: Final = ("PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")  # what a linker may need; no secrets


class Child:
    """A running child.

    Args:
        arguments: of the Python interpreter that runs this process.
        environment: variables for it, beside those that a linker may need.
    """

    def __init__(self, arguments: Sequence[str], environment: Mapping[str, str] | None = None) -> None:
        kept = {name: os.environ[name] for name in _KEPT_ENVIRONMENT if name in os.environ}
        self._stderr: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the process
        self._process = subprocess.Popen(  # noqa: S603 - our own interpreter
            [sys.executable, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            env={**kept, **(environment or {})},
            cwd="/",
            process_group=0,  # Ctrl-C is the gateway's to handle
        )

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether the process has not ended."""
        return self._process.poll() is None

    def exchange(self, kind: bytes, body: bytes, timeout: float) -> tuple[bytes, bytes]:
        """Send one frame and return the answer's kind and body.

        Raises:
            TimeoutError: no complete answer within `timeout` seconds.
            EOFError: the process ended.
        """
        deadline = time.monotonic() + timeout
        self._write(_HEADER.pack(kind, len(body)) + body, deadline)
        answer, length = _HEADER.unpack(self._read(_HEADER.size, deadline))
        return answer, self._read(length, deadline)

    def _write(self, frame: bytes, deadline: float) -> None:
        assert self._process.stdin is not None
        try:
            descriptor = self._process.stdin.fileno()
        except ValueError as error:
            raise EOFError from error
        os.set_blocking(descriptor, False)  # a child that does not read must not hold its owner up
        poll = select.poll()
        poll.register(descriptor, select.POLLOUT)
        view = memoryview(frame)
        while view:
            left = deadline - time.monotonic()
            if left <= 0 or not poll.poll(left * 1000):
                raise TimeoutError
            try:
                view = view[os.write(descriptor, view) :]
            except BrokenPipeError as error:
                raise EOFError from error

    def _read(self, count: int, deadline: float) -> bytes:
        assert self._process.stdout is not None
        descriptor = self._process.stdout.fileno()
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

    def kill(self) -> None:
        """Kill the process; whoever waits for its answer gets an `EOFError`. From any thread, idempotent."""
        self._process.kill()

    def end(self) -> None:
        """Kill and reap the process; idempotent."""
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout, self._stderr):
            if stream is not None:
                with contextlib.suppress(OSError):  # closing flushes what a dead child never read
                    stream.close()


def serve(answer: Callable[[bytes, bytes], tuple[bytes, bytes]], source: int = 0, sink: int = 1) -> None:
    """Answer frames until the parent closes the pipe: the child's main loop.

    Args:
        answer: from a frame's kind and body to those of its answer; it must not raise.
        source, sink: file descriptors.
    """

    def read(count: int) -> bytes:
        parts: list[bytes] = []
        while count:
            part = os.read(source, count)
            if not part:
                sys.exit(0)  # the parent is gone
            parts.append(part)
            count -= len(part)
        return b"".join(parts)

    while True:
        kind, length = _HEADER.unpack(read(_HEADER.size))
        answered, body = answer(kind, read(length))
        view = memoryview(_HEADER.pack(answered, len(body)) + body)
        while view:
            view = view[os.write(sink, view) :]
