"""The steps of a run as the window keeps them: the last ones whole, of older ones the least and the greatest cost of every few.

So a run of a week takes no more memory than one of an hour, its curves keep their extremes, and what is counted or averaged is
so over every step: the counts and the running mean are taken as steps come, before any is left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aeqlab.app.window.models.growing import Growing

Array = NDArray[Any]

MOST = 100_000  #: steps that are kept; one more, and older ones are thinned
WHOLE = 0.25  #: share of them, the newest, that is not thinned
BLOCK = 4  #: older steps of which two are kept
SMOOTH = 50  #: steps of the running mean of the free cost
MEAN = "cost_mean"  #: column of it


class KeptSteps:
    """The steps read so far. Columns are those of the table `steps`, and `cost_mean`, the mean of the last 50 free costs.

    Attributes:
        read: how many there were.
        skipped: how many of them were presented and not used, shams left out.
    """

    def __init__(self) -> None:
        self._rows = Growing()
        self._last_free: Array = np.empty(0)
        self.read = self.skipped = 0

    @property
    def count(self) -> int:
        """How many are kept."""
        return self._rows.count

    @property
    def part(self) -> float:
        """What part of those read is kept, 1 for all."""
        return 1.0 if not self.read else self._rows.count / self.read

    def append(self, rows: Mapping[str, Array]) -> None:
        """Take more steps, in the order in which they were done."""
        made = {name: _words(values) if values.dtype.kind == "O" else values for name, values in rows.items()}
        if "cost_free" in made:
            made[MEAN] = self._means(made["cost_free"], made.get("sham"))
        self._rows.append(made)
        self.read += len(next(iter(rows.values()), ()))
        if "used" in made and "sham" in made:
            self.skipped += int(((made["used"] == 0) & (made["sham"] == 0)).sum())
        while self._rows.count > MOST:
            kept = thinned(self._rows.view(), round(WHOLE * MOST))
            self._rows = Growing(first=MOST + MOST // 4)  # as much each time, so that the memory in use stays the same
            self._rows.append(kept)

    def view(self) -> dict[str, Array]:
        """Get the columns of the steps that are kept; not to be written."""
        return self._rows.view()

    def clear(self) -> None:
        """Begin again."""
        self._rows = Growing()
        self._last_free = np.empty(0)
        self.read = self.skipped = 0

    def _means(self, free: Array, sham: Array | None) -> Array:
        """Compute the mean of each free cost and those before it; nan before there are 50, and where there is none."""
        free = np.asarray(free, dtype=np.float64)
        there = np.isfinite(free) if sham is None else np.isfinite(free) & (sham == 0)
        found = np.full(len(free), np.nan)
        values = np.concatenate([self._last_free, free[there]])
        before = len(self._last_free)
        self._last_free = values[-(SMOOTH - 1) :]
        if len(values) >= SMOOTH:
            sums = np.concatenate([[0.0], np.cumsum(values)])
            means = (sums[SMOOTH:] - sums[:-SMOOTH]) / SMOOTH  # ends at values 49, 50, ...
            first = SMOOTH - 1 - before  # the first new value that has so many up to it
            found[np.flatnonzero(there)[first:]] = means
        return found


def _words(values: Array) -> Array:
    """Keep words themselves, in place of references to them; none is an empty one."""
    return np.array(["" if one is None else str(one) for one in values], dtype=np.str_)


def thinned(columns: Mapping[str, Array], whole: int) -> dict[str, Array]:
    """Thin all but the newest `whole` rows: of every four the two of least and greatest free cost, or cost under beta_1."""
    count = len(columns["id"])
    old = max(0, count - whole) // BLOCK * BLOCK
    nothing = np.full(count, np.nan)
    free, first = (np.asarray(columns.get(name, nothing), dtype=np.float64)[:old] for name in ("cost_free", "cost_1"))
    cost = np.where(np.isfinite(free), free, first).reshape(-1, BLOCK)
    least = np.argmin(np.where(np.isfinite(cost), cost, np.inf), axis=1)
    most = np.argmax(np.where(np.isfinite(cost), cost, -np.inf), axis=1)
    most = np.where(most == least, (least + BLOCK // 2) % BLOCK, most)
    pairs = np.sort(np.stack([least, most], axis=1), axis=1) + BLOCK * np.arange(len(cost))[:, None]
    kept = np.concatenate([pairs.ravel(), np.arange(old, count)])
    return {name: values[kept] for name, values in columns.items()}
