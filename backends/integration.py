"""Overdamped motion: dz/dt = rate(z, u(t)), integrated with steps that fit the stiffness.

The pair of Bogacki and Shampine (1989), third order with a second-order error estimate, its last slope used again as the next
first one. A step is accepted when its error is a small part of the movement it made, so that the size of a step follows
the fastest mode that still moves, far from equilibrium and close to it alike; nothing need be known of the energy.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from aeqlab.backends.errors import DivergedError

Array = NDArray[np.float64]

RTOL = 0.005  #: error of a step, as part of the largest movement in it
ATOL = 1e-10  #: error that counts as none, in the unit of z
_STAGES = np.array([0.5, 0.75, 1.0])
_STEP = np.array([2 / 9, 1 / 3, 4 / 9])
_ERROR = np.array([-5 / 72, 1 / 12, 1 / 9, -1 / 8])


def integrate(
    rate: Callable[[Array, Array], Array],
    drive: Array,
    z: Array,
    span_s: float,
    first_s: float,
    inside: Callable[[Array], Array],
) -> tuple[float, Array, Array, Array]:
    """Let z move for span_s.

    Args:
        rate: dz/dt from z, shape (n,), and u, shape (K,).
        drive: u at equally spaced times from the start to the end, shape (m, K), straight in between; (1, K) if it stands still.
        z: where it starts; not changed.
        span_s: how long.
        first_s: first step to try.
        inside: puts a z that a step carried through a wall back, in place.
    Returns:
        The step to try next time; the times of the steps from 0 to span_s, shape (p,); z and dz/dt at them, shape (p, n).
    Raises:
        DivergedError: no step is small enough to follow it, as where z runs away to infinity.
    """
    slopes = np.empty((4, len(z)))
    t, h = 0.0, first_s
    slopes[0] = rate(z, drive[0])
    times, path, directions = [0.0], [z], [slopes[0].copy()]
    cells = len(drive) - 1
    still = cells == 0
    us = np.repeat(drive, 3, axis=0) if still else drive[:3]
    while True:
        left = span_s - t
        pieces = math.ceil(left / h - 1e-6)
        last = pieces <= 1
        dt = left if last else left / pieces
        if not still:
            us = _between(drive, (t + dt * _STAGES) * (cells / span_s))
        slopes[1] = rate(z + (0.5 * dt) * slopes[0], us[0])
        slopes[2] = rate(z + (0.75 * dt) * slopes[1], us[1])
        move = dt * _STEP.dot(slopes[:3])
        there = inside(z + move)
        slopes[3] = rate(there, us[2])
        error = dt * float(np.abs(_ERROR.dot(slopes)).max())
        ratio = error / (RTOL * float(np.abs(move).max()) + ATOL)
        if ratio <= 1.0:
            t += dt
            z = there
            slopes[0] = slopes[3]
            times.append(span_s if last else t)
            path.append(z)
            directions.append(slopes[3].copy())
            h = dt * _growth(ratio)
            if last:
                return h, np.array(times), np.array(path), np.array(directions)
        else:
            h = dt * (_growth(ratio) if ratio < math.inf else 0.1)  # nan comes here too: comparisons with it are false
            if not h > 1e-9 * span_s:
                raise DivergedError("the physics ran away to infinity. Is beta within the bound of this energy?")


def _between(drive: Array, at: Array) -> Array:
    """Get the drive at places counted in its intervals, shape (places, K)."""
    i = np.minimum(at.astype(np.intp), len(drive) - 2)
    part = (at - i)[:, None]
    return np.asarray(drive[i] * (1 - part) + drive[i + 1] * part)


def _growth(ratio: float) -> float:
    return min(4.0, max(0.2, 0.9 * float((ratio + 1e-9) ** (-1 / 3))))
