"""What the gateway needs of an upstream, whatever it is made of.

JSON-RPC parameters and results cross this port as raw JSON objects, never as SDK models: fields that this
version of the SDK does not know must pass through unharmed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from agentflow.pipeline.call import UpstreamFacts

JSON = dict[str, Any]
Era = Literal["legacy", "modern"]
Status = Literal["connecting", "ready", "unavailable", "disabled"]

# Syslog order (RFC 5424), as MCP's LoggingLevel.
LOG_LEVELS = ("debug", "info", "notice", "warning", "error", "critical", "alert", "emergency")


@dataclass(frozen=True, slots=True)
class ClientIdentity:
    """The real client behind a call. Connections are shared only between equal identities where the
    upstream is stateful, so a legacy upstream sees this client's own capabilities and name.

    Attributes:
        principal: `Principal.key` of the caller.
        era: the era the client speaks; an upstream that speaks both is spoken to in the same one.
        info: the client's `clientInfo`, as canonical JSON text ("" for the gateway itself).
        capabilities: the client's capabilities, as canonical JSON text.
    """

    principal: str = ""
    era: Era = "legacy"
    info: str = ""
    capabilities: str = "{}"


class Exchange(Protocol):
    """The client's end of one call, given to the upstream for what happens before the answer."""

    @property
    def identity(self) -> ClientIdentity: ...

    @property
    def log_level(self) -> str | None:
        """The log level this request opted in to (2026 `_meta`, or the session's `logging/setLevel`), or None."""
        ...

    @property
    def subscriber(self) -> str:
        """Who holds what this request subscribes to: one session or listen stream, of perhaps several of the
        same identity. A subscription lasts until the last of them has gone."""
        ...

    async def notification(self, method: str, params: JSON) -> None:
        """Pass on a progress or log notification that belongs to this call."""
        ...

    async def server_request(self, method: str, params: JSON) -> JSON:
        """Put an upstream's request (elicitation, sampling, roots) to the client; returns its result.

        Raises:
            UpstreamError: the client answered with an error (its code and message).
            Unsupported: the client cannot be asked.
        """
        ...


@dataclass(frozen=True, slots=True)
class Listing:
    """Everything an upstream offers, raw, at one moment. `problems` names what had to be left out."""

    tools: tuple[JSON, ...] = ()
    resources: tuple[JSON, ...] = ()
    templates: tuple[JSON, ...] = ()
    prompts: tuple[JSON, ...] = ()
    capabilities: JSON = field(default_factory=dict)
    instructions: str = ""
    server_info: JSON = field(default_factory=dict)
    problems: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Health:
    """One line of `agentflow status`. `since` is epoch seconds; `reason` is "" when ready."""

    status: Status
    reason: str = ""
    since: float = 0.0
    eras: tuple[str, ...] = ()
    protocol: str = ""
    restarts: int = 0


# Called on the event loop when an upstream's listing or health changed.
Changed = Callable[["Upstream"], None]
# Called with (upstream, method, params) for notifications that belong to no call:
# `notifications/resources/updated`, `notifications/message`.
Unsolicited = Callable[["Upstream", str, JSON, ClientIdentity | None], None]


class Upstream(Protocol):
    """One configured server."""

    @property
    def facts(self) -> UpstreamFacts: ...

    @property
    def listing(self) -> Listing: ...

    @property
    def health(self) -> Health: ...

    def start(self) -> None:
        """Begin connecting in the background; returns at once. Needs a running event loop."""
        ...

    async def settled(self) -> None:
        """Wait until the first connection attempt has succeeded or failed (for tests and one-shot commands)."""
        ...

    async def request(self, method: str, params: JSON, exchange: Exchange, *, timeout: float | None = None) -> JSON:
        """Send one request, exactly once, and return its `result` object as the upstream sent it.

        `params` go out as given, save that `_meta` is completed as the connection's era requires
        (progress token remapped, envelope keys set or removed). A modern upstream's
        `resultType: "input_required"` result is returned like any other result.
        Cancelling the awaiting task cancels the request at the upstream.

        Args:
            timeout: seconds; None takes the server's configured `timeout`.

        Raises:
            UpstreamError: the upstream answered with a JSON-RPC error.
            UpstreamUnavailable: not connected or the breaker is open; nothing was sent.
            UpstreamProtocolError: it broke off or answered garbage; the call may have run.
            UpstreamTimeout: no answer in time (the upstream was sent a cancellation).
        """
        ...

    async def notify(self, method: str, params: JSON, identity: ClientIdentity) -> None:
        """Best-effort client notification (e.g. `notifications/roots/list_changed`) on that client's connection."""
        ...

    async def close(self) -> None:
        """End every connection and child process; idempotent."""
        ...
