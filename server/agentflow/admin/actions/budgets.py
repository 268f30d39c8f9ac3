"""Budgets of models. A tenant's administrator sets those of its projects, principals and runs; what the tenant itself
may spend is for the home tenant's."""

from __future__ import annotations

import time
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from agentflow.admin.action import action, note
from agentflow.admin.caller import ADMIN, OPERATOR, VIEWER, Caller
from agentflow.admin.models import Page
from agentflow.admin.paging import paged
from agentflow.admin.spending import Budget, BudgetAlert, BudgetChange, BudgetForecast, BudgetState, BudgetWish
from agentflow.admin.threads import in_thread
from agentflow.errors import Forbidden, NotFound
from agentflow.gateway.service import Service
from agentflow.models.money import budgets as books
from agentflow.models.money import forecast as forecasts
from agentflow.models.money import shown
from agentflow.models.money.rules import EACH
from agentflow.models.money.rules import Budget as Found
from agentflow.models.port import NANO


@action(ADMIN, OPERATOR, VIEWER)
async def listed(service: Service, caller: Caller, limit: int = 100, cursor: str | None = None) -> Page[Budget]:
    """The budgets that the caller's tenant is bound by, each with how it stands.

    Raises:
        StoreUnavailable: they cannot be read.
    """
    found = await in_thread(_book(service).all, caller.tenant)
    part = paged(found, lambda budget: budget.id, limit, cursor)
    return Page(items=await _told(service, caller, part.items), next=part.next)


@action(ADMIN, OPERATOR, VIEWER)
async def show(service: Service, caller: Caller, budget_id: str) -> Budget:
    """One budget, by its id, with how it stands.

    Raises:
        NotFound: there is none of that id in the caller's reach.
    """
    return (await _told(service, caller, [await _found(service, caller, budget_id)]))[0]


@action(ADMIN, OPERATOR, VIEWER)
async def history(service: Service, caller: Caller, budget_id: str, limit: int = 50) -> list[BudgetState]:
    """The periods of a budget, the newest first.

    Raises:
        NotFound: there is none of that id in the caller's reach.
    """
    found = await _found(service, caller, budget_id)
    states = await in_thread(_book(service).history, found, limit, caller.tenant)
    return [BudgetState(**shown.state(each)) for each in states]


@action(ADMIN, OPERATOR, VIEWER)
async def alerts(service: Service, caller: Caller, limit: int = 50) -> list[BudgetAlert]:
    """The shares of limits that were reached, the newest first.

    Raises:
        StoreUnavailable: they cannot be read.
    """
    book = _book(service)
    found = await in_thread(lambda: book.alerts(book.all(caller.tenant), limit, caller.tenant))
    return [BudgetAlert(**shown.alert(each)) for each in found]


@action(ADMIN, OPERATOR, VIEWER)
async def forecast(service: Service, caller: Caller, budget_id: str) -> list[BudgetForecast]:
    """What the present period of a budget will have cost at its end, for each one that it counts separately.

    Raises:
        NotFound: there is none of that id in the caller's reach.
    """
    found = await _found(service, caller, budget_id)
    book = _book(service)
    expected = await in_thread(
        lambda: forecasts.forecast(service.store, book.states([found], caller.tenant), time.time())
    )
    return [BudgetForecast(**shown.forecast(each)) for each in expected]


@action(ADMIN, event="budget_created")
async def create(service: Service, caller: Caller, wish: BudgetWish) -> Budget:
    """Make a budget; it counts from the next request, with what was used in its period before.

    Raises:
        Forbidden: it would be another tenant's, or the caller's tenant's own.
        InvalidArguments: it says something that cannot be. Conflict: there is one of that name.
    """
    tenant = wish.tenant or caller.principal.tenant
    _check(caller, tenant, wish.scope)
    told = wish.model_dump(exclude={"tenant", "limit"})
    wanted = books.NewBudget(tenant=tenant, nano=_nano(wish.limit), **told)
    made = await in_thread(_book(service).create, wanted, caller.by)
    _note(service, caller, "budget_created", made)
    return (await _told(service, caller, [made]))[0]


@action(ADMIN, event="budget_updated")
async def update(service: Service, caller: Caller, budget_id: str, wish: BudgetChange) -> Budget:
    """Change a budget's name, limit or quotas, for the next request.

    Raises:
        NotFound: there is none of that id in the caller's reach. Forbidden: it is not the caller's to change.
        InvalidArguments: it would say something that cannot be. Conflict: the name is taken.
    """
    before = await _found(service, caller, budget_id)
    _check(caller, before.tenant, before.scope)
    changes: dict[str, Any] = wish.model_dump(include=wish.model_fields_set - {"limit", "name"})
    if "limit" in wish.model_fields_set:
        changes["nano"] = _nano(wish.limit)
    if wish.name is not None:
        changes["name"] = wish.name
    after = await in_thread(_book(service).update, before, changes, caller.by)
    _note(service, caller, "budget_updated", after, before=before.limits)
    return (await _told(service, caller, [after]))[0]


@action(ADMIN, event="budget_deleted")
async def delete(service: Service, caller: Caller, budget_id: str) -> None:
    """Delete a budget, with its periods; what was used stays known.

    Raises:
        NotFound: there is none of that id in the caller's reach. Forbidden: it is not the caller's to delete.
    """
    found = await _found(service, caller, budget_id)
    _check(caller, found.tenant, found.scope)
    await in_thread(_book(service).delete, found)
    _note(service, caller, "budget_deleted", found)


def _book(service: Service) -> books.Budgets:
    return books.Budgets(service.store)


async def _found(service: Service, caller: Caller, budget_id: str) -> Found:
    found = await in_thread(_book(service).all, caller.tenant)
    for budget in found:
        if budget.id == budget_id:
            return budget
    raise NotFound("There is no such budget")


def _check(caller: Caller, tenant: str, scope: str) -> None:
    if caller.tenant is None:
        return
    if tenant == EACH or tenant != caller.tenant:
        raise Forbidden("A budget of other tenants is for the home tenant's administrators")
    if scope == "tenant" and not caller.home:
        raise Forbidden("What a tenant may spend in all is for the home tenant's administrators to say")


async def _told(service: Service, caller: Caller, found: Sequence[Found]) -> list[Budget]:
    states: dict[str, list[BudgetState]] = {budget.id: [] for budget in found}
    for state in await in_thread(_book(service).states, found, caller.tenant):
        states[state.budget.id].append(BudgetState(**shown.state(state)))
    return [Budget(**shown.budget(budget), states=states[budget.id]) for budget in found]


def _note(service: Service, caller: Caller, event: str, budget: Found, before: str | None = None) -> None:
    details = {"name": budget.name, "whose": budget.whose, "limits": budget.limits, "before": before}
    tenant = "" if budget.tenant == EACH else budget.tenant
    note(service, caller, event, budget.id, tenant=tenant, details=details)


def _nano(dollars: Decimal | None) -> int | None:
    return None if dollars is None else int(dollars * NANO)
