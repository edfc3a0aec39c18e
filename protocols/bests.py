"""The best theta of each evaluated measure of a run: which it is, and its file among the checkpoints."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from aeqlab.protocols import checkpoint


class Bests:
    """The lowest value of each measure on as many samples, with theta in a file.

    Args:
        folder: of the checkpoints; None keeps nothing, as where values of different tasks must not be compared.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self.rows: list[dict[str, Any]] = []  #: name, samples, value and step of each

    def keep(self, name: str, samples: int, value: float, step: int, theta: NDArray[Any] | None) -> bool:
        """Keep theta if a value is the lowest so far of that name on as many samples; returns whether it is."""
        before = next((one for one in self.rows if (one["name"], one["samples"]) == (name, samples)), None)
        if self._folder is None or not math.isfinite(value) or (before is not None and value >= before["value"]):
            return False
        best = {"name": name, "samples": samples, "value": float(value), "step": step}
        self.rows = [*(one for one in self.rows if one is not before), best]
        if theta is not None:
            checkpoint.write(checkpoint.best_file(self._folder, name, samples), {**best, "theta": theta})
        return True

    @property
    def best(self) -> dict[str, Any] | None:
        """The best evaluation so far, by what says most of a theta: the test set before the training set, most samples."""
        return max(self.rows, key=lambda one: checkpoint.best_rank(one["name"], one["samples"]), default=None)
