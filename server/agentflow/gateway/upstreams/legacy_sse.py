"""The connector of `type: sse`: the HTTP+SSE transport of 2024-11-05, deprecated and still in use.

One GET holds an event stream for everything the server says; its first event, `endpoint`, names where to POST.
Refuses an endpoint of another origin: credentials would go there.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import ssl
from collections.abc import Coroutine
from typing import Any
from urllib.parse import urljoin

from agentflow.config import LimitsConfig, ServerConfig
from agentflow.errors import (
    AgentFlowError,
    ConfigError,
    Unsupported,
    UpstreamProtocolError,
    UpstreamTimeout,
    UpstreamUnavailable,
)
from agentflow.gateway.upstreams.connection import Connection, OnNotification
from agentflow.gateway.upstreams.handshake import negotiate
from agentflow.gateway.upstreams.http1 import Endpoint, HttpClient, Response
from agentflow.gateway.upstreams.jsonrpc import decode, encode, refusal, wrong_type
from agentflow.gateway.upstreams.peer import Peer
from agentflow.gateway.upstreams.personal import HttpClients
from agentflow.gateway.upstreams.port import ClientIdentity, Era
from agentflow.gateway.upstreams.sse_stream import SseParser
from agentflow.gateway.upstreams.streamable_legacy import GET_LINES, POST_LINES, SSE
from agentflow.identity.downstream import Source

JSON = dict[str, Any]
log = logging.getLogger(__name__)

_POST_SECONDS = 5.0  # for what nobody waits for


class SseWire:
    """A `peer.Wire`: messages out by POST, in by one event stream."""

    def __init__(self, http: HttpClient, url: str, max_result: int) -> None:
        self._http = http
        self._url = url
        self._max = max_result
        self._target = b""
        self._response: Response | None = None
        self._parser = SseParser(max_result)
        self._tasks: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        """Open the stream and wait for the `endpoint` event.

        Raises:
            UpstreamUnavailable, UpstreamProtocolError: as `Connector.connect`.
        """
        label = self._http.label
        response = self._response = await self._http.send(b"GET", GET_LINES, safe=True)
        if response.status != 200:
            raise await refusal(response, None, False, label)
        if response.media_type != SSE:
            raise wrong_type(response, label)
        while chunk := await response.chunk():
            for event in self._parser.feed(chunk):
                if event.type == "endpoint":
                    self._target = self._same_origin(event.data)
                    return
        raise UpstreamProtocolError(f"{label} ended its event stream without naming an endpoint")

    def _same_origin(self, data: bytes) -> bytes:
        try:
            end = Endpoint.parse(urljoin(self._url, data.decode("utf-8")))
        except (UnicodeDecodeError, ValueError, ConfigError):
            raise UpstreamProtocolError(f"{self._http.label} named an endpoint that is not a URL") from None
        if end.origin != self._http.endpoint.origin:
            raise UpstreamProtocolError(
                f"{self._http.label} named an endpoint on another server, {end.origin}",
                fix="set `url` to that server if it is the intended one",
            )
        return end.target.encode("ascii")

    def start(self, peer: Peer) -> None:
        """Hand everything that arrives to `peer`, until the stream ends."""
        self._spawn(self._read(peer))

    async def _read(self, peer: Peer) -> None:
        assert self._response is not None
        reason = f"{self._http.label} ended its event stream"
        try:
            while chunk := await self._response.chunk():
                for event in self._parser.feed(chunk):
                    if event.type == "message":
                        self._feed(peer, event.data)
        except UpstreamProtocolError as error:
            reason = error.message
        finally:
            self._response.release()
            peer.lost(reason)

    def _feed(self, peer: Peer, data: bytes) -> None:
        try:
            message = decode(data)
        except ValueError:
            peer.reject("an event that is not JSON")
            return
        peer.feed(message)

    async def send(self, message: JSON) -> None:
        """As `peer.Wire.send`; a refused POST raises what the refusal means."""
        response = await self._http.send(b"POST", POST_LINES, encode(message), target=self._target)
        try:
            if not 200 <= response.status < 300:
                number = message.get("id")
                raise await refusal(response, number if isinstance(number, int) else None, False, self._http.label)
        finally:
            response.release(linger=True)

    def post(self, message: JSON) -> None:
        """As `peer.Wire.post`."""
        self._spawn(self._post(message))

    async def _post(self, message: JSON) -> None:
        try:
            async with asyncio.timeout(_POST_SECONDS):
                await self.send(message)
        except (AgentFlowError, TimeoutError) as error:
            log.info("%s was not told something: %s", self._http.label, type(error).__name__)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """End the stream, which ends the session."""
        tasks = [task for task in self._tasks if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._response is not None:
            self._response.release()


class SseConnector:
    """Makes sessions with one HTTP+SSE upstream; see `connection.Connector`.

    Args:
        name: the server's name, for messages.
        tls: replaces the default verifying context.
        source: the credentials of an entry with `auth`.

    Raises:
        ConfigError: `url` or a header cannot be used.
    """

    def __init__(
        self,
        config: ServerConfig,
        limits: LimitsConfig,
        *,
        name: str = "",
        tls: ssl.SSLContext | None = None,
        source: Source | None = None,
    ) -> None:
        self._http = HttpClients(config, limits, name, tls, source)
        self._url = config.url or ""
        self._max_result = limits.max_result
        self._timeout = config.timeout

    async def connect(self, identity: ClientIdentity, era: Era | None, on_notification: OnNotification) -> Connection:
        """As `connection.Connector.connect`."""
        if era == "modern":
            raise Unsupported("the HTTP+SSE transport has no stateless era")
        http = self._http.of(identity.principal)
        label = http.label
        wire = SseWire(http, self._url, self._max_result)
        peer = Peer(label, identity, on_notification, stateful=True)
        peer.wire = wire
        try:
            async with asyncio.timeout(self._timeout):
                await wire.open()
            wire.start(peer)
            await negotiate(peer, "legacy", self._timeout)
        except TimeoutError:
            await peer.close()
            raise UpstreamTimeout(f"{label} named no endpoint within {self._timeout:g} s") from None
        except BaseException:
            with contextlib.suppress(UpstreamUnavailable):
                await peer.close()
            raise
        return peer

    async def close(self) -> None:
        """As `connection.Connector.close`."""
        await self._http.close()
