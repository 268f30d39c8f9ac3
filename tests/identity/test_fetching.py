"""Documents from addresses that somebody else may have chosen."""

from __future__ import annotations

import datetime
import ipaddress
import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from gateway_process import free_port, wait_until
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from agentflow.identity import fetching
from agentflow.identity.fetching import Fetcher, FetchFailed


async def why(fetcher: Fetcher, url: str) -> str:
    with pytest.raises(FetchFailed) as failed:
        await fetcher.get(url)
    return failed.value.code


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1", "127.1", "2130706433", "0x7f000001", "localhost", "0.0.0.0", "10.0.0.1", "172.16.0.1",
        "192.168.1.1", "169.254.169.254", "100.64.0.1", "198.18.0.1", "224.0.0.1", "240.0.0.1", "255.255.255.255",
        "[::1]", "[::]", "[::ffff:127.0.0.1]", "[::ffff:10.0.0.1]", "[::ffff:a9fe:a9fe]", "[64:ff9b::7f00:1]",
        "[64:ff9b::10.0.0.1]", "[2002:7f00:1::]", "[fe80::1]", "[fd00:ec2::254]", "[fc00::1]", "[::127.0.0.1]",
        "[ff02::1]", "[2001:db8::1]", "[fec0::1]", "[5f00::1]", "[64:ff9b:1::10.0.0.1]", "[::ffff:0:10.0.0.1]",
        "192.0.0.192", "168.63.129.16", "100.100.100.200",
    ],
)  # fmt: skip
async def test_addresses_that_are_not_the_public_internet_are_refused(host: str) -> None:
    for scheme in ("https", "http"):
        assert await why(Fetcher(timeout=2), f"{scheme}://{host}:9/keys") in ("forbidden_address", "unresolved")


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd", "ftp://example.org/", "gopher://127.0.0.1/", "//example.org/", "example.org", "",
        "https://", "https://user@example.org/", "https://example.org:port/", "https://exa mple.org/",
        "https://example.org\\@127.0.0.1/", "https://example.org/\r\nX: y", "https://[::1/", "javascript:1",
    ],
)  # fmt: skip
async def test_what_is_no_plain_web_address_is_refused(url: str) -> None:
    assert await why(Fetcher(), url) == "not_a_url"


async def test_metadata_services_are_refused_even_where_private_networks_are_allowed() -> None:
    for host in (
        "169.254.169.254",
        "[fd00:ec2::254]",
        "[::ffff:169.254.169.254]",
        "[fe80::1]",
        "0.0.0.0",
        "192.0.0.192",
        "168.63.129.16",
        "100.100.100.200",
    ):
        assert await why(Fetcher(allow_private=True), f"http://{host}/") == "forbidden_address"
    assert fetching.permitted(ipaddress.ip_address("10.1.2.3"), True)


def resolving(monkeypatch: pytest.MonkeyPatch, *answers: list[str]) -> list[str]:
    """Have names resolve to `answers`, one after the other; returns the names asked for."""
    asked: list[str] = []
    left = list(answers)

    def resolve(host: str, port: int, *_: Any, **__: Any) -> list[Any]:
        asked.append(host)
        addresses = left.pop(0) if len(left) > 1 else left[0]
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in addresses]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    return asked


async def test_a_name_that_leads_inside_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    resolving(monkeypatch, ["10.0.0.1"])
    assert await why(Fetcher(), "https://keys.example.org/") == "forbidden_address"


async def test_a_name_that_also_leads_inside_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    resolving(monkeypatch, ["93.184.215.14", "127.0.0.1"])
    assert await why(Fetcher(), "https://keys.example.org/") == "forbidden_address"


async def test_beyond_this_machine_only_https_is_spoken(monkeypatch: pytest.MonkeyPatch) -> None:
    resolving(monkeypatch, ["93.184.215.14"])
    assert await why(Fetcher(), "http://keys.example.org/") == "insecure"
    assert await why(Fetcher(allow_private=True), "http://keys.example.org/") == "insecure"


class Web:
    """A server with pages of every sort; `names` are the Host headers it was sent."""

    def __init__(self) -> None:
        self.port = free_port()
        self.names: list[str] = []

    def app(self) -> Starlette:
        async def page(request: Request) -> Response:
            self.names.append(request.headers["host"])
            name = request.path_params["name"]
            answers: dict[str, Response] = {
                "json": JSONResponse({"ok": True}, headers={"cache-control": 'public, max-age="120"'}),
                "list": JSONResponse([]),
                "html": Response("<html>"),
                "moved": RedirectResponse("/json"),
                "away": RedirectResponse("http://169.254.169.254/"),
                "missing": Response("no", 404),
                "huge": Response(b"x" * (fetching.MAX_DOCUMENT + 1)),
                "deep": Response(b"[" * 100_000),
            }
            return answers[name]

        return Starlette(routes=[Route("/{name}", page)])


def served(**tls: Any) -> Iterator[Web]:
    web = Web()
    config = uvicorn.Config(web.app(), host="127.0.0.1", port=web.port, log_config=None, ws="none", lifespan="off")
    config.load()
    if tls:
        config.ssl = tls["context"]
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    wait_until(lambda: server.started, "the web server")
    yield web
    server.should_exit = server.force_exit = True
    thread.join(10)


@pytest.fixture
def web() -> Iterator[Web]:
    yield from served()


async def test_the_operator_s_own_words_reach_this_machine_and_a_document_s_do_not(web: Web) -> None:
    url = f"http://127.0.0.1:{web.port}/json"
    fetched = await Fetcher(trusted=frozenset({"127.0.0.1"})).get(url)
    assert fetched.body == {"ok": True} and fetched.max_age == 120
    assert await why(Fetcher(trusted=frozenset({"login.example.org"})), url) == "forbidden_address"


@pytest.mark.parametrize(
    ("page", "code"),
    [
        ("moved", "redirect"), ("away", "redirect"), ("missing", "status"), ("html", "not_json"), ("list", "not_json"),
        ("huge", "too_large"), ("deep", "not_json"),
    ],
)  # fmt: skip
async def test_only_a_json_object_of_a_bounded_size_is_taken(web: Web, page: str, code: str) -> None:
    assert await why(Fetcher(frozenset({"127.0.0.1"})), f"http://127.0.0.1:{web.port}/{page}") == code
    assert len(web.names) == 1


async def test_a_server_that_does_not_answer_is_given_up(web: Web) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        assert await why(Fetcher(frozenset({"127.0.0.1"}), timeout=0.2), url) == "timeout"
    assert await why(Fetcher(frozenset({"127.0.0.1"})), f"http://127.0.0.1:{free_port()}/") == "unreachable"


def certificate(folder: Path, host: str) -> Path:
    """A self-signed certificate for a host, with its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, host)])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), False)
        .add_extension(x509.BasicConstraints(True, None), True)
        .sign(key, hashes.SHA256())
    )
    written = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    file = folder / "server.pem"
    file.write_bytes(made.public_bytes(serialization.Encoding.PEM) + written)
    return file


@pytest.fixture
def secure(tmp_path: Path) -> Iterator[tuple[Web, Path]]:
    file = certificate(tmp_path, "keys.example.org")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    for web in served(context=context):
        yield web, file


async def test_the_address_that_was_checked_is_the_one_connected_to_under_the_name_that_was_asked(
    secure: tuple[Web, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    web, ca = secure
    asked = resolving(monkeypatch, ["127.0.0.1"], ["10.255.255.1"])  # a second answer would lead elsewhere
    fetched = await Fetcher(allow_private=True, ca=ca).get(f"https://keys.example.org:{web.port}/json")
    assert fetched.body == {"ok": True}
    assert asked == ["keys.example.org"] and web.names == [f"keys.example.org:{web.port}"]


async def test_a_certificate_has_to_be_the_name_s_and_from_a_known_authority(
    secure: tuple[Web, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    web, ca = secure
    resolving(monkeypatch, ["127.0.0.1"])
    assert await why(Fetcher(allow_private=True), f"https://keys.example.org:{web.port}/json") == "unreachable"
    other = Fetcher(allow_private=True, ca=ca)
    assert await why(other, f"https://other.example.org:{web.port}/json") == "unreachable"
    assert web.names == []


async def test_a_host_whose_first_address_does_not_answer_is_asked_at_its_next(
    web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolving(monkeypatch, ["127.0.0.9", "127.0.0.1"])
    assert (await Fetcher(allow_private=True).get(f"http://keys.example.org:{web.port}/json")).body == {"ok": True}
