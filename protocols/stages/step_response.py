"""The stage `step-response`: steps one quantity up and back, follows the readings tick by tick, fits gain, lag and dead time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import Field, field_validator

from aeqlab.protocols.stages.options import StageOptions
from aeqlab.protocols.stages.scan import READ, SAMPLE

if TYPE_CHECKING:
    from aeqlab.protocols.run_session import RunSession


class StepResponseOptions(StageOptions):
    """Step a control knob, an input knob or a target of theta, and fit what the readings do; it is brought back afterwards."""

    quantity: str = Field(
        min_length=1, max_length=200, description="what is stepped: u[3], u[0-7] (together), x[0], theta[3], a name of the device"
    )
    size: float = Field(description="how far from where each stands, in its unit; may be negative")
    repeats: int = Field(default=3, gt=0, le=1000, description="how often up and back")
    seconds: float | None = Field(
        default=None, gt=0, le=1e6,
        description="how long every course is followed, eight ticks at least (left out: ten lags that the device says)",
    )  # fmt: skip
    read: list[str] | None = Field(
        default=None, min_length=1, max_length=1000,
        description=f"{READ.split(': ')[0]} (left out: the parameters of the knobs, or the outputs of an input)",
    )  # fmt: skip
    sample: int | None = Field(default=None, ge=0, description=SAMPLE)

    @field_validator("size")
    @classmethod
    def _somewhere(cls, value: float) -> float:
        if value == 0.0:
            raise ValueError("a step of 0 leads nowhere")
        return value


def run(session: RunSession, options: StepResponseOptions) -> dict[str, Any]:
    """Step and fit; see `protocols/step_response.py`, which this stage starts."""
    from aeqlab.protocols.step_response import StepResponse

    return StepResponse(session, options).run()
