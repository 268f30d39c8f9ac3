"""A running gateway: built from a configuration, kept up to date with it, and taken down again.

`Service` owns everything that has a lifetime: upstreams, vault, audit log, policy engine. A changed
configuration is built completely beside the old one and then swapped in; what cannot be built changes nothing.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import time
from collections.abc import Coroutine
from typing import Any

from agentflow import paths
from agentflow.config import Config, ServerConfig
from agentflow.errors import AgentFlowError
from agentflow.gateway import catalogue as catalogues
from agentflow.gateway.assemble import Parts, assemble
from agentflow.gateway.catalogue import Member
from agentflow.gateway.core import FLOW, Gateway
from agentflow.gateway.front import Front
from agentflow.gateway.upstreams.build import build as build_upstream
from agentflow.gateway.upstreams.port import ClientIdentity, Upstream
from agentflow.identity.authenticate import Authenticator
from agentflow.identity.principal import Principal
from agentflow.pipeline.call import JSON, Call, Direction, Message, Session, UpstreamFacts

log = logging.getLogger(__name__)

# Unsolicited notifications being passed on at once; an upstream that floods loses the rest.
_UNSOLICITED = 1000
# How long a replaced upstream may finish what it was asked, in seconds.
_GRACE = 300.0
# How long the first requests wait for upstreams that are still connecting, in seconds: many clients list once.
_FIRST = 2.0
# How long a changed upstream may take to connect before it is swapped in regardless.
_SWAP = 1.2
_SYSTEM = Principal("agentflow", kind="service", roles=("gateway",), auth="internal")


class Service:
    """One gateway process's state.

    Raises (on construction):
        ConfigError: the configuration cannot be built: a policy that does not compile, a vault with another key.
        OSError: the data directory cannot be used.
    """

    def __init__(self, config: Config) -> None:
        paths.private_dir(config.data_dir)
        self.config = config
        self.started = time.time()
        self.authenticator = Authenticator(config.auth)
        self._parts = assemble(config, self._facts)
        self.gateway = Gateway(self._parts, config.catalogue)
        self.front = Front(self.gateway, self.authenticator.local("stdio"), self._instructions)
        self._members: list[Member] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._stale = asyncio.Event()
        self._instruction_text = ""

    def _facts(self, call: Call, shown: JSON) -> tuple[UpstreamFacts, str, JSON] | None:
        return self.gateway.facts(call.surface, shown)

    # Life ---------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin connecting to every upstream, all at once, in the background."""
        self._members = [self._member(name, server) for name, server in wanted(self.config).items()]
        for member in self._members:
            member.upstream.start()
        self._spawn(self._refresh_forever())
        self._spawn(self._settle())

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
        await asyncio.gather(*tried)
        gc.collect()
        gc.freeze()

    async def close(self) -> None:
        """Stop everything; calls still held are cancelled, children ended, the log closed."""
        self.front.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.gateway.held.close()
        await asyncio.gather(*(member.upstream.close() for member in self._members), return_exceptions=True)
        self._parts.close()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._finished)

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()):
            log.error("background work failed: %s", type(error).__name__, exc_info=error)

    # Upstreams ----------------------------------------------------------------------------------------------

    def _member(self, name: str, server: ServerConfig) -> Member:
        upstream = build_upstream(
            name,
            server,
            self.config.limits,
            on_change=lambda _: self._stale.set(),
            on_unsolicited=self._unsolicited,
        )
        return Member(name, server, upstream)

    async def _refresh_forever(self) -> None:
        """Rebuild the catalogue after changes; those that come together are taken together."""
        shown: Any = None
        while True:
            await self._stale.wait()
            await asyncio.sleep(0.02)
            self._stale.clear()
            listings = [(member.name, member.upstream.listing) for member in self._members]
            if shown is not None and _same(shown, listings):
                continue
            shown = listings
            await self._refresh()

    async def _refresh(self) -> None:
        before = self.gateway.catalogue
        self.gateway.catalogue = catalogues.build(self._members, self.config.catalogue)
        self._instruction_text = await self._screened_instructions()
        for problem in self.gateway.catalogue.problems:
            if problem not in before.problems:
                log.warning("%s", problem)
        await self.front.catalogue_changed()

    async def _screened_instructions(self) -> str:
        """The upstreams' own instructions, each through the pipeline like any listing; a poisoned one is left out."""
        texts = []
        for member in self._members:
            text = member.upstream.listing.instructions
            if not text:
                continue
            message = Message("server/instructions", Direction.OUTBOUND, {"instructions": text})
            try:
                body = await self.gateway.pipeline.relay(
                    self._own_call("server/instructions", member.upstream), message
                )
            except AgentFlowError as error:
                log.warning("%s: its instructions are withheld: %s", member.name, error.message)
                continue
            if body.get("instructions"):
                texts.append(f"## {member.name}\n{body['instructions']}")
        return "\n\n".join(texts)

    def _instructions(self) -> str:
        head = (
            "AgentFlow gateway. Values like <EMAIL_1f3a9c2e> stand for personal data: use them as they are, "
            "the gateway puts the real value in where policy allows it."
        )
        return f"{head}\n\n{self._instruction_text}".strip()

    def _own_call(self, surface: str, upstream: Upstream) -> Call:
        return Call(
            surface=surface,
            principal=_SYSTEM,
            session=Session("system", _SYSTEM),
            params={},
            upstream=upstream.facts,
            transport="internal",
        )

    def _unsolicited(self, upstream: Upstream, method: str, params: JSON, identity: ClientIdentity | None) -> None:
        if len(self._tasks) < _UNSOLICITED:
            self._spawn(self._pass_on(upstream, method, params, identity))

    async def _pass_on(self, upstream: Upstream, method: str, params: JSON, identity: ClientIdentity | None) -> None:
        uri = params.get("uri")
        try:
            message = Message(method, Direction.OUTBOUND, params)
            body = await self.gateway.pipeline.relay(self._own_call(method, upstream), message)
        except AgentFlowError as error:
            log.warning("%s: a %s was withheld: %s", upstream.facts.name, method, error.message)
            return
        if method == "notifications/resources/updated" and isinstance(uri, str):
            await self.front.resource_updated(uri, body)
        elif method == "notifications/message" and identity is not None:
            # Without an identity the session is the gateway's own or shared: whose business it is nobody knows.
            await self.front.log_message(body, identity)

    # Configuration ------------------------------------------------------------------------------------------

    async def apply(self, config: Config) -> None:
        """Swap in a changed configuration without dropping a call.

        Raises:
            ConfigError: it cannot be built; the old one goes on.
        """
        if config.data_dir != self.config.data_dir or config.serve != self.config.serve:
            log.warning("data_dir and serve take effect at the next start; the rest is applied now")
        authenticator = Authenticator(config.auth)
        parts = assemble(config, self._facts, self._parts)
        members, retired = await self._changed_members(config)
        self.config, self.authenticator = config, authenticator
        self.gateway.use(parts, config.catalogue)
        old, self._parts = self._parts, parts
        self._spawn(self._close_later(old))
        self._members = members
        for member in retired:
            self._spawn(self._retire(member))
        await self._refresh()

    async def _changed_members(self, config: Config) -> tuple[list[Member], list[Member]]:
        current = {member.name: member for member in self._members}
        same_limits = config.limits == self.config.limits
        members, fresh = [], []
        for name, server in wanted(config).items():
            member = current.get(name)
            if member is None or member.config != server or not same_limits:
                member = self._member(name, server)
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

    async def _retire(self, member: Member) -> None:
        """Close a replaced upstream once nothing is in flight on it."""
        try:
            async with asyncio.timeout(_GRACE):
                await self.gateway.drained(member.upstream)
        except TimeoutError:
            log.warning("%s: closed with calls still in flight after %.0f s", member.name, _GRACE)
        finally:
            await member.upstream.close()

    async def _close_later(self, old: Parts) -> None:
        """Close replaced parts when the calls that began with them are done."""
        try:
            async with asyncio.timeout(_GRACE):
                await asyncio.gather(*(self.gateway.drained(member.upstream) for member in self._members))
        except TimeoutError:
            log.warning("replaced parts closed with calls still in flight after %.0f s", _GRACE)
        finally:
            old.close(self._parts)

    # Report -------------------------------------------------------------------------------------------------

    def report(self, detailed: bool) -> tuple[int, JSON]:
        """`/readyz`: 503 until every upstream has been tried once or had its time, then 200; details for known callers."""
        healths = [(member, member.upstream.health) for member in self._members]
        opened = self.gateway.opened.is_set()
        down = any(health.status in ("connecting", "unavailable") for _, health in healths)
        status = "starting" if not opened else "degraded" if down else "ready"
        body: JSON = {"status": status}
        if detailed:
            body["tools"] = len(self.gateway.catalogue.tools)
            body["problems"] = list(self.gateway.catalogue.problems)
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
                    "trust": member.config.trust,
                    "sensitivity": member.config.sensitivity,
                }
                for member, health in healths
            ]
        return (200 if opened else 503), body


def wanted(config: Config) -> dict[str, ServerConfig]:
    """The servers to run: the configured ones, further tool folders, and the flow tools."""
    servers = {name: server for name, server in config.mcp_servers.items() if not server.disabled}
    for number, folder in enumerate(config.tools, 1):
        servers.setdefault(f"tools-{number}", ServerConfig(type="tools", path=folder, namespace="", trust="trusted"))
    if config.flow.enabled:
        longer = config.flow.timeout + 5
        servers[FLOW] = ServerConfig(
            type="tools", path=paths.shipped("tools"), namespace="", trust="trusted", timeout=longer
        )
    return servers


def _same(before: list[tuple[str, Any]], after: list[tuple[str, Any]]) -> bool:
    return len(before) == len(after) and all(a[0] == b[0] and a[1] is b[1] for a, b in zip(before, after, strict=True))
