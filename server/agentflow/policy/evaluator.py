"""The port of what evaluates Rego: one program, compiled once, asked many times.

An evaluator promises an answer or a typed fault within the time given, whatever the policy does, and refuses a
program that does not compile. `process.py` evaluates in a process that can be killed, `inside.py` in a thread of
this one; `bounded.py` says which programs may be given to the latter.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol


class Fault(Exception):
    """The question got no usable answer. `code` is the reason code a denial carries."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class CompileFailed(Exception):
    """The Rego compiler refused the bundle; the text is the compiler's own."""


@dataclass(frozen=True, slots=True)
class Program:
    """What is evaluated: module texts by file name, base documents, and what may be asked for."""

    modules: dict[str, str]
    data: dict[str, Any]
    entrypoints: tuple[str, ...]


class Evaluator(Protocol):
    """Evaluates one program. Safe to use from several threads; questions are answered one after the other."""

    def ask(self, entrypoint: str, document: bytes, timeout: float) -> bytes:
        """Return the value of `entrypoint` for `document`, both as JSON.

        Args:
            timeout: seconds, not counting the wait for other questions.

        Raises:
            Fault: with the code `policy_undefined`, `policy_error` or `policy_timeout`.
        """
        ...

    def close(self) -> None:
        """Free what it holds; questions asked later are refused. Idempotent."""
        ...


def value_of(entrypoint: str, kind: bytes, body: bytes) -> bytes:
    """Return the value in an answer of `worker.Rego`.

    Raises:
        Fault: the answer holds none.
    """
    if kind == b"V":
        return body
    if kind == b"U":
        raise Fault("policy_undefined", f"the policy gives no value for {entrypoint}")
    raise Fault("policy_error", f"the policy failed: {body.decode('utf-8', 'replace')[:300]}")


def late(timeout: float) -> Fault:
    """The fault of a policy that did not decide in time."""
    return Fault("policy_timeout", f"the policy did not decide within {timeout:g} s")
