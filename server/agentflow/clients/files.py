"""Where MCP clients keep the servers they start, on each platform.

Promises: every place that is named here is one its client reads. `HOME`, `APPDATA` and `XDG_CONFIG_HOME` decide,
as they do for the clients. FastMCP's discovery knows some of these files, but neither VS Code's nor Windsurf's,
reads no comments, and keeps no way back to the text, which moving servers needs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from agentflow.settings.documents import DocumentError, parse

# How the client itself reads `$` in values: not at all; `${VAR}` and `${VAR:-x}`; also bare `$VAR`;
# `${env:VAR}`, `${workspaceFolder}`, `${input:…}`.
Variables = Literal["none", "shell", "bare", "editor"]


@dataclass(frozen=True, slots=True)
class Place:
    """One mapping of servers in one client's file.

    Attributes:
        at: keys that lead to the mapping.
        folder: the project the file belongs to; None for a user's own settings.
    """

    client: str
    path: Path
    at: tuple[str, ...]
    folder: Path | None
    variables: Variables

    @property
    def is_json(self) -> bool:
        return self.path.suffix != ".yaml"


@dataclass(frozen=True, slots=True)
class _System:
    cwd: Path
    home: Path
    config: Path  # where applications keep their settings
    xdg: Path

    @staticmethod
    def of(cwd: Path, environ: Mapping[str, str], platform: str) -> _System:
        home = Path(environ.get("USERPROFILE" if platform == "win32" else "HOME") or Path.home())
        xdg = Path(environ.get("XDG_CONFIG_HOME") or home / ".config")
        if platform == "win32":
            roaming = Path(environ.get("APPDATA") or home / "AppData" / "Roaming")
            return _System(cwd, home, roaming, roaming / "Block")
        if platform == "darwin":
            return _System(cwd, home, home / "Library" / "Application Support", xdg)
        return _System(cwd, home, xdg, xdg)

    def upward(self) -> list[Path]:
        """The working directory and its parents, up to the home directory."""
        folders = [self.cwd, *self.cwd.parents]
        return folders[: folders.index(self.home) + 1] if self.home in folders else folders


def _claude_desktop(system: _System) -> list[Place]:
    path = system.config / "Claude" / "claude_desktop_config.json"
    return [Place("claude-desktop", path, ("mcpServers",), None, "none")]


def _claude_code(system: _System) -> list[Place]:
    user = system.home / ".claude.json"
    places = [Place("claude-code", user, ("mcpServers",), None, "shell")]
    for folder in system.upward():
        places.append(Place("claude-code", user, ("projects", str(folder), "mcpServers"), folder, "shell"))
    places.append(Place("claude-code", system.cwd / ".mcp.json", ("mcpServers",), system.cwd, "shell"))
    return places


def _vscode(system: _System) -> list[Place]:
    places = [Place("vscode", system.cwd / ".vscode" / "mcp.json", ("servers",), system.cwd, "editor")]
    for edition in ("Code", "Code - Insiders", "VSCodium"):
        places.append(Place("vscode", system.config / edition / "User" / "mcp.json", ("servers",), None, "editor"))
    return places


def _cursor(system: _System) -> list[Place]:
    user = system.home / ".cursor" / "mcp.json"
    project = [folder / ".cursor" / "mcp.json" for folder in system.upward() if folder != system.home]
    near = next((path for path in project if path.is_file()), None)
    places = [Place("cursor", near, ("mcpServers",), near.parents[1], "editor")] if near else []
    return [*places, Place("cursor", user, ("mcpServers",), None, "editor")]


def _gemini(system: _System) -> list[Place]:
    user = Place("gemini", system.home / ".gemini" / "settings.json", ("mcpServers",), None, "bare")
    project = Place("gemini", system.cwd / ".gemini" / "settings.json", ("mcpServers",), system.cwd, "bare")
    return [user] if project.path == user.path else [project, user]


def _goose(system: _System) -> list[Place]:
    folder = system.xdg / "goose"
    if system.xdg.name == "Block":
        folder /= "config"
    return [Place("goose", folder / "config.yaml", ("extensions",), None, "none")]


def _windsurf(system: _System) -> list[Place]:
    path = system.home / ".codeium" / "windsurf" / "mcp_config.json"
    return [Place("windsurf", path, ("mcpServers",), None, "editor")]


def _project(system: _System) -> list[Place]:
    return [Place("project", system.cwd / "mcp.json", ("mcpServers",), system.cwd, "none")]


CLIENTS: Mapping[str, Callable[[_System], list[Place]]] = {
    "claude-desktop": _claude_desktop,
    "claude-code": _claude_code,
    "vscode": _vscode,
    "cursor": _cursor,
    "gemini": _gemini,
    "goose": _goose,
    "windsurf": _windsurf,
    "project": _project,
}


def places(client: str | None, cwd: Path, environ: Mapping[str, str], platform: str) -> list[Place]:
    """Every place where `client` (None: any client) may keep servers, whether it exists or not.

    Args:
        platform: as `sys.platform`.
    """
    system = _System.of(cwd.resolve(), environ, platform)
    wanted = CLIENTS.values() if client is None else [CLIENTS[client]]
    return [place for find in wanted for place in find(system)]


def servers(place: Place, text: str) -> dict[str, object]:
    """The entries at `place` in its file's text; none when the mapping is not there.

    Raises:
        DocumentError: the text is not what the client could read.
    """
    node = parse(text, as_json=place.is_json).at(place.at)
    if node is None or node.content is None:
        return {}
    if node.kind != "map":
        raise DocumentError(f"`{'.'.join(place.at)}` is not a mapping", node.line)
    found: dict[str, object] = node.plain()
    return found
