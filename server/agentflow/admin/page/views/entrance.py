"""Signing in and out."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from agentflow.admin.page import sessions as cookies
from agentflow.admin.page.visits import Desk, Form, Visit, go, html, ours, status_of
from agentflow.audit.events import Event
from agentflow.errors import AgentFlowError, Forbidden, LimitExceeded, Unauthenticated


class Entrance:
    """The door of a desk."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def sign_in(self, request: Request, form: Form) -> Response:
        """The form to sign in with, and its answer: a new session, and the page that was asked for."""
        if request.method != "POST":
            return self._form(request, request.query_params.get("next", ""))
        wanted = form.text("next", 2_000)
        try:
            cookies.check_transport(request)
            credential = "" if form.texts.get("as") == "local" else form.text("key", 10_000).strip()
            if not credential and form.texts.get("as") != "local":
                raise Unauthenticated("Paste an API key or a token", fix="An administrator makes you one")
            cookie, session = await self._desk.sessions.begin(
                credential,
                request.client.host if request.client else "",
                request.cookies.get(cookies.cookie_name(request), ""),
            )
        except (Unauthenticated, Forbidden, LimitExceeded) as error:
            if isinstance(error, Unauthenticated):  # the others are not slowed down, and would fill the log
                self._record("sign_in", "", error.kind)
            answer = self._form(request, wanted, error)
            if isinstance(error, LimitExceeded):
                answer.headers["retry-after"] = str(error.data.get("retry_after", 10))
            return answer
        who = session.principal
        try:
            self._record("sign_in", f"{who.tenant}/{who.id}", "ok")
        except AgentFlowError:
            await self._desk.sessions.end(session)
            raise
        answer = go(ours(wanted))
        answer.headers["set-cookie"] = cookies.set_cookie(request, cookie)
        return answer

    async def sign_out(self, visit: Visit) -> Response:
        """End the session, or every one of the caller's."""
        who = visit.session.principal
        everywhere = visit.form.texts.get("where") == "everywhere"
        if everywhere:
            await visit.sessions.end_all(who)
        else:
            await visit.sessions.end(visit.session)
        self._record("sign_out_everywhere" if everywhere else "sign_out", f"{who.tenant}/{who.id}", "ok")
        answer = go("/ui/sign-in?said=out")
        answer.headers["set-cookie"] = cookies.set_cookie(visit.request, "")
        answer.headers["clear-site-data"] = '"cache", "storage"'
        return answer

    def _form(self, request: Request, wanted: str, problem: AgentFlowError | None = None) -> Response:
        authenticator = self._desk.service.authenticator
        context = {
            "problem": problem,
            "wanted": ours(wanted),
            "local": None if authenticator.asks else authenticator.local(),
            "said": "You are signed out." if request.query_params.get("said") == "out" and not problem else "",
        }
        return html("sign_in.html", context, status_of(problem) if problem else 200)

    def _record(self, event: str, by: str, outcome: str) -> None:
        tenant = by.partition("/")[0]
        self._desk.service.record(Event("admin", event, by, tenant, "page", outcome))
