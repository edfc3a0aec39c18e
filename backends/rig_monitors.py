"""What is watched beside the loop: monitors, each at its own period; sources that are held back by a limit of their own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aeqlab.backends.interlocks import Reading
from aeqlab.backends.rig_bus import Bus
from aeqlab.backends.rig_names import Place
from aeqlab.backends.rig_plan import RigPlan

Array = NDArray[Any]
SOURCES_S = (
    0.1  #: so often sources are asked whether a limit holds them back, with a nudge on, in s of the rig; at most each tick
)


class Monitors:
    """The newest value of every monitor and readout of a rig.

    Attributes:
        limited: channels whose source delivers less than it was told to.
    """

    def __init__(self, plan: RigPlan) -> None:
        self._plan = plan
        rows = (plan.parameters, plan.outputs)
        self._names = [(name, row.unit) for row in rows for name in row.names]
        self._next = [-np.inf] * len(plan.monitors)
        self._values = np.full(len(plan.monitors), np.nan)
        self._at = np.full(len(plan.monitors), -np.inf)
        self._read = np.full(len(plan.parameters) + len(plan.outputs), np.nan)
        self._read_at = -np.inf
        self._asked = -np.inf
        self.limited: tuple[Place, ...] = ()
        self._sources = sorted({place.instrument for place in plan.nudge.places})

    def due(self, now: float, down: Sequence[str]) -> list[tuple[int, Place]]:
        """List the monitors that are to be read now: their number and channel."""
        found = []
        for k, one in enumerate(self._plan.monitors):
            if now >= self._next[k] and one.place.instrument not in down:
                self._next[k] = now + one.entry.period_s
                found.append((k, one.place))
        return found

    def take(self, now: float, which: Sequence[tuple[int, Place]], values: Array, read: Array) -> None:
        """Take what was read: of some monitors, and of all parameters and outputs, in this order."""
        if which:
            for (k, _), value in zip(which, values.tolist(), strict=True):
                self._values[k], self._at[k] = value, now
        self._read, self._read_at = read, now

    def look_at_sources(self, now: float, bus: Bus, nudged: bool) -> None:
        """Ask the sources of the nudge now and then whether they deliver what they were told."""
        if not nudged:
            self.limited, self._asked = (), -np.inf  # the next nudge is looked at in its first tick
            return
        if now - self._asked < SOURCES_S:
            return
        self._asked = now
        self.limited = tuple(
            Place(name, key) for name in self._sources for key in bus.talk(name, lambda instrument: instrument.tripped())
        )

    def readings(self, now: float) -> dict[str, Reading]:
        """Get the newest value of every parameter, output and monitor by name; nan where there is none."""
        age = max(0.0, now - self._read_at)
        found = {name: Reading(value, unit, age) for (name, unit), value in zip(self._names, self._read.tolist(), strict=True)}
        for one, value, at in zip(self._plan.monitors, self._values.tolist(), self._at.tolist(), strict=True):
            found[one.name] = Reading(value, one.unit, max(0.0, now - at))
        return found

    def of(self, knob: str) -> tuple[str, Place] | None:
        """Get the monitor that measures a knob, by its name and channel; None where none does."""
        for one in self._plan.monitors:
            if one.entry.measures == knob:
                return one.name, one.place
        return None
