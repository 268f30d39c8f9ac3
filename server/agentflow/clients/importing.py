"""`agentflow import` and `agentflow restore`: a client's servers behind one `agentflow` entry, and back again.

Promises: nothing is written before `apply`; the client's exact bytes are kept first and put back exactly; no
secret is shown. The client's file is the last one written, so a failure on the way leaves the client as it was.
Refuses to overwrite a file that changed since it was read, or since the import, unless told to.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import re
import shutil
import stat
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from agentflow.clients import files
from agentflow.clients.edits import replace_servers
from agentflow.clients.entries import SECRET_VALUE, LeftBehind, translate
from agentflow.clients.files import CLIENTS, Place
from agentflow.errors import ConfigError
from agentflow.paths import private_dir
from agentflow.settings import documents, secrets_env
from agentflow.settings.atomic import write_atomically
from agentflow.settings.checks import SECRET_NAME
from agentflow.settings.reading import runs_agentflow

ENTRY = "agentflow"
BACKUPS = "backups"
_HIDDEN = "********"


@dataclass(slots=True)
class Change:
    """A file and what it becomes. `before` is None for a new file."""

    path: Path
    before: bytes | None
    after: bytes
    client: str = ""
    moved: list[str] = field(default_factory=list)  # servers, as the client names them
    left: list[tuple[str, str]] = field(default_factory=list)  # (server, why it stays with the client)
    dropped: list[tuple[str, str]] = field(default_factory=list)  # (server, the client's keys that mean nothing here)


@dataclass(slots=True)
class Import:
    """What an import would do. `skipped` holds (file, reason) of what could not be read."""

    config: Change
    files: list[Change]
    secrets: dict[str, str]
    skipped: list[tuple[str, str]]

    @property
    def moved(self) -> int:
        return sum(len(change.moved) for change in self.files)


@dataclass(frozen=True, slots=True)
class Surroundings:
    """The world an import looks at; tests give their own."""

    cwd: Path
    environ: Mapping[str, str]
    data_dir: Path
    config: Path  # the agentflow.yaml to write
    platform: str = sys.platform


def plan(client: str | None, world: Surroundings) -> Import:
    """Work out an import without writing anything.

    Args:
        client: one of `files.CLIENTS`; None takes all of them.

    Raises:
        ConfigError: `agentflow.yaml` is there and cannot be read, or `client` is none.
    """
    if client is not None and client not in CLIENTS:
        raise ConfigError(f"{client!r} is no client AgentFlow knows", fix=f"use one of {', '.join(CLIENTS)}")
    before = world.config.read_bytes() if world.config.exists() else None
    as_json = world.config.suffix == ".json"
    try:
        text = (before or b"").decode("utf-8-sig")
        root = documents.parse(text, as_json=as_json)
        secrets = secrets_env.read(world.data_dir)
    except documents.DocumentError as error:
        raise ConfigError(f"{world.config}:{error.line}: {error.message}", fix="correct the file first") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{world.config} is not UTF-8 text", fix="save it as UTF-8") from None
    key = next((name for name in ("mcpServers", "mcp_servers", "servers") if root.get(name)), "mcpServers")
    present = root.get(key)
    servers: dict[str, Any] = present.plain() if present is not None and present.kind == "map" else {}
    collected = _Collected(world, servers, secrets)
    files = [change for group in _by_file(client, world) if (change := collected.file(group)) is not None]
    after = before or b""
    if collected.added:
        after = replace_servers(text, (key,), list(servers), collected.added, as_json=as_json).encode()
    new = {name: value for name, value in collected.secrets.items() if name not in secrets}
    return Import(Change(world.config, before, after), files, new, collected.skipped)


def _by_file(client: str | None, world: Surroundings) -> Iterator[list[Place]]:
    groups: dict[Path, list[Place]] = {}
    for place in files.places(client, world.cwd, world.environ, world.platform):
        if place.path.is_file() and place.path.resolve() != world.config.resolve():
            groups.setdefault(place.path, []).append(place)
    yield from groups.values()


class _Collected:
    """What has been gathered so far, over all files."""

    def __init__(self, world: Surroundings, servers: Mapping[str, Any], secrets: Mapping[str, str]) -> None:
        self.world = world
        self.servers = dict(servers)
        self.known_secrets = dict(secrets)
        self.added: dict[str, Any] = {}
        self.secrets: dict[str, str] = {}
        self.skipped: list[tuple[str, str]] = []

    def file(self, group: list[Place]) -> Change | None:
        """The change of one client's file, or None when nothing in it can be moved."""
        path = group[0].path
        try:
            before = path.read_bytes()
            text = before.decode("utf-8-sig")
            change = Change(path, before, b"", group[0].client)
            after = text
            for place in group:
                after = self.place(place, after, change)
        except (OSError, UnicodeDecodeError, documents.DocumentError) as error:
            where = f"{path}:{error.line}" if isinstance(error, documents.DocumentError) else str(path)
            self.skipped.append((where, str(error) or type(error).__name__))
            return None
        if not change.moved and not change.left:
            return None
        mark = b"\xef\xbb\xbf" if before.startswith(b"\xef\xbb\xbf") else b""
        change.after = mark + after.encode() if change.moved else before
        return change

    def place(self, place: Place, text: str, change: Change) -> str:
        """`text` with the servers at `place` replaced by the one entry; as it was when none can be moved."""
        moved, keep = [], []
        for name, entry in files.servers(place, text).items():
            if isinstance(entry, dict) and runs_agentflow(entry):
                continue
            try:
                self.take(name, entry, place, change)
                moved.append(name)
            except LeftBehind as why:
                keep.append(name)
                if not (place.client == "goose" and "part of Goose" in str(why)):
                    change.left.append((name, str(why)))
        if not moved:
            return text
        change.moved += moved
        name = ENTRY if ENTRY not in keep else f"{ENTRY}-gateway"
        return replace_servers(text, place.at, keep, {name: entry_for(place, self.world)}, as_json=place.is_json)

    def take(self, name: str, entry: object, place: Place, change: Change) -> None:
        """Add one server under a name of its own, or find that it is there already."""
        wanted = re.sub(r"[^A-Za-z0-9_.-]+", "-", name)[:60] or "server"
        taken = {**self.known_secrets, **self.secrets}
        free, number = wanted, 1
        while True:
            moved = translate(free, entry, place, taken, self.world.environ)
            there = self.servers.get(free)
            if there is None:
                break
            if there == moved.server and moved.secrets.items() <= taken.items():
                return  # another client has this very server, or it was imported before
            number += 1
            free = f"{wanted}-{number}"
        self.servers[free] = self.added[free] = moved.server
        self.secrets |= moved.secrets
        change.dropped += [(name, key) for key in moved.dropped]


def entry_for(place: Place, world: Surroundings) -> dict[str, Any]:
    """The one entry that takes the place of a client's servers: this installation, over stdio."""
    command, *args = own_command()
    args += ["serve", "--stdio", "--config", str(world.config.absolute())]
    data_dir = world.environ.get("AGENTFLOW_DATA_DIR")
    env = {"AGENTFLOW_DATA_DIR": str(Path(data_dir).absolute())} if data_dir else {}
    if place.client == "goose":
        head: dict[str, Any] = {"enabled": True, "type": "stdio", "name": ENTRY}
        return {**head, "cmd": command, "args": args, "envs": env, "timeout": 300}
    head = {"type": "stdio"} if place.client in ("vscode", "claude-code") else {}
    return {**head, "command": command, "args": args, **({"env": env} if env else {})}


def own_command() -> list[str]:
    """How a client starts this very installation."""
    script = shutil.which("agentflow", path=str(Path(sys.executable).parent))
    return [script] if script else [sys.executable, "-m", "agentflow"]


# --- showing ------------------------------------------------------------------------------------------------


def diff(plan: Import) -> str:
    """A unified diff of every file that would change, with secrets and environment values hidden."""
    values = sorted((value for value in plan.secrets.values() if value), key=len, reverse=True)
    changes = [plan.config, *plan.files] if plan.moved else []
    return "".join(_diff(change, values) for change in changes if change.before != change.after)


def _diff(change: Change, secrets: list[str]) -> str:
    as_json = change.path.suffix != ".yaml" and change.path.suffix != ".yml"
    before = _masked(change.before or b"", as_json, secrets).splitlines()
    after = _masked(change.after, as_json, secrets).splitlines()
    old = str(change.path) if change.before is not None else "/dev/null"
    lines = difflib.unified_diff(before, after, old, str(change.path), n=2, lineterm="")
    return "".join(line + "\n" for line in lines)


def _masked(data: bytes, as_json: bool, secrets: list[str]) -> str:
    text = data.decode("utf-8-sig")
    spans = {
        (node.start, node.end)
        for path, node in documents.parse(text, as_json=as_json).walk()
        if node.kind == "scalar" and isinstance(node.content, str) and _private(path, node.content)
    }
    for start, end in sorted(spans, reverse=True):
        text = f'{text[:start]}"{_HIDDEN}"{text[end:]}'
    for secret in secrets:
        text = text.replace(secret, _HIDDEN)
    return SECRET_VALUE.sub(_HIDDEN, text)


def _private(path: documents.Path, value: str) -> bool:
    """Whether a value may be a secret: everything in an environment or header block counts as one."""
    if not path:
        return True
    if value == "" or path[-1] == "AGENTFLOW_DATA_DIR" or re.fullmatch(r"(?:\w+ )?\$\{\w+(?::-)?\}", value):
        return False
    block = path[-2] if len(path) > 1 else ""
    named = isinstance(path[-1], str) and SECRET_NAME.search(path[-1]) is not None
    return block in ("env", "envs", "headers", "credentials") or named or bool(SECRET_VALUE.search(value))


# --- doing --------------------------------------------------------------------------------------------------


def apply(plan: Import, world: Surroundings) -> list[Path]:
    """Write the import; returns the folders of the backups.

    Raises:
        ConfigError: a file changed since it was read; nothing more is written.
        OSError: a file cannot be written; the client files after it are untouched.
    """
    moving = [change for change in plan.files if change.moved]
    for change in [plan.config, *moving]:
        now = change.path.read_bytes() if change.path.exists() else None
        if now != change.before:
            raise ConfigError(f"{change.path} changed while it was being looked at", fix="run the import again")
    kept = [_keep(change, world) for change in moving]
    secrets_env.add(world.data_dir, plan.secrets)
    if plan.config.before != plan.config.after:
        plan.config.path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(plan.config.path, plan.config.after)
    for change in moving:
        write_atomically(change.path, change.after)
    return kept


def _keep(change: Change, world: Surroundings) -> Path:
    """Store the exact bytes of a client's file."""
    before = change.before or b""
    root = private_dir(private_dir(world.data_dir) / BACKUPS)
    folder = root / f"{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}-{time.time_ns() % 10**9:09d}-{change.client}"
    folder.mkdir(mode=0o700)
    write_atomically(folder / "original", before, mode=0o600)
    manifest = {
        "client": change.client,
        "path": str(change.path.absolute()),
        "mode": stat.S_IMODE(change.path.stat().st_mode),
        "before": hashlib.sha256(before).hexdigest(),
        "after": hashlib.sha256(change.after).hexdigest(),
        "moved": change.moved,
        "config": str(world.config.absolute()),
    }
    write_atomically(folder / "manifest.json", json.dumps(manifest, indent=2).encode(), mode=0o600)
    return folder


@dataclass(frozen=True, slots=True)
class Restored:
    """One file of a restore. `done` is False where it was left alone, `reason` then says why."""

    client: str
    path: Path
    done: bool
    reason: str = ""


def restore(client: str | None, data_dir: Path, *, force: bool = False) -> list[Restored]:
    """Put the bytes back that the newest import of each file replaced.

    Args:
        force: also where the file was changed since; its present bytes are kept beside the backup.

    Raises:
        OSError: a file cannot be written.
    """
    root = data_dir / BACKUPS
    newest: dict[str, Path] = {}
    for folder in sorted(root.iterdir()) if root.is_dir() else []:
        if (folder / "manifest.json").is_file() and not (folder / "restored").exists():
            manifest = json.loads((folder / "manifest.json").read_bytes())
            if client in (None, manifest["client"]):
                newest[manifest["path"]] = folder
    return [_restore(folder, force) for folder in newest.values()]


def _restore(folder: Path, force: bool) -> Restored:
    manifest = json.loads((folder / "manifest.json").read_bytes())
    path = Path(manifest["path"])
    original = (folder / "original").read_bytes()
    if hashlib.sha256(original).hexdigest() != manifest["before"]:
        return Restored(manifest["client"], path, False, f"the backup in {folder} is damaged")
    now = path.read_bytes() if path.exists() else None
    changed = now is not None and hashlib.sha256(now).hexdigest() not in (manifest["after"], manifest["before"])
    if changed and not force:
        return Restored(manifest["client"], path, False, "the file was changed since the import")
    if changed and now is not None:
        write_atomically(folder / "replaced", now, mode=0o600)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, original, mode=manifest["mode"])
    (folder / "restored").touch(mode=0o600)
    return Restored(manifest["client"], path, True)
