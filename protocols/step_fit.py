"""Fitting a step response: first-order lag plus dead time, least squares with numpy alone.

y(t) = y0 + a g(t - L), where g answers an input that goes from 0 to 1 evenly within T seconds (a slewed knob; T = 0: at once):
for T = 0 it is 1 - exp(-t / tau); else (t - tau (1 - exp(-t / tau))) / T until T, what lacks then decaying from there.
For every pair of dead time L and lag tau the best y0 and a follow from two linear equations: a search over two numbers is left.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
ROUNDS, GRID = 12, 17  #: times the search is narrowed, and pairs along each of its two sides
SIGNIFICANT = 4.0  #: a change below so many of its own uncertainties is none


@dataclass(frozen=True, slots=True)
class StepFit:
    """A response as fitted.

    Attributes:
        change: a, what the reading changes by in the end, in its unit.
        lag_s, dead_time_s: tau and L; nan where nothing changes.
        reached: share of the change that had come at the last reading.
        rms: root mean square of what is left over, in the unit of the reading.
    """

    change: float
    lag_s: float
    dead_time_s: float
    reached: float
    rms: float


def response(t: Array, lag_s: Array, ramp_s: float) -> Array:
    """Compute g(t), 0 before t = 0; `lag_s` is broadcast against t."""
    late = np.maximum(t, 0.0) / lag_s
    if ramp_s <= 0.0:
        return np.asarray(-np.expm1(-late))
    width = ramp_s / lag_s
    on = (late + np.expm1(-late)) / width
    lacking = -np.expm1(-width) / width  # at the end of the way, from where it decays
    return np.asarray(np.where(late <= width, on, 1.0 - lacking * np.exp(-np.maximum(late - width, 0.0))))


def fit_step(t: Array, y: Array, ramp_s: float = 0.0) -> StepFit:
    """Fit one response.

    Args:
        t: time since the step was told, shape (readings,), in s; readings up to 0 are from before anything moved.
        y: what was read, same shape.
        ramp_s: how long the knob was on its way.
    """
    t, y = np.asarray(t, dtype=np.float64), np.asarray(y, dtype=np.float64)
    whole = float(t[-1])
    tick = whole / max(1, int((t > 0).sum()))
    low, high = np.array([0.0, np.log(tick / 20.0)]), np.array([0.6 * whole, np.log(whole)])
    bounds = low.copy(), high.copy()
    for _ in range(ROUNDS):
        dead, lag = np.meshgrid(np.linspace(low[0], high[0], GRID), np.exp(np.linspace(low[1], high[1], GRID)), indexing="ij")
        left, _, _ = _solved(t, y, dead.ravel(), lag.ravel(), ramp_s)
        best = np.unravel_index(int(np.argmin(left)), dead.shape)
        middle = np.array([dead[best], np.log(lag[best])])
        reach = 0.3 * (high - low)
        low, high = np.maximum(middle - reach, bounds[0]), np.minimum(middle + reach, bounds[1])
    dead_s, lag_s = float(middle[0]), float(np.exp(middle[1]))
    left, change, spread = _solved(t, y, np.array([dead_s]), np.array([lag_s]), ramp_s)
    rms = float(np.sqrt(left[0] / len(t)))
    if not abs(change[0]) > SIGNIFICANT * spread[0] * rms * np.sqrt(len(t) / max(1, len(t) - 4)):
        return StepFit(float(change[0]), np.nan, np.nan, np.nan, rms)
    reached = float(response(t[-1:] - dead_s, np.array(lag_s), ramp_s)[0])
    if lag_s < tick and dead_s < tick and reached > 1 - 1e-9 and _at_once(t, y, rms):  # all of it within the first tick
        dead_s = lag_s = 0.0
    return StepFit(float(change[0]), lag_s, dead_s, reached, rms)


def _solved(t: Array, y: Array, dead: Array, lag: Array, ramp_s: float) -> tuple[Array, Array, Array]:
    """Solve for y0 and a at pairs of dead time and lag: sums of squares left, a, and the spread of a per rms, shape (pairs,)."""
    g = response(t[None, :] - dead[:, None], lag[:, None], ramp_s)  # pairs, readings
    mean = g.mean(axis=1, keepdims=True)
    centred, above = g - mean, y - y.mean()
    power = (centred**2).sum(axis=1)
    safe = np.where(power > 1e-300, power, 1.0)
    change = np.where(power > 1e-300, centred @ above / safe, 0.0)
    left = ((above[None, :] - change[:, None] * centred) ** 2).sum(axis=1)
    return left, change, 1.0 / np.sqrt(safe)


def _at_once(t: Array, y: Array, rms: float) -> bool:
    """Tell whether everything happened before the first reading after the step."""
    after = y[t > 0]
    return bool(np.ptp(after) <= 6.0 * rms + 1e-9 * (1.0 + np.abs(after).max()))
