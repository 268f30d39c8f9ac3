"""One configured server, whatever its transport: `port.Upstream` over a `Connector`.

Promises: starting and failing block nobody; what a server offers is known, kept up to date and kept over an outage;
each client has a connection of its own in its own era where the server can, and a call is sent once: again only
where it certainly was not processed, or where the tool says that twice does no harm. Refuses calls without sending
them while the server is down or keeps failing.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Collection, Hashable
from dataclasses import replace
from typing import Any, Protocol, runtime_checkable

from agentflow.config import LimitsConfig, ServerConfig
from agentflow.errors import (
    AgentFlowError,
    LimitExceeded,
    Unsupported,
    UpstreamError,
    UpstreamProtocolError,
    UpstreamTimeout,
    UpstreamUnavailable,
)
from agentflow.gateway.upstreams import log_level, offer
from agentflow.gateway.upstreams.breaker import FIRST_DELAY, Backoff, Breakers
from agentflow.gateway.upstreams.connection import Connection, Connector
from agentflow.gateway.upstreams.eras import Eras
from agentflow.gateway.upstreams.own_offers import OwnOffers, let_in
from agentflow.gateway.upstreams.pool import Pool, Slot
from agentflow.gateway.upstreams.port import (
    Changed,
    ClientIdentity,
    Exchange,
    Health,
    Listing,
    Status,
    Unsolicited,
)
from agentflow.identity.downstream import Source
from agentflow.pipeline.call import UpstreamFacts

JSON = dict[str, Any]
_log = logging.getLogger(__name__)

CHILDREN = 8  # client connections of a stdio upstream, each of which is a process
CONNECTIONS = 256
_IDLE_SECONDS = 600.0
_SWEEP_SECONDS = 15.0
_DEBOUNCE_SECONDS = 0.05
_STABLE_SECONDS = 10.0  # a session that lasted this long was a success, and resets the back-off
_RETRY_LISTING_SECONDS = 60.0
_GATEWAY = ClientIdentity()

_READS = frozenset(
    {"tools/list", "resources/list", "resources/templates/list", "prompts/list", "resources/read", "prompts/get"}
    | {"completion/complete", "ping", "resources/subscribe", "resources/unsubscribe"}
)
_LIST_CHANGED = {
    "tools": "notifications/tools/list_changed",
    "resources": "notifications/resources/list_changed",
    "prompts": "notifications/prompts/list_changed",
}
_PASSED_ON = frozenset(
    {"notifications/resources/updated", "notifications/message", "notifications/elicitation/complete"}
)
_TRANSPORT_FAILURES = (UpstreamUnavailable, UpstreamProtocolError, UpstreamTimeout)


@runtime_checkable
class Listens(Protocol):
    """A connection of the stateless era that can hold a `subscriptions/listen` stream open."""

    async def listen(self, wanted: JSON) -> None: ...


class ManagedUpstream:
    """See the module and `port.Upstream`.

    Args:
        problems: what the connector itself had to leave out (tool files), added to each listing.
        source: the credentials of an entry with `auth`: where each principal has its own, each has its own connections.
    """

    def __init__(
        self,
        name: str,
        config: ServerConfig,
        limits: LimitsConfig,
        connector: Connector,
        *,
        on_change: Changed,
        on_unsolicited: Unsolicited,
        problems: Callable[[], tuple[str, ...]] = tuple,
        source: Source | None = None,
    ) -> None:
        self._name = name
        self._each = source if source is not None and source.personal else None  # where each principal has its own
        self._own: OwnOffers | None = None  # once the server has turned the gateway itself away
        self._config = config
        self._limits = limits
        self._connector = connector
        self._on_change = on_change
        self._on_unsolicited = on_unsolicited
        self._connector_problems = problems
        self._facts = UpstreamFacts(name, config.type or "", config.trust, config.sensitivity, config.tenants)
        self._listing = Listing()
        self._listed = False
        self._tools: dict[str, JSON] = {}
        status: Status = "disabled" if config.disabled else "connecting"
        self._health = Health(status, since=time.time())
        self._eras = Eras()
        self._pool = Pool(self._open_slot, most=CHILDREN if config.type == "stdio" else CONNECTIONS, idle=_IDLE_SECONDS)
        self._breakers = Breakers()
        self._backoff = Backoff()
        self._failed_at = 0.0
        self._settled = asyncio.Event()
        self._attempted = asyncio.Event()  # no connection attempt is under way
        self._kick = asyncio.Event()
        self._pausing = False  # between two attempts, when a kick brings the next one on
        self._stale = asyncio.Event()  # the listing is to be fetched again
        self._lister: Slot | None = None
        self._supervisor: asyncio.Task[None] | None = None

    # -- port.Upstream ------------------------------------------------------------------------------------------

    @property
    def facts(self) -> UpstreamFacts:
        return self._facts

    @property
    def listing(self) -> Listing:
        return self._listing

    @property
    def health(self) -> Health:
        return self._health

    def input_schema(self, tool: str) -> JSON | None:
        """The current `inputSchema` of a tool under its own name, or None."""
        schema = self._tools.get(tool, {}).get("inputSchema")
        return schema if isinstance(schema, dict) else None

    @property
    def own_offers(self) -> OwnOffers | None:
        """What each principal is offered, where the server turns the gateway itself away; else None."""
        return self._own

    async def unmet(self, principal: str) -> str:
        """What has to be done before the server says what it offers to a principal; "" where it says so."""
        return await self._each.unmet(principal) if self._each and self._own is not None else ""

    async def introduce(self, identity: ClientIdentity) -> None:
        """Ask what a principal is offered, on its own connection, and add that to `listing`.

        Raises:
            CredentialRequired: it has no credential that the server accepts.
            AgentFlowError: the server cannot be asked.
        """
        if self._own is not None:
            await self._own.once(identity.principal, lambda: self._introduce(identity))

    async def _introduce(self, identity: ClientIdentity) -> None:
        slot, connection = await self._connection(identity, self._config.timeout)
        try:
            found = await offer.everything(self._name, connection, self._config, self._limits)
        finally:
            self._pool.give(slot)
        if self._own is not None and self._own.take(identity.principal, found):
            self._show(self._own.union)

    def start(self) -> None:
        """Begin connecting in the background; returns at once."""
        if self._health.status == "disabled":
            self._settled.set()
        elif self._supervisor is None:
            loop = asyncio.get_running_loop()
            self._supervisor = loop.create_task(self._supervise(), name=f"upstream {self._name}")

    def expect(self, listing: Listing) -> None:
        """Offer this until the server itself has said what it offers: the same server, started anew."""
        self._show(listing)

    async def settled(self) -> None:
        """Wait until the first connection attempt has succeeded or failed."""
        await self._settled.wait()

    async def request(self, method: str, params: JSON, exchange: Exchange, *, timeout: float | None = None) -> JSON:
        """Send one request, exactly once; see `port.Upstream.request`."""
        seconds = self._config.timeout if timeout is None else timeout
        identity = exchange.identity
        breaker = self._breakers.of(self._owner(identity))  # one who breaks what is its own shuts out nobody else
        breaker.admit(self._name)
        try:
            result = await self._send(method, params, exchange, identity, seconds)
        except _TRANSPORT_FAILURES as error:
            if breaker.failed() or isinstance(error, UpstreamUnavailable):
                self._stale.set()  # the gateway's own connection shall find out whether it is really gone
            raise
        except AgentFlowError:
            breaker.succeeded()
            raise
        except BaseException:
            breaker.undecided()
            raise
        breaker.succeeded()
        return result

    async def notify(self, method: str, params: JSON, identity: ClientIdentity) -> None:
        """Best-effort client notification on that client's connection, if it has one."""
        slot = self._pool.find(self._key(identity))
        if slot is not None and slot.connection is not None:
            with contextlib.suppress(AgentFlowError):
                await slot.connection.notify(method, params)

    async def close(self) -> None:
        """End every connection and child process; idempotent."""
        if self._supervisor is not None:
            self._supervisor.cancel()
            await asyncio.gather(self._supervisor, return_exceptions=True)
        if self._own is not None:
            self._own.close()
        await self._pool.close()
        await self._connector.close()
        self._settled.set()

    # -- calls --------------------------------------------------------------------------------------------------

    async def _send(
        self, method: str, params: JSON, exchange: Exchange, identity: ClientIdentity, seconds: float
    ) -> JSON:
        again = False
        while True:
            slot, connection = await self._connection(identity, seconds)
            try:
                await log_level.ask(slot, connection, exchange.log_level)
                return await self._once(slot, connection, method, params, exchange, seconds)
            except UpstreamUnavailable as error:
                if again or error.data.get("sent") is not False:
                    raise
            except UpstreamProtocolError:
                if again or not connection.closed.is_set() or not self._repeatable(method, params):
                    raise
            finally:
                self._pool.give(slot)
            again = True

    async def _connection(self, identity: ClientIdentity, seconds: float) -> tuple[Slot, Connection]:
        try:
            async with asyncio.timeout(seconds):
                await self._up()
                # First: whoever has no credential is not connected at all, on no transport.
                line = None
                if self._each:
                    await self._each.headers(identity.principal)
                    line = self._each.line(identity.principal)
                return await self._pool.take(self._key(identity), identity, line)
        except TimeoutError:
            raise UpstreamUnavailable(
                f"{self._name} had no connection to spare for {seconds:g} s", sent=False
            ) from None
        except Unsupported as error:
            raise UpstreamUnavailable(f"{self._name}: {error.message}", sent=False) from None

    async def _up(self) -> None:
        """Return once the upstream is known to work.

        Raises:
            UpstreamUnavailable: it is down, and was just tried.
        """
        if self._ready():
            return
        if self._pausing:
            # It may have come back since; it is asked twice a second at most, however many calls there are.
            await asyncio.sleep(self._failed_at + FIRST_DELAY - asyncio.get_running_loop().time())
        if self._pausing:
            self._attempted.clear()
            self._kick.set()
        if self._supervisor is not None:
            await self._attempted.wait()
        if not self._ready():
            why = self._health.reason or self._health.status
            raise UpstreamUnavailable(f"{self._name} is unavailable: {why}", sent=False)

    def _ready(self) -> bool:
        return self._health.status == "ready"

    async def _once(
        self, slot: Slot, connection: Connection, method: str, params: JSON, exchange: Exchange, seconds: float
    ) -> JSON:
        if method not in ("resources/subscribe", "resources/unsubscribe"):
            return await connection.request(method, params, exchange, seconds)
        async with slot.subscribing:
            return await self._subscribe(slot, connection, method, params, exchange, seconds)

    async def _subscribe(
        self, slot: Slot, connection: Connection, method: str, params: JSON, exchange: Exchange, seconds: float
    ) -> JSON:
        uri, who = str(params.get("uri")), {exchange.subscriber}
        former = slot.subscribed.get(uri, frozenset())
        holders = former | who if method == "resources/subscribe" else former - who
        wanted = {**slot.subscribed, uri: holders}
        if not holders:
            del wanted[uri]
        result: JSON = {}
        if method == "resources/unsubscribe" and holders:
            slot.subscribed = wanted  # somebody else still wants it
            return result
        if connection.era == "legacy":
            result = await connection.request(method, params, exchange, seconds)
        else:
            await self._listen(connection, wanted, lists=self._owned(connection))
        slot.subscribed = wanted
        return result

    def _repeatable(self, method: str, params: JSON) -> bool:
        """Whether doing it twice does no harm, by protocol or by the tool's own word."""
        if method != "tools/call":
            return method in _READS
        hints = self._tools.get(str(params.get("name")), {}).get("annotations")
        if not isinstance(hints, dict):
            return False
        return hints.get("readOnlyHint") is True or hints.get("idempotentHint") is True

    def _key(self, identity: ClientIdentity) -> Hashable:
        era, owner = self._eras.best(identity.era), self._owner(identity)
        if era == "modern":
            # There each request says who its client is, so one connection (one child process) serves all of a caller's.
            return era, owner
        return era, identity.info, identity.capabilities, owner

    def _owner(self, identity: ClientIdentity) -> str:
        """Whose a client's process or session is alone, or ""."""
        return identity.principal if self._each or self._eras.stateful(self._eras.best(identity.era)) else ""

    async def _open_slot(self, slot: Slot) -> Connection:
        connection = await self._eras.connect(
            self._connector, slot.identity, lambda method, params: self._heard(method, params, slot)
        )
        if self._eras.spoken != self._health.eras:
            self._report(self._health.status, self._health.reason)
        # Which era it is, and whether there is a session, is known only now.
        self._pool.rename(slot, self._key(slot.identity))
        try:
            with contextlib.suppress(UpstreamError):
                await self._restore(slot, connection)
        except BaseException:
            await connection.close()
            raise
        return connection

    async def _restore(self, slot: Slot, connection: Connection) -> None:
        """Tell a new connection what the client had set up on the former one."""
        seconds = self._config.timeout
        if connection.era == "legacy":
            if slot.level is not None:
                await connection.request("logging/setLevel", {"level": slot.level}, None, seconds)
            for uri in sorted(slot.subscribed):
                await connection.request("resources/subscribe", {"uri": uri}, None, seconds)
        else:
            await self._listen(connection, slot.subscribed, lists=self._owned(connection))
        for uri in sorted(slot.subscribed):  # nobody knows what changed in between
            self._heard("notifications/resources/updated", {"uri": uri}, slot)

    def _owned(self, connection: Connection) -> bool:
        """Whether a connection is one principal's alone."""
        return self._each is not None or connection.stateful

    def _heard(self, method: str, params: JSON, slot: Slot | None) -> None:
        """A notification that belongs to no call, on the gateway's own connection (None) or a client's."""
        if method in _LIST_CHANGED.values():
            if self._own is not None and slot is not None:
                self._own.changed(slot.identity.principal)
            self._lister = slot
            self._stale.set()
        elif method in _PASSED_ON:
            shared = slot is None or (slot.connection is not None and not self._owned(slot.connection))
            try:
                self._on_unsolicited(self, method, params, None if slot is None or shared else slot.identity)
            except Exception:
                _log.exception("%s: a notification could not be passed on", self._name)

    # -- supervision --------------------------------------------------------------------------------------------

    async def _supervise(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            began = loop.time()
            self._attempted.clear()
            self._kick.clear()
            try:
                reason = await self._live()
            except AgentFlowError as error:
                reason = f"{error.message} ({error.fix})" if error.fix else error.message
            except Exception as error:
                _log.exception("%s: unexpected failure", self._name)
                reason = f"unexpected failure ({type(error).__name__})"
            self._failed_at = loop.time()
            if self._health.status == "ready" and loop.time() - began > _STABLE_SECONDS:
                self._backoff.reset()
            self._report("unavailable", reason)
            self._settled.set()
            self._attempted.set()
            self._pausing = True
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._backoff.next()):
                    await self._kick.wait()
            self._pausing = False

    async def _first_connection(self) -> Connection:
        """The gateway's own; while the server turns it away, each principal's own offer counts instead."""
        while True:
            try:
                connection = await self._eras.connect(
                    self._connector, _GATEWAY, lambda method, params: self._heard(method, params, None), newest=True
                )
                if self._each is not None:
                    await let_in(connection, self._config.timeout)
            except UpstreamUnavailable as error:
                if self._each is None or not self._each.each_for_itself(error.data.get("status")):
                    raise
                await self._by_principals()
            else:
                self._own = None
                return connection

    async def _by_principals(self) -> None:
        """Serve those that have a credential, until it is time to see whether the server is still there."""
        if self._own is None:
            self._own = OwnOffers()
        self._stale.clear()
        self._report("ready", "")
        self._settled.set()
        self._attempted.set()
        while not self._stale.is_set():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_SWEEP_SECONDS):
                    await self._stale.wait()
            await self._sweep()
        for slot in self._pool:  # those to whom the server has announced a change
            if not self._own.current(slot.identity.principal):
                with contextlib.suppress(AgentFlowError):
                    await self.introduce(slot.identity)
        await asyncio.sleep(FIRST_DELAY)

    async def _live(self) -> str:
        """One life of the gateway's own connection: connect, list, watch. Returns why it ended."""
        connection = await self._first_connection()
        try:
            self._stale.clear()
            refused = await self._list(connection)
            if refused and not self._listed:
                self._report("unavailable", refused, connection)
            else:
                self._report("ready", "", connection)
            self._settled.set()
            self._attempted.set()
            await self._listen(connection, (), lists=True)
            return await self._watch(connection, bool(refused))
        finally:
            with contextlib.suppress(AgentFlowError):
                await connection.close()

    async def _watch(self, connection: Connection, refused: bool) -> str:
        loop = asyncio.get_running_loop()
        ended = loop.create_task(connection.closed.wait())
        ended.add_done_callback(lambda _: self._stale.set())
        await self._sweep()  # subscribers have been deaf while the server was gone
        try:
            while True:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_RETRY_LISTING_SECONDS if refused else _SWEEP_SECONDS):
                        await self._stale.wait()
                if ended.done():
                    return connection.reason
                await self._sweep()
                if not self._stale.is_set() and not refused:
                    continue
                await asyncio.sleep(_DEBOUNCE_SECONDS)
                began = loop.time()
                self._stale.clear()
                refused = bool(await self._list(connection))
                if self._listed and not refused:
                    self._report("ready", "", connection)
                # A server that announces changes all the time gets a fifth of our time at most.
                await asyncio.wait({ended}, timeout=4 * (loop.time() - began))
        finally:
            ended.cancel()

    async def _sweep(self) -> None:
        """Give up what nobody uses, and the connections of those whose credential was revoked."""
        self._pool.sweep()
        for slot in self._pool if self._each else ():
            if self._each and slot.connection and await self._each.revoked(slot.identity.principal, slot.carried):
                await slot.connection.close()

    async def _list(self, connection: Connection) -> str:
        """Fetch the listing and make it known; returns why it was refused, or "".

        Raises:
            UpstreamUnavailable, UpstreamTimeout, UpstreamProtocolError: the connection is of no more use.
        """
        source = self._source(connection)
        try:
            found = await offer.everything(self._name, source, self._config, self._limits)
        except (LimitExceeded, UpstreamError) as error:
            reason = f"{self._name} was not listed: {error.message}"
            # Cut off what a former refusal said, so that it is said once.
            kept = tuple(p for p in self._listing.problems if not p.startswith(f"{self._name} was not listed: "))
            self._show(replace(self._listing, problems=(*kept, reason)))
            return reason
        except _TRANSPORT_FAILURES:
            if source is connection:
                raise
            self._lister = None
            return await self._list(connection)
        self._listed = True
        self._show(replace(found, problems=(*self._connector_problems(), *found.problems)))
        return ""

    def _source(self, connection: Connection) -> Connection:
        """The connection to list over: a client's own, if it announced a change and nobody else is connected.

        A tool may change what its session offers. With one principal that is what everybody should see; with
        several, nobody may see what another's session made of the server.
        """
        slot = self._lister
        if slot is None or slot.connection is None or slot.connection.closed.is_set():
            return connection
        return slot.connection if len({each.identity.principal for each in self._pool}) == 1 else connection

    async def _listen(self, connection: Connection, uris: Collection[str], *, lists: bool) -> None:
        """Have a connection of the stateless era announce changes of resources and, with `lists`, of listings.

        2026-07-28 has one stream for all of that, instead of a request per resource.
        """
        if connection.era != "modern" or not isinstance(connection, Listens):
            return
        wanted: JSON = {"resourceSubscriptions": sorted(uris)} if uris else {}
        for kind in _LIST_CHANGED if lists else ():
            announced = connection.capabilities.get(kind)
            if isinstance(announced, dict) and announced.get("listChanged") is True:
                wanted[f"{kind}ListChanged"] = True
        await connection.listen(wanted)

    def _show(self, listing: Listing) -> None:
        if listing != self._listing:
            self._listing = listing
            self._tools = {tool["name"]: tool for tool in listing.tools}
            self._changed()

    def _report(self, status: Status, reason: str, connection: Connection | None = None) -> None:
        former = self._health
        restarted = connection is not None and former.protocol != "" and former.status == "unavailable"
        health = Health(
            status=status,
            reason=reason,
            since=former.since if status == former.status else time.time(),
            eras=self._eras.spoken,
            protocol=connection.protocol if connection is not None else former.protocol,
            restarts=former.restarts + restarted,
        )
        self._health = health
        if (health.status, health.reason, health.eras) != (former.status, former.reason, former.eras):
            if status == "unavailable":
                _log.warning("%s is unavailable: %s", self._name, reason)
            self._changed()

    def _changed(self) -> None:
        try:
            self._on_change(self)
        except Exception:
            _log.exception("%s: a change could not be passed on", self._name)
