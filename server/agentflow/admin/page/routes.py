"""The page's addresses, all under /ui: what each shows or does, and who finds it in the menu."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from agentflow.admin.action import Action, rule_of
from agentflow.admin.actions import approvals as approvals_actions
from agentflow.admin.actions import audit as audit_actions
from agentflow.admin.actions import credentials as credentials_actions
from agentflow.admin.actions import keys as keys_actions
from agentflow.admin.actions import live, status
from agentflow.admin.actions import policies as policies_actions
from agentflow.admin.actions import quarantine as quarantine_actions
from agentflow.admin.actions import servers as servers_actions
from agentflow.admin.caller import Caller
from agentflow.admin.page.render import STATIC, static_file
from agentflow.admin.page.sessions import Sessions
from agentflow.admin.page.views import (
    approvals,
    audit,
    credentials,
    editor,
    keys,
    overview,
    policies,
    quarantine,
    servers,
)
from agentflow.admin.page.views.entrance import Entrance
from agentflow.admin.page.visits import BUNDLE, FORM, HEADERS, Desk, View
from agentflow.gateway.service import Service

Endpoint = Callable[[Request], Awaitable[Response]]

# Address, title, and the action that somebody who sees it may do.
_MENU: Final[tuple[tuple[str, str, Action[..., object]], ...]] = (
    ("/ui", "Overview", status.overview),
    ("/ui/calls", "Live calls", live.newest),
    ("/ui/approvals", "Approvals", approvals_actions.listed),
    ("/ui/quarantine", "Quarantine", quarantine_actions.listed),
    ("/ui/servers", "Servers", servers_actions.listed),
    ("/ui/policies", "Policies", policies_actions.current),
    ("/ui/keys", "API keys", keys_actions.listed),
    ("/ui/credentials", "Credentials", credentials_actions.listed),
    ("/ui/audit", "Audit", audit_actions.search),
)


def sessions_of(service: Service) -> Sessions:
    """The page's sessions in the store of a gateway."""
    return Sessions(service.store, lambda headers: service.authenticator.authenticate(headers))


def menu(who: Caller) -> tuple[tuple[str, str], ...]:
    """The pages that a caller may see."""
    return tuple((path, title) for path, title, action in _MENU if who.may(rule_of(action)))


def routes(service: Service, sessions: Sessions) -> list[BaseRoute]:
    """Every route of the page."""
    desk = Desk(service, sessions, menu)
    door = Entrance(desk)

    def get(path: str, view: View, *, by_itself: bool = False) -> Route:
        return Route(f"/ui{path}", desk.shown(view, by_itself=by_itself), methods=["GET"])

    def post(path: str, view: View, *, bound: int = FORM) -> Route:
        return Route(f"/ui{path}", desk.done(view, bound=bound), methods=["POST"])

    return [
        Route("/ui/static/{name}", _static, methods=["GET"]),
        Route("/ui/sign-in", desk.open(door.sign_in), methods=["GET", "POST"]),
        post("/sign-out", door.sign_out),
        get("", overview.overview),
        Route("/ui/", _to_first, methods=["GET"]),
        get("/figures", overview.figures, by_itself=True),
        get("/calls", overview.calls),
        get("/calls/new", overview.new_calls, by_itself=True),
        get("/approvals", approvals.listed),
        get("/approvals/waiting", approvals.waiting, by_itself=True),
        get("/approvals/{id}", approvals.show),
        post("/approvals/{id}", approvals.vote),
        get("/quarantine", quarantine.listed),
        get("/quarantine/{id}", quarantine.show),
        post("/quarantine/{id}", quarantine.decide),
        get("/servers", servers.listed),
        post("/servers", servers.add),
        get("/servers/{name:path}", servers.show),
        post("/servers/{name:path}", servers.change),
        get("/policies", policies.listed),
        post("/policies", policies.upload, bound=BUNDLE),
        get("/policies/edit", editor.edit),
        post("/policies/draft", editor.work, bound=BUNDLE),
        post("/policies/roll-back", policies.roll_back),
        get("/policies/replays/{id}", policies.replayed, by_itself=True),
        get("/policies/{revision}", policies.show),
        post("/policies/{revision}", policies.change),
        get("/policies/{revision}/bundle.tar.gz", policies.archive),
        get("/keys", keys.listed),
        post("/keys", keys.create),
        get("/keys/{id}", keys.show),
        post("/keys/{id}", keys.change),
        get("/credentials", credentials.listed),
        post("/credentials", credentials.revoke),
        get("/audit", audit.search),
        post("/audit/verify", audit.verify),
        get("/audit/{id}", audit.record),
        Route("/ui/{rest:path}", desk.open(_missing), methods=["GET", "POST"]),
    ]


async def _static(request: Request) -> Response:
    """A file of ours; its address changes with it, so a browser keeps it."""
    name = request.path_params["name"]
    if name not in STATIC:
        return Response(status_code=404, headers=HEADERS)
    kept = {"cache-control": "public, max-age=31536000, immutable"} if "v" in request.query_params else {}
    return Response(static_file(name), headers={**HEADERS, **kept, "content-type": STATIC[name]})


async def _to_first(request: Request) -> Response:
    return RedirectResponse("/ui", 308, headers=HEADERS)


async def _missing(request: Request, form: object) -> Response:
    from agentflow.errors import NotFound

    raise NotFound("There is no such page", fix="Start from the overview")
