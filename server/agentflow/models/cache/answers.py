"""Answers of models, given again: to the very same request, and, if asked for, to one that means the same.

It promises that no answer crosses tenants, nor the privacy level that was configured (a request may narrow it, never
widen it); that only whole answers to requests with temperature 0 are kept, and embeddings; that keys are digests
under a secret of this process; and that `max_entries` and 32 MiB are never exceeded. Everything lives in memory and
ends with the process: no answer is ever written to a disk.

By meaning: two requests must agree in everything but their last question, and in that question in every number,
token, name, quotation, negation and comparison (`facts`), for those hardly move a sentence's vector.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, Protocol

from agentflow.config_models import ModelCacheConfig, ModelTier, Privacy
from agentflow.models.cache.facts import facts
from agentflow.models.cache.stats import CacheStats, Tally

JSON = dict[str, Any]
MAX_BYTES: Final = 32 * 1024 * 1024
_MAX_ENTRY: Final = MAX_BYTES // 16
_LOOKED_AT: Final = 256  # newest questions of one kind that are compared by meaning
_LEVELS: Final[tuple[Privacy, ...]] = ("public", "tenant", "project", "principal")
# Members of a request that change how it is answered, but not what.
_IDLE: Final = frozenset(
    (
        "stream",
        "stream_options",
        "user",
        "metadata",
        "agentflow",
        "store",
        "service_tier",
        "safety_identifier",
        "prompt_cache_key",
        "prompt_cache_retention",
        "temperature",
    )
)
_LIVE: Final = ("web_search_options", "audio")  # members of requests whose answer is another one each time
_ENDED: Final = frozenset({"stop", "length", "tool_calls"})


class Direction(Protocol):
    """A text's vector."""

    def cosine(self, other: Any, /) -> float:
        """-1 to 1."""
        ...


class Encoder(Protocol):
    """Makes vectors of texts that are the nearer the more alike they mean (`models.encoder`)."""

    def encode(self, text: str, /) -> Direction:
        """The vector of one text."""
        ...


@dataclass(frozen=True, slots=True)
class CacheKey:
    """Which answer would do. Holds the question itself only until it is answered, and never shows it.

    Attributes:
        exact: digest of the request and of who may share its answer.
        frame: the same without the last question; None where the answer is looked for exactly only.
    """

    tenant: str
    exact: bytes
    frame: bytes | None = None
    question: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class CachedAnswer:
    """An answer that is there already.

    Attributes:
        answer: as it was kept, a copy of its own.
        cost: nano-dollars that it had cost; similarity: cosine of the questions, 1 for the same one.
    """

    answer: JSON
    tier: ModelTier
    cost: int
    match: Literal["exact", "semantic"] = "exact"
    similarity: float = 1.0


@dataclass(frozen=True, slots=True)
class _Entry:
    tenant: str
    body: bytes
    tier: ModelTier
    cost: int
    expires: float
    frame: bytes | None
    vector: Direction | None
    facts: tuple[str, ...]


class AnswerCache:
    """Answers by request.

    Args:
        encoder: of questions, needed with `config.semantic`; asked for once, when the first question is compared.
        clock: monotonic seconds, so that a change of the wall clock makes nothing last longer.
    """

    def __init__(
        self,
        config: ModelCacheConfig,
        encoder: Callable[[], Encoder] | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._config = config
        self._encoder = encoder if config.semantic else None
        self._clock = clock
        self._secret = secrets.token_bytes(32)
        self._entries: OrderedDict[bytes, _Entry] = OrderedDict()
        self._frames: dict[bytes, OrderedDict[bytes, None]] = {}
        self._bytes = 0
        self._tallies: dict[str, Tally] = {}

    def key(
        self,
        body: Mapping[str, Any],
        tenant: str,
        project: str,
        principal: str,
        *,
        privacy: Privacy | None = None,
        within: str = "",
    ) -> CacheKey | None:
        """The key of a request to `/v1/chat/completions` or `/v1/embeddings`; None: its answer is not reusable.

        Args:
            privacy: narrows who may share the answer; a wider level than the configured one changes nothing.
            within: what else has to be the same: the tier that is asked for, the models that policy allows.
        """
        if not self._config.enabled or not _reusable(body):
            return None
        level = max((self._config.privacy, privacy or self._config.privacy), key=_LEVELS.index)
        sharing = [tenant, *([project] if level in ("project", "principal") else []), level]
        if level == "principal":
            sharing.append(principal)
        known = {name: value for name, value in body.items() if name not in _IDLE}
        try:
            exact = self._digest(["exact", sharing, within, known])
            question, frame = "", None
            asked = _question(known) if self._encoder is not None else None
            if asked is not None:
                question = asked[0]
                frame = self._digest(["frame", sharing, within, asked[1]])
        except (TypeError, ValueError, RecursionError):  # not JSON: whoever sends it on will say so
            return None
        return CacheKey(tenant, exact, frame, question)

    async def get(self, key: CacheKey) -> CachedAnswer | None:
        """The answer that is kept for it, if there is one that is fresh."""
        tally = self._tally(key.tenant)
        entry, match, similarity = self._fresh(key.exact), "exact", 1.0
        if entry is None and key.frame is not None:
            near = self._nearest(key)
            if near is not None:
                entry, similarity = near
                match = "semantic"
        if entry is None:
            tally.misses += 1
            return None
        tally.hit(match == "exact", entry.cost)
        return CachedAnswer(
            json.loads(entry.body), entry.tier, entry.cost, "exact" if match == "exact" else "semantic", similarity
        )

    async def put(self, key: CacheKey, answer: Mapping[str, Any], tier: ModelTier, cost: int) -> bool:
        """Keep an answer for the seconds that its tier allows; False where it is not one to be given again.

        Args:
            answer: a `chat.completion` or a list of embeddings, whole.
            tier: of the model that wrote it; cost: nano-dollars.
        """
        seconds: float = getattr(self._config.ttl, tier)
        if seconds <= 0 or not _whole(answer):
            return False
        body = json.dumps({k: v for k, v in answer.items() if k != "agentflow"}, separators=(",", ":")).encode()
        if len(body) > _MAX_ENTRY:
            return False
        vector: Direction | None = None
        found: tuple[str, ...] = ()
        if key.frame is not None and self._encoder is not None:
            vector, found = self._encoder().encode(key.question), facts(key.question)
        self._drop(key.exact)
        entry = _Entry(key.tenant, body, tier, cost, self._clock() + seconds, key.frame, vector, found)
        self._entries[key.exact] = entry
        self._bytes += len(body)
        if key.frame is not None:
            self._frames.setdefault(key.frame, OrderedDict())[key.exact] = None
        self._tally(key.tenant).stored += 1
        while len(self._entries) > self._config.max_entries or self._bytes > MAX_BYTES:
            oldest = next(iter(self._entries))
            self._tally(self._entries[oldest].tenant).evicted += 1
            self._drop(oldest)
        return True

    def clear(self, tenant: str | None = None) -> int:
        """Forget the answers of one tenant, or all; returns how many."""
        gone = [key for key, entry in self._entries.items() if tenant is None or entry.tenant == tenant]
        for key in gone:
            self._drop(key)
        return len(gone)

    def stats(self, tenant: str | None = None) -> CacheStats:
        """What the cache holds and has saved, of one tenant or of all."""
        kept = [entry for entry in self._entries.values() if tenant is None or entry.tenant == tenant]
        tallies = [tally for name, tally in self._tallies.items() if tenant is None or name == tenant]
        return CacheStats.of(len(kept), sum(len(entry.body) for entry in kept), tallies)

    def _digest(self, what: list[Any]) -> bytes:
        canonical = json.dumps(what, sort_keys=True, separators=(",", ":"), allow_nan=False)
        return hmac.digest(self._secret, canonical.encode("utf-8", "surrogatepass"), hashlib.sha256)

    def _fresh(self, exact: bytes) -> _Entry | None:
        entry = self._entries.get(exact)
        if entry is None:
            return None
        if entry.expires <= self._clock():
            self._tally(entry.tenant).expired += 1
            self._drop(exact)
            return None
        self._entries.move_to_end(exact)
        return entry

    def _nearest(self, key: CacheKey) -> tuple[_Entry, float] | None:
        """The entry whose question means the same, and how much so."""
        alike = self._frames.get(key.frame or b"")
        if not alike or self._encoder is None:
            return None
        wanted, found = self._encoder().encode(key.question), facts(key.question)
        best: tuple[bytes, float] | None = None
        for exact in list(reversed(alike))[:_LOOKED_AT]:
            entry = self._entries[exact]
            if entry.vector is None or entry.facts != found:
                continue
            similarity = wanted.cosine(entry.vector)
            nearer = similarity >= self._config.threshold and (best is None or similarity > best[1])
            if nearer and self._fresh(exact) is not None:
                best = (exact, similarity)
        return (self._entries[best[0]], best[1]) if best is not None else None

    def _drop(self, exact: bytes) -> None:
        entry = self._entries.pop(exact, None)
        if entry is None:
            return
        self._bytes -= len(entry.body)
        if entry.frame is not None:
            alike = self._frames[entry.frame]
            alike.pop(exact, None)
            if not alike:
                del self._frames[entry.frame]

    def _tally(self, tenant: str) -> Tally:
        return self._tallies.setdefault(tenant, Tally())


def _reusable(body: Mapping[str, Any]) -> bool:
    """Whether the same request would get the same answer."""
    if "input" in body:
        return True
    temperature = body.get("temperature")
    if isinstance(temperature, bool) or not isinstance(temperature, (int, float)) or temperature != 0:
        return False
    return body.get("n") in (None, 1) and not any(body.get(name) for name in _LIVE)


def _question(body: Mapping[str, Any]) -> tuple[str, JSON] | None:
    """The last question of a chat, where a user's text ends it, and the request without it."""
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        return None
    last = messages[-1]
    if not isinstance(last, Mapping) or last.get("role") != "user" or not isinstance(last.get("content"), str):
        return None
    rest = {**body, "messages": [*messages[:-1], {**last, "content": None}]}
    return last["content"], rest


def _whole(answer: Mapping[str, Any]) -> bool:
    """Whether it is a complete answer: one choice that ended by itself with something in it, or embeddings."""
    if isinstance(answer.get("data"), list):
        return bool(answer["data"])
    choices = answer.get("choices")
    if not isinstance(choices, list) or len(choices) != 1 or not isinstance(choices[0], Mapping):
        return False
    message = choices[0].get("message")
    if choices[0].get("finish_reason") not in _ENDED or not isinstance(message, Mapping):
        return False
    return bool(message.get("content") or message.get("tool_calls"))
