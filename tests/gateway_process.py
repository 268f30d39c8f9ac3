"""A real gateway in its own process, for end-to-end tests.

Promises: `python -m agentflow serve` with the given configuration, a data directory of its own under
`tmp_path`, and a return only once `/readyz` answers 200. The process is ended by its pid, and its whole log is
in the failure message when it does not come up. Nothing of the caller's `AGENTFLOW_*` environment gets in.
"""

from __future__ import annotations

import itertools
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import yaml
from forked import ForkedProcess
from forked import forked as fork

REPOSITORY = Path(__file__).resolve().parents[1]
MODERN = "2026-07-28"
_PORTS = 1500
_FIRST_PORT = 12_000 + _PORTS * (int("0" + os.environ.get("PYTEST_XDIST_WORKER", "").removeprefix("gw")) % 12)
_asked = itertools.count(os.getpid())
START_DEADLINE = 60.0  # seconds; generous, because two cores may be shared by many tests

T = TypeVar("T")


def free_port() -> int:
    """A loopback TCP port that nothing listens on, and that nothing else here will be given.

    Not one that the kernel picks: it hands the same one to whoever asks next, a client's connection or the other
    worker's gateway, before the server that it is meant for listens. Each test worker has a range of its own below the
    kernel's.
    """
    for _ in range(_PORTS):
        port = _FIRST_PORT + next(_asked) % _PORTS
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise AssertionError(f"no free port from {_FIRST_PORT} to {_FIRST_PORT + _PORTS}")


def wait_until(
    condition: Callable[[], T | None], what: str, deadline: float = 30.0, evidence: Callable[[], str] = str
) -> T:
    """Poll `condition` until it returns something true and return that.

    Raises:
        AssertionError: it did not within `deadline` seconds; the message names `what` and quotes `evidence`.
    """
    end = time.monotonic() + deadline
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"gave up after {deadline} s waiting for {what}\n{evidence()}".rstrip())
        time.sleep(0.02)


def listening(port: int) -> bool:
    """Whether something accepts connections on the loopback port."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def child_environment(data_dir: Path, extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment of a gateway under test: importable from the checkout, its state under `data_dir`."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("AGENTFLOW_")}
    env["PYTHONPATH"] = str(REPOSITORY / "server")
    env["AGENTFLOW_DATA_DIR"] = str(data_dir)
    env.update(extra or {})
    return env


def write_config(config: Mapping[str, Any], path: Path) -> Path:
    """Write `config` as YAML to `path` and return it."""
    path.write_text(yaml.safe_dump(dict(config), sort_keys=False, allow_unicode=True), encoding="utf-8")
    return path


def stdio_command(config_path: Path) -> list[str]:
    """The command of a gateway that speaks MCP on its stdin and stdout."""
    return [sys.executable, "-m", "agentflow", "serve", "--stdio", "--config", str(config_path)]


def fetch(url: str, body: bytes | None = None, headers: Mapping[str, str] | None = None) -> tuple[int, bytes, str]:
    """One HTTP request. Returns `(status, body, content type)`, for error statuses too."""
    request = urllib.request.Request(url, data=body, headers=dict(headers or {}))
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, answer.read(), answer.headers.get("content-type", "")
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read(), error.headers.get("content-type", "")


def _answer_in(body: bytes, content_type: str, request_id: int) -> dict[str, Any]:
    if not content_type.startswith("text/event-stream"):
        return dict(json.loads(body))
    for event in body.replace(b"\r\n", b"\n").split(b"\n\n"):
        data = b"".join(line[5:].strip() for line in event.split(b"\n") if line.startswith(b"data:"))
        if data and (message := json.loads(data)).get("id") == request_id:
            return dict(message)
    raise AssertionError(f"no answer to request {request_id} in the event stream {body[:500]!r}")


@dataclass
class Gateway:
    """A gateway that is up.

    Attributes:
        url: its MCP endpoint, `http://127.0.0.1:<port>/mcp`.
        base: the same without the path.
        process: the running child; `pid` is its process id.
        log: file that receives its stdout and stderr.
        config_path: its `agentflow.yaml`; rewrite it with `write_config` to test reloading.
        data_dir: its data directory.
    """

    url: str
    base: str
    process: subprocess.Popen[bytes] | ForkedProcess
    log: Path
    config_path: Path
    data_dir: Path
    _ids: int = field(default=0)

    @property
    def pid(self) -> int:
        return self.process.pid

    def log_text(self) -> str:
        """Everything the gateway has written so far."""
        return self.log.read_text(encoding="utf-8", errors="replace")

    def get(self, path: str) -> tuple[int, bytes]:
        """GET `path` on the gateway: `(status, body)`."""
        status, body, _ = fetch(self.base + path)
        return status, body

    def rpc(self, method: str, params: Mapping[str, Any] | None = None, **headers: str) -> dict[str, Any]:
        """One bare request of the 2026-07-28 era; returns the whole JSON-RPC answer, `error` included."""
        self._ids += 1
        meta = {
            "io.modelcontextprotocol/protocolVersion": MODERN,
            "io.modelcontextprotocol/clientInfo": {"name": "tests", "version": "1"},
            "io.modelcontextprotocol/clientCapabilities": {},
        }
        body = {"jsonrpc": "2.0", "id": self._ids, "method": method, "params": {**(params or {}), "_meta": meta}}
        sent = {
            "content-type": "application/json",
            "accept": "application/json, text/event-stream",
            "mcp-protocol-version": MODERN,
            "mcp-method": method,
        }
        name = (params or {}).get("name") or (params or {}).get("uri")
        if name:
            sent["mcp-name"] = str(name)
        _, answer, kind = fetch(self.url, json.dumps(body).encode(), {**sent, **headers})
        return _answer_in(answer, kind, self._ids)

    def tool_names(self) -> list[str]:
        """The names `tools/list` shows now, every page of it."""
        names: list[str] = []
        cursor: str | None = None
        while True:
            answer = self.rpc("tools/list", {"cursor": cursor} if cursor else {})
            assert "result" in answer, f"{answer}\n{self.log_text()[-4000:]}"
            result = answer["result"]
            names += [tool["name"] for tool in result["tools"]]
            cursor = result.get("nextCursor")
            if not cursor:
                return names

    def call(self, tool: str, arguments: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """`tools/call`; returns the whole JSON-RPC answer."""
        return self.rpc("tools/call", {"name": tool, "arguments": dict(arguments or {})})

    def wait_for_tools(self, *names: str, deadline: float = 30.0) -> None:
        """Return once every one of `names` is listed (upstreams connect in the background)."""

        def evidence() -> str:
            return f"listed: {self.tool_names()}\n{self.log_text()[-4000:]}"

        wait_until(lambda: set(names) <= set(self.tool_names()), f"the tools {sorted(names)}", deadline, evidence)

    def stop(self, deadline: float = 15.0) -> int:
        """End it as a terminal would (SIGINT) and return its exit status; killed if it does not go."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        try:
            return self.process.wait(deadline)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()

    def kill(self) -> None:
        """End it without warning, as a crash would."""
        self.process.kill()
        self.process.wait()


def _await_ready(gateway: Gateway) -> None:
    def ready() -> bool:
        if gateway.process.poll() is not None:
            raise AssertionError(f"the gateway ended with status {gateway.process.returncode}:\n{gateway.log_text()}")
        try:
            return gateway.get("/readyz")[0] == 200
        except OSError:
            return False

    wait_until(ready, "/readyz", START_DEADLINE, gateway.log_text)


@contextmanager
def gateway_from(
    command: list[str], config_path: Path, tmp_path: Path, port: int, env: Mapping[str, str] | None = None
) -> Iterator[Gateway]:
    """Run `command`, which serves a gateway on the loopback `port`, while the block lasts.

    Raises:
        AssertionError: it ended or was not ready in time; the message holds its log.
    """

    def start(sink: int, environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=subprocess.STDOUT,
            cwd=tmp_path,
            env=dict(environment),
        )

    with _up(start, config_path, tmp_path, port, env) as gateway:
        yield gateway


Start = Callable[[int, Mapping[str, str]], "subprocess.Popen[bytes] | ForkedProcess"]


@contextmanager
def _up(start: Start, config_path: Path, tmp_path: Path, port: int, env: Mapping[str, str] | None) -> Iterator[Gateway]:
    log = tmp_path / "gateway.log"
    data_dir = tmp_path / "data"
    with log.open("ab") as sink:
        process = start(sink.fileno(), child_environment(data_dir, env))
    base = f"http://127.0.0.1:{port}"
    gateway = Gateway(f"{base}/mcp", base, process, log, config_path, data_dir)
    try:
        _await_ready(gateway)
        yield gateway
    finally:
        gateway.stop()


@contextmanager
def running_gateway(
    config: Mapping[str, Any],
    tmp_path: Path,
    *,
    port: int | None = None,
    env: Mapping[str, str] | None = None,
    arguments: tuple[str, ...] = (),
    forked: bool = True,
) -> Iterator[Gateway]:
    """Run `agentflow serve` with `config` while the block lasts.

    Args:
        config: what `agentflow.yaml` says.
        tmp_path: gets `agentflow.yaml`, `data/` and `gateway.log`; all survive a second start.
        port: loopback port; a free one when absent.
        env: further environment variables of the gateway.
        arguments: further arguments of `agentflow serve`.
        forked: whether it may be forked from a process that has imported what it needs (see `forked`); it is not
            where `env` says something to Python or its linker.

    Raises:
        AssertionError: it ended or was not ready in time; the message holds its log.
    """
    port = port or free_port()
    config_path = write_config(config, tmp_path / "agentflow.yaml")
    words = ["serve", "--config", str(config_path), "--port", str(port), *arguments]
    if not forked or any(name.startswith(("PYTHON", "LD_")) for name in env or ()):
        with gateway_from([sys.executable, "-m", "agentflow", *words], config_path, tmp_path, port, env) as gateway:
            yield gateway
        return

    def start(sink: int, environment: Mapping[str, str]) -> ForkedProcess:
        with open(os.devnull, "rb") as nothing:
            return fork(words, environment, tmp_path, nothing.fileno(), sink)

    with _up(start, config_path, tmp_path, port, env) as gateway:
        yield gateway
