"""Approvals in the store (SQLite or PostgreSQL): they outlive the gateway and are shared by all gateways on it.

It promises that every step is one transaction, recorded in the audit log before it counts, and that of any number of
processes that take one approval exactly one gets it: the change from `approved` to `used` is a single conditional
update, on disk before it is recorded, and both before the call goes on. A gateway killed in between has used the
approval up; the log never tells of two uses of one. Questions and votes are sealed (`approvals_seal`): a row that this
installation did not write counts for nothing, and what it stood for is void, once and recorded as `altered`.

The database is opened when the first approval is asked or looked for, and not before.
"""

from __future__ import annotations

import hashlib
import json
import secrets
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

from agentflow.audit.events import Event
from agentflow.config_approvals import ApprovalsConfig
from agentflow.errors import AuditUnavailable, LimitExceeded
from agentflow.identity.principal import Principal
from agentflow.pipeline.call import Call
from agentflow.policy import approvals_rules as rules
from agentflow.policy.approvals import (
    LIVE,
    Approval,
    Binding,
    State,
    UnknownApproval,
    Vote,
    Wanted,
    binding_of,
    name_of,
)
from agentflow.policy.approvals_seal import Seals, same, spoken_for
from agentflow.policy.approvals_shown import plain
from agentflow.store.opened import Store

if TYPE_CHECKING:
    import sqlalchemy as sa

_DEFAULT: Final = ApprovalsConfig()
_PRUNE: Final = 3600.0  # seconds between two looks for approvals that nobody needs any more
_DAY: Final = 86_400.0
_LIVE: Final = tuple(sorted(LIVE))
_HELD: Final = (*_LIVE, State.USED)  # states that votes have to bear out
_AT_ONCE: Final = 500  # ids in one statement


class StoredApprovals:
    """The approvals of an installation: an `Approvals`.

    Args:
        home: tenant of the gateway-wide administrators.
        key: gives the 32 bytes under which arguments are hashed and rows sealed, the same for all gateways and
            commands; asked once, in a thread, when there is something to hash or look at.
        record: puts a step into the audit log.
        clock: epoch seconds.
    """

    def __init__(
        self,
        store: Store,
        home: str,
        key: Callable[[], bytes],
        record: Callable[[Event], object],
        config: ApprovalsConfig = _DEFAULT,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._store, self._home, self._make_key, self._record = store, home, key, record
        self._config, self._clock = config, clock
        self._pruned = 0.0

    @cached_property
    def _key(self) -> bytes:
        return self._make_key()

    @cached_property
    def _seals(self) -> Seals:
        return Seals(self._key)

    def binding(self, call: Call, revision: str) -> Binding:
        return binding_of(call, revision, self._key)

    # Asking --------------------------------------------------------------------------------------------------

    def ask(self, binding: Binding, wanted: Wanted, apart: Collection[str] = ()) -> Approval:
        database = self._store.database()
        with database.begin() as db:
            if database.shared:  # of one caller's questions, one at a time: neither doubled nor over the limit
                _turn(db, f"{len(binding.tenant)}:{binding.tenant}:{binding.principal}")
            now = self._clock()
            self._expire(db, now)
            self._prune(db, now)
            found = self._of_call(db, binding, now)
            self._disown(db, found, now)
            for each in found:
                if each.binding.revision != binding.revision and each.state in LIVE:
                    self._settle(db, each, State.VOID, now)
            alike = (each for each in found if each.binding.revision == binding.revision and each.id not in apart)
            fitting = rules.fitting(alike, wanted, (binding.tenant, binding.principal))
            return fitting or self._open(db, binding, wanted, now)

    def _of_call(self, db: sa.Connection, binding: Binding, now: float) -> list[Approval]:
        table = _tables().APPROVALS
        here = [table.c[name] == value for name, value in asdict(binding).items() if name != "revision"]
        asked = table.c.state.in_([*_LIVE, State.DENIED])
        rows = db.execute(table.select().where(*here, asked, table.c.expires > now).order_by(table.c.created.desc()))
        return self._read(db, rows.mappings().all(), now)

    def _open(self, db: sa.Connection, binding: Binding, wanted: Wanted, now: float) -> Approval:
        sa, table = _sa(), _tables().APPROVALS
        mine = table.c.tenant == binding.tenant, table.c.principal == binding.principal
        count = db.scalar(sa.select(sa.func.count()).select_from(table).where(*mine, table.c.state == State.OPEN)) or 0
        if count >= self._config.max_open:
            raise LimitExceeded(
                f"{count} calls of this caller wait for approval",
                fix="have some answered, or wait until they expire",
                limit="approvals.max_open",
                max=self._config.max_open,
            )
        made = Approval(secrets.token_hex(16), binding, wanted, State.OPEN, now, now + wanted.ttl)
        db.execute(
            table.insert().values(
                id=made.id,
                state=made.state,
                **asdict(binding),
                shown=wanted.shown,
                prompt=wanted.prompt,
                reasons=list(wanted.reasons),
                who=json.dumps(wanted.who),
                needed=wanted.needed,
                created=made.created,
                expires=made.expires,
                seal=self._seals.question(made),
            )
        )
        details = {"who": wanted.who, "needed": wanted.needed, "seconds": wanted.ttl}
        self._note(made, "asked", made.requester, **details)
        return made

    # Looking -------------------------------------------------------------------------------------------------

    def find(self, id: str) -> Approval | None:
        return self.look([id]).get(id)

    def look(self, ids: Collection[str]) -> Mapping[str, Approval]:
        if not self._store.begun or not ids:
            return {}
        table, now = _tables().APPROVALS, self._clock()
        found: list[Approval] = []
        wanted = list(ids)
        with self._store.database().read() as db:
            for start in range(0, len(wanted), _AT_ONCE):
                rows = db.execute(table.select().where(table.c.id.in_(wanted[start : start + _AT_ONCE])))
                found += self._read(db, rows.mappings().all(), now)
        if any(each.state in (State.EXPIRED, State.VOID) and each.settled is None for each in found):
            with self._store.database().begin() as db:
                self._expire(db, now)
                self._disown(db, found, now)
        return {each.id: each for each in found}

    def pending(
        self,
        tenant: str | None = None,
        state: State | None = State.OPEN,
        limit: int = 100,
        before: tuple[float, str] | None = None,
        asked: Principal | None = None,
    ) -> Sequence[Approval]:
        if not self._store.begun:
            return []
        sa, table, now = _sa(), _tables().APPROVALS, self._clock()
        chosen = table.select().order_by(table.c.created.desc(), table.c.id.desc()).limit(limit)
        if tenant is not None:
            chosen = chosen.where(table.c.tenant == tenant)
        if before is not None:
            created, id = before
            older, beside = table.c.created < created, sa.and_(table.c.created == created, table.c.id < id)
            chosen = chosen.where(sa.or_(older, beside))
        if asked is not None:
            named = table.c.who.contains(json.dumps(rules.names(asked)), autoescape=True)
            chosen = chosen.where(sa.or_(table.c.tenant == asked.tenant, named))
        late = sa.and_(table.c.state.in_(_LIVE), table.c.expires <= now)
        if state is State.EXPIRED:
            chosen = chosen.where(sa.or_(table.c.state == state, late))
        elif state is not None:
            chosen = chosen.where(table.c.state == state, sa.not_(late))
        with self._store.database().read() as db:
            found = self._read(db, db.execute(chosen).mappings().all(), now)
        if any(map(_disowned, found)):
            with self._store.database().begin() as db:
                self._disown(db, found, now)
        return [each for each in found if state is None or each.state is state]

    def beginning(self, id: str) -> Sequence[Approval]:
        """Those whose id begins so, two at most."""
        if not self._store.begun:
            return []
        table, now = _tables().APPROVALS, self._clock()
        chosen = table.select().where(table.c.id.startswith(id, autoescape=True)).limit(2)
        with self._store.database().read() as db:
            return self._read(db, db.execute(chosen).mappings().all(), now)

    def expire(self) -> None:
        if not self._store.holds("approval"):
            return
        table, now = _tables().APPROVALS, self._clock()
        late = table.select().where(table.c.state.in_(_LIVE), table.c.expires <= now).limit(1)
        database = self._store.database()
        with database.read() as db:
            over = db.execute(late).first() is not None
        if over:
            with database.begin() as db:
                self._expire(db, now)

    # Settling ------------------------------------------------------------------------------------------------

    def vote(self, id: str, voter: Principal, approve: bool, comment: str = "", *, in_band: bool = False) -> Approval:
        votes = _tables().APPROVAL_VOTES
        self.find(id)  # notes what is not to be voted on any more, whatever becomes of this vote
        with self._store.database().begin() as db:
            now = self._clock()
            approval = self._locked(db, id, now)
            if approval is None:
                raise UnknownApproval(f"There is no approval {id!r}", fix="look at `agentflow approvals list`")
            state = rules.standing(approval, voter, approve, self._home, in_band=in_band)
            if state is None:
                return approval
            kept = plain(comment)[: rules.COMMENT]
            seal = self._seals.vote(approval, voter.key, approve, now, kept)
            cast = {"approve": approve, "time": now, "comment": kept, "seal": seal}
            mine = votes.c.approval == id, votes.c.voter == voter.key
            if db.execute(votes.update().where(*mine).values(**cast)).rowcount == 0:
                db.execute(votes.insert().values(approval=id, voter=voter.key, **cast))
            said = "approved" if approve else "denied"
            self._note(approval, said, name_of(voter), state=str(state), in_band=in_band or None)
            if state is not State.OPEN:
                self._put(db, approval, state, now if state not in LIVE else None)
            settled = self._locked(db, id, now)
        assert settled is not None
        return settled

    def take(self, id: str, binding: Binding, call: str) -> bool:
        table = _tables().APPROVALS
        exactly = [table.c[name] == value for name, value in asdict(binding).items()]
        with self._store.database().begin() as db:
            now = self._clock()
            approval = self._locked(db, id, now)  # its votes are those of the moment it is used
            if approval is None or approval.state is not State.APPROVED:
                self._disown(db, [approval] if approval is not None else [], now)
                return False
            usable = table.c.id == id, table.c.state == State.APPROVED, table.c.expires > now
            used = table.update().where(*usable, *exactly).values(state=State.USED, settled=now, call=call)
            if db.execute(used).rowcount != 1:
                return False
        try:
            self._note(approval, "used", approval.requester, call=call, approvers=approval.by)
        except AuditUnavailable:
            mine = table.c.id == id, table.c.state == State.USED, table.c.call == call
            with self._store.database().begin() as db:
                db.execute(table.update().where(*mine).values(state=State.APPROVED, settled=None, call=""))
            raise
        return True

    def follow(self, id: str, binding: Binding, before: str, call: str) -> bool:
        table, now = _tables().APPROVALS, self._clock()
        exactly = [table.c[name] == value for name, value in asdict(binding).items()]
        usable = table.c.id == id, table.c.state == State.USED, table.c.settled > now - rules.FOLLOWS
        with self._store.database().begin() as db:
            given = self._locked(db, id, now)
            if given is None or given.state is not State.USED:
                self._disown(db, [given] if given is not None else [], now)
                return False
            went_on = table.update().where(*usable, *exactly, table.c.call == before).values(call=call)
            return bool(db.execute(went_on).rowcount == 1)

    def void(self, id: str) -> None:
        now = self._clock()
        with self._store.database().begin() as db:
            approval = self._locked(db, id, now)
            if approval is not None and approval.state in LIVE:
                self._settle(db, approval, State.VOID, now)

    # Within a transaction ------------------------------------------------------------------------------------

    def _settle(self, db: sa.Connection, approval: Approval, state: State, now: float) -> None:
        self._put(db, approval, state, now)
        self._note(approval, str(state), "")

    def _put(self, db: sa.Connection, approval: Approval, state: State, settled: float | None) -> None:
        table = _tables().APPROVALS
        db.execute(table.update().where(table.c.id == approval.id).values(state=state, settled=settled))

    def _disown(self, db: sa.Connection, found: Sequence[Approval], now: float) -> None:
        """What is not as this installation wrote it is void for good."""
        table = _tables().APPROVALS
        for each in filter(_disowned, found):
            stored = table.c.id == each.id, table.c.state.in_(_HELD)
            if db.execute(table.update().where(*stored).values(state=State.VOID, settled=now)).rowcount:
                self._note(each, "altered", "")

    def _expire(self, db: sa.Connection, now: float) -> None:
        table = _tables().APPROVALS
        late = table.c.state.in_(_LIVE), table.c.expires <= now
        over = table.update().where(*late).values(state=State.EXPIRED, settled=table.c.expires).returning(table)
        for approval in self._read(db, db.execute(over).mappings().all(), now):
            self._note(approval, "expired", "")

    def _prune(self, db: sa.Connection, now: float) -> None:
        if now - self._pruned < _PRUNE:
            return
        table = _tables().APPROVALS
        db.execute(table.delete().where(table.c.settled < now - self._config.keep_days * _DAY))
        self._pruned = now

    def _locked(self, db: sa.Connection, id: str, now: float) -> Approval | None:
        """The approval, kept from changing until the transaction ends."""
        table = _tables().APPROVALS
        rows = db.execute(table.select().where(table.c.id == id).with_for_update()).mappings().all()
        return next(iter(self._read(db, rows, now)), None)

    def _read(self, db: sa.Connection, rows: Sequence[Any], now: float) -> list[Approval]:
        if not rows:
            return []
        votes, ids = _tables().APPROVAL_VOTES, [row["id"] for row in rows]
        said: dict[str, list[Any]] = {}
        for start in range(0, len(ids), _AT_ONCE):
            some = votes.c.approval.in_(ids[start : start + _AT_ONCE])
            for vote in db.execute(votes.select().where(some).order_by(votes.c.time, votes.c.voter)).mappings():
                said.setdefault(vote["approval"], []).append(vote)
        return [self._believed(row, said.get(row["id"], ()), now) for row in rows]

    def _believed(self, row: Any, cast: Sequence[Any], now: float) -> Approval:
        """What the seals bear out: only the votes that are as they were cast, and void where they are too few."""
        asked = _approval(row)
        late = asked.state in LIVE and asked.expires <= now
        sealed = {vote["voter"]: _vote(vote) for vote in cast if same(vote["seal"], self._sealed(asked, vote))}
        found = replace(asked, votes=tuple(sealed.values()), state=State.EXPIRED if late else asked.state)
        if found.state in _HELD and not (same(row["seal"], self._seals.question(asked)) and spoken_for(found)):
            return replace(found, state=State.VOID, settled=None)
        return found

    def _sealed(self, asked: Approval, vote: Any) -> bytes:
        return self._seals.vote(asked, vote["voter"], vote["approve"], vote["time"], vote["comment"])

    def _note(self, approval: Approval, event: str, by: str, **details: Any) -> None:
        bound = approval.binding
        about = {"requester": approval.requester, "server": bound.server, "tool": bound.tool, "surface": bound.surface}
        self._record(
            Event("approval", event, by=by, tenant=bound.tenant, subject=approval.id, details={**about, **details})
        )


def _turn(db: sa.Connection, name: str) -> None:
    number = int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), signed=True)
    db.execute(_sa().text("SELECT pg_advisory_xact_lock(:n)"), {"n": number})


def _disowned(approval: Approval) -> bool:
    return approval.state is State.VOID and approval.settled is None


def _approval(row: Any) -> Approval:
    return Approval(
        id=row["id"],
        binding=Binding(**{name: row[name] for name in Binding.__dataclass_fields__}),
        wanted=Wanted(
            who=tuple(json.loads(row["who"])),
            needed=row["needed"],
            ttl=row["expires"] - row["created"],
            prompt=row["prompt"],
            shown=row["shown"],
            reasons=tuple(row["reasons"]),
        ),
        state=State(row["state"]),
        created=row["created"],
        expires=row["expires"],
        settled=row["settled"],
        call=row["call"],
    )


def _vote(row: Any) -> Vote:
    tenant, principal = _named(row["voter"])
    return Vote(tenant, principal, bool(row["approve"]), row["time"], row["comment"])


def _named(key: str) -> tuple[str, str]:
    """Tenant and id of a `Principal.key`."""
    length, _, rest = key.partition(":")
    return rest[: int(length)], rest[int(length) + 1 :]


def _sa() -> Any:
    import sqlalchemy  # 18 MB that a gateway without approvals never needs

    return sqlalchemy


def _tables() -> Any:
    from agentflow.store import tables

    return tables
