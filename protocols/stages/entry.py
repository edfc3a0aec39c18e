"""One entry of a sequence: `- train: {method: centered, beta: 0.1}`, a word for the stage and its options.

A model with one field per stage, of which exactly one is given: so the place of an error is the path in the file.
"""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field, model_serializer, model_validator

from aeqlab.backends.user_code import is_user_code
from aeqlab.protocols.stages.call import CallOptions
from aeqlab.protocols.stages.compare import CompareOptions
from aeqlab.protocols.stages.evaluate import EvaluateOptions
from aeqlab.protocols.stages.hold import HoldOptions
from aeqlab.protocols.stages.options import StageOptions
from aeqlab.protocols.stages.repeat import RepeatOptions
from aeqlab.protocols.stages.restore import RestoreOptions
from aeqlab.protocols.stages.train_options import TrainOptions


class StageEntry(BaseModel):
    """One stage of a sequence; exactly one of the fields is given."""

    model_config = ConfigDict(frozen=True, extra="forbid", json_schema_extra={"minProperties": 1, "maxProperties": 1})

    train: TrainOptions | None = Field(default=None, description="train with Æqprop or with a baseline")
    evaluate: EvaluateOptions | None = Field(default=None, description="cost and error rate without nudge")
    hold: HoldOptions | None = Field(default=None, description="homeostasis for a time")
    restore: RestoreOptions | None = Field(default=None, description="bring theta to values from elsewhere")
    compare: CompareOptions | None = Field(default=None, description="several methods from the same start, over several seeds")
    repeat: RepeatOptions | None = Field(default=None, description="a sequence within the sequence, several times")
    call: CallOptions | None = Field(default=None, description="a stage that is a function of your own")

    @model_validator(mode="before")
    @classmethod
    def _bare_word(cls, value: Any) -> Any:
        """Take `- evaluate` and `- evaluate:` for `- evaluate: {}`, and `- file.py:function: {...}` for a `call`."""
        if isinstance(value, str) and (value in cls.model_fields or is_user_code(value)):
            value = {value: {}}
        if isinstance(value, dict) and len(value) == 1:
            ((key, options),) = value.items()
            if isinstance(key, str) and is_user_code(key):
                return {"call": {"function": key, "options": {} if options is None else options}}
        if isinstance(value, dict):
            return {key: {} if options is None and key in cls.model_fields else options for key, options in value.items()}
        return value

    @model_validator(mode="after")
    def _exactly_one(self) -> StageEntry:
        given = sorted(self.model_fields_set)
        if len(given) != 1:
            words = ", ".join(type(self).model_fields)
            raise ValueError(f"one stage per entry, one of {words}; here are {len(given)}: {', '.join(given) or 'none'}")
        return self

    @model_serializer
    def _as_written(self) -> dict[str, Any]:
        return {self.kind: self.options.model_dump(mode="json")}

    @property
    def kind(self) -> str:
        """Get the word of the stage, such as `train`."""
        return next(iter(self.model_fields_set))

    @property
    def options(self) -> StageOptions:
        """Get the options of the stage."""
        options: StageOptions = getattr(self, self.kind)
        return options


RepeatOptions.model_rebuild(_types_namespace={"StageEntry": StageEntry})
StageEntry.model_rebuild()
