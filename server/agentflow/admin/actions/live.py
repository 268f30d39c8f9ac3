"""The newest records, and each further one as it is written."""

from __future__ import annotations

from agentflow.admin.action import action
from agentflow.admin.caller import ADMIN, OPERATOR, Caller
from agentflow.admin.models import Told
from agentflow.audit.recent import Follower
from agentflow.gateway.service import Service


@action(ADMIN, OPERATOR)
async def newest(service: Service, caller: Caller, limit: int = 50) -> list[Told]:
    """The newest records of this gateway that the caller may see, newest last; at most 100."""
    return [Told(record=record) for record in service.recent.newest(caller.tenants, limit)]


@action(ADMIN, OPERATOR)
async def follow(service: Service, caller: Caller) -> Follower:
    """Look on: `next` gives each record that the caller may see; `close` when done.

    Raises:
        LimitExceeded: too many look on already.
    """
    return service.recent.follow(caller.tenants)
