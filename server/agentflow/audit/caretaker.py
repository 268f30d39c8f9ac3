"""What the audit log needs beside the calls, in a thread of its own: never in a call's way.

It signs heads that have waited long enough, keeps the index up to date, and retires what retention lets go. Whatever
of that fails is logged once and tried again; calls go on.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from agentflow.audit import index, retire
from agentflow.audit.events import Event
from agentflow.audit.log import AuditLog
from agentflow.config import AuditConfig
from agentflow.errors import AgentFlowError

log = logging.getLogger(__name__)

_ROUND: Final = 1.0  # seconds between two looks
_RETIRING: Final = 60.0  # seconds between two looks at what is to be retired
_BREATH: Final = 0.002  # seconds that calls have the interpreter for themselves, between two pieces of work
_DAY: Final = 86_400


class Caretaker:
    """Looks after the log of one data directory until it is closed.

    Args:
        current: the log in use, and its settings; both may change while this runs.
        chore: whatever else is to be done once a second.
    """

    def __init__(
        self,
        data_dir: Path,
        current: Callable[[], tuple[AuditLog, AuditConfig]],
        chore: Callable[[], None] = lambda: None,
    ) -> None:
        self._data_dir = data_dir
        self._current = current
        self._chore = chore
        self._ending = threading.Event()
        self._seen: tuple[str, int] | None = None  # the end of the chain when the index was last filled
        self._retired_at = time.monotonic()
        self._said: set[str] = set()
        self._thread = threading.Thread(target=self._run, name="audit-caretaker", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        """End, after the piece of work at hand; at most a few seconds."""
        self._ending.set()
        if self._thread.is_alive():
            self._thread.join(5)

    def _run(self) -> None:
        while not self._ending.wait(_ROUND):
            try:
                self.round()
            except Exception as error:
                self._say("the caretaker of the audit log", error)

    def round(self) -> None:
        """One look at everything."""
        audit, config = self._current()
        audit.tend()
        self._chore()
        if config.index:
            self._fill(audit, config)
        if time.monotonic() - self._retired_at >= _RETIRING:
            self._retired_at = time.monotonic()
            self._retire(audit, config)

    def _fill(self, audit: AuditLog, config: AuditConfig) -> None:
        end = audit.end
        if end == self._seen:
            return
        try:
            store = index.open_index(self._data_dir, config)
            try:
                index.catch_up(self._data_dir, store, self._breathe)
            finally:
                store.close()
        except _Ended:
            return
        except (index.IndexUnusable, OSError, AgentFlowError) as error:
            self._say("the index of the audit log", error)
        else:
            self._seen = end

    def _retire(self, audit: AuditLog, config: AuditConfig) -> None:
        before = time.time() - config.keep_days * _DAY if config.keep_days else None
        if not retire.due(self._data_dir, before, config.keep_bytes):
            return
        try:
            done = retire.retire(
                self._data_dir, audit.signer, before=before, keep_bytes=config.keep_bytes, pause=self._breathe
            )
            for each in done:
                if each.records:
                    audit.event(retired_event(each, "retention"))
                if each.refused:
                    self._say("retiring old audit records", AgentFlowError(each.refused))
        except _Ended:
            return
        except (OSError, AgentFlowError) as error:
            self._say("retiring old audit records", error)

    def _breathe(self) -> None:
        time.sleep(_BREATH)
        if self._ending.is_set():
            raise _Ended

    def _say(self, what: str, error: Exception) -> None:
        text = f"{what}: {getattr(error, 'message', None) or error}"
        if text not in self._said and len(self._said) < 100:
            self._said.add(text)
            log.warning("%s (calls go on)", text)


class _Ended(Exception):
    """The work is broken off because the process ends."""


def retired_event(done: retire.Retired, by: str) -> Event:
    """What the log says about what was taken from it."""
    details = {
        "upto": done.upto,
        "records": done.records,
        "segments": done.segments,
        "bytes": done.bytes,
        "first": done.first,
        "last": done.last,
    }
    return Event("log", "retired", by=by, subject=done.chain, details=details)
