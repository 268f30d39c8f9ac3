"""`agentflow db` says where state is kept, prepares it for a role that may make nothing, and goes back when told to."""

from __future__ import annotations

import json
import os
import secrets
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest
import sqlalchemy as sa
from pydantic import SecretStr

from agentflow import cli
from agentflow.audit.index import open_index, rebuild
from agentflow.audit.log import AuditLog
from agentflow.audit.read import entries
from agentflow.config import Config
from agentflow.guard.pins.canonical import digest
from agentflow.guard.pins.store import Key, Pin, Row, open_pins
from agentflow.guard.taint_postgres import PostgresTaintStore
from agentflow.guard.vault import open_vault
from agentflow.settings import file as config_file
from agentflow.store import migrate
from agentflow.store.database import Database
from agentflow.store.tables import RATE_LIMITS

HEAD = migrate.revisions()[-1]
KINDS = ["store", "vault", "taint", "pins", "audit index"]


@pytest.fixture(params=["sqlite", "postgres"])
def config(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "agentflow.yaml"
    path.write_text(f"data_dir: {tmp_path / 'data'}\n")
    if request.param == "postgres":
        monkeypatch.setenv("AGENTFLOW_STORE__URL", request.getfixturevalue("database"))
    return path


def run(capsys: pytest.CaptureFixture[str], config: Path, *words: str) -> tuple[int, Any]:
    code = cli.main(["db", *words, "--json", "--config", str(config)])
    return code, json.loads(capsys.readouterr().out)


def settings(config: Path, **environ: str) -> Config:
    return config_file.load(config, {**os.environ, **environ})


def opened(config: Path) -> Database:
    url = settings(config).store.url
    return Database(settings(config).data_dir, url.get_secret_value() if url else None, prepared=False)


def recorded(config: Path) -> list[dict[str, Any]]:
    return [e.record for e in entries(settings(config).data_dir) if e.record["kind"] == "admin"]


def test_before_the_first_start_files_are_fine_and_a_database_wants_its_tables(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, told = run(capsys, config, "check")
    assert [each["name"] for each in told["databases"]] == KINDS
    if settings(config).store.url is None:
        assert code == 0 and {each["said"] for each in told["databases"]} == {"made when it is first needed"}
        assert not list(config.parent.glob("data/*")), "looking makes nothing"
    else:
        assert code == 1 and all("agentflow db upgrade" in each["said"] for each in told["databases"])


def test_upgrade_makes_what_is_missing_once_and_is_recorded(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, told = run(capsys, config, "upgrade")
    shared = settings(config).store.url is not None
    assert (code, told["revision"], told["made"]) == (0, HEAD, KINDS[1:] if shared else [])
    assert run(capsys, config, "check")[0] == 0
    again = run(capsys, config, "upgrade")[1]
    assert (again["before"], again["made"]) == (HEAD, [])
    events = recorded(config)
    assert [(each["event"], each["subject"], each["outcome"]) for each in events] == [
        ("database_upgraded", HEAD, "ok")
    ] * 2
    assert all(each["by"] for each in events)


def test_a_gateways_own_databases_are_what_check_expects(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(capsys, config, "upgrade")
    use(settings(config))
    code, told = run(capsys, config, "check")
    assert code == 0, told
    assert all(each["found"] == each["expected"] and each["said"] == "fine" for each in told["databases"]), told


def test_check_says_what_is_off(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(capsys, config, "upgrade")
    use(settings(config))
    database = opened(config)
    with database.begin() as connection:
        connection.execute(sa.text("ALTER TABLE rate_limit ADD COLUMN stranger INTEGER"))
    database.close()
    url = settings(config).store.url
    if url is None:
        with sqlite3.connect(config.parent / "data" / "pins.db") as file:
            file.execute("PRAGMA user_version = 99")
        file.close()
        (config.parent / "data" / "vault.db").write_bytes(b"no database" * 500)
    else:
        with psycopg.connect(url.get_secret_value(), autocommit=True) as db:
            db.execute("UPDATE agentflow_pins.version SET number = 99")
            db.execute("DROP INDEX agentflow_vault.tokens_expires")
    code, told = run(capsys, config, "check")
    said = {each["name"]: each["said"] for each in told["databases"] if not each["ok"]}
    assert code == 1 and set(said) == {"store", "pins", "vault"}
    assert "stranger" in said["store"] and said["pins"] == "of a newer AgentFlow"
    assert ("cannot be read" if url is None else "lacks tokens_expires") in said["vault"]


def test_a_server_that_is_not_there_is_said_for_each_and_no_password_with_it(
    config: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AGENTFLOW_STORE__URL", "postgresql://user:hunter2@127.0.0.1:1/none")
    code = cli.main(["db", "check", "--config", str(config)])
    out = capsys.readouterr().out
    assert code == 1 and "hunter2" not in out and out.count("cannot be used") == len(KINDS)
    assert cli.main(["db", "upgrade", "--config", str(config)]) == 1
    assert "hunter2" not in capsys.readouterr().err


def test_going_back_says_first_what_is_lost_and_waits_to_be_told(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(capsys, config, "upgrade")
    database = opened(config)
    with database.begin() as connection:
        connection.execute(sa.insert(RATE_LIMITS), {"bucket": "b", "tokens": 1.0, "updated": 0.0})
    code, told = run(capsys, config, "downgrade", "0003")
    assert code == 1 and {"table": "rate_limit", "column": "", "rows": 1} in told["lost"]
    assert told["revision"] == HEAD == migrate.current(database)
    code, told = run(capsys, config, "downgrade", "0003", "--yes")
    assert (code, told["revision"], migrate.current(database)) == (0, "0003", "0003")
    (event,) = [each for each in recorded(config) if each["event"] == "database_downgraded"]
    assert event["subject"] == "0003" and "rate_limit (1 row)" in event["details"]["lost"]
    assert run(capsys, config, "downgrade", "-1", "--yes")[1]["revision"] == "0002"
    assert run(capsys, config, "downgrade", "base", "--yes")[1]["revision"] == "base"
    assert run(capsys, config, "upgrade")[1]["before"] is None
    database.close()


@pytest.mark.parametrize("revision", ["0099", "nonsense", HEAD, "-0"])
def test_a_revision_that_is_none_or_not_earlier_is_wrong_usage(
    config: Path, capsys: pytest.CaptureFixture[str], revision: str
) -> None:
    run(capsys, config, "upgrade")
    assert run(capsys, config, "downgrade", revision, "--yes")[0] == 2


def test_what_cannot_be_recorded_is_not_done(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (config.parent / "data").mkdir(mode=0o700)
    (config.parent / "data" / "audit").write_text("in the way")
    assert run(capsys, config, "upgrade")[0] == 1
    database = opened(config)
    assert migrate.current(database) is None
    database.close()


@pytest.fixture
def role(database: str) -> Iterator[str]:
    name = f"app_{secrets.token_hex(4)}"
    with psycopg.connect(database, autocommit=True) as admin:
        admin.execute(f"CREATE ROLE {name} LOGIN PASSWORD 'app'")
    yield name
    with psycopg.connect(database, autocommit=True) as admin:
        admin.execute(f"DROP OWNED BY {name}")
        admin.execute(f"DROP ROLE {name}")


def test_a_role_that_may_make_nothing_runs_on_what_was_prepared_for_it(
    database: str, role: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "agentflow.yaml"
    config.write_text(f"data_dir: {tmp_path / 'data'}\n")
    monkeypatch.setenv("AGENTFLOW_STORE__URL", database)
    assert run(capsys, config, "upgrade", "--grant", role)[0] == 0
    owner = urlsplit(database)
    theirs = owner._replace(netloc=f"{role}:app@{owner.netloc.rpartition('@')[2]}").geturl()
    own = settings(config, AGENTFLOW_STORE__URL=theirs)
    use(own)
    monkeypatch.setenv("AGENTFLOW_STORE__URL", theirs)
    assert run(capsys, config, "check")[0] == 0
    with psycopg.connect(theirs, autocommit=True) as db:
        for statement in (
            "CREATE TABLE agentflow.mine ()",
            "UPDATE agentflow.alembic_version SET version_num = '0001'",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                db.execute(statement)
    assert cli.main(["db", "downgrade", "-1", "--yes", "--config", str(config)]) == 1


def test_a_role_that_is_not_there_is_one_clear_line(
    database: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "agentflow.yaml"
    config.write_text(f"data_dir: {tmp_path / 'data'}\n")
    assert cli.main(["db", "upgrade", "--grant", "nobody", "--config", str(config)]) == 2
    monkeypatch.setenv("AGENTFLOW_STORE__URL", database)
    capsys.readouterr()
    assert cli.main(["db", "upgrade", "--grant", "no body; DROP", "--config", str(config)]) == 1
    assert len(capsys.readouterr().err.strip().splitlines()) == 1


def use(config: Config) -> None:
    """Write and read something of every kind, as a gateway does."""
    vault = open_vault(config)
    vault.tokens("default", [("EMAIL", "ann@private.example")])
    if config.guard.vault.url is not None:
        url = config.guard.vault.url.get_secret_value()
        taint: Any = PostgresTaintStore(url, vault.derived_key("agentflow", b"conversations"), 60.0)
    else:
        from agentflow.guard.taint_store import TaintStore

        taint = TaintStore(config.data_dir / "taint.db", 60.0)
    taint.append(b"c", b"o", b"what")
    assert [what for _, what in taint.after(b"c")] == [b"what"]
    taint.close()
    vault.close()
    pins = open_pins(config.data_dir, config.guard.pins)
    pins.arrive([("mail", "here", "stdio")])
    with pins.transaction():
        pins.write([Row("mail", "here", Key("tool", "send"), Pin(pinned=digest(b"x")))])
    assert len(pins.rows()) == 1
    pins.close()
    AuditLog(config.data_dir, config.audit).close()
    index = open_index(config.data_dir, config.audit)
    rebuild(config.data_dir, index)
    index.close()
    url_of: SecretStr | None = config.store.url
    store = Database(config.data_dir, url_of.get_secret_value() if url_of else None)
    with store.begin() as connection:
        connection.execute(sa.insert(RATE_LIMITS), {"bucket": secrets.token_hex(4), "tokens": 1.0, "updated": 0.0})
    store.close()


def test_notes_of_revisions_that_contradict_each_other_are_one_clear_line(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(capsys, config, "upgrade")
    database = opened(config)
    with database.begin() as connection:
        connection.execute(sa.text("INSERT INTO alembic_version VALUES ('0002')"))
    database.close()
    assert cli.main(["db", "upgrade", "--config", str(config)]) == 1
    said = capsys.readouterr().err
    assert "cannot be migrated" in said and "Restore" in said and len(said.strip().splitlines()) == 1


@pytest.mark.parametrize(
    ("words", "done"), [(["keys", "create", "ci"], "rows"), (["db", "downgrade", "base", "--yes"], "tables")]
)
def test_a_database_that_another_process_holds_is_named_as_locked_and_nothing_is_done(
    words: list[str], done: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agentflow.store.database._BUSY", 0.1)
    monkeypatch.setenv("AGENTFLOW_DATA_DIR", str(tmp_path))
    Database(tmp_path).close()
    hold = "import sqlite3, sys; sqlite3.connect(sys.argv[1]).execute('BEGIN EXCLUSIVE'); print(1, flush=True); input()"
    command = [sys.executable, "-c", hold, str(Database.file(tmp_path))]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None and other.stdout.readline()
        assert cli.main(words) == 1
        said = capsys.readouterr()
        other.kill()
    assert "database is locked. Another process is writing: try again" in said.err and not said.out
    with Database(tmp_path, prepared=False).read() as connection:
        assert connection.scalar(sa.text("SELECT count(*) FROM api_key")) == 0, f"no {done} were touched"


@pytest.mark.parametrize("words", [["db", "check"], ["db", "upgrade"], ["keys", "list"], ["keys", "create", "ci"]])
def test_what_lies_in_the_place_of_the_database_and_is_none_is_said_and_left_there(
    words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AGENTFLOW_DATA_DIR", str(tmp_path))
    file = Database.file(tmp_path)
    file.write_bytes(b"no database" * 1000)
    assert cli.main(words) == 1
    said = capsys.readouterr()
    assert "file is not a database" in said.out + said.err and file.read_bytes() == b"no database" * 1000
    file.unlink()
    file.mkdir()
    assert cli.main(words) == 1
    said = capsys.readouterr()
    assert "is no file" in said.out + said.err
