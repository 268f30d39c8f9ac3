"""The gateway's side of the small model: starts its process when first needed, asks it, starts it anew when it died.

Promises: torch and transformers are never imported here; one text at a time; a process that hangs past the time limit
is killed and the caller told; what comes back is text of the grammar that was asked for. The process gets none of the
gateway's environment but what a linker needs, and no network is used.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from pathlib import Path
from typing import Any, Final

from agentflow.config_models import LocalModelConfig
from agentflow.errors import ModelUnavailable

JSON = dict[str, Any]
_ROOT: Final = Path(__file__).resolve().parents[3]  # the folder that holds `agentflow`
_KEPT: Final = ("PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "TMPDIR", "HOME")
_LOAD: Final = 120.0  # seconds to load the weights
_LINE: Final = 64 * 1024 * 1024


class LocalModel:
    """The process of the small model, at most one."""

    def __init__(self, config: LocalModelConfig) -> None:
        self.config = config
        self._process: asyncio.subprocess.Process | None = None
        self._turn = asyncio.Lock()
        self._number = 0

    async def plan(
        self, prompt: str, tools: Mapping[str, JSON], values: Sequence[Any] = (), *, copied: bool = False
    ) -> JSON:
        """One step: `{"tool": None}` or `{"tool": …, "arguments": …}`, of these tools and valid for their schemas.

        Raises:
            ModelUnavailable: the process cannot be started, died, or did not answer in time.
        """
        step: JSON = await self._ask({"prompt": prompt, "tools": dict(tools), "values": list(values), "copied": copied})
        return step

    async def value(self, prompt: str, schema: JSON, values: Sequence[Any] = (), *, copied: bool = False) -> Any:
        """A JSON value that satisfies a schema.

        Raises:
            ModelUnavailable: as of `plan`, or the schema is one that cannot be promised.
        """
        return await self._ask({"prompt": prompt, "schema": schema, "values": list(values), "copied": copied})

    async def retire(self) -> None:
        """End the process once it has answered what it was asked."""
        async with self._turn:
            await self.close()

    async def close(self) -> None:
        """End the process."""
        process, self._process = self._process, None
        if process is not None:
            await _ended(process)

    async def _ask(self, request: JSON) -> Any:
        async with self._turn:
            process = await self._running()
            self._number += 1
            body = {**request, "id": self._number, "budget": self.config.max_tokens}
            try:
                async with asyncio.timeout(self.config.timeout):
                    answer = await _exchange(process, body)
            except BaseException as problem:  # cancelled in between, its answer would be taken for the next one's
                await self.close()
                if isinstance(problem, TimeoutError):
                    raise ModelUnavailable(
                        f"the local model gave no answer within {self.config.timeout:g} s",
                        fix="raise models.local.timeout",
                    ) from None
                raise
        if "error" in answer:
            raise ModelUnavailable(str(answer["error"]))
        return json.loads(answer["text"])

    async def _running(self) -> asyncio.subprocess.Process:
        if self._process is not None and self._process.returncode is None:
            return self._process
        environment = {k: os.environ[k] for k in _KEPT if k in os.environ}
        environment |= {"PYTHONPATH": str(_ROOT), "HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"}
        environment |= {"TOKENIZERS_PARALLELISM": "false", "TRANSFORMERS_VERBOSITY": "error"}
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "agentflow.models.local.process",
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
            env=environment, limit=_LINE,
        )  # fmt: skip
        settings: JSON = {"threads": self.config.threads}
        settings |= {k: str(v) for k in ("path", "adapter") if (v := getattr(self.config, k)) is not None}
        try:
            async with asyncio.timeout(_LOAD):
                ready = await _exchange(process, settings)
        except BaseException as problem:
            await _ended(process)
            if isinstance(problem, TimeoutError):
                raise ModelUnavailable(f"the local model was not loaded within {_LOAD:g} s") from None
            raise
        if "error" in ready:
            await _ended(process)
            raise ModelUnavailable(str(ready["error"]))
        self._process = process
        return process


async def _exchange(process: asyncio.subprocess.Process, message: JSON) -> JSON:
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        process.stdin.write(json.dumps(message).encode() + b"\n")
        await process.stdin.drain()
        line = await process.stdout.readline()
    except (ConnectionError, ValueError):
        line = b""
    if not line:
        raise ModelUnavailable("the local model's process ended; the next question starts it again")
    answer: JSON = json.loads(line)
    return answer


async def _ended(process: asyncio.subprocess.Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.kill()
    await process.wait()


LOCAL: ContextVar[LocalModel | None] = ContextVar("agentflow_local_model")
"""The small model of this gateway; None where `flow.planner` is not `local`."""
