"""Writing a file whole or not at all.

Promises: a reader sees the old bytes or the new ones, never a part; a link stays a link; the mode is kept.
"""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path


def write_atomically(path: Path, data: bytes, *, mode: int | None = None) -> None:
    """Replace the file's bytes.

    Args:
        path: the file; a symbolic link is followed, so that it goes on pointing where it points.
        mode: permission bits; None keeps those of the file that is there (0600 for a new one).

    Raises:
        OSError: nothing was changed.
    """
    target = path.resolve()
    if mode is None:
        try:
            mode = stat.S_IMODE(target.stat().st_mode)
        except FileNotFoundError:
            mode = 0o600
    handle, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(name, mode)
        os.replace(name, target)
    except BaseException:
        os.unlink(name)
        raise
