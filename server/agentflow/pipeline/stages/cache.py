"""cache: the answer of a read-only tool is given again, where policy allows it, to the very same question.

Same means: same principal, upstream, tool definition, arguments and policy revision. Only tools annotated
`readOnlyHint` are eligible, only complete answers that are no errors are kept, and only for the seconds that the
decision's `cache_ttl` grants. What is kept is the upstream's answer before redaction, sealed with a key that lives
in this process only; given again, it goes through every outbound stage like a fresh one.
"""

from __future__ import annotations

import hashlib
import json
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, ClassVar, Final, Literal

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from agentflow.pipeline.call import JSON, Call, Direction, Message, Verdict
from agentflow.pipeline.stage import PASS, SKIPPED, Note

_NONCE: Final = 12


class Cache:
    """The cache stage, and the store that the chain asks before and tells after dispatch.

    Args:
        max_bytes: bound on all sealed answers together; one answer may take an eighth of it.
        clock: monotonic seconds.
    """

    name: ClassVar[str] = "cache"
    kind: ClassVar[Literal["validator", "mutator"]] = "mutator"
    directions: ClassVar[frozenset[Direction]] = frozenset({Direction.INBOUND})

    def __init__(self, max_bytes: int = 32 * 1024 * 1024, clock: Callable[[], float] = time.monotonic) -> None:
        self._max_bytes = max_bytes
        self._clock = clock
        self._seal = AESGCM(AESGCM.generate_key(256))
        self._kept: OrderedDict[bytes, tuple[float, bytes]] = OrderedDict()  # key → (expires, nonce + sealed)
        self._bytes = 0

    def __call__(self, call: Call, message: Message) -> Note:
        """Note whether the call can be answered from the cache; nothing is changed."""
        if message.surface != "tools/call" or call.surface != "tools/call":
            return SKIPPED
        if not _eligible(call):
            return PASS
        call.cached = self._fresh(_key(call)) is not None
        return Note(Verdict.PASS, {"cache": "hit" if call.cached else "miss"})

    def lookup(self, call: Call) -> JSON | None:
        """Return the kept answer to this very call, a copy of its own, or None."""
        if not _eligible(call):
            return None
        key = _key(call)
        sealed = self._fresh(key)
        call.cached = sealed is not None
        if sealed is None:
            return None
        self._kept.move_to_end(key)
        try:
            result: JSON = json.loads(self._seal.decrypt(sealed[:_NONCE], sealed[_NONCE:], key))
        except InvalidTag as error:  # cannot happen short of memory corruption; never serve it
            raise RuntimeError("a cached answer does not open") from error
        return result

    def store(self, call: Call, result: JSON) -> None:
        """Keep a fresh answer if the call is eligible and the answer is complete and no error."""
        if not _eligible(call) or result.get("isError") or result.get("resultType", "complete") != "complete":
            return
        if "task" in result:
            return
        key, nonce = _key(call), secrets.token_bytes(_NONCE)
        sealed = nonce + self._seal.encrypt(nonce, json.dumps(result, separators=(",", ":")).encode(), key)
        if len(sealed) > self._max_bytes // 8:
            return
        self._drop(key)
        ttl = call.decision.obligations.cache_ttl if call.decision else 0.0
        self._kept[key] = (self._clock() + ttl, sealed)
        self._bytes += len(sealed)
        while self._bytes > self._max_bytes:
            self._drop(next(iter(self._kept)))

    def _fresh(self, key: bytes) -> bytes | None:
        expires, sealed = self._kept.get(key, (0.0, b""))
        if not sealed:
            return None
        if expires <= self._clock():
            self._drop(key)
            return None
        return sealed

    def _drop(self, key: bytes) -> None:
        kept = self._kept.pop(key, None)
        if kept is not None:
            self._bytes -= len(kept[1])


def _eligible(call: Call) -> bool:
    if call.surface != "tools/call" or call.decision is None or call.decision.obligations.cache_ttl <= 0:
        return False
    annotations = (call.definition or {}).get("annotations")
    return isinstance(annotations, dict) and annotations.get("readOnlyHint") is True


def _key(call: Call) -> bytes:
    """A digest, so that the arguments, which may hold clear values by now, are not kept."""
    identity: list[Any] = [
        call.principal.key,
        call.upstream.name,
        call.target,
        call.params.get("arguments") or {},
        call.definition,
        call.decision.revision if call.decision else "",
    ]
    canonical = json.dumps(identity, sort_keys=True, separators=(",", ":"))
    return hashlib.blake2b(canonical.encode(), digest_size=32).digest()
