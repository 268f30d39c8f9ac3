"""Ollama's own wire format: `/api/chat` in lines of JSON, `/api/embed`, `/api/tags`, `/api/show`.

Shapes as recorded in Ollama's API documentation (2026-10). Its OpenAI-compatible side is `OpenAIServer`'s.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping

from tests.model_servers.script import JSON, Asked, Raw, Refusal, Say
from tests.model_servers.server import ModelServer, vector

_STOPS = {"stop": "stop", "length": "length", "tool_calls": "stop", "content_filter": "stop"}
_ERRORS: dict[Refusal, tuple[int, str]] = {
    "rate_limit": (429, "too many concurrent requests"),
    "quota": (429, "you've reached your usage limit"),
    "server_error": (500, "model runner has unexpectedly stopped"),
    "overloaded": (503, "server busy, please try again. maximum pending requests exceeded"),
    "timeout": (504, "timed out waiting for llama runner to start"),
    "unauthorized": (401, "unauthorized"),
    "forbidden": (403, "forbidden"),
    "unknown_model": (404, "model 'm-9' not found"),
    "context_length": (400, "the input length exceeds the context length"),
    "content_filter": (400, "blocked by content filter"),
    "bad_request": (400, "missing request body"),
    "no_schema": (400, 'invalid format: expected "json" or a JSON schema'),
}


class OllamaServer(ModelServer):
    """Ollama."""

    stream_type = "application/x-ndjson"

    def recognise(self, method: str, path: str, headers: Mapping[str, str], body: JSON) -> tuple[str, str, bool]:
        operation = {
            ("POST", "/api/chat"): "chat",
            ("POST", "/api/embed"): "embed",
            ("GET", "/api/tags"): "models",
        }.get((method, path), "")
        return operation, str(body.get("model", "")), bool(body.get("stream", True))

    def whole(self, asked: Asked, say: Say) -> JSON:
        return {**_end(asked, say), "message": _message(say.written, _calls(say))}

    def events(self, asked: Asked, say: Say) -> Iterator[tuple[bytes, bool]]:
        head = {"model": asked.model, "created_at": "2026-10-01T00:00:00Z", "done": False}
        for part in say.parts if say.written else []:
            yield _line({**head, "message": _message(part)}), True
        if say.tool_calls:
            yield _line({**head, "message": _message("", _calls(say))}), True
        yield _line({**_end(asked, say), "message": _message("")}), False

    def refusal(self, asked: Asked, kind: Refusal, message: str) -> tuple[int, JSON, Mapping[str, str]]:
        status, text = _ERRORS[kind]
        return status, {"error": message or text}, {}

    def midway(self, asked: Asked, kind: Refusal) -> bytes:
        return _line({"error": _ERRORS[kind][1]})

    def embedding(self, asked: Asked) -> JSON:
        given = asked.body.get("input", [])
        texts = [given] if isinstance(given, str) else list(given)
        vectors = [vector(str(text), self.dimensions) for text in texts]
        return {"model": asked.model, "embeddings": vectors, "prompt_eval_count": sum(len(t.split()) for t in texts)}

    def listing(self, asked: Asked) -> JSON:
        return {"models": [{"name": name, "model": name, "details": {"family": "qwen3"}} for name in self.models]}

    def elsewhere(self, asked: Asked) -> Raw:
        """What a model can do, which litellm asks for."""
        if asked.path != "/api/show":
            return super().elsewhere(asked)
        shown = {"template": "{{ .Tools }}", "capabilities": ["completion", "tools"], "model_info": {}}
        return Raw(json.dumps(shown).encode())


def _line(body: JSON) -> bytes:
    return json.dumps(body).encode() + b"\n"


def _message(text: str, calls: list[JSON] | None = None) -> JSON:
    return {"role": "assistant", "content": text, **({"tool_calls": calls} if calls else {})}


def _calls(say: Say) -> list[JSON]:
    return [{"function": {"name": call.name, "arguments": dict(call.arguments)}} for call in say.tool_calls]


def _end(asked: Asked, say: Say) -> JSON:
    body: JSON = {
        "model": asked.model,
        "created_at": "2026-10-01T00:00:00Z",
        "done": True,
        "done_reason": _STOPS[say.finish],
        "total_duration": 551_000_000,
    }
    if say.usage:
        body |= {"prompt_eval_count": say.prompt_tokens, "eval_count": say.completion_tokens}
    return body
