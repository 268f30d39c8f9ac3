"""What people see of a call that they are asked about: labelled arguments only, every character for what it is."""

from __future__ import annotations

import unicodedata
from typing import Final

import orjson

from agentflow.pipeline.call import JSON, Call
from agentflow.policy.approvals import Approval, Wanted

_SHOWN: Final = 2000  # characters of the arguments
_INVISIBLE: Final = frozenset({"Cc", "Cf", "Zl", "Zp", "Co", "Cn", "Cs"})
_NOT_SHOWN: Final = "(not shown)"


def wanted_of(call: Call, obligation: JSON) -> Wanted:
    """What policy's obligation (`decision.parse`) asks of people about this call."""
    who = obligation["who"]
    reasons = call.decision.reasons if call.decision is not None else ()
    return Wanted(
        who=(who,) if isinstance(who, str) else tuple(who),
        needed=obligation.get("count", 1),
        ttl=float(obligation["ttl"]),
        prompt=plain(obligation.get("prompt", "")),
        shown=_arguments(call),
        reasons=tuple(plain(f"{code}: {text}" if text else code) for code, text in reasons),
    )


def question(call: Call, approval: Approval) -> JSON:
    """The elicitation that puts the call to the person at the client: `{"method", "params"}`."""
    lines = [
        f"Allow {call.principal.id} to call {call.target or call.surface} on {call.upstream.name or 'the gateway'}?",
        *([approval.wanted.prompt] if approval.wanted.prompt else []),
        f"Arguments: {_arguments(call)}",
    ]
    approve = {"type": "boolean", "title": "Approve", "description": "Yes, do it.", "default": False}
    return {
        "method": "elicitation/create",
        "params": {
            "mode": "form",
            "message": "\n".join(plain(line) for line in lines),
            "requestedSchema": {"type": "object", "properties": {"approve": approve}, "required": ["approve"]},
        },
    }


def plain(text: str) -> str:
    """Spell out characters that are invisible or that reorder what is read."""
    return "".join(f"\\u{ord(char):04x}" if unicodedata.category(char) in _INVISIBLE else char for char in text)


def _arguments(call: Call) -> str:
    """The labelled arguments as JSON; nothing where policy wants names out that were not looked for yet."""
    labelled = call.labelled
    deep = call.decision is not None and call.decision.obligations.deep and not call.labelled_deep
    if labelled is None or deep:
        return _NOT_SHOWN
    shown = labelled.get("arguments", {name: value for name, value in labelled.items() if name == "uri"})
    text = plain(orjson.dumps(shown, default=str).decode())
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}… ({len(text)} characters)"
