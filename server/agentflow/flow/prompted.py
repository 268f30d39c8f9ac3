"""Planner, verifier and writer by a chat model, each held to what can be checked without one.

What tools returned goes into prompts between the run's marks, as data. PII tokens are passed on as they are, and the
model is told to leave them so. Plans are checked against the catalogue and the tools' schemas, verdicts against
the facts, answers against their evidence. Each conversation is append-only (`flow.transcript`); one that has grown
past `COMPACT` is begun anew from the memory's summary.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from typing import Any, TypeVar

from agentflow.flow.account import Pieces
from agentflow.flow.catalogue import Catalogue, catalogue_of
from agentflow.flow.executor import ASK_USER, invalid
from agentflow.flow.memory import ExecutedAction, Memory
from agentflow.flow.port import ToolView
from agentflow.flow.prompts import FORK, PLAN, RULES, VERIFY, WRITE, news, opening, tool_line
from agentflow.flow.streaming import AnswerText
from agentflow.flow.swaying import addresses_judge, doubtful, withheld
from agentflow.flow.transcript import Transcript, schema_of
from agentflow.flow.types import JSON, Action, Evidence, PlannerOutput, SolverOutput, Step, VerifierOutput
from agentflow.flow.verifier import judge, overrule, veto

SHOWN = 20  # tools in a prompt
COMPACT = 60_000  # characters of a conversation, from which it is begun anew
_SECOND_LOOK = "second look"
_SUMMARY = 24_000  # characters of a memory's summary in a prompt

Plan = TypeVar("Plan", bound=PlannerOutput)


def begun(memory: Memory, name: str, tools: Sequence[ToolView] | None, upto: int, *, may_ask: bool = False) -> str:
    """What the next prompt of a conversation tells: its beginning, or what is new since the last prompt."""
    thread = memory.thread
    transcript = thread.of(name)
    if transcript.size > COMPACT:
        transcript = thread.transcripts[name] = Transcript()
    if transcript.messages:
        return news(memory, transcript, upto)
    parts = [opening(memory, tools, may_ask=may_ask)]
    if any(a.turn <= upto for a in memory.executed_actions):
        parts.append("What was done so far:\n" + thread.data(memory.get_context_summary(_SUMMARY)))
    transcript.turn = upto
    return "\n\n".join(parts)


class ModelPlanner:
    """Plans with a chat model; the tools nearest to the question are in the prompt.

    Args:
        shown: most tools in a prompt.
        forks: whether a step may name independent sub-goals.
        may_ask: whether the person at the client can be asked.
    """

    def __init__(self, shown: int = SHOWN, *, forks: bool = False, may_ask: bool = False) -> None:
        self._shown, self._forks, self.may_ask = shown, forks, may_ask

    async def plan(self, memory: Memory, tools: Sequence[ToolView]) -> PlannerOutput:
        if memory.thread.shown is None:
            from agentflow.flow import select_tools

            await select_tools.read(tools)
        kind: type[PlannerOutput] = Step if self._forks and not memory.thread.branch else PlannerOutput
        step = await self.decide(memory, tools, kind)
        if step.selected_tool is None and not getattr(step, "independent", None):
            others = self._others(memory, tools, step)
            if others:
                listing = memory.thread.data("\n".join(tool_line(view) for view in others))
                memory.thread.advice.append(f"These tools are at hand as well; perhaps one helps:\n{listing}")
                return await self.decide(memory, tools, kind)
        return step

    async def decide(self, memory: Memory, tools: Sequence[ToolView], kind: type[Plan]) -> Plan:
        """One answer of the kind `kind` to what is new since the last prompt."""
        catalogue = catalogue_of(tools)
        text = self.prompt(memory, tools, f"Choose the step of turn {memory.turn}.")
        return await memory.thread.ask(
            "planner",
            "planner",
            PLAN + (FORK if self._forks else "") + RULES,
            text,
            kind,
            check=lambda step: wrong(step, catalogue, may_ask=self.may_ask),
            schema=self.schema(memory, kind),
        )

    def prompt(self, memory: Memory, tools: Sequence[ToolView], order: str) -> str:
        """The next prompt of the planner's conversation: what is new, advice, and what is to be done now."""
        thread = memory.thread
        if thread.shown is None:
            thread.shown = tuple(self._select(memory.query, tools, thread.known_tools))
        text = begun(memory, "planner", thread.shown, memory.turn - 1, may_ask=self.may_ask)
        advice, thread.advice = thread.advice, []
        return "\n\n".join([part for part in (text, *advice) if part] + [order])

    def _select(self, question: str, tools: Sequence[ToolView], known: Sequence[str] = ()) -> list[ToolView]:
        from agentflow.flow.select_tools import select_tools  # the encoder's vectors: only where a model plans

        return select_tools(question, tools, self._shown, known=known)

    def schema(self, memory: Memory, kind: type[PlannerOutput]) -> JSON:
        """The JSON schema of a step, its tools named: a model that is held to it can name no other."""
        schema = deepcopy(schema_of(kind))
        names = [view.name for view in memory.thread.shown or ()] + ([ASK_USER] if self.may_ask else [])
        if names:
            schema["properties"]["selected_tool"] = {"anyOf": [{"type": "string", "enum": names}, {"type": "null"}]}
            schema["$defs"]["Action"]["properties"]["tool"] = {"type": "string", "enum": names}
        return schema

    def _others(self, memory: Memory, tools: Sequence[ToolView], step: PlannerOutput) -> list[ToolView]:
        """Tools not shown yet that fit the sub-goal for which the planner found none; once for a run's line."""
        thread = memory.thread
        shown = {view.name for view in thread.shown or ()}
        if len(tools) <= len(shown) or len(shown) > self._shown or not step.current_sub_goal:
            return []
        found = [v for v in self._select(step.current_sub_goal, tools) if v.name not in shown]
        thread.shown = (*(thread.shown or ()), *found)
        return found


def wrong(step: PlannerOutput, catalogue: Catalogue, *, may_ask: bool = False) -> str | None:
    """What is wrong with a plan, or None."""
    if step.selected_tool is None:
        return "actions must be empty when selected_tool is null" if step.actions else None
    if not step.actions:
        return "actions is empty although a tool is selected"
    for action in step.actions:
        if action.tool != step.selected_tool:
            return f"actions use {action.tool!r} although {step.selected_tool!r} is selected"
        problem = wrong_call(action, catalogue, may_ask=may_ask)
        if problem is not None:
            return problem
    return None


def wrong_call(action: Action, catalogue: Catalogue, *, may_ask: bool = False) -> str | None:
    """What is wrong with a call, or None."""
    tool = catalogue.tool(action.tool)
    if tool is None and may_ask and action.tool == ASK_USER:
        asked = action.arguments.get("question")
        return None if isinstance(asked, str) and asked.strip() else f"arguments of {ASK_USER}: question is missing"
    if tool is None:
        return f"there is no tool {action.tool!r}"
    problem = invalid(tool.view.input_schema, action.arguments)
    return f"arguments of {action.tool}: {problem}" if problem is not None else None


class ModelVerifier:
    """A model's verdict with a deterministic veto (`verifier.veto`).

    Where the model would end the run, the rules would not, and a result holds text that may be meant to sway, it is
    asked a second time, without that text; where it then says otherwise the rules decide.
    """

    async def verify(self, memory: Memory, tools: Sequence[ToolView]) -> VerifierOutput:
        verdict = await self._judged("verifier", memory)
        ruled = judge(memory, tools)
        ends = verdict.next_action in ("complete", "escalate") and verdict.next_action != ruled.next_action
        if ends and doubtful(memory.executed_actions) and not addresses_judge(memory.executed_actions):
            seen = memory.model_copy(update={"executed_actions": [withheld(a) for a in memory.executed_actions]})
            memory.thread.transcripts.pop(_SECOND_LOOK, None)
            second = await self._judged(_SECOND_LOOK, seen.on(memory.thread))
            if second.next_action != verdict.next_action:
                why = "it does not outlive that a result's text is withheld"
                return overrule(verdict, ruled.verification_status, ruled.next_action, why)
        return veto(verdict, memory, tools, ruled)

    @staticmethod
    async def _judged(name: str, memory: Memory) -> VerifierOutput:
        text = begun(memory, name, None, memory.turn)
        order = f"{text}\n\nJudge turn {memory.turn}."
        return await memory.thread.ask(name, "verifier", VERIFY + RULES, order, VerifierOutput)


class ModelWriter:
    """A model's answer; only evidence that is really there is kept, and the confidence is cut to its share.

    Args:
        pieces: is told the answer's text as the model writes it.
    """

    def __init__(self, pieces: Pieces | None = None) -> None:
        self._pieces = pieces

    async def write(self, memory: Memory, tools: Sequence[ToolView]) -> SolverOutput:
        pieces = AnswerText(self._pieces) if self._pieces is not None else None
        text = begun(memory, "solver", None, memory.turn)
        advice, memory.thread.advice = memory.thread.advice, []
        prompt = "\n\n".join([part for part in (text, *advice) if part] + ["Write the answer."])
        written = await memory.thread.ask(
            "solver", "solver", WRITE + RULES, prompt, SolverOutput, pieces=pieces.feed if pieces else None
        )
        if pieces is not None:
            await pieces.close()
        return grounded(written, memory.executed_actions)


def grounded(written: SolverOutput, actions: Sequence[ExecutedAction]) -> SolverOutput:
    """An answer with the evidence that is really there, and a confidence that this evidence bears."""
    real = [item for cited in written.evidence if (item := _found(cited, actions)) is not None]
    share = len(real) / len(written.evidence) if written.evidence else 0.0
    stated = any(_says(written.answer, item.value) for item in real)
    ceiling = 0.95 if stated else 0.6 if real else 0.2
    confidence = round(min(written.confidence * share if real else written.confidence, ceiling), 2)
    return SolverOutput(answer=written.answer, confidence=confidence, evidence=real)


def _says(answer: str, value: Any) -> bool:
    return isinstance(value, str | int | float) and str(value).casefold() in answer.casefold()


def _found(cited: Evidence, actions: Sequence[ExecutedAction]) -> Evidence | None:
    """The cited evidence with the value that really stands there, or None."""
    for action in reversed(actions):
        if action.tool != cited.tool or not action.success:
            continue
        for path in (cited.path, f"/{cited.path.lstrip('/$.').replace('.', '/')}"):
            present, value = pointer(action.output, path)
            if present and (cited.value is None or value == cited.value or str(value) == str(cited.value)):
                return Evidence(tool=cited.tool, path=path, value=value)
    return None


def pointer(data: Any, path: str) -> tuple[bool, Any]:
    """Resolve a JSON pointer (RFC 6901): (whether it is there, the value)."""
    for step in path.split("/")[1:] if path not in ("", "/") else ():
        key = step.replace("~1", "/").replace("~0", "~")
        if isinstance(data, dict) and key in data:
            data = data[key]
        elif isinstance(data, list) and key.isdecimal() and int(key) < len(data):
            data = data[int(key)]
        else:
            return False, None
    return True, data
