"""Real MCP servers in processes of their own, for tests that need an upstream.

Promises: the process listens when the block is entered and is ended, by its pid, when it is left. The stdio
ones are configuration entries for `mcpServers`; the gateway starts them itself.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from gateway_process import REPOSITORY, free_port, listening, wait_until
from judges import node, node_environment, package

FIXTURE = REPOSITORY / "tests" / "conformance" / "fixture_server.py"
HELPDESK = REPOSITORY / "examples" / "helpdesk" / "server.py"
WEBNOTES = REPOSITORY / "examples" / "webnotes" / "server.py"


@contextmanager
def listening_process(
    command: Sequence[str], port: int, log: Path, env: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """Run `command` until the block ends; it is entered once something accepts connections on `port`.

    Raises:
        AssertionError: the process ended, or did not listen in time; the message holds what it wrote.
    """
    with log.open("ab") as sink:
        process = subprocess.Popen(
            list(command),
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=subprocess.STDOUT,
            env=None if env is None else dict(env),
        )

    def up() -> bool:
        if process.poll() is not None:
            raise AssertionError(f"{command} ended with {process.returncode}:\n{log.read_text(errors='replace')}")
        return listening(port)

    try:
        wait_until(up, f"{command} to listen on {port}", 60)
        yield process
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextmanager
def fixture_over_http(tmp_path: Path, port: int | None = None, era: str = "both") -> Iterator[str]:
    """The conformance fixture over streamable HTTP, in one `era` (`legacy`, `modern`) or both; yields its URL."""
    port = port or free_port()
    command = [sys.executable, str(FIXTURE), "--port", str(port), "--era", era]
    with listening_process(command, port, tmp_path / "fixture.log"):
        yield f"http://127.0.0.1:{port}/mcp"


@contextmanager
def webnotes_over_http(tmp_path: Path, port: int | None = None) -> Iterator[str]:
    """The web and notes sample; yields its URL."""
    port = port or free_port()
    command = [sys.executable, str(WEBNOTES), "--port", str(port)]
    with listening_process(command, port, tmp_path / "webnotes.log"):
        yield f"http://127.0.0.1:{port}/mcp"


@contextmanager
def everything_over_http(tmp_path: Path) -> Iterator[str]:
    """`@modelcontextprotocol/server-everything` over streamable HTTP; yields its URL."""
    port = free_port()
    command = [str(node()), str(_everything()), "streamableHttp"]
    env = node_environment({"PORT": str(port)})
    with listening_process(command, port, tmp_path / "everything.log", env):
        yield f"http://127.0.0.1:{port}/mcp"


def _everything() -> Path:
    return package("@modelcontextprotocol/server-everything", "dist", "index.js")


def everything_over_stdio() -> dict[str, Any]:
    """The `mcpServers` entry of `@modelcontextprotocol/server-everything` as a stdio child."""
    return {"command": str(node()), "args": [str(_everything()), "stdio"]}


def fixture_over_stdio() -> dict[str, Any]:
    """The `mcpServers` entry of the conformance fixture as a stdio child."""
    return {"command": sys.executable, "args": [str(FIXTURE), "--stdio"]}


def helpdesk_over_stdio(database: Path) -> dict[str, Any]:
    """The `mcpServers` entry of the help-desk sample, on a database of the test's own."""
    return {
        "command": sys.executable,
        "args": [str(HELPDESK)],
        "env": {"HELPDESK_DB": str(database)},
        "trust": "trusted",
        "sensitivity": "private",
    }
