"""What the results of a run say, as records with their entity, their path and where their arguments came from.

Every value is data: nothing found in a result is read as an instruction.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from agentflow.flow.catalogue import WRAPPERS, Catalogue
from agentflow.flow.results import empty
from agentflow.flow.types import ActionResult
from agentflow.flow.words import best_alike, stem, stems

JSON = dict[str, Any]
_MAX_RECORDS = 5000
_MAX_LINKS = 6


@dataclass(frozen=True, slots=True)
class Record:
    """One object in a result.

    Attributes:
        action: index of the result it stands in.
        path: JSON pointer of the object in that result.
        nouns: stems of what it is; the last is the entity.
        group: pointer of the list it is an element of, or its own path.
        parent: the record around it, or None.
    """

    action: int
    tool: str
    path: str
    nouns: tuple[str, ...]
    data: JSON
    group: str
    parent: Record | None = None

    @property
    def entity(self) -> str:
        return self.nouns[-1] if self.nouns else ""

    def is_a(self, noun: str) -> float:
        """How well a noun names it: 1 its entity, 0.7 a near-synonym, 0.4 a qualifier."""
        return max(best_alike(noun, self.nouns[-1:]), 0.4 * best_alike(noun, self.nouns[:-1]))

    def fields(self, prefix: str = "", data: JSON | None = None, depth: int = 3) -> Iterator[tuple[str, Any]]:
        """Scalar fields, nested objects' included, as (`address/city`, value); lists of scalars count as one."""
        for key, value in (self.data if data is None else data).items():
            path = f"{prefix}{key}"
            if isinstance(value, dict):
                if depth:
                    yield from self.fields(f"{path}/", value, depth - 1)
            elif not isinstance(value, list) or not any(isinstance(v, dict | list) for v in value):
                yield path, value


@dataclass(slots=True)
class Link:
    """An argument that stands in an earlier result, and so may come from it: which record, which field."""

    action: int
    record: Record
    key: str
    param: str


@dataclass
class Facts:
    """All that the successful results of a run hold."""

    actions: Sequence[ActionResult]
    catalogue: Catalogue
    records: list[Record] = field(default_factory=list)
    scalars: dict[int, Any] = field(default_factory=dict)
    empty: list[int] = field(default_factory=list)
    links: dict[int, list[Link]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for index, action in enumerate(self.actions):
            if not action.success:
                continue
            self.links[index] = list(self._find_links(index, action))
            nouns = self._nouns(action.tool)
            if isinstance(action.output, dict | list):
                if empty(action.output):
                    self.empty.append(index)
                else:
                    self.records += self._walk(index, action.tool, action.output, "", nouns, None, 6)
            elif action.output is not None:
                self.scalars[index] = action.output

    def _nouns(self, tool: str) -> tuple[str, ...]:
        known = self.catalogue.tool(tool)
        return known.nouns if known is not None else stems(tool)

    def _walk(
        self, index: int, tool: str, data: Any, path: str, nouns: tuple[str, ...], parent: Record | None, depth: int
    ) -> Iterable[Record]:
        if depth < 0 or len(self.records) > _MAX_RECORDS:
            return
        if isinstance(data, list):
            for i, item in enumerate(data[:_MAX_RECORDS]):
                if isinstance(item, dict):
                    yield from self._object(index, tool, item, f"{path}/{i}", nouns, parent, depth, path)
            return
        if isinstance(data, dict):
            yield from self._object(index, tool, data, path, nouns, parent, depth, path)

    def _object(
        self,
        index: int,
        tool: str,
        data: JSON,
        path: str,
        nouns: tuple[str, ...],
        parent: Record | None,
        depth: int,
        group: str,
    ) -> Iterable[Record]:
        record = Record(index, tool, path, nouns, data, group, parent)
        inner = [(k, v) for k, v in data.items() if _holds_records(v)]
        wrapper = (
            bool(inner) and all(k.lower() in WRAPPERS or self._same(k, nouns) for k, _ in inner) and not _has_id(data)
        )
        if not wrapper:
            yield record
        for key, value in inner:
            own = (
                nouns
                if wrapper and key.lower() in WRAPPERS
                else (*nouns[-1:], stem(stems(key)[-1]) if stems(key) else key)
            )
            if wrapper and self._same(key, nouns):
                own = nouns
            yield from self._walk(
                index, tool, value, f"{path}/{_escape(key)}", own, None if wrapper else record, depth - 1
            )

    @staticmethod
    def _same(key: str, nouns: tuple[str, ...]) -> bool:
        return bool(nouns) and best_alike(nouns[-1], stems(key)) > 0

    def _find_links(self, index: int, action: ActionResult) -> Iterable[Link]:
        for param, value in action.arguments.items():
            if isinstance(value, bool) or not isinstance(value, str | int | float) or value == "":
                continue
            seen: set[tuple[int, str]] = set()
            for record in reversed(self.records):
                for key, v in record.fields():
                    if v == value and type(v) is type(value) and (record.action, key) not in seen:
                        seen.add((record.action, key))
                        yield Link(index, record, key, param)
                if len(seen) >= _MAX_LINKS:
                    break

    def lineage(self, index: int) -> list[int]:
        """The result and every result its arguments came from, itself first."""
        seen = [index]
        for current in seen:
            seen += [link.record.action for link in self.links.get(current, ()) if link.record.action not in seen]
        return seen

    def arguments(self, index: int) -> list[Any]:
        """Every argument value in a result's lineage."""
        return [v for i in self.lineage(index) for v in self.actions[i].arguments.values()]


def _holds_records(value: Any) -> bool:
    if isinstance(value, dict):
        return bool(value)
    return isinstance(value, list) and any(isinstance(item, dict) for item in value)


def _has_id(data: JSON) -> bool:
    return any(stems(key)[-1:] == ("id",) for key in data)


def _escape(key: str) -> str:
    return key.replace("~", "~0").replace("/", "~1")
