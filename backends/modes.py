"""Overdamped motion in a quadratic energy, solved mode by mode: exact, with the control knobs straight between two points.

    dz/dt = D (g - H z) + (0, u(t) / tau),   D diagonal and positive, H symmetric

has real modes: D^1/2 H D^1/2 = Q L Q^T, and with z = D^1/2 Q a each amplitude obeys da/dt = - l a + f(t) by itself. It is what
`integration` approaches with small steps (tests compare the two), at a tenth of the price for the paper's regression.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

CELLS = 8  #: pieces of one span; u is straight within each
#: Which power of the decay carries the force at the left and the right end of a cell, the columns, to the end of each, the rows.
_GAP = np.arange(CELLS + 1)[:, None] - np.arange(CELLS + 1)
_FROM_LEFT = np.where(_GAP >= 1, _GAP - 1, CELLS + 1)
_FROM_RIGHT = np.where((_GAP >= 0) & (np.arange(CELLS + 1) >= 1), _GAP, CELLS + 1)
MOST_SPANS = 32  #: so many lengths of a span are kept
LARGEST = 64  #: variables up to which solving for the modes at every new input pays


class Modes:
    """The modes at one input and one nudge strength.

    Args:
        hessian: H, shape (n, n).
        mobility: D, shape (n,).
        driven: how u enters, 1/tau of the last K variables, shape (K,).
    """

    def __init__(self, hessian: Array, mobility: Array, driven: Array) -> None:
        root = np.sqrt(mobility)
        self._rates, vectors = np.linalg.eigh(root[:, None] * hessian * root)
        self._to_z = root[:, None] * vectors  # (n, modes)
        self._from_z = vectors.T / root  # (modes, n)
        self._mobility = mobility
        self._drive = (self._from_z[:, -len(driven) :] * driven).T  # (K, modes)
        self._prepared: dict[float, tuple[Array, Array, Array]] = {}

    def move(self, z: Array, pull: Array, u: Array, span_s: float) -> tuple[Array, Array]:
        """Let z move for span_s.

        Args:
            z: where it starts, shape (n,).
            pull: g, shape (n,).
            u: the knobs at the CELLS + 1 ends of the cells, shape (CELLS + 1, K), or (1, K) where they stand still.
        Returns:
            z and dz/dt at the ends of the cells, each of shape (CELLS + 1, n).
        """
        decay, weights, steady = self._prepared.get(span_s) or self._prepare(span_s)
        force = u @ self._drive + self._from_z @ (self._mobility * pull)  # (CELLS + 1 or 1, modes)
        amplitude = decay * (self._from_z @ z)
        if len(u) == 1:
            amplitude += steady * force
        else:
            amplitude += np.einsum("rcm,cm->rm", weights, force)
        slope = force - self._rates * amplitude
        path = amplitude @ self._to_z.T
        path[0] = z  # to the bit
        return path, slope @ self._to_z.T

    def wander(self, z: Array, pull: Array, u: Array, kicks: Array, span_s: float) -> tuple[Array, Array]:
        """Let z move for J spans, in each of which the knobs stand still, and after each of which it is kicked.

        Args:
            z, pull: as of `move`.
            u: the knobs in each span, shape (J, K).
            kicks: what is added to z after each, shape (J, n).
            span_s: how long each of them is.
        Returns:
            z and dz/dt at the ends of the cells of each span, before its kick, each of shape (J, CELLS + 1, n).
        """
        decay, _, steady = self._prepared.get(span_s) or self._prepare(span_s)
        force = u @ self._drive + self._from_z @ (self._mobility * pull)  # (J, modes)
        struck = steady[-1] * force + kicks @ self._from_z.T
        begins = np.empty_like(force)
        amplitude = self._from_z @ z
        for j, more in enumerate(struck):
            begins[j] = amplitude
            amplitude = decay[-1] * amplitude + more
        amplitudes = decay * begins[:, None] + steady * force[:, None]  # (J, CELLS + 1, modes)
        slopes = force[:, None] - self._rates * amplitudes
        path = amplitudes @ self._to_z.T
        path[0, 0] = z  # to the bit
        return path, slopes @ self._to_z.T

    def _prepare(self, span_s: float) -> tuple[Array, Array, Array]:
        """Work out how an amplitude at the end of each cell depends on the start and on the forces before, and keep that.

        Returns:
            What is left of the start, the weight of each force, shape (CELLS + 1, CELLS + 1, modes), and the sum of the weights.
        """
        h = span_s / CELLS
        a = self._rates * h
        keep = np.exp(-a)
        small = np.abs(a) < 1e-4
        safe = np.where(small, 1.0, a)
        first = np.where(small, 1 - a / 2 + a * a / 6, -np.expm1(-a) / safe)
        second = np.where(small, 0.5 - a / 6 + a * a / 24, (1 - first) / safe)
        powers = np.zeros((CELLS + 2, len(a)))  # of `keep`, and a row of zeros for what lies ahead
        powers[:-1] = keep ** np.arange(CELLS + 1)[:, None]
        weights = h * (first - second) * powers[_FROM_LEFT] + h * second * powers[_FROM_RIGHT]
        if len(self._prepared) >= MOST_SPANS:
            self._prepared.clear()
        self._prepared[span_s] = prepared = (powers[:-1], weights, weights.sum(axis=1))
        return prepared
