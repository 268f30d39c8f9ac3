"""The providers that litellm speaks to: Anthropic, Gemini, Azure, Mistral and the rest, through its Router.

The Router executes what has been chosen already: one deployment under one name, asked once. Its own retries,
cooldowns, fall-backs, caches and logs are off, for the worker has them for all providers alike; a call through it costs
some 2 ms of CPU. It is given nothing but the deployment's settings and the members of the request that `requests.py`
lets through, so a caller cannot redirect it.

Importing this module imports litellm (2 s, 170 MB): in the worker only.
"""

from __future__ import annotations

import asyncio
import contextlib
import difflib
import json
import logging
import os
import sys
import warnings
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextvars import ContextVar
from typing import Any, Final

# Asked for when litellm is imported: its tables are the ones in the package, and it fetches nothing.
os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
os.environ["LITELLM_LOCAL_ANTHROPIC_BETA_HEADERS"] = "True"
os.environ["LITELLM_LOCAL_BLOG_POSTS"] = "True"
os.environ["LITELLM_LOG"] = "CRITICAL"
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import litellm
    from litellm import exceptions as refused
    from litellm.llms.custom_httpx.http_handler import AsyncHTTPHandler
    from litellm.router import Router
    from litellm.types.utils import LlmProviders

from pydantic import SecretStr

from agentflow.config_models import ModelConfig, ProviderConfig
from agentflow.errors import ConfigError
from agentflow.models.fleet import Deployment
from agentflow.models.worker.failures import refusal, retry_after
from agentflow.models.worker.provider import JSON, FailureKind, ProviderFailure

_PREFIXES: Final = {
    "anthropic": "anthropic",
    "gemini": "gemini",
    "cohere": "cohere_chat",
    "azure": "azure",
    "vertex_ai": "vertex_ai",
    "mistral": "mistral",
    "groq": "groq",
    "openrouter": "openrouter",
    "ollama": "ollama_chat",
}
_WARMED: Final = frozenset({"anthropic", "gemini", "cohere", "mistral", "groq", "openrouter"})
_EMBEDDING_PREFIXES: Final = {"cohere": "cohere", "ollama": "ollama"}


try:
    from litellm._internal_context import is_internal_call
except ImportError:  # other versions have none: a call then costs a millisecond more
    is_internal_call = ContextVar("is_internal_call", default=False)  # type: ignore[misc]


def silence() -> None:
    """Switch off what litellm would log, report or remember: its messages quote requests, and keys' ends."""
    litellm.telemetry = False
    litellm.suppress_debug_info = True
    litellm.turn_off_message_logging = True
    litellm.redact_messages_in_exceptions = True
    litellm.drop_params = True  # what a provider does not know is left out, as its own SDK would
    litellm.modify_params = False
    litellm.num_retries = 0
    AsyncHTTPHandler.single_connection_post_request = _once  # type: ignore[method-assign]
    # Reckons the cost, by prices that are none: a fifth of a call.
    litellm.utils.update_response_metadata = _nothing  # type: ignore[attr-defined]
    for name in list(logging.root.manager.loggerDict):
        if name.lower().startswith(("litellm", "openai", "httpx", "httpcore", "aiohttp")):
            logging.getLogger(name).disabled = True


def price_table() -> Mapping[str, JSON]:
    """litellm's local table of models: prices in US dollars for a token, windows, abilities."""
    table: Mapping[str, JSON] = litellm.model_cost
    return table


def _names() -> set[str]:
    return {str(each.value) for each in LlmProviders}


def _nothing(*_: Any, **__: Any) -> None:
    """Note nothing."""


async def _once(*_: Any, **__: Any) -> Any:
    """In place of litellm's second request where a connection broke: what is paid twice is the worker's to decide."""
    raise sys.exception() or ConnectionError("the connection broke")


class _Executor(Router):
    """litellm's Router without what it notes for choosing among deployments: that is done for all providers alike.

    It hands out a stream as the provider's, not within one that would ask elsewhere when it breaks off: litellm ends a
    stream with a `stop` of its own where the provider never said one, and only the inner one knows that.
    """

    async def _acompletion_streaming_iterator(self, model_response: Any, *_: Any, **__: Any) -> Any:
        return model_response

    async def increment_deployment_usage_for_response(self, *_: Any, **__: Any) -> None:
        """Count nothing."""

    async def set_response_headers(self, response: Any, *_: Any, **__: Any) -> Any:
        """Look up no limits."""
        return response


class LiteLLMProvider:
    """A `Provider`: one account at a provider that litellm knows.

    Raises:
        ConfigError: litellm does not know it.
    """

    retries_itself = False

    def __init__(self, name: str, config: ProviderConfig) -> None:
        silence()
        if config.kind == "litellm" and config.prefix not in _names():
            near = difflib.get_close_matches(str(config.prefix), sorted(_names()), 1)
            raise ConfigError(
                f"models.providers.{name}.prefix: litellm knows no provider of this name",
                fix=f"did you mean `{near[0]}`?" if near else "see litellm's list of providers",
            )
        self._name = name
        self._config = config
        self._router = _Executor(
            model_list=[],
            num_retries=0,
            max_fallbacks=0,
            disable_cooldowns=True,
            enable_pre_call_checks=False,
            cache_responses=False,
            set_verbose=False,
        )
        self._known: set[str] = set()
        silence()  # the loggers that it made

    async def complete(self, deployment: Deployment, body: JSON, timeout: float) -> JSON:
        """See `Provider`."""
        try:
            async with asyncio.timeout(timeout):
                answer = await self._router.acompletion(**self._arguments(deployment, body))
        except Exception as error:
            raise _failure(error, timeout) from None
        return _plain(answer)

    async def stream(self, deployment: Deployment, body: JSON, timeout: float) -> AsyncIterator[JSON]:
        """See `Provider`."""
        arguments = self._arguments(deployment, body)
        try:
            async with asyncio.timeout(timeout):
                parts = await self._router.acompletion(**arguments, stream=True, stream_options={"include_usage": True})
        except Exception as error:
            raise _failure(error, timeout) from None
        try:
            while True:
                try:
                    async with asyncio.timeout(timeout):
                        part = await anext(parts)
                except StopAsyncIteration:
                    break
                except Exception as error:
                    raise _failure(error, timeout, begun=True) from None
                told = _plain(part)
                if _ends(told) and not (parts.received_finish_reason or parts.intermittent_finish_reason):
                    raise ProviderFailure("protocol", "its answer broke off")
                yield told
        finally:
            await _closed(parts)

    async def embed(self, deployment: Deployment, body: JSON, timeout: float) -> JSON:
        """See `Provider`."""
        try:
            async with asyncio.timeout(timeout):
                answer = await self._router.aembedding(**self._arguments(deployment, body))
        except Exception as error:
            raise _failure(error, timeout) from None
        return _plain(answer)

    async def discover(self) -> Sequence[ModelConfig]:
        """The chat and embedding models that litellm's table has of this provider: it knows no list of an account's."""
        prefix = self._prefix("chat")
        kinds = {"chat": "chat", "embedding": "embedding"}
        return [
            ModelConfig(model=name.removeprefix(f"{prefix}/"), kind=kinds[row["mode"]])  # type: ignore[arg-type]
            for name, row in price_table().items()
            if row.get("litellm_provider") in (prefix, self._config.kind) and row.get("mode") in kinds
        ]

    async def warm(self) -> None:
        """Have litellm load what a first request would load, against a server of this process's own. Never fails."""
        if self._config.kind not in _WARMED:
            return
        server = await asyncio.start_server(_warming, "127.0.0.1", 0)
        async with server:
            base = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
            config = self._config.model_copy(update={"base_url": base, "api_key": SecretStr("warm")})
            own = LiteLLMProvider(self._name, config)
            one = Deployment(self._name, "warm", "warm", "chat", "bronze", 0.0, None)
            body: JSON = {"messages": [{"role": "user", "content": "warm"}], "max_tokens": 1}
            with contextlib.suppress(ProviderFailure):
                await own.complete(one, body, 5.0)
            with contextlib.suppress(ProviderFailure):
                async for _ in own.stream(one, body, 5.0):
                    pass
            await own.close()

    async def close(self) -> None:
        """See `Provider`."""
        self._router.reset()  # type: ignore[no-untyped-call]

    def _prefix(self, kind: str) -> str:
        if self._config.kind == "litellm":
            return str(self._config.prefix)
        if kind == "embedding" and self._config.kind in _EMBEDDING_PREFIXES:
            return _EMBEDDING_PREFIXES[self._config.kind]
        return _PREFIXES[self._config.kind]

    def _arguments(self, deployment: Deployment, body: JSON) -> JSON:
        if deployment.key not in self._known:
            self._known.add(deployment.key)
            settings = self._settings(deployment)
            self._router.add_deployment(
                litellm.types.router.Deployment(
                    model_name=deployment.key,
                    litellm_params=litellm.types.router.LiteLLM_Params(**settings),
                    # Its own reckoning is not used; with no price at all it looks for the reason for a millisecond.
                    model_info={"id": deployment.key, "input_cost_per_token": 1e-9, "output_cost_per_token": 1e-9},
                )
            )
        is_internal_call.set(True)  # in this task: its logging of successes costs as much as the call
        # Its own timeouts come as errors of many kinds: ours is over first.
        late = 1.5 * self._config.timeout + 5
        return {**body, "model": deployment.key, "timeout": late, "num_retries": 0}

    def _settings(self, deployment: Deployment) -> JSON:
        config = self._config
        region, _, model = deployment.model.partition("/") if config.kind == "vertex_ai" else ("", "", deployment.model)
        if config.kind == "vertex_ai" and region not in config.regions:
            region, model = (config.regions or ("",))[0], deployment.model
        settings: JSON = {
            "model": f"{self._prefix(deployment.kind)}/{model}",
            "max_retries": 0,
        }
        if config.api_key is not None:
            settings["api_key"] = config.api_key.get_secret_value()
        if config.base_url is not None:
            settings["api_base"] = config.base_url.rstrip("/")
        if config.api_version is not None:
            settings["api_version"] = config.api_version
        if region:
            settings["vertex_location"] = region
        return settings


async def _warming(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer one request as OpenAI would: others' adapters learn that it is none of theirs."""
    with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
        head = await reader.readuntil(b"\r\n\r\n")
        length = next((line[15:] for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")), b"0")
        body = await reader.readexactly(int(length))
        streamed = b'"stream":true' in body.replace(b" ", b"")
        delta = {"index": 0, "message": {"role": "assistant", "content": "warm"}, "finish_reason": "stop"}
        if streamed:
            delta["delta"] = delta.pop("message")
        usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
        told = json.dumps({"id": "warm", "object": "chat.completion", "created": 1, "model": "warm", "choices": [delta],
                           "usage": usage}).encode()  # fmt: skip
        kind = b"text/event-stream" if streamed else b"application/json"
        raw = b"data: %b\n\ndata: [DONE]\n\n" % told if streamed else told
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: %b\r\ncontent-length: %d\r\nconnection: close\r\n\r\n%b"
                     % (kind, len(raw), raw))  # fmt: skip
        await writer.drain()
    writer.close()


def _plain(answer: Any) -> JSON:
    found: JSON = answer.model_dump(exclude_none=True) if hasattr(answer, "model_dump") else {}
    if isinstance(found.get("usage"), dict):
        found["usage"].pop("cost", None)  # by the price above, which is none
    for choice in found.get("choices", ()):
        choice.setdefault("finish_reason", None)
        for part in (choice.get("message"), choice.get("delta")):
            if isinstance(part, dict):
                part.pop("provider_specific_fields", None)
        choice.pop("provider_specific_fields", None)
    return found


def _ends(part: JSON) -> bool:
    return any(choice.get("finish_reason") for choice in part.get("choices", ()))


async def _closed(parts: Any) -> None:
    if hasattr(parts, "aclose"):
        try:
            await parts.aclose()
        except Exception:
            return  # it was over already


_MEANT: Final[tuple[tuple[type[Exception], FailureKind, str], ...]] = (
    (refused.ContextWindowExceededError, "context_window", "the prompt is too long for it"),
    (refused.ContentPolicyViolationError, "content_filter", "its content filter refused the request"),
    (refused.AuthenticationError, "auth", "it refused the key (401)"),
    (refused.PermissionDeniedError, "auth", "it refused the key (403)"),
    (refused.NotFoundError, "not_found", "it knows no such model or path (404)"),
    (refused.APIResponseValidationError, "protocol", "its answer is malformed"),
    (refused.UnsupportedParamsError, "bad_request", "it does not support the request"),
)
_FIXES: Final[dict[FailureKind, str]] = {
    "auth": "check the provider's api_key",
    "not_found": "check the provider's base_url and model names",
    "unreachable": "check the provider's base_url",
}


def _failure(error: Exception, timeout: float, *, begun: bool = False) -> ProviderFailure:
    """What went wrong, in our words: litellm's text may quote the prompt, the answer or the key.

    Args:
        begun: whether a part of a stream has come.
    """
    for kind, meaning, message in _MEANT:
        if isinstance(error, kind):
            return ProviderFailure(meaning, message, fix=_FIXES.get(meaning, ""))
    causes = list(_causes(error))
    names = {type(cause).__name__ for cause in causes}
    if not begun and names & {"ConnectionResetError", "BrokenPipeError", "ServerDisconnectedError"}:
        return ProviderFailure("server", "it broke the connection off before it answered")
    if names & {"ConnectError", "ConnectTimeout", "ClientConnectorError", "ConnectionRefusedError", "gaierror"}:
        return ProviderFailure("unreachable", "it cannot be reached", fix=_FIXES["unreachable"])
    if isinstance(error, (TimeoutError, refused.Timeout)) or names & {"ReadTimeout", "WriteTimeout", "PoolTimeout"}:
        return ProviderFailure("timeout", f"it did not answer within {timeout:g} s")
    if names & {"RemoteProtocolError", "ReadError", "ServerDisconnectedError", "ClientPayloadError", "IncompleteRead"}:
        return ProviderFailure("protocol", "its answer broke off")
    if any(isinstance(cause, json.JSONDecodeError) for cause in causes):
        return ProviderFailure("protocol", "its answer is not JSON")
    status = getattr(error, "status_code", None)
    if isinstance(status, int) and 400 <= status < 600 and _came_from_there(error):
        return refusal(status, _headers(error), {"message": str(error), "code": getattr(error, "code", None)})
    if names & {"KeyError", "TypeError", "IndexError", "AttributeError", "ValidationError", "ValueError"}:
        return ProviderFailure("protocol", "its answer is malformed")
    return ProviderFailure("server", f"it failed ({type(error).__name__})", retry_after=retry_after(_headers(error)))


def _causes(error: BaseException) -> Iterator[BaseException]:
    found: list[BaseException] = []
    waiting: list[BaseException | None] = [error]
    while waiting and len(found) < 20:
        each = waiting.pop()
        if each is None or each in found:
            continue
        found.append(each)
        waiting += [each.__cause__, each.__context__, getattr(each, "original_exception", None)]
    return iter(found)


def _came_from_there(error: Exception) -> bool:
    """Whether a status is the provider's, not one that litellm gave to a failure of its own."""
    causes = (type(cause).__name__ for cause in _causes(error))
    return not {"KeyError", "TypeError", "IndexError", "AttributeError", "ValidationError"} & set(causes)


def _headers(error: Exception) -> Mapping[str, str]:
    response = getattr(error, "response", None)
    headers = getattr(response, "headers", None) or getattr(error, "litellm_response_headers", None)
    return headers if isinstance(headers, Mapping) else {}
