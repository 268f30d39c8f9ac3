"""Callers with tokens at a real gateway: challenges, metadata, logins of real clients, expiry and outages mid-life."""

from __future__ import annotations

import base64
import json
import socket
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx2
import pytest
from faults.speakers import BOTH_KINDS, ENVELOPE, HttpLegacy, HttpModern, exchange, message, raw_http
from gateway_process import MODERN, Gateway, fetch, free_port, running_gateway, wait_until, write_config
from mcp import Client
from mcp.client.auth import AuthorizationCodeResult, OAuthClientProvider
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.auth import OAuthClientInformationFull, OAuthClientMetadata, OAuthToken
from oidc_server import AUDIENCE, Provider, new_key, provider
from pydantic import AnyUrl

from agentflow.audit.read import entries
from tests.gateway.service_world import READS, told

JSON = dict[str, Any]
KEY = "the-key-of-a-service-account"


@pytest.fixture
def issuer() -> Iterator[Provider]:
    with provider() as made:
        yield made


@pytest.fixture(scope="module")
def shared_issuer() -> Iterator[Provider]:
    with provider() as made:
        yield made


def config(issuer: Provider, folder: Path, **settings: Any) -> JSON:
    entry = {"issuer": issuer.issuer, "audience": [AUDIENCE], "leeway": 0, **settings}
    return {
        "mcpServers": {"shop": told(folder / "shop.jsonl", tools={"look": READS}, resources=["shop://open"])},
        "flow": {"enabled": False},
        "auth": {
            "issuers": [entry],
            "api_keys": [{"id": "robot", "key": "${ROBOT}", "kind": "service", "roles": ["operator"]}],
            "recheck": 0.5,
        },
    }


@pytest.fixture(scope="module")
def gateway(shared_issuer: Provider, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    folder = tmp_path_factory.mktemp("identity")
    made = config(shared_issuer, folder, required_scopes=["mcp"])
    with running_gateway(made, folder, env={"ROBOT": KEY}) as running:
        yield running


def bearing(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


def asked(gateway: Gateway, headers: dict[str, str] | None = None) -> tuple[int, JSON, dict[str, str]]:
    """A `tools/list` of 2026: `(status, body, headers)`."""
    body = message("tools/list", {"_meta": ENVELOPE}, 1)
    sent = {**BOTH_KINDS, "mcp-protocol-version": MODERN, "mcp-method": "tools/list", **(headers or {})}
    status, answer, found = exchange(gateway, body, sent)
    return status, json.loads(answer), found


def challenge(headers: dict[str, str]) -> dict[str, str]:
    scheme, _, rest = headers["www-authenticate"].partition(" ")
    assert scheme == "Bearer"
    return {name: value.strip('"') for name, _, value in (each.partition("=") for each in rest.split(", "))}


def refusals(gateway: Gateway) -> list[JSON]:
    return [e.record for e in entries(gateway.data_dir) if e.record.get("kind") == "request"]


# Challenges and metadata ---------------------------------------------------------------------------------------


def test_whoever_presents_nothing_learns_where_to_get_a_token_and_nothing_is_held_against_it(gateway: Gateway) -> None:
    status, body, headers = asked(gateway)
    assert status == 401 and body["error"]["data"]["type"] == "unauthenticated"
    assert challenge(headers) == {
        "scope": "mcp",
        "resource_metadata": f"{gateway.base}/.well-known/oauth-protected-resource/mcp",
    }


def test_the_metadata_names_the_resource_and_its_issuers(gateway: Gateway, shared_issuer: Provider) -> None:
    for place in ("", "/mcp"):
        status, body, kind = fetch(f"{gateway.base}/.well-known/oauth-protected-resource{place}")
        assert status == 200 and kind == "application/json"
        assert json.loads(body) == {
            "resource": gateway.url,
            "authorization_servers": [shared_issuer.issuer],
            "scopes_supported": ["mcp"],
            "bearer_methods_supported": ["header"],
            "resource_name": "AgentFlow gateway",
        }
    assert fetch(f"{gateway.base}/.well-known/oauth-protected-resource/other")[0] == 404
    assert fetch(f"{gateway.base}/.well-known/oauth-protected-resource", b"{}")[0] == 405
    evil = raw_http(
        gateway, b"GET /.well-known/oauth-protected-resource HTTP/1.1\r\nHost: evil.test\r\nConnection: close\r\n\r\n"
    )
    assert evil.split()[1] in (b"400", b"421") and b"evil.test" not in evil


def test_behind_a_proxy_the_public_address_is_told(issuer: Provider, tmp_path: Path) -> None:
    made = config(issuer, tmp_path)
    made["serve"] = {"public_url": "https://gateway.example.org/flow"}
    with running_gateway(made, tmp_path, env={"ROBOT": KEY}) as gateway:
        where = "https://gateway.example.org/.well-known/oauth-protected-resource/flow/mcp"
        status, _, headers = asked(gateway, {"Host": "gateway.example.org"})
        assert status == 401 and challenge(headers) == {"resource_metadata": where}
        for place in ("", "/flow/mcp"):
            _, body, _ = fetch(f"{gateway.base}/.well-known/oauth-protected-resource{place}")
            assert json.loads(body)["resource"] == "https://gateway.example.org/flow/mcp"


def none_of(issuer: Provider) -> str:
    def written(part: JSON) -> str:
        return base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode()

    return f"{written({'alg': 'none'})}.{written({'iss': issuer.issuer, 'aud': AUDIENCE, 'exp': 9e9, 'sub': 'eve'})}.AA"


def test_a_token_that_does_not_count_is_refused_and_recorded_without_a_word_of_it(
    gateway: Gateway, shared_issuer: Provider
) -> None:
    mint = shared_issuer.mint
    marked = {"sub": "marked-subject", "scope": "mcp"}
    bad = {
        "expired": mint({**marked, "exp": int(time.time()) - 5}),
        "foreign_audience": mint({**marked, "aud": "https://marked-audience.test"}),
        "foreign_issuer": mint({**marked, "iss": "https://marked-issuer.test"}),
        "unknown_key_id": mint(marked, key=new_key("marked-key")),
        "bad_signature": mint(marked, key=new_key(shared_issuer.keys[0].kid)),
        "algorithm": none_of(shared_issuer),
        "malformed": "marked.token.here!",
        "oversized": mint({**marked, "padding": "x" * 17_000}),
        "unknown_key": "marked-key-of-nobody",
    }
    for reason, token in bad.items():
        status, body, headers = asked(gateway, bearing(token))
        said = challenge(headers)
        assert status == 401 and said["error"] == "invalid_token" and "resource_metadata" in said, reason
        assert "marked" not in json.dumps(body) + json.dumps(headers)
        assert refusals(gateway)[-1]["details"]["why"] == reason
        assert refusals(gateway)[-1]["outcome"] == "unauthenticated"
    kept = b"".join(path.read_bytes() for path in gateway.data_dir.rglob("*") if path.is_file())
    for secret in ("marked", *(token[-24:] for token in bad.values())):
        assert secret.encode() not in kept and secret not in gateway.log_text()


def test_a_token_in_the_address_is_no_credential(gateway: Gateway, shared_issuer: Provider) -> None:
    token = shared_issuer.mint({"scope": "mcp"})
    status, _, _ = fetch(f"{gateway.url}?access_token={token}", b"{}", BOTH_KINDS)
    assert status == 401


def test_a_token_without_the_scope_is_told_which(gateway: Gateway, shared_issuer: Provider) -> None:
    status, body, headers = asked(gateway, bearing(shared_issuer.mint({"scope": "other"})))
    said = challenge(headers)
    assert status == 403 and body["error"]["data"]["type"] == "insufficient_scope"
    assert said["error"] == "insufficient_scope" and said["scope"] == "mcp" and "resource_metadata" in said
    assert refusals(gateway)[-1]["details"]["why"] == "insufficient_scope"


def test_a_caller_with_a_token_is_who_the_token_says(gateway: Gateway, shared_issuer: Provider) -> None:
    token = shared_issuer.mint({"sub": "grace", "scope": "mcp"})
    for speaker in (HttpModern(gateway, bearing(token)), HttpLegacy(gateway, bearing(token))):
        assert "result" in speaker.call("look", {"text": "a"})
    records = [e.record for e in entries(gateway.data_dir) if e.record.get("principal", {}).get("id") == "grace"]
    assert records and {record["principal"]["auth"] for record in records} == {"jwt"}
    assert "result" in HttpModern(gateway, bearing(KEY)).call("look", {"text": "a"})  # and a key goes on being one


def test_a_session_is_its_holder_s_alone_whatever_the_token(gateway: Gateway, shared_issuer: Provider) -> None:
    mine = HttpLegacy(gateway, bearing(shared_issuer.mint({"sub": "one", "scope": "mcp"})))
    ping = message("ping", {}, 7)
    again = {**mine.sent(), **bearing(shared_issuer.mint({"sub": "one", "scope": "mcp", "jti": "another"}))}
    assert exchange(gateway, ping, again)[0] == 200  # a refreshed token is the same caller's
    other = {**mine.sent(), **bearing(shared_issuer.mint({"sub": "two", "scope": "mcp"}))}
    assert exchange(gateway, ping, other)[0] == 404
    robot = {**mine.sent(), **bearing(KEY)}
    assert exchange(gateway, ping, robot)[0] == 404


# Logins of real clients ----------------------------------------------------------------------------------------


class Kept:
    """Where the SDK's client keeps its tokens."""

    def __init__(self) -> None:
        self.tokens: OAuthToken | None = None
        self.info: OAuthClientInformationFull | None = None

    async def get_tokens(self) -> OAuthToken | None:
        return self.tokens

    async def set_tokens(self, tokens: OAuthToken) -> None:
        self.tokens = tokens

    async def get_client_info(self) -> OAuthClientInformationFull | None:
        return self.info

    async def set_client_info(self, client_info: OAuthClientInformationFull) -> None:
        self.info = client_info


def login(url: str, kept: Kept) -> OAuthClientProvider:
    """What a desktop client does, with a browser that follows the one redirect there is."""
    came: list[AuthorizationCodeResult] = []

    async def browse(address: str) -> None:
        async with httpx2.AsyncClient() as browser:
            answer = await browser.get(address)
        found = parse_qs(urlsplit(answer.headers["location"]).query)
        came.append(AuthorizationCodeResult(code=found["code"][0], state=found["state"][0], iss=found["iss"][0]))

    async def back() -> AuthorizationCodeResult:
        return came.pop()

    about = OAuthClientMetadata(
        client_name="tests",
        redirect_uris=[AnyUrl("http://127.0.0.1:1/callback")],
        grant_types=["authorization_code", "refresh_token"],
        response_types=["code"],
        token_endpoint_auth_method="none",
    )
    return OAuthClientProvider(url, about, kept, browse, back)


@pytest.fixture(scope="module")
def for_clients(shared_issuer: Provider, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    port, folder = free_port(), tmp_path_factory.mktemp("clients")
    made = config(shared_issuer, folder, audience=f"http://127.0.0.1:{port}/mcp", required_scopes=["mcp"])
    with running_gateway(made, folder, port=port, env={"ROBOT": KEY}) as running:
        yield running


async def test_the_sdk_s_client_logs_in_through_the_gateway_s_metadata(
    for_clients: Gateway, shared_issuer: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = Kept()
    monkeypatch.setitem(shared_issuer.claims, "sub", "hopper")
    async with (
        httpx2.AsyncClient(auth=login(for_clients.url, kept)) as http,
        Client(streamable_http_client(for_clients.url, http_client=http)) as client,
    ):
        assert {tool.name for tool in (await client.list_tools()).tools} == {"look"}
        answer = await client.call_tool("look", {"text": "a"})
        assert not answer.is_error
    assert kept.tokens is not None and kept.tokens.scope == "mcp"
    who = {e.record["principal"]["id"] for e in entries(for_clients.data_dir) if "stages" in e.record}
    assert who == {"hopper"}
    assert kept.tokens.access_token not in for_clients.log_text()


async def test_the_sdk_s_client_refreshes_a_token_that_has_expired_mid_session(
    for_clients: Gateway, shared_issuer: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = Kept()
    monkeypatch.setattr(shared_issuer, "lifetime", 2)
    asked_for = shared_issuer.asked["token"]
    async with (
        httpx2.AsyncClient(auth=login(for_clients.url, kept)) as http,
        Client(streamable_http_client(for_clients.url, http_client=http)) as client,
    ):
        await client.call_tool("look", {"text": "a"})
        assert kept.tokens is not None
        first = kept.tokens.access_token
        wait_until(lambda: asked(for_clients, bearing(first))[0] == 401, "the token to expire")
        assert not (await client.call_tool("look", {"text": "b"})).is_error
        assert kept.tokens.access_token != first
    assert shared_issuer.asked["token"] >= asked_for + 2


async def test_the_sdk_s_client_asks_for_the_scopes_that_are_required_from_now_on(
    issuer: Provider, tmp_path: Path
) -> None:
    port, kept = free_port(), Kept()
    made = config(issuer, tmp_path, audience=f"http://127.0.0.1:{port}/mcp", required_scopes=["mcp"])
    with running_gateway(made, tmp_path, port=port, env={"ROBOT": KEY}) as gateway:
        async with (
            httpx2.AsyncClient(auth=login(gateway.url, kept)) as http,
            Client(streamable_http_client(gateway.url, http_client=http)) as client,
        ):
            await client.call_tool("look", {"text": "a"})
            assert kept.tokens is not None and kept.tokens.scope == "mcp"
            first = kept.tokens.access_token
            made["auth"]["issuers"][0]["required_scopes"] = ["mcp", "more"]
            write_config(made, gateway.config_path)
            wait_until(lambda: asked(gateway, bearing(first))[0] == 403, "the edit")
            assert not (await client.call_tool("look", {"text": "b"})).is_error
            assert kept.tokens.scope == "mcp more"


async def test_fastmcp_s_client_logs_in_too(
    for_clients: Gateway, shared_issuer: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    import fastmcp
    from fastmcp.client.auth import OAuth

    opened: list[str] = []

    def browser(address: str) -> bool:
        """A browser in a thread of its own: it follows the redirect to the client's own callback server."""
        import threading

        opened.append(address)
        threading.Thread(target=lambda: httpx2.get(address, follow_redirects=True), daemon=True).start()
        return True

    monkeypatch.setattr("webbrowser.open", browser)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of tokens kept in memory, and of what its callback server uses
        async with fastmcp.Client(for_clients.url, auth=OAuth()) as client:
            assert [tool.name for tool in await client.list_tools()] == ["look"]
    assert len(opened) == 1


# Mid-life ------------------------------------------------------------------------------------------------------


def opened_stream(gateway: Gateway, method: str, headers: dict[str, str], body: bytes = b"") -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", int(gateway.base.rpartition(":")[2])), timeout=20)
    head = {"host": "localhost", "content-length": str(len(body)), **headers}
    lines = "".join(f"{name}: {value}\r\n" for name, value in head.items())
    connection.sendall(f"{method} /mcp HTTP/1.1\r\n{lines}\r\n".encode() + body)
    assert b" 200 " in connection.recv(4096)
    return connection


def ended(connection: socket.socket) -> bytes:
    """Everything until the stream is complete; fails where that takes 20 seconds."""
    whole = b""
    with connection:
        while not whole.endswith(b"0\r\n\r\n"):
            chunk = connection.recv(65536)
            if not chunk:
                break
            whole += chunk
    return whole


def goes_on(connection: socket.socket) -> bool:
    """Whether a stream is open still, and says nothing more."""
    connection.settimeout(0.3)
    try:
        with connection:
            while connection.recv(4096):
                pass
    except TimeoutError:
        return True
    return False


def listening(headers: dict[str, str]) -> tuple[dict[str, str], bytes]:
    wanted = {"notifications": {"toolsListChanged": True}, "_meta": ENVELOPE}
    sent = {**BOTH_KINDS, "mcp-protocol-version": MODERN, "mcp-method": "subscriptions/listen", **headers}
    return sent, json.dumps(message("subscriptions/listen", wanted, 1)).encode()


@pytest.mark.parametrize("kind", ["get", "listen"])
def test_an_open_stream_ends_soon_after_its_caller_s_token(
    gateway: Gateway, shared_issuer: Provider, kind: str
) -> None:
    token = bearing(shared_issuer.mint({"scope": "mcp", "exp": int(time.time()) + 3, "jti": kind}))
    if kind == "get":
        session = HttpLegacy(gateway, token)
        stream = opened_stream(gateway, "GET", {**session.sent(), "accept": "text/event-stream"})
    else:
        stream = opened_stream(gateway, "POST", *listening(token))
    lasting = bearing(shared_issuer.mint({"scope": "mcp"}))
    other = opened_stream(gateway, "POST", *listening(lasting))
    ended(stream)
    assert asked(gateway, token)[0] == 401
    assert goes_on(other)
    if kind == "get":
        renewed = {**session.sent(), **lasting}
        assert exchange(gateway, message("ping", {}, 8), renewed)[0] == 200  # the session itself is still there


# Outages -------------------------------------------------------------------------------------------------------


def test_the_gateway_starts_while_the_issuer_is_away_and_lets_in_when_it_is_back(
    issuer: Provider, tmp_path: Path
) -> None:
    issuer.stop()
    with running_gateway(config(issuer, tmp_path, timeout=1), tmp_path, env={"ROBOT": KEY}) as gateway:
        token = bearing(issuer.mint())
        status, body, headers = asked(gateway, token)
        assert status == 503 and body["error"]["data"]["type"] == "identity_unavailable"
        assert headers["retry-after"] and "www-authenticate" not in headers
        assert refusals(gateway)[-1]["outcome"] == "identity_unavailable"
        assert asked(gateway, bearing(KEY))[0] == 200  # who needs no issuer is served
        issuer.start()
        wait_until(lambda: asked(gateway, token)[0] == 200, "the issuer's keys")
        failed = [e.record["event"] for e in entries(gateway.data_dir) if e.record.get("kind") == "identity"]
        assert failed == ["jwks_failed", "jwks_loaded"]


def test_an_issuer_that_goes_away_in_flight_keeps_its_callers_and_rotates_when_back(
    issuer: Provider, tmp_path: Path
) -> None:
    with running_gateway(config(issuer, tmp_path, timeout=1), tmp_path, env={"ROBOT": KEY}) as gateway:
        old, other = bearing(issuer.mint()), bearing(issuer.mint({"sub": "bob"}))
        assert asked(gateway, old)[0] == 200
        issuer.stop()
        assert asked(gateway, old)[0] == asked(gateway, other)[0] == 200
        rotated = new_key()
        fresh = bearing(issuer.mint(key=rotated))
        assert asked(gateway, fresh)[0] == 503  # nobody can say
        issuer.keys = [rotated]
        issuer.start()
        wait_until(lambda: asked(gateway, fresh)[0] == 200, "the new key", 60)
        assert asked(gateway, old)[0] == 401  # its key is gone from the set


def test_a_reload_that_takes_an_issuer_or_a_key_away_takes_its_callers_and_their_streams_away(
    issuer: Provider, tmp_path: Path
) -> None:
    made = config(issuer, tmp_path)
    with running_gateway(made, tmp_path, env={"ROBOT": KEY}) as gateway:
        token = bearing(issuer.mint())
        assert asked(gateway, token)[0] == 200
        one, other = (opened_stream(gateway, "POST", *listening(each)) for each in (token, bearing(KEY)))
        issuers = made["auth"].pop("issuers")
        write_config(made, gateway.config_path)
        ended(one)
        assert asked(gateway, token)[0] == 401 and asked(gateway, bearing(KEY))[0] == 200
        assert fetch(f"{gateway.base}/.well-known/oauth-protected-resource")[0] == 404
        made["auth"] |= {"issuers": issuers, "api_keys": []}
        write_config(made, gateway.config_path)
        ended(other)
        assert asked(gateway, bearing(KEY))[0] == 401 and asked(gateway, token)[0] == 200
