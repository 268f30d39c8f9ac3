"""How requests to an HTTP API are authorised where its entry has `auth`: by whom the call is for.

Each principal has sockets of its own and what it presents goes with its requests only; no cookie is kept, since the
client that keeps them is everybody's. A 401 is answered once with a renewed credential: the API processed nothing
(RFC 9110, section 15.5.2).
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

import httpx2

from agentflow.identity.downstream import Headers, Source
from agentflow.identity.subject import ACTING

_MOST: Final = 256  # principals whose sockets are kept


class Authorising(httpx2.AsyncBaseTransport):
    """Sends each request for the principal in `ACTING`; "" is the gateway itself, which presents nothing here."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._transports: OrderedDict[str, httpx2.AsyncHTTPTransport] = OrderedDict()

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        principal = ACTING.get() if self._source.personal else ""
        if self._source.personal and not principal:
            return _without_cookies(await self._of("").handle_async_request(request))
        presented = self._source.of(principal)
        headers = await presented.headers()
        response = await self._of(principal).handle_async_request(_carrying(request, headers))
        if response.status_code == 401:
            await response.aclose()
            challenge = response.headers.get("www-authenticate", "")
            headers = await presented.again(headers, challenge)
            response = await self._of(principal).handle_async_request(_carrying(request, headers))
        if response.status_code in (401, 403):
            error = presented.rejected(response.status_code, response.headers.get("www-authenticate", ""))
            if error is not None:
                await response.aclose()
                raise error
        return _without_cookies(response)

    def _of(self, principal: str) -> httpx2.AsyncHTTPTransport:
        transport = self._transports.get(principal)
        if transport is None:
            transport = self._transports[principal] = httpx2.AsyncHTTPTransport()
        self._transports.move_to_end(principal)
        return transport

    async def aclose(self) -> None:
        for transport in self._transports.values():
            await transport.aclose()
        await self._source.close()


def _carrying(request: httpx2.Request, headers: Headers) -> httpx2.Request:
    for name, value in headers.items():
        request.headers[name] = value
    return request


def _without_cookies(response: httpx2.Response) -> httpx2.Response:
    response.headers.pop("set-cookie", None)
    return response
