"""Cohere's wire format: `/v2/chat`, whole and as server-sent events, `/v2/embed` (and v1), `/v1/models`.

Shapes as recorded in Cohere's API reference (2026-10).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping

from tests.model_servers.script import JSON, Asked, Refusal, Say
from tests.model_servers.server import ModelServer, sse, vector

_STOPS = {"stop": "COMPLETE", "length": "MAX_TOKENS", "tool_calls": "TOOL_CALL", "content_filter": "ERROR_TOXIC"}
_ERRORS: dict[Refusal, tuple[int, str]] = {
    "rate_limit": (429, "You are using a Trial key, which is limited to 20 API calls / minute."),
    "quota": (402, "Your billing limit has been reached."),
    "server_error": (500, "internal server error"),
    "overloaded": (503, "the service is overloaded"),
    "timeout": (504, "gateway timeout"),
    "unauthorized": (401, "invalid api token"),
    "forbidden": (403, "access to this model is restricted"),
    "unknown_model": (404, "model 'm-9' not found, make sure the correct model ID was used"),
    "context_length": (400, "too many tokens: total number of tokens in the prompt cannot exceed 128000"),
    "content_filter": (422, "the prompt was blocked by content filter"),
    "bad_request": (400, "invalid request: message must be at least 1 token long"),
    "no_schema": (400, "invalid request: response_format is not supported with this model"),
}


class CohereServer(ModelServer):
    """Cohere."""

    def recognise(self, method: str, path: str, headers: Mapping[str, str], body: JSON) -> tuple[str, str, bool]:
        operation = {
            ("POST", "/v2/chat"): "chat",
            ("POST", "/v1/embed"): "embed",
            ("POST", "/v2/embed"): "embed",
            ("GET", "/v1/models"): "models",
        }.get((method, path), "")
        return operation, str(body.get("model", "")), bool(body.get("stream"))

    def whole(self, asked: Asked, say: Say) -> JSON:
        message: JSON = {"role": "assistant"}
        if say.written or not say.tool_calls:
            message["content"] = [{"type": "text", "text": say.written}] if say.choices else []
        if say.tool_calls:
            message["tool_calls"] = _calls(say)
        return {"id": "c1", "finish_reason": _STOPS[say.finish], "message": message, **_usage(say)}

    def events(self, asked: Asked, say: Say) -> Iterator[tuple[bytes, bool]]:
        start = {"message": {"role": "assistant", "content": [], "tool_calls": []}}
        yield _event("message-start", {"id": "c1", "delta": start}), False
        block: JSON = {"message": {"content": {"type": "text", "text": ""}}}
        if say.written:
            yield _event("content-start", {"index": 0, "delta": block}), False
            for part in say.parts:
                yield _event("content-delta", {"index": 0, "delta": {"message": {"content": {"text": part}}}}), True
            yield _event("content-end", {"index": 0}), False
        for index, call in enumerate(_calls(say)):
            empty = {**call, "function": {**call["function"], "arguments": ""}}
            yield _event("tool-call-start", {"index": index, "delta": {"message": {"tool_calls": empty}}}), False
            written = {"function": {"arguments": call["function"]["arguments"]}}
            yield _event("tool-call-delta", {"index": index, "delta": {"message": {"tool_calls": written}}}), True
            yield _event("tool-call-end", {"index": index}), False
        end = {"finish_reason": _STOPS[say.finish], **_usage(say)}
        yield _event("message-end", {"id": "c1", "delta": end}), False

    def refusal(self, asked: Asked, kind: Refusal, message: str) -> tuple[int, JSON, Mapping[str, str]]:
        status, text = _ERRORS[kind]
        return status, {"id": "e1", "message": message or text}, {}

    def midway(self, asked: Asked, kind: Refusal) -> bytes:
        return _event("message-end", {"id": "c1", "delta": {"finish_reason": "ERROR", "error": _ERRORS[kind][1]}})

    def embedding(self, asked: Asked) -> JSON:
        vectors = [vector(str(text), self.dimensions) for text in asked.body.get("texts", [])]
        tokens = sum(len(str(text).split()) for text in asked.body.get("texts", []))
        versioned = asked.path.startswith("/v2/") or "embedding_types" in asked.body
        return {
            "id": "e1",
            "response_type": "embeddings_by_type" if versioned else "embeddings_floats",
            "embeddings": {"float": vectors} if versioned else vectors,
            "texts": asked.body.get("texts", []),
            "meta": {"api_version": {"version": "2"}, "billed_units": {"input_tokens": tokens}},
        }

    def listing(self, asked: Asked) -> JSON:
        return {"models": [{"name": name, "endpoints": ["chat"], "context_length": 128_000} for name in self.models]}


def _event(kind: str, body: JSON) -> bytes:
    return sse({"type": kind, **body}, kind)


def _calls(say: Say) -> list[JSON]:
    return [
        {"id": c.id, "type": "function", "function": {"name": c.name, "arguments": json.dumps(dict(c.arguments))}}
        for c in say.tool_calls
    ]


def _usage(say: Say) -> JSON:
    if not say.usage:
        return {}
    counts = {"input_tokens": say.prompt_tokens, "output_tokens": say.completion_tokens}
    return {"usage": {"billed_units": counts, "tokens": {**counts, "input_tokens": say.prompt_tokens + 60}}}
