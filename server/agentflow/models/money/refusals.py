"""What a request is told that a budget, a quota or its run has no room for: which one, how much is left, until when."""

from __future__ import annotations

import math

from agentflow.errors import BudgetExceeded, LimitExceeded
from agentflow.models.money.amounts import exact
from agentflow.models.money.entries import Charge
from agentflow.models.money.periods import Window, written
from agentflow.models.money.rules import Budget


def spent_out(budget: Budget, window: Window, nano: int, spent: int, reserved: int, now: float) -> BudgetExceeded:
    """The refusal of what may cost `nano` where `spent` is spent and `reserved` promised to others."""
    left = max((budget.nano or 0) - spent - reserved, 0)
    waiting = spent + nano <= (budget.nano or 0)
    resets = written(window.ends)
    told = (
        f"Budget {budget.name!r} ({budget.whose}, {budget.limits}) has ${exact(left)} left, "
        f"and this request may cost up to ${exact(nano)}"
    )
    if waiting:
        told += f"; ${exact(reserved)} is reserved by requests under way"
    data: dict[str, object] = {"budget": budget.name, "left": left, "limit": budget.nano, "spent": spent, "asked": nano}
    if window.ends is not None:
        told += f"; it resets at {resets}"
        data |= {"resets": resets, "retry_after": 1.0 if waiting else math.ceil(window.ends - now)}
    fix = (
        "try again when they have ended" if waiting else "ask for less (max_tokens), a cheaper model, or a higher limit"
    )
    return BudgetExceeded(told, fix=fix, **data)


def unpriced(budget: str, charge: Charge) -> BudgetExceeded:
    """The refusal of a model whose price nobody knows, where a budget has to be kept."""
    return BudgetExceeded(
        f"The price of {charge.provider}:{charge.model} is not known, so the budget {budget!r} cannot be kept",
        fix=f"state it: models.providers.{charge.provider}.models[].price, or a file in models.prices",
        budget=budget,
        unpriced=True,
    )


def run_spent(charge: Charge, what: str, left: int, asked: int) -> BudgetExceeded:
    """The refusal of what a run's own limit has no room for; `what` is `cost` (nano-dollars) or `tokens`."""
    have, want = (f"${exact(left)}", f"${exact(asked)}") if what == "cost" else (f"{left:,} tokens", f"{asked:,}")
    return BudgetExceeded(
        f"The run has {have} left, and this request may take up to {want}",
        fix=f"give the run a higher limit ({'max_cost' if what == 'cost' else 'max_tokens'})",
        budget="run",
        run=charge.run,
        what=what,
        left=left,
        asked=asked,
    )


def too_fast(budget: Budget, what: str, limit: int, wait: float) -> LimitExceeded:
    """The refusal of a quota; `what` is `requests`, `tokens` or `concurrent`."""
    if what == "concurrent":
        told = f"{limit} requests of budget {budget.name!r} ({budget.whose}) are under way; wait for one to end"
    elif wait == math.inf:
        told = f"The request may take more than the {limit:,} tokens a minute of budget {budget.name!r}"
    else:
        told = f"More than {limit:,} {what} a minute of budget {budget.name!r} ({budget.whose}); wait {wait:.1f} s"
    waits = {} if wait == math.inf else {"retry_after": round(wait, 3)}
    fix = "ask for fewer tokens" if wait == math.inf else ""
    return LimitExceeded(told, fix=fix, limit=what, max=limit, budget=budget.name, **waits)
