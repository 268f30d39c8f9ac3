"""`agentflow keys`: what it prints where, what it refuses, and what it leaves behind."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from commands_run import Run

from agentflow.config import Config
from agentflow.identity import key_format
from agentflow.policy.checks import world_of


def test_create_prints_the_key_alone_on_standard_output_and_what_there_is_to_say_on_the_other(run: Run) -> None:
    said = run("keys", "create", "ci", "--roles", "operator,viewer", "--label", "for the build")
    key = said.out.strip()
    assert said.code == 0 and said.out == key + "\n" and key_format.is_whole(key.encode())
    assert key not in said.err and key[16:30] not in said.err
    assert "from now on every HTTP caller" in said.err and "default/ci (operator, viewer)" in said.err
    again = run("keys", "create", "ci")
    assert "from now on" not in again.err and "warning" not in again.err


def test_create_as_json_says_everything_once(run: Run) -> None:
    said = run("keys", "create", "ci", "--tenant", "acme", "--scopes", "a b,c", "--expires", "never", "--json").json
    assert key_format.is_whole(said.pop("key").encode())
    assert (said["tenant"], said["scopes"], said["expires"], said["state"]) == ("acme", ["a", "b", "c"], None, "active")


def test_a_role_that_policy_does_not_know_is_warned_of(run: Run) -> None:
    said = run("keys", "create", "ci", "--roles", "operator,oprator")
    assert said.code == 0 and "no role 'oprator'" in said.err and "no role 'operator'" not in said.err


def test_the_roles_are_those_of_the_policy_in_force(run: Run, tmp_path: Path) -> None:
    layer = {"settings": {"roles": {"auditor": {"tools": "read_only"}}}}
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "data.json").write_text(json.dumps(layer))
    (tmp_path / "own" / "own_test.rego").write_text("package own_test\n\ntest_it := true\n")
    assert "no role 'auditor'" in run("keys", "create", "ci", "--roles", "auditor").err
    assert run("policy", "upload", "--layer", str(tmp_path / "own"), "--activate").code == 0
    assert "no role" not in run("keys", "create", "ci", "--roles", "auditor").err


def test_a_key_lives_for_ninety_days_unless_it_is_to_live_otherwise(run: Run) -> None:
    default = run("keys", "create", "ci", "--json").json
    assert abs(default["expires"] - default["created"] - 90 * 86400) < 10
    short = run("keys", "create", "ci", "--expires", "2h", "--json").json
    assert abs(short["expires"] - short["created"] - 7200) < 10
    assert run("keys", "create", "ci", "--expires", "2099-01-01", "--json").json["expires"] > 4e9


@pytest.mark.parametrize("when", ["soon", "90", "-3d", "2020-01-01", "0d", "99999y", "1e9d", ""])
def test_an_expiry_that_is_none_is_refused_with_what_to_write(run: Run, when: str) -> None:
    said = run("keys", "create", "ci", f"--expires={when}")
    assert said.code in (1, 2) and not said.out and said.err.count("\n") == 1
    assert run("keys", "list", "--all", "--json").json == {"keys": []}


@pytest.mark.parametrize("name", ["", "a b", "a\nb", "../../x", "x" * 200, "-x"])
def test_a_name_that_is_none_is_refused(run: Run, name: str) -> None:
    said = run("keys", "create", "--", name)
    assert said.code != 0 and not said.out and "Traceback" not in said.err
    assert run("keys", "create", "ci", "--tenant", "agentflow").code == 1


def test_list_shows_those_that_count_and_with_all_the_others_and_never_a_key(run: Run) -> None:
    one, two = run("keys", "create", "ada", "--json").json, run("keys", "create", "eve", "--tenant", "b", "--json").json
    assert run("keys", "revoke", one["id"]).code == 0
    listed = run("keys", "list")
    assert two["id"] in listed.out and one["id"] not in listed.out
    everything = run("keys", "list", "--all")
    assert "revoked" in everything.out and one["id"] in everything.out
    assert [each["id"] for each in run("keys", "list", "--tenant", "b", "--json").json["keys"]] == [two["id"]]
    assert run("keys", "list", "--principal", "nobody", "--json").json == {"keys": []}
    for said in (listed, everything, run("keys", "show", two["id"]), run("keys", "show", two["id"], "--json")):
        assert two["key"][16:30] not in said.out + said.err


def test_rotate_prints_the_new_key_and_until_when_the_old_one_counts(run: Run) -> None:
    old = run("keys", "create", "ada", "--json").json
    said = run("keys", "rotate", old["id"], "--grace", "1h")
    assert said.code == 0 and key_format.is_whole(said.out.strip().encode()) and f"{old['id']} counts until" in said.err
    shown = run("keys", "show", old["id"], "--json").json
    assert shown["state"] == "replaced" and shown["replaced_by"] == said.out[3:15]
    again = run("keys", "rotate", old["id"])
    assert again.code == 1 and "replaced" in again.err and not again.out
    assert run("keys", "rotate", said.out[3:15], "--grace", "some").code == 2


def test_the_new_key_can_be_given_a_life_of_its_own(run: Run) -> None:
    key = run("keys", "create", "ci", "--expires", "7d", "--json").json["id"]
    key = run("keys", "rotate", key, "--expires", "never", "--json").json
    assert key["expires"] is None
    assert run("keys", "rotate", key["id"], "--expires", "").code == 2
    said = run("keys", "rotate", key["id"], "--grace", "2y")
    assert said.code == 1 and "longer than a year" in said.err
    assert run("keys", "rotate", key["id"], "--expires", "1d", "--json").json["expires"]


@pytest.mark.parametrize("name", ["\udcff", "a/b", "x" * 10_000, "", "\0" * 12, "'; DROP TABLE a"])
def test_what_is_no_id_is_no_key_and_no_fault_of_the_database(run: Run, name: str) -> None:
    run("keys", "create", "ci")
    for action in ("show", "rotate", "revoke"):
        said = run("keys", action, name)
        assert said.code == 1 and "There is no key" in said.err and len(said.err) < 400


def test_a_leaked_key_can_be_revoked_by_pasting_it_and_is_not_echoed(run: Run) -> None:
    made = run("keys", "create", "ada", "--json").json
    said = run("keys", "revoke", made["key"])
    assert said.code == 0 and made["id"] in said.out and made["key"][16:] not in said.out + said.err
    again = run("keys", "revoke", made["id"])
    assert again.code == 0 and "already" in again.out
    cut = run("keys", "revoke", made["key"][:14])
    assert cut.code == 2 and made["key"][:14] not in cut.err


def test_one_wrong_id_revokes_none(run: Run) -> None:
    made = run("keys", "create", "ada", "--json").json
    said = run("keys", "revoke", made["id"], "000000000000", "--json")
    assert said.code == 1 and said.json["error"]["type"] == "not_found"
    assert run("keys", "show", made["id"], "--json").json["state"] == "active"


def test_every_action_is_in_the_audit_log_with_who_did_it_and_nothing_of_the_key(run: Run, tmp_path: Path) -> None:
    made = run("keys", "create", "ada", "--tenant", "acme", "--json").json
    new = run("keys", "rotate", made["id"], "--json").json
    run("keys", "revoke", new["id"])
    said = run("audit", "query", "--kind", "key", "--jsonl")
    found = [json.loads(line) for line in said.out.splitlines()]
    records = sorted((each.get("record", each) for each in found), key=lambda each: float(each["time"]))
    assert [each["event"] for each in records] == ["created", "rotated", "revoked"]
    assert all(each["by"] and each["tenant"] == "acme" for each in records)
    left = b"".join(path.read_bytes() for path in (tmp_path / "data").rglob("*") if path.is_file())
    for key in (made["key"], new["key"]):
        assert not any(key[at : at + 10].encode() in left for at in range(16, len(key) - 9))


def test_with_stored_keys_no_role_is_taken_for_one_that_nobody_has(run: Run, tmp_path: Path) -> None:
    config = Config(data_dir=tmp_path / "data")
    assert world_of(config).roles == {"operator"}
    run("keys", "create", "ada", "--roles", "viewer")
    assert world_of(config).roles is None


def test_looking_makes_no_database(run: Run, tmp_path: Path) -> None:
    assert run("keys", "list", "--json").json == {"keys": []}
    assert run("keys", "show", "000000000000").code == 1
    assert not (tmp_path / "data" / "agentflow.db").exists()


def test_without_sqlalchemy_it_says_what_to_install(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    for name in ("agentflow.store.database", "agentflow.identity.key_rows"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setitem(sys.modules, "sqlalchemy", None)
    said = run("keys", "create", "ada")
    assert said.code == 1 and "agentflow-gateway[store]" in said.err and "Traceback" not in said.err
