"""The stage `identify`: finds out how a device answers its knobs, what is wrongly wired, and how soft its outputs are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from aeqlab.protocols.stages.options import StageOptions

if TYPE_CHECKING:
    from aeqlab.protocols.run_session import RunSession


class IdentifyOptions(StageOptions):
    """Step the knobs a little both ways, and fit gain, lag, dead time and noise of each; they are brought back afterwards."""

    unless: Literal["fresh"] | None = Field(
        default=None, description="fresh: nothing is done where an identification of this device is fresh; left out: it is done"
    )
    step: float | None = Field(
        default=None, gt=0, le=0.25,
        description="size of the steps as a share of each knob's range (left out: from noise and resolution, 0.05 at most)",
    )  # fmt: skip
    seconds: float = Field(
        default=20.0, gt=0, le=36_000, description="time of the device it should take; more of it tells knobs apart better"
    )
    faults: Literal["refuse", "tell"] = Field(
        default="refuse", description="refuse: wrong wiring ends the run and the identification is not used; tell: it is told"
    )


def run(session: RunSession, options: IdentifyOptions) -> dict[str, Any]:
    """Identify; see `protocols/identify_stage.py`, which this stage starts."""
    from aeqlab.protocols.identify_stage import identify

    return identify(session, options)
