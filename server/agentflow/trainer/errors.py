"""What the trainer refuses, as typed errors of this room."""

from __future__ import annotations

from agentflow.errors import AgentFlowError


class TrainingDataInvalid(AgentFlowError, ValueError):
    """What is to be learned from cannot be: shapes that do not fit, a group of one, numbers that are none."""

    kind = "training_data_invalid"


class TrainingConfigInvalid(AgentFlowError, ValueError):
    """Settings of a training run that exclude each other, or that this method has no meaning for."""

    kind = "training_config_invalid"
