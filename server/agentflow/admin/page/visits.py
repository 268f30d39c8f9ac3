"""One visit to the page: who it is, whether it may be believed, and how the answer leaves.

Nothing is shown without a session but the way to sign in. Nothing is changed unless the request comes from a page of
ours (`Sec-Fetch-Site`, `Origin`) and carries the token of its session. Every answer has the headers that keep other
sites and what we show out of each other: a strict content security policy, no framing, no caching, no sniffing.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, Final
from urllib.parse import quote, urlsplit

from pydantic import ValidationError
from starlette.datastructures import FormData, UploadFile
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from agentflow.admin.action import rule_of
from agentflow.admin.actions import approvals
from agentflow.admin.caller import Caller, caller
from agentflow.admin.page import sessions as cookies
from agentflow.admin.page.render import render
from agentflow.admin.page.sessions import Session, Sessions
from agentflow.errors import (
    AgentFlowError,
    AuditUnavailable,
    Conflict,
    Forbidden,
    IdentityUnavailable,
    InvalidArguments,
    LimitExceeded,
    NotFound,
    StoreUnavailable,
    Unauthenticated,
    VaultUnavailable,
)
from agentflow.gateway.service import Service

log = logging.getLogger(__name__)

HEADERS: Final = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    ),
    "x-content-type-options": "nosniff",
    # Not `no-referrer`: under that browsers send `Origin: null` with our own forms (Fetch, "serializing a request
    # origin"), and nothing would be left to tell them from a stranger's.
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "x-frame-options": "DENY",
    "permissions-policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "cache-control": "no-store",
}
FORM: Final = 256 * 1024  # bytes of an ordinary form
BUNDLE: Final = 16 * 1024 * 1024  # bytes of a form with a bundle in it; the gateway's own limit may be lower
_FIELDS: Final = 1_100
_READ: Final = 30.0  # seconds in which a form has to arrive
_OURS: Final = re.compile(r"/ui(?:/[A-Za-z0-9._~\-/]*)?(?:\?[A-Za-z0-9._~\-/=&%+:,]*)?")
_STATUS: Final[tuple[tuple[type[AgentFlowError], int], ...]] = (
    (IdentityUnavailable, 503),
    (Unauthenticated, 401),
    (Forbidden, 403),
    (NotFound, 404),
    (Conflict, 409),
    (LimitExceeded, 429),
    (StoreUnavailable, 503),
    (AuditUnavailable, 503),
    (VaultUnavailable, 503),
)


@dataclass(frozen=True, slots=True)
class Form:
    """The fields of a form: texts, with a browser's line ends as everybody's, and files."""

    texts: dict[str, str] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)

    def text(self, name: str, longest: int = 1_000) -> str:
        """A field, "" where there is none.

        Raises:
            LimitExceeded: it is too long.
        """
        value = self.texts.get(name, "")
        if len(value) > longest:
            raise LimitExceeded(f"The field {name} is longer than {longest:,} characters", fix="Shorten it")
        return value


@dataclass(frozen=True, slots=True)
class Visit:
    """A request of somebody signed in.

    Attributes:
        menu: the pages that the caller may see: address and title.
        waiting: calls that wait for the caller's vote.
    """

    request: Request
    service: Service
    sessions: Sessions
    session: Session
    caller: Caller
    menu: tuple[tuple[str, str], ...] = ()
    form: Form = Form()
    waiting: int = 0

    def asked(self, name: str, longest: int = 500) -> str:
        """A parameter of the address, "" where there is none; cut."""
        return self.request.query_params.get(name, "")[:longest].replace("\0", "").strip()

    def may(self, action: Callable[..., Any]) -> bool:
        """Whether the caller may do this."""
        return self.caller.may(rule_of(action))

    def show(self, template: str, code: int = 200, /, **data: Any) -> Response:
        """A page, or a part of one."""
        path = self.request.url.path
        base = {"visit": self, "csrf": self.session.csrf, "here": path, "menu": self.menu, "said": "", "problem": None}
        return html(template, {**base, **data}, code)


View = Callable[[Visit], Awaitable[Response]]
Menu = Callable[[Caller], tuple[tuple[str, str], ...]]


class Desk:
    """Lets visits in.

    Args:
        menu: the pages that a caller may see.
    """

    def __init__(self, service: Service, sessions: Sessions, menu: Menu) -> None:
        self.service, self.sessions, self._menu = service, sessions, menu

    async def visit(self, request: Request, *, use: bool = True) -> Visit | None:
        """The visit of somebody signed in; None of a stranger."""
        session = await self.sessions.find(request, use=use)
        if session is None:
            return None
        who = caller(self.service, session.principal, "session")
        visit = Visit(request, self.service, self.sessions, session, who, self._menu(who))
        if not use:  # a part of a page, without the menu
            return visit
        with contextlib.suppress(AgentFlowError):  # what the page is about may be had all the same
            visit = replace(visit, waiting=await approvals.waiting(self.service, who))
        return visit

    def shown(self, view: View, *, by_itself: bool = False) -> Callable[[Request], Awaitable[Response]]:
        """The endpoint of a view that only shows.

        Args:
            by_itself: a page asks for it every few seconds: that is no use of the session.
        """

        async def endpoint(request: Request) -> Response:
            async def work() -> Response:
                visit = await self.visit(request, use=not by_itself)
                return _to_sign_in(request) if visit is None else await _answered(visit, view)

            return await _guarded(request, work)

        return endpoint

    def done(self, view: View, *, bound: int = FORM) -> Callable[[Request], Awaitable[Response]]:
        """The endpoint of a view that changes something, or works long.

        Args:
            bound: bytes of the form.
        """

        async def endpoint(request: Request) -> Response:
            async def work() -> Response:
                check_origin(request)
                visit = await self.visit(request)
                if visit is None:
                    return _to_sign_in(request)
                form = await read_form(request, bound)
                token = request.headers.get("x-csrf-token") or form.texts.get("csrf", "")
                if not cookies.same(token, visit.session.csrf):
                    raise Forbidden("This form is not of your session", fix="Reload the page, and send it again")
                return await _answered(replace(visit, form=form), view)

            return await _guarded(request, work)

        return endpoint

    def open(self, view: Callable[[Request, Form], Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
        """The endpoint of a view that needs no session; a POST has to come from a page of ours all the same."""

        async def endpoint(request: Request) -> Response:
            async def work() -> Response:
                form = Form()
                if request.method == "POST":
                    check_origin(request)
                    form = await read_form(request, FORM)
                return await view(request, form)

            return await _guarded(request, work)

        return endpoint


async def _answered(visit: Visit, view: View) -> Response:
    """What a view answers; what it refuses is said on a page."""
    try:
        return await view(visit)
    except AgentFlowError as error:
        return visit.show("problem.html", status_of(error), title=title_of(error), problem=error)


async def _guarded(request: Request, work: Callable[[], Awaitable[Response]]) -> Response:
    try:
        answer = await work()
    except AgentFlowError as error:
        answer = html("stranger.html", {"title": title_of(error), "problem": error}, status_of(error))
        if isinstance(error, LimitExceeded) and "retry_after" in error.data:
            answer.headers["retry-after"] = str(error.data["retry_after"])
    except ClientDisconnect:
        answer = Response(status_code=400)
    except Exception as error:  # its text may hold a value that nobody may see
        log.exception("the page failed: %s", type(error).__name__)
        failed = AgentFlowError("Something went wrong in the gateway", fix="Its log says what")
        answer = html("stranger.html", {"title": "Internal error", "problem": failed}, 500)
    for name, value in HEADERS.items():
        answer.headers.setdefault(name, value)
    return answer


def html(template: str, context: dict[str, Any], status: int = 200) -> Response:
    """A page without a visit behind it."""
    return Response(render(template, context), status, media_type="text/html; charset=utf-8")


def go(path: str) -> Response:
    """Send the browser to another page of ours, to be asked for with GET."""
    return Response(status_code=303, headers={"location": path})


def ours(path: str) -> str:
    """The path of a page of ours as it was asked for, or that of the first page for anything else."""
    return path if _OURS.fullmatch(path) and "//" not in path and ".." not in path else "/ui"


def quoted(name: str) -> str:
    """A name as one part of a path."""
    return quote(name, safe="")


@contextlib.contextmanager
def problems_of(what: str) -> Iterator[None]:
    """Say of fields that do not fit which ones, and how, without quoting them.

    Raises:
        InvalidArguments: some do not.
    """
    try:
        yield
    except ValidationError as error:
        found = [f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors()[:20]]
        raise InvalidArguments(what, fix="Change what is named below", problems=found) from None


def status_of(error: AgentFlowError) -> int:
    """The HTTP status that an error goes with."""
    return next((status for kind, status in _STATUS if isinstance(error, kind)), 422)


def title_of(error: AgentFlowError) -> str:
    """What kind of error it is, for a person."""
    return error.kind.replace("_", " ").capitalize()


def check_origin(request: Request) -> None:
    """Refuse what another site had the browser send.

    Raises:
        Forbidden: it comes from elsewhere, or says nothing of where it comes from.
    """
    site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
    good = site == "same-origin" if site is not None else origin is not None
    if good and origin is not None:
        good = urlsplit(origin).netloc.lower() == request.headers.get("host", "").lower()
    if not good:
        raise Forbidden("This request does not come from a page of this gateway", fix="Send it from the page under /ui")


async def read_form(request: Request, bound: int) -> Form:
    """The form in a request.

    Raises:
        LimitExceeded: it is too large, or takes too long to arrive.
        AgentFlowError: it is no form.
    """
    try:
        async with asyncio.timeout(_READ):
            body = await _body(request, bound)
    except TimeoutError:
        raise LimitExceeded("The form took too long to arrive", fix="Try again") from None

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    try:
        data = await Request(request.scope, receive).form(
            max_files=4, max_fields=_FIELDS, max_part_size=max(bound, 1024)
        )
    except Exception as error:  # starlette and its parser have several, and none is anybody's secret
        raise AgentFlowError("This is no form", fix="Send it from the page under /ui") from error
    return await _form(data)


async def _form(data: FormData) -> Form:
    form = Form()
    for name, value in data.multi_items():
        if isinstance(value, UploadFile):
            form.files[name] = await value.read()
        else:
            form.texts[name] = value.replace("\r\n", "\n").replace("\r", "\n").replace("\0", "")
    await data.close()
    return form


async def _body(request: Request, bound: int) -> bytes:
    chunks, size = [], 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > bound:
            raise LimitExceeded(f"The form is larger than {bound:,} bytes", fix="Send less at once")
        chunks.append(chunk)
    return b"".join(chunks)


def _to_sign_in(request: Request) -> Response:
    path = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    if request.headers.get("hx-request") == "true":
        return Response(status_code=401, headers={"hx-redirect": "/ui/sign-in"})
    follow = f"?next={path}" if request.method == "GET" and ours(path) == path and path != "/ui" else ""
    return go(f"/ui/sign-in{follow.replace('&', '%26').replace('+', '%2B')}")
