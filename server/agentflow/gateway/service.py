"""A running gateway: built from a configuration, kept up to date with it, and taken down again.

`Service` owns everything that has a lifetime: upstreams, vault, audit log, policy engine. A changed
configuration is built completely beside the old one and then swapped in; what cannot be built changes nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import gc
import logging
import time
from collections.abc import Collection, Coroutine, Sequence
from functools import partial
from typing import Any

from agentflow import __version__, paths
from agentflow.audit.caretaker import Caretaker
from agentflow.audit.events import Event, Kind
from agentflow.audit.recent import Recent
from agentflow.config import Config, LimitsConfig, ServerConfig, is_loopback
from agentflow.errors import AgentFlowError, AuditUnavailable, ConfigError
from agentflow.gateway import catalogue as catalogues
from agentflow.gateway.assemble import OURS, Parts, assemble
from agentflow.gateway.catalogue import Member
from agentflow.gateway.choices import Choices
from agentflow.gateway.connectable import Connectable
from agentflow.gateway.core import FLOW, Gateway
from agentflow.gateway.dynamic import Dynamic
from agentflow.gateway.flow_data import COMPUTE, FlowData
from agentflow.gateway.front import Front
from agentflow.gateway.introductions import offers_by_name
from agentflow.gateway.models import ModelSurface
from agentflow.gateway.models_worker import Workers, check_installed, recording
from agentflow.gateway.pinning import Offered, Pinning
from agentflow.gateway.refusals import Refusals
from agentflow.gateway.unasked import Instructions, Notifications
from agentflow.gateway.upstreams.build import build as build_upstream
from agentflow.gateway.upstreams.port import ClientIdentity, Upstream
from agentflow.guard.vault import open_vault
from agentflow.identity.authenticate import Authenticator
from agentflow.identity.authorizations import Authorizations
from agentflow.identity.credentials import Credentials
from agentflow.identity.downstream import connect_url, source
from agentflow.identity.keys import PURPOSE, KeyRing
from agentflow.identity.principal import Principal
from agentflow.pipeline.call import JSON, Call, UpstreamFacts
from agentflow.policy.approvals_watch import expire_forever
from agentflow.policy.bundle import Bundle
from agentflow.policy.checks import World, warnings_of, world_of
from agentflow.policy.live import Choice, LiveBundles
from agentflow.policy.live_seal import PURPOSE as CHOOSING
from agentflow.store.opened import Store

log = logging.getLogger(__name__)

# Unsolicited notifications being passed on at once; an upstream that floods loses the rest.
_UNSOLICITED = 1000
# Roles that may see the servers, their tools and what is wrong with them.
_MAY_SEE = frozenset({"admin", "operator"})
# How long a replaced upstream may finish what it was asked, in seconds.
_GRACE = 300.0
# How long the first requests wait for upstreams that are still connecting, in seconds: many clients list once.
_FIRST = 2.0
# How long a changed upstream may take to connect before it is swapped in regardless, in seconds.
_SWAP = 1.2
# Seconds between two looks at whether an administrator decided about a held definition.
_PINS = 0.5
# Limits that upstreams keep, and what of a server's entry decides what it offers.
_OF_UPSTREAMS = ("max_result", "max_tools_per_server", "max_header")
_OFFERED_BY = ("type", "url", "command", "args", "path", "spec", "base_url", "allow", "deny", "auth")


class Service:
    """One gateway process's state.

    Raises (on construction):
        ConfigError: the configuration cannot be built: a policy that does not compile, a vault with another key.
        OSError: the data directory cannot be used.
    """

    def __init__(self, config: Config) -> None:
        check_installed(config)
        paths.private_dir(config.data_dir)
        self.config = config
        self.started = time.time()
        self._bound = config.serve.host
        self.store = Store(config.data_dir, config.store)
        self.keys = KeyRing(self.store, lambda: self._parts.pii.vault.derived_key(OURS, PURPOSE), self.record)
        self.authenticator = Authenticator(config.auth, self.keys, self.record)
        self.bundles = LiveBundles(self.store, self._choosing, self.record, lambda: self.config.policy)
        self.choices = Choices(self.bundles)
        self._parts = assemble(config, self._facts, self.choices.first(config.policy), self._revision, store=self.store)
        self.keys.begin(required=not is_loopback(self._bound))
        self.served_at = ""  # the address of the HTTP front, once it is bound
        sealing = partial(self._derived, b"credentials")
        self.credentials = Credentials(self.store, sealing, self.record)
        self.authorizations = Authorizations(self.store, sealing)
        self.dynamic = Dynamic(self.store, lambda: self._parts.pii.vault.derived_key(OURS, b"servers"))
        self.recent = Recent()
        self._parts.log.heard = self.recent.take
        self.gateway = Gateway(self._parts, config.catalogue)
        self.gateway.flow_data = self._flow_data = FlowData(self.store, config)
        self.gateway.models = self.models = ModelSurface(self.gateway, Workers(config, recording(self.record)))
        self.gateway.introductions.refresh = self._refresh
        self.connectable = Connectable(self.gateway)
        self._instructions = Instructions(self.gateway, self.connectable.hints)
        self.front = Front(self.gateway, lambda: self.authenticator.local("stdio"), self._instructions.of)
        self._notifications = Notifications(self.gateway, self.front)
        try:
            self._pinning = Pinning(
                config.data_dir, config.guard.pins, FLOW, lambda: self._parts.pii.matcher, self._pseudonyms
            )
        except AgentFlowError:
            self._parts.close()
            raise
        self.refusals = Refusals(lambda event: self._parts.log.event(event))
        self._caretaker = Caretaker(
            config.data_dir, lambda: (self._parts.log, self._parts.config.audit), self.refusals.flush
        )
        self._offered = Offered()
        self._refreshing = asyncio.Lock()
        self._members: list[Member] = []
        # What was replaced and may still be in use, oldest first.
        self._former: list[tuple[Parts, list[Member]]] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._doubts: frozenset[str] = frozenset()
        self._stale = asyncio.Event()
        self._given = config  # what was last applied, before what is kept in the store is laid over it
        self._applying = asyncio.Lock()

    @property
    def parts(self) -> Parts:
        """What the configuration in force has built."""
        return self._parts

    @property
    def members(self) -> Sequence[Member]:
        """The servers that run, in the order of the configuration."""
        return self._members

    @property
    def offered(self) -> Offered:
        """What the servers offer, and what of it is held."""
        return self._offered

    @property
    def pinning(self) -> Pinning:
        """The definitions that are remembered."""
        return self._pinning

    def world(self) -> World:
        """What policy can be about here."""
        return world_of(self.config, _tools(self._members))

    def in_file(self, server: str) -> bool:
        """Whether the configuration file names this server."""
        return server in self._given.mcp_servers

    async def look_again(self) -> None:
        """Take what has just been decided about held definitions."""
        await self._refresh(only_if_held_otherwise=True)

    def _facts(self, call: Call, shown: JSON) -> tuple[UpstreamFacts, str, JSON] | None:
        return self.gateway.facts(call.surface, shown, call.principal)

    def _revision(self) -> str:
        return self._parts.engine.revision

    def _derived(self, purpose: bytes) -> bytes:
        return self._parts.pii.vault.derived_key(OURS, purpose)

    def _choosing(self) -> bytes:
        if not hasattr(self, "_parts"):  # which policy is in force comes before all parts, the vault too
            with contextlib.closing(open_vault(self.config)) as vault:
                return vault.derived_key(OURS, CHOOSING)
        return self._derived(CHOOSING)

    @property
    def public_url(self) -> str:
        """Where people reach the gateway's pages, without a slash at the end; "" where nothing serves them."""
        return (self.config.serve.public_url or self.served_at).rstrip("/") if self.served_at else ""

    def _pseudonyms(self) -> bytes:
        return self._parts.pii.vault.derived_key("agentflow", b"pins")

    # Life ---------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin connecting to every upstream, all at once, in the background."""
        servers = list(wanted(self.config))
        try:
            self.record(Event("gateway", "started", subject=__version__, details={"servers": servers}))
            self.record(Event("policy", "loaded", subject=self._revision()))
        except AuditUnavailable as error:  # calls are refused until records can be written
            log.error("%s", error.message)
        self._caretaker.start()
        self._members = [self._member(name, server, self.config.limits) for name, server in wanted(self.config).items()]
        for member in self._members:
            member.upstream.start()
        self._spawn(self._refresh_forever())
        self._spawn(self._settle())
        self._spawn(self.keys.follow())
        self._spawn(expire_forever(lambda: self._parts.approvals))
        self._spawn(self.dynamic.follow(self.apply))
        self._spawn(self.choices.follow(self.apply, self._not_followed))

    async def _settle(self) -> None:
        """Open the gateway when every upstream has been tried once, or when the slow ones have had their time.

        Then take what start-up made out of the garbage collector's sight: a full collection over it would stop
        every call for some 80 ms.
        """
        tried = [asyncio.ensure_future(member.upstream.settled()) for member in self._members]
        if tried:
            await asyncio.wait(tried, timeout=_FIRST)
        await self._refresh()
        self.gateway.opened.set()
        self.models.workers.prewarm()
        await asyncio.gather(*tried)
        gc.collect()
        gc.freeze()
        _give_back()

    async def close(self) -> None:
        """Stop everything; calls still held are cancelled, children ended, the log closed."""
        self.front.close()
        self.authenticator.close()
        await asyncio.to_thread(self._caretaker.close)
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.gateway.held.close()
        await self.models.workers.close()
        left = [*self._members, *(member for _, members in self._former for member in members)]
        await asyncio.gather(*(member.upstream.close() for member in left), return_exceptions=True)
        self.refusals.flush(late=True)
        with contextlib.suppress(AuditUnavailable):
            self.record(Event("gateway", "stopped"))
        for parts in (*(former for former, _ in self._former), self._parts):
            parts.close()
        self._pinning.close()
        await asyncio.to_thread(self.keys.write_uses)
        await self._flow_data.close()
        self.store.close()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._finished)

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()):
            log.error("background work failed: %s", type(error).__name__, exc_info=error)

    # Upstreams ----------------------------------------------------------------------------------------------

    def _member(self, name: str, server: ServerConfig, limits: LimitsConfig, former: Member | None = None) -> Member:
        upstream = build_upstream(
            name,
            server,
            limits,
            on_change=lambda _: self._stale.set(),
            on_unsolicited=self._unsolicited,
            source=source(name, server, self.credentials, lambda name: connect_url(self.public_url, name)),
        )
        same = former is not None and not offers_by_name(former.upstream)
        if former is not None and same and all(getattr(former.config, k) == getattr(server, k) for k in _OFFERED_BY):
            upstream.expect(former.upstream.listing)
        return Member(name, server, upstream)

    async def _refresh_forever(self) -> None:
        """Rebuild the catalogue after changes; those that come together are taken together.

        In between, take what an administrator approved, rejected or forgot, and try again what could not be written.
        """
        shown: Any = None
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_PINS):
                    await self._stale.wait()
            if not self._stale.is_set():
                if await self._pinning.changed() or not self._offered.recorded:
                    await self._refresh(only_if_held_otherwise=True)
                continue
            await asyncio.sleep(0.02)
            self._stale.clear()
            listings = [(member.name, member.upstream.listing) for member in self._members]
            if shown is not None and _same(shown, listings):
                continue
            shown = listings
            await self._refresh()

    async def _refresh(self, *, only_if_held_otherwise: bool = False) -> None:
        async with self._refreshing:
            members = self._members
            offered = await self._pinning.review(members, self.config, self._parts.log, self._parts.judge())
            if only_if_held_otherwise and offered.held == self._offered.held:
                self._offered = offered
            else:
                await self._show(members, offered)

    async def _show(self, members: Sequence[Member], offered: Offered, *, everybody: bool = False) -> None:
        before, self._offered = self.gateway.catalogue, offered
        self._parts.screen.excuse(offered.excused)
        self.gateway.introductions.among(members)
        self.connectable.among(members)
        self.gateway.catalogue = catalogues.build(members, self.config.catalogue, offered.listings, offered.held)
        await self._instructions.refresh(members, offered.listings)
        for problem in self.gateway.catalogue.problems:
            if problem not in before.problems:
                log.warning("%s", problem)
        self._spawn(self._doubt(self._parts.engine.bundle, world_of(self.config, _tools(members))))
        await self.front.catalogue_changed(lambda tenant: everybody or self._concerns(tenant, members, before))

    def _concerns(self, tenant: str, members: Sequence[Member], before: catalogues.Catalogue) -> bool:
        """Whether callers of a tenant may be shown something else now than by the catalogue before."""
        if not any(member.config.tenants for member in members):
            return True
        personal = any(offers_by_name(each.upstream) and each.upstream.facts.open_to(tenant) for each in members)
        return personal or catalogues.differ(before, self.gateway.catalogue, tenant)

    async def _doubt(self, bundle: Bundle, world: World) -> None:
        """Say what of the policy seems to be about nothing, once."""
        doubts = await asyncio.to_thread(warnings_of, bundle, world)
        for doubt in doubts:
            if doubt not in self._doubts:
                log.warning("policy: %s", doubt)
        self._doubts = frozenset(doubts)

    def _unsolicited(self, upstream: Upstream, method: str, params: JSON, identity: ClientIdentity | None) -> None:
        if len(self._tasks) < _UNSOLICITED:
            self._spawn(self._notifications.pass_on(upstream, method, params, identity))

    # Configuration ------------------------------------------------------------------------------------------

    def record(self, event: Event) -> None:
        """Put something that is no call into the audit log.

        Raises:
            AuditUnavailable: it is not in it.
        """
        self._parts.log.event(event)

    async def apply(self, config: Config | None = None, renew: Collection[str] = ()) -> None:
        """Swap in a changed configuration without dropping a call.

        Args:
            config: what the file says now; by default what it last said.
            renew: servers that are connected to anew, changed or not.

        Raises:
            ConfigError: it cannot be built, or would open a network address to everybody; the old one goes on.
        """
        async with self._applying:
            given = config or self._given
            await self._swap(self.dynamic.merged(given), renew)
            self._given = given

    def _not_followed(self, choice: Choice, code: str) -> None:
        subject, by = (choice.revision or "file", choice.by) if choice.ours else (f"choice {choice.number}", "")
        with contextlib.suppress(AuditUnavailable):
            self.record(Event("policy", "refused", by=by, subject=subject, outcome=code))

    async def _swap(self, config: Config, renew: Collection[str]) -> None:
        revision, changed = self._revision(), config != self.config or bool(renew)
        try:
            await self._apply(config, renew)
        except AgentFlowError as error:
            about: Kind = "policy" if config.policy != self.config.policy else "gateway"
            reasons = ((error.kind, self._parts.pii.matcher.mask(error.message)),)
            with contextlib.suppress(AuditUnavailable):
                self.record(Event(about, "refused", outcome=error.kind, reasons=reasons, subject=revision))
            raise
        with contextlib.suppress(AuditUnavailable):
            if changed:
                self.record(Event("gateway", "reconfigured", details={"servers": list(wanted(config))}))
            if self._revision() != revision:
                by, details = self.choices.by, {"before": revision}
                self.record(Event("policy", "activated", by=by, subject=self._revision(), details=details))

    async def _apply(self, config: Config, renew: Collection[str]) -> None:
        if not is_loopback(self._bound) and not config.auth.asks and not self.keys.made:
            raise ConfigError(
                f"This gateway listens on {self._bound}: without keys or issuers under auth nobody could call it",
                fix="Keep one, run `agentflow keys create`, or bind 127.0.0.1 and restart",
            )
        if config.data_dir != self.config.data_dir or config.serve != self.config.serve:
            log.warning("data_dir and serve take effect at the next start; the rest is applied now")
        if config.limits != self.config.limits:
            log.warning("limits on what the front reads (size, depth, time, sessions) take effect at the next start")
        if config.store != self.config.store or config.guard.pins.url != self.config.guard.pins.url:
            log.warning("store and guard.pins.url take effect at the next start; the rest is applied now")
        if config.guard.vault.url != self.config.guard.vault.url:
            log.warning("conversations stay in the database they are in until the next start; the vault changes now")
        check_installed(config)
        old, ring = self._parts, self.keys
        authenticator = Authenticator(config.auth, ring, self.record, self.authenticator)
        await asyncio.to_thread(self._pinning.prepare, config.guard.pins)
        engine = old.engine
        if await asyncio.to_thread(self.choices.differs, engine, old.config.policy, config.policy):
            engine = await asyncio.to_thread(self.choices.engine, config.policy)  # compiling takes a while; calls go on
        parts = assemble(config, self._facts, engine, self._revision, old, self.store)
        parts.log.heard = self.recent.take
        async with self._refreshing:
            try:
                members, retired = await self._changed_members(config, renew)
                offered = await self._pinning.review(members, config, parts.log, parts.judge())
            except BaseException:
                parts.close(old)
                raise
            fresh = [member for member in members if member not in self._members]
            # From here to the new catalogue nothing waits: a call has the old pipeline and servers, or the new ones.
            self.config, self.authenticator, self._parts, self._members = config, authenticator, parts, members
            self.gateway.use(parts, config.catalogue)
            self._flow_data.use(config)
            self.models.workers.apply(config)
            parts.begin()
            self._former.append((old, retired))
            self._spawn(self._retire(old, retired))
            await self._show(members, offered, everybody=True)
        self.models.workers.prewarm()
        if retired and fresh:
            self._spawn(self._renew(fresh))

    async def _renew(self, fresh: list[Member]) -> None:
        """Give changed servers the subscriptions that the ones they replace had."""
        await asyncio.gather(*(member.upstream.settled() for member in fresh))
        await self._refresh()
        await self.front.renew([member.upstream for member in fresh])

    async def _changed_members(self, config: Config, renew: Collection[str]) -> tuple[list[Member], list[Member]]:
        current = {member.name: member for member in self._members}
        same_limits = all(getattr(config.limits, key) == getattr(self.config.limits, key) for key in _OF_UPSTREAMS)
        members, fresh = [], []
        for name, server in wanted(config).items():
            member = current.get(name)
            if member is None or member.config != server or not same_limits or name in renew:
                member = self._member(name, server, config.limits, member)
                member.upstream.start()
                fresh.append(member)
            members.append(member)
        if fresh:
            connecting = [asyncio.ensure_future(member.upstream.settled()) for member in fresh]
            _, late = await asyncio.wait(connecting, timeout=_SWAP)
            for task in late:
                task.cancel()
        kept = {id(member) for member in members}
        return members, [member for member in self._members if id(member) not in kept]

    async def _retire(self, old: Parts, members: Sequence[Member]) -> None:
        """Close what was replaced once the calls that began with it are done, and those that began before it."""
        try:
            async with asyncio.timeout(_GRACE):
                for former, _ in tuple(self._former):
                    await former.pipeline.idle()
        except TimeoutError:
            log.warning("the former configuration is closed with calls still in flight after %.0f s", _GRACE)
        await asyncio.gather(*(member.upstream.close() for member in members), return_exceptions=True)
        self._former = [each for each in self._former if each[0] is not old]
        old.close(self._parts, *(former for former, _ in self._former))

    # Report -------------------------------------------------------------------------------------------------

    def report(self, caller: Principal | None) -> tuple[int, JSON]:
        """`/readyz`: 503 until every upstream has been tried or had its time, then 200; details for operators."""
        healths = [(member, member.upstream.health) for member in self._members]
        opened = self.gateway.opened.is_set()
        down = any(health.status in ("connecting", "unavailable") for _, health in healths)
        status = "starting" if not opened else "degraded" if down else "ready"
        body: JSON = {"status": status}
        if caller is not None and (caller.auth == "local" or _MAY_SEE & set(caller.roles)):
            everything = "admin" in caller.roles and caller.tenant == self.config.auth.home_tenant
            shown = self.gateway.catalogue if everything else self.gateway.catalogue.of(caller.tenant)
            body["tools"] = len(shown.tools)
            body["problems"] = list(shown.problems)
            body["servers"] = [
                {
                    "name": member.name,
                    "type": member.config.type,
                    "status": health.status,
                    "reason": self._parts.pii.matcher.mask(health.reason),
                    "since": health.since,
                    "eras": list(health.eras),
                    "protocol": health.protocol,
                    "restarts": health.restarts,
                    "tools": [tool["name"] for tool in member.upstream.listing.tools],
                    "held": [ref[2] for ref in self._offered.held if ref[0] == member.name],
                    "trust": member.config.trust,
                    "sensitivity": member.config.sensitivity,
                }
                for member, health in healths
                if everything or member.upstream.facts.open_to(caller.tenant)
            ]
        return (200 if opened else 503), body


def wanted(config: Config) -> dict[str, ServerConfig]:
    """The servers to run: the configured ones, further tool folders, and the flow tools."""
    if FLOW in config.mcp_servers:
        raise ConfigError(f"`{FLOW}` is the name of the gateway's own tools", fix="Give this server another name")
    servers = {name: server for name, server in config.mcp_servers.items() if not server.disabled}
    for number, folder in enumerate(config.tools, 1):
        name = f"tools-{number}"
        if name in servers:
            raise ConfigError(f"`{name}` is the name of a folder under `tools`", fix="Give this server another name")
        servers[name] = ServerConfig(type="tools", path=folder, namespace="", trust="trusted")
    if config.flow.enabled:
        longer = config.flow.timeout + 5
        servers[FLOW] = ServerConfig(
            type="tools",
            path=paths.shipped("tools"),
            namespace="",
            trust="trusted",
            timeout=longer,
            deny=() if config.flow.sandbox.enabled else (COMPUTE,),
        )
    return servers


def _tools(members: Sequence[Member]) -> dict[str, dict[str, JSON]]:
    """The tools and their input schemas of every server that has listed some."""
    return {
        member.name: {tool["name"]: tool.get("inputSchema", {}) for tool in listing.tools}
        for member in members
        if (listing := member.upstream.listing).tools
    }


def _same(before: list[tuple[str, Any]], after: list[tuple[str, Any]]) -> bool:
    return len(before) == len(after) and all(a[0] == b[0] and a[1] is b[1] for a, b in zip(before, after, strict=True))


def _give_back() -> None:
    """Return what start-up freed to the system: glibc would keep some 3 MB of heap."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
