"""Anthropic's wire format: `/v1/messages`, whole and as server-sent events; `/v1/models`.

Shapes as recorded in Anthropic's API reference (2026-10, version 2023-06-01).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping

from tests.model_servers.script import JSON, Asked, Refusal, Say
from tests.model_servers.server import ModelServer, sse

_STOPS = {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use", "content_filter": "refusal"}
_ERRORS: dict[Refusal, tuple[int, str, str]] = {
    "rate_limit": (429, "rate_limit_error", "This request would exceed your organization's rate limit."),
    "quota": (400, "invalid_request_error", "Your credit balance is too low to access the Anthropic API."),
    "server_error": (500, "api_error", "Internal server error"),
    "overloaded": (529, "overloaded_error", "Overloaded"),
    "timeout": (504, "timeout_error", "Request timed out"),
    "unauthorized": (401, "authentication_error", "invalid x-api-key"),
    "forbidden": (403, "permission_error", "Your API key does not have permission to use the specified resource."),
    "unknown_model": (404, "not_found_error", "model: m-9"),
    "context_length": (400, "invalid_request_error", "prompt is too long: 208310 tokens > 200000 maximum"),
    "content_filter": (400, "invalid_request_error", "Output blocked by content filtering policy"),
    "bad_request": (400, "invalid_request_error", "messages: at least one message is required"),
    "no_schema": (400, "invalid_request_error", "output_format: Extra inputs are not permitted"),
}


class AnthropicServer(ModelServer):
    """Anthropic."""

    def recognise(self, method: str, path: str, headers: Mapping[str, str], body: JSON) -> tuple[str, str, bool]:
        operation = {("POST", "/v1/messages"): "chat", ("GET", "/v1/models"): "models"}.get((method, path), "")
        return operation, str(body.get("model", "")), bool(body.get("stream"))

    def whole(self, asked: Asked, say: Say) -> JSON:
        content: list[JSON] = [{"type": "text", "text": say.written}] if say.written else []
        for call in say.tool_calls:
            content.append({"type": "tool_use", "id": call.id, "name": call.name, "input": dict(call.arguments)})
        return {**_message(asked, say), "content": content if say.choices else [], "stop_reason": _STOPS[say.finish]}

    def events(self, asked: Asked, say: Say) -> Iterator[tuple[bytes, bool]]:
        message = {**_message(asked, say), "content": [], "stop_reason": None}
        yield _event("message_start", {"message": message}), False
        yield _event("ping", {}), False
        first = 0
        if say.written and say.choices:
            yield _event("content_block_start", {"index": 0, "content_block": {"type": "text", "text": ""}}), False
            for part in say.parts:
                yield _event("content_block_delta", {"index": 0, "delta": {"type": "text_delta", "text": part}}), True
            yield _event("content_block_stop", {"index": 0}), False
            first = 1
        for index, call in enumerate(say.tool_calls, start=first):
            block = {"type": "tool_use", "id": call.id, "name": call.name, "input": {}}
            yield _event("content_block_start", {"index": index, "content_block": block}), False
            delta = {"type": "input_json_delta", "partial_json": json.dumps(dict(call.arguments))}
            yield _event("content_block_delta", {"index": index, "delta": delta}), True
            yield _event("content_block_stop", {"index": index}), False
        end = {"delta": {"stop_reason": _STOPS[say.finish], "stop_sequence": None}}
        usage = {"usage": {"output_tokens": say.completion_tokens}} if say.usage else {}
        yield _event("message_delta", {**end, **usage}), False
        yield _event("message_stop", {}), False

    def refusal(self, asked: Asked, kind: Refusal, message: str) -> tuple[int, JSON, Mapping[str, str]]:
        status, error, text = _ERRORS[kind]
        body = {"type": "error", "error": {"type": error, "message": message or text}, "request_id": "req_1"}
        return status, body, {"request-id": "req_1"}

    def midway(self, asked: Asked, kind: Refusal) -> bytes:
        _, error, text = _ERRORS[kind]
        return _event("error", {"error": {"type": error, "message": text}})

    def listing(self, asked: Asked) -> JSON:
        data = [{"type": "model", "id": name, "display_name": name} for name in self.models]
        return {"data": data, "has_more": False, "first_id": self.models[0], "last_id": self.models[-1]}


def _event(kind: str, body: JSON) -> bytes:
    return sse({"type": kind, **body}, kind)


def _message(asked: Asked, say: Say) -> JSON:
    usage = {
        "input_tokens": say.prompt_tokens - say.cached_tokens,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": say.cached_tokens,
        "output_tokens": say.completion_tokens,
    }
    head: JSON = {"id": "msg_1", "type": "message", "role": "assistant", "model": asked.model, "stop_sequence": None}
    return {**head, "usage": usage} if say.usage else head
