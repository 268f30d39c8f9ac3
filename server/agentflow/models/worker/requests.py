"""A request as it reached the worker, parsed: which members go on to a provider, and how much it can use at most.

It refuses what is malformed and what it does not know: a member that litellm took for a setting (`api_base`,
`extra_headers`, `fallbacks`) would send the request, and the key, elsewhere.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

import orjson

from agentflow.errors import InvalidArguments
from agentflow.models.context import RequestContext
from agentflow.models.fleet import Deployment
from agentflow.models.routing.request import RouteRequest, routing_request
from agentflow.models.worker.provider import JSON

Kind = Literal["chat", "embedding"]
AS_ROUTED: Final = frozenset({"", "auto"})  # names of no model: the router chooses

_CHAT: Final = frozenset(
    {
        "messages", "tools", "tool_choice", "parallel_tool_calls", "response_format", "temperature", "top_p", "top_k",
        "max_tokens", "max_completion_tokens", "stop", "n", "seed", "presence_penalty", "frequency_penalty",
        "logit_bias", "logprobs", "top_logprobs", "reasoning_effort", "verbosity",
    }
)  # fmt: skip
_EMBEDDING: Final = frozenset({"input", "dimensions", "encoding_format"})
# Of the account, not of the answer: what a client may say of itself stays here.
_DROPPED: Final = frozenset(
    {
        "model", "agentflow", "stream", "stream_options", "user", "metadata", "store", "service_tier",
        "prompt_cache_key", "prompt_cache_retention", "safety_identifier", "modalities",
    }
)  # fmt: skip
_ROLES: Final = frozenset({"system", "developer", "user", "assistant", "tool", "function"})
_DATA_URL: Final = re.compile(rb'"data:[^"]*"')

MAX_TOKENS: Final = 8192  # of an answer, where a request sets no bound
MOST_CHOICES: Final = 16
MOST_TEXTS: Final = 2048
_PER_REQUEST, _PER_MESSAGE, _PER_TOOLS, _PER_PICTURE = 64, 16, 1_000, 2_000  # tokens that templates add, at most


@dataclass(frozen=True, slots=True)
class Asked:
    """One request.

    Attributes:
        body: the members that go on to a provider.
        model: the name that was asked for; None: as routed.
        stream: whether the answer is wanted in parts.
        route: what routing knows of it.
        choices: how many answers are wanted.
        bound: tokens that the prompt can have at the very most.
    """

    kind: Kind
    body: JSON
    context: RequestContext
    model: str | None
    stream: bool
    route: RouteRequest
    choices: int
    bound: int

    def for_deployment(self, deployment: Deployment) -> tuple[JSON, int]:
        """The body as this deployment gets it, and the most tokens that its answers can have together."""
        if self.kind == "embedding":
            return self.body, 0
        name = "max_completion_tokens" if "max_completion_tokens" in self.body else "max_tokens"
        most = self.body.get(name)
        if most is None:
            most = min(MAX_TOKENS, deployment.max_output or MAX_TOKENS)
            if deployment.context_window is not None:
                most = max(1, min(most, deployment.context_window - self.route.prompt_tokens))
        elif deployment.max_output is not None:
            most = min(most, deployment.max_output)
        return {**self.body, name: most}, most * self.choices


def parse(kind: Kind, request: object) -> Asked:
    """Read a request.

    Raises:
        InvalidArguments: it is malformed, or has a member that is not known.
    """
    if not isinstance(request, dict):
        raise InvalidArguments("the request must be a JSON object")
    known = _CHAT if kind == "chat" else _EMBEDDING
    strange = sorted(str(name)[:40] for name in request if name not in known and name not in _DROPPED)
    if strange:
        raise InvalidArguments(f"`{strange[0]}` is not a member that is sent on to models", fix="leave it out")
    context = RequestContext.parse(request.get("agentflow"))
    model = request.get("model")
    if model is not None and not isinstance(model, str):
        raise InvalidArguments("`model` must be a name")
    body = {name: value for name, value in request.items() if name in known and value is not None}
    choices = _check_chat(body) if kind == "chat" else _check_embedding(body)
    named = None if model is None or model in AS_ROUTED else model
    stream = request.get("stream", False)
    if stream not in (True, False, None):
        raise InvalidArguments("`stream` must be true or false")
    route = routing_request(
        body,
        kind=kind,
        model=named,
        tier=context.tier,
        purpose=context.purpose,
        strategy=context.strategy,
        max_cost=context.max_cost,
        max_latency=context.max_latency,
        allowed=context.models,
        most=context.most,
        prompt_bound=_bound(kind, body),
    )
    return Asked(kind, body, context, named, bool(stream), route, choices, _bound(kind, body))


def _check_chat(body: JSON) -> int:
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        raise InvalidArguments("`messages` must be a list of at least one message")
    for number, message in enumerate(messages):
        if not isinstance(message, dict) or message.get("role") not in _ROLES:
            raise InvalidArguments(f"`messages[{number}]` must be an object with a known `role`")
        if not isinstance(message.get("content"), str | list | None):
            raise InvalidArguments(f"`messages[{number}].content` must be text or a list of parts")
    _check_tools(body)
    for name in ("max_tokens", "max_completion_tokens"):
        if name in body and not _whole(body[name], 1, 10_000_000):
            raise InvalidArguments(f"`{name}` must be a whole number from 1")
    if "max_tokens" in body and "max_completion_tokens" in body:
        raise InvalidArguments("`max_tokens` and `max_completion_tokens` mean the same: send one")
    for name, most in (("temperature", 2.0), ("top_p", 1.0)):
        if name in body and not _number(body[name], 0.0, most):
            raise InvalidArguments(f"`{name}` must be a number from 0 to {most:g}")
    form = body.get("response_format")
    if form is not None and (not isinstance(form, dict) or not isinstance(form.get("type"), str)):
        raise InvalidArguments("`response_format` must be an object with a `type`")
    choices = body.get("n", 1)
    if not _whole(choices, 1, MOST_CHOICES):
        raise InvalidArguments(f"`n` must be a whole number from 1 to {MOST_CHOICES}")
    return int(choices)


def _check_tools(body: JSON) -> None:
    tools = body.get("tools", [])
    if not isinstance(tools, list):
        raise InvalidArguments("`tools` must be a list")
    for number, tool in enumerate(tools):
        function = tool.get("function") if isinstance(tool, dict) else None
        if not isinstance(function, dict) or not isinstance(function.get("name"), str):
            raise InvalidArguments(f"`tools[{number}]` must be an object with a `function` that has a `name`")
    if not tools:  # an empty list is refused by some providers, and means the same as none
        for name in ("tools", "tool_choice", "parallel_tool_calls"):
            body.pop(name, None)


def _check_embedding(body: JSON) -> int:
    texts = body.get("input")
    if isinstance(texts, str):
        texts = [texts]
    if not isinstance(texts, list) or not texts or not all(isinstance(text, str) and text for text in texts):
        raise InvalidArguments(
            "`input` must be a text, or a list of texts, none of them empty", fix="send text, not token numbers"
        )
    if len(texts) > MOST_TEXTS:
        raise InvalidArguments(f"`input` must have at most {MOST_TEXTS} texts")
    if body.get("encoding_format", "float") not in ("float", "base64"):
        raise InvalidArguments("`encoding_format` must be float or base64")
    body["input"] = texts
    return 1


def _whole(value: object, least: int, most: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most


def _number(value: object, least: float, most: float) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and least <= value <= most


def _bound(kind: Kind, body: Mapping[str, Any]) -> int:
    """Tokens of the prompt at the very most: no tokeniser makes more of a text than it has bytes in UTF-8."""
    if kind == "embedding":
        return sum(len(text.encode("utf-8", "surrogatepass")) + _PER_MESSAGE for text in body["input"])
    told = {name: body[name] for name in ("messages", "tools", "response_format") if name in body}
    try:
        raw = orjson.dumps(told)
    except TypeError:
        raise InvalidArguments("the request is nested too deeply") from None
    pictures = raw.count(b'"image_url"') + raw.count(b'"input_audio"')
    if pictures:
        raw = _DATA_URL.sub(b'""', raw)
    tools = _PER_TOOLS if "tools" in told or "response_format" in told else 0
    return len(raw) + _PER_REQUEST + _PER_MESSAGE * len(body["messages"]) + tools + _PER_PICTURE * pictures
