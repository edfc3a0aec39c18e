"""Data set `xor`: the four patterns of exclusive or, the smallest task that no single layer solves."""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, field_validator

from aeqlab.protocols.samples import Data, Samples

PATTERNS = ((0, 0), (0, 1), (1, 0), (1, 1))
Levels = tuple[Annotated[float, Field(allow_inf_nan=False)], Annotated[float, Field(allow_inf_nan=False)]]


class XorSettings(BaseModel):
    """The four patterns of exclusive or; each stands in the training set several times, all four are the test set."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["xor"] = Field(default="xor", description="the four patterns of exclusive or")
    inputs: Levels = Field(
        default=(0.0, 1.0), description="[low, high]: what an input knob is set to for 0 and for 1, in its unit."
    )
    targets: Levels = Field(default=(0.0, 1.0), description="[low, high]: what an output should be for 0 and for 1, in its unit.")
    outputs: Literal[1, 2] = Field(
        default=1,
        description="1: one output, high where the inputs differ. 2: one-hot, for equal and for different inputs.",
    )
    repeats: int = Field(default=250, ge=1, le=1_000_000, description="How often each pattern stands in the training set.")

    @field_validator("inputs", "targets")
    @classmethod
    def _in_order(cls, value: Levels) -> Levels:
        if not value[0] < value[1]:
            raise ValueError(f"[{value[0]:g}, {value[1]:g}]: two numbers are needed, the lower one first")
        return value


def load_xor(settings: XorSettings) -> Data:
    """Make the patterns, (low, low) to (high, high), round after round; training shuffles them unless it is told not to.

    Returns:
        Inputs of shape (4 repeats, 2); targets of shape (4 repeats, outputs); labels, 1 where the inputs differ, with two
        outputs only: a single one has no largest output to be compared with them.
    """
    bits = np.array(PATTERNS)
    labels = bits[:, 0] ^ bits[:, 1]
    wanted = labels[:, None] if settings.outputs == 1 else np.eye(2, dtype=np.int64)[labels]
    (off, on), (low, high) = settings.inputs, settings.targets
    four = Samples(np.where(bits, on, off), np.where(wanted, high, low), None if settings.outputs == 1 else labels)
    return Data(name="exclusive or", train=four.take(np.tile(np.arange(4), settings.repeats)), test=four)
