"""A server as a child process: one JSON message per line on its stdin and stdout (MCP, transports, stdio).

Promises: the command comes from configuration only and no shell sees it; the child gets its own process group, a
short list of environment variables and those configured; it cannot block on its log output; its end, whatever its
kind, ends the connection with a reason; closing is bounded and leaves no process of its group behind.
Refuses lines longer than `limits.max_result`: a peer that sends one is not trusted to be in step any more.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
from collections import deque
from collections.abc import Mapping
from typing import Any, cast

from agentflow.config import LimitsConfig, ServerConfig
from agentflow.errors import UpstreamProtocolError, UpstreamUnavailable
from agentflow.gateway.upstreams.connection import OnNotification
from agentflow.gateway.upstreams.handshake import negotiate
from agentflow.gateway.upstreams.jsonrpc import decode, encode
from agentflow.gateway.upstreams.peer import Peer
from agentflow.gateway.upstreams.port import ClientIdentity, Era
from agentflow.identity.downstream import Source, Stored

JSON = dict[str, Any]
_log = logging.getLogger(__name__)

_INHERITED = frozenset(
    {"PATH", "HOME", "LANG", "LANGUAGE", "TERM", "TMPDIR", "TZ", "USER", "LOGNAME", "SHELL"}
    | {"SYSTEMROOT", "SYSTEMDRIVE", "PATHEXT", "TEMP", "TMP", "APPDATA", "LOCALAPPDATA", "USERPROFILE", "USERNAME"}
)
_GRACE = 2.0  # seconds between closing stdin, SIGTERM and SIGKILL
_STRAGGLER = 0.5  # seconds that stdout and exit may come apart
_LOGGED_LINES = 200  # of a child's stderr
_TAIL_BYTES = 4096


def child_environment(config: ServerConfig, own: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment a child gets: the safe few, those named in `env_allow`, and `env` over both.

    Args:
        own: what is a principal's own, over all of that.
    """
    allowed = _INHERITED | set(config.env_allow)
    inherited = {
        name: value
        for name, value in os.environ.items()
        # A value that starts with "()" is an exported shell function.
        if (name in allowed or name.startswith("LC_")) and not value.startswith("()")
    }
    return inherited | config.env | dict(own or {})


class StdioConnector:
    """Starts one child per connection.

    Args:
        source: the credentials of an entry with `auth`: each principal's children get its own in their environment.
    """

    def __init__(self, name: str, config: ServerConfig, limits: LimitsConfig, source: Source | None = None) -> None:
        self._source = source if isinstance(source, Stored) else None
        self._name = name
        self._config = config
        self._limits = limits
        self._children: set[Child] = set()

    async def connect(self, identity: ClientIdentity, era: Era | None, on_notification: OnNotification) -> Peer:
        """Start a child and settle the protocol; see `connection.Connector.connect`."""
        try:
            return await self._start(identity, era, on_notification)
        except UpstreamProtocolError:
            # Some handshake-only servers exit at a probe they do not know: ask a fresh one the old way.
            if era is not None:
                raise
            return await self._start(identity, "legacy", on_notification)

    async def close(self) -> None:
        """End every child that is left."""
        await asyncio.gather(*(child.close() for child in tuple(self._children)))

    async def _start(self, identity: ClientIdentity, era: Era | None, on_notification: OnNotification) -> Peer:
        peer = Peer(self._name, identity, on_notification, stateful=True)
        child = await self._spawn(peer, await self._own(identity))
        try:
            await negotiate(peer, era, self._config.timeout)
        except (UpstreamProtocolError, UpstreamUnavailable):
            ended = peer.closed.is_set()
            await child.close()
            if ended:
                raise UpstreamProtocolError(f"{self._name} did not start: {peer.reason}") from None
            raise
        except BaseException:
            await child.close()
            raise
        return peer

    async def _own(self, identity: ClientIdentity) -> dict[str, str]:
        """What a principal's child has of its own in its environment; the gateway's has nothing."""
        if self._source is None or not identity.principal:
            return {}
        return self._source.auth.inherited(await self._source.value(identity.principal))

    async def _spawn(self, peer: Peer, own: Mapping[str, str]) -> Child:
        config = self._config
        if config.command is None:
            raise UpstreamUnavailable(f"{self._name} has no command", fix="give `command` in the configuration")
        if config.cwd is not None and not config.cwd.is_dir():
            raise UpstreamUnavailable(
                f"{self._name} cannot start: its `cwd` {str(config.cwd)!r} is no folder", fix="correct `cwd`"
            )
        child = Child(self._name, peer, self._limits.max_result, self._children)
        try:
            await asyncio.get_running_loop().subprocess_exec(
                lambda: child,
                config.command,
                *config.args,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                env=child_environment(config, own),
                cwd=config.cwd,
                start_new_session=True,
            )
        except (OSError, ValueError) as error:
            why = getattr(error, "strerror", None) or str(error)
            raise UpstreamUnavailable(
                f"{self._name} cannot start: {config.command!r}: {why}",
                fix="install the command, or give its full path in `command`",
            ) from None
        peer.wire = child
        return child


class Child(asyncio.SubprocessProtocol):
    """One child process and its pipes: the `Wire` of its peer. Registers itself in `children` while it runs."""

    def __init__(self, name: str, peer: Peer, limit: int, children: set[Child]) -> None:
        self._name = name
        self._peer = peer
        self._limit = limit
        self._children = children
        self._held: list[bytes] = []
        self._held_bytes = 0
        self._tail: deque[bytes] = deque()
        self._tail_bytes = 0
        self._log_lines = 0
        self._readable = asyncio.Event()
        self._readable.set()
        self._exited = asyncio.Event()
        self._open_pipes = {0, 1, 2}
        self._closing: asyncio.Task[None] | None = None

    # -- what the event loop tells us ---------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports implement the interface without being subclasses of it.
        self._transport = cast(asyncio.SubprocessTransport, transport)
        self.pid = self._transport.get_pid()
        self._children.add(self)

    def pipe_data_received(self, fd: int, data: bytes | str) -> None:
        assert isinstance(data, bytes)
        if fd == 2:
            self._take_log(data)
        elif not self._peer.closed.is_set():
            self._take(data)

    def pipe_connection_lost(self, fd: int, exc: Exception | None) -> None:
        self._open_pipes.discard(fd)
        if fd == 1 and self._held and not self._peer.closed.is_set():
            self._parse(b"".join(self._held))
        self._ending()

    def process_exited(self) -> None:
        self._exited.set()
        self._ending()

    def pause_writing(self) -> None:
        self._readable.clear()

    def resume_writing(self) -> None:
        self._readable.set()

    def _ending(self) -> None:
        """One of its pipes or its life ended: once all of them have, the reason is known."""
        if not self._open_pipes and self._exited.is_set():
            self._ended()
        elif not self._open_pipes >= {0, 1} or self._exited.is_set():
            asyncio.get_running_loop().call_later(_STRAGGLER, self._ended)

    def _ended(self) -> None:
        code = self._transport.get_returncode()
        if code is None:
            reason = "the process closed its input or output"
        elif code < 0:
            reason = f"the process was ended by signal {-code}"
        else:
            reason = f"the process exited with code {code}"
        if last := self._last_log_line():
            reason = f"{reason}: {last}"
        self._peer.lost(reason)
        self._readable.set()
        self._end_soon()

    # -- reading ------------------------------------------------------------------------------------------------

    def _take(self, data: bytes) -> None:
        head, newline, rest = data.partition(b"\n")
        self._held.append(head)
        self._held_bytes += len(head)
        if self._held_bytes > self._limit:
            self._held.clear()
            self._peer.lost(f"it sent a message longer than {self._limit} bytes (limits.max_result)")
            self._end_soon()
            return
        if not newline:
            return
        first = b"".join(self._held)
        self._held.clear()
        self._parse(first)
        *lines, last = rest.split(b"\n")
        for line in lines:
            self._parse(line)
        self._held.append(last)
        self._held_bytes = len(last)

    def _parse(self, line: bytes) -> None:
        line = line.strip()
        if not line:
            return
        try:
            message = decode(line)
        except ValueError:
            self._peer.reject(f"a line of {len(line)} bytes that is not JSON")
            return
        self._peer.feed(message)

    def _take_log(self, data: bytes) -> None:
        self._tail.append(data[-_TAIL_BYTES:])
        self._tail_bytes += len(self._tail[-1])
        while self._tail_bytes - len(self._tail[0]) >= _TAIL_BYTES:
            self._tail_bytes -= len(self._tail.popleft())
        if self._log_lines < _LOGGED_LINES and _log.isEnabledFor(logging.DEBUG):
            for line in data[:_TAIL_BYTES].splitlines():
                self._log_lines += 1
                _log.debug("%s: %s", self._name, line[:500].decode("utf-8", "replace"))

    def _last_log_line(self) -> str:
        for line in reversed(b"".join(self._tail).decode("utf-8", "replace").splitlines()):
            shown = "".join(c for c in line if c.isprintable()).strip()
            if shown:
                return shown[:200]
        return ""

    # -- Wire ---------------------------------------------------------------------------------------------------

    async def send(self, message: JSON) -> None:
        data = encode(message)
        while not self._readable.is_set():
            await self._readable.wait()
        if not self._write(data):
            await self._peer.closed.wait()  # soon, and then the reason is known
            raise UpstreamUnavailable(f"{self._name} is not connected: {self._peer.reason}", sent=False)

    def post(self, message: JSON) -> None:
        # A child that does not read is not given more to not read.
        if self._readable.is_set():
            self._write(encode(message))

    def _stdin(self) -> asyncio.WriteTransport | None:
        return cast("asyncio.WriteTransport | None", self._transport.get_pipe_transport(0))

    def _write(self, data: bytes) -> bool:
        stdin = self._stdin()
        if self._peer.closed.is_set() or stdin is None or stdin.is_closing() or self._dead():
            return False
        stdin.write(data + b"\n")
        return True

    def _dead(self) -> bool:
        """Whether nothing that is written now can be read, though the event loop may not have told us yet."""
        if self._exited.is_set() or 1 not in self._open_pipes:
            return True
        if not hasattr(os, "waitid"):
            return False
        try:  # looks without reaping
            return os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
        except ChildProcessError:
            return True

    async def close(self) -> None:
        """Close stdin, wait, SIGTERM, wait, SIGKILL; then whatever is left of its group. Takes 6 s at most."""
        await asyncio.shield(self._end_soon())

    def _end_soon(self) -> asyncio.Task[None]:
        if self._closing is None:
            self._closing = asyncio.get_running_loop().create_task(self._end(), name=f"end {self._name} {self.pid}")
        return self._closing

    async def _end(self) -> None:
        if (stdin := self._stdin()) is not None and not stdin.is_closing():
            stdin.abort()  # not close(), which would first wait for a child that does not read
        if not await self._gone():
            self._signal(signal.SIGTERM)
            if not await self._gone():
                self._signal(signal.SIGKILL)
                if not await self._gone():
                    _log.error("%s: process %d cannot be killed; it is left behind", self._name, self.pid)
        self._signal(signal.SIGKILL)  # children of its own that it left behind
        self._transport.close()
        self._children.discard(self)

    async def _gone(self) -> bool:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_GRACE):
                await self._exited.wait()
        return self._exited.is_set()

    def _signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, number)
