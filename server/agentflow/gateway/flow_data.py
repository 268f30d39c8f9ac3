"""What a flow tool finds around its call, beside its caller: a recorder of runs, long-term memory, a place for data.

All of it belongs to the calling principal; what is kept goes through the call's own outbound mutators first.
"""

from __future__ import annotations

import asyncio

from agentflow.config import Config
from agentflow.config_models import LocalModelConfig
from agentflow.flow.computing import DATA_DIR
from agentflow.flow.long_term.port import LONG_TERM
from agentflow.flow.long_term.stored import PrincipalMemory, Shelf
from agentflow.flow.trajectories.files import TrajectoryFiles
from agentflow.flow.trajectories.keeping import FileRecorder
from agentflow.flow.trajectories.record import RECORDER
from agentflow.guard.taint import INJECTION
from agentflow.models.local.client import LOCAL, LocalModel
from agentflow.pipeline.call import JSON, Call
from agentflow.pipeline.chain import Pipeline
from agentflow.store.opened import Store

COMPUTE = "compute"  # the gateway's own tool that a flow may call like any other


class FlowData:
    """One per gateway.

    Args:
        config: the settings at the start; `use` takes later ones.
    """

    def __init__(self, store: Store, config: Config) -> None:
        self._data_dir = config.data_dir
        self._shelf = Shelf(store, config.flow.memory)
        self._local: LocalModel | None = None
        self._ending: set[asyncio.Task[None]] = set()
        self.use(config)

    def use(self, settings: Config) -> None:
        """Follow other settings."""
        config = settings.flow
        self._follow(settings.models.local if config.planner == "local" else None)
        self._config = self._shelf.config = config.memory
        self._files = TrajectoryFiles(self._data_dir, config.trajectories.days) if config.trajectories.enabled else None

    def _follow(self, config: LocalModelConfig | None) -> None:
        """Have the small model of these settings, started when it is first asked; a former one answers and ends."""
        former = self._local
        if former is not None and config == former.config:
            return
        self._local = LocalModel(config) if config is not None else None
        if former is not None:
            task = asyncio.ensure_future(former.retire())
            self._ending.add(task)
            task.add_done_callback(self._ending.discard)

    def around(self, call: Call, pipeline: Pipeline) -> None:
        """Set what the flow tools look for, in the context of the call's task."""

        async def clean(body: JSON) -> JSON:
            return await pipeline.clean(call, body)

        def suspicious() -> bool:
            return bool(call.findings) or INJECTION in call.taint  # in the question, or in what its calls gave

        tenant, principal = call.principal.tenant, call.principal.id
        DATA_DIR.set(self._data_dir)
        LOCAL.set(self._local)
        if self._files is not None:
            RECORDER.set(FileRecorder(self._files, clean, tenant, principal, suspicious))
        if self._config.enabled:
            LONG_TERM.set(PrincipalMemory(self._shelf, clean, tenant, principal, suspicious))

    async def close(self) -> None:
        """Wait until what is being kept is kept, and end the sandbox."""
        from agentflow.flow.sandbox import box

        if self._local is not None:
            await self._local.close()
        await asyncio.gather(*self._ending)
        await self._shelf.close()
        box.close()
