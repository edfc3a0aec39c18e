"""The stage `evaluate`: cost and error rate over a set of samples, without nudge and without learning."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from aeqlab.protocols.stages.options import StageOptions

if TYPE_CHECKING:
    from aeqlab.protocols.run_session import RunSession


class EvaluateOptions(StageOptions):
    """Evaluate at beta = 0 on the test set, or on the training set."""

    on: Literal["test", "train"] | None = Field(default=None, description="which set (default: test, else train)")
    samples: int | None = Field(default=None, gt=0, description="only the first so many samples (default: all)")
    batch: int | None = Field(default=None, gt=0, description="samples presented at once (default: what the device takes)")
    parameters: Literal["homeostasis", "frozen", "locked"] | None = Field(
        default=None,
        description="theta held by homeostasis, floating under frozen knobs, or locked in the equations (default: homeostasis)",
    )


def run(session: RunSession, options: EvaluateOptions) -> dict[str, Any]:
    """Evaluate once and report what was found."""
    from aeqlab.protocols.evaluation import evaluate

    return evaluate(session, options)
