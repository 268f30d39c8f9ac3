"""Replacing PII in a message by tokens: find, name, rewrite.

It promises: one look at the whole body, one vault transaction, and a body of the same shape. Strings stay
strings, numbers stay numbers, and text that holds JSON still parses: an escaped string inside it is decoded,
redacted and escaped again, a bare number becomes a number token. Equal values get equal names wherever they stand.

Encoded text is looked into (`embedded.py`), and so are adjacent blocks as one (`joints.py`).

Where a schema restricts a value further, the replacement follows (`fitting.py`): `format: email` gets an address in
`redacted.invalid`; a number with a `maximum` below the number tokens becomes its `minimum` or 0, which cannot be
turned back. The text twin of such structured content is written anew, equal to it. What fits no schema is withheld.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from typing import Any, Final

from agentflow.errors import ContentBlocked
from agentflow.guard import embedded, fitting, joints, tokens
from agentflow.guard import schema as schemas
from agentflow.guard.digests import Known
from agentflow.guard.embedded import Edit, Value, only, scan
from agentflow.guard.entities import canonicals
from agentflow.guard.sensitive import SensitiveMatcher
from agentflow.guard.spans import Matcher
from agentflow.guard.strategies import Replacement, Strategies, apply
from agentflow.guard.vault import Vault
from agentflow.guard.walk import JSON, Kind, Leaf, leaves, masked_pointer, replace, serialised

_SMALLEST_NUMBER: Final = 10_000_000
# A resource's address keeps its host: without it nobody could read the resource.
_NOT_IN_URIS: Final = frozenset({"IP", "MAC"})
_NOTHING: Final[frozenset[str]] = frozenset()
_EMPTY: Final = 4096  # messages that are known to hold nothing


@dataclass(frozen=True, slots=True)
class Redaction:
    """What became of a body: itself when nothing was found.

    Attributes:
        counts: values by type.
        found: the leaves that held one.
        mask: takes what is personal out of a text.
    """

    body: JSON
    counts: dict[str, int]
    found: Sequence[Leaf] = ()
    mask: Callable[[str], str] = str

    @property
    def paths(self) -> list[str]:
        """JSON pointers to what was found; a member whose name is personal itself appears as its type."""
        return [masked_pointer(leaf.pointer, self.mask) for leaf in self.found]


class Tokeniser:
    """Replaces PII by tokens of one vault, written in one style."""

    def __init__(
        self, matcher: Matcher, vault: Vault, style: tokens.TokenFormat, strategies: Strategies | None = None
    ) -> None:
        self._matcher = matcher
        self._vault = vault
        self._style = style
        self._strategies = strategies or Strategies()
        self._empty = Known(_EMPTY)

    def seeing(self, matcher: Matcher) -> Tokeniser:
        """Return this tokeniser over another matcher: one that knows what the deep tier found, for one body."""
        other = copy(self)
        other._matcher = matcher
        other._empty = Known(_EMPTY)  # what one matcher does not find another may
        return other

    def masking(self, types: Collection[str]) -> Tokeniser:
        """Return this tokeniser with some types masked, `*` for all; for one body."""
        other = copy(self)
        other._strategies = self._strategies.masking(types)
        return other

    def redact(
        self,
        tenant: str,
        body: JSON,
        types: Sequence[str] = ("*",),
        *,
        numbers: bool = True,
        output_schema: Any = None,
        scope: str = "",
        data: bytes | None = None,
        digest: bytes | None = None,
    ) -> Redaction:
        """Return `body` with every value of `types` replaced.

        Args:
            types: PII types, or `"*"` for all.
            numbers: whether a number must stay a number; else it becomes a token like any string.
            output_schema: JSON Schema of `body["structuredContent"]`, when there is one.
            scope: whose tokens these are (see `Vault.tokens`).
            data: the body as serialised JSON, where it is at hand.
            digest: what the body is known again by (`guard.digests`), where it may be.

        Raises:
            VaultUnavailable: a new token could not be kept.
        """
        own = self._matcher.for_tenant(tenant)
        if own is not self._matcher:
            return self.seeing(own).redact(
                tenant, body, types, numbers=numbers, output_schema=output_schema, scope=scope, data=data
            )
        every = tuple(types) == ("*",)
        if not every and isinstance(own, SensitiveMatcher) and (asked := own.also(canonicals(types))) is not own:
            return self.seeing(asked).redact(
                tenant, body, types, numbers=numbers, output_schema=output_schema, scope=scope, data=data
            )
        if self._empty.has(tenant, digest):
            return Redaction(body, {})
        wanted = None if "*" in types else canonicals(types)
        plan = self._plan(body, wanted, numbers, data) if types else []
        if plan is None:  # no matcher finds anything, whatever is wanted
            self._empty.add(tenant, digest)
        if not plan:
            return Redaction(body, {})
        values = [value for _, edits in plan for value in embedded.values(edits)]
        shown = apply(self._vault, tenant, list(dict.fromkeys(values)), self._strategies, self._style, scope)
        changes, fitted = [], False
        for leaf, edits in plan:
            new, fits = self._replacement(leaf, edits, shown, output_schema)
            changes.append((leaf, new))
            fitted = fitted or fits
        redacted = replace(body, changes)
        if output_schema is not None and redacted.get("structuredContent") is not body.get("structuredContent"):
            redacted = _checked(body, redacted, output_schema, fitted)
        counts: dict[str, int] = {}
        for kind, _ in values:
            counts[kind] = counts.get(kind, 0) + 1
        return Redaction(redacted, counts, [leaf for leaf, _ in plan], self._matcher.mask)

    def replaces(self, kind: str, types: Sequence[str]) -> bool:
        """Whether values of a type would be replaced where these types are asked for."""
        return self._replaces(kind, None if "*" in types else canonicals(types))

    def _plan(
        self, body: JSON, wanted: frozenset[str] | None, numbers: bool, data: bytes | None
    ) -> list[tuple[Leaf, tuple[Edit, ...]]] | None:
        """Every leaf with something to replace, and what; None where a quick look shows that there is none."""
        cut = joints.suspect(self._matcher, body)
        matcher = self._matcher if cut else self._left(body, data)
        if matcher is None:
            return None
        look = self if matcher is self._matcher else self.seeing(matcher)
        same: dict[tuple[str, str | int | float, bool], tuple[Edit, ...]] = {}
        plan = []
        for leaf in leaves(body, None if cut else look._clean, files=True):
            key = (leaf.label, leaf.value, leaf.kind is Kind.URI)
            edits = same.get(key)
            if edits is None:
                edits = same[key] = look._edits(leaf, wanted, numbers)
            if edits or cut:
                plan.append((leaf, edits))
        if cut:
            plan = joints.across(self._matcher, plan, lambda kind: self._replaces(kind, wanted))
        return [(leaf, edits) for leaf, edits in plan if edits]

    def _left(self, item: Any, data: bytes | None = None) -> Matcher | None:
        """The matcher of as little as a quick look leaves to be found, or None where that is nothing."""
        data = serialised(item) if data is None else data
        if data is None or b'"blob"' in data or embedded.suspect(data):  # no quick look sees into base64
            return self._matcher
        if isinstance(self._matcher, SensitiveMatcher):
            return self._matcher.narrowed(data)
        return self._matcher if self._matcher.suspect(data) else None

    def _clean(self, item: Any) -> bool:
        """Whether a quick look shows that nothing is to be found."""
        return self._left(item) is None

    def _replaces(self, kind: str, wanted: frozenset[str] | None) -> bool:
        return (wanted is None or kind in wanted) and self._strategies.of(kind) != "pass"

    def _edits(self, leaf: Leaf, wanted: frozenset[str] | None, numbers: bool) -> tuple[Edit, ...]:
        value = leaf.value
        if not isinstance(value, str):
            return self._number_edits(value, leaf.label, wanted, numbers)
        edits = scan(self._matcher, value, leaf.label)
        unwanted = _NOT_IN_URIS if leaf.kind is Kind.URI else _NOTHING
        if edits and self._strategies.passes:
            unwanted |= {kind for kind, _ in embedded.values(edits) if self._strategies.of(kind) == "pass"}
        if edits and (wanted is not None or unwanted):
            edits = only(edits, wanted, unwanted)
        return edits

    def _number_edits(
        self, value: int | float, label: str, wanted: frozenset[str] | None, keep: bool
    ) -> tuple[Edit, ...]:
        if not _SMALLEST_NUMBER <= value < 1e19 or value != int(value):
            return ()
        digits = str(int(value))
        found = self._matcher.find(digits, label)
        if len(found) != 1 or found[0].end - found[0].start != len(digits):
            return ()
        kind = found[0].type
        if (wanted is not None and kind not in wanted) or self._strategies.of(kind) == "pass":
            return ()
        return (Edit(0, len(digits), (kind, int(digits) if keep else digits)),)

    def _replacement(
        self, leaf: Leaf, edits: tuple[Edit, ...], shown: Mapping[Value, Replacement], output_schema: Any
    ) -> tuple[str | int | float, bool]:
        """What a leaf becomes, and whether a schema made it other than it would be elsewhere."""
        place = []
        if output_schema is not None and leaf.kind is Kind.VALUE and leaf.path[0] == "structuredContent":
            place = schemas.at(output_schema, leaf.path[1:])
        value = leaf.value
        if not isinstance(value, str):
            (edit,) = edits
            new = shown[edit.value or ("", "")].shown
            if isinstance(new, str):
                return new, False
            number = _within(new, place)
            return float(number) if isinstance(value, float) else number, number != new
        rendered = self._rendered(value, edits, shown)
        if not place:
            return rendered, False
        whole = edits[0].value if edits[0].end - edits[0].start == len(value) else None
        name = shown[whole].name if whole is not None else ""
        fitted = fitting.fitted(value, rendered, name, place, lambda text: not scan(self._matcher, text, leaf.label))
        return fitted, fitted != rendered

    def _rendered(self, text: str, edits: tuple[Edit, ...], shown: Mapping[Value, Replacement]) -> str:
        parts, position = [], 0
        for edit in edits:
            parts.append(text[position : edit.start])
            if edit.value is not None:
                parts.append(tokens.escaped(str(shown[edit.value].shown), edit.escape))
            else:
                inner = self._rendered(edit.decoded, edit.inner, shown)
                parts.append(embedded.encoded(edit, text[edit.start : edit.end], inner))
            position = edit.end
        parts.append(text[position:])
        return "".join(parts)


def _checked(body: JSON, redacted: JSON, output_schema: Any, fitted: bool) -> JSON:
    """Return `redacted` with its text twin brought in line where the schema made a difference.

    Raises:
        ContentBlocked: the redacted structured content does not satisfy its schema.
    """
    content = redacted["structuredContent"]
    if not fitting.valid(output_schema, content):
        raise ContentBlocked(
            "The result holds personal data or a secret where its outputSchema leaves no room for a replacement",
            fix="Let policy's `redact` spare the type, or relax the tool's outputSchema",
        )
    blocks = body.get("content")
    if not fitted or not isinstance(blocks, list):
        return redacted
    twins = {
        index: {**block, "text": fitting.rewritten(block["text"], content)}
        for index, block in enumerate(blocks)
        if isinstance(block, dict) and _reads_as(block.get("text"), body["structuredContent"])
    }
    if not twins:
        return redacted
    return {**redacted, "content": [twins.get(index, block) for index, block in enumerate(redacted["content"])]}


def _reads_as(text: Any, content: Any) -> bool:
    if not isinstance(text, str) or text.lstrip()[:1] not in ("{", "["):
        return False
    try:
        return bool(json.loads(text) == content)
    except (ValueError, RecursionError):
        return False


def _within(number: int, place: list[dict[str, Any]]) -> int:
    """Return `number`, or where the schema does not allow one so large, the smallest it allows from 0 up."""
    tops = [node[name] for node in place for name in ("maximum", "exclusiveMaximum") if _is_number(node.get(name))]
    if all(number < top for top in tops):
        return number
    floors = [node["minimum"] for node in place if _is_number(node.get("minimum"))]
    floors += [int(node["exclusiveMinimum"]) + 1 for node in place if _is_number(node.get("exclusiveMinimum"))]
    return max([0, *(int(-(-floor // 1)) for floor in floors)])


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
