"""Which of very many tools a planner is shown: those that the question's words name, and those that mean it.

Promises: at most `limit` tools, the likeliest first, each of them one that was given; the same tools and question
give the same choice; with no more than `limit` tools all are shown in their order. Two rankings are joined by
reciprocal rank (Cormack, Clarke & Büttcher 2009): BM25 over names, parameters and descriptions, for the question's
words and for those of the catalogue that the embedded encoder holds to be near one of them; and the cosine of the
encoder's vectors of question and tool. A question of several parts is asked part by part as well. Some places go to
tools that give what the first ones want as ids, and to what an earlier run used.

What is read of a catalogue is kept for the next question to the same one.
"""

from __future__ import annotations

import asyncio
import re
import threading
from collections import OrderedDict, defaultdict
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Final

from agentflow.flow.bm25 import STOP_STEMS, Index, field_names, weighted
from agentflow.flow.port import ToolView
from agentflow.flow.words import parts, stem
from agentflow.models.encoder import Nearest, Vector, encoder

OWN: Final = "agentflow"  # the gateway's own tools
_RANK: Final = 10.0  # reciprocal rank fusion's k: the first places count
_DEPTH: Final = 60  # places of each ranking that count
_MEANING: Final = 0.5  # weight of the encoder's ranking against that of the words
_NEAR: Final = 0.4  # cosine from which a word of the catalogue stands in for one of the question
_STANDS: Final = 0.7  # its weight, times the cosine
_NEIGHBOURS: Final = 8
_PART: Final = 0.6  # weight of a part of the question against the whole
_PARTS: Final = 4
_FEEDERS: Final = 3  # of the places, those for tools that give the ids that others want
_KEPT: Final = 8  # catalogues
_LARGE: Final = 100  # tools that are not read in a moment
_REMEMBERED: Final = 10_000  # words whose neighbours are kept, of one catalogue
_SPLIT: Final = re.compile(r"[.;?!,]\s+|\s+(?:and|then|after that|afterwards|as well as)\s+", re.IGNORECASE)
_ID: Final = re.compile(r"(.+?)[_-]?(?:id|ID|Id|key|uuid|number|code)s?$")


def select_tools(
    question: str, tools: Sequence[ToolView], limit: int = 20, also: Iterable[str] = (), known: Iterable[str] = ()
) -> list[ToolView]:
    """The tools to show for a question.

    Args:
        also: further texts to choose by: open sub-goals, what failed.
        known: names of tools that have to be among them, if they are there: those of the memory of an earlier run, or
            of this one's earlier turns.
    """
    if len(tools) <= limit:
        return list(tools)
    found = _shelf(tools)
    scores = found.scores(
        [(question, 1.0), *((part, _PART) for part in _parts_of(question)), *((t, 1.0) for t in also)]
    )
    ranked = sorted(scores, key=lambda place: (-scores[place], place))
    kept = dict.fromkeys(place for name in known if (place := found.places.get(name)) is not None)
    own = [place for place in found.own if place not in kept]
    first = [place for place in ranked if place not in kept and place not in own]
    room = max(limit - len(kept) - len(own), 0)
    chosen = first[: max(room - _FEEDERS, 0)]
    for place in [*found.feeders(chosen[:5], _FEEDERS), *first[len(chosen) :]]:
        if len(chosen) < room and place not in chosen and place not in kept and place not in own:
            chosen.append(place)
    places = [*kept, *chosen, *own][:limit]
    places.sort(key=lambda place: (-scores.get(place, 0.0), place))
    return [tools[place] for place in places]


async def read(tools: Sequence[ToolView]) -> None:
    """Read a large catalogue in a thread, so that `select_tools` need not; a known or small one is left as it is."""
    if len(tools) > _LARGE:
        await asyncio.to_thread(_shelf, tools)


def _parts_of(question: str) -> list[str]:
    found = [part.strip() for part in _SPLIT.split(question) if len(part.split()) > 2]
    return found[:_PARTS] if len(found) > 1 else []


class _Shelf:
    """A catalogue, read for searching."""

    def __init__(self, tools: Sequence[ToolView]) -> None:
        self._tools, self.given = list(tools), tools
        self._index = Index(self._tools)
        self._nearest = Nearest([_vector(*described(tool)) for tool in self._tools])
        named = dict.fromkeys(word for tool in self._tools for word in _said(tool))
        self._words = Nearest([_vector(word, "") for word in named])
        self._stems = [stem(word) for word in named]
        self._found: dict[str, tuple[tuple[str, float], ...]] = {}
        self._givers: dict[str, list[int]] = {}
        self.places = {tool.name: place for place, tool in enumerate(self._tools)}
        self.own = [place for place, tool in enumerate(self._tools) if tool.server == OWN]

    def exact(self, text: str, k: int = _DEPTH) -> list[int]:
        """Places by BM25 alone."""
        return [place for place, _ in self._index.rank(weighted(text), k)]

    def words(self, text: str, k: int = _DEPTH) -> list[int]:
        """Places by BM25, near words of the catalogue standing in for the question's."""
        weights = weighted(text)
        for word in dict.fromkeys(part for part in parts(text) if stem(part) not in STOP_STEMS):
            for near, cosine in self._stand_ins(word):
                weights[near] = max(weights.get(near, 0.0), _STANDS * cosine)
        return [place for place, _ in self._index.rank(weights, k)]

    def _stand_ins(self, word: str) -> tuple[tuple[str, float], ...]:
        known = self._found.get(word)
        if known is None:
            usable = len(word) > 2 and word.isalpha()
            hits = self._words.search(encoder().encode(word), _NEIGHBOURS) if usable else []
            known = tuple((self._stems[place], cosine) for place, cosine in hits if cosine >= _NEAR)
            if len(self._found) < _REMEMBERED:
                self._found[word] = known
        return known

    def meaning(self, text: str, k: int = _DEPTH) -> list[int]:
        """Places by the encoder."""
        return [place for place, _ in self._nearest.search(encoder().encode(text), k)]

    def scores(self, texts: Sequence[tuple[str, float]]) -> dict[int, float]:
        """Joined scores of the places that any ranking has among its first."""
        joined: dict[int, float] = defaultdict(float)
        for text, weight in texts:
            for share, ranking in ((1.0, self.words(text)), (_MEANING, self.meaning(text))):
                for rank, place in enumerate(ranking):
                    joined[place] += weight * share / (_RANK + rank)
        return joined

    def feeders(self, places: Sequence[int], most: int) -> list[int]:
        """Tools that may give the ids which these want."""
        found: list[int] = []
        for place in places:
            schema = self._tools[place].input_schema
            for name in schema.get("required") or () if isinstance(schema, dict) else ():
                entity = _ID.fullmatch(str(name))
                if entity is None:
                    continue
                wanted = " ".join(parts(entity[1]))
                found += [p for p in self._giving(wanted) if p not in (*places, *found)][:1]
                if len(found) >= most:
                    return found
        return found

    def _giving(self, wanted: str) -> list[int]:
        """Tools that find things of that name; looked up once."""
        known = self._givers.get(wanted)
        if known is None:
            known = self.words(f"find list search {wanted}", 4)
            if len(self._givers) < _REMEMBERED:
                self._givers[wanted] = known
        return known


def described(tool: ToolView) -> tuple[str, str]:
    """What the encoder reads of a tool: its name and parameters, and the beginning of its description."""
    fields = " ".join(field_names(tool)[:12])
    return f"{tool.title or tool.name.rsplit('__', 1)[-1]} {fields}", (tool.description or "")[:600]


def _said(tool: ToolView) -> list[str]:
    """The words of a tool that another word may stand for."""
    text = " ".join((tool.name, tool.title or "", (tool.description or "")[:600], *field_names(tool)[:12]))
    return [word for word in parts(text) if len(word) > 2 and word.isalpha() and stem(word) not in STOP_STEMS]


@lru_cache(maxsize=16_384)
def _vector(named: str, said: str) -> Vector:
    return encoder().encode(f"{named}. {said}" if said else named)


_Key = tuple[tuple[str, str, str, str], ...]
_SHELVES: OrderedDict[int, tuple[_Key, _Shelf]] = OrderedDict()
_MUTEX: Final = threading.Lock()
_READING: Final = threading.Lock()


def _shelf(tools: Sequence[ToolView]) -> _Shelf:
    if isinstance(tools, tuple):  # a run gives the very same tools again and again
        with _MUTEX:
            same = next((shelf for _, shelf in _SHELVES.values() if shelf.given is tools), None)
        if same is not None:
            return same
    found = _shelf_like(tools)
    found.given = tools
    return found


def _shelf_like(tools: Sequence[ToolView]) -> _Shelf:
    key = tuple((tool.name, tool.title, tool.description, tool.server) for tool in tools)
    number = hash(key)
    found = _known(number, key)
    if found is not None:
        return found
    with _READING:  # several runs begin at once; one of them reads
        found = _known(number, key)
        if found is None:
            found = _Shelf(tools)
            with _MUTEX:
                _SHELVES[number] = key, found
                while len(_SHELVES) > _KEPT:
                    _SHELVES.popitem(last=False)
    return found


def _known(number: int, key: _Key) -> _Shelf | None:
    with _MUTEX:
        kept = _SHELVES.get(number)
        if kept is None or kept[0] != key:
            return None
        _SHELVES.move_to_end(number)
        return kept[1]
