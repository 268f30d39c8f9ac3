"""Requests to authorization servers: the guarded connections of `fetching.py`, with answers of every status.

Hosts that the operator's own file names may lie in a private network; those that a server's metadata names may only
with `allow_private`. This machine may be asked where the file itself names an address of this machine.
"""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlencode, urlsplit, urlunsplit

from agentflow.identity.fetching import MAX_DOCUMENT, Fetcher, FetchFailed, literally_here, split

JSON = dict[str, Any]
_HERE: Final = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back. `headers` have lower-case names; `body` is None where it was no JSON object."""

    status: int
    headers: Mapping[str, str]
    body: JSON | None = field(default=None, repr=False)


class _Guarded(Fetcher):
    """A `Fetcher` that sends what it is given and hands back whatever is answered."""

    __slots__ = ()

    async def ask(self, url: str, method: str, content: bytes | None, headers: Mapping[str, str]) -> Answer:
        try:
            async with asyncio.timeout(self.timeout):
                return await self._ask(url, method, content, headers)
        except TimeoutError:
            raise FetchFailed("timeout", f"{urlsplit(url).hostname} did not answer within {self.timeout:g} s") from None

    async def _ask(self, url: str, method: str, content: bytes | None, headers: Mapping[str, str]) -> Answer:
        import httpx2

        parts, host, port = split(url)
        addresses = await self._resolved(url, parts, host, port)
        if parts.scheme == "https" and self._context is None:
            self._context = await asyncio.to_thread(ssl.create_default_context, cafile=self.ca and str(self.ca))
        sent = {"accept-encoding": "identity", "accept": "application/json", **headers, "host": parts.netloc}
        client = httpx2.AsyncClient(verify=self._context or False, trust_env=False, timeout=self.timeout)
        try:
            async with client:
                for address in addresses:
                    pinned = f"[{address}]" if address.version == 6 else str(address)
                    target = urlunsplit((parts.scheme, f"{pinned}:{port}", parts.path or "/", parts.query, ""))
                    asked = client.build_request(
                        method, target, content=content, headers=sent, extensions={"sni_hostname": host}
                    )
                    try:
                        return await _answered(host, client, asked)
                    except httpx2.ConnectError:  # nothing was sent: the host's next address, if it has one
                        if address is addresses[-1]:
                            raise
        except (httpx2.HTTPError, httpx2.InvalidURL, OSError) as error:
            raise FetchFailed("unreachable", f"{host} cannot be reached ({type(error).__name__})") from None
        raise FetchFailed("unresolved", f"there is no host {host}")


async def _answered(host: str, client: Any, asked: Any) -> Answer:
    answer = await client.send(asked, stream=True, follow_redirects=False)
    try:
        kind = answer.headers.get("content-type", "").partition(";")[0].strip().lower()
        body = b"" if kind == "text/event-stream" else await _bounded(host, answer)
        return Answer(answer.status_code, dict(answer.headers), _object(body))
    finally:
        await answer.aclose()


class Outbound:
    """The requests that one server's credentials need.

    Args:
        written: the URLs in the operator's own entry.
        allow_private: whether other addresses may lie in private networks.
        timeout: seconds for one request.
        public: whether even the written ones may not.
    """

    def __init__(
        self, written: Iterable[str | None], allow_private: bool, timeout: float, *, public: bool = False
    ) -> None:
        self._written = frozenset(host for url in written if url and (host := urlsplit(url).hostname))
        local = any(literally_here(host) for host in self._written) and not public
        here = frozenset(_HERE) if local else frozenset()
        self._own = _Guarded(trusted=here, allow_private=not public, timeout=timeout)
        self._foreign = _Guarded(trusted=here, allow_private=allow_private and not public, timeout=timeout)

    async def ask(
        self,
        url: str,
        method: str = "GET",
        *,
        form: Mapping[str, str] | None = None,
        document: JSON | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Send one request; a redirect is an answer like any other.

        Args:
            form, document: the body, as a form or as JSON.

        Raises:
            FetchFailed: there is no answer, or the address may not be asked.
        """
        given, content = dict(headers or {}), None
        if form is not None:
            content, given["content-type"] = urlencode(form).encode(), "application/x-www-form-urlencoded"
        elif document is not None:
            content, given["content-type"] = json.dumps(document).encode(), "application/json"
        _, host, _ = split(url)
        guarded = self._own if host in self._written else self._foreign
        return await guarded.ask(url, method, content, given)


async def _bounded(host: str, answer: Any) -> bytes:
    chunks, size = [], 0
    async for chunk in answer.aiter_raw():
        size += len(chunk)
        if size > MAX_DOCUMENT:
            raise FetchFailed("too_large", f"{host} answered more than {MAX_DOCUMENT} bytes")
        chunks.append(chunk)
    return b"".join(chunks)


def _object(body: bytes) -> JSON | None:
    try:
        read = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return read if isinstance(read, dict) else None
