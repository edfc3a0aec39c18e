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


def run(session: RunSession, options: HoldOptions) -> dict[str, Any]:
    """Hold until the time has passed; each hold is a point at which the run may pause or stop."""
    import numpy as np

    inputs = session.data.train.inputs
    n = session.info.samples or 1
    rows = (options.sample + np.arange(n)) % len(inputs)
    session.between_samples(lambda: session.present(inputs[rows]))
    session.release()
    passed, holds, accepted, worst = 0.0, 0, 0, 0.0
    while passed < options.seconds:
        session.point()
        report = session.sample(lambda: session.hold(session.target))
        if report is None:  # frozen and continued meanwhile
            session.between_samples(lambda: session.present(inputs[rows]))
            continue
        passed += max(report.duration_s, 0.0)
        holds += 1
        accepted += report.accepted
        worst = max(worst, report.worst[1])
        session.report(held=report.accepted, hold_error=report.worst[1], seconds=passed)
        if report.duration_s <= 0.0:  # a device without time of its own: once is enough
            break
    return {"seconds": passed, "holds": holds, "held_rate": accepted / holds, "worst_error_in_tolerances": worst}
