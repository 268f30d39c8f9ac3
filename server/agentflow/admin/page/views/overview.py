"""How the gateway is, and what goes through it at the moment."""

from __future__ import annotations

from typing import Any

from starlette.responses import Response

from agentflow.admin.actions import live, servers, status
from agentflow.admin.models import Told
from agentflow.admin.page.charts import bars
from agentflow.admin.page.visits import Visit, go

_NEWEST = 100


async def overview(visit: Visit) -> Response:
    """The first page; whoever may not see it begins at what it may."""
    if not visit.may(status.overview) and visit.menu:
        return go(visit.menu[0][0])
    return visit.show("overview.html", **await _figures(visit))


async def figures(visit: Visit) -> Response:
    """The part of it that is renewed every few seconds."""
    return visit.show("overview_figures.html", **await _figures(visit))


async def _figures(visit: Visit) -> dict[str, Any]:
    service, who = visit.service, visit.caller
    found = await status.overview(service, who)
    return {
        "status": await status.status(service, who),
        "overview": found,
        "chart": bars(found.slots, found.until),
        "servers": (await servers.listed(service, who, 50)).items if visit.may(servers.listed) else None,
    }


async def calls(visit: Visit) -> Response:
    """The newest calls, each with its record of stages."""
    shown = await _newest(visit)
    return visit.show("calls.html", told=shown, last=_id(shown), events=_with_events(visit))


async def new_calls(visit: Visit) -> Response:
    """The calls since the one that the page had last."""
    seen = visit.asked("after", 64)
    shown = await _newest(visit)
    at = next((at for at, each in enumerate(shown) if each.record.get("id") == seen), len(shown))
    if at == 0:
        return Response(status_code=204)
    shown = shown[:at]
    return visit.show("calls_new.html", told=shown, last=_id(shown), events=_with_events(visit))


async def _newest(visit: Visit) -> list[Told]:
    """Newest first."""
    found = await live.newest(visit.service, visit.caller, _NEWEST)
    wanted = found if _with_events(visit) else [each for each in found if each.record.get("kind") == "call"]
    return wanted[::-1]


def _with_events(visit: Visit) -> bool:
    return visit.asked("events") == "1"


def _id(shown: list[Told]) -> str:
    return str(shown[0].record.get("id", "")) if shown else ""
