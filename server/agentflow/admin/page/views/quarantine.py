"""Definitions in quarantine: what changed, and deciding about it."""

from __future__ import annotations

import json

from starlette.responses import Response

from agentflow.admin.actions import quarantine
from agentflow.admin.models import Ruling
from agentflow.admin.page.visits import Visit, go, problems_of
from agentflow.errors import InvalidArguments

_PAGE = 100


async def listed(visit: Visit) -> Response:
    """Everything that is held."""
    found = await quarantine.listed(visit.service, visit.caller, _PAGE, visit.asked("cursor") or None)
    said = {"approve": "The definition is in force.", "reject": "The definition is kept out."}.get(
        visit.asked("done"), ""
    )
    return visit.show("quarantine.html", found=found, said=said)


async def show(visit: Visit) -> Response:
    """One held definition beside the one in force."""
    found = await quarantine.show(visit.service, visit.caller, visit.request.path_params["id"])
    return visit.show(
        "held.html",
        held=found,
        before=_indented(found.before),
        after=_indented(found.after),
        may_decide=visit.may(quarantine.approve),
    )


async def decide(visit: Visit) -> Response:
    """Put it in force, or keep it out."""
    deed = {"approve": quarantine.approve, "reject": quarantine.reject}.get(visit.form.text("do"))
    if deed is None:
        raise InvalidArguments("Say whether to approve or to reject", fix="Use the buttons on the page")
    with problems_of("This is not about a definition"):
        ruling = Ruling(digest=visit.form.text("digest"))
    await deed(visit.service, visit.caller, visit.request.path_params["id"], ruling)
    return go(f"/ui/quarantine?done={visit.form.text('do')}")


def _indented(definition: str) -> str:
    """Canonical JSON for people; as it is where it was cut."""
    try:
        return json.dumps(json.loads(definition), indent=2, ensure_ascii=False) if definition else ""
    except (ValueError, RecursionError):
        return definition
