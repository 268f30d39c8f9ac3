"""The catalogue as principals see it, and that nothing clear is in what is shown of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from admin.conftest import Headquarters
from admin.offices import KEYS
from gateway_process import wait_until
from security.test_changing_tools import OFFER, Mail

JSON = dict[str, Any]
HIDING = """package agentflow

import rego.v1

default decision := {"allow": false, "reasons": [{"code": "no", "message": "no"}], "obligations": {}}

decision := {"allow": true, "reasons": [{"code": "ok", "message": "ok"}], "obligations": {}} if {
	input.call.tool != "send_email"
} else := {"allow": true, "reasons": [{"code": "ok", "message": "ok"}], "obligations": {}} if {
	"admin" in input.principal.roles
}
"""


def seen(house: Headquarters, name: str, query: str = "") -> list[str]:
    return [tool["name"] for tool in house.office(name).good("GET", f"/catalogue/tools{query}")["items"]]


def test_each_sees_what_policy_lets_it_and_its_tenant_has(own: Any, tmp_path: Path) -> None:
    bundle = tmp_path / "hiding" / "agentflow"
    bundle.mkdir(parents=True)
    (bundle / "policy.rego").write_text(HIDING)
    mail, theirs = Mail(tmp_path), Mail(tmp_path, "theirs")
    servers = {"mail": mail.over_stdio(), "theirs": theirs.over_stdio(tenants=["acme"])}
    house = own(mcpServers=servers, policy={"bundle": str(bundle.parent)})
    everything = {"mail__send_email", "mail__list_drafts"}
    assert set(seen(house, "ROOT")) == everything
    assert seen(house, "VERA") == ["mail__list_drafts"]
    assert seen(house, "ROOT", "?principal=agent") == ["mail__list_drafts"]
    assert seen(house, "ROOT", "?roles=viewer&roles=agent") == ["mail__list_drafts"]
    assert set(seen(house, "ACME")) == {*everything, "theirs__send_email", "theirs__list_drafts"}
    assert set(seen(house, "ROOT", "?principal=acme_viewer&tenant=acme")) == {
        "mail__list_drafts",
        "theirs__list_drafts",
    }
    for name in ("VERA", "OPAL"):
        assert house.office(name).get("/catalogue/tools?principal=root").status == 403
    assert house.office("ACME").get("/catalogue/tools?roles=admin&tenant=default").status == 403
    for name in ("ROOT", "VERA", "ACME"):  # as in the listing that a client gets
        answer = house.gateway.rpc("tools/list", {}, authorization=f"Bearer {KEYS[name]}")
        assert [tool["name"] for tool in answer["result"]["tools"]] == seen(house, name)
    page = house.office("ROOT").good("GET", "/catalogue/tools?limit=1")
    rest = house.office("ROOT").good("GET", f"/catalogue/tools?limit=1&cursor={page['next']}")
    assert {page["items"][0]["name"], rest["items"][0]["name"]} == everything and rest["next"] is None


def test_whoever_has_a_stored_key_is_found_by_name_and_other_tenants_names_are_not_told(yard: Headquarters) -> None:
    yard.office("ROOT").good("POST", "/keys", {"principal": "kept", "roles": ["viewer"]})
    assert "mail__list_drafts" in seen(yard, "ROOT", "?principal=kept")
    assert yard.office("ROOT").get("/catalogue/tools?principal=nobody-at-all").status == 422
    for name in ("ACME", "ACME_VIEWER"):
        answers = {
            yard.office(name).get(f"/catalogue/tools?tenant=default&principal={who}").body
            for who in ("kept", "root", "no")
        }
        assert len(answers) == 1 and b"forbidden" in answers.pop()


def test_nothing_personal_or_secret_of_a_definition_is_shown(own: Any) -> None:
    house = own(guard={"pins": {"mode": "off"}})
    tools = [{**OFFER["tools"][1], "description": "Ask ada.lovelace@example.com, key AKIAIOSFODNN7EXAMPLE."}]
    house.mail.change(tools=tools)

    def changed() -> bool:
        items = house.office("ROOT").good("GET", "/catalogue/tools")["items"]
        return any("Ask" in tool["definition"]["description"] for tool in items)

    wait_until(changed, "the new definition")
    for path in ("/catalogue/tools", "/servers/mail", "/audit/export", "/live", "/status"):
        body = house.office("ROOT").get(path).body.decode()
        assert "ada.lovelace" not in body and "AKIAIOSFODNN7EXAMPLE" not in body, path
