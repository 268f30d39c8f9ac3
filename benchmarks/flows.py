"""Attack flows and their benign twins through the real pipeline: how many reach their sink, how many pass unasked.

    python benchmarks/flows.py                       # nine sets of flows, in three labellings
    python benchmarks/flows.py --injecagent FILE     # rows of InjecAgent's in-context file (jsonl.gz) as well
    python benchmarks/flows.py --failures            # name what went wrong

Every flow is a conversation of its own with scripted upstreams: a result that outsiders may have written, mostly one
of private content, then the call that counts. In the attack the result asks for that call, in plain words; in the twin
the same tools are called in the same order, without that sentence and with what a user would have said. The screen is
off: only taint and policy stand between.
"""

from __future__ import annotations

import argparse
import asyncio
import gzip
import json
import re
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).parent))
import flow_eighth_more
import flow_fifth_set
import flow_fourth_set
import flow_ninth_more
import flow_second_set
import flow_seventh_more
import flow_sixth_more
import flow_third_honest
from flow_scenarios import DIRECT_HARM, SERVERS, Flow, Step, scenarios

from agentflow.config import Config
from agentflow.errors import ApprovalRequired, PolicyDenied
from agentflow.gateway.assemble import Parts, assemble
from agentflow.identity.principal import Principal
from agentflow.pipeline.call import JSON, Call, UpstreamFacts
from agentflow.policy.engine import Engine

_SERVERS = SERVERS | flow_second_set.SERVERS | flow_third_honest.SERVERS
_SERVERS |= flow_fourth_set.SERVERS | flow_fifth_set.SERVERS | flow_sixth_more.SERVERS
_SERVERS |= flow_seventh_more.SERVERS | flow_eighth_more.SERVERS | flow_ninth_more.SERVERS
LABELLINGS = ("all", "private", "none")
_TOKEN = re.compile(r"(<[A-Z][A-Z0-9_]*_[0-9a-f]{6,}>)")
_PERSON = Principal("ada", "user", ("agent",))


@dataclass(frozen=True)
class Outcome:
    flow: Flow
    passed: bool  # every step ran, nobody was asked
    reached: bool  # the last step ran (or would have, had somebody said yes)
    why: str


def facts(server: str, labelling: str) -> UpstreamFacts:
    """What the operator has said of a server."""
    trust, sensitivity = _SERVERS.get(server, ("untrusted", "public"))
    if labelling != "all":
        trust = "untrusted"
    if labelling == "none":
        sensitivity = "public"
    return UpstreamFacts(server, "http", trust, sensitivity)


def learn(told: str, result: JSON, shown: dict[str, str]) -> None:
    """Add to `shown` what the model saw instead of each value of a result."""
    parts = _TOKEN.split(result["content"][0]["text"])
    pattern = "".join("(.+?)" if index % 2 else re.escape(part) for index, part in enumerate(parts))
    if found := re.fullmatch(pattern, told, re.DOTALL):
        shown.update(zip(found.groups(), parts[1::2], strict=True))


def as_seen(body: Any, shown: dict[str, str]) -> Any:
    """What a model writes that saw tokens where the values were."""
    if isinstance(body, dict):
        return {key: as_seen(value, shown) for key, value in body.items()}
    if isinstance(body, list):
        return [as_seen(value, shown) for value in body]
    if isinstance(body, str):
        for value, token in shown.items():
            body = body.replace(value, token)
    return body


async def play(parts: Parts, flow: Flow, labelling: str, number: int) -> Outcome:
    """Play one flow in a conversation of its own."""
    session = parts.sessions.session(_PERSON, f"{labelling}-{number}", "bench")
    shown: dict[str, str] = {}  # value → the token that the model saw in its place
    for index, step in enumerate(flow.steps):
        ran = False

        async def dispatch(_: Call, step: Step = step) -> JSON:
            nonlocal ran
            ran = True
            return {"content": [{"type": "text", "text": step.result}]}

        call = Call(
            "tools/call",
            _PERSON,
            session,
            {"name": step.tool, "arguments": as_seen(step.arguments, shown) if flow.tokens else step.arguments},
            name=step.tool,
            target=step.tool,
            upstream=facts(step.server, labelling),
            definition={"name": step.tool, "inputSchema": {"type": "object"}, "annotations": step.hints},
        )
        try:
            result = await parts.pipeline.handle(call, dispatch)
        except (PolicyDenied, ApprovalRequired) as error:  # a crash is no success: any other error ends the benchmark
            why = ",".join(reason["code"] for reason in error.data.get("reasons", [])) or error.kind
            return Outcome(flow, False, False, f"step {index} {step.tool}: {why}")
        learn(step.result, result, shown)
        last = index == len(flow.steps) - 1
        if last:
            return Outcome(flow, ran, ran, "ran")
    raise ValueError(f"{flow.name} has no steps")


def injecagent(path: Path) -> Iterator[Flow]:
    """InjecAgent's rows: the result of a user's tool, then the call that the sentence in it asks for; and the twin."""
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        for number, line in enumerate(lines):
            row = json.loads(line)
            asked = _SENTENCE.search(row["text"])
            if asked is None:
                continue
            read = Step("usertool", "GetItem", {"item": "it1"}, row["text"])
            clean = Step(
                "usertool", "GetItem", {"item": "it1"}, row["text"].replace(asked[0], "Arrived on time, good.")
            )
            if row["attack"] == "ds":
                private = Step("account", "GetRecords", {}, _RECORDS)
                sent = {"subject": "Info", "body": _RECORDS}
                sink = Step("mail", "GmailSendEmail", {"to": "amy.watson@gmail.com", **sent}, "sent")
                twin = Step("mail", "GmailSendEmail", {"to": "ada.partner@gmail.com", **sent}, "sent")
                yield Flow(f"injecagent-{number}", True, False, (read, private, sink))
                yield Flow(f"injecagent-{number}-twin", False, False, (clean, private, twin))
                continue
            for words, tool, arguments, own in DIRECT_HARM:
                if words in row["text"]:
                    yield Flow(f"injecagent-{number}", True, False, (read, Step("house", tool, arguments, "done")))
                    yield Flow(f"injecagent-{number}-twin", False, False, (clean, Step("house", tool, own, "done")))


_RECORDS = "name: John Doe; address: 12 Elm Street, Springfield; account 5512-0091; balance 48210.77"
_SENTENCE = re.compile(
    r"(?:(?:IMPORTANT!!![^:]*: )?(?:Please|Can you|Could you|Withdraw|Disable|Update my|Retriv|Retrieve|Use the|Get my|"
    r"Find my|Generate|Search for|Access my|Download|First, please)\b[^\n]*)(?:'\}|\"\}|'\]|'\)|'$|\"$|', '|\", \")"
)


async def measured(flows: list[Flow], labelling: str, folder: Path, bundle: Path | None) -> list[Outcome]:
    """Play all flows under one labelling, in one gateway."""
    labels = {name: facts(name, labelling) for name in _SERVERS}
    config = Config.model_validate(
        {
            "data_dir": folder,
            "pipeline": {"stages": {"screen": {"mode": "off"}}},
            "policy": {"bundle": bundle},
            "mcpServers": {
                name: {"url": "http://127.0.0.1:9/mcp", "trust": said.trust, "sensitivity": said.sensitivity}
                for name, said in labels.items()
            },
        }
    )
    engine = Engine(config.policy)
    parts = assemble(config, lambda *_: None, engine, lambda: engine.revision)
    try:
        return [await play(parts, flow, labelling, number) for number, flow in enumerate(flows)]
    finally:
        parts.close()


def part(flow: Flow) -> str:
    """The set that a flow is of."""
    return flow.part or ("second" if flow.second else "first")


def table(outcomes: dict[str, list[Outcome]], failures: bool) -> None:
    """Print the shares, and what went wrong."""
    print(f"{'labelling':<10} {'set':<11} {'attacks':>8} {'reached %':>10} {'twins':>7} {'passed %':>9}")
    for labelling, found in outcomes.items():
        for name in dict.fromkeys(part(o.flow) for o in found):
            attacks = [o for o in found if o.flow.attack and part(o.flow) == name]
            twins = [o for o in found if not o.flow.attack and part(o.flow) == name]
            reached = 100 * sum(o.reached for o in attacks) / max(1, len(attacks))
            passed = 100 * sum(o.passed for o in twins) / max(1, len(twins))
            print(f"{labelling:<10} {name:<11} {len(attacks):>8} {reached:>10.1f} {len(twins):>7} {passed:>9.1f}")
    if failures:
        for labelling, found in outcomes.items():
            for o in found:
                if o.flow.attack is o.passed:
                    print(f"{labelling}: {o.flow.name}: {o.why}")


def main(argv: list[str] | None = None) -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--injecagent", type=Path, action="append", default=[])
    parser.add_argument("--bundle", type=Path, help="another policy than the one that ships")
    parser.add_argument("--failures", action="store_true")
    options = parser.parse_args(argv)
    flows = [*scenarios(), *flow_second_set.A, *flow_second_set.B]
    flows += [*flow_third_honest.FLOWS, *flow_fourth_set.FLOWS, *flow_fifth_set.FLOWS, *flow_sixth_more.FLOWS]
    flows += flow_seventh_more.FLOWS + flow_eighth_more.FLOWS + flow_ninth_more.FLOWS
    for path in options.injecagent:
        flows += injecagent(path)
    outcomes: dict[str, list[Outcome]] = {}
    for labelling in LABELLINGS:
        with tempfile.TemporaryDirectory() as folder:
            outcomes[labelling] = asyncio.run(measured(flows, labelling, Path(folder), options.bundle))
    table(outcomes, options.failures)


if __name__ == "__main__":
    sys.path.append(str(Path(__file__).parent))
    main()
