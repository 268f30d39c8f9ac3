"""Whose connection is whose, when what it is begun with changes while it is being begun."""

from __future__ import annotations

import asyncio
from typing import Any, cast

from agentflow.gateway.upstreams.connection import Connection
from agentflow.gateway.upstreams.pool import Pool, Slot
from agentflow.gateway.upstreams.port import ClientIdentity


class _Begun:
    """A connection that remembers what it was begun with."""

    def __init__(self, value: str) -> None:
        self.value = value
        self.closed = asyncio.Event()

    async def close(self) -> None:
        self.closed.set()


async def test_a_connection_begun_with_a_former_value_serves_nobody_who_brings_another() -> None:
    value, go = "former", asyncio.Event()

    async def connect(slot: Slot) -> Connection:
        begun = _Begun(value)
        await go.wait()
        return cast(Connection, begun)

    pool = Pool(connect, most=4, idle=60)
    alice = ClientIdentity("7:default:alice")
    first = asyncio.ensure_future(pool.take("alice", alice, "line-1"))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    value = "present"
    later = [asyncio.ensure_future(pool.take("alice", alice, "line-2")) for _ in range(3)]
    await asyncio.sleep(0)
    go.set()
    _, old = cast(Any, await first)
    served = [cast(Any, connection) for _, connection in await asyncio.gather(*later)]
    assert {each.value for each in served} == {"present"} and len({id(each) for each in served}) == 1
    assert old.value == "former" and old.closed.is_set()
    await pool.close()
