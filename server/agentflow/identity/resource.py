"""The gateway as an OAuth protected resource: its metadata (RFC 9728) and the challenges that point there (RFC 6750).

As the MCP authorization specification (2025-11-25 and 2026-07-28) asks: whoever is not known learns from the 401 where
to get a token and what to ask for; whose token lacks a scope learns from the 403 which. Nothing that was presented is
in an answer.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from agentflow.config import ServeConfig
from agentflow.errors import InsufficientScope, Unauthenticated
from agentflow.identity.authenticate import Authenticator

JSON = dict[str, Any]
WELL_KNOWN: Final = "/.well-known/oauth-protected-resource"


class ProtectedResource:
    """What the gateway says of itself.

    Args:
        serve: its public address and path; without an address, clients are told the one they used.
    """

    def __init__(self, serve: ServeConfig) -> None:
        self._public = serve.public_url.rstrip("/") if serve.public_url else None
        self._path = serve.path.rstrip("/")

    def is_metadata(self, path: str) -> bool:
        """Whether a request for `path` is one for the metadata."""
        return path == WELL_KNOWN or (path.startswith(WELL_KNOWN) and path == WELL_KNOWN + self._resource_path())

    def metadata(self, authenticator: Authenticator, scheme: str, host: str) -> JSON:
        """The document (RFC 9728, section 2).

        Args:
            scheme, host: as the request was made; the host is one that was checked.
        """
        issuers = list(dict.fromkeys(issuer.issuer for issuer in authenticator.config.issuers))
        document: JSON = {
            "resource": (self._public or f"{scheme}://{host}") + self._path,
            "authorization_servers": issuers,
            "bearer_methods_supported": ["header"],
            "resource_name": "AgentFlow gateway",
        }
        if authenticator.scopes:
            document["scopes_supported"] = list(authenticator.scopes)
        return document

    def challenge(self, error: Unauthenticated, authenticator: Authenticator, scheme: str, host: str) -> bytes:
        """The value of `WWW-Authenticate` for a refusal (RFC 6750, section 3; RFC 9728, section 5.1)."""
        members: list[tuple[str, str]] = []
        if error.error:
            members += [("error", error.error), ("error_description", _plain(error.message))]
        if authenticator.config.issuers:
            scopes: Iterable[str] = error.scopes if isinstance(error, InsufficientScope) else authenticator.scopes
            if scopes:
                members.append(("scope", " ".join(scopes)))
            members.append(("resource_metadata", self._address(scheme, host)))
        written = ", ".join(f'{name}="{value}"' for name, value in members)
        return f"Bearer {written}".rstrip().encode("ascii")

    def _address(self, scheme: str, host: str) -> str:
        if self._public is None:
            return f"{scheme}://{host}{WELL_KNOWN}{self._path}"
        origin = "/".join(self._public.split("/")[:3])
        return origin + WELL_KNOWN + self._resource_path()

    def _resource_path(self) -> str:
        """The path of the resource's identifier, which goes behind the well-known part (RFC 9728, section 3)."""
        behind = "" if self._public is None else "/".join(["", *self._public.split("/")[3:]]).rstrip("/")
        return behind + self._path


def _plain(text: str) -> str:
    """`text` with only the characters that a description may have (RFC 6750, section 3)."""
    return "".join(c if " " <= c <= "~" and c not in '"\\' else "'" for c in text)
