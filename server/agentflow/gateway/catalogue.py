"""The merged catalogue: everything behind the gateway under the names that clients see.

It promises one owner per exposed name. Two upstreams that would share a name do not: the first one configured
keeps it, the other's entry is refused and named in `problems`. What is held keeps its name, so that nobody else
takes its place, and is kept apart from what is offered. Definitions are the upstreams' raw JSON with only the name
replaced. A `Catalogue` is an immutable snapshot; a change makes a new one with a new revision.

Where servers are some tenants' only, each tenant has a catalogue of its own (`Catalogue.of`), made as if there were no
other servers: what is not in it does not exist for its callers, and takes no name from them.
"""

from __future__ import annotations

import base64
import binascii
import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from mcp.shared.uri_template import UriTemplate

from agentflow.config import CatalogueConfig, ServerConfig
from agentflow.errors import InvalidArguments
from agentflow.gateway.upstreams.port import Listing, Upstream
from agentflow.guard.pins.canonical import Kind
from agentflow.guard.pins.diff import visible
from agentflow.guard.pins.offers import Ref
from agentflow.guard.pins.store import Reason

JSON = dict[str, Any]
_revisions = itertools.count(1)
_WORDS: dict[Kind, str] = {
    "tool": "tool", "prompt": "prompt", "resource": "resource", "template": "resource template",
}  # fmt: skip
OWN = "agentflow:"  # the scheme of URIs that only the gateway answers for
_NAMED = 3  # held things of a server that are named in its problem


@dataclass(frozen=True, slots=True)
class Entry:
    """One tool, prompt, resource or template: `name` as clients see it, `target` as the upstream does."""

    name: str
    target: str
    upstream: Upstream
    definition: JSON


@dataclass(frozen=True, slots=True)
class Withheld:
    """An entry that is not offered, and why."""

    entry: Entry
    reasons: tuple[Reason, ...]


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
    held: dict[tuple[Kind, str], Withheld] = field(default_factory=dict)  # by the names that clients would see
    _views: Views | None = None
    _matchers: tuple[tuple[UriTemplate, Entry], ...] = ()
    _held_matchers: tuple[tuple[UriTemplate, Entry], ...] = ()

    def of(self, tenant: str) -> Catalogue:
        """The catalogue as the callers of a tenant have it."""
        return self if self._views is None else self._views.of(tenant)

    def resource(self, uri: str) -> Entry | None:
        """The owner of a URI: listed as it is, or the first template that matches it. None where it is held.

        The gateway's own URIs have no owner here, whatever a template matches.
        """
        if _reserved(uri):
            return None
        entry = self.resources.get(uri) or self.templates.get(uri)
        if entry is not None or ("resource", uri) in self.held:
            return entry
        return next((owner for template, owner in self._matchers if template.match(uri) is not None), None)

    def only(self, offered: Callable[[str, Entry], bool]) -> Catalogue:
        """The catalogue with those entries alone that `offered(kind, entry)` lets be, under a revision of its own."""
        return replace(
            self,
            revision=next(_revisions),
            tools={name: entry for name, entry in self.tools.items() if offered("tool", entry)},
            prompts={name: entry for name, entry in self.prompts.items() if offered("prompt", entry)},
            resources={name: entry for name, entry in self.resources.items() if offered("resource", entry)},
            templates={name: entry for name, entry in self.templates.items() if offered("template", entry)},
            _matchers=tuple(each for each in self._matchers if offered("template", each[1])),
            _held_matchers=tuple(each for each in self._held_matchers if offered("template", each[1])),
            held={ref: each for ref, each in self.held.items() if offered(ref[0], each.entry)},
        )

    def find(self, kind: str, name: str) -> Entry | None:
        """What is offered under this name or URI (kind: `tool`, `prompt` or `resource`), or None."""
        if kind == "resource":
            return self.resource(name)
        return (self.prompts if kind == "prompt" else self.tools).get(name)

    def withheld(self, kind: str, name: str) -> Withheld | None:
        """What is held under this name or URI (kind: `tool`, `prompt` or `resource`), or None."""
        if not self.held:
            return None
        if kind != "resource":
            return self.held.get(("prompt" if kind == "prompt" else "tool", name))
        held = self.held.get(("resource", name)) or self.held.get(("template", name))
        if held is None:
            owner = next((owner for template, owner in self._held_matchers if template.match(name) is not None), None)
            held = self.held.get(("template", owner.name)) if owner else None
        return held


def build(
    members: Iterable[Member],
    config: CatalogueConfig,
    listings: Mapping[str, Listing] | None = None,
    held: Mapping[Ref, tuple[Reason, ...]] | None = None,
) -> Catalogue:
    """Merge the members' listings. About 2 µs per entry.

    Args:
        listings: what each member offers, by its name; by default what it offers now.
        held: what is not offered, by the servers' own names.
    """
    members = tuple(members)
    tenants = frozenset(tenant for member in members for tenant in member.config.tenants)
    views = Views(members, config, listings, held, tenants) if tenants else None
    return _build(members, config, listings, held, views)


def differ(one: Catalogue, other: Catalogue, tenant: str) -> bool:
    """Whether callers of a tenant are shown something else by two catalogues."""
    shown, instead = one.of(tenant), other.of(tenant)
    kinds = ("tools", "prompts", "resources", "templates")
    return any(getattr(shown, kind) != getattr(instead, kind) for kind in kinds)


class Views:
    """The catalogues of the tenants, each made when it is first asked for; those whom no server names share one."""

    def __init__(
        self,
        members: Sequence[Member],
        config: CatalogueConfig,
        listings: Mapping[str, Listing] | None,
        held: Mapping[Ref, tuple[Reason, ...]] | None,
        tenants: frozenset[str],
    ) -> None:
        # The listings of now: a view that is made later must be one of the same servers.
        now = {member.name: member.upstream.listing for member in members} if listings is None else listings
        self._sources = members, config, now, held
        self._tenants = tenants
        self._made: dict[str, Catalogue] = {}

    def of(self, tenant: str) -> Catalogue:
        """The catalogue of a tenant."""
        name = tenant if tenant in self._tenants else ""
        made = self._made.get(name)
        if made is None:
            members, config, listings, held = self._sources
            open_to = [member for member in members if not member.config.tenants or name in member.config.tenants]
            made = self._made[name] = _build(open_to, config, listings, held, None)
        return made


def _build(
    members: Sequence[Member],
    config: CatalogueConfig,
    listings: Mapping[str, Listing] | None,
    held: Mapping[Ref, tuple[Reason, ...]] | None,
    views: Views | None,
) -> Catalogue:
    merging = _Merging(held or {})
    for member in members:
        listing = member.upstream.listing if listings is None else listings[member.name]
        merging.problems += [f"{member.name}: {problem}" for problem in listing.problems]
        _, show = naming(member, config)
        merging.merge("tool", member, listing.tools, "name", show)
        merging.merge("prompt", member, listing.prompts, "name", show)
        merging.merge("resource", member, listing.resources, "uri", str)
        merging.merge("template", member, listing.templates, "uriTemplate", str)
        merging.tell(member)
    return merging.catalogue(views)


def naming(member: Member, config: CatalogueConfig) -> tuple[str, Callable[[str], str]]:
    """The prefix of a member's exposed names, and what makes such a name of its own one."""
    space = member.name if member.config.namespace is None else member.config.namespace
    prefix = f"{space}{config.separator}" if space else ""
    aliases = member.config.aliases

    def show(target: str) -> str:
        return aliases.get(target) or prefix + target

    return prefix, show


class _Merging:
    """A catalogue in the making."""

    def __init__(self, held: Mapping[Ref, tuple[Reason, ...]]) -> None:
        self._held_here = held
        self._entries: dict[Kind, dict[str, Entry]] = {kind: {} for kind in _WORDS}
        self._matchers: list[tuple[UriTemplate, Entry]] = []
        self._held_matchers: list[tuple[UriTemplate, Entry]] = []
        self._held: dict[tuple[Kind, str], Withheld] = {}
        self.problems: list[str] = []

    def merge(
        self, kind: Kind, member: Member, definitions: Sequence[JSON], key: str, show: Callable[[str], str]
    ) -> None:
        into = self._entries[kind]
        for definition in definitions:
            target = definition[key]
            if kind in ("resource", "template") and _reserved(target):
                self.problems.append(f"{member.name}: {_WORDS[kind]} {visible(target)!r} is refused: {OWN} is reserved")
                continue
            name = show(target)
            there = self._held.get((kind, name))
            taken = into.get(name) or (there.entry if there else None)
            if taken is not None:
                if not _meet(member.config.tenants, taken.upstream.facts.tenants):
                    continue  # each has the name in the catalogues of its own tenants
                self.problems.append(
                    f"{member.name}: {_WORDS[kind]} {name!r} is refused, {taken.upstream.facts.name} already has that "
                    "name; set a `namespace` or an alias for one of them"
                )
                continue
            shown = definition if name == target else {**definition, key: name}
            entry = Entry(name, target, member.upstream, shown)
            reasons = self._held_here.get((member.name, kind, target), ())
            if not reasons:
                into[name] = entry
            elif not any(reason.code == "reserved" for reason in reasons):  # that name is somebody else's
                self._held[kind, name] = Withheld(entry, reasons)
            if kind == "template":
                self._match(member, entry, self._held_matchers if reasons else self._matchers)

    def _match(self, member: Member, entry: Entry, matchers: list[tuple[UriTemplate, Entry]]) -> None:
        try:
            matchers.append((UriTemplate.parse(entry.target), entry))
        except ValueError as error:
            self.problems.append(f"{member.name}: resource template {entry.target!r} is not RFC 6570: {error}")

    def tell(self, member: Member) -> None:
        """Name what is held of a member, in one problem."""
        held = [(ref, reasons) for ref, reasons in self._held_here.items() if ref[0] == member.name]
        if held:
            named = "; ".join(f"{visible(ref[2])}: {reasons[0].text}" for ref, reasons in held[:_NAMED])
            more = f"; and {len(held) - _NAMED} more" if len(held) > _NAMED else ""
            self.problems.append(
                f"{member.name}: {len(held)} held ({named}{more}); see `agentflow pins diff {member.name}`"
            )

    def catalogue(self, views: Views | None) -> Catalogue:
        return Catalogue(
            revision=next(_revisions),
            tools=self._entries["tool"],
            prompts=self._entries["prompt"],
            resources=self._entries["resource"],
            templates=self._entries["template"],
            problems=tuple(self.problems),
            held=self._held,
            _views=views,
            _matchers=tuple(self._matchers),
            _held_matchers=tuple(self._held_matchers),
        )


def _meet(some: Sequence[str], others: Sequence[str]) -> bool:
    """Whether somebody may know of both of two servers, by the tenants of each."""
    return not some or not others or not set(some).isdisjoint(others)


def _reserved(uri: str) -> bool:
    return uri[: len(OWN)].lower() == OWN  # a scheme's case does not count (RFC 3986, 3.1)


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
