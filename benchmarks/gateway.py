"""What the gateway costs, with every stage on: `make bench` prints the table and writes benchmarks/results.json.

Rounds of direct and guarded load are interleaved (A B A B …), so that a machine that drifts drifts for both. The
figures to trust are CPU per call and the ratios of one run; wall-clock figures are given with their spread.
With `--client PATH` an outside load client that takes load.py's `--url/--client raw|modern/--sessions/--seconds/--pid`
(and prints `p50_ms`, `cps`, `gw_cpu_ms_per_call`) is used instead of ours.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import psutil

HERE = Path(__file__).resolve().parent
JSON = dict[str, Any]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def running(command: list[str], env: dict[str, str] | None = None) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(command, env={**os.environ, **(env or {})}, stderr=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(20)


def initialize(url: str, modern: bool) -> bool:
    """Ask for the first answer; False while nothing listens."""
    headers = {"content-type": "application/json", "accept": "application/json, text/event-stream"}
    if modern:
        meta = {
            "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientCapabilities": {},
        }
        headers |= {"mcp-protocol-version": "2026-07-28", "mcp-method": "server/discover"}
        message: JSON = {"jsonrpc": "2.0", "id": 1, "method": "server/discover", "params": {"_meta": meta}}
    else:
        info = {"name": "bench", "version": "1"}
        params = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": info}
        message = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": params}
    try:
        with urlopen(Request(url, json.dumps(message).encode(), headers), timeout=5) as answer:
            return b'"result"' in answer.read()
    except OSError:
        return False


def wait_until(ready: Any, limit: float = 30.0) -> float:
    """Seconds until `ready()` is true."""
    began = time.perf_counter()
    while not ready():
        if time.perf_counter() - began > limit:
            raise SystemExit("not ready in time")
        time.sleep(0.01)
    return time.perf_counter() - began


def load(
    client: str | None, url: str, era: str, tool: str, arguments: JSON, sessions: int, seconds: float, pid: int
) -> JSON:
    common = ["--url", url, "--sessions", str(sessions), "--seconds", str(seconds), "--pid", str(pid)]
    if client:
        kind = {"handshake": "raw", "stateless": "modern"}[era]
        command = [sys.executable, client, *common, "--client", kind, "--tool", tool.split("__")[-1], "--no-check"]
        told = json.loads(subprocess.check_output(command))
        if told.get("errors"):
            raise SystemExit(f"load client: {told.get('first_error')}")
        return {
            "p50_ms": told["p50_ms"],
            "p99_ms": told["p99_ms"],
            "calls_per_s": told["cps"],
            "cpu_ms_per_call": told["gw_cpu_ms_per_call"],
            "rss_mb": told["gw_rss_mb"],
        }
    command = [sys.executable, str(HERE / "load.py"), *common, "--era", era, "--tool", tool]
    command += ["--arguments", json.dumps(arguments)]
    return dict(json.loads(subprocess.check_output(command)))


def startup(config: Path, data: str, modern: bool) -> tuple[float, float]:
    """(seconds from exec to the first answer, RSS in MB once everything is connected)."""
    port = free_port()
    command = [sys.executable, "-m", "agentflow", "serve", "--config", str(config), "--port", str(port)]
    with running(command, {"AGENTFLOW_DATA_DIR": data}) as process:
        took = wait_until(lambda: initialize(f"http://127.0.0.1:{port}/mcp", modern))
        wait_until(lambda: _ready(port))
        return took, psutil.Process(process.pid).memory_info().rss / 1e6


def _ready(port: int) -> bool:
    try:
        with urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5) as answer:
            return bool(json.loads(answer.read())["status"] == "ready")
    except OSError:
        return False


def spread(values: list[float], digits: int = 2) -> str:
    middle = statistics.median(values)
    return f"{middle:.{digits}f} ({min(values):.{digits}f} to {max(values):.{digits}f})"


def measure(a: argparse.Namespace) -> tuple[list[tuple[str, str, str]], JSON]:
    work = Path(tempfile.mkdtemp(prefix="agentflow-bench-"))
    down, front = free_port(), free_port()
    config = work / "agentflow.yaml"
    config.write_text(json.dumps({"mcpServers": {"bench": {"type": "http", "url": f"http://127.0.0.1:{down}/mcp"}}}))
    rows: list[tuple[str, str, str]] = []
    raw: JSON = {}
    serve = [sys.executable, "-m", "agentflow", "serve", "--config", str(config), "--port", str(front)]
    try:
        with running([sys.executable, str(HERE / "downstream.py"), "--port", str(down)]) as server:
            wait_until(lambda: initialize(f"http://127.0.0.1:{down}/mcp", False))
            starts = [startup(config, str(work / f"start{n}"), bool(n % 2)) for n in range(a.rounds)]
            rows.append(("start to first answer, s", spread([s for s, _ in starts]), "1.5"))
            rows.append(("RSS idle, MB", spread([m for _, m in starts], 0), "130"))
            with running(serve, {"AGENTFLOW_DATA_DIR": str(work / "data")}) as gateway:
                wait_until(lambda: _ready(front))
                pids = {"direct": server.pid, "gateway": gateway.pid}
                urls = {"direct": f"http://127.0.0.1:{down}/mcp", "gateway": f"http://127.0.0.1:{front}/mcp"}
                for tool, arguments in (("echo", {"text": "hello number 5"}), ("lookup", {"id": 7})):
                    for era in ("handshake", "stateless"):
                        figures = _rounds(a, urls, pids, era, tool, arguments)
                        raw[f"{tool} {era}"] = figures
                        rows += _rows(f"{tool}, {era}", figures, tool == "echo")
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return rows, raw


def _rounds(a: argparse.Namespace, urls: JSON, pids: JSON, era: str, tool: str, arguments: JSON) -> JSON:
    figures: JSON = {"direct": [], "gateway": [], "gateway8": []}
    for _ in range(a.rounds):
        for where in ("direct", "gateway"):
            name = tool if where == "direct" else f"bench__{tool}"
            figures[where].append(load(a.client, urls[where], era, name, arguments, 1, a.seconds, pids[where]))
        name = f"bench__{tool}"
        figures["gateway8"].append(load(a.client, urls["gateway"], era, name, arguments, 8, a.seconds, pids["gateway"]))
    return figures


def _rows(title: str, figures: JSON, barred: bool) -> list[tuple[str, str, str]]:
    pairs = list(zip(figures["direct"], figures["gateway"], strict=True))
    added = [g["p50_ms"] - d["p50_ms"] for d, g in pairs]
    return [
        (
            f"{title}: CPU ms per call",
            spread([g["cpu_ms_per_call"] for g in figures["gateway"]]),
            "1.2" if barred else "",
        ),
        (f"{title}: added p50 ms, 1 session", spread(added), "1.5" if barred else ""),
        (
            f"{title}: calls/s, 8 sessions",
            spread([g["calls_per_s"] for g in figures["gateway8"]], 0),
            "≥ 700" if barred else "",
        ),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description="What the gateway costs, with every stage on")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--client", help="path of an outside load client")
    parser.add_argument("--out", type=Path, default=HERE / "results.json")
    a = parser.parse_args()
    rows, raw = measure(a)
    width = max(len(name) for name, _, _ in rows)
    print(f"{'figure':<{width}}  median (min to max)     bar")
    for name, value, bar in rows:
        print(f"{name:<{width}}  {value:<22}  {bar}")
    a.out.write_text(json.dumps({"figures": rows, "rounds": raw}, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
