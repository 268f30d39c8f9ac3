"""`data_dir/secrets.env`: secrets that `${NAME}` in the configuration may name, beneath the real environment.

Promises: mode 0600, written whole or not at all; what is written is what is read. Refuses names that are not
environment variable names.
"""

from __future__ import annotations

import io
import os
import re
from pathlib import Path

from agentflow.paths import private_dir
from agentflow.settings.atomic import write_atomically

FILE = "secrets.env"
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_ESCAPES = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t"})


def read(data_dir: Path) -> dict[str, str]:
    """The variables of `data_dir/secrets.env`; none when there is no such file.

    Raises:
        OSError: the file exists and cannot be read.
        UnicodeDecodeError: it is not UTF-8.
    """
    try:
        text = (data_dir / FILE).read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError):
        return {}
    from dotenv import dotenv_values

    found = dotenv_values(stream=io.StringIO(text, newline=""), interpolate=False)
    return {name: value for name, value in found.items() if value is not None}


def exposed(data_dir: Path) -> bool:
    """Whether anybody but the owner may read or write the file."""
    try:
        return os.name == "posix" and bool((data_dir / FILE).stat().st_mode & 0o077)
    except OSError:
        return False


def add(data_dir: Path, variables: dict[str, str]) -> None:
    """Add variables, keeping the lines that are there.

    Raises:
        ValueError: a name is not one, a value holds a NUL, or a name is there with another value.
        OSError: the file cannot be written.
    """
    present = read(data_dir)
    lines = []
    for name, value in variables.items():
        if not _NAME.fullmatch(name) or "\0" in value:
            raise ValueError(f"{name!r} cannot be an environment variable with this value")
        if name not in present:
            lines.append(f'{name}="{value.translate(_ESCAPES)}"\n')
        elif present[name] != value:
            raise ValueError(f"{name} is in {FILE} already, with another value")
    if not lines:
        return
    path = private_dir(data_dir) / FILE
    text = path.read_text(encoding="utf-8") if path.exists() else "# Secrets for agentflow.yaml: write ${NAME} there.\n"
    text += "" if text.endswith("\n") else "\n"
    write_atomically(path, (text + "".join(lines)).encode(), mode=0o600)
