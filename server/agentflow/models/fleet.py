"""The models there are to choose from: what routing, budgets and the worker know of each.

Prices are nano-dollars (1e-9 US dollars) for one token, as fractions of whole numbers where a token costs less.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

from agentflow.config_models import ModelTier


@dataclass(frozen=True, slots=True)
class Price:
    """Nano-dollars for one token: of the prompt, of the answer, of a prompt that the provider had cached.

    Attributes:
        beyond: tokens of prompt from which `dearer` counts for the whole request, where a provider asks more for long
            ones.
        written: for tokens of the prompt that the provider puts into its cache; None: as `input`.
        request: for each request, whatever its length.
        batch: what the provider asks for the same in a batch, as a share of this price; None: it has none.
    """

    input: Fraction
    output: Fraction
    cached_input: Fraction
    beyond: int | None = None
    dearer: Price | None = None
    written: Fraction | None = None
    request: Fraction = Fraction(0)
    batch: Fraction | None = None

    def cost(self, prompt: int, completion: int, cached: int = 0, written: int = 0) -> int:
        """Whole nano-dollars, rounded up, for so many tokens.

        Args:
            prompt: of which the provider had `cached` in its cache, and put `written` into it.
        """
        if self.beyond is not None and self.dearer is not None and prompt > self.beyond:
            return self.dearer.cost(prompt, completion, cached, written)
        kept = self.input if self.written is None else self.written
        sent = self.input * (prompt - cached - written) + self.cached_input * cached + kept * written
        return _up(sent + self.output * completion + self.request)

    def most(self, prompt: int, completion: int) -> int:
        """What a request of up to so many tokens can cost, whatever the provider caches of it; nano-dollars."""
        sent = max(self.input, self.cached_input, self.written or Fraction(0))
        nano = _up(sent * prompt + self.output * completion + self.request)
        if self.beyond is not None and self.dearer is not None and prompt > self.beyond:
            return max(nano, self.dearer.most(prompt, completion))
        return nano


def _up(exact: Fraction) -> int:
    return -(-exact.numerator // exact.denominator)


@dataclass(frozen=True, slots=True)
class Deployment:
    """One model at one provider.

    Attributes:
        provider: its name in `models.providers`; model: the provider's own name of the model, with its region if it
            has several (`eu-west-1/…`).
        name: what callers call it; alternatives for each other have the same.
        quality: what is expected of it, 0 to 1.
        price: None where no table knows it: such a model is used only where no budget has to be kept.
        context_window, max_output: tokens; None where unknown.
        json_schema: whether it can be held to a JSON schema.
    """

    provider: str
    model: str
    name: str
    kind: Literal["chat", "embedding"]
    tier: ModelTier
    quality: float
    price: Price | None
    context_window: int | None = None
    max_output: int | None = None
    json_schema: bool = False

    @property
    def key(self) -> str:
        """`provider:model`: the arm of the bandit, the row in tables."""
        return f"{self.provider}:{self.model}"
