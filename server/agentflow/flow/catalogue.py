"""The tools of one principal, as a planner sees them: searchable, each read as verb, entity, parameters, outputs.

Nothing is known in advance about any tool. What it produces is read from `outputSchema` where there is one, and
guessed from its name and description where there is none. A tool counts as read-only only when its annotations
say so or, without annotations, when its leading verb is one that reads.
"""

from __future__ import annotations

import threading
from collections import OrderedDict, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from agentflow.flow.bm25 import Index, field_names
from agentflow.flow.port import ToolView
from agentflow.flow.words import READ_VERBS, STOP, WRITE_VERBS, alike, best_alike, parts, stem, stems

JSON = dict[str, Any]
WRAPPERS = frozenset(parts("result results data items records rows content value values list entries hits response"))
ID_WORDS = frozenset(stems("id ids uid uuid identifier key code ref reference number no slug"))
_NOISE = frozenset(stems("details detail info information record all my current one by tool api v v1 v2"))
_INPUT_PREPOSITIONS = frozenset(parts("for of by from in with to"))


@dataclass(frozen=True, slots=True)
class Param:
    """One argument of a tool.

    Attributes:
        type: JSON type, or "" where the schema leaves it open.
        entity: stem of the entity whose id it wants (`customer_id` → customer, bare `id` → the tool's own), or "".
    """

    name: str
    words: tuple[str, ...]
    type: str
    required: bool
    schema: JSON
    entity: str = ""

    @property
    def enum(self) -> list[Any]:
        values = self.schema.get("enum")
        if values is None:
            values = next(
                (b.get("enum") for b in self.schema.get("anyOf") or () if isinstance(b, dict) and "enum" in b), None
            )
        if values is None and "const" in self.schema:
            values = [self.schema["const"]]
        return values if isinstance(values, list) else []


@dataclass(frozen=True)
class Tool:
    """A tool, read.

    Attributes:
        nouns: stems of what it is about; the last is the entity it returns.
        inputs: stems after a preposition in its name (`orders_for_customer` → customer).
        outputs: property names of its outputSchema, nested ones included.
    """

    view: ToolView
    verb: str
    nouns: tuple[str, ...]
    inputs: tuple[str, ...]
    many: bool
    outputs: frozenset[str]
    read_only: bool
    params: tuple[Param, ...] = ()

    @property
    def name(self) -> str:
        return self.view.name

    @property
    def entity(self) -> str:
        return self.nouns[-1] if self.nouns else ""

    @cached_property
    def described(self) -> frozenset[str]:
        """Stems of its title and description."""
        return frozenset(stems(f"{self.view.title} {self.view.description}"))

    @cached_property
    def named(self) -> frozenset[str]:
        """Stems that name it, its parameters and its outputs."""
        words = set(self.nouns) | set(self.inputs)
        for param in self.params:
            words.update(param.words)
        for output in self.outputs:
            words.update(stems(output))
        return frozenset(words)

    def required(self) -> list[Param]:
        return [p for p in self.params if p.required]


def read_tool(view: ToolView) -> Tool:
    """Read one tool's name, annotations and schemas."""
    words = list(parts(_bare(view)))
    verb = next((w for w in words if w in READ_VERBS or w in WRITE_VERBS), "")
    nouns, inputs = _nouns(words, verb)
    many = verb in ("list", "search") or any(w.endswith("s") and stem(w) != w for w in words)
    own = nouns[-1] if nouns else ""
    outputs = frozenset(_properties(view.output_schema, view.output_schema, 4)) - {"result"}
    return Tool(
        view, verb, nouns, inputs, many, outputs, _read_only(view, words), tuple(_params(view.input_schema, own))
    )


def _bare(view: ToolView) -> str:
    """The tool's own name, without the server's namespace."""
    name = view.name
    if view.server and name.lower().startswith(view.server.lower()) and len(name) > len(view.server):
        rest = name[len(view.server) :].lstrip("_.-/:")
        return rest or name
    return name.rsplit("__", 1)[-1]


def _nouns(words: Sequence[str], verb: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    nouns: list[str] = []
    inputs: list[str] = []
    into = nouns
    for word in words:
        if word in _INPUT_PREPOSITIONS:
            into = inputs
        elif (
            word != verb
            and word not in STOP - {"page"}
            and not (word in READ_VERBS and nouns)
            and stem(word) not in _NOISE
        ):
            into.append(stem(word))
    return tuple(nouns), tuple(inputs)


def _read_only(view: ToolView, words: Sequence[str]) -> bool:
    hints = view.annotations or {}
    if isinstance(hints.get("readOnlyHint"), bool):
        return bool(hints["readOnlyHint"])
    if hints.get("destructiveHint") is True:
        return False
    opening = parts(view.description or "")[:1]
    if any(w in WRITE_VERBS and w not in _ALSO_NOUNS for w in words) or any(w in WRITE_VERBS for w in words[:1]):
        return False
    if any(w in READ_VERBS for w in words):
        return True
    return bool(opening) and (opening[0] in READ_VERBS or stem(opening[0]) in {stem(w) for w in READ_VERBS})


_ALSO_NOUNS = frozenset(parts("order book tag post comment email note store log reply transfer set mark schedule run"))


def schema_type(schema: JSON) -> str:
    """The JSON type a schema asks for, null left aside; "" where it is open."""
    kind = schema.get("type")
    if isinstance(kind, list):
        kind = next((k for k in kind if k != "null"), "")
    if isinstance(kind, str):
        return kind
    for key in ("anyOf", "oneOf", "allOf"):
        for branch in schema.get(key) or ():
            if isinstance(branch, dict) and (inner := schema_type(branch)) not in ("", "null"):
                return inner
    values = schema.get("enum")
    return "string" if isinstance(values, list) and all(isinstance(v, str) for v in values) else ""


def resolve(schema: Any, root: JSON) -> JSON:
    """Follow one local `$ref`."""
    for _ in range(8):
        if not isinstance(schema, dict) or not isinstance(schema.get("$ref"), str):
            break
        target: Any = root
        for step in schema["$ref"].removeprefix("#").strip("/").split("/"):
            target = target.get(step) if isinstance(target, dict) and step else target
        schema = target
    return schema if isinstance(schema, dict) else {}


def _params(schema: JSON, own: str) -> Iterable[Param]:
    properties = schema.get("properties")
    if not isinstance(properties, dict):
        return
    required = schema.get("required")
    wanted = set(required) if isinstance(required, list) else set()
    for name, raw in properties.items():
        inner = resolve(raw, schema)
        words = stems(str(name))
        yield Param(name, words, schema_type(inner), name in wanted, inner, _id_entity(words, own))


def _id_entity(words: tuple[str, ...], own: str) -> str:
    if not words or words[-1] not in ID_WORDS:
        return ""
    rest = [w for w in words if w not in ID_WORDS]
    return rest[-1] if rest else own


def _properties(schema: Any, root: Any, depth: int) -> Iterable[str]:
    if not isinstance(schema, dict) or depth < 0:
        return
    schema = resolve(schema, root if isinstance(root, dict) else {})
    properties = schema.get("properties")
    if isinstance(properties, dict):
        for name, inner in properties.items():
            yield str(name)
            yield from _properties(inner, root, depth - 1)
    yield from _properties(schema.get("items"), root, depth - 1)
    for key in ("anyOf", "oneOf", "allOf"):
        for branch in schema.get(key) or ():
            yield from _properties(branch, root, depth - 1)


_SEARCHES = 200  # whose results a catalogue keeps: planner, verifier and writer of a run search for the same
_WORDS = 2_000  # of questions, for which a catalogue keeps what it found
_KEPT = 6  # catalogues that stay read
_RESTS = 40  # of what is derived from one


def catalogue_of(tools: Sequence[ToolView]) -> Catalogue:
    """The catalogue of these tools; what was read of the same ones before is not read again.

    Given a catalogue's own `views` it is found at once; any other sequence is compared, tool by tool.
    """
    with _MUTEX:
        known = next((kept for kept in reversed(_CATALOGUES.values()) if kept.views is tools), None)
    if known is not None:
        return known
    views = tuple(tools)
    key = hash(tuple((view.name, view.description) for view in views))
    with _MUTEX:
        kept = _CATALOGUES.get(key)
        if kept is not None and kept.views == views:
            _CATALOGUES.move_to_end(key)
            return kept
        made = _CATALOGUES[key] = Catalogue(views)
        _CATALOGUES.move_to_end(key)
        while len(_CATALOGUES) > _KEPT:
            _CATALOGUES.popitem(last=False)
    return made


def without(tools: Sequence[ToolView], name: str) -> Sequence[ToolView]:
    """These tools but one; of the same tools the very same rest again, so that it is read once."""
    derived, key = catalogue_of(tools).derived, f"without {name}"
    if key not in derived:
        if len(derived) >= _RESTS:
            derived.clear()
        derived[key] = tuple(view for view in tools if view.name != name)
    rest: Sequence[ToolView] = derived[key]
    return rest


@dataclass(eq=False)
class Catalogue:
    """Tools with their index; tools are read when first needed, so that thousands cost little.

    Attributes:
        derived: what else was read of it, by name, for as long as it is kept.
    """

    views: Sequence[ToolView]
    derived: dict[str, Any] = field(default_factory=dict)
    _read: dict[str, Tool] = field(default_factory=dict)
    _about: dict[str, list[Tool]] = field(default_factory=dict)
    _found: dict[str, list[tuple[Tool, float]]] = field(default_factory=dict)
    _known: dict[str, bool] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._views = {view.name: view for view in self.views}

    def __contains__(self, name: str) -> bool:
        return name in self._views

    def __len__(self) -> int:
        return len(self._views)

    @cached_property
    def index(self) -> Index:
        return Index(self.views)

    def tool(self, name: str) -> Tool | None:
        """The tool of that exact name, read, or None."""
        view = self._views.get(name)
        if view is None:
            return None
        if name not in self._read:
            self._read[name] = read_tool(view)
        return self._read[name]

    def search(self, text: str, k: int = 20) -> list[tuple[Tool, float]]:
        """The `k` tools that fit a text best, with BM25 scores."""
        key = f"{k} {text}"
        if key not in self._found:
            if len(self._found) >= _SEARCHES:
                self._found.clear()
            found = [(self.tool(view.name), score) for view, score in self.index.search(text, k)]
            self._found[key] = [(tool, score) for tool, score in found if tool is not None]
        return list(self._found[key])

    @cached_property
    def _by_noun(self) -> dict[str, list[str]]:
        nouns: dict[str, list[str]] = defaultdict(list)
        for view in self.views:
            for word in dict.fromkeys(stems(_bare(view))):
                nouns[word].append(view.name)
        return nouns

    def about(self, noun: str, k: int = 12) -> list[Tool]:
        """Up to `k` tools whose name is about a noun or a near-synonym of it, exact matches first."""
        key = f"{k} {noun}"
        if key not in self._about:
            if len(self._about) >= _WORDS:
                self._about.clear()
            names = list(self._by_noun.get(noun, ()))
            alikes = [word for word in self._by_noun if word != noun and best_alike(noun, (word,))]
            names += [name for word in alikes for name in self._by_noun[word]]
            tools = [self.tool(name) for name in dict.fromkeys(names[: 4 * k])]
            ranked = [t for t in tools if t is not None and t.nouns]
            ranked.sort(key=lambda t: (best_alike(noun, t.nouns[-1:]), t.entity == noun), reverse=True)
            self._about[key] = ranked[:k]
        return list(self._about[key])

    @cached_property
    def _fields(self) -> frozenset[str]:
        names = {field for view in self.views for field in field_names(view)}
        return frozenset(word for name in names for word in stems(name))

    def knows(self, word: str) -> bool:
        """Whether some tool, argument or output is named after the word (or a near-synonym)."""
        if word not in self._known:
            if len(self._known) >= _WORDS:
                self._known.clear()
            self._known[word] = any(best_alike(word, names) for names in (self._by_noun, self._fields))
        return self._known[word]

    def is_entity(self, word: str) -> bool:
        """Whether some tool returns things of that name."""
        return any(alike(tool.entity, word) for tool in self.about(word, 6))


_CATALOGUES: OrderedDict[int, Catalogue] = OrderedDict()
_MUTEX = threading.Lock()
