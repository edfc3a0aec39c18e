"""What was read of samples without a nudge, kept for a drawing of what was learned."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aeqlab.protocols.record import EvaluatedRow, blob
from aeqlab.protocols.run_session import RunSession
from aeqlab.protocols.samples import Samples

MOST, FEW = 200, 64  #: of so many samples at most, where a sample has no more inputs or outputs than this


class Kept:
    """Outputs of samples, with their inputs and targets.

    Args:
        most: of so many samples.
    """

    def __init__(self, most: int | None = None) -> None:
        self._most = MOST if most is None else most
        self._kept: list[tuple[int, bool, bytes, bytes, bytes]] = []

    def add(self, first: int, outputs: NDArray[Any], samples: Samples, *, held: bool) -> None:
        """Keep outputs, shape (samples, outputs), of the samples from `first` on; none where they have many numbers."""
        if samples.inputs.shape[1] > FEW or outputs.shape[1] > FEW:
            return
        for k in range(min(len(outputs), self._most - len(self._kept))):
            x, s, y = (blob(np.asarray(row[k], dtype=np.float64)) for row in (samples.inputs, outputs, samples.targets))
            self._kept.append((first + k, held, x, s, y))

    def rows(self, session: RunSession, evaluation: int | None) -> list[EvaluatedRow]:
        """Get the rows of the record; `evaluation` is that of an evaluation, None in training."""
        now = time.time()
        return [EvaluatedRow(session.steps, session.stage, now, evaluation, *kept) for kept in self._kept]
