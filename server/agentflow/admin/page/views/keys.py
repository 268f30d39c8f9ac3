"""API keys: making one and showing it once, replacing and revoking."""

from __future__ import annotations

import time
from typing import Any

from starlette.responses import Response

from agentflow.admin.actions import keys
from agentflow.admin.governed import KeyWish, NewKey, Rotation
from agentflow.admin.page.visits import Visit, go, problems_of, status_of
from agentflow.errors import AgentFlowError, InvalidArguments

_DAY = 86_400.0
_PAGE = 100
_GRACES = {"0": 0.0, "hour": 3_600.0, "day": _DAY, "week": 7 * _DAY}
_LIVES = {"": None, "week": 7 * _DAY, "month": 30 * _DAY, "quarter": 90 * _DAY, "year": 365 * _DAY}


async def listed(visit: Visit) -> Response:
    """The keys, and a form for another one."""
    return await _listed(visit)


async def _listed(visit: Visit, problem: AgentFlowError | None = None, made: NewKey | None = None) -> Response:
    over = visit.asked("over") == "1"
    found = await keys.listed(visit.service, visit.caller, over, _PAGE, visit.asked("cursor") or None)
    said = {"revoked": "The key is revoked."}.get(visit.asked("done"), "")
    return visit.show(
        "keys.html",
        status_of(problem) if problem else 200,
        found=found,
        over=over,
        made=made,
        problem=problem,
        said="" if problem or made else said,
        entered=visit.form.texts if problem else {},
    )


async def create(visit: Visit) -> Response:
    """Make a key; the answer is the only place where it is ever to be seen."""
    form = visit.form
    wish: dict[str, Any] = {name: form.text(name).strip() for name in ("principal", "kind", "label", "tenant")}
    wish |= {name: form.text(name, 4_000).replace(",", " ").split() for name in ("roles", "scopes")}
    try:
        with problems_of("This cannot be a key"):
            made = KeyWish.model_validate({**{k: v for k, v in wish.items() if v}, "expires": _expiry(visit)})
        return await _listed(visit, made=await keys.create(visit.service, visit.caller, made))
    except AgentFlowError as error:
        return await _listed(visit, error)


async def show(visit: Visit) -> Response:
    """One key, and what can be done with it."""
    return visit.show("key.html", key=await keys.show(visit.service, visit.caller, visit.request.path_params["id"]))


async def change(visit: Visit) -> Response:
    """Replace a key, or revoke it."""
    key_id, deed = visit.request.path_params["id"], visit.form.text("do")
    if deed == "revoke":
        await keys.revoke(visit.service, visit.caller, key_id)
        return go("/ui/keys?done=revoked&over=1")
    if deed != "rotate" or visit.form.text("grace") not in _GRACES:
        raise InvalidArguments("This cannot be done with a key", fix="Use the buttons on its page")
    wish = Rotation(grace=_GRACES[visit.form.text("grace")])
    return await _listed(visit, made=await keys.rotate(visit.service, visit.caller, key_id, wish))


def _expiry(visit: Visit) -> float | None:
    """Epoch seconds.

    Raises:
        InvalidArguments: it is none of those to choose from.
    """
    wanted = visit.form.text("expires")
    if wanted not in _LIVES:
        raise InvalidArguments("A key is for a week, a month, three months, a year, or has no end")
    life = _LIVES[wanted]
    return None if life is None else time.time() + life
