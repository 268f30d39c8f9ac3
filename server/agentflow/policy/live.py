"""Uploaded bundles, and which of them is in force: kept in the store, followed by every gateway that shares it.

It promises that nothing is kept that does not compile or whose own `*_test.rego` fail, that a bundle is kept as it was
tested and named by the hash of its content, and that the newest choice counts until `agentflow policy rollback
--to-file` hands the decision back to the configuration file. An uploaded bundle is whole: neither `policy.layers`
nor `policy.data` of the configuration is laid over it, so that what was tested is what decides. Bundles and choices are
sealed under a key of this installation's vault: what somebody else wrote into the database is not chosen, nor followed.
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
from agentflow.errors import ChoiceAltered, ConfigError, Conflict
from agentflow.policy import live_seal
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
        ours: whether this installation made it and nobody has altered it in the database since: others do not count.
    """

    number: int
    revision: str
    time: float
    by: str
    back_to: int | None = None
    before: str = FILE
    ours: bool = True


class LiveBundles:
    """The uploaded bundles of a store. Everything waits for a disk or a network: from the event loop, in a thread.

    Args:
        store: where they are; opened by what first needs it.
        secret: gives the key that seals them, `vault.derived_key("agentflow", live_seal.PURPOSE)`; asked for only where
            there is something to seal or to look at; may wait.
        record: puts what happened into the audit log; where it fails, nothing is kept or chosen.
        policy: the configuration that they stand in for.
    """

    def __init__(
        self,
        store: Store,
        secret: Callable[[], bytes],
        record: Callable[[Event], object] = lambda _: None,
        policy: Callable[[], PolicyConfig] = PolicyConfig,
    ) -> None:
        self._store = store
        self._secret = secret
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
            newest = self._newest(db)
            last = sa.select(sa.func.max(POLICY_CHOICES.c.time)).where(
                POLICY_CHOICES.c.revision == POLICY_BUNDLES.c.revision
            )
            columns = [POLICY_BUNDLES.c[name] for name in ("revision", "uploaded", "uploaded_by", "note")]
            query = sa.select(*columns, sa.func.length(POLICY_BUNDLES.c.body), last.scalar_subquery())
            rows = db.execute(query.order_by(POLICY_BUNDLES.c.uploaded.desc(), POLICY_BUNDLES.c.revision)).all()
        in_force = newest.revision if newest and newest.ours else FILE
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
            ConfigError: it cannot be read, or the choice is not this installation's.
            StoreUnavailable, VaultUnavailable: what was chosen cannot be known.
        """
        chosen = self.chosen() if self._policy().engine == "embedded" else None
        return self.bundle(chosen) if chosen else read_bundle(self._policy())

    # Choices ------------------------------------------------------------------------------------------------

    def activate(self, revision: str, by: str, *, expected: int | None = None) -> Choice:
        """Put a bundle in force, named by its revision or the first characters of it; gateways follow within a second.

        Args:
            expected: number of the choice that it is to replace, 0 for none; None for whichever there is.

        Raises:
            ConfigError: there is no such bundle, it was not uploaded here, or OPA decides.
            Conflict: another choice than the expected one is in force.
            StoreUnavailable, AuditUnavailable: nothing has changed.
        """
        self._ours()
        with self._store.database().begin() as db:
            self._still(db, expected)
            return self._choose(db, "chosen", self._uploaded(db, _named(db, revision)), by, None)

    def roll_back(self, by: str, *, to_file: bool = False, expected: int | None = None) -> Choice:
        """Put in force what was before the last choice that was not rolled back, or what the configuration file names.

        Args:
            expected: as in `activate`.

        Raises:
            ConfigError: nothing was chosen, or where that leads back to is not this installation's choice.
            Conflict: another choice than the expected one is in force.
            StoreUnavailable, AuditUnavailable: nothing has changed.
        """
        newest = self.newest()
        if newest is None or (to_file and newest.revision == FILE and newest.ours):
            raise ConfigError("The policy in force is the configuration file's already")
        if not to_file:
            self._ours()
        with self._store.database().begin() as db:
            self._still(db, expected)
            if to_file:
                return self._choose(db, "rolled_back", FILE, by, None)
            target = self._before(db)
            if target is None:
                raise ConfigError("There is nothing before the policy in force", fix="choose one: policy activate")
            return self._choose(db, "rolled_back", target[1], by, target[0])

    def chosen(self) -> str | None:
        """The revision in force, or None where the configuration file decides.

        Raises:
            ChoiceAltered: the newest choice does not count.
            ConfigError, StoreUnavailable, VaultUnavailable: that cannot be known.
        """
        newest = self.newest()
        if newest is not None and not newest.ours:
            raise altered(newest)
        return newest.revision or None if newest is not None else None

    def newest(self) -> Choice | None:
        """The choice that was made last, or None where there never was one. Only if it is `ours` it counts.

        Raises:
            ConfigError, StoreUnavailable, VaultUnavailable: that cannot be known.
        """
        if not self._store.holds("policy_choice"):
            return None
        with self._store.database().read() as db:
            return self._newest(db)

    def history(self, limit: int = 50) -> Sequence[Choice]:
        """The choices made, newest first."""
        if not self._store.holds("policy_choice"):
            return ()
        with self._store.database().read() as db:
            found = self._choices(db, limit + 1)
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
            now = time.time()
            seal = live_seal.bundle(self._secret(), revision, now, by, note)
            values = {"uploaded": now, "uploaded_by": by, "note": note, "seal": seal}
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

        newest, now, key = self._newest(db), time.time(), self._secret()
        before = newest.revision if newest else FILE
        values = {"revision": revision, "time": now, "chosen_by": by, "back_to": back_to, "seal": b""}
        done = db.execute(sa.insert(POLICY_CHOICES).values(**values))
        assert done.inserted_primary_key is not None
        choice = Choice(done.inserted_primary_key[0], revision, now, by, back_to, before)
        own = POLICY_CHOICES.c.number == choice.number
        seal = live_seal.choice(key, choice.number, revision, now, by, back_to)
        db.execute(sa.update(POLICY_CHOICES).where(own).values(seal=seal))
        # The database counts the choices: a row with a higher number was put there by somebody else.
        db.execute(sa.delete(POLICY_CHOICES).where(POLICY_CHOICES.c.number > choice.number))
        details: dict[str, Detail] = {"before": before or "file", "number": choice.number}
        self._record(Event("policy", event, by=by, subject=revision or "file", outcome="ok", details=details))
        return choice

    def _choices(self, db: sa.Connection, limit: int) -> Sequence[Choice]:
        import sqlalchemy as sa

        from agentflow.store.tables import POLICY_CHOICES

        rows = db.execute(sa.select(POLICY_CHOICES).order_by(POLICY_CHOICES.c.number.desc()).limit(limit)).all()
        key = self._secret() if rows else b""
        return [_choice(key, row) for row in rows]

    def _newest(self, db: sa.Connection) -> Choice | None:
        found = self._choices(db, 1)
        return found[0] if found else None

    def _still(self, db: sa.Connection, expected: int | None) -> None:
        """Hold everybody else's choice back until this one is made, and refuse it where one was made in between.

        Raises:
            Conflict: the newest is not the expected one.
        """
        import sqlalchemy as sa

        if self._store.shared:  # in SQLite the transaction has the database for itself
            db.execute(sa.text("LOCK TABLE policy_choice IN SHARE ROW EXCLUSIVE MODE"))
        newest = self._newest(db)
        if expected is not None and (newest.number if newest else 0) != expected:
            raise Conflict("Another policy has been put in force in between", fix="look at it, and choose again")

    def _before(self, db: sa.Connection) -> tuple[int, str] | None:
        """The choice to go back to and what it chose: a roll-back of a roll-back goes further, not to and fro.

        Raises:
            ChoiceAltered: the newest or that one does not count.
        """
        import sqlalchemy as sa

        from agentflow.store.tables import POLICY_CHOICES

        newest = self._newest(db)
        if newest is None:
            return None
        if not newest.ours:
            raise altered(newest)
        stands = newest.number if newest.back_to is None else newest.back_to
        if stands == 0:
            return None
        query = sa.select(POLICY_CHOICES).where(POLICY_CHOICES.c.number < stands)
        row = db.execute(query.order_by(POLICY_CHOICES.c.number.desc()).limit(1)).first()
        if row is None:
            return 0, FILE
        target = _choice(self._secret(), row)
        if not target.ours:
            raise altered(target)
        return (target.number if target.back_to is None else target.back_to), target.revision

    def _uploaded(self, db: sa.Connection, revision: str) -> str:
        """A bundle that was uploaded, and so tested, by this installation.

        Raises:
            ChoiceAltered: somebody else put it into the database.
        """
        import sqlalchemy as sa

        from agentflow.store.tables import POLICY_BUNDLES as KEPT

        columns = (KEPT.c.revision, KEPT.c.uploaded, KEPT.c.uploaded_by, KEPT.c.note)
        seal, *said = db.execute(sa.select(KEPT.c.seal, *columns).where(KEPT.c.revision == revision)).one()
        if not live_seal.same(seal, live_seal.bundle(self._secret(), *said)):
            raise ChoiceAltered(
                f"The bundle {revision[:12]} was uploaded with another vault, or altered in the database",
                fix="upload it again",
            )
        return revision


def altered(choice: Choice) -> ChoiceAltered:
    """Why a choice that is not `ours` is not followed. Says nothing of its words: they may be anybody's."""
    return ChoiceAltered(
        f"Choice {choice.number} of a policy was made with another vault, or altered in the database",
        fix="choose again: agentflow policy activate, or agentflow policy rollback --to-file; gateways that share a "
        "database need one vault and one master key",
    )


def _choice(key: bytes, row: sa.Row[tuple[object, ...]]) -> Choice:
    said = row.number, row.revision, row.time, row.chosen_by, row.back_to
    return Choice(*said, ours=live_seal.same(row.seal, live_seal.choice(key, *said)))


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
