"""Writes the answer of a finished run, with the evidence it rests on and a confidence computed from it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from agentflow.flow.memory import Memory
from agentflow.flow.offline import answers
from agentflow.flow.port import ToolView
from agentflow.flow.types import SolverOutput


class Writer(Protocol):
    """Turns a memory into an answer. `EvidenceWriter` and `ModelWriter` implement it."""

    async def write(self, memory: Memory, tools: Sequence[ToolView]) -> SolverOutput:
        """Return the answer.

        Raises:
            AgentFlowError: no answer could be had from the model.
        """
        ...


class EvidenceWriter:
    """Takes the answer's values out of the results; nothing is phrased that is not in them."""

    async def write(self, memory: Memory, tools: Sequence[ToolView]) -> SolverOutput:
        return from_evidence(memory, tools)


def from_evidence(memory: Memory, tools: Sequence[ToolView]) -> SolverOutput:
    """The answer by extraction: one text per part of the question; confidence is that of the weakest part."""
    parts = answers(memory.query, memory.executed_actions, tools)
    found = [answer for _, answer in parts if answer is not None]
    text = "; ".join(answer.text() for answer in found)
    confidence = min((answer.confidence for answer in found), default=0.0)
    if len(found) < len(parts):
        confidence *= len(found) / len(parts)
    evidence = [item for answer in found for item in answer.evidence]
    return SolverOutput(answer=text, confidence=round(confidence, 2), evidence=evidence[:100])
