"""The sandbox's child process (`agentflow.child`): `python -m agentflow.flow.sandbox.worker ENGINE CACHE`.

Before it runs anything it gives up what it does not need: files it could make, core dumps, more than
some minutes of processor time for itself and for each process it starts, and, where the kernel lets it, the network.
"""

from __future__ import annotations

import contextlib
import ctypes
import dataclasses
import json
import resource
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

from agentflow.child import serve
from agentflow.flow.sandbox.port import Engine, Fault, Program, Ran

RUN: Final = b"R"
PREPARE: Final = b"P"
ANSWER: Final = b"A"
_NEW_USER, _NEW_NETWORK = 0x10000000, 0x40000000  # Linux, sched.h
_PROCESSOR: Final = 330  # seconds: the longest timeout, and some


def confine(files: bool) -> None:
    """Give up what no program needs; `files`: whether files may be written (the compiled runtime)."""
    limits = [(resource.RLIMIT_CORE, 0), (resource.RLIMIT_CPU, _PROCESSOR), (resource.RLIMIT_NOFILE, 256)]
    if not files:
        limits.append((resource.RLIMIT_FSIZE, 0))
    for which, most in limits:
        _, hard = resource.getrlimit(which)
        least = most if hard == resource.RLIM_INFINITY else min(most, hard)
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(which, (least, least))
    with contextlib.suppress(OSError, AttributeError):  # not every kernel has it, or allows it
        ctypes.CDLL(None).unshare(_NEW_USER | _NEW_NETWORK)


def engine(name: str, cache: Path) -> Engine:
    """The engine of that name.

    Raises:
        ModuleNotFoundError: its package is not installed.
    """
    if name == "wasi":
        from agentflow.flow.sandbox.wasi import Wasi

        return Wasi(cache)
    from agentflow.flow.sandbox.monty import Monty

    return Monty()


def answering(runs: Engine) -> Callable[[bytes, bytes], tuple[bytes, bytes]]:
    """What answers a frame: whatever goes wrong becomes a fault."""

    def answer(kind: bytes, body: bytes) -> tuple[bytes, bytes]:
        try:
            if kind == PREPARE:
                runs.prepare()
                ran = Ran()
            else:
                ran = runs.run(Program(**json.loads(body)))
            return ANSWER, json.dumps(dataclasses.asdict(ran)).encode()
        except Exception as error:
            fault = Fault("crashed", f"The sandbox failed: {type(error).__name__}")
            return ANSWER, json.dumps(dataclasses.asdict(Ran(fault=fault))).encode()

    return answer


if __name__ == "__main__":
    confine(files=sys.argv[1] == "wasi")
    serve(answering(engine(sys.argv[1], Path(sys.argv[2]))))
