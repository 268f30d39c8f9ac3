"""The flow's settings for the call at hand; the gateway sets them beside `flow.port.CALLER`."""

from __future__ import annotations

from contextvars import ContextVar

from agentflow.config_flow import FlowConfig
from agentflow.errors import PolicyDenied

SETTINGS: ContextVar[FlowConfig] = ContextVar("agentflow_flow_settings")


def settings() -> FlowConfig:
    """The settings in force; the defaults (offline planner, five turns) where none were set."""
    return SETTINGS.get(None) or FlowConfig()


def without_models(config: FlowConfig) -> FlowConfig:
    """The settings for a call that policy allows no model: the offline planner works in a model's place.

    Raises:
        PolicyDenied: the configuration demands a model (`flow.planner: model`).
    """
    if config.planner == "model":
        text = "policy allows no model here that the flow may ask, and flow.planner demands one"
        raise PolicyDenied(
            f"Denied: {text}",
            fix="have the administrator set flow.planner to auto, or allow a model (rules with `models`, `model_tier`)",
            reasons=[{"code": "model_tier", "message": text}],
        )
    return config.model_copy(update={"planner": "offline"})
