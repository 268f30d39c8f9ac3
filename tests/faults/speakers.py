"""Bare clients of a gateway: each protocol era over each transport, one raw message at a time.

They promise to hide nothing: what a test hands in goes out byte for byte, and what comes back is the whole
JSON-RPC answer. No official client would send most of it.
"""

from __future__ import annotations

import contextlib
import json
import queue
import socket
import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from gateway_process import MODERN, Gateway, child_environment, fetch, stdio_command, wait_until

JSON = dict[str, Any]
LEGACY = "2025-11-25"
BOTH_KINDS = {"content-type": "application/json", "accept": "application/json, text/event-stream"}
ENVELOPE = {
    "io.modelcontextprotocol/protocolVersion": MODERN,
    "io.modelcontextprotocol/clientInfo": {"name": "tests", "version": "1"},
    "io.modelcontextprotocol/clientCapabilities": {},
}
HELLO = {"protocolVersion": LEGACY, "capabilities": {}, "clientInfo": {"name": "tests", "version": "1"}}
DEADLINE = 30.0


class Speaker(Protocol):
    """One client."""

    def ask(self, method: str, params: Mapping[str, Any] | None = None) -> JSON:
        """One request; the whole answer."""
        ...

    def call(self, tool: str, arguments: Any = None) -> JSON:
        """`tools/call`; `arguments` is left out when None."""
        ...


def call_params(tool: str, arguments: Any) -> JSON:
    return {"name": tool} if arguments is None else {"name": tool, "arguments": arguments}


def events(body: bytes) -> list[JSON]:
    """The JSON messages of an HTTP answer, whatever its kind."""
    if body.lstrip().startswith(b"{"):
        return [json.loads(body)]
    data = [line[5:].strip() for line in body.replace(b"\r\n", b"\n").split(b"\n") if line.startswith(b"data:")]
    return [json.loads(each) for each in data if each]


@dataclass
class HttpModern:
    """2026-07-28 over HTTP: no session, an envelope in every request."""

    gateway: Gateway
    headers: Mapping[str, str] = field(default_factory=dict)

    def ask(self, method: str, params: Mapping[str, Any] | None = None) -> JSON:
        return self.gateway.rpc(method, params, **self.headers)

    def call(self, tool: str, arguments: Any = None) -> JSON:
        return self.ask("tools/call", call_params(tool, arguments))


@dataclass
class HttpLegacy:
    """2025-11-25 over HTTP: a handshake, then a session."""

    gateway: Gateway
    headers: Mapping[str, str] = field(default_factory=dict)
    session: str = ""
    _ids: int = 0

    def __post_init__(self) -> None:
        status, body, answered = exchange(self.gateway, message("initialize", HELLO, 0), {**BOTH_KINDS, **self.headers})
        assert status == 200, (status, body)
        self.session = answered["mcp-session-id"]
        self.post({"jsonrpc": "2.0", "method": "notifications/initialized"})

    def post(self, body: Any) -> tuple[int, bytes]:
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        status, answer, _ = fetch(self.gateway.url, raw, self.sent())
        return status, answer

    def sent(self) -> dict[str, str]:
        return {**BOTH_KINDS, "mcp-protocol-version": LEGACY, "mcp-session-id": self.session, **self.headers}

    def ask(self, method: str, params: Mapping[str, Any] | None = None) -> JSON:
        self._ids += 1
        _, body = self.post(message(method, params, self._ids))
        return next(each for each in events(body) if each.get("id") in (self._ids, None) and "method" not in each)

    def call(self, tool: str, arguments: Any = None) -> JSON:
        return self.ask("tools/call", call_params(tool, arguments))


def message(method: str, params: Mapping[str, Any] | None, number: Any) -> JSON:
    return {"jsonrpc": "2.0", "id": number, "method": method, "params": dict(params or {})}


def exchange(gateway: Gateway, body: Any, headers: Mapping[str, str]) -> tuple[int, bytes, dict[str, str]]:
    """One POST; `(status, body, headers)` of its answer."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    head = {"Host": f"127.0.0.1:{_port(gateway)}", "Content-Length": str(len(raw)), "Connection": "close", **headers}
    lines = "".join(f"{name}: {value}\r\n" for name, value in head.items() if value)
    answer = raw_http(gateway, f"POST /mcp HTTP/1.1\r\n{lines}\r\n".encode("latin-1") + raw)
    top, _, rest = answer.partition(b"\r\n\r\n")
    status, *fields = top.decode("latin-1").split("\r\n")
    found = {name.lower(): value.strip() for name, _, value in (each.partition(":") for each in fields)}
    return int(status.split()[1]), _dechunked(rest) if "chunked" in found.get("transfer-encoding", "") else rest, found


def _dechunked(data: bytes) -> bytes:
    whole = b""
    while data:
        size, _, data = data.partition(b"\r\n")
        length = int(size or b"0", 16)
        whole, data = whole + data[:length], data[length + 2 :]
    return whole


def _port(gateway: Gateway) -> int:
    return int(gateway.base.rpartition(":")[2])


def connect(gateway: Gateway) -> socket.socket:
    return socket.create_connection(("127.0.0.1", _port(gateway)), timeout=DEADLINE)


def raw_http(gateway: Gateway, data: bytes) -> bytes:
    """Send bytes, read until the gateway closes or resets the connection."""
    with connect(gateway) as connection:
        answer = b""
        try:
            connection.sendall(data)
            while chunk := connection.recv(65536):
                answer += chunk
        except (ConnectionResetError, BrokenPipeError):
            # It refused before everything was sent; what it had said may still be readable.
            try:
                while chunk := connection.recv(65536):
                    answer += chunk
            except OSError:
                pass
        return answer


@dataclass
class Stdio:
    """A gateway that speaks stdio, as a child; its lines as they come."""

    process: subprocess.Popen[bytes]
    log: Path
    data_dir: Path
    era: str
    lines: queue.Queue[bytes] = field(default_factory=queue.Queue)
    unclaimed: list[JSON] = field(default_factory=list)
    _ids: int = 0

    def write(self, raw: bytes) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(raw)
        self.process.stdin.flush()

    def send(self, body: Any) -> None:
        self.write(json.dumps(body).encode() + b"\n")

    def read(self, deadline: float = DEADLINE) -> JSON:
        """The next message, whatever it is."""
        try:
            line = self.lines.get(timeout=deadline)
        except queue.Empty:
            raise AssertionError(f"the gateway said nothing for {deadline} s\n{self.log_text()}") from None
        assert line, f"the gateway has ended\n{self.log_text()}"
        return dict(json.loads(line))

    def answer(self, number: Any, deadline: float = DEADLINE) -> JSON:
        """The answer to one request; others are kept in `unclaimed`."""
        for index, each in enumerate(self.unclaimed):
            if "method" not in each and each.get("id") == number:
                return self.unclaimed.pop(index)
        while True:
            found = self.read(deadline)
            if "method" not in found and found.get("id") == number:
                return found
            self.unclaimed.append(found)

    def request(self, method: str, params: Mapping[str, Any] | None, number: Any) -> JSON:
        """The request as this era writes it."""
        extra = {"_meta": ENVELOPE} if self.era == "modern" else {}
        return message(method, {**(params or {}), **extra}, number)

    def ask(self, method: str, params: Mapping[str, Any] | None = None) -> JSON:
        self._ids += 1
        self.send(self.request(method, params, self._ids))
        return self.answer(self._ids)

    def call(self, tool: str, arguments: Any = None) -> JSON:
        return self.ask("tools/call", call_params(tool, arguments))

    def log_text(self) -> str:
        return self.log.read_text(encoding="utf-8", errors="replace")


@contextmanager
def stdio_gateway(
    config_path: Path, tmp_path: Path, era: str = "legacy", env: Mapping[str, str] | None = None
) -> Iterator[Stdio]:
    """Run `agentflow serve --stdio` while the block lasts; the handshake is done where the era has one."""
    log, data_dir = tmp_path / f"stdio-{era}.log", tmp_path / f"data-{era}"
    with log.open("ab") as sink:
        process = subprocess.Popen(
            stdio_command(config_path),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=sink,
            cwd=tmp_path,
            env=child_environment(data_dir, env),
        )
    speaker = Stdio(process, log, data_dir, era)
    reader = threading.Thread(target=_read_lines, args=(process, speaker.lines), daemon=True)
    reader.start()
    try:
        if era == "legacy":
            assert "result" in speaker.ask("initialize", HELLO)
            speaker.send({"jsonrpc": "2.0", "method": "notifications/initialized"})
        else:
            assert "result" in speaker.ask("server/discover")
        yield speaker
    finally:
        assert process.stdin is not None and process.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            process.stdin.close()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        reader.join(5)
        process.stdout.close()


def _read_lines(process: subprocess.Popen[bytes], lines: queue.Queue[bytes]) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        lines.put(line)
    lines.put(b"")


def wait_for_tools(speaker: Speaker, *names: str) -> None:
    def listed() -> bool:
        answer = speaker.ask("tools/list")
        return set(names) <= {tool["name"] for tool in answer["result"]["tools"]}

    wait_until(listed, f"the tools {sorted(names)}")
