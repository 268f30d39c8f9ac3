"""The port every stage implements (vocabulary of SEP-1763, MCP interceptors).

A stage is one file in `pipeline/stages/`. A *validator* may refuse by raising an `AgentFlowError`; a
*mutator* may replace `message.body`. What a stage concluded is its return value; the chain times it and
writes it into the call's record, so a stage cannot silently not run.
"""

from __future__ import annotations

from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Literal, Protocol

from agentflow.pipeline.call import JSON, Call, Direction, Message, Verdict


@dataclass(frozen=True, slots=True)
class Note:
    """A stage's conclusion. `detail` goes into the audit record: it never holds a clear PII value."""

    verdict: Verdict = Verdict.PASS
    detail: JSON | None = None


PASS = Note()
SKIPPED = Note(Verdict.SKIPPED)


class Stage(Protocol):
    """One link of the chain.

    Attributes:
        name: unique, as in configuration and records.
        kind: `validator` or `mutator`.
        directions: the directions it wants to see.

    A stage with an `own_timeout` that is true bounds its waiting itself: the configured timeout does not end it.
    """

    @property
    def name(self) -> str: ...

    @property
    def kind(self) -> Literal["validator", "mutator"]: ...

    @property
    def directions(self) -> frozenset[Direction]: ...

    def __call__(self, call: Call, message: Message) -> Note | Awaitable[Note]:
        """Look at one message.

        Returns:
            A `Note`; return `SKIPPED` where the surface is none of the stage's business.
            Plain (not a coroutine) wherever the work is not I/O: an await costs more than most checks.

        Raises:
            AgentFlowError: a validator refuses the message. Any other exception counts as a crash.
        """
        ...
