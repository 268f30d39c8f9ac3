"""Policies: the one in force, those that were uploaded, and what one of them would change."""

from __future__ import annotations

import time

from starlette.responses import Response

from agentflow.admin.actions import policies, replays
from agentflow.admin.governed import Replay, ReplayWish
from agentflow.admin.page.visits import Visit, go, quoted, status_of
from agentflow.errors import AgentFlowError, InvalidArguments, NotFound

_PAGE = 50
_PERIODS = {"hour": 3_600.0, "day": 86_400.0, "week": 604_800.0, "month": 2_592_000.0}
_PATIENCE = 5.0  # seconds that a page waits for a replay
_SAID = {
    "activated": "The bundle is in force.",
    "rolled_back": "The former policy is in force.",
    "kept": "The bundle is kept. It decides nothing until you activate it.",
}


async def listed(visit: Visit) -> Response:
    """What is in force, what could be, and what was."""
    return await _listed(visit)


async def _listed(visit: Visit, problem: AgentFlowError | None = None) -> Response:
    service, who = visit.service, visit.caller
    return visit.show(
        "policies.html",
        status_of(problem) if problem else 200,
        current=await policies.current(service, who),
        found=await policies.listed(service, who, _PAGE, visit.asked("cursor") or None),
        history=await policies.history(service, who, 20),
        may_change=visit.may(policies.activate),
        problem=problem,
        said="" if problem else _SAID.get(visit.asked("done"), ""),
    )


async def show(visit: Visit) -> Response:
    """One bundle: how it differs from the one in force, and what it would have decided otherwise."""
    return await _shown(visit, visit.request.path_params["revision"])


async def _shown(visit: Visit, revision: str, problem: AgentFlowError | None = None) -> Response:
    service, who = visit.service, visit.caller
    current = await policies.current(service, who)
    files = await policies.files(service, who, revision)
    replay = None
    if visit.asked("replay"):
        replay = await _replay(visit, visit.asked("replay", 64))
    return visit.show(
        "policy.html",
        status_of(problem) if problem else 200,
        current=current,
        files=files,
        diff=await policies.diff(service, who, revision),
        replay=replay,
        may_change=visit.may(policies.activate),
        in_force=files.revision == current.revision,
        problem=problem,
        said="" if problem else _SAID.get(visit.asked("done"), ""),
    )


async def change(visit: Visit) -> Response:
    """Put a bundle in force, or try it on recorded calls."""
    revision, deed = visit.request.path_params["revision"], visit.form.text("do")
    try:
        if deed == "activate":
            await policies.activate(visit.service, visit.caller, revision, _expected(visit))
            return go("/ui/policies?done=activated")
        if deed == "replay":
            wanted = visit.form.text("period")
            if wanted not in _PERIODS:
                raise InvalidArguments("Choose the last hour, day, week or month")
            wish = ReplayWish(since=time.time() - _PERIODS[wanted])
            found = await replays.begin(visit.service, visit.caller, revision, wish, _PATIENCE)
            return go(f"/ui/policies/{quoted(revision)}?replay={found.id}#replay")
        raise InvalidArguments("This cannot be done with a policy", fix="Use the buttons on its page")
    except NotFound:
        raise
    except AgentFlowError as error:
        return await _shown(visit, revision, error)


async def replayed(visit: Visit) -> Response:
    """How far a replay is: asked by the page itself."""
    return visit.show("replay.html", replay=await _replay(visit, visit.request.path_params["id"]))


async def roll_back(visit: Visit) -> Response:
    """Put in force what was before, or what the configuration file names."""
    to_file = visit.form.text("do") == "to_file"
    try:
        await policies.roll_back(visit.service, visit.caller, to_file, _expected(visit))
    except AgentFlowError as error:
        return await _listed(visit, error)
    return go("/ui/policies?done=rolled_back")


async def upload(visit: Visit) -> Response:
    """Keep a bundle that comes as an archive."""
    body = visit.form.files.get("bundle", b"")
    try:
        if not body:
            raise InvalidArguments("Choose a bundle.tar.gz", fix="`agentflow policy build` makes one")
        kept = await policies.upload(visit.service, visit.caller, body, visit.form.text("note", 500))
    except AgentFlowError as error:
        return await _listed(visit, error)
    return go(f"/ui/policies/{quoted(kept.revision)}?done=kept")


async def archive(visit: Visit) -> Response:
    """A bundle as a file that OPA loads, too."""
    revision = visit.request.path_params["revision"]
    body = await policies.archive(visit.service, visit.caller, revision)
    named = {"content-disposition": 'attachment; filename="bundle.tar.gz"'}
    return Response(body, media_type="application/gzip", headers=named)


async def _replay(visit: Visit, number: str) -> Replay:
    return await replays.show(visit.service, visit.caller, number)


def _expected(visit: Visit) -> int | None:
    """The number of the choice that the page showed as the one in force."""
    shown = visit.form.text("expected", 20)
    return int(shown) if shown.isascii() and shown.isdigit() else None
