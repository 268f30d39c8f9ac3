"""The flow's settings where policy allows a call no model."""

from __future__ import annotations

import pytest

from agentflow.config_flow import FlowConfig
from agentflow.errors import PolicyDenied
from agentflow.flow.settings import without_models


def test_in_place_of_a_model_the_offline_planner_works() -> None:
    settings = FlowConfig(base_url="http://127.0.0.1:1/v1", model="m", max_turns=3)
    assert without_models(settings).planner == "offline"
    assert without_models(settings).max_turns == 3


def test_a_model_that_the_configuration_demands_and_policy_does_not_allow_is_a_refusal() -> None:
    with pytest.raises(PolicyDenied) as refused:
        without_models(FlowConfig(planner="model"))
    assert refused.value.data["reasons"][0]["code"] == "model_tier"
