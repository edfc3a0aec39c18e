"""The clock a rig follows: that on the wall, or that of an emulated bench, which in lockstep moves only as far as it is told."""

from __future__ import annotations

import time
from typing import Protocol

from aeqlab.backends.description import Clock


class RigClock(Protocol):
    """Tells the time of a rig, in s, and lets it pass."""

    kind: Clock
    speed: float  #: seconds of the rig in a second on the wall

    def now(self) -> float:
        """Get the time, in s since the rig was opened."""

    def wait(self, seconds: float) -> None:
        """Let so many seconds of the rig pass; at once where it is 0 or less."""

    def close(self) -> None:
        """Let go of what tells the time."""


class WallTime:
    """The clock on the wall; an emulated bench may run faster than it."""

    kind = Clock.WALL

    def __init__(self, speed: float = 1.0) -> None:
        self.speed = speed
        self._began = time.monotonic()

    def now(self) -> float:
        """Get the time, in s of the rig since it was opened."""
        return (time.monotonic() - self._began) * self.speed

    def wait(self, seconds: float) -> None:
        """Sleep so many seconds of the rig."""
        if seconds > 0.0:
            time.sleep(seconds / self.speed)

    def close(self) -> None:
        """Nothing is to be let go."""
