"""Gateways for tests, forked from a process that has imported already what a gateway imports.

Importing is three quarters of a start (0.75 s of CPU), and the suite starts hundreds. A forked gateway differs from
`python -m agentflow …` in nothing that a test of behaviour could see: environment, working folder, standard streams,
signals and exit status are its own. What looks at a start itself (its time, its memory, the modules it imports) takes
a process of its own instead: `running_gateway(..., forked=False)`.

Refuses: to outlive the tests. When the tests' end of the socket closes, whatever still runs is killed.
"""

from __future__ import annotations

import array
import contextlib
import gc
import importlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

_SERVER = Path(__file__).resolve().parents[1] / "server"
_FDS = 4  # stdin, stdout, stderr, and the pipe that the exit status is written to


class ForkedProcess:
    """A forked process: the part of `subprocess.Popen` that tests of gateways use."""

    def __init__(self, pid: int, status: int, args: Sequence[str]) -> None:
        self.pid, self.args = pid, list(args)
        self.returncode: int | None = None
        self._status = status
        self._lock = threading.Lock()

    def poll(self) -> int | None:
        """The exit status, negative for a signal; None while it runs."""
        return self._read(0)

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the end.

        Raises:
            subprocess.TimeoutExpired: it still runs after `timeout` seconds.
        """
        status = self._read(timeout)
        if status is None:
            raise subprocess.TimeoutExpired(self.args, timeout or 0)
        return status

    def _read(self, timeout: float | None) -> int | None:
        with self._lock:
            if self.returncode is None and select.select([self._status], [], [], timeout)[0]:
                said = os.read(self._status, 16)
                os.close(self._status)
                # Nothing said: the parent of the process is gone, and has killed it.
                self.returncode = os.waitstatus_to_exitcode(int(said)) if said else -signal.SIGKILL
            return self.returncode

    def send_signal(self, number: int) -> None:
        """Send a signal, if it has not ended."""
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


class _Nursery:
    """The process that forks: one for each test worker, started when it is first needed."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            env = {**os.environ, "PYTHONPATH": str(_SERVER)}
            command = [sys.executable, str(Path(__file__).resolve())]
            self.process = subprocess.Popen(command, stdin=theirs.fileno(), env=env)
        self._socket, self._lock = ours, threading.Lock()

    def fork(self, argv: Sequence[str], env: Mapping[str, str], cwd: Path, fds: Sequence[int]) -> ForkedProcess:
        reading, writing = os.pipe()
        try:
            asked = json.dumps({"argv": list(argv), "env": dict(env), "cwd": str(cwd)}).encode()
            with self._lock:
                head = len(asked).to_bytes(4, "big")
                socket.send_fds(self._socket, [head], [*fds, writing])
                self._socket.sendall(asked)
                pid = int.from_bytes(_exactly(self._socket, 4), "big")
        finally:
            os.close(writing)
        return ForkedProcess(pid, reading, argv)


_nurseries: dict[int, _Nursery] = {}


def forked(argv: Sequence[str], env: Mapping[str, str], cwd: Path, stdin: int, output: int) -> ForkedProcess:
    """Run `agentflow` with the words `argv` in a forked process; `output` gets its stdout and stderr."""
    nursery = _nurseries.get(os.getpid())
    if nursery is None:
        nursery = _nurseries[os.getpid()] = _Nursery()
    return nursery.fork(argv, env, cwd, (stdin, output, output))


def _exactly(channel: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        part = channel.recv(size - len(data))
        if not part:
            raise EOFError("the process that forks gateways has ended")
        data += part
    return data


# The process that forks ----------------------------------------------------------------------------------------


def _request(channel: socket.socket) -> tuple[dict[str, Any], list[int]]:
    head, ancillary, _, _ = channel.recvmsg(4, socket.CMSG_SPACE(_FDS * array.array("i").itemsize))
    if not head:
        raise EOFError
    fds = array.array("i")
    for level, kind, data in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            fds.frombytes(data)
    return json.loads(_exactly(channel, int.from_bytes(head, "big"))), list(fds)


def _become(asked: dict[str, Any], fds: list[int], others: list[int]) -> list[str]:
    """In the new process: take on what was asked for; returns the words of the command."""
    for target, fd in enumerate(fds[:3]):
        os.dup2(fd, target)
    for fd in {*fds, *others}:
        if fd > 2:
            os.close(fd)
    os.chdir(asked["cwd"])
    os.environ.clear()
    os.environ.update(asked["env"])
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    return list(asked["argv"])


def _reap(running: dict[int, int]) -> None:
    while running:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if pid == 0:
            return
        pipe = running.pop(pid)
        with contextlib.suppress(OSError):  # nobody reads any more
            os.write(pipe, str(status).encode())
        os.close(pipe)


def _serve() -> list[str]:
    """Fork whenever asked, until the tests end; returns in each forked process, with its words."""
    channel = socket.socket(fileno=os.dup(0))
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    woken, wake = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the tests to hear
    running: dict[int, int] = {}
    while True:
        ready = select.select([channel.fileno(), woken], [], [])[0]
        if woken in ready:
            os.read(woken, 4096)
        _reap(running)
        if channel.fileno() not in ready:
            continue
        try:
            asked, fds = _request(channel)
        except (EOFError, OSError):
            for pid in running:
                os.kill(pid, signal.SIGKILL)
            sys.exit(0)
        pid = os.fork()
        if pid == 0:
            return _become(asked, fds, [channel.detach(), woken, wake, *running.values()])
        running[pid] = fds[-1]
        for fd in fds[:-1]:
            os.close(fd)
        channel.sendall(pid.to_bytes(4, "big"))


# What `agentflow serve` imports by the time it answers; the rest each gateway imports for itself.
_IMPORTED = (
    "agentflow.commands.serve",
    "agentflow.gateway.serve",
    "agentflow.gateway.http",
    "agentflow.gateway.slow",
    "agentflow.gateway.upstreams.handshake",
    "agentflow.gateway.upstreams.local",
    "agentflow.gateway.upstreams.stdio",
    "agentflow.gateway.upstreams.streamable",
    "agentflow.guard.pins.sqlite_store",
    "agentflow.flow.service",
    "cryptography.x509",
    "fastmcp",
    "fastmcp.server.context",
    "fastmcp.tools.function_tool",
    "mcp.server.streamable_http_manager",
    "uvicorn",
    "uvloop",
)

if __name__ == "__main__":
    for module in _IMPORTED:
        importlib.import_module(module)
    gc.collect()
    gc.freeze()  # their memory stays shared
    sys.argv = ["agentflow", *_serve()]
    sys.exit(importlib.import_module("agentflow.cli").main(sys.argv[1:]))
