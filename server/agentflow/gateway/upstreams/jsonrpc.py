"""JSON-RPC over HTTP: what is written, and what was answered as one result or one typed error that says what happened.

An upstream's own text is quoted only where it is a JSON-RPC error (which the pipeline screens) or a
redirect's target, and then only its printable beginning.
"""

from __future__ import annotations

import json
from typing import Any

import orjson

from agentflow.errors import InvalidArguments, UpstreamError, UpstreamProtocolError, UpstreamUnavailable
from agentflow.gateway.upstreams.http1 import Response

JSON = dict[str, Any]

# An error page is read only to look for a JSON-RPC error in it.
_ERROR_BODY = 1024 * 1024
_MCP_URL = "check that `url` is the server's MCP endpoint"


class SessionLost(UpstreamUnavailable):
    """The upstream no longer knows our session: it did not process the request (2025-11-25, transports, 404)."""


def encode(message: JSON) -> bytes:
    """Serialise one JSON-RPC message.

    Raises:
        InvalidArguments: it holds something JSON (as upstreams read it) cannot, e.g. an integer over 64 bits.
    """
    try:
        return orjson.dumps(message)
    except orjson.JSONEncodeError as error:
        raise InvalidArguments(f"the parameters cannot be sent as JSON: {error}") from None


def decode(data: bytes) -> Any:
    """Parse JSON. Half of a surrogate pair, which JavaScript servers send when they cut an emoji in two, becomes "?".

    Raises:
        ValueError: it is not JSON.
    """
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError:
        if b"\\ud" not in data and b"\\uD" not in data:
            raise
    try:
        return orjson.loads(json.dumps(json.loads(data), ensure_ascii=False).encode("utf-8", "replace"))
    except RecursionError:
        raise ValueError("nested too deeply") from None


def is_answer(message: JSON) -> bool:
    """Whether a JSON-RPC message is a response (not a request or notification)."""
    return "method" not in message and ("result" in message or "error" in message)


def messages(data: bytes, label: str) -> list[JSON]:
    """Decode a body or event: one JSON-RPC message, or a batch (2025-03-26).

    Raises:
        UpstreamProtocolError: it is not JSON, or not JSON-RPC.
    """
    try:
        decoded = decode(data)
    except ValueError:
        raise UpstreamProtocolError(f"{label} sent something that is not JSON", fix=_MCP_URL) from None
    batch = decoded if isinstance(decoded, list) else [decoded]
    for message in batch:
        if type(message) is not dict or not ("method" in message or is_answer(message)):
            raise UpstreamProtocolError(f"{label} sent JSON that is not a JSON-RPC message", fix=_MCP_URL)
    return batch


def result_of(message: JSON, request_id: int, label: str) -> JSON:
    """Return the result of the response to `request_id`.

    Raises:
        UpstreamError: it is a JSON-RPC error.
        UpstreamProtocolError: it answers another request, or has no result object.
    """
    answered = message.get("id")
    error = message.get("error")
    # Before it has read the id, a server can only answer with `id: null`.
    if (answered != request_id or type(answered) is not int) and not (answered is None and error is not None):
        raise UpstreamProtocolError(f"{label} answered request {_shown(answered)} instead of {request_id}")
    if error is not None:
        raise _rpc_error(error, label)
    result = message.get("result")
    if type(result) is not dict:
        raise UpstreamProtocolError(f"{label} answered with a result that is not an object")
    return result


def _rpc_error(error: Any, label: str) -> UpstreamError | UpstreamProtocolError:
    if type(error) is dict:
        code, text = error.get("code"), error.get("message")
        if type(code) is int and isinstance(text, str):
            return UpstreamError(code, text, error.get("data"))
    return UpstreamProtocolError(f"{label} answered with a malformed JSON-RPC error")


def wrong_type(response: Response, label: str) -> UpstreamProtocolError:
    """The error for an answer that is neither JSON nor an event stream."""
    shown = _shown(response.media_type.decode("latin-1")) if response.media_type else "no content type"
    return UpstreamProtocolError(
        f"{label} answered with {shown}, neither application/json nor text/event-stream", fix=_MCP_URL
    )


async def refusal(response: Response, request_id: int | None, session: bool, label: str) -> Exception:
    """Turn an answer whose status is not 200 into the error it means.

    Args:
        request_id: of the request; None for a notification or a stream.
        session: whether the request carried a session id.
    """
    status = response.status
    if 300 <= status < 400:
        return _redirect(response, label)
    if status in (401, 403):
        return _unauthorised(response, label)
    if 200 <= status < 300:
        message = f"{label} answered a request with HTTP {status} and no result"
        return UpstreamProtocolError(message, fix=_MCP_URL, status=status)
    error = await _body_error(response)
    own = error is not None and request_id is not None and error.get("id") == request_id
    if session and not own and (status == 404 or (status == 400 and _names_session(error))):
        return SessionLost(f"{label} no longer knows our session", sent=False)
    if error is not None and (own or error.get("id") is None):
        return _rpc_error(error["error"], label)
    return _by_status(status, label)


def _redirect(response: Response, label: str) -> Exception:
    target = _shown(response.headers.get(b"location", b"").decode("latin-1"))
    return UpstreamProtocolError(
        f"{label} redirects to {target} (HTTP {response.status}), which the gateway does not follow",
        fix=f"if that is the intended server, set `url` to {target}",
    )


def _unauthorised(response: Response, label: str) -> Exception:
    reason = "wants credentials" if response.status == 401 else "refuses these credentials"
    return UpstreamUnavailable(
        f"{label} {reason} (HTTP {response.status})",
        fix="check `credentials` in the server's entry",
        status=response.status,
        sent=False,
    )


def _by_status(status: int, label: str) -> Exception:
    message = f"{label} answered HTTP {status}"
    if status in (404, 405, 410):
        return UpstreamUnavailable(f"{message}: there is no MCP endpoint", fix=_MCP_URL, status=status, sent=False)
    if status == 429:
        return UpstreamUnavailable(f"{message}: too many requests", fix="call it less often", status=status, sent=False)
    return UpstreamProtocolError(message, fix="check the upstream's own log", status=status)


async def _body_error(response: Response) -> JSON | None:
    """Return the JSON-RPC error response in an error page, if there is one."""
    if response.media_type != b"application/json":
        return None
    try:
        decoded = orjson.loads(await response.body(_ERROR_BODY))
    except (UpstreamProtocolError, orjson.JSONDecodeError):
        return None
    return decoded if type(decoded) is dict and type(decoded.get("error")) is dict else None


def _names_session(error: JSON | None) -> bool:
    """Whether a 400 is how the TypeScript SDK's servers say that a session is unknown."""
    return error is not None and "session" in str(error["error"].get("message", "")).lower()


def _shown(value: Any) -> str:
    """Quote at most 200 printable characters of what an upstream sent."""
    return "".join(char if char.isprintable() else "?" for char in str(value)[:200]) or "nothing"
