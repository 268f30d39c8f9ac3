"""Who may do what in the administration, written down a second time, in words of its own (THREATS 16).

`tests/admin/test_matrix.py` shows that every route does what its rule says; this shows that the rules say what they
should, and that the page lets nobody do what the REST interface would not. A route that is in no table fails here:
whoever adds one says in it who may use it.
"""

from __future__ import annotations

import json

import pytest
from security.governed import ROLES, Governed, filled, page_routes

from agentflow.admin.api.routes import OPERATIONS
from agentflow.admin.caller import ASKED

ALL, STAFF, CHIEF = {"admin", "operator", "viewer"}, {"admin", "operator"}, {"admin"}
# Operation → roles. What another tenant's administrator gets, each its own tenant's only:
EVERYWHERE = {
    "whoami": ALL, "status": ALL, "overview": ALL, "listTools": ALL,
    "newestRecords": STAFF, "followRecords": STAFF, "searchRecords": STAFF, "showRecord": STAFF,
    "listApprovals": STAFF | {ASKED}, "showApproval": STAFF | {ASKED}, "approveCall": STAFF | {ASKED},
    "denyCall": STAFF | {ASKED},
    "exportRecords": CHIEF, "listKeys": CHIEF, "createKey": CHIEF, "showKey": CHIEF, "rotateKey": CHIEF,
    "revokeKey": CHIEF, "listCredentials": CHIEF, "revokeCredential": CHIEF,
    "listBudgets": ALL, "showBudget": ALL, "listBudgetPeriods": ALL, "listBudgetAlerts": ALL, "forecastBudget": ALL,
    "showUsage": ALL, "suggestSavings": ALL,
    "createBudget": CHIEF, "updateBudget": CHIEF, "deleteBudget": CHIEF,
}  # fmt: skip
# What nobody of another tenant gets:
AT_HOME = {
    "listServers": ALL, "showServer": ALL,
    "reconnectServer": STAFF, "disableServer": STAFF, "enableServer": STAFF, "listHeld": STAFF, "showHeld": STAFF,
    "showVerification": STAFF, "verifyRecords": STAFF, "listPolicies": STAFF, "showPolicyInForce": STAFF,
    "listChoices": STAFF, "testPolicy": STAFF, "showReplay": STAFF, "showPolicyFiles": STAFF, "downloadPolicy": STAFF,
    "testUploadedPolicy": STAFF, "comparePolicies": STAFF, "replayPolicy": STAFF,
    "addServer": CHIEF, "removeServer": CHIEF, "approveHeld": CHIEF, "rejectHeld": CHIEF, "uploadPolicy": CHIEF,
    "activatePolicy": CHIEF, "rollBackPolicy": CHIEF,
}  # fmt: skip
# Page → who sees it: `acme` is the administrator of another tenant.
TENANTS = {"root", "bot", "acme"}
SEEN = {
    "/ui": {"root", "bot", "vera", "acme"}, "/ui/figures": {"root", "bot", "vera", "acme"},
    "/ui/calls": TENANTS, "/ui/calls/new": TENANTS, "/ui/audit": TENANTS, "/ui/audit/{id}": TENANTS,
    "/ui/approvals": set(ROLES), "/ui/approvals/waiting": set(ROLES), "/ui/approvals/{id}": TENANTS,
    "/ui/keys": {"root", "acme"}, "/ui/keys/{id}": {"root", "acme"}, "/ui/credentials": {"root", "acme"},
    "/ui/servers": {"root", "bot", "vera"}, "/ui/servers/{name:path}": {"root", "bot", "vera"},
    "/ui/quarantine": {"root", "bot"}, "/ui/quarantine/{id}": {"root", "bot"},
    "/ui/policies": {"root", "bot"}, "/ui/policies/edit": {"root", "bot"}, "/ui/policies/{revision}": {"root", "bot"},
    "/ui/policies/replays/{id}": {"root", "bot"}, "/ui/policies/{revision}/bundle.tar.gz": {"root", "bot"},
}  # fmt: skip
# A form that changes something → what is sent, and who may.
SENT: dict[str, tuple[dict[str, str], set[str]]] = {
    "/ui/approvals/{id}": ({"do": "approve"}, TENANTS),
    "/ui/quarantine/{id}": ({"do": "approve", "digest": "a" * 64}, {"root"}),
    "/ui/servers": ({"name": "x", "url": "https://tools.example/mcp"}, {"root"}),
    "/ui/servers/{name:path}": ({"do": "disable"}, {"root", "bot"}),
    "/ui/policies": ({"do": "upload"}, {"root", "bot"}),  # what is not tried first is refused for what it lacks
    "/ui/policies/draft": ({"do": "keep", "file:agentflow/a.rego": "package agentflow"}, {"root"}),
    "/ui/policies/roll-back": ({"do": "nothing"}, {"root"}),
    "/ui/policies/{revision}": ({"do": "activate"}, {"root"}),
    "/ui/keys": ({"principal": "mine", "roles": "admin"}, {"root", "acme"}),
    "/ui/keys/{id}": ({"do": "revoke"}, {"root", "acme"}),
    "/ui/credentials": ({"principal": "a", "tenant": "default", "server": "desk"}, {"root", "acme"}),
    "/ui/audit/verify": ({}, {"root", "bot"}),
}
OPEN = {"/ui/static/{name}", "/ui/sign-in", "/ui/sign-out", "/ui/", "/ui/{rest:path}"}


def test_the_rule_of_every_route_is_the_one_that_is_meant() -> None:
    found = {each.name: (set(each.rule.roles), each.rule.home) for each in OPERATIONS}
    meant = {name: (roles, False) for name, roles in EVERYWHERE.items()}
    assert found == {**meant, **{name: (roles, True) for name, roles in AT_HOME.items()}}


def test_every_page_and_form_has_its_line_here() -> None:
    found = page_routes()
    assert {path for method, path in found if method == "GET"} - OPEN == SEEN.keys()
    assert {path for method, path in found if method == "POST"} - OPEN == SENT.keys()


@pytest.mark.parametrize("who", ROLES)
def test_a_page_shows_itself_to_those_who_may_see_it_and_nobody_else(office: Governed, who: str) -> None:
    for path, may in SEEN.items():
        status = office.page(filled(path), who=who)[0]
        if who in may:
            assert status in ((404,) if "{" in path else (200, 204)), (path, status)
        else:
            assert status == (303 if path == "/ui" else 403), (path, status)


@pytest.mark.parametrize("who", [name for name in ROLES if name != "root"])
def test_a_form_is_taken_from_those_who_may_send_it_and_nobody_else(office: Governed, who: str) -> None:
    files = json.loads(office.rest("GET", "/policies/file/files")[1])["files"]
    kept = json.loads(office.rest("POST", "/policies", json.dumps({"files": files}).encode())[1])["revision"]
    for path, (form, may) in SENT.items():
        there = filled(path, lambda name: kept if name == "revision" else "none")
        status = office.page(there, form, who=who)[0]
        if who not in may:
            assert status == 403, (path, status)
        elif path not in ("/ui/keys", "/ui/audit/verify"):
            assert status in (404, 422), (path, status)
        status, _, head = office.http("POST", filled(path), b"", origin=office.gateway.base)
        assert status == 303 and head["location"].startswith("/ui/sign-in"), path
    made = json.loads(office.rest("GET", "/keys")[1])["items"]
    assert {(key["tenant"], key["principal"], key["created_by"]) for key in made} <= {("acme", "mine", "acme/acme")}
    assert json.loads(office.rest("GET", "/policies/current")[1])["origin"] == "file"
