"""`agentflow.yaml`: found, read, expanded, checked and watched.

Promises: every problem of a file is reported at once, each with file, line and a fix; a secret written into the
file is one of them. The environment (`AGENTFLOW_*`) wins over the file; relative paths start at the file's folder.
Refuses to guess: an unknown key, a missing variable or a doubled key is an error, never a default.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from agentflow.config import Config
from agentflow.errors import ConfigError
from agentflow.paths import default_data_dir
from agentflow.settings.reading import Problem, Reading, data_dir_named_by, read
from agentflow.settings.secrets_env import FILE as SECRETS

__all__ = ["Problem", "Watch", "check", "effective", "find", "glance", "load", "schema"]

log = logging.getLogger(__name__)


def find(environ: Mapping[str, str]) -> Path | None:
    """The configuration used when none is named, or None.

    In this order: `./agentflow.yaml`, `./agentflow.yml`, `./mcp.json`, `<data_dir>/agentflow.yaml`.
    """
    data_dir = data_dir_named_by(environ) or default_data_dir()
    here = Path.cwd()
    places = (here / "agentflow.yaml", here / "agentflow.yml", here / "mcp.json", data_dir / "agentflow.yaml")
    return next((place for place in places if place.is_file()), None)


def load(path: Path | None, environ: Mapping[str, str]) -> Config:
    """Read the configuration.

    Args:
        path: the file; None looks for one (`find`), and without any takes defaults and environment.
        environ: what `${VAR}` and `AGENTFLOW_*` are read from; `data_dir/secrets.env` lies beneath it.

    Raises:
        ConfigError: `data["problems"]` lists every problem as a mapping with the fields of `Problem`.
    """
    return _settle(read(path or find(environ), environ))


def glance(path: Path | None, environ: Mapping[str, str]) -> Config:
    """As `load`, but for asking about a gateway rather than being one: what is faulty is left at its default.

    Raises:
        ConfigError: a named file cannot be read at all.
    """
    reading = read(path or find(environ), environ)
    if reading.usable is None:
        return _settle(reading)
    return reading.usable


def check(path: Path | None, environ: Mapping[str, str] | None = None) -> list[Problem]:
    """Every problem of the file, warnings too, in the order of their lines."""
    environ = os.environ if environ is None else environ
    return read(path or find(environ), environ).problems


def effective(path: Path | None, environ: Mapping[str, str]) -> dict[str, Any]:
    """What is in force, as JSON; every value that came in by `${NAME}` reads `${NAME}` again.

    Raises:
        ConfigError: as `load`.
    """
    reading = read(path or find(environ), environ)
    config = _settle(reading)
    named = sorted(((value, name) for name, value in reading.used.items() if value), key=lambda p: -len(p[0]))

    def hide(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: hide(item) for key, item in value.items()}
        if isinstance(value, list):
            return [hide(item) for item in value]
        if isinstance(value, str):
            for secret, name in named:
                if value == secret or (len(secret) >= 4 and secret in value):
                    value = value.replace(secret, f"${{{name}}}")
        return value

    shown: dict[str, Any] = hide(config.model_dump(mode="json", by_alias=False))
    shown["mcpServers"] = shown.pop("mcp_servers")
    return shown


def schema() -> dict[str, Any]:
    """The JSON Schema of `agentflow.yaml`, for editors and for `agentflow config schema`."""
    made = Config.model_json_schema(by_alias=True)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **made, "title": "agentflow.yaml"}


def _settle(reading: Reading) -> Config:
    errors = [problem for problem in reading.problems if problem.severity == "error"]
    if reading.config is None or errors:
        count = "1 problem" if len(errors) == 1 else f"{len(errors)} problems"
        raise ConfigError(
            f"{reading.file} cannot be used: {count}",
            fix="`agentflow config check` lists them with their lines",
            problems=[asdict(problem) for problem in reading.problems],
        )
    for problem in reading.problems:
        log.warning("%s", problem)
    return reading.config


Signature = tuple[tuple[int, int, int] | None, ...]


class Watch:
    """Follows a configuration file while the gateway serves.

    Iterating yields a `Config` for each edit that is valid and differs, and a list of `Problem` for each that is
    not; after the latter the old configuration is still the one in force. An edit of the policy's own files (bundle,
    layers) yields the same `Config` again. It polls modification time, size and inode, which sees every way of
    saving a file on every file system, and reads once all have stood still for one interval, so that a file written
    in pieces is read once.
    """

    def __init__(
        self,
        path: Path,
        environ: Mapping[str, str] | None = None,
        current: Config | None = None,
        interval: float = 0.5,
    ) -> None:
        """Args: `current` is the configuration in force, by default what the file says at the first look;
        `interval` seconds between two looks."""
        self._path = path
        self._environ = os.environ if environ is None else environ
        self._current = current
        self._interval = interval
        self._policy_seen = self._policy()
        self._seen: Signature = ()  # the first look reads: the file may have changed since it was loaded

    def _signature(self) -> Signature:
        data_dir = self._current.data_dir if self._current else default_data_dir()
        return _stamp(self._path), _stamp(data_dir / SECRETS), *self._policy()

    def _policy(self) -> Signature:
        policy = self._current.policy if self._current else None
        places = (policy.bundle, *policy.layers) if policy else ()
        return tuple(stamp for place in places if place is not None for stamp in _stamps(place))

    async def _read(self) -> Config | list[Problem]:
        reading = await asyncio.to_thread(read, self._path, self._environ)
        errors = [problem for problem in reading.problems if problem.severity == "error"]
        return errors if errors or reading.config is None else reading.config

    async def __aiter__(self) -> AsyncIterator[Config | list[Problem]]:
        if self._current is None:
            stamp = _stamp(self._path)
            first = await self._read()
            if isinstance(first, Config):
                self._current = first
                self._seen = (stamp, *self._signature()[1:])
        while True:
            await asyncio.sleep(self._interval)
            now = self._signature()
            if now == self._seen:
                continue
            await asyncio.sleep(min(self._interval, 0.1))
            if self._signature() != now:
                continue  # still being written
            change = await self._read()
            self._seen = now
            if not isinstance(change, Config):
                yield change
            elif change != self._current:
                self._current = change
                self._seen = (now[0], *self._signature()[1:])  # data directory and bundle may be others now
                self._policy_seen = self._policy()
                yield change
            elif now[2:] != self._policy_seen:
                self._policy_seen = now[2:]
                yield change


def _stamps(place: Path) -> Iterator[tuple[int, int, int] | None]:
    """Of a bundle: of the archive, or of the folder and the files in it that count."""
    yield _stamp(place)
    if place.is_dir():
        for path in sorted(place.rglob("*")):
            if path.suffix == ".rego" or path.name in ("data.json", ".manifest"):
                yield _stamp(path)


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_mtime_ns, stat.st_size, stat.st_ino
