"""Wandering: the knobs that hold a target are, in the mean over samples, not where they were.

At rest u - theta = epsilon dE/dtheta: it differs from sample to sample, and goes with theta by what the identification measured
as the gain dtheta/du, but for that its mean over many samples stays. Where it does not, something between knob and reading
drifts: an output, a readout, the system itself. Theta is then still held by what is read; but that may not be theta, and the
identification is of another time.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
FIRST = 8  #: holds whose mean is where the knobs were
MEMORY = 16.0  #: the present mean goes over about so many holds
SHARE = 0.01  #: of the range of a knob, from which on it wanders
SIGMAS = 6.0  #: and so many standard deviations of those means
LEARNED = 0.05  #: so much of the way that a target went in learning may be seen in the knob of another parameter


class Wander:
    """Watches the knobs of one rig from hold to hold.

    Args:
        low, high: limits of the control knobs, shape (controls,).
        gain: of each, dtheta/du.
    """

    def __init__(self, low: Array, high: Array, gain: Array) -> None:
        self._gain = gain
        self._room = SHARE * (high - low)
        self.begin()

    def begin(self) -> None:
        """Begin anew: what holds them was found out anew."""
        n = len(self._room)
        self._holds = 0
        self._first, self._now, self._square = np.zeros(n), np.zeros(n), np.zeros(n)
        self._target, self._target_now = np.zeros(n), np.zeros(n)

    def see(self, u: Array, theta: Array) -> tuple[Array, Array]:
        """Take one accepted hold.

        Args:
            u: knobs, shape (controls,).
            theta: what they hold, shape (parameters,); as many.
        Returns:
            Which knobs wander, and how far each has gone, shape (controls,).
        """
        away = u - theta / self._gain
        self._holds += 1
        share = 1.0 / min(float(self._holds), FIRST if self._holds <= FIRST else MEMORY)
        self._now = self._now + share * (away - self._now)
        self._target_now = self._target_now + share * (theta - self._target_now)
        if self._holds <= FIRST:
            self._square = self._square + share * (away**2 - self._square)
            self._first, self._target = self._now, self._target_now
            return np.zeros(len(away), dtype=bool), np.zeros(len(away))
        spread = np.sqrt(np.maximum(self._square - self._first**2, 0.0) * (1.0 / FIRST + 1.0 / MEMORY))
        gone = self._now - self._first
        learned = LEARNED * np.max(np.abs(self._target_now - self._target), initial=0.0)
        return np.abs(gone) > np.maximum(self._room, SIGMAS * spread) + learned, gone
