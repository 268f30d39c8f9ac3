"""Conversations and what they have been exposed to.

A `Session` collects taint labels for as long as a conversation lasts; policy reads them (a session that has seen
untrusted content and private data may not write to the outside). Sessions of two principals never meet, whatever
ids their clients send. The store is bounded: idle sessions expire, and a principal that opens too many loses its
own oldest ones, not somebody else's.
"""

from __future__ import annotations

import secrets
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from agentflow.errors import InvalidArguments
from agentflow.guard.taint_store import key
from agentflow.guard.walk import leaves
from agentflow.identity.principal import Principal
from agentflow.pipeline.call import JSON, Session

UNTRUSTED = "untrusted"
PRIVATE = "private"
INJECTION = "injection"

SESSION_TTL = 8 * 3600.0  # seconds without a call after which a conversation is forgotten

LONGEST_HANDLE = 256  # characters of a client's own name for a conversation


class Sessions:
    """The sessions in use, least recently used first.

    Args:
        max_sessions: bound over all principals; one principal may hold a quarter of it.
        ttl: seconds without a call after which a session is forgotten.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        max_sessions: int = 10_000,
        ttl: float = SESSION_TTL,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._max = max_sessions
        self._share = max(1, max_sessions // 4)
        self._ttl = ttl
        self._clock = clock
        self._recent: OrderedDict[bytes, Session] = OrderedDict()
        self._owned: dict[str, OrderedDict[bytes, None]] = {}

    def __len__(self) -> int:
        return len(self._recent)

    def session(
        self, principal: Principal, client_session_id: str | None, client_name: str, handle: str | None = None
    ) -> Session:
        """Return the conversation of a principal, begun now if it is new.

        Args:
            client_session_id: the transport's session id, or None for a stateless client.
            client_name: tells the stateless clients of one principal apart.
            handle: a stateless client's own name for the conversation; counts where there is no session id.

        Raises:
            InvalidArguments: the handle is longer than `LONGEST_HANDLE`.
        """
        if overlong(handle):
            raise InvalidArguments(f"The conversation's name is longer than {LONGEST_HANDLE} characters")
        # The kinds of key cannot meet: a session id is never taken for a client's name or a handle.
        local = f"c:{client_name}" if handle is None else f"h:{handle}"
        if client_session_id is not None:
            local = f"s:{client_session_id}"
        name, now = key(principal.key, local), self._clock()
        session = self._recent.get(name)
        if session is None or now - session.last_used > self._ttl:
            session = self._recent[name] = Session(
                id=secrets.token_urlsafe(18),
                principal=principal,
                conversation=name,
                owner=key(principal.key, client_name),
                resumes=client_session_id is not None,
            )
        session.last_used = now
        session.principal = principal  # roles may have changed since
        self._recent.move_to_end(name)
        owned = self._owned.setdefault(principal.key, OrderedDict())
        owned[name] = None
        owned.move_to_end(name)
        self._bound(owned, now)
        return session

    def _bound(self, owned: OrderedDict[bytes, None], now: float) -> None:
        if len(owned) > self._share:
            self._drop(next(iter(owned)))
        oldest = next(iter(self._recent))
        if len(self._recent) > self._max or now - self._recent[oldest].last_used > self._ttl:
            self._drop(oldest)

    def _drop(self, name: bytes) -> None:
        session = self._recent.pop(name, None)
        if session is None:
            return
        owner = session.principal.key
        owned = self._owned[owner]
        del owned[name]
        if not owned:
            del self._owned[owner]


def overlong(handle: object) -> bool:
    """Whether a client's own name for a conversation is too long to be one."""
    return isinstance(handle, str) and len(handle) > LONGEST_HANDLE


def carries_text(body: JSON) -> bool:
    """Whether a message holds anything that a model could read: text, an image, a file. Numbers alone are none."""
    if any(_opaque(block) for key in ("content", "contents") for block in _blocks(body.get(key))):
        return True
    return any(isinstance(leaf.value, str) and any(map(str.isalpha, leaf.value)) for leaf in leaves(body))


def _blocks(content: Any) -> list[Any]:
    return content if isinstance(content, list) else []


def _opaque(block: Any) -> bool:
    if not isinstance(block, dict):
        return False
    file = block.get("resource", block)
    return block.get("type") in ("image", "audio") or (isinstance(file, dict) and bool(file.get("blob")))
