"""Reads and verifies JSON Web Tokens (RFC 7515, RFC 7519, RFC 8725, RFC 9068).

It promises that nothing of a token counts before its signature held under a key that its issuer publishes, with an
algorithm on that issuer's list. It refuses what can be read in two ways (doubled members, numbers that are none),
what says that it must be understood otherwise (`crit`, `b64`, `cty`, encryption), a key that travels with the token,
and tokens of other kinds. Reasons are words of ours: nothing that a token says is in them.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from agentflow.config_auth import IssuerConfig
from agentflow.errors import Unauthenticated

if TYPE_CHECKING:
    from joserfc.jws import JWSRegistry

    from agentflow.identity.jwks import Key

JSON = dict[str, Any]
MAX_TOKEN: Final = 16 * 1024  # bytes
_MAX_KID: Final = 512
_LAST: Final = 253_402_300_800  # the end of the year 9999: milliseconds are not taken for seconds
_MAX_TRIED: Final = 8  # keys that a token without `kid` is tried with
_SEGMENT: Final = re.compile(rb"[A-Za-z0-9_-]+")
_ACCESS: Final = frozenset({"at+jwt", "application/at+jwt"})
_PLAIN: Final = _ACCESS | {"jwt", "application/jwt", ""}
_OF_ID_TOKENS: Final = frozenset({"nonce", "at_hash", "c_hash", "s_hash"})
# What issuers write into tokens that are not for a resource: Cognito's `token_use`, Keycloak's `typ`.
_OTHER_USES: Final = {"token_use": frozenset({"id"}), "typ": frozenset({"id", "refresh", "offline", "logout"})}


class Refused(Unauthenticated):
    """A token that does not count."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message, fix="Get a new token", reason=reason, error="invalid_token")


@dataclass(frozen=True, slots=True)
class Unverified:
    """A token as it was read: nobody vouches for any of it."""

    text: bytes
    header: JSON
    claims: JSON


def looks_like_one(presented: bytes) -> bool:
    """Whether a credential is to be taken for a token, and not for a key: it has the dots of one."""
    return presented.count(b".") >= 2


def read(presented: bytes) -> Unverified:
    """Take a token apart.

    Raises:
        Refused: it is too large, encrypted, or no token.
    """
    if len(presented) > MAX_TOKEN:
        raise Refused("oversized", f"The token is larger than {MAX_TOKEN} bytes")
    segments = presented.split(b".")
    if len(segments) == 5:
        raise Refused("encrypted", "Encrypted tokens are not taken")
    if len(segments) != 3 or not all(_SEGMENT.fullmatch(each) for each in segments):
        raise Refused("malformed", "The token is malformed")
    return Unverified(presented, _object(segments[0]), _object(segments[1]))


def check_header(token: Unverified, issuer: IssuerConfig) -> None:
    """Refuse a token by what its header says.

    Raises:
        Refused: it does.
    """
    header = token.header
    if header.get("alg") not in issuer.algorithms:
        raise Refused("algorithm", "The token is signed with an algorithm that is not taken")
    if "crit" in header or "b64" in header:
        raise Refused("critical_header", "The token has critical header parameters")
    if "jwk" in header:
        raise Refused("embedded_key", "The token brings its own key")
    if "cty" in header or "enc" in header or "zip" in header:
        raise Refused("nested", "Nested and compressed tokens are not taken")
    kid = header.get("kid")
    if "kid" in header and not (isinstance(kid, str) and 0 < len(kid) <= _MAX_KID and kid.isprintable()):
        raise Refused("key_id", "The token's key id is malformed")
    kind = header.get("typ", "")
    taken = _ACCESS if issuer.tokens == "at+jwt" else _PLAIN
    if not isinstance(kind, str) or kind.lower() not in taken:
        raise Refused("type", "The token is not an access token")


def check_claims(token: Unverified, issuer: IssuerConfig, now: float) -> float:
    """Refuse a token that is not for here or not for now; return the time (epoch seconds) when it ends.

    Raises:
        Refused: it is not.
    """
    claims, leeway = token.claims, issuer.leeway
    end = _time(claims, "exp")
    if end is None:
        raise Refused("no_expiry", "The token does not say when it expires")
    if now >= end + leeway:
        raise Refused("expired", "The token has expired")
    start, made = _time(claims, "nbf"), _time(claims, "iat")
    if start is not None and now < start - leeway:
        raise Refused("not_yet_valid", "The token is not valid yet")
    if made is not None and now < made - leeway:
        raise Refused("issued_in_future", "The token was issued in the future")
    if not set(issuer.audience) & set(_audience(claims)):
        raise Refused("foreign_audience", "The token is not for this gateway")
    if issuer.clients and (_text(claims, "azp") or _text(claims, "client_id")) not in issuer.clients:
        raise Refused("foreign_client", "The token was given to a client that is not taken")
    if "cnf" in claims:
        raise Refused("bound", "The token is bound to a key, and nothing shows here that its sender has it")
    _check_use(claims, issuer)
    return end + leeway


def _check_use(claims: JSON, issuer: IssuerConfig) -> None:
    other = any(str(claims.get(name, "")).lower() in uses for name, uses in _OTHER_USES.items())
    if other or "events" in claims or (issuer.tokens != "any" and _OF_ID_TOKENS & claims.keys()):
        raise Refused("type", "The token is not an access token")


def verified(token: Unverified, keys: Sequence[Key], registry: JWSRegistry) -> Key | None:
    """The key under which the signature holds, or None."""
    from joserfc import jws
    from joserfc.errors import JoseError

    for key in keys[:_MAX_TRIED]:
        try:
            jws.deserialize_compact(token.text, key.jose, registry=registry)
        except (JoseError, ValueError, TypeError):
            continue
        return key
    return None


def registry_of(issuer: IssuerConfig) -> JWSRegistry:
    """What the library may do for an issuer: its algorithms, and EdDSA with no curve but Ed25519 (RFC 9864)."""
    from joserfc.jws import JWSRegistry

    class Registry(JWSRegistry):
        max_header_length = max_payload_length = MAX_TOKEN

        def get_alg(self, name: str) -> Any:
            return super().get_alg("Ed25519" if name == "EdDSA" else name)

    allowed = {"Ed25519" if name == "EdDSA" else name for name in issuer.algorithms}
    return Registry(algorithms=sorted(allowed), strict_check_header=False)


def _object(segment: bytes) -> JSON:
    try:
        text = base64.urlsafe_b64decode(segment + b"=" * (-len(segment) % 4)).decode()
        read = json.loads(text, object_pairs_hook=_distinct, parse_constant=_no_number)
    except (binascii.Error, ValueError, RecursionError):
        raise Refused("malformed", "The token is malformed") from None
    if not isinstance(read, dict):
        raise Refused("malformed", "The token is malformed")
    return read


def _distinct(pairs: list[tuple[str, Any]]) -> JSON:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise ValueError("a member is there twice")
    return made


def _no_number(constant: str) -> Any:
    raise ValueError(f"{constant} is no JSON")


def _time(claims: JSON, name: str) -> float | None:
    value = claims.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < _LAST:
        raise Refused("malformed", f"The token's {name} is not a time")
    return float(value)


def _audience(claims: JSON) -> list[str]:
    value = claims.get("aud")
    if isinstance(value, str):
        return [value]
    return [each for each in value if isinstance(each, str)] if isinstance(value, list) else []


def _text(claims: JSON, name: str) -> str:
    value = claims.get(name)
    return value if isinstance(value, str) else ""
