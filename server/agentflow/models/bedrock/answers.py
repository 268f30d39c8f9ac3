"""What Bedrock's Converse API answers, in OpenAI's shape: whole, or chunk by chunk.

Promises: tokens are those of Bedrock, those read from and written to its cache among the prompt's, as OpenAI counts
them; text that was forced into a tool named `answer` comes out as text.
Source: Amazon Bedrock API reference, `Converse` and `ConverseStream`.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Iterator
from typing import Any, Final

from agentflow.models.bedrock.converse import ANSWER_TOOL
from agentflow.models.bedrock.failures import BedrockFailure

JSON = dict[str, Any]

_FINISH: Final = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "tool_use": "tool_calls",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "guardrail_intervened": "content_filter",
    "content_filtered": "content_filter",
}


def usage_of(given: Any) -> JSON | None:
    """OpenAI's `usage` of Bedrock's, None where there is none. Counts are tokens."""
    if not isinstance(given, dict):
        return None
    read = int(given.get("cacheReadInputTokens") or 0)
    written = int(given.get("cacheWriteInputTokens") or 0)
    prompt = int(given.get("inputTokens") or 0) + read + written
    completion = int(given.get("outputTokens") or 0)
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {"cached_tokens": read},
    }


def completion_of(answer: JSON, model: str, *, forced: bool = False) -> JSON:
    """A `chat.completion` of the answer of `converse`. `forced`: the tool `answer` holds the text.

    Raises:
        BedrockFailure: `protocol`, if it is no answer.
    """
    try:
        blocks = answer["output"]["message"]["content"]
        finish = _FINISH.get(str(answer["stopReason"]), "stop")
    except (KeyError, TypeError):
        raise BedrockFailure("protocol", "Bedrock's answer has no message in it", elsewhere=True) from None
    texts = [_text(block) for block in blocks]
    uses = [block["toolUse"] for block in blocks if "toolUse" in block]
    reasons = [((b.get("reasoningContent") or {}).get("reasoningText") or {}).get("text") or "" for b in blocks]
    if forced and (held := [use for use in uses if use.get("name") == ANSWER_TOOL]):
        texts, uses, finish = [json.dumps(held[0].get("input"))], [], "stop" if finish == "tool_calls" else finish
    message: JSON = {"role": "assistant", "content": "".join(texts)}
    if uses:
        message["tool_calls"] = [_call(use) for use in uses]
    if any(reasons):
        message["reasoning_content"] = "".join(reasons)
    whole: JSON = {
        **_head("chat.completion", model),
        "choices": [{"index": 0, "message": message, "finish_reason": finish}],
    }
    usage = usage_of(answer.get("usage"))
    return {**whole, "usage": usage} if usage is not None else whole


def _head(kind: str, model: str) -> JSON:
    return {"id": f"chatcmpl-{secrets.token_hex(12)}", "object": kind, "created": int(time.time()), "model": model}


def _text(block: JSON) -> str:
    if "citationsContent" in block:
        return "".join(str(part.get("text", "")) for part in block["citationsContent"].get("content") or [])
    return str(block.get("text", ""))


def _call(use: JSON) -> JSON:
    function = {"name": use.get("name", ""), "arguments": json.dumps(use.get("input") or {})}
    return {"id": use.get("toolUseId", ""), "type": "function", "function": function}


class Chunks:
    """The chunks of one streamed answer. Feed it the events; `finished` says whether the model came to an end."""

    def __init__(self, model: str, *, forced: bool = False) -> None:
        self.finished = False
        self.size = 0  # characters written
        self._base = _head("chat.completion.chunk", model)
        self._forced = forced
        self._held: set[int] = set()
        self._calls: dict[int, int] = {}

    def of(self, event: JSON) -> Iterator[JSON]:
        """The chunks that one event makes, in order."""
        for name, body in event.items():
            if name == "messageStart":
                yield self._chunk({"role": "assistant", "content": ""})
            elif name == "contentBlockStart" and (use := (body.get("start") or {}).get("toolUse")):
                yield from self._tool(int(body.get("contentBlockIndex") or 0), use)
            elif name == "contentBlockDelta":
                yield from self._delta(int(body.get("contentBlockIndex") or 0), body.get("delta") or {})
            elif name == "messageStop":
                self.finished = True
                finish = _FINISH.get(str(body.get("stopReason")), "stop")
                if self._held and finish == "tool_calls":
                    finish = "stop"
                yield self._chunk({}, finish)
            elif name == "metadata" and (usage := usage_of(body.get("usage"))) is not None:
                yield {**self._base, "choices": [], "usage": usage}

    def _tool(self, block: int, use: JSON) -> Iterator[JSON]:
        if self._forced and use.get("name") == ANSWER_TOOL:
            self._held.add(block)
            return
        self._calls[block] = len(self._calls)
        function = {"name": use.get("name", ""), "arguments": ""}
        call = {"index": self._calls[block], "id": use.get("toolUseId", ""), "type": "function", "function": function}
        yield self._chunk({"tool_calls": [call]})

    def _delta(self, block: int, delta: JSON) -> Iterator[JSON]:
        if text := delta.get("text"):
            self.size += len(text)
            yield self._chunk({"content": text})
        elif written := (delta.get("toolUse") or {}).get("input"):
            self.size += len(written)
            if block in self._held:
                yield self._chunk({"content": written})
            else:
                call = {"index": self._calls.get(block, 0), "function": {"arguments": written}}
                yield self._chunk({"tool_calls": [call]})
        elif thought := (delta.get("reasoningContent") or {}).get("text"):
            self.size += len(thought)
            yield self._chunk({"reasoning_content": thought})

    def _chunk(self, delta: JSON, finish: str | None = None) -> JSON:
        return {**self._base, "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}
