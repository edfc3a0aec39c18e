"""The stage `infer`: predictions, sample by sample, without nudge and without learning; each is recorded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, model_validator

from aeqlab.backends.named_files import Names
from aeqlab.protocols.stages.options import StageOptions, evaluation_names

if TYPE_CHECKING:
    from aeqlab.protocols.run_session import RunSession


class InferOptions(StageOptions):
    """Predict for samples of the data, or for a file of inputs, at beta = 0."""

    on: Literal["test", "train"] | None = Field(default=None, description="which set (default: test, else train)")
    samples: int | None = Field(default=None, gt=0, description="only the first so many samples or rows (default: all)")
    indices: list[Annotated[int, Field(ge=0)]] | None = Field(
        default=None, min_length=1, max_length=1_000_000, description="only these samples or rows, counted from 0, in this order"
    )
    inputs: Annotated[str | None, Names.PATH] = Field(
        default=None,
        min_length=1,
        description="a file of inputs, .csv or .npz, in place of a set; paths as elsewhere",
    )
    columns: list[str] = Field(
        default=[],
        description="its columns, in the order of the input knobs; x[0-9] stands for x0 to x9 (default: those of the inputs of a "
        "table, else all that the file has)",
    )
    delimiter: Literal[",", ";", "\t"] = Field(default=",", description="what stands between the columns of a CSV file")
    batch: int | None = Field(default=None, gt=0, description="samples presented at once (default: what the device takes)")
    parameters: Literal["homeostasis", "frozen", "locked"] = Field(
        default="homeostasis", description="theta held by homeostasis, floating under frozen knobs, or locked in the equations"
    )

    @model_validator(mode="after")
    def _fits(self) -> InferOptions:
        if self.samples is not None and self.indices is not None:
            raise ValueError("give either samples or indices, not both")
        if self.inputs is not None and self.on is not None:
            raise ValueError("give either on, a set of the data, or inputs, a file; not both")
        if self.inputs is None and self.columns:
            raise ValueError("columns are those of a file; name it with inputs")
        return self

    def names_found(self) -> frozenset[str] | None:
        """Get the names of the numbers it finds."""
        return frozenset({"samples", "held_rate", "samples_held"}) if self.inputs is not None else evaluation_names(self.on)


def run(session: RunSession, options: InferOptions) -> dict[str, Any]:
    """Predict; see `protocols/inference.py`, which this stage starts."""
    from aeqlab.protocols.inference import infer

    return infer(session, options)
