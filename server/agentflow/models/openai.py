"""A chat model behind any OpenAI-compatible endpoint (`POST {base_url}/chat/completions`).

Promises: one request per call, a deadline, a bound on the answer's size, redirects never followed (the key goes
to the configured address only), and every fault as one typed error that never quotes the key or the prompt.
Refuses: to judge what the model wrote; that is the caller's business.
"""

from __future__ import annotations

import functools
import json
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlsplit

from pydantic import SecretStr

from agentflow.errors import (
    AgentFlowError,
    ConfigError,
    LimitExceeded,
    UpstreamProtocolError,
    UpstreamTimeout,
    UpstreamUnavailable,
)

if TYPE_CHECKING:
    import httpx2

JSON = dict[str, Any]
MAX_ANSWER = 4 * 1024 * 1024  # bytes


@dataclass(frozen=True, slots=True)
class ChatMessage:
    """One message of a conversation."""

    role: Literal["system", "user", "assistant"]
    content: str


@dataclass(frozen=True, slots=True)
class Completion:
    """What the model wrote, and what it cost in tokens (0 where the endpoint does not say)."""

    text: str
    model: str
    finish_reason: str
    prompt_tokens: int = 0
    completion_tokens: int = 0


def _address(base_url: str) -> str:
    try:
        parts = urlsplit(base_url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        usable = False
    if not usable:
        raise ConfigError("flow.base_url is not an HTTP address", fix="set flow.base_url to http(s)://host[:port]/v1")
    return base_url.rstrip("/") + "/chat/completions"


@functools.cache
def _tls() -> ssl.SSLContext:
    # Loading the certificates takes 17 ms; once is enough.
    return ssl.create_default_context()


class ChatModel:
    """A model at an endpoint. Use as an async context manager, or close with `aclose`.

    Raises:
        ConfigError: `base_url` is not an HTTP address.
    """

    def __init__(
        self,
        base_url: str,
        model: str,
        api_key: SecretStr | None = None,
        *,
        timeout: float = 60.0,
        max_tokens: int = 2048,
    ) -> None:
        self.model = model
        self._url = _address(base_url)
        self._key = api_key
        self._timeout = timeout
        self._max_tokens = max_tokens
        self._schemas = True
        self._client: httpx2.AsyncClient | None = None

    async def __aenter__(self) -> ChatModel:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections."""
        if self._client is not None:
            await self._client.aclose()
            self._client = None

    async def complete(self, messages: Sequence[ChatMessage], schema: JSON | None = None) -> Completion:
        """Ask for one completion.

        Args:
            schema: JSON schema of the wanted answer; sent as `response_format` until the endpoint refuses that once.

        Raises:
            UpstreamUnavailable: no connection, or the endpoint answered 5xx.
            UpstreamTimeout: no answer in time.
            UpstreamProtocolError: the answer is not a chat completion.
            LimitExceeded: 429, or the answer is larger than `MAX_ANSWER`.
            ConfigError: the endpoint refuses the key, the model or the request.
        """
        body: JSON = {
            "model": self.model,
            "messages": [{"role": m.role, "content": m.content} for m in messages],
            "temperature": 0,
            "max_tokens": self._max_tokens,
        }
        if schema is not None and self._schemas:
            wanted = {"name": "answer", "schema": schema}
            status, raw = await self._post({**body, "response_format": {"type": "json_schema", "json_schema": wanted}})
            if status not in (400, 422):
                return _completion(status, raw)
            self._schemas = False
        return _completion(*await self._post(body))

    async def _post(self, body: JSON) -> tuple[int, bytes]:
        import httpx2

        if self._client is None:
            self._client = httpx2.AsyncClient(timeout=self._timeout, verify=_tls(), follow_redirects=False)
        headers = {"authorization": f"Bearer {self._key.get_secret_value()}"} if self._key is not None else {}
        try:
            async with self._client.stream("POST", self._url, json=body, headers=headers) as response:
                chunks, size = [], 0
                async for chunk in response.aiter_bytes():
                    size += len(chunk)
                    if size > MAX_ANSWER:
                        raise LimitExceeded(f"the model endpoint's answer is larger than {MAX_ANSWER} bytes")
                    chunks.append(chunk)
                return response.status_code, b"".join(chunks)
        except httpx2.TimeoutException:
            raise UpstreamTimeout(f"the model endpoint did not answer within {self._timeout:g} s") from None
        except httpx2.HTTPError as error:
            raise UpstreamUnavailable(f"the model endpoint cannot be reached ({type(error).__name__})") from None


def _completion(status: int, raw: bytes) -> Completion:
    if status != 200:
        raise _refusal(status)
    try:
        body = json.loads(raw)
        choice = body["choices"][0]
        text = choice["message"]["content"]
        usage = body.get("usage") or {}
        if not isinstance(text, str):
            raise TypeError("no text")
        return Completion(
            text=text,
            model=str(body.get("model", "")),
            finish_reason=str(choice.get("finish_reason", "")),
            prompt_tokens=int(usage.get("prompt_tokens") or 0),
            completion_tokens=int(usage.get("completion_tokens") or 0),
        )
    except (ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError):
        raise UpstreamProtocolError("the model endpoint's answer is not a chat completion with text") from None


def _refusal(status: int) -> AgentFlowError:
    if status == 429:
        return LimitExceeded("the model endpoint is rate-limiting us (429)", fix="wait, or use another endpoint")
    if status in (401, 403):
        return ConfigError(f"the model endpoint refused the key ({status})", fix="check flow.api_key")
    if status == 404:
        return ConfigError(
            "the model endpoint knows no such path or model (404)", fix="check flow.base_url and flow.model"
        )
    if status >= 500:
        return UpstreamUnavailable(f"the model endpoint failed ({status})")
    return ConfigError(f"the model endpoint refused the request ({status})", fix="check flow.model")
