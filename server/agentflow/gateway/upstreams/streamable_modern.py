"""The stateless era (2026-07-28) over streamable HTTP: every request is one POST that carries everything.

Promises: envelope and routing headers always agree with the body; giving up a call closes its stream, which is
how this era cancels; `listen` keeps one subscription stream open and tells its owner to look again after a gap.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Mapping
from typing import Any

from mcp.shared.inbound import (
    MCP_METHOD_HEADER,
    MCP_NAME_HEADER,
    MCP_PROTOCOL_VERSION_HEADER,
    NAME_BEARING_METHODS,
    encode_header_value,
    find_invalid_x_mcp_header,
    mcp_param_headers,
    x_mcp_header_map,
)
from mcp.shared.subscriptions import SUBSCRIPTION_ID_META_KEY
from mcp_types import UNSUPPORTED_PROTOCOL_VERSION
from mcp_types.version import MODERN_PROTOCOL_VERSIONS

from agentflow.errors import (
    METHOD_NOT_FOUND,
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
from agentflow.gateway.upstreams.incoming import SERVER_WIDE, Incoming, InFlight
from agentflow.gateway.upstreams.jsonrpc import encode, is_answer, messages, refusal, result_of, wrong_type
from agentflow.gateway.upstreams.port import ClientIdentity, Era, Exchange
from agentflow.gateway.upstreams.sse_stream import SseParser
from agentflow.gateway.upstreams.streamable_legacy import JSON_TYPE, POST_LINES, SAFE_METHODS, SSE

JSON = dict[str, Any]
# A tool's name → its `inputSchema`, or None if the tool is not known.
SchemaOf = Callable[[str], JSON | None]
log = logging.getLogger(__name__)

_SAFE = SAFE_METHODS | {"server/discover"}
_FIRST_RETRY = 1.0
_LONGEST_RETRY = 30.0
_ACCEPT_SECONDS = 5.0
# What a subscription asks for, and the notification that says it happened.
_KINDS = {
    "toolsListChanged": "notifications/tools/list_changed",
    "promptsListChanged": "notifications/prompts/list_changed",
    "resourcesListChanged": "notifications/resources/list_changed",
}
_UPDATED = "notifications/resources/updated"


class ModernConnection:
    """What was discovered of a stateless upstream; see `connection.Connection`."""

    era: Era = "modern"

    def __init__(
        self,
        http: HttpClient,
        identity: ClientIdentity,
        max_result: int,
        on_notification: OnNotification,
        param_headers: ParamHeaders,
    ) -> None:
        self.protocol = MODERN_PROTOCOL_VERSIONS[-1]
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
        self._on_notification = on_notification
        self._param_headers = param_headers
        self._incoming = Incoming(None, on_notification)
        self._subscription: asyncio.Task[None] | None = None

    async def discover(self, timeout: float) -> None:
        """Ask the upstream what it is.

        Raises:
            Unsupported: it does not speak this era.
            UpstreamUnavailable, UpstreamProtocolError, UpstreamTimeout: as `Connector.connect`.
        """
        result = await self._discover(timeout)
        offered = result.get("supportedVersions")
        common = [version for version in MODERN_PROTOCOL_VERSIONS if isinstance(offered, list) and version in offered]
        if not common:
            raise Unsupported(f"{self._label} does not speak the stateless era of MCP")
        self.protocol = common[-1]
        capabilities = result.get("capabilities")
        self.capabilities = capabilities if isinstance(capabilities, dict) else {}
        self.server_info = envelope.server_info(result)
        instructions = result.get("instructions")
        self.instructions = instructions if isinstance(instructions, str) else ""

    async def _discover(self, timeout: float) -> JSON:
        try:
            return await self._run("server/discover", {}, None, timeout)
        except UpstreamError as error:
            # A handshake-era server answers what it does not know with whatever error it likes.
            raise Unsupported(f"{self._label} refused `server/discover`: {error.message[:200]}") from None
        except (UpstreamUnavailable, UpstreamProtocolError) as error:
            # ... or with an HTTP status; only 401, 403 and 429 say nothing about the era.
            if error.data.get("status") in (None, 401, 403, 429):
                raise
            raise Unsupported(f"{self._label} refused `server/discover`: {error.message}") from None

    # ------------------------------------------------------------------ requests

    async def request(self, method: str, params: JSON, exchange: Exchange | None, timeout: float) -> JSON:
        """As `connection.Connection.request`."""
        if self.closed.is_set():
            raise UpstreamUnavailable(self.reason, sent=False)
        try:
            return await self._run(method, params, exchange, timeout)
        except UpstreamUnavailable as error:
            # 403 and 429 may concern this request alone; any other of these ends the connection.
            if error.data.get("status") not in (403, 429):
                self._end(error.message)
            raise
        except UpstreamError as error:
            if error.rpc_code != UNSUPPORTED_PROTOCOL_VERSION:
                raise
            self._end(f"{self._label} no longer speaks {self.protocol}")
            raise UpstreamUnavailable(self.reason, sent=False) from None

    async def _run(self, method: str, params: JSON, exchange: Exchange | None, timeout: float) -> JSON:
        flight = self._incoming.open(exchange, timeout)
        try:
            async with flight.timer:
                response = await self._post(method, params, flight)
                return await self._answer(response, flight)
        except TimeoutError:
            raise UpstreamTimeout(f"{self._label} did not answer {method} within {timeout:g} s") from None
        finally:
            self._incoming.done(flight)

    async def _post(self, method: str, params: JSON, flight: InFlight) -> Response:
        exchange = flight.exchange
        body, flight.token = envelope.complete(
            params,
            flight.id,
            era="modern",
            protocol=self.protocol,
            identity=self._identity if exchange is None else exchange.identity,
            log_level=None if exchange is None else exchange.log_level,
        )
        data = encode({"jsonrpc": "2.0", "id": flight.id, "method": method, "params": body})
        lines = POST_LINES + self._routing(method, params)
        return await self._http.send(b"POST", lines, data, safe=method in _SAFE)

    def _routing(self, method: str, params: JSON) -> bytes:
        lines = (
            f"{MCP_PROTOCOL_VERSION_HEADER}: {self.protocol}\r\n{MCP_METHOD_HEADER}: {encode_header_value(method)}\r\n"
        )
        key = NAME_BEARING_METHODS.get(method)
        name = params.get(key) if key is not None else None
        if isinstance(name, str):
            lines += f"{MCP_NAME_HEADER}: {encode_header_value(name)}\r\n"
            if method == "tools/call":
                for header, value in self._param_headers.of(name, params.get("arguments")).items():
                    lines += f"{header}: {value}\r\n"
        return lines.encode("ascii")

    async def _answer(self, response: Response, flight: InFlight) -> JSON:
        streaming = response.media_type == SSE
        try:
            if response.status != 200:
                raise await refusal(response, flight.id, False, self._label)
            if streaming:
                return await self._from_stream(response, flight)
            if response.media_type != JSON_TYPE:
                raise wrong_type(response, self._label)
            for message in messages(await response.body(self._max), self._label):
                if is_answer(message):
                    return result_of(message, flight.id, self._label)
            raise UpstreamProtocolError(f"{self._label} answered without a response to the request")
        except asyncio.CancelledError:
            streaming = False  # closing the stream is what cancels the call
            raise
        finally:
            response.release(linger=streaming)

    async def _from_stream(self, response: Response, flight: InFlight) -> JSON:
        parser = SseParser(self._max)
        while chunk := await response.chunk():
            for event in parser.feed(chunk):
                if event.type != "message":
                    continue
                for message in messages(event.data, self._label):
                    if is_answer(message):
                        return result_of(message, flight.id, self._label)
                    await self._incoming.take(message, flight)
        raise UpstreamProtocolError(f"{self._label} ended its event stream without answering")

    # ------------------------------------------------------------------ subscriptions

    async def listen(self, wanted: JSON) -> None:
        """Keep one `subscriptions/listen` stream open in the background, in place of any former one.

        Returns once the upstream has accepted it (then nothing is missed from here on), refused it, or taken too
        long to say. What it brings goes to `on_notification`. After a gap the owner is told that everything
        subscribed to may have changed, for the protocol replays nothing.

        Args:
            wanted: the `notifications` filter: `{"toolsListChanged"?: true, …, "resourceSubscriptions"?: [uri]}`;
                `{}` ends the stream.
        """
        former, self._subscription = self._subscription, None
        try:
            if wanted and not self.closed.is_set():
                tried = asyncio.Event()
                self._subscription = asyncio.get_running_loop().create_task(self._keep_listening(wanted, tried))
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_ACCEPT_SECONDS):
                        await tried.wait()
        finally:
            if former is not None:
                former.cancel()

    async def _keep_listening(self, wanted: JSON, tried: asyncio.Event) -> None:
        try:
            await self._renew(wanted, tried)
        finally:
            tried.set()

    async def _renew(self, wanted: JSON, tried: asyncio.Event) -> None:
        pause = _FIRST_RETRY
        interrupted = False
        while True:
            try:
                if await self._listen_once(wanted, interrupted, tried):
                    pause = _FIRST_RETRY
            except UpstreamError as error:
                if error.rpc_code == METHOD_NOT_FOUND:
                    log.info("%s offers no subscriptions", self._label)
                    return
                log.info("%s refused a subscription: %s", self._label, error.rpc_code)
            except (UpstreamUnavailable, CredentialRequired) as error:
                self._end(error.message)
                return
            except AgentFlowError as error:
                log.info("the subscription to %s broke off: %s", self._label, error.message)
            interrupted = True
            tried.set()
            await asyncio.sleep(pause)
            pause = min(pause * 2, _LONGEST_RETRY)

    async def _listen_once(self, wanted: JSON, interrupted: bool, tried: asyncio.Event) -> bool:
        """Hold one stream to its end; True if the server had accepted it."""
        accepted = False
        flight = self._incoming.open(None, _LONGEST_RETRY)
        try:
            async with asyncio.timeout(_LONGEST_RETRY):
                response = await self._post("subscriptions/listen", {"notifications": wanted}, flight)
            try:
                if response.status != 200 or response.media_type != SSE:
                    raise await self._no_stream(response, flight)
                accepted = True
                tried.set()
                if interrupted:
                    self._look_again(wanted)
                await self._follow(response, flight)
            finally:
                response.release()
        except TimeoutError:
            raise UpstreamTimeout(f"{self._label} did not answer subscriptions/listen") from None
        except UpstreamProtocolError:
            if not accepted:
                raise
        finally:
            self._incoming.done(flight)
        return accepted

    async def _no_stream(self, response: Response, flight: InFlight) -> Exception:
        if response.status == 200 and response.media_type == JSON_TYPE:
            for message in messages(await response.body(self._max), self._label):
                if is_answer(message):
                    result_of(message, flight.id, self._label)
            return UpstreamProtocolError(f"{self._label} answered subscriptions/listen without a stream")
        if response.status == 200:
            return wrong_type(response, self._label)
        return await refusal(response, flight.id, False, self._label)

    async def _follow(self, response: Response, flight: InFlight) -> None:
        parser = SseParser(self._max)
        while chunk := await response.chunk():
            for event in parser.feed(chunk):
                if event.type != "message":
                    continue
                for message in messages(event.data, self._label):
                    if is_answer(message):
                        result_of(message, flight.id, self._label)
                        return
                    self._deliver(message)

    def _deliver(self, message: JSON) -> None:
        method, params = message.get("method"), message.get("params")
        if "id" in message or not isinstance(method, str) or method not in SERVER_WIDE:
            return  # the acknowledgement, or what this stream may not carry
        params = dict(params) if isinstance(params, dict) else {}
        meta = params.pop("_meta", None)
        if isinstance(meta, dict):
            rest = {key: value for key, value in meta.items() if key != SUBSCRIPTION_ID_META_KEY}
            if rest:
                params["_meta"] = rest
        self._on_notification(method, params)

    def _look_again(self, wanted: JSON) -> None:
        for kind, method in _KINDS.items():
            if wanted.get(kind):
                self._on_notification(method, {})
        for uri in wanted.get("resourceSubscriptions") or ():
            self._on_notification(_UPDATED, {"uri": uri})

    # ------------------------------------------------------------------ the rest

    async def notify(self, method: str, params: JSON) -> None:
        """Does nothing: this era has no notifications from client to server over HTTP."""

    def _end(self, reason: str) -> None:
        if not self.closed.is_set():
            self.reason = reason
            self.closed.set()

    async def close(self) -> None:
        """Stop listening; idempotent."""
        self._end(f"{self._label} was disconnected")
        self._incoming.close()
        if self._subscription is not None:
            self._subscription.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._subscription
            self._subscription = None


class ParamHeaders:
    """The `Mcp-Param-*` headers of tool calls, from the `x-mcp-header` annotations of a tool's schema.

    Args:
        schema_of: gives a tool's current schema; None mirrors nothing.
    """

    def __init__(self, schema_of: SchemaOf | None = None) -> None:
        self._schema_of = schema_of
        # Walking a schema costs more than a call's HTTP, so the walk is kept as long as the schema is the same object.
        self._known: dict[str, tuple[JSON, Mapping[tuple[str, ...], str]]] = {}

    def of(self, tool: str, arguments: Any) -> dict[str, str]:
        """Return the headers that mirror `arguments`."""
        schema = self._schema_of(tool) if self._schema_of is not None else None
        if schema is None:
            return {}
        known = self._known.get(tool)
        if known is None or known[0] is not schema:
            # A conforming client takes no header from a schema that is invalid in this respect.
            found = {} if find_invalid_x_mcp_header(schema) is not None else x_mcp_header_map(schema)
            known = self._known[tool] = (schema, found)
        if not known[1] or not isinstance(arguments, dict):
            return {}
        return mcp_param_headers(known[1], arguments)
