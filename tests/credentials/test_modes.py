"""Every way to be known to a server, through a whole service: each principal as itself, and nobody as another."""

from __future__ import annotations

import asyncio
import base64
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from credentials.oauth_world import EXCHANGE, World, serving, world
from gateway.service_world import Line, config_of, running
from gateway.service_world import World as Running
from gateway_process import free_port
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from agentflow.config import ServerConfig
from agentflow.errors import to_rpc
from agentflow.gateway.client import ClientEnd
from agentflow.gateway.consent import as_elicitation
from agentflow.identity.credentials import Credential, Grant, Owner
from agentflow.identity.downstream import bound_to, source
from agentflow.identity.oauth import Client
from agentflow.identity.principal import Principal
from agentflow.identity.subject import presented

if TYPE_CHECKING:
    from credentials.conftest import Kept

JSON = dict[str, Any]
STDIO = """
import json, os, sys
for line in sys.stdin:
    m = json.loads(line)
    if "id" not in m: continue
    r = {"initialize": {"protocolVersion": "2025-11-25", "capabilities": {"tools": {}},
                        "serverInfo": {"name": "env", "version": "1"}},
         "tools/list": {"tools": [{"name": "whoami", "inputSchema": {"type": "object"}}]},
         "tools/call": {"content": [{"type": "text", "text": os.environ.get("TOKEN", "none")}]}}.get(m["method"])
    a = {"result": r} if r else {"error": {"code": -32601, "message": "no"}}
    print(json.dumps({"jsonrpc": "2.0", "id": m["id"], **a}), flush=True)
"""


@pytest.fixture
def there() -> Iterator[World]:
    with world() as made:
        yield made


def end(name: str, era: Any = "legacy", can: JSON | None = None, auth: str = "api_key") -> ClientEnd:
    who = Principal(name, roles=("operator",), auth=auth)
    session = f"session-{name}" if era == "legacy" else None
    return ClientEnd(who, Line(), "http", era, "2025-11-25", {"name": "t", "version": "1"}, can or {}, session)


def jwt(name: str) -> str:
    body = base64.urlsafe_b64encode(json.dumps({"sub": name}).encode()).rstrip(b"=").decode()
    return f"e30.{body}.c2ln"


async def whoami(up: Running, name: str, **client: Any) -> str:
    answer = await up.call("desk__whoami", {}, end(name, **client))
    assert "result" in answer, answer
    return str(answer["result"]["content"][0]["text"])


def keep(up: Running, name: str, value: str, audience: str | None = None) -> None:
    bound = bound_to(up.service.config.mcp_servers["desk"]) if audience is None else audience
    up.service.credentials.put(Owner("default", name), "desk", Credential("static", value, audience=bound), "t")


@pytest.mark.parametrize("era", ["legacy", "modern"])
async def test_a_value_of_ones_own_goes_with_ones_own_calls_alone(there: World, tmp_path: Path, era: Any) -> None:
    there.guarded.static = {"key-of-alice": "alice", "key-of-bob": "bob", "key-of-gateway": "gateway"}
    desk = {
        "url": there.guarded.url,
        "auth": "static",
        "credentials": {"Authorization": "Bearer key-of-gateway"},
    }
    async with running(config_of(tmp_path, {"desk": desk})) as up:
        assert await up.tools(end("carol", era)) == {"desk__whoami"}  # the gateway lists, with its own
        refused = (await up.call("desk__whoami", {}, end("carol", era)))["error"]
        assert refused["data"]["type"] == "credential_required"
        assert "agentflow credentials set desk --principal default/carol" in refused["data"]["fix"]
        for name in ("alice", "bob"):
            await asyncio.to_thread(keep, up, name, f"key-of-{name}")
        names = ["alice", "bob"] * 15
        assert await asyncio.gather(*(whoami(up, name, era=era) for name in names)) == names
        assert all(each["who"] != "gateway" for each in there.guarded.calls())
        await asyncio.to_thread(up.service.credentials.revoke, Owner("default", "bob"), "desk", "t")
        assert (await up.call("desk__whoami", {}, end("bob", era)))["error"]["data"]["type"] == "credential_required"
        assert await whoami(up, "alice", era=era) == "alice"


async def test_a_value_that_the_server_does_not_take_is_a_typed_error_that_quotes_nothing(
    there: World, tmp_path: Path
) -> None:
    there.guarded.listing = True
    async with running(config_of(tmp_path, {"desk": {"url": there.guarded.url, "auth": "static"}})) as up:
        await asyncio.to_thread(keep, up, "alice", "wrong-value-0123")
        error = (await up.call("desk__whoami", {}, end("alice")))["error"]
        assert error["data"]["type"] == "credential_required" and "wrong-value" not in json.dumps(error)
        assert len(there.guarded.calls()) == 1  # not tried again: there is nothing else to try
        assert "wrong-value" not in json.dumps(up.records())


@pytest.mark.parametrize("audience", ["https://desk.example:443/mcp", "{origin}/other/mcp", "{origin}", ""])
async def test_a_credential_does_not_follow_the_name_of_a_server_to_another_address(
    there: World, tmp_path: Path, audience: str
) -> None:
    audience = audience.format(origin=there.guarded.url.removesuffix("/mcp"))
    there.guarded.listing = True
    async with running(config_of(tmp_path, {"desk": {"url": there.guarded.url, "auth": "static"}})) as up:
        await asyncio.to_thread(keep, up, "alice", "key-of-alice", audience)
        error = (await up.call("desk__whoami", {}, end("alice")))["error"]
        assert error["data"]["type"] == "credential_required"
        assert "key-of-alice" not in json.dumps(there.guarded.heard)


async def test_the_callers_jwt_is_exchanged_and_never_forwarded(there: World, tmp_path: Path) -> None:
    there.guarded.listing = True
    auth = {"type": "token_exchange", "token_url": f"{there.issuer.url}/token", "client_id": "gw", "audience": "desk"}
    async with running(config_of(tmp_path, {"desk": {"url": there.guarded.url, "auth": auth}})) as up:
        for name in ("alice", "bob", "alice"):
            with presented(jwt(name)):
                assert await whoami(up, name, auth="jwt") == f"exchanged-{name}"
        exchanged = there.issuer.grants(EXCHANGE)
        assert [form["subject_token"] for form in exchanged] == [jwt("alice"), jwt("bob")]  # once each
        assert exchanged[0]["audience"] == "desk" and exchanged[0]["resource"] == there.guarded.url
        everything = json.dumps(there.guarded.heard)
        assert jwt("alice") not in everything and jwt("bob") not in everything
        there.issuer.end_tokens()
        with presented(jwt("alice")):
            assert await whoami(up, "alice", auth="jwt") == "exchanged-alice"
        assert len(there.issuer.grants(EXCHANGE)) == 3
        error = (await up.call("desk__whoami", {}, end("alice")))["error"]  # the same caller, with a key this time
        assert error["data"]["type"] == "credential_required" and "JWT" in error["data"]["fix"]
        there.issuer.refuse = "invalid_target"
        with presented(jwt("carol")):
            refused = await up.call("desk__whoami", {}, end("carol", auth="jwt"))
        assert refused["error"]["data"]["type"] == "credential_required"


async def test_the_gateways_own_token_is_had_once_and_renewed(there: World, tmp_path: Path) -> None:
    there.issuer.clients["gw"] = {"secret": "s3cret/+", "redirect_uris": []}
    auth = {
        "type": "client_credentials",
        "issuer": there.issuer.url,
        "client_id": "gw",
        "client_secret": "s3cret/+",
    }
    async with running(config_of(tmp_path, {"desk": {"url": there.guarded.url, "auth": auth}})) as up:
        names = ["alice", "bob"] * 10
        assert set(await asyncio.gather(*(whoami(up, name) for name in names))) == {"gateway"}
        assert len(there.issuer.grants("client_credentials")) == 1
        there.issuer.end_tokens()
        assert set(await asyncio.gather(*(whoami(up, name) for name in names))) == {"gateway"}
        assert len(there.issuer.grants("client_credentials")) == 2


async def test_a_server_that_wants_more_scope_says_so_in_the_error(tmp_path: Path) -> None:
    with world(listing=True, wanted=("write",)) as there:
        async with running(config_of(tmp_path, {"desk": {"url": there.guarded.url, "auth": "oauth"}})) as up:
            up.service.served_at = "http://127.0.0.1:8808"
            given = there.issuer.give("alice", there.guarded.url, "read")
            grant = Grant(given["access_token"], issuer=there.issuer.url)
            audience = bound_to(up.service.config.mcp_servers["desk"])
            credential = Credential("oauth", grant=grant, audience=audience)
            await asyncio.to_thread(up.service.credentials.put, Owner("default", "alice"), "desk", credential, "t")
            error = (await up.call("desk__whoami", {}, end("alice")))["error"]
            assert error["data"]["type"] == "credential_required" and "more than" in error["message"]


async def test_a_client_of_2025_that_can_show_an_address_gets_the_error_made_for_it(
    there: World, tmp_path: Path
) -> None:
    there.guarded.listing = True
    async with running(config_of(tmp_path, {"desk": {"url": there.guarded.url, "auth": "oauth"}})) as up:
        up.service.served_at = "http://127.0.0.1:8808"
        client = end("alice", can={"elicitation": {"url": {}}})
        params = {"name": "desk__whoami", "arguments": {}}
        with pytest.raises(Exception) as raised:
            await up.service.gateway.request("tools/call", params, client)
        told = as_elicitation(raised.value, client)
        assert told is not None and told[0] == -32042
        (elicitation,) = told[2]["elicitations"]
        assert elicitation["mode"] == "url" and elicitation["url"] == "http://127.0.0.1:8808/connect/desk"
        assert elicitation["elicitationId"]
        assert as_elicitation(raised.value, end("alice")) is None
        assert to_rpc(raised.value)[2]["connect_url"] == "http://127.0.0.1:8808/connect/desk"


async def test_each_principals_child_process_has_its_own_value_in_its_environment(tmp_path: Path) -> None:
    server = tmp_path / "server.py"
    server.write_text(STDIO)
    desk = {"command": sys.executable, "args": [str(server)], "auth": {"type": "static", "env": {"TOKEN": "{value}"}}}
    async with running(config_of(tmp_path, {"desk": desk})) as up:
        assert await up.tools(end("carol")) == {"desk__whoami"}
        assert (await up.call("desk__whoami", {}, end("carol")))["error"]["data"]["type"] == "credential_required"
        for name in ("alice", "bob"):
            await asyncio.to_thread(keep, up, name, f"key-of-{name}")
        for name in ("alice", "bob", "alice"):
            assert await whoami(up, name) == f"key-of-{name}"
        await asyncio.to_thread(keep, up, "alice", "another-key")
        assert await whoami(up, "alice") == "another-key"


class Api:
    """An HTTP API that sets a cookie and says what came with a request."""

    def __init__(self) -> None:
        self.port, self.heard = free_port(), list[JSON]()

    def app(self) -> Starlette:
        return Starlette(routes=[Route("/me", self._me), Route("/openapi.json", self._document)])

    async def _me(self, request: Request) -> Response:
        headers = dict(request.headers)
        assert request.client is not None
        self.heard.append({**headers, "port": request.client.port})
        if headers.get("x-key", "").startswith("key-of-"):
            answer = JSONResponse({"who": headers["x-key"][7:]})
            answer.set_cookie("session", headers["x-key"])
            return answer
        return JSONResponse({}, 401)

    async def _document(self, request: Request) -> Response:
        operation = {"operationId": "me", "responses": {"200": {"description": "you"}}}
        base = f"http://127.0.0.1:{self.port}"
        return JSONResponse(
            {"openapi": "3.1.0", "info": {"title": "t", "version": "1"}, "servers": [{"url": base}],
             "paths": {"/me": {"get": operation}}}
        )  # fmt: skip


async def test_requests_to_an_http_api_carry_the_callers_own_value_and_nobodys_cookie(tmp_path: Path) -> None:
    api = Api()
    base = f"http://127.0.0.1:{api.port}"
    desk = {
        "spec": f"{base}/openapi.json",
        "base_url": base,
        "auth": {"type": "static", "headers": {"X-Key": "{value}"}},
    }
    with serving((api.port, api.app())):
        async with running(config_of(tmp_path, {"desk": desk})) as up:
            assert await up.tools(end("carol")) == {"desk__me"}
            error = (await up.call("desk__me", {}, end("carol")))["error"]
            assert error["data"]["type"] == "credential_required"
            for name in ("alice", "bob"):
                await asyncio.to_thread(keep, up, name, f"key-of-{name}")
            names = ["alice", "bob"] * 5
            answers = await asyncio.gather(*(up.call("desk__me", {}, end(name)) for name in names))
            assert [each["result"]["structuredContent"]["who"] for each in answers] == names
    ports: dict[str, set[int]] = {}
    for each in api.heard:
        assert "cookie" not in each
        ports.setdefault(each["x-key"], set()).add(each["port"])
    assert not ports["key-of-alice"] & ports["key-of-bob"]


async def test_of_two_gateways_on_one_database_one_renews_for_both(there: World, kept: Kept) -> None:
    config = ServerConfig.model_validate({"url": there.guarded.url, "auth": "oauth"})
    given = there.issuer.give("alice", there.guarded.url)
    stale = Grant(given["access_token"], 1.0, 10.0, given["refresh_token"], token_url=f"{there.issuer.url}/token",
                  issuer=there.issuer.url, client=Client("c").document())  # fmt: skip
    alice = Owner("default", "alice")
    kept.credentials().put(alice, "desk", Credential("oauth", grant=stale, audience=bound_to(config)), "t")
    sources = [source("desk", config, kept.credentials(), lambda _: "") for _ in range(2)]
    shown = await asyncio.gather(*(each.of(alice.key).headers() for each in sources * 25 if each))
    assert len({each["Authorization"] for each in shown}) == 1
    assert shown[0]["Authorization"] != f"Bearer {stale.access_token}"
    assert len(there.issuer.grants("refresh_token")) == 1
    assert kept.names().count("credential_refreshed") == 1


@pytest.mark.parametrize("greets", [True, False])
async def test_where_strangers_are_told_nothing_each_sees_what_it_is_offered_itself(
    there: World, tmp_path: Path, greets: bool
) -> None:
    there.guarded.greets = greets
    there.guarded.static = {"key-of-alice": "alice", "key-of-bob": "bob"}
    there.guarded.own = {"alice": ["for_alice"], "bob": ["for_bob"]}
    async with running(config_of(tmp_path, {"desk": {"url": there.guarded.url, "auth": "static"}})) as up:
        assert await up.tools(end("carol")) == set()
        for name in ("alice", "bob"):
            await asyncio.to_thread(keep, up, name, f"key-of-{name}")
        both = await asyncio.gather(*(up.tools(end(name)) for name in ("alice", "bob", "carol") * 5))
        assert both[:3] == [{"desk__whoami", "desk__for_alice"}, {"desk__whoami", "desk__for_bob"}, set()]
        assert both == both[:3] * 5
        for name, tool in (("bob", "desk__for_alice"), ("carol", "desk__whoami"), ("alice", "desk__for_bob")):
            assert (await up.call(tool, {}, end(name)))["error"]["data"]["type"] == "unknown_name"
        assert await whoami(up, "alice") == "alice"
        assert [each["who"] for each in there.guarded.calls()] == ["alice"]
