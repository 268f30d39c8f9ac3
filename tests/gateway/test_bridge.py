"""Era bridging: rounds played for handshake clients, calls held for 2026 clients."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from agentflow.errors import InvalidArguments, LimitExceeded, UpstreamProtocolError
from agentflow.gateway.bridge import HeldCalls, answer_rounds
from agentflow.gateway.client import ClientEnd
from agentflow.gateway.upstreams.port import ClientIdentity
from agentflow.identity.principal import Principal

JSON = dict[str, Any]
ASK = {"message": "Name?", "requestedSchema": {"type": "object"}}
PARAMS = {"name": "greet", "arguments": {"a": 1}}


class Person:
    """A handshake client that answers every question with its number."""

    identity = ClientIdentity()
    log_level = None

    def __init__(self) -> None:
        self.asked: list[tuple[str, JSON]] = []

    async def notification(self, method: str, params: JSON) -> None: ...

    async def server_request(self, method: str, params: JSON) -> JSON:
        self.asked.append((method, params))
        return {"action": "accept", "content": {"n": len(self.asked)}}


class Line:
    """The channel of a 2026 client: it can be notified, never asked."""

    def __init__(self) -> None:
        self.notes: list[JSON] = []

    async def notify(self, method: str, params: JSON) -> None:
        self.notes.append(params)

    async def ask(self, method: str, params: JSON) -> JSON:
        raise AssertionError("a 2026 client is never sent a request")


def modern(who: str = "ada", line: Line | None = None) -> ClientEnd:
    return ClientEnd(Principal(who), line or Line(), "http", "modern", "2026-07-28", {"name": "c"}, {"elicitation": {}})


async def test_rounds_are_answered_until_the_result_is_final() -> None:
    person, sent = Person(), []

    async def again(params: JSON) -> JSON:
        sent.append(params)
        if len(sent) == 1:
            return {
                "resultType": "input_required",
                "inputRequests": {"b": {"method": "roots/list"}},
                "requestState": "s2",
            }
        return {"content": []}

    first = {
        "resultType": "input_required",
        "inputRequests": {"a": {"method": "elicitation/create", "params": ASK}},
        "requestState": "s1",
    }
    assert await answer_rounds(first, PARAMS, person, again) == {"content": []}
    assert person.asked == [("elicitation/create", ASK), ("roots/list", {})]
    assert sent[0] == {
        **PARAMS,
        "inputResponses": {"a": {"action": "accept", "content": {"n": 1}}},
        "requestState": "s1",
    }
    assert sent[1]["requestState"] == "s2" and set(sent[1]["inputResponses"]) == {"b"}


@pytest.mark.parametrize(
    "interim",
    [
        {"resultType": "input_required"},
        {"resultType": "input_required", "inputRequests": {"a": {"method": "tools/call"}}},
        {"resultType": "input_required", "inputRequests": {"a": 3}},
    ],
)
async def test_an_interim_result_that_leads_nowhere_is_a_protocol_error(interim: JSON) -> None:
    async def again(_: JSON) -> JSON:
        raise AssertionError

    with pytest.raises(UpstreamProtocolError):
        await answer_rounds(interim, PARAMS, Person(), again)


async def test_an_upstream_that_asks_for_ever_is_stopped() -> None:
    async def again(_: JSON) -> JSON:
        return {"resultType": "input_required", "requestState": "x"}

    with pytest.raises(UpstreamProtocolError, match="16 rounds"):
        await answer_rounds(await again({}), PARAMS, Person(), again)


async def greet(end: ClientEnd) -> JSON:
    """An upstream call that asks once, reports progress, and greets."""
    answer = await end.channel.ask("elicitation/create", ASK)
    await end.channel.notify("notifications/progress", {"progress": 1})
    return {"content": [{"type": "text", "text": f"hello {answer['content']['name']}"}]}


def reply(interim: JSON, **more: Any) -> JSON:
    (key,) = interim["inputRequests"]
    answers = {key: {"action": "accept", "content": {"name": "Ada"}}}
    return {**PARAMS, "inputResponses": answers, "requestState": interim["requestState"], **more}


async def test_a_held_call_continues_where_it_stopped_on_the_retry_s_own_stream() -> None:
    held, later = HeldCalls(), Line()
    interim = await held.serve("tools/call", PARAMS, modern(), greet)
    assert interim["resultType"] == "input_required"
    (question,) = interim["inputRequests"].values()
    assert question == {"method": "elicitation/create", "params": ASK}
    final = await held.serve("tools/call", reply(interim), modern(line=later), greet)
    assert final["content"][0]["text"] == "hello Ada" and later.notes == [{"progress": 1}]


async def test_a_state_works_once_for_its_owner_and_its_request_only() -> None:
    held = HeldCalls()
    interim = await held.serve("tools/call", PARAMS, modern(), greet)
    for params, client in (
        (reply(interim), modern("eve")),
        (reply(interim, arguments={"a": 2}), modern()),
        (reply(interim, requestState="agentflow-held.guess"), modern()),
    ):
        with pytest.raises(InvalidArguments):
            await held.serve("tools/call", params, client, greet)
    await held.serve("tools/call", reply(interim), modern(), greet)
    with pytest.raises(InvalidArguments):
        await held.serve("tools/call", reply(interim), modern(), greet)


async def test_an_unanswered_question_is_asked_again_with_a_new_state() -> None:
    held = HeldCalls()
    interim = await held.serve("tools/call", PARAMS, modern(), greet)
    again = await held.serve("tools/call", {**PARAMS, "requestState": interim["requestState"]}, modern(), greet)
    assert again["inputRequests"] == interim["inputRequests"] and again["requestState"] != interim["requestState"]
    await held.close()


async def test_an_expired_question_cancels_the_call() -> None:
    cancelled = asyncio.Event()

    async def wait(end: ClientEnd) -> JSON:
        try:
            return await end.channel.ask("elicitation/create", ASK)
        except asyncio.CancelledError:
            cancelled.set()
            raise

    held = HeldCalls(ttl=0.01)
    interim = await held.serve("tools/call", PARAMS, modern(), wait)
    async with asyncio.timeout(5):
        await cancelled.wait()
    with pytest.raises(InvalidArguments):
        await held.serve("tools/call", reply(interim), modern(), wait)


async def test_a_client_that_leaves_while_waiting_cancels_the_call() -> None:
    started, cancelled = asyncio.Event(), asyncio.Event()

    async def wait(_: ClientEnd) -> JSON:
        started.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise
        return {}

    task = asyncio.ensure_future(HeldCalls().serve("tools/call", PARAMS, modern(), wait))
    await started.wait()
    task.cancel()
    async with asyncio.timeout(5):
        await cancelled.wait()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_held_calls_are_bounded() -> None:
    held = HeldCalls(limit=1)
    await held.serve("tools/call", PARAMS, modern(), greet)
    with pytest.raises(LimitExceeded):
        await held.serve("tools/call", PARAMS, modern(), greet)
    await held.close()
