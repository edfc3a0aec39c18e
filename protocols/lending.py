"""An operator that is lent to runs: open before the first and after the last, so that runs follow one another on one device."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from aeqlab.protocols.run_session import RunSession
    from aeqlab.protocols.samples import Data


@dataclass(slots=True)
class Lent:
    """What goes on from one run to the next.

    Attributes:
        operator: `Session` or `SessionClient`.
        target: theta that is to be held, shape (parameters,); None: the device keeps it, or wherever theta is now.
        presented: whether an input was ever presented.
        inputs: what was presented last, shape (samples, inputs); None before the first.
        u: control knobs as they were set by hand, shape (controls,); None since a loop moved them.
        coupling: factor on the couplings the device was built with.
        before: the run before.
    """

    operator: Any
    target: NDArray[Any] | None = None
    presented: bool = False
    inputs: NDArray[Any] | None = None
    u: NDArray[Any] | None = None
    coupling: float = 1.0
    before: RunSession | None = None

    def give(self, session: RunSession) -> None:
        """Let a run go on where the others left: target, inputs, knobs, random streams and, of the same data, their order."""
        session.target, session.presented = self.target, self.presented
        adjusted = session.adjusted
        adjusted.inputs, adjusted.u, adjusted.coupling = self.inputs, self.u, self.coupling
        if self.before is None:
            return
        session._streams = self.before._streams
        if _same(session._data, self.before._data):
            session._batches = self.before._batches

    def take(self, session: RunSession) -> None:
        """Remember where a run ended."""
        self.target, self.presented, self.before = session.target, session.presented, session
        adjusted = session.adjusted
        self.inputs, self.u, self.coupling = adjusted.inputs, adjusted.u, adjusted.coupling


def _same(one: Data | None, other: Data | None) -> bool:
    """Tell whether two data sets hold the same training samples."""
    if one is None or other is None:
        return False
    return np.array_equal(one.train.inputs, other.train.inputs) and np.array_equal(one.train.targets, other.train.targets)
