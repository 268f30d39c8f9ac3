"""uvicorn's HTTP protocol with the two limits it lacks: how large request headers may be, and how slow."""

from __future__ import annotations

from asyncio import TimerHandle, Transport

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from agentflow.config import LimitsConfig

_TOO_LARGE = b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
_TOO_SLOW = b"HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"


def protocol(limits: LimitsConfig) -> type[HttpToolsProtocol]:
    """The protocol class with these limits (bytes of head, seconds until a head is complete)."""

    class Limited(HttpToolsProtocol):
        _in_head = True
        _head_bytes = 0
        _deadline: TimerHandle | None = None

        def connection_made(self, transport: Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            self._deadline = self.loop.call_later(limits.request_read_timeout, self._refuse, _TOO_SLOW)

        def connection_lost(self, exc: Exception | None) -> None:
            self._disarm()
            super().connection_lost(exc)

        def data_received(self, data: bytes) -> None:
            if self._in_head:
                self._head_bytes += min(len(data), limits.max_header + 1)
                # A first segment may hold the whole head and much of a body: only a head that is still
                # incomplete after this many bytes is too large (checked again when it completes).
                if self._head_bytes > limits.max_header and b"\r\n\r\n" not in data:
                    return self._refuse(_TOO_LARGE)
            super().data_received(data)

        def on_message_begin(self) -> None:
            self._in_head, self._head_bytes = True, 0
            if self._deadline is None:
                self._deadline = self.loop.call_later(limits.request_read_timeout, self._refuse, _TOO_SLOW)
            super().on_message_begin()

        def on_headers_complete(self) -> None:
            self._in_head = False
            self._disarm()
            size = len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)
            if size > limits.max_header:
                return self._refuse(_TOO_LARGE)
            super().on_headers_complete()

        def on_body(self, body: bytes) -> None:
            if self.cycle is not None:
                super().on_body(body)

        def on_message_complete(self) -> None:
            if self.cycle is not None:
                super().on_message_complete()

        def _disarm(self) -> None:
            if self._deadline is not None:
                self._deadline.cancel()
                self._deadline = None

        def _refuse(self, answer: bytes) -> None:
            self._disarm()
            if not self.transport.is_closing():
                self.transport.write(answer)
                self.transport.close()

    return Limited
