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

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

FORMULA = (
    "gain margin: 1/|L| where the phase of the open loop L is -180 degrees, that is the factor on all gains at which theta "
    "swings for good; phase margin: what is left to -180 degrees where |L| = 1; L from the k, tau and d of each knob by itself"
)
POINTS = 800  #: frequencies that are looked at
SLOWEST, FASTEST = 1e-4, 1e3  #: of them, in units of 1 / (tau + d); a sampled loop ends at pi / T


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
    rows = [np.asarray(one, dtype=np.float64) for one in (kp, ki, kd, gain, lag_s, dead_s)]
    known = np.isfinite(rows).all(axis=0) & (rows[4] > 0)
    room, phase = np.full(len(known), np.nan), np.full(len(known), np.nan)
    for k in np.flatnonzero(known).tolist():
        room[k], phase[k] = _of_one(*(float(row[k]) for row in rows), tick_s)
    return room, phase


def _of_one(
    kp: float, ki: float, kd: float, gain: float, lag_s: float, dead_s: float, tick_s: float | None
) -> tuple[float, float]:  # fmt: skip
    if not (kp or ki or kd):
        return float("inf"), float("nan")
    if min(kp * gain, ki * gain, kd * gain) < 0.0:
        return 0.0, float("nan")
    fastest = FASTEST / (lag_s + dead_s) if tick_s is None else np.pi / tick_s
    slowest = min(SLOWEST / (lag_s + dead_s), 1e-3 * fastest)
    w = np.geomspace(slowest, fastest, POINTS)
    if dead_s > 0.0 or tick_s is not None:  # the phase turns evenly with w, far out too
        w = np.union1d(w, np.linspace(slowest, fastest if tick_s is not None else 20.0 / dead_s, POINTS))
    loop = (
        _continuous(w, kp, ki, kd, gain, lag_s, dead_s)
        if tick_s is None
        else _sampled(w, kp, ki, kd, gain, lag_s, dead_s, tick_s)
    )
    size, phase = np.log(np.abs(loop)), np.unwrap(np.angle(loop))
    phase -= 2 * np.pi * np.round((phase[0] + np.pi / 2) / (2 * np.pi))  # an integrator begins at -90 degrees
    if tick_s is not None and abs(phase[-1] / np.pi % 2 - 1) < 1e-6:  # at pi / T L is real: a crossing that ends on the axis
        phase[-1] = np.pi * np.round(phase[-1] / np.pi) - 1e-12
    at180 = [s for turn in range(8) for s in _crossings(phase + np.pi + 2 * np.pi * turn, size)]
    margin = float(np.exp(-max(at180))) if at180 else float("inf")
    left = [np.degrees(s + np.pi) for s in _crossings(size, phase)]
    return margin, float(min(left)) if left else float("nan")


def _crossings(falls: Array, other: Array) -> list[float]:
    """Get `other` wherever `falls` goes through 0 downward."""
    at = np.flatnonzero((falls[:-1] > 0.0) & (falls[1:] <= 0.0))
    share = falls[at] / (falls[at] - falls[at + 1])
    return (other[at] + share * (other[at + 1] - other[at])).tolist()  # type: ignore[no-any-return]


def _continuous(w: Array, kp: float, ki: float, kd: float, gain: float, lag_s: float, dead_s: float) -> Array:
    s = 1j * w
    return np.asarray((kp + ki / s + kd * s) * gain * np.exp(-s * dead_s) / (1.0 + s * lag_s))


def _sampled(w: Array, kp: float, ki: float, kd: float, gain: float, lag_s: float, dead_s: float, tick_s: float) -> Array:
    back = np.exp(-1j * w * tick_s)  # 1 / z
    whole = int(dead_s / tick_s + 1e-9)
    rest = max(0.0, dead_s - whole * tick_s)
    a, b = np.exp(-tick_s / lag_s), np.exp(-(tick_s - rest) / lag_s)
    plant = gain * back**whole * ((1.0 - b) * back + (b - a) * back**2) / (1.0 - a * back)
    return np.asarray((ki * tick_s / (1.0 - back) + kp + kd / tick_s * (1.0 - back)) * plant)
