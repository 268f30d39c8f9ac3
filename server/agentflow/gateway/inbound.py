"""What a client may send, on every transport: one JSON-RPC 2.0 message in UTF-8, of bounded depth.

What is wrong is said here, in one sentence with the right code; behind it the SDK would answer with silence (stdio)
or with its validator's whole report (HTTP). No parser behind this has to survive deep nesting.
"""

from __future__ import annotations

import json
import re
from array import array
from itertools import accumulate
from typing import Any

import orjson

from agentflow.errors import AgentFlowError, InvalidRequest, LimitExceeded, ParseError, to_rpc

JSON = dict[str, Any]

# A whole string, or one that is never closed: it always matches, so hostile quotes cost no second look.
_STRING = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*(?:"|\\?\Z)', re.DOTALL)
_NOT_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
_STEPS = bytes.maketrans(b"[]{}", b"\x01\xff\x01\xff")  # one level up, or one down (-1 as a signed byte)
_STRETCH = 4096


def parse(body: bytes, max_depth: int) -> tuple[JSON, AgentFlowError | None]:
    """Read one message.

    Returns:
        `(message, None)`, or what is wrong with it and as much of the message as there is (`{}` if nothing).
    """
    if body.count(b"{") + body.count(b"[") > max_depth and deeper(body, max_depth):
        return {}, LimitExceeded(f"The request is nested deeper than {max_depth} levels", limit="max_depth")
    try:
        message = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        return _recovered(body), _unreadable(body, error)
    if not isinstance(message, dict):
        batch = ": batches are not supported" if isinstance(message, list) else ""
        return {}, InvalidRequest(f"Send one JSON-RPC message as a JSON object{batch}")
    wrong = _wrong(message)
    return message, InvalidRequest(wrong) if wrong else None


def _unreadable(body: bytes, error: orjson.JSONDecodeError) -> ParseError:
    try:
        body.decode()
    except UnicodeDecodeError as where:
        return ParseError(f"The request is not valid UTF-8 (byte {where.start})")
    return ParseError(f"The request is not JSON: {error.msg} (line {error.lineno}, column {error.colno})")


def _recovered(body: bytes) -> JSON:
    """What a laxer parser makes of it (half of a surrogate pair, NaN): good enough to know whom to answer."""
    try:
        message = json.loads(body)
    except ValueError:
        return {}
    return message if isinstance(message, dict) else {}


def _wrong(message: JSON) -> str:
    """What keeps an object from being a JSON-RPC 2.0 request, notification or response; "" if nothing does."""
    if message.get("jsonrpc") != "2.0":
        return '`jsonrpc` must be "2.0"'
    if "method" not in message:
        if "id" in message and ("result" in message or "error" in message):
            return ""
        return "A message needs a `method`, or an `id` with a `result` or an `error`"
    if not isinstance(message["method"], str):
        return "`method` must be a string"
    if "id" in message and request_id(message) is None:
        return "`id` must be a string or an integer"
    if not isinstance(message.get("params", {}), dict | None):
        return "`params` must be an object"
    return ""


def request_id(message: JSON) -> str | int | None:
    """The id that an answer to this message carries, or None if it has no usable one."""
    number = message.get("id")
    return number if isinstance(number, str | int) and not isinstance(number, bool) else None


def refusal(error: AgentFlowError, number: str | int | None = None) -> JSON:
    """The JSON-RPC answer that says `error`."""
    code, message, data = to_rpc(error)
    return {"jsonrpc": "2.0", "id": number, "error": {"code": code, "message": message, "data": data}}


def deeper(body: bytes, limit: int) -> bool:
    """Whether a JSON text nests deeper than `limit`: strings out, then the brackets that are open are counted.

    Linear, and done at the first place that is too deep; a hostile 4 MB body costs 0.2 s at most. Text that is not
    JSON may read as deep or not.
    """
    steps = array("b", _STRING.sub(b"", body).translate(_STEPS, _NOT_BRACKETS))
    depth = 0
    for start in range(0, len(steps), _STRETCH):
        depths = list(accumulate(steps[start : start + _STRETCH], initial=depth))
        if max(depths) > limit:
            return True
        depth = depths[-1]
    return False
