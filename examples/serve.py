"""Serve the sample world with one command: the web server, and the gateway in front of it and the help-desk.

    python examples/serve.py [arguments of `agentflow serve`]

The web server is a child on a loopback port (8809, or a free one when that is taken); the gateway is another.
Both end when this ends, by Ctrl-C or SIGTERM, and this ends with the gateway's exit status.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import FrameType

HERE = Path(__file__).resolve().parent
PREFERRED_PORT = 8809
START_DEADLINE = 30.0  # seconds


def choose_port() -> int:
    """The usual port when nothing has it, else a free one."""
    for wanted in (PREFERRED_PORT, 0):
        with socket.socket() as probe:
            if sys.platform != "win32":
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", wanted))
            except OSError:
                continue
            port: int = probe.getsockname()[1]
            return port
    raise SystemExit("no free loopback port for the sample web server")


def await_listening(process: subprocess.Popen[bytes], port: int) -> None:
    """Return once `process` accepts connections on `port`.

    Raises:
        SystemExit: it ended, or took longer than `START_DEADLINE`.
    """
    end = time.monotonic() + START_DEADLINE
    while time.monotonic() < end:
        if process.poll() is not None:
            raise SystemExit(f"the sample web server ended with status {process.returncode}")
        with socket.socket() as probe:
            probe.settimeout(1)
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)
    raise SystemExit(f"the sample web server did not listen on port {port} within {START_DEADLINE:.0f} s")


def stop(process: subprocess.Popen[bytes]) -> None:
    """End `process`, first politely. From here on further signals wait: nothing may be left running."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def on_terminate(number: int, frame: FrameType | None) -> None:
    """Every signal to end unwinds like Ctrl-C, so that the children are ended on the way out."""
    raise KeyboardInterrupt


def gateway_status(gateway: subprocess.Popen[bytes]) -> int:
    """Wait for the gateway, also after Ctrl-C, which a terminal sends to it as well."""
    try:
        return gateway.wait()
    except KeyboardInterrupt:
        stop(gateway)
        return gateway.returncode if gateway.returncode >= 0 else 130


def main() -> int:
    # SIGINT too: a shell starts background jobs with it ignored, and Python then leaves it so.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, on_terminate)
    if hasattr(signal, "SIGHUP"):
        signal.signal(signal.SIGHUP, on_terminate)
    port = choose_port()
    web = subprocess.Popen([sys.executable, str(HERE / "webnotes" / "server.py"), "--port", str(port)])
    try:
        await_listening(web, port)
        env = {
            **os.environ,
            "EXAMPLES_PYTHON": sys.executable,
            "WEBNOTES_URL": f"http://127.0.0.1:{port}/mcp",
        }
        command = [sys.executable, "-m", "agentflow", "serve", "--config", str(HERE / "agentflow.yaml")]
        gateway = subprocess.Popen([*command, *sys.argv[1:]], env=env)
        try:
            return gateway_status(gateway)
        finally:
            stop(gateway)
    except KeyboardInterrupt:
        return 130
    finally:
        stop(web)


if __name__ == "__main__":
    sys.exit(main())
