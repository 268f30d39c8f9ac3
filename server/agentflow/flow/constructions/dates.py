"""Dates: so long after, how long between, which weekday."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from agentflow.flow.coordinate import complete, pair
from agentflow.flow.measures import NUMBER_WORDS, SPANS, number_word, unit_of
from agentflow.flow.program import Apply, Constant, Node, Want, YearOf
from agentflow.flow.question import is_selector

if TYPE_CHECKING:
    from agentflow.flow.functions import Function
    from agentflow.flow.reader import Reader

_COUNT = rf"(\d+|an?|{NUMBER_WORDS})"
_AUX = r"(?:is|are|was|were|did|does|do|has|have|had|will|would)"
_AFTER = r"(?:after|later than|following|past|from)"
_BEFORE = r"(?:before|earlier than|prior to|preceding|ahead of)"
_VERBS = r"(?:placed|made|opened|ordered|created|bought|submitted|filed|registered|sent|issued|published)"
_LIE = (
    r"(?:are there|were there|is there|was there|is it|was it|lie|lies|lay|passed?|"
    r"passes|have passed|had passed|elapsed?|"
    r"went by|go by|separate[sd]?|did it take|does it take|separating|apart|there are|there were|in all|exactly|"
    r"did .{2,60}? wait|waited)"
)


def day_of(text: str, reader: Reader) -> Node:
    """A phrase or a clause as a date."""
    plain = text.strip(" ,?")
    plain = re.sub(r"\s+(?:fall|falls|fell|be|land|lands|on|in|happen|happened|take place|took place)$", "", plain)
    plain = re.sub(
        r"^(?:the\s+)?(?:date|day|moment|time)\s+(?:(?:that\s+is|which\s+is|that|when|on which)\s+)(?=\S)",
        "",
        plain,
        flags=re.I,
    )
    plain = re.sub(r"^(?:the\s+)?(?:date|day)\s+(?=\d+\s+\w+\s+(?:after|before))", "", plain, flags=re.I)
    return reader.expression(plain, "date")


def _span(function: Function, unit: str) -> tuple[tuple[str, str], ...] | None:
    """The enum value of a time unit; None where the function cannot count in it."""
    plain = unit_of(unit)
    if "unit" not in function.slots:
        return () if plain == "day" else None
    wanted = function.choose("unit", plain)
    return (("unit", wanted),) if wanted is not None else None


def shift(text: str, want: Want, reader: Reader) -> Node | None:
    """The date so long before or after another."""
    function = reader.functions.of("shift")
    if function is None:
        return None
    found = re.search(rf"\b(?:exactly\s+)?{_COUNT}\s+({SPANS})\s+({_AFTER}|{_BEFORE})\s+(.+)$", text, re.I)
    if found and not re.search(
        r"\b(?:how many|how much|orders?|tickets?|placed|made)\b(?!.*\bdate\b)", text[: found.start()], re.I
    ):
        amount, unit, way, rest = found.groups()
        rest = re.split(r",\s*(?=(?:what|which|when)\b)|:\s*(?=what|which|when)", rest)[0]
        sign = 1 if re.fullmatch(_AFTER, way, re.I) else -1
        return _shifted(function, rest, amount, unit, sign, reader)
    if match := re.match(rf"^(?:the\s+)?(?:very\s+)?(day|week|month|year)\s+({_AFTER}|{_BEFORE})\s+(.+)$", text, re.I):
        unit, way, rest = match.groups()
        return _shifted(function, rest, "1", f"{unit}s", 1 if re.fullmatch(_AFTER, way, re.I) else -1, reader)
    for pattern, sign in (
        (rf"\badd(?:ing)?\s+{_COUNT}\s+({SPANS})\s+to\s+(.+)$", 1),
        (
            rf"\b(?:subtract(?:ing)?|tak(?:e|ing)(?: away)?|go(?:ing)? back)\s+{_COUNT}\s"
            rf"+({SPANS})\s+(?:from|before)\s+(.+)$",
            -1,
        ),
    ):
        if match := re.search(pattern, text, re.I):
            amount, unit, rest = match.groups()
            rest = re.split(r"[,:;]\s*(?=(?:what|which|when)\b)", rest)[0]
            return _shifted(function, rest, amount, unit, sign, reader)
    for pattern, sign in (
        (rf"^(.+?),?\s+(?:plus|and add|\+)\s+{_COUNT}\s+({SPANS})\b", 1),
        (rf"^(.+?),?\s+(?:minus|less|and subtract)\s+{_COUNT}\s+({SPANS})\b", -1),
    ):
        if match := re.match(pattern, text, re.I):
            rest, amount, unit = match.groups()
            rest = re.sub(r"^(?:take|start (?:with|from)|starting (?:with|from))\s+", "", rest, flags=re.I)
            return _shifted(function, rest, amount, unit, sign, reader)
    return None


def _shifted(function: Function, rest: str, amount: str, unit: str, sign: int, reader: Reader) -> Node | None:
    choices = _span(function, unit)
    number = int(amount) if amount.isdigit() else 1 if amount.lower() in ("a", "an") else number_word(amount)
    if number is None:
        return None
    if choices is None and unit_of(unit) == "week":
        choices, number = (), number * 7
    if choices is None:
        return None
    arguments = (("date", day_of(rest, reader)), ("amount", Constant(sign * number)))
    return Apply(function, arguments, choices)


def difference(text: str, want: Want, reader: Reader) -> Node | None:
    """How many days (weeks, …) between two dates, after one date, since one date."""
    function = reader.functions.of("difference")
    if function is None:
        return None
    ahead = re.match(r"^(between\s+.+?|from\s+.+?\s+(?:to|until)\s+.+?),\s*((?:how many|how long)\b.*)$", text, re.I)
    if ahead:
        text = f"{ahead.group(2)} {ahead.group(1)}"
    lead = re.match(
        r"^(?:after |for |by )?(?:exactly )?(?:how many|(?:the |a )?(?:number|count|"
        rf"amount) of|count (?:the )?)\s*(?:full |whole |complete |calendar )?({SPANS})"
        r"\b\s*(?:\s|$)(.*)$"
        r"|^(?:the )?(?:difference|distance|gap|interval|span|time span)?\s*(?:in )?(days|"
        r"weeks|months|years)\s+((?:between|from|after|before)\b.*)$",
        text,
        re.I,
    )
    unit, rest = (
        (lead.group(1) or lead.group(3), lead.group(2) if lead.group(1) else lead.group(4)) if lead else ("", "")
    )
    if lead is None:
        how_long = re.match(
            r"^(?:how (?:long|much time)|(?:the )?(?:time|gap|interval|difference|period|"
            rf"span|distance))\b(.*?)(?:,?\s+in\s+({SPANS}))?$",
            text,
            re.I,
        )
        if how_long is None or not re.search(
            r"\bbetween\b|\bafter\b|\bsince\b|\bfrom\b|\bbefore\b|\buntil\b", how_long.group(1)
        ):
            return None
        unit, rest = how_long.group(2) or "days", how_long.group(1).strip()
        inside = re.match(rf"^in\s+({SPANS})\s+(.*)$", rest, re.I)
        if inside:
            unit, rest = inside.groups()
        elif how_long.group(2) is None and not re.match(r"^(?:how|(?:the )?time)", text, re.I):
            return None
    ends = _ends(rest)
    choices = _span(function, unit)
    if ends is None or choices is None:
        return None
    first, second = ends
    return Apply(function, (("start", day_of(first, reader)), ("end", day_of(second, reader))), choices)


def _ends(rest: str) -> tuple[str, str] | None:
    """The two dates of what stands after "how many days"."""
    rest = rest.strip(" ,?")
    if match := re.search(r"\bbetween\s+(.+)$", rest, re.I):
        return pair(f"{_clip(match.group(1))}")
    if (match := re.search(r"\bfrom\s+((?:the\s+)?\w+)\s+(?:to|until|till|up to)\s+(.+)$", rest, re.I)) and is_selector(
        match.group(1).split()[-1].lower()
    ):
        return pair(f"{match.group(1)} and {match.group(2)}")
    if match := re.search(r"\bfrom\s+(.+?)\s+(?:to|until|till|up to)\s+(.+)$", rest, re.I):
        return complete(match.group(1), _clip(match.group(2)))
    if match := re.match(rf"^(?:{_LIE}\s+)?(?:after|since|following)\s+(.+?)\s+({_AUX})\s+(.+)$", rest, re.I):
        return _with_subject(match.group(1), match.group(3))
    if match := re.match(rf"^(?:{_LIE}\s+)?before\s+(.+?)\s+({_AUX})\s+(.+)$", rest, re.I):
        second, first = complete(match.group(1), match.group(3))
        return first, second
    if match := re.match(rf"^({_AUX})\s+(.+?)\s+(?:{_VERBS}\s+)?(?:after|since|later than)\s+(.+)$", rest, re.I):
        second, first = complete(match.group(2), match.group(3))
        return first, second
    if match := re.match(rf"^({_AUX})\s+(.+?)\s+(?:{_VERBS}\s+)?(?:before|earlier than)\s+(.+)$", rest, re.I):
        return complete(match.group(2), match.group(3))
    if match := re.match(
        rf"^(?:earlier|later|sooner|older|newer)\s+(?:than\s+)?(?:{_AUX}\s+)?(.+?)\s+(?:than|{_AUX})\s+(.+)$",
        rest,
        re.I,
    ):
        second, first = match.groups()
        name = re.match(r"^(\S+(?: \S+)?)$", second)
        if name and (verb := re.match(r"^(?:[A-Z][\w'’-]*\s+)+(?!the)(.+)$", first)):
            second = f"{second} {verb.group(1)}"
        return (first, second) if rest.lower().startswith(("earlier", "sooner", "older")) else (second, first)
    if match := re.match(r"^did\s+(.+?)\s+(?:follow|come after|succeed|lag(?: behind)?)\s+(.+)$", rest, re.I):
        second, first = complete(*match.groups())
        return first, second
    if match := re.match(r"^did\s+(.+?)\s+(?:precede|come before)\s+(.+)$", rest, re.I):
        return complete(*match.groups())
    if match := re.match(r"^(?:separat\w+|divid\w+|lie between|apart)\s+(?:are\s+)?(.+)$", rest, re.I):
        return pair(match.group(1))
    if match := re.match(rf"^(?:apart\s+)?(?:{_AUX})\s+(.+?)\s+apart$", rest, re.I):
        return pair(match.group(1))
    if match := re.match(
        r"^(?:did|does|do|has|had)\s+(?:it take|.+? (?:wait|take|need))\s+(?:from|between)\s+(.+)$", rest, re.I
    ):
        return pair(match.group(1), ("and", "to", "until"))
    if match := re.match(rf"^(?:{_LIE}\s+)?(.+?)\s+(?:until|till)\s+(.+)$", rest, re.I):
        return complete(match.group(1), match.group(2))
    return None


def _with_subject(first: str, second: str) -> tuple[str, str]:
    """`becoming a customer` + `X place an order`: the gerund gets the clause's subject."""
    name = re.match(r"^((?:[A-Z][\w'’.-]*\s+|de\s+|van\s+|von\s+)+)(?=[a-z])", second)
    if name and re.match(r"^[a-z]+ing\b", first):
        return f"{name.group(1).strip()} {first}", second
    return complete(first, second)


def _clip(text: str) -> str:
    return re.sub(rf"\s+(?:{_LIE}|is that|was that)$", "", text)


def facts(text: str, want: Want, reader: Reader) -> Node | None:
    """The weekday, week, month, quarter or year of a date."""
    year = _fact(text, r"(?:calendar )?year", reader)
    if year is not None and not re.search(r"leap year|day of the year|of the year", text, re.I):
        return YearOf(year)
    for trigger in reader.functions.triggers:
        if trigger.function.kind != "day":
            continue
        date = _fact(text, trigger.pattern, reader)
        if date is not None:
            return Apply(trigger.function, (("date", date),), (), trigger.output)
    weekday = next((t for t in reader.functions.triggers if t.output in ("weekday", "day_of_week", "day_name")), None)
    if weekday is not None and (
        match := re.match(r"^(?:on )?(?:which|what) day of the week\b.*?\b(?:is|was|were|did)\s+(.+)$", text, re.I)
    ):
        return Apply(weekday.function, (("date", day_of(match.group(1), reader)),), (), weekday.output)
    return None


def _fact(text: str, name: str, reader: Reader) -> Node | None:
    """The date whose fact is asked for, or None where the words do not ask for this fact."""
    the = rf"(?:the\s+)?(?:exact\s+)?(?:name of the\s+)?(?:{name})(?:\s+(?:number|name))?"
    patterns = (
        rf"^(?:on|in|during|of|at)?\s*(?:which|what)\s+{the}(?:\s+of the year)?\s+({_AUX}\s+.+)$",
        rf"^(?:on|in|during|of|at)?\s*(?:which|what)\s+{the}\s+((?:the\s+)?.+?\s+(?:was|is|were)\s+\w+)$",
        rf"^{the}\s+(?:(?:that|in which|on which|when|during which)\s+)((?:did|was)?\s*.+)$",
        rf"^{the}\s+(?:of|on|for|from)\s+(?:the\s+)?(?:date|day)\s+(?:of|when|on which|that)?\s*(.+)$",
        rf"^{the}\s+(?:of|for|on)\s+(.+)$",
        r"^(.+?)\s+(?:(?:is|was|were|falls?|fell|took place|happened|belongs?|landed|"
        r"lands|placed|made|opened)\s+)*(?:on|in|to|of|during)?\s*(?:which|what)"
        rf"\s+{the}$",
        rf"^(?:which|what)\s+{the}\s+(?:does|did|is|was)\s+(.+?)\s+(?:fall|belong|lie|land)(?:\s+(?:on|in|to))?$",
    )
    for pattern in patterns:
        if match := re.match(pattern, text, re.I):
            return day_of(_subject(match.group(1)), reader)
    if "leap" in name and (
        match := re.match(
            r"^(?:is|was|were|did|does)\s+(.+?)\s+(?:fall\s+|placed\s+|made\s+|opened\s"
            rf"+)?(?:in|on|from|during|of)\s+an?\s+(?:{name})$",
            text,
            re.I,
        )
    ):
        return day_of(match.group(1), reader)
    return None


def _subject(text: str) -> str:
    """`did X become a customer` → when did X become a customer; `is it 30 days after …` → 30 days after …"""
    text = re.sub(r"^(?:is|was)\s+(?:it|that)\s+(?:when\s+|on\s+)?", "", text.strip(), flags=re.I)
    text = re.sub(r"^(?:is|was|does|did)\s+(?=the (?:date|day)\b|\d+ \w+ (?:after|before))", "", text, flags=re.I)
    text = re.sub(r"^the\s+(?:date|day)\s+(?:of\s+)?(?=\d+\s+\w+\s+(?:after|before))", "", text, flags=re.I)
    return f"when {text}" if re.match(rf"{_AUX}\b", text, re.I) else text
