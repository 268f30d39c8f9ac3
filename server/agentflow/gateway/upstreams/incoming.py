"""What an upstream sends on its own while requests are in flight, taken to the call it belongs to.

Promises: progress reaches the call that asked for it, under the client's own token; a server's request
(elicitation, sampling, roots) is put to that call's client and always answered, with an error if need be: so is one
that belongs to no call where principals share the connection. Other messages of no call go to the connection's owner.
Shared by every HTTP transport.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from agentflow.errors import METHOD_NOT_FOUND, AgentFlowError, to_rpc
from agentflow.gateway.upstreams.connection import OnNotification
from agentflow.gateway.upstreams.jsonrpc import encode
from agentflow.gateway.upstreams.peer import CLIENT_METHODS
from agentflow.gateway.upstreams.port import Exchange

JSON = dict[str, Any]
log = logging.getLogger(__name__)

# Notifications about the server as a whole, whatever stream they arrive on.
SERVER_WIDE = frozenset(
    {
        "notifications/tools/list_changed",
        "notifications/resources/list_changed",
        "notifications/prompts/list_changed",
        "notifications/resources/updated",
    }
)
# How much longer than its timeout a request that keeps reporting progress may take.
PROGRESS_FACTOR = 10


class InFlight:
    """One request an upstream is working on, and its timer.

    Attributes:
        id: our JSON-RPC id, which is also our progress token.
        token: the client's own progress token, or None.
        timer: the context in which its answer is awaited.
        ended: it was answered, failed or was given up.
    """

    __slots__ = ("_deadline", "_loop", "_pending", "_timeout", "ended", "exchange", "id", "timer", "token")

    def __init__(self, request_id: int, exchange: Exchange | None, timeout: float) -> None:
        self.id = request_id
        self.exchange = exchange
        self.token: Any = None
        self._timeout = timeout
        self._loop = asyncio.get_running_loop()
        self._deadline = self._loop.time() + PROGRESS_FACTOR * timeout
        self._pending = 0  # server requests that wait for our client
        self.timer = asyncio.timeout(timeout)
        self.ended = False

    def restart(self) -> None:
        """Give it its whole timeout again, within ten times the timeout altogether."""
        if self._pending == 0:
            self._reschedule(min(self._loop.time() + self._timeout, self._deadline))

    def _reschedule(self, when: float | None) -> None:
        if not self.ended and not self.timer.expired():
            self.timer.reschedule(when)

    async def ask(self, method: str, params: JSON) -> JSON:
        """Put the upstream's request to the client. The upstream is not late while it waits for us."""
        assert self.exchange is not None
        self._reschedule(None)
        began = self._loop.time()
        self._pending += 1
        try:
            return await self.exchange.server_request(method, params)
        finally:
            self._pending -= 1
            self._deadline += self._loop.time() - began
            self.restart()


class Incoming:
    """The requests in flight on one connection, and where other messages go.

    Args:
        reply: sends one serialised JSON-RPC response to the upstream; None in an era without server requests.
        shared: whether the calls on this connection may be those of several principals, as it stands now.
        on_notification: takes notifications that belong to no call.
    """

    def __init__(
        self,
        reply: Callable[[bytes], Awaitable[None]] | None,
        on_notification: OnNotification,
        shared: Callable[[], bool] = lambda: True,
    ) -> None:
        self._reply = reply
        self._shared = shared
        self._on_notification = on_notification
        self._flights: dict[int, InFlight] = {}
        self._asking: dict[tuple[type, Any], tuple[asyncio.Task[None], InFlight | None]] = {}
        self._next_id = 0

    def open(self, exchange: Exchange | None, timeout: float) -> InFlight:
        """Register a new request under the next id."""
        self._next_id += 1
        flight = InFlight(self._next_id, exchange, timeout)
        self._flights[flight.id] = flight
        return flight

    def done(self, flight: InFlight) -> None:
        """Forget a request, however it ended; what its client was being asked is withdrawn."""
        flight.ended = True
        self._flights.pop(flight.id, None)
        if self._asking:
            for task, owner in tuple(self._asking.values()):
                if owner is flight:
                    task.cancel()

    async def take(self, message: JSON, flight: InFlight | None) -> None:
        """Deal with a request or notification from the upstream.

        Args:
            flight: the call on whose stream it came, or None for a stream of the whole connection.
        """
        method = message.get("method")
        params = message.get("params")
        if type(method) is not str:
            return
        params = params if type(params) is dict else {}
        if "id" in message:
            self._request(message["id"], method, params, flight or (None if self._shared() else self._latest()))
        elif method == "notifications/progress":
            await self._progress(params)
        elif method == "notifications/cancelled":
            self._withdraw(params.get("requestId"))
        elif flight is None or flight.exchange is None or method in SERVER_WIDE:
            self._on_notification(method, params)
        else:
            await self._pass_on(flight.exchange, method, params)

    async def _pass_on(self, exchange: Exchange, method: str, params: JSON) -> None:
        try:
            await exchange.notification(method, params)
        except Exception as error:
            # It was refused, or the client is gone: the answer is still wanted.
            log.info("a %s was not passed on: %s", method[:60], type(error).__name__)

    def _latest(self) -> InFlight | None:
        return next((each for each in reversed(self._flights.values()) if each.exchange is not None), None)

    async def _progress(self, params: JSON) -> None:
        token = params.get("progressToken")
        flight = self._flights.get(token) if type(token) is int else None
        if flight is None or flight.exchange is None or flight.token is None:
            return  # of a call that has ended, or that asked for none
        flight.restart()
        await self._pass_on(flight.exchange, "notifications/progress", {**params, "progressToken": flight.token})

    def _request(self, request_id: Any, method: str, params: JSON, flight: InFlight | None) -> None:
        if self._reply is None or not isinstance(request_id, str | int):
            return
        key = (type(request_id), request_id)
        if key in self._asking:
            return  # replayed on a resumed stream: it is being answered
        task = asyncio.get_running_loop().create_task(self._serve(self._reply, request_id, method, params, flight))
        self._asking[key] = (task, flight)
        task.add_done_callback(lambda _: self._asking.pop(key, None))

    async def _serve(
        self,
        reply: Callable[[bytes], Awaitable[None]],
        request_id: str | int,
        method: str,
        params: JSON,
        flight: InFlight | None,
    ) -> None:
        answer: JSON = {"jsonrpc": "2.0", "id": request_id}
        if method == "ping":
            answer["result"] = {}
        elif method not in CLIENT_METHODS or flight is None or flight.exchange is None:
            text = f"nobody here answers {method[:60]}"
            answer["error"] = {"code": METHOD_NOT_FOUND, "message": text}
        else:
            try:
                answer["result"] = await flight.ask(method, params)
            except Exception as error:
                code, text, data = to_rpc(error)
                answer["error"] = {"code": code, "message": text, **({} if data is None else {"data": data})}
        try:
            await reply(encode(answer))
        except AgentFlowError as error:
            log.warning("an answer could not be given to an upstream's request: %s", error.message)

    def _withdraw(self, request_id: Any) -> None:
        """The upstream no longer wants an answer to its request."""
        asking = self._asking.get((type(request_id), request_id)) if isinstance(request_id, str | int) else None
        if asking is not None:
            asking[0].cancel()

    def close(self) -> None:
        """Stop answering."""
        for task, _ in tuple(self._asking.values()):
            task.cancel()
