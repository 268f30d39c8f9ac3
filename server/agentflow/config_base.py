"""What every block of the settings has in common."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """A block of the file: unknown keys are refused, so a typo never silently switches a guard off."""

    model_config = ConfigDict(extra="forbid", frozen=True)
