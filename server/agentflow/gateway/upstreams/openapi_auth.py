"""How requests to an HTTP API are authorised where its entry has `auth`: by whom the call is for.

Each principal has sockets of its own and what it presents goes with its requests only; no cookie is kept, since the
client that keeps them is everybody's. A credential goes to the server it is for and to no other, whatever the API's
document says where its operations are. A 401 is answered once with a renewed credential: the API processed nothing
(RFC 9110, section 15.5.2).
"""

from __future__ import annotations

import time
from collections import OrderedDict
from typing import Final

import httpx2

from agentflow.errors import UpstreamUnavailable
from agentflow.identity.downstream import Headers, Source, origin
from agentflow.identity.subject import ACTING

_MOST: Final = 256  # principals whose sockets are kept, unless more are at it
_IDLE: Final = 600.0  # seconds without a request


class Authorising(httpx2.AsyncBaseTransport):
    """Sends each request for the principal in `ACTING`; "" is the gateway itself, which presents nothing here."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._transports: OrderedDict[str, tuple[httpx2.AsyncHTTPTransport, float]] = OrderedDict()

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        if origin(str(request.url)) != origin(self._source.url):
            what = f"{self._source.name}: its document says that it is somewhere else than its entry does"
            raise UpstreamUnavailable(what, fix="set `base_url`", sent=False)
        principal = ACTING.get() if self._source.personal else ""
        if self._source.personal and not principal:
            return _without_cookies(await (await self._of("")).handle_async_request(request))
        presented = self._source.of(principal)
        headers = await presented.headers()
        response = await (await self._of(principal)).handle_async_request(_carrying(request, headers))
        if response.status_code == 401:
            await response.aclose()
            challenge = response.headers.get("www-authenticate", "")
            headers = await presented.again(headers, challenge)
            response = await (await self._of(principal)).handle_async_request(_carrying(request, headers))
        if response.status_code in (401, 403):
            error = presented.rejected(response.status_code, response.headers.get("www-authenticate", ""))
            if error is not None:
                await response.aclose()
                raise error
        return _without_cookies(response)

    async def _of(self, principal: str) -> httpx2.AsyncHTTPTransport:
        now = time.monotonic()
        known = self._transports.pop(principal) if principal in self._transports else None
        transport = known[0] if known else httpx2.AsyncHTTPTransport()
        self._transports[principal] = transport, now
        if len(self._transports) > _MOST:
            oldest, (unused, since) = next(iter(self._transports.items()))
            if now - since > _IDLE:  # so that nothing can be under way on it
                del self._transports[oldest]
                await unused.aclose()
        return transport

    async def aclose(self) -> None:
        for transport, _ in self._transports.values():
            await transport.aclose()
        await self._source.close()


def _carrying(request: httpx2.Request, headers: Headers) -> httpx2.Request:
    for name, value in headers.items():
        request.headers[name] = value
    return request


def _without_cookies(response: httpx2.Response) -> httpx2.Response:
    response.headers.pop("set-cookie", None)
    return response
