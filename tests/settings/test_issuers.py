"""Issuers in the configuration file: what is wrong with them is said before the gateway starts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from agentflow.settings import file as config_file

JSON = dict[str, Any]
GOOD: JSON = {"issuer": "https://login.example.org", "audience": "https://gateway.example.org/mcp"}


def problems(folder: Path, *issuers: JSON, **sections: Any) -> list[tuple[str, str, str]]:
    path = folder / "agentflow.yaml"
    path.write_text(json.dumps({"auth": {"issuers": list(issuers)}, **sections}))
    return [(p.path, p.severity, p.message) for p in config_file.check(path, {"PATH": "/bin"})]


def test_an_issuer_and_its_audience_are_enough(tmp_path: Path) -> None:
    assert problems(tmp_path, GOOD) == []
    assert problems(tmp_path, GOOD, serve={"host": "0.0.0.0"}) == []  # callers have to say who they are
    local = {"issuer": "http://127.0.0.1:9000", "audience": "x"}
    assert problems(tmp_path, local) == []


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"audience": None}, "audience"),
        ({"audience": []}, "audience"),
        ({"audience": ["*"]}, "audience"),
        ({"audience": ""}, "audience"),
        ({"issuer": "login.example.org"}, "issuer"),
        ({"issuer": "https://login.example.org?x=1"}, "issuer"),
        ({"issuer": "http://login.example.org"}, "issuer"),
        ({"issuer": "https://10.0.0.1"}, "issuer"),
        ({"issuer": "https://user:word@login.example.org"}, "issuer"),
        ({"jwks_url": "http://login.example.org/keys"}, "jwks_url"),
        ({"jwks_url": "file:///etc/passwd"}, "jwks_url"),
        ({"discovery": "https://169.254.169.254/"}, "discovery"),
        ({"algorithms": ["none"]}, "algorithms[0]"),
        ({"algorithms": ["HS256"]}, "algorithms[0]"),
        ({"algorithms": []}, "algorithms"),
        ({"leeway": 3600}, "leeway"),
        ({"ca": "missing.pem"}, "ca"),
        ({"tenants": ["acme"]}, "claims.tenant"),
        ({"roles_map": {"a": ["admin"]}}, "claims.roles"),
        ({"required_scopes": ['a"b']}, "required_scopes[0]"),
        ({"audiences": ["x"]}, "audiences"),
    ],
)
def test_what_cannot_be_meant_is_an_error(tmp_path: Path, change: JSON, where: str) -> None:
    entry = {name: value for name, value in {**GOOD, **change}.items() if value is not None}
    (problem,) = problems(tmp_path, entry)
    assert problem[:2] == (f"auth.issuers[0].{where}", "error")


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"claims": {"tenant": "org"}}, "tenants"),
        ({"claims": {"roles": "groups"}}, "roles_map"),
        ({"default_roles": ["admin"]}, "default_roles"),
    ],
)
def test_what_gives_much_away_is_a_warning(tmp_path: Path, change: JSON, where: str) -> None:
    (problem,) = problems(tmp_path, {**GOOD, **change})
    assert problem[:2] == (f"auth.issuers[0].{where}", "warning")


def test_issuers_must_be_told_apart(tmp_path: Path) -> None:
    first, other = {**GOOD, "id_prefix": ""}, {**GOOD, "issuer": "https://login.example.net"}
    assert problems(tmp_path, first, other) == []
    assert [p[:2] for p in problems(tmp_path, first, first)] == [("auth.issuers[1].issuer", "error")]
    assert [p[:2] for p in problems(tmp_path, first, {**other, "id_prefix": ""})] == [("auth.issuers", "error")]
    assert problems(tmp_path, first, {**other, "id_prefix": "", "tenant": "acme"}) == []


def test_names_of_callers_that_hang_on_the_order_of_issuers_are_a_warning(tmp_path: Path) -> None:
    (problem,) = problems(tmp_path, GOOD, {**GOOD, "issuer": "https://login.example.net"})
    assert problem[:2] == ("auth.issuers[0].id_prefix", "warning")


@pytest.mark.parametrize("name", ["agentflow", "a/b", "", " "])
def test_a_tenant_has_a_name_that_nothing_else_has(tmp_path: Path, name: str) -> None:
    server = {"url": "http://localhost/1", "tenants": [name]}
    sections: list[JSON] = [
        {"auth": {"issuers": [{**GOOD, "tenant": name}]}},
        {"auth": {"local": {"tenant": name}}},
        {"auth": {"home_tenant": name}},
        {"mcpServers": {"one": server}},
    ]
    for section in sections:
        (problem,) = problems(tmp_path, **section)
        assert problem[1] == "error" and "tenant" in problem[0]


def test_a_gateway_behind_a_proxy_that_asks_nobody_who_it_is_is_a_warning(tmp_path: Path) -> None:
    for serve in ({"public_url": "https://gateway.example.org"}, {"allowed_hosts": ["gateway.example.org:8443"]}):
        (problem,) = problems(tmp_path, serve=serve)
        assert problem[:2] == ("auth", "warning") and "gateway.example.org" in problem[2]
        assert problems(tmp_path, GOOD, serve=serve) == []
    for serve in ({"public_url": "http://localhost:8808"}, {"allowed_hosts": ["[::1]:9", "127.0.0.1"]}):
        assert problems(tmp_path, serve=serve) == []


def test_the_public_address_is_https(tmp_path: Path) -> None:
    (problem,) = problems(tmp_path, GOOD, serve={"public_url": "http://gateway.example.org"})
    assert problem[:2] == ("serve.public_url", "warning")
    assert problems(tmp_path, GOOD, serve={"public_url": "https://gateway.example.org"}) == []
    # Challenges name it in a header.
    odd = ("https://g\u00e4teway.example.org", "https://gateway.example.org/\u00fc", 'https://gateway.example.org/"')
    for wrong in ("gateway.example.org", "https://gateway.example.org?x", "https://a@b.example.org", *odd):
        assert problems(tmp_path, GOOD, serve={"public_url": wrong})[0][:2] == ("serve.public_url", "error")


def test_servers_of_different_tenants_may_have_the_same_namespace(tmp_path: Path) -> None:
    def found(first: list[str], second: list[str]) -> list[str]:
        one = {"url": "http://localhost/1", "namespace": "crm", "tenants": first}
        two = {"url": "http://localhost/2", "namespace": "crm", "tenants": second}
        return [path for path, _, _ in problems(tmp_path, GOOD, mcpServers={"one": one, "two": two})]

    assert found(["acme"], ["globex"]) == []
    for clash in (found(["acme"], ["acme", "globex"]), found([], ["globex"]), found(["acme"], [])):
        assert clash == ["mcpServers.two.namespace"]
