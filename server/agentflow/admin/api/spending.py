"""The routes of budgets and of usage."""

from __future__ import annotations

from typing import Any, Final

from agentflow.admin.actions import budgets, usage
from agentflow.admin.api.operation import Asked, Operation
from agentflow.admin.api.queries import Newest, OfUsage, Part, UsageBy
from agentflow.admin.models import Page
from agentflow.admin.spending import (
    Budget,
    BudgetAlert,
    BudgetChange,
    BudgetForecast,
    BudgetState,
    BudgetWish,
    Suggestion,
    Usage,
)


def _id(asked: Asked) -> tuple[str]:
    return (asked.path["id"],)


def _used(asked: Asked) -> tuple[Any, ...]:
    return asked.query.by, asked.query.filter(), asked.query.limit


BUDGETS: Final = (
    Operation(
        "GET", "/budgets", "listBudgets", "budgets", budgets.listed,
        lambda asked: (asked.query.limit, asked.query.cursor), query=Part, result=Page[Budget],
    ),
    Operation(
        "POST", "/budgets", "createBudget", "budgets", budgets.create,
        lambda asked: (asked.body,), body=BudgetWish, result=Budget, status=201,
    ),
    Operation(
        "GET", "/budgets/alerts", "listBudgetAlerts", "budgets", budgets.alerts,
        lambda asked: (asked.query.limit,), query=Newest, result=list[BudgetAlert],
    ),
    Operation("GET", "/budgets/{id}", "showBudget", "budgets", budgets.show, _id, result=Budget),
    Operation(
        "PATCH", "/budgets/{id}", "updateBudget", "budgets", budgets.update,
        lambda asked: (asked.path["id"], asked.body), body=BudgetChange, result=Budget,
    ),
    Operation("DELETE", "/budgets/{id}", "deleteBudget", "budgets", budgets.delete, _id),
    Operation(
        "GET", "/budgets/{id}/history", "listBudgetPeriods", "budgets", budgets.history,
        lambda asked: (asked.path["id"], asked.query.limit), query=Newest, result=list[BudgetState],
    ),
    Operation(
        "GET", "/budgets/{id}/forecast", "forecastBudget", "budgets", budgets.forecast, _id,
        result=list[BudgetForecast],
    ),
)  # fmt: skip
USAGE: Final = (
    Operation("GET", "/usage", "showUsage", "usage", usage.used, _used, query=UsageBy, result=Usage),
    Operation(
        "GET", "/usage/suggestions", "suggestSavings", "usage", usage.suggestions,
        lambda asked: (asked.query.filter(),), query=OfUsage, result=list[Suggestion],
    ),
)  # fmt: skip
OPERATIONS: Final = (*BUDGETS, *USAGE)
