"""What a caller presents stays here: no upstream sees it, and a child gets no secret of the gateway's own."""

from __future__ import annotations

from typing import Any

import pytest
from faults.speakers import HttpLegacy, HttpModern, Speaker
from security.conftest import ADA, SECRETS, House

PRESENTED = {
    **ADA,
    "cookie": "session=cookie-of-ada",
    "proxy-authorization": "Basic cHJveHktb2YtYWRh",
    "x-forwarded-for": "203.0.113.66",
    "x-custom-secret": "custom-of-ada",
}


@pytest.mark.parametrize("era", ["modern", "legacy"])
def test_nothing_a_caller_presents_reaches_an_upstream(house: House, era: str) -> None:
    speaker: Speaker = (HttpModern if era == "modern" else HttpLegacy)(house.gateway, PRESENTED)
    for server in ("web", "plain", "child"):
        assert "result" in speaker.call(f"{server}__echo", {"text": era})
    calls = [e["value"] for e in house.received("web") if e["what"] == "headers"]
    assert len(calls) > 4
    everything = str(house.received("web")) + str(house.received("child"))
    for value in PRESENTED.values():
        assert value.removeprefix("Bearer ") not in everything
    assert {str(headers.get("authorization")) for headers in calls} == {"None", f"Bearer {SECRETS['UPSTREAM_TOKEN']}"}
    assert not {"cookie", "proxy-authorization", "x-forwarded-for", "x-custom-secret"} & {h for c in calls for h in c}


def test_a_child_gets_no_secret_of_the_gateway(house: House) -> None:
    started: list[dict[str, Any]] = [e["value"] for e in house.received("child") if e["what"] == "environment"]
    assert started
    for environment in started:
        assert environment["OWN"] == "yes" and environment["LET_IN"] == "let in"
        assert not [name for name in environment if name.startswith("AGENTFLOW_") or name in SECRETS]
        assert not set(SECRETS.values()) & set(environment.values())


def test_a_key_that_is_unknown_or_missing_opens_nothing(house: House) -> None:
    for headers in ({}, {"authorization": "Bearer nope"}, {"authorization": "Basic YWRh"}, {"x-api-key": ""}):
        error = HttpModern(house.gateway, headers).call("child__echo", {"text": "x"})["error"]
        assert error["code"] == -32019 and error["data"]["type"] == "unauthenticated"
    assert b'"servers"' not in house.gateway.get("/readyz")[1]
