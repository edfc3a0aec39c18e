"""The rows of a rig that is connected, from one look at its session: setpoint, readback, owner, age of each."""

from __future__ import annotations

import math
import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aeqlab.app.window.models.rig_rows import InterlockRow, RigRow
from aeqlab.app.window.models.session_feed import SessionView
from aeqlab.backends.device import DeviceInfo
from aeqlab.protocols.session_view import SessionView as Seen
from aeqlab.protocols.words import in_unit

Array = NDArray[Any]
OLD_TICKS, OLD_S = 5.0, 1.0  #: a value is old after so many ticks, and so many s at least


def rows_of(session: SessionView, now: float | None = None) -> list[RigRow]:
    """Make the rows of knobs, readouts and monitors.

    Args:
        session: as it was heard last.
        now: by time.monotonic; left out: now.
    """
    info, seen = session.info, session.seen
    if info is None:
        return []
    late = max(0.0, (time.monotonic() if now is None else now) - session.heard_at)
    period = max(OLD_S, OLD_TICKS * (info.tick_s or 0.0) / info.speed)
    return [
        *_controls(info, seen, late, period), *_inputs(info, seen, late, period), *_readouts(info, seen, late, period),
        *_monitors(seen, late, 0.0 if session.lost else math.inf),
    ]  # fmt: skip


def interlocks_of(session: SessionView) -> list[InterlockRow]:
    """Make the rows of the interlocks; of a session that does not answer nothing is known, so that each counts as tripped."""
    seen = session.seen
    if seen is None:
        return []
    found = []
    for one in seen.interlocks:
        if one.tripped is None or session.lost:
            found.append(InterlockRow(one.name, one.when, one.action, why=session.lost))
            continue
        values = ", ".join(f"{name} = {value:.6g}{in_unit(unit)}" for name, (value, unit, _) in one.values.items())
        many = "many readouts"  # of which no look lists the values
        age = max((float(told[2]) for told in one.values.values()), default=_reading_s(session))
        found.append(InterlockRow(one.name, one.when, one.action, values or many, age, math.inf, one.tripped, one.why))
    return found


def _reading_s(session: SessionView) -> float:
    """Get the age of the oldest value of the last reading, of which an interlock over many readouts tells, in s."""
    readout, seen, info = session.readout, session.seen, session.info
    if readout is None or seen is None or info is None:
        return math.nan
    ages = [float(np.max(part, initial=0.0)) for part in (readout.output_ages_s, readout.parameter_ages_s) if part is not None]
    return max(ages, default=0.0) / info.speed + seen.since_s


def _controls(info: DeviceInfo, seen: Seen | None, late: float, period: float) -> list[RigRow]:
    knobs = info.controls
    setpoints, readbacks = _row(seen and seen.setpoints, len(knobs)), _row(seen and seen.readbacks, len(knobs))
    age = math.nan if seen is None else seen.readbacks_s + late
    verdicts = () if seen is None else seen.verdicts
    owners = () if seen is None else seen.owners
    return [
        RigRow(
            knobs.names[k], "control", float(setpoints[k]), float(readbacks[k]), knobs.unit, float(knobs.low[k]),
            float(knobs.high[k]), owners[k] if k < len(owners) else "", age, period,
            k < len(verdicts) and verdicts[k] == "saturated", k < len(verdicts) and verdicts[k] == "slewing",
        )
        for k in range(len(knobs))
    ]  # fmt: skip


def _inputs(info: DeviceInfo, seen: Seen | None, late: float, period: float) -> list[RigRow]:
    knobs = info.inputs
    asked = None if seen is None or seen.inputs is None or not len(seen.inputs) else np.asarray(seen.inputs)[0]
    values = _row(asked, len(knobs))
    return [
        RigRow(knobs.names[k], "input", float(values[k]), math.nan, knobs.unit, float(knobs.low[k]), float(knobs.high[k]),
               "", math.nan, period)
        for k in range(len(knobs))
    ]  # fmt: skip


def _readouts(info: DeviceInfo, seen: Seen | None, late: float, period: float) -> list[RigRow]:
    readout = None if seen is None else seen.readout
    since = late + (seen.since_s if seen is not None and math.isfinite(seen.since_s) else 0.0)
    n = info.n_parameters
    theta = _row(None if readout is None else readout.parameters, n)
    ages = _row(None if readout is None else readout.parameter_ages_s, n) / info.speed + since
    names = [f"{block.name}[{k}]" for block in info.parameters for k in range(block.size)]
    units = [block.unit for block in info.parameters for _ in range(block.size)]
    found = [
        RigRow(names[k], "parameter", math.nan, float(theta[k]), units[k], -math.inf, math.inf, "", float(ages[k]), period)
        for k in range(n)
    ]
    outputs = None if readout is None or not len(readout.outputs) else np.asarray(readout.outputs)[0]
    s = _row(outputs, len(info.outputs))
    ages = _row(None if readout is None else readout.output_ages_s, len(info.outputs)) / info.speed + since
    for k, name in enumerate(info.outputs.names):
        unit = info.outputs.unit
        found.append(RigRow(name, "output", math.nan, float(s[k]), unit, -math.inf, math.inf, "", float(ages[k]), period))
    return found


def _monitors(seen: Seen | None, late: float, period: float) -> list[RigRow]:
    if seen is None:
        return []
    return [
        RigRow(name, "monitor", math.nan, float(value), str(unit), -math.inf, math.inf, "", float(age) + late, period)
        for name, (value, unit, age) in seen.monitors.items()
    ]  # fmt: skip


def _row(values: Any, n: int) -> Array:
    """Get a row of n numbers; nan where there are none."""
    if values is None or len(values) != n:
        return np.full(n, np.nan)
    return np.asarray(values, dtype=np.float64)
