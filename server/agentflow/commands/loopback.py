"""The one request that a browser brings back to a command: a listener on the loopback interface (RFC 8252, 7.3).

It promises to take one request for exactly its own path, and to answer every other with 404. Nothing that came is
shown in the answer.
"""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Final
from urllib.parse import parse_qsl, urlsplit

_PATH: Final = "/oauth/callback"
_LONGEST: Final = 16 * 1024


class Loopback:
    """See the module.

    Args:
        port: to listen on; 0 takes a free one.

    Attributes:
        url: where the browser has to come back to.
    """

    url = ""

    def __init__(self, port: int = 0) -> None:
        self._port = port
        self._server: asyncio.Server | None = None
        self._came: asyncio.Future[tuple[dict[str, str], asyncio.StreamWriter]] | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def __aenter__(self) -> Loopback:
        self._came = asyncio.get_running_loop().create_future()
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self._port, limit=_LONGEST)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}{_PATH}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()

    async def query(self) -> dict[str, str]:
        """Wait for the browser; returns what it brought. A parameter that came twice is left out."""
        assert self._came is not None
        found, self._writer = await self._came
        return found

    async def answer(self, text: str) -> None:
        """Tell the person at the browser how it went."""
        if self._writer is not None:
            await _answer(self._writer, 200, f"<!doctype html><title>AgentFlow</title><p>{text}</p>")
            self._writer = None

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert self._came is not None
        try:
            head = (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)).decode("latin-1")
            method, _, rest = head.partition(" ")
            parts = urlsplit(rest.partition(" ")[0])
            pairs = parse_qsl(parts.query, max_num_fields=20)
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, TimeoutError, ConnectionError, ValueError):
            writer.close()
            return
        own = f"\r\nhost: {urlsplit(self.url).netloc}\r\n" in head.lower()
        if method != "GET" or parts.path != _PATH or not own or self._came.done():
            await _answer(writer, 404, "<!doctype html><title>AgentFlow</title><p>Nothing here.</p>")
            return
        names = [name for name, _ in pairs]
        self._came.set_result(({name: value for name, value in pairs if names.count(name) == 1}, writer))


async def _answer(writer: asyncio.StreamWriter, status: int, body: str) -> None:
    reason = {200: "OK", 404: "Not Found"}[status]
    head = (
        f"HTTP/1.1 {status} {reason}\r\ncontent-type: text/html; charset=utf-8\r\ncontent-length: {len(body.encode())}"
        "\r\ncache-control: no-store\r\nreferrer-policy: no-referrer\r\ncontent-security-policy: default-src 'none'"
        "\r\nconnection: close\r\n\r\n"
    )
    writer.write(head.encode() + body.encode())
    try:
        await writer.drain()
    except ConnectionError:
        return
    finally:
        writer.close()
