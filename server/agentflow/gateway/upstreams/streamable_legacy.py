"""A handshake-era session (2024-11-05 … 2025-11-25) over streamable HTTP.

Promises: a request is written once; its answer is found in JSON or on an event stream, resumed where the server
gave event ids; a lost session is told apart from a failed call; giving up a call tells the upstream.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from typing import Any

from mcp_types import UNSUPPORTED_PROTOCOL_VERSION
from mcp_types.version import HANDSHAKE_PROTOCOL_VERSIONS, LATEST_HANDSHAKE_VERSION

from agentflow.errors import (
    AgentFlowError,
    CredentialRequired,
    Unsupported,
    UpstreamError,
    UpstreamProtocolError,
    UpstreamTimeout,
    UpstreamUnavailable,
)
from agentflow.gateway.upstreams import envelope
from agentflow.gateway.upstreams.connection import OnNotification
from agentflow.gateway.upstreams.http1 import HttpClient, Response
from agentflow.gateway.upstreams.http1_wire import Disconnected
from agentflow.gateway.upstreams.incoming import Incoming, InFlight
from agentflow.gateway.upstreams.jsonrpc import (
    SessionLost,
    encode,
    is_answer,
    messages,
    refusal,
    result_of,
    wrong_type,
)
from agentflow.gateway.upstreams.port import ClientIdentity, Era, Exchange
from agentflow.gateway.upstreams.sse_stream import SseParser

JSON = dict[str, Any]
log = logging.getLogger(__name__)

# Requests that change nothing, which may therefore be repeated on a fresh socket.
SAFE_METHODS = frozenset(
    {"initialize", "ping", "tools/list", "resources/list", "resources/templates/list", "prompts/list"}
)
POST_LINES = b"Accept: application/json, text/event-stream\r\nContent-Type: application/json\r\n"
GET_LINES = b"Accept: text/event-stream\r\n"
SSE = b"text/event-stream"
JSON_TYPE = b"application/json"

_COURTESY_SECONDS = 5.0  # for a cancellation or a DELETE, which nobody waits for
_RESUME_ATTEMPTS = 5  # without a single event in between
_FIRST_RETRY = 1.0
_LONGEST_RETRY = 30.0


class LegacyConnection:
    """One initialized session; see `connection.Connection`."""

    era: Era = "legacy"

    def __init__(
        self, http: HttpClient, identity: ClientIdentity, max_result: int, on_notification: OnNotification
    ) -> None:
        self.protocol = ""
        self.capabilities: JSON = {}
        self.server_info: JSON = {}
        self.instructions = ""
        self.stateful = False
        self.closed = asyncio.Event()
        self.reason = ""
        self._identity = identity
        self._http = http
        self._label = http.label
        self._max = max_result
        self._session = b""  # header lines that name session and protocol
        self._has_session = False
        self._incoming = Incoming(self._post, on_notification, lambda: not self.stateful)
        self._tasks: set[asyncio.Task[None]] = set()

    # ------------------------------------------------------------------ handshake

    async def initialize(self, timeout: float) -> None:
        """Open the session as the client it is for.

        Raises:
            Unsupported: the upstream speaks no revision of this era.
            UpstreamUnavailable, UpstreamProtocolError, UpstreamTimeout: as `Connector.connect`.
        """
        params = {
            "protocolVersion": LATEST_HANDSHAKE_VERSION,
            "capabilities": envelope.client_capabilities(self._identity),
            "clientInfo": envelope.client_info(self._identity),
        }
        try:
            result = await self._run("initialize", params, None, timeout)
        except UpstreamError as error:
            if error.rpc_code == UNSUPPORTED_PROTOCOL_VERSION:
                raise Unsupported(f"{self._label} does not speak the handshake era of MCP") from None
            raise UpstreamProtocolError(f"{self._label} refused `initialize`: {error.message[:200]}") from None
        version = result.get("protocolVersion")
        if version not in HANDSHAKE_PROTOCOL_VERSIONS:
            raise Unsupported(f"{self._label} speaks protocol version {str(version)[:40]!r}, which AgentFlow does not")
        self.protocol = version
        self.capabilities = _object(result, "capabilities")
        self.server_info = _object(result, "serverInfo")
        instructions = result.get("instructions")
        self.instructions = instructions if isinstance(instructions, str) else ""
        self._session += b"MCP-Protocol-Version: %b\r\n" % version.encode("ascii")
        async with _bounded(timeout, self._label):
            await self.notify("notifications/initialized", {})
        if self._has_session or _announces_changes(self.capabilities):
            self._spawn(self._listen())

    # ------------------------------------------------------------------ requests

    async def request(self, method: str, params: JSON, exchange: Exchange | None, timeout: float) -> JSON:
        """As `connection.Connection.request`."""
        if self.closed.is_set():
            raise UpstreamUnavailable(self.reason, sent=False)
        try:
            return await self._run(method, params, exchange, timeout)
        except UpstreamUnavailable as error:
            # 403 and 429 may concern this request alone; any other of these ends the session.
            if error.data.get("status") not in (403, 429):
                self._end(error.message)
            raise

    async def _run(self, method: str, params: JSON, exchange: Exchange | None, timeout: float) -> JSON:
        flight = self._incoming.open(exchange, timeout)
        try:
            body, flight.token = self._complete(params, flight.id)
            data = encode({"jsonrpc": "2.0", "id": flight.id, "method": method, "params": body})
            async with flight.timer:
                return await self._ask(method, data, flight)
        except TimeoutError:
            self._cancel(method, flight, f"no answer within {timeout:g} s")
            raise UpstreamTimeout(f"{self._label} did not answer {method} within {timeout:g} s") from None
        except asyncio.CancelledError:
            self._cancel(method, flight, "the client cancelled")
            raise
        finally:
            self._incoming.done(flight)

    def _complete(self, params: JSON, token: int) -> tuple[JSON, Any]:
        return envelope.complete(
            params, token, era="legacy", protocol=self.protocol, identity=self._identity, log_level=None
        )

    async def _ask(self, method: str, body: bytes, flight: InFlight) -> JSON:
        response = await self._http.send(b"POST", POST_LINES + self._session, body, safe=method in SAFE_METHODS)
        streaming = False
        try:
            if response.status != 200:
                raise await refusal(response, flight.id, self._has_session, self._label)
            if method == "initialize":
                self._adopt(response)
            if response.media_type == JSON_TYPE:
                return await self._from_json(response, flight)
            if response.media_type != SSE:
                raise wrong_type(response, self._label)
            streaming = True
            return await self._from_stream(response, flight)
        finally:
            response.release(linger=streaming)

    def _adopt(self, response: Response) -> None:
        session = response.headers.get(b"mcp-session-id")
        if session is None:
            return
        if len(session) > 1024 or not all(0x21 <= byte <= 0x7E for byte in session):
            raise UpstreamProtocolError(f"{self._label} gave a session id that is not visible ASCII")
        self._session = b"Mcp-Session-Id: %b\r\n" % session
        self._has_session = self.stateful = True

    async def _from_json(self, response: Response, flight: InFlight) -> JSON:
        for message in messages(await response.body(self._max), self._label):
            if is_answer(message):
                return result_of(message, flight.id, self._label)
            await self._incoming.take(message, flight)
        raise UpstreamProtocolError(f"{self._label} answered without a response to the request")

    # ------------------------------------------------------------------ event streams

    async def _from_stream(self, response: Response, flight: InFlight) -> JSON:
        parser = SseParser(self._max)
        answer = await self._read(response, parser, flight)
        failures = 0
        while answer is None:
            if not parser.last_event_id:
                raise UpstreamProtocolError(f"{self._label} ended its event stream without answering")
            if failures >= _RESUME_ATTEMPTS:
                raise UpstreamProtocolError(f"{self._label} broke off its event stream and could not resume it")
            await asyncio.sleep(_FIRST_RETRY if parser.retry is None else min(parser.retry, _LONGEST_RETRY))
            before = parser.last_event_id
            answer = await self._resume(parser, flight)
            failures = failures + 1 if parser.last_event_id == before else 0
        return answer

    async def _read(self, response: Response, parser: SseParser, flight: InFlight) -> JSON | None:
        """Read a stream until our answer; None if it ended before."""
        try:
            while chunk := await response.chunk():
                for event in parser.feed(chunk):
                    if event.type != "message":
                        continue
                    for message in messages(event.data, self._label):
                        if is_answer(message):
                            return result_of(message, flight.id, self._label)
                        await self._incoming.take(message, flight)
        except Disconnected:
            if not parser.last_event_id:
                raise
        return None

    async def _resume(self, parser: SseParser, flight: InFlight) -> JSON | None:
        parser.reopen()
        try:
            response = await self._get(parser.last_event_id)
        except (Disconnected, UpstreamUnavailable):
            return None
        try:
            if response.status != 200 or response.media_type != SSE:
                reason = f"{self._label} ended its event stream and refused to resume it (HTTP {response.status})"
                raise UpstreamProtocolError(reason)
            return await self._read(response, parser, flight)
        finally:
            response.release(linger=True)

    async def _get(self, last_event_id: str) -> Response:
        lines = GET_LINES + self._session
        if last_event_id:
            lines += b"Last-Event-ID: %b\r\n" % last_event_id.encode()
        return await self._http.send(b"GET", lines, safe=True)

    async def _listen(self) -> None:
        """Keep the stream for unsolicited messages open, where the server offers one."""
        parser = SseParser(self._max)
        pause = _FIRST_RETRY
        opened = False
        while True:
            try:
                response = await self._get(parser.last_event_id)
                try:
                    if response.status == 200 and response.media_type == SSE:
                        opened, pause = True, _FIRST_RETRY
                        await self._follow(response, parser)
                    elif not opened:
                        return  # 405 says that none is offered; some servers say 404 or show a page
                    # 409: the server has not noticed yet that our former stream is gone. 5xx: it may recover.
                    elif response.status < 500 and response.status != 409:
                        raise await refusal(response, None, self._has_session, self._label)
                finally:
                    response.release()
            except (UpstreamUnavailable, CredentialRequired) as error:
                self._end(error.message)
                return
            except UpstreamProtocolError as error:
                log.info("the event stream of %s broke off: %s", self._label, error.message)
            parser.reopen()
            await asyncio.sleep(pause if parser.retry is None else max(pause, min(parser.retry, _LONGEST_RETRY)))
            pause = min(pause * 2, _LONGEST_RETRY)

    async def _follow(self, response: Response, parser: SseParser) -> None:
        while chunk := await response.chunk():
            for event in parser.feed(chunk):
                if event.type != "message":
                    continue
                for message in messages(event.data, self._label):
                    if not is_answer(message):
                        await self._incoming.take(message, None)

    # ------------------------------------------------------------------ one-way messages

    async def notify(self, method: str, params: JSON) -> None:
        """As `connection.Connection.notify`; raises the same errors as `request`, `UpstreamError` excepted."""
        message: JSON = {"jsonrpc": "2.0", "method": method}
        if params:
            message["params"] = self._complete(params, 0)[0]
        await self._post(encode(message))

    async def _post(self, body: bytes) -> None:
        response = await self._http.send(b"POST", POST_LINES + self._session, body)
        try:
            if not 200 <= response.status < 300:
                error = await refusal(response, None, self._has_session, self._label)
                if isinstance(error, SessionLost):
                    self._end(error.message)
                raise error
        finally:
            response.release(linger=True)

    def _cancel(self, method: str, flight: InFlight, reason: str) -> None:
        """Tell the upstream in the background: whoever gave up does not wait for it."""
        if method == "initialize" or self.closed.is_set():
            return
        params = {"requestId": flight.id, "reason": reason}
        self._spawn(self._courtesy(lambda: self.notify("notifications/cancelled", params)))

    async def _courtesy(self, send: Callable[[], Awaitable[None]]) -> None:
        with contextlib.suppress(AgentFlowError, TimeoutError):
            async with asyncio.timeout(_COURTESY_SECONDS):
                await send()

    # ------------------------------------------------------------------ end

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _end(self, reason: str) -> None:
        if not self.closed.is_set():
            self.reason = reason
            self.closed.set()

    async def close(self) -> None:
        """End the session at the upstream (best effort, bounded) and stop everything; idempotent."""
        lost = self.closed.is_set()
        self._end(f"{self._label} was disconnected")
        self._incoming.close()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._has_session and not lost:
            await self._courtesy(self._delete)

    async def _delete(self) -> None:
        (await self._http.send(b"DELETE", self._session)).release(linger=True)


def _object(result: JSON, key: str) -> JSON:
    value = result.get(key)
    return value if isinstance(value, dict) else {}


def _announces_changes(capabilities: JSON) -> bool:
    parts = [part for part in capabilities.values() if isinstance(part, dict)]
    return any(part.get("listChanged") or part.get("subscribe") for part in parts)


@contextlib.asynccontextmanager
async def _bounded(timeout: float, label: str) -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(timeout):
            yield
    except TimeoutError:
        raise UpstreamTimeout(f"{label} did not finish the handshake within {timeout:g} s") from None
