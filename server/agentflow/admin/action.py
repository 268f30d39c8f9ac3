"""What every action of the administration has in common: a rule that says who may, and a record of what was done.

An action is `async def action(service, caller, …)`. It is refused, and the refusal recorded, unless its rule lets the
caller. One that changes something calls `done` right before the change: no record, no change. What goes wrong is
recorded with the kind of its error.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Concatenate, Final, ParamSpec, TypeVar, cast

from agentflow.admin.caller import Caller, Rule
from agentflow.audit.events import Detail, Event
from agentflow.errors import AgentFlowError, Forbidden
from agentflow.gateway.recorded import recorded
from agentflow.gateway.service import Service

P = ParamSpec("P")
R = TypeVar("R")
Action = Callable[Concatenate[Service, Caller, P], Awaitable[R]]
_RULE: Final = "__agentflow_rule__"


def action(*roles: str, home: bool = False, event: str = "") -> Callable[[Action[P, R]], Action[P, R]]:
    """Declare who may do it: callers with one of `roles`, of the home tenant only where `home` says so.

    Args:
        event: the name of the admin event that records it, for what changes something.
    """
    rule = Rule(frozenset(roles), home, event)

    def declare(work: Action[P, R]) -> Action[P, R]:
        @functools.wraps(work)
        async def guarded(service: Service, caller: Caller, /, *args: P.args, **kwargs: P.kwargs) -> R:
            try:
                caller.check(rule)
                return await work(service, caller, *args, **kwargs)
            except AgentFlowError as error:
                if event or isinstance(error, Forbidden):
                    _refused(service, caller, event or work.__name__, error)
                raise

        setattr(guarded, _RULE, rule)
        return guarded

    return declare


def _refused(service: Service, caller: Caller, event: str, error: AgentFlowError) -> None:
    """Record a refusal, as many as one caller may cause: nobody fills the disk with them."""
    recorded()
    if service.refusals.admits(error.kind, caller.principal):
        with contextlib.suppress(AgentFlowError):  # it is refused either way
            note(service, caller, event, outcome=error.kind)


def rule_of(work: Callable[..., Any]) -> Rule:
    """The rule that an action was declared with."""
    return cast("Rule", getattr(work, _RULE))


def note(
    service: Service,
    caller: Caller,
    event: str,
    subject: str = "",
    *,
    tenant: str = "",
    outcome: str = "ok",
    details: Mapping[str, Detail] | None = None,
) -> None:
    """Record what an administrator does, before it is done.

    Args:
        subject: what it is done to: a name or an id that exists, never what somebody typed.
        tenant: whom it is about; by default the caller's tenant.

    Raises:
        AuditUnavailable: it is not recorded, and so must not be done.
    """
    told = {"via": caller.via, **(details or {})}
    service.record(Event("admin", event, caller.by, tenant or caller.principal.tenant, subject, outcome, (), told))
    recorded()
