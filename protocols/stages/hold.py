"""The stage `hold`: homeostasis for a time, on one sample, without learning."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import Field

from aeqlab.protocols.stages.options import StageOptions

if TYPE_CHECKING:
    from aeqlab.protocols.run_session import RunSession


class HoldOptions(StageOptions):
    """Hold theta where it is for a time."""

    seconds: float = Field(gt=0, description="how long, in seconds of the device's clock")
    sample: int = Field(default=0, ge=0, description="index of the training sample to present meanwhile")

    def names_found(self) -> frozenset[str] | None:
        """Get the names of the numbers it finds."""
        return frozenset({"seconds", "holds", "held_rate", "hold_error"})


def run(session: RunSession, options: HoldOptions) -> dict[str, Any]:
    """Hold again and again until the time has passed: between two holds the run may pause, stop, and be resumed from."""
    import numpy as np

    inputs = session.data.train.inputs
    rows = (options.sample + np.arange(session.info.samples or 1)) % len(inputs)
    state = session.resumed_state()
    done = state or {"seconds": 0.0, "holds": 0, "accepted": 0, "worst": 0.0}
    if state is None or not session.presented:  # in virtual time the device came back with its input
        session.between_samples(lambda: session.present(inputs[rows]))
        session.release()
    session.keep_in_checkpoints(lambda: dict(done))
    session.progress(done["seconds"], options.seconds, "s")
    while done["seconds"] < options.seconds:
        session.point()
        report = session.sample(lambda: session.hold(session.target))
        if report is None:  # frozen and continued meanwhile
            session.between_samples(lambda: session.present(inputs[rows]))
            continue
        done["seconds"] += max(report.duration_s, 0.0)
        done["holds"] += 1
        done["accepted"] += report.accepted
        done["worst"] = max(done["worst"], report.worst[1])
        session.report(held=report.accepted, hold_error=report.worst[1], seconds=done["seconds"])
        session.progress(min(done["seconds"], options.seconds), options.seconds, "s")
        if report.duration_s <= 0.0:  # a device without time of its own: once is enough
            break
    return {
        "seconds": done["seconds"],
        "holds": done["holds"],
        "held_rate": done["accepted"] / done["holds"],
        "hold_error": done["worst"],  # of all of them
    }
