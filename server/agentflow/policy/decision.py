"""From a policy's JSON to a typed `Decision`; anything that is not exactly a decision is refused.

An obligation nobody knows is refused too: to let a call through without honouring it would be to fail open.
"""

from __future__ import annotations

import math
import re
from dataclasses import fields, replace
from typing import Any, cast, get_args

from agentflow.config import LogLevel
from agentflow.config_guard import Action
from agentflow.config_models import Tier
from agentflow.pipeline.call import JSON, Decision, Obligations

ENTRYPOINT = "agentflow/decision"
FAULTS = frozenset({"policy_undefined", "policy_wrong_type", "policy_error", "policy_timeout", "policy_unavailable"})
_OBLIGATIONS = {field.name for field in fields(Obligations)}
_PII_TYPE = re.compile(r"\*|[A-Z][A-Z0-9_]*")
_APPROVER = re.compile(r"caller|role:\S.*|principal:[^/\s][^/]*/\S.*")
_MOST = 100  # approvers of one call, and reasons that are kept
_TEXT = 1000  # characters of a message or a prompt that are kept, and of a name that is taken
_LONGEST = 31_536_000  # seconds that a call can wait for them: a year


class WrongType(ValueError):
    """The policy's value does not have the shape of a decision; the text says where."""


def denied(code: str, message: str, revision: str) -> Decision:
    """A denial that the engine itself gives, for a policy that could not say yes."""
    return Decision(False, ((code, message),), Obligations(), revision)


def is_fault(decision: Decision) -> bool:
    """Whether this is no decision of the policy but a failure to get one."""
    return not decision.allow and any(code in FAULTS for code, _ in decision.reasons)


def parse(value: Any, revision: str) -> Decision:
    """Return the decision in `value`: `{"allow", "reasons": [{"code", "message"}], "obligations": {}}`.

    Raises:
        WrongType: a member is missing, unknown or of another type.
    """
    body = _object(value, "the decision", required={"allow"}, known={"allow", "reasons", "obligations"})
    allow = body["allow"]
    if not isinstance(allow, bool):
        raise WrongType("allow is not a boolean")
    reasons = tuple(sorted(_reason(item) for item in _array(body.get("reasons", []), "reasons"))[:_MOST])
    if not allow:
        return Decision(False, reasons or (("not_allowed", "denied without a reason"),), Obligations(), revision)
    return Decision(True, reasons, _obligations(body.get("obligations", {})), revision)


def stricter(own: Obligations, origin: Obligations) -> Obligations:
    """`own`, made as strict as `origin` in what goes to the client; all else stays the call's own.

    What only one of them would show masked is shown as a token.
    """
    sizes = [size for size in (own.max_result_bytes, origin.max_result_bytes) if size is not None]
    return replace(
        own,
        redact=tuple(dict.fromkeys((*own.redact, *origin.redact, *own.mask, *origin.mask))),
        mask=_common(own.mask, origin.mask),
        max_result_bytes=min(sizes, default=None),
        deep=own.deep or origin.deep,
    )


def _common(own: tuple[str, ...], other: tuple[str, ...]) -> tuple[str, ...]:
    if "*" in own or "*" in other:
        return other if "*" in own else own
    return tuple(kind for kind in own if kind in other)


def _obligations(value: Any) -> Obligations:
    body = _object(value, "obligations", known=_OBLIGATIONS)
    size = body.get("max_result_bytes")
    return Obligations(
        redact=_types(body.get("redact", ["*"]), "obligations.redact"),
        rehydrate=_types(body.get("rehydrate", []), "obligations.rehydrate"),
        approval=_approval(body.get("approval")),
        max_result_bytes=None if size is None else int(_number(size, "obligations.max_result_bytes")),
        cache_ttl=_number(body.get("cache_ttl", 0), "obligations.cache_ttl"),
        injection=cast(Action | None, _one_of(body.get("injection"), get_args(Action), "obligations.injection")),
        deep=_flag(body.get("deep", False), "obligations.deep"),
        mask=_types(body.get("mask", []), "obligations.mask"),
        rate_class=_class(body.get("rate_class")),
        model_tier=cast(Tier | None, _one_of(body.get("model_tier"), get_args(Tier), "obligations.model_tier")),
        log_level=cast(LogLevel | None, _one_of(body.get("log_level"), get_args(LogLevel), "obligations.log_level")),
    )


def _class(value: Any) -> str | None:
    if value is not None and (not isinstance(value, str) or not 0 < len(value) <= _TEXT):
        raise WrongType("obligations.rate_class is not the name of a class")
    return value


def _flag(value: Any, where: str) -> bool:
    if not isinstance(value, bool):
        raise WrongType(f"{where} is not a boolean")
    return value


def _one_of(value: Any, known: tuple[str, ...], where: str) -> str | None:
    if value is not None and (not isinstance(value, str) or value not in known):
        raise WrongType(f"{where} is none of {', '.join(known)}")
    return value


def _approval(value: Any) -> JSON | None:
    if value is None:
        return None
    body = _object(value, "obligations.approval", required={"who", "ttl"}, known={"who", "ttl", "prompt", "count"})
    prompt, count = body.get("prompt", ""), body.get("count", 1)
    if not isinstance(prompt, str):
        raise WrongType("obligations.approval.prompt is not a string")
    ttl = _number(body["ttl"], "obligations.approval.ttl")
    if not 0 < ttl <= _LONGEST:
        raise WrongType(f"obligations.approval.ttl is not above 0 and at most {_LONGEST}, a year")
    if isinstance(count, bool) or not isinstance(count, int | float) or not 1 <= count <= _MOST or count != int(count):
        raise WrongType(f"obligations.approval.count is not a whole number from 1 to {_MOST}")
    asked: JSON = {"who": _who(body["who"]), "ttl": ttl, "prompt": _cut(prompt)}
    return {**asked, "count": int(count)} if count > 1 else asked


def _who(value: Any) -> str | list[str]:
    """Who may approve: one name, or several of which any may."""
    names = value if isinstance(value, list) else [value]
    if not 0 < len(names) <= _MOST or not all(isinstance(name, str) and _APPROVER.fullmatch(name) for name in names):
        raise WrongType(
            'obligations.approval.who is not "caller", "role:NAME", "principal:TENANT/ID" or several of them'
        )
    distinct = sorted(set(names))
    return distinct[0] if len(distinct) == 1 else distinct


def _reason(value: Any) -> tuple[str, str]:
    body = _object(value, "a reason", required={"code", "message"}, known={"code", "message"})
    if not isinstance(body["code"], str) or not isinstance(body["message"], str):
        raise WrongType("a reason's code or message is not a string")
    return _cut(body["code"]), _cut(body["message"])


def _cut(text: str) -> str:
    """What is kept of a text for people: a policy may quote arguments, and those may be long."""
    return text if len(text) <= _TEXT else f"{text[: _TEXT - 1]}…"


def _types(value: Any, where: str) -> tuple[str, ...]:
    for item in _array(value, where):
        if not isinstance(item, str) or not _PII_TYPE.fullmatch(item):
            raise WrongType(f"{where} holds something that is not a PII type or *")
    return tuple(sorted(set(value)))


def _object(value: Any, where: str, *, known: set[str], required: frozenset[str] | set[str] = frozenset()) -> JSON:
    if not isinstance(value, dict):
        raise WrongType(f"{where} is not an object")
    if missing := required - value.keys():
        raise WrongType(f"{where} lacks {', '.join(sorted(missing))}")
    if unknown := value.keys() - known:
        raise WrongType(f"{where} has unknown members: {', '.join(sorted(unknown))}")
    return value


def _array(value: Any, where: str) -> list[Any]:
    if not isinstance(value, list):
        raise WrongType(f"{where} is not an array")
    return value


def _number(value: Any, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < math.inf:
        raise WrongType(f"{where} is not a number of zero or more")
    return value
