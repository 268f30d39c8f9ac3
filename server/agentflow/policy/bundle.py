"""A Rego bundle on disk, read and checked before anything compiles it.

It promises a revision that names the exact content, and refuses builtins that would reach outside the decision
(network, environment) or make it depend on more than its input (clock, chance): a decision is cached, replayed
and compared, so equal input must mean equal decision.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from agentflow.config import PolicyConfig
from agentflow.errors import ConfigError
from agentflow.paths import shipped
from agentflow.pipeline.call import JSON
from agentflow.policy.decision import ENTRYPOINT
from agentflow.policy.evaluator import Program
from agentflow.policy.projection import Projection, paths_read
from agentflow.policy.selectors import Selectors
from agentflow.policy.settings import problems_of

_TEST = re.compile(r"^(test_\w+)", re.MULTILINE)
_PACKAGE = re.compile(r"^package\s+([\w.]+)", re.MULTILINE)
_ERROR = re.compile(r"\(error (?:\d+:)?([^|\s]*)\|(\d+)\|\d+\s*\(errormsg (?:\d+:)?([^)]*)\)")
_OUTSIDE = re.compile(
    r"""(?<![\w.])(?:
        (?P<net>(?:http|net)\s*(?:\.|\[\s*["`])\s*\w+)
      | (?P<env>opa\s*(?:\.|\[\s*["`])\s*runtime)
      | (?P<varies>time\s*(?:\.|\[\s*["`])\s*now_ns|rand\s*(?:\.|\[\s*["`])\s*\w+|uuid\s*(?:\.|\[\s*["`])\s*rfc4122)
    )""",
    re.VERBOSE,
)
_WHY = {
    "net": "a policy may not use the network",
    "env": "it shows the environment of the process",
    "varies": "equal input must give equal decisions; `input.time` has the hour and the weekday",
}


@dataclass(frozen=True, slots=True)
class Bundle:
    """A bundle as read.

    Attributes:
        modules: file name relative to the bundle → Rego text, tests left out.
        tests: the same for `*_test.rego`.
        own_data: the bundle's data.json files; `data` has the configuration's merged over it.
        revision: SHA-256 over modules, tests and data, in hexadecimal.
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

    def policy(self) -> Program:
        """What decides calls."""
        return Program(self.modules, self.data, (ENTRYPOINT,))

    def trial(self) -> Program:
        """What runs the tests: they see the bundle's own data, not what an installation makes of it.

        Each test is an entrypoint, `package/path/test_name`.
        """
        found: dict[str, None] = {}
        for text in self.tests.values():
            package = _PACKAGE.search(text)
            if package is not None:
                for name in _TEST.findall(text):
                    found[f"{package.group(1).replace('.', '/')}/{name}"] = None
        return Program({**self.modules, **self.tests}, self.own_data, tuple(found))


def read_bundle(config: PolicyConfig) -> Bundle:
    """Read the configured bundle, or the one that ships with AgentFlow.

    Raises:
        ConfigError: it cannot be read, is no bundle, or uses what no policy may. `problems` lists everything.
    """
    path = config.bundle if config.bundle is not None else shipped("policies")
    problems: list[str] = []
    texts, own_data = _files(path, problems)
    tests = {name: text for name, text in texts.items() if name.endswith("_test.rego")}
    modules = {name: text for name, text in texts.items() if name not in tests}
    if not modules and not problems:
        problems.append(f"{path}: no .rego files")
    for name, text in modules.items():
        problems += [f"{path / name}: {problem}" for problem in _reaches_outside(text)]
    data = _merged(own_data, config.data)
    selectors = Selectors.of(modules, data)
    if selectors is not None:
        problems += [f"{path}/data.json (with the configuration's policy.data): {text}" for text in problems_of(data)]
    if problems:
        raise refused(path, problems)
    content = {"modules": modules, "tests": tests, "data": data}
    revision = hashlib.sha256(orjson.dumps(content, option=orjson.OPT_SORT_KEYS)).hexdigest()
    reads = Projection(paths_read(modules.values()))
    return Bundle(path, modules, tests, own_data, data, revision, reads, selectors)


def refused(path: Path, problems: list[str]) -> ConfigError:
    """The error for a bundle that may not be used."""
    more = f" (and {len(problems) - 1} more)" if problems[1:] else ""
    return ConfigError(
        f"the policy bundle {path} is refused: {problems[0]}{more}",
        fix=f"correct it, then run: agentflow policy test {path}",
        problems=problems,
    )


def readable_errors(bundle: Bundle, compiler_text: str) -> list[str]:
    """Turn the compiler's syntax-tree dump into `file:line: message` lines; anything else is returned as it is."""
    texts = {**bundle.modules, **bundle.tests}
    found: dict[str, None] = {}
    for name, offset, message in _ERROR.findall(compiler_text):
        text = texts.get(name, "").encode()
        line = text.count(b"\n", 0, int(offset)) + 1
        shown = (text.decode().splitlines() or [""])[line - 1].strip() if text else ""
        found[f"{bundle.path / name if name else bundle.path}:{line}: {message}: {shown}"] = None
    return list(found) or [compiler_text.strip()[:1000]]


def _files(path: Path, problems: list[str]) -> tuple[dict[str, str], JSON]:
    texts: dict[str, str] = {}
    data: JSON = {}
    if not path.is_dir():
        problems.append(f"{path} is not a folder")
        return texts, data
    for file in sorted(path.rglob("*")):
        name = file.relative_to(path).as_posix()
        if file.suffix != ".rego" and file.name != "data.json":
            continue
        try:
            if file.suffix == ".rego":
                texts[name] = file.read_text(encoding="utf-8")
                continue
            content = orjson.loads(file.read_bytes())
            if not isinstance(content, dict):
                raise ValueError("not a JSON object")
        except (OSError, ValueError) as error:
            problems.append(f"{file}: {error}")
            continue
        for part in reversed(file.relative_to(path).parts[:-1]):
            content = {part: content}
        data = _merged(data, content)
    return texts, data


def _merged(under: Any, over: Any) -> Any:
    """`over` wins; objects are merged member by member, everything else is replaced."""
    if not isinstance(under, dict) or not isinstance(over, dict):
        return over
    return {**under, **{key: _merged(under.get(key), value) for key, value in over.items()}}


def _reaches_outside(text: str) -> list[str]:
    found = []
    for match in _OUTSIDE.finditer(text):
        kind = next(name for name, value in match.groupdict().items() if value)
        line = text.count("\n", 0, match.start()) + 1
        if not text.splitlines()[line - 1].lstrip().startswith("#"):
            found.append(f"line {line}: {match.group(0)} is not allowed: {_WHY[kind]}")
    return found
