"""What stores in PostgreSQL share: a missing package and an error are told without what they quote."""

from __future__ import annotations

import subprocess
import sys

import pytest

from agentflow.postgres import Error, connect, place_of, said


@pytest.mark.parametrize(
    "module",
    ["agentflow.guard.vault.postgres_store", "agentflow.guard.taint_postgres", "agentflow.audit.index_postgres"],
)
def test_without_psycopg_the_configuration_is_at_fault_and_the_extra_is_named(module: str) -> None:
    code = (
        "import sys\nsys.modules['psycopg'] = None\nfrom agentflow.errors import ConfigError\n"
        f"try:\n    import {module}\nexcept ConfigError as error:\n    print(error.fix)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "agentflow-gateway[postgres]" in done.stdout


def test_an_error_is_told_without_the_password() -> None:
    with pytest.raises(Error) as refused:
        connect("postgresql://user:hunter2@127.0.0.1:1/db", "agentflow_test")
    assert said(refused.value) == "OperationalError"


def test_the_connection_sees_its_own_schema_and_waits_no_longer_than_said(database: str) -> None:
    with connect(database, "agentflow_test", statement_seconds=7) as db:
        assert db.execute("SHOW search_path").fetchone() == ("agentflow_test",)
        assert db.execute("SHOW statement_timeout").fetchone() == ("7s",)


@pytest.mark.parametrize(
    "url",
    [
        "host=db password=hunter2",
        "postgresql://user:hun/ter2@db/one",
        "postgresql://user:hunter2@[db/one",
        "postgresql:hunter2",
    ],
)
def test_nothing_is_quoted_of_what_is_no_address(url: str) -> None:
    assert place_of(url) == "an address that is none"
