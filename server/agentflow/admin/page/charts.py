"""Figures as drawings: coordinates only, the templates draw them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from agentflow.admin.models import Slot

WIDTH = 600.0
HEIGHT = 100.0
_STEP = 10.0  # seconds that a slot stands for
_SLOTS = 30


@dataclass(frozen=True, slots=True)
class Bar:
    """One slot: `x` and `width` of its bar, the heights of both parts, and what it stands for."""

    x: float
    width: float
    good: float
    refused: float
    slot: Slot


@dataclass(frozen=True, slots=True)
class Bars:
    """Calls over time. `top` is the count that the whole height stands for."""

    bars: tuple[Bar, ...]
    top: int


def bars(slots: Sequence[Slot], until: float) -> Bars:
    """The slots as bars of one height scale; times without calls leave gaps."""
    top = max((slot.calls for slot in slots), default=0)
    begin = math.ceil(until / _STEP) * _STEP - _SLOTS * _STEP
    width = WIDTH / _SLOTS
    drawn = []
    for slot in slots:
        x = (slot.time - begin) / _STEP * width
        if -width < x <= WIDTH and slot.calls:
            refused = HEIGHT * slot.refused / top
            good = HEIGHT * (slot.calls - slot.refused) / top
            drawn.append(Bar(round(max(0.0, x) + 1.5, 1), round(width - 3, 1), round(good, 1), round(refused, 1), slot))
    return Bars(tuple(drawn), top)
