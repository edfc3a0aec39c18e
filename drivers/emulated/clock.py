"""Time of emulated instruments: that of the wall, or one that moves only by what messages and conversions are said to cost."""

from __future__ import annotations

import threading
import time
from typing import Protocol


class Clock(Protocol):
    """Tells the time of the bench and lets it pass."""

    def now(self) -> float:
        """Get the time in s since the bench was switched on."""

    def spend(self, seconds: float) -> None:
        """Let so many seconds pass: a conversion, a relay, a message."""


class WallClock:
    """The time of the wall, or a multiple of it.

    Args:
        speed: seconds of the bench in a second of the wall.
    """

    def __init__(self, speed: float = 1.0) -> None:
        self.speed = speed
        self._begin = time.monotonic()

    def now(self) -> float:
        """Get the time in s since the bench was switched on."""
        return (time.monotonic() - self._begin) * self.speed

    def spend(self, seconds: float) -> None:
        """Sleep as long as that takes."""
        if seconds > 0.0:
            time.sleep(seconds / self.speed)


class LockstepClock:
    """A time that moves only when it is spent: seeded, repeatable, as fast as the machine."""

    def __init__(self) -> None:
        self._now = 0.0
        self._lock = threading.Lock()

    def now(self) -> float:
        """Get the time in s since the bench was switched on."""
        return self._now

    def spend(self, seconds: float) -> None:
        """Let the time move on at once."""
        with self._lock:
            self._now += max(0.0, seconds)
