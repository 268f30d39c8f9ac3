"""What no single value of the configuration shows: secrets in the file, clashes, addresses, files that are not there.

Every check reports through `report(loc, message, fix[, severity])` and goes on; none raises.
"""

from __future__ import annotations

import base64
import binascii
import difflib
import os
import re
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from agentflow.config import Config, ServeConfig, ServerConfig, is_loopback
from agentflow.config_guard import GuardConfig
from agentflow.errors import ConfigError
from agentflow.guard.entities import NAME, canonical
from agentflow.guard.pii import custom
from agentflow.guard.tokens import KNOWN, check_format
from agentflow.pipeline.chain import DEFAULT_ORDER
from agentflow.settings.checks_auth import issuers
from agentflow.settings.checks_models import models
from agentflow.settings.expansion import literal_part
from agentflow.store.opened import Store

Loc = tuple[str | int, ...]
Report = Callable[..., None]

_SECRET_PLACES: tuple[tuple[str | type[int] | None, ...], ...] = (  # None stands for any key
    ("auth", "api_keys", int, "key"),
    ("mcpServers", None, "credentials", None),
    ("mcpServers", None, "auth", "client_secret"),
    ("flow", "api_key"),
    ("models", "providers", None, "api_key"),
    ("guard", "master_key"),
    ("guard", "vault", "previous_keys", int),
)
_DATABASES: frozenset[Loc] = frozenset(
    {("store", "url"), ("guard", "vault", "url"), ("guard", "pins", "url"), ("audit", "index_url")}
)
_PASSWORD = re.compile(r"://[^/@\s]*:(?!\$\{)[^/@\s]+@|[?&]password=(?!\$\{)[^&\s]")
SECRET_NAME = re.compile(
    r"token|secret|passw|passphrase|api[-_]?key|apikey|auth|credential|private[-_]?key|access[-_]?key|\bpat\b|_pat$"
    r"|cookie|session[-_]?key|webhook|dsn\b|connection[-_]?string|_key$",
    re.IGNORECASE,
)
_NAMESPACE = re.compile(r"[A-Za-z0-9_.\-]{0,64}")


def literal_secret(loc: Loc, value: Any, report: Report) -> None:
    """Report a secret that stands in the file itself; where one merely looks like it, as a warning."""
    if value in (None, ""):
        return
    if loc in _DATABASES and isinstance(value, str) and _PASSWORD.search(value):
        report(loc, "a password is written into the file", "use ${DATABASE_URL}, and set it in the environment")
        return
    written = literal_part(value) if isinstance(value, str) else str(value)
    if not written:
        return
    name = str(loc[-1]).upper().replace("-", "_") if loc and isinstance(loc[-1], str) else "NAME"
    if any(_matches(loc, place) for place in _SECRET_PLACES):
        report(loc, "a secret is written into the file", "use ${NAME}, and set NAME in the environment or secrets.env")
    elif (
        len(loc) == 4
        and loc[0] == "mcpServers"
        and loc[2] in ("env", "headers")
        and SECRET_NAME.search(str(loc[3]))
        and isinstance(value, str)
        and written == value
        and len(value) >= 8
    ):
        report(loc, "looks like a secret written into the file", f"use ${{{name}}}", "warning")


def _matches(loc: Loc, place: tuple[str | type[int] | None, ...]) -> bool:
    return len(loc) == len(place) and all(
        want is None or (isinstance(step, int) if want is int else step == want)
        for step, want in zip(loc, place, strict=True)
    )


def across(config: Config, report: Report, environ: Mapping[str, str]) -> None:
    """Every check that needs more than one value, or the world outside the file."""
    _front(config, report)
    _callers(config, report)
    issuers(config, report)
    _rooms(config, report)
    _guard(config, report)
    _stages(config, report)
    _names(config, report)
    models(config, report, environ, _address)
    for name, server in config.mcp_servers.items():
        if not server.disabled:
            _server(("mcpServers", name), server, report, environ)


def _front(config: Config, report: Report) -> None:
    if config.auth.asks or Store(config.data_dir, config.store).holds("api_key"):
        return
    if not is_loopback(config.serve.host):
        report(
            ("serve", "host"),
            "is reachable from other machines, and nobody is known who may call: it will not be served",
            "run `agentflow keys create`, add auth.api_keys or auth.issuers, or listen on 127.0.0.1",
            "warning",  # for it must be possible to create a key
        )
    elif elsewhere := [host for host in _told(config.serve) if not is_loopback(host)]:
        report(
            ("auth",),
            f"knows no callers: whoever comes as {elsewhere[0]} through a proxy is taken for {config.auth.local.id!r}",
            "run `agentflow keys create`, or add auth.api_keys or auth.issuers",
            "warning",
        )


def _told(serve: ServeConfig) -> list[str]:
    """The names that clients are to reach the gateway by."""
    urls = [f"//{host}" for host in serve.allowed_hosts] + ([serve.public_url] if serve.public_url else [])
    return [urlsplit(url).hostname or "" for url in urls]


def _callers(config: Config, report: Report) -> None:
    ids: set[tuple[str, str]] = set()
    secrets: set[str] = set()
    for index, key in enumerate(config.auth.api_keys):
        loc: Loc = ("auth", "api_keys", index)
        if (key.tenant, key.id) in ids:
            report((*loc, "id"), "another caller of this tenant has this id", "give each its own id")
        ids.add((key.tenant, key.id))
        if key.key_file is not None:
            _readable((*loc, "key_file"), key.key_file, report)
        elif key.key is not None:
            value = key.key.get_secret_value()
            if not value:
                report((*loc, "key"), "the key is empty", "set the variable it names")
            elif value in secrets:
                report((*loc, "key"), "another caller has the same key", "give each its own key")
            secrets.add(value)


def _readable(loc: Loc, path: Path, report: Report) -> None:
    if not path.is_file() or not os.access(path, os.R_OK):
        report(loc, "there is no readable file at this path", f"create {path} with the key in it, mode 0600")
    elif os.name == "posix" and path.stat().st_mode & 0o077:
        report(loc, "others may read this secret", f"run `chmod 600 {path}`", "warning")


def _rooms(config: Config, report: Report) -> None:
    if config.data_dir.exists() and not config.data_dir.is_dir():
        report(("data_dir",), "is a file", "name a folder")
    if config.policy.bundle is not None and not config.policy.bundle.exists():
        report(("policy", "bundle"), "there is no such folder", "name the folder that holds the .rego files")
    if config.policy.engine == "opa":
        _address(("policy", "opa", "url"), config.policy.opa.url, report)
    for index, layer in enumerate(config.policy.layers):
        if not layer.is_dir() and layer.parts[:1] != ("library",):
            report(("policy", "layers", index), "there is no such folder", f"create {layer} or remove the line")
    for index, folder in enumerate(config.tools):
        if not folder.is_dir():
            report(("tools", index), "there is no such folder", f"create {folder} or remove the line")


def _guard(config: Config, report: Report) -> None:
    guard = config.guard
    if guard.flag_threshold > guard.block_threshold:
        report(("guard", "flag_threshold"), "is above guard.block_threshold", "make it the smaller of the two")
    if guard.master_key is not None:
        try:
            size = len(base64.b64decode(guard.master_key.get_secret_value(), validate=True))
        except (binascii.Error, ValueError):
            size = 0
        if size != 32:
            report(("guard", "master_key"), "is not base64 of 32 bytes", "make one with `openssl rand -base64 32`")
    try:
        check_format(guard.token_format)
    except ValueError as error:
        problem, _, fix = str(error).partition(": ")
        report(("guard", "token_format"), problem, fix)
    if guard.strategies:
        _strategies(guard, report)


def _strategies(guard: GuardConfig, report: Report) -> None:
    """Types that nothing finds: a slip of the pen would leave its type with the default strategy."""
    types = _types(guard)
    seen: dict[str, str] = {}
    for name in guard.strategies:
        loc: Loc = ("guard", "strategies", name)
        if name == "*":
            continue
        try:
            kind = canonical(name)
        except ValueError:
            report(loc, "is no name of a type", "use 2 to 32 letters, digits and underscores, or `*` for all others")
            continue
        if kind in seen:
            report(loc, f"is another name of `{seen[kind]}`", "keep one of the two")
        seen.setdefault(kind, name)
        if types is not None and kind not in types:
            near = difflib.get_close_matches(kind, sorted(types), 1, 0.6)
            fix = f"did you mean `{near[0]}`?" if near else "name a type that is built in, or that a recogniser finds"
            report(loc, "there is no such type", fix)


def _types(guard: GuardConfig) -> frozenset[str] | None:
    """Every type that the guard can find; None where only running code could tell."""
    if guard.deep.recognisers:
        return None
    found = {canonical(name) for name in guard.deep.types if NAME.fullmatch(name.upper())}
    for config in (guard.recognisers, *guard.tenants.values()):
        try:
            found.update(each.type for path in config.files for each in custom.load(path))
            found.update(each.type for each in custom.denied(config.deny, "deny"))
        except ConfigError:
            return None
    return KNOWN | found


def _stages(config: Config, report: Report) -> None:
    named: list[tuple[Loc, str]] = [(("pipeline", "order", i), s) for i, s in enumerate(config.pipeline.order)]
    named += [(("pipeline", "stages", stage), stage) for stage in config.pipeline.stages]
    for loc, stage in named:
        if stage not in DEFAULT_ORDER:
            near = difflib.get_close_matches(stage, DEFAULT_ORDER, 1, 0.6)
            fix = f"did you mean `{near[0]}`?" if near else f"the stages are {', '.join(DEFAULT_ORDER)}"
            report(loc, "there is no such stage", fix)


def _names(config: Config, report: Report) -> None:
    """Two servers must not show their tools under the same names."""
    spaces: dict[str, list[str]] = {}
    shown: dict[str, str] = {}
    for name, server in config.mcp_servers.items():
        if name == "agentflow":  # as the gateway calls the server of its own tools
            report(("mcpServers", name), "is the name of the gateway's own tools", "give this server another name")
        if server.disabled:
            continue
        space = name if server.namespace is None else server.namespace
        loc: Loc = ("mcpServers", name) if server.namespace is None else ("mcpServers", name, "namespace")
        others = [other for other in spaces.get(space, ()) if _meet(server, config.mcp_servers[other])]
        if space and others:
            report(loc, f"its namespace `{space}` is that of `{others[0]}`", "give one of them another `namespace`")
        elif not _NAMESPACE.fullmatch(space):
            report(
                loc,
                "as a namespace it holds characters that many clients refuse in tool names",
                "set `namespace` to letters, digits, - and _",
                "warning",
            )
        spaces.setdefault(space, []).append(name)
        for tool, alias in server.aliases.items():
            if alias in shown:
                report(("mcpServers", name, "aliases", tool), f"`{shown[alias]}` shows this name too", "use another")
            shown.setdefault(alias, name)


def _meet(one: ServerConfig, other: ServerConfig) -> bool:
    """Whether some tenant's callers may know of both."""
    return not one.tenants or not other.tenants or not set(one.tenants).isdisjoint(other.tenants)


def _server(loc: Loc, server: ServerConfig, report: Report, environ: Mapping[str, str]) -> None:
    if server.type == "stdio":
        _command(loc, server, report, environ)
    for key in ("url", "base_url"):
        text = getattr(server, key)
        if text is not None:
            _address((*loc, key), text, report, secret=bool(server.credentials or server.auth))
    if server.spec is not None:
        if "://" in server.spec:
            _address((*loc, "spec"), server.spec, report)
        elif not Path(server.spec).is_file():
            report((*loc, "spec"), "there is no such file", "name the OpenAPI document, a file or a URL")
    if server.path is not None and not server.path.is_dir():
        report((*loc, "path"), "there is no such folder", "name the folder that holds the tool files")


def _command(loc: Loc, server: ServerConfig, report: Report, environ: Mapping[str, str]) -> None:
    command = server.command or ""
    if server.cwd is not None and not server.cwd.is_dir():
        report((*loc, "cwd"), "there is no such folder", f"create {server.cwd} or name another")
    search = server.env.get("PATH") or environ.get("PATH") or os.defpath
    if shutil.which(command, path=search) is None:
        report(
            (*loc, "command"),
            "is not on PATH, so this server will be unavailable",
            f"install it, or write the full path of {Path(command).name}",
            "warning",
        )


_CREDENTIALS = "move it to `credentials: {Authorization: 'Basic ${NAME}'}`"


def _address(loc: Loc, text: str, report: Report, *, secret: bool = False, key: str = _CREDENTIALS) -> None:
    severity: Literal["error", "warning"] = "error"
    try:
        parts = urlsplit(text)
        host, _ = parts.hostname, parts.port
    except ValueError:
        report(loc, "is not a URL", "write https://host/path", severity)
        return
    if parts.scheme not in ("http", "https") or not host:
        report(loc, "is not an http or https address", "write https://host/path", severity)
    elif parts.username is not None or parts.password is not None:
        report(loc, "holds a user name or password", key)
    elif secret and parts.scheme == "http" and not is_loopback(host):
        report(loc, "sends credentials in the clear", "use https", "warning")
