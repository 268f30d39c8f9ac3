"""What a row of `tables/` says: how a value is written, what checks it, and which words point at it.

A value of a rule counts where one of its words stands shortly before it, or anywhere when it has the rule's `sure`
form, which nothing else has. Where there is a check it must hold in both cases. Patterns are RE2 syntax without
groups that capture, so that they run in linear time on any engine.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

CHECKED, SPECIFIC, GENERAL = 0.93, 0.88, 0.6


@dataclass(frozen=True, slots=True)
class Rule:
    """One way to write one kind of value.

    Attributes:
        type: name of the entity (`guard.entities`).
        shape: pattern of the value near a word; case does not matter unless it allows spaces.
        words: names of the value, lower case; a space stands for any of space, `_`, `-`, `.` or nothing.
        labels: names too common to point at something in a sentence: they count as the key of a member, the head of
            a column, or before a colon.
        sure: pattern of a form that needs no word; case matters.
        check: judges the value without separators, in upper case.
        raw: give `check` the value as it is written.
        score: confidence; without it 0.93 where there is a check, else 0.88.
        digits: how many digits each value has at least, with at most three other signs between two of them: what a
            quick look may ask for.
    """

    type: str
    shape: str
    words: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    sure: str = ""
    check: Callable[[str], bool] | None = None
    raw: bool = False
    score: float = 0.0
    digits: int = 1

    @property
    def confidence(self) -> float:
        return self.score or (CHECKED if self.check is not None else SPECIFIC)


def rule(
    type_: str,
    shape: str,
    words: str = "",
    labels: str = "",
    *,
    sure: str = "",
    check: Callable[[str], bool] | None = None,
    raw: bool = False,
    score: float = 0.0,
    digits: int = 1,
) -> Rule:
    """Make a rule; words and labels are separated by `|`."""
    return Rule(type_, shape, _split(words), _split(labels), sure, check, raw, score, digits)


def _split(words: str) -> tuple[str, ...]:
    return tuple(word for part in words.split("|") if (word := " ".join(part.split())))
