"""What the model sees of a word: numbers of hashed features of the word and of its neighbours.

Texts are laid out one after another with an empty word before, between and behind them; a feature never reaches
over such a border, so that a text's result does not depend on what it is batched with.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from agentflow.guard.ner.words import Word, folded, shape

BUCKETS: Final = 1 << 20
KINDS: Final = ("first", "last", "town", "country", "nation", "organisation", "street", "title", "common")
_BORDER: Final = 3  # empty words between texts: as far as features look
_CACHED: Final = 200_000  # words
_SIGNS: Final = {":", "="}
_KEY_REACH: Final = 24  # words behind a key that still belong to it
_GOLDEN: Final = np.uint64(0x9E3779B97F4A7C15)

Ids = NDArray[np.int64]


class Lexicon:
    """Which lists a word stands in. Words are kept as 32-bit hashes of their folded form.

    Args:
        lists: hashes by kind, as `hashes` makes them.
    """

    def __init__(self, lists: dict[str, NDArray[np.uint32]]) -> None:
        self.lists = lists
        self._bits: dict[int, int] = {}
        for position, kind in enumerate(KINDS):
            for number in lists.get(kind, np.empty(0, np.uint32)).tolist():
                self._bits[number] = self._bits.get(number, 0) | 1 << position

    @staticmethod
    def hashes(words: Iterable[str]) -> NDArray[np.uint32]:
        """Return the sorted hashes of words."""
        return np.array(sorted({crc32(folded(word).encode()) for word in words}), dtype=np.uint32)

    def bits(self, word: str) -> int:
        """Return one bit for each of `KINDS` that the word is of."""
        return self._bits.get(crc32(folded(word).encode()), 0)


# What is known of one word, as hashes: columns of the table that features are combined from.
_W, _SHAPE, _SHORT, _P2, _P3, _P4, _S1, _S2, _S3, _S4, _LISTS, _LOOK = range(12)
_COLUMNS: Final = 12
_EMPTY: Final = np.zeros(_COLUMNS, np.uint64)


def _hash(text: str) -> int:
    data = text.encode("utf-8", "surrogatepass")
    return crc32(data) << 32 | crc32(data, 0x5BD1E995)


class Features:
    """Turns words into numbers of features.

    Args:
        lexicon: lists that words are looked up in; None to see none.
    """

    def __init__(self, lexicon: Lexicon | None) -> None:
        self._lexicon = lexicon
        self._known: dict[str, NDArray[np.uint64]] = {"": _EMPTY}

    def __call__(self, texts: Sequence[Sequence[Word]]) -> tuple[Ids, list[int]]:
        """Return the features of all words, and where each text begins.

        Returns:
            ids: shape (rows, `SLOTS`), numbers below `BUCKETS`; rows of borders are included.
            starts: for each text the row of its first word.
        """
        flat: list[str] = [""] * _BORDER
        keys: list[str] = [""] * _BORDER
        heads: list[str] = [""] * _BORDER
        starts: list[int] = []
        for words in texts:
            starts.append(len(flat))
            flat.extend(word for word, _, _ in words)
            _places(words, keys, heads)
            for column in (flat, keys, heads):
                column.extend([""] * _BORDER)
        return self._combine(flat, keys, heads), starts

    def _row(self, word: str) -> NDArray[np.uint64]:
        row = self._known.get(word)
        if row is None:
            if len(self._known) > _CACHED:
                self._known = {"": _EMPTY}
            row = self._known[word] = self._look(word)
        return row

    def _look(self, word: str) -> NDArray[np.uint64]:
        plain, look = folded(word), shape(word)
        short = "".join(sign for at, sign in enumerate(look) if not at or look[at - 1] != sign)
        lists = self._lexicon.bits(word) if self._lexicon else 0
        if word.isdigit():
            plain = word.lower() if len(word) < 3 else f"{len(word)} digits"
        parts = (plain, look, short, plain[:2], plain[:3], plain[:4], plain[-1:], plain[-2:], plain[-3:], plain[-4:])
        return np.array([_hash(part) for part in (*parts, f"in {lists}", f"{short} {min(len(word), 8)}")], np.uint64)

    def _combine(self, flat: list[str], keys: list[str], heads: list[str]) -> Ids:
        count = len(flat)
        table = np.stack([self._row(word) for word in flat])
        key, head = (np.array([self._row(word)[_W] for word in column], np.uint64) for column in (keys, heads))

        def at(column: int, offset: int) -> NDArray[np.uint64]:
            if not offset:
                return table[:, column]
            moved = np.zeros(count, np.uint64)
            if offset > 0:
                moved[:-offset] = table[offset:, column]
            else:
                moved[-offset:] = table[:offset, column]
            return moved

        slots: list[NDArray[Any]] = [table[:, column] for column in range(_COLUMNS)]
        slots += [at(column, side) for side in (-1, 1) for column in (_W, _SHORT, _S2, _S3, _P3, _LISTS, _LOOK)]
        slots += [at(column, side) for side in (-2, 2) for column in (_W, _SHORT, _S3, _LISTS)]
        slots += [at(column, side) for side in (-3, 3) for column in (_W, _LISTS)]
        mine = _mixed(at(_SHORT, 0), at(_LISTS, 0))
        slots += [_mixed(at(column, -1), at(column, 0)) for column in (_W, _SHORT, _LISTS)]
        slots += [_mixed(at(column, 0), at(column, 1)) for column in (_W, _SHORT, _LISTS)]
        slots += [_mixed(at(_W, -2), at(_W, -1)), _mixed(at(_W, 1), at(_W, 2)), _mixed(at(_W, -1), at(_W, 1))]
        slots += [_mixed(at(_W, -1), mine), _mixed(at(_W, 1), mine), _mixed(at(_W, -2), at(_W, -1), mine)]
        slots += [_mixed(*(at(column, side) for side in (-1, 0, 1))) for column in (_SHORT, _LISTS)]
        slots += [_mixed(*(at(_SHORT, side) for side in (-2, -1, 0, 1, 2)))]
        slots += [mine, key, head, _mixed(key, mine), _mixed(head, mine), _mixed(key, at(_W, 0)), _mixed(key, head)]
        salted = [_mixed(slot, np.uint64(number + 1)) for number, slot in enumerate(slots)]
        return (np.stack(salted, axis=1) >> np.uint64(40)).astype(np.int64) & (BUCKETS - 1)


def _mixed(*parts: Any) -> NDArray[np.uint64]:
    """Hash several columns into one (multiply and add, as in FNV; wraps around by intention)."""
    out: NDArray[np.uint64] = parts[0]
    for part in parts[1:]:
        out = (out ^ (out >> np.uint64(29))) * _GOLDEN + part
    result: NDArray[np.uint64] = (out ^ (out >> np.uint64(32))) * _GOLDEN
    return result


def _places(words: Sequence[Word], keys: list[str], heads: list[str]) -> None:
    """Append for each word what stands before it: the key (`city` in `"city": "Oslo"`) and the line's first word."""
    key, since, head, before, last = "", 0, "", "", ""
    for word, _, _ in words:
        if word == "\n":
            head, before, last = "", "", ""
            if since > 1:
                key = ""
        elif word in _SIGNS:
            if last:
                key, since = (f"{before} {last}" if before else last), 0
        elif word in ",;|" or since > _KEY_REACH:
            before = last = ""
        elif word[0].isalpha():
            before, last = last, word.lower()
            if not head:
                head = last
        elif word in "}])>":
            key = ""
        since += 1
        keys.append(key)
        heads.append(head)


SLOTS: Final = int(Features(None)([[("a", 0, 1)]])[0].shape[1])
