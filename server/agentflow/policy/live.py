"""Uploaded bundles, and which of them is in force: kept in the store, followed by every gateway that shares it.

It promises that nothing is kept that does not compile or whose own `*_test.rego` fail, that a bundle is kept as it was
tested and named by the hash of its content, and that the newest choice counts until `agentflow policy rollback
--to-file` hands the decision back to the configuration file. An uploaded bundle is whole: neither `policy.layers`
nor `policy.data` of the configuration is laid over it, so that what was tested is what decides.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

import orjson

from agentflow.audit.events import Detail, Event
from agentflow.config import PolicyConfig
from agentflow.errors import ConfigError, Conflict
from agentflow.policy.archive import BadArchive, contents_of, pack, unpack_bytes
from agentflow.policy.bundle import Bundle, bundle_of, read_bundle, refused
from agentflow.policy.checks import World
from agentflow.policy.engine import Report, TestRun, check_bundle
from agentflow.store.opened import Store

if TYPE_CHECKING:
    import sqlalchemy as sa

FILE: Final = ""  # what is chosen where the configuration file decides
MAX_KEPT: Final = 200  # bundles; of those that were never in force the oldest go
_TURN: Final = 10.0  # seconds that a bundle waits for another one's tests
_NOTE: Final = 500  # characters of a note that are kept
_PLACES: Final = 20  # of what is wrong with a bundle, in the audit log
_DECIDES: Final = re.compile(r"^package\s+agentflow\s*$.*^(?:default\s+)?decision\b", re.MULTILINE | re.DOTALL)
_LEAST: Final = 4  # characters that name a revision
_NOWHERE: Final = Path()  # where a bundle lies that was uploaded


@dataclass(frozen=True, slots=True)
class Uploaded:
    """A bundle that was accepted. `new` is false where the same content was there already."""

    revision: str
    tests: tuple[TestRun, ...]
    warnings: tuple[str, ...]
    new: bool


@dataclass(frozen=True, slots=True)
class Kept:
    """One uploaded bundle. Times are epoch seconds; `chosen` is when it was last put in force, 0 where it never was."""

    revision: str
    uploaded: float
    uploaded_by: str
    note: str
    bytes: int
    chosen: float
    in_force: bool


@dataclass(frozen=True, slots=True)
class Choice:
    """What was put in force: a bundle by its revision, or the configuration file's (`FILE`).

    Attributes:
        number: of the choice; the highest counts.
        back_to: the choice that a roll-back returned to, 0 for the time before the first; None where it is none.
        before: what was in force until then.
    """

    number: int
    revision: str
    time: float
    by: str
    back_to: int | None = None
    before: str = FILE


class LiveBundles:
    """The uploaded bundles of a store. Everything waits for a disk or a network: from the event loop, in a thread.

    Args:
        store: where they are; opened by what first needs it.
        record: puts what happened into the audit log; where it fails, nothing is kept or chosen.
        policy: the configuration that they stand in for.
    """

    def __init__(
        self,
        store: Store,
        record: Callable[[Event], object] = lambda _: None,
        policy: Callable[[], PolicyConfig] = PolicyConfig,
    ) -> None:
        self._store = store
        self._record = record
        self._policy = policy
        self._testing = threading.Lock()

    # Bundles ------------------------------------------------------------------------------------------------

    def check(self, body: bytes | Mapping[str, str], world: World | None = None) -> Report:
        """Compile and test a bundle as `upload` does, and keep nothing.

        Raises:
            Conflict: another one is being tested, and that takes long.
        """
        try:
            bundle = self._read(body)
        except ConfigError as error:
            return Report(_NOWHERE, "", (), tuple(error.data.get("problems", (error.message,))))
        return self.tried(bundle, world)

    def tried(self, bundle: Bundle, world: World | None = None) -> Report:
        """Compile and test a bundle that is read, one at a time: that takes a core and half a gigabyte.

        Raises:
            Conflict: another one is being tested, and that takes long.
        """
        if not self._testing.acquire(timeout=_TURN):
            raise Conflict("Another policy bundle is being tested", fix="try again in a minute")
        try:
            return check_bundle(bundle, world)
        finally:
            self._testing.release()

    def upload(self, body: bytes | Mapping[str, str], by: str, note: str = "", world: World | None = None) -> Uploaded:
        """Keep a bundle: a `bundle.tar.gz`, or its files by name (`agentflow/rules.rego`, `data.json`).

        Args:
            by: who uploads it, `tenant/principal`.
            world: what its rules can be about, for the warnings.

        Raises:
            ConfigError: it is refused; `data["problems"]` has every reason, with file and line.
            Conflict: another one is being tested, and that takes long.
            StoreUnavailable, AuditUnavailable: it is not kept.
        """
        revision = ""
        try:
            bundle = self._read(body)
            revision = bundle.revision
            report = self.tried(bundle, world)
            if report.problems:
                raise refused(_NOWHERE, list(report.problems))
        except ConfigError as error:
            self._record(_refusal(error, by, revision))
            raise
        packed = pack(bundle.texts, bundle.data, bundle.revision)
        event = Event(
            "policy",
            "uploaded",
            by=by,
            subject=bundle.revision,
            outcome="ok",
            details={"bytes": len(packed), "tests": len(report.tests)},
        )
        new = self._keep(bundle.revision, packed, by, note[:_NOTE], event)
        return Uploaded(bundle.revision, report.tests, report.warnings, new)

    def list(self) -> Sequence[Kept]:
        """Every bundle kept, newest first."""
        if not self._store.holds("policy_bundle"):
            return ()
        import sqlalchemy as sa

        from agentflow.store.tables import POLICY_BUNDLES, POLICY_CHOICES

        with self._store.database().read() as db:
            newest = _newest(db)
            last = sa.select(sa.func.max(POLICY_CHOICES.c.time)).where(
                POLICY_CHOICES.c.revision == POLICY_BUNDLES.c.revision
            )
            columns = [POLICY_BUNDLES.c[name] for name in ("revision", "uploaded", "uploaded_by", "note")]
            query = sa.select(*columns, sa.func.length(POLICY_BUNDLES.c.body), last.scalar_subquery())
            rows = db.execute(query.order_by(POLICY_BUNDLES.c.uploaded.desc(), POLICY_BUNDLES.c.revision)).all()
        in_force = newest.revision if newest else FILE
        return [Kept(*row[:5], chosen=row[5] or 0.0, in_force=row[0] == in_force) for row in rows]

    def body(self, revision: str) -> bytes:
        """A bundle as an archive, which OPA loads, too.

        Raises:
            ConfigError: there is none of that revision.
        """
        with self._store.database().read() as db:
            return _body(db, _named(db, revision))

    def files(self, revision: str) -> Mapping[str, str]:
        """The files of a bundle by name: Rego, and one `data.json`. Raises as `body`."""
        return files_of(self.bundle(revision))

    def bundle(self, revision: str) -> Bundle:
        """A bundle, ready to be compiled. Raises as `body`, and where it is not what was uploaded."""
        body = self.body(revision)
        try:
            bundle = bundle_of(unpack_bytes(body))
        except BadArchive as error:
            raise refused(_NOWHERE, [str(error)]) from None
        if not bundle.revision.startswith(revision):
            raise refused(_NOWHERE, [f"what the store has for {revision[:12]} has been altered"])
        return bundle

    def in_force(self) -> Bundle:
        """The bundle that is to decide: the chosen one, or the configuration's; with an OPA the local one.

        Raises:
            ConfigError: it cannot be read.
            StoreUnavailable: what was chosen cannot be known.
        """
        chosen = self.chosen() if self._policy().engine == "embedded" else None
        return self.bundle(chosen) if chosen else read_bundle(self._policy())

    # Choices ------------------------------------------------------------------------------------------------

    def activate(self, revision: str, by: str, *, expected: int | None = None) -> Choice:
        """Put a bundle in force, named by its revision or the first characters of it; gateways follow within a second.

        Args:
            expected: number of the choice that it is to replace, 0 for none; None for whichever there is.

        Raises:
            ConfigError: there is no such bundle, or OPA decides.
            Conflict: another choice than the expected one is in force.
            StoreUnavailable, AuditUnavailable: nothing has changed.
        """
        self._ours()
        with self._store.database().begin() as db:
            _still(db, self._store.shared, expected)
            return self._choose(db, "chosen", _named(db, revision), by, None)

    def roll_back(self, by: str, *, to_file: bool = False, expected: int | None = None) -> Choice:
        """Put in force what was before the last choice that was not rolled back, or what the configuration file names.

        Args:
            expected: as in `activate`.

        Raises:
            ConfigError: nothing was chosen.
            Conflict: another choice than the expected one is in force.
            StoreUnavailable, AuditUnavailable: nothing has changed.
        """
        newest = self.newest()
        if newest is None or (to_file and newest.revision == FILE):
            raise ConfigError("The policy in force is the configuration file's already")
        if not to_file:
            self._ours()
        with self._store.database().begin() as db:
            _still(db, self._store.shared, expected)
            if to_file:
                return self._choose(db, "rolled_back", FILE, by, None)
            target = _before(db)
            if target is None:
                raise ConfigError("There is nothing before the policy in force", fix="choose one: policy activate")
            return self._choose(db, "rolled_back", target[1], by, target[0])

    def chosen(self) -> str | None:
        """The revision in force, or None where the configuration file decides."""
        newest = self.newest()
        return newest.revision or None if newest is not None else None

    def newest(self) -> Choice | None:
        """The choice that counts, or None where there never was one.

        Raises:
            ConfigError, StoreUnavailable: that cannot be known.
        """
        if not self._store.holds("policy_choice"):
            return None
        with self._store.database().read() as db:
            return _newest(db)

    def history(self, limit: int = 50) -> Sequence[Choice]:
        """The choices made, newest first."""
        if not self._store.holds("policy_choice"):
            return ()
        with self._store.database().read() as db:
            found = _choices(db, limit + 1)
        before = [*(choice.revision for choice in found[1:]), *([FILE] if found else ())]
        return [replace(choice, before=was) for choice, was in zip(found, before, strict=True)][:limit]

    # ---------------------------------------------------------------------------------------------------------

    def _ours(self) -> None:
        if self._policy().engine == "opa":
            raise ConfigError(
                "policy.engine is opa: what is in force is what that OPA has loaded",
                fix="give OPA the bundle, or set policy.engine to embedded",
            )

    def _read(self, body: bytes | Mapping[str, str]) -> Bundle:
        try:
            contents = unpack_bytes(body) if isinstance(body, bytes) else contents_of(body)
        except BadArchive as error:
            raise refused(_NOWHERE, [str(error)]) from None
        bundle = bundle_of(contents)
        if not any(_DECIDES.search(text) for text in bundle.modules.values()):
            # It would deny everything, and whoever could take it back as well.
            raise refused(_NOWHERE, ["no file of `package agentflow` defines `decision`"])
        return bundle

    def _keep(self, revision: str, packed: bytes, by: str, note: str, event: Event) -> bool:
        import sqlalchemy as sa

        from agentflow.store.tables import POLICY_BUNDLES

        with self._store.database().begin() as db:
            known = (
                db.scalar(sa.select(POLICY_BUNDLES.c.revision).where(POLICY_BUNDLES.c.revision == revision)) is not None
            )
            values = {"uploaded": time.time(), "uploaded_by": by, "note": note}
            if known:
                db.execute(sa.update(POLICY_BUNDLES).where(POLICY_BUNDLES.c.revision == revision).values(**values))
            else:
                db.execute(sa.insert(POLICY_BUNDLES).values(revision=revision, body=packed, **values))
                _prune(db)
            self._record(event)
        return not known

    def _choose(self, db: sa.Connection, event: str, revision: str, by: str, back_to: int | None) -> Choice:
        import sqlalchemy as sa

        from agentflow.store.tables import POLICY_CHOICES

        newest, now = _newest(db), time.time()
        before = newest.revision if newest else FILE
        values = {"revision": revision, "time": now, "chosen_by": by, "back_to": back_to}
        done = db.execute(sa.insert(POLICY_CHOICES).values(**values))
        assert done.inserted_primary_key is not None
        choice = Choice(done.inserted_primary_key[0], revision, now, by, back_to, before)
        details: dict[str, Detail] = {"before": before or "file", "number": choice.number}
        self._record(Event("policy", event, by=by, subject=revision or "file", outcome="ok", details=details))
        return choice


def files_of(bundle: Bundle) -> dict[str, str]:
    """The files that make up a bundle, whatever it was read from: Rego by name, and one `data.json`."""
    data = orjson.dumps(bundle.data, option=orjson.OPT_SORT_KEYS | orjson.OPT_INDENT_2).decode() + "\n"
    return {**dict(sorted(bundle.texts.items())), "data.json": data}


def _refusal(error: ConfigError, by: str, revision: str) -> Event:
    """Where it is wrong, not in which words: those may quote somebody's data."""
    problems = error.data.get("problems", ())
    places = [str(problem).partition(": ")[0] for problem in problems]
    details: dict[str, Detail] = {"problems": len(problems), "places": places[:_PLACES]}
    return Event("policy", "refused", by=by, subject=revision, outcome=error.kind, details=details)


def _choices(db: sa.Connection, limit: int) -> list[Choice]:
    import sqlalchemy as sa

    from agentflow.store.tables import POLICY_CHOICES

    columns = (POLICY_CHOICES.c[name] for name in ("number", "revision", "time", "chosen_by", "back_to"))
    return [
        Choice(*row) for row in db.execute(sa.select(*columns).order_by(POLICY_CHOICES.c.number.desc()).limit(limit))
    ]


def _newest(db: sa.Connection) -> Choice | None:
    found = _choices(db, 1)
    return found[0] if found else None


def _still(db: sa.Connection, shared: bool, expected: int | None) -> None:
    """Hold everybody else's choice back until this one is made, and refuse it where one was made in between.

    Raises:
        Conflict: the newest is not the expected one.
    """
    import sqlalchemy as sa

    if shared:  # in SQLite the transaction has the database for itself
        db.execute(sa.text("LOCK TABLE policy_choice IN SHARE ROW EXCLUSIVE MODE"))
    newest = _newest(db)
    if expected is not None and (newest.number if newest else 0) != expected:
        raise Conflict("Another policy has been put in force in between", fix="look at it, and choose again")


def _before(db: sa.Connection) -> tuple[int, str] | None:
    """The choice to go back to and what it chose: a roll-back of a roll-back goes further, not to and fro."""
    import sqlalchemy as sa

    from agentflow.store.tables import POLICY_CHOICES

    newest = _newest(db)
    if newest is None:
        return None
    stands = newest.number if newest.back_to is None else newest.back_to
    if stands == 0:
        return None
    query = sa.select(POLICY_CHOICES.c.number, POLICY_CHOICES.c.revision, POLICY_CHOICES.c.back_to).where(
        POLICY_CHOICES.c.number < stands
    )
    row = db.execute(query.order_by(POLICY_CHOICES.c.number.desc()).limit(1)).first()
    if row is None:
        return 0, FILE
    return (row[0] if row[2] is None else row[2]), row[1]


def _named(db: sa.Connection, revision: str) -> str:
    """The whole of a revision given in part.

    Raises:
        ConfigError: it names none, or more than one.
    """
    import sqlalchemy as sa

    from agentflow.store.tables import POLICY_BUNDLES

    found: list[str] = []
    if len(revision) >= _LEAST and revision.isalnum():
        query = sa.select(POLICY_BUNDLES.c.revision).where(POLICY_BUNDLES.c.revision.startswith(revision))
        found = list(db.scalars(query.limit(2)))
    if len(found) == 1:
        return found[0]
    what = "is more than one uploaded bundle" if found else "is no uploaded bundle"
    raise ConfigError(f"{revision[:80]!r} {what}", fix="`agentflow policy list` shows them")


def _body(db: sa.Connection, revision: str) -> bytes:
    import sqlalchemy as sa

    from agentflow.store.tables import POLICY_BUNDLES

    return bytes(db.scalar(sa.select(POLICY_BUNDLES.c.body).where(POLICY_BUNDLES.c.revision == revision)) or b"")


def _prune(db: sa.Connection) -> None:
    import sqlalchemy as sa

    from agentflow.store.tables import POLICY_BUNDLES, POLICY_CHOICES

    never = POLICY_BUNDLES.c.revision.not_in(sa.select(POLICY_CHOICES.c.revision))
    left = (
        sa.select(POLICY_BUNDLES.c.revision)
        .where(never)
        .order_by(POLICY_BUNDLES.c.uploaded.desc())
        .offset(MAX_KEPT)
        .limit(1000)
    )
    db.execute(sa.delete(POLICY_BUNDLES).where(POLICY_BUNDLES.c.revision.in_(list(db.scalars(left)))))
