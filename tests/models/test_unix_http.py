"""HTTP over a Unix socket: what a server of any manners may do to the client, over real sockets."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from gateway.upstreams.exchanges import until
from hypothesis import given
from hypothesis import strategies as st

from agentflow.models.unix_http import Broken, NotReached, Silent, UnixHttp

OK = b"HTTP/1.1 200 OK\r\n"
Speak = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Server:
    """Answers every request with the same bytes.

    Attributes:
        heard: heads of the requests; `bodies` what came after them.
        connections: how many there were; `ended` is set when one is closed by the client.
    """

    def __init__(self, answer: bytes, *, close: bool = False, pause: float = 0.0) -> None:
        self.answer, self.close, self.pause = answer, close, pause
        self.heard: list[str] = []
        self.bodies: list[bytes] = []
        self.connections = 0
        self.ended = asyncio.Event()

    async def speak(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while head := (await reader.readuntil(b"\r\n\r\n")).decode():
                self.heard.append(head)
                length = int(head.lower().split("content-length: ")[1].split("\r\n")[0])
                self.bodies.append(await reader.readexactly(length))
                step = 7 if len(self.answer) < 1000 else 7777
                for byte in range(0, len(self.answer), step):  # in pieces that respect no boundary
                    writer.write(self.answer[byte : byte + step])
                    await asyncio.sleep(self.pause)
                await writer.drain()
                if self.close:
                    break
        except (asyncio.IncompleteReadError, ConnectionError):
            self.ended.set()
        finally:
            writer.close()


@asynccontextmanager
async def client_of(server: Server) -> AsyncIterator[UnixHttp]:
    with tempfile.TemporaryDirectory(prefix="af-") as folder:
        path = str(Path(folder) / "s")
        listening = await asyncio.start_unix_server(server.speak, path)
        client = UnixHttp(path, {"authorization": "Bearer k"})
        try:
            yield client
        finally:
            client.close()
            listening.close()


async def asked(client: UnixHttp, body: bytes | None = b"{}", seconds: float = 30.0) -> tuple[int, bytes]:
    async with client.open("POST", "/x", body, seconds) as answer:
        return answer.status, b"".join([part async for part in answer.parts()])


async def test_a_body_of_a_length_is_read_and_its_connection_used_again() -> None:
    server = Server(OK + b"Content-Length: 5\r\n\r\nhello")
    async with client_of(server) as client:
        for _ in range(3):
            assert await asked(client) == (200, b"hello")
    assert server.connections == 1
    assert server.heard[0].startswith("POST /x HTTP/1.1\r\nhost: models\r\nauthorization: Bearer k\r\n")
    assert server.bodies == [b"{}"] * 3


async def test_requests_at_once_have_a_connection_each() -> None:
    server = Server(OK + b"content-length: 40\r\n\r\n" + b"x" * 40, pause=0.001)
    async with client_of(server) as client:
        assert await asyncio.gather(*(asked(client) for _ in range(5))) == [(200, b"x" * 40)] * 5
    assert server.connections == 5


@given(st.lists(st.binary(min_size=1, max_size=60), max_size=5), st.sampled_from([b"", b"; name=value"]))
def test_chunks_come_as_they_were_sent(chunks: list[bytes], extension: bytes) -> None:
    body = b"".join(b"%x%s\r\n%s\r\n" % (len(chunk), extension, chunk) for chunk in chunks)
    server_says = OK + b"Transfer-Encoding: chunked\r\n\r\n" + body + b"0\r\nexpires: never\r\n\r\n"

    async def twice() -> None:
        server = Server(server_says)
        async with client_of(server) as client:
            for _ in range(2):
                assert await asked(client, None) == (200, b"".join(chunks))
        assert server.connections == 1

    asyncio.run(twice())


async def test_a_body_without_a_length_ends_with_its_connection() -> None:
    server = Server(b"HTTP/1.0 503 Busy\r\n\r\nlater", close=True)
    async with client_of(server) as client:
        for _ in range(2):
            assert await asked(client) == (503, b"later")
    assert server.connections == 2


async def test_a_connection_that_the_server_closed_meanwhile_is_not_used_again() -> None:
    server = Server(OK + b"content-length: 2\r\n\r\nok", close=True)
    async with client_of(server) as client:
        for _ in range(2):
            assert await asked(client) == (200, b"ok")
            await until(lambda: not any(line.usable for line in client._idle))
    assert server.connections == 2


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"SSH-2.0-x\r\n\r\n",
        b"HTTP/1.1 abc\r\n\r\n",
        OK + b"no colon\r\n\r\n",
        OK + b"content-length: 9\r\n\r\nhello",
        OK + b"content-length: -1\r\n\r\n",
        OK + b"content-length: +5\r\n\r\nhello",
        OK + b"content-length: 99999999999999999999\r\n\r\n",
        OK + b"transfer-encoding: chunked\r\n\r\n5\r\nhel",
        OK + b"transfer-encoding: chunked\r\n\r\n5\r\nhello!!0\r\n\r\n",
        OK + b"transfer-encoding: chunked\r\n\r\nzz\r\n",
        OK + b"transfer-encoding: chunked\r\n\r\n\r\n",
        OK + b"x: " + b"y" * 100_000,
    ],
    ids=[
        "nothing",
        "ssh",
        "status",
        "header",
        "short",
        "negative",
        "sign",
        "huge",
        "cut",
        "overrun",
        "hex",
        "empty",
        "head",
    ],
)
async def test_what_is_no_whole_answer_is_one_clear_error(answer: bytes) -> None:
    async with client_of(Server(answer, close=True)) as client:
        with pytest.raises(Broken) as error:
            await asked(client)
    assert not isinstance(error.value, NotReached | Silent)


async def test_leaving_an_answer_early_closes_its_connection() -> None:
    server = Server(OK + b"content-length: 1000000\r\n\r\n" + b"x" * 1_000_000, pause=0.001)
    async with client_of(server) as client:
        async with client.open("POST", "/x", b"", 30) as answer:
            assert (await anext(answer.parts())).startswith(b"x")
        await asyncio.wait_for(server.ended.wait(), 30)


async def test_a_server_that_says_nothing_is_given_up_before_and_in_its_answer() -> None:
    for begun in (b"", OK + b"content-length: 5\r\n\r\nhe"):
        async with client_of(Server(begun)) as client:
            with pytest.raises(Silent):
                await asked(client, seconds=0.2)


async def test_where_nobody_listens_nothing_was_sent(tmp_path: Path) -> None:
    with pytest.raises(NotReached):
        await asked(UnixHttp(str(tmp_path / "none"), {}))


async def test_closing_breaks_off_what_is_being_read() -> None:
    server = Server(OK + b"content-length: 5\r\n\r\nhe")
    async with client_of(server) as client:
        reading = asyncio.ensure_future(asked(client))
        await until(lambda: bool(server.bodies))
        client.close()
        with pytest.raises(Broken):
            await reading
