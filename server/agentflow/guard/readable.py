"""Everything of a message that a model reads, as (path, text): what the injection detectors are given.

It promises: each key, value, address and text file of a body once, in order; what is inside a string that holds
JSON; and what stands in several places, run together, since an attack may be spread over fields or blocks.
A path is a JSON pointer (RFC 6901); `<pointer>#key` is the member's own name, `<pointer>#/a` the member `a` of the
JSON that is in the string there, and `<pointer>#joined` the texts below it, joined by blanks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any, Final

from agentflow.guard.injection import Detector, Screening
from agentflow.guard.walk import JSON, Kind, Leaf, leaves, strings

KEY: Final = "#key"
JOINED: Final = "#joined"
_BLOCKS: Final = ("content", "contents", "messages")
_JOINED_FROM, _JOINED_TO = 2, 200  # strings of which one text is made
_LONGEST_JOINED: Final = 20_000  # characters; what is longer has room for a whole attack in one place


def path_of(leaf: Leaf) -> str:
    """The path of a leaf, by which findings in it are known."""
    return leaf.pointer + KEY if leaf.kind is Kind.KEY else leaf.pointer


def screened(detector: Detector, body: JSON) -> tuple[Screening, Callable[[], dict[str, str]]]:
    """Screen a message as a whole; return what was found, and what gives every text that was read, by path.

    What the texts say together counts where they say more than each of them alone. Paths are made only where they are
    asked for: few messages have anything to point at.
    """
    found = [leaf for leaf in leaves(body, files=True) if isinstance(leaf.value, str)]
    texts = [str(leaf.value) for leaf in found]
    inner = [(n, place, value) for n, text in enumerate(texts) if "\\" in text for place, value in _unpacked(text)]
    texts += [value for _, _, value in inner]
    joined: dict[str, str] = {}

    def path(number: int) -> str:
        if number < len(found):
            return path_of(found[number])
        outer, place, _ = inner[number - len(found)]
        return path_of(found[outer]) + place

    def read() -> dict[str, str]:
        return {path(number): text for number, text in enumerate(texts)} | joined

    screening = detector.score_many([(str(number), text) for number, text in enumerate(texts)])
    if screening.findings:
        placed = tuple(replace(finding, path=path(int(finding.path))) for finding in screening.findings)
        screening = replace(screening, findings=placed)
    for place, text in _together(body, found):
        if not detector.clean(text) and (joint := detector.score(text, place)).score > screening.score:
            overt, doubt = max(joint.overt, screening.overt), max(joint.doubt, screening.doubt)
            screening = Screening(joint.score, (*joint.findings, *screening.findings), overt, doubt)
            joined[place] = text
    return screening, read


def _unpacked(text: str) -> Iterator[tuple[str, str]]:
    for place, value in list(strings({"": text}))[1:]:
        yield place[1:], value


def _together(body: JSON, found: Sequence[Leaf]) -> Iterator[tuple[str, str]]:
    """Adjacent blocks, and the values of structured content, as one text each."""
    for key in _BLOCKS:
        blocks = body.get(key)
        if isinstance(blocks, list) and len(blocks) > 1:
            said = [text for block in blocks if (text := _text_of(block))]
            if len(said) > 1:
                yield f"/{key}{JOINED}", " ".join(said)
    if "structuredContent" in body:
        values = [str(leaf.value) for leaf in _structured(found)]
        if _JOINED_FROM <= len(values) <= _JOINED_TO and sum(map(len, values)) <= _LONGEST_JOINED:
            yield f"/structuredContent{JOINED}", " ".join(values)


def _structured(found: Sequence[Leaf]) -> Iterator[Leaf]:
    """The values of structured content; of each container it is found out once whether it belongs to that."""
    belongs: dict[int, bool] = {}
    for leaf in found:
        if leaf.kind is not Kind.VALUE:
            continue
        node = leaf.node
        known = belongs.get(id(node))
        if known is None:
            known = belongs[id(node)] = leaf.path[0] == "structuredContent" if node.parent else False
        if known or (node.parent is None and leaf.key == "structuredContent"):
            yield leaf


def _text_of(block: Any) -> str:
    if not isinstance(block, dict):
        return ""
    inner = block.get("content")
    text = inner.get("text") if isinstance(inner, dict) else block.get("text")
    return text if isinstance(text, str) else ""


def every_string(item: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Yield every key and string of a definition, control fields too: a model is shown all of it. Iterative."""
    stack = [(path, item)]
    while stack:
        here, value = stack.pop()
        if isinstance(value, str):
            yield here, value
        elif isinstance(value, dict):
            for key, inner in value.items():
                place = f"{here}/{key.replace('~', '~0').replace('/', '~1')}"
                yield place, key
                stack.append((place, inner))
        elif isinstance(value, list):
            stack.extend((f"{here}/{index}", inner) for index, inner in enumerate(value))
