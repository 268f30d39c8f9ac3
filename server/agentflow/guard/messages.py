"""How a message to the client is read: its text by lines, which of them are members of a record and which are said.

It promises the same lines for the same message, each value in one of three places (`Lines.spread`): a member of its
own, a sentence, or neither; and who wrote it, whom it names and what in it is secret, as far as its form tells.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

from agentflow.guard.sinks import words_of
from agentflow.guard.values import decoded, grouped, identifying, pieces, telling, values

JSON = dict[str, Any]

_AUTHOR: Final = frozenset(
    word
    for words in (
        "author user by reporter posted_by submitter creator username login nickname caller requester requested_by",
        "opened_by raised_by reported_by created_by submitted_by commenter reviewer customer guest sender",
    )
    for word in words.split()
)
_WRITTEN: Final = frozenset(["body", "description", "text", "message", "comment", "content", "review", "summary"])
_MOST_SECRETS: Final = 256  # of one message
_REMARKS: Final = _WRITTEN | {"note", "notes", "remark", "title", "subject", "snippet", "last", "reason"}
_SENTENCE: Final = 4  # blanks in a sentence
_NAMES: Final = 3  # more blanks than a name has
_FUNCTION: Final = frozenset(
    word
    for words in (
        "the a is are and to of it in for my we you our be on with that this has have should must can",
        "der die das und ist zu den von für wir sie bitte auf nicht le la les et de est pour",
        "nous vous el los y que por",
    )
    for word in words.split()
)
_NAMED: Final = frozenset(
    word
    for words in ("name employee customer owner contact patient person student client guest manager surname lastname",)
    for word in words.split()
)
_CODE: Final = re.compile(
    r"\b(?:sign-?in|log-?in|verification|security|one-time|access|confirmation) code|\botp\b|\bpasscode\b"
)
_LETTER: Final = re.compile(r"(?im)^(?:\W|\d)*(?:from|sender|reply-?to): [^\n]{0,60}(?:@|<EMAIL)")
_RUN: Final = re.compile(r"[A-Za-z0-9+/_-]*")
_HEX: Final = re.compile(r"(?:[0-9A-Fa-f]{2})*")
_FROM: Final = frozenset(
    ["from", "sender", "reply_to", "reply-to", "replyto", "author", "sender_email", "from_email", "organizer"]
)
_WRITING: Final = ("from", "sender", "reply", "author", "organizer")  # what is in every one of them
_SECRET: Final = (
    "passw",
    "secret",
    "token",
    "apikey",
    "api_key",
    "credential",
    "cookie",
    "passcode",
    "private_key",
    "pwd",
)
_LEADING_TO: Final = frozenset(["is", "now", "are", "was", "to", "the", "set", "changed", "new", "current", "still"])
_SAYS_SECRET: Final = re.compile("|".join((*_SECRET, "_pass$")))
_PROTOCOL: Final = frozenset(
    {"type", "mimeType", "_meta", "isError", "resultType", "annotations", "role", "nextCursor"}
)


@dataclass(slots=True)
class Lines:
    """A text, by its lines.

    Attributes:
        fields: what stands in members of records, and nothing beside it.
        sentences: what is said, in members or on lines of their own.
        labels: the members' names; `said` those that hold sentences.
        people: words of the names in members for people.
        loose: lines of other kinds.
    """

    fields: list[str] = field(default_factory=list)
    sentences: list[str] = field(default_factory=list)
    labels: set[str] = field(default_factory=set)
    said: set[str] = field(default_factory=set)
    people: list[str] = field(default_factory=list)
    loose: list[str] = field(default_factory=list)

    def spread(self, parts: set[str]) -> tuple[list[str], list[str], list[str]]:
        """The identifying values among `parts`: of members, of what is said, and of neither.

        A mail address that a member and a line beside it have is in both of the first.
        """
        marked = set(telling(parts))
        if self.fields and not self.sentences and not self.loose:  # nothing but members
            return identifying(marked - self.labels), [], identifying(marked & self.labels)
        own = marked.intersection(pieces("\n".join(self.fields))) if self.fields else set()
        said = marked.intersection(pieces("\n".join(self.sentences))) if self.sentences else set()
        told, rest = said - own, marked - own - said
        addresses = {part for part in own if "@" in part or part.startswith("email_")}
        if addresses and self.loose:
            said.update(piece.strip(".:") for piece in pieces("\n".join(self.loose)))
        return identifying(own), identifying(told | (addresses & said)), identifying(rest)

    @property
    def contributed(self) -> bool:
        """Whether a record is what somebody wrote: it has an author, and a text of his."""
        return not (_AUTHOR.isdisjoint(self.labels) or _WRITTEN.isdisjoint(self.said))


def lines_of(low: str) -> Lines:
    """Take a text (of `flat`, in lower case) apart."""
    lines = Lines()
    for line in low.split("\n"):
        label, colon, rest = line.partition(": ")
        if not colon or " " in label:
            if line.count(" ") >= _SENTENCE and len(_FUNCTION.intersection(line.split())) > 1:
                lines.sentences.append(line)
            elif line:
                lines.loose.append(line)
            continue
        lines.labels.add(label)
        blanks = rest.count(" ")
        if blanks >= _SENTENCE:
            lines.sentences.append(rest)
            lines.said.add(label)
            continue
        lines.fields.append(rest)
        if label in _REMARKS and ("@" in rest or "email_" in rest):
            lines.loose.append(rest)
        if blanks < _NAMES and not _NAMED.isdisjoint(words_of(label)) and rest.replace(" ", "").isalpha():
            lines.people += [f"~{word}" for word in rest.split() if len(word) > 2]
    return lines


def opaque(part: str) -> bool:
    """Whether a piece of text is long and may hide another: base64, hex, percent signs."""
    return len(part) > 23 and ("%" in part or _RUN.fullmatch(part) is not None)


def hidden(text: str) -> list[str]:
    """What base64, hex and percent signs hide in a text that has long runs of such."""
    found: list[str] = []
    for run in [part for part in pieces(text) if opaque(part)][:32]:
        if "%" in run or not (run.islower() or run.isupper()) or _HEX.fullmatch(run):
            found += [said for said in decoded(run, turned=False) if " " in said or "@" in said or "." in said]
    return found[:32]


def secrets(low: str, parts: list[str]) -> list[str]:
    """What stands beside a word that says it is secret: `DB_PASSWORD=…`, `"token": "…"`; codes to sign in with."""
    found: list[str] = []
    if "_pass" in low or any(map(low.__contains__, _SECRET)):
        named = set(filter(_SAYS_SECRET.search, set(parts)))
        for at in [at for at, part in enumerate(parts) if part in named][:_MOST_SECRETS]:
            while at + 2 < len(parts) and parts[at + 1] in _LEADING_TO:  # "the password is now …"
                at += 1
            if at + 1 < len(parts):
                after, later, *_ = [*parts[at + 1 : at + 3], "", ""]
                found += [after if not after.isalpha() else later]
    if (" code" in low or "otp" in low or "passcode" in low) and _CODE.search(low):
        found += [part for part in (*parts, *grouped(low, parts)) if part.isdigit() and 3 < len(part) < 9]
    return found


def is_letter(text: str, low: str) -> bool:
    """Whether a text has the header of a message; the first looks are the cheap ones."""
    if "@" not in low and "<email" not in low:
        return False
    return ("from: " in low or "sender: " in low or "to: " in low) and _LETTER.search(text) is not None


def senders(low: str) -> list[str]:
    """Who wrote a message: the values in a member or header that says so, or in brackets before what is said."""
    found: list[str] = []
    told = any(map(low.__contains__, _WRITING))
    if not told and "[" not in low:
        return found
    for line in low.split("\n"):
        label, colon, rest = line.partition(":")
        by = rest[:120] if told and colon and label.strip(" \"'") in _FROM else ""
        if line[:1] == "[":
            by = line[1:80].partition("]")[0]
        if by:
            found += values(by)
    return found


def flat(body: JSON) -> str:
    """The text of a message: one line per value, `key: value`; text that is JSON is taken apart."""
    lines: list[str] = []
    stack: list[tuple[str, Any, bool]] = [("", body, True)]
    while stack:
        key, value, envelope = stack.pop()
        kind = type(value)
        if kind is str:
            if value:
                inner = _json(value)
                if inner is not None:
                    stack.append((key, inner, False))
                elif not (envelope and len(value) > 256 and key in ("data", "blob")):
                    lines.append(f"{key}: {value}" if key and not (envelope and key == "text") else value)
        elif kind is dict:
            stack += [
                (k, v, _envelope(k, envelope)) for k, v in reversed(value.items()) if not (envelope and k in _PROTOCOL)
            ]
        elif kind is list:
            stack += [(key, item, envelope) for item in reversed(value)]
        elif kind is int or kind is float:
            lines.append(f"{key}: {value}")
    return "\n".join(lines)


def _envelope(key: str, above: bool) -> bool:
    return above and key in ("content", "contents", "messages", "resource", "text", "data", "blob")


def _json(text: str) -> Any:
    if text[0] not in "{[":
        return None
    try:
        return orjson.loads(text)
    except ValueError:
        return None


def leaves(body: Any) -> Iterator[tuple[str, str, str | int | float]]:
    """Yield `(pointer, nearest key, value)` of every string and number of the arguments."""
    stack: list[tuple[str, str, Any]] = [("", "", body)]
    while stack:
        path, key, value = stack.pop()
        if isinstance(value, dict):
            stack += [(f"{path}/{_step(str(k))}", str(k), v) for k, v in reversed(value.items())]
        elif isinstance(value, list):
            stack += [(f"{path}/{index}", key, item) for index, item in reversed(list(enumerate(value)))]
        elif isinstance(value, str | int | float) and not isinstance(value, bool):
            yield path, key, value


def _step(key: str) -> str:
    return key.replace("~", "~0").replace("/", "~1")
