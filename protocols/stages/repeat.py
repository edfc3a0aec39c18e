"""The stage `repeat`: a sequence within the sequence, several times over."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import Field

from aeqlab.protocols.stages.options import StageOptions

if TYPE_CHECKING:
    from aeqlab.protocols.run_session import RunSession
    from aeqlab.protocols.stages.entry import StageEntry


class RepeatOptions(StageOptions):
    """Repeat some stages."""

    times: int = Field(gt=0, le=1_000_000, description="how often")
    sequence: list[StageEntry] = Field(min_length=1, description="the stages to repeat, in order")


def run(session: RunSession, options: RepeatOptions) -> dict[str, Any]:
    """Run the inner sequence `times` times; every round and stage has its place in the path of the run."""
    for turn in session.turns(options.times):
        session.run_sequence(options.sequence, turn)
    return {"times": options.times}
