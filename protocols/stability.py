"""How far a loop is from instability: gain margin and phase margin, from what is known of each knob.

A parameter answers its knob as k exp(-d s) / (tau s + 1). The loop moves the knob once a tick T and reads at the end of it, so
with z = exp(i w T) and a = exp(-T / tau) its open loop is

    L = (Ki T / (1 - 1/z) + Kp + Kd / T (1 - 1/z)) k z^-m (b1 / z + b2 / z^2) / (1 - a / z),
    d = m T + r with 0 <= r < T,  b1 = 1 - exp(-(T - r) / tau),  b2 = exp(-(T - r) / tau) - a,

the plant sampled behind a hold of zero order (Astrom and Wittenmark, Computer-Controlled Systems, on sampling with a delay).
Where a device chooses its ticks, L = (Kp + Ki / (i w) + Kd i w) k exp(-i w d) / (1 + i w tau). The gain margin is 1 / |L| where
the phase of L is -180 degrees: the factor on all gains at which theta begins to swing for good. The phase margin is what is left
to -180 degrees where |L| = 1 (Skogestad and Postlethwaite, Multivariable Feedback Control, on gain and phase margins). Ticks that
are late, and couplings between knobs, leave less.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

FORMULA = (
    "gain margin: 1/|L| where the phase of the open loop L is -180 degrees, that is the factor on all gains at which theta "
    "swings for good; phase margin: what is left to -180 degrees where |L| = 1; L from the k, tau and d of each knob by itself"
)
POINTS = 300  #: frequencies that are looked at, as many evenly spaced as evenly in their logarithms
SLOWEST, FASTEST = 1e-4, 1e3  #: of them, in units of 1 / (tau + d); a sampled loop ends at pi / T
TURNS = 8  #: of the phase past -180 degrees that are looked at


def margins(
    kp: Array, ki: Array, kd: Array, gain: Array, lag_s: Array, dead_s: Array, tick_s: float | None
) -> tuple[Array, Array]:  # fmt: skip
    """Compute gain margin and phase margin of every loop by itself.

    Args:
        kp, ki, kd: gains of each, shape (knobs,), in units of u per unit of theta, that per second, that times seconds.
        gain, lag_s, dead_s: k, tau (s) and d (s) of each, same shape.
        tick_s: T in s; None where the device chooses its ticks.
    Returns:
        Gain margins, a factor: inf where no gain is too large, below 1 where the loop is unstable, 0 where a gain has the
        wrong sign; and phase margins in degrees, nan where |L| is never 1. Both nan where something is not known.
    """
    rows = np.array([np.asarray(one, dtype=np.float64) for one in (kp, ki, kd, gain, lag_s, dead_s)])
    room, phase = np.full(rows.shape[1], np.nan), np.full(rows.shape[1], np.nan)
    known = np.isfinite(rows).all(axis=0) & (rows[4] > 0)
    idle = known & ~rows[:3].any(axis=0)
    wrong = known & (rows[:3] * rows[3] < 0.0).any(axis=0)
    room[idle], room[wrong] = np.inf, 0.0
    which = np.flatnonzero(known & ~idle & ~wrong)
    if len(which):
        room[which], phase[which] = _of_loops(rows[:, which, None], tick_s)
    return room, phase


def _of_loops(rows: Array, tick_s: float | None) -> tuple[Array, Array]:
    """Work out the margins of loops whose gains and plants are known; rows have shape (6, knobs, 1)."""
    lag_s, dead_s = rows[4], rows[5]
    fastest = FASTEST / (lag_s + dead_s) if tick_s is None else np.full_like(lag_s, np.pi / tick_s)
    slowest = np.minimum(SLOWEST / (lag_s + dead_s), 1e-3 * fastest)
    even = np.linspace(0.0, 1.0, POINTS)
    # the phase turns evenly with w, far out too: as far as a few turns of the dead time, or the end of a sampled loop
    far = np.minimum(fastest, 20.0 / np.maximum(dead_s, 0.02 * lag_s)) if tick_s is None else fastest
    w = np.sort(np.concatenate([slowest * (fastest / slowest) ** even, slowest + (far - slowest) * even], axis=1), axis=1)
    loop = _continuous(w, rows) if tick_s is None else _sampled(w, rows, tick_s)
    size, phase = np.log(np.abs(loop)), np.unwrap(np.angle(loop), axis=1)
    phase -= 2 * np.pi * np.round((phase[:, :1] + np.pi / 2) / (2 * np.pi))  # an integrator begins at -90 degrees
    if tick_s is not None:  # at pi / T L is real: a crossing may end on the axis
        turns = np.round(phase[:, -1] / np.pi)
        on_axis = (np.abs(phase[:, -1] / np.pi - turns) < 1e-6) & (turns % 2 == 1)
        phase[on_axis, -1] = np.pi * turns[on_axis] - 1e-12
    highest = np.full(len(w), -np.inf)  # log |L| where the phase is -180 degrees, and where it is that again
    for turn in range(TURNS):
        np.maximum(highest, _crossings(phase + np.pi * (1 + 2 * turn), size, np.max, -np.inf), out=highest)
    return np.exp(-highest), np.degrees(_crossings(size, phase + np.pi, np.min, np.nan))


def _crossings(falls: Array, other: Array, chosen: Callable[..., Any], none: float) -> Array:
    """Get `other` where `falls` goes through 0 downward, of each row: the chosen one of several, `none` where there is none."""
    at = (falls[:, :-1] > 0.0) & (falls[:, 1:] <= 0.0)
    found = np.full(len(falls), none)
    for k in np.flatnonzero(at.any(axis=1)).tolist():
        i = np.flatnonzero(at[k])
        share = falls[k, i] / (falls[k, i] - falls[k, i + 1])
        found[k] = chosen(other[k, i] + share * (other[k, i + 1] - other[k, i]))
    return found


def _continuous(w: Array, rows: Array) -> Array:
    kp, ki, kd, gain, lag_s, dead_s = rows
    s = 1j * w
    return np.asarray((kp + ki / s + kd * s) * gain * np.exp(-s * dead_s) / (1.0 + s * lag_s))


def _sampled(w: Array, rows: Array, tick_s: float) -> Array:
    kp, ki, kd, gain, lag_s, dead_s = rows
    back = np.exp(-1j * w * tick_s)  # 1 / z
    whole = np.floor(dead_s / tick_s + 1e-9)
    rest = np.maximum(0.0, dead_s - whole * tick_s)
    a, b = np.exp(-tick_s / lag_s), np.exp(-(tick_s - rest) / lag_s)
    plant = gain * np.exp(-1j * w * tick_s * whole) * ((1.0 - b) * back + (b - a) * back**2) / (1.0 - a * back)
    return np.asarray((ki * tick_s / (1.0 - back) + kp + kd / tick_s * (1.0 - back)) * plant)
