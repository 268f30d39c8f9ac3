"""The flow's settings for the call at hand; the gateway sets them beside `flow.port.CALLER`."""

from __future__ import annotations

from contextvars import ContextVar

from agentflow.config import FlowConfig

SETTINGS: ContextVar[FlowConfig] = ContextVar("agentflow_flow_settings")


def settings() -> FlowConfig:
    """The settings in force; the defaults (offline planner, five turns) where none were set."""
    return SETTINGS.get(None) or FlowConfig()
