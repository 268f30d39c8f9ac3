"""Where things are: the data directory, and the folders that ship with the package."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

import platformdirs

_PACKAGE = Path(__file__).resolve().parent


def shipped(folder: Literal["tools", "policies"]) -> Path:
    """Return the shipped folder, in the wheel (`agentflow/_shipped/<folder>`) or in a checkout.

    Raises:
        FileNotFoundError: neither place has it; the installation is broken.
    """
    installed = _PACKAGE / "_shipped" / folder
    checkout = _PACKAGE.parents[1] / folder
    for place in (installed, checkout):
        if place.is_dir():
            return place
    raise FileNotFoundError(f"{folder}/ is neither at {installed} nor at {checkout}; reinstall agentflow-gateway")


def default_data_dir() -> Path:
    """The platform's user data folder for AgentFlow."""
    return Path(platformdirs.user_data_dir("agentflow", appauthor=False))


def private_dir(path: Path) -> Path:
    """Make `path` a directory that only its owner may enter (mode 0700) and return it.

    Raises:
        OSError: it cannot be made, or is somebody else's.
    """
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    if path.stat().st_mode & 0o077:
        os.chmod(path, 0o700)
    return path
