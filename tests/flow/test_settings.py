"""How strong a model a call of a flow tool may use."""

from __future__ import annotations

import pytest

from agentflow.config import FlowConfig
from agentflow.errors import PolicyDenied
from agentflow.flow.settings import within

MEDIUM = FlowConfig(base_url="http://127.0.0.1:1/v1", model="m", tier="medium")


@pytest.mark.parametrize("tier", [None, "medium", "large"])
def test_a_model_that_is_allowed_is_used(tier: str | None) -> None:
    assert within(MEDIUM, tier) is MEDIUM  # type: ignore[arg-type]


@pytest.mark.parametrize("tier", ["small", "offline"])
def test_in_place_of_a_stronger_one_the_offline_planner_works(tier: str) -> None:
    settings = within(MEDIUM, tier)  # type: ignore[arg-type]
    assert (settings.planner, settings.base_url, settings.model) == ("offline", None, None)


def test_a_model_that_the_configuration_demands_and_policy_does_not_allow_is_a_refusal() -> None:
    with pytest.raises(PolicyDenied) as refused:
        within(MEDIUM.model_copy(update={"planner": "openai"}), "offline")
    assert refused.value.data["reasons"][0]["code"] == "model_tier"


def test_where_no_model_is_configured_there_is_nothing_to_bound() -> None:
    assert within(FlowConfig(), "offline") == FlowConfig()
