"""What the administration shows of budgets and of what models were used for; see `models`.

Amounts are there twice: `…_usd` is a decimal of all digits, as text, `…_nano` whole nano-dollars.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Literal

from pydantic import Field, model_validator

from agentflow.admin.models import Model, Wish

Scope = Literal["tenant", "project", "principal", "run"]
Period = Literal["daily", "weekly", "monthly", "run"]
Dollars = Annotated[Decimal, Field(ge=0, le=1_000_000_000, decimal_places=9, allow_inf_nan=False)]
Quota = Annotated[int, Field(ge=1, le=2_147_483_647)]
_EACH = "`*` stands for each one separately."


class BudgetState(Model):
    """How a budget is in one of its periods, for one of those that it counts separately."""

    budget: str = Field(description="Its name.")
    id: str
    tenant: str
    scope: Scope
    subject: str = Field(description="The project or principal, where it is of one.")
    period: Period
    begun: str = Field(description="The day the period begins, or the run.")
    starts: float
    resets: float | None = Field(description="When it ends; absent of a run.")
    status: Literal["healthy", "warning", "critical", "exceeded"]
    limit_usd: str | None
    limit_nano: int | None
    spent_usd: str
    spent_nano: int
    reserved_usd: str = Field(description="Promised to requests under way.")
    reserved_nano: int
    left_usd: str | None
    left_nano: int | None
    used: float | None = Field(description="The share of the limit that is spent.")
    requests: int
    running: int


class Budget(Model):
    """What may be spent on models, and how fast."""

    id: str
    name: str
    tenant: str = Field(description=_EACH)
    scope: Scope
    subject: str = Field(description=_EACH)
    period: Period
    limit_usd: str | None
    limit_nano: int | None
    requests_per_minute: int | None
    tokens_per_minute: int | None
    max_concurrent: int | None
    created: float
    created_by: str
    updated: float
    updated_by: str
    states: list[BudgetState] = Field(description="Its present period; of a budget for each run the last runs.")


class BudgetWish(Wish):
    """A budget to be made."""

    name: str = Field(default="", max_length=128, description="Default from what it says.")
    tenant: str | None = Field(default=None, max_length=128, description=f"Default the caller's own. {_EACH}")
    scope: Scope = "tenant"
    subject: str = Field(default="", max_length=200, description=f"The project or principal. {_EACH}")
    period: Period = Field(default="monthly", description="In UTC, weeks from Monday; `run` with the scope `run`.")
    limit: Dollars | None = Field(default=None, description="US dollars for one period.")
    requests_per_minute: Quota | None = None
    tokens_per_minute: Quota | None = None
    max_concurrent: Quota | None = None

    @model_validator(mode="after")
    def _bounds(self) -> BudgetWish:
        bounds = (self.limit, self.requests_per_minute, self.tokens_per_minute, self.max_concurrent)
        if all(each is None for each in bounds):
            raise ValueError("a budget needs a limit or a quota")
        return self


class BudgetChange(Wish):
    """What is to be otherwise; null takes a limit or a quota away, what is left out stays."""

    name: str | None = Field(default=None, min_length=1, max_length=128)
    limit: Dollars | None = None
    requests_per_minute: Quota | None = None
    tokens_per_minute: Quota | None = None
    max_concurrent: Quota | None = None


class BudgetAlert(Model):
    """A share of a limit that was reached."""

    budget: str
    tenant: str
    subject: str
    period: str
    level: int = Field(description="75, 90 or 100 per cent.")
    time: float
    spent_usd: str
    spent_nano: int
    limit_usd: str
    limit_nano: int


class BudgetForecast(BudgetState):
    """What a period will have cost at its end; in 80 of 100 cases between `low` and `high`."""

    expected_usd: str
    expected_nano: int
    low_usd: str
    low_nano: int
    high_usd: str
    high_nano: int
    a_day_usd: str
    a_day_nano: int
    share: float | None = Field(description="Of the limit.")
    runs_out: float | None = Field(description="When the limit is reached, if the period lasts longer.")
    confidence: Literal["low", "medium", "high"]


class Used(Model):
    """Requests that have something in common; latencies are seconds."""

    key: str
    requests: int
    errors: int
    from_cache: int
    prompt: int = Field(description="Tokens.")
    completion: int = Field(description="Tokens.")
    cached: int = Field(description="Tokens of the prompts that the provider had cached.")
    cost_usd: str
    cost_nano: int
    saved_usd: str = Field(description="What the answers of our own cache would have cost.")
    saved_nano: int
    latency: float | None
    p95: float | None


class Usage(Model):
    """What models were used for, the dearest first."""

    by: str
    usage: list[Used]
    total: Used | None


class Suggestion(Model):
    """What would have made the same work cheaper."""

    kind: Literal["provider_switch", "model_downgrade", "caching", "batching", "scheduling"]
    what: str
    do: str
    saving_usd: str
    saving_nano: int
    share: float = Field(description="Of what was spent in that time.")
    confidence: float
    impact: Literal["low", "medium", "high"]
