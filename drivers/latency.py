"""How long an instrument takes to answer: the last few thousand exchanges, and their quantiles."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

KEPT = 4096


@dataclass(frozen=True, slots=True)
class Latency:
    """Times of exchanges in s: median, 99th percentile and longest of the last `KEPT`; how many there were in all, and failed."""

    exchanges: int
    failed: int
    median_s: float
    p99_s: float
    longest_s: float


class Stopwatch:
    """Keeps the times of exchanges."""

    def __init__(self) -> None:
        self._times = np.zeros(KEPT)  # the oldest is overwritten; another thread may read meanwhile
        self._answered = self._failed = 0

    def took(self, seconds: float) -> None:
        """Count an exchange that was answered."""
        self._times[self._answered % KEPT] = seconds
        self._answered += 1

    def failed(self) -> None:
        """Count an exchange that was not."""
        self._failed += 1

    def latency(self) -> Latency:
        """Get the figures; nan while nothing was answered."""
        answered, failed = self._answered, self._failed
        if not answered:
            return Latency(failed, failed, np.nan, np.nan, np.nan)
        times = self._times[:answered].copy()
        median, p99 = np.quantile(times, [0.5, 0.99])
        return Latency(answered + failed, failed, float(median), float(p99), float(times.max()))
