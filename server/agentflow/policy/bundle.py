"""A Rego bundle on disk, a folder or an OPA archive, read and checked before anything compiles it.

It promises a revision that names the exact content, and refuses builtins that would reach outside the decision
(network, environment) or make it depend on more than its input (clock, chance): a decision is cached, replayed
and compared, so equal input must mean equal decision.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from agentflow.config import PolicyConfig
from agentflow.errors import ConfigError
from agentflow.paths import shipped
from agentflow.pipeline.call import JSON
from agentflow.policy.archive import MANIFEST, BadArchive, Contents, Manifest, data_of, manifest_of, outside, unpack
from agentflow.policy.decision import ENTRYPOINT
from agentflow.policy.evaluator import Program
from agentflow.policy.projection import Projection, paths_read
from agentflow.policy.selectors import Selectors, keeps_to_patterns
from agentflow.policy.settings import problems_of

LIBRARY = "library"  # the folder of examples beside the bundle that ships, each a layer
_NEEDS = re.compile(r"^# needs data\.([\w.*]+)$", re.MULTILINE)
_TEST = re.compile(r"^[ \t]*(test_\w+)", re.MULTILINE)
_PROSE = re.compile(r'"(?:\\.|[^"\\\n])*"|`[^`]*`|#[^\n]*')
_PACKAGE = re.compile(r"^package\s+([\w.]+)", re.MULTILINE)
_ERROR = re.compile(r"\(error (?:\d+:)?([^|\s]*)\|(\d+)\|\d+\s*\(errormsg (?:\d+:)?([^)]*)\)")
_OUTSIDE = re.compile(
    r"""(?<![\w.])(?:
        (?P<net>(?:http|net)\s*(?:\.|\[\s*["`])\s*\w+)
      | (?P<env>opa\s*(?:\.|\[\s*["`])\s*runtime)
      | (?P<varies>time\s*(?:\.|\[\s*["`])\s*now_ns|rand\s*(?:\.|\[\s*["`])\s*\w+|uuid\s*(?:\.|\[\s*["`])\s*rfc4122)
      | (?P<spelt>(?:http|net|opa|time|rand|uuid)\s*\[\s*"[^"\n]*\\)
    )""",
    re.VERBOSE,
)
_RESULT = re.compile(r"""["`]result["`]""")
_COMMENT = re.compile(r"[ \t]*#[^\r]*\r?")
_WHY = {
    "net": "a policy may not use the network",
    "env": "it shows the environment of the process",
    "spelt": "write the builtin's name without escapes",
    "varies": "equal input must give equal decisions; `input.time` has the hour and the weekday",
}


@dataclass(frozen=True, slots=True)
class Bundle:
    """A bundle as read.

    Attributes:
        modules: file name relative to the bundle → Rego text, tests and `spare` left out.
        spare: modules that do nothing with this data, by their own line `# needs data.PATH`.
        tests: the same for `*_test.rego`.
        own_data: the bundle's data.json files; `data` has the configuration's merged over it.
        revision: SHA-256 over modules, tests and data, in hexadecimal.
        label: what its `.manifest` calls its revision, "" where it has none.
        results: whether it may look at answers, too: its texts or its data name the phase `result`.
        reads: the parts of the input document that the modules can read.
        selectors: how names fall into groups the bundle cannot tell apart, or None where that is not known.
    """

    path: Path
    modules: dict[str, str]
    tests: dict[str, str]
    own_data: JSON
    data: JSON
    revision: str
    reads: Projection
    selectors: Selectors | None
    label: str = ""
    spare: dict[str, str] = field(default_factory=dict)
    results: bool = False

    @property
    def texts(self) -> dict[str, str]:
        """All there is of Rego: modules, spare ones, tests."""
        return {**self.modules, **self.spare, **self.tests}

    def policy(self) -> Program:
        """What decides calls."""
        return Program(self.modules, self.data, (ENTRYPOINT,))

    @property
    def as_shipped(self) -> bool:
        """Whether it is the very bundle that ships: no file, test or datum of its own is other or more."""
        ours = _folder(shipped("policies"), [])
        return self.texts == ours.modules and {"data.json": self.own_data} == ours.data

    def trials(self) -> list[Program]:
        """What runs the tests: they see the bundle's own data, not what an installation makes of it.

        Each test is an entrypoint, `package/path/test_name`. Test files that say what data they need are tried apart,
        with the modules that need some of it and with the helpers (test files without a test): the embedded compiler
        takes time and memory that grow faster than a policy under `with`.
        """
        sources = {**self.modules, **self.spare}
        helpers = {name: text for name, text in self.tests.items() if not _NEEDS.search(text) and not tests_in(text)}
        groups: dict[frozenset[str], dict[str, str]] = {}
        for name, text in self.tests.items():
            groups.setdefault(frozenset(_NEEDS.findall(text)), {})[name] = text
        programs = []
        for needed, tests in groups.items():
            policy = {name: text for name, text in sources.items() if _meets(text, needed)}
            programs.append(Program(policy | helpers | tests, self.own_data, _entrypoints(tests)))
        return [program for program in programs if program.entrypoints]


def read_bundle(config: PolicyConfig) -> Bundle:
    """Read the configured bundle, or the one that ships with AgentFlow, and lay the configured layers over it.

    Raises:
        ConfigError: it cannot be read, is no bundle, or uses what no policy may. `problems` lists everything.
    """
    path = config.bundle if config.bundle is not None else shipped("policies")
    problems: list[str] = []
    texts: dict[str, str] = {}
    own_data: JSON = {}
    label = ""
    for place in (path, *map(layer_path, config.layers)):
        contents = _contents(place, problems)
        for name, text in contents.modules.items():
            texts[name if place is path else f"{place.name}/{name}"] = text
        for name, document in contents.data.items():
            own_data = _merged(own_data, _placed(name, document))
        label = contents.manifest.revision if place is path and not config.layers else label
    return _made(path, texts, own_data, config.data, label, problems)


def bundle_of(contents: Contents) -> Bundle:
    """The bundle that these contents are, with nothing laid over it.

    Raises:
        ConfigError: it is none, or uses what no policy may. `problems` lists everything.
    """
    own_data: JSON = {}
    for name, document in contents.data.items():
        own_data = _merged(own_data, _placed(name, document))
    problems = outside(contents.manifest, contents.modules, contents.data)
    return _made(Path(), dict(contents.modules), own_data, {}, contents.manifest.revision, problems)


def _made(path: Path, texts: dict[str, str], own_data: JSON, over: JSON, label: str, problems: list[str]) -> Bundle:
    tests = {name: text for name, text in texts.items() if name.endswith("_test.rego")}
    modules = {name: text for name, text in texts.items() if name not in tests}
    if not modules and not problems:
        problems.append(f"{_at(path)}no .rego files")
    for name, text in texts.items():
        problems += [f"{path / name}: {problem}" for problem in _reaches_outside(text)]
    data = _merged(own_data, over)
    spare = {name: text for name, text in modules.items() if not _needed(text, data)}
    content = {"modules": modules, "tests": tests, "data": data}
    modules = {name: text for name, text in modules.items() if name not in spare}
    mistakes = problems_of(data) if keeps_to_patterns(modules) else []
    try:
        serialized = orjson.dumps(content, option=orjson.OPT_SORT_KEYS)
    except TypeError as error:  # YAML knows keys and numbers that JSON does not
        mistakes.append(f"no JSON: {error}")
    merged = " (with the configuration's policy.data)" if over else ""
    problems += [f"{path / 'data.json'}{merged}: {text}" for text in mistakes]
    if problems:
        raise refused(path, problems)
    revision = hashlib.sha256(serialized).hexdigest()
    selectors = Selectors.of(modules, data)
    reads = Projection(paths_read(modules.values()))
    results = any(_RESULT.search(text) for text in (*modules.values(), orjson.dumps(data).decode()))
    return Bundle(path, modules, tests, own_data, data, revision, reads, selectors, label, spare, results)


def changed(bundle: Bundle, config: PolicyConfig) -> bool:
    """Whether what `config` names has other content now.

    Raises:
        ConfigError: as `read_bundle`.
    """
    return read_bundle(config).revision != bundle.revision


def layer_path(layer: Path) -> Path:
    """Return where a layer is: `library/NAME` is one that ships with AgentFlow, unless there is such a folder."""
    if layer.parts[:1] == (LIBRARY,) and not layer.exists():
        return shipped("policies") / layer
    return layer


def refused(path: Path, problems: list[str]) -> ConfigError:
    """The error for a bundle that may not be used."""
    more, uploaded = f" (and {len(problems) - 1} more)" if problems[1:] else "", path == Path()
    return ConfigError(
        f"the policy bundle{'' if uploaded else f' {path}'} is refused: {problems[0]}{more}",
        fix="correct it and upload it again" if uploaded else f"correct it, then run: agentflow policy test {path}",
        problems=problems,
    )


def readable_errors(bundle: Bundle, compiler_text: str) -> list[str]:
    """Turn the compiler's syntax-tree dump into `file:line: message` lines; anything else is returned as it is."""
    texts = bundle.texts
    found: dict[str, None] = {}
    for name, offset, message in _ERROR.findall(compiler_text):
        text = texts.get(name, "").encode()
        line = text.count(b"\n", 0, int(offset)) + 1
        shown = (text.decode().splitlines() or [""])[line - 1].strip() if text else ""
        found[f"{bundle.path / name if name else bundle.path}:{line}: {message}: {shown}"] = None
    return list(found) or [compiler_text.strip()[:1000]]


def _at(path: Path) -> str:
    """The beginning of a line about a bundle; nothing where it lies in no file."""
    return "" if path == Path() else f"{path}: "


def test_place(bundle: Bundle, entrypoint: str) -> str:
    """Where a test stands, as `file:line`; "" where that cannot be said."""
    package, _, name = entrypoint.rpartition("/")
    for file, text in bundle.tests.items():
        found = _PACKAGE.search(text)
        if found is not None and found.group(1).replace(".", "/") == package:
            line = re.search(rf"^[ \t]*{re.escape(name)}\b", text, re.MULTILINE)
            if line is not None:
                return f"{bundle.path / file}:{text.count(chr(10), 0, line.start()) + 1}"
    return ""


def _contents(path: Path, problems: list[str]) -> Contents:
    """What a folder or an archive holds; what is wrong with it is added to `problems`."""
    try:
        contents = unpack(path) if path.is_file() else _folder(path, problems)
    except BadArchive as error:
        problems.append(f"{path}: {error}")
        return Contents()
    except OSError as error:
        problems.append(f"{path}: {error.strerror or error}")
        return Contents()
    problems += [f"{path}/{text}" for text in outside(contents.manifest, contents.modules, contents.data)]
    return contents


def _folder(path: Path, problems: list[str]) -> Contents:
    modules: dict[str, str] = {}
    data: dict[str, JSON] = {}
    if not path.is_dir():
        problems.append(f"{path} is neither a folder nor an archive")
        return Contents()
    for file in sorted(path.rglob("*")):
        parts = file.relative_to(path).parts
        if (file.suffix != ".rego" and file.name != "data.json") or parts[0] == LIBRARY:
            continue
        try:
            if file.suffix == ".rego":
                modules["/".join(parts)] = file.read_text(encoding="utf-8")
                continue
            data["/".join(parts)] = data_of(file.read_bytes(), str(file))
        except BadArchive as error:
            problems.append(str(error))
        except (OSError, ValueError) as error:
            problems.append(f"{file}: {error}")
    noted = path / MANIFEST
    manifest = manifest_of(noted.read_bytes()) if noted.is_file() else Manifest()
    return Contents(manifest, modules, data)


def _placed(name: str, document: JSON) -> JSON:
    """A data document under the folders it lies in."""
    for part in reversed(name.split("/")[:-1]):
        document = {part: document}
    return document


def tests_in(text: str) -> list[str]:
    """The names of the tests that a Rego text defines, however they are indented."""
    code = _PROSE.sub("", text)
    outermost, depth = [], 0
    for line in code.split("\n"):
        outermost.append(line if depth <= 0 else "")
        depth += sum(line.count(bracket) for bracket in "({[") - sum(line.count(bracket) for bracket in ")}]")
    return _TEST.findall("\n".join(outermost))


def _entrypoints(tests: dict[str, str]) -> tuple[str, ...]:
    found: dict[str, None] = {}
    for text in tests.values():
        package = _PACKAGE.search(text)
        if package is not None:
            for name in tests_in(text):
                found[f"{package.group(1).replace('.', '/')}/{name}"] = None
    return tuple(found)


def _meets(text: str, needed: frozenset[str]) -> bool:
    """Whether a module has something to do where just this data is there."""
    needs = _NEEDS.findall(text)
    return not needs or not needed.isdisjoint(needs)


def _needed(text: str, data: JSON) -> bool:
    """Whether the data has something of what a module says it needs; `*` stands for any member."""
    needs = _NEEDS.findall(text)
    return not needs or any(_has(data, path.split(".")) for path in needs)


def _has(value: Any, path: list[str]) -> bool:
    if not path:
        return True
    if not isinstance(value, dict):
        return False
    step, rest = path[0], path[1:]
    return any(_has(item, rest) for key, item in value.items() if step in ("*", key))


def _merged(under: Any, over: Any) -> Any:
    """`over` wins; objects are merged member by member, everything else is replaced."""
    if not isinstance(under, dict) or not isinstance(over, dict):
        return over
    return {**under, **{key: _merged(under.get(key), value) for key, value in over.items()}}


def _reaches_outside(text: str) -> list[str]:
    # Whole-line comments are prose. With raw strings about, a line that starts with # may be code.
    code = text if "`" in text else "\n".join("" if _COMMENT.fullmatch(line) else line for line in text.split("\n"))
    found = []
    for match in _OUTSIDE.finditer(code):
        kind = next(name for name, value in match.groupdict().items() if value)
        line = code.count("\n", 0, match.start()) + 1
        found.append(f"line {line}: {match.group(0)} is not allowed: {_WHY[kind]}")
    return found
