"""One model asked for one request: room for its money is made when it begins, and settled once when it ends.

Whatever happens in between (an answer, a failure, a caller that leaves), `end` tells the ledger and the router, once.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import Final

from agentflow.models.money.entries import Charge, Reservation, Usage
from agentflow.models.money.ledger import Ledger
from agentflow.models.routing.router import Outcome, Route, Router
from agentflow.models.worker.answers import Tokens
from agentflow.models.worker.provider import JSON, ProviderFailure
from agentflow.models.worker.requests import Asked


@dataclass(frozen=True, slots=True)
class Finished:
    """A request that was answered.

    Attributes:
        answer: a `chat.completion`, or a list of embeddings, with `usage`.
        cost: nano-dollars; None where the price is not known.
        latency: seconds from the begin of this attempt.
        before: nano-dollars and tokens of what was asked before it, and paid, without answering.
    """

    answer: JSON
    route: Route
    tokens: Tokens
    cost: int | None
    latency: float
    before: tuple[int, int] = (0, 0)

    @property
    def charged(self) -> int | None:
        """Nano-dollars of the whole request; None where no price is known."""
        paid = self.before[0]
        return self.cost if self.cost is None and not paid else (self.cost or 0) + paid


def charge_of(asked: Asked, route: Route | None, fingerprint: str = "") -> Charge:
    """Who pays, and for what."""
    context, deployment = asked.context, None if route is None else route.deployment
    return Charge(
        tenant=context.tenant,
        project=context.project,
        principal=context.principal,
        run=context.run,
        run_cost=context.run_cost,
        run_tokens=context.run_tokens,
        provider=deployment.provider if deployment else "",
        model=deployment.model if deployment else "",
        tier=deployment.tier if deployment else "",
        purpose=context.purpose,
        tool=context.tool,
        name=deployment.name if deployment else "",
        fingerprint=fingerprint,
    )


class Attempt:
    """See the module. `begin` it, set what it came to, `end` it."""

    def __init__(self, asked: Asked, route: Route, ledger: Ledger, router: Router, fingerprint: str = "") -> None:
        self.asked = asked
        self.route = route
        self.deployment = route.deployment
        self.body, self.most = asked.for_deployment(route.deployment)
        self.tokens: Tokens | None = None
        self.failure: ProviderFailure | None = None
        self.blameless = False  # whether the failure was ours, and says nothing of the model
        self.answer: JSON | None = None
        self.first: float | None = None  # seconds until the first part
        self._ledger = ledger
        self._router = router
        self._fingerprint = fingerprint
        self._reservation: Reservation | None = None
        self._began: float | None = None
        self._ending: asyncio.Task[None] | None = None

    async def begin(self) -> None:
        """Make room.

        Raises:
            BudgetExceeded, LimitExceeded, StoreUnavailable: there is none, or it cannot be known; nothing is asked.
        """
        await self._reserve()
        self._began = time.monotonic()
        self._router.started(self.route)

    async def again(self) -> None:
        """Settle what a try used that did not answer, if anything, and make room for another. Raises as `begin`."""
        if self.tokens is not None:
            used = self._settling()
            self._reservation = self.tokens = self.failure = None
            await asyncio.shield(used)
            await self._reserve()

    async def _reserve(self) -> None:
        price = self.deployment.price
        nano = None if price is None else price.most(self.asked.bound, self.most)
        tokens = self.asked.route.prompt_tokens + self.most
        charge = charge_of(self.asked, self.route, self._fingerprint)
        self._reservation = await self._ledger.reserve(charge, nano, tokens)

    @property
    def cost(self) -> int | None:
        """Nano-dollars for what was used; None where the price is not known."""
        if self.deployment.price is None:
            return None
        used = self.tokens
        return 0 if used is None else self.deployment.price.cost(used.prompt, used.completion, used.cached, used.kept)

    @property
    def elapsed(self) -> float:
        """Seconds since it began."""
        return 0.0 if self._began is None else time.monotonic() - self._began

    def finished(self, answer: JSON, tokens: Tokens) -> Finished:
        """It was answered."""
        self.answer, self.tokens = answer, tokens
        if not tokens.reported:
            total = tokens.prompt + tokens.completion
            counts = {"prompt_tokens": tokens.prompt, "completion_tokens": tokens.completion, "total_tokens": total}
            answer["usage"] = counts
        return Finished(answer, self.route, tokens, self.cost, self.elapsed)

    def used(self, tokens: Tokens) -> None:
        """A try that did not answer used so much."""
        self.tokens = tokens

    async def end(self) -> None:
        """Settle, and tell the router. Goes on though its caller is cancelled; a second time changes nothing."""
        if self._began is not None and self._ending is None:
            self._tell_router()
            self._ending = self._settling()
        if self._ending is not None:
            await asyncio.shield(self._ending)

    def _settling(self) -> asyncio.Task[None]:
        task = asyncio.create_task(self._settle(self._reservation, self._usage()))
        _ENDING.add(task)
        task.add_done_callback(_ENDING.discard)
        return task

    def _tell_router(self) -> None:
        failure, latency = self.failure, self.elapsed
        if self.answer is not None:
            self._router.finished(self.route, Outcome(True, latency, self.first, self.cost))
        elif failure is not None and not self.blameless:
            outcome = Outcome(False, latency, error=failure.kind, retry_after=failure.retry_after)
            self._router.finished(self.route, outcome)
        else:
            self._router.abandoned(self.route)

    async def _settle(self, reservation: Reservation | None, usage: Usage) -> None:
        if reservation is not None:
            await self._ledger.settle(reservation, usage)

    def _usage(self) -> Usage:
        used, error = self.tokens, "" if self.answer is not None else "cancelled"
        if self.failure is not None:
            error = self.failure.kind
        return Usage(
            prompt=used.prompt if used else 0,
            completion=used.completion if used else 0,
            cached=used.cached if used else 0,
            nano=self.cost or 0,
            latency=self.elapsed,
            success=self.answer is not None,
            error=error,
        )


_ENDING: Final[set[asyncio.Task[None]]] = set()


async def all_ended() -> None:
    """Return once every attempt that is ending has been settled."""
    while _ENDING:
        await asyncio.wait(set(_ENDING))
