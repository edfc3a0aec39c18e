"""The stage `set`: sets quantities once, waits until they are reached, reads back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import ConfigDict, Field, model_serializer, model_validator

from aeqlab.protocols.stages.options import StageOptions
from aeqlab.protocols.stages.scan import READ, SAMPLE

if TYPE_CHECKING:
    from aeqlab.protocols.run_session import RunSession


class SetOptions(StageOptions):
    """Set quantities by name: `- set: {u3: 0.5, x0: 0.2}`; names with brackets in quotes, or one on each line."""

    model_config = ConfigDict(json_schema_extra={"additionalProperties": {"type": "number"}})

    quantities: dict[str, float] = Field(
        min_length=1, max_length=1000, description="value of each quantity; may be written without this key, beside the others"
    )
    wait: bool = Field(default=True, description="wait until the knobs stand there and the device has come to rest")
    read: list[str] = Field(default=[], max_length=1000, description=f"what is read then: {READ.split(': ')[1]}")
    sample: int | None = Field(default=None, ge=0, description=SAMPLE)

    @model_validator(mode="before")
    @classmethod
    def _names_beside(cls, value: Any) -> Any:
        """Take every key that is no option for the name of a quantity."""
        if not isinstance(value, dict):
            return value
        own = {key: part for key, part in value.items() if key in cls.model_fields}
        named = {key: part for key, part in value.items() if key not in cls.model_fields}
        if not named or not isinstance(own.get("quantities", {}), dict):
            return value if not named else {**own, "quantities": own["quantities"]}
        return {**own, "quantities": {**own.get("quantities", {}), **named}}

    @model_serializer
    def _as_written(self) -> dict[str, Any]:
        return {**self.quantities, "wait": self.wait, "read": self.read, "sample": self.sample}


def run(session: RunSession, options: SetOptions) -> dict[str, Any]:
    """Set; see `protocols/setting.py`, which this stage starts."""
    from aeqlab.protocols.setting import set_once

    return set_once(session, options)
