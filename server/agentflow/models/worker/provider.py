"""What the worker needs of whoever serves models: `Provider`, and `ProviderFailure`, the one way it may fail.

A provider asks once: retries, fail-over, limits, breakers and money are the worker's (`asking.py`). Bodies and answers
have the shapes of OpenAI's chat completions and embeddings, whatever goes over the wire.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any, Final, Literal, Protocol

from agentflow.config_models import ModelConfig
from agentflow.models.fleet import Deployment

JSON = dict[str, Any]
MAX_ANSWER: Final = 4 * 1024 * 1024  # bytes of one answer, streamed or not

FailureKind = Literal[
    "rate_limit",  # 429, throttled: passes; `retry_after` if it said when
    "unreachable",  # no connection: nothing was processed
    "server",  # 5xx, overloaded
    "timeout",  # no answer, or no next part, in time: it may have been processed
    "protocol",  # what came is not an answer: not JSON, no choices, broke off, too large
    "context_window",  # the prompt is too long for this model
    "content_filter",  # the provider will not answer that
    "auth",  # key, role or permission refused, or the account's quota used up
    "not_found",  # no such model, or address, there
    "bad_request",  # refused as malformed; another model may take it, the same one will not
]
PASSING: Final[frozenset[FailureKind]] = frozenset({"rate_limit", "unreachable", "server"})  # worth asking again


class ProviderFailure(Exception):
    """One request to one deployment failed.

    Attributes:
        kind: what happened.
        message: one sentence of ours for a person; it quotes no key, no prompt and no answer.
        fix: what can be done about it, or "".
        retry_after: seconds after which the provider wants to be asked again, if it said so.
        usage: OpenAI's `usage` object of what failed, where the provider reported it: that much was paid for.
        param: the member of the request that the provider says it does not take, or "".
    """

    def __init__(
        self,
        kind: FailureKind,
        message: str,
        *,
        fix: str = "",
        retry_after: float | None = None,
        usage: JSON | None = None,
        param: str = "",
    ) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message
        self.fix = fix
        self.retry_after = retry_after
        self.usage = usage
        self.param = param


class Provider(Protocol):
    """One entry of `models.providers`. Every method is called on the event loop and raises `ProviderFailure` only.

    `body` is the caller's, as OpenAI's API has it, without `model`, `stream` and `agentflow`; the model is the
    deployment's. `timeout` are seconds for the whole answer, or, streamed, for its next part. Cancelling ends the
    request.
    """

    @property
    def retries_itself(self) -> bool:
        """Whether what failed for the moment has been repeated by the time it fails, so that the worker need not."""
        ...

    async def complete(self, deployment: Deployment, body: JSON, timeout: float) -> JSON:
        """One `chat.completion`; `usage` where the provider says."""
        ...

    def stream(self, deployment: Deployment, body: JSON, timeout: float) -> AsyncIterator[JSON]:
        """The `chat.completion.chunk`s; one has a `finish_reason`, the last may have `usage`. Breaking off raises."""
        ...

    async def embed(self, deployment: Deployment, body: JSON, timeout: float) -> JSON:
        """One `list` of embeddings, in the order of `input`, with `usage`."""
        ...

    async def discover(self) -> Sequence[ModelConfig]:
        """The models it offers at this moment."""
        ...

    async def close(self) -> None:
        """Let go of connections. Idempotent."""
        ...
