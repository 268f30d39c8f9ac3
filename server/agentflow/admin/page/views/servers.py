"""The servers behind the gateway."""

from __future__ import annotations

from starlette.responses import Response

from agentflow.admin.actions import servers
from agentflow.admin.models import NewServer
from agentflow.admin.page.visits import Visit, go, problems_of, quoted, status_of
from agentflow.errors import AgentFlowError, InvalidArguments

_PAGE = 200
_DEEDS = {
    "reconnect": (servers.reconnect, "is being connected anew"),
    "disable": (servers.disable, "is switched off"),
    "enable": (servers.enable, "is switched on"),
}


async def listed(visit: Visit) -> Response:
    """All of them, and a form for another one."""
    return await _listed(visit)


async def _listed(visit: Visit, problem: AgentFlowError | None = None) -> Response:
    found = await servers.listed(visit.service, visit.caller, _PAGE, visit.asked("cursor") or None)
    said = {"removed": "The server is removed."}.get(visit.asked("done"), "")
    return visit.show(
        "servers.html",
        status_of(problem) if problem else 200,
        found=found,
        said="" if problem else said,
        problem=problem,
        may_add=visit.may(servers.add),
        entered=visit.form.texts,
    )


async def show(visit: Visit) -> Response:
    """One of them."""
    name = visit.request.path_params["name"]
    found = await servers.show(visit.service, visit.caller, name)
    done = _DEEDS.get(visit.asked("done"))
    said = f"{name} {done[1]}." if done else "The server is added." if visit.asked("done") == "added" else ""
    may = {deed: visit.may(action) for deed, (action, _) in _DEEDS.items()}
    return visit.show("server.html", server=found, said=said, may={**may, "remove": visit.may(servers.remove)})


async def change(visit: Visit) -> Response:
    """Do something with one of them."""
    name, deed = visit.request.path_params["name"], visit.form.text("do")
    if deed == "remove":
        await servers.remove(visit.service, visit.caller, name)
        return go("/ui/servers?done=removed")
    if deed not in _DEEDS:
        raise InvalidArguments("This cannot be done with a server", fix="Use the buttons on its page")
    await _DEEDS[deed][0](visit.service, visit.caller, name)
    return go(f"/ui/servers/{quoted(name)}?done={deed}")


async def add(visit: Visit) -> Response:
    """Add one."""
    fields = {name: visit.form.text(name, 4_000).strip() for name in ("name", "url", "type", "sensitivity")}
    try:
        with problems_of("This is no server"):
            wish = NewServer.model_validate({name: text for name, text in fields.items() if text})
        await servers.add(visit.service, visit.caller, wish)
    except AgentFlowError as error:
        return await _listed(visit, error)
    return go(f"/ui/servers/{quoted(wish.name)}?done=added")
