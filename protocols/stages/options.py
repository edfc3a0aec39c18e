"""What every stage's options have in common: frozen, strict, each field described."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class StageOptions(BaseModel):
    """Base of the options of one stage: unknown keys are errors, values do not change afterwards."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Every(StageOptions):
    """A rhythm counted in samples."""

    every: int = Field(gt=0, description="once in so many samples")
