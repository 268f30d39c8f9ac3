"""Servers that live in this process: folders of tool files, and HTTP APIs described by an OpenAPI document.

Both are FastMCP servers behind the SDK's in-memory streams, so they speak the whole protocol (progress, logging,
elicitation, structured output) like any other upstream. A tool file runs in the context of the call
(`flow.port.CALLER`); an OpenAPI tool does not, so nothing of the caller's request can reach the API.
FastMCP is imported at the first connection that needs it, in a thread.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import gc
import json
import logging
from abc import ABC, abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import orjson
from mcp.shared.exceptions import MCPError
from mcp.shared.memory import MessageStream, create_client_server_memory_streams
from mcp.shared.message import ServerMessageMetadata, SessionMessage
from mcp_types import (
    INTERNAL_ERROR,
    ErrorData,
    JSONRPCError,
    JSONRPCMessage,
    JSONRPCNotification,
    JSONRPCRequest,
    JSONRPCResponse,
)

from agentflow.config import LimitsConfig, ServerConfig
from agentflow.errors import AgentFlowError, UpstreamUnavailable
from agentflow.gateway.upstreams.connection import OnNotification
from agentflow.gateway.upstreams.handshake import negotiate
from agentflow.gateway.upstreams.listed import RecordedWire, recorded
from agentflow.gateway.upstreams.peer import Peer
from agentflow.gateway.upstreams.port import ClientIdentity, Era
from agentflow.identity.downstream import Source
from agentflow.identity.subject import acting_for

if TYPE_CHECKING:
    from fastmcp import FastMCP

JSON = dict[str, Any]
_log = logging.getLogger(__name__)
_GRACE = 2.0  # seconds a server may take to end


class InProcess(ABC):
    """Connects to a FastMCP server that is made once, on first use. Base of the two connectors here."""

    isolated = False  # whether a call runs without the caller's context variables

    def __init__(self, name: str, config: ServerConfig, limits: LimitsConfig) -> None:
        self._name = name
        self._config = config
        self._limits = limits
        self._server: FastMCP[Any] | None = None
        self._making = asyncio.Lock()
        self._wires: set[MemoryWire] = set()

    async def connect(self, identity: ClientIdentity, era: Era | None, on_notification: OnNotification) -> Peer:
        """Open one session with the server; see `connection.Connector.connect`."""
        async with self._making:
            if self._server is None:
                self._server = await self._make()
        peer = Peer(self._name, identity, on_notification, stateful=False)
        wire = MemoryWire(self._name, self._server, peer, isolated=self.isolated)
        peer.wire = wire
        self._wires.add(wire)
        wire.ended.add_done_callback(lambda _: self._wires.discard(wire))
        try:
            await wire.open()
            await negotiate(peer, era or "modern", self._config.timeout)
        except BaseException:
            await wire.close()
            raise
        return peer

    async def close(self) -> None:
        """End every session that is left, and what the server holds."""
        await asyncio.gather(*(wire.close() for wire in tuple(self._wires)))
        self._server = None

    @abstractmethod
    async def _make(self) -> FastMCP[Any]: ...


class ToolsConnector(InProcess):
    """A folder of tool files (`type: tools`), found by FastMCP's file-system provider.

    Where what they list is on record beside them, they are loaded for the first client's connection, not for the
    gateway's own, which only lists.

    Attributes:
        problems: the files that could not be loaded, each with the reason.
    """

    problems: tuple[str, ...] = ()

    async def connect(self, identity: ClientIdentity, era: Era | None, on_notification: OnNotification) -> Peer:
        """See `connection.Connector.connect`; without an `era`, it is the gateway itself that connects."""
        folder, config = self._config.path, self._config
        if era is None and self._server is None and folder is not None:
            answers = recorded(folder, self._name, config.description)
            if answers is not None:
                peer = Peer(self._name, identity, on_notification, stateful=False)
                peer.wire = RecordedWire(answers, peer)
                await negotiate(peer, "modern", config.timeout)
                return peer
        return await super().connect(identity, era, on_notification)

    async def _make(self) -> FastMCP[Any]:
        folder = self._config.path
        if folder is None or not folder.is_dir():
            raise UpstreamUnavailable(
                f"{self._name}: the folder of tool files {str(folder)!r} does not exist", fix="correct `path`"
            )
        return await asyncio.to_thread(self._load, folder)

    def _load(self, folder: Path) -> FastMCP[Any]:
        _quiet()
        from fastmcp.server.providers import FileSystemProvider

        try:
            provider = FileSystemProvider(folder)
        except SystemExit as error:
            raise UpstreamUnavailable(f"{self._name}: a tool file ended the program ({error.code})") from None
        self.problems = tuple(
            f"tool file {path.name} was left out: {str(why)[:300]}"
            for path, why in sorted(provider.failed_files.items())
        )
        server = _fastmcp(self._name, self._config, provider)
        if gc.get_freeze_count():  # the gateway's start is over, which would have seen to that
            gc.collect()
            gc.freeze()
        return server


class OpenApiConnector(InProcess):
    """An HTTP API (`type: openapi`): one tool per operation. `headers` and `credentials` go with each request.

    Args:
        source: the credentials of an entry with `auth`, in place of `credentials`.
    """

    isolated = True

    def __init__(self, name: str, config: ServerConfig, limits: LimitsConfig, source: Source | None = None) -> None:
        super().__init__(name, config, limits)
        self._source = source
        self._api: _Closable | None = None

    async def close(self) -> None:
        """As `InProcess.close`, and close the HTTP client."""
        await super().close()
        if self._api is not None:
            await self._api.aclose()
            self._api = None

    async def _make(self) -> FastMCP[Any]:
        from agentflow.gateway.upstreams import openapi

        document, origin = await openapi.fetch(self._name, self._config, self._limits)
        await openapi.judge(self._name, self._config, document, origin)
        client = openapi.api_client(self._name, self._config, self._limits, document, origin, self._source)
        try:
            provider = await asyncio.to_thread(self._provider, document, client)
        except AgentFlowError:
            await client.aclose()
            raise
        self._api = client
        return _fastmcp(self._name, self._config, provider)

    def _provider(self, document: JSON, client: Any) -> Any:
        _quiet()
        from fastmcp.server.providers.openapi import OpenAPIProvider

        from agentflow.gateway.upstreams import openapi

        try:
            return OpenAPIProvider(document, client, mcp_component_fn=openapi.annotate)
        except Exception as error:
            raise UpstreamUnavailable(
                f"{self._name}: the OpenAPI document cannot be used: {str(error)[:300]}", fix="correct the document"
            ) from None


class _Closable(Protocol):
    async def aclose(self) -> None: ...


def _quiet() -> None:
    """Import FastMCP and let its log lines go the way of ours, instead of to a handler of its own on stderr."""
    import fastmcp  # noqa: F401

    logger = logging.getLogger("fastmcp")
    logger.handlers.clear()
    logger.propagate = True
    logger.setLevel(logging.CRITICAL)  # what matters of it arrives as an error or a problem


def _fastmcp(name: str, config: ServerConfig, provider: Any) -> FastMCP[Any]:
    from fastmcp import FastMCP

    import agentflow

    server: FastMCP[Any] = FastMCP(
        name,
        version=agentflow.__version__,
        instructions=config.description,
        providers=[provider],
        dereference_schemas=False,  # a tool's `$defs` are the client's to see
        on_duplicate="replace",
    )
    server._mcp_server.middleware.append(_contained)
    return server


async def _contained(ctx: Any, call_next: Any) -> Any:
    """A tool file that calls `sys.exit` ends its own call, not the gateway."""
    try:
        return await call_next(ctx)
    except (SystemExit, KeyboardInterrupt) as error:
        raise MCPError(INTERNAL_ERROR, f"It ended with {type(error).__name__}") from None


class MemoryWire:
    """The SDK's in-memory streams as a `Wire`; runs the server and reads its messages in two tasks.

    Attributes:
        ended: done when the server has ended.
    """

    def __init__(self, name: str, server: FastMCP[Any], peer: Peer, *, isolated: bool) -> None:
        self._name = name
        self._server = server
        self._peer = peer
        self._isolated = isolated
        self._posted: set[asyncio.Task[None]] = set()
        loop = asyncio.get_running_loop()
        self._streams: asyncio.Future[MessageStream] = loop.create_future()
        # The server's own tasks must not inherit the context of whoever connected first.
        self.ended = loop.create_task(self._run(), name=f"serve {name}", context=contextvars.Context())

    async def open(self) -> None:
        """Wait until messages can be sent.

        Raises:
            UpstreamUnavailable: the server did not start.
        """
        started: set[asyncio.Future[Any]] = {self._streams, self.ended}
        await asyncio.wait(started, return_when=asyncio.FIRST_COMPLETED)
        if not self._streams.done():
            raise UpstreamUnavailable(f"{self._name} did not start: {self._peer.reason}")

    async def send(self, message: JSON) -> None:
        if self._isolated:
            loop = asyncio.get_running_loop()
            await loop.create_task(self._put(message), context=acting_for(self._peer.identity.principal))
        else:
            await self._put(message)

    def post(self, message: JSON) -> None:
        task = asyncio.get_running_loop().create_task(self._post(message))
        self._posted.add(task)
        task.add_done_callback(self._posted.discard)

    async def close(self) -> None:
        """End the server: first by closing its input, then by cancelling it."""
        if self._streams.done() and not self._streams.cancelled():
            await self._streams.result()[1].aclose()
        await asyncio.wait({self.ended}, timeout=_GRACE)
        if not self.ended.done():
            self.ended.cancel()
            await asyncio.wait({self.ended}, timeout=_GRACE)
        for task in tuple(self._posted):
            task.cancel()

    async def _put(self, message: JSON) -> None:
        import anyio
        from fastmcp.server.context import reset_transport, set_transport

        # In memory, FastMCP takes everybody for one client, whose tools a tool file may hide. Here they are many.
        many = set_transport("streamable-http")
        try:
            await self._streams.result()[1].send(SessionMessage(_model(message)))
        except (anyio.ClosedResourceError, anyio.BrokenResourceError):
            raise UpstreamUnavailable(f"{self._name} has ended: {self._peer.reason}", sent=False) from None
        finally:
            reset_transport(many)

    async def _post(self, message: JSON) -> None:
        with contextlib.suppress(UpstreamUnavailable):
            await self._put(message)

    async def _run(self) -> None:
        reason = "the server ended"
        reader: asyncio.Task[None] | None = None
        try:
            async with create_client_server_memory_streams() as (ours, theirs):
                self._streams.set_result(ours)
                reader = asyncio.get_running_loop().create_task(self._read(ours))
                low = self._server._mcp_server  # the way FastMCP's own in-memory transport takes
                await low.run(*theirs, low.create_initialization_options())
        except Exception as error:
            _log.exception("%s: the in-process server failed", self._name)
            reason = f"the server failed ({type(error).__name__})"
        finally:
            if reader is not None:
                reader.cancel()
            self._peer.lost(reason)

    async def _read(self, streams: MessageStream) -> None:
        async for item in streams[0]:
            if isinstance(item, SessionMessage):
                about = item.metadata
                related = about.related_request_id if isinstance(about, ServerMessageMetadata) else None
                self._peer.feed(_raw(item.message), related)


def _model(message: JSON) -> JSONRPCMessage:
    if "method" not in message:
        if "error" in message:
            return JSONRPCError(jsonrpc="2.0", id=message["id"], error=ErrorData(**message["error"]))
        return JSONRPCResponse(jsonrpc="2.0", id=message["id"], result=message["result"])
    if "id" in message:
        return JSONRPCRequest(jsonrpc="2.0", id=message["id"], method=message["method"], params=message.get("params"))
    return JSONRPCNotification(jsonrpc="2.0", method=message["method"], params=message.get("params"))


def _unicode(value: JSON) -> JSON:
    """The value with "?" for each half of a surrogate pair: Python's strings may hold them, no JSON text may."""
    try:
        orjson.dumps(value)
    except TypeError:  # that, or an integer beyond 64 bits, which stays
        cleaned: JSON = json.loads(json.dumps(value, ensure_ascii=False).encode("utf-8", "replace"))
        return cleaned
    return value


def _raw(message: JSONRPCMessage) -> JSON:
    if isinstance(message, JSONRPCResponse):
        return {"id": message.id, "result": _unicode(message.result)}
    if isinstance(message, JSONRPCError):
        return {"id": message.id, "error": _unicode(message.error.model_dump(by_alias=True, exclude_unset=True))}
    body: JSON = {"method": message.method, "params": message.params}
    if isinstance(message, JSONRPCRequest):
        body["id"] = message.id
    return body
