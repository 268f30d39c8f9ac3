"""API keys that `agentflow keys` and the admin API make, kept in the store: who they are of, how long they count.

It promises that a key is shown once, when it is made, and is nowhere afterwards: the store has an HMAC-SHA256 of it
under a key of this installation's vault, so neither the database nor a copy of it gives a key or lets one be guessed.
A gateway answers for a key from memory, in microseconds; what another process makes, replaces or revokes counts within
about a second, a new key at once, and no key counts past its expiry. While the database cannot be asked, keys that
are known go on for `GRACE` seconds and all others are refused; after that, all are (fail closed).
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import logging
import math
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Final, Literal

from agentflow.audit.events import Event
from agentflow.errors import AgentFlowError, AuditUnavailable, Conflict, InvalidArguments, NotFound, StoreUnavailable
from agentflow.identity import key_format
from agentflow.identity.key_info import DAY, KeyInfo, Made, NewKey, check
from agentflow.identity.principal import Principal
from agentflow.store.opened import Store

if TYPE_CHECKING:
    from agentflow.identity.key_rows import Changes, Rows

__all__ = ["DAY", "GRACE", "POLL", "PURPOSE", "KeyInfo", "KeyRing", "Made", "NewKey"]

log = logging.getLogger(__name__)

GRACE: Final = 60.0  # seconds that known keys go on while the database cannot be asked
POLL: Final = 0.5  # seconds between two looks for changes
MOST_GRACE: Final = 366 * DAY
PURPOSE: Final = b"api keys"  # of the vault's derived key under which keys are hashed
_FRESH: Final = 1.5  # seconds for which a look counts without another
_GAP: Final = 0.05  # seconds at least between two looks, however many unknown keys are presented
_PATIENCE: Final = 1.0  # seconds that a caller waits for the database
_USES: Final = 60.0  # seconds between two writings of when keys were last used
_TELL: Final = 60.0  # seconds between two records of one key's refusals


class _Known:
    """A key as a gateway remembers it."""

    __slots__ = ("digest", "expires", "id", "noted", "principal", "revoked", "told", "used", "written")

    def __init__(self, info: KeyInfo, digest: bytes, before: _Known | None) -> None:
        self.id = info.id
        self.digest = digest
        self.principal = Principal(info.principal, info.kind, info.roles, info.tenant, info.scopes, auth="api_key")
        self.expires = info.expires
        self.revoked = info.revoked is not None
        self.noted: bool = before is not None and before.noted  # its first use in this run is recorded
        self.used: float = before.used if before else 0.0
        self.written: float = before.written if before else 0.0
        self.told: float = before.told if before else 0.0

    def over(self, now: float) -> Literal["", "expired", "revoked"]:
        if self.revoked:
            return "revoked"
        return "expired" if self.expires is not None and self.expires <= now else ""


class KeyRing:
    """The keys of a store: `find` and `look` for a running gateway, the others for whoever administers them.

    Args:
        store: opened only when it has begun, and then in a thread.
        secret: gives the key under which keys are hashed, `vault.derived_key("agentflow", PURPOSE)`; may wait.
        record: puts an event into the audit log; may raise `AuditUnavailable`.
    """

    def __init__(self, store: Store, secret: Callable[[], bytes], record: Callable[[Event], object]) -> None:
        self._store = store
        self._secret = secret
        self._record = record
        self._hashing = b""
        self._keys: dict[bytes, _Known] = {}
        self._holders: dict[str, list[_Known]] = {}  # by the principal's `key`
        self._seen = 0  # the newest change that is in `_keys`
        self._total = 0  # keys that the database had then
        self._mutex = threading.Lock()
        self._turn = asyncio.Lock()
        self._began = self._checked = float("-inf")  # when the last look began, and the last that succeeded
        self._failed = False
        self._looking: asyncio.Future[None] | None = None
        self._wrote = time.monotonic()
        self._required = False
        self._made = self._ever = False  # a key, as far as is known; for certain

    # In a gateway -------------------------------------------------------------------------------------------

    @property
    def asks(self) -> bool:
        """Whether callers have to say who they are: from the first key on, and also when all of them are revoked."""
        return self._required or self._made

    @property
    def made(self) -> bool:
        """Whether a key was ever made, as far as is known; where nobody can say, one was."""
        return self._made

    def find(self, presented: bytes) -> Principal | None:
        """Whose key this is, from memory alone; None where that does not say, and `look` is to be asked."""
        known = self._keys.get(presented[key_format.ID])
        if known is None or not known.noted or len(presented) != key_format.LENGTH or not self._counts():
            return None
        if not hmac.compare_digest(known.digest, hmac.digest(self._hashing, presented, "sha256")):
            return None
        now = time.time()
        if known.revoked or (known.expires is not None and known.expires <= now):
            return None
        known.used = now
        return known.principal

    async def look(self, presented: bytes) -> Principal | None:
        """Whose key this is, asking the database where memory does not say; None for nobody's.

        Records a key's first use in this run, and, once a minute for each, that an expired or revoked one came.

        Raises:
            StoreUnavailable: the database cannot be asked, so nobody can say; the caller is to be refused.
        """
        if not key_format.is_whole(presented) or not self._store.begun:
            return None
        known, asked = self._match(presented), time.monotonic()
        if known is None:
            await self._ask(asked)
            known = self._match(presented)
        if known is None and self._checked < asked:
            raise StoreUnavailable("API keys cannot be looked up now", fix="try again shortly")
        if known is None:
            return None
        if over := known.over(time.time()):
            self._refused(known, over)
            return None
        if not known.noted:
            self._first_use(known)
        known.used = time.time()
        return known.principal

    def holds(self, principal: str) -> bool:
        """Whether a key that counts is this principal's (its `key`), as far as memory tells."""
        return any(not known.over(time.time()) for known in self._holders.get(principal, ()))

    def why(self, presented: bytes) -> Literal["", "mistyped", "expired", "revoked"]:
        """Why a key that `look` did not know is none, for its holder; "" for one that was never made here."""
        if key_format.is_mistyped(presented):
            return "mistyped"
        known = self._match(presented) if key_format.is_whole(presented) else None
        return known.over(time.time()) if known else ""

    def begin(self, *, required: bool) -> None:
        """Find out whether there are keys, before the first caller comes.

        Args:
            required: callers have to say who they are in any case: others than this machine's can reach the gateway.
        """
        self._required = required
        self._made = self._store.holds("api_key")
        if self._store.shared:
            self._try()
            self._made = self._ever or self._failed

    async def follow(self) -> None:
        """Keep what is known up to date, and write down which keys were used, until cancelled."""
        while True:
            if self._ever or (self._store.begun and await asyncio.to_thread(self._store.holds, "api_key")):
                await self._ask(time.monotonic())
                if time.monotonic() - self._wrote >= _USES:
                    await asyncio.to_thread(self.write_uses)
            await asyncio.sleep(POLL)

    def write_uses(self) -> None:
        """Write down when keys were last used. For a thread; what cannot be written now is with the next."""
        self._wrote = time.monotonic()
        fresh = [(known, known.used) for known in list(self._keys.values()) if known.used > known.written]
        if not fresh:
            return
        with contextlib.suppress(AgentFlowError):
            with self._rows() as rows:
                rows.used([(known.id, used) for known, used in fresh])
            for known, used in fresh:
                known.written = used

    def _counts(self) -> bool:
        """Whether what is known may be answered from: it was checked just now, or cannot be for a short while."""
        now = time.monotonic()
        age = now - self._checked
        if age <= _FRESH:
            return True
        overdue = self._looking is not None and now - self._began > _PATIENCE / 2
        return age <= GRACE and (self._failed or overdue)

    def _match(self, presented: bytes) -> _Known | None:
        """The key this is, whether or not it counts still."""
        known = self._keys.get(presented[key_format.ID])
        if known is None or not self._counts():
            return None
        digest = hmac.digest(self._hashing, presented, "sha256")
        return known if hmac.compare_digest(known.digest, digest) else None

    async def _ask(self, since: float) -> None:
        """Have the database asked by a look that begins after `since`, and wait for it a while."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_PATIENCE):
                async with self._turn:
                    if self._looking is not None:  # whoever began it has lost patience
                        await asyncio.shield(self._looking)
                    if self._began >= since:
                        return
                    await asyncio.sleep(max(0.0, self._began + _GAP - time.monotonic()))
                    self._looking = asyncio.ensure_future(asyncio.to_thread(self._try))
                    self._looking.add_done_callback(self._looked)
                    await asyncio.shield(self._looking)

    def _looked(self, _: object) -> None:
        self._looking = None

    def _try(self) -> None:
        failed = self._failed
        try:
            self._read()
        except AgentFlowError as error:
            if not failed:
                log.error("API keys cannot be looked up: %s", error.message)
        except Exception as error:  # a mistake in here refuses everybody, and must not end the gateway
            if not failed:
                log.exception("API keys cannot be looked up: %s", type(error).__name__)

    def _read(self) -> None:
        """Take what has changed; everything anew after a failure: the database may be another one, or the vault."""
        with self._mutex:
            began = self._began = time.monotonic()
            try:
                hashing = self._secret()
                if hashing != self._hashing or self._failed:
                    self._hashing, self._seen = hashing, 0
                with self._rows() as rows:
                    found = rows.changed(self._seen)
                    if self._seen and self._is_another(found):
                        log.warning("API keys are read anew: the database was restored, or keys were taken out of it")
                        self._seen, found = 0, rows.changed(0)
            except BaseException:
                self._failed = True
                raise
            self._take(found)
            if self._failed:
                log.warning("API keys can be looked up again")
            self._checked, self._failed = began, False
            self._ever = self._made = self._ever or found.newest > 0

    def _is_another(self, found: Changes) -> bool:
        """Whether these are no changes to what is known: keys have gone, as they do by restoring an older copy."""
        new = sum(info.id.encode() not in self._keys for info, _ in found.keys)
        return found.newest < self._seen or found.total != self._total + new

    def _take(self, found: Changes) -> None:
        """Know these keys; beside those that are known, or, where all were read, instead of them."""
        if foreign := sum(not info.ours for info, _ in found.keys):
            log.warning(
                "%d API keys are refused: they were made with another vault, or altered in the database. Gateways and "
                "commands on one database need the same vault and master key",
                foreign,
            )
        if found.keys or not self._seen:
            keys = dict(self._keys) if self._seen else {}
            for info, digest in found.keys:
                name = info.id.encode()
                keys[name] = _Known(info, digest if info.ours else b"", self._keys.get(name))  # b"" is no key's
            holders: dict[str, list[_Known]] = {}
            for known in keys.values():
                if known.digest:
                    holders.setdefault(known.principal.key, []).append(known)
            self._keys, self._holders = keys, holders
        self._seen, self._total = found.newest, found.total

    def _first_use(self, known: _Known) -> None:
        who = known.principal
        with contextlib.suppress(AuditUnavailable):  # no call is answered then either
            self._record(Event("key", "used", by=f"{who.tenant}/{who.id}", tenant=who.tenant, subject=known.id))
            known.noted = True

    def _refused(self, known: _Known, over: str) -> None:
        now, who = time.monotonic(), known.principal
        if known.told and now - known.told < _TELL:
            return
        known.told = now
        with contextlib.suppress(AuditUnavailable):  # it is refused either way
            by = f"{who.tenant}/{who.id}"
            self._record(Event("key", "refused", by=by, tenant=who.tenant, subject=known.id, outcome=over))

    # For administrators -------------------------------------------------------------------------------------

    def create(self, wanted: NewKey, by: str) -> Made:
        """Make a key. Waits for the database, as all that follows.

        Args:
            by: who makes it, for the record: `tenant/principal`, or the user of the command line.

        Raises:
            InvalidArguments: a name that cannot be one, or an expiry in the past.
            StoreUnavailable, VaultUnavailable, AuditUnavailable: nothing was made.
        """
        check(wanted)
        with self._rows() as rows, rows.writing():
            made = self._make(rows, wanted, by, None)
            self._tell("created", made.info, by, roles=wanted.roles, kind=wanted.kind, expires=wanted.expires)
        return made

    def list(self, tenant: str | None = None, *, over: bool = True) -> Sequence[KeyInfo]:
        """The keys, of one tenant or of all, newest first; without `over` only those that count."""
        if not self._store.begun:
            return []
        with self._rows() as rows:
            found = rows.all(tenant)
        return [info for info in found if over or info.state() in ("active", "replaced")]

    def show(self, key: str, tenant: str | None = None) -> KeyInfo:
        """One key by its id.

        Args:
            tenant: whose keys may be seen; those of others read as unknown. None: all.

        Raises:
            NotFound: there is no such key.
        """
        if not self._store.begun:
            return _own(None, key, tenant)
        with self._rows() as rows:
            return _own(rows.one(key), key, tenant)

    def rotate(
        self, key: str, by: str, *, grace: float = DAY, expires: float | None = None, tenant: str | None = None
    ) -> Made:
        """Make another key for the same principal; the old one counts for `grace` more seconds, then no more.

        Args:
            expires: of the new key, `inf` for never; default as long from now as the old one was made for.

        Raises:
            NotFound: there is no such key.
            Conflict: it is revoked, expired or replaced already, or another installation's.
        """
        if not 0 <= grace <= MOST_GRACE:
            raise InvalidArguments("The grace period is negative, or longer than a year", fix="0 ends the key at once")
        now = time.time()
        with self._rows() as rows, rows.writing():
            old = _own(rows.one(key), key, tenant)
            if not old.ours:
                raise Conflict(f"Key {old.id} is not of this vault, or was altered", fix="revoke it and create one")
            state = old.state(now)
            if state != "active":
                by_what = f" by {old.replaced_by}" if state == "replaced" else ""
                raise Conflict(f"Key {old.id} is {state}{by_what}", fix="rotate one that is active, or create one")
            if expires is None and old.expires is not None:
                expires = now + old.expires - old.created
            expires = None if expires == math.inf else expires
            wanted = NewKey(old.principal, old.kind, old.roles, old.tenant, old.scopes, old.label, expires)
            check(wanted, now)
            made = self._make(rows, wanted, by, old.id)
            until = now + grace if old.expires is None else min(old.expires, now + grace)
            rows.end(replace(old, expires=until))
            self._tell("rotated", old, by, replaced_by=made.info.id, until=round(until, 3), expires=expires)
        return made

    def revoke(self, key: str, by: str, tenant: str | None = None) -> KeyInfo:
        """End a key for good; running gateways follow within about a second. One that is revoked stays as it is.

        Raises:
            NotFound: there is no such key.
        """
        with self._rows() as rows, rows.writing():
            old = _own(rows.one(key), key, tenant)
            if old.revoked is not None:
                return old
            revoked = replace(old, revoked=time.time(), revoked_by=by)
            rows.end(revoked)
            self._tell("revoked", old, by)
        return revoked

    def _make(self, rows: Rows, wanted: NewKey, by: str, replaces: str | None) -> Made:
        identity, key = key_format.generate()
        digest = hmac.digest(rows.hashing, key.encode(), "sha256")
        info = KeyInfo(
            identity, wanted.principal, wanted.kind, wanted.roles, wanted.tenant, wanted.scopes, wanted.label,
            created=time.time(), created_by=by, expires=wanted.expires, replaces=replaces,
        )  # fmt: skip
        rows.insert(info, digest)
        return Made(key, info)

    def _tell(self, event: str, info: KeyInfo, by: str, **details: str | float | Sequence[str] | None) -> None:
        """Put it into the audit log, within the transaction: what is not recorded is not done."""
        details["principal"] = info.principal
        self._record(Event("key", event, by=by, tenant=info.tenant, subject=info.id, outcome="ok", details=details))

    @contextmanager
    def _rows(self) -> Iterator[Rows]:
        database = self._store.database()  # first: it says what is wrong where SQLAlchemy is not installed
        from agentflow.identity.key_rows import Rows

        yield Rows(database, self._hashing or self._secret())


def _own(found: KeyInfo | None, key: str, tenant: str | None) -> KeyInfo:
    if found is None or (tenant is not None and found.tenant != tenant):
        raise NotFound(f"There is no key {key[:64]!r}", fix="`agentflow keys list` shows ids")
    return found
