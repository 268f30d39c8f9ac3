"""The typed messages that planner, executor, verifier and solver exchange (FEATURES P04–P07).

Names and enums are those of AgentFlow (arXiv 2510.05592). What a model writes becomes one of these or is
refused; no decision is ever read out of prose, so "do not stop" cannot be taken for a stop.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

JSON = dict[str, Any]

Status = Literal["success", "partial", "failure"]
Next = Literal["continue", "retry", "escalate", "complete"]


class Typed(BaseModel):
    """Base of all flow types: unknown members are refused."""

    model_config = ConfigDict(extra="forbid")


class Action(Typed):
    """One call to make: a tool's name as the catalogue shows it, and its arguments."""

    tool: Annotated[str, Field(min_length=1, max_length=512)]
    arguments: JSON = Field(default_factory=dict)
    purpose: str = ""


class PlannerOutput(Typed):
    """One step. `selected_tool` is null and `actions` empty when there is nothing (more) to call."""

    current_sub_goal: str
    selected_tool: str | None = None
    required_skills: list[str] = Field(default_factory=list)
    actions: Annotated[list[Action], Field(max_length=50)] = Field(default_factory=list)
    reasoning: str = ""


class Step(PlannerOutput):
    """A step of a run that may fork.

    Attributes:
        independent: further sub-goals that need nothing of this step's results, worked on beside it.
    """

    independent: Annotated[list[Annotated[str, Field(min_length=1, max_length=4000)]], Field(max_length=16)] = Field(
        default_factory=list
    )


class ActionError(Typed):
    """Why an action failed. `kind` is an `AgentFlowError` kind, `tool_error` for a result with isError,
    `not_repeated` for a call that was not made because the same one has, or may have, taken effect, or `declined` for a
    question that nobody answered. `reasons` are the codes that a refusal gives."""

    kind: str
    message: str
    retryable: bool = False
    reasons: list[str] = Field(default_factory=list)


class ActionResult(Typed):
    """What one action gave: `output` is the tool's data (structured where it is), `error` why there is none."""

    tool: str
    arguments: JSON = Field(default_factory=dict)
    success: bool
    output: Any = None
    error: ActionError | None = None


class ExecutorOutput(Typed):
    """The calls that were really made, one result per given action in the same order, and a summary."""

    commands: list[Action] = Field(default_factory=list)
    results: list[ActionResult] = Field(default_factory=list)
    context: str = ""


class VerifierOutput(Typed):
    """The verdict on a turn: what the execution gave, what memory now holds, and what to do next."""

    execution_analysis: str
    memory_analysis: str
    verification_status: Status
    next_action: Next
    reasoning: str = ""


class Evidence(Typed):
    """A value and where it came from: the tool, and a JSON pointer into its output."""

    tool: str
    path: str
    value: Any = None


class SolverOutput(Typed):
    """The answer. `confidence` (0–1) is computed from the evidence, never taken from a model's word alone."""

    answer: str
    confidence: Annotated[float, Field(ge=0, le=1)]
    evidence: list[Evidence] = Field(default_factory=list)


class Solution(SolverOutput):
    """A whole run: the answer, and how the run ended.

    Attributes:
        status: `complete`, or `escalated` when a person has to take over; then `reason` says why.
        turns: turns used, those of branches included.
        run: names the run's record (`agentflow trajectories show`).
        pattern: how the planner reasoned.
        tokens, cost: what its models used: tokens, US dollars; models: which, as `provider:model`.
    """

    status: Literal["complete", "escalated"]
    reason: str = ""
    turns: int = 0
    run: str = ""
    pattern: str = "direct"
    tokens: int = 0
    cost: float = 0.0
    models: list[str] = Field(default_factory=list)
