"""The stage `repeat`: a sequence within the sequence, several times over, or until something is so."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import Field, field_validator, model_validator

from aeqlab.protocols.nearest import did_you_mean
from aeqlab.protocols.stages.condition import condition
from aeqlab.protocols.stages.options import StageOptions

if TYPE_CHECKING:
    from aeqlab.protocols.run_session import RunSession
    from aeqlab.protocols.stages.entry import StageEntry

MOST_ROUNDS = 1000  #: of a repetition with a condition, unless `times` says otherwise


class RepeatOptions(StageOptions):
    """Repeat some stages."""

    times: int | None = Field(
        default=None, gt=0, le=1_000_000, description="how often; with until at most so often (default then: 1000)"
    )
    until: str | None = Field(
        default=None,
        description="stop after the round in which this is so: NAME < NUMBER, or with <=, >, >=; NAME is what a stage within "
        "found or reported last: cost, test_cost_free, test_error_rate, held_rate, ...",
    )
    sequence: list[StageEntry] = Field(min_length=1, description="the stages to repeat, in order")

    @field_validator("until")
    @classmethod
    def _is_a_condition(cls, value: str | None) -> str | None:
        if value is not None:
            condition(value)
        return value

    @model_validator(mode="after")
    def _ends(self) -> RepeatOptions:
        if self.times is None and self.until is None:
            raise ValueError("say how often with `times`, or until when with `until`")
        known = self.names_found()
        if self.until is not None and known is not None and (name := condition(self.until).name) not in known:
            near = did_you_mean(name, sorted(known))
            raise ValueError(f"until: no stage within finds {name!r}.{near} They find {', '.join(sorted(known)) or 'nothing'}")
        return self

    @property
    def bound(self) -> int:
        """Get the most rounds there can be."""
        return self.times or MOST_ROUNDS

    def names_found(self) -> frozenset[str] | None:
        """Get the names of the numbers that the stages within may find; None where only running tells."""
        found = [entry.options.names_found() for entry in self.sequence if not entry.off]
        if any(names is None for names in found):
            return None
        return frozenset({"times", "value"}).union(*(names for names in found if names is not None))


def run(session: RunSession, options: RepeatOptions) -> dict[str, Any]:
    """Run the inner sequence until it is done often enough; every round and stage has its place in the path of the run."""
    from aeqlab.protocols.repeating import repeat

    return repeat(session, options)
