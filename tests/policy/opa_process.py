"""The OPA of the tests as a process of its own, which can be killed and started again on the same port.

opa_process.py BUNDLE FOLDER PORT
"""

from __future__ import annotations

import subprocess
import sys
from http.server import ThreadingHTTPServer
from pathlib import Path
from types import TracebackType

TESTS = Path(__file__).resolve().parents[1]


class OpaProcess:
    """Serves a bundle on a port of its own."""

    def __init__(self, bundle: Path, folder: Path) -> None:
        from gateway_process import free_port

        self._bundle, self._folder, self._port = bundle, folder, free_port()
        self.url = f"http://127.0.0.1:{self._port}"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until it listens."""
        from gateway_process import listening, wait_until

        command = [sys.executable, str(Path(__file__)), str(self._bundle), str(self._folder), str(self._port)]
        self._process = subprocess.Popen(command)
        wait_until(lambda: listening(self._port), "OPA to listen")

    def kill(self) -> None:
        """End it without warning."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def __enter__(self) -> OpaProcess:
        self.start()
        return self

    def __exit__(self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None) -> None:
        self.kill()


def main() -> None:
    sys.path[:0] = [str(TESTS), str(TESTS.parent / "server")]
    from policy.opa_server import Opa, _Handler

    bundle, folder, port = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
    opa = Opa(folder)
    opa.load(bundle)
    ThreadingHTTPServer.allow_reuse_address = True
    server = ThreadingHTTPServer(("127.0.0.1", port), type("Handler", (_Handler,), {"opa": opa}))
    server.daemon_threads = True
    server.serve_forever()


if __name__ == "__main__":
    main()
