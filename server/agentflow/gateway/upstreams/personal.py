"""The HTTP clients of one upstream: one with the gateway's own credentials, and one of each principal.

Where each principal has a credential of its own, each has sockets of its own too: no connection ever carries requests
of two of them, and the gateway's own credentials go with none of them.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import OrderedDict
from collections.abc import Mapping

from agentflow.config import LimitsConfig, ServerConfig
from agentflow.errors import ConfigError
from agentflow.gateway.upstreams.http1 import HttpClient
from agentflow.identity.downstream import Presented, Source

_MOST = 1024  # principals whose clients are kept; an idle one costs a few hundred bytes


class HttpClients:
    """See the module.

    Args:
        name: the server's name, for messages.
        tls: replaces the default verifying context.
        source: the credentials of an entry with `auth`, or None.

    Raises:
        ConfigError: `url` or a header cannot be used.
    """

    def __init__(
        self,
        config: ServerConfig,
        limits: LimitsConfig,
        name: str,
        tls: ssl.SSLContext | None,
        source: Source | None = None,
    ) -> None:
        if config.url is None:
            raise ConfigError("an HTTP upstream needs `url`")
        self._url = config.url
        self._label = f"upstream {name!r}" if name else ""
        self._max_header = limits.max_header
        self._public = config.reach == "public"
        self._tls = tls
        self._source = source
        self._headers = dict(config.headers)
        own = {key: secret.get_secret_value() for key, secret in config.credentials.items()}
        shared = source is not None and not source.personal
        self._gateway = self._client(over(self._headers, own), source.of("") if source and shared else None)
        self._clients: OrderedDict[str, HttpClient] = OrderedDict()
        self._closing: set[asyncio.Task[None]] = set()

    def of(self, principal: str) -> HttpClient:
        """The client for the requests of one principal, or of the gateway itself ("")."""
        if self._source is None or not self._source.personal or not principal:
            return self._gateway
        client = self._clients.get(principal)
        if client is None:
            client = self._clients[principal] = self._client(self._headers, self._source.of(principal))
            self._forget_idle()
        self._clients.move_to_end(principal)
        return client

    def _client(self, headers: Mapping[str, str], presented: Presented | None) -> HttpClient:
        if presented is not None and self._source is not None:
            headers = over(headers, dict.fromkeys(self._source.names))
        return HttpClient(
            self._url,
            headers,
            label=self._label,
            max_header=self._max_header,
            tls=self._tls,
            public=self._public,
            presented=presented,
        )

    def _forget_idle(self) -> None:
        if len(self._clients) <= _MOST:
            return
        for principal, client in tuple(self._clients.items())[:-1]:
            if client.idle:
                del self._clients[principal]
                task = asyncio.get_running_loop().create_task(client.close())
                self._closing.add(task)
                task.add_done_callback(self._closing.discard)
                return

    async def close(self) -> None:
        """Close every socket."""
        await asyncio.gather(self._gateway.close(), *(client.close() for client in self._clients.values()))
        await asyncio.gather(*self._closing, return_exceptions=True)
        if self._source is not None:
            await self._source.close()


def over(headers: Mapping[str, str], others: Mapping[str, str | None]) -> dict[str, str]:
    """`headers` with `others` in place of those of the same name; None takes one away."""
    taken = {name.lower() for name in others}
    kept = {name: value for name, value in headers.items() if name.lower() not in taken}
    return kept | {name: value for name, value in others.items() if value is not None}
