"""The stage `ramp`: brings one quantity evenly to a value in a given time, and reads along."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import ConfigDict, Field, model_serializer, model_validator

from aeqlab.protocols.stages.options import StageOptions
from aeqlab.protocols.stages.scan import MOST_POINTS, PARAMETERS, QUANTITY, READ, SAMPLE, Parameters, too_far

if TYPE_CHECKING:
    from aeqlab.protocols.run_session import RunSession


class RampOptions(StageOptions):
    """Ramp one quantity to a value, at which it stays; a nudge is off again at the end."""

    model_config = ConfigDict(populate_by_name=True)

    quantity: str = Field(min_length=1, max_length=200, description=QUANTITY)
    to: float = Field(description="value at the end, reached exactly")
    start: float | None = Field(default=None, alias="from", description="value to begin at, gone to at once; else where it is")
    seconds: float | None = Field(default=None, gt=0, le=1e6, description="how long it takes, in seconds of the device's clock")
    rate_per_s: float | None = Field(
        default=None, gt=0, description="how fast it goes instead, in its unit per second; of several the longest way"
    )
    every_s: float | None = Field(default=None, gt=0, description="time between two readings (left out: a hundred of them)")
    read: list[str] = Field(default=["s"], min_length=1, max_length=1000, description=READ)
    parameters: Parameters | None = Field(default=None, description=PARAMETERS)
    sample: int | None = Field(default=None, ge=0, description=SAMPLE)

    @model_validator(mode="after")
    def _one_pace(self) -> RampOptions:
        if (self.seconds is None) == (self.rate_per_s is None):
            raise ValueError("give either seconds or rate_per_s, one of the two")
        if self.parameters == "locked":
            raise ValueError("locked has no time that could pass; scan over the quantity instead")
        if why := too_far(self.start, self.to):
            raise ValueError(why)
        if self.seconds is not None and self.every_s is not None and self.seconds / self.every_s > MOST_POINTS:
            raise ValueError(f"a reading every {self.every_s:g} s makes more than {MOST_POINTS:,} of them; read less often")
        return self

    @model_serializer
    def _as_written(self) -> dict[str, Any]:
        own = {key: getattr(self, key) for key in type(self).model_fields if key != "start"}
        return {**own, "from": self.start}


def run(session: RunSession, options: RampOptions) -> dict[str, Any]:
    """Ramp; see `protocols/ramping.py`, which this stage starts."""
    from aeqlab.protocols.ramping import Ramping

    return Ramping(session, options).run()
