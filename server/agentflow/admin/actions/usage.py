"""What models were used for, what it cost, and what would make it cheaper. A tenant sees its own."""

from __future__ import annotations

from dataclasses import replace

from agentflow.admin.action import action
from agentflow.admin.caller import ADMIN, OPERATOR, VIEWER, Caller
from agentflow.admin.spending import Suggestion, Usage, Used
from agentflow.admin.threads import in_thread
from agentflow.errors import NotFound
from agentflow.gateway.service import Service
from agentflow.models.money import shown
from agentflow.models.money import suggestions as found
from agentflow.models.money.usage import By, Filter, report


@action(ADMIN, OPERATOR, VIEWER)
async def used(service: Service, caller: Caller, by: By, which: Filter, limit: int = 100) -> Usage:
    """Sums over the requests to models that fit, by what is asked for.

    Raises:
        NotFound: another tenant is asked for. StoreUnavailable: they cannot be read.
    """
    which = _own(caller, which)
    rows, whole = await in_thread(lambda: (report(service.store, by, which, limit), report(service.store, None, which)))
    total = Used(**shown.used(whole[0])) if whole else None
    return Usage(by=by, usage=[Used(**shown.used(row)) for row in rows], total=total)


@action(ADMIN, OPERATOR, VIEWER)
async def suggestions(service: Service, caller: Caller, which: Filter) -> list[Suggestion]:
    """What would have made the same work cheaper, the largest saving first.

    Raises:
        NotFound: another tenant is asked for. StoreUnavailable: what was used cannot be read.
    """
    told = await in_thread(found.suggestions, service.store, _own(caller, which))
    return [Suggestion(**shown.suggestion(each)) for each in told]


def _own(caller: Caller, which: Filter) -> Filter:
    if caller.tenant is None:
        return which
    if which.tenant not in (None, caller.tenant):
        raise NotFound("There is no such tenant")
    return replace(which, tenant=caller.tenant)
