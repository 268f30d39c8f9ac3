"""One server entry as a client wrote it, turned into one of `agentflow.yaml`.

Promises: the server works as before, or the entry is left where it is with a reason. A literal secret becomes
`${NAME}` and goes to `secrets.env`; none is written into `agentflow.yaml`. No trust is carried over from a client.
"""

from __future__ import annotations

import base64
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit, urlunsplit

from pydantic import ValidationError

from agentflow.clients.files import Place
from agentflow.config import Config
from agentflow.settings import checks, messages
from agentflow.settings.checks import SECRET_NAME
from agentflow.settings.expansion import REFERENCE, escape, expand

SECRET_VALUE = re.compile(
    r"\bsk-[\w-]{16,}|\bgh[pousr]_\w{20,}|\bgithub_pat_\w{20,}|\bglpat-[\w-]{16,}|\bxox[abeprs]-[\w-]{10,}"
    r"|\bAKIA[0-9A-Z]{16}\b|\bAIza[\w-]{30,}|\bhf_\w{20,}|\bnpm_\w{30,}|\beyJ[\w-]{10,}\.[\w-]{10,}"
    r"|://[^/\s:@]+:[^/\s@]+@|-----BEGIN [A-Z ]*PRIVATE KEY"
    r"|(?<![\w/.-])(?=[\w+/=-]*\d)(?=[\w+/=-]*[A-Za-z])[\w+=-]{24,}(?![\w/.-])"
)
_HEADER_ARGUMENT = re.compile(r"([\w-]+)\s*[:=]\s*(?:\w+\s+)?\S+")
_KEPT = ("command", "args", "env", "cwd", "url", "type", "headers", "disabled", "timeout", "allow", "deny")
# Keys whose meaning AgentFlow cannot take over: without them the server would not work as before.
_UNABLE = {
    "envFile": "it reads an environment file",
    "env_keys": "its secrets are in the client's own keyring",
    "headersHelper": "it makes its headers with a program",
    "auth": "the client signs in for it",
    "oauth": "the client signs in for it",
}


class LeftBehind(Exception):
    """The entry stays with the client; the message says why."""


@dataclass(slots=True)
class Moved:
    """An entry on its way. `server` goes into `agentflow.yaml`, `secrets` into `secrets.env`."""

    name: str
    server: dict[str, Any]
    secrets: dict[str, str] = field(default_factory=dict)
    dropped: list[str] = field(default_factory=list)  # the client's own keys that mean nothing here


def translate(name: str, entry: object, place: Place, taken: Mapping[str, str], environ: Mapping[str, str]) -> Moved:
    """Turn one entry into an AgentFlow server.

    Args:
        taken: variables that `secrets.env` holds already; a secret never takes a name that means another value.

    Raises:
        LeftBehind: the gateway could not run it as the client does.
    """
    if not isinstance(entry, dict):
        raise LeftBehind("it is not a mapping")
    for key, why in _UNABLE.items():
        if entry.get(key):
            raise LeftBehind(why)
    raw = _COMMON.get(place.client, dict)(entry)
    raw.setdefault("autoApprove", raw.pop("alwaysAllow", None))
    moved = Moved(name, {k: raw[k] for k in (*_KEPT, "autoApprove") if raw.get(k) not in (None, False, {}, [], "")})
    lost = ["timeout"] if "timeout" in entry and "timeout" not in moved.server else []
    moved.dropped = sorted([key for key in raw if key not in _KNOWN] + lost)
    _place_it(moved.server, place)
    moved.server = _texts(moved.server, lambda text: _variables(text, place, environ))
    _Secrets(moved, taken).move()
    _verify(moved, {**environ, **taken, **moved.secrets})
    return moved


_KNOWN = {*_KEPT, "autoApprove", "alwaysAllow", "enabled", "name", "description", "bundled", "trust"}


def _gemini(entry: dict[str, Any]) -> dict[str, Any]:
    raw = dict(entry)
    if "httpUrl" in raw:
        raw["url"], raw["type"] = raw.pop("httpUrl"), "http"
    elif "url" in raw:
        raw.setdefault("type", "sse")
    raw["allow"], raw["deny"] = raw.pop("includeTools", None), raw.pop("excludeTools", None)
    raw["timeout"] = raw["timeout"] / 1000 if isinstance(raw.get("timeout"), int | float) else None
    return raw


def _goose(entry: dict[str, Any]) -> dict[str, Any]:
    kinds = {"stdio": "stdio", "streamable_http": "http", "sse": "sse"}
    if entry.get("type") not in kinds:
        raise LeftBehind("it is part of Goose itself")
    raw = {key: value for key, value in entry.items() if key not in ("cmd", "envs", "uri", "enabled")}
    raw |= {"type": kinds[entry["type"]], "command": entry.get("cmd"), "url": entry.get("uri")}
    raw["allow"] = raw.pop("available_tools", None)
    return raw | {"env": entry.get("envs"), "disabled": not entry.get("enabled", True)}


def _windsurf(entry: dict[str, Any]) -> dict[str, Any]:
    raw = {key: value for key, value in entry.items() if key not in ("serverUrl", "disabledTools", "timeout")}
    return raw | {"url": entry.get("serverUrl") or entry.get("url"), "deny": entry.get("disabledTools")}


def _plain(entry: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in entry.items() if key != "timeout"}  # in what unit is not agreed on


_COMMON: Mapping[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "gemini": _gemini,
    "goose": _goose,
    "windsurf": _windsurf,
    "claude-desktop": _plain,
    "claude-code": _plain,
    "vscode": _plain,
    "cursor": _plain,
    "project": _plain,
}


def _place_it(server: dict[str, Any], place: Place) -> None:
    """A project's server starts in the project's folder."""
    if server.get("command") is None:
        return
    base = place.folder or Path.home()
    cwd = server.get("cwd")
    if isinstance(cwd, str) and not cwd.startswith("$"):
        server["cwd"] = os.path.normpath(base / os.path.expanduser(cwd))
    elif cwd is None and place.folder is not None:
        server["cwd"] = str(place.folder)
    if str(server["command"]).startswith(("./", "../")):
        server["command"] = os.path.normpath(base / str(server["command"]))


def _texts(value: Any, change: Callable[[str], str]) -> Any:
    if isinstance(value, dict):
        return {key: _texts(item, change) for key, item in value.items()}
    if isinstance(value, list):
        return [_texts(item, change) for item in value]
    return change(value) if isinstance(value, str) else value


_DOLLAR = re.compile(r"\$\$|\$\{([^}]*)\}|\$([A-Za-z_]\w*)|\$\{")
_NAME = re.compile(r"[A-Za-z_]\w*")


def _variables(text: str, place: Place, environ: Mapping[str, str]) -> str:
    """The client's references as AgentFlow's, all else as it stands. An unset variable is empty there, and stays so."""
    if place.variables == "none":
        return escape(text)

    def one(match: re.Match[str]) -> str:
        literal = match.group().replace("$", "$$") if match.group() == "$$" or "{" in match.group() else match.group()
        braced, bare = match.group(1), match.group(2)
        if place.variables == "editor":
            return literal if braced is None else _editor(braced, place, environ)
        if bare is not None:
            return f"${{{bare}:-}}" if place.variables == "bare" else literal
        if braced is None:
            return literal
        name, default, _ = braced.partition(":-")
        if not _NAME.fullmatch(name):
            return literal
        return match.group() if default and place.variables == "shell" else f"${{{name}:-}}"

    return _DOLLAR.sub(one, text)


def _editor(word: str, place: Place, environ: Mapping[str, str]) -> str:
    """What stands for an editor's `${word}`."""
    if word.startswith("env:") and _NAME.fullmatch(word[4:]):
        return f"${{{word[4:]}:-}}"
    if word.startswith("workspaceFolder") and place.folder is None:
        raise LeftBehind("it depends on the folder that is open")
    home = environ.get("HOME") or str(Path.home())
    known = {"userHome": home, "pathSeparator": os.sep, "/": os.sep}
    if place.folder is not None:
        known |= {"workspaceFolder": str(place.folder), "workspaceFolderBasename": place.folder.name}
    if word in known:
        return known[word]
    if word.startswith("input:"):
        raise LeftBehind(f"the client asks its user for `{word[6:]}`")
    raise LeftBehind(f"it uses ${{{word[:40]}}}, which only the client knows")


class _Secrets:
    """Moves the literal secrets of one entry out of it."""

    def __init__(self, moved: Moved, taken: Mapping[str, str]) -> None:
        self.moved = moved
        self.taken = taken

    def move(self) -> None:
        server = self.moved.server
        env = server.get("env")
        if isinstance(env, dict):
            server["env"] = {key: self._env(key, _scalar(value)) for key, value in env.items()}
        if isinstance(server.get("args"), list):
            server["args"] = self._arguments([_scalar(argument) for argument in server["args"]])
        if isinstance(server.get("headers"), dict):
            self._headers(server)
        if isinstance(server.get("url"), str):
            self._url(server)

    def hide(self, key: str, value: str) -> str:
        """Store `value` under a name made of the server's and the key's; return the reference to it."""
        own, key = _slug(self.moved.name), _slug(key)
        base = key if key.startswith(own) else f"{own}_{key}"
        if base[:1].isdigit() or base.startswith("AGENTFLOW_"):
            base = f"S_{base}"
        value = value.replace("$$", "$")
        name, number = base, 2
        while {**self.taken, **self.moved.secrets}.get(name, value) != value:
            name, number = f"{base}_{number}", number + 1
        self.moved.secrets[name] = value
        return f"${{{name}}}"

    def _env(self, key: str, value: str) -> str:
        if value and not _refers(value) and (SECRET_NAME.search(key) or SECRET_VALUE.search(value)):
            return self.hide(key, value)
        return value

    def _arguments(self, arguments: list[str]) -> list[str]:
        result: list[str] = []
        for index, argument in enumerate(arguments):
            before = arguments[index - 1] if index else ""
            flag, equals, value = argument.partition("=")
            header = _HEADER_ARGUMENT.fullmatch(argument)
            if _refers(argument):
                result.append(argument)
            elif before.startswith("-") and "=" not in before and SECRET_NAME.search(before):
                result.append(argument if argument.startswith("-") else self.hide(before, argument))
            elif flag.startswith("-") and equals and value and SECRET_NAME.search(flag):
                result.append(f"{flag}={self.hide(flag, value)}")
            elif SECRET_VALUE.search(argument) or (header and SECRET_NAME.search(header.group(1))):
                result.append(self.hide(f"arg_{index}", argument))
            else:
                result.append(argument)
        return result

    def _headers(self, server: dict[str, Any]) -> None:
        plain: dict[str, str] = {}
        secret: dict[str, str] = {}
        for key, value in server.pop("headers").items():
            text = _scalar(value)
            if not SECRET_NAME.search(key) and not SECRET_VALUE.search(text):
                plain[key] = text
            elif _refers(text) or not text:
                secret[key] = text
            else:
                scheme, space, rest = text.partition(" ")
                whole = not (space and rest and scheme.lower() in ("bearer", "basic", "token"))
                secret[key] = self.hide(key, text) if whole else f"{scheme} {self.hide(key, rest)}"
        server |= {"headers": plain} if plain else {}
        server |= {"credentials": secret} if secret else {}

    def _url(self, server: dict[str, Any]) -> None:
        url = server["url"]
        try:
            parts = urlsplit(url)
            user, password = parts.username, parts.password
        except ValueError:
            raise LeftBehind("its address is not a URL") from None
        if user is not None and not _refers(url):
            pair = f"{unquote(user)}:{unquote(password or '')}"
            credentials = server.setdefault("credentials", {})
            if "authorization" not in map(str.lower, credentials):  # a header of its own wins, as it does there
                basic = self.hide("authorization", base64.b64encode(pair.encode()).decode())
                credentials["Authorization"] = f"Basic {basic}"
            parts = parts._replace(netloc=parts.netloc.rpartition("@")[2])
        query = "&".join(self._parameter(pair) for pair in parts.query.split("&"))
        server["url"] = urlunsplit(parts._replace(query=query))
        if any(SECRET_VALUE.fullmatch(part) for part in parts.path.split("/")):
            server["url"] = self.hide("url", url)

    def _parameter(self, pair: str) -> str:
        key, equals, value = pair.partition("=")
        if value and not _refers(value) and (SECRET_NAME.search(key) or SECRET_VALUE.search(value)):
            return f"{key}={self.hide(key, value)}"
        return key + equals + value


def _verify(moved: Moved, variables: Mapping[str, str]) -> None:
    """Refuse what would keep the gateway from starting."""
    server = _texts(moved.server, lambda text: expand(text, variables).text)
    try:
        config = Config.model_validate({"mcpServers": {moved.name: server}})
    except ValidationError as errors:
        first = errors.errors(include_url=False, include_input=False)[0]
        raise LeftBehind(f"{messages.dotted(first['loc'][2:])}: {messages.explain(first)[0]}") from None

    def report(loc: tuple[str | int, ...], message: str, fix: str, severity: str = "error") -> None:
        if severity == "error":
            raise LeftBehind(f"{messages.dotted(loc[2:])} {message}")

    checks.across(config, report, variables)


def _refers(text: str) -> bool:
    return any(match.group() != "$$" for match in REFERENCE.finditer(text))


def _scalar(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | int | float):
        return str(value)
    raise LeftBehind("it holds a value that is not text where text belongs")


def _slug(text: str) -> str:
    return re.sub(r"[^A-Z0-9]+", "_", text.upper()).strip("_")
