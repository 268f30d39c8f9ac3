"""Questions about documents: search for the page, open it, and read the answer in its text.

A catalogue has documents where one tool searches by words and another opens what the first one found.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from agentflow.flow.catalogue import Catalogue, Tool
from agentflow.flow.passages import Quantity, quantity
from agentflow.flow.types import Action, ActionResult, Evidence
from agentflow.flow.words import STOP, best_alike, parts, stem, stems

_SEARCH = frozenset(stems("query q search text term keyword keywords phrase"))
_LINK = frozenset(stems("url uri link href path slug address"))
_BODY = ("text", "content", "body", "markdown", "html")
_NOUN = r"(?:web ?pages?|pages?|articles?|recipes?|documents?|posts?|sites?|blog(?: post)?s?|entry|guide|story)"
_MENTIONED = re.compile(rf"\b{_NOUN}\b", re.I)
_ABOUT = re.compile(
    rf"\b{_NOUN}\s+(?:that (?:is|talks|tells) )?(?:about|on|titled|called|named|"
    r"regarding|concerning|for|of|with the title|covering|describing|explaining)"
    r"\s+(?:the\s+|an?\s+)?(.+)$",
    re.I,
)
_BEFORE = re.compile(rf"(?:the|an?|this|our|in|of)\s+((?:(?!the\b|of\b|in\b|on\b)[\w'’-]+\s+){{1,5}}){_NOUN}\b", re.I)
_NOISE = frozenset(
    stems(
        "page article recipe document post site blog web text title word words number many much need use used "
        "call calls say says according contain have does take cook cooking time temperature degree oven gram "
        "grams minute minutes "
        "second hour long character letter sentence count according url address link"
    )
)


@dataclass(frozen=True)
class Library:
    """The pair of tools that search for and open documents."""

    searcher: Tool
    query: str
    opener: Tool
    link: str


@dataclass(frozen=True, slots=True)
class Read:
    """What a document says: the value, its unit, and where it stands."""

    value: Any
    unit: str
    evidence: Evidence
    sure: float


def library(catalogue: Catalogue) -> Library | None:
    """The catalogue's documents, or None."""
    candidates = [tool for tool, _ in catalogue.search("search pages articles documents web", 12)]
    openers = [tool for tool, _ in catalogue.search("fetch read open page article document url", 12)]
    for searcher in candidates:
        required = searcher.required()
        if not searcher.read_only or len(required) != 1 or not set(required[0].words) & _SEARCH:
            continue
        for opener in openers:
            wanted = opener.required()
            if opener is searcher or not opener.read_only or len(wanted) != 1:
                continue
            linked = bool(set(wanted[0].words) & _LINK) or best_alike("page", opener.nouns) > 0
            if linked and wanted[0].name in searcher.outputs:
                return Library(searcher, required[0].name, opener, wanted[0].name)
    return None


def speaks_of_documents(text: str) -> bool:
    """Whether a question names a page, an article, a recipe."""
    return bool(_MENTIONED.search(text))


_QUANTITY = re.compile(
    r"^(?:according to [^,]+,\s*)?(?:(?:at|for|in|within|to|after) )?(?:how (?:many|"
    r"much|long|hot|warm)|what (?:temperature|amount|quantity)|"
    r"(?:the )?(?:number|amount|quantity|temperature|oven temperature|(?:cooking |"
    r"baking |roasting |simmering )?time)\b)"
    r"|\btemperature\b|\bhow (?:many|much|long|hot|warm)\b|^(?:the )?(?:\w+ )?(?:grams?|"
    r"millilit\w+|minutes?|degrees)\b",
    re.I,
)


def asked_of_page(text: str, want: str, head: Sequence[str]) -> str:
    """What a question wants of a page: `quantity`, `body`, a field (`title`, `url`), or "" for nothing of these."""
    words = text.lower().split()
    first = " ".join(words[:4])
    for name in ("title", "url", "link"):
        if re.search(rf"\b{name}\b", first) or stem(name) in head:
            return name
    if re.search(r"\baddress\b", first):
        return "url"
    if want == "text" or re.match(r"(?:the )?(?:whole |full )?(?:text|content|body)\b", text, re.I):
        return "body"
    if any(best_alike(w, _PAGES) == 1.0 for w in head) and not _QUANTITY.search(re.sub(_MENTIONED, "", text)):
        return ""
    if want == "number" or _QUANTITY.search(text):
        return "" if head and best_alike(head[-1], _PAGES) == 1.0 else "quantity"
    return ""


_PAGES = frozenset(stems("page article document post"))


def topic(text: str) -> tuple[str, ...]:
    """The words to search for."""
    about = _ABOUT.search(text)
    before = _BEFORE.search(text)
    said = about.group(1) if about else before.group(1) if before else text
    if about or before:
        said = re.split(r"\s+(?:does|do|did|have|has|contain|need|call|use|take|say|is|are|according)\b", said)[0]
    words = [
        w for w in re.findall(r"[^\W_]+(?:['’-][^\W_]+)*", said) if w.lower() not in STOP and stem(w) not in _NOISE
    ]
    return tuple(w for w in words if not w.isdigit())[:8]


class Documents:
    """Looks one question up in the documents, by the results so far."""

    def __init__(self, held: Library, results: Sequence[ActionResult]) -> None:
        self._library = held
        self._results = results

    def _found(self, tool: Tool, argument: str, value: str) -> ActionResult | None:
        return next((r for r in self._results if r.tool == tool.name and r.arguments.get(argument) == value), None)

    def pages(self, text: str) -> tuple[list[dict[str, Any]], list[Action]]:
        """The hits for a question, best first, or the searches to make."""
        words = topic(text)
        if not words:
            return [], []
        whole = " ".join(words)
        done = self._found(self._library.searcher, self._library.query, whole)
        if done is None:
            return [], [self._search(whole)]
        hits = _hits(done, self._library.link)
        if not hits and len(words) > 1:
            singles = sorted(dict.fromkeys(words), key=len, reverse=True)[:5]
            missing = [w for w in singles if self._found(self._library.searcher, self._library.query, w) is None]
            if missing:
                return [], [self._search(w) for w in missing]
            for word in singles:
                result = self._found(self._library.searcher, self._library.query, word)
                hits += _hits(result, self._library.link) if result is not None else []
        return _ranked(hits, words, self._library.link), []

    def _search(self, words: str) -> Action:
        return Action(tool=self._library.searcher.name, arguments={self._library.query: words})

    def page(self, text: str) -> tuple[ActionResult | None, list[Action]]:
        """The opened page that fits best, or the calls that lead to it."""
        hits, actions = self.pages(text)
        if actions or not hits:
            return None, actions
        address = str(hits[0][self._library.link])
        opened = self._found(self._library.opener, self._library.link, address)
        if opened is None:
            return None, [Action(tool=self._library.opener.name, arguments={self._library.link: address})]
        return (opened if opened.success else None), []

    def field(self, text: str, names: Sequence[str]) -> tuple[Read | None, list[Action]]:
        """A field that the search itself tells (the title, the address)."""
        hits, actions = self.pages(text)
        if not hits:
            return None, actions
        for name in names:
            for key, value in hits[0].items():
                if best_alike(stem(name), stems(key)) == 1.0 and isinstance(value, str):
                    return Read(
                        value, "", Evidence(tool=self._library.searcher.name, path=f"/{key}", value=value), 0.9
                    ), []
        return None, []

    def body(self, text: str) -> tuple[Read | None, list[Action]]:
        """The whole text of the page."""
        page, actions = self.page(text)
        if page is None:
            return None, actions
        key, value = _body(page.output)
        return (Read(value, "", Evidence(tool=page.tool, path=key, value=value[:200]), 0.9) if value else None), []

    def quantity(self, text: str) -> tuple[Read | None, list[Action]]:
        """The number that the page's text gives to the question."""
        page, actions = self.page(text)
        if page is None:
            return None, actions
        key, value = _body(page.output)
        # What chose the page (its title, its address) chooses nothing in it.
        named = (
            {stem(w) for k, v in page.output.items() if k != key[1:] and isinstance(v, str) for w in parts(v)}
            if isinstance(page.output, dict)
            else set()
        )
        found: Quantity | None = quantity(value, text, frozenset(named)) if value else None
        if found is None:
            return None, []
        return Read(found.value, found.unit, Evidence(tool=page.tool, path=key, value=found.sentence), found.sure), []


def _hits(result: ActionResult, link: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    queue: list[Any] = [result.output] if result.success else []
    while queue:
        value = queue.pop(0)
        if isinstance(value, dict):
            if isinstance(value.get(link), str):
                found.append(value)
            queue += value.values()
        elif isinstance(value, list):
            queue += value
    return found


def _ranked(hits: list[dict[str, Any]], words: Sequence[str], link: str) -> list[dict[str, Any]]:
    counts: dict[str, int] = {}
    unique: dict[str, dict[str, Any]] = {}
    for hit in hits:
        address = str(hit[link])
        counts[address] = counts.get(address, 0) + 1
        unique.setdefault(address, hit)
    wanted = {stem(w) for w in words}

    def fit(address: str) -> tuple[int, int]:
        title = {stem(w) for v in unique[address].values() if isinstance(v, str) for w in parts(v)}
        return len(wanted & title), counts[address]

    return [unique[a] for a in sorted(unique, key=fit, reverse=True)]


def _body(output: Any) -> tuple[str, str]:
    if isinstance(output, str):
        return "", output
    if isinstance(output, dict):
        for name in _BODY:
            if isinstance(output.get(name), str):
                return f"/{name}", output[name]
        texts = [(k, v) for k, v in output.items() if isinstance(v, str)]
        if texts:
            key, value = max(texts, key=lambda pair: len(pair[1]))
            return f"/{key}", value
    return "", ""
