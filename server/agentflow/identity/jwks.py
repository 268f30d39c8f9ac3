"""The keys of one issuer: fetched when first needed, kept fresh in the background, and never trusted for ever.

It promises that requests wait for a fetch only where there are no keys yet, or where a token names one that is not
among them; that a flood of made-up key ids causes a few fetches and no more; that an issuer that cannot be reached
keeps its last keys for `keep_keys` seconds and then has none (fail closed); that what has left the set no longer
counts, from that moment. Symmetric, private, short and encryption keys are left out of the set (RFC 7517, RFC 8725).
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from agentflow.audit.events import Event
from agentflow.config_auth import IssuerConfig
from agentflow.errors import AuditUnavailable
from agentflow.identity.fetching import Fetched, Fetcher, FetchFailed, split

if TYPE_CHECKING:
    from joserfc.jwk import Key as JoseKey

log = logging.getLogger(__name__)
JSON = dict[str, Any]
_KEYS: Final = 64  # of one set that are kept
_AT_ONCE, _EVERY = 3, 10.0  # fetches for unknown key ids: so many in a row, then one in so many seconds
_AGAIN: Final = 5.0  # seconds before an issuer that could not be reached is tried again
_SOONEST: Final = 30.0  # seconds between two fetches of keys that are good
_EARLY: Final = 0.8  # share of their time after which keys are fetched again, in the background
_PRIVATE: Final = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})
_CURVES: Final = {"P-256": "ES256", "P-384": "ES384", "P-521": "ES512"}
_SIZES: Final = range(2048, 16_384 + 1)  # bits of an RSA modulus (RFC 7518, 3.3; OpenSSL takes no more)


class KeysUnavailable(Exception):
    """No key can be had just now; the text says why."""


@dataclass(frozen=True, slots=True)
class Key:
    """One verification key. `print` tells it from all others; `algorithms` are the ones it fits."""

    print: bytes
    kid: str | None
    algorithms: frozenset[str]
    jose: JoseKey


class Keys:
    """The keys of one issuer.

    Args:
        record: takes what happens to them (`jwks_loaded`, `jwks_failed`); may raise `AuditUnavailable`.
        now: seconds, monotonic.
    """

    def __init__(
        self,
        config: IssuerConfig,
        record: Callable[[Event], object] | None = None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._config = config
        self._record = record
        self._now = now
        self._fetcher = Fetcher(_named(config), config.allow_private, config.ca, config.timeout)
        self._keys: tuple[Key, ...] = ()
        self._url = config.jwks_url
        self.live: frozenset[bytes] = frozenset()  # prints of the keys that count
        self._refresh_at = 0.0
        self._fresh_until = 0.0
        self._end = 0.0  # when the keys stop counting, whatever happens
        self._failure: FetchFailed | None = None
        self._tried = -_AGAIN
        self._tokens, self._refilled = float(_AT_ONCE), now()
        self._running: asyncio.Task[None] | None = None

    def counts(self, print_: bytes) -> bool:
        """Whether a key is still one of the set; asks for a new set in the background where it is about time."""
        now = self._now()
        if now >= self._refresh_at:
            self._soon(now)
        return print_ in self.live and now < self._end

    async def find(self, kid: str | None, algorithm: str) -> Sequence[Key]:
        """The keys that a token may have been signed with; none where the issuer has no such key.

        Raises:
            KeysUnavailable: the issuer's keys cannot be had, so nobody can say.
        """
        now = self._now()
        if now >= self._end:
            await self._fetch_now(now)
        elif now >= self._refresh_at:
            self._soon(now)
        found = self._matching(kid, algorithm)
        if not found and self._may_ask():
            await self._shared()
            found = self._matching(kid, algorithm)
        if not found and self._failure is not None:
            raise KeysUnavailable(self._failure.text)
        return found

    def close(self) -> None:
        """End what runs in the background."""
        if self._running is not None:
            self._running.cancel()

    def _matching(self, kid: str | None, algorithm: str) -> list[Key]:
        return [key for key in self._keys if (kid is None or key.kid == kid) and algorithm in key.algorithms]

    def _may_ask(self) -> bool:
        """Take one of the few fetches that unknown key ids may cause."""
        now = self._now()
        self._tokens = min(_AT_ONCE, self._tokens + (now - self._refilled) / _EVERY)
        self._refilled = now
        if self._tokens < 1 and (self._running is None or self._running.done()):
            return False
        self._tokens = max(0.0, self._tokens - 1)
        return True

    async def _fetch_now(self, now: float) -> None:
        going_on = self._running is not None and not self._running.done()
        if self._failure is None or now - self._tried >= _AGAIN or going_on:
            await self._shared()
        if self._failure is not None:
            raise KeysUnavailable(self._failure.text)

    def _soon(self, now: float) -> None:
        """Fetch in the background, unless that is going on, or has just failed."""
        if (self._running is None or self._running.done()) and now - self._tried >= _AGAIN:
            with contextlib.suppress(RuntimeError):  # no event loop: the next request has one
                self._start()

    async def _shared(self) -> None:
        """Wait for one fetch, together with whoever else does.

        Raises:
            KeysUnavailable: the issuer was taken out of the configuration meanwhile, or changed in it.
        """
        running = self._running if self._running is not None and not self._running.done() else self._start()
        await asyncio.wait((running,))
        if running.cancelled():  # the request that waits is not: it is answered
            raise KeysUnavailable("the configuration has changed")

    def _start(self) -> asyncio.Task[None]:
        self._tried = self._now()
        self._running = asyncio.get_running_loop().create_task(self._fetch())
        return self._running

    async def _fetch(self) -> None:
        """Fetch the set and take it; where that fails, note why and keep what there is until its end."""
        failed = self._failure
        try:
            fetched = await self._fetched()
            keys = _read(fetched.body, self._config)
        except Exception as error:
            if not isinstance(error, FetchFailed):  # of ours, and no reason to hold up those who wait
                log.error("fetching keys failed: %s", type(error).__name__, exc_info=error)
            failure = error if isinstance(error, FetchFailed) else FetchFailed("internal_error", type(error).__name__)
            self._failure = failure
            if failed is None or failed.code != failure.code:
                log.warning("the keys of %s cannot be fetched: %s", self._config.issuer, failure.text)
                self._note("jwks_failed", failure.code)
            if self._now() >= self._end and self._keys:
                self._keys, self.live = (), frozenset()
            return
        now, before = self._now(), self.live
        age = self._config.refresh if fetched.max_age is None else min(self._config.refresh, fetched.max_age)
        age = max(age, _SOONEST)
        self._failure, self._keys = None, keys
        self.live = frozenset(key.print for key in keys)
        self._refresh_at, self._fresh_until = now + age * _EARLY, now + age
        self._end = self._fresh_until + self._config.keep_keys
        if self.live != before or failed is not None:
            self._note("jwks_loaded", "ok", keys=len(keys), added=len(self.live - before), left=len(before - self.live))

    async def _fetched(self) -> Fetched:
        if self._url is None:
            self._url = await self._discovered()
        try:
            return await self._fetcher.get(self._url)
        except FetchFailed:
            self._url = self._config.jwks_url  # it may have moved: look again next time
            raise

    async def _discovered(self) -> str:
        """Where the keys are, as the issuer's metadata says (OpenID Connect Discovery 1.0, RFC 8414)."""
        failure: FetchFailed | None = None
        for url in _metadata(self._config):
            try:
                found = (await self._fetcher.get(url)).body
            except FetchFailed as error:
                if failure is None or error.code != "status":
                    failure = error
                continue
            if found.get("issuer") != self._config.issuer:
                raise FetchFailed("foreign_metadata", f"{url} is the metadata of another issuer")
            where = found.get("jwks_uri")
            if not isinstance(where, str):
                raise FetchFailed("no_jwks_uri", f"{url} names no `jwks_uri`")
            split(where)
            return where
        assert failure is not None
        raise failure

    def _note(self, event: str, outcome: str, **details: int) -> None:
        if self._record is not None:
            with contextlib.suppress(AuditUnavailable):  # calls are refused then, whoever makes them
                self._record(Event("identity", event, subject=self._config.issuer, outcome=outcome, details=details))


def _named(config: IssuerConfig) -> frozenset[str]:
    """The hosts that the operator's file names for this issuer."""
    urls = (config.issuer, config.jwks_url, config.discovery)
    return frozenset(host for url in urls if url and (host := urlsplit(url).hostname))


def _metadata(config: IssuerConfig) -> list[str]:
    """Where an issuer's metadata may be, in the order in which they are tried."""
    if config.discovery:
        return [config.discovery]
    parts = urlsplit(config.issuer)
    origin, path = f"{parts.scheme}://{parts.netloc}", parts.path.rstrip("/")
    return list(
        dict.fromkeys(
            (
                f"{origin}{path}/.well-known/openid-configuration",
                f"{origin}/.well-known/oauth-authorization-server{path}",
                f"{origin}/.well-known/openid-configuration{path}",
            )
        )
    )


def _read(document: JSON, config: IssuerConfig) -> tuple[Key, ...]:
    """The usable keys of a JWK set.

    Raises:
        FetchFailed: it is none, or holds none.
    """
    listed = document.get("keys")
    if not isinstance(listed, list):
        raise FetchFailed("not_a_jwks", "what was fetched is not a JWK set")
    usable = (key for each in listed if isinstance(each, dict) and (key := _key(each, config)) is not None)
    found = tuple(islice(usable, _KEYS))
    if not found:
        raise FetchFailed("no_keys", "the JWK set holds no key that may be used")
    return found


def _key(data: JSON, config: IssuerConfig) -> Key | None:
    from joserfc.errors import JoseError
    from joserfc.jwk import import_key

    kid, operations = data.get("kid"), data.get("key_ops")
    if data.get("kty") == "oct" or _PRIVATE & data.keys() or data.get("use") not in (None, "sig"):
        return None
    if not (kid is None or isinstance(kid, str)):
        return None
    if operations is not None and not (isinstance(operations, list) and "verify" in operations):
        return None
    fits = _fitting(data) & set(config.algorithms)
    if not fits:
        return None
    if data.get("kty") == "RSA" and _bits(data.get("n")) not in _SIZES:
        return None
    try:
        key = import_key({name: data[name] for name in ("kty", "n", "e", "crv", "x", "y") if name in data})
        _ = key.raw_value  # made on first use: whether the numbers are a key shows here
    except (JoseError, ValueError, TypeError, KeyError):
        return None
    material = "|".join(f"{name}={data.get(name)}" for name in ("kty", "crv", "n", "e", "x", "y"))
    return Key(hashlib.sha256(f"{kid!r}|{material}|{sorted(fits)}".encode()).digest(), kid, frozenset(fits), key)


def _bits(number: object) -> int:
    """The length of a number written as in a JWK."""
    if not isinstance(number, str):
        return 0
    try:
        return int.from_bytes(base64.urlsafe_b64decode(number + "=" * (-len(number) % 4))).bit_length()
    except ValueError:
        return 0


def _fitting(data: JSON) -> set[str]:
    """The algorithms that a key is for: all of its type, or the one that it names."""
    kind, curve, named = data.get("kty"), data.get("crv"), data.get("alg")
    if kind == "RSA":
        fits = {"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"}
    elif kind == "EC":
        fits = {_CURVES[curve]} if isinstance(curve, str) and curve in _CURVES else set()
    elif kind == "OKP" and curve == "Ed25519":
        fits = {"EdDSA", "Ed25519"}
        named = None if isinstance(named, str) and named in fits else named
    else:
        fits = set()
    return fits if named is None else fits & {named} if isinstance(named, str) else set()
