"""What a converter makes of a system that moves: the mean over its aperture, with noise and hum of its own."""

from __future__ import annotations

import math
from collections import deque

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


class History:
    """Where a system was, and the area under that, for as long as apertures ask; between two points a cubic.

    Args:
        t: when it begins, in s.
        z: where the system is then, shape (n,), and was before.
        reach_s: the longest aperture.
    """

    def __init__(self, t: float, z: Array, reach_s: float) -> None:
        self._reach_s = reach_s
        self._spans: deque[tuple[Array, Array, Array, Array]] = deque()  # times, z, dz/dt, area since the beginning
        self._spans.append((np.array([t]), z[None].copy(), np.zeros((1, len(z))), np.zeros((1, len(z)))))

    def add(self, t: Array, z: Array, slope: Array) -> None:
        """Note a span: points t, shape (m,), the first where the last span ended, with z and dz/dt there, shape (m, n)."""
        self.add_all(t[None], z[None], slope[None])

    def add_all(self, t: Array, z: Array, slope: Array) -> None:
        """Note J spans: points t, shape (J, m), z and dz/dt, (J, m, n); z may have jumped between two of them."""
        dt = (t[:, 1:] - t[:, :-1])[..., None]
        pieces = dt * 0.5 * (z[:, :-1] + z[:, 1:]) + dt * dt / 12 * (slope[:, :-1] - slope[:, 1:])
        area = np.empty_like(z)
        before = self._spans[-1][3][-1]
        for j in range(len(t)):
            area[j, 0] = before
            np.cumsum(pieces[j], axis=0, out=area[j, 1:])
            area[j, 1:] += before
            before = area[j, -1]
            self._spans.append((t[j], z[j], slope[j], area[j]))
        while len(self._spans) > 2 and self._spans[1][0][0] < t[-1, -1] - self._reach_s:
            self._spans.popleft()

    def stood(self, t: float, z: Array) -> None:
        """Note that the system stood still at z until t."""
        since = self._spans[-1][0][-1]
        self.add(np.array([since, t]), np.stack([z, z]), np.zeros((2, len(z))))

    def mean(self, k: int, aperture_s: float, ago_s: float = 0.0) -> float:
        """Get the mean of z[k] over an aperture that ended so long ago; where it takes no time, z[k] as it is now."""
        t, z, _, area = self._spans[-1]
        if aperture_s <= 0:
            return float(z[-1, k])
        end = float(t[-1]) - ago_s
        until = float(area[-1, k]) if ago_s <= 0 else self._area(k, end)
        return (until - self._area(k, end - aperture_s)) / aperture_s

    def _area(self, k: int, t: float) -> float:
        """Get the area under z[k] from the beginning to t."""
        span = next((span for span in reversed(self._spans) if span[0][0] <= t), None)
        if span is None:
            times, z, _, area = self._spans[0]
            return float(area[0, k] + (t - times[0]) * z[0, k])
        times, z, slope, area = span
        i = int(times.searchsorted(t, side="right")) - 1
        if i >= len(times) - 1:
            return float(area[-1, k] + (t - times[-1]) * z[-1, k])
        h = float(times[i + 1] - times[i])
        a = (t - float(times[i])) / h
        b, c, d = a * a, a**3, a**4
        values = (a - c + d / 2) * z[i, k] + (c - d / 2) * z[i + 1, k]
        slopes = (b / 2 - 2 * c / 3 + d / 4) * slope[i, k] + (d / 4 - c / 3) * slope[i + 1, k]
        return float(area[i, k] + h * (values + h * slopes))


class Converter:
    """One input of an instrument: its gain and offset, its noise and the hum on it.

    Args:
        noise: standard deviation at an aperture of one line cycle; it falls with the square root of the aperture.
        hum: amplitude of the hum, whose mean over whole line cycles is nothing.
        line_Hz: of the mains.
        rng: of its noise.
        gain, offset: of its readings.
    """

    def __init__(
        self, noise: float, hum: float, line_Hz: float, rng: np.random.Generator, *, gain: float = 1.0, offset: float = 0.0
    ) -> None:
        self._noise, self._hum, self._line_Hz = noise, hum, line_Hz
        self._rng, self._gain, self._offset = rng, gain, offset

    def reads(self, mean: float, t: float, aperture_s: float) -> float:
        """Get its reading of a mean over an aperture that ended at t; with none, what a comparator sees: no noise, no hum."""
        value = self._gain * mean + self._offset
        if aperture_s <= 0:
            return value
        if self._noise:
            value += self._noise / math.sqrt(aperture_s * self._line_Hz) * float(self._rng.standard_normal())
        if self._hum:
            omega = 2 * math.pi * self._line_Hz
            value += self._hum * (math.cos(omega * (t - aperture_s)) - math.cos(omega * t)) / (omega * aperture_s)
        return value
