"""Calls that wait for people, and their votes."""

from __future__ import annotations

import json

from starlette.responses import Response

from agentflow.admin.actions import approvals
from agentflow.admin.governed import Approval
from agentflow.admin.models import Page
from agentflow.admin.page.visits import Visit, go, quoted, status_of
from agentflow.errors import AgentFlowError, InvalidArguments
from agentflow.policy.approvals import AlreadySettled, State

_PAGE = 50
_SAID = {
    "approved": "Approved: the call goes on.",
    "open": "Your yes is noted; somebody else is asked, too.",
    "denied": "Denied: the call is refused.",
}


async def listed(visit: Visit) -> Response:
    """What waits, or all that ever did."""
    return await _listed(visit)


async def _listed(visit: Visit, problem: AgentFlowError | None = None) -> Response:
    everything = visit.asked("state") == "all"
    state = None if everything else State.OPEN
    found = await approvals.queue(visit.service, visit.caller, state, _PAGE, visit.asked("cursor") or None)
    return visit.show(
        "approvals.html",
        status_of(problem) if problem else 200,
        found=found,
        everything=everything,
        seen=_mark(found),
        pretty_arguments=pretty_arguments,
        problem=problem,
        said="" if problem else _SAID.get(visit.asked("done"), ""),
    )


async def waiting(visit: Visit) -> Response:
    """Whether others wait than those that the page shows: asked by the page itself."""
    found = await approvals.queue(visit.service, visit.caller, State.OPEN, _PAGE)
    seen = visit.asked("seen", 4_000)
    shown = set(seen.split(","))
    fresh = sum(each.id not in shown for each in found.items)
    return visit.show("approvals_waiting.html", seen=seen, fresh=fresh, changed=_mark(found) != seen)


async def show(visit: Visit) -> Response:
    """One of them."""
    found = await approvals.show(visit.service, visit.caller, visit.request.path_params["id"])
    return visit.show("approval.html", each=found, pretty_arguments=pretty_arguments)


async def vote(visit: Visit) -> Response:
    """Say yes or no."""
    deed = {"approve": approvals.approve, "deny": approvals.deny}.get(visit.form.text("do"))
    if deed is None:
        raise InvalidArguments("Say whether to approve or to deny", fix="Use the buttons on the page")
    number, comment = visit.request.path_params["id"], visit.form.text("comment", 500).strip()
    try:
        settled = await deed(visit.service, visit.caller, number, comment)
    except AlreadySettled as error:
        return await _listed(visit, error)
    return go(f"/ui/approvals?done={quoted(settled.state)}")


def pretty_arguments(shown: str) -> str:
    """Labelled arguments with one member on a line; as they are where they were cut."""
    try:
        return json.dumps(json.loads(shown), indent=2, ensure_ascii=False)
    except (ValueError, RecursionError):
        return shown


def _mark(found: Page[Approval]) -> str:
    return ",".join(each.id for each in found.items)
