"""Google's Gemini wire format: `models/{model}:generateContent`, `:streamGenerateContent?alt=sse`, embeddings, listing.

Shapes as recorded in the Gemini API reference (2026-10); tool calls have no ids, a blocked prompt has no candidates.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from tests.model_servers.script import JSON, Asked, Refusal, Say
from tests.model_servers.server import ModelServer, sse, vector

_PATH = re.compile(r"^(?:/v1\w*)?/models/([^/:]+):(\w+)$")
_OPERATIONS = {
    "generateContent": "chat",
    "streamGenerateContent": "chat",
    "embedContent": "embed",
    "batchEmbedContents": "embed",
}
_STOPS = {"stop": "STOP", "length": "MAX_TOKENS", "tool_calls": "STOP", "content_filter": "SAFETY"}
_ERRORS: dict[Refusal, tuple[int, str, str]] = {
    "rate_limit": (429, "RESOURCE_EXHAUSTED", "Resource has been exhausted (e.g. check quota)."),
    "quota": (429, "RESOURCE_EXHAUSTED", "You exceeded your current quota, please check your plan."),
    "server_error": (500, "INTERNAL", "An internal error has occurred."),
    "overloaded": (503, "UNAVAILABLE", "The model is overloaded. Please try again later."),
    "timeout": (504, "DEADLINE_EXCEEDED", "The request timed out."),
    "unauthorized": (400, "INVALID_ARGUMENT", "API key not valid. Please pass a valid API key."),
    "forbidden": (403, "PERMISSION_DENIED", "Your API key was reported as leaked."),
    "unknown_model": (404, "NOT_FOUND", "models/m-9 is not found for API version v1beta."),
    "context_length": (
        400,
        "INVALID_ARGUMENT",
        "The input token count (1206312) exceeds the maximum number of tokens allowed (1048576).",
    ),
    "content_filter": (400, "INVALID_ARGUMENT", "The prompt was blocked by content filters (SAFETY)."),
    "bad_request": (400, "INVALID_ARGUMENT", "Request contains an invalid argument."),
    "no_schema": (400, "INVALID_ARGUMENT", "JSON mode is not enabled for this model."),
}


class GeminiServer(ModelServer):
    """Google AI Studio."""

    def recognise(self, method: str, path: str, headers: Mapping[str, str], body: JSON) -> tuple[str, str, bool]:
        if method == "GET" and path.endswith("/models"):
            return "models", "", False
        found = _PATH.match(path)
        if found is None or method != "POST":
            return "", "", False
        return _OPERATIONS.get(found[2], ""), found[1], found[2] == "streamGenerateContent"

    def whole(self, asked: Asked, say: Say) -> JSON:
        parts: list[JSON] = [{"text": say.written}] if say.written else []
        parts += [{"functionCall": {"name": c.name, "args": dict(c.arguments)}} for c in say.tool_calls]
        return _answer(asked, say, parts, _STOPS[say.finish])

    def events(self, asked: Asked, say: Say) -> Iterator[tuple[bytes, bool]]:
        for part in say.parts if say.written else []:
            yield sse(_answer(asked, say, [{"text": part}], None)), True
        calls = [{"functionCall": {"name": c.name, "args": dict(c.arguments)}} for c in say.tool_calls]
        yield sse(_answer(asked, say, calls or [{"text": ""}], _STOPS[say.finish])), bool(calls)

    def refusal(self, asked: Asked, kind: Refusal, message: str) -> tuple[int, JSON, Mapping[str, str]]:
        status, name, text = _ERRORS[kind]
        return status, {"error": {"code": status, "message": message or text, "status": name}}, {}

    def midway(self, asked: Asked, kind: Refusal) -> bytes:
        return sse(self.refusal(asked, kind, "")[1])

    def embedding(self, asked: Asked) -> JSON:
        if "requests" in asked.body:
            texts = [_text(request["content"]) for request in asked.body["requests"]]
            return {"embeddings": [{"values": vector(text, self.dimensions)} for text in texts]}
        return {"embedding": {"values": vector(_text(asked.body["content"]), self.dimensions)}}

    def listing(self, asked: Asked) -> JSON:
        ways = ["generateContent", "countTokens"]
        return {"models": [{"name": f"models/{n}", "supportedGenerationMethods": ways} for n in self.models]}


def _text(content: JSON) -> str:
    return "".join(str(part.get("text", "")) for part in content["parts"])


def _answer(asked: Asked, say: Say, parts: list[JSON], finish: str | None) -> JSON:
    candidate: JSON = {"content": {"parts": parts, "role": "model"}, "index": 0}
    if finish is not None:
        candidate["finishReason"] = finish
    body: JSON = {"candidates": [candidate] if say.choices else [], "modelVersion": asked.model, "responseId": "r1"}
    if say.usage:
        total = say.prompt_tokens + say.completion_tokens
        counts = {"promptTokenCount": say.prompt_tokens, "candidatesTokenCount": say.completion_tokens}
        body["usageMetadata"] = {**counts, "totalTokenCount": total}
        if say.cached_tokens:
            body["usageMetadata"]["cachedContentTokenCount"] = say.cached_tokens
    return body
