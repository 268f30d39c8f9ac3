"""The whole administration as one ASGI application: REST below /api/v1, the page below /ui.

It is given requests whose Host, Origin, size and read time were checked already, and decides itself who calls.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

import orjson
from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route, Router
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from agentflow.admin.api import problems
from agentflow.admin.api.document import BASE, document
from agentflow.admin.api.operation import JSON_MEDIA, Operation, Resource, refused
from agentflow.admin.api.problems import Refused
from agentflow.admin.api.routes import OPERATIONS
from agentflow.admin.caller import Sessions, caller_of
from agentflow.errors import AgentFlowError
from agentflow.gateway.aside import HEADERS
from agentflow.gateway.front import PRINCIPAL
from agentflow.gateway.service import Service

_AT_ONCE: Final = 16  # requests worked on; the threads that they wait in are the calls' as well
_DOCUMENT: Final = f"{BASE}/openapi.json"


def build(service: Service) -> ASGIApp:
    """The application of one gateway."""
    try:
        from agentflow.admin.page.routes import routes, sessions_of
    except ModuleNotFoundError as error:
        if error.name not in ("jinja2", "markupsafe"):
            raise
        return _Dressed(Router([*api(service, None), Route("/ui{rest:path}", _pageless)], default=_unknown))
    sessions = sessions_of(service)
    whole = [*api(service, sessions), *routes(service, sessions)]
    return _Dressed(Router(whole, redirect_slashes=False, default=_unknown))


def api(service: Service, sessions: Sessions | None, operations: Sequence[Operation] = OPERATIONS) -> list[BaseRoute]:
    """The routes of the REST interface.

    Args:
        sessions: the page's, whose callers may use it too.
    """
    turn = asyncio.Semaphore(_AT_ONCE)
    paths: dict[str, list[Operation]] = {}
    for operation in operations:
        paths.setdefault(operation.path, []).append(operation)
    found: list[BaseRoute] = [
        Route(BASE + path, Resource(service, sessions, ways, turn)) for path, ways in paths.items()
    ]
    return [Route(_DOCUMENT, _Described(service, sessions, operations)), *found]


class _Dressed:
    """The application, no answer of which goes without the headers that keep other sites out."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def dressed(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        await self._app(scope, receive, dressed)


class _Described:
    """The OpenAPI document, for everybody that is known."""

    def __init__(self, service: Service, sessions: Sessions | None, operations: Sequence[Operation]) -> None:
        self._service = service
        self._sessions = sessions
        self._body = orjson.dumps(document(operations))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        try:
            if request.method not in ("GET", "HEAD"):
                raise Refused("method_not_allowed", "This takes GET, HEAD")
            caller = await caller_of(request, self._service, self._sessions)
            scope[PRINCIPAL] = caller.principal
            response = Response(self._body, media_type=JSON_MEDIA)
        except AgentFlowError as error:
            response = refused(error, request, self._service)
            if response.status_code == 405:
                response.headers["allow"] = "GET, HEAD"
        await response(scope, receive, send)


async def _pageless(request: Request) -> Response:
    """Say what the page needs."""
    return Response("The page needs: pip install 'agentflow-gateway[admin]'\n", 501, media_type="text/plain")


async def _unknown(scope: Scope, receive: Receive, send: Send) -> None:
    response = problems.answer(Refused("not_found", "There is nothing here", fix=f"{_DOCUMENT} lists every route"))
    await response(scope, receive, send)
