"""Finding secrets: one automaton of signs decides what is worth a look, detectors look.

It promises time linear in the text, offsets that are Python string indices, and no two matches that overlap.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import cache
from typing import Final

from agentflow.guard.secrets import TYPES, assigned, looks, structures
from agentflow.guard.secrets.formats import FORMATS, Format, compiled, sign_set
from agentflow.guard.spans import Match, Span, apart, foldable, located, plain

Detector = Callable[[bytes], Iterator[Span]]

_SHORTEST: Final = 6
# The left edge of a sign in serialised JSON: no letter or digit, or the end of an escape (`\n`).
_EDGE: Final = r"(?:\b|_|\\[nrtbf])"
_ALNUM: Final = frozenset(b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")

# Detectors with the sign that wakes each.
_DETECTORS: Final[tuple[tuple[str, Detector], ...]] = (
    (r"-----BEGIN[ A-Z0-9_-]*PRIVATE KEY|Private-Lines:", structures.blocks),
    (r"\bey[A-Za-z0-9_-]{8,}\.|\\[nrt]ey[A-Za-z0-9_-]{8,}\.", structures.json_web_tokens),
    (r"ZXlK[A-Za-z0-9+/_-]{16}", structures.encoded_json_web_tokens),
    (r"(?i:kind\\?[\"']?:\s*\\?[\"']?secret)\b", structures.kubernetes_secrets),
    (r"://[^\s/@]*:[^\s/@]+@", structures.url_credentials),
    (r"(?i:bearer|authorization)", structures.headers),
    (r"(?s:curl.*(?:-u|user)[\s=])", structures.curl_users),
    (assigned.SIGN, assigned.assigned),
    (assigned.PAIR_SIGN, assigned.paired),
)
_NAMING: Final = (assigned.assigned, assigned.paired)


class _Signs:
    """Which detectors and forms are worth a look.

    Names that assign values and forms of keys in one automaton would multiply its states: a text that is new to it
    would cost three times as much.
    """

    def __init__(self) -> None:
        forms = [row.sign if row.anywhere else f"{_EDGE}(?:{row.sign})" for row in FORMATS]
        signs = [*(sign for sign, _ in _DETECTORS), *forms]
        naming = [number for number, (_, detector) in enumerate(_DETECTORS) if detector in _NAMING]
        others = [number for number in range(len(signs)) if number not in naming]
        self._sets = [(sign_set([signs[number] for number in group]), group) for group in (others, naming)]

    def __call__(self, data: bytes) -> list[int]:
        """The numbers of the signs that occur, in order: detectors first, then forms."""
        found = [group[at] for signs, group in self._sets for at in signs.Match(data) or ()]
        return sorted(found) if found else found


@cache
def _signs() -> _Signs:
    return _Signs()


class SecretMatcher:
    """Finds secrets in text.

    Args:
        types: types to look for (`secrets.TYPES`); empty means all.
        allow: exact values that are never reported.

    Raises:
        ValueError: an unknown type.
    """

    def __init__(self, types: Iterable[str] = (), allow: Iterable[str] = ()) -> None:
        wanted = frozenset(types) or frozenset(TYPES)
        if unknown := wanted - frozenset(TYPES):
            raise ValueError(f"unknown types of secrets {sorted(unknown)}; known are {', '.join(TYPES)}")
        self.types = wanted
        self._allow = frozenset(allow)
        self._signs = _signs()

    def suspect(self, data: bytes) -> bool:
        """Whether serialised JSON may hold anything to find: a sieve for whole messages, never wrong about "no".

        Characters that only `find` understands (full width, invisible) make it say "maybe".
        """
        return bool(self._signs(data)) or b"\\u" in data or foldable(data)

    def find(self, text: str, context: str = "") -> list[Match]:
        """Return the secrets in `text`, in order.

        Args:
            context: what stands before the text, such as the key of the member that holds it: evidence only.
        """
        if len(text) < _SHORTEST:
            return []
        seen = plain(text, context)
        fired = self._signs(seen.data)
        if not fired:
            return []
        spans = [span for number in fired for span in _spans(number, seen.data) if span[3] in self.types]
        if not spans:
            return []
        found = located(apart(spans), seen)
        return [m for m in found if text[m.start : m.end] not in self._allow] if self._allow else found

    def for_tenant(self, tenant: str) -> SecretMatcher:
        """Return this matcher: secrets are the same for everybody."""
        return self

    def mask(self, text: str) -> str:
        """Return the text with every secret replaced by its type, irreversibly: for logs and reasons."""
        parts, at = [], 0
        for match in self.find(text):
            parts += [text[at : match.start], f"<{match.type}>"]
            at = match.end
        return "".join([*parts, text[at:]]) if parts else text


def _spans(number: int, data: bytes) -> Iterator[Span]:
    if number < len(_DETECTORS):
        return _DETECTORS[number][1](data)
    return _forms(FORMATS[number - len(_DETECTORS)], data)


def _forms(row: Format, data: bytes) -> Iterator[Span]:
    """Whole words of one form; a part of a longer word or of base64 is none."""
    pattern = compiled(row.pattern)
    group = pattern.groups  # a row with a group says which part is the secret
    for match in pattern.finditer(data):
        start, end = match.span(group)
        if not row.anywhere and (_inside(data, start, end)):
            continue
        text = data[start:end].decode("ascii")
        if looks.is_left_out(text) or (row.drawn and not looks.drawn(text)):
            continue
        yield start, end, 0.97, row.type


def _inside(data: bytes, start: int, end: int) -> bool:
    if start and (data[start - 1] in _ALNUM or data[start - 1] in b"+/"):
        return True
    return end < len(data) and (data[end] in _ALNUM or data[end] in b"+/")
