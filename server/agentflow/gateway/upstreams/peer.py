"""One JSON-RPC conversation over a duplex of whole messages: many requests in flight, in both directions.

A `Peer` is the `Connection` of every upstream that is reached over one pipe (child process, in-process server).
It promises that each request gets exactly one outcome, that what the upstream sends before an answer reaches the
exchange of the call it belongs to, in order, and that garbage, late and doubled answers harm no other call.
A pipe of one principal without correlation gives log messages and server requests to the call started last; where
principals share it, it refuses to guess: no log message and no question reaches anybody but the call it names.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
from collections import deque
from dataclasses import dataclass, field
from typing import Any, Protocol

from mcp.shared.subscriptions import SUBSCRIPTION_ID_META_KEY

from agentflow.errors import (
    INTERNAL_ERROR,
    INVALID_REQUEST,
    METHOD_NOT_FOUND,
    AgentFlowError,
    UpstreamError,
    UpstreamProtocolError,
    UpstreamTimeout,
    UpstreamUnavailable,
    to_rpc,
)
from agentflow.gateway.upstreams import envelope
from agentflow.gateway.upstreams.connection import OnNotification
from agentflow.gateway.upstreams.port import ClientIdentity, Era, Exchange

JSON = dict[str, Any]
_log = logging.getLogger(__name__)

CLIENT_METHODS = frozenset({"elicitation/create", "sampling/createMessage", "roots/list"})
_UNCANCELLABLE = frozenset({"initialize", "server/discover"})
_LISTEN = "subscriptions/listen"
_PROGRESS_EXTENSIONS = 10  # progress may stretch a call to this many times its timeout
_INBOX_LIMIT = 1024  # notifications kept for a client that does not read; further ones are dropped
_ASKED_LIMIT = 64  # server requests in flight on one connection
_LOGGED_GARBAGE = 5
_ACKNOWLEDGE_SECONDS = 5.0
_RELISTEN_SECONDS = 1.0  # after the server ended a subscription of its own accord


class Wire(Protocol):
    """Carries whole messages to the upstream. What it reads it hands to `Peer.feed`, its end to `Peer.lost`."""

    async def send(self, message: JSON) -> None:
        """Put a message on its way, waiting while the upstream does not read.

        Raises:
            UpstreamUnavailable: nothing of it was sent.
        """
        ...

    def post(self, message: JSON) -> None:
        """As `send`, without waiting and without failing: for what nobody waits for."""
        ...

    async def close(self) -> None: ...


@dataclass(slots=True, eq=False)
class _Pending:
    """One request of ours: what came for it so far. `token` is the client's own progress token."""

    id: int
    method: str
    exchange: Exchange | None
    token: Any
    timeout: float
    scope: asyncio.Timeout
    latest: float  # loop time past which nothing extends it
    inbox: deque[tuple[str, JSON]] = field(default_factory=deque)
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    asked: set[asyncio.Task[None]] = field(default_factory=set)
    result: JSON | None = None
    error: Exception | None = None

    def extend(self, now: float) -> None:
        """Start the timer anew; while the client is being asked it runs to the very end."""
        if math.isfinite(self.timeout) and not self.scope.expired():
            self.scope.reschedule(self.latest if self.asked else min(now + self.timeout, self.latest))

    def put(self, method: str, params: JSON) -> None:
        if len(self.inbox) < _INBOX_LIMIT:
            self.inbox.append((method, params))
            self.wake.set()

    @property
    def settled(self) -> bool:
        return self.result is not None or self.error is not None

    def settle(self, result: JSON | None, error: Exception | None) -> None:
        """Note the outcome; the first one counts."""
        if not self.settled:
            self.result, self.error = result, error
            self.wake.set()


class Peer:
    """A `Connection` over a `Wire`. Negotiation (`handshake.py`) fills in the protocol attributes.

    Attributes:
        garbage: how many messages made no sense so far.
    """

    def __init__(
        self,
        name: str,
        identity: ClientIdentity,
        on_notification: OnNotification,
        *,
        stateful: bool,
    ) -> None:
        self.era: Era = "legacy"
        self.protocol = ""
        self.capabilities: JSON = {}
        self.server_info: JSON = {}
        self.instructions = ""
        self.stateful = stateful
        self.closed = asyncio.Event()
        self.reason = ""
        self.identity = identity
        self.garbage = 0
        self.wire: Wire | None = None
        self._name = name
        self._on_notification = on_notification
        self._last_id = 0
        self._pending: dict[int, _Pending] = {}
        self._serving: dict[str | int, asyncio.Task[None]] = {}
        self._listening: asyncio.Task[None] | None = None
        self._acknowledged: asyncio.Future[None] | None = None

    # -- our requests -------------------------------------------------------------------------------------------

    async def request(self, method: str, params: JSON, exchange: Exchange | None, timeout: float) -> JSON:
        """Send one request and return its result; see `Connection.request`. `timeout` may be `math.inf`."""
        wire = self._open_wire()
        loop = asyncio.get_running_loop()
        self._last_id = number = self._last_id + 1
        body, token = envelope.complete(
            params,
            number,
            era=self.era,
            protocol=self.protocol,
            identity=exchange.identity if exchange is not None else self.identity,
            log_level=exchange.log_level if exchange is not None else None,
        )
        finite = math.isfinite(timeout)
        scope = asyncio.timeout(timeout if finite else None)
        latest = loop.time() + timeout * _PROGRESS_EXTENSIONS if finite else math.inf
        pending = _Pending(number, method, exchange, token, timeout, scope, latest)
        self._pending[number] = pending
        try:
            async with scope:
                await wire.send({"jsonrpc": "2.0", "id": number, "method": method, "params": body})
                return await self._outcome(pending)
        except TimeoutError:
            self._abandon(pending, "timed out")
            raise UpstreamTimeout(f"{self._name} did not answer {method} within {timeout:g} s") from None
        except asyncio.CancelledError:
            self._abandon(pending, "the caller cancelled")
            raise
        finally:
            del self._pending[number]
            for task in pending.asked:
                task.cancel()

    async def notify(self, method: str, params: JSON) -> None:
        """Send one notification.

        Raises:
            UpstreamUnavailable: the connection is closed.
        """
        message: JSON = {"jsonrpc": "2.0", "method": method}
        if params:
            message["params"] = params
        await self._open_wire().send(message)

    async def listen(self, wanted: JSON) -> None:
        """Keep one `subscriptions/listen` (2026-07-28) open in the background, in place of any former one.

        Returns once the server has acknowledged it, or will not. What it brings goes to `on_notification`.

        Args:
            wanted: the `notifications` filter, e.g. `{"toolsListChanged": true}`; `{}` ends listening.
        """
        former, self._listening = self._listening, None
        if wanted and not self.closed.is_set():
            loop = asyncio.get_running_loop()
            self._acknowledged = loop.create_future()
            self._listening = loop.create_task(self._keep_listening(wanted))
            first: set[asyncio.Future[None]] = {self._acknowledged, self._listening}
            await asyncio.wait(first, timeout=_ACKNOWLEDGE_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        if former is not None:
            former.cancel()
            await asyncio.gather(former, return_exceptions=True)

    async def _keep_listening(self, wanted: JSON) -> None:
        while not self.closed.is_set():
            try:
                await self.request(_LISTEN, {"notifications": wanted}, None, math.inf)
            except UpstreamError as error:
                _log.info("%s offers no subscriptions: error %d", self._name, error.rpc_code)
                return
            except AgentFlowError:
                continue  # the loop's condition tells whether there is anything left to listen to
            await asyncio.sleep(_RELISTEN_SECONDS)

    async def close(self) -> None:
        self.lost("closed by the gateway")
        if self.wire is not None:
            await self.wire.close()

    def _open_wire(self) -> Wire:
        if self.wire is None or self.closed.is_set():
            raise UpstreamUnavailable(f"{self._name} is not connected: {self.reason or 'not yet'}", sent=False)
        return self.wire

    async def _outcome(self, pending: _Pending) -> JSON:
        while True:
            while pending.inbox:
                await self._deliver(pending, *pending.inbox.popleft())
            if pending.error is not None:
                raise pending.error
            if pending.result is not None:
                return pending.result
            pending.wake.clear()
            await pending.wake.wait()

    async def _deliver(self, pending: _Pending, method: str, params: JSON) -> None:
        if pending.exchange is None:
            return
        try:
            await pending.exchange.notification(method, params)
        except Exception as error:
            # It was refused or the client is gone: the answer is still wanted.
            _log.info("%s: a %s was not passed on: %s", self._name, method, type(error).__name__)

    def _abandon(self, pending: _Pending, why: str) -> None:
        if pending.settled or self.wire is None or self.closed.is_set() or pending.method in _UNCANCELLABLE:
            return
        params = {"requestId": pending.id, "reason": why}
        self.wire.post({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": params})

    # -- what the upstream sends --------------------------------------------------------------------------------

    def feed(self, message: object, related: object = None) -> None:
        """Take one decoded message (or a batch). `related` is the id of our request it is about, where known."""
        if self.closed.is_set():
            return
        if isinstance(message, list):
            for item in message:
                if isinstance(item, dict):
                    self.feed(item, related)
                else:
                    self.reject("a batch member that is no object")
        elif not isinstance(message, dict):
            self.reject("a message that is no object")
        elif isinstance(method := message.get("method"), str):
            params = message.get("params")
            if params is None:
                params = {}
            if not isinstance(params, dict):
                self.reject(f"{method[:40]!r} with parameters that are no object")
            elif "id" in message:
                self._take_request(message["id"], method, params, related)
            else:
                self._take_notification(method, params, related)
        elif "result" in message or "error" in message:
            self._take_answer(message)
        else:
            self.reject("an object that is neither request, notification nor answer")

    def reject(self, what: str) -> None:
        """Count a message that makes no sense. Its text is not logged: it may hold what nobody may see."""
        self.garbage += 1
        if self.garbage <= _LOGGED_GARBAGE:
            _log.warning("%s sent %s; ignored (%d so far)", self._name, what, self.garbage)

    def lost(self, reason: str) -> None:
        """End the conversation: everything in flight fails with `reason`. Idempotent."""
        if self.closed.is_set():
            return
        self.reason = reason
        self.closed.set()
        for pending in self._pending.values():
            pending.settle(None, UpstreamProtocolError(f"{self._name} broke off during {pending.method}: {reason}"))
        for task in self._serving.values():
            task.cancel()

    def _take_answer(self, message: JSON) -> None:
        pending = self._addressee(message)
        if pending is None or pending.settled:
            self.reject("an answer to no request in flight")
            return
        error = message.get("error")
        if error is None:
            result = message.get("result")
            if isinstance(result, dict):
                pending.settle(result, None)
                return
            self.reject("a result that is no object")
            answer = f"{self._name} answered {pending.method} with a result that is no object"
            pending.settle(None, UpstreamProtocolError(answer))
            return
        fields = error if isinstance(error, dict) else {}
        code, text = fields.get("code"), fields.get("message")
        pending.settle(
            None,
            UpstreamError(
                code if type(code) is int else INTERNAL_ERROR,
                text if isinstance(text, str) else "the upstream gave no error message",
                fields.get("data"),
            ),
        )

    def _addressee(self, message: JSON) -> _Pending | None:
        number = message.get("id")
        if isinstance(number, str) and number.isascii() and number.isdigit() and len(number) < 18:
            number = int(number)
        if type(number) is int:
            return self._pending.get(number)
        # A server that cannot read a request answers with a null id; with one request in flight it is that one.
        if number is None and "error" in message and len(self._pending) == 1:
            return next(iter(self._pending.values()))
        return None

    def _take_notification(self, method: str, params: JSON, related: object) -> None:
        if method == "notifications/progress":
            pending = self._mine(params.get("progressToken"))
            if pending is not None and pending.token is not None:
                pending.extend(asyncio.get_running_loop().time())
                pending.put(method, {**params, "progressToken": pending.token})
            return
        if method == "notifications/cancelled":
            number = params.get("requestId")
            task = self._serving.get(number) if isinstance(number, str | int) else None
            if task is not None:
                task.cancel()
            return
        meta = params.get("_meta")
        if isinstance(meta, dict) and SUBSCRIPTION_ID_META_KEY in meta:
            target = self._mine(meta[SUBSCRIPTION_ID_META_KEY])
        elif method == "notifications/message":
            target = self._current(related)
        else:
            target = None
        if target is not None and target.exchange is not None:
            target.put(method, params)
        elif method == "notifications/subscriptions/acknowledged":
            if self._acknowledged is not None and not self._acknowledged.done():
                self._acknowledged.set_result(None)
        else:
            self._on_notification(method, params)

    def _mine(self, number: object) -> _Pending | None:
        if isinstance(number, str) and number.isascii() and number.isdigit() and len(number) < 18:
            number = int(number)
        return self._pending.get(number) if type(number) is int else None

    def _current(self, related: object) -> _Pending | None:
        """The call in flight that a message belongs to: the one named, else the last if all are one principal's."""
        named = self._mine(related)
        if named is not None or not self.stateful:
            return named
        for pending in reversed(self._pending.values()):
            if pending.exchange is not None and pending.method != _LISTEN:
                return pending
        return None

    # -- requests of the upstream -------------------------------------------------------------------------------

    def _take_request(self, number: object, method: str, params: JSON, related: object) -> None:
        if not isinstance(number, str | int) or isinstance(number, bool):
            self.reject("a request whose id is neither string nor integer")
            return
        if method == "ping":
            self._answer(number, {"result": {}})
            return
        pending = self._current(related)
        # 2026-07-28 has no server-initiated requests at all.
        if method not in CLIENT_METHODS or self.era == "modern" or pending is None or pending.exchange is None:
            self._refuse(number, METHOD_NOT_FOUND, f"Nobody here answers {method[:60]}")
        elif number in self._serving:
            self._refuse(number, INVALID_REQUEST, "A request with this id is still open")
        elif len(self._serving) >= _ASKED_LIMIT:
            self._refuse(number, INTERNAL_ERROR, "Too many requests to the client at once")
        else:
            task = asyncio.get_running_loop().create_task(
                self._ask(number, method, params, pending, pending.exchange), name=f"ask {self._name} {method}"
            )
            self._serving[number] = task
            pending.asked.add(task)
            pending.extend(0.0)

    async def _ask(self, number: str | int, method: str, params: JSON, pending: _Pending, exchange: Exchange) -> None:
        try:
            answer: JSON = {"result": await exchange.server_request(method, params)}
        except Exception as error:
            code, text, data = to_rpc(error)
            answer = {"error": {"code": code, "message": text}}
            if data is not None:
                answer["error"]["data"] = data
        finally:
            self._serving.pop(number, None)
            pending.asked.discard(asyncio.current_task())
            if self._pending.get(pending.id) is pending:
                pending.extend(asyncio.get_running_loop().time())
        self._answer(number, answer)

    def _refuse(self, number: str | int, code: int, text: str) -> None:
        self._answer(number, {"error": {"code": code, "message": text}})

    def _answer(self, number: str | int, answer: JSON) -> None:
        if self.wire is not None and not self.closed.is_set():
            with contextlib.suppress(UpstreamUnavailable):
                self.wire.post({"jsonrpc": "2.0", "id": number, **answer})
