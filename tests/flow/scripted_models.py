"""A `Models` that answers by script: for what the flow asks, in which order, and what it makes of the answers."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from agentflow.errors import UpstreamProtocolError
from agentflow.models.port import Answered, ChatRequest

JSON = dict[str, Any]
Say = Any  # a text, JSON, an Answered, an exception, or a function of the request that gives one of these


@dataclass
class ScriptedModels:
    """Answers from the front of the script; or, where there are several, from that of the request's purpose.

    Attributes:
        requests: every request, in order; told: every outcome, as (ids, reward).
        cost: nano-dollars of each answer; each has 11 prompt tokens and 7 of its own.
    """

    script: list[Say] = field(default_factory=list)
    by_purpose: dict[str, list[Say]] = field(default_factory=dict)
    requests: list[ChatRequest] = field(default_factory=list)
    told: list[tuple[tuple[str, ...], float]] = field(default_factory=list)
    cost: int = 1_000

    def say(self, *values: Say) -> None:
        self.script += values

    def say_as(self, purpose: str, *values: Say) -> None:
        self.by_purpose.setdefault(purpose, []).extend(values)

    @property
    def purposes(self) -> list[str]:
        return [request.purpose for request in self.requests]

    def prompts(self, purpose: str | None = None) -> list[list[str]]:
        """The texts of each request's messages."""
        chosen = [r for r in self.requests if purpose in (None, r.purpose)]
        return [[message.content for message in request.messages] for request in chosen]

    async def complete(self, request: ChatRequest) -> Answered:
        self.requests.append(request)
        await asyncio.sleep(0)
        queue = self.by_purpose.get(request.purpose) or self.script
        if not queue:
            raise UpstreamProtocolError("the script is over")
        value = queue.pop(0)
        if isinstance(value, Callable):  # type: ignore[arg-type]
            value = value(request)
        if isinstance(value, Exception):
            raise value
        if isinstance(value, Answered):
            return value
        text = value if isinstance(value, str) else json.dumps(value)
        number = f"d-{len(self.requests)}"
        return Answered(text, number, "m", "p", "silver", "stop", 11, 7, self.cost)

    async def stream(self, request: ChatRequest) -> AsyncIterator[str | Answered]:
        answered = await self.complete(request)
        for at in range(0, len(answered.text), 5):
            await asyncio.sleep(0)
            yield answered.text[at : at + 5]
        yield answered

    async def outcome(self, ids: Sequence[str], reward: float) -> None:
        self.told.append((tuple(ids), reward))


def step(tool: str | None, goal: str = "g", **arguments: Any) -> JSON:
    """A planner's answer."""
    actions = [] if tool is None else [{"tool": tool, "arguments": arguments}]
    return {
        "current_sub_goal": goal,
        "selected_tool": tool,
        "required_skills": [],
        "actions": actions,
        "reasoning": "r",
    }


def verdict(status: str, following: str, reasoning: str = "do not stop, continue") -> JSON:
    """A verifier's answer."""
    return {
        "execution_analysis": "e",
        "memory_analysis": "m",
        "verification_status": status,
        "next_action": following,
        "reasoning": reasoning,
    }


QUERY = "What is the status of the last order of <EMAIL_1f3a9c2e>?"
FIND = step("helpdesk__find_customer", "find the customer", query="<EMAIL_1f3a9c2e>")
LIST = step("helpdesk__list_orders", "list the orders", customer_id="C-1")
ON = verdict("success", "continue")
DONE = verdict("success", "complete")
ANSWER = {
    "answer": "It is shipped.",
    "confidence": 1.0,
    "evidence": [{"tool": "helpdesk__list_orders", "path": "/1/status", "value": "shipped"}],
}
RUN = (FIND, ON, LIST, DONE, ANSWER)
