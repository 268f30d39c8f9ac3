"""Every refusal as a problem document (RFC 9457): one place says which error has which status."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Final

from starlette.exceptions import HTTPException
from starlette.responses import Response

from agentflow.admin.models import Problem
from agentflow.errors import AgentFlowError, Unauthenticated

MEDIA: Final = "application/problem+json"
_URN: Final = "urn:agentflow:problem:"
_STATUSES: Final[Mapping[str, int]] = {
    "parse_error": 400,
    "invalid_request": 400,
    "unauthenticated": 401,
    "forbidden": 403,
    "insufficient_scope": 403,
    "may_not_vote": 403,
    "not_found": 404,
    "unknown_name": 404,
    "unknown_approval": 404,
    "method_not_allowed": 405,
    "conflict": 409,
    "approval_settled": 409,
    "precondition_failed": 412,
    "too_large": 413,
    "unsupported_media_type": 415,
    "invalid_arguments": 422,
    "config_error": 422,
    "limit_exceeded": 429,
    "upstream_unavailable": 502,
    "upstream_protocol_error": 502,
    "upstream_error": 502,
    "upstream_timeout": 504,
    "policy_denied": 503,  # here, policy is only asked what others may see, and could not say
    "audit_unavailable": 503,
    "store_unavailable": 503,
    "vault_unavailable": 503,
    "identity_unavailable": 503,
}


class Refused(AgentFlowError):
    """A refusal that only HTTP knows. `kind` is the instance's own."""

    def __init__(self, kind: str, message: str, *, fix: str = "") -> None:
        super().__init__(message, fix=fix)
        self.name = kind


def answer(error: Exception) -> Response:
    """The answer to what went wrong; of what is not ours nothing is told, for it may hold anything."""
    if isinstance(error, HTTPException):
        return _made(error.status_code, HTTPStatus(error.status_code).phrase.lower().replace(" ", "_"), error.detail)
    if not isinstance(error, AgentFlowError):
        return _made(500, "internal_error", "Something went wrong in the gateway; its log says what")
    kind = error.name if isinstance(error, Refused) else error.kind
    status = _STATUSES.get(kind, 500)
    if isinstance(error, Unauthenticated):
        status = 400 if error.error == "invalid_request" else error.status
    response = _made(status, kind, error.message, error.fix, error.data.get("problems"))
    if "retry_after" in error.data:
        response.headers["retry-after"] = str(int(error.data["retry_after"]))
    return response


def _made(status: int, kind: str, detail: str, fix: str = "", problems: object = None) -> Response:
    listed = [str(each) for each in problems] if isinstance(problems, list | tuple) and problems else None
    problem = Problem(
        type=f"{_URN}{kind}",
        title=kind.replace("_", " ").capitalize(),
        status=status,
        detail=detail,
        fix=fix or None,
        problems=listed,
    )
    return Response(problem.model_dump_json(exclude_none=True), status, media_type=MEDIA)
