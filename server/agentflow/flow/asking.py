"""Questions to the person at the client, when a run is stuck without them.

Promises: few questions in a run, one at a time, each open for so long only; plain text without control characters, cut
to size; the answer is data. By rules a form is made for the arguments that the tool nearest to the question lacks; a
planner that is a model asks in its own words (the action `ask_user`). Refuses: to take silence, or a refusal, for an
answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Any

from agentflow.errors import AgentFlowError, AuditUnavailable
from agentflow.flow.catalogue import Catalogue, Param, Tool
from agentflow.flow.executor import ASK_USER
from agentflow.flow.memory import Memory
from agentflow.flow.port import JSON, Caller
from agentflow.flow.question import read
from agentflow.flow.types import Action, ActionError, ActionResult
from agentflow.flow.words import best_alike, stem, stems

MAX_QUESTIONS = 3
_LONGEST = 4000  # characters of an answer
_PLAIN = frozenset({"string", "number", "integer", "boolean"})


@dataclass(frozen=True, slots=True)
class Form:
    """What a person is asked: a sentence, and the JSON schema of the answer."""

    message: str
    schema: JSON


def free_form(question: str) -> Form:
    """A question in words, to be answered in words."""
    text = "".join(c if c.isprintable() else " " for c in question)[:500].strip()
    answer = {"type": "string", "title": "Answer", "maxLength": _LONGEST}
    return Form(text, {"type": "object", "properties": {"answer": answer}, "required": ["answer"]})


def missing_arguments(memory: Memory, catalogue: Catalogue) -> Form | None:
    """A form for what the tool nearest to the question needs and nobody said, or None where that would not help."""
    question = read(memory.query)
    tool = _nearest(memory, catalogue)
    if tool is None:
        return None
    wanted = [p for p in tool.required() if p.name not in memory.knowledge]
    if not wanted or len(wanted) > 5 or any(p.type not in _PLAIN for p in wanted):
        return None
    given = {str(literal.value) for literal in question.literals}
    if len(wanted) == 1 and given:
        return None  # the question names a value, and it did not fit: asking for the same again helps nobody
    fields = ", ".join(_spoken(p) for p in wanted)
    message = f"To go on with “{memory.query[:200]}” I need: {fields}."
    properties = {p.name: _field(p) for p in wanted}
    return Form(message, {"type": "object", "properties": properties, "required": [p.name for p in wanted]})


def _nearest(memory: Memory, catalogue: Catalogue) -> Tool | None:
    question = read(memory.query)
    acting = question.operation == "action"
    for tool, _ in catalogue.search(memory.query, 5):
        if tool.read_only is acting or not any(best_alike(word, tool.nouns) for word in question.words):
            continue
        if acting and stem(question.verb) not in {stem(tool.verb), *stems(tool.view.name)}:
            continue
        return tool
    return None


def _spoken(param: Param) -> str:
    return str(param.schema.get("title") or param.name.replace("_", " "))[:100]


def _field(param: Param) -> JSON:
    shown: JSON = {"type": param.type, "title": _spoken(param)}
    if isinstance(about := param.schema.get("description"), str):
        shown["description"] = about[:300]
    if param.type == "string" and param.enum and all(isinstance(value, str) for value in param.enum):
        shown["enum"] = param.enum[:50]
    return shown


@dataclass(slots=True)
class Asking:
    """The questions of one run.

    Args:
        paused: a context in which the run's deadline does not run on.
        patience: seconds for one answer.
    """

    caller: Caller
    enabled: bool
    paused: Any  # () -> AbstractAsyncContextManager
    patience: float = 240.0
    asked: int = 0
    _one: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def possible(self) -> bool:
        """Whether a person may be asked (again)."""
        return self.enabled and self.asked < MAX_QUESTIONS

    async def ask(self, form: Form) -> JSON | None:
        """Put a form to the person; None where nobody answers it."""
        async with self._one:
            if not self.possible:
                return None
            self.asked += 1
            pause: AbstractAsyncContextManager[None] = self.paused()
            async with pause:
                answer = await self._answer(form)
            if answer is None:
                self.enabled = False  # who declines once is not asked again in this run
                return None
        known = {name: value for name, value in answer.items() if name in form.schema["properties"]}
        plain = {name: value for name, value in known.items() if isinstance(value, str | int | float | bool)}
        return {n: value[:_LONGEST] if isinstance(value, str) else value for n, value in plain.items()} or None

    async def _answer(self, form: Form) -> JSON | None:
        waiting = asyncio.timeout(self.patience)
        try:
            async with waiting:
                return await self.caller.ask(form.message, form.schema)
        except TimeoutError:
            if not waiting.expired():
                raise
            return None
        except AuditUnavailable:
            raise
        except AgentFlowError:  # policy or guard let the question, or its answer, not pass: nobody has answered
            return None

    async def act(self, action: Action) -> ActionResult:
        """The action `ask_user`: its result is what the person said."""
        answer = await self.ask(free_form(str(action.arguments.get("question", ""))))
        if answer is None:
            error = ActionError(kind="declined", message="the person did not answer, or cannot be asked")
            return ActionResult(tool=ASK_USER, arguments=action.arguments, success=False, error=error)
        return ActionResult(tool=ASK_USER, arguments=action.arguments, success=True, output=answer["answer"])


def forms(memory: Memory, catalogue: Catalogue, reason: str, *, by_model: bool) -> Sequence[Form]:
    """What to ask when a run is stuck: by rules only a form for missing arguments, for a model also plain words."""
    if any(not a.success for a in memory.executed_actions):
        return ()
    form = missing_arguments(memory, catalogue)
    if form is not None:
        return (form,)
    return (free_form(f"I am stuck with “{memory.query[:200]}”: {reason}. What should I know?"),) if by_model else ()
