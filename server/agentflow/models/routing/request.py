"""What routing knows of a request, and how it is read off an OpenAI-compatible body.

It promises numbers only: nothing of a prompt's text goes further than the two functions that measure it. Token counts
are estimates (about a quarter above what English has), for choosing and for reserving; nobody is charged by them.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, get_args

from agentflow.config_models import ModelTier, Strategy
from agentflow.models.port import Purpose

JSON = dict[str, Any]
COMPLEX: Final = 0.5  # complexity from which a request counts as complex

_ASCII_PER_TOKEN: Final = 3.5
_OTHER_PER_TOKEN: Final = 1.2  # letters beyond ASCII
_IMAGE: Final = 1_200  # tokens of a picture
_MEASURED: Final = 200_000  # letters of a prompt that are looked at for its complexity
_PURPOSES: Final = frozenset(get_args(Purpose))

# Words of requests that take thought: asked to reason, to weigh, to make something large, or to mind conditions.
_HARD: Final = re.compile(
    r"(?i)\b(?:prove|proof|derive|analy[sz]e|analysis|compare|contrast|evaluate|assess|critique|design|architect\w*|"
    r"implement|refactor|debug|optimi[sz]e|trade-?offs?|strategy|plan|reason(?:ing)?|step[- ]by[- ]step|explain why|"
    r"root cause|investigate|synthesi[sz]e|multi-?step|algorithm|complexity|theorem|integral|equation|simulate|"
    r"negotiate|diagnos\w+|forecast|hypothes\w+|unless|provided that|beweise|analysiere|vergleiche|entwirf|begründe|"
    r"démontre\w*|analyse[rz]?|comparez|demuestra|analiza|compara)\b"
)
_EASY: Final = re.compile(
    r"(?i)^\W*(?:hi|hello|hey|thanks?|thank you|yes|no|ok(?:ay)?|translate|spell|define|what(?:'s| is) the (?:capital|"
    r"date|time|weather|name)|who is|when (?:was|is|did)|how (?:old|far|tall)|list the|convert|capitali[sz]e|lowercase|"
    r"uppercase|classify|extract|label|yes or no)\b"
)
_STRUCTURE: Final = re.compile(r"```|^\s*(?:\d+[.)]|[-*])\s", re.MULTILINE)
_MATHS: Final = re.compile(r"[∑∫√≤≥≠∀∃]|\\(?:frac|sum|int|sqrt)\b|\b[a-z]\s*\^\s*\d|\bO\([a-z]")


@dataclass(frozen=True, slots=True)
class RouteRequest:
    """A request, as far as the choice of a model depends on it.

    Attributes:
        kind: what the model has to do.
        model: a model's name (`models.providers.*.models[].name`), the provider's own name of it, or
            `provider:model`; None: any that may serve `tier`.
        tier: quality that is asked for; None: the configured default.
        prompt_tokens, max_tokens: about, of the prompt, and the most that the answer may have.
        prompt_bound: tokens that the prompt can have at the very most; choices: answers asked for at once.
        strategy: None: the configured one.
        max_cost: nano-dollars that it may cost at the very most; models without a price are then out.
        max_latency: seconds that are aimed at; slower models are used where there is no other.
        needs_schema: the answer has to satisfy a JSON schema; models that can be held to one are preferred.
        complexity: 0 (a greeting) to 1.
        allowed: names of the models that may serve it, by policy; None: all.
        most: the strongest tier that may serve it, by policy; None: any.
    """

    kind: Literal["chat", "embedding"] = "chat"
    model: str | None = None
    tier: ModelTier | None = None
    purpose: Purpose = "chat"
    prompt_tokens: int = 0
    max_tokens: int = 2048
    strategy: Strategy | None = None
    max_cost: int | None = None
    max_latency: float | None = None
    needs_schema: bool = False
    complexity: float = 0.0
    allowed: tuple[str, ...] | None = None
    most: ModelTier | None = None
    prompt_bound: int | None = None
    choices: int = 1

    @property
    def context(self) -> str:
        """What the bandit tells requests apart by: `chat/planner/complex/short`."""
        if self.kind == "embedding":
            return "embedding"
        hard = "complex" if self.complexity >= COMPLEX else "simple"
        size = "short" if self.prompt_tokens < 2_000 else "long"
        return f"chat/{self.purpose}/{hard}/{size}"


def routing_request(
    body: Mapping[str, Any],
    *,
    kind: Literal["chat", "embedding"] = "chat",
    model: str | None = None,
    tier: ModelTier | None = None,
    purpose: str = "chat",
    strategy: Strategy | None = None,
    max_cost: int | None = None,
    max_latency: float | None = None,
    allowed: tuple[str, ...] | None = None,
    most: ModelTier | None = None,
    prompt_bound: int | None = None,
) -> RouteRequest:
    """What routing has to know of the body of `/v1/chat/completions` or `/v1/embeddings`. Never raises.

    Args:
        model: None where the body's own `model` stands for "as routed".
        purpose: an unknown one counts as `chat`.
    """
    limit = body.get("max_completion_tokens", body.get("max_tokens"))
    form, choices = body.get("response_format"), body.get("n")
    return RouteRequest(
        kind=kind,
        model=model,
        tier=tier,
        purpose=purpose if purpose in _PURPOSES else "chat",  # type: ignore[arg-type]
        prompt_tokens=prompt_tokens(body),
        max_tokens=0 if kind == "embedding" else limit if isinstance(limit, int) and limit > 0 else 2048,
        strategy=strategy,
        max_cost=max_cost,
        max_latency=max_latency,
        needs_schema=isinstance(form, Mapping) and form.get("type") == "json_schema",
        complexity=0.0 if kind == "embedding" else complexity(body),
        allowed=allowed,
        most=most,
        prompt_bound=prompt_bound,
        choices=choices if isinstance(choices, int) and choices > 0 else 1,
    )


def prompt_tokens(body: Mapping[str, Any]) -> int:
    """About how many tokens the prompt of a body has, tools and schema included."""
    letters = others = extra = 0
    for text in _texts(body):
        plain = len(text) if text.isascii() else len(text.encode("ascii", "ignore"))
        letters += plain
        others += len(text) - plain
    messages = body.get("messages")
    if isinstance(messages, list):
        extra = 4 * len(messages) + _IMAGE * sum(_pictures(message) for message in messages)
    for name in ("tools", "response_format"):
        if body.get(name):
            letters += len(json.dumps(body[name], default=str))
    return math.ceil(letters / _ASCII_PER_TOKEN + others / _OTHER_PER_TOKEN) + extra


def complexity(body: Mapping[str, Any]) -> float:
    """How much thought a chat request takes, 0 to 1, by its last question above all: words, length, structure, tools.

    A rule, not a judgement: it only has to tell a greeting or a look-up from a task.
    """
    messages = body.get("messages")
    known = messages if isinstance(messages, list) else []
    users = [each for each in known if isinstance(each, Mapping) and each.get("role") == "user"]
    question = " ".join(_parts(users[-1].get("content")))[:_MEASURED] if users else ""
    words = len(question.split())
    score = -2.2 + min(2.5, words / 80) + min(2.4, 0.9 * len({m.lower() for m in _HARD.findall(question)}))
    score += min(1.2, 0.3 * len(_STRUCTURE.findall(question))) + min(1.6, 0.8 * len(_MATHS.findall(question)))
    score += 0.3 * min(4, max(0, question.count("?") - 1)) + 0.2 * min(5, max(0, len(users) - 1))
    tools = body.get("tools")
    score += min(1.0, 0.1 * len(tools)) if isinstance(tools, list) else 0.0
    if words < 40 and _EASY.match(question):
        score -= 1.0
    return 1 / (1 + math.exp(-score))


def _texts(body: Mapping[str, Any]) -> Iterator[str]:
    for name in ("messages", "input"):
        value = body.get(name)
        if isinstance(value, str):
            yield value
        elif isinstance(value, list):
            for item in value:
                if isinstance(item, Mapping):
                    yield from _parts(item.get("content"))
                    if item.get("tool_calls"):
                        yield json.dumps(item["tool_calls"], default=str)
                elif isinstance(item, str):
                    yield item


def _parts(content: object) -> Iterator[str]:
    if isinstance(content, str):
        yield content
    elif isinstance(content, list):
        for part in content:
            if isinstance(part, Mapping) and isinstance(part.get("text"), str):
                yield part["text"]


def _pictures(message: object) -> int:
    content = message.get("content") if isinstance(message, Mapping) else None
    if not isinstance(content, list):
        return 0
    return sum(isinstance(part, Mapping) and "image" in str(part.get("type")) for part in content)
