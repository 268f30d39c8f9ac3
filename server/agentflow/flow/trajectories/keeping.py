"""The recorder that a gateway gives its flows: cleans a record, says whose it is and what it met, and writes it.

Promises: what is written has been through the call's outbound mutators (personal data as tokens, secrets blanked);
a record never fails a run: what could not be kept is said in the log, without what it holds.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any, Final

from agentflow.errors import AgentFlowError
from agentflow.flow.trajectories.files import TrajectoryFiles
from agentflow.flow.trajectories.record import Trajectory
from agentflow.flow.types import JSON

LONGEST: Final = 65_536  # characters of one text in a record
MOST: Final = 1_000  # items of one list

log = logging.getLogger(__name__)
Clean = Callable[[JSON], Awaitable[JSON]]
_BLOCKED: Final = frozenset({"content_blocked", "tool_held"})
_OWN: Final = {"data_id", "version", "outcome", "started", "seconds", "confidence", "reward", "memories", "pattern"}


class FileRecorder:
    """`Recorder` into files, for one call.

    Args:
        clean: takes a document through the call's outbound mutators.
        tenant, principal: whose call it is.
        suspicious: whether the call has met what looks like an injected instruction.
    """

    def __init__(
        self,
        files: TrajectoryFiles,
        clean: Clean,
        tenant: str,
        principal: str,
        suspicious: Callable[[], bool] = lambda: False,
    ) -> None:
        self._files, self._clean, self._suspicious = files, clean, suspicious
        self._tenant, self._principal = tenant, principal

    async def keep(self, trajectory: Trajectory) -> None:
        # What the gateway itself has made up holds nothing private, and must not be taken for a number that is.
        own = trajectory.model_dump(mode="json", include=_OWN)
        told = {"tenant": self._tenant, "principal": self._principal, "flagged": self._flags(trajectory)}
        try:
            body = await self._clean(bounded(trajectory.model_dump(mode="json", exclude=_OWN)))
            record = Trajectory.model_validate({**body, **own, **told})
            await asyncio.to_thread(self._files.append, record)
        except (AgentFlowError, OSError, ValueError) as error:
            why = error.kind if isinstance(error, AgentFlowError) else type(error).__name__
            log.warning("the record of run %s was not kept: %s", trajectory.data_id, why)

    def _flags(self, trajectory: Trajectory) -> list[str]:
        blocked = any(refusal.kind in _BLOCKED for refusal in trajectory.refusals)
        flags = {"injection": blocked or self._suspicious(), "blocked": blocked}
        return [name for name, raised in flags.items() if raised]


def bounded(value: Any) -> Any:
    """The same JSON with long texts and lists cut, so that one record cannot fill a disk."""
    if isinstance(value, str):
        return value if len(value) <= LONGEST else value[: LONGEST - 1] + "…"
    if isinstance(value, dict):
        return {key: bounded(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [bounded(inner) for inner in value[:MOST]]
    return value
