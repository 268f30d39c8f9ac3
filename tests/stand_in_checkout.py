"""A stand-in for a user's checkout: `.venv/bin/agentflow` and `examples/agentflow.yaml`, at a path of the test's.

The command is the real gateway; only its interpreter, data directory and help-desk database are the test's own.
"""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Any

from gateway_process import REPOSITORY, write_config
from upstream_processes import helpdesk_over_stdio

PLACEHOLDER = "/ABSOLUTE/PATH/TO/agentflow"


def make_checkout(folder: Path) -> Path:
    """Make it under `folder` and return its root, which takes the place of `PLACEHOLDER`."""
    root = folder / "agentflow"
    command = root / ".venv" / "bin" / "agentflow"
    command.parent.mkdir(parents=True)
    lines = (
        "#!/bin/sh",
        f"export PYTHONPATH={shlex.quote(str(REPOSITORY / 'server'))}",
        f"export AGENTFLOW_DATA_DIR={shlex.quote(str(folder / 'data'))}",
        f'exec {shlex.quote(sys.executable)} -m agentflow "$@"',
    )
    command.write_text("\n".join(lines) + "\n", encoding="utf-8")
    command.chmod(0o755)
    (root / "examples").mkdir()
    servers = {"helpdesk": helpdesk_over_stdio(root / "helpdesk.db")}
    write_config({"mcpServers": servers}, root / "examples" / "agentflow.yaml")
    return root


def with_checkout(value: Any, root: Path) -> Any:
    """`value` (JSON) with the placeholder path replaced by `root`."""
    if isinstance(value, str):
        return value.replace(PLACEHOLDER, str(root))
    if isinstance(value, list):
        return [with_checkout(item, root) for item in value]
    if isinstance(value, dict):
        return {key: with_checkout(item, root) for key, item in value.items()}
    return value
