"""The stage `restore`: bring theta to values from elsewhere, by writing it or by moving the homeostatic target."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from aeqlab.backends.named_files import Names
from aeqlab.protocols.stages.options import StageOptions

if TYPE_CHECKING:
    from aeqlab.protocols.run_session import RunSession


class RestoreOptions(StageOptions):
    """Say where theta comes from."""

    theta: Annotated[str, Names.THETA] = Field(
        min_length=1,
        description="`random`, `best` (of this run), a file (.npy, .npz, .csv), or RUN@step with a run folder and a step number",
    )
    spread: float = Field(default=0.1, gt=0, description="`random`: standard deviation around 0, in the parameters' unit")

    def names_found(self) -> frozenset[str] | None:
        """Get the names of the numbers it finds."""
        return frozenset({"holds", "hold_error"})


def run(session: RunSession, options: RestoreOptions) -> dict[str, Any]:
    """Find theta and bring the device there; where it cannot be written, hold until it is there."""
    from aeqlab.protocols.moving import arrive
    from aeqlab.protocols.restoring import find_theta

    theta, where = find_theta(session, options)
    how = session.move_theta(theta)
    found = {"theta_from": where, "how": how}
    if how == "written" or not session.has_data:  # without samples there is nothing to hold on: the next stage's hold does it
        return found
    return {**found, "how": "held there", **arrive(session)}
