"""Answers that go on: server-sent events of new records, and exports too long to be held in memory.

A stream ends when its caller may no longer see it: who calls is asked again every few seconds (a key that was
revoked, a token that ran out), and when the gateway stops.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from itertools import islice
from time import monotonic
from typing import Final

from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from agentflow.admin.api.operation import Asked
from agentflow.admin.caller import Caller, caller_of
from agentflow.admin.models import Told
from agentflow.admin.threads import in_thread
from agentflow.audit.recent import Follower
from agentflow.errors import AgentFlowError

_BEAT: Final = 5.0  # seconds between two signs of life, and between two looks at the caller
_LINES: Final = 200  # of an export, written at once
_READING: Final = asyncio.Semaphore(2)  # exports that read at the same moment
_MEDIA: Final = {"jsonl": "application/x-ndjson", "ocsf": "application/x-ndjson", "cef": "text/plain; charset=utf-8"}


def events(asked: Asked, follower: Follower) -> Response:
    """Each record as an event `record` whose data is a `Told`; a comment where there is none for a while."""
    return _Followed(asked, follower)


class _Followed(StreamingResponse):
    """A stream that lets go of its follower however it ends, also before its first byte."""

    def __init__(self, asked: Asked, follower: Follower) -> None:
        super().__init__(_events(asked, follower), media_type="text/event-stream")
        self._follower = follower

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._follower.close()


async def _events(asked: Asked, follower: Follower) -> AsyncIterator[bytes]:
    yield b"retry: 2000\n: looking on\n\n"
    looked = monotonic()
    while True:
        try:
            found = await follower.next(_BEAT)
        except TimeoutError:
            yield b": nothing new\n\n"
        else:
            if found is None:
                return
            told = Told(record=found[0], missed=found[1])
            yield b"event: record\nid: %b\ndata: %b\n\n" % (
                str(found[0].get("id", "")).encode(),
                told.model_dump_json().encode(),
            )
        if monotonic() - looked >= _BEAT:
            if not await _still(asked):
                return
            looked = monotonic()


async def _still(asked: Asked) -> bool:
    """Whether the caller still is who it was, and may look on."""
    if asked.caller.via == "session":
        return False  # the page's own stream looks after its session; over a cookie a stream is begun anew
    try:
        now: Caller = await caller_of(asked.request, asked.service)
    except AgentFlowError:
        return False
    return now == asked.caller


def export(asked: Asked, lines: Iterator[str]) -> Response:
    """One record a line."""
    return StreamingResponse(_exported(lines), media_type=_MEDIA[asked.query.format])


async def _exported(lines: Iterator[str]) -> AsyncIterator[bytes]:
    while True:
        async with _READING:
            part = await in_thread(lambda: list(islice(lines, _LINES)))
        if not part:
            return
        yield ("\n".join(part) + "\n").encode("utf-8", "replace")
