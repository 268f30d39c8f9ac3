"""Where a request may still go: what failed so far, what is busy or broken, and the one error when nothing is left."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

from agentflow.config_models import RoutingConfig
from agentflow.errors import (
    AgentFlowError,
    BudgetExceeded,
    ContentBlocked,
    InvalidArguments,
    LimitExceeded,
    ModelUnavailable,
    UpstreamTimeout,
)
from agentflow.models.fleet import Deployment
from agentflow.models.routing.router import Route, Router
from agentflow.models.worker.breaker import Breaker, Gate
from agentflow.models.worker.provider import ProviderFailure
from agentflow.models.worker.requests import Asked


class Search:
    """The search of one request for a model that answers it.

    Args:
        fleet: every deployment; gates, breakers: by provider.
    """

    def __init__(
        self,
        asked: Asked,
        config: RoutingConfig,
        router: Router,
        fleet: Sequence[Deployment],
        gates: Mapping[str, Gate],
        breakers: Mapping[str, Breaker],
    ) -> None:
        self._asked = asked
        self._config = config
        self._router = router
        self._fleet = fleet
        self._gates = gates
        self._breakers = breakers
        self._out: set[str] = {each.key for each in fleet if not asked.context.admits(each.name, each.tier)}
        self._failures: list[tuple[str, ProviderFailure]] = []
        self._refused: BudgetExceeded | None = None
        self.paid = (0, 0)  # nano-dollars and tokens of what did not answer
        self.ends = None if asked.context.timeout is None else time.monotonic() + asked.context.timeout

    @property
    def attempts(self) -> list[str]:
        """What failed, as `provider:model: reason`."""
        return [f"{key}: {failure.message}" for key, failure in self._failures]

    def left(self, timeout: float) -> float:
        """Seconds for the next try: `timeout`, or less where the caller goes sooner.

        Raises:
            UpstreamTimeout: the caller has gone.
        """
        if self.ends is None:
            return timeout
        remaining = self.ends - time.monotonic()
        if remaining <= 0:
            raise UpstreamTimeout(
                f"no model answered within {self._asked.context.timeout:g} s{self._told()}", attempts=self.attempts
            )
        return min(timeout, remaining)

    def next(self) -> Route:
        """The model to ask now.

        Raises:
            AgentFlowError: nothing is left, or nothing may serve it at all.
        """
        if len(self._failures) > self._config.fallbacks:
            raise self._given_up()
        self.left(1.0)
        shy = {
            each.key
            for each in self._fleet
            if each.provider in self._gates
            and (
                self._breakers[each.provider].wait() > 0
                or self._gates[each.provider].wait(self._asked.route.prompt_tokens) > 0
            )
        }
        try:
            if shy:
                try:
                    return self._router.route(self._asked.route, self._out | shy)
                except ModelUnavailable:
                    pass  # better one that is busy, or broken a moment ago, than none
            return self._router.route(self._asked.route, self._out)
        except ModelUnavailable:
            if self._failures or self._refused is not None:
                raise self._given_up() from None
            raise

    def another(self, route: Route) -> Route | None:
        """A second model to ask beside `route`, which is slow; None where there is none."""
        try:
            return self._router.route(self._asked.route, self._out | {route.deployment.key})
        except ModelUnavailable:
            return None

    def failed(self, route: Route, failure: ProviderFailure) -> None:
        """`route` did not answer: it is not asked again, nor is what would fail alike."""
        key, window = route.deployment.key, route.deployment.context_window
        self._failures.append((key, failure))
        self._out.add(key)
        if failure.kind == "context_window":
            small = (d.key for d in self._fleet if window and d.context_window and d.context_window <= window)
            self._out.update(small)

    def refused(self, route: Route, error: BudgetExceeded) -> None:
        """A budget has no room for `route`: what costs more than is left is out too, something cheaper may do."""
        self._out.add(route.deployment.key)
        self._refused = self._refused or error
        left = error.data.get("left")
        if error.data.get("what") == "tokens":
            self._out.update(each.key for each in self._fleet)
        elif isinstance(left, int):
            self._out.update(each.key for each in self._fleet if _most(self._asked, each) > left)

    def charge(self, nano: int | None, tokens: int) -> None:
        """A model that did not answer, or came second, is paid all the same."""
        self.paid = self.paid[0] + (nano or 0), self.paid[1] + tokens

    def told(self, error: AgentFlowError) -> None:
        """Say in an error's `data` what was paid until it came to that: `cost_nano` and `tokens`."""
        if any(self.paid):
            error.data |= {"cost_nano": self.paid[0], "tokens": self.paid[1]}

    def _given_up(self) -> AgentFlowError:
        if self._refused is not None:
            return self._refused
        kinds = {failure.kind for _, failure in self._failures}
        if kinds == {"context_window"}:
            return LimitExceeded(
                f"the prompt is too long for every model that may serve it{self._told()}",
                fix="send less, or a model with a larger context window",
                attempts=self.attempts,
            )
        if kinds == {"content_filter"}:
            return ContentBlocked(f"the provider's content filter refused it{self._told()}", attempts=self.attempts)
        if kinds == {"bad_request"}:
            return InvalidArguments(f"the provider does not take the request{self._told()}", attempts=self.attempts)
        fix = next((failure.fix for _, failure in self._failures if failure.fix), "")
        pauses = [failure.retry_after for _, failure in self._failures if failure.retry_after is not None]
        again = {"retry_after": min(pauses)} if pauses else {}
        return ModelUnavailable(f"no model answered{self._told()}", fix=fix, attempts=self.attempts, **again)

    def _told(self) -> str:
        return f": {'; '.join(self.attempts)}" if self._failures else ""


def _most(asked: Asked, deployment: Deployment) -> int:
    """Nano-dollars that a deployment's answer can cost; one without a price is the ledger's to judge."""
    price = deployment.price
    return 0 if price is None else price.most(asked.bound, asked.for_deployment(deployment)[1])
