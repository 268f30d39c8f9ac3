"""Planner and writer by the small model of this machine, held to a grammar: every plan is valid and allowed.

The grammar is built from the tools that the principal may call, so a denied tool cannot even be spelled. What the model
plans may still be useless; untrained it mostly is. Verdicts come from the rules, and an answer is one of the values
that are really in the results.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from agentflow.flow.chain import call_key
from agentflow.flow.executor import invalid
from agentflow.flow.literals import lex, literals
from agentflow.flow.memory import Memory
from agentflow.flow.port import ToolView
from agentflow.flow.types import Action, Evidence, PlannerOutput, SolverOutput
from agentflow.flow.writer import from_evidence
from agentflow.models.local.client import LocalModel

SHOWN = 12  # tools in a prompt and in the grammar
_VALUES = 120
_ANSWER = {"type": "object", "properties": {"answer": {"type": "string", "minLength": 1}}, "required": ["answer"]}


class LocalPlanner:
    """Plans with the small model.

    Args:
        shown: most tools in a prompt; those nearest to the question.
        copied: whether strings in arguments are only copied from the question and from results.
    """

    def __init__(self, model: LocalModel, shown: int = SHOWN, *, copied: bool = False) -> None:
        self._model, self._shown, self._copied = model, shown, copied

    async def plan(self, memory: Memory, tools: Sequence[ToolView]) -> PlannerOutput:
        views = self._select(memory.query, tools)
        schemas = {view.name: view.input_schema for view in views}
        written = await self._model.plan(prompt(memory, views), schemas, at_hand(memory), copied=self._copied)
        name = written["tool"]
        if name is None:
            return PlannerOutput(current_sub_goal="write the answer", reasoning="the local model plans no further call")
        arguments = written["arguments"]
        made = {call_key(a.tool, a.arguments) for a in memory.executed_actions}
        if call_key(name, arguments) in made:
            return PlannerOutput(
                current_sub_goal=memory.query, reasoning="the local model repeats a call that was made"
            )
        if invalid(schemas[name], arguments) is not None:  # a fuse: the grammar does not let this happen
            return PlannerOutput(current_sub_goal=memory.query, reasoning="the local model's plan was not valid")
        action = Action(tool=name, arguments=arguments)
        return PlannerOutput(
            current_sub_goal=memory.query, selected_tool=name, actions=[action], reasoning="local model"
        )

    def _select(self, question: str, tools: Sequence[ToolView]) -> list[ToolView]:
        if len(tools) <= self._shown:
            return list(tools)
        from agentflow.flow.select_tools import select_tools

        return select_tools(question, tools, self._shown)


class LocalWriter:
    """Answers with a value of the results that the small model picks; surest where the rules find the same."""

    def __init__(self, model: LocalModel) -> None:
        self._model = model

    async def write(self, memory: Memory, tools: Sequence[ToolView]) -> SolverOutput:
        ruled = from_evidence(memory, tools)
        found = _results(memory)
        texts = list(dict.fromkeys([ruled.answer, *(str(e.value) for e in found)]))
        texts = [t for t in texts if t][:_VALUES]
        if not texts:
            return ruled
        written = await self._model.value(_asking(memory), _ANSWER, texts, copied=True)
        answer = str(written["answer"])
        if answer == ruled.answer:
            return ruled
        evidence = [e for e in found if str(e.value) == answer]
        return SolverOutput(answer=answer, confidence=0.3, evidence=evidence[:20])


def prompt(memory: Memory, views: Sequence[ToolView]) -> str:
    """What the small model is told: tools, question, what was called and what came back."""
    lines = [f"{v.name}({', '.join(v.input_schema.get('properties') or {})}): {_first(v.description)}" for v in views]
    system = "Choose the next tool call, or null when the results answer the question.\nTools:\n" + "\n".join(lines)
    return f"{_turn('system', system)}{_turn('user', _said(memory))}<|im_start|>assistant\n"


def _asking(memory: Memory) -> str:
    system = "Answer the question with a value out of the results."
    return f"{_turn('system', system)}{_turn('user', _said(memory))}<|im_start|>assistant\n"


def _said(memory: Memory) -> str:
    return _plain(memory.get_context_summary(6_000))


def _turn(role: str, text: str) -> str:
    return f"<|im_start|>{role}\n{_plain(text)}<|im_end|>\n"


def _plain(text: str) -> str:
    """Text without the model's own marks: what a tool returned cannot open a turn."""
    return text.replace("<|im_start|>", "<im_start>").replace("<|im_end|>", "<im_end>").replace("<|endoftext|>", "")


def _first(description: str) -> str:
    return (description or "").strip().splitlines()[0][:100] if (description or "").strip() else ""


def at_hand(memory: Memory) -> list[Any]:
    """Scalars that arguments may copy: of the question, of what the caller brought, of the results, newest first."""
    values: list[Any] = [literal.value for literal in literals(lex(memory.query))]
    values += [v for v in memory.knowledge.values() if isinstance(v, str | int | float)]
    values += [e.value for e in _results(memory)]
    unique = {(type(v).__name__, v): v for v in values if not isinstance(v, str) or 0 < len(v) <= 200}
    return list(unique.values())[:_VALUES]


def _results(memory: Memory) -> list[Evidence]:
    found: list[Evidence] = []
    for action in reversed(memory.executed_actions):
        queue: list[tuple[str, Any]] = [("", action.output)] if action.success else []
        while queue:
            path, value = queue.pop(0)
            if isinstance(value, dict):
                queue += [(f"{path}/{k}", v) for k, v in value.items()]
            elif isinstance(value, list):
                queue += [(f"{path}/{i}", v) for i, v in enumerate(value[:50])]
            elif isinstance(value, str | int | float) and not isinstance(value, bool):
                found.append(Evidence(tool=action.tool, path=path, value=value))
    return found[: 4 * _VALUES]
