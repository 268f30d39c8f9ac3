"""Buckets of calls that gateways draw from together, in the store's PostgreSQL.

It promises that a token is given to one gateway only, whoever asks at the same time, and that a bucket refills evenly
by the clock of its database, so that gateways whose clocks differ count alike; where that clock is set back, refilling
goes on from there. A bucket that nobody has drawn from for a while is full, and its row is forgotten. Each draw is one
statement on a connection of its own: it is on the way of calls, where the database's other users are not.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from agentflow.errors import StoreUnavailable
from agentflow.postgres import Connection, Error, connect, place_of, said

_SCHEMA: Final = "agentflow"
_PLENTY: Final = 4  # a bucket with less than so many times what is asked for ahead gives nothing ahead
_FORGOTTEN: Final = 600.0  # seconds after which the row of an idle bucket is removed
_NOW: Final = "extract(epoch FROM clock_timestamp())::float8"
# The rows are locked in the order of their names: two who draw from the same ones never wait for each other. What is
# computed from them is computed once they are.
_DRAW: Final = f"""
WITH found AS MATERIALIZED (
  SELECT bucket, tokens, updated FROM rate_limit WHERE bucket = ANY(%(names)s) ORDER BY bucket FOR UPDATE
), asked AS (
  SELECT f.bucket, f.tokens, f.updated, {_NOW} AS at, a.rate, a.now, a.ahead
  FROM found f JOIN unnest(%(names)s::text[], %(rates)s::int[], %(nows)s::int[], %(aheads)s::int[])
    AS a (bucket, rate, now, ahead) USING (bucket)
), filled AS (
  SELECT *, least((rate - ahead)::float8, tokens + greatest(at - updated, 0) * rate / 60) AS held FROM asked
), first AS (
  SELECT *, least(now, floor(held)::int) AS served FROM filled
), given AS (
  SELECT bucket, at, held, served + CASE WHEN held - served >= {_PLENTY} * ahead THEN ahead ELSE 0 END AS taken
  FROM first
), written AS (
  UPDATE rate_limit r SET tokens = g.held - g.taken, updated = g.at FROM given g WHERE r.bucket = g.bucket
)
SELECT bucket, taken, held - taken FROM given
"""  # noqa: S608 - constants
_BEGIN: Final = f"""
INSERT INTO rate_limit (bucket, tokens, updated)
SELECT bucket, full_at, {_NOW} FROM unnest(%s::text[], %s::float8[]) AS a (bucket, full_at) ORDER BY bucket
ON CONFLICT (bucket) DO NOTHING
"""  # noqa: S608
_FORGET: Final = f"""
DELETE FROM rate_limit WHERE bucket IN (
  SELECT bucket FROM rate_limit WHERE updated < {_NOW} - {_FORGOTTEN} FOR UPDATE SKIP LOCKED)
"""  # noqa: S608


class Ask(NamedTuple):
    """What is wanted of one bucket: so many tokens now, and `ahead` more while there are plenty.

    The bucket gets `rate` tokens a minute and holds no more than `rate - ahead`: what was given ahead and not used
    yet counts as if it were still in it.
    """

    rate: int
    now: int
    ahead: int = 0


class Grant(NamedTuple):
    """What a bucket gave: `tokens` of those wanted; `left` whole ones stay; `wait` seconds until it has one again."""

    tokens: int
    left: int
    wait: float


class Buckets:
    """The buckets in the database of `url`, whose tables are there. Used by one thread at a time."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._db: Connection[Any] | None = None

    def draw(self, asks: Mapping[str, Ask]) -> dict[str, Grant]:
        """Take tokens out of several buckets, each by its name.

        Raises:
            StoreUnavailable: what was taken, if anything, is used by nobody.
        """
        try:
            return self._drawn(asks)
        except Error as error:
            if self._db is None or not self._db.closed:
                raise self._unusable(error) from error
        try:
            return self._drawn(asks)  # the connection had been cut while nobody used it
        except Error as error:
            raise self._unusable(error) from error

    def forget(self) -> None:
        """Remove the rows of buckets that are full by now.

        Raises:
            StoreUnavailable: nothing was removed.
        """
        try:
            self._connection().execute(_FORGET)
        except Error as error:
            raise self._unusable(error) from error

    def close(self) -> None:
        """Let go of the connection. Idempotent."""
        if self._db is not None:
            self._db.close()

    def _drawn(self, asks: Mapping[str, Ask]) -> dict[str, Grant]:
        granted: dict[str, Grant] = {}
        for _ in range(3):
            missing = {name: ask for name, ask in asks.items() if name not in granted}
            granted.update(self._of_rows(missing))
            missing = {name: ask for name, ask in missing.items() if name not in granted}
            if not missing:
                return granted
            full = [float(ask.rate - ask.ahead) for ask in missing.values()]
            self._connection().execute(_BEGIN, (list(missing), full))
        raise StoreUnavailable(
            "The buckets of calls cannot be kept: their rows vanish", fix="check the table rate_limit"
        )

    def _of_rows(self, asks: Mapping[str, Ask]) -> dict[str, Grant]:
        rates, nows, aheads = zip(*asks.values(), strict=True)
        values = {"names": list(asks), "rates": list(rates), "nows": list(nows), "aheads": list(aheads)}
        granted = {}
        for name, taken, rest in self._connection().execute(_DRAW, values):
            granted[name] = Grant(taken, int(rest), 0.0 if rest >= 1 else (1 - rest) * 60.0 / asks[name].rate)
        return granted

    def _connection(self) -> Connection[Any]:
        if self._db is None or self._db.closed:
            self._db = connect(self._url, _SCHEMA)
        return self._db

    def _unusable(self, error: Error) -> StoreUnavailable:
        return StoreUnavailable(
            f"The database {place_of(self._url)} cannot be used: {said(error)}", fix="check store.url and its server"
        )
