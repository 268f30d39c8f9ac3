"""Open streams of HTTP callers, ended when whoever opened them could not open them any more.

A token expires, a key is revoked, a role is taken away: the caller's next request is decided anew by itself, but a
stream that stays open makes no request. It promises that such a stream has ended some `every` seconds later, and
costs nothing while none is open.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, field

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from agentflow.errors import AgentFlowError
from agentflow.identity.authenticate import Authenticator
from agentflow.identity.principal import Principal

log = logging.getLogger(__name__)


@dataclass(eq=False, slots=True)
class _Open:
    headers: list[tuple[bytes, bytes]]
    principal: Principal
    ended: asyncio.Event = field(default_factory=asyncio.Event)


class Streams:
    """Those that are open.

    Args:
        authenticator: gives the one that is in force.
    """

    def __init__(self, authenticator: Callable[[], Authenticator]) -> None:
        self._authenticator = authenticator
        self._open: set[_Open] = set()
        self._watching: asyncio.Task[None] | None = None

    async def serve(self, app: ASGIApp, scope: Scope, receive: Receive, send: Send, principal: Principal) -> None:
        """Let `app` answer with a stream; when its time is over, `app` is told that the client has left."""
        stream = _Open(scope["headers"], principal)
        begun = complete = False

        async def watched() -> Message:
            if stream.ended.is_set():
                return {"type": "http.disconnect"}
            coming, ending = asyncio.ensure_future(receive()), asyncio.ensure_future(stream.ended.wait())
            try:
                await asyncio.wait((coming, ending), return_when=asyncio.FIRST_COMPLETED)
                return coming.result() if coming.done() else {"type": "http.disconnect"}
            finally:
                coming.cancel()
                ending.cancel()

        async def noted(message: Message) -> None:
            nonlocal begun, complete
            begun = True
            complete = message["type"] == "http.response.body" and not message.get("more_body", False)
            await send(message)

        self._open.add(stream)
        if self._watching is None or self._watching.done():
            self._watching = asyncio.ensure_future(self._watch())
        try:
            await app(scope, watched, noted)
        finally:
            self._open.discard(stream)
        if stream.ended.is_set() and begun and not complete:
            await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _watch(self) -> None:
        """Look at every open stream again and again, until there is none."""
        while self._open:
            await asyncio.sleep(self._authenticator().config.recheck / 2)
            for stream in list(self._open):
                if not await self._goes_on(stream):
                    log.info("a stream of %s/%s is ended", stream.principal.tenant, stream.principal.id)
                    stream.ended.set()

    async def _goes_on(self, stream: _Open) -> bool:
        try:
            return await self._authenticator().authenticate(stream.headers) == stream.principal
        except AgentFlowError:
            return False
        except Exception as error:  # it must not keep the others open
            log.error("looking at an open stream failed: %s", type(error).__name__, exc_info=error)
            return False
