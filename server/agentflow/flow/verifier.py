"""Verdicts on a turn: by rules, or by a model held to the rules.

The rules read only facts: which calls failed, what came back empty, what of the question is accounted for. A
model's verdict can never claim more than the facts allow, and where a result carries text that addresses the
judge ("verifier: success"), the rules alone decide (`flow.swaying`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from agentflow.flow.answer import Answer
from agentflow.flow.memory import ExecutedAction, Memory
from agentflow.flow.offline import answers
from agentflow.flow.port import ToolView
from agentflow.flow.question import Question
from agentflow.flow.results import empty
from agentflow.flow.swaying import addresses_judge
from agentflow.flow.types import VerifierOutput

PATIENCE = 2  # failed turns in a row before a person is asked, where nobody says otherwise


class Verifier(Protocol):
    """Judges the current turn of a memory. `RuleVerifier` and `ModelVerifier` implement it."""

    async def verify(self, memory: Memory, tools: Sequence[ToolView]) -> VerifierOutput:
        """Return the verdict.

        Raises:
            AgentFlowError: no verdict could be had from the model.
        """
        ...


class RuleVerifier:
    """Judges by errors, emptiness, and whether the question is accounted for.

    Args:
        patience: failed turns in a row before a person is asked.
    """

    def __init__(self, patience: int = PATIENCE) -> None:
        self._patience = patience

    async def verify(self, memory: Memory, tools: Sequence[ToolView]) -> VerifierOutput:
        return judge(memory, tools, self._patience)


def judge(memory: Memory, tools: Sequence[ToolView], patience: int = PATIENCE) -> VerifierOutput:
    """The rules' verdict on the current turn."""
    turn = memory.this_turn()
    wrong = [a for a in turn if not a.success]
    parts = answers(memory.query, memory.executed_actions, tools)
    execution = _execution(turn)
    known = _known(parts)
    if parts and all(answer is not None and answer.complete for _, answer in parts):
        return _verdict(execution, known, "success", "complete", "the results account for the whole question")
    if not turn:
        return _nothing_to_do(execution, known, memory, parts)
    if wrong and len(wrong) == len(turn):
        return _all_failed(execution, known, memory, wrong, patience)
    if wrong:
        return _verdict(execution, known, "partial", "continue", _diagnosis(wrong))
    if all(empty(a.output) for a in turn):
        return _verdict(execution, known, "partial", "continue", "nothing was found; another tool or wording is needed")
    return _verdict(execution, known, "success", "continue", known)


def _verdict(execution: str, memory: str, status: Any, following: Any, reasoning: str) -> VerifierOutput:
    return VerifierOutput(
        execution_analysis=execution,
        memory_analysis=memory,
        verification_status=status,
        next_action=following,
        reasoning=reasoning,
    )


def _nothing_to_do(
    execution: str, known: str, memory: Memory, parts: list[tuple[Question, Answer | None]]
) -> VerifierOutput:
    if all(answer is not None and not answer.astray for _, answer in parts):
        return _verdict(execution, known, "partial", "complete", "no call would add to what is known")
    failures = [a for a in memory.executed_actions if not a.success]
    why = _diagnosis(failures) if failures else "no tool at hand leads to an answer"
    return _verdict(execution, known, "failure", "escalate", why)


def _all_failed(
    execution: str, known: str, memory: Memory, wrong: list[ExecutedAction], patience: int
) -> VerifierOutput:
    if any(a.error is not None and a.error.retryable for a in wrong):
        return _verdict(execution, known, "failure", "retry", _diagnosis(wrong))
    earlier = [v.verification_status for v in reversed(memory.verifications)][: patience - 1]
    if len(earlier) == patience - 1 and all(status == "failure" for status in earlier):
        return _verdict(execution, known, "failure", "escalate", _diagnosis(wrong))
    return _verdict(execution, known, "failure", "continue", _diagnosis(wrong))


def _execution(turn: Sequence[ExecutedAction]) -> str:
    if not turn:
        return "no call was made in this turn"
    good = sum(a.success for a in turn)
    wrong = _diagnosis([a for a in turn if not a.success])
    return f"{good} of {len(turn)} calls succeeded" + (f"; {wrong}" if wrong else "")


def _diagnosis(failures: Sequence[ExecutedAction]) -> str:
    reasons = ((a.tool, f"{a.error.kind}: {a.error.message}" if a.error else "failed") for a in failures)
    return "; ".join(f"{tool}: {reason}" for tool, reason in reasons)[:1000]


def _known(parts: list[tuple[Question, Answer | None]]) -> str:
    lines = []
    for question, answer in parts:
        if answer is None:
            lines.append(f"nothing yet for: {question.text}")
        elif answer.complete:
            lines.append(f"answered: {question.text}")
        else:
            lines.append(f"not accounted for: {', '.join(answer.missing) or 'the field asked for'}")
    return "; ".join(lines)


def veto(
    verdict: VerifierOutput, memory: Memory, tools: Sequence[ToolView], ruled: VerifierOutput | None = None
) -> VerifierOutput:
    """Hold a model's verdict to the facts; what was overruled is said in its reasoning.

    Args:
        ruled: the rules' verdict, where it is known.
    """
    ruled = ruled or judge(memory, tools)
    turn = memory.this_turn()
    if addresses_judge(memory.executed_actions):
        return overrule(verdict, ruled.verification_status, ruled.next_action, "a tool result addresses the judge")
    if not any(a.success and not empty(a.output) for a in memory.executed_actions):
        following = ruled.next_action if verdict.next_action == "complete" else verdict.next_action
        return overrule(verdict, "failure", following, "no call has given any data")
    if turn and not any(a.success for a in turn):
        following = "continue" if verdict.next_action == "complete" else verdict.next_action
        return overrule(verdict, "failure", following, "every call of this turn failed")
    if any(not a.success for a in turn) and verdict.verification_status == "success":
        return overrule(verdict, "partial", verdict.next_action, "a call of this turn failed")
    return verdict


def overrule(verdict: VerifierOutput, status: Any, following: Any, why: str) -> VerifierOutput:
    """The verdict with other conclusions, and in its reasoning why."""
    if (verdict.verification_status, verdict.next_action) == (status, following):
        return verdict
    was = f"{verdict.verification_status}/{verdict.next_action}"
    changes = {
        "verification_status": status,
        "next_action": following,
        "reasoning": f"overruled ({was} → {status}/{following}): {why}. {verdict.reasoning}",
    }
    return verdict.model_copy(update=changes)
