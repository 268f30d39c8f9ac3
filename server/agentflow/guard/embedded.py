"""Values inside values: what has to be replaced in a text, also where it is written in an encoding.

It looks through JSON string escapes, HTML entities, percent encoding (both also twice) and base64 (also in lines, as
a data URI, or in the alphabet for URLs), three levels deep. It promises that a text stays what it was: JSON still
parses, base64 still decodes, a percent-encoded address stays one. It looks at no base64 that is not text.
"""

from __future__ import annotations

import base64
import binascii
import html
import json
import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple
from urllib.parse import unquote

import re2

from agentflow.guard.spans import Matcher
from agentflow.guard.text_runs import text_run
from agentflow.guard.tokens import Escape

_MAX_NESTED: Final = 3
_CONTEXT: Final = 48
_SHORTEST_RUN: Final = 20  # characters of base64: fifteen of text
_LONGEST_RUN: Final = 4_000_000
_LITERAL: Final = re.compile(r'"([^"\\]*+(?:\\.[^"\\]*+)*+)(?:"|\\?\Z)', re.DOTALL)
_NUMBER_END: Final = re.compile(r"(?:\.0+)?\s*[,\]}]")
_ESCAPED: Final = re.compile(r"&(?:#[0-9]{1,7}|#[xX][0-9A-Fa-f]{1,6}|[A-Za-z][A-Za-z0-9]{1,30});|(?:%[0-9A-Fa-f]{2})+")
_RUN: Final = re.compile(rf"[A-Za-z0-9+/_-]{{{_SHORTEST_RUN},}}+(?:(?:\r?\n|\\r?\\n)[A-Za-z0-9+/_-]{{4,}}+)*+={{0,2}}")
_OPTIONS: Final = re2.Options()
_OPTIONS.encoding = re2.Options.Encoding.LATIN1
_SIGN: Final = re2.compile(text_run(_SHORTEST_RUN) + rb"|%[0-9A-Fa-f]{2}|&#?[A-Za-z0-9]{2,8};", _OPTIONS)
_LONG_RUN: Final = re2.compile(text_run(_SHORTEST_RUN), _OPTIONS)
_CONTROLS: Final = bytes({*range(32), 127} - {9, 10, 13})
_HEX: Final = "0123456789abcdefABCDEF"

Value = tuple[str, str | int]
Codec = Literal["json", "base64", "cut"]


@dataclass(frozen=True, slots=True)
class Edit:
    """A span of a text to be replaced: by what stands for a value, or by an encoded text with edits of its own.

    Attributes:
        value: type and value; None for an encoded text.
        decoded: the text as it reads decoded.
        inner: what is replaced in `decoded`.
        codec: how `decoded` is encoded; `cut` takes the span out.
        escape: how a token has to be spelled where it stands.
    """

    start: int
    end: int
    value: Value | None = None
    decoded: str = ""
    inner: tuple[Edit, ...] = ()
    codec: Codec = "json"
    escape: Escape = ""


def suspect(data: bytes) -> bool:
    """Whether serialised JSON may hold encoded text: entities, percent encoding, or base64 that reads as text."""
    for match in _SIGN.finditer(data):
        run = match.group(1)
        if run is None or _reads(run[:16].decode("ascii")):
            return True
    return False


def scan(matcher: Matcher, text: str, context: str = "", depth: int = 0) -> tuple[Edit, ...]:
    """Return the edits that would take every value out of `text`, in order."""
    edits = [Edit(start, end, (kind, text[start:end])) for kind, start, end, _ in matcher.find(text, context)]
    if "%" in text or "&" in text:
        edits = _with_escapes(matcher, text, context, edits)
    if "\\" in text and '"' in text and depth < _MAX_NESTED and (edits or "\\u" in text or "\\/" in text):
        edits = _with_literals(matcher, text, edits, depth)
    if len(text) >= _SHORTEST_RUN and depth < _MAX_NESTED and _has_run(text):
        edits = _with_base64(matcher, text, edits, depth)
    if edits and text.lstrip()[:1] in ("{", "["):
        edits = [_as_number(text, edit) for edit in edits]
    return tuple(edits)


def encoded(edit: Edit, original: str, inner: str) -> str:
    """Return `inner`, the rewritten decoded text of `edit`, encoded as `original` was."""
    if edit.codec == "cut":
        return ""
    if edit.codec == "json":
        return json.dumps(inner, ensure_ascii=original.isascii())[1:-1]
    flat = base64.b64encode(inner.encode("utf-8", "surrogatepass")).decode()
    if "-" in original or "_" in original:
        flat = flat.replace("+", "-").replace("/", "_")
    if not original.endswith("=") and len(original) % 4:
        flat = flat.rstrip("=")
    break_ = re.search(r"\r?\n|\\r?\\n", original)
    if break_ is None:
        return flat
    return break_.group().join(flat[at : at + break_.start()] for at in range(0, len(flat), break_.start()))


def values(edits: Iterable[Edit]) -> Iterator[Value]:
    """Yield every value that edits replace."""
    for edit in edits:
        if edit.value is not None:
            yield edit.value
        else:
            yield from values(edit.inner)


def only(edits: tuple[Edit, ...], wanted: frozenset[str] | None, unwanted: frozenset[str]) -> tuple[Edit, ...]:
    """Return the edits of values whose type is `wanted` (None: any) and not `unwanted`."""
    kept = []
    for edit in edits:
        if edit.value is not None:
            if (wanted is None or edit.value[0] in wanted) and edit.value[0] not in unwanted:
                kept.append(edit)
        elif inner := only(edit.inner, wanted, unwanted):
            kept.append(Edit(edit.start, edit.end, None, edit.decoded, inner, edit.codec))
    return tuple(kept)


# --------------------------------------------------------------------------- entities and percent encoding


class _View(NamedTuple):
    """A text unescaped. `marks[i]` is (start in it, end in it, start in the original, end in the original)."""

    text: str
    marks: list[tuple[int, int, int, int]]

    def original(self, start: int, end: int) -> tuple[int, int]:
        """Where `text[start:end]` stands in the original."""
        return self._place(start, 2), self._place(end - 1, 3) + (0 if self._inside(end - 1) else 1)

    def touches(self, start: int, end: int) -> bool:
        """Whether anything in `text[start:end]` was escaped."""
        at = bisect_right(self.marks, (end, -1, -1, -1)) - 1
        return at >= 0 and self.marks[at][1] > start and self.marks[at][0] < end

    def _mark(self, position: int) -> tuple[int, int, int, int]:
        at = bisect_right(self.marks, (position, len(self.text) + 1, 0, 0)) - 1
        return self.marks[at] if at >= 0 else (0, 0, 0, 0)

    def _inside(self, position: int) -> bool:
        mark = self._mark(position)
        return mark[0] <= position < mark[1]

    def _place(self, position: int, side: int) -> int:
        mark = self._mark(position)
        return mark[side] if mark[0] <= position < mark[1] else mark[3] + position - mark[1]


def _unescaped(text: str) -> _View | None:
    """Return the text with its escapes decoded, or None where there are none; what is no UTF-8 stays as it is."""
    parts: list[str] = []
    marks: list[tuple[int, int, int, int]] = []
    position = length = 0
    for match in _ESCAPED.finditer(text):
        start, end = match.span()
        chars = _characters(match.group())
        if not chars:
            continue
        parts += [text[position:start], *(char for char, _ in chars)]
        length += start - position
        for char, width in chars:
            marks.append((length, length + len(char), start, start + width))
            length, start = length + len(char), start + width
        position = end
    return _View("".join([*parts, text[position:]]), marks) if marks else None


def _characters(escape: str) -> list[tuple[str, int]]:
    """What an escape, or a run of percent escapes, stands for: each character and the length of its escape."""
    if escape[0] == "&":
        plain = html.unescape(escape)
        return [(plain, len(escape))] if plain != escape else []
    try:
        return [(char, 3 * len(char.encode())) for char in unquote(escape, errors="strict")]
    except UnicodeDecodeError:
        return []


def _views(text: str) -> list[_View]:
    """The text unescaped once and, where that changes it again, twice."""
    views: list[_View] = []
    while len(views) < 2 and (view := _unescaped(text)) is not None:
        views.append(view)
        text = view.text
    return views


def _with_escapes(matcher: Matcher, text: str, context: str, edits: list[Edit]) -> list[Edit]:
    views = _views(text)
    if not views:
        return edits
    # A mail address may hold `%`: what of it is an escape only the decoded text shows.
    found = [edit for edit in edits if edit.value is None or edit.value[0] != "EMAIL" or not _has_escape(edit)]
    for match in matcher.find(views[-1].text, context):
        start, end, escaped = match.start, match.end, False
        for view in reversed(views):
            escaped = escaped or view.touches(start, end)
            start, end = view.original(start, end)
        spelled: Escape = "" if not escaped else "url" if "%" in text[start:end] else "html"
        found.append(Edit(start, end, (match.type, views[-1].text[match.start : match.end]), escape=spelled))
    return _longest(found)


def _has_escape(edit: Edit) -> bool:
    return edit.value is not None and _ESCAPED.search(str(edit.value[1])) is not None


def _longest(edits: list[Edit]) -> list[Edit]:
    """Return edits in order that do not overlap: of those that do the longest, of equal ones the decoded."""
    kept: list[Edit] = []
    for edit in sorted(edits, key=lambda edit: (edit.start, -edit.end, not edit.escape)):
        if not kept or kept[-1].end <= edit.start:
            kept.append(edit)
        elif edit.end - edit.start > kept[-1].end - kept[-1].start:
            kept[-1] = edit
    return kept


# --------------------------------------------------------------------------- base64


def _with_base64(matcher: Matcher, text: str, edits: list[Edit], depth: int) -> list[Edit]:
    """Add what is found in the base64 of `text` where nothing else was found."""
    inside: list[Edit] = []
    for match in _RUN.finditer(text):
        start, end = match.span()
        decoded = _decoded(match.group()) if end - start <= _LONGEST_RUN else None
        if decoded is None:
            continue
        inner = scan(matcher, decoded, "", depth + 1)
        if inner:
            inside.append(Edit(start, end, None, decoded, inner, "base64"))
    if not inside:
        return edits
    taken = [(edit.start, edit.end) for edit in edits]
    return sorted([*edits, *_outside(inside, taken)], key=lambda edit: edit.start)


def _has_run(text: str) -> bool:
    """Whether a text has a run long enough for base64 that reads as text: a quick look before a thorough one."""
    data = text.encode("utf-8", "surrogatepass")
    return any(_reads(match.group(1)[:16].decode("ascii")) for match in _LONG_RUN.finditer(data))


def _reads(run: str) -> bool:
    """Whether the beginning of a run reads as text once decoded; hexadecimal and words do not."""
    head = run[:16]
    if not head.strip(_HEX) or head.islower() or head.isupper():
        return False
    try:
        data = base64.b64decode(head.replace("-", "+").replace("_", "/"))
    except binascii.Error:
        return False
    return len(data.translate(None, _CONTROLS)) == len(data) and not data.startswith((b"\xff\xd8", b"\x89PNG"))


def _decoded(run: str) -> str | None:
    if not _reads(run):
        return None
    flat = "".join(re.split(r"\r?\n|\\r?\\n", run)) if "\n" in run or "\\" in run else run
    flat = flat.rstrip("=").replace("-", "+").replace("_", "/")
    try:
        return base64.b64decode(flat + "=" * (-len(flat) % 4)).decode()
    except (binascii.Error, ValueError):
        return None


# --------------------------------------------------------------------------- JSON in text


def _with_literals(matcher: Matcher, text: str, edits: list[Edit], depth: int) -> list[Edit]:
    """Give each escaped JSON string in `text` its own edits, in place of those made on its escaped form."""
    inside: list[Edit] = []
    decoded_spans: list[tuple[int, int]] = []
    for match in _LITERAL.finditer(text):
        start, end = match.span(1)
        if text.find("\\", start, end) < 0:
            continue
        try:
            decoded = json.loads(f'"{match[1]}"', strict=False)
        except ValueError:
            continue
        decoded_spans.append((start, end))
        inner = scan(matcher, decoded, text[max(0, start - _CONTEXT) : max(0, start - 1)], depth + 1)
        if inner:
            inside.append(Edit(start, end, None, decoded, inner))
    if not decoded_spans:
        return edits
    outside = _outside(edits, decoded_spans)
    return sorted([*outside, *inside], key=lambda edit: edit.start)


def _outside(edits: list[Edit], spans: list[tuple[int, int]]) -> Iterator[Edit]:
    """Yield the edits that touch none of the spans; both are in order."""
    index = 0
    for edit in edits:
        while index < len(spans) and spans[index][1] <= edit.start:
            index += 1
        if index == len(spans) or spans[index][0] >= edit.end:
            yield edit


def _as_number(text: str, edit: Edit) -> Edit:
    """Turn a value that is a bare number of the JSON in `text` into an integer value."""
    if edit.value is None or not isinstance(edit.value[1], str):
        return edit
    digits = edit.value[1]
    if not (digits.isascii() and digits.isdigit()) or digits[0] == "0":
        return edit
    before = text[max(0, edit.start - _CONTEXT) : edit.start].rstrip()[-1:]
    if before in (":", ",", "[") and _NUMBER_END.match(text, edit.end, edit.end + _CONTEXT):
        return Edit(edit.start, edit.end, (edit.value[0], int(digits)))
    return edit
