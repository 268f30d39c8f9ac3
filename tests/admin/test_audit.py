"""The audit log through the REST interface: search by pages, tenants apart, export, verification."""

from __future__ import annotations

import json
import resource
from typing import Any

import psutil
import pytest
from admin.conftest import Headquarters
from admin.offices import KEYS
from gateway_process import wait_until

JSON = dict[str, Any]


def call(house: Headquarters, name: str, tool: str = "mail__list_drafts") -> JSON:
    key = {"authorization": f"Bearer {KEYS[name]}"}
    return house.gateway.rpc("tools/call", {"name": tool, "arguments": {}}, **key)


@pytest.fixture(scope="module")
def busy(house: Headquarters) -> Headquarters:
    """Calls of two tenants."""
    for _ in range(3):
        call(house, "ROOT")
        call(house, "ACME")
        call(house, "ACME", "no_such_tool")
    return house


def test_records_come_newest_first_and_page_by_page(busy: Headquarters) -> None:
    office, found, cursor = busy.office("ROOT"), [], ""
    while True:
        page = office.good("GET", f"/audit/records?limit=2&surface=tools/call{cursor}")
        found += [(item["record"]["time"], item["seq"]) for item in page["items"]]
        if page["next"] is None:
            break
        cursor = f"&cursor={page['next']}"
    assert len(found) >= 9 and found == sorted(set(found), reverse=True)


def test_a_tenant_sees_its_own_records_only(busy: Headquarters) -> None:
    tenants = {record["principal"]["tenant"] for record in busy.office("ACME").records(kind="call")}
    assert tenants == {"acme"}
    assert busy.office("ACME").records(kind="gateway") == []
    assert busy.office("ACME").records(kind="call", tenant="default") == []
    assert {r["principal"]["tenant"] for r in busy.office("OPAL").records(kind="call")} == {"default"}
    assert busy.office("OPAL").records(kind="gateway")
    assert {r["principal"]["tenant"] for r in busy.office("ROOT").records(kind="call")} == {"default", "acme"}
    foreign = busy.office("OPAL").records(kind="call", principal="root")[0]["id"]
    assert busy.office("ACME").get(f"/audit/records/{foreign}").status == 404
    assert busy.office("ROOT").get(f"/audit/records/{foreign}").json["record"]["id"] == foreign


def test_the_figures_and_the_newest_records_are_the_tenants_own(busy: Headquarters) -> None:
    of_acme, of_all = busy.office("ACME").good("GET", "/overview"), busy.office("ROOT").good("GET", "/overview")
    assert of_acme["calls"] >= 6 and of_all["calls"] >= of_acme["calls"] + 3
    assert of_acme["refusals"] == {"unknown_name": of_acme["refused"]}
    tool = next(each for each in of_acme["tools"] if each["name"] == "mail__list_drafts")
    assert tool["server"] == "mail" and 0 < tool["p50_ms"] <= tool["p95_ms"] <= tool["p99_ms"]
    assert sum(slot["calls"] for slot in of_all["slots"]) == of_all["calls"]
    newest = busy.office("ACME_OPERATOR").good("GET", "/live?limit=100")
    assert {told["record"]["principal"]["tenant"] for told in newest if told["record"]["kind"] == "call"} == {"acme"}


@pytest.mark.parametrize("form", ["jsonl", "ocsf", "cef"])
def test_an_export_has_every_record_and_is_itself_recorded(busy: Headquarters, form: str) -> None:
    answer = busy.office("ACME").get(f"/audit/export?format={form}&kind=call")
    lines = answer.body.decode().splitlines()
    assert len(lines) >= 6 and "default" not in {
        json.loads(x)["record"]["principal"]["tenant"] for x in lines if form == "jsonl"
    }
    told = busy.office("ROOT").records(kind="admin", event="audit_exported", outcome="ok", tenant="acme")
    assert told[0]["details"]["format"] == form


def test_verification_says_what_was_done_to_the_log(own: Any) -> None:
    house = own()
    office = house.office("OPAL")
    assert office.good("GET", "/audit/verification")["state"] == "never"
    found = office.good("POST", "/audit/verification")
    assert found["state"] == "ok" and found["records"] > 0
    assert office.good("GET", "/status")["audit"]["verification"]["state"] == "ok"
    [segment] = house.gateway.data_dir.glob("audit/chain-0001/*.jsonl")
    segment.write_bytes(segment.read_bytes().replace(b'"started"', b'"stopped"', 1))
    found = wait_until(lambda: office.good("POST", "/audit/verification"), "the verification")
    assert found["state"] == "damaged" and "altered" in found["damage"]
    assert str(house.gateway.data_dir) not in str(found)


def test_what_cannot_be_recorded_is_not_done(own: Any) -> None:
    house = own()
    office = house.office("ROOT")
    gateway = psutil.Process(house.gateway.pid)

    def children() -> set[int]:
        return {child.pid for child in gateway.children(recursive=True)}

    before = children()
    chain = house.gateway.data_dir / "audit" / "chain-0001"
    gateway.rlimit(resource.RLIMIT_FSIZE, (sum(path.stat().st_size for path in chain.glob("*.jsonl")), -1))
    for path in ("/servers/mail/reconnect", "/audit/verification", "/policies/current/replay"):
        answer = office.post(path)
        assert (answer.status, answer.kind) == (503, "audit_unavailable")
    assert office.get("/audit/export").status == 503
    for path, body in (("/servers/mail/disable", None), ("/keys", {"principal": "x"})):
        answer = office.post(path, body)
        assert (answer.status, answer.kind) in ((503, "audit_unavailable"), (503, "store_unavailable"))
    gateway.rlimit(resource.RLIMIT_FSIZE, (-1, -1))
    assert office.good("GET", "/servers/mail")["enabled"] is True
    assert office.good("GET", "/keys")["items"] == []
    assert children() == before
