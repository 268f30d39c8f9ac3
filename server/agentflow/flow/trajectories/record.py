"""The record of one run, as it is kept, shown and exported for training.

A run builds a `Trajectory` and hands it to the `Recorder` of its call, once, however it ended. What it holds is as
the flow saw it (personal data as tokens); the recorder cleans it once more before anything is written. Money is
counted in whole nano-dollars (1e-9 US dollars).
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import Annotated, Any, Final, Literal, Protocol

from pydantic import Field

from agentflow.flow.types import JSON, Evidence, PlannerOutput, Typed, VerifierOutput

VERSION: Final = 1
Count = Annotated[int, Field(ge=0)]
Seconds = Annotated[float, Field(ge=0)]
Flag = Literal["injection", "blocked"]
Outcome = Literal["complete", "escalated", "failed", "cancelled", "timeout", "budget", "refused"]


class Message(Typed):
    """One message of a prompt."""

    role: str
    content: str


class Exchange(Typed):
    """One request to a model: what it was asked, what it wrote, who served it, and what that cost.

    Attributes:
        id: names the router's decision; purpose: `planner`, `verifier`, …
        output: the text as it came, before it was parsed or repaired.
        valid: whether it could be read as what was asked for.
        seconds: from the request to the whole answer.
    """

    purpose: str = ""
    prompt: list[Message] = Field(default_factory=list)
    output: str = ""
    valid: bool = True
    id: str = ""
    provider: str = ""
    model: str = ""
    tier: str = ""
    prompt_tokens: Count = 0
    completion_tokens: Count = 0
    cost: Count = 0
    cached: bool = False
    seconds: Seconds = 0.0


class ToolCall(Typed):
    """A call that was decided on."""

    tool: str
    arguments: JSON = Field(default_factory=dict)
    purpose: str = ""


class Observation(Typed):
    """What a call gave, in the order of the turn's `calls`: its output, or the kind of error and its text."""

    tool: str
    success: bool
    output: Any = None
    error: str = ""
    message: str = ""
    seconds: Seconds = 0.0


class Refusal(Typed):
    """A call that policy did not allow: the kind of refusal, and the codes of its reasons."""

    turn: Count = 0
    tool: str = ""
    kind: str = ""
    reasons: list[str] = Field(default_factory=list)
    message: str = ""


class Turn(Typed):
    """One turn of a run.

    Attributes:
        turn: from 1; branch: which of the sub-goals worked on side by side, from 0.
        attempt: 0 for a first try, then the number of the repeat; replanned: whether a verdict led to a new plan.
        exchanges: every request to a model that this turn made, in order.
        shown_tools: names of the tools that the planner was shown.
    """

    turn: Annotated[int, Field(ge=1)]
    branch: Count = 0
    attempt: Count = 0
    replanned: bool = False
    plan: PlannerOutput | None = None
    exchanges: list[Exchange] = Field(default_factory=list)
    calls: list[ToolCall] = Field(default_factory=list)
    observations: list[Observation] = Field(default_factory=list)
    verdict: VerifierOutput | None = None
    shown_tools: list[str] = Field(default_factory=list)
    seconds: Seconds = 0.0

    @property
    def tokens(self) -> int:
        """Tokens of prompts and answers together."""
        return sum(e.prompt_tokens + e.completion_tokens for e in self.exchanges)

    @property
    def cost(self) -> int:
        """Nano-dollars."""
        return sum(e.cost for e in self.exchanges)


class Trajectory(Typed):
    """One run.

    Attributes:
        data_id: the run's id (letters, digits, `-`, `_`; at most 64), by which its audit records name it too.
        outcome: how it ended; reason: why, where it is not `complete`.
        reward: what a judge or a user gave it, where one did.
        exchanges: requests to models outside of any turn (the final answer, summaries).
        planner: `offline`, `model` or `local`.
        memories: ids of the long-term memories that the planner was shown.
        flagged: `injection` where the question, or something that the run read, looks like an injected instruction,
            `blocked` where something was withheld for that; set by the recorder. Such a run is not to be learnt from
            unseen.
        started: seconds since the epoch; tenant, principal: whose run it is, set by the recorder.
    """

    version: Literal[1] = VERSION
    data_id: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$")]
    question: str
    answer: str = ""
    confidence: Annotated[float, Field(ge=0, le=1)] = 0.0
    evidence: list[Evidence] = Field(default_factory=list)
    outcome: Outcome = "complete"
    reason: str = ""
    reward: float | None = None
    turns: list[Turn] = Field(default_factory=list)
    exchanges: list[Exchange] = Field(default_factory=list)
    refusals: list[Refusal] = Field(default_factory=list)
    memories: list[str] = Field(default_factory=list)
    flagged: list[Flag] = Field(default_factory=list)
    planner: str = "offline"
    pattern: str = "direct"
    started: float = 0.0
    seconds: Seconds = 0.0
    tenant: str = ""
    principal: str = ""

    def _all(self) -> list[Exchange]:
        return [*(e for turn in self.turns for e in turn.exchanges), *self.exchanges]

    @property
    def tokens(self) -> int:
        """Tokens of prompts and answers of the whole run."""
        return sum(e.prompt_tokens + e.completion_tokens for e in self._all())

    @property
    def cost(self) -> int:
        """Nano-dollars of the whole run."""
        return sum(e.cost for e in self._all())

    @property
    def models(self) -> list[str]:
        """`provider:model` of all that answered, in order of first use."""
        return list(dict.fromkeys(f"{e.provider}:{e.model}" for e in self._all() if e.model))


class Recorder(Protocol):
    """Keeps the record of a run of the call at hand."""

    async def keep(self, trajectory: Trajectory) -> None:
        """Keep a record. Never fails a run: what could not be kept is logged by the recorder."""
        ...


RECORDER: ContextVar[Recorder] = ContextVar("agentflow_recorder")
