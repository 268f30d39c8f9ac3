"""The HTTP client against real sockets, well-behaved and not."""

from __future__ import annotations

import asyncio
import ipaddress
import os
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from gateway.upstreams.http_servers import END, Request, chunk, http, scripted, sse_head, until
from hypothesis import given
from hypothesis import strategies as st

from agentflow.errors import AgentFlowError, ConfigError, UpstreamProtocolError, UpstreamUnavailable
from agentflow.gateway.upstreams.http1 import Endpoint, HttpClient, header_lines
from agentflow.gateway.upstreams.http1_wire import Disconnected

Answer = Callable[[Request], bytes]


@asynccontextmanager
async def client_of(answer: Answer, **options: Any) -> AsyncIterator[tuple[HttpClient, list[Request]]]:
    async def script(request: Request, writer: asyncio.StreamWriter) -> None:
        data = answer(request)
        writer.write(data.removesuffix(b"<close>"))
        if data.endswith(b"<close>"):
            await writer.drain()
            writer.close()

    async with scripted(script) as server:
        client = HttpClient(server.url, **options)
        try:
            yield client, server.requests
        finally:
            await client.close()


async def post(client: HttpClient, body: bytes = b"{}", limit: int = 1 << 20, safe: bool = False) -> tuple[int, bytes]:
    response = await client.send(b"POST", b"", body, safe=safe)
    try:
        return response.status, await response.body(limit)
    finally:
        response.release()


async def test_requests_share_one_connection_and_carry_the_configured_headers() -> None:
    async with client_of(lambda r: http(200, r.body), headers={"X-Key": "k"}) as (client, requests):
        for text in (b"one", b"two", b"three"):
            assert await post(client, text) == (200, text)
    assert {r.connection for r in requests} == {1}
    assert requests[0].headers["x-key"] == "k"
    assert requests[0].headers["host"] == client.endpoint.authority
    assert "accept-encoding" not in requests[0].headers


async def test_concurrent_requests_get_a_connection_each_and_these_are_reused() -> None:
    async with client_of(lambda r: http(200, r.body)) as (client, requests):
        for _ in range(2):
            answers = await asyncio.gather(*[post(client, b"%d" % n) for n in range(8)])
            assert [body for _, body in answers] == [b"%d" % n for n in range(8)]
    assert len({r.connection for r in requests}) == 8


async def test_chunked_and_until_close_bodies_are_read() -> None:
    answers = iter(
        [
            sse_head() + chunk("ab") + chunk("cd") + END,
            b"HTTP/1.1 200 OK\r\n\r\nuntil the end<close>",
            b"HTTP/1.1 100 Continue\r\n\r\n" + http(200, b"after an interim answer"),
        ]
    )
    async with client_of(lambda r: next(answers)) as (client, _):
        assert await post(client) == (200, b"abcd")
        assert await post(client) == (200, b"until the end")
        assert await post(client) == (200, b"after an interim answer")


async def test_a_post_is_never_sent_twice() -> None:
    answers = iter([http(200), b"<close>", http(200)])
    async with client_of(lambda r: next(answers)) as (client, requests):
        await post(client)
        with pytest.raises(Disconnected, match="without answering"):
            await post(client)
        assert len(requests) == 2


async def test_a_safe_request_is_repeated_when_a_reused_connection_turns_out_dead() -> None:
    answers = iter([http(200), b"<close>", http(200, b"again")])
    async with client_of(lambda r: next(answers)) as (client, requests):
        await post(client)
        assert await post(client, safe=True) == (200, b"again")
        assert [r.connection for r in requests] == [1, 1, 2]


async def test_a_connection_the_server_closed_meanwhile_is_not_used() -> None:
    writers: list[asyncio.StreamWriter] = []

    async def script(request: Request, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        writer.write(http(200))

    async with scripted(script) as server:
        client = HttpClient(server.url)
        await post(client)
        # The loop has no turn between this and the next request: only the look before reuse can tell.
        with socket.socket(fileno=os.dup(writers[0].get_extra_info("socket").fileno())) as same:
            same.shutdown(socket.SHUT_WR)
        assert await post(client) == (200, b"")
        assert [r.connection for r in server.requests] == [1, 2]
        await client.close()


async def test_unasked_bytes_spoil_a_connection() -> None:
    answers = iter([http(200, b"mine") + http(200, b"a second answer"), http(200, b"fresh")])
    async with client_of(lambda r: next(answers)) as (client, requests):
        assert await post(client) == (200, b"mine")
        assert await post(client) == (200, b"fresh")
        assert [r.connection for r in requests] == [1, 2]


async def test_a_connection_is_not_reused_past_what_the_server_promises() -> None:
    async with client_of(lambda r: http(200, extra="Keep-Alive: timeout=1\r\n")) as (client, requests):
        await post(client)
        await post(client)
        assert [r.connection for r in requests] == [1, 2]


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (b"SSH-2.0-OpenSSH_9\r\n", "not HTTP/1.1"),
        (b"\x00\xff" * 50, "not HTTP/1.1"),
        (b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", "not HTTP/1.1"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nshort<close>", "broke off"),
        (sse_head() + chunk("abc") + b"<close>", "broke off"),
        (b"HTTP/1.1 200 O<close>", "broke off"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"a" * 80_000, "headers larger"),
        (b"HTTP/1.1 200 OK\r\n" + b"X: aaaa\r\n" * 9_000, "headers larger"),
        (b"HTTP/1.1 100 Continue\r\n\r\n" * 9_000, "headers larger"),
        (sse_head() + b"0\r\nX: " + b"a" * 1_000_000, "headers larger"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\nTransfer-Encoding: chunked\r\n\r\n", "not HTTP/1.1"),
    ],
)
async def test_what_is_not_a_whole_http_answer_is_a_typed_error(answer: bytes, message: str) -> None:
    async with client_of(lambda r: answer) as (client, _):
        with pytest.raises(UpstreamProtocolError, match=message):
            await post(client)
        assert not client._idle


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 104857600\r\n\r\n" + b"x" * 1000,
        sse_head() + chunk("x" * 70_000) * 20,
        b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 2_000_000,
    ],
)
async def test_an_oversized_body_is_refused(answer: bytes) -> None:
    async with client_of(lambda r: answer) as (client, _):
        with pytest.raises(UpstreamProtocolError, match="larger than 1000000 bytes"):
            await post(client, limit=1_000_000)


async def test_a_slow_reader_does_not_make_the_stream_pile_up() -> None:
    sent = 0

    async def script(request: Request, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        writer.write(sse_head())
        for _ in range(2000):
            writer.write(chunk("x" * 50_000))
            await writer.drain()
            sent += 50_000
        writer.write(END)

    async with scripted(script) as server:
        client = HttpClient(server.url)
        response = await client.send(b"POST", b"", b"{}")
        wire = response._wire
        await until(lambda: wire._paused, "reading is paused")
        assert wire._size < 2_000_000
        total = 0
        while piece := await response.chunk():
            total += len(piece)
        assert total == 100_000_000
        response.release()
        await client.close()


async def test_a_cancelled_request_closes_its_connection() -> None:
    closed = asyncio.Event()

    async def watch(request: Request, writer: asyncio.StreamWriter) -> None:
        async def gone() -> None:
            await until(writer.is_closing, "the connection is closed")
            closed.set()

        tasks.append(asyncio.create_task(gone()))

    tasks: list[asyncio.Task[None]] = []
    async with scripted(watch) as server:
        client = HttpClient(server.url)
        task = asyncio.create_task(post(client))
        await until(lambda: server.requests, "the request arrived")
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.wait_for(closed.wait(), 10)
        await client.close()


async def test_a_refused_connection_says_so_and_that_nothing_was_sent() -> None:
    listener = await asyncio.start_server(lambda r, w: None, "127.0.0.1", 0)
    port = listener.sockets[0].getsockname()[1]
    listener.close()
    await listener.wait_closed()
    client = HttpClient(f"http://127.0.0.1:{port}/mcp", label="upstream 'x'")
    with pytest.raises(UpstreamUnavailable, match="upstream 'x' cannot be reached") as caught:
        await post(client)
    assert caught.value.data["sent"] is False
    await client.close()


async def test_after_close_nothing_is_sent() -> None:
    async with client_of(lambda r: http(200)) as (client, requests):
        await client.close()
        with pytest.raises(UpstreamUnavailable):
            await post(client)
        assert requests == []


async def test_ipv6_literals_work() -> None:
    async def script(request: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(http(200, request.headers["host"].encode()))

    async with scripted(script, host="::1") as server:
        client = HttpClient(server.url)
        assert (await post(client))[1].decode() == server.origin.removeprefix("http://")
        await client.close()


def certificate(folder: Path) -> Path:
    """A self-signed certificate for 127.0.0.1, with its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
        .sign(key, hashes.SHA256())
    )
    file = folder / "server.pem"
    file.write_bytes(
        made.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return file


async def test_tls_is_verified(tmp_path: Path) -> None:
    async def script(request: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(http(200, b"secret"))

    file = certificate(tmp_path)
    served = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    served.load_cert_chain(file)
    async with scripted(script, tls=served) as server:
        client = HttpClient(server.url)
        with pytest.raises(UpstreamUnavailable, match="no valid certificate"):
            await post(client)
        await client.close()
        client = HttpClient(server.url, tls=ssl.create_default_context(cafile=str(file)))
        for _ in range(3):
            assert await post(client) == (200, b"secret")
        await client.close()
        assert len({r.connection for r in server.requests}) == 1
        # Speaking TLS to a port that does not is a typed error too.
        wrong = HttpClient(server.url.replace("https", "http"))
        with pytest.raises(AgentFlowError):
            await post(wrong)
        await wrong.close()


def test_an_endpoint_is_taken_apart() -> None:
    end = Endpoint.parse("https://user:p%40ss@example.org/a/b?key=1")
    assert (end.origin, end.port, end.secure, end.target) == ("https://example.org", 443, True, "/a/b?key=1")
    assert end.authorization == "Basic dXNlcjpwQHNz"
    assert Endpoint.parse("http://[::1]:80").authority == "[::1]"
    assert Endpoint.parse("http://h:8080").authority == "h:8080"


@pytest.mark.parametrize("url", ["", "ftp://x", "http://", "http://h:99999/", "//h/x", "http://h/a b", "http://h/é"])
def test_a_url_that_cannot_be_used_is_refused(url: str) -> None:
    with pytest.raises(ConfigError):
        Endpoint.parse(url)


async def test_credentials_in_the_url_are_sent_but_a_configured_header_wins() -> None:
    async with client_of(lambda r: http(200)) as (client, requests):
        url = client.endpoint.origin.replace("http://", "http://a:b@")
        for headers in ({}, {"authorization": "Bearer t"}):
            other = HttpClient(url, headers)
            await post(other)
            await other.close()
    assert [r.headers["authorization"] for r in requests] == ["Basic YTpi", "Bearer t"]


@pytest.mark.parametrize(
    ("name", "value"), [("X\r\nY", "1"), ("X", "1\r\nY: 2"), ("X Y", "1"), ("X", "1\0"), ("é", "1")]
)
def test_a_header_cannot_break_the_request_apart(name: str, value: str) -> None:
    with pytest.raises(ConfigError):
        header_lines({name: value})


def test_headers_that_the_protocol_owns_are_left_out() -> None:
    given_headers = {"Accept": "*/*", "Content-Type": "x", "MCP-Session-Id": "1", "X": "2"}
    assert header_lines(given_headers) == b"X: 2\r\n"


@given(st.text(max_size=30), st.text(max_size=30))
def test_whatever_headers_are_configured_there_is_one_line_each(name: str, value: str) -> None:
    try:
        lines = header_lines({name: value})
    except ConfigError:
        return
    assert lines.count(b"\r") == lines.count(b"\n") == (1 if lines else 0)
