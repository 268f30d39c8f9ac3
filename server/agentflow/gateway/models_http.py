"""OpenAI's API on the gateway's address: `/v1/chat/completions` (streaming too), `/v1/embeddings`, `/v1/models`.

It promises what the MCP endpoint promises: the same keys, policy (what is listed is what can be asked, and a hidden
model is an unknown one), redaction and record; errors have OpenAI's shape and say what to do. It refuses members of a
request that it does not know. A caller who leaves ends what is being written for him.

Source: OpenAI API reference, chat completions, embeddings, models, streaming (2026-10).
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import re
import struct
import time
import uuid
from typing import Any, Final

import orjson
from starlette.types import Receive, Scope, Send

from agentflow.errors import AgentFlowError, InvalidArguments, LimitExceeded, ParseError, UnknownName, Unsupported
from agentflow.gateway import inbound
from agentflow.gateway.client import ClientEnd
from agentflow.gateway.front import PRINCIPAL
from agentflow.gateway.model_answers import Choice, tool_calls
from agentflow.gateway.model_schemas import LEFT_OUT, UNREADABLE
from agentflow.gateway.models import Answer, Asked, ModelSurface
from agentflow.gateway.models_stream import Part
from agentflow.models.context import RequestContext
from agentflow.models.port import NANO

JSON = dict[str, Any]
Headers = list[tuple[bytes, bytes]]
PLACE: Final = "/v1"
PROTOCOL: Final = "openai/1"
_CHAT, _EMBED, _MODELS = "/v1/chat/completions", "/v1/embeddings", "/v1/models"
_OWN: Final = frozenset({"tier", "strategy", "max_cost_usd", "max_latency", "project", "cache"})
_PROJECT: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,63}")
_PRODUCT: Final = re.compile(rb"[A-Za-z0-9._/-]{1,64}")

# `kind` of an error → HTTP status, OpenAI's `type`, its `code` where that is another word.
_STATUS: Final[dict[str, tuple[int, str, str | None]]] = {
    "parse_error": (400, "invalid_request_error", None),
    "invalid_request": (400, "invalid_request_error", None),
    "invalid_arguments": (400, "invalid_request_error", None),
    "content_blocked": (400, "invalid_request_error", "content_filter"),
    "unsupported": (404, "invalid_request_error", "unknown_url"),
    "unauthenticated": (401, "authentication_error", "invalid_api_key"),
    "insufficient_scope": (403, "permission_error", None),
    "policy_denied": (403, "permission_error", None),
    "approval_required": (403, "permission_error", None),
    "forbidden": (403, "permission_error", None),
    "unknown_name": (404, "invalid_request_error", "model_not_found"),
    "limit_exceeded": (429, "rate_limit_error", "rate_limit_exceeded"),
    "budget_exceeded": (429, "insufficient_quota", None),
    "upstream_protocol_error": (502, "server_error", None),
    "upstream_error": (502, "server_error", None),
    "upstream_timeout": (504, "server_error", None),
    "internal_error": (500, "server_error", None),
}
_UNAVAILABLE: Final = (503, "server_error", None)
_REFUSED: Final = {403: "forbidden", 408: "too_slow", 413: "limit_exceeded", 415: "not_json", 421: "foreign_host"}
_TOO_LARGE: Final = frozenset({"max_body", "max_depth"})


class ModelsApp:
    """The ASGI application below `/v1`; the front has checked Host, Origin, size and caller, and read the body.

    Args:
        surface: who is asked.
        max_depth: of a request's JSON.
    """

    def __init__(self, surface: ModelSurface, max_depth: int) -> None:
        self._surface, self._max_depth = surface, max_depth

    async def __call__(self, scope: Scope, receive: Receive, send: Send, body: bytes) -> None:
        """Answer one request; whoever leaves cancels it."""
        answering = asyncio.ensure_future(self._answer(scope, send, body))
        leaving = asyncio.ensure_future(_left(receive))
        try:
            await asyncio.wait({answering, leaving}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            leaving.cancel()
            answering.cancel()  # nothing, where it is done
            await asyncio.gather(leaving, return_exceptions=True)
            with contextlib.suppress(asyncio.CancelledError):
                await answering

    @staticmethod
    async def fail(send: Send, error: AgentFlowError, headers: Headers | None = None) -> None:
        """Answer with an error."""
        status, body, more = told(error)
        await _json(send, status, body, [*more, *(headers or ())])

    @staticmethod
    async def refuse(send: Send, status: int, message: str, fix: str = "") -> None:
        """Answer what the front refused before it knew what it is about."""
        text = f"{message}. {fix}" if fix else message
        said = {"message": text, "type": "invalid_request_error", "param": None, "code": _REFUSED.get(status)}
        await _json(send, status, {"error": said}, [(b"connection", b"close")])

    async def _answer(self, scope: Scope, send: Send, body: bytes) -> None:
        path, method = scope["path"].rstrip("/"), scope["method"]
        try:
            if path == _MODELS or path.startswith(f"{_MODELS}/"):
                _only(method, "GET")
                return await self._list(scope, send, path.removeprefix(_MODELS).removeprefix("/"))
            if path not in (_CHAT, _EMBED):
                raise Unsupported(f"There is no {method} {path}", fix=f"use {_CHAT}, {_EMBED} or {_MODELS}")
            _only(method, "POST")
            asked = _asked(_parsed(body, self._max_depth), path, scope["headers"])
            if path == _EMBED:
                return await self._embed(scope, send, *asked)
            await self._chat(scope, send, *asked)
        except AgentFlowError as error:
            await self.fail(send, error)

    async def _list(self, scope: Scope, send: Send, name: str) -> None:
        shown = await self._surface.list(_client(scope))
        data = [
            {"id": each.name, "object": "model", "created": 0, "owned_by": ", ".join(each.providers) or "agentflow"}
            for each in shown
        ]
        if not name:
            return await _json(send, 200, {"object": "list", "data": data})
        for each in data:
            if each["id"] == name:
                return await _json(send, 200, each)
        raise UnknownName(f"Unknown model: {name}")

    async def _embed(self, scope: Scope, send: Send, asked: Asked, wanted: JSON) -> None:
        answer = await self._surface.ask(asked, _client(scope))
        packed = wanted.get("encoding_format") == "base64"
        data = [
            {"object": "embedding", "index": index, "embedding": _packed(vector) if packed else vector}
            for index, vector in enumerate(answer.vectors)
        ]
        usage = {name: answer.usage.get(name, 0) for name in ("prompt_tokens", "total_tokens")}
        await _json(send, 200, {"object": "list", "data": data, "model": _model(answer), "usage": usage})

    async def _chat(self, scope: Scope, send: Send, asked: Asked, wanted: JSON) -> None:
        client = _client(scope)
        if not wanted.get("stream"):
            answer = await self._surface.ask(asked, client)
            return await _json(send, 200, _completion(answer))
        events = _Events(send, asked.model, bool((wanted.get("stream_options") or {}).get("include_usage")))
        try:
            answer = await self._surface.stream(asked, client, events.piece)
        except AgentFlowError as error:
            if not events.begun:
                raise
            return await events.failed(error)
        await events.done(answer)


class _Events:
    """A chat completion as server-sent events. Nothing is sent before there is something to say."""

    def __init__(self, send: Send, model: str, usage: bool) -> None:
        self._send, self._usage = send, usage
        self.begun = False
        self._roles: set[int] = set()
        self._common: JSON = {
            "id": f"chatcmpl-{uuid.uuid4().hex}",
            "object": "chat.completion.chunk",
            "created": int(time.time()),
            "model": model,
        }

    async def piece(self, index: int, part: Part, text: str) -> None:
        """Send a piece of text."""
        await self._chunk(index, {part: text})

    async def _chunk(self, index: int, delta: JSON, reason: str | None = None, **more: Any) -> None:
        if index not in self._roles:
            self._roles.add(index)
            delta = {"role": "assistant", **delta}
        choice = {"index": index, "delta": delta, "logprobs": None, "finish_reason": reason}
        await self._event({"choices": [choice], **more})

    async def _event(self, body: JSON) -> None:
        if not self.begun:
            self.begun = True
            headers = [(b"content-type", b"text/event-stream; charset=utf-8"), (b"cache-control", b"no-cache")]
            await self._send({"type": "http.response.start", "status": 200, "headers": headers})
        line = b"data: " + orjson.dumps({**self._common, **body}) + b"\n\n"
        await self._send({"type": "http.response.body", "body": line, "more_body": True})

    async def done(self, answer: Answer) -> None:
        """Send what came last: calls of tools, reasons, usage."""
        self._common["model"] = _model(answer)
        for index, choice in enumerate(answer.choices):
            if choice.refusal:
                await self._chunk(index, {"refusal": choice.refusal})
            if choice.calls:
                calls = [{"index": n, **call} for n, call in enumerate(tool_calls(choice.calls))]
                await self._chunk(index, {"tool_calls": calls})
        for index, choice in enumerate(answer.choices):
            last = index == len(answer.choices) - 1
            await self._chunk(index, {}, choice.finish_reason, **({"agentflow": _about(answer)} if last else {}))
        if self._usage:
            await self._event({"choices": [], "usage": answer.usage})
        await self._send({"type": "http.response.body", "body": b"data: [DONE]\n\n", "more_body": False})

    async def failed(self, error: AgentFlowError) -> None:
        """Say in the stream that it ends here, and why."""
        _, body, _ = told(error)
        line = b"data: " + orjson.dumps(body) + b"\n\n"
        await self._send({"type": "http.response.body", "body": line, "more_body": False})


# Requests ---------------------------------------------------------------------------------------------------


def _only(method: str, wanted: str) -> None:
    if method != wanted:
        raise Unsupported(f"{method} is not possible here", fix=f"use {wanted}")


def _parsed(body: bytes, max_depth: int) -> JSON:
    if inbound.deeper(body, max_depth):
        raise LimitExceeded(f"The request is nested deeper than {max_depth} levels", limit="max_depth")
    try:
        parsed = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise ParseError("The request is not JSON") from None
    if not isinstance(parsed, dict):
        raise InvalidArguments("The request must be a JSON object")
    return parsed


def _asked(body: JSON, path: str, headers: Headers) -> tuple[Asked, JSON]:
    """The request, and what of it is about the form of the answer.

    Raises:
        InvalidArguments: a member is of the wrong kind, or asks for what is not to be had here.
    """
    model = body.get("model")
    if not isinstance(model, str) or not model:
        raise InvalidArguments("`model` must name a model; `auto` takes the one that suits", param="model")
    wanted: JSON = {name: body[name] for name in ("stream", "stream_options", "encoding_format") if name in body}
    _check_form(wanted)
    for name in UNREADABLE & body.keys():
        if body[name]:
            raise InvalidArguments(f"`{name}` is not to be had here: it could not be redacted", param=name)
    apart = {"model", "agentflow", *wanted, *LEFT_OUT, *UNREADABLE}
    arguments = {name: value for name, value in body.items() if name not in apart}
    surface = "models/embed" if path == _EMBED else "models/chat"
    return Asked(surface, model, arguments, _context(body.get("agentflow"), headers)), wanted  # type: ignore[arg-type]


def _check_form(wanted: JSON) -> None:
    if not isinstance(wanted.get("stream", False), bool | None):
        raise InvalidArguments("`stream` must be true or false", param="stream")
    if not isinstance(wanted.get("stream_options", {}), dict | None):
        raise InvalidArguments("`stream_options` must be an object", param="stream_options")
    if wanted.get("encoding_format", "float") not in ("float", "base64"):
        raise InvalidArguments("`encoding_format` must be float or base64", param="encoding_format")


def _context(own: Any, headers: Headers) -> RequestContext:
    """What the caller says of the request in the member `agentflow`: never who it is."""
    if not isinstance(own, dict | None):
        raise InvalidArguments("`agentflow` must be an object", param="agentflow")
    said = dict(own or {})
    for name in said.keys() - _OWN:
        raise InvalidArguments(f"`agentflow` has {', '.join(sorted(_OWN))}, not {name[:40]!r}", param="agentflow")
    dollars = said.pop("max_cost_usd", None)
    if dollars is not None:
        if isinstance(dollars, bool) or not isinstance(dollars, int | float) or not 0 <= dollars <= 1_000_000:
            raise InvalidArguments("`agentflow.max_cost_usd` must be a number of dollars", param="agentflow")
        said["max_cost"] = int(dollars * NANO)
    if "project" not in said:
        header = next((value for name, value in headers if name == b"openai-project"), b"")
        said["project"] = header.decode("latin-1")
    if said["project"] and not (isinstance(said["project"], str) and _PROJECT.fullmatch(said["project"])):
        raise InvalidArguments("the project must be letters, digits and . _ : -, 64 at most", param="agentflow")
    return RequestContext.parse(said)


def _client(scope: Scope) -> ClientEnd:
    agent = next((value for name, value in scope["headers"] if name == b"user-agent"), b"")
    product = _PRODUCT.match(agent)
    info = {"name": f"v1:{product[0].decode() if product else ''}"}
    return ClientEnd(scope[PRINCIPAL], _Nobody(), "http", "modern", PROTOCOL, info, {})


class _Nobody:
    """The other end of a request of this API: it can be told and asked nothing."""

    async def notify(self, method: str, params: JSON) -> None:
        return None

    async def ask(self, method: str, params: JSON) -> JSON:
        raise Unsupported("nobody can be asked over this API")


async def _left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


# Answers ----------------------------------------------------------------------------------------------------


def _completion(answer: Answer) -> JSON:
    return {
        "id": _id(answer),
        "object": "chat.completion",
        "created": int(time.time()),
        "model": _model(answer),
        "choices": [_choice(index, each) for index, each in enumerate(answer.choices)],
        "usage": answer.usage,
        "agentflow": _about(answer),
    }


def _choice(index: int, choice: Choice) -> JSON:
    return {"index": index, "message": choice.message(), "logprobs": None, "finish_reason": choice.finish_reason}


def _id(answer: Answer) -> str:
    return f"chatcmpl-{answer.record}"


def _model(answer: Answer) -> str:
    return str(answer.about.get("name") or answer.model)


def _about(answer: Answer) -> JSON:
    """What is said of an answer beside it: its record, who gave it and at what price."""
    shown = ("provider", "model", "tier", "cached", "attempts")
    about: JSON = {name: answer.about[name] for name in shown if name in answer.about}
    nano = answer.about.get("cost_nano")
    if isinstance(nano, int):
        about["cost_usd"] = nano / NANO
    if answer.note is not None:
        about["injection"] = answer.note
    return {"record": answer.record, **about}


def _packed(vector: Any) -> str:
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()


def told(error: AgentFlowError) -> tuple[int, JSON, Headers]:
    """An error as OpenAI's API says it: status, body, further headers."""
    status, kind, code = _STATUS.get(error.kind, _UNAVAILABLE)
    if error.data.get("limit") in _TOO_LARGE:
        status, kind = 413, "invalid_request_error"
    message = (
        f"{error.message.removesuffix('.')}. {error.fix[0].upper()}{error.fix[1:]}" if error.fix else error.message
    )
    said: JSON = {"message": message, "type": kind, "param": _param(error), "code": code or error.kind}
    more = {name: value for name, value in error.data.items() if name not in ("param", "problems", "stage")}
    if isinstance(paid := more.pop("cost_nano", None), int):
        more["cost_usd"] = paid / NANO
    if more:
        said["agentflow"] = more
    wait = error.data.get("retry_after")
    headers = [(b"retry-after", str(max(1, round(wait))).encode())] if isinstance(wait, int | float) else []
    return status, {"error": said}, headers


def _param(error: AgentFlowError) -> str | None:
    """The member of the request that an error is about: `messages.0.role`."""
    problems = error.data.get("problems")
    if isinstance(problems, list) and problems and isinstance(problems[0], dict):
        return str(problems[0].get("path", "")).removeprefix("/arguments").lstrip("/").replace("/", ".") or None
    param = error.data.get("param")
    return param if isinstance(param, str) else "model" if isinstance(error, UnknownName) else None


async def _json(send: Send, status: int, body: Any, headers: Headers | None = None) -> None:
    data = orjson.dumps(body)
    head = [(b"content-type", b"application/json"), (b"content-length", str(len(data)).encode()), *(headers or ())]
    await send({"type": "http.response.start", "status": status, "headers": head})
    await send({"type": "http.response.body", "body": data})
