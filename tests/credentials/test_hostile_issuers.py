"""What authorization servers, and APIs' documents, may say without harm."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from credentials.oauth_world import World, serving, world
from credentials.test_modes import bound_to, end, keep
from gateway.service_world import config_of, running
from gateway_process import free_port
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from agentflow.config import ServerConfig
from agentflow.config_credentials import UpstreamAuth
from agentflow.errors import AuditUnavailable
from agentflow.identity import oauth
from agentflow.identity.credentials import Credential, Credentials, Grant, Owner
from agentflow.identity.downstream import source
from agentflow.identity.fetching import MAX_DOCUMENT
from agentflow.identity.oauth import AuthorizationServer, Client, OAuthFailed, outbound_of

JSON = dict[str, Any]


@pytest.fixture
def there() -> Iterator[World]:
    with world() as made:
        yield made


class Odd:
    """An endpoint that answers with these bytes."""

    def __init__(self) -> None:
        self.port = free_port()
        self.body = b"{}"
        self.heard: list[bytes] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def _answer(self, request: Request) -> Response:
        self.heard.append(await request.body())
        return Response(self.body, media_type="application/json")

    async def _forever(self, request: Request) -> Response:
        async def drip() -> Any:
            while True:
                yield b" "
                await asyncio.sleep(0.05)

        return StreamingResponse(drip(), media_type="application/json")

    def app(self) -> Starlette:
        return Starlette(routes=[Route("/slow", self._forever, methods=["POST"]),
                                 Route("/{rest:path}", self._answer, methods=["GET", "POST"])])  # fmt: skip


@pytest.fixture(scope="module")
def odd() -> Iterator[Odd]:
    made = Odd()
    with serving((made.port, made.app())):
        yield made


def entry(odd: Odd, **auth: Any) -> ServerConfig:
    return ServerConfig.model_validate({"url": f"{odd.url}/mcp", "auth": {"type": "oauth", **auth}})


GOOD = {"access_token": "t" * 20, "token_type": "Bearer"}


@pytest.mark.parametrize(
    ("over", "lasts"),
    [
        ('{"expires_in": 3600}', 3600.0),
        ('{"expires_in": "3600"}', 3600.0),
        ('{"expires_in": -5}', 0.0),
        ('{"expires_in": Infinity}', None),
        ('{"expires_in": NaN}', None),
        ('{"expires_in": 1e300}', None),
        ('{"expires_in": 1' + "0" * 400 + "}", None),
        ('{"expires_in": "\\u00b2"}', None),
        ('{"expires_in": "1' + "0" * 4000 + '"}', None),
        ('{"expires_in": true}', None),
        ('{"expires_in": [1]}', None),
        ('{"scope": "\\ud800"}', None),
        ('{"scope": "a\\nb"}', None),
        ('{"refresh_token": null}', None),
    ],
)
async def test_a_token_answer_is_read_without_being_believed(odd: Odd, over: str, lasts: float | None) -> None:
    odd.body = json.dumps(GOOD).encode()[:-1] + b", " + over.encode()[1:]
    config = entry(odd)
    server = AuthorizationServer(odd.url, f"{odd.url}/token", scope="read")
    grant = await oauth.redeem(server, Client("c"), "code", "http://127.0.0.1/cb", "v" * 43, outbound_of(config))
    assert grant.lasts == lasts and (grant.expires is None or math.isfinite(grant.expires))
    assert grant.scope == "read"


@pytest.mark.parametrize(
    "body",
    [
        {"access_token": "two\r\nlines", "token_type": "Bearer"},
        {"access_token": "na\u00efve-token-0123", "token_type": "Bearer"},
        {"access_token": "\ud800", "token_type": "Bearer"},
        {"access_token": "t" * 20_000, "token_type": "Bearer"},
        {"access_token": "a token", "token_type": "Bearer"},
        {"access_token": "t", "token_type": "mac"},
        {"access_token": "t"},
        {**GOOD, "refresh_token": "two\r\nlines"},
        {**GOOD, "refresh_token": "\ud800"},
        {**GOOD, "refresh_token": ["t"]},
        {"access_token": {"a": 1}, "token_type": "Bearer"},
    ],
)
async def test_what_is_no_bearer_token_is_refused_unseen(odd: Odd, body: JSON) -> None:
    odd.body = json.dumps(body).encode()
    server = AuthorizationServer(odd.url, f"{odd.url}/token")
    with pytest.raises(OAuthFailed) as refused:
        await oauth.redeem(server, Client("c"), "code", "http://x/", "v" * 43, outbound_of(entry(odd)))
    assert "lines" not in str(refused.value) and "ttt" not in str(refused.value)


async def test_a_giant_answer_and_an_endless_one_are_given_up(odd: Odd) -> None:
    odd.body = b'{"access_token": "' + b"t" * MAX_DOCUMENT + b'"}'
    for place, code in (("token", "too_large"), ("slow", "timeout")):
        server = AuthorizationServer(odd.url, f"{odd.url}/{place}")
        with pytest.raises(OAuthFailed) as refused:
            await oauth.redeem(server, Client("c"), "c", "http://x/", "v" * 43, outbound_of(entry(odd, timeout=0.5)))
        assert refused.value.error == code


_AWRY: list[Any] = [
    "\ud800",
    "https://[",
    "https://\ud800/",
    "",
    5,
    None,
    [],
    {},
    "https://u:p@h/",
    "x" * 20_000,
    "\r\n",
]


_NAMES = ("issuer", "authorization_endpoint", "token_endpoint", "registration_endpoint", "scopes_supported",
          "token_endpoint_auth_methods_supported", "code_challenge_methods_supported")  # fmt: skip


async def test_metadata_of_any_shape_is_refused_by_name_or_of_no_consequence(there: World) -> None:
    config = ServerConfig.model_validate({"url": there.guarded.url, "auth": "oauth"})
    assert config.auth is not None
    for name, value in itertools.product(_NAMES, _AWRY):
        there.issuer.metadata_over = {name: value}
        with contextlib.suppress(OAuthFailed):
            server = await oauth.discover(config.auth, config.url, outbound_of(config))
            oauth.authorization_url(server, Client("c"), "http://127.0.0.1/cb", "state", "v" * 43)
            client, until = await oauth.register(server, "http://127.0.0.1/cb", outbound_of(config))
            assert until is None and client.client_id


@pytest.mark.parametrize("name", ["resource", "authorization_servers", "scopes_supported"])
async def test_resource_metadata_of_any_shape_is_refused_by_name_or_of_no_consequence(there: World, name: str) -> None:
    config = ServerConfig.model_validate({"url": there.guarded.url, "auth": "oauth"})
    assert config.auth is not None
    for value in (*_AWRY, ["\ud800"], ["https://["], [5, None], ["https://127.0.0.1:1"] * 999):
        there.guarded.resource_over = {name: value}
        with contextlib.suppress(OAuthFailed):
            await oauth.discover(config.auth, config.url, outbound_of(config))


@pytest.mark.parametrize(
    "over",
    ['{"client_id": null}', '{"client_id": "\\ud800"}', '{"client_id": "c", "client_secret": "\\ud800"}',
     '{"client_id": "c", "client_secret": 5}', '{"client_id": ["c"]}', "[]", "nothing"],
)  # fmt: skip
async def test_a_registration_of_any_shape_is_refused(odd: Odd, over: str) -> None:
    odd.body = over.encode()
    server = AuthorizationServer(odd.url, f"{odd.url}/token", registration_url=f"{odd.url}/register")
    with pytest.raises(OAuthFailed):
        await oauth.register(server, "http://127.0.0.1/cb", outbound_of(entry(odd)))
    odd.body = b'{"client_id": "c", "client_secret_expires_at": 1e999}'
    assert (await oauth.register(server, "http://127.0.0.1/cb", outbound_of(entry(odd))))[1] is None


async def test_a_password_in_a_servers_address_is_not_told_to_its_authorization_server(odd: Odd) -> None:
    auth = {"type": "token_exchange", "token_url": f"{odd.url}/token", "client_id": "c"}
    url = f"http://user:pass-word@127.0.0.1:{odd.port}/mcp"
    config = ServerConfig.model_validate({"url": url, "auth": auth})
    assert isinstance(config.auth, UpstreamAuth)
    server = await oauth.discover(config.auth, config.url, outbound_of(config))
    assert server.resource == f"{odd.url}/mcp"


async def test_a_credential_goes_to_no_host_that_only_an_apis_document_names(odd: Odd, tmp_path: Path) -> None:
    other = Odd()
    document = {
        "openapi": "3.0.0",
        "info": {"title": "t", "version": "1"},
        "servers": [{"url": other.url}],
        "paths": {"/me": {"get": {"operationId": "me", "responses": {"200": {"description": "d"}}}}},
    }
    odd.body = json.dumps(document).encode()
    desk = {"spec": f"{odd.url}/openapi.json", "auth": {"type": "static", "headers": {"X-Key": "{value}"}}}
    with serving((other.port, other.app())):
        async with running(config_of(tmp_path, {"desk": desk})) as up:
            await asyncio.to_thread(keep, up, "alice", "key-of-alice")
            answer = await up.call("desk__me", {}, end("alice"))
            (reason,) = [each.upstream.health.reason for each in up.service.members if each.name == "desk"]
    assert other.heard == [] and "error" in answer and "base_url" in reason


async def test_a_renewed_credential_is_kept_even_where_that_cannot_be_recorded(there: World, kept: Any) -> None:
    config = ServerConfig.model_validate({"url": there.guarded.url, "auth": "oauth"})
    given = there.issuer.give("alice", there.guarded.url)
    stale = Grant(given["access_token"], 1.0, 10.0, given["refresh_token"], token_url=f"{there.issuer.url}/token",
                  issuer=there.issuer.url, client=Client("c").document())  # fmt: skip
    alice, full = Owner("default", "alice"), False

    def record(event: Any) -> None:
        if full:
            raise AuditUnavailable("the disk is full")

    credentials = Credentials(kept.store(), lambda: b"k" * 32, record)
    credentials.put(alice, "desk", Credential("oauth", grant=stale, audience=bound_to(config)), "t")
    desk = source("desk", config, credentials, lambda _: "")
    assert desk is not None
    credentials.used(alice, "desk", credentials.get(alice, "desk").version)  # type: ignore[union-attr]
    full = True
    with pytest.raises(AuditUnavailable):
        await desk.of(alice.key).headers()  # no call goes out unrecorded
    full = False
    shown = await desk.of(alice.key).headers()
    assert shown["Authorization"].removeprefix("Bearer ") in there.issuer.tokens
    assert len(there.issuer.grants("refresh_token")) == 1
