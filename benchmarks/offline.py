"""The offline planner on questions of two to four steps over the sample servers: exact answers, no model.

    python benchmarks/offline.py                      # the held-out templates
    python benchmarks/offline.py --set train          # the ones the planner was improved on
    python benchmarks/offline.py --set blind          # in five other voices; after their first run improved on as well
    python benchmarks/offline.py --set fresh          # written last of all; nothing was changed for them
    python benchmarks/offline.py --failures           # every question that was not answered exactly

The servers are the real ones of `examples/`, called in this process without a gateway, so the figures are those of
planner, executor, verifier and writer alone. An answer counts only when it is exactly right; one that is given and not
right counts as wrong; an escalation (no answer, with a reason) is neither. Seeds are fixed.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib.util
import json
import os
import re
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).parent))
from offline_set.blind import BLIND
from offline_set.fresh import FRESH
from offline_set.held_out import HELD_OUT
from offline_set.train import TRAIN
from offline_set.world import EXAMPLES, Asked, generate

from agentflow.errors import InvalidArguments
from agentflow.flow.loop import Flow
from agentflow.flow.offline import OfflinePlanner
from agentflow.flow.port import ToolView
from agentflow.flow.types import Solution
from agentflow.flow.verifier import RuleVerifier
from agentflow.flow.writer import EvidenceWriter

JSON = dict[str, Any]
SERVERS = ("helpdesk", "webnotes", "utilities")
EACH, SEED = 8, 20261120


@dataclass
class Samples:
    """A `Caller` over the sample servers in this process; `writes` names every call of a tool that is not read-only."""

    writes: list[str] = field(default_factory=list)
    _servers: dict[str, Any] = field(default_factory=dict)
    _views: list[ToolView] = field(default_factory=list)

    async def start(self) -> Samples:
        for name in SERVERS:
            sys.path.append(str(EXAMPLES / name))
            spec = importlib.util.spec_from_file_location(f"sample_{name}", EXAMPLES / name / "server.py")
            assert spec is not None
            assert spec.loader is not None
            module = importlib.util.module_from_spec(spec)
            sys.modules[spec.name] = module
            spec.loader.exec_module(module)
            self._servers[name] = module.server
            for tool in await module.server.list_tools():
                data = tool.model_dump(mode="json", by_alias=True, exclude_none=True)
                self._views.append(
                    ToolView(
                        f"{name}__{tool.name}",
                        data.get("title", ""),
                        data.get("description", ""),
                        data["inputSchema"],
                        data.get("outputSchema"),
                        data.get("annotations") or {},
                        name,
                    )
                )
        return self

    async def tools(self) -> list[ToolView]:
        return self._views

    async def call(self, name: str, arguments: JSON) -> JSON:
        server, tool = name.split("__", 1)
        view = next(v for v in self._views if v.name == name)
        if not view.annotations.get("readOnlyHint"):
            self.writes.append(name)
            raise InvalidArguments("nothing is written in a benchmark")
        try:
            result = await self._servers[server].call_tool(tool, arguments)
        except Exception as error:
            return {"isError": True, "content": [{"type": "text", "text": str(error)}]}
        data: JSON = result.model_dump(mode="json", by_alias=True, exclude_none=True)
        return data

    async def note(self, event: str, detail: JSON) -> None:
        """Nothing is kept."""


def exact(given: str, wanted: Any) -> bool:
    """Whether an answer is exactly right: numbers by value, lists item by item, text as it stands."""
    if isinstance(wanted, list):
        return given.strip() == ", ".join(str(w) for w in wanted)
    if isinstance(wanted, int | float) and not isinstance(wanted, bool):
        plain = given.strip().replace(",", "")
        return re.fullmatch(r"-?\d+(\.\d+)?", plain) is not None and abs(float(plain) - wanted) < 1e-6
    return given.strip() == str(wanted)


@dataclass(frozen=True)
class Outcome:
    asked: Asked
    solution: Solution
    seconds: float

    @property
    def right(self) -> bool:
        return self.solution.status == "complete" and exact(self.solution.answer, self.asked.answer)

    @property
    def wrong(self) -> bool:
        return self.solution.status == "complete" and not self.right


async def run(questions: Sequence[Asked]) -> tuple[list[Outcome], list[str]]:
    outcomes = []
    with tempfile.TemporaryDirectory() as folder:
        os.environ["HELPDESK_DB"] = str(Path(folder) / "helpdesk.db")
        samples = await Samples().start()
        for asked in questions:
            flow = Flow(OfflinePlanner(), RuleVerifier(), EvidenceWriter(), samples)
            started = time.process_time()
            solution = await flow.solve(asked.text)
            outcomes.append(Outcome(asked, solution, time.process_time() - started))
    return outcomes, samples.writes


def _line(name: str, outcomes: Sequence[Outcome]) -> str:
    n = len(outcomes)
    right, wrong = sum(o.right for o in outcomes), sum(o.wrong for o in outcomes)
    return f"{name:<24}{n:>5}{100 * right / n:>9.1f}%{100 * wrong / n:>9.1f}%{100 * (n - right - wrong) / n:>11.1f}%"


def report(outcomes: Sequence[Outcome], writes: Sequence[str], *, failures: bool) -> None:
    print(f"{'':<24}{'n':>5}{'exact':>10}{'wrong':>10}{'escalated':>12}")
    print(_line("all", outcomes))
    for title, key in (("steps", lambda o: str(o.asked.steps)), ("template", lambda o: o.asked.template)):
        print(f"by {title}")
        groups = defaultdict(list)
        for outcome in outcomes:
            groups[key(outcome)].append(outcome)
        for name, members in groups.items():
            print(_line(f"  {name}", members))
    times = sorted(o.seconds for o in outcomes)
    turns = sorted(o.solution.turns for o in outcomes)
    print(f"turns: median {turns[len(turns) // 2]}, most {turns[-1]}")
    print(
        f"CPU per question: median {1000 * times[len(times) // 2]:.0f} ms, "
        f"p95 {1000 * times[int(len(times) * 0.95)]:.0f} ms, most {1000 * times[-1]:.0f} ms"
    )
    print(f"calls of writing tools: {len(writes)}")
    if failures:
        for o in outcomes:
            if not o.right:
                kind = "WRONG" if o.wrong else "asked"
                given = o.solution.answer if o.wrong else o.solution.reason
                print(f"{kind} [{o.asked.template}] {o.asked.text}\n      want {o.asked.answer!r}, got {given[:160]!r}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--set", choices=("train", "held-out", "blind", "fresh"), default="held-out")
    parser.add_argument("--each", type=int, default=EACH, help="questions of every template")
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--failures", action="store_true")
    parser.add_argument("--out", type=Path, help="write the outcomes as JSON lines")
    given = parser.parse_args()
    templates = {"train": TRAIN, "held-out": HELD_OUT, "blind": BLIND, "fresh": FRESH}[given.set]
    outcomes, writes = asyncio.run(run(generate(templates, given.each, given.seed)))
    report(outcomes, writes, failures=given.failures)
    if given.out is not None:
        lines = [
            json.dumps({"question": o.asked.text, "want": o.asked.answer, **o.solution.model_dump()}) for o in outcomes
        ]
        given.out.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
