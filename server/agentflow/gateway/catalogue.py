"""The merged catalogue: everything behind the gateway under the names that clients see.

It promises one owner per exposed name. Two upstreams that would share a name do not: the first one configured
keeps it, the other's entry is refused and named in `problems`. Definitions are the upstreams' raw JSON with
only the name replaced. A `Catalogue` is an immutable snapshot; a change makes a new one with a new revision.
"""

from __future__ import annotations

import base64
import binascii
import itertools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from mcp.shared.uri_template import UriTemplate

from agentflow.config import CatalogueConfig, ServerConfig
from agentflow.errors import InvalidArguments
from agentflow.gateway.upstreams.port import Upstream

JSON = dict[str, Any]
_revisions = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Entry:
    """One tool, prompt, resource or template: `name` as clients see it, `target` as the upstream does."""

    name: str
    target: str
    upstream: Upstream
    definition: JSON


@dataclass(frozen=True, slots=True)
class Member:
    """An upstream with its configuration, in the order of the file."""

    name: str
    config: ServerConfig
    upstream: Upstream


@dataclass(frozen=True)
class Catalogue:
    """A snapshot. Dictionaries keep the order in which clients list them."""

    revision: int = 0
    tools: dict[str, Entry] = field(default_factory=dict)
    prompts: dict[str, Entry] = field(default_factory=dict)
    resources: dict[str, Entry] = field(default_factory=dict)
    templates: dict[str, Entry] = field(default_factory=dict)
    problems: tuple[str, ...] = ()
    _matchers: tuple[tuple[UriTemplate, Entry], ...] = ()

    def resource(self, uri: str) -> Entry | None:
        """The owner of a URI: listed as it is, or the first template that matches it."""
        entry = self.resources.get(uri) or self.templates.get(uri)
        if entry is not None:
            return entry
        for template, owner in self._matchers:
            if template.match(uri) is not None:
                return owner
        return None


def build(members: Iterable[Member], config: CatalogueConfig) -> Catalogue:
    """Merge the members' current listings. About 2 µs per entry."""
    problems: list[str] = []
    tools: dict[str, Entry] = {}
    prompts: dict[str, Entry] = {}
    resources: dict[str, Entry] = {}
    templates: dict[str, Entry] = {}
    matchers: list[tuple[UriTemplate, Entry]] = []
    for member in members:
        listing = member.upstream.listing
        problems += [f"{member.name}: {problem}" for problem in listing.problems]
        show = _naming(member, config)
        _merge("tool", tools, member, listing.tools, "name", show, problems)
        _merge("prompt", prompts, member, listing.prompts, "name", show, problems)
        _merge("resource", resources, member, listing.resources, "uri", str, problems)
        added = _merge("resource template", templates, member, listing.templates, "uriTemplate", str, problems)
        for entry in added:
            try:
                matchers.append((UriTemplate.parse(entry.target), entry))
            except ValueError as error:
                problems.append(f"{member.name}: resource template {entry.target!r} is not RFC 6570: {error}")
    return Catalogue(next(_revisions), tools, prompts, resources, templates, tuple(problems), tuple(matchers))


def _naming(member: Member, config: CatalogueConfig) -> Callable[[str], str]:
    space = member.name if member.config.namespace is None else member.config.namespace
    prefix = f"{space}{config.separator}" if space else ""
    aliases = member.config.aliases

    def show(target: str) -> str:
        return aliases.get(target) or prefix + target

    return show


def _merge(
    what: str,
    into: dict[str, Entry],
    member: Member,
    definitions: Sequence[JSON],
    key: str,
    show: Callable[[str], str],
    problems: list[str],
) -> list[Entry]:
    added = []
    for definition in definitions:
        target = definition[key]
        name = show(target)
        taken = into.get(name)
        if taken is not None:
            owner = taken.upstream.facts.name
            problems.append(
                f"{member.name}: {what} {name!r} is refused, {owner} already has that name; "
                "set a `namespace` or an alias for one of them"
            )
            continue
        shown = definition if name == target else {**definition, key: name}
        entry = into[name] = Entry(name, target, member.upstream, shown)
        added.append(entry)
    return added


def page(names: Sequence[str], cursor: str | None, size: int) -> tuple[Sequence[str], str | None]:
    """Cut one page out of `names`.

    Returns:
        The names of the page and the cursor of the next one, or None at the end. A cursor is opaque to
        clients (MCP, pagination) and names the last entry seen, so a catalogue that changes in between neither
        repeats nor skips what stayed.

    Raises:
        InvalidArguments: the cursor is not one of ours.
    """
    start = 0
    if cursor is not None:
        index, last = _cursor(cursor)
        if index < len(names) and names[index] == last:
            start = index + 1
        else:
            try:
                start = list(names).index(last) + 1
            except ValueError:
                start = index
    chunk = names[start : start + size]
    end = start + len(chunk)
    if end >= len(names) or not chunk:
        return chunk, None
    raw = f"{end - 1}:{chunk[-1]}".encode()
    return chunk, base64.urlsafe_b64encode(raw).decode()


def _cursor(cursor: str) -> tuple[int, str]:
    try:
        index, _, last = base64.b64decode(cursor, altchars=b"-_", validate=True).decode().partition(":")
        return int(index), last
    except (binascii.Error, ValueError):
        raise InvalidArguments(
            "The cursor is not one this gateway gave out", fix="List again without a cursor"
        ) from None
