"""Tolerance: how far from its target theta may be, what of that can be kept, and what mean of a window proves that it is.

Two things limit it. A correction leaves over what it cannot know or set: r^2 = 2 noise^2 / reads + q (time from window to
window - span / 3), the noise of two windows' means and a random walk of rate q (`drift`) between them, and up to half a step of
the knob. And the mean of the window after it tells theta at the clamp only to s, s^2 = noise^2 / reads + q (dead time +
span / 3). So a tolerance below the reach of a correction plus a guard of some s is widened to that, and the report says so.
"""

from __future__ import annotations

from statistics import NormalDist
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from aeqlab.protocols.controllers import Controller
from aeqlab.protocols.hold_settings import HomeostasisSettings
from aeqlab.protocols.settling import block_rms, rounding

Array = NDArray[Any]

#: The mean must be inside the tolerance by so many s. With coarse knobs one of two dozen is often near the bound, where fewer do
#: not do: at 16 bits with a drift of 60 s, 0.24 % of 2,500 holds were false with 2.5, and 0.05 % of 2,000 with 3.2.
GUARD = 3.5
#: And the mean must be within this share of the tolerance, for what a correction leaves over decays still ...
SHARE = 0.8
#: ... or this, where the law or a large correction has brought theta from afar: it may be anywhere, also just outside.
SHARE_AFAR = 0.7
#: After a correction a knob is within so many r, and all knobs together are in all but this part of the cases, ...
REACH = 2.5
MISSES = 0.01
#: ... or within half a step and so many r.
REACH_BEYOND_STEP = 1.0
#: A window reads this many times the N of the tolerance 3 noise / sqrt(N): its mean is then known to a ninth of the tolerance,
#: and what a correction leaves over finds room in the rest.
READS_PER_N = 9.0


class Bounds(NamedTuple):
    """What a window is judged by; arrays of shape (parameters,), in the unit of theta."""

    tolerance: Array  #: for |theta - theta*| at the clamp
    mean: Array  #: for |mean error| of the window, so that theta is within tolerance
    drift: Array  #: how far theta goes by itself until the clamp, standard deviation


def allowed_error(settings: HomeostasisSettings, controller: Controller, target: Array, n: float | Array) -> Array:
    """Compute the tolerance max(0.1 step, 0.6 LSB, 3 noise / sqrt(N)) of every parameter, shape (parameters,).

    Where neither step, LSB nor noise is known it is 1e-6 of the larger of 1 and the rms of the target.

    Args:
        settings, controller: `controller.step` is the last learning step, unless the settings say one.
        target: theta*, shape (parameters,).
        n: independent readings that are averaged.
    """
    if settings.tolerance != "auto":
        return np.array(np.broadcast_to(np.asarray(settings.tolerance, dtype=np.float64), target.shape))
    worked_out = _worked_out(settings, controller, target, n)
    declared = controller.declared
    return worked_out if declared is None else np.where(np.isnan(declared), worked_out, declared)


def _worked_out(settings: HomeostasisSettings, controller: Controller, target: Array, n: float | Array) -> Array:
    info = controller.info
    step: Any = settings.step if settings.step is not None else controller.step
    floor = rounding(info, target)
    if info.tick_s is None:  # section 5.1 takes a step by its energy, which does not resolve theta below the root of rounding
        floor = np.maximum(floor, 3e-8 * (1.0 + np.abs(target)))
    tolerance = np.maximum(controller.least, floor)
    if controller.noisy:
        np.maximum(tolerance, 3.0 * controller.noise / np.sqrt(n), out=tolerance)
    if step is not None:
        return np.asarray(np.maximum(tolerance, 0.1 * step))
    return np.where(tolerance > floor, tolerance, 1e-6 * np.maximum(1.0, block_rms(controller.blocks, target)))


def bounds_of(
    settings: HomeostasisSettings,
    controller: Controller,
    wanted: Array,
    known: Array,
    span_s: float,
    wait_s: float,
    small: Array,
) -> Bounds:
    """Work out the tolerance that can be kept, and the bound for a window's mean that proves it.

    Args:
        settings: a tolerance that they give is kept as it is; if nothing can prove it, theta is never held.
        controller: it knows the knobs' steps, and what was learned of the drift.
        wanted: what `allowed_error` says.
        known: read noise of the window's mean.
        span_s, wait_s: the window, and the wait between a correction and it.
        small: where theta is expected near its target, since only a small correction went before; bool, shape (parameters,).
    """
    walk = controller.drift.rate
    drift2 = walk * (controller.dead_s + span_s / 3.0)
    unsure = np.sqrt(known**2 + drift2)
    left = np.sqrt(2.0 * known**2 + walk * (wait_s + span_s * (2.0 / 3.0)))
    worst = NormalDist().inv_cdf(1.0 - 0.5 * MISSES / max(len(wanted), 1))  # of so many knobs
    reach = np.maximum(max(REACH, worst) * left, 0.5 * controller.lsb + REACH_BEYOND_STEP * left)
    tolerance = wanted
    if settings.tolerance == "auto":
        tolerance = np.maximum(wanted, reach + GUARD * unsure)
        if controller.declared is not None:
            tolerance = np.where(np.isnan(controller.declared), tolerance, wanted)
    share = np.where(small, np.maximum(SHARE * tolerance, reach), SHARE_AFAR * tolerance)
    return Bounds(tolerance, np.minimum(tolerance - GUARD * unsure, share), np.sqrt(drift2))
