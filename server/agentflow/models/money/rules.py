"""What a budget says, and to which requests it applies.

A budget is of one tenant or, with `*`, of each tenant separately; within it of the tenant as a whole, of a project, of
a principal, or of every single run. `*` as the subject stands for each project or principal separately. All that
apply to a request have to have room for it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, cast

from agentflow.models.money.amounts import dollars
from agentflow.models.money.entries import Charge, Key
from agentflow.models.money.periods import Period

Scope = Literal["tenant", "project", "principal", "run"]
EACH: Final = "*"


@dataclass(frozen=True, slots=True)
class Budget:
    """What may be spent, and how fast.

    Attributes:
        name: unique within `tenant`; tenant, subject: see the module.
        nano: nano-dollars in a period; None: only the quotas bound it.
        requests_per_minute, tokens_per_minute, max_concurrent: quotas; None: none.
        created, updated: epoch seconds, with who it was.
    """

    id: str
    name: str
    tenant: str
    scope: Scope
    subject: str
    period: Period
    nano: int | None
    requests_per_minute: int | None
    tokens_per_minute: int | None
    max_concurrent: int | None
    created: float
    created_by: str
    updated: float
    updated_by: str

    @classmethod
    def of_row(cls, row: Mapping[Any, Any]) -> Budget:
        """From a row of the table."""
        return cls(**cast("dict[str, Any]", {name: row[name] for name in cls.__dataclass_fields__}))

    def key_for(self, charge: Charge) -> Key | None:
        """Whose money it counts a charge in; None where it does not apply."""
        if self.tenant not in (EACH, charge.tenant):
            return None
        if self.scope in ("tenant", "run"):
            return Key(self.id, charge.tenant, "")
        whose = charge.project if self.scope == "project" else charge.principal
        if not whose or self.subject not in (EACH, whose):
            return None
        return Key(self.id, charge.tenant, whose)

    @property
    def whose(self) -> str:
        """For people: `tenant acme`, `each principal of tenant acme`."""
        tenant = "each tenant" if self.tenant == EACH else f"tenant {self.tenant}"
        if self.scope == "tenant":
            return tenant
        if self.scope == "run":
            return f"each run of {tenant}"
        who = f"each {self.scope}" if self.subject == EACH else f"{self.scope} {self.subject}"
        return f"{who} of {tenant}"

    @property
    def limits(self) -> str:
        """For people: `$50.00 monthly, 60 requests a minute`."""
        per = "a run" if self.period == "run" else self.period
        told = [f"{dollars(self.nano)} {per}"] if self.nano is not None else []
        for count, what in (
            (self.requests_per_minute, "requests a minute"),
            (self.tokens_per_minute, "tokens a minute"),
            (self.max_concurrent, "at once"),
        ):
            if count is not None:
                told.append(f"{count:,} {what}")
        return ", ".join(told)


def applying(budgets: Iterable[Budget], charge: Charge) -> list[tuple[Budget, Key]]:
    """The budgets that have to have room for a charge, and whose money each counts it in."""
    return [(budget, key) for budget in budgets if (key := budget.key_for(charge)) is not None]
