"""What an agent is: its name, its model, its instructions, its tools and its way to reason."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from agentflow.config_flow import Pattern


class AgentConfig(BaseModel):
    """An agent's settings (FEATURES P10).

    Attributes:
        model_type: name of a model in `models`; None: as routed.
        max_tokens: of one answer of the model.
        system_prompt: instructions of whoever wrote the agent; they stand before every conversation.
        reasoning_pattern: how a `ReasoningAgent` reasons.
        tools: names of the tools it may use, `*` for any characters; None: all that the caller may.
        metadata: for whoever runs the agent; nothing here reads it.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Annotated[str, Field(min_length=1, max_length=200)]
    description: str = ""
    model_type: str | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] = 0.0
    max_tokens: Annotated[int, Field(ge=1)] = 2048
    system_prompt: str = ""
    reasoning_pattern: Pattern = "direct"
    tools: tuple[str, ...] | None = None
    metadata: dict[str, Any] = Field(default_factory=dict)
