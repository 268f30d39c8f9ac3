"""Text *about* injection: whether a passage is shown to a reader rather than said to one.

A paper, a rule list, a test or a post-mortem quotes attacks. What stands completely in quotation marks, in code marks,
in a fence or in a cell of a table of verdicts, in a text that talks about attacks, is a *mention*: worth less than a
flag. What is marked less clearly, with fewer signs around it, or stands where terms of such texts abound, is a
*quotation*: flagged, never blocked. Anything else is taken at its word: naming injection next to an order excuses
nothing. JSON's own quotation marks are no mention: everything in JSON stands in them.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from dataclasses import dataclass
from enum import Enum
from functools import cache, cached_property
from itertools import islice
from typing import Any, Final

import re2

_NEAR: Final = 400  # characters on either side that say what a text is about
_FAR: Final = 1500  # and that say whether it is full of it
_ABOUND: Final = 3  # different terms
_SIGNS: Final = 2  # different signs, weak ones among them, beside which marks are clear
_OPENED: Final = 60  # characters before a passage in which marks open
_CLOSED: Final = 160  # and behind it in which they close
_PAIRS: Final = ('""', "''", "``", "“”", "‘’", "«»", "「」")
_MOST: Final = 2000  # terms, and marked passages, of one text that are looked at
_STRONG: Final = (
    r"prompt[- ]?_?injection|indirect injection|injections?\b|attack(?:s|ers?|ed)?\b|jail-?br(?:eak|oke)"
    r"|adversar(?:y|ial|ies)"
    r"|malicious|vulnerab|red[- ]?team|exploit|owasp|guard-?rails?|exfiltrat|poison(?:ed|ing)|threat|tricked"
    r"|classif(?:y|ier)|phrases? (?:like|such as)|false (?:positive|negative)s?|payloads?\b|chat templates?"
    r"|special tokens?|chatml|role (?:markers?|tokens?)|override phrases?"
    r"|hidden (?:white )?(?:text|prompts?|instructions?)|instructions? hidden|proofs?[- ]of[- ]concept"
    r"|\bcve-\d|\bcvss\b|\bcwe-\d|\bllm0\d|hijack|fooled|duped|untrusted|injected|keyword filter|spotlighting"
    r"|fell for|fake turns?|role tags|is_?injection|is_?attack|misled|honeypot|social engineering|mitre|\batlas\b"
    r"|system prompt (?:leak|disclos|extraction)|security boundary|confused deputy|post-mortem|rug pull"
    r"|promptinjection|prompt-injektion|angreifer|angriff|attaque|attacc[oa]|ataque|inyecci[oó]n|inje[cç][aã]o"
    r"|atak\b|wstrzykni|aanval|sald[ıi]r|атак|инъекц|злоумышл|注入|攻击|攻擊|越狱|攻撃|インジェクション|인젝션|공격|حقن|هجوم|इंजेक्शन|हमल"
)
_WEAK: Final = (
    r"researchers?\b|for example|e\.g\.|such as|tokeni[sz]er|mitigat|\bdefin(?:e|ition)"
    r"|detect(?:s|ed|ion|or|ing)?\b|defen[cs]es?\b|security|paper|benchmark|test[ _-]?cases?|expected|\bassert|saying"
    r"|\bsa(?:ys?|id)\b|reads?\b|typing|containing|filter|block(?:s|ed|list)?\b|refuse|patterns?\b|keywords?\b"
    r"|phrases?\b|examples?\b|language models?|\bllms?\b|chatbots?|large model|\bscans?\b|scan\w*\("
    r"|\bflag(?:s|ged)?\b|score[sd]?\b|def test_|\bit\([\"'`]|expect\(|parametri[sz]e|\bfixtures?\b|regex|severity"
    r"|verdict|\blabel\b|\brules?\b|\bsamples?\b|\btests?\b|\bstrings?\b|sentences?\b|wording|excerpt|quot(?:e|ing)"
    r"|incident|advisory|withheld|quarantin|suspicious|corpus|dataset|signature|wrote|typed|pasted|demo\b|illustration"
    r"|obey|\bbots?\b|\btrick|\bsteer|compl(?:y|ied|ies)\b|dangerous|\bhid\b|spotted|caught"
    r"|persuade|red flag"
    r"|reviewer|\braters?\b|zum beispiel|par exemple|por ejemplo|per esempio|例如|たとえば|예를 들어|например"
)
# Complete passages in marks, opened at the start of a word; within JSON only marks that are escaped. Over several
# lines only where the marks leave no doubt which is the first.
_MARKED: Final = (
    r"(?s)```.+?(?:```|\z)|~~~.+?(?:~~~|\z)|`[^`\n]+`|“[^”]+”|«[^»]+»|「[^」]+」"
    r"|„[^“”]+[“”]|(?:^|[^\pL\pN])[‘'](?:[^'’\n]|['’][\pL])+['’]|(?:^|[\s(])`[^`\s][^`]*`|<!--.*?-->|%s"
)
_PLAIN: Final = _MARKED % r"""(?:^|[^\pL\pN])"[^"\n]+"|(?:^|[\s(\[:=,])(?:"[^"\s][^"]*"|'[^'\s](?:[^']|'\pL)*')"""
_JSON: Final = _MARKED % r'\\"(?:[^"\\]|\\[^"])+\\"'
# Marked by where they stand only: the value of a telling key, an indented or a cited line, a member of JSON.
_STANDING: Final = (
    r"(?im)^[ \t>]*(?:[-*+][ \t]+)?[\"'{]*(?:patterns?|payloads?|inputs?|text|prompt|sample|example|regex|phrase|string"
    r"|case|attack|injection|query|test|poc|excerpt|quote|demo|illustration|reproduction|label|description|body|rules?"
    r"|attacker)\b"
    r"[^:=\n]{0,40}[:=][^\n]+|^(?:    |\t|> ?)[^\n]+"
)
_MEMBER: Final = r'"(?:[^"\\\n]|\\.)+"'
_ROW: Final = r"(?m)^[ \t]*\|[^\n]+\|[ \t]*$"
_JUDGED: Final = (
    r"\|[ \t]*(?:blocked|flagged|attacks?|injections?|malicious|detected|missed|pass(?:ed)?|fail(?:ed)?|allowed|denied"
    r"|refused|benign|harmless|safe|clean)"
    r"[ \t]*(?:\||\n|\Z)"
)
# What says that somebody makes a model do what follows, and what is a pattern to search with.
_CAUSED: Final = (
    r"\b(?:ma(?:kes?|de|king)|caus(?:es?|ed|ing)|gets?|got|tells?|told|telling|asks?|asked|asking|trick\w*|lets?|induc\w*"
    r"|persuad\w*|convinc\w*|forc\w*|instruct(?:s|ed|ing)|hace|hacen|haga|fait|font|bring(?:t|en)|f[aá]|zwing\w*|induz\w*)\b"
    r"[^.\n]{0,24}\b(?:models?|agents?|assistants?|(?:chat)?bots?|copilots?|ai|llms?|it|them|model[oli]{1,2}|modèles?|modelle?"
    r"|agentes?|asistentes?|assistenten?|ki)\b[^.:\n]{0,12}\Z"
)
_REGEX: Final = r"\([^()\n]*\|[^()\n]*\)|\\[sbwd][+*)\s]|\.\*|\(\?[ims:]|\[[^\]\n]+\][+*?]"
# What leads up to a quotation.
_LEADS: Final = (
    r"\b(?:say(?:s|ing)?|said|reads?|wr(?:ote|ites?|itten)|typ(?:ed|es?|ing)|like|such as|e\.g\.|for example|phrases?"
    r"|strings?|payloads?|patterns?|rules?|texts?|lines?|sentences?|messages?|inputs?|prompts?|words?|instructions?"
    r"|sequences?|tokens?|markers?|contain(?:s|ed|ing)?|keywords?|examples?|samples?|cases?|tests?|excerpt|evidence|item"
    r"|match(?:es|ed)?|catch(?:es)?|looks? for|follow(?:ed|s)|obey(?:ed|s)?|used|tried|pasted?|hid(?:den)?|put|planted"
    r"|query|what about|treat|score for|decision for|verdict (?:for|on)|scan|check|assert|expect|blocked|flagged"
    r"|allowed|wording|is|was|would|should|does|compare|contrast|show|question|as in|titled?|names?"
    r"|rows? \d+|about|note|invite|found in)\b"
    r"[\s:,;=>(\[.\\-]{0,4}[\"'`“‘«「„]?\Z"
)
_LED_BY: Final = 24  # characters
_FILLER: Final = " zqzq"  # words that nobody knows, in place of what is shown
_LED_IN: Final = 60  # characters before a passage that say so
_ENCLOSED: Final = 0.35  # share of a passage that stands in marks; what leads into a quotation is often part of it


# A quick look for any term: what it does not find, the others do not find either.
_SOMEWHERE: Final = "(?i)" + _STRONG.replace(r"\b", "").replace(r"\d", "")


class Standing(Enum):
    """How a passage stands in its text."""

    SAID = 0
    QUOTED = 1
    MENTIONED = 2


@dataclass(frozen=True, slots=True)
class Shown:
    """A passage that is shown: where it is, its marks with it, and how it stands."""

    start: int
    end: int
    standing: Standing


@cache
def _told(pattern: str) -> re.Pattern[str]:
    """A pattern of words; compiled when the first text needs it."""
    return re.compile(pattern, re.IGNORECASE)


@cache
def _linear(pattern: str) -> Any:
    """A pattern of marks, in RE2."""
    return re2.compile(pattern)


def _terms(pattern: str, text: str) -> list[tuple[int, str]]:
    return [(match.start(), match.group().lower()[:6]) for match in islice(_told(pattern).finditer(text), _MOST)]


class Discussion:
    """How passages of one text stand in it. What it talks about is looked up once."""

    def __init__(self, text: str) -> None:
        self._text = text
        start = text[:80].lstrip()
        self._json = start[:1] == "{" or (start[:1] == "[" and start[1:].lstrip()[:1] in ('"', "{", "[", "]", ""))

    @cached_property
    def _strong(self) -> list[tuple[int, str]]:
        plain = self._text.replace("ı", "i").replace("İ", "i")  # the same letter to `_STRONG`
        return _terms(_STRONG, self._text) if _linear(_SOMEWHERE).search(plain) else []

    @cached_property
    def _weak(self) -> list[tuple[int, str]]:
        return _terms(_WEAK, self._text)

    @cached_property
    def shown(self) -> list[Shown]:
        """The passages that are shown, by their start; they may overlap."""
        found = [self._marked(*match.span()) for match in self._matches(_JSON if self._json else _PLAIN)]
        found += [self._cell(*match.span()) for match in self._matches(_ROW)]
        placed = self._matches(_MEMBER if self._json else _STANDING)
        found += [Shown(*match.span(), self._placed(*match.span())) for match in placed]
        return sorted((one for one in found if one.standing is not Standing.SAID), key=lambda one: one.start)

    def _matches(self, pattern: str) -> islice[re.Match[str]]:
        return islice(_linear(pattern).finditer(self._text), _MOST)

    def _marked(self, start: int, end: int) -> Shown:
        strong = self._around(self._strong, start, end, _NEAR)
        both = strong | self._around(self._weak, start, end, _NEAR)
        low = max(0, start - _LED_BY)
        led = _told(_LEADS).search(self._text[low : start + 1])
        if not both:
            inside = bisect_left(self._strong, (start, "")) < bisect_left(self._strong, (end, ""))
            return Shown(start, end, Standing.QUOTED if led or inside else Standing.SAID)
        clear = (
            strong
            or len(both) >= _SIGNS
            or (led and self._around(self._weak, low + led.start(), end, _NEAR))
            or len(self._around(self._strong, start, end, _FAR)) > 1
        )
        concealed = self._text.startswith("<!--", start)
        return Shown(start, end, Standing.MENTIONED if clear and not concealed else Standing.QUOTED)

    def _cell(self, start: int, end: int) -> Shown:
        """A row of a table; one with a verdict in it is a list of examples."""
        stands = self._placed(start, end)
        if _told(_JUDGED).search(self._text, start, end):
            sure = stands is Standing.QUOTED or bool(self._around(self._weak, start, end, _NEAR))
            stands = Standing.MENTIONED if sure else Standing.QUOTED
        return Shown(start, end, stands)

    def _placed(self, start: int, end: int) -> Standing:
        strong = self._around(self._strong, start, end, _NEAR)
        both = strong | self._around(self._weak, start, end, _NEAR)
        if self._text.startswith(">", start) and strong and len(both) > _SIGNS:
            return Standing.MENTIONED
        return Standing.QUOTED if strong or len(both) > 1 else Standing.SAID

    def standing(self, start: int, end: int) -> Standing:
        """Return how `text[start:end]` stands in the text."""
        for stands in (Standing.MENTIONED, Standing.QUOTED):
            if self.covers(start, end, stands):
                return stands
        if self._described(start, end) or (self._strong and self._between(start, end)):
            return Standing.QUOTED
        everywhere = self._around(self._strong, start, start, _FAR) if self._strong else ()
        return Standing.QUOTED if len(everywhere) >= _ABOUND else Standing.SAID

    def _between(self, start: int, end: int) -> bool:
        """Whether marks open shortly before a passage and close behind it, where a term of such texts is near."""
        before, after = self._text[max(0, start - _OPENED) : start], self._text[end : end + _CLOSED]
        if not any(before.count(opened) % 2 and closed in after for opened, closed in _PAIRS):
            return False
        return bool(self._around(self._strong, start, end, _NEAR))

    def _described(self, start: int, end: int) -> bool:
        """Whether somebody is said to make a model do it, or it is a pattern to search with."""
        if not self._around(self._strong, start, end, _NEAR):
            return bool(self._weak) and _told(_REGEX).search(self._text, start, end) is not None
        caused = _told(_CAUSED).search(self._text[max(0, start - _LED_IN) : start])
        return caused is not None or _told(_REGEX).search(self._text, start, end) is not None

    def covers(self, start: int, end: int, least: Standing, share: float = _ENCLOSED) -> bool:
        """Whether so much of a passage is shown that it stands or falls with that."""
        return self._covered(start, end, least) >= share * (end - start)

    def touches(self, start: int, end: int) -> bool:
        """Whether any of a passage is a mention."""
        return self._covered(start, end, Standing.MENTIONED) > 0

    def _covered(self, start: int, end: int, least: Standing) -> int:
        """How many characters of a passage are shown."""
        total, at = 0, start
        for one in self.shown[: bisect_left(self.shown, end, key=lambda one: one.start)]:
            if one.standing.value >= least.value and one.end > at:
                total += max(0, min(end, one.end) - max(at, one.start))
                at = max(at, min(end, one.end))
        return total

    def rest(self, least: Standing) -> str:
        """The text with what is shown blanked, at least as clearly as `least`; of the same length."""
        parts, at = [], 0
        for one in self.shown:
            if one.standing.value >= least.value and one.end > at:
                start = max(at, one.start)
                parts += [self._text[at:start], (_FILLER * (one.end - start))[: one.end - start]]
                at = one.end
        return "".join([*parts, self._text[at:]])

    def terms(self, start: int, end: int, near: int) -> int:
        """How many different terms of texts about attacks stand within `near` characters of a passage, outside it."""
        return len(self._around(self._strong, start, end, near))

    @staticmethod
    def _around(found: list[tuple[int, str]], start: int, end: int, near: int) -> set[str]:
        first, last = bisect_left(found, (start - near, "")), bisect_left(found, (end + near, ""))
        return {term for at, term in found[first:last] if not start <= at < end}
