"""The process that Presidio runs in, seen from the gateway: spoken to in frames, ended when it fails.

One question at a time; `DeepTier` serialises. A process that is late or dead is ended, and the next question starts
another.
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
from pathlib import Path
from typing import IO, Final

HEADER: Final = struct.Struct(">cI")
_WORKER: Final = Path(__file__).with_name("worker.py")
_ROOT: Final = Path(__file__).resolve().parents[3]  # the folder that holds `agentflow`
# What a linker, and the model caches of the heavy engines, may need; no secrets.
_KEPT: Final = (
    "PATH",
    "HOME",
    "LD_LIBRARY_PATH",
    "DYLD_LIBRARY_PATH",
    "HF_HOME",
    "HF_HUB_CACHE",
    "XDG_CACHE_HOME",
    "STANZA_RESOURCES_DIR",
)
_OFFLINE: Final = {
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "OMP_NUM_THREADS": "1",
    "TOKENIZERS_PARALLELISM": "0",
}


class WorkerProcess:
    """One running worker. Not thread-safe: its owner serialises."""

    def __init__(self) -> None:
        self._stderr: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the process
        self._child = subprocess.Popen(  # noqa: S603 - our own interpreter and file
            [sys.executable, "-I", str(_WORKER), str(_ROOT)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            env={name: os.environ[name] for name in _KEPT if name in os.environ} | _OFFLINE,
            cwd="/",
            process_group=0,  # Ctrl-C is the gateway's to handle
        )

    @property
    def pid(self) -> int:
        return self._child.pid

    def exchange(self, kind: bytes, body: bytes, deadline: float) -> tuple[bytes, bytes]:
        """Send one frame and return the answer; `deadline` is of `time.monotonic`.

        Raises:
            TimeoutError: no complete answer by then.
            EOFError: the process ended.
        """
        assert self._child.stdin is not None
        data = memoryview(HEADER.pack(kind, len(body)) + body)
        descriptor = self._child.stdin.fileno()
        os.set_blocking(descriptor, False)
        try:
            while data:
                self._wait(descriptor, select.POLLOUT, deadline)
                with contextlib.suppress(BlockingIOError):
                    data = data[os.write(descriptor, data) :]
        except BrokenPipeError as error:
            raise EOFError from error
        answer, length = HEADER.unpack(self._read(HEADER.size, deadline))
        return answer, self._read(length, deadline)

    def _read(self, count: int, deadline: float) -> bytes:
        assert self._child.stdout is not None
        descriptor = self._child.stdout.fileno()
        parts: list[bytes] = []
        while count:
            self._wait(descriptor, select.POLLIN, deadline)
            part = os.read(descriptor, count)
            if not part:
                raise EOFError
            parts.append(part)
            count -= len(part)
        return b"".join(parts)

    @staticmethod
    def _wait(descriptor: int, event: int, deadline: float) -> None:
        poll = select.poll()
        poll.register(descriptor, event)
        left = deadline - time.monotonic()
        if left <= 0 or not poll.poll(left * 1000):
            raise TimeoutError

    def last_words(self) -> str:
        """What the process wrote on stderr last, shortened."""
        self._stderr.seek(0)
        lines = self._stderr.read(20_000).decode("utf-8", "replace").strip().splitlines()
        return lines[-1][:300] if lines else ""

    def end(self) -> None:
        """Kill and reap the process; idempotent."""
        self._child.kill()
        self._child.wait()
        for stream in (self._child.stdin, self._child.stdout, self._stderr):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()
