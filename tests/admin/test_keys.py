"""API keys through the REST interface."""

from __future__ import annotations

from typing import Any

from admin.conftest import Headquarters
from admin.offices import Office
from gateway_process import wait_until

JSON = dict[str, Any]


def made(house: Headquarters, name: str = "ROOT", **wish: Any) -> JSON:
    return dict(house.office(name).good("POST", "/keys", {"principal": "kim", **wish}))


def holder(house: Headquarters, key: str) -> Office:
    return Office(house.gateway, key)


def test_a_key_is_shown_once_and_lets_its_holder_in_at_once(yard: Headquarters) -> None:
    new = made(yard, roles=["viewer"], label="for the wall")
    assert holder(yard, new["key"]).good("GET", "/whoami")["id"] == "kim"
    shown = yard.office("ROOT").get(f"/keys/{new['info']['id']}")
    assert shown.json["label"] == "for the wall" and shown.json["state"] == "active"
    for answer in (shown, yard.office("ROOT").get("/keys"), yard.office("ROOT").get("/audit/export")):
        assert new["key"] not in answer.body.decode() and new["key"].rpartition("_")[2] not in answer.body.decode()
    assert not any(
        new["key"].encode() in path.read_bytes() for path in yard.gateway.data_dir.rglob("*") if path.is_file()
    )
    told = yard.office("ROOT").records(kind="admin", event="key_created", outcome="ok")[0]
    assert (told["by"], told["subject"]) == ("default/root", new["info"]["id"])


def test_a_rotated_key_counts_until_its_grace_is_over_and_a_revoked_one_no_more(yard: Headquarters) -> None:
    old, office = made(yard, roles=["viewer"]), yard.office("ROOT")
    new = office.good("POST", f"/keys/{old['info']['id']}/rotate", {"grace": 3600})
    assert holder(yard, old["key"]).get("/whoami").status == 200
    assert holder(yard, new["key"]).get("/whoami").status == 200
    assert office.get(f"/keys/{old['info']['id']}").json["replaced_by"] == new["info"]["id"]
    assert office.post(f"/keys/{old['info']['id']}/rotate").status == 409
    assert office.good("POST", f"/keys/{new['info']['id']}/revoke")["state"] == "revoked"
    wait_until(lambda: holder(yard, new["key"]).get("/whoami").status == 401, "the end of a revoked key")
    listed = [key["id"] for key in office.good("GET", "/keys?over=false&limit=1000")["items"]]
    assert old["info"]["id"] in listed and new["info"]["id"] not in listed
    assert office.post(f"/keys/{new['info']['id']}/rotate").status == 409


def test_a_tenants_administrator_makes_and_sees_its_own_tenants_keys_only(yard: Headquarters) -> None:
    foreign, acme = made(yard), yard.office("ACME")
    assert made(yard, "ACME", roles=["admin"])["info"]["tenant"] == "acme"
    assert acme.post("/keys", {"principal": "spy", "tenant": "default"}).status == 403
    assert {key["tenant"] for key in acme.good("GET", "/keys")["items"]} == {"acme"}
    for path in ("", "/rotate", "/revoke"):
        method = "POST" if path else "GET"
        assert acme.ask(method, f"/keys/{foreign['info']['id']}{path}").status == 404
    assert holder(yard, foreign["key"]).get("/whoami").status == 403  # an agent, known and without a role here
    assert made(yard, tenant="acme")["info"]["tenant"] == "acme"


def test_an_administrator_that_a_tenant_made_is_no_administrator_of_the_gateway(yard: Headquarters) -> None:
    office = holder(yard, made(yard, "ACME", roles=["admin"])["key"])
    assert office.get("/keys").status == 200
    for path in ("/servers", "/policies", "/quarantine", "/audit/verification"):
        assert office.get(path).status == 403
    assert office.post("/policies/rollback").status == 403
