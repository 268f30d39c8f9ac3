"""What a sandbox is given and gives back; between gateway and child both travel as JSON."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

JSON = dict[str, Any]
FaultKind = Literal["syntax", "exception", "timeout", "memory", "recursion", "too_large", "crashed"]

LONGEST_CODE = 100_000  # characters
LARGEST_INPUT = 1_000_000  # bytes of JSON
LARGEST_RESULT = 262_144
LARGEST_PRINT = 65_536


@dataclass(frozen=True, slots=True)
class Program:
    """Code to run once.

    Attributes:
        code: Python; its value is that of its last expression.
        inputs: variables that it begins with (JSON).
        timeout: seconds; memory: bytes.
    """

    code: str
    inputs: JSON
    timeout: float
    memory: int


@dataclass(frozen=True, slots=True)
class Fault:
    """Why there is no value: what kind of thing went wrong, a sentence, and the line of the code, 0 if unknown."""

    kind: FaultKind
    message: str
    line: int = 0


@dataclass(frozen=True, slots=True)
class Ran:
    """How a program ended.

    Attributes:
        result: its value as JSON (`values.plain`).
        printed: what it printed, as far as it was kept; `truncated` where that is not all.
    """

    result: Any = None
    printed: str = ""
    truncated: bool = False
    fault: Fault | None = field(default=None)


class Engine(Protocol):
    """Runs programs, in the child. `monty` and `wasi` have one each."""

    def prepare(self) -> None:
        """Do what takes long and is needed once per installation."""
        ...

    def run(self, program: Program) -> Ran:
        """Run a program; never raises for what the program does."""
        ...
