"""The stage `evaluate`: cost and error rate over a set of samples, without nudge and without learning."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, model_validator

from aeqlab.protocols.stages.options import StageOptions, evaluation_names

if TYPE_CHECKING:
    from aeqlab.protocols.run_session import RunSession


class EvaluateOptions(StageOptions):
    """Evaluate at beta = 0 on the test set, or on the training set."""

    on: Literal["test", "train"] | None = Field(default=None, description="which set (default: test, else train)")
    samples: Annotated[int, Field(gt=0)] | Literal["all"] | None = Field(
        default=None,
        description="only the first so many samples, or all, however long it takes (default: as many as budget_s allows)",
    )
    budget_s: float | None = Field(
        default=None,
        gt=0,
        description="take only as many samples, drawn by the seed, as fit into this time, in s on the wall; every one of a "
        "run takes the same (default: 60 on a device on the wall clock, else no limit)",
    )
    batch: int | None = Field(default=None, gt=0, description="samples presented at once (default: what the device takes)")
    parameters: Literal["homeostasis", "frozen", "locked"] | None = Field(
        default=None,
        description="theta held by homeostasis, floating under frozen knobs, or locked in the equations (default: homeostasis)",
    )

    @model_validator(mode="after")
    def _fits(self) -> EvaluateOptions:
        if self.samples is not None and self.budget_s is not None:
            raise ValueError("give either samples or budget_s, not both")
        return self

    def names_found(self) -> frozenset[str] | None:
        """Get the names of the numbers it finds."""
        return evaluation_names(self.on)


def run(session: RunSession, options: EvaluateOptions) -> dict[str, Any]:
    """Evaluate once and report what was found."""
    from aeqlab.protocols.evaluation import evaluate

    return evaluate(session, options)
