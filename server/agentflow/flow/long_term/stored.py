"""The long-term memory that a gateway gives its flows, in the store, which is opened when it is first needed.

Promises: what is kept has been through the call's outbound mutators (personal data as tokens); keeping goes on beside
the run, and `close` waits for it; without a database, or with one that fails, a run goes on with nothing remembered.
"""

from __future__ import annotations

import asyncio
import logging
import re
import threading
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from agentflow.config_flow import LongTermConfig
from agentflow.errors import AgentFlowError
from agentflow.flow.long_term.port import LONGEST_TASK, Experience, Recalled
from agentflow.store.opened import Store

if TYPE_CHECKING:
    from agentflow.flow.long_term.memories import Memories

JSON = dict[str, Any]
Clean = Callable[[JSON], Awaitable[JSON]]
Suspicious = Callable[[], bool]
_NAME: Final = re.compile(r"[A-Za-z_$][A-Za-z0-9_.$-]{0,47}")
_TABLE: Final = "flow_memory"
_AT_ONCE: Final = 100  # memories being written

log = logging.getLogger(__name__)


class Shelf:
    """The memories of all principals of a gateway.

    Args:
        config: what is in force; it may be replaced.
    """

    def __init__(self, store: Store, config: LongTermConfig) -> None:
        self._store, self.config = store, config
        self._mutex = threading.Lock()
        self._memories: tuple[object, LongTermConfig, Memories] | None = None
        self._writing: set[asyncio.Task[None]] = set()

    def has_any(self) -> bool:
        """Whether anything may be remembered; a look that imports nothing. Waits for a disk."""
        return self._store.holds(_TABLE)

    def memories(self) -> Memories:
        """The memories in the open store. May take a second.

        Raises:
            ConfigError, StoreUnavailable: as `Store.database`.
        """
        database = self._store.database()
        with self._mutex:
            if self._memories is None or self._memories[:2] != (database, self.config):
                from agentflow.flow.long_term.memories import Memories
                from agentflow.models.encoder import encoder

                made = Memories(database, encoder(), self.config.max_entries, self.config.days)
                made.expire()  # also where nothing is remembered any more
                self._memories = database, self.config, made
            return self._memories[2]

    def aside(self, work: Coroutine[Any, Any, None]) -> None:
        """Go on with something beside the run; given up where too much is under way."""
        if len(self._writing) >= _AT_ONCE:
            work.close()
            return
        task = asyncio.get_running_loop().create_task(work)
        self._writing.add(task)
        task.add_done_callback(self._writing.discard)

    async def close(self) -> None:
        """Wait until everything is written."""
        while self._writing:
            await asyncio.gather(*self._writing, return_exceptions=True)


class PrincipalMemory:
    """`LongTerm` of the principal of one call.

    Args:
        clean: takes a document through the call's outbound mutators.
        suspicious: whether the call has met what looks like an injected instruction: nothing of it is kept then.
    """

    def __init__(
        self, shelf: Shelf, clean: Clean, tenant: str, principal: str, suspicious: Suspicious = lambda: False
    ) -> None:
        self._shelf, self._clean, self._suspicious = shelf, clean, suspicious
        self._tenant, self._principal = tenant, principal

    async def recall(self, task: str, k: int = 3) -> Sequence[Recalled]:
        try:
            text = await self._cleaned(task)
            return await asyncio.to_thread(self._recall, text, k)
        except (AgentFlowError, OSError) as error:
            _failed("looked up", error)
            return ()

    def _recall(self, task: str, k: int) -> list[Recalled]:
        if not self._shelf.has_any():
            return []
        return self._shelf.memories().recall(self._tenant, self._principal, task, k)

    async def remember(self, experience: Experience) -> None:
        if not experience.steps or self._suspicious():
            return
        try:
            steps = tuple(replace(step, arguments=_plain(step.arguments)) for step in experience.steps)
            kept = replace(experience, task=await self._cleaned(experience.task), steps=steps)
        except AgentFlowError as error:
            _failed("kept", error)
            return
        self._shelf.aside(self._remember(kept))

    async def _remember(self, experience: Experience) -> None:
        def write() -> None:
            self._shelf.memories().remember(self._tenant, self._principal, experience)

        try:
            await asyncio.to_thread(write)
        except (AgentFlowError, OSError) as error:
            _failed("kept", error)

    async def _cleaned(self, task: str) -> str:
        body = await self._clean({"question": task[:LONGEST_TASK]})
        return str(body.get("question", "")).replace("\0", " ")  # PostgreSQL has no place for it


def _plain(names: Sequence[str]) -> tuple[str, ...]:
    """The names that can be a parameter's: where a schema leaves them open, a name may hold anything."""
    return tuple(name for name in names if _NAME.fullmatch(name))


def _failed(what: str, error: Exception) -> None:
    kind = error.kind if isinstance(error, AgentFlowError) else type(error).__name__
    log.warning("long-term memory could not be %s: %s", what, kind)
