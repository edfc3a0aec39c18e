"""The stage `compare`: several methods from the same start, on the same samples, over several seeds; costs side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field, model_validator

from aeqlab.protocols.stages.evaluate import EvaluateOptions
from aeqlab.protocols.stages.options import StageOptions
from aeqlab.protocols.stages.restore import RestoreOptions
from aeqlab.protocols.stages.train_options import TrainOptions

if TYPE_CHECKING:
    from aeqlab.protocols.run_session import RunSession

Name = Annotated[str, Field(min_length=1, max_length=40)]


class CompareOptions(StageOptions):
    """Train with several methods, each from the same start, and compare what they reach."""

    methods: dict[Name, TrainOptions] = Field(
        min_length=1, max_length=20, description="by a name of your choice: options of train; its samples go before those here"
    )
    seeds: int = Field(
        default=5,
        ge=1,
        le=1000,
        description="repetitions; data, order and start of the n-th are drawn by the experiment's seed + n",
    )
    start: RestoreOptions | None = Field(
        default=None, description="theta from which every method starts, as in restore; left out: where theta is now"
    )
    samples: int | None = Field(default=None, gt=0, description="budget of each method and seed: training samples")
    reads: int | None = Field(default=None, gt=0, description="budget of each method and seed: readouts, evaluations not counted")
    seconds: float | None = Field(default=None, gt=0, description="budget likewise: seconds of the device")
    evaluate_every: int = Field(
        default=10, gt=0, description="evaluate after so many samples; more often before, each time a tenth of those done"
    )
    evaluate: EvaluateOptions = Field(default=EvaluateOptions(), description="how to evaluate, as in evaluate")
    target: str | None = Field(
        default=None,
        pattern=r"^(cost|error) *< *[0-9]+(\.[0-9]+)?(e-?[0-9]+)?$",
        description="what is to be reached: cost < 0.05, or error < 0.1",
    )

    @model_validator(mode="after")
    def _bounded(self) -> CompareOptions:
        for name, options in self.methods.items():
            if options.epochs is not None or options.evaluate_every is not None:
                raise ValueError(f"methods.{name}: epochs and evaluate_every are not for compare; give samples here or there")
            if options.samples is None and self.samples is None and self.reads is None and self.seconds is None:
                raise ValueError(f"methods.{name} would never end: give samples, reads or seconds")
        return self

    @property
    def goal(self) -> tuple[str, float] | None:
        """The measure of the target, `cost_free` or `error_rate`, and the value below which it is reached; None for none."""
        if self.target is None:
            return None
        word, _, value = self.target.partition("<")
        return ("cost_free" if word.strip() == "cost" else "error_rate"), float(value)


def run(session: RunSession, options: CompareOptions) -> dict[str, Any]:
    """Compare; see `protocols/comparing.py`, which this stage starts."""
    from aeqlab.protocols.comparing import compare

    return compare(session, options)
