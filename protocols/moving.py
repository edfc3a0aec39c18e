"""Bringing theta elsewhere than learning did: written where the device can, else by the target that homeostasis holds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from aeqlab.protocols.errors import CapabilityError
from aeqlab.protocols.restoring import check_theta

if TYPE_CHECKING:
    from aeqlab.protocols.run_session import RunSession

Array = NDArray[Any]
MOST_HOLDS = 10  #: holds that theta may take to arrive, where the way is long and the knobs are slow


def move_theta(session: RunSession, theta: Array) -> str:
    """Bring theta elsewhere; see `RunSession.move_theta`."""
    info = session.info
    check_theta(info, theta)
    if "WritableParameters" in session.abilities:
        session.between_samples(lambda: session.device_call("write_parameters", theta))
        session.adjusted.u = None
        if not session.holds_inside:
            session.aim(theta)
        return "written"
    if session.holds_inside:
        raise CapabilityError(f"{info.name} keeps its parameters itself and does not let them be written.")
    session.aim(theta)
    return "target moved; the next hold brings theta there"


def arrive(session: RunSession) -> dict[str, Any]:
    """Hold until theta stands at the target, on the first training sample; a long way takes several holds.

    Returns:
        `held`, `holds` and, at the end, `hold_error`: how far the worst parameter is off, in tolerances.
    """
    inputs = session.data.train.inputs[np.arange(session.info.samples or 1) % len(session.data.train)]
    session.between_samples(lambda: session.present(inputs))
    session.release()
    report = None
    holds = 0
    session.progress(0, MOST_HOLDS)
    while holds < MOST_HOLDS and not (report is not None and report.accepted):
        session.point()
        report = session.sample(lambda: session.hold(session.target))
        if report is None:  # frozen and continued meanwhile
            session.between_samples(lambda: session.present(inputs))
            continue
        holds += 1
        session.progress(holds, holds if report.accepted else MOST_HOLDS)
    assert report is not None
    if not report.accepted:
        session.say("warning", "restore", f"After {holds} holds {report.why_not_held}; what follows begins from there.")
    return {"held": report.accepted, "holds": holds, "hold_error": report.worst[1]}
