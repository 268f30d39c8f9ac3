"""A model's answer, taken apart: the text, which goes through the pipeline, and what is no text, which does not.

OpenAI's shape mixes both: an id or a time would read as somebody's number, and come back as a token. So a provider's
ids are dropped for ones of our own, its reasons and counts are taken only as what they should be, and everything that
a model wrote is put into one body of blocks.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from agentflow.errors import UpstreamProtocolError

JSON = dict[str, Any]
_REASONS: Final = frozenset({"stop", "length", "tool_calls", "content_filter"})
_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
_COUNTS: Final = ("prompt_tokens", "completion_tokens", "total_tokens")
_ABOUT: Final = (
    "id",
    "provider",
    "model",
    "name",
    "tier",
    "cost_nano",
    "failed_tokens",
    "cached",
    "attempts",
    "latency",
)


@dataclass(slots=True)
class Choice:
    """One of the answers to one question.

    Attributes:
        calls: of tools, `{"id", "name", "arguments" (JSON as text)}`.
    """

    text: str = ""
    reasoning: str = ""
    refusal: str = ""
    calls: list[JSON] = field(default_factory=list)
    finish_reason: str = ""

    def message(self) -> JSON:
        """As a `message` of OpenAI's."""
        said: JSON = {"role": "assistant", "content": self.text if self.text or not self.calls else None}
        if self.reasoning:
            said["reasoning_content"] = self.reasoning
        said["refusal"] = self.refusal or None
        if self.calls:
            said["tool_calls"] = tool_calls(self.calls)
        return said


def tool_calls(calls: Iterable[JSON]) -> list[JSON]:
    """Calls of tools as OpenAI has them."""
    return [
        {"id": each["id"], "type": "function", "function": {"name": each["name"], "arguments": each["arguments"]}}
        for each in calls
    ]


def choices_of(answer: JSON) -> list[Choice]:
    """The choices of a `chat.completion`.

    Raises:
        UpstreamProtocolError: there is none, or it holds what is no text where text belongs.
    """
    found = []
    listed = answer.get("choices")
    for each in listed if isinstance(listed, list) else ():
        message = each.get("message") if isinstance(each, dict) else None
        if not isinstance(message, dict):
            raise _broken()
        choice = Choice(
            text=_text(message.get("content")),
            reasoning=_text(message.get("reasoning_content")),
            refusal=_text(message.get("refusal")),
            finish_reason=reason_of(each.get("finish_reason")),
        )
        for call in message.get("tool_calls") or ():
            choice.calls.append(call_of(call))
        found.append(choice)
    if not found:
        raise _broken()
    return found


def call_of(call: Any) -> JSON:
    """One call of a tool; an id that is none gets one of ours."""
    function = call.get("function") if isinstance(call, dict) else None
    if not isinstance(function, dict):
        raise _broken()
    return {
        "id": id_of(call.get("id")),
        "name": _text(function.get("name")),
        "arguments": _text(function.get("arguments")),
    }


def id_of(given: Any) -> str:
    """The id of a tool's call: the provider's, where it looks like one."""
    return given if isinstance(given, str) and _ID.fullmatch(given) else f"call_{uuid.uuid4().hex[:24]}"


def reason_of(given: Any) -> str:
    """Why a model ended, one of OpenAI's reasons."""
    return given if given in _REASONS else "stop"


def body_of(choices: Iterable[Choice]) -> JSON:
    """What the pipeline looks at: `content` has the text of each choice, `choices` the rest."""
    listed = list(choices)
    blocks = [{"type": "text", "text": each.text} for each in listed]
    rest = [
        {
            "reasoning": each.reasoning,
            "refusal": each.refusal,
            "calls": [{"name": call["name"], "arguments": call["arguments"]} for call in each.calls],
        }
        for each in listed
    ]
    return {"content": blocks, "choices": rest}


def with_texts(choices: Iterable[Choice], body: JSON) -> list[Choice]:
    """The choices with their texts as the pipeline left them in `body_of` them."""
    done = []
    for choice, block, rest in zip(choices, body["content"], body["choices"], strict=True):
        calls = [{**call, **texts} for call, texts in zip(choice.calls, rest["calls"], strict=True)]
        done.append(Choice(block["text"], rest["reasoning"], rest["refusal"], calls, choice.finish_reason))
    return done


def usage_of(answer: JSON) -> JSON:
    """Tokens, as whole numbers of zero or more."""
    given = answer.get("usage")
    usage: Mapping[str, Any] = given if isinstance(given, dict) else {}
    counts = {name: _count(usage.get(name)) for name in _COUNTS}
    counts["total_tokens"] = counts["total_tokens"] or counts["prompt_tokens"] + counts["completion_tokens"]
    details = usage.get("prompt_tokens_details")
    cached = _count(details.get("cached_tokens")) if isinstance(details, dict) else 0
    return {**counts, "prompt_tokens_details": {"cached_tokens": cached}} if cached else dict(counts)


def about_of(answer: JSON) -> JSON:
    """What the worker says of an answer: who gave it, what it cost, what was tried before."""
    said = answer.get("agentflow")
    return {name: said[name] for name in _ABOUT if name in said} if isinstance(said, dict) else {}


def whole(text: str) -> str:
    """The text with "?" for each half of a surrogate pair, which no JSON may hold."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def _count(value: Any) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else 0


def _text(value: Any) -> str:
    if value is None:
        return ""
    if not isinstance(value, str):
        raise _broken()
    return whole(value)


def _broken() -> UpstreamProtocolError:
    return UpstreamProtocolError("the model's answer is not a chat completion with text", fix="ask again")
