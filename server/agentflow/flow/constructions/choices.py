"""Which of two (or more): "who has spent more, X or Y", "which of X and Y was ordered first"."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from agentflow.flow.literals import Literal, lex, literals
from agentflow.flow.program import Choose, Node, Want

if TYPE_CHECKING:
    from agentflow.flow.reader import Reader

_HIGH = (
    r"more|most|higher|highest|larger|largest|bigger|biggest|greater|greatest|"
    r"longer|longest|more recently|most recently|later|latest|newer|newest|pricier|"
    r"costlier|younger|heavier|older|oldest|last"
)
_LOW = (
    r"less|least|fewer|fewest|lower|lowest|smaller|smallest|shorter|shortest|"
    r"earlier|earliest|cheaper|cheapest|sooner|first"
)
_COMPARATIVE = re.compile(rf"\b({_HIGH}|{_LOW})\b", re.I)
# A long time as a customer is an early date; an old order as well.
_EARLY = frozenset(("longer", "longest", "older", "oldest", "earlier", "earliest", "first", "sooner"))
_LATE = frozenset(
    ("more recently", "most recently", "later", "latest", "newer", "newest", "younger", "last", "shorter", "shortest")
)


def choice(text: str, want: Want, reader: Reader) -> Node | None:
    """A choice among values named in the question."""
    if (
        not re.match(r"(?:on |of |in |for )?(?:compare|comparing|who|which|what|whose|between)\b", text, re.I)
        and " or " not in text
    ):
        return None
    found = _options(text)
    if found is None:
        return _phrases(text, reader)
    options, criterion = found
    comparative = _COMPARATIVE.search(criterion)
    if comparative is None:
        return None
    word = comparative.group(1).lower()
    read = [(option.text, _value(criterion, comparative, option.text, reader)) for option in options]
    if any(node is None for _, node in read):
        return None
    by_date = word in _EARLY or word in _LATE
    highest = word in _LATE if by_date else re.fullmatch(_HIGH, word) is not None
    return Choose(tuple((name, node) for name, node in read if node is not None), highest)


def _phrases(text: str, reader: Reader) -> Node | None:
    """`which is bigger, the total of A or the total of B`: the phrases are the values."""
    match = re.match(
        r"^(?:which|what)\s+(?:one\s+)?(?:is|was|are|were|comes?|came)\s+(?:the\s"
        rf"+)?({_HIGH}|{_LOW})(?: one| amount| date| value)?\s*[,:]\s*(.+?)\s+or\s+(.+)$",
        text,
        re.I,
    )
    if match is None:
        return None
    word, *phrases = match.group(1).lower(), match.group(2), match.group(3)
    dated = word in _EARLY | _LATE
    read = [(_label(phrase), reader.expression(phrase, "date" if dated else "number")) for phrase in phrases]
    return Choose(tuple(read), word in _LATE if dated else re.fullmatch(_HIGH, word) is not None)


def _label(phrase: str) -> str:
    values = [v.text for v in literals(lex(phrase)) if v.kind in ("name", "id")]
    return values[0] if len(values) == 1 else phrase


def _options(text: str) -> tuple[list[Literal], str] | None:
    """The values to choose from, and the question without them."""
    values = [v for v in literals(lex(text)) if v.kind in ("name", "id", "email", "token", "quoted")]
    if len(values) < 2:
        return None
    tokens = lex(text)
    listed = [values[0]]
    for value in values[1:]:
        between = text[tokens[listed[-1].position].start + len(listed[-1].text) : tokens[value.position].start]
        if not re.fullmatch(
            r"(?:'s)?\s*(?:,|(?:,\s*)?(?:or|and))?\s*(?:the )?(?:order|ticket|customer|by|of|with|item)?s?\s*",
            between,
            re.I,
        ):
            return None
        listed.append(value)
    start = tokens[listed[0].position].start
    end = tokens[listed[-1].position].start + len(listed[-1].text)
    inner = text[start:end]
    ors = re.search(r"\bor\b", inner)
    among = re.search(
        r"\b(?:which|who|what)\s+(?:one\s+)?(?:of|among|between)\s+(?:the\s+)?(?:two\s"
        r"+)?(?:customers?|orders?|people)?\s*$",
        text[:start],
        re.I,
    )
    between_ = re.search(
        r"\b(?:of|among|between)\s+(?:the\s+)?(?:two\s+)?(?:customers?|orders?|people)?\s*$", text[:start], re.I
    )
    told = re.fullmatch(r"(?:compare|comparing|of|between)?\s*", text[:start], re.I) and re.match(
        r"\s*[:,;–-]\s*(?:who|which|whose)\b", text[end:]
    )
    if told:
        return listed, re.sub(r"^[\s:,;–-]+", "", text[end:]).strip(" ?")
    if not ors and not among and not between_:
        return None
    before = (
        re.sub(
            r"[\s,:;–-]*(?:among|of|between|(?<!more )(?<!most )(?<!less )(?<!fewer )"
            r"(?:customers?|orders?))?[\s,:;–-]*$",
            "",
            text[:start],
        )
        if not among
        else text[: among.start()]
    )
    criterion = f"{before} {text[end:]}"
    if between_ and not among and not ors:
        criterion = f"{text[: between_.start()]} {text[end:]}"
    return listed, re.sub(r"\s+", " ", re.sub(r"^\W+", "", criterion)).strip(" ,:;?–-")


def _value(criterion: str, comparative: re.Match[str], option: str, reader: Reader) -> Node | None:
    """What to compare of one option: the criterion said of it."""
    word = comparative.group(1).lower()
    before = re.sub(r"^(?:and|of|between)\s+", "", criterion[: comparative.start()], flags=re.I)
    before = re.sub(
        r"^(?:who|which|what|whose)(?:\s+(?:one|person|customer|buyer|order|ticket|of them|of the two|of these))*\s*",
        "",
        before,
        flags=re.I,
    ).strip()
    after = criterion[comparative.end() :].strip(" ,")
    after = re.sub(r"^(?:of (?:them|the two|these)|one)\b", "", after).strip()
    auxiliary = re.match(r"(?:has|have|had|did|does|is|was|were|are)\b\s*", before)
    rest = before[auxiliary.end() :] if auxiliary else before
    rest = (
        re.sub(r"\b(?:the|an?|been|far)\s*$", "", rest).strip()
        if not re.search(r"been (?:a|an)\s+\w+$", rest)
        else rest
    )
    if re.search(r"\b(?:spen[dt]|paid|pay|spends|spending)\b", f"{rest} {after}"):
        return reader.expression(f"how much has {option} spent in total", "number")
    said = f"{rest} {after}".strip()
    if word in _EARLY | _LATE and re.fullmatch(r"(?:ordered|bought|purchased|shopped)", said):
        which = "last" if word in _LATE else "first"
        return reader.expression(f"{option}'s {which} order", "date")
    if word in _EARLY | _LATE:
        return reader.expression(
            f"when did {option} {said}" if not _passive(said) else f"when was {option} {said}", "date"
        )
    if word in ("more", "most", "fewer", "fewest", "less", "least") and after and not _adjective(after):
        return reader.expression(f"how many {after} does {option} have", "number")
    if _adjective(after) or word in ("cheaper", "cheapest", "pricier", "costlier"):
        return reader.expression(f"how much did {option} cost", "number")
    if re.match(r"(?:costs?|cost)$", said):
        return reader.expression(f"how much did {option} cost", "number")
    noun = re.sub(r"^(?:the|an?)\s+", "", after or rest)
    return reader.expression(f"the {noun} of {option}", "number") if noun else None


def _adjective(after: str) -> bool:
    return bool(re.match(r"(?:expensive|costly|valuable|pricey)\b", after, re.I)) or bool(
        re.match(r"(?:cost|costs)\b", after, re.I)
    )


def _passive(said: str) -> bool:
    return bool(re.match(r"(?:been\s+)?\w+(?:ed|made|sent|bought)\b", said, re.I))
