"""A rig on an emulated bench: it follows the bench's clock, and can ask for the true values, as no rig can."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aeqlab.backends.bench_link import BenchLink
from aeqlab.backends.description import Clock
from aeqlab.backends.errors import DeviceLostError
from aeqlab.backends.rig import Rig
from aeqlab.backends.rig_clock import RigClock, WallTime

Array = NDArray[Any]


class BenchTime:
    """The clock of a bench in lockstep: it moves by what messages cost, and by waiting, which takes no time on the wall."""

    kind = Clock.VIRTUAL
    speed = 1.0

    def __init__(self, link: BenchLink) -> None:
        self.link = link
        self._began = link.now()

    def now(self) -> float:
        """Get the time of the bench, in s since the rig was opened."""
        return self.link.now() - self._began

    def wait(self, seconds: float) -> None:
        """Let so many seconds of the bench pass."""
        if seconds > 0.0:
            self.link.spend(seconds)

    def close(self) -> None:
        """Let the bench go; it runs on."""
        self.link.close()


class WallBenchTime(WallTime):
    """The clock of a bench on the wall, which may run faster."""

    def __init__(self, link: BenchLink, speed: float) -> None:
        super().__init__(speed)
        self.link = link

    def close(self) -> None:
        """Let the bench go; it runs on."""
        self.link.close()


class BenchRig(Rig):
    """A rig on an emulated bench, which knows its true parameters (KnowsTruth)."""

    clock: BenchTime | WallBenchTime

    def true_parameters(self) -> Array:
        """Get theta without read noise or delay, shape (parameters,)."""
        self._check_open()
        return np.asarray(self.clock.link.state()["theta"], dtype=np.float64)


def connect(address: str) -> tuple[RigClock, Callable[..., Rig]]:
    """Connect to a bench; returns its clock, and what makes the rig.

    Raises:
        DeviceLostError: nothing answers there.
    """
    try:
        link = BenchLink.connect(address)
    except OSError as exc:
        raise DeviceLostError(
            f"bench: nothing answers at {address}: {exc.strerror or exc}. Start it: aeqlab bench FILE."
        ) from exc
    return (BenchTime(link) if link.lockstep else WallBenchTime(link, link.speed)), BenchRig
