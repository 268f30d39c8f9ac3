"""What a few fixed phrases say without a model: ages, titles, birthdays, dates, postal codes.

Linear: every pattern is tried once from each place and reads at most a few words.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from agentflow.guard.ner.model import Entity

_MONTH = (
    r"(?:jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?|oct(?:ober)?|"
    r"nov(?:ember)?|dec(?:ember)?)\.?"
)
_DAY = (
    r"(?:\d{4}[-/.]\d{1,2}[-/.]\d{1,2}|\d{1,2}[-/.]\d{1,2}[-/.](?:\d{4}|\d{2})|"
    rf"\d{{1,2}}(?:st|nd|rd|th)?(?: of)? {_MONTH},? \d{{4}}|{_MONTH} \d{{1,2}}(?:st|nd|rd|th)?,? \d{{4}})"
)
_CLOCK = r"(?:[T ]\d{1,2}:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|[+-]\d\d:?\d\d)?)?"
_BEFORE_YEARS = "in|since|until|by|of|from|during|before|after|around|early|late|summer|winter|spring"
_AGE = r"(?P<v>1[01]\d|[1-9]\d?)"
_FLAGS: Final = re.IGNORECASE


def _compiled(*patterns: str) -> tuple[re.Pattern[str], ...]:
    return tuple(re.compile(pattern, _FLAGS) for pattern in patterns)


_PATTERNS: Final = (
    (
        "AGE",
        0.8,
        _compiled(
            rf"(?<![\w.,$€£#:/-]){_AGE}(?:[- ]?(?:years?|yrs?)[- ](?:old|of age)|[- ]?y/o\b|[- ]?yo\b)",
            rf"\b(?:aged?|turned|turning|turn)(?: of|:| is)? {_AGE}(?![\w%:/-]|[.,]\d)",
        ),
    ),
    (
        "TITLE",
        0.7,
        (re.compile(r"(?<!\w)(?P<v>(?:Mrs|Mr|Ms|Dr|Prof|Mme|Sr|Sra|Hon)\.|Mrs|Mr|Ms|Miss|Dr|Prof)(?= ?[^\W\d_a-z])"),),
    ),
    (
        "DATE_OF_BIRTH",
        0.9,
        _compiled(
            r"\b(?:born(?: on)?|birthday(?: is)?|date of birth|birth ?date|d\.?o\.?b\.?)\W{1,3}(?:is |on )?"
            rf"(?P<v>{_DAY})"
        ),
    ),
    (
        "DATE_TIME",
        0.6,
        _compiled(
            rf"(?<![\w/.-])(?P<v>{_DAY}{_CLOCK})(?![\w/-])",
            rf"\b(?P<v>{_MONTH},? (?:19|20)\d\d)\b",
            rf"\b(?:{_BEFORE_YEARS}) (?P<v>(?:1[5-9]|20)\d\d)(?![\w%]|[.,]\d)",
            r"\b(?P<v>(?:mon|tues|wednes|thurs|fri|satur|sun)day)s?\b",
        ),
    ),
    (
        "ZIP_CODE",
        0.85,
        _compiled(
            r"\b(?:zip(?: ?code)?|post(?:al)? ?code|plz)\b(?: is)?\W{1,3}"
            r"(?P<v>[A-Z]{0,2}\d[A-Z\d]{1,4}(?:[ -]\d[A-Z\d]{1,3})?)\b"
        ),
    ),
)


def phrases(text: str) -> Iterator[Entity]:
    """Yield what the phrases in `text` say; they may overlap."""
    for kind, score, patterns in _PATTERNS:
        for pattern in patterns:
            for match in pattern.finditer(text):
                yield Entity(kind, *match.span("v"), score)
