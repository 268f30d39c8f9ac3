"""What the flow itself costs: CPU per turn without the time of models and tools, by pattern and size of the catalogue.

    python benchmarks/flow.py                    # every pattern, 20 and 2,000 tools
    python benchmarks/flow.py --runs 30

Models and tools answer at once, by script; what is left is the flow's own work: prompts, validation, verdicts, memory,
the record. The first run of each row (which reads the catalogue and the encoder) is not counted. CPU time of this
process, median over the runs; the bound is 10 ms a turn.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).parents[1] / "server"))

from agentflow.config_flow import FlowConfig, Pattern
from agentflow.flow import service
from agentflow.flow.port import CALLER, ToolView, Who
from agentflow.flow.service import RunOptions
from agentflow.flow.settings import SETTINGS
from agentflow.models.port import MODELS, Answered, ChatRequest

JSON = dict[str, Any]
PATTERNS: tuple[Pattern, ...] = (
    "direct",
    "chain-of-thought",
    "react",
    "tree-of-thought",
    "reflection",
    "plan-and-solve",
)
TURNS = 5
_ORDERS = [{"id": f"O-{n}", "customer_id": "C-1", "status": "shipped", "total": n * 1.5} for n in range(50)]
QUESTION = "What is the status of the order O-7 of the customer C-1?"


class Desk:
    """A caller whose tools answer at once."""

    who, can_ask = Who("default", "bench"), False

    def __init__(self, tools: int) -> None:
        schema = {"type": "object", "properties": {"order_id": {"type": "string"}}, "required": ["order_id"]}
        about = {"readOnlyHint": True}
        things = ("invoice", "parcel", "ticket", "room", "device", "course", "patient", "route", "recipe", "asset")
        names = [f"s{n}__get_{things[n % len(things)]}_{n}" for n in range(tools - 1)]
        self._views = [
            ToolView(name, "", f"One {name.split('_')[-2]} of the list.", schema, None, about, name[:2])
            for name in names
        ]
        self._views.append(ToolView("shop__get_order", "", "An order with its status.", schema, None, about, "shop"))

    async def tools(self) -> list[ToolView]:
        return self._views

    async def call(self, name: str, arguments: JSON) -> JSON:
        return {"structuredContent": {"result": _ORDERS}, "content": []}

    async def note(self, event: str, detail: JSON) -> None:
        json.dumps(detail)

    async def ask(self, message: str, schema: JSON) -> JSON | None:
        return None


class Script:
    """Models that answer at once: each turn another call, complete after `TURNS`."""

    def __init__(self) -> None:
        self.turn = 0

    async def complete(self, request: ChatRequest) -> Answered:
        wanted = (request.schema or {}).get("title", "")
        return Answered(json.dumps(self._answer(wanted, request)), "d", "m", "p", "silver", "stop", 100, 50, 10)

    async def stream(self, request: ChatRequest) -> AsyncIterator[str | Answered]:
        yield await self.complete(request)

    async def outcome(self, ids: Sequence[str], reward: float) -> None: ...

    def _step(self) -> JSON:
        self.turn += 1
        call = {"tool": "shop__get_order", "arguments": {"order_id": f"O-{self.turn}"}}
        return {"current_sub_goal": f"step {self.turn}", "selected_tool": "shop__get_order", "actions": [call]}

    def _answer(self, wanted: str, request: ChatRequest) -> JSON:
        evidence = [{"tool": "shop__get_order", "path": "/7/status", "value": "shipped"}]
        answer = {"answer": "shipped", "confidence": 0.9, "evidence": evidence}
        match wanted:
            case "VerifierOutput":
                done = self.turn >= TURNS
                following = "complete" if done else "continue"
                said = {"execution_analysis": "e", "memory_analysis": "m", "reasoning": "r"}
                return {**said, "verification_status": "success", "next_action": following}
            case "SolverOutput":
                return answer
            case "Thoughts":
                return {"steps": ["look"], "conclusion": "look"}
            case "ReActStep":
                if self.turn >= TURNS:
                    return {"thought": "known", "finish": answer}
                return {"thought": "look", "action": self._step()["actions"][0]}
            case "Candidates":
                return {"candidates": [self._step(), self._step()]}
            case "Scores":
                return {"scores": [0.9] * request.messages[-1].content.count('"selected_tool"')}
            case "Critique":
                return {"problems": [], "revise": False}
            case "Outline":
                self.turn = TURNS - 1
                return {"goals": [{"id": "a", "goal": QUESTION}]}
        return self._step()


async def row(pattern: Pattern, tools: int, runs: int, *, by_model: bool) -> tuple[float, float]:
    """Milliseconds of CPU per turn, and turns per run."""
    desk, spent, turns = Desk(tools), [], []
    CALLER.set(desk)  # type: ignore[arg-type]
    SETTINGS.set(FlowConfig(planner="model" if by_model else "offline", max_turns=TURNS + 1))
    for _ in range(runs + 1):
        MODELS.set(Script())
        started = time.process_time()
        solution = await service.solve(QUESTION, RunOptions(pattern=pattern))
        spent.append((time.process_time() - started) * 1000 / max(solution.turns, 1))
        turns.append(solution.turns)
    return statistics.median(spent[1:]), statistics.mean(turns[1:])


async def main(runs: int) -> None:
    print(f"{'planner':8} {'pattern':18} {'tools':>6} {'turns':>6} {'ms/turn':>8}")
    for by_model in (True, False):
        for pattern in PATTERNS:
            for tools in (20, 2000):
                each, turns = await row(pattern, tools, runs, by_model=by_model)
                name = "model" if by_model else "offline"
                print(f"{name:8} {pattern:18} {tools:6d} {turns:6.1f} {each:8.2f}", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=15)
    asyncio.run(main(parser.parse_args().runs))
