"""A message of a server that names no call: to the one principal there is, and never to one of several."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from gateway.upstreams.exchanges import Client, until

from agentflow.gateway.upstreams.incoming import Incoming

JSON = dict[str, Any]


@pytest.mark.parametrize("shared", [False, True])
async def test_a_question_that_names_no_call_is_put_to_nobody_where_principals_share_the_connection(
    shared: bool,
) -> None:
    sent: list[JSON] = []

    async def reply(body: bytes) -> None:
        sent.append(json.loads(body))

    async def answer(method: str, params: JSON) -> JSON:
        return {"roots": []}

    incoming = Incoming(reply, lambda method, params: None, lambda: shared)
    first, second = Client(reply=answer), Client(reply=answer)
    flights = [incoming.open(first, 20), incoming.open(second, 20)]
    async with flights[0].timer, flights[1].timer:
        await incoming.take({"id": 1, "method": "roots/list"}, None)
        await until(lambda: len(sent) == 1)
        assert ("error" in sent[0], len(second.asked), len(first.asked)) == (shared, int(not shared), 0)
        await incoming.take({"id": 2, "method": "roots/list"}, flights[0])
        await until(lambda: len(sent) == 2)
    assert sent[1]["result"] == {"roots": []} and len(first.asked) == 1
    incoming.close()
    await asyncio.sleep(0)
