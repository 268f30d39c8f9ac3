"""A provider that speaks OpenAI's own format: OpenAI, vLLM, Ollama's /v1, any compatible endpoint.

It goes over the wire as it is: no member that the endpoint sends gets lost, a part of a stream costs a tenth of a
millisecond (a half through litellm), and a stream that breaks off is told from one that ends. What a model does not
take (a temperature, a schema, one name of `max_tokens` or the other) is learnt from its refusal, and left out for an
hour. Redirects are never followed (the key goes to the configured address only), nothing that failed is retried, and no
answer is larger than `MAX_ANSWER`.
"""

from __future__ import annotations

import asyncio
import functools
import ssl
import time
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final
from urllib.parse import urlsplit

import httpx2
import orjson

from agentflow.config_models import ModelConfig, ProviderConfig
from agentflow.errors import ConfigError
from agentflow.models.fleet import Deployment
from agentflow.models.worker.failures import refusal
from agentflow.models.worker.provider import JSON, MAX_ANSWER, ProviderFailure

_CONNECT: Final = 10.0  # seconds
_OPENAI: Final = "https://api.openai.com/v1"
_NEEDED: Final = frozenset({"model", "messages", "input", "stream", "tools", "n"})  # without them it is another request
_KNOWN_FOR: Final = 3600.0  # seconds that a refusal is believed: endpoints change, and some refuse by mistake
_OTHER_NAME: Final = {"max_tokens": "max_completion_tokens", "max_completion_tokens": "max_tokens"}


def speaks_openai(config: ProviderConfig) -> bool:
    """Whether a provider is asked in OpenAI's own format, without litellm."""
    if config.kind == "ollama":
        return config.base_url is not None and urlsplit(config.base_url).path.rstrip("/").endswith("/v1")
    return config.kind in ("openai", "openai_compatible", "vllm")


@functools.cache
def _tls() -> ssl.SSLContext:
    # Loading the certificates takes 17 ms; once is enough.
    return ssl.create_default_context()


class OpenAIWire:
    """A `Provider`.

    Raises:
        ConfigError: `base_url` is not an HTTP address.
    """

    retries_itself = False

    def __init__(self, name: str, config: ProviderConfig) -> None:
        self._base = _base(name, config)
        self._key = config.api_key
        self._refused: dict[tuple[str, str], float] = {}  # (model, member) that it does not take, and until when
        self._client = httpx2.AsyncClient(
            verify=_tls(),
            follow_redirects=False,
            limits=httpx2.Limits(max_connections=None, max_keepalive_connections=64, keepalive_expiry=30),
        )

    async def complete(self, deployment: Deployment, body: JSON, timeout: float) -> JSON:
        """See `Provider`."""
        return await self._whole("/chat/completions", deployment, {**body, "stream": False}, timeout)

    async def embed(self, deployment: Deployment, body: JSON, timeout: float) -> JSON:
        """See `Provider`."""
        return await self._whole("/embeddings", deployment, body, timeout)

    async def stream(self, deployment: Deployment, body: JSON, timeout: float) -> AsyncIterator[JSON]:
        """See `Provider`."""
        wanted = {**body, "stream": True, "stream_options": {"include_usage": True}}
        omitted = _Omitted()
        while True:
            sent = self._fitting(deployment, wanted, omitted.names)
            try:
                async with self._asked("POST", "/chat/completions", sent, timeout) as response:
                    self._takes_not(deployment, omitted.names)
                    async for chunk in _events(response, timeout):
                        yield chunk
                return
            except ProviderFailure as failure:
                if not omitted.more(sent, failure):
                    raise

    async def discover(self) -> Sequence[ModelConfig]:
        """See `Provider`."""
        async with self._asked("GET", "/models", None, _CONNECT) as response:
            listed = _parsed(await _read(response))
        data = listed.get("data")
        if not isinstance(data, list):
            raise ProviderFailure("protocol", "its list of models is malformed")
        names = [item["id"] for item in data if isinstance(item, dict) and isinstance(item.get("id"), str)]
        return [ModelConfig(model=name, kind="embedding" if "embed" in name.lower() else "chat") for name in names]

    async def close(self) -> None:
        """See `Provider`."""
        await self._client.aclose()

    async def _whole(self, path: str, deployment: Deployment, body: JSON, timeout: float) -> JSON:
        omitted = _Omitted()
        try:
            async with asyncio.timeout(timeout):
                while True:
                    sent = self._fitting(deployment, body, omitted.names)
                    try:
                        async with self._asked("POST", path, sent, timeout) as response:
                            self._takes_not(deployment, omitted.names)
                            return _parsed(await _read(response))
                    except ProviderFailure as failure:
                        if not omitted.more(sent, failure):
                            raise
        except TimeoutError:
            raise _late(timeout) from None

    def _fitting(self, deployment: Deployment, body: JSON, omitted: Collection[str]) -> JSON:
        now, model = time.monotonic(), deployment.model
        known = (name for (whose, name), until in self._refused.items() if whose == model and until > now)
        refused = {*known, *omitted}
        sent = {name: value for name, value in body.items() if name not in refused}
        for name, other in _OTHER_NAME.items():
            if name in refused and name in body and other not in refused:
                sent[other] = body[name]
        return {**sent, "model": deployment.model}

    def _takes_not(self, deployment: Deployment, omitted: Collection[str]) -> None:
        """It was answered without these, and not with them."""
        until = time.monotonic() + _KNOWN_FOR
        self._refused.update(((deployment.model, name), until) for name in omitted)

    @asynccontextmanager
    async def _asked(self, method: str, path: str, body: JSON | None, timeout: float) -> AsyncIterator[httpx2.Response]:
        headers = {"content-type": "application/json"}
        if self._key is not None:
            headers["authorization"] = f"Bearer {self._key.get_secret_value()}"
        limit = httpx2.Timeout(timeout, connect=min(_CONNECT, timeout))
        content = None if body is None else orjson.dumps(body)
        answering = False
        try:
            async with self._client.stream(
                method, self._base + path, content=content, headers=headers, timeout=limit
            ) as response:
                answering = True
                if response.status_code != 200:
                    raise refusal(response.status_code, response.headers, _error(await _read(response)))
                yield response
        except (httpx2.ConnectTimeout, httpx2.ConnectError):
            raise ProviderFailure("unreachable", "it cannot be reached", fix="check the provider's base_url") from None
        except httpx2.TimeoutException:
            raise _late(timeout) from None
        except (httpx2.RemoteProtocolError, httpx2.ReadError, httpx2.DecodingError):
            if not answering:
                raise ProviderFailure("server", "it broke the connection off before it answered") from None
            raise ProviderFailure("protocol", "its answer broke off") from None
        except httpx2.HTTPError as error:
            raise ProviderFailure("unreachable", f"the connection failed ({type(error).__name__})") from None


def _base(name: str, config: ProviderConfig) -> str:
    told = config.base_url or (_OPENAI if config.kind == "openai" else "")
    try:
        parts = urlsplit(told)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        usable = False
    if not usable:
        raise ConfigError(
            f"models.providers.{name}.base_url is not an HTTP address", fix="set it to http(s)://host[:port]/v1"
        )
    base = told.rstrip("/")
    return base + "/v1" if config.kind in ("openai", "vllm") and not parts.path.strip("/") else base


class _Omitted:
    """What of one request is left out, for it was refused with it: what a refusal names, and one guess at a time."""

    def __init__(self) -> None:
        self._named: set[str] = set()
        self._guess: tuple[str, ...] = ()
        self._guesses: list[tuple[str, ...]] | None = None

    @property
    def names(self) -> set[str]:
        """The members."""
        return self._named.union(self._guess)

    def more(self, sent: JSON, failure: ProviderFailure) -> bool:
        """After a refusal: whether something optional was in it that may have been the reason, and is left out now."""
        if failure.kind != "bad_request":
            return False
        member = failure.param.split(".")[0].split("[")[0]
        if member in sent and member not in _NEEDED:
            self._named.add(member)
            return True
        if self._guesses is None:
            form = sent.get("response_format")
            schema = isinstance(form, dict) and form.get("type") == "json_schema"
            optional = [name for name in ("response_format", "stream_options") if name in sent]
            found = tuple(name for name in optional if name != "response_format" or schema)
            self._guesses = [*((name,) for name in found), *([found] if len(found) > 1 else [])]
        self._guess = self._guesses.pop(0) if self._guesses else ()
        return bool(self._guess)


def _late(timeout: float) -> ProviderFailure:
    return ProviderFailure("timeout", f"it did not answer within {timeout:g} s")


async def _read(response: httpx2.Response) -> bytes:
    parts, size = [], 0
    async for part in response.aiter_bytes():
        size += len(part)
        if size > MAX_ANSWER:
            raise ProviderFailure("protocol", f"its answer is larger than {MAX_ANSWER} bytes")
        parts.append(part)
    return b"".join(parts)


def _parsed(raw: bytes) -> JSON:
    try:
        answer = orjson.loads(raw)
    except ValueError:
        raise ProviderFailure("protocol", "its answer is not JSON") from None
    if not isinstance(answer, dict):
        raise ProviderFailure("protocol", "its answer is not a JSON object")
    return answer


def _error(raw: bytes) -> Any:
    try:
        return orjson.loads(raw)
    except ValueError:
        return raw[:4000].decode("utf-8", "replace")


async def _events(response: httpx2.Response, timeout: float) -> AsyncIterator[JSON]:
    """The chunks of a stream of server-sent events. Comments keep nothing alive: what counts is the next chunk."""
    kept, size, since, ended = b"", 0, time.monotonic(), False
    async for part in response.aiter_bytes():
        size += len(part)
        if size > 8 * MAX_ANSWER:  # each few letters come with some 200 bytes around them
            raise ProviderFailure("protocol", f"its answer is larger than {8 * MAX_ANSWER} bytes")
        lines = (kept + part).split(b"\n") if kept else part.split(b"\n")
        kept = lines.pop()
        for line in lines:
            if not line.startswith(b"data:"):
                continue
            data = line[5:].strip()
            if data == b"[DONE]":
                return
            chunk = _chunk(data)
            ended = ended or _ends(chunk)
            yield chunk
            since = time.monotonic()
        if time.monotonic() - since > timeout:
            raise _late(timeout)
    if not ended:
        raise ProviderFailure("protocol", "its answer broke off")


def _ends(chunk: JSON) -> bool:
    choices = chunk.get("choices")
    return isinstance(choices, list) and any(isinstance(c, dict) and c.get("finish_reason") for c in choices)


def _chunk(data: bytes) -> JSON:
    try:
        chunk = orjson.loads(data)
    except ValueError:
        raise ProviderFailure("protocol", "a part of its answer is not JSON") from None
    if not isinstance(chunk, dict):
        raise ProviderFailure("protocol", "a part of its answer is malformed")
    if chunk.get("error"):
        error = chunk["error"]
        code = error.get("code") if isinstance(error, dict) else None
        raise refusal(code if isinstance(code, int) and 400 <= code < 600 else 500, {}, chunk)
    return chunk
