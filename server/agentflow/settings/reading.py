"""From the bytes of a configuration file to a `Config`, collecting every problem on the way.

Promises: one look finds all problems, each at its line; a value is never quoted in a message, since it may be a
secret. A client's own file (`mcpServers` or VS Code's `servers`) is accepted: what only the client understands in
it is a warning, not an error.
"""

from __future__ import annotations

import contextlib
import copy
import itertools
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError
from pydantic_settings import SettingsError

from agentflow.config import Config, Environment
from agentflow.paths import default_data_dir
from agentflow.settings import checks, documents, expansion, messages, secrets_env

Loc = tuple[str | int, ...]
_SERVER_KEYS = ("mcpServers", "mcp_servers", "servers")
_OWN_COMMANDS = ("agentflow", "agentctl")


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong with a configuration. `line` counts from 1; 0 where no line is to blame.

    `path` is the dotted way to the value. A `warning` does not stop the gateway.
    """

    file: str
    line: int
    path: str
    message: str
    fix: str
    severity: Literal["error", "warning"] = "error"

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        what = f"{self.path}: {self.message}" if self.path else self.message
        return f"{place}: {self.severity}: {what}; {self.fix}"


@dataclass(slots=True)
class Reading:
    """A file while it is read.

    `config` is None unless every value was valid; `usable` then still has the valid part, where there is one.
    """

    file: str
    environ: Mapping[str, str]
    folder: Path
    root: documents.Node
    config: Config | None = None
    usable: Config | None = None
    problems: list[Problem] = field(default_factory=list)
    used: dict[str, str] = field(default_factory=dict)  # variables that went into values
    overrides: dict[str, Any] = field(default_factory=dict)
    servers_key: str = "mcpServers"
    off: set[str] = field(default_factory=set)  # names of disabled servers

    def report(
        self, loc: Loc, message: str, fix: str, severity: Literal["error", "warning"] = "error", line: int | None = None
    ) -> None:
        """Note a problem at `loc`, at the variable's name if the environment put the value there."""
        path = messages.dotted(loc)
        if _has(self.overrides, loc):
            words = itertools.takewhile(lambda step: isinstance(step, str), loc)
            name = "AGENTFLOW_" + "__".join(map(str, words)).upper().replace("MCPSERVERS", "MCP_SERVERS", 1)
            self.problems.append(Problem(f"environment ({name})", 0, path, message, fix, severity))
            return
        written: documents.Path = (self.servers_key, *loc[1:]) if loc[:1] == ("mcpServers",) else loc
        at = self.root.line_of(written) if line is None else line
        self.problems.append(Problem(self.file, at, path, message, fix, severity))


def read(path: Path | None, environ: Mapping[str, str]) -> Reading:
    """Read `path` (or only defaults and environment) as far as it goes."""
    folder = Path(os.path.abspath(path)).parent if path else Path.cwd()
    reading = Reading(str(path or "(no file)"), environ, folder, documents.Node([], "map", 0, 0, 0))
    if path is not None:
        root = _parse(path, reading)
        if root is None:
            return reading
        reading.root = root
    data = _normalise(reading, is_json=path is not None and path.suffix == ".json")
    variables = _variables(data, reading)
    data = _expand(data, (), variables, reading)
    _resolve_paths(data, folder if path else None)
    _override(data, variables, reading)
    _validate(data, reading)
    reading.problems.sort(key=lambda problem: (problem.file != reading.file, problem.line))
    return reading


def _parse(path: Path, reading: Reading) -> documents.Node | None:
    try:
        text = path.read_bytes().decode("utf-8-sig")
        root = documents.parse(text, as_json=path.suffix == ".json")
    except FileNotFoundError:
        problem = (0, "there is no such file", "name the file with --config, or run `agentflow import`")
    except OSError as error:
        problem = (0, f"cannot be read: {error.strerror}", "check the path and its permissions")
    except UnicodeDecodeError as error:
        problem = (error.object.count(b"\n", 0, error.start) + 1, "is not UTF-8 text", "save it as UTF-8")
    except documents.DocumentError as error:
        problem = (error.line, error.message, "correct the syntax at or just before this line")
    else:
        if root.kind == "map":
            return root
        problem = (1, "is not a mapping", "write `mcpServers:` with the servers under it")
    line, message, fix = problem
    reading.problems.append(Problem(reading.file, line, "", message, fix))
    return None


def _normalise(reading: Reading, *, is_json: bool) -> dict[str, Any]:
    """The plain data with servers under `mcpServers`; what only clients understand is reported and left out."""
    for where, node in reading.root.walk():
        for entry in node.duplicates:
            loc = (*where, entry.key)
            reading.report(loc, "stands here a second time", "keep one of the two", line=entry.line)
    data: dict[str, Any] = reading.root.plain()
    present = [key for key in _SERVER_KEYS if key in data]
    for extra in present[1:]:
        reading.report((extra,), f"means the same as `{present[0]}`", f"move its servers under `{present[0]}`")
        del data[extra]
    client_file = present == ["servers"] or (is_json and bool(present) and "agentflow" not in Path(reading.file).name)
    if present:
        reading.servers_key = present[0]
        data["mcpServers"] = data.pop(present[0]) or {}
    servers = data.get("mcpServers")
    if isinstance(servers, dict):
        reading.off = {name for name, entry in servers.items() if isinstance(entry, dict) and entry.get("disabled")}
        _leave_out_self(servers, reading)
    if client_file:
        _leave_out_foreign(data, reading)
    data.pop("$schema", None)
    return {key: value for key, value in data.items() if value is not None}  # a section whose lines are comments


def _leave_out_self(servers: dict[str, Any], reading: Reading) -> None:
    for name, entry in list(servers.items()):
        if isinstance(entry, dict) and runs_agentflow(entry):
            reading.report(("mcpServers", name), "is this gateway itself", "remove the entry", "warning")
            del servers[name]


def runs_agentflow(entry: Mapping[str, Any]) -> bool:
    """Whether a server entry starts an AgentFlow gateway: one must not stand behind itself."""
    command, args = entry.get("command") or entry.get("cmd"), entry.get("args")
    if not isinstance(command, str) or not isinstance(args, list) or "serve" not in args:
        return False
    stem = Path(command.replace("\\", "/")).name.removesuffix(".exe")
    return stem in _OWN_COMMANDS or args[:2] == ["-m", "agentflow"]


def _leave_out_foreign(data: dict[str, Any], reading: Reading) -> None:
    fix = "nothing to do, or move the servers into agentflow.yaml with `agentflow import`"
    for key in [key for key in data if not messages.known((), key)]:
        reading.report((key,), "means nothing to AgentFlow and is left out", fix, "warning")
        del data[key]
    servers = data.get("mcpServers")
    for name, entry in servers.items() if isinstance(servers, dict) else ():
        own = list(entry) if isinstance(entry, dict) else []
        for key in [key for key in own if not messages.known(("mcpServers", name), key)]:
            loc = ("mcpServers", name, key)
            reading.report(loc, "means nothing to AgentFlow and is left out", fix, "warning")
            del entry[key]


def _variables(data: dict[str, Any], reading: Reading) -> dict[str, str]:
    """The environment over `secrets.env`."""
    data_dir = data_dir_named_by(reading.environ)
    written = data.get("data_dir")
    if data_dir is None and isinstance(written, str):
        data_dir = reading.folder / Path(expansion.expand(written, reading.environ).text).expanduser()
    data_dir = data_dir or default_data_dir()
    file = str(data_dir / secrets_env.FILE)
    try:
        secrets = secrets_env.read(data_dir)
    except (OSError, UnicodeDecodeError) as error:
        reading.problems.append(Problem(file, 0, "", f"cannot be read ({type(error).__name__})", f"check {file}"))
        secrets = {}
    if secrets_env.exposed(data_dir):
        reading.problems.append(
            Problem(file, 0, "", "others may read these secrets", f"run `chmod 600 {file}`", "warning")
        )
    return {**secrets, **reading.environ}


def data_dir_named_by(environ: Mapping[str, str]) -> Path | None:
    """`AGENTFLOW_DATA_DIR`, from the working directory where it is relative."""
    named = environ.get("AGENTFLOW_DATA_DIR")
    return Path(os.path.abspath(os.path.expanduser(named))) if named else None


def _expand(value: Any, loc: Loc, variables: Mapping[str, str], reading: Reading) -> Any:
    if isinstance(value, dict):
        return {key: _expand(item, (*loc, key), variables, reading) for key, item in value.items()}
    if isinstance(value, list):
        return [_expand(item, (*loc, index), variables, reading) for index, item in enumerate(value)]
    checks.literal_secret(loc, value, reading.report)
    if not isinstance(value, str):
        return value
    expanded = expansion.expand(value, variables)
    reading.used.update(expanded.used)
    unused = loc[:1] == ("mcpServers",) and len(loc) > 1 and loc[1] in reading.off
    for message, fix in expanded.problems:
        reading.report(loc, message, fix, "warning" if unused else "error")
    return expanded.text


def _resolve_paths(data: dict[str, Any], folder: Path | None) -> None:
    """Make the file's paths absolute, from the file's folder; a stdio server also starts there."""

    def absolute(holder: Any, key: Any) -> None:
        if isinstance(holder, dict | list) and (not isinstance(holder, dict) or key in holder):
            text = holder[key]
            if isinstance(text, str) and text and "://" not in text:
                home = os.path.expanduser(text)
                holder[key] = os.path.normpath(folder / home) if folder else home

    absolute(data, "data_dir")
    policy = data.get("policy")
    absolute(policy, "bundle")
    absolute(policy.get("opa") if isinstance(policy, dict) else None, "ca")
    layers = policy.get("layers") if isinstance(policy, dict) else None
    for index, layer in enumerate(layers if isinstance(layers, list) else ()):
        if not str(layer).startswith("library/") or (folder and (folder / layer).exists()):  # else one that ships
            absolute(layers, index)
    tools = data.get("tools")
    for index in range(len(tools) if isinstance(tools, list) else 0):
        absolute(tools, index)
    auth = data.get("auth")
    keys = auth.get("api_keys") if isinstance(auth, dict) else None
    for key in keys if isinstance(keys, list) else ():
        absolute(key, "key_file")
    servers = data.get("mcpServers")
    for server in servers.values() if isinstance(servers, dict) else ():
        if not isinstance(server, dict):
            continue
        for name in ("cwd", "path", "spec"):
            absolute(server, name)
        command = server.get("command")
        if isinstance(command, str) and command.startswith(("./", "../", "~/")):
            absolute(server, "command")
        if folder and command and not server.get("cwd"):
            server["cwd"] = str(folder)


def _override(data: dict[str, Any], variables: Mapping[str, str], reading: Reading) -> None:
    """Put the `AGENTFLOW_*` variables over the file's values."""
    ours = {name: value for name, value in variables.items() if name.upper().startswith("AGENTFLOW_")}
    for name in ours:
        near = messages.near_variable(name)
        if near:
            reading.problems.append(
                Problem(f"environment ({name})", 0, "", "sets nothing", f"did you mean {near}?", "warning")
            )
    for name in list(ours):
        try:
            Environment({name: ours[name]})()
        except SettingsError:
            reading.problems.append(
                Problem(f"environment ({name})", 0, "", "is not JSON", 'write a list as ["a"], a mapping as {"a": 1}')
            )
            del ours[name]
    reading.overrides = Environment(ours)()
    if servers := reading.overrides.pop("mcp_servers", None):
        reading.overrides["mcpServers"] = servers
    there = data.get("mcpServers")
    servers = reading.overrides.get("mcpServers")
    if isinstance(servers, dict) and isinstance(there, dict):  # names of variables know no case
        names = {name.lower(): name for name in there}
        reading.overrides["mcpServers"] = {names.get(key.lower(), key): value for key, value in servers.items()}
    _merge(data, reading.overrides)
    if data_dir := data_dir_named_by(reading.environ):
        data["data_dir"] = str(data_dir)


def _merge(under: dict[str, Any], over: Mapping[str, Any]) -> None:
    for key, value in over.items():
        if isinstance(value, Mapping) and isinstance(under.get(key), dict):
            _merge(under[key], value)
        else:
            under[key] = value


def _validate(data: dict[str, Any], reading: Reading) -> None:
    """Make the `Config`, then check what no single value shows; with errors, on the parts that are valid."""
    try:
        reading.config = reading.usable = Config(**data)
    except ValidationError as errors:
        found = errors.errors(include_url=False, include_input=False)
        for error in found:
            message, fix = messages.explain(error)
            reading.report(error["loc"], message, fix)
        reading.usable = _without(data, {error["loc"] for error in found})
    if reading.usable is not None:
        checks.across(reading.usable, reading.report, reading.environ)


def _without(data: dict[str, Any], locs: set[Loc]) -> Config | None:
    """The configuration without its faulty values; where that is not enough, without what holds them."""
    for depth in (None, 2, 1):
        rest = copy.deepcopy(data)
        for loc in locs:
            _drop(rest, loc[:depth])
        with contextlib.suppress(ValidationError, TypeError):
            return Config(**rest)
    return None


def _drop(data: Any, loc: Loc) -> None:
    for step in loc[:-1]:
        if isinstance(data, dict) and isinstance(data.get(step), dict):
            data = data[step]
        elif isinstance(data, dict):
            data.pop(step, None)  # a list goes as a whole
            return
    if isinstance(data, dict):
        data.pop(loc[-1], None)


def _has(overrides: Any, loc: Loc) -> bool:
    """Whether the environment put the value at `loc` there, or a list around it."""
    in_list = False
    for step in loc:
        if isinstance(overrides, Mapping):
            if step not in overrides:
                return in_list
            overrides = overrides[step]
        elif isinstance(overrides, list):
            in_list = True
            if not isinstance(step, int) or step >= len(overrides):
                return True
            overrides = overrides[step]
        else:
            return True
    return bool(loc)
