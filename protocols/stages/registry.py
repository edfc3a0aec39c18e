"""The stages there are: word, options and what each does, as `StageEntry` has them, and its function."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, get_args

from aeqlab.protocols.stages import (
    ask,
    call,
    compare,
    evaluate,
    hold,
    identify,
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


_RUN: dict[str, StageFunction] = {
    "train": train.run,
    "evaluate": evaluate.run,
    "infer": infer.run,
    "hold": hold.run,
    "restore": restore.run,
    "scan": scan.run,
    "ramp": ramp.run,
    "set": set_stage.run,
    "step-response": step_response.run,
    "identify": identify.run,
    "compare": compare.run,
    "repeat": repeat.run,
    "ask": ask.run,
    "call": call.run,
}


@cache
def stage_kinds() -> dict[str, StageKind]:
    """Get all kinds of stages by name, in the order of `StageEntry`, which has their options and what each does."""
    fields = {word: StageEntry.model_fields[name] for word, name in StageEntry.words().items()}
    return {
        word: StageKind(word, get_args(field.annotation)[0], _RUN[word], str(field.description)) for word, field in fields.items()
    }
