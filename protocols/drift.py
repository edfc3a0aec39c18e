"""Drift: how far theta and outputs wander by themselves, learned from the windows in which the knobs stood still.

Each window's slope holds two parts: the read noise, which is known, and what theta did. The second is taken for a random walk
(an offset that drifts back within minutes is one over seconds): a walk that spreads by q per second gives a slope whose square
is 1.2 q / span on average. So slope^2 span / 1.2 less its part of noise tells q, averaged over the knobs of a block and over
the newest windows. Between the mean of a window and a clamp right after it the walk goes on by q (dead time + span / 3).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aeqlab.protocols.settling import WALK, Figures

Array = NDArray[Any]

#: The average goes over about this many of the newest windows.
MEMORY = 200.0
#: What has not been seen often is taken for larger, by this many standard deviations of what is known of it.
CAUTION = 1.0
#: A knob that drifts more than its block does by this many standard deviations has a rate of its own.
OUTLIER = 4.0


class Drift:
    """The rate q of every channel's random walk, in its unit squared per second.

    Args:
        blocks: where the blocks of channels stand; those of one are taken to drift alike.
        n: number of channels.
    """

    def __init__(self, blocks: Sequence[slice], n: int) -> None:
        self._blocks, self._n = blocks, n
        self._windows = 0.0  # seen, the older ones for less
        self._squares: Array = np.zeros(n)  # slope^2 span / 1.2, averaged over them
        self._noise: Array = np.zeros(n)  # and the part of it that is read noise

    def see(self, figures: Figures, span_s: float, noise: Array) -> None:
        """Learn from one window of readings under still knobs."""
        self._windows += 1.0 - self._windows / MEMORY
        share = 1.0 / self._windows
        part = np.divide(noise, figures.lever_s, out=np.zeros(self._n), where=figures.lever_s > 0)
        self._squares = self._squares + share * (figures.slope**2 * (span_s / WALK) - self._squares)
        self._noise = self._noise + share * (part**2 * (span_s / WALK) - self._noise)

    @property
    def rate(self) -> Array:
        """Get q, shape (channels,), rather too large than too small; 0 where no window was seen."""
        rate = np.zeros(self._n)
        if not self._windows:
            return rate
        for block in self._blocks:
            own, noise = self._squares[block], self._noise[block]
            mean = own.mean() if len(own) else 0.0
            apart = own > mean * (1.0 + OUTLIER * np.sqrt(2.0 / self._windows))
            known = np.where(apart, own, mean) * (1.0 + CAUTION * np.sqrt(2.0 / (self._windows * max(len(own), 1))))
            rate[block] = np.maximum(known - noise, 0.0)
        return rate

    def state(self, name: str = "drift") -> dict[str, Any]:
        """Get what was learned, as entries of this name for the state of the controller that it belongs to."""
        return {f"{name}_windows": self._windows, f"{name}_squares": self._squares, f"{name}_noise": self._noise}

    def restore(self, state: dict[str, Any], name: str = "drift") -> None:
        """Put back what `state` gave. Raises KeyError or ValueError where it is not that."""
        windows, rows = float(state[f"{name}_windows"]), [np.array(state[f"{name}_{part}"]) for part in ("squares", "noise")]
        if not 0.0 <= windows <= MEMORY or any(row.shape != (self._n,) or not (row >= 0.0).all() for row in rows):
            raise ValueError("what was learned of the drift is not that of these parameters")
        self._windows, (self._squares, self._noise) = windows, rows
