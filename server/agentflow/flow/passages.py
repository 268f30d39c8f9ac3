"""Quantities in running text: "200 grams of flour" answers "how many grams of flour". Text is data, never an order."""

from __future__ import annotations

import re
from dataclasses import dataclass

from agentflow.flow.measures import KINDS, NUMBER_WORDS, number_word, unit_of
from agentflow.flow.words import STOP, best_alike, parts, stem

_NUMBER = re.compile(rf"(?<![\w.])(\d+(?:[.,]\d+)*|{NUMBER_WORDS})(?![\w])", re.I)
_KIND_WORDS = {
    "temperature": r"\b(?:temperatures?|degrees|hot|warm|heat|oven|celsius|fahrenheit|cold)\b",
    "mass": r"\b(?:weigh\w*|mass|heavy)\b",
    "volume": r"\b(?:volume)\b",
    "time": r"\b(?:how long|times?|duration|minutes|hours|seconds)\b",
}
_GENERIC = frozenset(
    [
        "weight",
        "weigh",
        "mass",
        "volume",
        "go",
        "goes",
        "recipe",
        "page",
        "article",
        "text",
        "need",
        "needs",
        "needed",
        "use",
        "used",
        "call",
        "calls",
        "contain",
        "say",
        "says",
        "according",
        "take",
        "takes",
        "make",
        "made",
        "go",
        "goes",
        "much",
        "many",
        "long",
        "temperature",
        "degree",
        "degrees",
        "time",
        "duration",
        "oven",
        "number",
        "amount",
        "quantity",
        "require",
        "required",
        "state",
        "dish",
        "cook",
        "cooked",
        "cooking",
        "mention",
        "mentioned",
    ]
)


@dataclass(frozen=True, slots=True)
class Quantity:
    """A number in a text with its unit (canonical, or ""), and how surely it is the one asked for (0..1)."""

    value: int | float
    unit: str
    sentence: str
    sure: float


@dataclass(frozen=True, slots=True)
class _Candidate:
    value: int | float
    unit: str
    noun: str
    before: tuple[str, ...]
    after: tuple[str, ...]
    sentence: str


def quantity(text: str, asked: str, topic: frozenset[str] = frozenset()) -> Quantity | None:
    """The quantity of a text that a question asks for, or None where none or several fit.

    Args:
        topic: stems that chose the text, and so choose nothing in it.
    """
    kind = next((k for k, pattern in _KIND_WORDS.items() if re.search(pattern, asked, re.I)), "")
    words = [stem(w) for w in parts(asked) if w not in STOP and w not in _GENERIC and not w.isdigit()]
    units = {unit_of(w) for w in parts(asked) if len(w) > 2} - {""}
    wanted = [w for w in words if w not in topic and not unit_of(w)]
    scored = []
    for position, candidate in enumerate(_candidates(text)):
        score = _score(candidate, wanted, units, kind)
        if score > 0:
            scored.append((score, -position, candidate))
    if not scored:
        return None
    scored.sort(key=lambda item: item[:2], reverse=True)
    best_score, _, best = scored[0]
    rivals = [c for score, _, c in scored[1:] if score == best_score and c.value != best.value]
    if best_score < 1.5 or (rivals and not (kind and not wanted)):
        return None
    return Quantity(best.value, best.unit, best.sentence, min(1.0, 0.5 + best_score / 8))


def _score(candidate: _Candidate, wanted: list[str], units: set[str], kind: str) -> float:
    own = KINDS.get(candidate.unit, "")
    score = 0.0
    if kind:
        if own != kind:
            return 0.0
        score += 2.0
    elif units:
        if candidate.unit not in units:
            return 0.0
        score += 1.0
    for word in wanted:
        if candidate.noun and best_alike(word, (candidate.noun,)):
            score += 2.0
        elif best_alike(word, candidate.after):
            score += 1.5
        elif best_alike(word, candidate.before):
            score += 0.75
        elif best_alike(word, [stem(w) for w in parts(candidate.sentence)]):
            score += 0.25
    return score


def _candidates(text: str) -> list[_Candidate]:
    found = []
    for sentence in re.split(r"(?<=[.!?])\s+|\n+", text):
        matches = list(_NUMBER.finditer(sentence))
        for i, match in enumerate(matches):
            end = matches[i + 1].start() if i + 1 < len(matches) else len(sentence)
            start = matches[i - 1].end() if i else 0
            after = [stem(w) for w in parts(re.split(r"[,;:]", sentence[match.end() : end])[0])][:6]
            before = [stem(w) for w in parts(re.split(r"[;:]", sentence[start : match.start()])[-1])][-6:]
            digits = match.group(1).replace(",", "")
            value = float(digits) if re.fullmatch(r"\d+(\.\d+)?", digits) else number_word(match.group(1))
            if value is None:
                continue
            following = re.match(r"[\s-]*([^\W\d_]+|°\s?[CF])", sentence[match.end() :])
            noun = following.group(1) if following else ""
            unit = "celsius" if noun.lower() in ("degrees", "degree") else unit_of(noun) if noun else ""
            if noun.lower() in ("degrees", "degree") and re.match(
                r"\s*\w+\s+fahrenheit", sentence[match.end() :], re.I
            ):
                unit = "fahrenheit"
            number = int(value) if float(value).is_integer() else value
            found.append(
                _Candidate(number, unit, "" if unit else stem(noun), tuple(before), tuple(after), sentence.strip())
            )
    return found
