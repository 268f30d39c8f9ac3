"""The audit log: search, one record with its stages, and whether it is as it was written."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, cast
from urllib.parse import urlencode

from starlette.responses import Response

from agentflow.admin.actions import audit
from agentflow.admin.page.visits import Visit, go, status_of
from agentflow.audit.query import Decided, Filter
from agentflow.errors import InvalidArguments

_TEXTS = ("principal", "tenant", "tool", "server", "surface", "outcome", "reason", "pii", "kind", "event", "id")
_ASKED = (*_TEXTS, "decision", "injection", "since", "until", "refused")
_DECISIONS = ("allow", "ask", "deny")
_PAGE = 50


async def search(visit: Visit) -> Response:
    """The newest records that fit."""
    asked = {name: text for name in _ASKED if (text := visit.asked(name, 200))}
    cursor = visit.asked("cursor", 200) or None
    found, problem = None, None
    try:
        found = await audit.search(visit.service, visit.caller, _filter(asked), _PAGE, cursor)
    except InvalidArguments as error:
        problem = error
    may_verify = visit.may(audit.verify)
    return visit.show(
        "audit.html",
        status_of(problem) if problem else 200,
        asked=asked,
        found=found,
        query=urlencode(asked),
        narrowed=any(name not in ("tool", "principal", "decision", "refused") for name in asked),
        verification=await audit.verification(visit.service, visit.caller) if may_verify else None,
        problem=problem,
    )


async def record(visit: Visit) -> Response:
    """One record."""
    found = await audit.record(visit.service, visit.caller, visit.request.path_params["id"])
    whole = found.record
    shown = {name: whole[name] for name in whole if name not in ("stages",)}
    return visit.show("record.html", found=found, record=whole, rest=shown)


async def verify(visit: Visit) -> Response:
    """Verify the whole log."""
    await audit.verify(visit.service, visit.caller)
    return go("/ui/audit#verification")


def _filter(asked: dict[str, str]) -> Filter:
    """What a form asks for.

    Raises:
        InvalidArguments: a field does not fit.
    """
    wanted: dict[str, Any] = {name: asked[name] for name in _TEXTS if name in asked}
    if "decision" in asked:
        if asked["decision"] not in _DECISIONS:
            raise InvalidArguments("A decision is allow, ask or deny")
        wanted["decision"] = cast("Decided", asked["decision"])
    if "refused" in asked:
        wanted["refused"] = asked["refused"] == "yes"
    if "injection" in asked:
        try:
            wanted["injection"] = float(asked["injection"])
        except ValueError:
            raise InvalidArguments("The injection score is a number from 0 to 1") from None
    for name in ("since", "until"):
        if name in asked:
            wanted[name] = _time(asked[name])
    return Filter(**wanted)


def _time(text: str) -> float:
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise InvalidArguments("A time is written as 2026-01-31T12:00 (UTC)") from None
    try:
        return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()
    except (OverflowError, ValueError):
        raise InvalidArguments("This time is too far away") from None
