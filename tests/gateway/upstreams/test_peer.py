"""The conversation itself, over a wire that the test holds both ends of."""

from __future__ import annotations

import asyncio
import math
from typing import Any

import pytest
from gateway.upstreams.exchanges import ALICE, Client, until
from hypothesis import given
from hypothesis import strategies as st

from agentflow.errors import UpstreamError, UpstreamProtocolError
from agentflow.gateway.upstreams.handshake import negotiate
from agentflow.gateway.upstreams.peer import Peer

JSON = dict[str, Any]


class Wire:
    """Keeps what was sent."""

    def __init__(self) -> None:
        self.sent: list[JSON] = []

    async def send(self, message: JSON) -> None:
        self.sent.append(message)

    def post(self, message: JSON) -> None:
        self.sent.append(message)

    async def close(self) -> None: ...


class Talk:
    """A peer, its wire, and what it heard that belongs to no call."""

    def __init__(self, stateful: bool = True) -> None:
        self.heard: list[tuple[str, JSON]] = []
        self.peer = Peer("x", ALICE, lambda method, params: self.heard.append((method, params)), stateful=stateful)
        self.peer.wire = self.wire = Wire()

    def start(self, client: Client | None = None, timeout: float = 20.0, **meta: Any) -> asyncio.Task[JSON]:
        params = {"name": "t", **({"_meta": meta} if meta else {})}
        return asyncio.create_task(self.peer.request("tools/call", params, client, timeout))

    async def sent(self, count: int) -> None:
        await until(lambda: len(self.wire.sent) >= count)


async def test_a_batch_is_taken_apart() -> None:
    talk = Talk()
    one, two = talk.start(), talk.start()
    await talk.sent(2)
    talk.peer.feed([{"id": 2, "result": {"n": 2}}, {"id": 1, "result": {"n": 1}}, 7])
    assert (await one, await two) == ({"n": 1}, {"n": 2})
    assert talk.peer.garbage == 1


async def test_an_id_that_came_back_as_text_is_understood() -> None:
    talk = Talk()
    task = talk.start()
    await talk.sent(1)
    talk.peer.feed({"id": "1", "result": {}})
    assert await task == {}


async def test_an_error_without_an_id_belongs_to_the_only_call_there_is() -> None:
    talk = Talk()
    task = talk.start()
    await talk.sent(1)
    talk.peer.feed({"id": None, "error": {"code": -32700, "message": "what?", "data": [1]}})
    with pytest.raises(UpstreamError, match="what") as error:
        await task
    assert (error.value.rpc_code, error.value.rpc_data) == (-32700, [1])
    tasks = [talk.start(), talk.start()]
    await talk.sent(3)
    talk.peer.feed({"id": None, "error": {"code": -32700, "message": "what?"}})
    assert talk.peer.garbage == 1
    talk.peer.lost("over")
    assert all(isinstance(e, UpstreamProtocolError) for e in await asyncio.gather(*tasks, return_exceptions=True))


@pytest.mark.parametrize("result", [None, 7, [], "text"])
async def test_a_result_that_is_no_object_is_an_error_of_that_call(result: Any) -> None:
    talk = Talk()
    task = talk.start()
    await talk.sent(1)
    talk.peer.feed({"id": 1, "result": result})
    with pytest.raises(UpstreamProtocolError, match="no object"):
        await task


async def test_a_named_call_gets_its_message_though_another_is_younger() -> None:
    talk, old, young = Talk(), Client(), Client()
    tasks = [talk.start(old), talk.start(young)]
    await talk.sent(2)
    talk.peer.feed({"method": "notifications/message", "params": {"data": "for the old"}}, related=1)
    talk.peer.feed({"method": "notifications/message", "params": {"data": "for whom"}})
    talk.peer.feed([{"id": 1, "result": {}}, {"id": 2, "result": {}}])
    await asyncio.gather(*tasks)
    assert [params["data"] for _, params in old.heard] == ["for the old"]
    assert [params["data"] for _, params in young.heard] == ["for whom"]
    talk.peer.feed({"method": "notifications/message", "params": {"data": "for nobody"}})
    assert talk.heard == [("notifications/message", {"data": "for nobody"})]


async def test_what_names_no_call_reaches_none_where_principals_share_the_pipe() -> None:
    talk, client = Talk(stateful=False), Client()
    task = talk.start(client)
    await talk.sent(1)
    talk.peer.feed({"method": "notifications/message", "params": {"data": "for whom"}})
    talk.peer.feed({"id": "q", "method": "elicitation/create", "params": {}})
    talk.peer.feed({"method": "notifications/message", "params": {"data": "for you"}}, related=1)
    talk.peer.feed({"id": 1, "result": {}})
    await task
    assert [params["data"] for _, params in client.heard] == ["for you"]
    assert (client.asked, talk.wire.sent[-1]["error"]["code"]) == ([], -32601)
    assert talk.heard == [("notifications/message", {"data": "for whom"})]


async def test_progress_nobody_asked_for_is_dropped() -> None:
    talk, client = Talk(), Client()
    task = talk.start(client)
    await talk.sent(1)
    talk.peer.feed({"method": "notifications/progress", "params": {"progressToken": 1, "progress": 1}})
    talk.peer.feed({"method": "notifications/progress", "params": {"progressToken": True, "progress": 1}})
    talk.peer.feed({"id": 1, "result": {}})
    await task
    assert (client.heard, talk.heard) == ([], [])


async def test_a_client_that_does_not_read_holds_up_nobody_else() -> None:
    class Stuck(Client):
        async def notification(self, method: str, params: JSON) -> None:
            await asyncio.Event().wait()

    talk = Talk()
    stuck, free = talk.start(Stuck(), progressToken="a"), talk.start()
    await talk.sent(2)
    for _ in range(5000):
        talk.peer.feed({"method": "notifications/progress", "params": {"progressToken": 1, "progress": 1}})
    talk.peer.feed({"id": 2, "result": {}})
    assert await free == {}
    assert len(talk.peer._pending[1].inbox) <= 1024
    stuck.cancel()


async def test_a_question_is_withdrawn_when_its_call_or_the_server_gives_it_up() -> None:
    withdrawn = []

    async def reply(method: str, params: JSON) -> JSON:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            withdrawn.append(params["n"])
            raise
        return {}

    talk, client = Talk(), Client(reply=reply)
    task = talk.start(client)
    await talk.sent(1)
    for n in (1, 2):
        talk.peer.feed({"id": f"q{n}", "method": "elicitation/create", "params": {"n": n}})
    talk.peer.feed({"id": "q1", "method": "elicitation/create", "params": {"n": 3}})
    assert talk.wire.sent[-1]["error"]["code"] == -32600
    await until(lambda: len(client.asked) == 2)
    talk.peer.feed({"method": "notifications/cancelled", "params": {"requestId": "q1"}})
    await until(lambda: withdrawn == [1])
    task.cancel()
    await until(lambda: withdrawn == [1, 2])


async def test_a_listening_connection_hears_its_subscription_and_ends_with_it() -> None:
    talk = Talk()
    talk.peer.era, talk.peer.protocol = "modern", "2026-07-28"
    listening = asyncio.create_task(talk.peer.listen({"toolsListChanged": True}))
    await talk.sent(1)
    assert talk.wire.sent[0]["params"]["notifications"] == {"toolsListChanged": True}
    tag = {"_meta": {"io.modelcontextprotocol/subscriptionId": 1}}
    talk.peer.feed({"method": "notifications/subscriptions/acknowledged", "params": tag})
    await listening
    talk.peer.feed({"method": "notifications/tools/list_changed", "params": tag})
    assert talk.heard == [("notifications/tools/list_changed", tag)]
    await talk.peer.listen({})
    assert talk.wire.sent[-1]["method"] == "notifications/cancelled"


async def test_a_slow_server_of_both_eras_ends_up_in_the_modern_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agentflow.gateway.upstreams.handshake.PROBE_PATIENCE", 0.05)
    talk = Talk()
    task = asyncio.create_task(negotiate(talk.peer, None, 20.0))
    await talk.sent(2)
    assert [message["method"] for message in talk.wire.sent] == ["server/discover", "initialize"]
    talk.peer.feed({"id": 1, "result": {"supportedVersions": ["2026-07-28"], "capabilities": {"tools": {}}}})
    talk.peer.feed({"id": 2, "error": {"code": -32022, "message": "this connection is modern"}})
    await task
    assert (talk.peer.era, talk.peer.protocol, talk.peer.capabilities) == ("modern", "2026-07-28", {"tools": {}})


_json = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from(["1", "ping", "notifications/progress", "x"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["id", "method", "params", "result", "error", "code", "message", "_meta", "progressToken"]),
            inner,
            max_size=5,
        )
    ),
    max_leaves=10,
)


@given(st.lists(_json, max_size=6))
def test_no_message_whatever_breaks_the_conversation(messages: list[Any]) -> None:
    async def converse() -> None:
        talk = Talk()
        task = talk.start(Client(), math.inf, progressToken="mine")
        await asyncio.sleep(0)
        for message in messages:
            talk.peer.feed(message)
        talk.peer.feed({"id": 1, "result": {}})
        await asyncio.gather(task, return_exceptions=True)
        assert not talk.peer._pending
        talk.peer.lost("over")
        await asyncio.sleep(0)

    asyncio.run(converse())
