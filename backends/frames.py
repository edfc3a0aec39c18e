"""Readings of the plant: one frame at a time, delayed, noisy, sometimes repeated, sometimes lost, always with its true age.

A frame delivered at time t shows what was so `dead_time_s` earlier; that is the age of a fresh frame. A stale frame is the one
before, once more, noise and all; of a lost one nothing arrives and the last good values stand in its place.
"""

from __future__ import annotations

from collections import deque
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from aeqlab.backends.device import Flag
from aeqlab.backends.errors import DeviceConfigError
from aeqlab.backends.streams import restore_stream, stream, stream_state

Array = NDArray[np.float64]


class Frame(NamedTuple):
    """Values of all channels, their common age in s, and what is special about them."""

    values: Array
    age_s: float
    flags: Flag


class Past:
    """What z was, for as long as the dead time asks; between two points by the cubic that fits value and slope."""

    def __init__(self, reach_s: float) -> None:
        self._reach_s = reach_s
        self._spans: deque[tuple[Array, Array, Array]] = deque()

    def add(self, t: Array, z: Array, slope: Array) -> None:
        """Note a span of time: points t, shape (m,), with z and dz/dt there, shape (m, n). Times never go back."""
        spans = self._spans
        spans.append((t, z, slope))
        while len(spans) > 1 and spans[1][0][0] < t[-1] - self._reach_s:
            spans.popleft()

    def at(self, t: float) -> Array:
        """Get z at a time within reach; before the first point noted it was as it was then, after the last as it is there."""
        span = next((span for span in reversed(self._spans) if span[0][0] <= t), None)
        if span is None:
            return np.asarray(self._spans[0][1][0])
        times, z, slope = span
        i = int(times.searchsorted(t, side="right")) - 1
        if i == len(times) - 1:
            return np.asarray(z[i])
        dt = times[i + 1] - times[i]
        a = (t - times[i]) / dt
        b = 1 - a
        if not 1e-9 < a < 1 - 1e-9:  # on a point, as where dead time and tick agree
            return np.asarray(z[i] if a < 0.5 else z[i + 1])
        ends = (b * b * (1 + 2 * a)) * z[i] + (a * a * (1 + 2 * b)) * z[i + 1]
        return np.asarray(ends + (dt * a * b) * (b * slope[i] - a * slope[i + 1]))

    def state(self) -> dict[str, Any]:
        """Get everything that decides the future."""
        return {"spans": [[part.copy() for part in span] for span in self._spans]}

    def restore(self, state: dict[str, Any]) -> None:
        """Put a state back."""
        n = self._spans[-1][1].shape[1]
        spans = [(np.array(t), np.array(z), np.array(slope)) for t, z, slope in state["spans"]]
        if not spans or any(len(t) < 1 or not z.shape == slope.shape == (len(t), n) for t, z, slope in spans):
            raise DeviceConfigError("the past in the state is that of another device, or none")
        self._spans = deque(spans)


class Reader:
    """Reads frames.

    Args:
        noise: read noise of each channel, shape (n,), standard deviation in its unit.
        stale_rate, lost_rate: chance of each to befall a frame.
        seed: of the streams of noise and faults.
    """

    def __init__(self, noise: Array, *, dead_time_s: float, stale_rate: float, lost_rate: float, seed: int) -> None:
        self._noise = noise
        self.dead_time_s = dead_time_s
        self._stale_rate, self._lost_rate = stale_rate, lost_rate
        self._noises = stream(seed, "device noise")
        self._faults = stream(seed, "device faults")
        self._good: Array | None = None
        self._good_t = 0.0

    def read(self, t: float, past: Past, index: NDArray[np.int64]) -> Frame:
        """Read one frame at time t: the states `index` of what is past, with noise."""
        noise = self._noises.standard_normal(len(self._noise))
        chance = self._faults.random()
        if self._good is not None and chance < self._lost_rate + self._stale_rate:
            flags = Flag.STALE | Flag.LOST if chance < self._lost_rate else Flag.STALE
            return Frame(self._good.copy(), self.dead_time_s + (t - self._good_t), flags)
        values = past.at(t - self.dead_time_s)[index] + self._noise * noise
        self._good, self._good_t = values, t
        return Frame(values.copy(), self.dead_time_s, Flag.NONE)

    def measure(self, values: Array, noise: float) -> Array | None:
        """Measure other voltages once, now, with the same converter; None if the read was lost."""
        measured = values + noise * self._noises.standard_normal(len(values))
        return None if self._faults.random() < self._lost_rate else measured

    def state(self) -> dict[str, Any]:
        """Get everything that decides the future."""
        return {
            "noises": stream_state(self._noises),
            "faults": stream_state(self._faults),
            "good": None if self._good is None else self._good.copy(),
            "good_t": self._good_t,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Put a state back."""
        good = state["good"]
        if good is not None and good.shape != self._noise.shape:
            raise DeviceConfigError("the state is of a device with other readings")
        restore_stream(self._noises, state["noises"])
        restore_stream(self._faults, state["faults"])
        self._good = None if good is None else np.array(good)
        self._good_t = float(state["good_t"])
