"""The lines from instruments to a physical system: each driven by itself, with its own slew and its own filter.

As in `dac`, three values are never mixed up: the setpoint, the output on its way there, and the filtered line that the physics
feels. A line stays where it was told to be when nobody drives it any more.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

AT_ONCE_S = 50e-6  #: a filter and a ramp shorter than this take no time
_ARRIVED = 1e-7  #: nearer than this to its setpoint, in its unit, a filtered line has arrived: far below any noise


class Lines:
    """n lines, all at 0 at first.

    Attributes:
        setpoint, output, filtered: of each, shape (n,).
        moving: whether a line is on its way, or behind its filter.
    """

    def __init__(self, n: int) -> None:
        self.setpoint, self.output, self.filtered = np.zeros(n), np.zeros(n), np.zeros(n)
        self._slew, self._lag = np.full(n, np.inf), np.zeros(n)
        self.moving = False
        self._slews = False  # whether an output is on its way
        self._aim()

    def drive(self, k: int, value: float, slew_per_s: float, lag_s: float) -> None:
        """Drive line k to a value from now on, no faster than the slew, behind a filter of so many s."""
        self.setpoint[k] = value
        self._slew[k], self._lag[k] = slew_per_s, lag_s if lag_s >= AT_ONCE_S else 0.0
        if abs(value - self.output[k]) < AT_ONCE_S * slew_per_s:
            self.output[k] = value
        self._aim()

    @property
    def slewing(self) -> NDArray[np.bool_]:
        """Which outputs are on their way, shape (n,)."""
        return self._ramp_s > 0

    def far(self, near: float) -> bool:
        """Tell whether a line is still slewing, or behind its filter by more than `near`, in its unit."""
        return self.moving and (self._slews or bool((np.abs(self.filtered - self.setpoint) > near).any()))

    def path(self, times: Array) -> Array:
        """Get the filtered lines at times from now on, shape (m,) in s, as (m, n) or, where all stand still, as (1, n)."""
        if not self.moving:
            return self.setpoint[None]
        t = times[:, None]
        if not self._slews:
            return self.setpoint + (self.filtered - self.setpoint) * np.exp(-t / self._time)
        on_ramp = np.minimum(t, self._ramp_s)
        ramp = np.where(t >= self._ramp_s, self.setpoint, self.output + self._rate * on_ramp)
        lag = self._time
        behind = self._rate * lag
        ramped = self.output + self._rate * on_ramp - behind + (self.filtered - self.output + behind) * np.exp(-on_ramp / lag)
        settled = self.setpoint + (ramped - self.setpoint) * np.exp((on_ramp - t) / lag)
        return np.asarray(np.where(self._lag > 0, settled, ramp))

    def move(self, dt: float, filtered: Array) -> bool:
        """Let dt seconds pass, at the end of which the path is at `filtered`, (n,). Returns whether an output moved."""
        if not self.moving:
            return False
        if not self._slews:
            self.filtered = np.where(np.abs(filtered - self.setpoint) <= _ARRIVED, self.setpoint, filtered)
            self.moving = bool((self.filtered != self.setpoint).any())
            return False
        arrived = self._ramp_s <= dt * (1 + 1e-9)
        self.output = np.where(arrived, self.setpoint, self.output + self._rate * dt)
        self.filtered = np.where(np.abs(filtered - self.output) <= _ARRIVED, self.output, filtered)
        self._aim()
        return True

    def _aim(self) -> None:
        """Work out how long each output will be on its way, and how fast."""
        distance = self.setpoint - self.output
        finite = np.isfinite(self._slew)
        self._time = np.where(self._lag > 0, self._lag, 1.0)  # of the filter, in s; of a line without one any that is not 0
        self._ramp_s = np.where(finite, np.abs(distance) / np.where(finite, self._slew, 1.0), 0.0)
        self._slews = bool((self._ramp_s > 0).any())
        self._rate = np.where(finite & (distance != 0), np.sign(distance) * np.where(finite, self._slew, 0.0), 0.0)
        self.output = np.where(self._ramp_s > 0, self.output, self.setpoint)
        self.filtered = np.where((self._lag > 0) | (self._ramp_s > 0), self.filtered, self.output)
        self.moving = self._slews or bool((self.filtered != self.setpoint).any())
