"""What upstreams say without being asked: their instructions, and notifications that belong to no call.

A notification goes through the pipeline once for every client that is to receive it, as that client's principal and in
its conversation, so that tokens are its tenant's and taint is where it belongs. Instructions go through once, when the
catalogue changes, as the gateway itself. An upstream can announce changes of its own resources only, and a message
that nobody can be named for is dropped.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from agentflow.errors import AgentFlowError
from agentflow.gateway.catalogue import Entry, Member
from agentflow.gateway.client import ClientEnd
from agentflow.gateway.connectable import catalogue_of, entries_of
from agentflow.gateway.core import Gateway
from agentflow.gateway.front import Front
from agentflow.gateway.upstreams.port import ClientIdentity, Listing, Upstream
from agentflow.identity.principal import Principal
from agentflow.pipeline.call import Call, Direction, Message, Session

JSON = dict[str, Any]
log = logging.getLogger(__name__)

_SYSTEM = Principal("agentflow", kind="service", roles=("gateway",), auth="internal")
_OF_A_SESSION = frozenset({"notifications/message", "notifications/elicitation/complete"})
_HEAD = (
    "AgentFlow gateway. Values like <EMAIL_1f3a9c2e> stand for personal data: use them as they are, "
    "the gateway puts the real value in where policy allows it."
)


class Instructions:
    """The upstreams' instructions, screened when the catalogue changes, shown to those who see something of theirs.

    Args:
        hints: what the gateway itself has to tell a principal.
    """

    def __init__(self, gateway: Gateway, hints: Callable[[Principal], Awaitable[list[str]]]) -> None:
        self._gateway, self._hints = gateway, hints
        self._texts: list[tuple[str, str, list[tuple[str, Entry]]]] = []  # name, text, what the server offers

    async def refresh(self, members: Sequence[Member], listings: Mapping[str, Listing]) -> None:
        """Screen the members' instructions anew, as these listings have them; a poisoned one is left out."""
        texts = []
        for member in members:
            text = await self._screened(member, listings[member.name].instructions)
            if text:
                texts.append((member.name, text, entries_of(member.upstream, self._gateway.catalogue)))
        self._texts = texts

    async def _screened(self, member: Member, text: str) -> str:
        if not text:
            return ""
        call = Call(
            surface="server/instructions",
            principal=_SYSTEM,
            session=Session("system", _SYSTEM),
            params={},
            upstream=member.upstream.facts,
            transport="internal",
        )
        message = Message("server/instructions", Direction.OUTBOUND, {"instructions": text})
        try:
            body = await self._gateway.pipeline.relay(call, message)
        except AgentFlowError as error:
            log.warning("%s: its instructions are withheld: %s", member.name, error.message)
            return ""
        return str(body.get("instructions") or "")

    async def of(self, principal: Principal) -> str:
        """The text for `initialize` and `server/discover`."""
        parts = [_HEAD]
        for name, text, offered in self._texts:
            for kind, entry in offered:
                if await self._gateway.visible(principal, kind, entry):
                    parts.append(f"## {name}\n{text}")
                    break
        return "\n\n".join([*parts, *await self._hints(principal)])


class Notifications:
    """Passes unsolicited notifications on."""

    def __init__(self, gateway: Gateway, front: Front) -> None:
        self._gateway, self._front = gateway, front

    async def pass_on(self, upstream: Upstream, method: str, params: JSON, identity: ClientIdentity | None) -> None:
        """Relay one notification to whom it concerns.

        Args:
            identity: whose upstream session it came from, or None where that is the gateway's own or shared.
        """
        if method == "notifications/resources/updated":
            await self._updated(upstream, params)
        elif method in _OF_A_SESSION:
            for client, connection in self._front.sessions_of(identity, params.get("level")):
                body = await self._relayed(upstream, method, params, client)
                if body is not None:
                    await connection.notify(method, body)

    async def _updated(self, upstream: Upstream, params: JSON) -> None:
        uri = params.get("uri")
        owner = catalogue_of(upstream, self._gateway.catalogue).resource(uri) if isinstance(uri, str) else None
        if owner is None or owner.upstream is not upstream:
            log.warning("%s announced a change of a resource that is not its own", upstream.facts.name)
            return
        streams = set()
        for subscription in self._front.subscriptions(str(uri)):
            if not upstream.facts.open_to(subscription.client.principal.tenant):
                continue
            body = await self._relayed(upstream, "notifications/resources/updated", params, subscription.client)
            # The client knows the URI as it was listed to it: perhaps with a token in place of personal data.
            if body is None or subscription.uri not in (uri, body.get("uri")):
                continue
            if subscription.connection is None:
                streams.add((subscription.uri, subscription.client.listener))
            else:
                update = {**body, "uri": subscription.uri}
                await subscription.connection.notify("notifications/resources/updated", update)
        for subscribed, listener in streams:
            await self._front.publish_updated(subscribed, listener)

    async def _relayed(self, upstream: Upstream, method: str, params: JSON, client: ClientEnd) -> JSON | None:
        call = self._gateway.call_for(method, {}, client, upstream=upstream.facts)
        try:
            return await self._gateway.pipeline.relay(call, Message(method, Direction.OUTBOUND, params))
        except AgentFlowError as error:
            log.warning("%s: a %s was withheld: %s", upstream.facts.name, method, error.message)
            return None
