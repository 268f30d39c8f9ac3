"""The gateway itself: routes each client request to the upstream that owns it, through the pipeline.

It promises that no content reaches an upstream or a client except through `Pipeline.handle` (requests and answers)
and `Pipeline.run` (everything in between; that lists or roots changed carries none), that a call goes to exactly one
upstream exactly once, and that a name the caller may not see reads the same as a name that does not exist.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Any

from agentflow.config import CatalogueConfig
from agentflow.errors import AgentFlowError, InvalidArguments, PolicyDenied, ToolHeld, Unsupported
from agentflow.flow.port import ToolView
from agentflow.gateway.assemble import OURS, Parts
from agentflow.gateway.bridge import INTERACTIVE, HeldCalls, answer_rounds, input_required
from agentflow.gateway.catalogue import Catalogue, Entry, Withheld
from agentflow.gateway.client import CallExchange, ClientEnd
from agentflow.gateway.consent import connected_first
from agentflow.gateway.flow_caller import entered
from agentflow.gateway.flow_data import COMPUTE, FlowData
from agentflow.gateway.introductions import Introductions
from agentflow.gateway.listings import Listings
from agentflow.gateway.models import ModelSurface
from agentflow.gateway.search import SearchTools
from agentflow.gateway.unchanged import refuse_changed
from agentflow.guard import tokens
from agentflow.guard.pins.diff import visible as visible_text
from agentflow.guard.pins.offers import POISONED
from agentflow.guard.quarantine import Held
from agentflow.guard.taint import overlong
from agentflow.identity.principal import Principal
from agentflow.pipeline.call import CONVERSATION, EXPLAIN, JSON, RECORD, Call, Session, UpstreamFacts
from agentflow.pipeline.chain import Pipeline
from agentflow.pipeline.rounds import Round, States
from agentflow.pipeline.scope import scope_of
from agentflow.pipeline.stages.decide import unknown_name
from agentflow.policy.document import KINDS
from agentflow.policy.listing import Item

# Name of the upstream that serves the tool files shipped with AgentFlow.
FLOW = "agentflow"
_FLOW_FACTS = UpstreamFacts(FLOW, kind="gateway", trust="trusted")

Handler = Callable[[JSON, ClientEnd], Awaitable[JSON]]


class Gateway:
    """One running gateway. `pipeline` and `catalogue` are replaced as a whole when they change."""

    def __init__(self, parts: Parts, config: CatalogueConfig) -> None:
        self.catalogue = Catalogue()
        self.models: ModelSurface | None = None
        self.held = HeldCalls()
        self.flow_data: FlowData | None = None  # recorder and memory of the flow tools; none outside a service
        self.introductions = Introductions()
        self.opened = asyncio.Event()  # set once the upstreams have been tried: an empty first listing would stick
        self.use(parts, config)
        self._routes: dict[str, Handler] = {
            "tools/list": self._list_tools,
            "prompts/list": self._listing("prompts"),
            "resources/list": self._listing("resources"),
            "resources/templates/list": self._listing("resourceTemplates"),
            "tools/call": self._call_tool,
            "prompts/get": self._get_prompt,
            "resources/read": self._on_resource("resources/read"),
            "resources/subscribe": self._on_resource("resources/subscribe"),
            "resources/unsubscribe": self._on_resource("resources/unsubscribe"),
            "completion/complete": self._complete,
        }

    def use(self, parts: Parts, config: CatalogueConfig) -> None:
        """Take newly assembled parts; calls in flight finish with the ones they began with."""
        self.pipeline, self.sessions, self._decide = parts.pipeline, parts.sessions, parts.decide
        self.flow, self.guard, self.matcher = parts.config.flow, parts.config.guard, parts.pii.matcher
        self.vault = vault = parts.pii.vault
        self._scope = parts.config.guard.vault.scope
        self._states = States(lambda: vault.derived_key(OURS, b"approval states"))
        self._quarantine = parts.quarantine
        setting = parts.config.pipeline.stages.get("decide")
        self._hiding = setting is None or setting.mode == "enforce"
        self.listings = Listings(config.page_size, self._scope == "session")
        self.search = SearchTools(config.search_threshold)

    @property
    def methods(self) -> tuple[str, ...]:
        return tuple(self._routes)

    async def request(self, method: str, params: JSON, client: ClientEnd) -> JSON:
        """Serve one request.

        Raises:
            AgentFlowError: typed, safe to show.
        """
        if not self.opened.is_set():
            await self.opened.wait()
        route, pipeline = self._routes[method], self.pipeline
        # From here on, not only in the pipeline: the upstream is chosen and policy asked whether it shows, before that.
        pipeline.enter()
        try:
            if self.introductions.needed:
                await self.introductions.introduce(client.identity())
            if method in INTERACTIVE and client.era == "modern":
                params, client = await self._in_rounds(method, params, client)
            if method in INTERACTIVE and self.held.needed(method, client):
                return await self.held.serve(method, params, client, lambda end: route(params, end))
            return await route(params, client)
        except AgentFlowError as error:
            if "record" in error.data:
                raise
            return await self.refuse(method, params, client, error)
        finally:
            pipeline.leave()

    async def _in_rounds(self, method: str, params: JSON, client: ClientEnd) -> tuple[JSON, ClientEnd]:
        """A request that may have to wait for people, or comes back after it had to."""
        principal = client.principal.key
        if not self._states.ours(params):
            return params, replace(client, round=Round(self._states, principal, method, params))
        params, round = await asyncio.to_thread(self._states.opened, method, params, principal)
        return params, replace(client, round=round)

    async def refuse(self, method: str, params: JSON, client: ClientEnd, error: AgentFlowError) -> JSON:
        """Refuse what does not come to the pipeline by itself: params that say nothing, a foreign requestState.

        Raises:
            AgentFlowError: always; `error`, unless one of the caller's limits is reached.
        """
        meta = params.get("_meta") or {}
        if overlong(meta.get(CONVERSATION)):
            params = {**params, "_meta": {name: value for name, value in meta.items() if name != CONVERSATION}}
        return await self.pipeline.refuse(self.call_for(method, params, client), error)

    def call_for(
        self, surface: str, params: JSON, client: ClientEnd, session: Session | None = None, **facts: Any
    ) -> Call:
        """A `Call` of this client; `facts` are further fields of it.

        Args:
            session: the conversation of the call that this one is part of; by default the one that `params` name.

        Raises:
            InvalidArguments: the conversation's name is too long.
        """
        if session is None:
            handle = (params.get("_meta") or {}).get(CONVERSATION) if client.session_id is None else None
            name = str(client.info.get("name", ""))
            session = self.sessions.session(
                client.principal, client.session_id, name, handle if isinstance(handle, str) else None
            )
        call = Call(
            surface=surface,
            principal=client.principal,
            session=session,
            params=params,
            transport=client.transport,
            protocol=client.protocol,
            client=client.info,
            **facts,
        )
        call.round = client.round
        if client.shows_forms:
            call.ask = CallExchange(call, client, self.pipeline).server_request
        if "progressToken" in (params.get("_meta") or {}):
            call.tell = CallExchange(call, client, self.pipeline).notification
        return call

    # Listings -----------------------------------------------------------------------------------------------

    async def _list_tools(self, params: JSON, client: ClientEnd) -> JSON:
        return await self._list("tools", params, client, self.search.definitions(self._catalogue(client), FLOW))

    def _listing(self, key: str) -> Handler:
        async def handler(params: JSON, client: ClientEnd) -> JSON:
            return await self._list(key, params, client, None)

        return handler

    async def _list(
        self,
        key: str,
        params: JSON,
        client: ClientEnd,
        shown: Mapping[str, JSON] | None,
        session: Session | None = None,
    ) -> JSON:
        surface = "resources/templates/list" if key == "resourceTemplates" else f"{key}/list"
        call = self.call_for(surface, params, client, session)
        return await self.listings.page(key, self._catalogue(client), self.pipeline, call, shown)

    # Calls to one upstream ----------------------------------------------------------------------------------

    async def _call_tool(self, params: JSON, client: ClientEnd) -> JSON:
        name, params = _text(params, "name"), _arguments(params)
        shown = self._catalogue(client)
        finder = self.search.item
        if self.search.active(shown) and self.search.own(name) and await self.shows(client.principal, "tool", finder):
            if name == self.search.SEARCH:
                return await self._search(params, client)
            params = self.search.unwrap(params)
            name = _text(params, "name")
        return await self._serve("tools/call", "tool", name, shown.tools.get(name), params, client)

    async def _search(self, params: JSON, client: ClientEnd) -> JSON:
        definition = self.search.own(self.search.SEARCH)
        facts: JSON = {"name": self.search.SEARCH, "target": self.search.SEARCH, "definition": definition}
        call = self.call_for("tools/call", params, client, **facts)

        shown = self._catalogue(client)

        async def find(c: Call) -> JSON:
            return await self.search.find(
                c.params["arguments"], shown, c.principal, lambda: self.visible_tools(client, c.session)
            )

        return await self.pipeline.handle(call, find)

    async def _get_prompt(self, params: JSON, client: ClientEnd) -> JSON:
        name = _text(params, "name")
        entry = self._catalogue(client).prompts.get(name)
        return await self._serve("prompts/get", "prompt", name, entry, params, client)

    def _on_resource(self, surface: str) -> Handler:
        async def handler(params: JSON, client: ClientEnd) -> JSON:
            uri = _text(params, "uri")
            if surface == "resources/read" and (held := self._quarantine.find(uri, client.principal.key)):
                return await self._read_held(uri, held, params, client)
            entry = self._catalogue(client).resource(uri) or await self._behind_tokens(uri, params, client)
            return await self._serve(surface, "resource", uri, entry, params, client)

        return handler

    async def _read_held(self, uri: str, held: Held, params: JSON, client: ClientEnd) -> JSON:
        """Read a result in quarantine: to policy, a resource of the upstream that it came from.

        What policy demanded of the call that it answered holds here too, and whoever may no longer see what was
        called sees no answer of it.
        """
        origin = held.origin
        facts: JSON = {"name": uri, "target": uri, "upstream": held.upstream, "origin": origin}
        called = (held.upstream, origin.target, origin.definition or {})
        refusal: AgentFlowError | None = None
        try:
            if not await self._seen(client.principal, KINDS[origin.surface], called):
                await self.answering(client.principal, "resource")
                refusal = unknown_name("resource", uri)
        except PolicyDenied as error:
            refusal = error
        if refusal is not None:
            return await self.pipeline.refuse(self.call_for("resources/read", params, client, **facts), refusal)

        async def kept(_: Call) -> JSON:
            return held.body

        definition = {"uri": uri, "name": uri}
        call = self.call_for("resources/read", params, client, definition=definition, **facts)
        return await self.pipeline.handle(call, kept)

    async def _behind_tokens(self, uri: str, params: JSON, client: ClientEnd) -> Entry | None:
        """The listed resource whose URI this one is with tokens in place of the personal data in it."""
        spans = tokens.find(uri)
        if not spans:
            return None
        call = self.call_for("resources/read", params, client)
        asked = call.principal.tenant, [span.name for span in spans], scope_of(call, self._scope)
        vault = self.vault
        values = await asyncio.to_thread(vault.values, *asked) if vault.blocking else vault.values(*asked)
        for span in reversed(spans):
            if span.name in values:
                uri = uri[: span.start] + str(values[span.name].value) + uri[span.end :]
        return self._catalogue(client).resources.get(uri)

    async def _complete(self, params: JSON, client: ClientEnd) -> JSON:
        ref = params.get("ref")
        if not isinstance(ref, dict):
            raise InvalidArguments("completion/complete needs `ref`")
        if ref.get("type") == "ref/prompt":
            name = _text(ref, "name")
            entry, what = self._catalogue(client).prompts.get(name), "prompt"
        else:
            name = _text(ref, "uri")
            entry, what = self._catalogue(client).resource(name), "resource"
        return await self._serve("completion/complete", what, name, entry, params, client)

    async def _serve(
        self, surface: str, what: str, name: str, entry: Entry | None, params: JSON, client: ClientEnd, **facts: Any
    ) -> JSON:
        held = self._catalogue(client).withheld(what, name) if entry is None else None
        if held is not None:
            entry = held.entry
        if entry is None:  # another tenant's, perhaps: `visible` refuses it, and the record names it
            entry = self.catalogue.find(what, name)
        try:
            seen = entry is not None and await self._knows(client.principal, what, entry)
            if not seen:
                await self.answering(client.principal, what)
        except PolicyDenied as error:  # the policy cannot answer: no name, whether there is one or not, is unknown
            return await self.pipeline.refuse(self.call_for(surface, params, client, name=name, **facts), error)
        if entry is None or not seen:
            # A hidden name takes the very way of an unknown one; only the record knows what was behind it.
            call = self.call_for(surface, params, client, name=name, **facts)
            if entry is not None:
                behind = {"event": "hidden", "server": entry.upstream.facts.name, "target": entry.target}
                call.events.append(await self.pipeline.clean(call, behind))
            return await self.pipeline.refuse(call, unknown_name(what, name))
        known: JSON = {"target": entry.target, "upstream": _facts(entry)}
        if held is not None:  # nothing of its definition counts, its schema neither
            call = self.call_for(surface, params, client, name=name, **known, **facts)
            return await self.pipeline.refuse(call, _held(what, name, held))
        call = self.call_for(surface, params, client, name=name, definition=entry.definition, **known, **facts)
        explain = bool((params.get("_meta") or {}).get(EXPLAIN))
        pipeline = self.pipeline
        result = await pipeline.handle(call, lambda c: self._dispatch(c, entry, client, pipeline))
        if explain:
            result = {**result, "_meta": {**(result.get("_meta") or {}), RECORD: call.id}}
        return result

    async def _dispatch(self, call: Call, entry: Entry, client: ClientEnd, pipeline: Pipeline) -> JSON:
        refuse_changed(call, entry, self._catalogue(client))
        exchange = CallExchange(call, client, pipeline)
        upstream, surface = entry.upstream, call.surface
        if surface == "completion/complete" and "completions" not in upstream.listing.capabilities:
            return {"completion": {"values": [], "total": 0, "hasMore": False}}
        counts, counted = call.session.counts, f"{upstream.facts.name}/{entry.target}"
        counts[counted] = counts.get(counted, 0) + 1
        params = _for_upstream(call, entry)
        if upstream.facts.name == FLOW:
            if self.flow_data is not None:
                self.flow_data.around(call, pipeline)
            params = await entered(self, call, client, params)
        result = await connected_first(lambda: upstream.request(surface, params, exchange), exchange, client)
        if client.era == "legacy" and input_required(result):
            return await answer_rounds(result, params, exchange, lambda p: upstream.request(surface, p, exchange))
        if client.round is not None and input_required(result):
            return await client.round.going_on(call, result)
        return result

    async def visible_tools(self, client: ClientEnd, session: Session) -> list[ToolView]:
        """Every tool that this principal may call, of the flow tools only `compute`."""
        views: list[ToolView] = []
        cursor, entries = None, self._catalogue(client).tools
        while True:
            params: JSON = {} if cursor is None else {"cursor": cursor}
            listed = await self._list("tools", params, client, None, session)
            views += [view for tool in listed["tools"] if (view := _view(tool, entries.get(tool["name"])))]
            cursor = listed.get("nextCursor")
            if cursor is None:
                return views

    async def call_from_flow(self, name: str, arguments: JSON, client: ClientEnd, parent: Call) -> JSON:
        """A tool call made by a flow tool: the same way as any other, as the same principal and session."""
        entry = self._catalogue(client).tools.get(name)
        if entry is not None and entry.upstream.facts.name == FLOW and entry.target != COMPUTE:
            raise Unsupported(f"{name} is a flow tool; a flow cannot call another flow")
        params = {"name": name, "arguments": arguments}
        flow = replace(client, transport="flow", round=None)
        facts = {"parent": parent.id, "session": parent.session}
        return await self._serve("tools/call", "tool", name, entry, params, flow, **facts)

    async def roots_changed(self, client: ClientEnd) -> None:
        """Tell the handshake upstreams that this client talks to that its roots changed."""
        identity, shown = client.identity(), self._catalogue(client)
        offers = (shown.tools, shown.prompts, shown.resources, shown.templates)
        upstreams = {id(e.upstream): e.upstream for entries in offers for e in entries.values()}
        for upstream in upstreams.values():
            await upstream.notify("notifications/roots/list_changed", {}, identity)

    def _catalogue(self, client: ClientEnd) -> Catalogue:
        return self._shown_to(client.principal)

    def _shown_to(self, principal: Principal) -> Catalogue:
        """What exists for this principal: what is open to its tenant, and offered to it by name where it has to be."""
        return self.introductions.view(self.catalogue.of(principal.tenant), principal.key)

    def facts(self, surface: str, shown: JSON, principal: Principal) -> Item | None:
        """What policy may know of an item listed to a principal: `(upstream, its own name there, definition)`."""
        entry, catalogue = None, self.catalogue.of(principal.tenant)
        if surface == "tools/list":
            name = shown["name"]
            entry = catalogue.tools.get(name)
            if entry is None and self.search.own(name) is not None:
                # `call_tool` is listed where `search_tools` is: what it calls is decided as that call.
                return self.search.item
        elif surface == "prompts/list":
            entry = catalogue.prompts.get(shown["name"])
        elif surface == "resources/list":
            entry = catalogue.resources.get(shown["uri"])
        elif surface == "models/list":
            return self.models.item(shown["name"]) if self.models is not None else None
        else:
            entry = catalogue.templates.get(shown["uriTemplate"])
        return item_of(entry) if entry else None

    async def visible(self, principal: Principal, kind: str, entry: Entry) -> bool:
        """Whether this principal may know of the entry (kind: `tool`, `prompt` or `resource`): by tenant, by policy.

        While the policy cannot answer, nobody may.
        """
        try:
            return await self._knows(principal, kind, entry)
        except PolicyDenied:
            return False

    async def _knows(self, principal: Principal, kind: str, entry: Entry) -> bool:
        return self.introductions.offered(principal.key, kind, entry) and await self._seen(
            principal, kind, item_of(entry)
        )

    async def shows(self, principal: Principal, kind: str, item: Item) -> bool:
        """As `visible`, for what need not be offered to this principal."""
        try:
            return await self._seen(principal, kind, item)
        except PolicyDenied:
            return False

    async def sees(self, principal: Principal, kind: str, item: Item) -> bool:
        """As `shows`, but while the policy cannot answer everybody is told so. Raises PolicyDenied."""
        if await self._seen(principal, kind, item):
            return True
        await self.answering(principal, kind)
        return False

    async def _seen(self, principal: Principal, kind: str, item: Item) -> bool:
        if not item[0].open_to(principal.tenant):
            return False
        if not self._hiding:
            return True
        seen = self._decide.visible(principal, kind, item)
        return seen if isinstance(seen, bool) else await seen

    async def answering(self, principal: Principal, kind: str) -> None:
        """Ask, before a name is called unknown, whether the policy answers at all. Raises PolicyDenied if not."""
        if self._hiding:
            await self._decide.answering(principal, kind)

    async def alike(self, call: Call, targets: list[str]) -> list[str]:
        """Which of these the call might as well have named (`Decide.alike`). Raises PolicyDenied."""
        return await self._decide.alike(call, targets) if self._hiding else targets

    @property
    def judges_answers(self) -> bool:
        """Whether policy has a say in every answer, so that it has to be there whole."""
        return self._hiding and self._decide.judges_answers

    def computes(self, name: str, principal: Principal) -> bool:
        """Whether a tool is the gateway's own `compute`."""
        entry = self._shown_to(principal).tools.get(name)
        return entry is not None and entry.upstream.facts.name == FLOW and entry.target == COMPUTE

    def schema_of(self, name: str, principal: Principal) -> JSON | None:
        """A tool's inputSchema, or None where the principal may not see the tool, or was never asked about it."""
        entry = self._shown_to(principal).tools.get(name)
        if entry is None:
            return None
        if not self._decide.known_visible(principal, "tool", item_of(entry)):
            return None
        schema = entry.definition.get("inputSchema")
        return schema if isinstance(schema, dict) else None


def _facts(entry: Entry) -> UpstreamFacts:
    """What policy and guard go by. The flow tools are the gateway's own: they plan with tokens, never with values."""
    facts = entry.upstream.facts
    return _FLOW_FACTS if facts.name == FLOW else facts


def _view(tool: JSON, entry: Entry | None) -> ToolView | None:
    """A listed tool as the flow sees it; None for the flow tools and what has gone since."""
    if entry is None or (entry.upstream.facts.name == FLOW and entry.target != COMPUTE):
        return None
    return ToolView(
        name=tool["name"],
        title=tool.get("title") or "",
        description=tool.get("description") or "",
        input_schema=tool.get("inputSchema") or {},
        output_schema=tool.get("outputSchema"),
        annotations=tool.get("annotations") or {},
        server=entry.upstream.facts.name,
    )


def item_of(entry: Entry) -> Item:
    """What policy is asked about, of a catalogue's entry."""
    return _facts(entry), entry.target, entry.definition


def _held(what: str, name: str, held: Withheld) -> ToolHeld:
    """What is said of it is for a model to read: nothing that its definition says is quoted."""
    codes = [reason.code for reason in held.reasons]
    why = "its definition has changed" if "changed" in codes else "its definition waits for an administrator"
    if POISONED in codes:
        why = "its definition reads as an injected instruction"
    place = f"{held.entry.upstream.facts.name}/{visible_text(held.entry.target)}"
    return ToolHeld(
        f"{what.capitalize()} {name} is held: {why}",
        fix=f"an administrator looks at it with `agentflow pins diff {place}`, then approves or rejects it",
        reasons=codes,
    )


def _text(params: JSON, key: str) -> str:
    value = params.get(key)
    if not isinstance(value, str) or not value:
        raise InvalidArguments(f"`{key}` must be a non-empty string")
    return value


def _arguments(params: JSON) -> JSON:
    arguments = params.get("arguments")
    if arguments is None:
        return {**params, "arguments": {}}
    if not isinstance(arguments, dict):
        raise InvalidArguments("`arguments` must be an object")
    return params


def _for_upstream(call: Call, entry: Entry) -> JSON:
    """The params as the upstream expects them: its own name in place of ours, our private `_meta` removed."""
    params = call.params
    if call.surface == "completion/complete":
        params = {**params, "ref": {**params["ref"], **_own_name(params["ref"], entry)}}
    elif "name" in params and params["name"] != entry.target:
        params = {**params, "name": entry.target}
    elif call.surface.startswith("resources/") and "uri" in entry.definition:
        # A listed resource is asked for by the URI that its own server gave it, personal data and all.
        params = {**params, "uri": entry.target}
    meta = params.get("_meta")
    if meta and (EXPLAIN in meta or CONVERSATION in meta):
        params = {**params, "_meta": {k: v for k, v in meta.items() if k not in (EXPLAIN, CONVERSATION)}}
    return params


def _own_name(ref: JSON, entry: Entry) -> JSON:
    return {"name": entry.target} if ref.get("type") == "ref/prompt" else {}
