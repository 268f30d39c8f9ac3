"""The model worker's process, as its gateway holds it: made, waited for, watched, ended.

Its socket lies in a folder that only this user may enter, and is gone with it; a key of its own lets nobody else ask.
It gets none of the gateway's environment but what a linker, TLS and a proxy may need, and, where a provider relies on
them, the variables of AWS or Google.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, Final

import orjson

from agentflow.config import Config
from agentflow.config_models import ProviderConfig
from agentflow.errors import ModelUnavailable
from agentflow.models.worker.wire import READY, error_of, start_message

_LOG: Final = logging.getLogger("agentflow.models")
_ROOT: Final = Path(__file__).resolve().parents[2]  # the folder that holds `agentflow`
_KEPT: Final = (
    "PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "TMPDIR", "SSL_CERT_FILE", "SSL_CERT_DIR", "HTTP_PROXY",
    "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "no_proxy", "all_proxy",
)  # fmt: skip
_START: Final = 60.0  # seconds until it has to be ready
_END: Final = 10.0  # seconds until it has to have ended
_LONGEST_PATH: Final = 100  # bytes of a Unix socket's address


class WorkerProcess:
    """One process. Made at once, to be waited for with `started`, to be ended with `end`.

    Args:
        heard: is told what the worker says of itself (`{"budget": …}`, a warning), in a thread.
    """

    def __init__(self, config: Config, heard: Callable[[dict[str, Any]], object] = lambda _: None) -> None:
        self._config = config
        self._heard = heard
        self.key = secrets.token_urlsafe(32)
        self._folder = _private_folder()
        self.socket = self._folder / "models.sock"
        self._child: subprocess.Popen[bytes] | None = None
        self._ended = False
        self._listening = False

    @property
    def died(self) -> bool:
        """Whether it runs no more. Reaps it."""
        return self._child is None or self._child.poll() is not None

    @property
    def pid(self) -> int | None:
        return None if self._child is None else self._child.pid

    async def started(self) -> None:
        """Return once it answers.

        Raises:
            ModelUnavailable: it ended, or was not ready in time. ConfigError: as it said.
        """
        self._child = await asyncio.to_thread(self._spawn)
        child = self._child
        assert child.stdin is not None
        assert child.stdout is not None
        config = self._config
        message = start_message(config.models, config.store, config.data_dir.absolute(), self.socket, self.key)
        try:
            async with asyncio.timeout(_START):
                line = await asyncio.to_thread(_exchange, child.stdin, child.stdout, message)
        except TimeoutError:
            child.kill()
            raise ModelUnavailable(f"the model worker was not ready within {_START:g} s") from None
        if line == READY:
            self._listening = True
            threading.Thread(
                target=_listened, args=(child.stdout, self._heard), name="models-told", daemon=True
            ).start()
            return
        if line.startswith(b"{"):
            raise error_of(orjson.loads(line))
        raise ModelUnavailable("the model worker ended while it was starting", fix="see the gateway's log")

    def _spawn(self) -> subprocess.Popen[bytes]:
        child = subprocess.Popen(  # noqa: S603 - our own interpreter and module
            [sys.executable, "-I", "-c", _BEGIN, str(_ROOT)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=_environment(self._config),
            cwd="/",
            process_group=0,  # Ctrl-C is the gateway's to handle
        )
        assert child.stderr is not None
        threading.Thread(target=_passed_on, args=(child.stderr,), name="models-log", daemon=True).start()
        return child

    async def seen(self, seconds: float) -> None:
        """Return once it has died, or after so many seconds."""

        def waited(child: subprocess.Popen[bytes]) -> None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(seconds)

        if self._child is not None:
            await asyncio.to_thread(waited, self._child)

    async def end(self, *, orderly: bool) -> None:
        """End it; idempotent. `orderly`: it may first settle what it has under way."""
        if self._ended:
            return
        self._ended = True
        child = self._child
        if child is not None:
            with contextlib.suppress(OSError):
                assert child.stdin is not None
                child.stdin.close()
            if not orderly:
                child.kill()
            await asyncio.to_thread(_reaped, child)
            if not self._listening and child.stdout is not None:
                child.stdout.close()
        shutil.rmtree(self._folder, ignore_errors=True)


_BEGIN: Final = (
    "import sys; sys.path.insert(0, sys.argv[1]); from agentflow.models.worker.process import main; sys.exit(main())"
)


def _exchange(stdin: IO[bytes], stdout: IO[bytes], message: bytes) -> bytes:
    try:
        stdin.write(message)
        stdin.flush()
    except OSError:
        return b""
    return stdout.readline()


def _reaped(child: subprocess.Popen[bytes]) -> None:
    try:
        child.wait(_END)
    except subprocess.TimeoutExpired:
        _LOG.warning("The model worker did not end by itself")
        child.kill()
        child.wait()


def _listened(stdout: IO[bytes], heard: Callable[[dict[str, Any]], object]) -> None:
    with contextlib.suppress(OSError, ValueError), stdout:
        for line in stdout:
            heard(orjson.loads(line))


def _passed_on(stderr: IO[bytes]) -> None:
    """What the worker writes goes where the gateway writes: lines of its own, nothing of a library's."""
    with contextlib.suppress(OSError, ValueError), stderr:
        for line in stderr:
            _LOG.info("%s", line.decode("utf-8", "replace").rstrip()[:2000])


def _private_folder() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="agentflow-models-"))
    if len(str(folder / "models.sock").encode()) > _LONGEST_PATH:  # a long TMPDIR
        shutil.rmtree(folder, ignore_errors=True)
        folder = Path(tempfile.mkdtemp(prefix="agentflow-", dir="/tmp"))
    return folder


def _environment(config: Config) -> dict[str, str]:
    kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
    for provider in config.models.providers.values():
        if provider.enabled:
            kept |= {name: value for name, value in os.environ.items() if _relied_on(provider, name)}
    return kept


def _relied_on(provider: ProviderConfig, name: str) -> bool:
    """Whether a provider without a key of its own finds its credentials by this variable."""
    if provider.kind == "bedrock":
        return name.startswith("AWS_") or name == "HOME"
    return provider.kind == "vertex_ai" and (name.startswith(("GOOGLE_", "CLOUDSDK_")) or name == "HOME")
