"""Policies through the REST interface: uploading, trying, comparing, activating and rolling back."""

from __future__ import annotations

import io
import tarfile
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from admin.conftest import Headquarters
from admin.offices import KEYS

JSON = dict[str, Any]
STERN = """package agentflow

import rego.v1

decision := {"allow": false, "reasons": [{"code": "closed", "message": "closed"}], "obligations": {}}
"""
AGENT = {"authorization": f"Bearer {KEYS['AGENT']}"}


@pytest.fixture
def files(yard: Headquarters) -> dict[str, str]:
    """The bundle of the configuration file."""
    return dict(yard.office("OPAL").good("GET", "/policies/file/files")["files"])


def changed(files: dict[str, str], number: int) -> dict[str, str]:
    """The same, and a rule that changes nothing but its revision."""
    extra = f"package agentflow.extra\n\nimport rego.v1\n\nnumber := {number}\n"
    return {**files, "agentflow/extra.rego": extra}


def packed(files: dict[str, str]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, text in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(text.encode())
            archive.addfile(member, io.BytesIO(text.encode()))
    return buffer.getvalue()


def uploaded(house: Headquarters, files: dict[str, str], note: str = "") -> str:
    return str(house.office("ROOT").good("POST", "/policies", {"files": files, "note": note})["revision"])


def test_a_bundle_is_uploaded_tested_compared_activated_and_rolled_back(
    yard: Headquarters, files: dict[str, str]
) -> None:
    office = yard.office("ROOT")
    before = office.good("GET", "/policies/current")
    revision = uploaded(yard, changed(files, 1), "one more rule")
    assert revision in {bundle["revision"] for bundle in office.good("GET", "/policies")["items"]}
    report = office.good("POST", f"/policies/{revision}/test")
    assert report["ok"] and report["tests"] and not any(test["error"] for test in report["tests"])
    [difference] = office.good("GET", f"/policies/{revision}/diff?against=file")["differences"]
    assert (difference["what"], difference["kind"]) == ("rule", "added")
    assert office.get(f"/policies/{revision}/bundle").headers["content-type"] == "application/gzip"
    now = office.good("POST", f"/policies/{revision}/activate")
    assert (now["revision"], now["origin"], now["applied"], now["by"]) == (revision, "uploaded", True, "default/root")
    assert office.good("GET", "/status")["engine"]["revision"] == revision
    assert "result" in yard.gateway.rpc("tools/list", {}, **AGENT)
    assert office.records(kind="call", limit="1")[0]["decision"]["revision"] == revision
    assert office.good("GET", "/policies/history")[0]["revision"] == revision
    back = office.good("POST", "/policies/rollback")
    assert back["revision"] == before["revision"] and back["applied"]
    office.good("POST", f"/policies/{revision}/activate")
    assert office.good("POST", "/policies/rollback", {"to_file": True})["origin"] == "file"
    events = [record["event"] for record in office.records(kind="admin", outcome="ok", limit="100")]
    assert {"policy_uploaded", "policy_activated", "policy_rolled_back"} <= set(events)


def test_an_archive_is_as_good_as_files(yard: Headquarters, files: dict[str, str]) -> None:
    office, made = yard.office("ROOT"), changed(files, 2)
    answer = office.ask("POST", "/policies?note=packed", content=packed(made), content_type="application/gzip")
    assert answer.status == 201 and answer.json["revision"] == uploaded(yard, made)


@pytest.mark.parametrize(
    "spoilt",
    [
        {"agentflow/extra.rego": "package agentflow.extra\n\nnot rego"},
        {"agentflow/extra_test.rego": "package agentflow.extra_test\n\nimport rego.v1\n\ntest_it if { 1 == 2 }\n"},
        {"agentflow/extra.rego": 'package agentflow.extra\n\nimport rego.v1\n\nx := http.send({"url": "http://x"})\n'},
        {"../../etc/evil.rego": "package evil\n"},
        {"data.json": "{"},
    ],
)
def test_a_bundle_that_is_not_sound_is_refused_with_every_reason(
    yard: Headquarters, files: dict[str, str], spoilt: dict[str, str]
) -> None:
    office = yard.office("ROOT")
    answer = office.post("/policies", {"files": {**files, **spoilt}})
    assert (answer.status, answer.kind) == (422, "config_error") and answer.json["problems"], answer.body
    report = yard.office("OPAL").good("POST", "/policies/test", {"files": {**files, **spoilt}})
    assert not report["ok"] and report["problems"]
    assert str(yard.gateway.data_dir) not in answer.body.decode()


@pytest.mark.parametrize(
    "body", [b"", b"\x1f\x8b", b"not an archive", packed({})], ids=["nothing", "cut off", "text", "no files"]
)
def test_what_is_no_archive_is_refused(yard: Headquarters, body: bytes) -> None:
    answer = yard.office("ROOT").ask("POST", "/policies", content=body, content_type="application/gzip")
    assert answer.status == 422


def test_of_two_who_activate_at_once_one_is_told(yard: Headquarters, files: dict[str, str]) -> None:
    office = yard.office("ROOT")
    revisions = [uploaded(yard, changed(files, number)) for number in (3, 4, 5, 6)]
    tag = office.get("/policies/current").headers["etag"]

    def activate(revision: str) -> int:
        return office.post(f"/policies/{revision}/activate", if_match=tag).status

    with ThreadPoolExecutor(4) as pool:
        statuses = sorted(pool.map(activate, revisions))
    assert statuses == [200, 412, 412, 412]
    assert office.get("/policies/current").headers["etag"] != tag
    assert office.post("/policies/rollback", if_match=tag).status == 412
    assert office.post("/policies/rollback", if_match="nonsense").status == 422
    office.good("POST", "/policies/rollback", {"to_file": True})


def test_a_replay_says_what_another_policy_would_have_done(yard: Headquarters, files: dict[str, str]) -> None:
    key = {"authorization": f"Bearer {KEYS['ROOT']}"}
    for _ in range(3):
        assert "result" in yard.gateway.rpc("tools/call", {"name": "mail__list_drafts", "arguments": {}}, **key)
    stern = {"agentflow/policy.rego": STERN}
    revision, office = uploaded(yard, stern), yard.office("OPAL")
    told = office.good("POST", f"/policies/{revision}/replay")
    assert told["state"] == "done" and told["totals"]["newly_denied"] >= 3
    change = next(change for change in told["changes"] if change["name"] == "list_drafts")
    assert change["kind"] == "newly_denied" and change["count"] >= 3 and change["examples"]
    same = office.good("POST", "/policies/current/replay")
    assert same["state"] == "done" and same["replayed"] >= 3
    assert office.get(f"/policies/replays/{same['id']}").json == same
    assert same["totals"] == {"newly_denied": 0, "newly_allowed": 0, "obligations_changed": 0}
    assert office.post("/policies/current/replay", {"since": 2, "until": 1}).status == 422


def test_what_was_never_uploaded_is_not_found(yard: Headquarters) -> None:
    for path in ("files", "bundle", "diff"):
        assert yard.office("ROOT").get(f"/policies/ffffffffffff/{path}").status == 404
    for path in ("activate", "test", "replay"):
        assert yard.office("ROOT").post(f"/policies/ffffffffffff/{path}").status == 404
