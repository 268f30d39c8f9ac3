"""OAuth as a client of authorization servers: discovery, registration, and the grants that give tokens.

It promises (OAuth 2.1; MCP 2025-11-25 and 2026-07-28, authorization): the authorization server is the one that the
protected resource names and calls itself by that very name (RFC 9728, RFC 8414); PKCE with S256 or nothing at all; a
`resource` in every request (RFC 8707); an answer that names another issuer than the one asked is refused (RFC 9207).
Nothing secret is in any error: of a server's refusal only the registered error code is quoted.
"""

from __future__ import annotations

import base64
import hashlib
import re
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeGuard
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit

from agentflow.config import ServerConfig
from agentflow.config_credentials import UpstreamAuth
from agentflow.errors import AgentFlowError
from agentflow.identity.credentials import Grant
from agentflow.identity.fetching import FetchFailed, literally_here
from agentflow.identity.oauth_http import Answer, Outbound

JSON = dict[str, Any]
CLIENT_NAME: Final = "AgentFlow gateway"
EXCHANGE: Final = "urn:ietf:params:oauth:grant-type:token-exchange"
_CODE: Final = re.compile(r"[A-Za-z0-9_.-]{1,60}")
_LONGEST: Final = 16 * 1024  # characters of a token
_FAR: Final = 10 * 366 * 86_400.0  # seconds: what is said to last longer says nothing
SCOPES: Final = re.compile(r"[\x21\x23-\x5B\x5D-\x7E]{1,200}(?: [\x21\x23-\x5B\x5D-\x7E]{1,200}){0,99}")


class OAuthFailed(AgentFlowError):
    """An authorization server cannot be used, or refused.

    Attributes:
        error: its error code (RFC 6749, section 5.2), or one word of ours.
        final: what was presented will never be accepted again.
    """

    kind = "authorization_failed"

    def __init__(self, message: str, error: str, *, fix: str = "", final: bool = False) -> None:
        super().__init__(message, fix=fix, error=error)
        self.error = error
        self.final = final


@dataclass(frozen=True, slots=True)
class AuthorizationServer:
    """What is known of one, and what to ask it for.

    Attributes:
        names_itself: it says which it is in each answer to the browser (RFC 9207).
        takes_documents: a client may be the URL of a document about it.
        resource: the `resource` to ask for, or "".
    """

    issuer: str
    token_url: str
    authorization_url: str = ""
    registration_url: str = ""
    revocation_url: str = ""
    token_auth: tuple[str, ...] = ("client_secret_basic",)
    names_itself: bool = False
    takes_documents: bool = False
    resource: str = ""
    scope: str = ""


@dataclass(frozen=True, slots=True)
class Client:
    """What the gateway is called at an authorization server."""

    client_id: str
    client_secret: str = field(default="", repr=False)
    token_auth: str = "none"

    def document(self) -> JSON:
        """For keeping, sealed."""
        return {"client_id": self.client_id, "client_secret": self.client_secret, "token_auth": self.token_auth}


# Discovery ---------------------------------------------------------------------------------------------------------


def outbound_of(config: ServerConfig) -> Outbound:
    """The requests that a server's entry allows."""
    auth = config.auth
    assert auth is not None, "only servers with `auth` have an authorization server"
    written = (address(config), auth.issuer, auth.authorization_url, auth.token_url)
    return Outbound(written, auth.allow_private, auth.timeout, public=config.reach == "public")


def address(config: ServerConfig) -> str | None:
    """Where a server is, as far as its entry says."""
    return config.url or config.base_url or (config.spec if config.spec and "://" in config.spec else None)


async def discover(auth: UpstreamAuth, url: str | None, outbound: Outbound) -> AuthorizationServer:
    """Find out who authorises calls to the server at `url`.

    Raises:
        OAuthFailed: nobody, or nobody that may be trusted with it.
    """
    resource = auth.resource if auth.resource is not None else _canonical(url)
    scope = " ".join(auth.scopes)
    if auth.token_url is not None:
        ways = ("client_secret_basic",) if auth.client_secret else ("none",)
        return AuthorizationServer(
            auth.issuer or "", auth.token_url, auth.authorization_url or "", token_auth=ways, resource=resource,
            scope=scope,
        )  # fmt: skip
    issuers, named, needed = await _protected_resource(url, outbound) if url else ([], "", "")
    issuer = auth.issuer
    if issuer is None:
        issuer = issuers[0] if issuers else None
    elif issuers and not any(_same_issuer(issuer, each) for each in issuers):
        raise OAuthFailed(
            f"the server says that {_host(issuers[0])} authorises its callers, not the configured issuer",
            "issuer_mismatch",
            fix="correct `auth.issuer`",
        )
    if auth.resource is None and named:
        resource = named
    return await _metadata(issuer, url, outbound, resource, scope or needed, browser=auth.type == "oauth")


async def _protected_resource(url: str, outbound: Outbound) -> tuple[list[str], str, str]:
    """`(authorization servers, resource, scopes)` as the protected resource itself says (RFC 9728)."""
    from mcp.client.auth.utils import build_protected_resource_metadata_discovery_urls
    from mcp.shared.auth_utils import check_resource_allowed

    challenge = (await _asked(outbound, url, "the server")).headers.get("www-authenticate", "")
    needed = _scope(parameter(challenge, "scope"))
    for place in build_protected_resource_metadata_discovery_urls(parameter(challenge, "resource_metadata"), url):
        answer = await _asked(outbound, place, "the server's metadata")
        if answer.status != 200 or answer.body is None:
            continue
        said = _url(answer.body, "resource")
        if not said or not check_resource_allowed(_canonical(url), said):
            raise OAuthFailed(
                "the metadata at the server's address is about another resource", "resource_mismatch",
                fix="check `url`; `auth.issuer` and `auth.resource` say it by hand",
            )  # fmt: skip
        servers = _strings(answer.body, "authorization_servers")
        if not all(_url({"": each}, "") for each in servers):
            raise OAuthFailed("the server names an authorization server that is no address", "not_a_url")
        return servers, said, needed or _scope(" ".join(_strings(answer.body, "scopes_supported")))
    return [], "", needed


async def _metadata(
    issuer: str | None, url: str | None, outbound: Outbound, resource: str, scope: str, *, browser: bool
) -> AuthorizationServer:
    from mcp.client.auth.utils import build_oauth_authorization_server_metadata_discovery_urls

    if issuer is None and url is None:
        raise OAuthFailed("nothing says which authorization server to ask", "no_issuer", fix="set `auth.issuer`")
    # 2025-03-26 had the server itself in place of protected resource metadata.
    expected = issuer or f"{urlsplit(url or '').scheme}://{urlsplit(url or '').netloc}"
    for place in build_oauth_authorization_server_metadata_discovery_urls(issuer, url or ""):
        answer = await _asked(outbound, place, "the authorization server")
        if answer.status == 200 and answer.body is not None:
            return _read(answer.body, expected, resource, scope, browser=browser)
        if answer.status >= 500:
            raise OAuthFailed(f"{_host(expected)} answered HTTP {answer.status}", "server_error")
    raise OAuthFailed(
        f"{_host(expected)} publishes no authorization server metadata", "no_metadata",
        fix="set `auth.issuer`, or `auth.authorization_url` and `auth.token_url`",
    )  # fmt: skip


def _read(body: JSON, issuer: str, resource: str, scope: str, *, browser: bool) -> AuthorizationServer:
    said = _url(body, "issuer")
    if not said or not _same_issuer(said, issuer):
        raise OAuthFailed(
            f"the metadata of {_host(issuer)} is of another issuer ({_host(said)})", "issuer_mismatch",
            fix="it must name itself as it is named (RFC 8414, section 3.3)",
        )  # fmt: skip
    methods = _strings(body, "code_challenge_methods_supported")
    if browser and "S256" not in methods:
        raise OAuthFailed(
            f"{_host(issuer)} does not say that it supports PKCE with S256", "no_pkce",
            fix="without it codes can be stolen; `auth.authorization_url` and `auth.token_url` name one that does",
        )  # fmt: skip
    server = AuthorizationServer(
        said,
        _url(body, "token_endpoint"),
        _url(body, "authorization_endpoint"),
        _url(body, "registration_endpoint"),
        _url(body, "revocation_endpoint"),
        tuple(_strings(body, "token_endpoint_auth_methods_supported")) or ("client_secret_basic",),
        body.get("authorization_response_iss_parameter_supported") is True,
        body.get("client_id_metadata_document_supported") is True,
        resource,
        scope,
    )
    if not server.token_url or (browser and not server.authorization_url):
        raise OAuthFailed(f"{_host(issuer)} names no endpoint to ask", "no_endpoint")
    if browser and "offline_access" in _strings(body, "scopes_supported") and "offline_access" not in scope.split():
        return AuthorizationServer(**{**_fields(server), "scope": f"{scope} offline_access".strip()})
    return server


# Clients -----------------------------------------------------------------------------------------------------------


def known_client(auth: UpstreamAuth, server: AuthorizationServer, document: str | None) -> Client | None:
    """The client that needs no registration: the configured one, or the document about the gateway.

    Args:
        document: where that document is published; None where nobody could read it.
    """
    if auth.client_id is not None:
        secret = auth.client_secret.get_secret_value() if auth.client_secret else ""
        return Client(auth.client_id, secret, _way(auth.token_auth, secret, server.token_auth))
    if document is not None and server.takes_documents:
        return Client(document)
    return None


def client_document(client_id: str, redirect_uri: str) -> JSON:
    """What the gateway says of itself, at the address `client_id` (OAuth client id metadata document)."""
    return {"client_id": client_id, **_metadata_of_client(redirect_uri), "token_endpoint_auth_method": "none"}


def _metadata_of_client(redirect_uri: str) -> JSON:
    return {
        "client_name": CLIENT_NAME,
        "redirect_uris": [redirect_uri],
        "grant_types": ["authorization_code", "refresh_token"],
        "response_types": ["code"],
        "application_type": "native" if literally_here(urlsplit(redirect_uri).hostname or "") else "web",
    }


async def register(server: AuthorizationServer, redirect_uri: str, outbound: Outbound) -> tuple[Client, float | None]:
    """Register the gateway (RFC 7591). Returns the client and until when it is one, in epoch seconds.

    Raises:
        OAuthFailed: it cannot, or in no way that can be used.
    """
    if not server.registration_url:
        raise OAuthFailed(
            f"{_host(server.issuer)} lets no client register itself", "no_registration",
            fix="register AgentFlow there and set `auth.client_id`",
        )  # fmt: skip
    ways = [way for way in ("none", "client_secret_basic", "client_secret_post") if way in server.token_auth]
    wanted = {**_metadata_of_client(redirect_uri), "token_endpoint_auth_method": ways[0] if ways else "none"}
    if server.scope:
        wanted["scope"] = server.scope
    answer = await _asked(outbound, server.registration_url, "the authorization server", document=wanted)
    body = answer.body or {}
    name, secret = body.get("client_id"), body.get("client_secret") or ""
    if answer.status not in (200, 201) or not _printable(name, " ") or not (secret == "" or _printable(secret, " ")):
        raise _refused(answer, f"{_host(server.issuer)} refused to register the gateway")
    way = body.get("token_endpoint_auth_method") or ("client_secret_basic" if secret else "none")
    if way not in ("none", "client_secret_basic", "client_secret_post") or (way != "none" and not secret):
        raise OAuthFailed(f"{_host(server.issuer)} registered the gateway in a way it cannot use", "unusable_client")
    return Client(name, secret, way), _seconds(body.get("client_secret_expires_at"), time.time() + _FAR) or None


def _way(wanted: str, secret: str, offered: tuple[str, ...]) -> str:
    if wanted != "auto":
        return wanted
    if not secret:
        return "none"
    for way in ("client_secret_basic", "client_secret_post"):
        if way in offered:
            return way
    return "client_secret_basic"


# The authorization code --------------------------------------------------------------------------------------------


def new_verifier() -> str:
    """A PKCE code verifier (RFC 7636, section 4.1)."""
    return secrets.token_urlsafe(64)


def authorization_url(server: AuthorizationServer, client: Client, redirect_uri: str, state: str, verifier: str) -> str:
    """Where the person's browser goes to say yes."""
    challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
    asked = {
        "response_type": "code",
        "client_id": client.client_id,
        "redirect_uri": redirect_uri,
        "state": state,
        "code_challenge": challenge,
        "code_challenge_method": "S256",
    }
    if server.scope:
        asked["scope"] = server.scope
    if server.resource:
        asked["resource"] = server.resource
    if "offline_access" in server.scope.split():
        asked["prompt"] = "consent"  # OpenID Connect Core, section 11
    parts = urlsplit(server.authorization_url)
    if parts.scheme != "https" and not (parts.scheme == "http" and literally_here(parts.hostname or "")):
        raise OAuthFailed(f"the address of {_host(server.issuer)} where people log in is not https", "insecure")
    kept = [(name, value) for name, value in parse_qsl(parts.query, keep_blank_values=True) if name not in asked]
    return urlunsplit(parts._replace(query=urlencode([*kept, *asked.items()])))


def check_issuer(server: AuthorizationServer, said: str | None) -> None:
    """Refuse an answer that came from another authorization server than the one asked (RFC 9207, section 2.4).

    Raises:
        OAuthFailed: it did.
    """
    if said is None and not server.names_itself:
        return
    if said is None or said != server.issuer:
        raise OAuthFailed("the answer is of another authorization server than the one asked", "issuer_mismatch")


async def redeem(
    server: AuthorizationServer, client: Client, code: str, redirect_uri: str, verifier: str, outbound: Outbound
) -> Grant:
    """Exchange a code for tokens.

    Raises:
        OAuthFailed: it was refused.
    """
    form = {"grant_type": "authorization_code", "code": code, "redirect_uri": redirect_uri, "code_verifier": verifier}
    return await _token(server, client, form, outbound)


# Other grants ------------------------------------------------------------------------------------------------------


async def refresh(grant: Grant, outbound: Outbound) -> Grant:
    """Get new tokens for old ones; the refresh token is the new one where the server rotates them.

    Raises:
        OAuthFailed: it was refused; `final` when the refresh token is of no more use.
    """
    server = AuthorizationServer(
        grant.issuer, grant.token_url, revocation_url=grant.revocation_url, resource=grant.resource, scope=grant.scope
    )
    form = {"grant_type": "refresh_token", "refresh_token": grant.refresh_token}
    fresh = await _token(server, Client(**grant.client), form, outbound)
    return fresh if fresh.refresh_token else Grant(**{**_fields(fresh), "refresh_token": grant.refresh_token})


async def exchange(
    auth: UpstreamAuth, server: AuthorizationServer, client: Client, subject: str, outbound: Outbound
) -> Grant:
    """Exchange the caller's token for one of the server's (RFC 8693, section 2.1).

    Raises:
        OAuthFailed: it was refused.
    """
    form = {"grant_type": EXCHANGE, "subject_token": subject, "subject_token_type": auth.subject_token_type}
    if auth.requested_token_type:
        form["requested_token_type"] = auth.requested_token_type
    return await _token(server, client, form | _wanted(auth, server), outbound)


async def client_credentials(
    auth: UpstreamAuth, server: AuthorizationServer, client: Client, outbound: Outbound
) -> Grant:
    """A token of the gateway's own (RFC 6749, section 4.4).

    Raises:
        OAuthFailed: it was refused.
    """
    return await _token(server, client, {"grant_type": "client_credentials"} | _wanted(auth, server), outbound)


def _wanted(auth: UpstreamAuth, server: AuthorizationServer) -> dict[str, str]:
    wanted = {"audience": auth.audience, "scope": server.scope}
    return {name: value for name, value in wanted.items() if value}


async def revoke(grant: Grant, outbound: Outbound) -> bool:
    """Tell the authorization server that the tokens are given up (RFC 7009); whether it took notice."""
    if not grant.revocation_url:
        return False
    token = grant.refresh_token or grant.access_token
    hint = "refresh_token" if grant.refresh_token else "access_token"
    form, headers = _authenticated(Client(**grant.client), {"token": token, "token_type_hint": hint})
    try:
        return (await outbound.ask(grant.revocation_url, "POST", form=form, headers=headers)).status == 200
    except FetchFailed:
        return False


async def _token(server: AuthorizationServer, client: Client, form: Mapping[str, str], outbound: Outbound) -> Grant:
    asked = dict(form)
    if server.resource:
        asked["resource"] = server.resource
    asked, headers = _authenticated(client, asked)
    began = time.time()
    answer = await _asked(outbound, server.token_url, "the authorization server", form=asked, headers=headers)
    body = answer.body or {}
    token, renew, scope = body.get("access_token"), body.get("refresh_token") or "", body.get("scope")
    if answer.status != 200 or not isinstance(token, str):
        raise _refused(answer, f"{_host(server.issuer or server.token_url)} gave no token")
    odd = not (_printable(token) and (renew == "" or _printable(renew)))
    if odd or str(body.get("token_type", "")).lower() not in ("bearer", "n_a"):
        raise OAuthFailed(f"{_host(server.issuer or server.token_url)} gave what is no bearer token", "odd_token")
    lasts = _seconds(body.get("expires_in"), _FAR)
    return Grant(
        token,
        None if lasts is None else began + lasts,
        lasts,
        renew,
        _scope(scope) or server.scope,
        server.issuer,
        server.token_url,
        server.revocation_url,
        server.resource,
        client.document(),
    )


def _authenticated(client: Client, form: dict[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    if client.token_auth == "client_secret_basic":
        pair = f"{quote(client.client_id, safe='')}:{quote(client.client_secret, safe='')}"
        return form, {"authorization": "Basic " + base64.b64encode(pair.encode()).decode()}
    form = {**form, "client_id": client.client_id}
    if client.token_auth == "client_secret_post":
        form["client_secret"] = client.client_secret
    return form, {}


# What servers say --------------------------------------------------------------------------------------------------


async def _asked(outbound: Outbound, url: str, whom: str, **body: Any) -> Answer:
    try:
        return await outbound.ask(url, "POST" if body else "GET", **body)
    except FetchFailed as error:
        raise OAuthFailed(f"{whom} cannot be asked: {error.text}", error.code) from None


def _refused(answer: Answer, what: str) -> OAuthFailed:
    said = str((answer.body or {}).get("error", ""))
    code = said if _CODE.fullmatch(said) else f"http_{answer.status}"
    return OAuthFailed(f"{what} ({code})", code, final=code == "invalid_grant")


def parameter(challenge: str, name: str) -> str | None:
    """A parameter of a `WWW-Authenticate` header (RFC 9110, section 11.2), or None."""
    quoted_or_not = r'\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+))'
    found = re.search(rf"(?:^|[\s,]){re.escape(name)}{quoted_or_not}", challenge, re.IGNORECASE)
    if found is None:
        return None
    return re.sub(r"\\(.)", r"\1", found[1]) if found[1] is not None else found[2]


def _canonical(url: str | None) -> str:
    if not url:
        return ""
    parts = urlsplit(url)
    place = parts.netloc.rpartition("@")[2].lower()  # a user and password in it are the gateway's own
    return urlunsplit(parts._replace(scheme=parts.scheme.lower(), netloc=place, fragment="", query=""))


def _same_issuer(one: str, other: str) -> bool:
    from mcp.client.auth.utils import issuers_match

    return issuers_match(one, other)


def _strings(body: JSON, name: str) -> list[str]:
    value = body.get(name)
    return [each for each in value if isinstance(each, str) and _printable(each)] if isinstance(value, list) else []


def _scope(said: object) -> str:
    return said if isinstance(said, str) and SCOPES.fullmatch(said) else ""


def _url(body: JSON, name: str) -> str:
    """A URL that somebody else has written, or "" for what is none."""
    value = body.get(name)
    try:
        if _printable(value) and urlsplit(value).scheme in ("https", "http") and urlsplit(value).hostname:
            return value
    except ValueError:
        pass
    return ""


def _host(url: str) -> str:
    try:
        host = urlsplit(url).hostname
    except ValueError:
        host = None
    return host if host and host.isprintable() else "the authorization server"


def _printable(text: object, lowest: str = "!") -> TypeGuard[str]:
    """Whether it is text of the characters that OAuth allows (RFC 6749, appendix A)."""
    return isinstance(text, str) and 0 < len(text) <= _LONGEST and all(lowest <= each <= "~" for each in text)


def _seconds(said: object, most: float) -> float | None:
    """A number of seconds that somebody else has written; None for what is none, or too far off to mean anything."""
    if isinstance(said, str) and re.fullmatch(r"[0-9]{1,15}", said):
        said = int(said)
    if isinstance(said, bool) or not isinstance(said, int | float) or not said <= most:
        return None
    return max(float(said), 0.0)


def _fields(item: Any) -> JSON:
    return {name: getattr(item, name) for name in item.__slots__}
