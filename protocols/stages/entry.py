"""One entry of a sequence: `- train: {method: centered, beta: 0.1}`, a word for the stage and its options.

A model with one field per stage, of which exactly one is given: so the place of an error is the path in the file. Beside it may
stand marks of the entry itself: `off: true`, `pause_after: true`.
"""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field, model_serializer, model_validator

from aeqlab.backends.user_code import is_user_code
from aeqlab.protocols.stages.ask import AskOptions
from aeqlab.protocols.stages.call import CallOptions
from aeqlab.protocols.stages.compare import CompareOptions
from aeqlab.protocols.stages.evaluate import EvaluateOptions
from aeqlab.protocols.stages.hold import HoldOptions
from aeqlab.protocols.stages.identify import IdentifyOptions
from aeqlab.protocols.stages.infer import InferOptions
from aeqlab.protocols.stages.options import MARKS, StageOptions
from aeqlab.protocols.stages.ramp import RampOptions
from aeqlab.protocols.stages.repeat import RepeatOptions
from aeqlab.protocols.stages.restore import RestoreOptions
from aeqlab.protocols.stages.scan import ScanOptions
from aeqlab.protocols.stages.set import SetOptions
from aeqlab.protocols.stages.step_response import StepResponseOptions
from aeqlab.protocols.stages.train_options import TrainOptions


class StageEntry(BaseModel):
    """One stage of a sequence: exactly one of the stages is given, and beside it perhaps `off` and `pause_after`."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", json_schema_extra={"minProperties": 1, "maxProperties": 1 + len(MARKS)}
    )

    train: TrainOptions | None = Field(default=None, description="train with Æqprop or with a baseline")
    evaluate: EvaluateOptions | None = Field(default=None, description="cost and error rate without nudge")
    infer: InferOptions | None = Field(default=None, description="predictions, each recorded")
    hold: HoldOptions | None = Field(default=None, description="homeostasis for a time")
    restore: RestoreOptions | None = Field(default=None, description="bring theta to values from elsewhere")
    scan: ScanOptions | None = Field(default=None, description="set quantities to every point of a grid, and read")
    ramp: RampOptions | None = Field(
        default=None, description="bring a quantity evenly to a value in a given time, reading along"
    )
    set: SetOptions | None = Field(default=None, description="set quantities once, and read back")
    step_response: StepResponseOptions | None = Field(
        default=None, alias="step-response", description="step a quantity up and back, and fit gain, lag and dead time"
    )
    identify: IdentifyOptions | None = Field(
        default=None, description="find out how the device answers its knobs, and whether it is wired as it should be"
    )
    compare: CompareOptions | None = Field(default=None, description="several methods from the same start, over several seeds")
    repeat: RepeatOptions | None = Field(default=None, description="a sequence within the sequence, several times")
    ask: AskOptions | None = Field(default=None, description="a question to a person")
    call: CallOptions | None = Field(default=None, description="a stage that is a function of your own")
    off: bool = Field(default=False, description="the stage is switched off: it stays in the file and is passed over")
    pause_after: bool = Field(default=False, description="the run pauses after the stage, until someone continues")

    @model_validator(mode="before")
    @classmethod
    def _bare_word(cls, value: Any) -> Any:
        """Take `- evaluate` and `- evaluate:` for `- evaluate: {}`, and `- file.py:function: {...}` for a `call`."""
        words = cls.words()
        if isinstance(value, str) and (value in words or is_user_code(value)):
            value = {value: {}}
        if isinstance(value, dict) and len(own := [key for key in value if isinstance(key, str) and is_user_code(key)]) == 1:
            (key,) = own
            options = {} if value[key] is None else value[key]
            return {**{mark: value[mark] for mark in value if mark != key}, "call": {"function": key, "options": options}}
        if isinstance(value, dict):
            return {key: {} if options is None and key in words else options for key, options in value.items()}
        return value

    @model_validator(mode="after")
    def _exactly_one(self) -> StageEntry:
        given = sorted(word for word, name in self.words().items() if name in self.model_fields_set)
        if len(given) != 1:
            words = ", ".join(self.words())
            raise ValueError(f"one stage per entry, one of {words}; here are {len(given)}: {', '.join(given) or 'none'}")
        return self

    @model_serializer
    def _as_written(self) -> dict[str, Any]:
        return {self.kind: self.options.model_dump(mode="json"), **{mark: True for mark in MARKS if getattr(self, mark)}}

    @classmethod
    def words(cls) -> dict[str, str]:
        """Get the words of the stages as a file writes them, each with the name of its field."""
        return {field.alias or name: name for name, field in cls.model_fields.items() if name not in MARKS}

    @property
    def kind(self) -> str:
        """Get the word of the stage, such as `train`."""
        return next(word for word, name in self.words().items() if name in self.model_fields_set)

    @property
    def options(self) -> StageOptions:
        """Get the options of the stage."""
        options: StageOptions = getattr(self, next(name for name in self.model_fields_set if name not in MARKS))
        return options


RepeatOptions.model_rebuild(_types_namespace={"StageEntry": StageEntry})
StageEntry.model_rebuild()
