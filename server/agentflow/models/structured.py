"""Typed answers from a chat model: parsed, validated, repaired once, else a typed error.

Nothing a model writes goes further than this module unless it validates. What was said is handed back as it stood, so
that a conversation can be carried on, and trained on, word for word.
"""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Generic, NoReturn, TypeVar

from pydantic import BaseModel, ValidationError

from agentflow.errors import UpstreamProtocolError
from agentflow.models.port import Answered, ChatMessage

Answer = TypeVar("Answer", bound=BaseModel)
Send = Callable[[tuple[ChatMessage, ...]], Awaitable[Answered]]
"""A conversation → what the model answers to it."""

KEPT = 20_000  # characters of an answer that a conversation keeps
READ = 400_000  # characters of an answer that are looked at
_STARTS = 40  # places where an object may begin that are tried
_THINKING = re.compile(r"<think(?:ing)?>.*?</think(?:ing)?>", re.DOTALL | re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer of the model, and what is wrong with it ("" where nothing is)."""

    asked: tuple[ChatMessage, ...]
    answered: Answered
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Typed(Generic[Answer]):
    """A valid answer, and the conversation up to it: what was asked, what was sent back, the answer itself."""

    value: Answer
    messages: tuple[ChatMessage, ...]


async def ask(
    send: Send,
    messages: Sequence[ChatMessage],
    kind: type[Answer],
    check: Callable[[Answer], str | None] | None = None,
    told: Callable[[Reply], None] | None = None,
) -> Typed[Answer]:
    """Ask for a `kind`; what does not validate is sent back once with the reason.

    Args:
        check: says what is wrong with a well-formed answer (an unknown tool), or None.
        told: is told of every answer, the invalid ones as well.

    Raises:
        UpstreamProtocolError: invalid twice.
        AgentFlowError: as `send`.
    """
    conversation = tuple(messages)
    problem = ""
    for _ in range(2):
        answered = await send(conversation)
        value, problem = read(answered, kind, check)
        if told is not None:
            told(Reply(conversation, answered, problem))
        conversation = (*conversation, ChatMessage("assistant", answered.text[:KEPT]))
        if value is not None and not problem:
            return Typed(value, conversation)
        repair = f"That answer was not valid: {problem}\nAnswer again with only the corrected JSON object."
        conversation = (*conversation, ChatMessage("user", repair))
    raise UpstreamProtocolError(
        f"the model twice wrote no valid {kind.__name__}: {problem}",
        fix="use a model that follows JSON schemas, or flow.planner: offline",
    )


def read(
    answered: Answered, kind: type[Answer], check: Callable[[Answer], str | None] | None = None
) -> tuple[Answer | None, str]:
    """The answer as a `kind`, or None, and what is wrong with it ("" where nothing is)."""
    try:
        value = kind.model_validate(object_in(answered.text))
    except (ValueError, ValidationError, RecursionError) as error:
        cut = "the answer was cut off at its greatest length; " if answered.finish_reason == "length" else ""
        return None, cut + _reason(error)
    return value, (check(value) if check is not None else None) or ""


def object_in(text: str) -> object:
    """The JSON object in a model's text; code fences, words around it and a model's thinking are left aside.

    Raises:
        ValueError: there is none, or it holds what JSON has not (NaN, half a surrogate pair).
    """
    text = _THINKING.sub("", text[:READ])
    decoder = json.JSONDecoder(parse_constant=_refuse)
    found: object = None
    at, size = text.find("{"), -1
    for _ in range(_STARTS):
        if at < 0:
            break
        try:
            value, end = decoder.raw_decode(text, at)
        except json.JSONDecodeError:
            end = at + 1
        else:
            if end - at > size:  # the answer itself, not an example in the words around it
                found, size = value, end - at
        at = text.find("{", end)
    if size < 0:
        raise ValueError("there is no JSON object in it")
    json.dumps(found, ensure_ascii=False).encode()
    return found


def _refuse(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


def _reason(error: Exception) -> str:
    if isinstance(error, ValidationError):
        found = error.errors(include_url=False, include_input=False)[:5]
        return "; ".join(f"{'.'.join(str(p) for p in e['loc']) or 'object'}: {e['msg']}" for e in found)
    if isinstance(error, UnicodeError):
        return "it holds half a character (a lone surrogate)"
    return str(error)[:300] or type(error).__name__
