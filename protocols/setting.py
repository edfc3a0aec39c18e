"""Setting quantities once, with readback; what the stage `set` does. They stay as they are set, but for the nudge."""

from __future__ import annotations

from typing import Any

import numpy as np

from aeqlab.protocols.quantities import Kind, settable
from aeqlab.protocols.readings import readables
from aeqlab.protocols.record import PointRow
from aeqlab.protocols.run_session import RunSession
from aeqlab.protocols.scanning import point_row, record_scan
from aeqlab.protocols.setpoint_modes import mode_of
from aeqlab.protocols.setpoints import Setpoints, described
from aeqlab.protocols.stages.scan import Axis
from aeqlab.protocols.stages.set import SetOptions


def set_once(session: RunSession, options: SetOptions) -> dict[str, Any]:
    """Set, wait, read back and record.

    Returns:
        What was `asked`, what the device `reports` of it, whether it was `reached`, and what was read.
    Raises:
        LimitError: a value outside what the device allows; nothing was moved.
        CapabilityError: the device has no such quantity.
    """
    device = described(session)
    moved = [settable(name, device) for name in options.quantities]
    reads = readables(options.read, device)
    asked = np.array(list(options.quantities.values()))
    kinds = [one.kind for one in moved]
    setpoints = session.between_samples(lambda: Setpoints(session, mode_of(None, kinds), options.sample, moved))
    axes = [Axis(quantity=name, values=[value]) for name, value in options.quantities.items()]
    scan = record_scan(session, axes, moved, reads, ())  # one point, and no grid of as many dimensions as quantities
    passes = options.wait and any(kind not in (Kind.SETTING, Kind.COUPLING) for kind in kinds)
    session.point()

    def work() -> tuple[PointRow | None, Any, Any]:
        for one, value in zip(moved, asked, strict=True):
            setpoints.put(one, float(value))
        setpoints.apply()
        if not passes and not reads:
            return None, None, None
        rest = setpoints.settle(passes)
        means, spread, readings = setpoints.read(reads, rest)
        readbacks = setpoints.readbacks(moved, rest)
        return point_row(session, scan, 0, asked, readbacks, means, spread, readings, rest, 0), readbacks, means

    try:
        row, readbacks, means = session.between_samples(work)
    except BaseException as exc:
        setpoints.leave(exc, back=False)
        raise
    session.release()
    found: dict[str, Any] = {"asked": {one.name: value for one, value in zip(moved, options.quantities.values(), strict=True)}}
    if row is None:
        return {**found, "waited": False}
    session.record.point(row)
    reports = {one.name: float(value) for one, value in zip(moved, readbacks, strict=True) if np.isfinite(value)}
    found |= {"reports": reports} if reports else {}
    found["reached"] = row.settled
    if not row.settled:
        session.say("warning", "not reached", f"set: {', '.join(options.quantities)}: {row.verdict}.")
    if reads:
        found["read"] = {one.name: float(value) for one, value in zip(reads, means, strict=True)}
    return found
