"""Where the arguments of a call send something, and which results showed that address before.

It promises one `Destination` for every leaf that leads somewhere, by its key or because it is an address.
"""

from __future__ import annotations

from typing import Final

from agentflow.guard.arguments import Part
from agentflow.guard.flow import Destination, SeenIn
from agentflow.guard.origins import disguised, strange
from agentflow.guard.sinks import READING
from agentflow.guard.trace import (
    FIELD,
    INSIDE,
    KEPT,
    KNOWN,
    OWN,
    PRIVATE,
    PROSE,
    REQUESTED,
    SENDER,
    SHIFT,
    TOLD,
    TRUSTED,
    UNTRUSTED,
    Trace,
)
from agentflow.guard.values import domain_of, hashed, host_of, plain, stems, values

_TOKENS: Final = ("iban_", "phone", "card_", "crypto_")  # how tokens of accounts and numbers begin


def destinations(trace: Trace, part: Part, role: str) -> list[Destination]:
    """Where this leaf sends something: by its key, or because it is an address, or has addresses in it.

    Args:
        role: what the tool does: that a page is opened, people are asked every day, software is not.
    """
    short = len(part.text) <= 200
    addresses = [_as_known(trace, part, value) for value in part.shown if _type_of(value) in ("email", "url")]
    if part.leads and short:
        if addresses or part.shown:
            return [
                _destination(trace, part, value, _type_of(value), role) for value in _outermost(addresses or part.shown)
            ]
        return [_named(trace, part)] if part.low.strip() else []
    whole = len(addresses) == 1 and " " not in part.text.strip()
    if whole or not short or addresses:
        found = [value for value in addresses if whole or "://" in value]
        return [_destination(trace, part, value, _type_of(value), role) for value in found]
    return []


def _as_known(trace: Trace, part: Part, value: str) -> str:
    """A mail address as it was typed, where its token was never shown: it was spelled in another way."""
    if hashed(value) in trace.values or not value.startswith("email_"):
        return value
    typed = [one for one in values(part.typed) if "@" in one]
    return typed[0] if len(typed) == 1 else value


def _typed(part: Part, value: str) -> list[str]:
    """What was typed where a token stands that nobody has shown."""
    return [one for one in part.found if one not in part.shown] if value.startswith(_TOKENS) else []


def _outermost(found: list[str]) -> list[str]:
    """Without the hosts that `values` lists beside their URLs."""
    return [value for value in found if not any(value in other and value != other for other in found)]


def _destination(trace: Trace, part: Part, value: str, kind: str, role: str) -> Destination:
    bits = trace.values.get(hashed(value), 0)
    if kind == "url" and not bits & KNOWN:
        host = host_of(value)
        bits = trace.values.get(hashed(host), 0) or trace.values.get(hashed(domain_of(host)), 0)
    if not bits & KNOWN and kind != "url":
        bits = next((bits for one in (value, *_typed(part, value)) if (bits := disguised(trace, one))), 0)
    asker = _asker(trace, plain(value)) if not bits & KNOWN and kind == "email" else -1
    if asker >= 0:  # written apart: "eve at example dot org"
        return Destination(part.path, kind, "untrusted", True, False, (trace.sources[asker].server,))
    seen = _seen(trace, bits)
    servers = (trace.sources[bits >> SHIFT].server,) if seen != "none" else ()
    asked = TOLD if kind in ("url", "host") and role in READING else REQUESTED
    requested = seen in ("untrusted", "private") and bool(bits & asked)
    listed = bool(bits & FIELD and bits & PRIVATE and bits & UNTRUSTED) and not bits & (INSIDE | PROSE)
    seen = "untrusted" if requested else seen
    return Destination(part.path, kind, seen, requested, bool(bits & SENDER), servers, listed)


def _named(trace: Trace, part: Part) -> Destination:
    """A destination that is a plain word: known where a request names it, or where outsiders alone have said it."""
    asker = _asker(trace, part.low)
    if asker < 0:
        if not strange(trace, part):
            return Destination(part.path, "name", "none")
        shown = {source.server for source in trace.sources if trace.outsiders(source)}
        return Destination(part.path, "name", "untrusted", False, False, tuple(sorted(shown)))
    return Destination(part.path, "name", "untrusted", True, False, (trace.sources[asker].server,))


def _asker(trace: Trace, low: str) -> int:
    wanted = stems(low)
    if not wanted or not trace.asked_of(wanted):
        return -1
    return next((source for ask, source in trace.asks.items() if not wanted.difference(ask.words)), -1)


def _seen(trace: Trace, bits: int) -> SeenIn:
    if bits & OWN or not bits & KNOWN:
        return "none"
    if bits & TRUSTED:
        return "trusted"
    if (bits & KEPT and bits & PRIVATE and (bits & FIELD or not trace.trusting)) or (
        not trace.labelled and trace.sources[bits >> SHIFT].kept
    ):
        return "private"
    return "untrusted"


def _type_of(value: str) -> str:
    if "://" in value:
        return "url"
    if value.startswith(("email_", "email_address_")) or ("@" in value[1:] and "." in value):
        return "email"
    if value.startswith(("phone", "+")):
        return "phone"
    if value.startswith(("@", "#")):
        return "handle"
    if "/" in value or "\\" in value:
        return "path"
    if value.startswith(("iban", "card", "crypto")) or sum(map(str.isdigit, value)) >= 6:
        return "account"
    if "." in value and value.rpartition(".")[2].isalpha():
        return "host"
    return "name"
