"""The process in which Presidio and the entity model run, started by `process.py`.

It promises to answer every frame with exactly one frame, to die when its parent does, and never to open a network
connection (`guard/offline.py`). What libraries log is not kept: it may quote what was analysed.

Frames, both ways: one byte of kind, four bytes of length (big endian), then the body as JSON.
`L` loads `{"engine", "model", "language", "labels", "patterns", "recognisers"}` and answers `R`, or `E` with what is
missing.
`Q` analyses `[[text, label], …]` and answers `V`: for each text `[[type, start, end, score], …]`, or `E`.
"""

from __future__ import annotations

import json
import logging
import os
import struct
import sys
import traceback
import warnings
from typing import Any

_HEADER = struct.Struct(">cI")


def _read(count: int) -> bytes:
    parts: list[bytes] = []
    while count:
        part = os.read(0, count)
        if not part:
            sys.exit(0)  # the parent is gone
        parts.append(part)
        count -= len(part)
    return b"".join(parts)


def _write(descriptor: int, kind: bytes, body: bytes) -> None:
    view = memoryview(_HEADER.pack(kind, len(body)) + body)
    while view:
        view = view[os.write(descriptor, view) :]


def _answer(kind: bytes, body: bytes, state: dict[str, Any]) -> tuple[bytes, bytes]:
    from agentflow.guard.deep.engines import EngineMissing, build

    try:
        if kind == b"L":
            state["analyser"] = build(**json.loads(body))
            return b"R", b""
        found = state["analyser"].find([(text, label) for text, label in json.loads(body)])
        return b"V", json.dumps(found).encode()
    except EngineMissing as error:
        return b"E", str(error).encode("utf-8", "replace")
    except Exception as error:
        # Neither here nor there the error's text: it may hold what was analysed.
        for frame in traceback.extract_tb(error.__traceback__, limit=20):
            print(f"  {frame.filename}:{frame.lineno} in {frame.name}", file=sys.stderr)
        print(type(error).__name__, file=sys.stderr, flush=True)
        return b"E", f"{type(error).__name__} in the deep tier".encode()


def main() -> None:
    """Serve frames until the parent closes the pipe."""
    sys.path.insert(0, sys.argv[1])
    from agentflow.guard.offline import forbid

    forbid()
    # What libraries log and warn of may quote what is analysed, and grows without end.
    logging.disable()
    warnings.simplefilter("ignore")
    answers = os.dup(1)
    os.dup2(2, 1)  # whatever a library prints must not get between the frames
    state: dict[str, Any] = {}
    while True:
        kind, length = _HEADER.unpack(_read(_HEADER.size))
        _write(answers, *_answer(kind, _read(length), state))


if __name__ == "__main__":
    main()
