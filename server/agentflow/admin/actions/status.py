"""How the gateway is, and what went through it in the last minutes."""

from __future__ import annotations

import time
from collections import Counter

from agentflow import __version__
from agentflow.admin.action import action
from agentflow.admin.actions import audit, servers
from agentflow.admin.caller import ADMIN, OPERATOR, VIEWER, Caller
from agentflow.admin.models import (
    AuditState,
    EngineState,
    Latency,
    Overview,
    Slot,
    Status,
    StoreState,
    Whoami,
)
from agentflow.audit.recent import Figures, joined
from agentflow.gateway.service import Service

_TOOLS = 100  # in an overview, the busiest


@action(ADMIN, OPERATOR, VIEWER)
async def whoami(service: Service, caller: Caller) -> Whoami:
    """Say who the caller is to the gateway."""
    who = caller.principal
    return Whoami(
        id=who.id,
        kind=who.kind,
        tenant=who.tenant,
        roles=list(who.roles),
        scopes=list(who.scopes),
        auth=who.auth,
        home=caller.home,
    )


@action(ADMIN, OPERATOR, VIEWER)
async def status(service: Service, caller: Caller) -> Status:
    """Say how the gateway is; the details only to the home tenant."""
    _, ready = service.report(None)
    now = time.time()
    brief = Status(status=ready["status"], version=__version__, started=service.started, uptime=now - service.started)
    if not caller.home:
        return brief
    parts, catalogue = service.parts, service.gateway.catalogue
    chain, seq = parts.log.end
    return Status(
        **brief.model_dump(exclude_none=True),
        tools=len(catalogue.tools),
        sessions=len(parts.sessions),
        servers=dict(Counter(_state(service, name) for name in servers.names(service))),
        held=len(service.offered.held),
        problems=list(catalogue.problems),
        engine=EngineState(kind=service.config.policy.engine, revision=parts.engine.revision),
        store=StoreState(kind="postgresql" if service.store.shared else "sqlite", begun=service.store.begun),
        audit=AuditState(chain=chain, records=seq, key=parts.log.signer.id, verification=audit.state(service)),
    )


def _state(service: Service, name: str) -> str:
    found = next((member.upstream.health.status for member in service.members if member.name == name), None)
    return found or "disabled"


@action(ADMIN, OPERATOR, VIEWER)
async def overview(service: Service, caller: Caller) -> Overview:
    """Figures of the last five minutes, of the calls that the caller may see."""
    slots = service.recent.slots(caller.tenants)
    places: dict[tuple[str, str], list[Figures]] = {}
    refusals: Counter[str] = Counter()
    for slot in slots:
        for (_, server, name), figures in slot.places.items():
            places.setdefault((server, name), []).append(figures)
        for (_, kind), count in slot.refusals.items():
            refusals[kind] += count
    tools = {place: joined(parts) for place, parts in places.items()}
    whole = joined(tools.values())
    busiest = sorted(tools.items(), key=lambda item: -item[1].calls)[:_TOOLS]
    now = time.time()
    return Overview(
        since=slots[0].began if slots else now,
        until=now,
        calls=whole.calls,
        refused=whole.refused,
        **_percentiles(whole),
        refusals=dict(refusals.most_common()),
        tools=[
            Latency(server=server, name=name, calls=each.calls, refused=each.refused, **_percentiles(each))
            for (server, name), each in busiest
        ],
        slots=[
            Slot(
                time=slot.began,
                calls=sum(each.calls for each in slot.places.values()),
                refused=sum(each.refused for each in slot.places.values()),
            )
            for slot in slots
        ],
    )


def _percentiles(figures: Figures) -> dict[str, float]:
    return {f"p{share}_ms": round(figures.percentile(share / 100) / 1000, 3) for share in (50, 95, 99)}
