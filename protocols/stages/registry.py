"""The stages there are: word, options, function and one line of what each does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from aeqlab.protocols.stages import call, compare, evaluate, hold, repeat, restore, train
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
        StageKind("hold", hold.HoldOptions, hold.run, "homeostasis for a time"),
        StageKind("restore", restore.RestoreOptions, restore.run, "bring theta to values from elsewhere"),
        StageKind("compare", compare.CompareOptions, compare.run, "several methods from the same start, over several seeds"),
        StageKind("repeat", repeat.RepeatOptions, repeat.run, "a sequence within the sequence, several times"),
        StageKind("call", call.CallOptions, call.run, "a stage that is a function of your own"),
    )
    by_name = {kind.name: kind for kind in kinds}
    assert list(by_name) == list(StageEntry.model_fields)
    return by_name
