"""From the claims of a verified token to a principal, as an issuer's entry in the configuration says.

It refuses rather than repairs: an id that is no plain text of at most 256 characters, a tenant that the issuer may not
speak for, an id that belongs to somebody else. Paths are names, names joined by dots, or JSON pointers (RFC 6901).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from typing import Any, Final, cast, get_args

from agentflow.config_auth import IssuerConfig, is_tenant
from agentflow.identity.principal import Kind, Principal
from agentflow.identity.tokens import Refused

JSON = dict[str, Any]
MAX_NAME: Final = 256  # characters of an id, a tenant, a role or a scope
_MANY: Final = 200  # roles or scopes of one principal
_UNSEEN: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
# Letters and marks that show nothing: joiners, Hangul fillers, vowels of Khmer, variation selectors, empty braille.
_BLANK: Final = re.compile("[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\ufe00-\ufe0f\U000e0100-\U000e01ef]")


def principal(claims: JSON, issuer: IssuerConfig, prefix: str, auth: str = "jwt") -> Principal:
    """The principal that `claims` stand for.

    Args:
        prefix: put before the id.

    Raises:
        Refused: there is none.
    """
    name = at(claims, issuer.claims.id)
    if not plain(name):
        raise Refused("id_claim", "The token names its holder in no usable way")
    identity = prefix + name
    if len(identity) > MAX_NAME:
        raise Refused("id_claim", "The token names its holder in no usable way")
    return Principal(
        identity,
        _kind(claims, issuer),
        _roles(claims, issuer),
        _tenant(claims, issuer),
        scopes(claims, issuer),
        auth=auth,
    )


def at(claims: JSON, path: str) -> Any:
    """What is at `path`, or None."""
    if path in claims:
        return claims[path]
    if path.startswith("/"):
        steps = [step.replace("~1", "/").replace("~0", "~") for step in path[1:].split("/")]
    else:
        steps = path.split(".")
    found: Any = claims
    for step in steps:
        if isinstance(found, list) and step.isdecimal() and len(step) < 5:
            found = found[int(step)] if int(step) < len(found) else None
        else:
            found = found.get(step) if isinstance(found, dict) else None
    return found


def plain(value: object) -> bool:
    """Whether this is text that a person can read and nothing can hide in.

    No control or invisible characters, and nothing that is another way to write the same (Unicode's NFKC).
    """
    return (
        isinstance(value, str)
        and 0 < len(value) <= MAX_NAME
        and value == value.strip()
        and value.isprintable()
        and (value.isascii() or _is_normal(value))
    )


def _is_normal(value: str) -> bool:
    seen = not _BLANK.search(value) and not any(unicodedata.category(each) in _UNSEEN for each in value)
    return seen and unicodedata.is_normalized("NFKC", value)


def scopes(claims: JSON, issuer: IssuerConfig) -> tuple[str, ...]:
    """The scopes of a token: a list, or one string with spaces (RFC 8693, 4.2; RFC 9068, 2.2.3)."""
    if issuer.claims.scopes is not None:
        return _names(at(claims, issuer.claims.scopes))
    return _names(claims["scope"] if "scope" in claims else claims.get("scp"))


def _roles(claims: JSON, issuer: IssuerConfig) -> tuple[str, ...]:
    named: Sequence[str] = () if issuer.claims.roles is None else _names(at(claims, issuer.claims.roles))
    if issuer.roles_map:
        named = [role for name in named for role in issuer.roles_map.get(name, ())]
    return tuple(dict.fromkeys(named)) or issuer.default_roles


def _tenant(claims: JSON, issuer: IssuerConfig) -> str:
    if issuer.claims.tenant is None:
        return issuer.tenant
    named = at(claims, issuer.claims.tenant)
    if not plain(named):
        raise Refused("tenant_claim", "The token names no tenant")
    tenant = issuer.tenants_map.get(named, "") if issuer.tenants_map else cast(str, named)
    if not is_tenant(tenant) or (issuer.tenants and tenant not in issuer.tenants):
        raise Refused("foreign_tenant", "The token names a tenant that its issuer may not speak for")
    return tenant


def _kind(claims: JSON, issuer: IssuerConfig) -> Kind:
    """Whose token it is: a client's own, where it was given out without a user (RFC 9068, section 5)."""
    if issuer.claims.kind is not None:
        said = at(claims, issuer.claims.kind)
        if said in get_args(Kind):
            return cast(Kind, said)
    if issuer.kind != "auto":
        return issuer.kind
    client = claims.get("client_id") or claims.get("azp")
    own = isinstance(client, str) and client == claims.get("sub")
    if own or claims.get("gty") == "client-credentials" or claims.get("idtyp") == "app":
        return "service"
    return "user"


def _names(value: Any) -> tuple[str, ...]:
    listed = value.split() if isinstance(value, str) else value if isinstance(value, list) else []
    return tuple(dict.fromkeys(each for each in listed[:_MANY] if plain(each)))
