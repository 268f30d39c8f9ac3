"""OpenAI's wire format: `/v1/chat/completions`, `/v1/embeddings`, `/v1/models` (also of vLLM, and of most others).

Shapes as recorded in OpenAI's API reference (2026-10); a stream ends with `data: [DONE]` and carries usage only when
`stream_options.include_usage` asked for it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping

from tests.model_servers.script import JSON, Asked, Refusal, Say
from tests.model_servers.server import ModelServer, sse, vector

_CREATED = 1_790_000_000
_ERRORS: dict[Refusal, tuple[int, str, str | None, str]] = {
    "rate_limit": (429, "requests", "rate_limit_exceeded", "Rate limit reached for m-1 on requests per min (RPM)."),
    "quota": (429, "insufficient_quota", "insufficient_quota", "You exceeded your current quota."),
    "server_error": (500, "server_error", None, "The server had an error while processing your request."),
    "overloaded": (503, "server_error", None, "The engine is currently overloaded, please try again later."),
    "timeout": (504, "server_error", None, "The request timed out."),
    "unauthorized": (401, "invalid_request_error", "invalid_api_key", "Incorrect API key provided: sk-very*cret."),
    "forbidden": (403, "invalid_request_error", "unsupported_country_region_territory", "Country not supported."),
    "unknown_model": (404, "invalid_request_error", "model_not_found", "The model `m-9` does not exist."),
    "context_length": (
        400,
        "invalid_request_error",
        "context_length_exceeded",
        "This model's maximum context length is 8192 tokens. However, your messages resulted in 9000 tokens.",
    ),
    "content_filter": (
        400,
        "invalid_request_error",
        "content_policy_violation",
        "Your request was rejected as a result of our safety system.",
    ),
    "bad_request": (400, "invalid_request_error", None, "Unrecognized request argument supplied: top_q"),
    "no_schema": (
        400,
        "invalid_request_error",
        None,
        "Invalid parameter: 'response_format' of type 'json_schema' is not supported with this model.",
    ),
}


class OpenAIServer(ModelServer):
    """OpenAI, or a server that speaks its protocol."""

    suffix = "/v1"

    def recognise(self, method: str, path: str, headers: Mapping[str, str], body: JSON) -> tuple[str, str, bool]:
        operation = {
            ("POST", "/v1/chat/completions"): "chat",
            ("POST", "/v1/embeddings"): "embed",
            ("GET", "/v1/models"): "models",
        }.get((method, path), "")
        return operation, str(body.get("model", "")), bool(body.get("stream"))

    def whole(self, asked: Asked, say: Say) -> JSON:
        message: JSON = {"role": "assistant", "content": say.written, "refusal": None}
        if say.tool_calls:
            message |= {"content": say.written or None, "tool_calls": _calls(say)}
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": say.finish}
        body: JSON = {
            "id": "chatcmpl-1",
            "object": "chat.completion",
            "created": _CREATED,
            "model": asked.model,
            "choices": [{**choice, "index": i} for i in range(say.choices)],
            "system_fingerprint": "fp_1",
        }
        return body | ({"usage": _usage(say)} if say.usage else {})

    def events(self, asked: Asked, say: Say) -> Iterator[tuple[bytes, bool]]:
        base: JSON = {
            "id": "chatcmpl-1",
            "object": "chat.completion.chunk",
            "created": _CREATED,
            "model": asked.model,
            "system_fingerprint": "fp_1",
        }

        def chunk(delta: JSON, finish: str | None = None) -> bytes:
            choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
            return sse({**base, "choices": [choice] if say.choices else []})

        yield chunk({"role": "assistant", "content": "", "refusal": None}), False
        for part in say.parts if say.written else []:
            yield chunk({"content": part}), True
        for index, call in enumerate(_calls(say)):
            arguments = call["function"]["arguments"]
            first = {**call, "index": index, "function": {**call["function"], "arguments": ""}}
            yield chunk({"tool_calls": [first]}), False
            yield chunk({"tool_calls": [{"index": index, "function": {"arguments": arguments}}]}), True
        yield chunk({}, say.finish), False
        if say.usage and (asked.body.get("stream_options") or {}).get("include_usage"):
            yield sse({**base, "choices": [], "usage": _usage(say)}), False
        yield sse("[DONE]"), False

    def refusal(self, asked: Asked, kind: Refusal, message: str) -> tuple[int, JSON, Mapping[str, str]]:
        status, error, code, text = _ERRORS[kind]
        body = {"error": {"message": message or text, "type": error, "param": None, "code": code}}
        return status, body, {"x-request-id": "req_1"}

    def midway(self, asked: Asked, kind: Refusal) -> bytes:
        return sse(self.refusal(asked, kind, "")[1])

    def embedding(self, asked: Asked) -> JSON:
        given = asked.body.get("input", [])
        texts = [given] if isinstance(given, str) else list(given)
        data = [
            {"object": "embedding", "index": i, "embedding": vector(str(text), self.dimensions)}
            for i, text in enumerate(texts)
        ]
        tokens = sum(len(str(text).split()) for text in texts)
        usage = {"prompt_tokens": tokens, "total_tokens": tokens}
        return {"object": "list", "data": data, "model": asked.model, "usage": usage}

    def listing(self, asked: Asked) -> JSON:
        data = [{"id": name, "object": "model", "created": _CREATED, "owned_by": "tests"} for name in self.models]
        return {"object": "list", "data": data}


def _calls(say: Say) -> list[JSON]:
    return [
        {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": json.dumps(call.arguments)}}
        for call in say.tool_calls
    ]


def _usage(say: Say) -> JSON:
    return {
        "prompt_tokens": say.prompt_tokens,
        "completion_tokens": say.completion_tokens,
        "total_tokens": say.prompt_tokens + say.completion_tokens,
        "prompt_tokens_details": {"cached_tokens": say.cached_tokens, "audio_tokens": 0},
    }
