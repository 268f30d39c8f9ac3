"""Requests to authorization servers: the guarded connections of `fetching.py`, with answers of every status.

Hosts that the operator's own file names may lie in a private network; those that a server's metadata names may only
with `allow_private`. This machine may be asked where the file itself names an address of this machine.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode, urlsplit

from agentflow.identity.fetching import Fetcher, body_of, literally_here, split

if TYPE_CHECKING:
    import httpx2

JSON = dict[str, Any]
_HERE: Final = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back. `headers` have lower-case names; `body` is None where it was no JSON object."""

    status: int
    headers: Mapping[str, str]
    body: JSON | None = field(default=None, repr=False)


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
        self._own = Fetcher(trusted=here, allow_private=not public, timeout=timeout)
        self._foreign = Fetcher(trusted=here, allow_private=allow_private and not public, timeout=timeout)

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
        fetcher = self._own if host in self._written else self._foreign

        async def answered(answer: httpx2.Response) -> Answer:
            kind = answer.headers.get("content-type", "").partition(";")[0].strip().lower()
            body = b"" if kind == "text/event-stream" else await body_of(url, answer)
            return Answer(answer.status_code, dict(answer.headers), _object(body))

        return await fetcher.send(url, method, content, given, answered)


def _object(body: bytes) -> JSON | None:
    try:
        read = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return read if isinstance(read, dict) else None
