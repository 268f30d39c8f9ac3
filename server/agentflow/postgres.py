"""What every store in PostgreSQL shares: the connection to a schema of our own, and what an error may say.

Importing it needs psycopg (the extra `postgres`); without it a `ConfigError` says so, and therefore stores take
`Connection` and `Error` from here. What becomes of an error is the store's to say: each refuses in its own terms.
"""

from __future__ import annotations

from typing import Any

from agentflow.errors import ConfigError

try:
    import psycopg
    from psycopg import Connection, Error
except ImportError as error:
    raise ConfigError(
        "The configuration names a PostgreSQL database, but psycopg is not installed",
        fix="pip install 'agentflow-gateway[postgres]'",
    ) from error


__all__ = ["Connection", "Error", "connect", "said"]


def connect(url: str, schema: str, statement_seconds: int = 5) -> Connection[Any]:
    """Connect, in autocommit, to the tables of `schema`, which need not be there yet.

    No statement runs longer than `statement_seconds`, or waits longer than 3 s for a lock.

    Raises:
        psycopg.Error: the server cannot be reached, or `url` is none.
    """
    settings = f"-c search_path={schema} -c statement_timeout={statement_seconds * 1000} -c lock_timeout=3000"
    return psycopg.connect(
        url,
        autocommit=True,
        connect_timeout=3,
        options=f"{settings} -c idle_in_transaction_session_timeout=10000",
        application_name=schema.replace("_", " "),
    )


def said(error: Exception) -> str:
    """What an error says without what it quotes: a failed statement's parameters, a connection string's password."""
    state = getattr(error, "sqlstate", None)
    return f"{type(error).__name__}{f' ({state})' if state else ''}"
