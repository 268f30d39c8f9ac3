"""`agentflow serve`: the service behind HTTP or stdio, with signals, limits on slow clients, and live reload."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import logging
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agentflow.audit.events import Event
from agentflow.config import Config, is_loopback
from agentflow.config_guard import GuardConfig
from agentflow.errors import AgentFlowError, ConfigError
from agentflow.gateway.service import Service
from agentflow.pipeline.pii import build_matcher
from agentflow.store.opened import Store

if TYPE_CHECKING:
    import uvicorn
    from starlette.types import ASGIApp

    from agentflow.gateway.http import HttpFront

log = logging.getLogger("agentflow")

# How long calls in flight may take to finish after SIGTERM, in seconds.
_DRAIN = 10
# How long connections may then take to be closed, in seconds.
_LAST = 1


def serve_http(config: Config, path: Path | None) -> int:
    """Serve streamable HTTP until a signal ends it; returns the exit code.

    Raises:
        ConfigError: the address is not loopback and no caller is known, the port is taken, or the
            configuration cannot be built.
    """
    stored = Store(config.data_dir, config.store)
    if not is_loopback(config.serve.host) and not config.auth.asks and not stored.holds("api_key"):
        raise ConfigError(
            f"Refusing to listen on {config.serve.host}: nobody is known who may call",
            fix="Run `agentflow keys create`, set auth.api_keys or auth.issuers, or bind 127.0.0.1",
        )
    _logging(config)
    listener = _bind(config.serve.host, config.serve.port)
    _run(_http(config, path, listener))
    return 0


def serve_stdio(config: Config, path: Path | None) -> int:
    """Serve one client on standard input and output until it leaves; returns the exit code."""
    _logging(config)
    _run(_stdio(config, path))
    return 0


def _run(main: Coroutine[Any, Any, None]) -> None:
    with contextlib.suppress(ImportError):
        # Where an extra brought sniffio, anyio asks it before every primitive, a sixth of a call's CPU; in this
        # thread the answer is always the same.
        importlib.import_module("sniffio").thread_local.name = "asyncio"
    try:
        import uvloop
    except ImportError:  # not built for this platform
        asyncio.run(main)
    else:
        uvloop.run(main)


async def _http(config: Config, path: Path | None, listener: socket.socket) -> None:
    import uvicorn
    from mcp.server.streamable_http_manager import StreamableHTTPSessionManager

    from agentflow.gateway.aside import Aside
    from agentflow.gateway.http import HttpFront
    from agentflow.gateway.models_http import ModelsApp
    from agentflow.gateway.refusals import Recorded
    from agentflow.gateway.slow import protocol

    async with _service(config) as service:
        host, port = listener.getsockname()[:2]
        service.served_at = f"http://{f'[{host}]' if ':' in host else host}:{port}"
        limits = config.limits
        manager = StreamableHTTPSessionManager(
            service.front.server, max_request_body_size=limits.max_body, max_sessions=limits.max_sessions
        )
        admin = Aside(lambda: _admin(service)) if config.admin.enabled else None
        connect = Aside(lambda: _connect(service))
        models = ModelsApp(service.models, limits.max_depth)
        app = HttpFront(
            manager, lambda: service.authenticator, config.serve, limits, service.report, admin, connect,
            lambda: models if service.config.models.serve and service.models.configured else None,
        )  # fmt: skip
        server = uvicorn.Server(
            uvicorn.Config(
                Recorded(app, service.refusals, config.serve.path),
                http=protocol(limits),
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                timeout_keep_alive=75,
                timeout_graceful_shutdown=_LAST,
            )
        )
        # uvicorn would break off streams that owe an answer, and raise the signal again before we have cleaned up.
        server.capture_signals = contextlib.nullcontext  # type: ignore[assignment]
        async with manager.run(), _reloading(service, path), _ending(service, app, server):
            log.info("serving %s%s", service.served_at, config.serve.path)
            await server.serve(sockets=[listener])


def _admin(service: Service) -> ASGIApp:
    """The administration. Its room imports this one, so that it is named here and nowhere else."""
    build: Callable[[Service], ASGIApp] = importlib.import_module("agentflow.admin.app").build
    return build(service)


def _connect(service: Service) -> ASGIApp:
    """Where people connect to servers, known by a key or by being signed in at the administration's page."""
    from agentflow.gateway import connect

    if not service.config.admin.enabled:
        return connect.build(service)
    sessions = importlib.import_module("agentflow.admin.page.sessions").Sessions(
        service.store, lambda headers: service.authenticator.authenticate(headers)
    )
    return connect.build(service, sessions.principal)


@contextlib.asynccontextmanager
async def _ending(service: Service, app: HttpFront, server: uvicorn.Server) -> AsyncIterator[None]:
    """On SIGTERM or SIGINT finish what is in flight, then end; on a second one end at once."""
    tasks: list[asyncio.Task[None]] = []

    async def drain() -> None:
        service.front.close()
        service.recent.close()
        await app.drain(_DRAIN)
        server.handle_exit(signal.SIGTERM, None)

    def asked() -> None:
        if not tasks:
            log.info("stopping: requests in flight have %d s to end", _DRAIN)
            tasks.append(asyncio.ensure_future(drain()))
            return
        server.force_exit = True
        server.handle_exit(signal.SIGTERM, None)

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, asked)
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _stdio(config: Config, path: Path | None) -> None:
    from agentflow.gateway.stdio import StdioFront

    async with _service(config) as service, _reloading(service, path):
        caller = service.authenticator.local("stdio")
        front = StdioFront(
            config.limits, _DRAIN, lambda reason: service.refusals.refused(reason, caller, {"transport": "stdio"})
        )
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, front.stop)
        server = service.front.server
        await front.serve(lambda read, write: server.run(read, write, server.create_initialization_options()))


@contextlib.asynccontextmanager
async def _service(config: Config) -> AsyncIterator[Service]:
    service = Service(config)
    try:
        service.start()
        yield service
    finally:
        await service.close()


@contextlib.asynccontextmanager
async def _reloading(service: Service, path: Path | None) -> AsyncIterator[None]:
    task = asyncio.ensure_future(_follow(service, path)) if path else None
    try:
        yield
    finally:
        if task:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


async def _follow(service: Service, path: Path) -> None:
    """Apply each change of the file; say what is wrong with a broken one and keep the old configuration."""
    from agentflow.settings.file import Watch

    async for change in Watch(path):
        if not isinstance(change, Config):
            for problem in change:
                log.error("configuration not applied: %s", problem)
            with contextlib.suppress(AgentFlowError):
                service.record(Event("gateway", "refused", outcome="config_error", details={"problems": len(change)}))
            continue
        guard = service.config.guard
        try:
            await service.apply(change)
        except AgentFlowError as error:
            log.error("configuration not applied: %s", error.message)
            continue
        except Exception as error:  # a mistake in here must not be the end of live reload
            log.exception("configuration not applied: %s", type(error).__name__)
            with contextlib.suppress(AgentFlowError):
                service.record(Event("gateway", "refused", outcome="internal_error"))
            continue
        if change.guard != guard:
            _mask_log(change.guard)
        log.info("configuration applied: %s", path)


def _bind(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(2048)
    except OSError as error:
        listener.close()
        raise ConfigError(
            f"Cannot listen on {host}:{port}: {error.strerror}", fix="Stop what uses it, or choose another --port"
        ) from None
    listener.setblocking(False)
    return listener


_ADDRESSES = frozenset({"IP", "MAC"})


class _Masked(logging.Formatter):
    """Log lines without what redaction takes out of messages, tracebacks included; network addresses stay: operators
    need them. A line is nobody's in particular, so what any tenant calls personal is taken out of all.
    """

    def __init__(self, guard: GuardConfig) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")
        matcher = build_matcher(guard.model_copy(update={"pii_types": (), "pii_allow": ()}))
        own = {tenant: matcher.for_tenant(tenant) for tenant in guard.tenants}
        self._matchers = (matcher, *(each for each in own.values() if each is not matcher))

    def format(self, record: logging.LogRecord) -> str:
        line = super().format(record)
        for matcher in self._matchers:
            line = matcher.mask(line, keep=_ADDRESSES)
        return line


def _mask_log(guard: GuardConfig) -> None:
    """Mask log lines from now on as another configuration says."""
    for handler in logging.getLogger().handlers:
        if isinstance(handler.formatter, _Masked):
            handler.setFormatter(_Masked(guard))


def _logging(config: Config) -> None:
    """Log to stderr only: stdout belongs to the protocol on stdio."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Masked(config.guard))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("agentflow").setLevel(config.serve.log_level.upper())
