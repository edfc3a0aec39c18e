"""What stops a rig: the interlocks of its file, limits of its parameters and outputs, alarms of its monitors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from aeqlab.backends.interlocks import Interlock, Readings, interlock
from aeqlab.backends.rig_file import InterlockEntry
from aeqlab.backends.rig_plan import ReadPlan, RigPlan

STALE_TICKS = 20.0  #: readings of a limit may be so old, in ticks, and 5 s besides
STALE_S = 5.0
PERIODS = 3.0  #: so many periods of what is read may pass before it is too old


def guards_of(plan: RigPlan) -> tuple[Interlock, ...]:
    """Make the interlocks of a rig; its file was checked before."""
    known = [*plan.parameters.names, *plan.outputs.names, *(one.name for one in plan.monitors)]
    found = [_of_entry(plan, one, known) for one in plan.file.interlocks]
    for what, row in (("parameters", plan.parameters), ("outputs", plan.outputs)):
        found += _limits(what, row, STALE_TICKS * plan.file.tick_s + STALE_S)
    for one in plan.monitors:
        if one.entry.alarm is not None:
            low, high = one.entry.alarm
            found.append(
                interlock(one.name, f"{one.name} < {low!r} or {one.name} > {high!r}", "warn", PERIODS * one.entry.period_s, known)
            )
    return tuple(found)


def _of_entry(plan: RigPlan, entry: InterlockEntry, known: Sequence[str]) -> Interlock:
    """Make an interlock of the file; where it does not say how old its data may be, that follows from how often they are read."""
    made = interlock(entry.name, entry.when, entry.action, entry.stale_s or STALE_S, known)
    if entry.stale_s is not None:
        return made
    return replace(made, stale_s=max(STALE_S, PERIODS * plan.file.read_every_s(made.names)))


def _limits(what: str, row: ReadPlan, stale_s: float) -> list[Interlock]:
    """Make one interlock of the limits of a row: outside of them the rig is made safe. What was never read is no breach."""
    low, high = row.low, row.high
    limited = [k for k in range(len(row)) if np.isfinite(low[k]) or np.isfinite(high[k])]
    if not limited:
        return []
    names = tuple(row.names[k] for k in limited)

    def outside(readings: Readings) -> bool:
        return any(not low[k] <= readings[row.names[k]].value <= high[k] for k in limited)

    return [_Limits(f"limits of the {what}", f"one of the {what} is outside its limits", "safe", stale_s, names, outside, row)]


class _Limits(Interlock):
    """Limits of a row of readouts; its sentence names those that are outside."""

    __slots__ = ("_row",)
    _row: ReadPlan

    def __init__(
        self, name: str, when: str, action: str, stale_s: float, names: tuple[str, ...], truth: object, row: ReadPlan
    ) -> None:
        super().__init__(name, when, action, stale_s, names, truth)  # type: ignore[arg-type]
        object.__setattr__(self, "_row", row)

    def tripped(self, readings: Readings) -> str:
        """Say which are outside; empty where none is, or nothing was read yet."""
        row = self._row
        if all(np.isnan(readings[name].value) for name in self.names):
            return ""
        said = [
            f"{name} reads {readings[name].value:.6g} {row.unit}, outside {row.low[k]:g} to {row.high[k]:g} {row.unit}"
            for k, name in enumerate(row.names)
            if name in self.names and not row.low[k] <= readings[name].value <= row.high[k]
        ]
        return f"{self.name}: {', '.join(said[:4])}{', ...' if len(said) > 4 else ''}" if said else ""
