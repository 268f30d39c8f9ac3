"""One definition against its pin: in force or held, why, and what is to be remembered. Pure."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final, Literal

from agentflow.guard.pins.offers import Findings, Seen, What
from agentflow.guard.pins.store import Pin, Reason

Mode = Literal["first_use", "approve", "off"]

# Reasons that stay until somebody decides, though what they were derived from may have gone.
_STAYING: Final = frozenset(
    {
        "renamed", "confusable", "invisible", "lookalike", "mixed_scripts", "reserved", "shadowing", "cross_reference",
    }
)  # fmt: skip
_CHANGED: Final = Reason("changed", "it changed since it was approved")
_FIRST: Final = Reason("changed", "it changed since it was first seen")
_NEW: Final = Reason("new", "nobody has approved it yet")
_REJECTED: Final = Reason("rejected", "an administrator rejected it")
_NOBODY: Final = Pin()


@dataclass(frozen=True, slots=True)
class Ruling:
    """`pin` is what is to be remembered, the former object where nothing changed; held where `reasons` are given."""

    seen: Seen
    former: Pin | None
    pin: Pin
    reasons: tuple[Reason, ...]

    @property
    def news(self) -> tuple[What, ...]:
        """What of this the audit log is told."""
        former, pin = self.former or _NOBODY, self.pin
        if pin.held:
            return () if former.held == pin.held else ("held",)
        told: tuple[What, ...] = ("released",) if former.held else ()
        same = former.pinned == pin.pinned
        fresh = _codes(pin.flags) - (_codes(former.flags) if same else frozenset())
        return (*told, "flagged") if fresh else told


def rule(
    seen: Seen, former: Pin | None, findings: Findings | None, mode: Mode, body: bytes = b"", renamed: str = ""
) -> Ruling:
    """Decide about one definition.

    Args:
        former: what is remembered of it.
        findings: what its name and texts give away.
        body: see `canonical.body`.
        renamed: the name of a pinned definition of the same body that has gone, or "".
    """
    pin, digest = former or _NOBODY, seen.digest
    findings = findings or Findings()
    flags = _merged(pin.flags if digest in (pin.held, pin.pinned) else (), findings.flags)
    reasons = _against(pin, digest, findings, mode, renamed)
    if reasons:
        since = pin.held_since if pin.held == digest else time.time()
        if pin.held == digest and _codes(pin.reasons) == _codes(reasons):
            reasons = pin.reasons
        after = replace(pin, held=digest, held_since=since, reasons=reasons, flags=flags)
    else:
        how, since = (pin.how, pin.since) if pin.pinned else ("first_use", time.time())
        after = Pin(digest, body, how, since, flags=flags, rejected=pin.rejected)
    return Ruling(seen, former, former if former == after and former is not None else after, reasons)


def _against(pin: Pin, digest: bytes, findings: Findings, mode: Mode, renamed: str) -> tuple[Reason, ...]:
    """Everything that speaks against the definition."""
    decided = [_REJECTED] if pin.rejected == digest else []
    if pin.pinned == digest and pin.how == "approved":
        return tuple(decided)
    staying = [reason for reason in pin.reasons if reason.code in _STAYING] if pin.held == digest else []
    if pin.pinned:
        first = [] if pin.pinned == digest else [_CHANGED if pin.how == "approved" else _FIRST]
    else:
        first = [_NEW] if mode == "approve" else []
        if renamed:
            first.append(Reason("renamed", f"it was called `{renamed}`"))
    return _merged([*decided, *first], [*staying, *findings.holds])


def _merged(first: Iterable[Reason], more: Iterable[Reason]) -> tuple[Reason, ...]:
    """Both, each code once, in the first text given for it."""
    found: dict[str, Reason] = {}
    for reason in (*first, *more):
        found.setdefault(reason.code, reason)
    return tuple(found.values())


def _codes(reasons: tuple[Reason, ...]) -> frozenset[str]:
    return frozenset(reason.code for reason in reasons)
