"""The process in which Rego is compiled and evaluated, started by `process.py`; `inside.py` imports its interpreter.

It promises to answer every frame it gets with exactly one frame, and to die when its parent does. It is a
process of its own because rego-cpp (regopy 1.5.2) aborts the whole process on some inputs to its compiler, and
because a running evaluation (a backtracking `regex.match`, say) can be ended in no other way. Its environment is
empty, so that no policy can read the gateway's.

Frames, both ways: one byte of kind, four bytes of length (big endian), then the body.
`L` loads `{"modules": {name: text}, "data": {}, "entrypoints": [], "kept": false}` and answers `R`, or `E` with the
compiler's text; where it was asked to be kept, `R` has the compiled bundle, or nothing if that cannot be had.
`Q` evaluates `<seconds> <entrypoint>\\n<input as JSON>` and answers `V` (the value as JSON), `U` (undefined) or
`E` (an error's text).
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import json
import os
import signal
import struct
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

_HEADER = struct.Struct(">cI")
_LOOK = 0.1  # seconds between two looks at how much it takes
_BACKSTOP_FACTOR = 4.0  # the parent kills on time; this alarm is for a child whose parent is gone


def _read(count: int) -> bytes:
    parts: list[bytes] = []
    while count:
        part = os.read(0, count)
        if not part:
            sys.exit(0)  # the parent is gone
        parts.append(part)
        count -= len(part)
    return b"".join(parts)


def _write(kind: bytes, body: bytes) -> None:
    view = memoryview(_HEADER.pack(kind, len(body)) + body)
    while view:
        view = view[os.write(1, view) :]


class Rego:
    """One interpreter with one compiled bundle."""

    def __init__(self, regopy: Any, interpreter: Any, bundle: Any) -> None:
        self._interpreter, self._bundle = interpreter, bundle
        # `Interpreter.set_input` goes value by value through C strings and int64: a string is cut at its first
        # NUL, "a\\u0041" turns into "aA", and 2**64+1 into 1. The JSON entry of the same C API has none of that.
        self._set_json = regopy.rego_shared.rego.regoSetInputJSON
        self._set_json.restype = ctypes.c_uint32
        self._set_json.argtypes = [ctypes.c_void_p, ctypes.c_char_p]

    @classmethod
    def built(cls, regopy: Any, modules: dict[str, str], data: dict[str, Any], entrypoints: list[str]) -> Rego:
        """Compile a program; raises `RegoError` with the compiler's text."""
        interpreter = _interpreter(regopy)
        interpreter.add_data(data)
        for name, text in modules.items():
            interpreter.add_module(name, text)
        bundle = interpreter.build(None, entrypoints)
        if not bundle.ok():
            raise regopy.RegoError("the bundle did not build")
        return cls(regopy, interpreter, bundle)

    @classmethod
    def loaded(cls, regopy: Any, compiled: bytes) -> Rego | None:
        """What `compiled` gave of the same version of rego-cpp; None where it cannot be taken."""
        interpreter = _interpreter(regopy)
        try:
            with _unnamed() as path:
                with open(path, "wb") as file:
                    file.write(compiled)
                bundle = interpreter.load_bundle(path, regopy.interpreter.BundleFormat.Binary)
        except (OSError, regopy.RegoError):
            return None
        return cls(regopy, interpreter, bundle) if bundle.ok() else None

    def compiled(self, regopy: Any) -> bytes:
        """The bundle as `loaded` takes it; empty where that cannot be had."""
        try:
            with _unnamed() as path:
                self._interpreter.save_bundle(path, self._bundle, regopy.interpreter.BundleFormat.Binary)
                with open(path, "rb") as file:
                    return file.read()
        except (OSError, regopy.RegoError):
            return b""

    def ask(self, entrypoint: str, document: bytes) -> tuple[bytes, bytes]:
        """Evaluate one entrypoint; returns the kind and body of the answering frame."""
        if self._set_json(self._interpreter._impl, document) != 0:
            return b"E", b"the input is not acceptable JSON"
        try:
            output = self._interpreter.query_bundle_entrypoint(self._bundle, entrypoint)
            if not output.ok():
                return b"E", b"a builtin failed, or two rules disagree"
            expressions = output.results[0].expressions
            if not expressions:
                return b"U", b""
            return b"V", json.dumps(expressions[0], allow_nan=False).encode()  # a number beyond a float is infinite
        except Exception as error:  # regopy raises JSONDecodeError on some of its own answers
            return b"E", repr(error).encode("utf-8", "replace")


def _interpreter(regopy: Any) -> Any:
    interpreter = regopy.Interpreter()
    interpreter.log_level = regopy.LogLevel.NONE
    interpreter.strict_built_in_errors = True
    return interpreter


@contextlib.contextmanager
def _unnamed() -> Iterator[str]:
    """The path of an empty file that is in no folder: rego-cpp reads and writes paths only.

    Raises:
        OSError: this platform has none (it is Linux's).
    """
    if not hasattr(os, "memfd_create"):
        raise OSError("no memfd_create")
    handle = os.memfd_create("policy")
    try:
        yield f"/proc/self/fd/{handle}"
    finally:
        os.close(handle)


def _bound(memory: int) -> None:
    """See to it that a policy which eats memory ends here, and takes nothing else with it."""
    # Linux: where memory runs out all the same, this process goes first.
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w", encoding="ascii") as adjust:
        adjust.write("1000")
    threading.Thread(target=_watch, args=(memory,), name="memory", daemon=True).start()


def _watch(memory: int) -> None:
    # No limit on address space: rego-cpp's allocator reserves a quarter of a terabyte and uses next to nothing of it.
    page = os.sysconf("SC_PAGE_SIZE")
    with contextlib.suppress(OSError):
        while True:
            with open("/proc/self/statm", "rb") as sizes:
                if int(sizes.read().split()[1]) * page > memory:
                    os.write(2, b"it takes more than %d MiB of memory" % (memory // 2**20))
                    os._exit(1)
            time.sleep(_LOOK)


def main() -> None:
    """Serve frames until the parent closes the pipe."""
    _bound(int(sys.argv[2]))
    sys.path.insert(0, sys.argv[1])
    regopy = importlib.import_module("regopy")
    rego: Rego | None = None
    while True:
        kind, length = _HEADER.unpack(_read(_HEADER.size))
        body = _read(length)
        if kind == b"L":
            try:
                order = json.loads(body)
                rego = Rego.built(regopy, order["modules"], order["data"], order["entrypoints"])
                _write(b"R", rego.compiled(regopy) if order.get("kept") else b"")
            except regopy.RegoError as error:
                _write(b"E", str(error).encode("utf-8", "replace"))
        elif rego is None:
            _write(b"E", b"no bundle is loaded")
        else:
            head, _, document = body.partition(b"\n")
            seconds, _, entrypoint = head.decode().partition(" ")
            signal.setitimer(signal.ITIMER_REAL, float(seconds) * _BACKSTOP_FACTOR)
            answer = rego.ask(entrypoint, document)
            signal.setitimer(signal.ITIMER_REAL, 0)
            _write(*answer)


if __name__ == "__main__":
    main()
