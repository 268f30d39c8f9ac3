"""Bridges the two protocol eras where an upstream needs an answer from the person or model at the client.

A handshake-era upstream asks with a request of its own in the middle of a call; a 2026 one returns
`input_required` and waits to be called again (multi-round-trip). So:

- `answer_rounds`: a 2026 upstream behind a handshake client. Each round is put to the client as requests.
- `HeldCalls`: a handshake upstream (or a call that a flow tool makes) behind a 2026 client. The call is held in flight,
  its question goes out as `input_required`, and the client's retry carries on where it stopped. A held call belongs
  to the principal and the exact request that started it, and its state token works once. Approvals of the client's own
  calls depend on no memory: they are `pipeline.rounds`' business.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import Any

from agentflow.errors import LimitExceeded, UpstreamProtocolError
from agentflow.gateway.client import CAPABILITY_FOR, Channel, ClientEnd
from agentflow.gateway.upstreams.port import Exchange
from agentflow.pipeline.rounds import fingerprint, stale

JSON = dict[str, Any]
Again = Callable[[JSON], Awaitable[JSON]]

INTERACTIVE = frozenset({"tools/call", "prompts/get", "resources/read"})
_PREFIX = "agentflow-held."
_MAX_ROUNDS = 16


def input_required(result: JSON) -> bool:
    """Whether a result is an interim one (2026-07-28, multi-round-trip requests)."""
    return result.get("resultType") == "input_required"


async def answer_rounds(first: JSON, params: JSON, exchange: Exchange, again: Again) -> JSON:
    """Play a 2026 client for a client that is none, until the upstream gives its final result.

    Args:
        first: the interim result.
        params: the request's params; each round repeats them with `inputResponses` and `requestState`.
        again: sends the request once more.

    Raises:
        UpstreamProtocolError: still not final after 16 rounds, or an interim result without a way on.
    """
    result = first
    for _ in range(_MAX_ROUNDS):
        if not input_required(result):
            return result
        asked, state = result.get("inputRequests") or {}, result.get("requestState")
        if not asked and state is None:
            raise UpstreamProtocolError("The upstream asked for input without saying which")
        answers = {}
        for key, question in asked.items():
            if not isinstance(question, dict) or question.get("method") not in CAPABILITY_FOR:
                raise UpstreamProtocolError("The upstream asked for input of an unknown kind")
            answers[key] = await exchange.server_request(question["method"], _handshake_question(question))
        following = {k: v for k, v in params.items() if k not in ("inputResponses", "requestState")}
        if answers:
            following["inputResponses"] = answers
        if state is not None:
            following["requestState"] = state
        result = await again(following)
    raise UpstreamProtocolError(f"The upstream still asks for input after {_MAX_ROUNDS} rounds")


def _handshake_question(question: JSON) -> JSON:
    """A question's params as the handshake era has them: there a URL elicitation carries an id."""
    params: JSON = question.get("params") or {}
    if question["method"] == "elicitation/create" and params.get("mode") == "url":
        return {"elicitationId": secrets.token_urlsafe(16), **params}
    return params


@dataclass(slots=True)
class _Question:
    method: str
    params: JSON
    answer: asyncio.Future[JSON]


@dataclass
class _Held:
    """A call in flight whose client comes and goes; `channel` is the current request's."""

    owner: str
    fingerprint: str
    channel: Channel
    task: asyncio.Task[JSON] | None = None
    questions: dict[str, _Question] = field(default_factory=dict)
    asked: asyncio.Event = field(default_factory=asyncio.Event)
    asked_count: int = 0
    expiry: asyncio.TimerHandle | None = None

    async def notify(self, method: str, params: JSON) -> None:
        await self.channel.notify(method, params)

    async def ask(self, method: str, params: JSON) -> JSON:
        self.asked_count += 1
        key = f"{CAPABILITY_FOR[method]}-{self.asked_count}"
        question = _Question(method, params, asyncio.get_running_loop().create_future())
        self.questions[key] = question
        self.asked.set()
        try:
            return await question.answer
        finally:
            self.questions.pop(key, None)


class HeldCalls:
    """The calls that wait for a 2026 client to come back.

    Args:
        ttl: seconds a question stays open; then the call is cancelled at the upstream.
        limit: calls held at once, over all clients.
    """

    def __init__(self, ttl: float = 300.0, limit: int = 1000) -> None:
        self._ttl, self._limit = ttl, limit
        self._waiting: dict[str, _Held] = {}

    def needed(self, method: str, client: ClientEnd) -> bool:
        """Whether a question could come up: a 2026 client that declared it may be asked something."""
        return (
            client.era == "modern"
            and method in INTERACTIVE
            and any(name in client.capabilities for name in CAPABILITY_FOR.values())
        )

    async def serve(
        self, method: str, params: JSON, client: ClientEnd, run: Callable[[ClientEnd], Awaitable[JSON]]
    ) -> JSON:
        """Start a call, or carry on with the one that `requestState` names.

        Returns:
            The final result, or an `input_required` one with the open questions.

        Raises:
            InvalidArguments: the state is unknown, expired, used, or another caller's.
            LimitExceeded: too many calls are held.
            AgentFlowError: whatever `run` raises.
        """
        state = params.get("requestState")
        if isinstance(state, str) and state.startswith(_PREFIX):
            held = self._resume(state, method, params, client)
        else:
            if len(self._waiting) >= self._limit:
                raise LimitExceeded("Too many calls are waiting for an answer", fix="Answer or drop some of them")
            held = _Held(client.principal.key, fingerprint(method, params), client.channel)
            held.task = asyncio.ensure_future(run(replace(client, channel=held)))
        return await self._advance(held)

    def _resume(self, state: str, method: str, params: JSON, client: ClientEnd) -> _Held:
        held = self._waiting.get(state)
        if held is None or held.owner != client.principal.key or held.fingerprint != fingerprint(method, params):
            raise stale()
        del self._waiting[state]
        if held.expiry:
            held.expiry.cancel()
        held.channel = client.channel
        held.asked.clear()
        responses = params.get("inputResponses")
        for key, answer in (responses if isinstance(responses, dict) else {}).items():
            question = held.questions.get(key)
            if question and isinstance(answer, dict) and not question.answer.done():
                question.answer.set_result(answer)
        if any(not question.answer.done() for question in held.questions.values()):
            held.asked.set()
        return held

    async def _advance(self, held: _Held) -> JSON:
        assert held.task is not None
        asked = asyncio.ensure_future(held.asked.wait())
        try:
            await asyncio.wait({held.task, asked}, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            held.task.cancel()
            raise
        finally:
            asked.cancel()
        if held.task.done():
            return held.task.result()
        return self._park(held, held.task)

    def _park(self, held: _Held, task: asyncio.Task[JSON]) -> JSON:
        state = _PREFIX + secrets.token_urlsafe(32)
        self._waiting[state] = held

        def expire() -> None:
            self._waiting.pop(state, None)
            task.cancel()

        held.expiry = asyncio.get_running_loop().call_later(self._ttl, expire)
        # A call that dies while it is parked must not be reported as a lost exception.
        task.add_done_callback(lambda done: None if done.cancelled() else done.exception())
        requests = {
            key: {"method": question.method, "params": question.params}
            for key, question in held.questions.items()
            if not question.answer.done()
        }
        return {"resultType": "input_required", "inputRequests": requests, "requestState": state}

    async def close(self) -> None:
        """Cancel everything held."""
        tasks = [held.task for held in self._waiting.values() if held.task]
        self._waiting.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
