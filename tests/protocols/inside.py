"""Runs that own their device in this process, whatever its kind: no session process, so that a test may look at its ticks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from numpy.typing import NDArray

from aeqlab.backends.kinds import open_device
from aeqlab.backends.slow import SlowDevice
from aeqlab.protocols import run as run_module
from aeqlab.protocols.experiment import Experiment
from aeqlab.protocols.limits import limited
from aeqlab.protocols.reports import HoldReport, SettleReport
from aeqlab.protocols.session import Session

Array = NDArray[Any]

SLOW = """
name: small-slow
seed: 5
device: {kind: slow, energy: linear, epsilon: 0.1, options: {frequencies: 2}}
data: {kind: legendre, degree: 3, samples: 30, test_samples: 12}
homeostasis: {controller: integral, accept: {ticks: 12}}
settling: {accept: {ticks: 12}}
sequence:
  - train: {method: centered, beta: 0.2}
then: freeze
"""


class Watched(Session):
    """A session that counts what is asked of it, every tick of a loop included, and calls `act` at the moment `at`."""

    at = 0
    act: Callable[[], None] = staticmethod(lambda: None)

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.moments = 0
        self.left: dict[str, Any] = {}  #: what the device itself says at the end, before it is let go

    def moment(self) -> None:
        self.moments += 1
        if self.moments == self.at:
            self.act()

    def _tick(self) -> None:
        self.moment()
        super()._tick()

    def present(self, inputs: Array) -> None:
        self.moment()
        super().present(inputs)

    def nudge(self, targets: Array, beta: float) -> None:
        self.moment()
        super().nudge(targets, beta)

    def release(self) -> None:
        self.moment()
        super().release()

    def hold(self, theta: Array | None = None) -> HoldReport:
        self.moment()
        return super().hold(theta)

    def settle(self) -> SettleReport:
        self.moment()
        return super().settle()

    def set_target(self, theta: Array) -> None:
        self.moment()
        super().set_target(theta)

    def device_call(self, name: str, *args: Any) -> Any:
        if name not in ("state", "restore"):  # those are of checkpoints
            self.moment()
        return super().device_call(name, *args)

    def close(self) -> None:
        if not self.left:
            device: Any = self.device
            device = getattr(device, "inner", device)  # behind the limits
            told = device.status() if isinstance(device, SlowDevice) else device.state()
            beta = told.get("physics", told.get("staged", told))["beta"]  # simulated, engine, slow
            self.left = {"controls": device.controls(), "beta": beta, "state": self.status().state}
        super().close()


def watched(at: int, act: Callable[[], None]) -> type[Watched]:
    """Make a session that does something at a moment."""
    return type("WatchedAt", (Watched,), {"at": at, "act": staticmethod(act)})


@contextmanager
def in_this_process(kind: type[Session] = Session) -> Iterator[list[Any]]:
    """Let every run have a session of a class, in this process; gives those that were opened."""
    opened: list[Any] = []

    def open_operator(settings: Experiment, *, base: Path, folder: Path) -> Session:
        device = open_device(settings.device, seed=settings.seed, base=base)
        if settings.limits is not None:
            device = limited(device, settings.limits)
        opened.append(kind(device, homeostasis=settings.homeostasis, settling=settings.settling))
        session: Session = opened[-1]
        return session

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run_module, "open_operator", open_operator)
        yield opened
