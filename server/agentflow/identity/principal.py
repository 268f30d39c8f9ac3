"""The caller, as every later stage sees it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["user", "agent", "service"]


@dataclass(frozen=True, slots=True)
class Principal:
    """An authenticated caller.

    Attributes:
        id: stable name, unique within the tenant.
        auth: how it was established: `local` (loopback without keys), `stdio`, or `api_key`.
    """

    id: str
    kind: Kind = "user"
    roles: tuple[str, ...] = ()
    tenant: str = "default"
    scopes: tuple[str, ...] = ()
    auth: str = "local"

    @property
    def key(self) -> str:
        """A key under which nothing of two principals can meet: tenant and id, unambiguously joined."""
        return f"{len(self.tenant)}:{self.tenant}:{self.id}"
