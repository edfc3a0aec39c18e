"""What every stage's options have in common: frozen, strict, each field described."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

MARKS = ("off", "pause_after")  #: keys of an entry of a sequence that are no stages: see `StageEntry`


class StageOptions(BaseModel):
    """Base of the options of one stage: unknown keys are errors, values do not change afterwards."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    def names_found(self) -> frozenset[str] | None:
        """Get the names of the numbers the stage may find or report, for a condition of `repeat`; None: only running tells."""
        return None


class Every(StageOptions):
    """A rhythm counted in samples."""

    every: int = Field(gt=0, description="once in so many samples")


def evaluation_names(on: str | None) -> frozenset[str]:
    """Get the names of the numbers that a look at a set of samples finds, plain and with the name of the set."""
    found, sets = ("cost_free", "error_rate"), (on,) if on else ("test", "train")
    return frozenset({"samples", "held_rate", "samples_held", *found, *(f"{name}_{key}" for name in sets for key in found)})
