"""Predictions: outputs without a nudge, theta held by homeostasis, floating under frozen knobs, or locked in the equations.

What the stages `evaluate` and `infer` have in common.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from aeqlab.backends.errors import BackendError
from aeqlab.protocols.errors import CapabilityError, DataError, ProtocolError
from aeqlab.protocols.reports import Verdict
from aeqlab.protocols.run_session import RunSession
from aeqlab.protocols.samples import Samples

Array = NDArray[Any]
Mode = Literal["homeostasis", "frozen", "locked"]
BATCH = 500  #: samples at once on a device that takes any number
HELD_ENOUGH = 0.9  #: share of presentations in which theta must be held for a cost to be compared with others


@dataclass(frozen=True, slots=True)
class Predicted:
    """One presentation.

    Attributes:
        outputs: shape (samples, outputs).
        t: time of the device at the reading, in s; None where the equations were solved instead.
        verdict: how the presentation ended; None likewise.
        held: theta was held, or nothing had to be.
    """

    outputs: Array
    t: float | None = None
    verdict: Verdict | None = None
    held: bool = True


class Prediction:
    """Reads the outputs without a nudge.

    Args:
        session: the run's.
        mode: what theta does meanwhile.
        stage: word of the stage, for messages.
    Raises:
        CapabilityError: the device is not able to do it in this way.
    """

    def __init__(self, session: RunSession, mode: Mode, stage: str) -> None:
        if mode == "locked" and not (session.holds_inside or "KnowsEnergy" in session.abilities):
            raise CapabilityError(
                f"{stage}: {session.info.name} cannot lock its parameters. Choose `parameters: homeostasis` or `frozen`."
            )
        self.session, self.mode, self.stage = session, mode, stage
        self.afresh = "StartsAfresh" in session.abilities
        self.by_equations = mode == "locked" and not session.holds_inside  # a device that holds theta itself locks it by that
        self.start = "zeros" if self.afresh or self.by_equations else "last"
        self.holds = self.held = 0
        self.seconds = 0.0  #: that the last presentation took on the wall

    def __call__(self, inputs: Array) -> Predicted:
        """Present inputs, shape (samples, inputs), as one sample of the run: where the device was frozen meanwhile, again."""
        while True:
            began = time.monotonic()
            predicted = self.session.sample(lambda: self._once(inputs))
            if predicted is not None:
                self.seconds = time.monotonic() - began
                return predicted

    def batch(self, asked: int | None, samples: int) -> tuple[int, bool]:
        """Get how many samples are presented at once, and whether a short batch must be filled up.

        Raises:
            CapabilityError: another number was asked for than the device takes.
        """
        at_once = None if self.by_equations else self.session.info.samples
        batch = asked or at_once or min(BATCH, samples)
        if at_once not in (None, batch):
            raise CapabilityError(
                f"{self.stage}: a batch of {batch} was asked for, and {self.session.info.name} takes {at_once} at once. "
                "Leave `batch` out."
            )
        return batch, at_once is not None

    @property
    def held_rate(self) -> float | None:
        """Get the share of presentations in which theta was held; None where nothing had to be."""
        return self.held / self.holds if self.holds else None

    @property
    def held_enough(self) -> bool:
        """Tell whether theta was held often enough for what was found to be compared."""
        return self.held_rate is None or self.held_rate >= HELD_ENOUGH

    @property
    def floats_inside(self) -> bool:
        """Tell whether theta floats inside the device meanwhile, where no hold brings it back."""
        return self.mode == "frozen" and self.session.holds_inside

    @contextmanager
    def theta_kept(self, theta: Array | None = None) -> Iterator[Array | None]:
        """Give theta back afterwards where it floats inside the device; elsewhere the next hold brings it to its target.

        Args:
            theta: where it is to go back to, if it floats already; None: where it is now.
        Raises:
            CapabilityError: it cannot be written back.
        """
        session = self.session
        if not self.floats_inside:
            yield None
            return
        if "WritableParameters" not in session.abilities:
            raise CapabilityError(
                f"{self.stage}: theta of {session.info.name} would float away under frozen knobs, and cannot be written back. "
                "Choose `parameters: homeostasis`."
            )
        theta = session.parameters() if theta is None else theta
        try:
            yield theta
        except BaseException:
            with suppress(ProtocolError, BackendError):
                session.move_theta(theta)
            raise
        session.move_theta(theta)

    def _once(self, inputs: Array) -> Predicted:
        session = self.session
        session.find_target(inputs)
        if self.by_equations:
            states = session.device_call("equilibrium", session.target, inputs)
            return Predicted(np.asarray(session.device_call("outputs_of", states)))
        session.present(inputs)
        session.release()
        if self.afresh:
            session.device_call("start_from_zeros")
        if self.mode == "frozen":
            settled = session.settle_free()
            return Predicted(settled.readout.outputs, settled.readout.t, settled.verdict)
        report = session.hold(session.target)
        self.holds += 1
        self.held += report.accepted
        return Predicted(report.readout.outputs, report.readout.t, report.verdict, report.accepted)


def samples_of(session: RunSession, on: str | None, stage: str) -> tuple[Samples, str]:
    """Get the set of samples that `on` means, and its name; left out: the test set where there is one.

    Raises:
        DataError: the set asked for is not there.
    """
    data = session.data
    name = on or ("train" if data.test is None else "test")
    samples = data.test if name == "test" else data.train
    if samples is None:
        raise DataError(f"{stage}: {data.name} has no test set. Say `on: train`, or leave `on` out.")
    return samples, name
