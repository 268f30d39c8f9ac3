"""Which authorization servers are believed, and which addresses are asked (THREATS 9, 10 and 13)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from credentials.oauth_world import World, query_of, world

from agentflow.config import ServerConfig
from agentflow.identity import oauth
from agentflow.identity.fetching import FetchFailed
from agentflow.identity.oauth import AuthorizationServer, Client, OAuthFailed
from agentflow.identity.oauth_http import Outbound


@pytest.fixture
def there() -> Iterator[World]:
    with world() as made:
        yield made


async def found(there: World, **auth: Any) -> AuthorizationServer:
    config = ServerConfig.model_validate({"url": there.guarded.url, "auth": {"type": "oauth", **auth}})
    assert config.auth is not None
    return await oauth.discover(config.auth, config.url, oauth.outbound_of(config))


async def test_the_server_names_its_authorization_server_and_what_to_ask_it_for(there: World) -> None:
    server = await found(there)
    assert (server.issuer, server.resource, server.scope) == (there.issuer.url, there.guarded.url, "read")
    url = oauth.authorization_url(server, Client("c"), "http://127.0.0.1:1/cb", "the-state", "v" * 64)
    asked = query_of(url)
    assert asked["code_challenge_method"] == "S256" and asked["resource"] == there.guarded.url
    assert asked["redirect_uri"] == "http://127.0.0.1:1/cb" and asked["state"] == "the-state"


@pytest.mark.parametrize(
    ("issuer", "resource", "error"),
    [
        ({"issuer": "https://other.example"}, {}, "issuer_mismatch"),
        ({"code_challenge_methods_supported": ["plain"]}, {}, "no_pkce"),
        ({"code_challenge_methods_supported": None}, {}, "no_pkce"),
        ({"authorization_endpoint": "javascript:alert(1)"}, {}, "no_endpoint"),
        ({"token_endpoint": "file:///etc/passwd"}, {}, "no_endpoint"),
        ({}, {"resource": "https://other.example/mcp"}, "resource_mismatch"),
        ({}, {"authorization_servers": ["http://169.254.169.254"]}, "forbidden_address"),
        ({}, {"authorization_servers": ["https://10.0.0.1"]}, "forbidden_address"),
        ({}, {"authorization_servers": ["https://[::ffff:10.0.0.1]/x"]}, "forbidden_address"),
        ({}, {"authorization_servers": ["https://[fd00::1]"]}, "forbidden_address"),
        ({}, {"authorization_servers": ["https://[64:ff9b::a00:1]"]}, "forbidden_address"),
        ({}, {"authorization_servers": ["https://192.168.1.1:8443/realm"]}, "forbidden_address"),
        ({}, {"authorization_servers": ["https://0.0.0.0"]}, "forbidden_address"),
        ({}, {"authorization_servers": ["ftp://127.0.0.1/"]}, "not_a_url"),
        ({}, {"authorization_servers": ["https://user:pw@127.0.0.1/"]}, "not_a_url"),
        ({}, {"authorization_servers": ["http://8.8.8.8"]}, "insecure"),
    ],
)
async def test_what_names_itself_wrongly_or_leads_astray_is_refused(
    there: World, issuer: dict[str, Any], resource: dict[str, Any], error: str
) -> None:
    there.issuer.metadata_over, there.guarded.resource_over = issuer, resource
    with pytest.raises(OAuthFailed) as refused:
        await found(there)
    assert refused.value.error == error


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:1/x",
        "http://localhost:1/x",
        "https://[::1]/x",
        "https://[::ffff:127.0.0.1]/x",
        "https://169.254.169.254/latest/meta-data",
        "https://10.1.2.3/",
        "https://100.64.0.1/",
        "https://0/",
        "https://2130706433/",
        "gopher://127.0.0.1/",
    ],
)
async def test_a_public_server_cannot_send_the_gateway_into_the_private_network(url: str) -> None:
    outbound = Outbound(("https://mcp.example/mcp",), allow_private=False, timeout=5)
    with pytest.raises(FetchFailed) as refused:
        await outbound.ask(url)
    assert refused.value.code in ("forbidden_address", "not_a_url")


async def test_a_redirect_is_not_followed(there: World) -> None:
    answer = await Outbound((there.issuer.url,), False, 5).ask(f"{there.guarded.url.removesuffix('/mcp')}/mcp/")
    assert answer.status in (307, 401, 404) and not any(what == "authorize" for what, _ in there.issuer.asked)


async def test_the_configured_issuer_has_to_be_among_those_that_the_server_names(there: World) -> None:
    assert (await found(there, issuer=there.issuer.url)).issuer == there.issuer.url
    with pytest.raises(OAuthFailed, match="not the configured issuer"):
        await found(there, issuer="https://login.example.org")


def test_people_are_sent_to_https_alone_save_on_this_machine() -> None:
    server = AuthorizationServer("https://i.example", "https://i.example/t", "http://i.example/authorize")
    with pytest.raises(OAuthFailed, match="not https"):
        oauth.authorization_url(server, Client("c"), "http://127.0.0.1/cb", "s", "v" * 64)


@pytest.mark.parametrize(
    ("names_itself", "said", "good"),
    [(True, "https://i", True), (True, None, False), (True, "https://j", False), (False, None, True),
     (False, "https://j", False), (True, "https://i/", False)],
)  # fmt: skip
def test_an_answer_counts_only_from_the_authorization_server_that_was_asked(
    names_itself: bool, said: str | None, good: bool
) -> None:
    server = AuthorizationServer("https://i", "https://i/t", names_itself=names_itself)
    if good:
        return oauth.check_issuer(server, said)
    with pytest.raises(OAuthFailed, match="another authorization server"):
        oauth.check_issuer(server, said)


@pytest.mark.parametrize(
    ("challenge", "name", "value"),
    [
        ('Bearer realm="x", error="insufficient_scope", scope="a b"', "scope", "a b"),
        ('Bearer error_description="error=nothing", error="invalid_token"', "error", "invalid_token"),
        ("Bearer resource_metadata=https://x/y", "resource_metadata", "https://x/y"),
        (r'Bearer scope="a\"b"', "scope", 'a"b'),
        ("Bearer", "scope", None),
    ],
)
def test_challenges_are_read_as_they_are_written(challenge: str, name: str, value: str | None) -> None:
    assert oauth.parameter(challenge, name) == value


@pytest.mark.parametrize(
    ("auth", "wrong"),
    [
        ({"type": "static", "scopes": ["a"]}, "means nothing"),
        ({"type": "static", "headers": {"X-Key": "fixed"}}, "must hold"),
        ({"type": "oauth", "token_url": "https://x/t"}, "needs `authorization_url`"),
        ({"type": "token_exchange", "token_url": "https://x/t"}, "needs `client_id`"),
        ({"type": "oauth", "issuer": "nowhere"}, "is not an http or https URL"),
        ({"type": "oauth", "client_secret": "s"}, "needs `client_id`"),
        ({"type": "static", "env": {"TOKEN": "{value}"}}, "is for stdio servers"),
        ({"type": "static", "headers": {"X Key": "{value}"}}, "cannot carry"),
        ({"type": "static", "headers": {"X-Key": "{value}\r\nX-Role: admin"}}, "cannot carry"),
        ({"type": "static", "headers": {"X-Kéy": "{value}"}}, "cannot carry"),
        ({"type": "static", "headers": {"Host": "{value}"}}, "cannot carry"),
        ({"type": "static", "headers": {"Mcp-Session-Id": "{value}"}}, "cannot carry"),
        ({"type": "static", "env": {"A=B": "{value}"}}, "no environment variable"),
    ],
)
def test_an_entry_that_makes_no_sense_is_refused_with_the_reason(auth: dict[str, Any], wrong: str) -> None:
    with pytest.raises(ValueError, match=wrong):
        ServerConfig.model_validate({"url": "https://x.example/mcp", "auth": auth})


def test_a_stdio_server_takes_credentials_in_its_environment_alone() -> None:
    with pytest.raises(ValueError, match="in its environment only"):
        ServerConfig.model_validate({"command": "x", "auth": "oauth"})
    assert ServerConfig.model_validate({"command": "x", "auth": {"type": "static", "env": {"T": "{value}"}}}).auth


async def test_a_server_that_takes_documents_about_clients_gets_the_gateways_address_for_a_client_id(
    there: World,
) -> None:
    there.issuer.documents = True
    server = await found(there)
    config = ServerConfig.model_validate({"url": there.guarded.url, "auth": "oauth"})
    assert config.auth is not None
    at = "https://gw.example/oauth/client/desk"
    assert oauth.known_client(config.auth, server, at) == Client(at)
    assert oauth.known_client(config.auth, server, None) is None  # nobody could read it there
    document = oauth.client_document(at, "https://gw.example/oauth/callback/desk")
    assert document["client_id"] == at and document["redirect_uris"] == ["https://gw.example/oauth/callback/desk"]
    assert document["token_endpoint_auth_method"] == "none"


async def test_a_server_that_registers_nobody_says_what_to_do(there: World) -> None:
    there.issuer.registers = False
    server = await found(there)
    with pytest.raises(OAuthFailed, match="lets no client register") as refused:
        await oauth.register(server, "http://127.0.0.1/cb", Outbound((there.issuer.url,), False, 5))
    assert "auth.client_id" in refused.value.fix
