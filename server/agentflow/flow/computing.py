"""What the tool file `compute` calls: the sandbox, under the settings of the call at hand."""

from __future__ import annotations

import keyword
from contextvars import ContextVar
from pathlib import Path

from agentflow.errors import InvalidArguments, Unsupported
from agentflow.flow.port import CALLER
from agentflow.flow.sandbox.port import JSON, Ran
from agentflow.flow.settings import settings
from agentflow.paths import default_data_dir

DATA_DIR: ContextVar[Path] = ContextVar("agentflow_data_dir")
"""Where this gateway keeps its data; set beside `flow.settings.SETTINGS`."""


async def compute(code: str, inputs: JSON) -> Ran:
    """Run a program; what it does wrong is a fault of the result.

    Raises:
        ConfigError: no sandbox is installed.
        InvalidArguments: an input's name cannot be a variable's, or code or inputs are too long.
        LimitExceeded, UpstreamUnavailable: not now.
        Unsupported: it is switched off.
    """
    config = settings().sandbox
    if not config.enabled:
        raise Unsupported("Code is not run here: flow.sandbox.enabled is false")
    for name in inputs:
        if not name.isidentifier() or keyword.iskeyword(name) or name.startswith("__"):
            raise InvalidArguments(f"`inputs` has a name that no variable can have: {name[:60]!r}")
    from agentflow.flow.sandbox.box import sandbox

    data_dir, caller = DATA_DIR.get(None), CALLER.get(None)
    owner = f"{caller.who.tenant}\0{caller.who.principal}" if caller is not None else ""
    return await sandbox(config, data_dir or default_data_dir()).run(code, inputs, owner)
