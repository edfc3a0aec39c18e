"""A row of digital-to-analogue outputs: quantised, slewed, filtered, and still where it was told to be when nobody asks.

A setpoint is rounded to the nearest code within the limits. The output stage runs towards it at no more than the slew,
and a first-order filter follows the output stage. Three values, never mixed up: setpoint, output (what the converter reports
of itself, rounded to a code), and the filtered voltage that the physics feels.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from aeqlab.backends.errors import DeviceConfigError

Array = NDArray[np.float64]


class Dac:
    """K outputs, all of them moving in the same time.

    Args:
        low, high, rest: limits and rest value of each output, shape (K,), in V; all outputs start at rest.
        step: smallest change, in V; 0 for none.
        slew_per_s: fastest change, in V/s; may be inf.
        filter_s: time constant of the filter, in s; 0 for none.
        stuck: indices of outputs that have failed: they stay where they are and take no setpoint.
    """

    def __init__(
        self,
        low: Array,
        high: Array,
        rest: Array,
        *,
        step: float,
        slew_per_s: float,
        filter_s: float,
        stuck: NDArray[np.int64] | None = None,
    ) -> None:
        self.step, self.slew_per_s, self.filter_s = step, slew_per_s, filter_s
        self.stuck = None if stuck is None or not len(stuck) else stuck
        self._low, self._high = low, high
        with np.errstate(invalid="ignore"):
            self._codes = (np.ceil(low / step - 1e-9), np.floor(high / step + 1e-9)) if step else (low, high)
        self._snap = 1e-3 * step if step else 1e-12  # below this the filter has arrived
        self.rest = self.quantised(rest)
        self.setpoint = self.rest.copy()
        self.output = self.rest.copy()
        self.filtered = self.rest.copy()
        self.slewing, self.resting = False, True
        self._aim()

    def quantised(self, values: Array) -> Array:
        """Round to the nearest code within the limits, shape (K,)."""
        if not self.step:
            return np.array(values, dtype=np.float64)
        rounded = np.minimum(np.maximum(np.rint(values / self.step), self._codes[0]), self._codes[1])
        return np.asarray(rounded * self.step + 0.0)

    def readback(self) -> Array:
        """Get what the converter reports of its outputs: after slew, as a code, before the filter."""
        return self.quantised(self.output) if self.slewing else self.setpoint.copy()

    def set(self, values: Array) -> bool:
        """Take new setpoints; nothing moves before time does. Returns whether any of them changed."""
        setpoint = self.quantised(values)
        if self.stuck is not None:
            setpoint[self.stuck] = self.setpoint[self.stuck]
        if bool((setpoint == self.setpoint).all()):
            return False
        self.setpoint = setpoint
        self._aim()
        return True

    def jump(self, values: Array) -> None:
        """Put every output that has not failed where it is told, within its limits, in no time: where a simulation sets it."""
        setpoint = self.quantised(np.minimum(np.maximum(values, self._low), self._high))
        if self.stuck is not None:
            setpoint[self.stuck] = self.setpoint[self.stuck]
        self.setpoint, self.output, self.filtered = setpoint, setpoint.copy(), setpoint.copy()
        self._aim()

    def hold(self) -> None:
        """Stop every output where it is now: its code becomes the setpoint."""
        self.setpoint = self.quantised(self.output)
        self.output = self.setpoint.copy()
        self._aim()

    @property
    def time_to_arrive_s(self) -> float:
        """Time until the last output stage stands at its setpoint."""
        return float(self._ramp_s.max(initial=0.0))

    def path(self, times: Array) -> Array:
        """Get the filtered outputs at times from now on, shape (m,) in s, as (m, K) or, where they stand still, as (1, K)."""
        if self.resting:
            return self.setpoint[None]
        t = times[:, None]
        if not self.slewing:
            gap = self.filtered - self.setpoint
            return np.asarray(self.setpoint + gap * np.exp(t * (-1.0 / self.filter_s))) if self.filter_s else self.setpoint[None]
        on_ramp = np.minimum(t, self._ramp_s)
        ramp = self.output + self._rate * on_ramp
        if not self.filter_s:
            return np.asarray(np.where(t >= self._ramp_s, self.setpoint, ramp))
        lag = self._rate * self.filter_s
        behind = (self.filtered - self.output + lag) * np.exp(on_ramp * (-1.0 / self.filter_s)) - lag
        after = np.exp((on_ramp - t) / self.filter_s)  # 1 while the ramp lasts
        # behind the ramp while it lasts, then a plain decay towards the setpoint
        return np.asarray(np.where(t > self._ramp_s, self.setpoint + (ramp + behind - self.setpoint) * after, ramp + behind))

    def move(self, dt: float, filtered: Array | None = None) -> bool:
        """Let dt seconds pass, at the end of which the path is at `filtered`. Returns whether an output stage moved."""
        if self.resting:
            return False
        self.filtered = (self.path(np.array([dt]))[-1] if filtered is None else filtered).copy()
        moved = self.slewing
        if moved:
            arrived = self._ramp_s <= dt
            self.output = np.where(arrived, self.setpoint, self.output + self._rate * dt)
            self._aim()
        if not self.slewing and np.abs(self.filtered - self.setpoint).max(initial=0.0) <= self._snap:
            self.filtered = self.setpoint.copy()
            self.resting = True
        return moved

    def state(self) -> dict[str, Any]:
        """Get everything that decides the future."""
        return {"setpoint": self.setpoint.copy(), "output": self.output.copy(), "filtered": self.filtered.copy()}

    def restore(self, state: dict[str, Any]) -> None:
        """Put a state back."""
        parts = [np.array(state[name], dtype=np.float64) for name in ("setpoint", "output", "filtered")]
        if any(part.shape != self.rest.shape for part in parts):
            raise DeviceConfigError("the state is of a row of other knobs")
        room = 1e-9 + self.step
        if any(not ((part >= self._low - room) & (part <= self._high + room)).all() for part in parts):
            raise DeviceConfigError("a knob in the state is outside its limits")
        self.setpoint, self.output, self.filtered = parts
        self._aim()

    def _aim(self) -> None:
        """Work out how long each output will be on its way, and how fast."""
        distance = self.setpoint - self.output
        self._ramp_s = np.abs(distance) / self.slew_per_s
        self.slewing = bool(self._ramp_s.any())
        if not self.slewing:
            self.output = self.setpoint.copy()  # an infinite slew arrives at once
            self._rate = np.zeros_like(distance)
            self.resting = bool((self.filtered == self.setpoint).all())
        else:
            self._rate = np.sign(distance) * self.slew_per_s
            self.resting = False
