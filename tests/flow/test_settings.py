"""How strong a model a call of a flow tool may use."""

from __future__ import annotations

import pytest

from agentflow.config_flow import FlowConfig
from agentflow.errors import PolicyDenied
from agentflow.flow.settings import within

SILVER = FlowConfig(base_url="http://127.0.0.1:1/v1", model="m", tier="silver")


@pytest.mark.parametrize("tier", [None, "silver", "gold"])
def test_a_model_that_is_allowed_is_used(tier: str | None) -> None:
    assert within(SILVER, tier) is SILVER  # type: ignore[arg-type]


@pytest.mark.parametrize("tier", ["bronze", "offline"])
def test_in_place_of_a_stronger_one_the_offline_planner_works(tier: str) -> None:
    settings = within(SILVER, tier)  # type: ignore[arg-type]
    assert (settings.planner, settings.base_url, settings.model) == ("offline", None, None)


def test_a_model_that_the_configuration_demands_and_policy_does_not_allow_is_a_refusal() -> None:
    with pytest.raises(PolicyDenied) as refused:
        within(SILVER.model_copy(update={"planner": "model"}), "offline")
    assert refused.value.data["reasons"][0]["code"] == "model_tier"


def test_where_no_model_is_configured_there_is_nothing_to_bound() -> None:
    assert within(FlowConfig(), "offline") == FlowConfig()
