"""A route of the REST interface: what it takes, what it does, what it answers. Its rule is its action's.

From the same object come the route, the check of what is sent and the description in the OpenAPI document, so that
none of them can say something else than another.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, Final

import orjson
from pydantic import BaseModel, TypeAdapter, ValidationError
from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from agentflow.admin.action import rule_of
from agentflow.admin.api import problems
from agentflow.admin.api.problems import Refused
from agentflow.admin.caller import Caller, Rule, Sessions, caller_of
from agentflow.errors import AgentFlowError, Conflict, InvalidArguments, NotFound, ParseError, Unauthenticated
from agentflow.gateway.front import PRINCIPAL
from agentflow.gateway.refusals import REFUSAL
from agentflow.gateway.service import Service
from agentflow.identity.resource import ProtectedResource

log = logging.getLogger(__name__)

JSON_MEDIA: Final = "application/json"
STREAM: Final = "text/event-stream"
Answer = Callable[["Asked", Any], Response]


@dataclass(frozen=True)
class Asked:
    """A request, checked: `query` and `body` are of the operation's models, `raw` is the body as sent."""

    service: Service
    caller: Caller
    request: Request
    path: Mapping[str, str]
    query: Any
    body: Any
    raw: bytes


def _nothing(_: Asked) -> tuple[Any, ...]:
    return ()


@dataclass(frozen=True)
class Operation:
    """One method on one path.

    Attributes:
        path: below /api/v1, with `{names}`.
        action: what is done; its docstring is the description, its rule the rule.
        args: what of the request the action gets.
        result: what is answered: a type that pydantic knows, or None for an empty answer.
        media: of the answer.
        takes: media types that a body may have beside JSON.
        bare: whether the body may be left out.
        answer: makes the response where it is not `result` in JSON.
        matched: whether `If-Match` says what is to be replaced (RFC 9110, 13.1.1).
    """

    method: str
    path: str
    name: str
    tag: str
    action: Callable[..., Awaitable[Any]]
    args: Callable[[Asked], Sequence[Any]] = _nothing
    query: type[BaseModel] | None = None
    body: type[BaseModel] | None = None
    result: Any = None
    status: int = 200
    media: str = JSON_MEDIA
    takes: tuple[str, ...] = ()
    bare: bool = False
    answer: Answer | None = None
    matched: bool = False

    @property
    def rule(self) -> Rule:
        """Who may."""
        return rule_of(self.action)

    async def serve(self, service: Service, sessions: Sessions | None, request: Request) -> Response:
        """Answer a request.

        Raises:
            AgentFlowError: it is refused.
        """
        caller = await caller_of(request, service, sessions)
        request.scope[PRINCIPAL] = caller.principal
        if not caller.may(self.rule):
            await self.action(service, caller)  # refuses, and records that it did
        raw = await request.body() if request.method not in ("GET", "HEAD") else b""
        query = None if self.query is None else _checked(self.query, _of_query(self.query, request.query_params))
        if self.query is None and request.query_params:
            raise InvalidArguments("This takes no query parameters")
        if not all(part.isprintable() for part in request.path_params.values()):
            raise NotFound("There is nothing of that name")
        if any("\0" in text for _, text in request.query_params.multi_items()):
            raise InvalidArguments("A query parameter holds a NUL")  # which PostgreSQL knows no text with
        asked = Asked(service, caller, request, request.path_params, query, self._body(request, raw), raw)
        try:
            found = await self.action(service, caller, *self.args(asked))
        except Conflict as error:
            if "if-match" not in request.headers:
                raise
            raise Refused("precondition_failed", error.message, fix=error.fix) from None
        if self.answer is not None:
            return self.answer(asked, found)
        if self.result is None:
            return Response(status_code=204)
        return Response(dumped(self.result, found), self.status, media_type=self.media)

    def _body(self, request: Request, raw: bytes) -> Any:
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if self.body is None and not self.takes:
            if raw.strip():
                raise InvalidArguments("This takes no body")
            return None
        if self.body is not None and self.bare and not raw.strip():
            return self.body()
        if kind in self.takes:
            return None
        if self.body is None or kind != JSON_MEDIA:
            allowed = ", ".join((*((JSON_MEDIA,) if self.body else ()), *self.takes))
            raise Refused("unsupported_media_type", f"The Content-Type must be {allowed}")
        try:
            told = orjson.loads(raw)
        except orjson.JSONDecodeError as error:
            raise ParseError(f"The body is not JSON: {error.msg} at character {error.pos}") from None
        return _checked(self.body, told)


class Resource:
    """The operations on one path, as an ASGI application.

    Args:
        turn: entered while a request is worked on, so that only so many are at once.
    """

    def __init__(
        self,
        service: Service,
        sessions: Sessions | None,
        operations: Sequence[Operation],
        turn: AbstractAsyncContextManager[None],
    ) -> None:
        self._service = service
        self._sessions = sessions
        self._operations = {operation.method: operation for operation in operations}
        self._turn = turn

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        try:
            response = await self._answer(request)
        except AgentFlowError as error:
            response = refused(error, request, self._service)
        except Exception as error:
            log.exception("the administration failed: %s", type(error).__name__)
            response = problems.answer(error)
        await response(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        method = "GET" if request.method == "HEAD" else request.method
        operation = self._operations.get(method)
        if operation is not None and (request.method == "GET" or operation.media != STREAM):
            async with self._turn:
                return await operation.serve(self._service, self._sessions, request)
        allowed = ", ".join(sorted({*self._operations, *(("HEAD",) if "GET" in self._operations else ())}))
        response = problems.answer(Refused("method_not_allowed", f"This takes {allowed}"))
        response.headers["allow"] = allowed
        return response


def refused(error: AgentFlowError, request: Request, service: Service) -> Response:
    """The answer to a refusal; whoever is not known is told how to become so (RFC 6750, RFC 9728)."""
    response = problems.answer(error)
    if isinstance(error, Unauthenticated):
        request.scope[REFUSAL] = error.reason
        if response.status_code < 500:
            resource = ProtectedResource(service.config.serve)
            host = request.headers.get("host", "")
            challenge = resource.challenge(error, service.authenticator, request.url.scheme, host)
            response.headers["www-authenticate"] = challenge.decode("ascii")
    return response


def dumped(kind: Any, value: Any) -> bytes:
    """What an action gave, in JSON."""
    return TypeAdapter(kind).dump_json(value)


def _of_query(model: type[BaseModel], given: QueryParams) -> dict[str, Any]:
    told: dict[str, Any] = {}
    for name in given:
        values = given.getlist(name)
        field = model.model_fields.get(name)
        if field is not None and "list" in str(field.annotation):
            told[name] = values
        elif len(values) > 1:
            raise InvalidArguments(f"`{name}` is given more than once")
        else:
            told[name] = values[0]
    return told


def _checked(model: type[BaseModel], told: Any) -> BaseModel:
    try:
        return model.model_validate(told)
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False, include_context=False)
        told = [f"{'.'.join(map(str, each['loc'])) or 'the body'}: {each['msg']}" for each in found[:20]]
        raise InvalidArguments("What was sent does not fit: " + "; ".join(told)[:500], problems=told) from None
