"""The flow's settings for the call at hand; the gateway sets them beside `flow.port.CALLER`."""

from __future__ import annotations

from contextvars import ContextVar
from typing import get_args

from agentflow.config_flow import FlowConfig
from agentflow.config_models import Tier
from agentflow.errors import PolicyDenied

SETTINGS: ContextVar[FlowConfig] = ContextVar("agentflow_flow_settings")
_TIERS: tuple[str, ...] = get_args(Tier)  # weakest first


def settings() -> FlowConfig:
    """The settings in force; the defaults (offline planner, five turns) where none were set."""
    return SETTINGS.get(None) or FlowConfig()


def within(config: FlowConfig, tier: Tier | None) -> FlowConfig:
    """The settings for a call that may use no stronger model than `tier` (policy's obligation `model_tier`).

    Where the configured model is stronger, the offline planner works in its place.

    Raises:
        PolicyDenied: the configuration demands the model (`flow.planner: model`).
    """
    if tier is None or config.planner == "offline" or not (config.base_url and config.model):
        return config
    if _TIERS.index(config.tier) <= _TIERS.index(tier):
        return config
    if config.planner == "model":
        text = f"policy allows no model above {tier} here, and flow.planner demands one of tier {config.tier}"
        raise PolicyDenied(
            f"Denied: {text}",
            fix="have the administrator set flow.planner to auto, or flow.tier to what the model is",
            reasons=[{"code": "model_tier", "message": text}],
        )
    return config.model_copy(update={"planner": "offline", "base_url": None, "model": None})
