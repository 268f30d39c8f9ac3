"""From a policy's JSON to a typed `Decision`; anything that is not exactly a decision is refused.

An obligation nobody knows is refused too: to let a call through without honouring it would be to fail open.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any, get_args

from agentflow.config_guard import Action
from agentflow.pipeline.call import JSON, Decision, Obligations

ENTRYPOINT = "agentflow/decision"
FAULTS = frozenset({"policy_undefined", "policy_wrong_type", "policy_error", "policy_timeout", "policy_unavailable"})
_PII_TYPE = re.compile(r"\*|[A-Z][A-Z0-9_]*")


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
    reasons = tuple(sorted(_reason(item) for item in _array(body.get("reasons", []), "reasons")))
    if not allow:
        return Decision(False, reasons or (("not_allowed", "denied without a reason"),), Obligations(), revision)
    return Decision(True, reasons, _obligations(body.get("obligations", {})), revision)


def stricter(own: Obligations, origin: Obligations) -> Obligations:
    """`own`, made as strict as `origin` in what goes to the client; approval and injection stay the call's own."""
    sizes = [size for size in (own.max_result_bytes, origin.max_result_bytes) if size is not None]
    return replace(
        own,
        redact=tuple(dict.fromkeys((*own.redact, *origin.redact))),
        max_result_bytes=min(sizes, default=None),
        deep=own.deep or origin.deep,
    )


def _obligations(value: Any) -> Obligations:
    known = {"redact", "rehydrate", "approval", "max_result_bytes", "cache_ttl", "injection", "deep"}
    body = _object(value, "obligations", known=known)
    size = body.get("max_result_bytes")
    return Obligations(
        redact=_types(body.get("redact", ["*"]), "obligations.redact"),
        rehydrate=_types(body.get("rehydrate", []), "obligations.rehydrate"),
        approval=_approval(body.get("approval")),
        max_result_bytes=None if size is None else int(_number(size, "obligations.max_result_bytes")),
        cache_ttl=_number(body.get("cache_ttl", 0), "obligations.cache_ttl"),
        injection=_action(body.get("injection")),
        deep=_flag(body.get("deep", False), "obligations.deep"),
    )


def _flag(value: Any, where: str) -> bool:
    if not isinstance(value, bool):
        raise WrongType(f"{where} is not a boolean")
    return value


def _action(value: Any) -> Action | None:
    if value is not None and value not in get_args(Action):
        raise WrongType(f"obligations.injection is none of {', '.join(get_args(Action))}")
    action: Action | None = value
    return action


def _approval(value: Any) -> JSON | None:
    if value is None:
        return None
    body = _object(value, "obligations.approval", required={"who", "ttl"}, known={"who", "ttl", "prompt"})
    prompt = body.get("prompt", "")
    if body["who"] != "caller":
        raise WrongType('obligations.approval.who is not "caller", the only approver this gateway can ask')
    if not isinstance(prompt, str):
        raise WrongType("obligations.approval.prompt is not a string")
    ttl = _number(body["ttl"], "obligations.approval.ttl")
    if ttl <= 0:
        raise WrongType("obligations.approval.ttl is not positive")
    return {"who": "caller", "ttl": ttl, "prompt": prompt}


def _reason(value: Any) -> tuple[str, str]:
    body = _object(value, "a reason", required={"code", "message"}, known={"code", "message"})
    if not isinstance(body["code"], str) or not isinstance(body["message"], str):
        raise WrongType("a reason's code or message is not a string")
    return body["code"], body["message"]


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
    if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
        raise WrongType(f"{where} is not a number of zero or more")
    return value
