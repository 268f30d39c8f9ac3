"""What is wrong with the issuers of a configuration beyond single values: addresses, claims that lead nowhere, clashes.

As in `checks`, everything is reported and nothing raised.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from urllib.parse import urlsplit

from agentflow.config import Config, is_loopback
from agentflow.config_auth import IssuerConfig
from agentflow.errors import ConfigError
from agentflow.identity.fetching import FetchFailed, permitted, split
from agentflow.identity.issuers import prefixes

Loc = tuple[str | int, ...]
Report = Callable[..., None]


def issuers(config: Config, report: Report) -> None:
    """Report on `auth.issuers`, and on the address that their clients are told."""
    seen: set[str] = set()
    for index, issuer in enumerate(config.auth.issuers):
        loc: Loc = ("auth", "issuers", index)
        if issuer.issuer in seen:
            report((*loc, "issuer"), "this issuer is there twice", "put all its audiences into one entry")
        seen.add(issuer.issuer)
        _addresses(loc, issuer, report)
        _claims(loc, issuer, config.auth.home_tenant, report)
    try:
        prefixes(config.auth.issuers)
    except ConfigError as error:
        report(("auth", "issuers"), error.message, error.fix)
    if len(config.auth.issuers) > 1 and config.auth.issuers[0].id_prefix is None:
        what = "is left to its place: another issuer put before it would take over the names of its callers"
        report(("auth", "issuers", 0, "id_prefix"), what, "write `id_prefix: ''`", "warning")
    public = config.serve.public_url
    if (
        config.auth.issuers
        and public
        and public.startswith("http:")
        and not is_loopback(urlsplit(public).hostname or "")
    ):
        report(("serve", "public_url"), "tokens would be sent in the clear", "use https", "warning")


def _addresses(loc: Loc, issuer: IssuerConfig, report: Report) -> None:
    asked = ("jwks_url",) if issuer.jwks_url else ("discovery",) if issuer.discovery else ("issuer",)
    for name in asked:
        url = getattr(issuer, name)
        try:
            parts, host, _ = split(url)
        except FetchFailed:
            report((*loc, name), "is not a plain http or https address", "write https://host/path")
            continue
        if parts.scheme != "https" and not is_loopback(host) and not issuer.allow_private:
            report((*loc, name), "is not https: whoever is in between could hand out keys", "use https")
        elif not is_loopback(host) and not issuer.allow_private and _private(host):
            report((*loc, name), "is an address of a private network", "set `allow_private: true` if it is meant")
    if issuer.ca is not None and not issuer.ca.is_file():
        report((*loc, "ca"), "there is no such file", "name the file with the certificates (PEM)")


def _private(host: str) -> bool:
    try:
        return not permitted(ipaddress.ip_address(host), False)
    except ValueError:
        return False


def _claims(loc: Loc, issuer: IssuerConfig, home: str, report: Report) -> None:
    named = issuer.tenants or tuple(issuer.tenants_map.values())
    if issuer.claims.tenant is None and (issuer.tenants or issuer.tenants_map):
        report((*loc, "claims", "tenant"), "is missing, so no token names a tenant", "name the claim, or set `tenant`")
    if issuer.claims.tenant is not None and not named:
        what = f"any tenant may be named by a token, {home!r} too, whose administrators administer the gateway"
        report((*loc, "tenants"), what, "list the tenants that this issuer may speak for", "warning")
    if issuer.claims.roles is None and issuer.roles_map:
        report((*loc, "claims", "roles"), "is missing, so roles_map maps nothing", "name the claim with the roles")
    if issuer.claims.roles is not None and not issuer.roles_map and (not named or home in named):
        what = "whoever can put `admin` into this claim administers the gateway"
        report((*loc, "roles_map"), what, "map the values that mean something here", "warning")
    if "admin" in issuer.default_roles:
        report((*loc, "default_roles"), "makes every caller an administrator", "map a group to `admin`", "warning")
