"""The tables over time: each step there and back, other versions refused, and what a way back would cost."""

from __future__ import annotations

from pathlib import Path

import pytest
import sqlalchemy as sa

from agentflow.errors import ConfigError, StoreUnavailable
from agentflow.store import migrate
from agentflow.store.database import Database
from agentflow.store.tables import METADATA, RATE_LIMITS
from tests.store.conftest import Place


def tables(database: Database) -> set[str]:
    with database.read() as connection:
        return set(sa.inspect(connection).get_table_names())


def test_the_last_migration_makes_what_the_code_expects(store: Database) -> None:
    assert migrate.current(store) == migrate.revisions()[-1]
    assert migrate.differences(store) == []
    assert tables(store) == {"alembic_version", *METADATA.tables}


def test_each_step_can_be_gone_back_and_forth(store: Database) -> None:
    steps = ("base", *migrate.revisions())
    for down in reversed(steps[:-1]):
        migrate.downgrade(store, down)
        assert (migrate.current(store) or "base") == down
    assert tables(store) == {"alembic_version"}
    for up in steps[1:]:
        migrate.upgrade(store, up)
        assert migrate.current(store) == up
    assert migrate.differences(store) == []


def test_what_a_table_lacks_or_has_beyond_is_told(store: Database) -> None:
    with store.begin() as connection:
        connection.execute(sa.text("DROP TABLE rate_limit"))
        connection.execute(sa.text("CREATE TABLE stranger (id INTEGER)"))
        connection.execute(sa.text("ALTER TABLE server ADD COLUMN beyond TEXT"))
        connection.execute(sa.text("DROP INDEX approval_state"))
    assert {"lacks table rate_limit", "has beyond table stranger", "has beyond column server.beyond",
            "lacks index approval_state"} == set(migrate.differences(store))  # fmt: skip


def test_a_column_of_another_type_is_told(database: str, tmp_path: Path) -> None:
    store = Database(tmp_path, database)
    with store.begin() as connection:
        connection.execute(sa.text("ALTER TABLE rate_limit ALTER tokens TYPE TEXT, ALTER updated DROP NOT NULL"))
    assert set(migrate.differences(store)) == {
        "type of rate_limit.tokens is another",
        "nullable of rate_limit.updated is another",
    }
    store.close()


def test_a_store_of_a_newer_agentflow_is_left_alone(place: Place) -> None:
    with place.open().begin() as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(ConfigError, match="newer AgentFlow"):
        place.open()


def test_an_older_file_is_brought_up_to_date_and_an_older_database_left_to_the_administrator(place: Place) -> None:
    migrate.downgrade(place.open(), "0003")
    if place.url is None:
        assert migrate.current(place.open()) == migrate.revisions()[-1]
        return
    with pytest.raises(ConfigError, match="older AgentFlow") as refused:
        place.open()
    assert "agentflow db upgrade" in refused.value.fix
    migrate.upgrade(place.open(prepared=False))
    assert migrate.differences(place.open()) == []


def test_a_migration_that_breaks_off_has_changed_nothing(store: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    migrate.downgrade(store, "0003")
    before = tables(store)
    monkeypatch.setattr("alembic.op.create_index", lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        migrate.upgrade(store)
    assert tables(store) == before and migrate.current(store) == "0003"


def test_what_a_way_back_would_cost_is_counted_and_nothing_touched(store: Database) -> None:
    with store.begin() as connection:
        connection.execute(
            sa.insert(RATE_LIMITS), [{"bucket": str(n), "tokens": 1.0, "updated": 0.0} for n in range(3)]
        )
    lost = [str(each) for each in migrate.losses(store, "0003")]
    assert "rate_limit (3 rows)" in lost and not any(each.startswith("approval") for each in lost)
    assert migrate.current(store) == migrate.revisions()[-1] and migrate.differences(store) == []
    with store.read() as connection:
        assert connection.scalar(sa.select(sa.func.count()).select_from(RATE_LIMITS)) == 3


def test_a_column_that_goes_is_told_too(store: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    def drop(database: Database, what: object, around: object) -> None:
        with database.begin() as connection:
            around(connection, lambda: connection.execute(sa.text("ALTER TABLE server DROP COLUMN note")))  # type: ignore[operator]

    with store.begin() as connection:
        connection.execute(sa.text("ALTER TABLE server ADD COLUMN note TEXT"))
    monkeypatch.setattr(migrate, "_run", drop)
    assert [str(each) for each in migrate.losses(store, "0006")] == ["server.note (0 rows)"]


def test_a_closed_door_is_a_typed_error(place: Place) -> None:
    if place.url is None:
        (place.data_dir / "agentflow.db").write_bytes(b"no database" * 500)
        with pytest.raises(StoreUnavailable, match=r"agentflow\.db"):
            place.open()
        return
    with pytest.raises(StoreUnavailable) as refused:
        Database(place.data_dir, "postgresql://user:hunter2@127.0.0.1:1/none")
    assert "hunter2" not in refused.value.message and "127.0.0.1/none" in refused.value.message
