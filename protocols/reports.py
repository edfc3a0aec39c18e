"""What a protocol says of one phase: how well theta was held, whether the device settled.

Plain frozen data with arrays, so that it crosses a socket and goes into the record as it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aeqlab.backends.device import Readout

Array = NDArray[Any]


class Verdict(StrEnum):
    """How a phase ended."""

    SETTLED = "settled"  #: by the window test: still, within tolerance, unsaturated, fresh
    TICKS = "ticks"  #: after the stated number of ticks, or the most sweeps, as the paper does; says nothing about rest
    EXACT = "exact"  #: the device reached it by itself (ideal homeostasis, one advance to equilibrium)
    TIMEOUT = "timeout"  #: not settled in the time given
    SATURATED = "saturated"  #: a knob stood at a rail for the whole window
    STALE = "stale"  #: no fresh reading in the time given
    JUMPED = "jumped"  #: a reading changed at once while nothing moved it, or the step moved further than any step before


@dataclass(frozen=True, slots=True)
class HoldReport:
    """How a homeostatic phase ended.

    Attributes:
        accepted: whether the clamp may follow under the experiment's `accept` rule.
        verdict: why the phase ended.
        ticks, duration_s: calls of `advance` and device time it took.
        readout: the last one; after a settled hold its parameters are the mean over the window.
        error: theta - theta*, window mean, shape (parameters,); None on a device that holds exactly.
        tolerance: allowed |theta - theta*| at the clamp, same shape; wider than wanted where drift, noise and the knobs' steps
            allow no less; None likewise.
        saturated: knobs at a rail at the end, bool, shape (controls,), where theta is not held only those that would go
            further; None likewise.
        stale_ticks: ticks without a fresh reading.
        drift: how far theta goes by itself from the window to the clamp, standard deviation, in its unit, shape
            (parameters,); a part of the tolerance. None unless settled by the window test.
        idle: parameters that did not follow their knob though it was moved by much, bool, shape (parameters,); None: not told.
        jumped: what jumped, in words; empty: nothing did.
    """

    accepted: bool
    verdict: Verdict
    ticks: int
    duration_s: float
    readout: Readout
    error: Array | None = None
    tolerance: Array | None = None
    saturated: Array | None = None
    stale_ticks: int = 0
    drift: Array | None = None
    idle: Array | None = None
    jumped: str = ""

    @property
    def worst(self) -> tuple[int, float]:
        """Index of the worst parameter and its |error| in units of its tolerance; (-1, 0.0) where held exactly."""
        if self.error is None or self.tolerance is None or not len(self.error):
            return -1, 0.0
        ratio = np.abs(self.error) / self.tolerance
        k = int(np.argmax(ratio))
        return k, float(ratio[k])

    @property
    def why_not_held(self) -> str:
        """Why theta is not held, in words; empty where it is."""
        if self.accepted:
            return ""
        if self.jumped:
            return f"theta is not held ({self.verdict}): {self.jumped}"
        k, off = self.worst
        said = f"theta is not held ({self.verdict})" + (f": parameter {k} is {off:.3g} tolerances off" if k >= 0 else "")
        if self.idle is not None and self.idle.any():
            rows = np.flatnonzero(self.idle).tolist()
            said += f"; parameter {', '.join(map(str, rows[:4]))}{', ...' if len(rows) > 4 else ''} does not follow its knob"
        return said


@dataclass(frozen=True, slots=True)
class SettleReport:
    """How a phase with clamped knobs ended; `accepted`, `verdict` and the rest as in `HoldReport`."""

    accepted: bool
    verdict: Verdict
    ticks: int
    duration_s: float
    readout: Readout
    jumped: str = ""
