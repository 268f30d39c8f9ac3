"""Settles era and revision on a fresh duplex: `server/discover` (2026-07-28) or `initialize` (2024-11-05 … 2025-11-25).

The first request decides the era of a conversation with a server that speaks both, so the other era needs a fresh
pipe. A server that only knows the handshake answers the probe with an error, ignores it, or exits.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

from mcp_types.version import HANDSHAKE_PROTOCOL_VERSIONS, LATEST_HANDSHAKE_VERSION, LATEST_MODERN_VERSION

from agentflow.errors import (
    INVALID_PARAMS,
    INVALID_REQUEST,
    METHOD_NOT_FOUND,
    Unsupported,
    UpstreamError,
    UpstreamProtocolError,
    UpstreamTimeout,
    UpstreamUnavailable,
)
from agentflow.gateway.upstreams import envelope
from agentflow.gateway.upstreams.peer import Peer
from agentflow.gateway.upstreams.port import Era

JSON = dict[str, Any]

UNSUPPORTED_PROTOCOL_VERSION = -32022
_NOT_THIS_ERA = frozenset({UNSUPPORTED_PROTOCOL_VERSION, METHOD_NOT_FOUND, INVALID_REQUEST, INVALID_PARAMS})
# After this long without a word about the probe, `initialize` is tried next to it.
PROBE_PATIENCE = 3.0


async def negotiate(peer: Peer, era: Era | None, timeout: float) -> None:
    """Establish the protocol and fill in `peer`'s attributes.

    Args:
        era: the era to speak, or None for the newest the server accepts.
        timeout: seconds for each request.

    Raises:
        Unsupported: the server does not speak that era.
        UpstreamProtocolError: it exited or answered something that is not MCP.
        UpstreamTimeout: it did not answer in time.
        UpstreamUnavailable: it refused, for a reason of its own.
    """
    if era == "modern":
        await _discover(peer, timeout)
    elif era == "legacy":
        await _initialize(peer, timeout)
    else:
        await _newest(peer, timeout)


async def _newest(peer: Peer, timeout: float) -> None:
    probe = asyncio.get_running_loop().create_task(_discover(peer, timeout))
    try:
        await asyncio.wait({probe}, timeout=min(PROBE_PATIENCE, timeout))
        if probe.done():
            try:
                await probe
            except Unsupported:
                await _initialize(peer, timeout)
            return
        try:
            await _initialize(peer, timeout)
        except (Unsupported, UpstreamTimeout):
            # A slow server that speaks both took the probe for its first request and is in the modern era now.
            await probe
    finally:
        probe.cancel()
        with contextlib.suppress(asyncio.CancelledError, Exception):
            await probe


async def _discover(peer: Peer, timeout: float) -> None:
    peer.era, peer.protocol = "modern", LATEST_MODERN_VERSION
    try:
        result = await peer.request("server/discover", {}, None, timeout)
    except UpstreamError as error:
        raise Unsupported(f"the server does not speak {LATEST_MODERN_VERSION}: {error.message[:200]}") from None
    versions = result.get("supportedVersions")
    if not isinstance(versions, list) or LATEST_MODERN_VERSION not in versions:
        raise Unsupported(f"the server does not speak {LATEST_MODERN_VERSION}")
    peer.era, peer.protocol = "modern", LATEST_MODERN_VERSION
    _adopt(peer, result, envelope.server_info(result))


async def _initialize(peer: Peer, timeout: float) -> None:
    peer.era, peer.protocol = "legacy", LATEST_HANDSHAKE_VERSION
    params = {
        "protocolVersion": LATEST_HANDSHAKE_VERSION,
        "capabilities": envelope.client_capabilities(peer.identity),
        "clientInfo": envelope.client_info(peer.identity),
    }
    try:
        result = await peer.request("initialize", params, None, timeout)
    except UpstreamError as error:
        if error.rpc_code in _NOT_THIS_ERA:
            raise Unsupported(f"the server does not accept initialize: {error.message[:200]}") from None
        raise UpstreamUnavailable(f"the server refused initialize: {error.message[:200]}") from None
    version = result.get("protocolVersion")
    if version not in HANDSHAKE_PROTOCOL_VERSIONS:
        raise UpstreamProtocolError(f"the server chose a protocol revision that does not exist: {str(version)[:40]!r}")
    peer.era, peer.protocol = "legacy", version
    info = result.get("serverInfo")
    _adopt(peer, result, info if isinstance(info, dict) else {})
    await peer.notify("notifications/initialized", {})


def _adopt(peer: Peer, result: JSON, info: JSON) -> None:
    capabilities, instructions = result.get("capabilities"), result.get("instructions")
    peer.capabilities = capabilities if isinstance(capabilities, dict) else {}
    peer.instructions = instructions if isinstance(instructions, str) else ""
    peer.server_info = info
