"""What people see of a call that they are asked about: labelled arguments only, every character for what it is."""

from __future__ import annotations

import json
import unicodedata
from typing import Any, Final

from agentflow.pipeline.call import JSON, Call
from agentflow.policy.approvals import Approval, Wanted

_SHOWN: Final = 2000  # characters of the arguments, and of the policy's words
_HEAD, _TAIL = 160, 60  # characters that are shown of a long string, so that it does not push the others out of sight
_INVISIBLE: Final = frozenset({"Cc", "Cf", "Zl", "Zp", "Co", "Cn", "Cs"})
# Blank, though letters, symbols or marks: fillers, the joiner that is none, variation selectors, Braille of no dots.
_BLANK: Final = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u2800\u3164\uffa0") | {
    chr(code) for code in (*range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0))
}
_NOT_SHOWN: Final = "(not shown)"


def wanted_of(call: Call, obligation: JSON) -> Wanted:
    """What policy's obligation (`decision.parse`) asks of people about this call."""
    who = obligation["who"]
    reasons = call.decision.reasons if call.decision is not None else ()
    return Wanted(
        who=(who,) if isinstance(who, str) else tuple(who),
        needed=obligation.get("count", 1),
        ttl=float(obligation["ttl"]),
        prompt=_cut(plain(obligation.get("prompt", ""))),
        shown=_arguments(call),
        reasons=tuple(_cut(plain(f"{code}: {text}" if text else code)) for code, text in reasons),
    )


def question(call: Call, approval: Approval) -> JSON:
    """The elicitation that puts the call to the person at the client: `{"method", "params"}`."""
    lines = [
        f"Allow {call.principal.id} to call {approval.binding.tool or call.surface} on "
        f"{call.upstream.name or 'the gateway'}?",
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
    if text.isascii() and text.isprintable():
        return text
    return "".join(_spelt(char) if _unseen(char) else char for char in text)


def _unseen(char: str) -> bool:
    category = unicodedata.category(char)
    return category in _INVISIBLE or char in _BLANK or (category == "Zs" and char != " ")


def _spelt(char: str) -> str:
    return f"\\u{ord(char):04x}" if char <= "\uffff" else f"\\U{ord(char):08x}"


def _cut(text: str) -> str:
    return text if len(text) <= _SHOWN else f"(the first {_SHOWN} of {len(text)} characters) {text[:_SHOWN]}…"


def _shortened(value: Any) -> Any:
    """The value with the middle of every long string left out."""
    if isinstance(value, dict):
        return {name: _shortened(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_shortened(each) for each in value]
    if isinstance(value, str) and len(value) > 2 * (_HEAD + _TAIL):
        return f"{value[:_HEAD]}… ({len(value)} characters) …{value[-_TAIL:]}"
    return value


def _arguments(call: Call) -> str:
    """The labelled arguments as JSON; nothing where policy wants names out that were not looked for yet."""
    labelled = call.labelled
    deep = call.decision is not None and call.decision.obligations.deep and not call.labelled_deep
    if labelled is None or deep:
        return _NOT_SHOWN
    said = {name: labelled[name] for name in ("uri", "arguments", "inputResponses") if name in labelled}
    shown = said["arguments"] if said.keys() == {"arguments"} else said
    return _cut(plain(json.dumps(_shortened(shown), ensure_ascii=False, separators=(",", ":"), default=str)))
