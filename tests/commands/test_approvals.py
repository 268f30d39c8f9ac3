"""`agentflow approvals` lists, shows and answers, beside running gateways and shows nothing that deceives."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agentflow import cli
from agentflow.audit.read import entries
from agentflow.config import Config, StoreConfig
from agentflow.guard.vault import open_vault
from agentflow.policy.approvals import Approval, Binding, State, Wanted
from agentflow.policy.approvals_stored import StoredApprovals
from agentflow.store.opened import Store

BINDING = Binding("default", "ada", "tools/call", "mail", "send", "hash", "rev")
ASKED = Wanted(("role:finance",), 1, 9000.0, "Mail leaves the house.", '{"to":"<EMAIL_1>"}', ("asks: by rule",))


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "agentflow.yaml"
    path.write_text(f"data_dir: {tmp_path / 'data'}\n")
    return path


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[StoredApprovals]:
    """The approvals as a running gateway has them open."""
    store = Store(tmp_path / "data", StoreConfig())
    (tmp_path / "data").mkdir(mode=0o700)
    with closing(open_vault(Config(data_dir=tmp_path / "data"))) as vault:
        key = vault.derived_key("agentflow", b"approvals")
    yield StoredApprovals(store, "default", lambda: key, lambda event: None)
    store.close()


@pytest.fixture
def asked(gateway: StoredApprovals) -> Approval:
    return gateway.ask(BINDING, ASKED)


@pytest.fixture
def run(config: Path, capsys: pytest.CaptureFixture[str]) -> Any:
    def made(*words: str) -> tuple[int, str, str]:
        code = cli.main(["approvals", *words, "--config", str(config)])
        said = capsys.readouterr()
        return code, said.out, said.err

    return made


def test_where_nothing_was_ever_asked_nothing_is_made(run: Any, tmp_path: Path) -> None:
    code, out, err = run("list")
    assert (code, out) == (0, "") and "no approval is open" in err
    assert not (tmp_path / "data" / "agentflow.db").exists()
    assert run("show", "abcdef")[0] == 1


def test_what_waits_is_listed_with_its_caller_tool_and_time(run: Any, asked: Approval) -> None:
    code, out, _ = run("list")
    assert code == 0
    for part in (asked.id, "default/ada", "mail/send", "role:finance", "0/1", "2h 29m"):
        assert part in out
    told = json.loads(run("list", "--json")[1])["approvals"][0]
    assert (told["id"], told["state"], told["arguments"]) == (asked.id, "open", '{"to":"<EMAIL_1>"}')
    assert run("list", "--tenant", "other")[1] == "" and run("list", "--state", "denied")[1] == ""


def test_everything_that_a_person_needs_is_shown(run: Any, asked: Approval) -> None:
    code, out, _ = run("show", asked.id[:8])
    assert code == 0
    for part in (
        "default/ada",
        "mail/send",
        "<EMAIL_1>",
        "Mail leaves the house.",
        "asks: by rule",
        "rev",
        "in 2h 29m",
    ):
        assert part in out


def test_the_operator_may_approve_and_is_recorded(run: Any, asked: Approval, gateway: Any, tmp_path: Path) -> None:
    code, out, _ = run("approve", asked.id, "--comment", "looks right")
    assert (code, out) == (0, f"{asked.id}: approved\n")
    found = gateway.find(asked.id)
    assert found.state is State.APPROVED and found.votes[0].comment == "looks right"
    assert found.votes[0].principal.startswith("local/")
    assert gateway.take(asked.id, BINDING, "call")
    (event,) = [each.record for each in entries(tmp_path / "data") if each.record["kind"] == "approval"]
    assert (event["event"], event["subject"], event["by"]) == ("approved", asked.id, found.votes[0].voter)
    assert "looks right" not in json.dumps(event)


def test_the_operator_may_deny_also_what_was_approved(run: Any, asked: Approval, gateway: Any) -> None:
    run("approve", asked.id)
    assert run("deny", asked.id)[1] == f"{asked.id}: denied\n"
    assert gateway.find(asked.id).state is State.DENIED
    code, _, err = run("approve", asked.id)
    assert code == 1 and "is denied already" in err


def test_one_of_two_approvers_is_told_that_it_takes_another(
    run: Any, gateway: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    two = gateway.ask(BINDING, Wanted(("role:finance",), 2, 300.0))
    assert run("approve", two.id)[1] == f"{two.id}: open; it takes 1 more\n"
    for name in ("USER", "LOGNAME", "USERNAME", "LNAME"):
        monkeypatch.setenv(name, "another")
    assert run("approve", two.id)[1] == f"{two.id}: open; it takes 1 more\n", "nor is one person two"


def test_an_id_may_be_cut_as_long_as_it_names_one(run: Any, gateway: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    ids = iter(["abcdef01" + "0" * 24, "abcdef02" + "0" * 24])
    monkeypatch.setattr("agentflow.policy.approvals_stored.secrets.token_hex", lambda size: next(ids, "f" * 2 * size))
    for caller in ("ada", "eve"):
        gateway.ask(replace(BINDING, principal=caller), ASKED)
    assert "default/eve" in run("show", "ABCDEF02")[1]
    code, _, err = run("deny", "abcdef")
    assert code == 1 and "Several approvals" in err
    assert run("show", "abcde%")[0] == run("show", "abcd__02")[0] == 1
    assert len(gateway.pending()) == 2


@pytest.mark.parametrize("id", ["f" * 32, "abc", ""])
def test_an_id_that_names_nothing_is_a_clear_error(run: Any, asked: Approval, id: str) -> None:
    for action in ("show", "approve", "deny"):
        code, out, err = run(action, id)
        assert (code, out) == (1, "") and "no approval" in err and "Traceback" not in err


def test_nothing_shown_is_obeyed_by_a_terminal_or_hidden(run: Any, gateway: Any) -> None:
    tricky = Binding("default", "ada\u202e", "tools/call", "mail", "send\x1b[2J\nok", "hash", "rev")
    made = gateway.ask(tricky, Wanted(("caller",), 1, 300.0, "a\u200bb\nstate approved", '{"a":"\x07"}'))
    for out in (run("list")[1], run("show", made.id)[1]):
        assert not {"\x1b", "\u202e", "\u200b", "\x07"} & set(out)
    assert not [line for line in run("show", made.id)[1].splitlines() if line.startswith("state")]


def test_wrong_usage_is_told_from_what_is_wrong(run: Any, asked: Approval) -> None:
    assert run("approve", asked.id, "--comment", "x" * 501)[0] == 2
    with pytest.raises(SystemExit) as caught:
        run("list", "--state", "odd")
    assert caught.value.code == 2
