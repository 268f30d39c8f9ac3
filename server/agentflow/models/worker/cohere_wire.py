"""Cohere in its own format (`/v2/chat`, `/v2/embed`), for its streams do not come through litellm.

It promises what `OpenAIWire` does: one request for one question, redirects never followed, a stream that breaks off
told from one that ends. Tokens are those that Cohere bills. Refuses several choices.
Source: Cohere API reference, v2 (Chat, Chat with streaming, Embed, List models).
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any, Final, Literal

from agentflow.config_models import ModelConfig, ProviderConfig
from agentflow.models.fleet import Deployment
from agentflow.models.worker.openai_wire import OpenAIWire, _late, _parsed, _read
from agentflow.models.worker.provider import JSON, MAX_ANSWER, ProviderFailure

_ADDRESS: Final = "https://api.cohere.com"
_BATCH: Final = 96  # texts in one request
_FINISH: Final = {"COMPLETE": "stop", "STOP_SEQUENCE": "stop", "MAX_TOKENS": "length", "TOOL_CALL": "tool_calls"}
_SAME: Final = ("max_tokens", "temperature", "seed", "frequency_penalty", "presence_penalty", "tools")


class CohereWire(OpenAIWire):
    """A `Provider`: Cohere, or an address that speaks its v2 API."""

    def __init__(self, name: str, config: ProviderConfig) -> None:
        address = re.sub(r"/v[12](/chat|/embed)?$", "", (config.base_url or _ADDRESS).rstrip("/"))
        super().__init__(name, config.model_copy(update={"base_url": address}))

    async def complete(self, deployment: Deployment, body: JSON, timeout: float) -> JSON:
        """See `Provider`."""
        answer = await self._post("/v2/chat", chat_request(deployment.model, body), timeout)
        return _completion(answer, deployment.model)

    async def stream(self, deployment: Deployment, body: JSON, timeout: float) -> AsyncIterator[JSON]:
        """See `Provider`."""
        request = {**chat_request(deployment.model, body), "stream": True}
        chunks = _Chunks(deployment.model)
        async with self._asked("POST", "/v2/chat", request, timeout) as response:
            size, since = 0, time.monotonic()
            async for line in response.aiter_lines():
                size += len(line)
                if size > 8 * MAX_ANSWER:
                    raise ProviderFailure("protocol", f"its answer is larger than {8 * MAX_ANSWER} bytes")
                if line.startswith("data:"):
                    for chunk in chunks.of(_parsed(line[5:].encode())):
                        yield chunk
                    since = time.monotonic()
                elif time.monotonic() - since > timeout:
                    raise _late(timeout)
        if not chunks.finished:
            raise ProviderFailure("protocol", "its answer broke off")

    async def embed(self, deployment: Deployment, body: JSON, timeout: float) -> JSON:
        """See `Provider`."""
        given = body.get("input")
        texts = [given] if isinstance(given, str) else given
        if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
            raise ProviderFailure("bad_request", "it makes embeddings of texts only")
        vectors: list[Any] = []
        tokens = 0
        for start in range(0, len(texts), _BATCH):
            request = {
                "model": deployment.model,
                "texts": texts[start : start + _BATCH],
                "input_type": "search_document",
                "embedding_types": ["float"],
                **({"output_dimension": body["dimensions"]} if body.get("dimensions") else {}),
            }
            answer = await self._post("/v2/embed", request, timeout)
            try:
                vectors += answer["embeddings"]["float"]
                tokens += int(answer["meta"]["billed_units"]["input_tokens"])
            except (KeyError, TypeError, ValueError):
                raise ProviderFailure("protocol", "its answer is not a list of embeddings") from None
        data = [{"object": "embedding", "index": i, "embedding": vector} for i, vector in enumerate(vectors)]
        usage = {"prompt_tokens": tokens, "total_tokens": tokens}
        return {"object": "list", "data": data, "model": deployment.model, "usage": usage}

    async def discover(self) -> Sequence[ModelConfig]:
        """See `Provider`."""
        async with self._asked("GET", "/v1/models?page_size=1000", None, 10.0) as response:
            listed = _parsed(await _read(response)).get("models")
        if not isinstance(listed, list):
            raise ProviderFailure("protocol", "its list of models is malformed")
        found = []
        for item in (each for each in listed if isinstance(each, dict)):
            ways = item.get("endpoints") or []
            if isinstance(item.get("name"), str) and ("chat" in ways or "embed" in ways):
                kind: Literal["chat", "embedding"] = "chat" if "chat" in ways else "embedding"
                found.append(ModelConfig(model=item["name"], kind=kind, context_window=_window(item)))
        return found

    async def _post(self, path: str, body: JSON, timeout: float) -> JSON:
        try:
            async with asyncio.timeout(timeout), self._asked("POST", path, body, timeout) as response:
                return _parsed(await _read(response))
        except TimeoutError:
            raise _late(timeout) from None


def _window(item: JSON) -> int | None:
    try:
        return int(item["context_length"]) or None
    except (KeyError, TypeError, ValueError):
        return None


def chat_request(model: str, body: JSON) -> JSON:
    """A request of OpenAI's chat completions as one of Cohere's v2 chat.

    Raises:
        ProviderFailure: `bad_request`, several choices are wanted.
    """
    if body.get("n") not in (None, 1):
        raise ProviderFailure("bad_request", "it gives one choice, `n` has to be 1")
    request: JSON = {"model": model, "messages": [_message(each) for each in body.get("messages") or []]}
    request |= {name: body[name] for name in _SAME if body.get(name) is not None}
    if "max_tokens" not in request and body.get("max_completion_tokens") is not None:
        request["max_tokens"] = body["max_completion_tokens"]
    if "temperature" in request:
        request["temperature"] = min(1.0, request["temperature"])  # OpenAI's scale ends at 2
    if body.get("top_p") is not None:
        request["p"] = min(0.99, max(0.01, body["top_p"]))
    if stop := body.get("stop"):
        request["stop_sequences"] = [stop] if isinstance(stop, str) else stop
    choice = body.get("tool_choice")
    if choice == "none":
        request["tool_choice"] = "NONE"
    elif choice == "required" or isinstance(choice, dict):
        request["tool_choice"] = "REQUIRED"
        if isinstance(choice, dict):
            name = (choice.get("function") or {}).get("name")
            request["tools"] = [t for t in request.get("tools") or [] if (t.get("function") or {}).get("name") == name]
    wanted = body.get("response_format") or {}
    if wanted.get("type") == "json_schema":
        shape = (wanted.get("json_schema") or {}).get("schema")
        request["response_format"] = {"type": "json_object", **({"json_schema": shape} if shape else {})}
    elif wanted.get("type") == "json_object":
        request["response_format"] = {"type": "json_object"}
    return request


def _message(given: JSON) -> JSON:
    role = "system" if given.get("role") == "developer" else given.get("role")
    message: JSON = {"role": role}
    for name in ("content", "tool_calls", "tool_call_id"):
        if given.get(name) is not None:
            message[name] = given[name]
    if message.get("tool_calls") and not message.get("content"):
        message.pop("content", None)
    return message


def _head(kind: str, answer_id: object, model: str) -> JSON:
    return {"id": str(answer_id or "cohere"), "object": kind, "created": int(time.time()), "model": model}


def _usage(given: object) -> JSON | None:
    """OpenAI's `usage`: what is billed, or, where that is missing, what was counted."""
    if not isinstance(given, dict):
        return None
    counts = given.get("billed_units") or given.get("tokens")
    if not isinstance(counts, dict):
        return None
    try:
        prompt, completion = int(counts.get("input_tokens") or 0), int(counts.get("output_tokens") or 0)
    except (TypeError, ValueError):
        return None
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}


def _finish(reason: object, usage: JSON | None) -> str:
    if reason == "ERROR_TOXIC":
        return "content_filter"
    if reason in ("ERROR", "ERROR_LIMIT"):
        raise ProviderFailure("server", "it failed in the middle of its answer", usage=usage)
    if reason == "TIMEOUT":
        raise ProviderFailure("timeout", "it gave up on its answer", usage=usage)
    return _FINISH.get(str(reason), "stop")


def _completion(answer: JSON, model: str) -> JSON:
    usage = _usage(answer.get("usage"))
    finish = _finish(answer.get("finish_reason"), usage)
    given = answer.get("message")
    if not isinstance(given, dict):
        raise ProviderFailure("protocol", "its answer has no message in it", usage=usage)
    blocks = [block for block in given.get("content") or [] if isinstance(block, dict)]
    calls = given.get("tool_calls")
    message: JSON = {"role": "assistant", "content": "".join(str(b.get("text", "")) for b in blocks if "text" in b)}
    if not blocks:
        message["content"] = None
    if calls:
        message["tool_calls"] = calls
    thought = "".join(str(b.get("thinking", "")) for b in blocks if "thinking" in b)
    if thought:
        message["reasoning_content"] = thought
    whole = {**_head("chat.completion", answer.get("id"), model)}
    whole["choices"] = [{"index": 0, "message": message, "finish_reason": finish}]
    return {**whole, "usage": usage} if usage is not None else whole


class _Chunks:
    """The chunks of one streamed answer."""

    def __init__(self, model: str) -> None:
        self.finished = False
        self._model = model
        self._base = _head("chat.completion.chunk", None, model)

    def of(self, event: JSON) -> Iterator[JSON]:
        kind, delta = event.get("type"), event.get("delta") or {}
        message = delta.get("message") or {}
        try:
            if kind == "message-start":
                self._base = _head("chat.completion.chunk", event.get("id"), self._model)
                yield self._chunk({"role": "assistant", "content": ""})
            elif kind == "content-delta":
                content = message.get("content") or {}
                if text := content.get("text"):
                    yield self._chunk({"content": text})
                elif thought := content.get("thinking"):
                    yield self._chunk({"reasoning_content": thought})
            elif kind in ("tool-call-start", "tool-call-delta"):
                yield self._chunk({"tool_calls": [{"index": event.get("index") or 0, **message["tool_calls"]}]})
            elif kind == "message-end":
                yield from self._end(delta)
        except (KeyError, TypeError, AttributeError):
            raise ProviderFailure("protocol", "a part of its answer is malformed") from None

    def _end(self, delta: JSON) -> Iterator[JSON]:
        usage = _usage(delta.get("usage"))
        finish = _finish(delta.get("finish_reason"), usage)
        self.finished = True
        yield self._chunk({}, finish)
        if usage is not None:
            yield {**self._base, "choices": [], "usage": usage}

    def _chunk(self, delta: JSON, finish: str | None = None) -> JSON:
        return {**self._base, "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}
