"""`pydantic-monty`: an interpreter of a subset of Python, without a file system, a network or an import of its own.

Every program has a process to itself, which ends with it, beneath limits of its own and the child's.
"""

from __future__ import annotations

from typing import Any, Final

import pydantic_monty

from agentflow.flow.sandbox.port import LARGEST_PRINT, LARGEST_RESULT, Fault, FaultKind, Program, Ran
from agentflow.flow.sandbox.values import TooLarge, plain

_RECURSION: Final = 400
_SUSPENSIONS: Final = 10_000  # round trips to this process, of which there are none but for sleeping
_GRACE: Final = 1.0  # seconds after which a process that does not heed its limit is killed
_KINDS: Final[dict[str, FaultKind]] = {
    "TimeoutError": "timeout",
    "MemoryError": "memory",
    "RecursionError": "recursion",
}


class Monty:
    """Runs programs with pydantic-monty."""

    def prepare(self) -> None:
        """Nothing takes long here."""

    def run(self, program: Program) -> Ran:
        printed = _Printed()
        limits: pydantic_monty.ResourceLimits = {
            "max_feed_duration_secs": program.timeout,
            "max_memory": program.memory,
            "max_recursion_depth": _RECURSION,
            "max_suspensions": _SUSPENSIONS,
            "max_total_sleep_secs": 0.0,
        }
        try:
            with (
                pydantic_monty.Monty(
                    min_processes=0, max_processes=1, request_timeout=program.timeout + 2 * _GRACE
                ) as pool,
                pool.checkout(script_name="code.py", limits=limits, os_policy={"sleep": "zero"}) as session,
            ):
                value = session.feed_run(program.code, inputs=program.inputs, print_callback=printed)
            return Ran(plain(value, LARGEST_RESULT), printed.text(), printed.truncated)
        except TooLarge:
            fault = Fault("too_large", f"The result is larger than {LARGEST_RESULT} bytes, or nested too deep")
        except pydantic_monty.MontyCrashedError as error:
            late = bool(getattr(error, "timed_out", False))
            fault = Fault("timeout" if late else "crashed", "It did not end in time" if late else "It crashed")
        except (pydantic_monty.MontySyntaxError, pydantic_monty.MontyRuntimeError) as error:
            fault = _fault(error)
        except pydantic_monty.MontyConversionError as error:
            fault = Fault("exception", f"An input cannot be given to it: {error}")
        return Ran(None, printed.text(), printed.truncated, fault)


def _fault(error: Any) -> Fault:
    said = str(error.display("type-msg"))[:2000]
    frames = error.traceback()
    line = int(frames[-1].line) if frames else 0
    if isinstance(error, pydantic_monty.MontySyntaxError):
        return Fault("syntax", said, line)
    return Fault(_KINDS.get(said.split(":", 1)[0], "exception"), said, line)


class _Printed:
    """Keeps the beginning of what is printed."""

    def __init__(self) -> None:
        self._kept: list[str] = []
        self._left = LARGEST_PRINT
        self.truncated = False

    def __call__(self, _: str, text: str) -> None:
        if len(text) > self._left:
            self.truncated = True
        if self._left:
            self._kept.append(text[: self._left])
            self._left -= len(self._kept[-1])

    def text(self) -> str:
        return "".join(self._kept)
