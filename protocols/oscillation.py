"""Oscillation: an error that swings to and fro and does not die out, because a knob does more than its loop assumes.

Half waves are counted, from one change of sign to the next. Four in a row of about the same length of which each reaches at
least nine tenths of the one before it are an oscillation. The standard gain makes none. Five times the gain behind a dead time of
one lag or more makes them within three periods. Three times the gain is stable, yet behind ten lags its swings die out so slowly
that they count too. And two corrections at rest that overshoot by nine tenths or more are one: the knob does twice as much as it
should.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

HALF_WAVES = 4  #: in a row
KEEPS = 0.9  #: share of its size that each half wave keeps of the one before it
ALIKE = 3.0  #: the longest of them is at most so many times the shortest


class Oscillation:
    """Watches the error of every parameter for swings that do not die out.

    Args:
        floor: what is no swing: noise, tolerance and the knobs' steps stay below it; shape (parameters,), in their unit.
    """

    def __init__(self, floor: Array) -> None:
        n = len(floor)
        self._floor = floor
        self._side: Array = np.zeros(n)  # of the half wave that is under way: -1, 1, or 0 before the first
        self._peak: Array = np.zeros(n)
        self._since: Array = np.zeros(n)
        self._peaks: Array = np.zeros((HALF_WAVES, n))  # of those that are over, newest last
        self._lengths: Array = np.ones((HALF_WAVES, n))
        self._overshot: Array = np.zeros(n, dtype=int)
        self.turned = False  #: whether any error has swung from one side to the other
        self.size: Array = np.zeros(n)  # of the newest half wave of each
        self.period_s: Array = np.zeros(n)

    def see(self, t: float, error: Array) -> Array | None:
        """Take the errors of one reading; returns which parameters oscillate, bool, None where none does.

        One that is told of begins anew: it is told of again after four more half waves.

        Args:
            t: time in s.
            error: theta* - theta, shape (parameters,).
        """
        size = np.abs(error)
        counts = size > self._floor
        if not counts.any():
            return None
        turns = counts & (self._side * error <= 0)
        if not turns.any():  # every half wave goes on
            np.maximum(self._peak, size, out=self._peak, where=counts)
            return None
        over = turns & (self._side != 0)
        ended = bool(over.any())
        if ended:
            self._peaks[:-1, over], self._peaks[-1, over] = self._peaks[1:, over], self._peak[over]
            self._lengths[:-1, over], self._lengths[-1, over] = self._lengths[1:, over], t - self._since[over]
            self._peak[over], self.turned = 0.0, True
        self._since[turns] = t
        self._side[turns] = np.sign(error[turns])
        np.maximum(self._peak, size, out=self._peak, where=counts)
        if not ended:
            return None
        peaks, lengths = self._peaks, self._lengths
        swings: Array = over & (peaks[0] > 0) & (peaks[1:] >= KEEPS * peaks[:-1]).all(axis=0)
        swings &= lengths.max(axis=0) <= ALIKE * lengths.min(axis=0)
        if not swings.any():
            return None
        self.size[swings], self.period_s[swings] = peaks[-1, swings], 2.0 * lengths[:, swings].mean(axis=0)
        self._peaks[:, swings] = 0.0
        return swings

    def overshot(self, before: Array, after: Array, took_s: float) -> Array | None:
        """Take mean errors at rest before and after a correction; returns as `see`.

        Args:
            before, after: theta* - theta, shape (parameters,).
            took_s: time between them.
        """
        back = (before * after < 0) & (np.abs(after) >= KEEPS * np.abs(before))
        back &= (np.abs(after) > self._floor) & (np.abs(before) > self._floor)
        self._overshot[back] += 1
        swings = back & (self._overshot >= 2)
        if not swings.any():
            return None
        self._overshot[swings] = 0
        self.size[swings], self.period_s[swings] = np.abs(after[swings]), 2.0 * took_s
        return swings
