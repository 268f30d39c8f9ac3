"""Reserved before, settled after: the money of every request that the worker makes, on its event loop.

It promises that `reserve` lets nothing through that a budget, a quota or the run has no room for, whatever other
requests and processes do at the same moment; that budgets are read when room is made, so that a change counts for the
next request; that `settle` counts a cost once and loses none, with the database gone too (`spool`); and that a process
which ends leaves nothing reserved for long. Where no budget applies nothing is written before the answer.

All of the database's work is done by one thread, what has come together in one transaction.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from agentflow.errors import AgentFlowError, StoreUnavailable
from agentflow.models.money.amounts import MOST, dollars
from agentflow.models.money.entries import Ask, BudgetWarning, Charge, Entry, Place, Reservation, Usage
from agentflow.models.money.runs import RunLimits
from agentflow.models.money.spool import Spool
from agentflow.store.opened import Store

if TYPE_CHECKING:
    from agentflow.models.money.booking import Book

log = logging.getLogger(__name__)

_BATCH: Final = 256  # requests in one transaction
_LATER: Final = 1.0  # seconds that usage which nobody waits for is collected
_DAY: Final = 86_400.0
_Wants = tuple[Ask, "asyncio.Future[tuple[Place, ...]]"]
_Told = tuple[Entry, "asyncio.Future[None] | None"]


class Ledger:
    """The money of one process.

    Args:
        store: where budgets and usage are.
        folder: where what could not be told the store is kept, private.
        days: for how long usage is kept.
        clock: epoch seconds, for tests; see `booking`.
        beat, lease: seconds between two signs of life, and after which somebody without one has ended. They are
            measured by each process for itself, so that no clock's jump ends anybody.
        heard: is told each warning once, in the ledger's thread.
    """

    def __init__(
        self,
        store: Store,
        folder: Path,
        *,
        days: float = 400.0,
        clock: Callable[[], float] | None = None,
        beat: float = 5.0,
        lease: float = 30.0,
        heard: Callable[[BudgetWarning], object] = lambda _: None,
    ) -> None:
        self._heard = heard
        self._store, self._spool, self._days = store, Spool(folder), days
        self._clock, self._beat, self._lease = clock, beat, lease
        self._holder = uuid.uuid4().hex
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="ledger")
        self._book: Book | None = None
        self._runs = RunLimits()
        self._wants: list[_Wants] = []
        self._told: list[_Told] = []
        self._later: list[Entry] = []  # told when nobody waits
        self._undo: list[str] = []
        self._under_way: dict[str, Reservation] = {}
        self._working: asyncio.Task[None] | None = None
        self._tending: asyncio.Task[None] | None = None
        self._seen: dict[str, tuple[int, float]] = {}
        self._forgotten = -math.inf
        self._closed = False
        self.warnings: list[BudgetWarning] = []  # the newest, a hundred at most

    async def reserve(self, charge: Charge, nano: int | None, tokens: int) -> Reservation:
        """Make room for a request that costs up to `nano` (None: its price is not known) and takes up to `tokens`.

        Raises:
            BudgetExceeded: a budget, or the run, has no room; `data` says which, what is left, when it resets.
            LimitExceeded: a quota has none; `data.retry_after` says for how long.
            StoreUnavailable: budgets cannot be looked up, so nothing may be spent.
        """
        charge = _clean(charge)
        counted = self._runs.admit(charge, nano, tokens)
        made = Reservation(uuid.uuid4().hex, charge, nano or 0, tokens, run=counted)
        try:
            if self._store.begun:
                future: asyncio.Future[tuple[Place, ...]] = asyncio.get_running_loop().create_future()
                self._wants.append((Ask(made.id, charge, nano, tokens), future))
                self._work()
                made.held = await future
        except BaseException:
            self._end_run(made, (0, 0))
            raise
        self._under_way[made.id] = made
        return made

    async def settle(self, reservation: Reservation, usage: Usage, charge: Charge | None = None) -> None:
        """Count what a request used, in place of what was reserved. Never fails; a second time changes nothing.

        Args:
            charge: who was asked in the end, where it is not the one that was reserved for.
        """
        if reservation.done:
            return
        reservation.done = True
        self._under_way.pop(reservation.id, None)
        usage = _sane(usage)
        self._end_run(reservation, (usage.nano, usage.prompt + usage.completion))
        whose = reservation.charge if charge is None else _clean(charge)
        entry = Entry(reservation.id, whose, usage, reservation.held, reservation.nano, reservation.tokens)
        if not reservation.held:
            self._noted(entry)
            return
        written: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._told.append((entry, written))
        self._work()
        await written

    async def release(self, reservation: Reservation, reason: str, latency: float = 0.0) -> None:
        """Give back what was reserved for a request that cost nothing; `reason`: one word. Never fails."""
        await self.settle(reservation, Usage(latency=latency, success=False, error=reason))

    def record(self, charge: Charge, usage: Usage) -> None:
        """Note a request that nothing was reserved for: one that our own cache answered."""
        self._noted(Entry(uuid.uuid4().hex, _clean(charge), _sane(usage)))

    def room(self, charge: Charge) -> tuple[int | None, int | None]:
        """What the run of a charge may still take: nano-dollars and tokens; None for no limit."""
        return self._runs.room(charge)

    async def close(self) -> None:
        """Settle what is under way as abandoned, and have everything on disk. Idempotent."""
        if self._closed:
            return
        self._closed = True
        for made in list(self._under_way.values()):
            made.done = True
            self._told.append((Entry(made.id, made.charge, _ABANDONED, made.held, made.nano, made.tokens), None))
        if self._tending is not None:
            self._tending.cancel()
        while True:
            self._collected()
            self._work()
            while self._working is not None:
                await self._working
            if not self._later:  # more when a transaction that was under way failed
                break
        self._thread.shutdown(wait=True)

    def _end_run(self, made: Reservation, spent: tuple[int, int]) -> None:
        if made.run:
            self._runs.end(made.charge, (made.nano, made.tokens), spent)

    def _noted(self, entry: Entry) -> None:
        self._later.append(entry)
        if len(self._later) >= _BATCH:
            self._collected()
            self._work()
        self._tend()

    def _collected(self) -> None:
        self._told += [(entry, None) for entry in self._later]
        self._later.clear()

    def _work(self) -> None:
        """See to it that the thread is working."""
        if self._working is None:
            self._working = asyncio.get_running_loop().create_task(self._worked())
        self._tend()

    def _tend(self) -> None:
        if not self._closed and (self._tending is None or self._tending.done()):
            self._tending = asyncio.get_running_loop().create_task(self._tended())

    async def _worked(self) -> None:
        try:
            first = True
            while self._wants or self._told or (first and self._undo):
                first = False
                wants, self._wants = self._wants[:_BATCH], self._wants[_BATCH:]
                told, self._told = self._told[:_BATCH], self._told[_BATCH:]
                undo, self._undo = self._undo, []
                await self._transaction(wants, told, undo)
        finally:
            self._working = None

    async def _transaction(self, wants: list[_Wants], told: list[_Told], undo: list[str]) -> None:
        wants = [each for each in wants if not each[1].done()]
        asks, entries = [ask for ask, _ in wants], [entry for entry, _ in told]
        later, self._later = self._later, []
        in_thread = asyncio.get_running_loop().run_in_executor
        try:
            outcomes, took = await in_thread(self._thread, self._applied, asks, entries, undo, later)
        except Exception as failure:
            error = failure if isinstance(failure, AgentFlowError) else StoreUnavailable("The ledger has failed")
            if error is not failure:
                log.exception("The ledger has failed")
            # Whether it was written is not known: what is there of it is taken back with a later transaction.
            self._undo = [*self._undo, *undo, *(ask.id for ask in asks)][-10 * _BATCH :]
            self._later = [*(replace(entry, again=True) for entry in later), *self._later]
            if entries:
                await in_thread(self._thread, self._spooled, entries)
            for _, future in wants:
                if not future.done():
                    future.set_exception(type(error)(error.message, fix=error.fix, **error.data))
        else:
            self._later = self._later if took else [*later, *self._later]
            for (ask, future), outcome in zip(wants, outcomes, strict=True):
                self._answered(ask, future, outcome)
        for _, written in told:
            if written is not None and not written.done():
                written.set_result(None)

    def _answered(
        self, ask: Ask, future: asyncio.Future[tuple[Place, ...]], outcome: tuple[Place, ...] | AgentFlowError
    ) -> None:
        if future.done():  # whoever asked has left
            if outcome and not isinstance(outcome, AgentFlowError):
                self._undo.append(ask.id)
        elif isinstance(outcome, AgentFlowError):
            future.set_exception(outcome)
        else:
            future.set_result(outcome)

    async def _tended(self) -> None:
        """Write what nobody waits for, say that we live, give back what others left. Ends when there is nothing."""
        in_thread = asyncio.get_running_loop().run_in_executor
        looked = time.monotonic() - self._beat
        while True:
            await asyncio.sleep(min(_LATER, self._beat))
            if self._later or self._undo:
                self._collected()
                self._work()
            if time.monotonic() - looked >= self._beat:
                looked = time.monotonic()
                try:
                    await in_thread(self._thread, self._looked_after, any(r.held for r in self._under_way.values()))
                except AgentFlowError as error:
                    log.warning("The ledger cannot be looked after: %s", error.message)
                except Exception:  # what is settled must go on being written
                    log.exception("The ledger cannot be looked after")
            if not (self._later or self._undo or self._under_way or self._seen or self._working):
                return

    # In the thread ----------------------------------------------------------------------------------------------

    def _applied(
        self, asks: list[Ask], entries: list[Entry], undo: list[str], later: list[Entry]
    ) -> tuple[list[tuple[Place, ...] | AgentFlowError], bool]:
        """Book it; whether anything was written: then what was to be told later has been, too."""
        book = self._opened()
        if not self._spool.empty:
            self._told_again(book)
        if not entries and not undo and not book.applies(asks):
            return [() for _ in asks], False
        outcomes = book.apply(asks, [*later, *entries], undo)
        self._warned(book)
        return outcomes, True

    def _opened(self) -> Book:
        if self._book is None:
            from agentflow.models.money.booking import Book

            self._book = Book(self._store.database(), self._holder, self._clock, self._beat / 2)
        return self._book

    def _told_again(self, book: Book) -> None:
        """What could not be told when it happened; counted once, however often it is told."""
        try:
            with self._spool.taken() as waiting:
                entries = list({entry.id: entry for entry in waiting}.values())
                for start in range(0, len(entries), _BATCH):
                    book.apply(entries=entries[start : start + _BATCH])
        except OSError as error:
            raise StoreUnavailable(
                f"What models have cost cannot be read: {error.strerror}", fix="check the data directory"
            ) from error

    def _spooled(self, entries: list[Entry]) -> None:
        try:
            self._spool.add(entries)
            log.warning("The costs of %d requests are kept in a file until the database is back", len(entries))
        except OSError as error:
            lost = dollars(sum(entry.usage.nano for entry in entries))
            log.error("The costs of %d requests (%s) are lost: %s", len(entries), lost, error.strerror)

    def _looked_after(self, holding: bool) -> None:
        if not self._store.begun:
            return
        book = self._opened()
        if not self._spool.empty:
            self._told_again(book)
        if holding:
            book.beat()
        now, ended = time.monotonic(), {}
        seen, self._seen = self._seen, {}
        for holder, beat in book.holders().items():
            before = seen.get(holder)
            since = before[1] if before is not None and before[0] == beat else now
            self._seen[holder] = beat, since
            if now - since >= self._lease:
                ended[holder] = beat
        if ended:
            log.warning("%d requests of processes that ended are given back", book.reap(ended))
        if now - self._forgotten >= _DAY:
            self._forgotten = now
            book.forget(self._days)
        self._warned(book)

    def _warned(self, book: Book) -> None:
        warnings, book.warnings = book.warnings, []
        for each in warnings:
            log.warning(
                "Budget %s (tenant %s%s) has reached %d %%: %s of %s", each.budget, each.tenant,
                f", {each.subject}" if each.subject else "", each.level, dollars(each.spent), dollars(each.limit),
            )  # fmt: skip
            self._heard(each)
        self.warnings = [*self.warnings, *warnings][-100:]


def _clean(charge: Charge) -> Charge:
    """With texts that every database keeps: names come from callers."""
    texts = {name: value for name in _TEXTS if not (value := getattr(charge, name)).isprintable()}
    if not texts:
        return charge
    kept = {name: "".join(c if c.isprintable() else "?" for c in value) for name, value in texts.items()}
    return replace(charge, **kept)  # type: ignore[arg-type]


def _sane(usage: Usage) -> Usage:
    """With numbers that can be counted: they come from providers."""
    wrong = {name: value for name in _COUNTS if not 0 <= (value := getattr(usage, name)) <= MOST}
    if not wrong:
        return usage
    log.error("A provider's count of what was used makes no sense: %s", ", ".join(wrong))
    return replace(usage, **{name: min(max(value, 0), MOST) for name, value in wrong.items()})


_ABANDONED: Final = Usage(success=False, error="abandoned")
_TEXTS: Final = ("tenant", "project", "principal", "run", "provider", "model", "tier", "purpose", "name", "tool")
_COUNTS: Final = ("prompt", "completion", "cached", "nano", "saved")
