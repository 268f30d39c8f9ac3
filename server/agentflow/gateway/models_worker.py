"""The model worker of a gateway, over its changes of configuration, and what models there are.

It promises: without a configured provider nothing is started and nothing is imported; a changed configuration gets a
worker of its own, and the former one ends once it has answered what it was asked; whoever asks while there is no model
is told so in one sentence.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, Final

from agentflow.audit.events import Event
from agentflow.config import Config
from agentflow.config_models import ModelsConfig
from agentflow.errors import AgentFlowError, ConfigError, ModelUnavailable
from agentflow.gateway.model_catalogue import ModelCatalogue
from agentflow.models.client import ModelWorker
from agentflow.models.shorthand import effective_models, with_shorthand

log = logging.getLogger(__name__)
_LISTED_FOR: Final = 300.0  # seconds that a list of discovered models counts as new
_TRY_AGAIN: Final = 30.0  # seconds after which it is tried again
_EXTRA: Final = "pip install 'agentflow-gateway[models]'"


def check_installed(config: Config) -> None:
    """Refuse models that this installation cannot ask.

    Raises:
        ConfigError: a provider, or the small local model, is configured, and its extra is not installed.
    """
    if config.flow.planner == "local" and any(find_spec(each) is None for each in ("torch", "transformers")):
        raise ConfigError(
            "flow.planner is `local`, and the extra `local` is not installed",
            fix="pip install 'agentflow-gateway[local]', or set flow.planner to auto",
        )
    models = effective_models(config)
    if not models.configured:
        return
    if find_spec("litellm") is None:
        raise ConfigError("language models are configured, and the extra `models` is not installed", fix=_EXTRA)
    if any(p.enabled and p.kind == "bedrock" for p in models.providers.values()) and find_spec("boto3") is None:
        raise ConfigError("a bedrock provider is configured, and boto3 is not installed", fix=_EXTRA)


def recording(record: Callable[[Event], object]) -> Callable[[Config], ModelWorker]:
    """Makes workers whose budgets' warnings get into the audit log; `record` may raise `AuditUnavailable`."""

    def heard(told: dict[str, Any]) -> None:
        warning = told.get("budget")
        if not isinstance(warning, dict):
            return
        details = {name: warning.get(name) for name in ("level", "spent", "limit", "resets")}
        of = warning.get("subject") or None
        event = Event("budget", "warned", tenant=str(warning.get("tenant", "")), subject=str(warning.get("budget", "")),
                      outcome="ok", details={**details, "of": of})  # fmt: skip
        try:
            record(event)
        except AgentFlowError as error:
            log.error("a warning of a budget is not in the audit log: %s", error.message)

    return lambda config: ModelWorker(config, heard)


@dataclass(eq=False, slots=True)
class _Kept:
    worker: ModelWorker
    asked: int = 0
    retired: bool = False


class Workers:
    """The worker in force, those that still answer, and the list of models.

    Args:
        make: makes a worker of a configuration.
    """

    def __init__(self, config: Config, make: Callable[[Config], ModelWorker] = ModelWorker) -> None:
        self._make = make
        self._now: _Kept | None = None
        self._closing: set[asyncio.Task[None]] = set()
        self._listing = asyncio.Lock()
        self.config = ModelsConfig()
        self.catalogue = ModelCatalogue(self.config)
        self._listed_at = 0.0
        self.apply(config)

    @property
    def configured(self) -> bool:
        """Whether there is any model to ask."""
        return self.config.configured

    def apply(self, config: Config) -> None:
        """Take a configuration; where it says the same of models, nothing happens. Starts nothing.

        Raises:
            ConfigError: `flow.base_url` is no address.
        """
        models = effective_models(config)
        if models == self.config:
            return
        former = self._now
        self.config = models
        self.catalogue = ModelCatalogue(models, (), self.catalogue)
        self._listed_at = 0.0
        self._now = _Kept(self._make(with_shorthand(config))) if models.configured else None
        if former is not None:
            former.retired = True
            self._end_unused(former)

    def prewarm(self) -> None:
        """Start the worker in the background, where the configuration says so."""
        if self._now is not None and self.config.prewarm:
            self._now.worker.prewarm()

    @contextlib.contextmanager
    def in_use(self) -> Iterator[ModelWorker]:
        """The worker in force; it is not closed before the block ends.

        Raises:
            ModelUnavailable: none is configured.
        """
        kept = self._now
        if kept is None:
            raise ModelUnavailable("no language model is configured", fix="add one under models.providers")
        kept.asked += 1
        try:
            yield kept.worker
        finally:
            kept.asked -= 1
            self._end_unused(kept)

    async def current(self) -> ModelCatalogue:
        """What there is to ask. Providers that are asked what they have (`discover`) are asked now and then."""
        found = any(each.enabled and each.discover for each in self.config.providers.values())
        if found and self._stale():
            async with self._listing:
                if self._stale():
                    await self._list()
        return self.catalogue

    def _stale(self) -> bool:
        return not self._listed_at or time.monotonic() - self._listed_at > _LISTED_FOR

    async def _list(self) -> None:
        config = self.config
        try:
            with self.in_use() as worker:
                listed = await worker.models()
        except AgentFlowError as error:
            log.warning("models cannot be discovered: %s", error.message)
            self._listed_at = time.monotonic() - _LISTED_FOR + _TRY_AGAIN
            return
        if config is self.config:  # else they are another configuration's
            self.catalogue = ModelCatalogue(config, listed, self.catalogue)
            self._listed_at = time.monotonic()

    def _end_unused(self, kept: _Kept) -> None:
        if kept.retired and not kept.asked:
            task = asyncio.ensure_future(kept.worker.close())
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)

    async def close(self) -> None:
        """End every worker."""
        former, self._now = self._now, None
        if former is not None:
            await former.worker.close()
        await asyncio.gather(*self._closing, return_exceptions=True)
