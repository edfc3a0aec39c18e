"""Whether the errors of a loop stay where they may be while its gains are on trial.

A loop that stood within 5 tolerances has to stay there. A new sample, another target or a nudge pushes theta further away than
that by themselves; so how far the first three lags after such a push brought an error is allowed to it besides, until it has been
within 5 tolerances for a lag. An error that grows beyond that is not one that the push explains.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
TOLERANCES = 5.0
READ_NOISE = 4.0  #: a single reading may be off by so many times its noise besides
PUSH_LAGS = 3.0  #: in which a push shows how far it goes
CALM_LAGS = 1.0  #: for so long an error has to be small before the push is forgotten


class ErrorBand:
    """Watches the errors of every parameter of one loop.

    Args:
        lag_s: slowest lag and dead time together, in s.
        noise: read noise of each parameter, shape (parameters,).
    """

    def __init__(self, lag_s: float, noise: Array) -> None:
        self._lag_s = lag_s
        self._room = READ_NOISE * noise
        self._peak = np.zeros(len(noise))
        self._calm_since: Array = np.full(len(noise), np.nan)
        self._pushed = -np.inf

    def push(self, t: float) -> None:
        """Note that something pushed theta, at t in s of the device."""
        self._pushed = t
        self._calm_since[:] = np.nan

    def see(self, t: float, error: Array, tolerance: Array) -> int:
        """Take the errors of one reading.

        Args:
            t: when it was read, in s of the device.
            error: theta* - theta, shape (parameters,).
            tolerance: of each.
        Returns:
            Index of the parameter that left its band by most; -1 where none did.
        """
        size = np.abs(error)
        base = TOLERANCES * tolerance + self._room
        if t - self._pushed <= PUSH_LAGS * self._lag_s:
            np.maximum(self._peak, size, out=self._peak)
            return -1
        small = size <= base
        self._calm_since = np.where(small, np.where(np.isnan(self._calm_since), t, self._calm_since), np.nan)
        self._peak[t - self._calm_since >= CALM_LAGS * self._lag_s] = 0.0  # false for nan
        beyond = (size - self._peak) / base
        worst = int(np.argmax(beyond))
        return worst if beyond[worst] > 1.0 else -1
