"""The policy bundle that administrators chose, put in force while the gateway runs, here and wherever it was chosen.

It promises that a choice is followed within a second and outlasts a restart, that what cannot be put in force is said
once, in the log and in the audit log, and leaves in force what was; and that a gateway which cannot learn what was
chosen does not start: the file's policy may allow what the chosen one refuses. A choice that was not made with this
installation's key is not followed, nor one that is older than what was the newest.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from typing import Final

from agentflow.config import PolicyConfig
from agentflow.errors import AgentFlowError, ChoiceAltered, ConfigError
from agentflow.policy import bundle as policy_bundle
from agentflow.policy import port
from agentflow.policy.bundle import Bundle
from agentflow.policy.live import FILE, Choice, LiveBundles, altered
from agentflow.policy.port import PolicyEngine

log = logging.getLogger(__name__)

_LOOK: Final = 0.5  # seconds between two looks at what was chosen


class Choices:
    """What was chosen, and what of it is in force.

    Args:
        bundles: where bundles and choices are kept.
    """

    def __init__(self, bundles: LiveBundles) -> None:
        self._bundles = bundles
        self._choice: Choice | None = None
        self._bundle: Bundle | None = None
        self._seen: Choice | None = None  # the last choice looked at, followed or not
        self._number = 0  # the highest of a choice that is ours: the database never takes one away
        self._asked = asyncio.Event()
        self.refusal: tuple[str, AgentFlowError] | None = None

    @property
    def choice(self) -> Choice | None:
        """The choice in force, or None where there never was one."""
        return self._choice

    @property
    def by(self) -> str:
        """Who chose what is in force; "" where the file says it and nobody ever chose."""
        return self._choice.by if self._choice is not None else ""

    def first(self, config: PolicyConfig) -> PolicyEngine:
        """The engine to start with.

        Raises:
            ConfigError: the policy cannot be built; for a chosen one, `fix` says how to go back to the file's.
            StoreUnavailable, VaultUnavailable: what was chosen cannot be known.
        """
        choice = self._bundles.newest() if config.engine == "embedded" else None
        if choice is not None and not choice.ours:
            raise altered(choice)
        try:
            bundle = self._read(choice)
            engine = self._build(config, bundle)
        except ConfigError as error:
            if choice is None or choice.revision == FILE:
                raise
            raise ConfigError(
                f"The policy {choice.revision[:12]}, chosen by {choice.by}, cannot be put in force: {error.message}",
                fix="choose another: agentflow policy activate, or agentflow policy rollback --to-file",
            ) from None
        self._taken(choice, bundle)
        self._seen, self._number = choice, choice.number if choice is not None else 0
        return engine

    def differs(self, engine: PolicyEngine, before: PolicyConfig, now: PolicyConfig) -> bool:
        """Whether another engine is needed than the one in use. Reads the bundle's files: in a thread.

        Raises:
            ConfigError: the configured bundle is refused.
        """
        if before != now:
            return True
        if self._stands(now):
            return self._bundle is not None and self._bundle.revision != engine.bundle.revision
        return policy_bundle.changed(engine.bundle, now)

    def engine(self, config: PolicyConfig) -> PolicyEngine:
        """The engine for what is chosen now. Takes a while: in a thread.

        Raises:
            ConfigError: it cannot be built.
        """
        return self._build(config, self._bundle)

    async def follow(self, apply: Callable[[], Awaitable[None]], refused: Callable[[Choice, str], None]) -> None:
        """Put in force what is chosen, now and whenever it changes, until cancelled.

        Args:
            apply: swaps in what `engine` then builds.
            refused: told of a choice that is not followed, and why (a code).
        """
        silent = False
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_LOOK):
                    await self._asked.wait()
            self._asked.clear()
            try:
                choice = await asyncio.to_thread(self._bundles.newest)
                silent = False
            except AgentFlowError as error:
                if not silent:
                    log.warning("policy: what is chosen cannot be read, what is in force stays: %s", error.message)
                silent = True
                continue
            if choice != self._seen:
                self._seen = choice
                await self._follow(choice or Choice(0, FILE, 0.0, ""), apply, refused)

    def look_now(self) -> None:
        """Look at once at what was chosen; it is followed a moment later."""
        self._asked.set()

    async def _follow(
        self, choice: Choice, apply: Callable[[], Awaitable[None]], refused: Callable[[Choice, str], None]
    ) -> None:
        before = (self._choice, self._bundle)
        try:
            self._judge(choice)
            bundle = await asyncio.to_thread(self._read, choice)
            self._taken(choice, bundle)
            await apply()
        except AgentFlowError as error:
            self._choice, self._bundle = before
            self.refusal = (choice.revision, error)
            what = (choice.revision[:12] or "file") if choice.ours else f"number {choice.number}"
            log.error("policy: the choice of %s is not followed: %s", what, error.message)
            refused(choice, error.kind)
            return
        log.info("policy: %s is in force, chosen by %s", choice.revision[:12] or "the file's", choice.by)

    def _taken(self, choice: Choice | None, bundle: Bundle | None) -> None:
        self._choice, self._bundle = choice, bundle
        self.refusal = None

    def _judge(self, choice: Choice) -> None:
        """Raises `ChoiceAltered` for one that somebody else made, or that was the newest before others were."""
        if not choice.ours:
            raise altered(choice)
        if choice.number < self._number:
            raise ChoiceAltered(
                f"Choices of policies up to {self._number} were made, and the database has them up to {choice.number}",
                fix="choose again; where the database was restored from a copy, restart the gateway",
            )
        self._number = choice.number

    def _read(self, choice: Choice | None) -> Bundle | None:
        return None if choice is None or choice.revision == FILE else self._bundles.bundle(choice.revision)

    def _stands(self, config: PolicyConfig) -> bool:
        return self._bundle is not None and config.engine == "embedded"

    def _build(self, config: PolicyConfig, bundle: Bundle | None) -> PolicyEngine:
        return port.build(config, bundle if config.engine == "embedded" else None)
