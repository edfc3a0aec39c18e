"""Find the equilibrium of each sample with everything else fixed: a damped Newton iteration inside a box.

For diagnostics, baselines and tests. The physics of section 5.1 does not come here: it only ever takes gradient steps.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aeqlab.backends.errors import DivergedError

Array = NDArray[Any]
MAX_STEPS = 500
RUNAWAY = 1e12


def minimise(
    value: Callable[[Array], Array],
    gradient: Callable[[Array], Array],
    hessian: Callable[[Array], Array],
    start: Array,
    box: tuple[Array, Array] | None,
    name: str,
    tolerance: float = 1e-11,
) -> Array:
    """Minimise a function of each sample's state.

    Args:
        value: energies (B,) of states (B, N); gradient: (B, N); hessian: (B, N, N).
        start: states to begin from, shape (B, N).
        box: lowest and highest state, shape (N,) each, or None.
        name: how a message calls what is minimised.
        tolerance: largest projected gradient left, relative to 1 + the largest force at the start of a step's terms.
    Returns:
        States of a minimum, shape (B, N): where it began decides which one, if there are several.
    Raises:
        DivergedError: the energy has no lower bound, or no minimum was found.
    """
    low, high = box if box is not None else (np.full(start.shape[1], -np.inf), np.full(start.shape[1], np.inf))
    s = np.clip(start, low, high)
    e, g = value(s), gradient(s)
    damping = np.zeros(len(s))
    done = np.zeros(len(s), dtype=bool)
    for _ in range(MAX_STEPS):
        h = hessian(s)
        scale = 1 + np.abs(h).max(axis=(1, 2)) * np.maximum(1.0, np.abs(s).max(axis=1))
        done |= np.abs(s - np.clip(s - g, low, high)).max(axis=1) <= tolerance * scale
        if done.all():
            return s
        step = np.zeros_like(s)
        for b in np.flatnonzero(~done):
            step[b] = _newton(s[b], g[b], h[b], damping[b], low, high)
        new = np.clip(s + step, low, high)
        e_new = value(new)
        slack = 1e-14 * (1 + np.abs(e))  # near the minimum the energy no longer tells, the gradient still does
        g_new = gradient(new)
        better = (e_new < e - slack) | ((e_new <= e + slack) & (_residual(new, g_new, low, high) < _residual(s, g, low, high)))
        take = better & ~done
        s, e, g = np.where(take[:, None], new, s), np.where(take, e_new, e), np.where(take[:, None], g_new, g)
        stiff = np.abs(h).max(axis=(1, 2)) + 1e-12
        damping = np.where(take, np.where(damping < 1e-9 * stiff, 0.0, damping / 10), np.maximum(10 * damping, 1e-6 * stiff))
        done |= ~take & (damping > 1e12 * stiff)  # no step in any size lowers it: as far as rounding lets one see
        if not np.isfinite(e).all() or (np.abs(s) > RUNAWAY).any():
            raise DivergedError(f"{name}: the energy has no lower bound here; there is no equilibrium")
    raise DivergedError(f"{name}: no equilibrium was found in {MAX_STEPS} Newton steps; the energy may have no lower bound")


def _residual(s: Array, g: Array, low: Array, high: Array) -> Array:
    residual: Array = np.abs(s - np.clip(s - g, low, high)).max(axis=1)
    return residual


def _newton(s: Array, g: Array, h: Array, damping: float, low: Array, high: Array) -> Array:
    """Step of one sample: Newton on the states that are free, none on those pressed against a wall; downhill by force."""
    free = ~(((s <= low) & (g > 0)) | ((s >= high) & (g < 0)))
    step = np.zeros_like(s)
    if free.any():
        values, vectors = np.linalg.eigh(h[np.ix_(free, free)])
        stiff = np.maximum(np.abs(values), 1e-9 * max(1.0, float(np.abs(values).max()))) + damping
        step[free] = -vectors @ ((vectors.T @ g[free]) / stiff)
    return step
