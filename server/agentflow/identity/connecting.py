"""How a person connects to a server: the authorization code flow from its beginning to the stored credential.

It promises that what comes back is taken only for the principal, the server and the browser that began, from the
authorization server that was asked (RFC 9700, section 4.4), once; and that the credential goes to the server whose
address it was asked for, even where the configuration has changed in between.
"""

from __future__ import annotations

import asyncio
import hmac
import re
from collections.abc import Callable
from dataclasses import dataclass, replace

from agentflow.audit.events import Event
from agentflow.config import ServerConfig
from agentflow.config_credentials import UpstreamAuth
from agentflow.identity import oauth
from agentflow.identity.authorizations import Authorizations, Begun, browser_digest
from agentflow.identity.credentials import Credential, Credentials, Owner
from agentflow.identity.downstream import bound_to
from agentflow.identity.oauth import AuthorizationServer, Client, OAuthFailed
from agentflow.identity.oauth_http import Outbound


@dataclass(frozen=True, slots=True)
class Returned:
    """What the browser brings back from the authorization server (RFC 6749, section 4.1.2; RFC 9207).

    Attributes:
        server: whose redirect address it came back to; None where that is one flow's alone.
    """

    state: str
    code: str = ""
    issuer: str | None = None
    error: str = ""
    server: str | None = None


class Connecting:
    """The flow.

    Args:
        record: takes what goes wrong with it.
    """

    def __init__(
        self, credentials: Credentials, authorizations: Authorizations, record: Callable[[Event], object]
    ) -> None:
        self._credentials = credentials
        self._authorizations = authorizations
        self._record = record

    async def begin(
        self,
        owner: Owner,
        name: str,
        config: ServerConfig,
        redirect_uri: str,
        *,
        browser: str,
        document: str | None = None,
        scope: str = "",
        keep_client: bool = True,
    ) -> str:
        """Begin for a principal; returns the address that its browser goes to.

        Args:
            browser: what only this browser will have when it comes back; "" where the redirect goes to the person's
                own machine.
            document: where the gateway's client id metadata document is published, or None.
            scope: what is to be asked for beside what is usual.
            keep_client: whether a registration may be used again; not where the redirect is for this once.

        Raises:
            OAuthFailed: it cannot be begun.
            LimitExceeded, StoreUnavailable: as `Authorizations.begin`.
        """
        auth, url = _auth(name, config), oauth.address(config)
        outbound = oauth.outbound_of(config)
        server = await oauth.discover(auth, url, outbound)
        if scope and oauth.SCOPES.fullmatch(scope):
            server = replace(server, scope=" ".join(dict.fromkeys([*server.scope.split(), *scope.split()])))
        client = oauth.known_client(auth, server, document)
        if client is None:
            client = await self._registered(name, auth, server, redirect_uri, outbound, keep_client)
        verifier, proof = oauth.new_verifier(), browser_digest(browser) if browser else ""
        begun = Begun(owner, name, server, client, verifier, redirect_uri, bound_to(config), proof)
        state = await asyncio.to_thread(self._authorizations.begin, begun)
        return oauth.authorization_url(server, client, redirect_uri, state, verifier)

    async def _registered(
        self,
        name: str,
        auth: UpstreamAuth,
        server: AuthorizationServer,
        redirect_uri: str,
        outbound: Outbound,
        keep: bool,
    ) -> Client:
        known = await asyncio.to_thread(self._authorizations.client, name, server.issuer, redirect_uri)
        if known is not None:
            return known
        if not auth.registration:
            raise OAuthFailed("the gateway has no client id there", "no_client", fix="set `auth.client_id`")
        client, expires = await oauth.register(server, redirect_uri, outbound)
        if keep:
            keeping = self._authorizations.keep_client
            await asyncio.to_thread(keeping, name, server.issuer, redirect_uri, client, expires)
        return client

    async def finish(
        self, returned: Returned, browser: str, config_of: Callable[[str], ServerConfig | None]
    ) -> tuple[Owner, str]:
        """Take what the browser brought back, and keep what the code is good for; returns for whom and which server.

        Args:
            browser: the cookie that came along, "" for none.
            config_of: a server's entry as it is now, None where it is gone.

        Raises:
            OAuthFailed: it is not good, and nothing was kept.
        """
        begun = await asyncio.to_thread(self._authorizations.take, returned.state)
        if begun is None:
            raise OAuthFailed("this link was used already, or is more than ten minutes old", "unknown_state",
                              fix="begin again")  # fmt: skip
        try:
            credential = await self._redeemed(begun, returned, browser, config_of)
        except OAuthFailed as error:
            details = {"principal": begun.owner.principal}
            failed = Event(
                "key", "connect_failed", str(begun.owner), begun.owner.tenant, begun.server, error.error, (), details
            )
            await asyncio.to_thread(self._record, failed)
            raise
        await asyncio.to_thread(self._credentials.put, begun.owner, begun.server, credential, str(begun.owner))
        return begun.owner, begun.server

    async def _redeemed(
        self, begun: Begun, returned: Returned, browser: str, config_of: Callable[[str], ServerConfig | None]
    ) -> Credential:
        if begun.browser and not hmac.compare_digest(browser_digest(browser), begun.browser):
            raise OAuthFailed("this was not begun in this browser", "other_browser", fix="begin again, here")
        if returned.server is not None and returned.server != begun.server:  # a mix-up (RFC 9700, section 4.4.2)
            raise OAuthFailed("the answer came back to another server's address", "issuer_mismatch")
        oauth.check_issuer(begun.issuer, returned.issuer)
        if returned.error or not returned.code:
            said = returned.error if re.fullmatch(r"[a-z_]{1,60}", returned.error) else "no_code"
            raise OAuthFailed(f"the authorization server said no ({said})", said)
        config = config_of(begun.server)
        if config is None or bound_to(config) != begun.audience:
            raise OAuthFailed(f"{begun.server} has changed in the meantime", "changed", fix="begin again")
        _auth(begun.server, config)
        outbound = oauth.outbound_of(config)
        grant = await oauth.redeem(
            begun.issuer, begun.client, returned.code, begun.redirect_uri, begun.verifier, outbound
        )
        return Credential("oauth", grant=grant, audience=begun.audience)


def _auth(name: str, config: ServerConfig) -> UpstreamAuth:
    if config.auth is None or config.auth.type != "oauth":
        raise OAuthFailed(
            f"people do not connect to {name} by themselves", "not_oauth", fix="its entry needs `auth: oauth`"
        )
    return config.auth
