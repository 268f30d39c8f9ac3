"""Agents for tool files: a model, tools and a way to reason, put together in one object (FEATURES P10)."""

from agentflow.flow.agents.agents import ReasoningAgent, SimpleAgent, ToolAgent
from agentflow.flow.agents.config import AgentConfig

__all__ = ["AgentConfig", "ReasoningAgent", "SimpleAgent", "ToolAgent"]
