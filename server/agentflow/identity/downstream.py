"""What goes with the requests to servers behind the gateway: each principal's own credential, kept valid.

It promises that a principal's requests carry that principal's credential or are not made; that a credential is renewed
once, however many calls and gateways find it expired at the same time; that one which was revoked or replaced is not
used for longer than a second; and that the caller's own token goes to the token endpoint that the operator configured
and nowhere else.
"""

from __future__ import annotations

import asyncio
import math
import time
from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Protocol, TypeVar
from urllib.parse import quote, urlsplit

from agentflow.config import ServerConfig
from agentflow.config_credentials import UpstreamAuth
from agentflow.errors import AgentFlowError, CredentialRequired, StoreUnavailable, UpstreamUnavailable
from agentflow.identity import oauth
from agentflow.identity.credentials import Credential, Credentials, Grant, Owner
from agentflow.identity.oauth import OAuthFailed
from agentflow.identity.subject import SUBJECT

T = TypeVar("T")
Headers = Mapping[str, str]
_FRESH: Final = 1.0  # seconds that a look at the store counts
_EARLY: Final = 30.0  # seconds before its end that a token is renewed, or in the last tenth of its time
_SHARE: Final = 0.1
_KNOWN: Final = 4096  # principals remembered per server
_POLL: Final = 0.1  # seconds between two looks at whether another gateway has renewed it
_DISCOVERED: Final = 600.0  # seconds that an authorization server's metadata counts
_PAUSE: Final = 30.0  # seconds that a credential is not renewed again for a server that refuses it all the same
_ATTEMPTS: Final = 4  # to keep what an authorization server has given


class Presented(Protocol):
    """What goes with the requests of one principal to one server."""

    async def headers(self) -> Headers:
        """The headers to send now; the same object as long as nothing has changed.

        Raises:
            CredentialRequired: there is none.
            UpstreamUnavailable, StoreUnavailable: there is none just now.
        """
        ...

    async def again(self, refused: Headers, challenge: str) -> Headers:
        """Other headers than those that the server has just refused (401).

        Raises:
            CredentialRequired: there are none.
        """
        ...

    def rejected(self, status: int, challenge: str) -> CredentialRequired | UpstreamUnavailable | None:
        """What it means that the server refused even those; None where it has nothing to do with credentials."""
        ...


@dataclass(slots=True)
class _Known:
    """What is remembered of one principal's credential."""

    credential: Credential | None
    looked: float
    changes: int
    refused: float = -math.inf  # when the server last refused it although it had just been renewed
    headers: Headers = field(default_factory=dict, repr=False)


class Source(ABC):
    """The credentials of everybody at one server.

    Args:
        name: the server's, in the configuration.
        where: gives the address at which people connect to a server, or "" where there is none.

    Attributes:
        personal: whether each principal has a credential of its own.
        names: of the headers that carry it.
    """

    personal = True

    def __init__(self, name: str, config: ServerConfig, auth: UpstreamAuth, where: Callable[[str], str]) -> None:
        self.name, self.auth, self._where = name, auth, where
        self.url = oauth.address(config)
        self.audience = bound_to(config)
        self.names = tuple(auth.carried("")) if auth.type == "static" else ("Authorization",)
        self._running: dict[str, asyncio.Task[Any]] = {}

    def of(self, principal: str) -> Presented:
        """What one principal (`Principal.key`) presents."""
        return _Presented(self, principal)

    def each_for_itself(self, status: object) -> bool:
        """Whether each principal asks what the server offers, where that answers the gateway with this status."""
        return self.personal and self.auth.listing == "principal" and status in (401, 403)

    def refused(self, principal: str) -> None:
        """The server has refused a credential, and the one that took its place."""
        return

    def line(self, principal: str) -> str:
        """The `Credential.line` of what `headers` gave last: a session or process is of one line."""
        return ""

    async def revoked(self, principal: str, line: object) -> bool:
        """Whether a principal that had a credential of this line has none of it any more."""
        return False

    async def unmet(self, principal: str) -> str:
        """What somebody has to do before the server knows this principal; "" where it may know it."""
        return ""

    @abstractmethod
    async def headers(self, principal: str) -> Headers:
        """As `Presented.headers`."""

    @abstractmethod
    async def again(self, principal: str, refused: Headers) -> Headers:
        """As `Presented.again`."""

    def missing(self, why: str, principal: str, **data: Any) -> CredentialRequired | UpstreamUnavailable:
        """The error of a principal without a credential that is accepted."""
        place = self._where(self.name) if self.auth.type == "oauth" else ""
        data |= {"connect_url": place} if place else {}
        return CredentialRequired(why, fix=self._fix(place, Owner.of(principal)), server=self.name, **data)

    def _fix(self, place: str, owner: Owner) -> str:
        if place:
            return f"open {place} in a browser, then call again"
        verb = "set" if self.auth.type == "static" else "connect"
        return f"run `agentflow credentials {verb} {self.name} --principal {owner}`, then call again"

    async def close(self) -> None:
        """Wait for what is being renewed: a refresh token that was used is worth nothing without its successor."""
        if self._running:
            await asyncio.wait(self._running.values(), timeout=self.auth.timeout)

    async def _once(self, key: str, make: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Do it once for everybody who asks while it is being done; whoever gives up does not stop it."""
        task = self._running.get(key)
        if task is None:
            task = self._running[key] = asyncio.get_running_loop().create_task(make())
            task.add_done_callback(lambda done: self._finished(key, done))
        result: T = await asyncio.shield(task)
        return result

    def _finished(self, key: str, task: asyncio.Task[Any]) -> None:
        self._running.pop(key, None)
        if not task.cancelled():
            task.exception()  # everybody who waited may have given up


class _Presented:
    """One principal's part of a `Source`."""

    __slots__ = ("_principal", "_source")

    def __init__(self, source: Source, principal: str) -> None:
        self._source, self._principal = source, principal

    async def headers(self) -> Headers:
        return await self._source.headers(self._principal)

    async def again(self, refused: Headers, challenge: str) -> Headers:
        return await self._source.again(self._principal, refused)

    def rejected(self, status: int, challenge: str) -> CredentialRequired | UpstreamUnavailable | None:
        name, owner = self._source.name, self._principal
        if status == 401:
            self._source.refused(owner)
            return self._source.missing(f"{name} does not accept the credential of this caller", owner)
        if oauth.parameter(challenge, "error") != "insufficient_scope":
            return None
        scope = oauth.parameter(challenge, "scope") or ""
        what = f"{name} wants more than the credential of this caller allows"
        return self._source.missing(what, owner, **({"scope": scope[:500]} if scope else {}))


class Stored(Source):
    """Credentials that lie in the store: `static` and `oauth`."""

    def __init__(
        self,
        name: str,
        config: ServerConfig,
        auth: UpstreamAuth,
        where: Callable[[str], str],
        credentials: Credentials,
    ) -> None:
        super().__init__(name, config, auth, where)
        self._credentials = credentials
        self._known: OrderedDict[str, _Known] = OrderedDict()
        self._outbound = oauth.outbound_of(config)

    async def headers(self, principal: str) -> Headers:
        known = self._known.get(principal)
        old = known is None or known.changes != self._credentials.changes
        if known is None or old or time.monotonic() - known.looked > _FRESH:
            known = await self._once(f"look {principal}", lambda: self._look(principal))
        credential = known.credential
        if credential is None:
            raise self.missing(f"{self.name} needs a credential of this caller's own", principal)
        if not credential.used:
            await self._once(f"use {principal}", lambda: self._use(principal, credential))
        if credential.grant is not None and credential.grant.ends_within(_SHARE, _EARLY):
            late = (credential.expires or 0.0) <= time.time()
            if credential.renewable:
                return await self._renew(principal, credential, late=late)
            if late:
                raise self.missing(f"the credential of this caller at {self.name} has expired", principal)
        return known.headers

    async def again(self, principal: str, refused: Headers) -> Headers:
        known = await self._once(f"look {principal}", lambda: self._look(principal))
        if known.credential is not None and known.headers != refused:
            return known.headers
        vain = time.monotonic() - known.refused < _PAUSE
        if known.credential is None or not known.credential.renewable or vain:
            raise self.missing(f"{self.name} does not accept the credential of this caller", principal)
        return await self._renew(principal, known.credential, late=True)

    def refused(self, principal: str) -> None:
        if known := self._known.get(principal):
            known.refused = time.monotonic()

    def line(self, principal: str) -> str:
        known = self._known.get(principal)
        return known.credential.line if known and known.credential else ""

    async def revoked(self, principal: str, line: object) -> bool:
        try:
            known = await self._once(f"look {principal}", lambda: self._look(principal))
        except AgentFlowError:
            return False  # the next call finds out
        return known.credential is None or known.credential.line != line

    async def unmet(self, principal: str) -> str:
        try:
            known = await self._once(f"look {principal}", lambda: self._look(principal))
        except AgentFlowError:
            return ""
        return "" if known.credential else self.missing("", principal).fix

    async def value(self, principal: str) -> str:
        """The value of a static credential, for what takes it otherwise than in headers.

        Raises:
            CredentialRequired: there is none.
        """
        await self.headers(principal)
        known = self._known[principal].credential
        return known.value if known else ""

    async def _look(self, principal: str) -> _Known:
        changes = self._credentials.changes
        credential = await asyncio.to_thread(self._credentials.get, Owner.of(principal), self.name)
        if credential is not None and (credential.kind != self.auth.type or credential.audience != self.audience):
            credential = None  # it is for another server, which had this name then
        return self._keep(principal, credential, changes)

    def _keep(self, principal: str, credential: Credential | None, changes: int) -> _Known:
        former = self._known.pop(principal, None)
        if former and credential and former.credential and former.credential.version == credential.version:
            kept = _Known(credential, time.monotonic(), changes, former.refused, former.headers)
        else:
            kept = _Known(credential, time.monotonic(), changes, headers=self._carried(credential))
        self._known[principal] = kept
        if len(self._known) > _KNOWN:
            self._known.popitem(last=False)
        return kept

    def _carried(self, credential: Credential | None) -> Headers:
        if credential is None:
            return {}
        if credential.grant is not None:
            return _bearer(credential.grant)
        return self.auth.carried(credential.value)

    async def _use(self, principal: str, credential: Credential) -> None:
        await asyncio.to_thread(self._credentials.used, Owner.of(principal), self.name, credential.version)
        await self._look(principal)

    async def _renew(self, principal: str, stale: Credential, *, late: bool) -> Headers:
        try:
            return await self._once(f"renew {principal}", lambda: self._renewed(principal, stale))
        except UpstreamUnavailable:
            if late:
                raise
            return self._carried(stale)  # it is still good for a moment

    async def _renewed(self, principal: str, stale: Credential) -> Headers:
        """Renew a credential, or take what another gateway has made of it."""
        owner, patience = Owner.of(principal), self.auth.timeout + 2.0
        end = time.monotonic() + 2 * patience
        while True:
            known = await self._look(principal)
            current = known.credential
            if current is None:
                raise self.missing(f"the credential of this caller at {self.name} has been revoked", principal)
            if current.version != stale.version or current.grant is None:
                return known.headers
            holder = await asyncio.to_thread(self._credentials.hold, owner, self.name, current.version, patience)
            if holder is not None:
                return await self._ask(principal, owner, current, current.grant, holder)
            if time.monotonic() > end:
                raise UpstreamUnavailable(f"another gateway is renewing a credential of {self.name}", sent=False)
            await asyncio.sleep(_POLL)

    async def _ask(self, principal: str, owner: Owner, stale: Credential, grant: Grant, holder: str) -> Headers:
        try:
            fresh = await oauth.refresh(grant, self._outbound)
        except OAuthFailed as error:
            failed = self._credentials.failed
            await asyncio.to_thread(failed, owner, self.name, holder, error.error, final=error.final)
            await self._look(principal)
            if error.final:
                what = f"the credential of this caller at {self.name} has expired and cannot be renewed"
                raise self.missing(what, principal) from None
            raise UpstreamUnavailable(
                f"the credential of this caller at {self.name} cannot be renewed just now: {error.message}", sent=False
            ) from None
        renewed = Credential("oauth", grant=fresh, audience=self.audience, line=stale.line)
        for attempt in range(_ATTEMPTS):
            try:
                await asyncio.to_thread(self._credentials.renewed, owner, self.name, holder, renewed)
                break
            except StoreUnavailable:  # the old refresh token may be worth nothing any more: do not give up easily
                if attempt == _ATTEMPTS - 1:
                    raise
                await asyncio.sleep(0.25 * 2**attempt)
        known = await self._look(principal)
        if known.credential is None:
            raise self.missing(f"the credential of this caller at {self.name} has been revoked", principal)
        return known.headers


class Exchanged(Source):
    """Tokens made from the callers' own (RFC 8693), in memory only."""

    def __init__(self, name: str, config: ServerConfig, auth: UpstreamAuth, where: Callable[[str], str]) -> None:
        super().__init__(name, config, auth, where)
        self._issuer = _Issuer(config, auth)
        self._tokens: OrderedDict[tuple[str, str], tuple[Grant, Headers]] = OrderedDict()

    async def headers(self, principal: str) -> Headers:
        subject = SUBJECT.get()
        known = self._tokens.get((principal, subject.digest)) if subject else None
        if known is not None and not known[0].ends_within(_SHARE, _EARLY):
            return known[1]
        token = subject.token() if subject else ""
        if subject is None or not token:
            raise self.missing(
                f"{self.name} takes tokens that are made from the caller's own, and this caller has none", principal
            )
        digest = subject.digest
        return await self._once(f"{principal} {digest}", lambda: self._exchange(principal, digest, token))

    async def again(self, principal: str, refused: Headers) -> Headers:
        subject = SUBJECT.get()
        if subject is not None and (known := self._tokens.get((principal, subject.digest))) and known[1] == refused:
            del self._tokens[principal, subject.digest]
        return await self.headers(principal)

    def _fix(self, place: str, owner: Owner) -> str:
        return "call the gateway with a JWT of a configured issuer that this server's authorization server accepts"

    async def _exchange(self, principal: str, digest: str, token: str) -> Headers:
        try:
            server, client = await self._issuer.known()
            grant = await oauth.exchange(self.auth, server, client, token, self._issuer.outbound)
        except OAuthFailed as error:
            if error.error in ("invalid_grant", "invalid_request", "invalid_target", "access_denied", "invalid_scope"):
                what = f"no token for {self.name} was given for the one of this caller ({error.error})"
                raise self.missing(what, principal) from None
            raise _unavailable(self.name, error) from None
        kept = self._tokens[principal, digest] = grant, _bearer(grant)
        if len(self._tokens) > _KNOWN:
            self._tokens.popitem(last=False)
        return kept[1]


class Own(Source):
    """One token of the gateway's own (client credentials), in memory only."""

    personal = False

    def __init__(self, name: str, config: ServerConfig, auth: UpstreamAuth, where: Callable[[str], str]) -> None:
        super().__init__(name, config, auth, where)
        self._issuer = _Issuer(config, auth)
        self._token: tuple[Grant, Headers] | None = None

    async def headers(self, principal: str) -> Headers:
        if self._token is not None and not self._token[0].ends_within(_SHARE, _EARLY):
            return self._token[1]
        return await self._once("", self._ask)

    async def again(self, principal: str, refused: Headers) -> Headers:
        if self._token is not None and self._token[1] == refused:
            self._token = None
        return await self.headers(principal)

    def missing(self, why: str, principal: str, **data: Any) -> CredentialRequired | UpstreamUnavailable:
        fix = "check `auth` in the server's entry"
        return UpstreamUnavailable(f"{self.name} does not accept the gateway's token", fix=fix, status=401, sent=False)

    async def _ask(self) -> Headers:
        try:
            server, client = await self._issuer.known()
            grant = await oauth.client_credentials(self.auth, server, client, self._issuer.outbound)
        except OAuthFailed as error:
            raise _unavailable(self.name, error) from None
        self._token = grant, _bearer(grant)
        return self._token[1]


class _Issuer:
    """The token endpoint of a configured client, found out once in a while."""

    def __init__(self, config: ServerConfig, auth: UpstreamAuth) -> None:
        self._auth, self._url = auth, oauth.address(config)
        self.outbound = oauth.outbound_of(config)
        self._known: tuple[oauth.AuthorizationServer, oauth.Client] | None = None
        self._until = 0.0

    async def known(self) -> tuple[oauth.AuthorizationServer, oauth.Client]:
        if self._known is None or time.monotonic() > self._until:
            server = await oauth.discover(self._auth, self._url, self.outbound)
            client = oauth.known_client(self._auth, server, None)
            assert client is not None, "the configuration demands a client_id"
            self._known, self._until = (server, client), time.monotonic() + _DISCOVERED
        return self._known


def source(name: str, config: ServerConfig, credentials: Credentials, where: Callable[[str], str]) -> Source | None:
    """The credentials of a server's entry; None where the gateway's own go with every request."""
    auth = config.auth
    if auth is None:
        return None
    if auth.type == "token_exchange":
        return Exchanged(name, config, auth, where)
    if auth.type == "client_credentials":
        return Own(name, config, auth, where)
    return Stored(name, config, auth, where, credentials)


def connect_url(base: str, server: str) -> str:
    """Where a person connects to a server."""
    return f"{base}/connect/{quote(server, safe='')}" if base else ""


def bound_to(config: ServerConfig) -> str:
    """What a credential is bound to: a server's address, an API's origin, "" for a child process.

    Of an MCP server the path counts as well: many are hosted side by side, and differ in that alone.
    """
    url = oauth.address(config)
    if url is None or config.url is None:
        return origin(url)
    parts = urlsplit(url)
    return origin(url) + parts.path.rstrip("/") + (f"?{parts.query}" if parts.query else "")


def origin(url: str | None) -> str:
    """`scheme://host:port` of an address, "" for none."""
    if not url:
        return ""
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    return f"{parts.scheme.lower()}://{(parts.hostname or '').lower()}:{port}"


def _bearer(grant: Grant) -> Headers:
    return {"Authorization": f"Bearer {grant.access_token}"}


def _unavailable(name: str, error: AgentFlowError) -> UpstreamUnavailable:
    return UpstreamUnavailable(f"no token for {name}: {error.message}", fix=error.fix, sent=False)
