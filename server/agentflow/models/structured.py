"""Typed answers from a chat model: parsed, validated, repaired once, else a typed error.

Nothing a model writes goes further than this module unless it validates.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from agentflow.errors import UpstreamProtocolError
from agentflow.models.openai import ChatMessage, ChatModel

Answer = TypeVar("Answer", bound=BaseModel)


async def ask(
    model: ChatModel,
    messages: Sequence[ChatMessage],
    kind: type[Answer],
    check: Callable[[Answer], str | None] | None = None,
) -> Answer:
    """Ask for a `kind`; what does not validate is sent back once with the reason.

    Args:
        check: says what is wrong with a well-formed answer (an unknown tool), or None.

    Raises:
        UpstreamProtocolError: invalid twice.
        AgentFlowError: as `ChatModel.complete`.
    """
    conversation = list(messages)
    schema = kind.model_json_schema()
    problem = ""
    for _ in range(2):
        completion = await model.complete(conversation, schema)
        try:
            answer = kind.model_validate(_json(completion.text))
            problem = (check(answer) if check is not None else None) or ""
        except (ValueError, ValidationError, RecursionError) as error:
            problem = _reason(error)
        else:
            if not problem:
                return answer
        repair = f"That answer was not valid: {problem}\nAnswer again with only the corrected JSON object."
        conversation += [ChatMessage("assistant", completion.text[:20_000]), ChatMessage("user", repair)]
    raise UpstreamProtocolError(
        f"the model twice wrote no valid {kind.__name__}: {problem}",
        fix="use a model that follows JSON schemas, or flow.planner: offline",
    )


def _json(text: str) -> object:
    """The JSON object in a model's text, code fences and words around it left aside."""
    start, end = text.find("{"), text.rfind("}")
    if start < 0 or end < start:
        raise ValueError("there is no JSON object in it")
    return json.loads(text[start : end + 1])


def _reason(error: Exception) -> str:
    if isinstance(error, ValidationError):
        found = error.errors(include_url=False, include_input=False)[:5]
        return "; ".join(f"{'.'.join(str(p) for p in e['loc']) or 'object'}: {e['msg']}" for e in found)
    return str(error)[:300] or type(error).__name__
