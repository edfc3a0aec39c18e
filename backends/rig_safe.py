"""SAFE on a rig: the nudge off, every knob led to rest within its slew, outputs off against the order, each line graded.

What cannot be reached is not safe: its line says that its state is unknown, and what it was last told.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from aeqlab.backends.readout import Grade, SafetyLine, SafetyReport
from aeqlab.backends.rig_bus import Down
from aeqlab.backends.rig_knobs import MovingKnobs
from aeqlab.backends.rig_names import Place
from aeqlab.drivers.errors import DriverError
from aeqlab.drivers.instrument import Instrument

if TYPE_CHECKING:
    from aeqlab.backends.rig import Rig

Array = NDArray[Any]
#: A ramp may take so many times its length, and so many s more, before it is given up.
PATIENCE, MORE_S = 1.5, 2.0
#: A measurement confirms a value within so much of the knob's range, unless its monitor is better known.
CLOSE = 5e-3


def rehearse(rig: Rig) -> list[str]:
    """Go through the way to SAFE without sending anything that moves; returns what would keep it from being gone."""
    wrong = []
    for name in sorted({place.instrument for place in places_to_switch_off(rig)}):
        if type(rig.bus.instruments[name])._off is Instrument._off:
            wrong.append(
                f"{name} is to be switched off under SAFE, and its driver cannot do that. Say `safe: rest`, or write `_off`."
            )
    for row in rig.knob_rows():
        try:
            said = rig.bus.written(row.plan.places)
        except (Down, DriverError, NotImplementedError) as exc:
            wrong.append(
                f"what {row.plan.names[0]} and the others are set to cannot be asked, so SAFE could not be confirmed: {exc}"
            )
            continue
        if not np.isfinite(said).all():
            wrong.append(f"{row.plan.names[int(np.argmax(~np.isfinite(said)))]} does not say what it is set to.")
        if not np.isfinite(row.plan.rest).all():
            wrong.append("a rest value is no number.")
    return wrong


def bring_to_rest(rig: Rig) -> dict[str, str]:
    """Take the nudge off, lead all knobs to rest, switch off what is to be off; returns by instrument why it failed."""
    failed: dict[str, str] = {}
    nudges = {place.instrument for place in rig.plan.nudge.places}
    on: dict[str, str] = {}
    try:
        rig.nudge_off()
    except (Down, DriverError) as exc:  # one that was never armed cannot be set, but it can be switched off, below
        on = dict.fromkeys(nudges, str(exc))
    rows = rig.knob_rows()
    for row in rows:
        row.goal = row.plan.rest.copy()
    rig.drive_again()
    began = rig.clock.now()
    due = began + PATIENCE * max(row.way_s(row.goal) for row in rows) + MORE_S
    while rig.clock.now() < due and any(_moving(row, rig.bus.down) for row in rows):
        try:
            rig.lead()
        except DriverError as exc:  # one knob is refused: the others go on, in the next tick
            name = next((name for name in rig.plan.order if name in str(exc)), rig.plan.order[0])
            failed.setdefault(name, str(exc))
    off = places_to_switch_off(rig)
    still_on = rig.bus.off(off)
    for name, error in still_on.items():
        failed.setdefault(name, str(error))
    switched = {place.instrument for place in off} - set(still_on)
    for name, why in on.items():
        if name not in switched:
            failed.setdefault(name, why)
    if off:
        rig.went_off()
    return failed


def places_to_switch_off(rig: Rig) -> list[Place]:
    """List the outputs that SAFE switches off: nudges and supplies, and all of instruments for which the rig file says so."""
    plan, entries = rig.plan, rig.plan.file.instruments
    driven = [*plan.controls.places, *plan.inputs.places]
    last = [*plan.nudge.places, *(one.place for one in plan.supplies)]
    found = [place for place in driven if entries[place.instrument].safe == "off"]
    return [*found, *(place for place in last if entries[place.instrument].safe != "rest")]


def report_of(rig: Rig, failed: dict[str, str]) -> SafetyReport:
    """Say line by line where everything stands, and how that is known."""
    lines = [_nudge_line(rig, failed)]
    for row in rig.knob_rows():
        lines += _knob_lines(rig, row, failed)
    off = set(places_to_switch_off(rig))
    for one in rig.plan.supplies:
        down = rig.bus.health[one.place.instrument].down_since is not None
        note = failed.get(one.place.instrument, "")
        grade = Grade.FAILED if down or note else (Grade.ECHOED if one.place in off else Grade.SENT)
        lines.append(
            SafetyLine(one.name, grade, 0.0, None, one.unit, note or ("switched off" if one.place in off else "stays on"))
        )
    return SafetyReport(tuple(lines))


def _nudge_line(rig: Rig, failed: dict[str, str]) -> SafetyLine:
    name = rig.plan.nudge.places[0].instrument
    try:
        stands = rig.nudge_stands()
    except (Down, DriverError) as exc:
        return SafetyLine("nudge", Grade.FAILED, 0.0, None, "1", f"state unknown: {exc}")
    return SafetyLine("nudge", Grade.FAILED if stands or name in failed else Grade.ECHOED, 0.0, stands, "1", failed.get(name, ""))


def _knob_lines(rig: Rig, row: MovingKnobs, failed: dict[str, str]) -> list[SafetyLine]:
    plan = row.plan
    said: dict[int, float] = {}
    for name in rig.plan.order:
        rows = [k for k, place in enumerate(plan.places) if place.instrument == name]
        if rows:
            with contextlib.suppress(Down, DriverError):
                said.update(zip(rows, rig.bus.written([plan.places[k] for k in rows]).tolist(), strict=True))
    lines = []
    for k, (name, place) in enumerate(zip(plan.names, plan.places, strict=True)):
        rest = float(plan.rest[k])
        if k not in said:
            note = f"state unknown, last commanded {row.sent[k]:.6g} {plan.unit}: {rig.bus.health[place.instrument].why}"
            lines.append(SafetyLine(name, Grade.FAILED, rest, None, plan.unit, note))
            continue
        volts = said[k]
        at_rest = abs(volts - rest) <= 0.51 * float(row.step[k]) + 1e-6 * float(plan.highest[k] - plan.lowest[k])
        note = failed.get(place.instrument, "") if not at_rest else ""
        measured = _measured(rig, name)
        if measured is None:
            lines.append(SafetyLine(name, Grade.ECHOED if at_rest else Grade.FAILED, rest, volts, plan.unit, note))
            continue
        close = abs(measured - rest) <= CLOSE * float(plan.highest[k] - plan.lowest[k])
        note = note or ("" if close else f"the instrument says {volts:.6g} {plan.unit}, its monitor {measured:.6g}")
        lines.append(SafetyLine(name, Grade.MEASURED if at_rest and close else Grade.FAILED, rest, measured, plan.unit, note))
    return lines


def _measured(rig: Rig, knob: str) -> float | None:
    """Measure a knob by another channel, where there is one and it answers."""
    monitor = rig.monitors.of(knob)
    if monitor is None:
        return None
    try:
        values = rig.bus.measure([monitor[1]])
    except (Down, DriverError):
        return None
    return None if values is None else float(values[0])


def _moving(row: MovingKnobs, down: list[str]) -> bool:
    """Tell whether a knob that can be reached is still on its way."""
    far = np.abs(row.goal - row.at) > 1e-9 * (row.plan.high - row.plan.low)
    return any(far[k] and place.instrument not in down for k, place in enumerate(row.plan.places))
