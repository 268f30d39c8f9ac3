"""Approvals through the REST interface: a call is held, and goes on or not as people say."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest
from admin.conftest import Headquarters
from admin.offices import KEYS
from gateway_process import wait_until

JSON = dict[str, Any]


@pytest.fixture(scope="module")
def pool() -> Any:
    with ThreadPoolExecutor(4) as pool:
        yield pool


def asking(house: Headquarters, pool: Any, to: str, name: str = "AGENT") -> tuple[Future[JSON], JSON]:
    """A call that policy asks about, under way, and the approval that it waits for."""
    arguments = {"to": to, "how": "plain"}
    key = {"authorization": f"Bearer {KEYS[name]}"}
    call = pool.submit(house.gateway.rpc, "tools/call", {"name": "mail__send_email", "arguments": arguments}, **key)

    def found() -> JSON | None:
        if call.done():
            raise AssertionError(call.result())
        items = house.office("ROOT").good("GET", "/approvals")["items"]
        return next((item for item in items if to in item["arguments"]), None)

    return call, wait_until(found, "the approval", evidence=house.gateway.log_text)


def test_a_held_call_goes_on_once_an_administrator_approves(yard: Headquarters, pool: Any) -> None:
    call, approval = asking(yard, pool, "one")
    assert (approval["requester"], approval["state"], approval["tool"]) == ("default/agent", "open", "send_email")
    assert approval["mine"] and approval["server"] == "mail"
    voted = yard.office("ROOT").good("POST", f"/approvals/{approval['id']}/approve", {"comment": "go on"})
    assert voted["votes"][0]["voter"] == "default/root" and voted["votes"][0]["comment"] == "go on"
    assert "result" in call.result(60)
    assert yard.office("ROOT").post(f"/approvals/{approval['id']}/approve").status in (200, 409)
    [told] = yard.office("ROOT").records(kind="admin", event="approval_approved", outcome="ok", limit="1")
    assert told["subject"] == approval["id"] and told["details"]["requester"] == "default/agent"


def test_a_denied_call_does_not_run(yard: Headquarters, pool: Any) -> None:
    call, approval = asking(yard, pool, "two")
    assert yard.office("ROOT").good("POST", f"/approvals/{approval['id']}/deny")["state"] == "denied"
    assert call.result(60)["error"]["code"] == -32012
    assert yard.office("ROOT").post(f"/approvals/{approval['id']}/approve").status == 409
    assert yard.office("ROOT").good("GET", "/approvals?state=denied")["items"]


def test_who_is_not_asked_cannot_answer_and_a_stranger_sees_nothing(yard: Headquarters, pool: Any) -> None:
    call, approval = asking(yard, pool, "three")
    path = f"/approvals/{approval['id']}"
    assert yard.office("OPAL").get(path).json["mine"] is False
    assert yard.office("OPAL").post(f"{path}/approve").status == 403
    for name, status in (("AGENT", 403), ("VERA", 403), ("ODD", 403), ("ACME", 404), ("ACME_VIEWER", 403)):
        assert yard.office(name).get(path).status == status, name
        assert yard.office(name).post(f"{path}/approve").status == status, name
    assert yard.office("ACME").good("GET", "/approvals")["items"] == []
    assert yard.office("AGENT").get("/approvals").status == 403
    yard.office("ROOT").good("POST", f"{path}/deny")
    assert "error" in call.result(60)


def test_pages_are_whole_though_calls_came_at_the_same_moment(yard: Headquarters, pool: Any) -> None:
    calls = [asking(yard, pool, f"page {number}")[0] for number in range(3)]
    seen: list[str] = []
    cursor = ""
    while True:
        page = yard.office("ROOT").good("GET", f"/approvals?limit=1{cursor}")
        seen += [each["id"] for each in page["items"]]
        if page.get("next") is None:
            break
        cursor = f"&cursor={page['next']}"
    assert len(seen) == len(set(seen)) == 3
    assert yard.office("ROOT").get("/approvals?cursor=MTcuNQ").status == 422
    for each in seen:
        yard.office("ROOT").good("POST", f"/approvals/{each}/deny")
    assert all("error" in call.result(60) for call in calls)


def test_nobody_approves_a_call_of_their_own(yard: Headquarters, pool: Any) -> None:
    call, approval = asking(yard, pool, "four", "ROOT")
    assert approval["mine"] is False
    answer = yard.office("ROOT").post(f"/approvals/{approval['id']}/approve")
    assert (answer.status, answer.kind) == (403, "may_not_vote")
    other = yard.office("ROOT").good("POST", "/keys", {"principal": "second", "roles": ["admin"]})["key"]
    answered = yard.office("ROOT").ask("POST", f"/approvals/{approval['id']}/approve", authorization=f"Bearer {other}")
    assert answered.status == 200
    assert "result" in call.result(60)
