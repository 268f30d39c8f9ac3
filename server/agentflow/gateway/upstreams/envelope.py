"""What `_meta` of a request must hold in each era, and nothing else about the protocol. Shared by every transport.

Handshake era: only the progress token is the connection's business, and the 2026 envelope keys must not appear.
2026-07-28 (basic, "Per-request protocol fields"): protocol version, client info and client capabilities travel with
every request. `_meta` members that neither era reserves pass through untouched.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import orjson
from mcp_types import (
    CLIENT_CAPABILITIES_META_KEY,
    CLIENT_INFO_META_KEY,
    LOG_LEVEL_META_KEY,
    PROTOCOL_VERSION_META_KEY,
    SERVER_INFO_META_KEY,
)

import agentflow
from agentflow.gateway.upstreams.port import ClientIdentity, Era

JSON = dict[str, Any]

GATEWAY_INFO: JSON = {"name": "agentflow", "version": agentflow.__version__}
_ENVELOPE = frozenset(
    {PROTOCOL_VERSION_META_KEY, CLIENT_INFO_META_KEY, CLIENT_CAPABILITIES_META_KEY, LOG_LEVEL_META_KEY}
)


@lru_cache(maxsize=1024)
def _parsed(text: str) -> JSON:
    value = orjson.loads(text)
    return value if isinstance(value, dict) else {}


def client_info(identity: ClientIdentity) -> JSON:
    """The `clientInfo` to announce; the gateway's own where the client gave none. Shared: never edit it."""
    return _parsed(identity.info) if identity.info else GATEWAY_INFO


def client_capabilities(identity: ClientIdentity) -> JSON:
    """The client's capabilities as it announced them. Shared: never edit it."""
    return _parsed(identity.capabilities)


def complete(
    params: JSON, token: int, *, era: Era, protocol: str, identity: ClientIdentity, log_level: str | None
) -> tuple[JSON, Any]:
    """Return params with `_meta` as `era` wants it, and the client's own progress token (None if it gave none).

    Args:
        token: the progress token to send in place of the client's own, where it gave one.
        protocol: the negotiated revision, e.g. `2026-07-28`.
        log_level: the level this request opts in to; 2026 only.
    """
    given = params.get("_meta")
    if era == "legacy" and not given:
        return params, None
    meta: JSON = {k: v for k, v in given.items() if k not in _ENVELOPE} if isinstance(given, dict) else {}
    theirs = meta.get("progressToken")
    if theirs is not None:
        meta["progressToken"] = token
    if era == "modern":
        meta[PROTOCOL_VERSION_META_KEY] = protocol
        meta[CLIENT_INFO_META_KEY] = client_info(identity)
        meta[CLIENT_CAPABILITIES_META_KEY] = client_capabilities(identity)
        if log_level is not None:
            meta[LOG_LEVEL_META_KEY] = log_level
    if meta:
        return {**params, "_meta": meta}, theirs
    return {k: v for k, v in params.items() if k != "_meta"}, theirs


def server_info(result: JSON) -> JSON:
    """The `serverInfo` that a 2026 result carries in its `_meta`, or {}."""
    meta = result.get("_meta")
    info = meta.get(SERVER_INFO_META_KEY) if isinstance(meta, dict) else None
    return info if isinstance(info, dict) else {}
