"""The settings of planner, executor, verifier and solver."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, SecretStr

from agentflow.config_base import Section
from agentflow.config_models import ModelTier

Pattern = Literal["direct", "chain-of-thought", "react", "tree-of-thought", "reflection", "plan-and-solve"]


class LongTermConfig(Section):
    """What is remembered from one run to the next, by principal."""

    enabled: bool = Field(default=True, description="Remember what worked, and look it up when planning.")
    max_entries: int = Field(default=1_000, ge=1, description="Most memories of one principal; the oldest go first.")
    days: int = Field(default=90, ge=1, description="Days after which one is forgotten.")


class SandboxConfig(Section):
    """The tool that runs a plan's code."""

    enabled: bool = Field(default=True, description="Offer `compute`: Python without network and files.")
    engine: Literal["auto", "monty", "wasi"] = Field(
        default="auto", description="`auto` takes pydantic-monty; `wasi` is CPython in WASI, when installed."
    )
    timeout: float = Field(default=5.0, gt=0, le=300, description="Seconds for one run.")
    memory: int = Field(default=64, ge=8, le=4096, description="Mebibytes for one run.")


class TrajectoriesConfig(Section):
    """The record of each run, from which the planner is trained."""

    enabled: bool = Field(default=True, description="Keep each run's record (personal data as tokens only).")
    days: int = Field(default=90, ge=1, description="Days after which a record is deleted.")


class FlowConfig(Section):
    """Planner, executor, verifier, solver. Without a model the offline planner works."""

    enabled: bool = Field(default=True, description="Offer planner, executor, verifier and solver.")
    planner: Literal["auto", "offline", "model", "local"] = Field(
        default="auto",
        description="`auto` asks a model where one is configured; `local` the small one of this machine.",
    )
    base_url: str | None = Field(
        default=None, description="Short for one provider in `models`: an OpenAI-compatible endpoint, https://host/v1."
    )
    api_key: SecretStr | None = Field(default=None, description="Key of that endpoint, as ${VAR}.")
    model: str | None = Field(default=None, description="Model to ask, by its name in `models`; default: as routed.")
    tier: ModelTier = Field(default="silver", description="Tier that the flow's own requests ask for.")
    pattern: Pattern = Field(
        default="direct", description="How the planner reasons, unless a run asks for another way."
    )
    max_turns: int = Field(default=5, ge=1, le=50, description="Most rounds of plan, execute and verify.")
    timeout: float = Field(default=120.0, gt=0, description="Seconds for one run.")
    retries: int = Field(default=2, ge=0, le=20, description="Repeats of failed calls for one sub-goal.")
    replans: int = Field(default=3, ge=0, le=50, description="New plans for one sub-goal after failures.")
    branches: int = Field(default=4, ge=1, le=16, description="Independent sub-goals that are worked on side by side.")
    nodes: int = Field(default=12, ge=2, le=200, description="tree-of-thought: most steps thought of in one search.")
    max_tokens: int | None = Field(default=None, ge=1, description="Most model tokens of one run.")
    max_cost: float | None = Field(default=None, ge=0, description="Most US dollars that one run's models may cost.")
    shown_tools: int = Field(default=20, ge=1, le=100, description="Most tools that a planner is shown.")
    ask: bool = Field(default=True, description="Whether a run may ask its user (elicitation).")
    ask_timeout: float = Field(
        default=240.0, gt=0, le=86_400, description="Seconds for a person's answer; `timeout` stands still meanwhile."
    )
    memory: LongTermConfig = Field(default=LongTermConfig(), description="What is remembered between runs.")
    sandbox: SandboxConfig = Field(default=SandboxConfig(), description="The tool that runs code.")
    trajectories: TrajectoriesConfig = Field(default=TrajectoriesConfig(), description="The record of each run.")
