"""Disguises that leave a text in place, and how each is taken off: escapes, markup, broken and joined words.

An undoing is a pattern and a function from a match to what it reads as, or None where it stays. `sign` is what has
to occur in a text (folded or not) for the undoing to be worth a try; all signs run as one automaton over every text
there is, so a sign is specific: words are only put together again where one of the words that attacks cannot do
without may be under the disguise.
"""

from __future__ import annotations

import codecs
import html
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Final, NamedTuple
from urllib.parse import unquote

import re2

from agentflow.guard.unspaced import Divider


class Undoing(NamedTuple):
    """One disguise, and how it is taken off."""

    name: str
    sign: str
    pattern: re.Pattern[str]
    undo: Callable[[re.Match[str]], str | None]


# Words of which an attack has one, in whatever it is dressed.
STEMS: Final = (
    "ignor", "disregard", "previous", "prior", "instruct", "forget", "override", "prompt", "system", "secret",
    "password", "assistant", "credential", "reveal", "execute", "forward", "agents", "delete", "transfer", "upload",
    "follow", "immediate", "message", "model", "administrat", "required", "language",
)  # fmt: skip
_SMALL: Final = ("your", "must", "task", "this", "user", "the", "and")
_DIGITS: Final = {"a": "4@", "b": "8", "e": "3", "g": "69", "i": "1!|", "l": "1|", "o": "0", "s": "5$", "t": "7+"}
_KEYWORDS: Final = (
    "ignore", "ignoring", "disregard", "forget", "override", "bypass", "previous", "prior", "above", "earlier",
    "original", "instructions", "instruction", "guidelines", "directives", "prompt", "system", "assistant", "agents",
    "language", "model", "immediately", "reveal", "password", "execute", "following", "message", "required",
    "important", "attention", "commands", "rules", "everything",
)  # fmt: skip
# Words that attacks are made of.
_VOCABULARY: Final = (
    "instructions instruction administrator immediately assistants assistant guidelines everything credentials "
    "previously directives important following transfer disregard processing override previous language password "
    "forward reading required received earlier message messages systems attention original commands execute "
    "instead without ignore forget prompts prompt system secret reveal output before bypass delete upload agents "
    "should agent given model users above prior about begin every first other these those which would tell rules "
    "files order email print reply share stop then that this they them task user with your from have must need "
    "into only send call what when will were been all and any are the you now not for new key its put say run use "
    "but who how may can his her our out ai of to in is it me my on or do as at be by if no so up us we go a i "
    "create continue normal rights admin access grant contents content account amount query request question "
    "conversation context history summary summarise summarize recommend product products invoice paid payment "
    "calendar repository contact address document documents database browser website webpage visit enter unlock "
    "open close door front book hotel flight reservation download install package script command terminal shell "
    "server token tokens secrets private public external internal urgent critical response respond answer include "
    "mention never always again after below report reports review approve approved confirm accounts number "
    "numbers details information personal customer customers employee employees money dollars bank wire harmless "
    "completely safe word words text page pages line read write change changed modify update updated remove erase "
    "reset policy policies restrictions safety security filter filters bound longer apply void cancelled "
)
_LEXICON: Final = tuple(_VOCABULARY.split())


def _leet(word: str) -> str:
    """A pattern for `word` with at least one letter written as a digit or sign."""
    loose = [f"[{c}{_DIGITS.get(c, '')}]" for c in word]
    strict = [f"[{_DIGITS[c]}]" if c in _DIGITS else "" for c in word]
    return "|".join("".join([*loose[:i], digit, *loose[i + 1 :]]) for i, digit in enumerate(strict) if digit)


def _split(word: str) -> str:
    """A pattern for `word` up to a sign between two of its letters, and a little beyond: the shorter, the smaller."""
    sign = r"[-_.|~^*+=]{1,2}(?:\r?\n\s{0,8})?"
    return "|".join(word[:i] + sign + "[-_.|~^*+=]{0,2}".join(word[i : max(5, i + 2)]) for i in range(1, len(word)))


def _misspelt() -> dict[str, str]:
    """Each keyword with two neighbouring letters swapped or one left out, none of them a word."""
    found: dict[str, str] = {}
    for word in _KEYWORDS:
        for i in range(1, len(word) - 1):
            found[word[:i] + word[i + 1] + word[i] + word[i + 2 :]] = word
            if len(word) > 6:
                found[word[:i] + word[i + 1 :]] = word
    return {wrong: word for wrong, word in found.items() if wrong not in _KEYWORDS}


def _letters(word: str) -> str:
    """What is left of a word when the order of its inner letters is lost."""
    return word[0] + "".join(sorted(word[1:-1])) + word[-1]


_MISSPELT: Final = _misspelt()
_SCRAMBLED: Final = {_letters(word): word for word in (*_LEXICON, *_KEYWORDS) if len(word) > 3}


def _respelt(match: re.Match[str]) -> str | None:
    word = match.group().lower()
    return _MISSPELT.get(word) or _SCRAMBLED.get(_letters(word))


_INLINE: Final = "a|abbr|b|bdi|bdo|big|code|em|font|i|mark|s|small|span|strong|sub|sup|u|wbr"
_LEET: Final = str.maketrans("013456789@$!|+", "oieasgtbgasiit")
_LEET_ELL: Final = str.maketrans("013456789@$!|+", "oleasgtbgasllt")
_LONG: Final = 8192  # characters of a text in which only what tells of an attack is set apart
_HUMPS: Final = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")  # the words of a run of letters
_TELLING: Final = re2.compile("(?i)" + "|".join(word for word in _LEXICON if len(word) > 3))
_DIVIDED: Final = Divider(_LEXICON)


def any_of(words: Iterable[str]) -> str:
    """A pattern for any of the words, whatever their case."""
    return "(?i)(?:" + "|".join(words) + ")"


def _unescape(match: re.Match[str]) -> str:
    text = match.group()
    if len(text) == 2:
        return text[1] if text[1] in '"/' else "\n"
    if text[1] == "x":
        return chr(int(text[2:], 16))
    if text[1] != "u":
        return "".join(chr(int(code, 8)) for code in text.split("\\")[1:])
    units = b"".join(int(unit, 16).to_bytes(2, "big") for unit in text.split("\\u")[1:])
    return units.decode("utf-16-be", "replace")


def _quoted(match: re.Match[str]) -> str:
    run = re.sub(r"=\r?\n", "", match.group())
    return bytes(int(code, 16) for code in run.split("=")[1:]).decode("utf-8", "replace") if run else ""


def _unmark(match: re.Match[str]) -> str:
    return "" if match.group(2) or (match.group().startswith("<!--") and len(match.group()) > 4) else " "


def _unspace(match: re.Match[str]) -> str:
    """Join single letters; a wider gap than the usual one, or a blank among other signs, is a gap between words."""
    text = match.group()
    gaps = re.findall(r"[ \t._*|/-]+", text)
    narrow = min(map(len, gaps))
    signs = sum(not gap.isspace() for gap in gaps)

    def joined(gap: re.Match[str]) -> str:
        if signs * 2 > len(gaps) and gap.group().isspace():
            return " "
        return "" if len(gap.group()) <= narrow else " "

    return re.sub(r"[ \t._*|/-]+", joined, text)


def _unleet(match: re.Match[str]) -> str | None:
    word = match.group()
    if word.isalpha() or (word.isdecimal() and len(word) > 2):
        return None
    return word.translate(_LEET)


def _unleet_ell(match: re.Match[str]) -> str | None:
    word = match.group()
    return word.translate(_LEET_ELL) if "1" in word or "|" in word or "!" in word else _unleet(match)


def _unjoined(match: re.Match[str]) -> str:
    """Words joined by underscores and the like, or each in marks of emphasis."""
    run = match.group()
    if run[0] in "*_`":
        return re.sub(r"[*_`]+", "", run)
    return re.sub(r"[-_+.]+(?=[a-zA-Z0-9])", " ", run)


def _segmented(match: re.Match[str]) -> str | None:
    """Words run together, set apart: by their capitals, or as the words they are made of."""
    run = match.group()
    if len(match.string) > _LONG and not _TELLING.search(run):  # a name in code, or base64: of those it may be full
        return None
    if run.islower() or run.isupper():
        return _apart(run)
    return " ".join([_apart(word) if len(word) > 13 else word for word in _HUMPS.findall(run)])


def _apart(run: str) -> str:
    return _DIVIDED(run) if _TELLING.search(run) else run


UNESCAPING: Final = (
    Undoing(
        "control",
        r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]",
        re.compile(
            r"\x1b(?:\[[0-9;:?]*[ -/]*[@-~]|\][^\x07\x1b]{0,400}(?:\x07|\x1b\\)|[@-Z\\-_])"
            r"|[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]"
        ),
        lambda match: "",
    ),
    Undoing(
        "escapes",
        r"\\(?:u[0-9a-fA-F]{4}|x[0-9a-fA-F]{2}|[0-3][0-7]{2}|[nrt\"/])",
        re.compile(r"(?:\\u[0-9a-fA-F]{4})+|\\x[0-9a-fA-F]{2}|(?:\\[0-3][0-7]{2})+|\\[nrt\"/]"),
        _unescape,
    ),
    Undoing(
        "entities",
        r"&(?:#[0-9xX]|[a-zA-Z]{2,8};)",
        re.compile(r"&(?:#[xX][0-9a-fA-F]{1,6}|#[0-9]{1,7}|[a-zA-Z]{2,8}[0-9]{0,2});?"),
        lambda match: html.unescape(match.group()),
    ),
    Undoing(
        "percent",
        r"%[0-7][0-9a-fA-F]",
        re.compile(r"(?:%[0-9a-fA-F]{2})+"),
        lambda match: unquote(match.group(), errors="replace"),
    ),
    Undoing(
        "quoted",
        r"(?:=[0-9A-F]{2}){4}|[^\s=]=\r?\n[a-z]",
        re.compile(r"(?:=[0-9A-F]{2})+|=\r?\n"),
        _quoted,
    ),
)
UNMARKING: Final = (
    Undoing(
        "markup",
        r"<[a-zA-Z/!]",
        re.compile(rf"<!--[^<>]{{0,200}}-->|<(/?)({_INLINE})?\b[^<>]{{0,400}}>|<!--|-->", re.IGNORECASE),
        _unmark,
    ),
)
REJOINING: Final = (
    Undoing(
        "spaced",
        r"(?:\b[a-zA-Z0-9@$!][ \t._*|/-]{1,3}){6}[a-zA-Z0-9@$!]",
        re.compile(r"(?<![a-zA-Z0-9])(?:[^\s._*|/-][ \t._*|/-]{1,5}){4,}[^\s._*|/-](?![a-zA-Z0-9])"),
        _unspace,
    ),
    Undoing(
        "broken",
        any_of(map(_split, (*STEMS, "your", "must", "user", "task", "print", "output")))
        + r"|[a-z]{2}[*~|^`][a-z]{2,12}[\s,.]{1,2}(?:[a-z]{1,12}\s){0,2}[a-z]{2}[*~|^`][a-z]{2}",
        re.compile(r"(?<=[a-zA-Z])(?:[-_.|~^*+=`]{1,2}|-\r?\n\s{0,8})(?=[a-zA-Z])"),
        lambda match: "",
    ),
    Undoing(
        "concatenated",
        r"[^\"'\n]{1,12}[\"']\s?[+.&]\s?[\"'][^\"'\n]{1,12}[\"']\s?[+.&]\s?[\"']",
        re.compile(r"[\"']\s?[+.&]\s?\n?\s{0,8}[\"']"),
        lambda match: "",
    ),
    Undoing(
        "leet",
        any_of(map(_leet, (*STEMS, "your", "must", "task", "user"))) + "|" + any_of(["th3", "7h3", "7he"]),
        re.compile(r"[a-zA-Z0-9@$!|+]*[a-zA-Z][a-zA-Z0-9@$!|+]*|\b\d{1,2}\b"),
        _unleet,
    ),
    Undoing(
        "misspelt",
        any_of([r"\b(?:" + "|".join(_MISSPELT) + r")\b"]),
        re.compile(r"\b[a-zA-Z]{4,13}\b"),
        _respelt,
    ),
    Undoing(
        "underscored",
        r"[a-zA-Z](?:[_+][a-zA-Z]+){4}|[a-zA-Z](?:[,:;!]?[+][a-zA-Z]+){3}|[a-zA-Z](?:[-.][a-zA-Z]+){4}"
        r"|(?:[*_`]+[a-zA-Z]+[*_`]+[ ,.]+){3}",
        re.compile(
            r"(?<![a-zA-Z:,!;])[a-zA-Z][a-zA-Z:,!;]*+(?:[-_+.]++[a-zA-Z0-9][a-zA-Z0-9:,!;]*+){3,}"
            r"|(?:[*_`]+\w[^\s*_`]*+[*_`]+\s{0,2}){3,}"
        ),
        _unjoined,
    ),
    Undoing(
        "segmented",
        r"[A-Z][a-z]+[A-Z][a-z]+[A-Z][a-z]+[A-Z][a-z]|[a-z]{18}|[A-Z]{18}|"
        + any_of(
            ["ignoreall", "ignoreany", "previousinstr", "priorinstr", "aboveinstr", "systemprompt", "yourinstr",
             "youmust", "yourtask", "aiagent", "aiassistant", "disregardall", "disregardthe", "forgetall",
             "forgetevery", "theassistant", "newinstructions", "systemmessage", "theuser", "donottell", "youshould",
             "youare", "languagemodel"]
        ),
        re.compile(r"(?<![a-zA-Z])(?:[A-Z]?[a-z]++(?:[A-Z][a-z]*+){2,40}+|[a-zA-Z]{14,400}+)"),
        _segmented,
    ),
)  # fmt: skip

# A digit 1 may stand for either letter; this reads it as the other one.
LEET_ELL: Final = REJOINING[3]._replace(undo=_unleet_ell)


def turned_words() -> Iterator[tuple[str, str]]:
    """(name, sign) of readings of the whole text in another order or alphabet."""
    yield "rot13", any_of(codecs.encode(stem, "rot13") for stem in STEMS) + "|" + any_of([r"\b(?:gur|lbh|lbhe|guvf)\b"])
    yield "reversed", any_of(stem[::-1] for stem in STEMS) + "|" + any_of([r"\b(?:eht|uoy|ruoy|tsum|siht)\b"])
    yield "atbash", any_of([r"\b(?:gsv|blf|blfi|gsrh|rtmliv|kivvrlfh)\b"])
