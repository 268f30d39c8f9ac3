"""`flow.planner: local`: who plans, who judges, and what happens where the small model cannot answer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pytest

from agentflow.config_flow import FlowConfig
from agentflow.config_models import LocalModelConfig
from agentflow.errors import ConfigError, ModelUnavailable
from agentflow.flow import service
from agentflow.flow.assembly import assemble
from agentflow.flow.local import LocalPlanner, LocalWriter
from agentflow.flow.port import CALLER
from agentflow.flow.settings import SETTINGS
from agentflow.flow.verifier import RuleVerifier
from agentflow.models.local.client import LOCAL, LocalModel
from tests.flow.worlds import World

LOCALLY = FlowConfig(planner="local")


class Absent(LocalModel):
    """A small model whose process cannot be started; `asked` counts."""

    def __init__(self) -> None:
        super().__init__(LocalModelConfig())
        self.asked = 0

    async def plan(
        self, prompt: str, tools: Mapping[str, Any], values: Sequence[Any] = (), *, copied: bool = False
    ) -> dict[str, Any]:
        self.asked += 1
        raise ModelUnavailable("the local model's process ended")


@pytest.fixture
def absent() -> Iterator[Absent]:
    model = Absent()
    token = LOCAL.set(model)
    yield model
    LOCAL.reset(token)


def test_the_small_model_plans_and_answers_and_the_rules_judge(absent: Absent) -> None:
    made = assemble(LOCALLY)
    assert made.planned_by == "local"
    assert isinstance(made.modules.planner, LocalPlanner)
    assert isinstance(made.modules.verifier, RuleVerifier)
    assert isinstance(made.modules.writer, LocalWriter)


async def test_where_it_cannot_answer_the_rules_go_on(absent: Absent, helpdesk: World) -> None:
    CALLER.set(helpdesk)
    SETTINGS.set(LOCALLY)
    solution = await service.solve("What is the status of the last order of Ada Lovelace?")
    assert absent.asked == 1
    assert (solution.status, solution.answer) == ("complete", "shipped")
    assert "the local model's process ended" in solution.reason


def test_outside_a_gateway_there_is_none() -> None:
    with pytest.raises(ConfigError, match=r"flow\.planner is `local`"):
        assemble(LOCALLY)
