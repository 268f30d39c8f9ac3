"""The settings of approvals (`approvals:` in `agentflow.yaml`)."""

from __future__ import annotations

from pydantic import Field

from agentflow.config_base import Section


class ApprovalsConfig(Section):
    """People's consent to calls. Who is asked, and for how long, is the policy's business."""

    hold: float = Field(
        default=45.0,
        ge=0,
        description="Seconds that a request stays open while somebody else than its caller is asked; then the client "
        "is told to call again. Less than what clients wait for an answer, most of them 60.",
    )
    max_open: int = Field(default=100, gt=0, description="Approvals asked for one principal's calls at once.")
    keep_days: float = Field(default=30.0, gt=0, description="Days that settled approvals can be looked at.")
