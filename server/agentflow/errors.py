"""Every error a caller can meet, each with one JSON-RPC code; the mapping lives here and nowhere else.

Codes -32000..-32019 are implementation-defined (MCP 2026-07-28, error-code allocation policy);
-32002 is retired by the specification and never used.
"""

from __future__ import annotations

from typing import Any, ClassVar

PARSE_ERROR = -32700
INVALID_REQUEST = -32600
METHOD_NOT_FOUND = -32601
INVALID_PARAMS = -32602
INTERNAL_ERROR = -32603


class AgentFlowError(Exception):
    """Base of all typed errors.

    Attributes:
        code: JSON-RPC error code.
        kind: stable machine-readable name, sent as `error.data.type`.
        message: one sentence for a person.
        fix: what the reader can do about it, or "".
        data: further JSON members of `error.data`.
    """

    code: ClassVar[int] = INTERNAL_ERROR
    kind: ClassVar[str] = "internal_error"

    def __init__(self, message: str, *, fix: str = "", **data: Any) -> None:
        super().__init__(message)
        self.message = message
        self.fix = fix
        self.data = data

    def payload(self) -> dict[str, Any]:
        """Return `error.data`: `{"type", "fix"?, ...}`."""
        body: dict[str, Any] = {"type": self.kind, **self.data}
        if self.fix:
            body["fix"] = self.fix
        return body


class ConfigError(AgentFlowError):
    """The configuration cannot be used. `problems` lists every one found."""

    kind = "config_error"


class ChoiceAltered(ConfigError):
    """What the database says of policies was not written by this installation, or has been altered since."""

    kind = "choice_altered"


class ParseError(AgentFlowError):
    """What came is not JSON."""

    code = PARSE_ERROR
    kind = "parse_error"


class InvalidRequest(AgentFlowError):
    """What came is JSON, but not a JSON-RPC 2.0 message that can be served here."""

    code = INVALID_REQUEST
    kind = "invalid_request"


class InvalidArguments(AgentFlowError):
    """Arguments do not satisfy the tool's `inputSchema`, or a parameter is malformed."""

    code = INVALID_PARAMS
    kind = "invalid_arguments"


class UnknownName(AgentFlowError):
    """No such tool, prompt or resource for this principal; a hidden name reads exactly the same."""

    code = INVALID_PARAMS
    kind = "unknown_name"


class Unsupported(AgentFlowError):
    """The method exists, but no upstream (or this client) can serve it."""

    code = METHOD_NOT_FOUND
    kind = "unsupported"


class PolicyDenied(AgentFlowError):
    """Policy said no, or could not say yes."""

    code = -32010
    kind = "policy_denied"


class ContentBlocked(AgentFlowError):
    """The guard found an attack in the content."""

    code = -32011
    kind = "content_blocked"


class ApprovalRequired(AgentFlowError):
    """The call needs a person's approval and did not get it."""

    code = -32012
    kind = "approval_required"


class LimitExceeded(AgentFlowError):
    """Too many, too large, too deep or too fast."""

    code = -32013
    kind = "limit_exceeded"


class UpstreamUnavailable(AgentFlowError):
    """The upstream is down, starting, or its breaker is open; the call was never sent."""

    code = -32014
    kind = "upstream_unavailable"


class UpstreamProtocolError(AgentFlowError):
    """The upstream answered something that is not MCP, or broke off; the call may have run."""

    code = -32015
    kind = "upstream_protocol_error"


class UpstreamTimeout(AgentFlowError):
    """The upstream did not answer in time; the call may have run."""

    code = -32016
    kind = "upstream_timeout"


class AuditUnavailable(AgentFlowError):
    """The record could not be written, so the answer is withheld (fail closed)."""

    code = -32017
    kind = "audit_unavailable"


class VaultUnavailable(AgentFlowError):
    """PII could not be turned into tokens, or back, because the vault cannot be used (fail closed)."""

    code = -32009
    kind = "vault_unavailable"


class ToolHeld(AgentFlowError):
    """The definition of a tool, prompt or resource is new, changed or suspicious, and waits for an administrator."""

    code = -32008
    kind = "tool_held"


class DeepTierUnavailable(AgentFlowError):
    """Names and places could not be looked for as policy demands, so the message is withheld (fail closed)."""

    code = -32007
    kind = "deep_tier_unavailable"


class StoreUnavailable(AgentFlowError):
    """The database of keys, approvals and credentials cannot be used: what depends on it is refused (fail closed)."""

    code = -32006
    kind = "store_unavailable"


class Forbidden(AgentFlowError):
    """The caller is known, and may not do this."""

    code = -32001
    kind = "forbidden"


class NotFound(AgentFlowError):
    """What is to be shown or changed does not exist, or is another tenant's."""

    code = INVALID_PARAMS
    kind = "not_found"


class Conflict(AgentFlowError):
    """It cannot be done as things are: it exists already, is settled, or has changed in between."""

    code = INVALID_REQUEST
    kind = "conflict"


class CredentialRequired(AgentFlowError):
    """The caller has no credential at this server that it accepts; the call was not processed.

    `data` says which `server`, and under `connect_url` where the person gives one, if there is such a place.
    """

    code = -32003
    kind = "credential_required"


class StageFailed(AgentFlowError):
    """A stage crashed or timed out and its fail mode is `closed`."""

    code = -32018
    kind = "stage_failed"


class Unauthenticated(AgentFlowError):
    """No usable credential was presented.

    Attributes:
        reason: why, one word of ours for the record: `expired`; it tells nothing that was presented.
        error: the error code of the challenge (RFC 6750, section 3.1), or "" where nothing was presented.
        status: of the HTTP answer.
    """

    code = -32019
    kind = "unauthenticated"
    status: ClassVar[int] = 401

    def __init__(self, message: str, *, fix: str = "", reason: str = "nothing", error: str = "") -> None:
        super().__init__(message, fix=fix)
        self.reason = reason
        self.error = error


class InsufficientScope(Unauthenticated):
    """The caller is known, and its token is not good enough. `scopes` are the ones that would be."""

    code = -32005
    kind = "insufficient_scope"
    status = 403

    def __init__(self, message: str, scopes: tuple[str, ...]) -> None:
        fix = f"ask for a token with the scopes {' '.join(scopes)}"
        super().__init__(message, fix=fix, reason=self.kind, error=self.kind)
        self.scopes = scopes


class IdentityUnavailable(Unauthenticated):
    """Who calls cannot be found out just now: the issuer's keys cannot be fetched (fail closed)."""

    code = -32004
    kind = "identity_unavailable"
    status = 503


class UpstreamError(AgentFlowError):
    """A JSON-RPC error that the upstream itself returned; passes through with its own code.

    Attributes:
        rpc_code: the upstream's code, sent on unchanged.
        rpc_data: the upstream's `error.data`, or None.
    """

    kind = "upstream_error"

    def __init__(self, rpc_code: int, message: str, rpc_data: Any = None) -> None:
        super().__init__(message)
        self.rpc_code = rpc_code
        self.rpc_data = rpc_data


def to_rpc(error: Exception) -> tuple[int, str, Any]:
    """Map any exception to `(code, message, data)` of a JSON-RPC error.

    What is not an `AgentFlowError` is reported without its text: it may hold a value that nobody may see.
    """
    if isinstance(error, UpstreamError):
        return error.rpc_code, error.message, error.rpc_data
    if isinstance(error, AgentFlowError):
        return error.code, error.message, error.payload()
    return INTERNAL_ERROR, "Internal error", {"type": "internal_error"}


class ModelUnavailable(AgentFlowError):
    """No language model answered: every provider that may serve the request failed, or none is configured."""

    code = -32020
    kind = "model_unavailable"


class BudgetExceeded(AgentFlowError):
    """The request would cost more than a budget has left; `data` has `budget`, `left` (nano-dollars) and `resets`."""

    code = -32021
    kind = "budget_exceeded"
