"""Who asks for something of the administration, and what that one may do.

A caller is a principal that the gateway's own authenticator established, or the one behind the page's session cookie
together with its CSRF token; there is no other and no default. What it may do is decided by its roles and by whether
it is in the home tenant: whoever is not sees and changes only what is its own tenant's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, Protocol

from starlette.requests import HTTPConnection

from agentflow.errors import Forbidden
from agentflow.gateway.service import Service
from agentflow.identity.principal import Principal

ADMIN: Final = "admin"
OPERATOR: Final = "operator"
VIEWER: Final = "viewer"
ASKED: Final = "@asked"  # among a rule's roles: whoever else is asked; the action itself finds out who that is

_CREDENTIALS: Final = frozenset({b"authorization", b"x-api-key"})


@dataclass(frozen=True, slots=True)
class Rule:
    """Who may do something.

    Attributes:
        roles: one of these is needed.
        home: only in the home tenant: what is done concerns every tenant.
        event: the name of the admin event that records it; "" where nothing is changed.
    """

    roles: frozenset[str]
    home: bool = False
    event: str = ""


@dataclass(frozen=True, slots=True)
class Caller:
    """A principal at the administration.

    Attributes:
        home: it is in the home tenant.
        via: `header` (a key, a token, or the local principal) or `session` (the page's cookie).
    """

    principal: Principal
    home: bool
    via: Literal["header", "session"] = "header"

    @property
    def by(self) -> str:
        """How records name it."""
        return f"{self.principal.tenant}/{self.principal.id}"

    @property
    def admin(self) -> bool:
        """Whether it is an administrator, of its tenant at least."""
        return ADMIN in self.principal.roles

    @property
    def tenants(self) -> frozenset[str] | None:
        """Whose records it may see: None for everybody's; "" stands for what is nobody's."""
        if self.home:
            return None if self.admin else frozenset({self.principal.tenant, ""})
        return frozenset({self.principal.tenant})

    @property
    def tenant(self) -> str | None:
        """The one tenant whose keys, approvals and credentials it may see: None for everybody's."""
        return None if self.home and self.admin else self.principal.tenant

    def may(self, rule: Rule) -> bool:
        """Whether the rule lets it."""
        return self._fits(rule) and (self.home or not rule.home)

    def _fits(self, rule: Rule) -> bool:
        return ASKED in rule.roles or not rule.roles.isdisjoint(self.principal.roles)

    def check(self, rule: Rule) -> None:
        """Refuse what the rule does not let it do.

        Raises:
            Forbidden: its roles or its tenant do not suffice.
        """
        if not self._fits(rule):
            raise Forbidden(
                "This needs another role",
                fix=f"Ask somebody with one of these: {', '.join(sorted(rule.roles))}",
            )
        if rule.home and not self.home:
            raise Forbidden("This concerns every tenant", fix="Ask an administrator of the home tenant")


class Sessions(Protocol):
    """The page's sessions, as far as the REST interface goes by them."""

    async def principal(self, request: HTTPConnection) -> Principal | None:
        """Who the session cookie of a request stands for; None without a valid one."""
        ...

    def proves(self, request: HTTPConnection) -> bool:
        """Whether the request carries, in the header `X-CSRF-Token`, the token of its session."""
        ...


async def caller_of(request: HTTPConnection, service: Service, sessions: Sessions | None = None) -> Caller:
    """The caller behind a request.

    A cookie counts only where no key or token is presented, and only with the CSRF header beside it.

    Raises:
        Unauthenticated: nobody that is known; a challenge goes with the answer.
        StoreUnavailable: the stored keys cannot be read.
        Forbidden: a session without its CSRF token.
    """
    headers = request.scope["headers"]
    if sessions is not None and not any(name in _CREDENTIALS for name, _ in headers):
        principal = await sessions.principal(request)
        if principal is not None:
            if not sessions.proves(request):
                raise Forbidden("The session's CSRF token is missing", fix="Send it as X-CSRF-Token, or use a key")
            return caller(service, principal, "session")
    found = service.authenticator.known(headers) or await service.authenticator.authenticate(headers)
    return caller(service, found)


def caller(service: Service, principal: Principal, via: Literal["header", "session"] = "header") -> Caller:
    """The caller that a known principal is."""
    return Caller(principal, principal.tenant == service.config.auth.home_tenant, via)
