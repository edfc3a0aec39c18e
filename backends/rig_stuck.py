"""Readings that are stuck: a channel that repeats itself to the last bit while everything around it is changed on purpose.

Whenever inputs or the nudge change, parameters and outputs move, by amounts of which each channel has a history. A reading that
is the same to the bit after a change is no wonder where those amounts are about its resolution; where they are far larger it is,
and a few of those wonders in a row are none any more. Until it moves again such a channel counts as not measured.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
NEVER = 1e-7  #: less likely than this by chance: the channel is stuck
MEMORY = 0.9  #: share of the mean square of changes that the history keeps at each one
COARSE = 3.0  #: a channel whose changes are no more than so many steps of its resolution is not judged
FEWEST = 6  #: changes before there is a history


class Stuck:
    """Watches a row of readings.

    Args:
        step: their resolution, shape (readings,); where it is 0 a channel is not judged.
    Attributes:
        since: when each reading was last known to move, in s; inf while it does.
    """

    def __init__(self, step: Array) -> None:
        n = len(step)
        self._step = step
        self._mean_square = np.zeros(n)
        self._seen = np.zeros(n, dtype=np.int64)
        self._chance = np.ones(n)
        self._at_change: Array | None = None
        self._last: Array | None = None
        self._repeats_since = np.full(n, np.inf)
        self._same = np.zeros(n, dtype=bool)  # which readings were the same as the one before
        self.since = np.full(n, np.inf)

    def see(self, t: float, values: Array, changed: bool) -> list[int]:
        """Take fresh readings.

        Args:
            t: when.
            values: shape (readings,).
            changed: inputs or the nudge were changed since the readings before the last were taken.
        Returns:
            Numbers of channels that are found to be stuck now and were not before.
        """
        if self._last is None:
            self._last = self._at_change = values.copy()
            return []
        same = values == self._last
        self._last = values.copy()
        if (same != self._same).any():
            self._repeats_since = np.where(same, np.minimum(self._repeats_since, t), np.inf)
            self.since = np.where(same, self.since, np.inf)
            self._chance[~same] = 1.0
            self._same = same
        if not changed or self._at_change is None:
            return []
        move = values - self._at_change
        self._at_change = values.copy()
        usual = np.sqrt(self._mean_square / np.maximum(1.0 - MEMORY**self._seen, 1e-12))
        known = (self._seen >= FEWEST) & (self._step > 0)
        chance = np.where(known & (usual > COARSE * self._step), self._step / np.maximum(2.5 * usual, 1e-300), 1.0)
        self._chance = np.where(same & (move == 0.0), self._chance * np.minimum(chance, 1.0), self._chance)
        self._mean_square = MEMORY * self._mean_square + (1 - MEMORY) * move**2
        self._seen += 1
        found = (self._chance < NEVER) & np.isinf(self.since)
        self.since = np.where(found, np.where(np.isinf(self._repeats_since), t, self._repeats_since), self.since)
        return [int(k) for k in np.flatnonzero(found)]
