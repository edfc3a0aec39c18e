"""The stages there are: word, options, function and one line of what each does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from aeqlab.protocols.stages import (
    ask,
    call,
    compare,
    evaluate,
    hold,
    infer,
    ramp,
    repeat,
    restore,
    scan,
    step_response,
    train,
)
from aeqlab.protocols.stages import set as set_stage
from aeqlab.protocols.stages.entry import StageEntry
from aeqlab.protocols.stages.options import StageOptions
from aeqlab.protocols.stages.train_options import TrainOptions

if TYPE_CHECKING:
    from aeqlab.protocols.run_session import RunSession

StageFunction = Callable[["RunSession", Any], dict[str, Any]]


@dataclass(frozen=True, slots=True)
class StageKind:
    """One kind of stage; `run(session, options)` returns what it found, by name."""

    name: str
    options: type[StageOptions]
    run: StageFunction
    summary: str


@cache
def stage_kinds() -> dict[str, StageKind]:
    """Get all kinds of stages by name, in the order of `StageEntry`."""
    kinds = (
        StageKind("train", TrainOptions, train.run, "train with Æqprop or with a baseline"),
        StageKind("evaluate", evaluate.EvaluateOptions, evaluate.run, "cost and error rate without nudge"),
        StageKind("infer", infer.InferOptions, infer.run, "predictions, each recorded"),
        StageKind("hold", hold.HoldOptions, hold.run, "homeostasis for a time"),
        StageKind("restore", restore.RestoreOptions, restore.run, "bring theta to values from elsewhere"),
        StageKind("scan", scan.ScanOptions, scan.run, "set quantities to every point of a grid, and read"),
        StageKind("ramp", ramp.RampOptions, ramp.run, "bring a quantity evenly to a value in a given time, reading along"),
        StageKind("set", set_stage.SetOptions, set_stage.run, "set quantities once, and read back"),
        StageKind(
            "step-response",
            step_response.StepResponseOptions,
            step_response.run,
            "step a quantity up and back, and fit gain, lag and dead time",
        ),
        StageKind("compare", compare.CompareOptions, compare.run, "several methods from the same start, over several seeds"),
        StageKind("repeat", repeat.RepeatOptions, repeat.run, "a sequence within the sequence, several times"),
        StageKind("ask", ask.AskOptions, ask.run, "a question to a person"),
        StageKind("call", call.CallOptions, call.run, "a stage that is a function of your own"),
    )
    by_name = {kind.name: kind for kind in kinds}
    assert list(by_name) == list(StageEntry.words())
    return by_name
