"""What the router has learnt, in memory and, with a store, kept across restarts and shared between gateways.

Looking up and recording take microseconds and never wait for the store: a thread of its own adds what is new every few
seconds and takes over what others added. While the store cannot be used nothing is lost and nothing fails; it is added
once it is back. What was recorded since the last addition is lost where the process is killed.
"""

from __future__ import annotations

import logging
import threading
from types import TracebackType
from typing import Final

from agentflow.errors import AgentFlowError
from agentflow.models.routing.arms import EVERYTHING, Belief, Sums, Table, believe
from agentflow.models.routing.changes import Pull, Watch
from agentflow.store.opened import Store

_LOG: Final = logging.getLogger(__name__)


class ArmStore:
    """The learnt table. Call it from any thread.

    Args:
        half_life: outcomes after which an old one counts half.
        store: where it is kept; None: in memory only.
        interval: seconds between additions to the store.
    """

    def __init__(self, half_life: float = 800.0, store: Store | None = None, *, interval: float = 5.0) -> None:
        self._half_life = half_life
        self._store = store
        self._interval = interval
        self._mutex = threading.Lock()  # of the tables
        self._merging = threading.Lock()  # one addition at a time
        self._live = Table(half_life)
        self._fresh = Table(half_life)  # the part of `_live` that the store does not have
        self._watches: dict[tuple[str, str], Watch] = {}
        self._forgotten: set[str | None] = set()
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None
        self._told = False  # whether the log has that the store cannot be used

    def start(self) -> None:
        """Begin to keep it: what is in the store is taken over soon, in the background. Idempotent."""
        if self._store is not None and self._thread is None:
            self._thread = threading.Thread(target=self._keep, name="agentflow-arms", daemon=True)
            self._thread.start()

    def close(self) -> None:
        """Add what is new to the store, and stop. Idempotent."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join(timeout=30)
            self._thread = None
            self.save()

    def __enter__(self) -> ArmStore:
        self.start()
        return self

    def __exit__(self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None) -> None:
        self.close()

    def belief(self, scope: str, arm: str) -> Belief:
        """What is believed of `arm` for requests of `scope` now."""
        with self._mutex:
            return believe(self._live.sums(scope, arm), self._live.sums(EVERYTHING, arm))

    def pull(self, scope: str, arm: str, outcome: Sums) -> Pull:
        """Record one outcome, in its scope and in all; the returned pull is for `correct`."""
        pull = Pull(scope, arm, outcome)
        with self._mutex:
            for table in (self._live, self._fresh):
                table.add(scope, arm, outcome)
                table.add(EVERYTHING, arm, outcome)
            pull.clocks = self._live.clock(scope), self._live.clock(EVERYTHING)
            for name in (scope, EVERYTHING):
                self._watches.setdefault((name, arm), Watch()).last.append(pull)
                self._look(name, arm)
        return pull

    def correct(self, pull: Pull, outcome: Sums) -> None:
        """Let an outcome that was recorded count as another one; it stays one outcome."""
        change = outcome.less(pull.outcome)
        pull.outcome = outcome
        with self._mutex:
            for name, then in zip((pull.scope, EVERYTHING), pull.clocks, strict=True):
                age = max(0.0, self._live.clock(name) - then)
                for table in (self._live, self._fresh):
                    table.correct(name, pull.arm, change.scaled(0.5 ** (age / self._half_life)))
                self._look(name, pull.arm)

    def forget(self, arm: str | None = None) -> None:
        """Begin anew with one arm (`provider:model`), or with all, here and in the store."""
        with self._mutex:
            self._live.forget(arm)
            self._fresh.forget(arm)
            self._forgotten.add(arm)
            for place in [place for place in self._watches if arm in (None, place[1])]:
                del self._watches[place]

    def scopes(self) -> dict[str, tuple[str, ...]]:
        """The arms that were seen, by scope."""
        with self._mutex:
            return {name: tuple(sorted(scope.arms)) for name, scope in self._live}

    def save(self) -> bool:
        """Add what is new to the store now, and take over what others added; False where that failed. Waits for it."""
        if self._store is None:
            return True
        with self._merging:
            with self._mutex:
                fresh, self._fresh = self._fresh, Table(self._half_life)
                forgotten, self._forgotten = frozenset(self._forgotten), set()
            try:
                from agentflow.models.routing.arm_rows import merged

                whole = merged(self._store.database(), fresh, forgotten=forgotten)
            except Exception as error:
                with self._mutex:
                    self._fresh = fresh.then(self._fresh)
                    self._forgotten |= forgotten
                self._tell(error)
                return False
            with self._mutex:
                self._live = whole.then(self._fresh)
                for arm in self._forgotten:
                    self._live.forget(arm)
            self._told = False
            return True

    def _look(self, scope: str, arm: str) -> None:
        """Drop what no longer holds of an arm that has become worse."""
        known = self._live.sums(scope, arm)
        kept = self._watches[scope, arm].fallen(known) if (scope, arm) in self._watches else None
        if kept is not None:
            for table in (self._live, self._fresh):
                table.correct(scope, arm, kept.less(known))

    def _keep(self) -> None:
        self.save()
        while not self._ended.wait(self._interval):
            self.save()

    def _tell(self, error: Exception) -> None:
        if not self._told:
            self._told = True
            said = error.message if isinstance(error, AgentFlowError) else type(error).__name__
            _LOG.warning("What the router learnt is kept in memory only for now: %s", said)
