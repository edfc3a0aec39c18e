"""What the rig table, the monitors and the interlocks of a connected session show: plain snapshots, made by whoever reads it."""

from __future__ import annotations

import math
from dataclasses import dataclass

from aeqlab.protocols.hand_moves import LARGE


@dataclass(frozen=True, slots=True)
class RigRow:
    """A knob or a readout of a connected rig at a moment. A number that is not known is nan.

    Attributes:
        name, role: as in the rig file; role is control, input, parameter, output, nudge, monitor or supply.
        setpoint: what it was told; nan for a readout.
        readback: what the instrument says, or what was read.
        unit: of setpoint, readback and limits.
        low, high: within which a session may set it; infinite: no limit.
        owner: who moves it: by hand, a loop, a run; empty: nobody.
        age_s: of the readback.
        period_s: how often it is read; an age beyond it is old.
        saturated: it stands at a limit and should be elsewhere.
        slewing: it is still on its way to the setpoint.
    """

    name: str
    role: str
    setpoint: float
    readback: float
    unit: str
    low: float
    high: float
    owner: str = ""
    age_s: float = math.nan
    period_s: float = math.inf
    saturated: bool = False
    slewing: bool = False

    @property
    def old(self) -> bool:
        """Whether the readback is older than its period, or its age is not known."""
        return not self.age_s <= self.period_s

    @property
    def movable(self) -> bool:
        """Whether a hand may move it."""
        return self.role in ("control", "input")

    @property
    def state(self) -> str:
        """Say what it does, in a word or two."""
        words = ["on its way"] * self.slewing + ["at its limit"] * self.saturated
        unread = math.isnan(self.readback) and math.isnan(self.age_s)
        return ", ".join(words) or ("no reading" if unread else "old" if self.old else "")


@dataclass(frozen=True, slots=True)
class InterlockRow:
    """An interlock or the alarm of a monitor at a moment.

    Attributes:
        name: of the interlock.
        when: its condition, as it is written in the rig file.
        action: warn, freeze or safe.
        values: what it reads, with units, such as temperature = 299.2 K; empty where nothing is known.
        age_s: of the oldest of these.
        stale_s: older data count as tripped.
        tripped: whether it is.
        why: the sentence of the session for that; empty where it is not tripped.
    """

    name: str
    when: str
    action: str
    values: str = ""
    age_s: float = math.nan
    stale_s: float = math.inf
    tripped: bool = False
    why: str = ""

    @property
    def state(self) -> str:
        """Say whether it is tripped; without data it is, for nobody knows that all is well."""
        if not self.age_s <= self.stale_s or not self.values:
            return "no data: counts as tripped"
        return "tripped" if self.tripped else "not tripped"

    @property
    def bad(self) -> bool:
        """Whether it is tripped, or counts as tripped."""
        return self.state != "not tripped"


def large_jump(row: RigRow, value: float) -> bool:
    """Tell whether a move by hand is large, as the session's `hand_moves` calls it, or one from where nobody knows."""
    if not math.isfinite(row.setpoint) and not math.isfinite(row.readback):
        return True
    start = row.setpoint if math.isfinite(row.setpoint) else row.readback
    span = row.high - row.low
    return math.isfinite(span) and abs(value - start) > LARGE * span
