"""What a provider answered, looked at before anybody relies on it: shape, tool calls, tokens; parts put together.

It promises that an answer which leaves here has at least one choice with text, a refusal or well-formed calls of tools
that were offered; everything else is a `ProviderFailure` of kind `protocol` (or `content_filter`), with the `usage`
that the provider reported, for it has to be paid.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

from agentflow.models.worker.provider import JSON, ProviderFailure

_BYTES_PER_TOKEN: Final = 4.0  # an estimate, where a provider reports no usage
_MOST: Final = 10_000_000_000  # tokens: a count beyond is no count


@dataclass(frozen=True, slots=True)
class Tokens:
    """What a request used: tokens of the prompt (`cached` of them in the provider's cache) and of the answer.

    Attributes:
        kept: tokens of the prompt that the provider put into its cache.
        reported: whether the provider said so; otherwise it is estimated from the sizes.
    """

    prompt: int
    completion: int
    cached: int = 0
    reported: bool = True
    kept: int = 0


def tokens_of(usage: object, prompt: int, written: int) -> Tokens:
    """Read OpenAI's `usage`; where there is none, estimate.

    Args:
        prompt: the estimate of the prompt's tokens; written: bytes of the answer.
    """
    if isinstance(usage, Mapping):
        sent, got = _count(usage.get("prompt_tokens")), _count(usage.get("completion_tokens"))
        total = _count(usage.get("total_tokens"))
        if got is None and sent is not None:
            got = max(0, total - sent) if total is not None else (0 if not written else None)
        if sent is not None and got is not None:
            details = usage.get("prompt_tokens_details")
            cached = min(sent, (_count(details.get("cached_tokens")) if isinstance(details, Mapping) else 0) or 0)
            kept = min(sent - cached, _count(usage.get("cache_creation_input_tokens")) or 0)  # as Anthropic counts
            return Tokens(sent, got, cached, kept=kept)
    return Tokens(prompt, math.ceil(written / _BYTES_PER_TOKEN), reported=False)


def _count(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _MOST else None


def offered_tools(body: Mapping[str, Any]) -> frozenset[str] | None:
    """The names of the functions that a request offers; None where it offers none."""
    tools = body.get("tools")
    if not isinstance(tools, list) or not tools:
        return None
    functions = (tool.get("function") for tool in tools if isinstance(tool, Mapping))
    return frozenset(str(f["name"]) for f in functions if isinstance(f, Mapping) and "name" in f)


def check_completion(answer: object, tools: Collection[str] | None, *, cut: bool = False) -> JSON:
    """Return the answer if it is a `chat.completion` that can be relied on.

    Args:
        cut: whether one that the provider's filter cut off will do: its beginning has been passed on already.

    Raises:
        ProviderFailure: it is not (`protocol`), or the provider's filter cut it off (`content_filter`).
    """
    if not isinstance(answer, dict):
        raise ProviderFailure("protocol", "its answer is not a JSON object")
    usage = answer.get("usage") if isinstance(answer.get("usage"), dict) else None

    def wrong(what: str) -> ProviderFailure:
        return ProviderFailure("protocol", what, usage=usage)

    choices = answer.get("choices")
    if not isinstance(choices, list):
        raise wrong("its answer is not a chat completion")
    if not choices:
        raise wrong("its answer has no choices")
    for choice in choices:
        message = choice.get("message") if isinstance(choice, dict) else None
        if not isinstance(message, dict):
            raise wrong("its answer has a choice without a message")
        _check_message(message, tools, wrong)
        if choice.get("finish_reason") == "content_filter" and not cut:
            raise ProviderFailure("content_filter", "its content filter cut the answer off", usage=usage)
    return answer


def _check_message(message: JSON, tools: Collection[str] | None, wrong: Any) -> None:
    content, calls = message.get("content"), message.get("tool_calls")
    if content is not None and not isinstance(content, str):
        raise wrong("its answer's text is not text")
    if calls is not None and not isinstance(calls, list):
        raise wrong("its answer's tool calls are malformed")
    for call in calls or ():
        function = call.get("function") if isinstance(call, dict) else None
        name = function.get("name") if isinstance(function, dict) else None
        if not isinstance(function, dict) or not isinstance(name, str):
            raise wrong("its answer's tool calls are malformed")
        if name not in (tools or ()):
            raise wrong("it called a tool that was not offered")
        if not _is_object(function.get("arguments")):
            raise wrong("it called a tool with arguments that are not a JSON object")
    if content is None and not calls and "refusal" not in message and "reasoning_content" not in message:
        raise wrong("its answer has neither text nor tool calls")


def _is_object(arguments: object) -> bool:
    if not isinstance(arguments, str):
        return False
    if not arguments.strip():  # a tool without parameters
        return True
    try:
        return isinstance(orjson.loads(arguments), dict)
    except ValueError:
        return False


def check_embeddings(answer: object, wanted: int) -> JSON:
    """Return the answer if it holds `wanted` embeddings of one length, in order.

    Raises:
        ProviderFailure: it does not (`protocol`).
    """
    data = answer.get("data") if isinstance(answer, dict) else None
    if not isinstance(answer, dict) or not isinstance(data, list):
        raise ProviderFailure("protocol", "its answer is not a list of embeddings")
    usage = answer.get("usage") if isinstance(answer.get("usage"), dict) else None
    if len(data) != wanted or not all(isinstance(item, dict) and _is_vector(item.get("embedding")) for item in data):
        raise ProviderFailure("protocol", "its answer does not hold one embedding for each text", usage=usage)
    if all(isinstance(item.get("index"), int) for item in data):
        data.sort(key=lambda item: item["index"])
    for index, item in enumerate(data):
        item["index"] = index
        item["object"] = "embedding"
    return answer


def _is_vector(value: object) -> bool:
    if isinstance(value, str):
        return bool(value)  # base64, as asked for
    return isinstance(value, list) and bool(value) and all(isinstance(x, (int, float)) for x in value)


@dataclass(slots=True)
class _Call:
    id: str = ""
    name: str = ""
    arguments: list[str] = field(default_factory=list)


@dataclass(slots=True)
class _Choice:
    text: list[str] = field(default_factory=list)
    reasoning: list[str] = field(default_factory=list)
    refusal: list[str] = field(default_factory=list)
    calls: dict[int, _Call] = field(default_factory=dict)
    finish: str | None = None


class Assembled:
    """A streamed answer as far as it has come: told each chunk, it becomes a `chat.completion`.

    Args:
        tools: names of the functions that were offered; a call of another is refused as soon as it is named.
    """

    def __init__(self, tools: Collection[str] | None) -> None:
        self._tools = tools
        self._choices: dict[int, _Choice] = {}
        self._head: JSON = {}
        self.usage: JSON | None = None
        self.written = 0  # bytes

    def add(self, chunk: object) -> bool:
        """Take in a chunk; say whether it tells the caller anything (text, a call, an end).

        Raises:
            ProviderFailure: it is malformed, or calls a tool that was not offered.
        """
        choices = chunk.get("choices") if isinstance(chunk, dict) else None
        if not isinstance(chunk, dict) or not isinstance(choices, list | None):
            raise self._wrong("a part of its answer is malformed")
        if not self._head:
            self._head = {name: chunk[name] for name in ("id", "created", "model") if name in chunk}
        if isinstance(chunk.get("usage"), dict):
            self.usage = chunk["usage"]
        telling = False
        for choice in choices or ():
            delta = choice.get("delta", {}) if isinstance(choice, dict) else None
            if delta is None and isinstance(choice, dict):
                delta = {}
            if not isinstance(choice, dict) or not isinstance(delta, dict):
                raise self._wrong("a part of its answer is malformed")
            index = choice.get("index", 0)
            telling |= self._take(self._choices.setdefault(index if isinstance(index, int) else 0, _Choice()), delta)
            if choice.get("finish_reason"):
                ended = self._choices[index if isinstance(index, int) else 0]
                ended.finish = str(choice["finish_reason"])
                telling = True
                if ended.finish == "content_filter" and not self.written:
                    raise ProviderFailure("content_filter", "its content filter kept the answer", usage=self.usage)
        return telling

    def _take(self, into: _Choice, delta: JSON) -> bool:
        telling = False
        for member, parts in (("content", into.text), ("refusal", into.refusal), ("reasoning_content", into.reasoning)):
            text = delta.get(member)
            if text is None or text == "":
                continue
            if not isinstance(text, str):
                raise self._wrong("a part of its answer is malformed")
            parts.append(text)
            self.written += len(text.encode())
            telling = True
        calls = delta.get("tool_calls") or ()
        if not isinstance(calls, list | tuple):
            raise self._wrong("a part of its answer is malformed")
        for position, part in enumerate(calls):
            self._take_call(into, position, part)
            telling = True
        return telling

    def _take_call(self, into: _Choice, position: int, part: object) -> None:
        function = part.get("function") if isinstance(part, dict) else None
        if not isinstance(part, dict) or not isinstance(function, dict | None):
            raise self._wrong("a part of its answer is malformed")
        index = part.get("index", position)
        call = into.calls.setdefault(index if isinstance(index, int) else position, _Call())
        if part.get("id"):
            call.id = str(part["id"])
        if function is None:
            return
        if function.get("name"):
            call.name = str(function["name"])
            self.written += len(call.name)
            if call.name not in (self._tools or ()):
                raise self._wrong("it called a tool that was not offered")
        if isinstance(function.get("arguments"), str):
            call.arguments.append(function["arguments"])
            self.written += len(function["arguments"].encode())

    @property
    def finished(self) -> bool:
        """Whether every choice has come to its end."""
        return bool(self._choices) and all(choice.finish for choice in self._choices.values())

    def completion(self) -> JSON:
        """The answer as a whole.

        Raises:
            ProviderFailure: as `check_completion`; also if it broke off.
        """
        if not self._choices:
            raise self._wrong("its answer has no choices")
        if not self.finished:
            raise self._wrong("its answer broke off")
        choices = [self._choice(index, choice) for index, choice in sorted(self._choices.items())]
        answer = {**self._head, "object": "chat.completion", "choices": choices}
        if self.usage is not None:
            answer["usage"] = self.usage
        return check_completion(answer, self._tools, cut=True)

    @staticmethod
    def _choice(index: int, choice: _Choice) -> JSON:
        message: JSON = {"role": "assistant", "content": "".join(choice.text) if choice.text else None}
        if choice.reasoning:
            message["reasoning_content"] = "".join(choice.reasoning)
        if choice.refusal:
            message["refusal"] = "".join(choice.refusal)
        if choice.calls:
            message["tool_calls"] = [
                {"id": c.id, "type": "function", "function": {"name": c.name, "arguments": "".join(c.arguments)}}
                for _, c in sorted(choice.calls.items())
            ]
        elif message["content"] is None and not choice.refusal:
            message["content"] = ""
        return {"index": index, "message": message, "finish_reason": choice.finish}

    def _wrong(self, what: str) -> ProviderFailure:
        return ProviderFailure("protocol", what, usage=self.usage)


def as_chunks(answer: JSON) -> list[JSON]:
    """A whole answer as the chunks of a stream: what a cached one is streamed from."""
    head: JSON = {
        **{k: answer[k] for k in ("id", "created", "model") if k in answer},
        "object": "chat.completion.chunk",
    }
    chunks = []
    for choice in answer["choices"]:
        delta = {k: v for k, v in choice["message"].items() if v is not None}
        if "tool_calls" in delta:
            delta["tool_calls"] = [{"index": i, **call} for i, call in enumerate(delta["tool_calls"])]
        where: JSON = {"index": choice.get("index", 0)}
        chunks.append({**head, "choices": [{**where, "delta": delta, "finish_reason": None}]})
        chunks.append({**head, "choices": [{**where, "delta": {}, "finish_reason": choice.get("finish_reason")}]})
    return chunks
