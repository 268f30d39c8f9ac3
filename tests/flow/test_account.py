"""What a run has spent: also what models were paid that did not answer."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

import pytest

from agentflow.errors import BudgetExceeded, ModelUnavailable
from agentflow.flow.account import Account
from agentflow.models.port import Answered, ChatMessage, ChatRequest

QUESTION = (ChatMessage("user", "Which is larger?"),)


class Failing:
    """Fails once, having been paid, and then answers after another such try."""

    def __init__(self) -> None:
        self.asked: list[ChatRequest] = []

    async def complete(self, request: ChatRequest) -> Answered:
        self.asked.append(request)
        if len(self.asked) == 1:
            raise ModelUnavailable("no model answered", cost_nano=700, tokens=30)
        return Answered("the first", prompt_tokens=8, completion_tokens=2, cost=100, failed_tokens=5)

    async def stream(self, request: ChatRequest) -> AsyncIterator[str | Answered]:
        yield await self.complete(request)

    async def outcome(self, ids: Sequence[str], reward: float) -> None:
        return None


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
async def test_what_models_were_paid_that_did_not_answer_is_spent(streamed: bool) -> None:
    async def heard(_: str) -> None:
        return None

    models = Failing()
    account = Account(models=models, max_cost=800, max_tokens=1000)
    pieces = heard if streamed else None
    with pytest.raises(ModelUnavailable):
        await account.complete(QUESTION, "planner", pieces=pieces)
    assert (account.cost, account.tokens) == (700, 30)
    await account.complete(QUESTION, "planner", pieces=pieces)
    assert (account.cost, account.tokens) == (800, 45)
    assert models.asked[-1].run_cost == 100
    with pytest.raises(BudgetExceeded):
        await account.complete(QUESTION, "planner", pieces=pieces)
