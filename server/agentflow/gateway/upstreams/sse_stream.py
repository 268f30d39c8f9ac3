"""An incremental parser for `text/event-stream` (WHATWG HTML, section 9.2).

Promises the same events however the bytes are cut, and never holds more than `max_event` bytes of one event.
Refuses nothing else: a stream of garbage parses to no events.
"""

from __future__ import annotations

from dataclasses import dataclass

from agentflow.errors import UpstreamProtocolError

_BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class Event:
    """One dispatched event. `type` is `message` unless the stream said otherwise; `data` is never empty."""

    type: str
    data: bytes


class SseParser:
    """Parser of one stream, which may be continued over several connections.

    Attributes:
        last_event_id: id of the last complete event that carried one, "" if none did.
        retry: seconds to wait before reconnecting, as the server asked, or None.
    """

    __slots__ = (
        "_after_cr",
        "_data",
        "_first",
        "_id",
        "_max",
        "_partial",
        "_partial_size",
        "_size",
        "_type",
        "last_event_id",
        "retry",
    )

    def __init__(self, max_event: int) -> None:
        self._max = max_event
        self.last_event_id = ""
        self.retry: float | None = None
        self.reopen()

    def reopen(self) -> None:
        """Forget a half-received event: a new connection starts; id and retry stay."""
        self._after_cr = False
        self._first = True
        self._partial: list[bytes] = []
        self._partial_size = 0
        self._id = self.last_event_id
        self._begin()

    def _begin(self) -> None:
        self._type = b""
        self._data: list[bytes] = []
        self._size = 0

    def feed(self, chunk: bytes) -> list[Event]:
        """Take the next bytes; return the events they complete.

        Raises:
            UpstreamProtocolError: one event is larger than `max_event` bytes.
        """
        if self._after_cr and chunk:
            self._after_cr = False
            if chunk[:1] == b"\n":
                chunk = chunk[1:]
        if not chunk:
            return []
        lines = chunk.splitlines()  # on bytes: exactly CR, LF and CRLF
        ends = chunk[-1:] in b"\r\n"
        self._after_cr = chunk[-1:] == b"\r"
        rest = b"" if ends else lines.pop()
        events: list[Event] = []
        if lines and self._partial:
            self._partial.append(lines[0])
            lines[0] = b"".join(self._partial)
            self._partial = []
            self._partial_size = 0
        for line in lines:
            event = self._line(line)
            if event is not None:
                events.append(event)
        if rest:
            self._partial.append(rest)
            self._partial_size += len(rest)
            self._check(self._partial_size)
        return events

    def _check(self, pending: int) -> None:
        if self._size + pending > self._max:
            raise UpstreamProtocolError(
                f"the upstream sent an event larger than {self._max} bytes",
                fix="raise `limits.max_result`, or ask the upstream for less",
            )

    def _line(self, line: bytes) -> Event | None:
        if self._first:
            self._first = False
            line = line.removeprefix(_BOM)
        if not line:
            return self._dispatch()
        self._check(len(line))
        name, _, value = line.partition(b":")
        if value[:1] == b" ":
            value = value[1:]
        if name == b"data":
            self._data.append(value)
            self._size += len(value) + 1
        elif name == b"event":
            self._type = value
        elif name == b"id":
            if b"\0" not in value:
                self._id = value.decode("utf-8", "replace")
        elif name == b"retry" and value.isdigit():
            self.retry = int(value[:9]) / 1000
        return None

    def _dispatch(self) -> Event | None:
        self.last_event_id = self._id
        data = b"\n".join(self._data)
        kind = self._type.decode("utf-8", "replace") or "message"
        self._begin()
        return Event(kind, data) if data else None
