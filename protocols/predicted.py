"""How a loop should answer a step of its target, from what is known of each knob and its gains: the law run on the model.

The same plant as in `stability`, k exp(-d s) / (tau s + 1) behind a hold of zero order, and the laws of `controllers`: at each
reading u += Ki T e - Kp dtheta - Kd d(dtheta) / T, no faster than the slew. Noise, drift and coupling of knobs are left out, and
so are the corrections at rest by which a hold ends. The quasi-static law is its first correction.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
PARTS = 20  #: of lag and dead time, by which a device that chooses its ticks is followed


def step_answer(
    kp: Array, ki: Array, kd: Array, gain: Array, lag_s: Array, dead_s: Array, *,
    tick_s: float, readings: int, step: Array | float = 1.0, slew_per_s: Array | float = np.inf,
) -> Array:  # fmt: skip
    """Compute theta after its target has gone by a step, at every reading.

    Args:
        kp, ki, kd: gains, shape (knobs,) or any shapes that broadcast, in u per theta, that per second, that times seconds.
        gain, lag_s, dead_s: k, tau (s) and d (s) of each.
        tick_s: T in s.
        readings: how many; the first comes one tick after the step, before any knob has moved.
        step: of the target, in the unit of theta.
        slew_per_s: of the knobs, in the unit of u per second.
    Returns:
        theta less where it was, shape (readings, ...), in the unit of theta; nan where something of a knob is not known.
    """
    kp, ki, kd, gain, lag_s, dead_s, step, slew = np.broadcast_arrays(
        *(np.asarray(one, dtype=np.float64) for one in (kp, ki, kd, gain, lag_s, dead_s, step, slew_per_s))
    )
    known = np.isfinite(kp) & np.isfinite(ki) & np.isfinite(kd) & np.isfinite(gain) & (lag_s > 0.0) & (dead_s >= 0.0)
    lag_s, dead_s = np.where(known, lag_s, 1.0), np.where(known, dead_s, 0.0)
    whole = np.floor(dead_s / tick_s + 1e-9).astype(int)
    rest = np.maximum(0.0, dead_s - whole * tick_s)
    a, b = np.exp(-tick_s / lag_s), np.exp(-(tick_s - rest) / lag_s)
    kept = int(whole.max(initial=0)) + 2
    past = np.zeros((kept, *known.shape))  # u as it was set, the newest first
    theta, slope, u = np.zeros(known.shape), np.zeros(known.shape), np.zeros(known.shape)
    before = theta
    found = np.empty((readings, *known.shape))
    for n in range(readings):
        late = np.take_along_axis(past, whole[None], axis=0)[0]
        later = np.take_along_axis(past, np.minimum(whole + 1, kept - 1)[None], axis=0)[0]
        theta = a * theta + gain * ((1.0 - b) * late + (b - a) * later)
        found[n] = theta
        change = theta - before
        move = ki * tick_s * (step - theta) - kp * change - kd * (change / tick_s - slope)
        u = u + np.clip(move, -slew * tick_s, slew * tick_s)
        slope, before = change / tick_s, theta
        past = np.concatenate([u[None], past[:-1]])
    return np.where(known, found, np.nan)


def first_correction(
    gain: Array, lag_s: Array, dead_s: Array, share: Array, *, t: Array, step: Array, slew_per_s: Array | float = np.inf
) -> Array:
    """Compute theta after one correction of the quasi-static law at time 0, shape (times, knobs).

    Args:
        gain, lag_s, dead_s: k, tau (s) and d (s) of each, shape (knobs,).
        share: of the error that one correction takes away.
        t: s since the correction, shape (times,).
        step: of the target, shape (knobs,).
        slew_per_s: of the knobs; the ramp counts as that much more dead time in the mean.
    """
    ramp = np.abs(share * step / gain) / np.asarray(slew_per_s, dtype=np.float64)
    since = t[:, None] - dead_s - 0.5 * ramp
    return np.where(since > 0.0, share * step * -np.expm1(-np.maximum(since, 0.0) / lag_s), 0.0)


def tick_for(tick_s: float | None, lag_s: Array, dead_s: Array) -> float:
    """Choose the tick by which a loop is followed: that of the device, or a small part of what answers fastest."""
    if tick_s is not None:
        return tick_s
    fastest = lag_s[np.isfinite(lag_s) & (lag_s > 0.0)]
    return float(fastest.min(initial=1.0)) / PARTS if len(fastest) else 0.01


def settled_at(theta: Array, step: Array | float, band: float, tick_s: float) -> Array:
    """Read off when theta comes within a band of its target to stay, in s, and nan where it does not.

    Args:
        theta: as `step_answer` gives it, shape (readings, ...).
        step: of the target.
        band: allowed error as a share of the step.
        tick_s: between readings, in s.
    """
    outside = ~(np.abs(theta - step) <= band * np.abs(step))
    last = len(theta) - np.argmax(outside[::-1], axis=0)
    last = np.where(outside.any(axis=0), last, 0)
    return np.where(last < len(theta), (last + 1.0) * tick_s, np.nan)
