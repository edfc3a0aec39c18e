"""The last samples of the homeostasis, as an oscilloscope keeps them: each from the moment its x was presented."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike

from aeqlab.app.window.plots.thinning import Array
from aeqlab.app.window.plots.traces import Trace

KEPT = 20
PRESENTED = "since x was presented"  #: what times count from, where nobody says otherwise
FEW = 16  #: knobs up to which each has its own trace


@dataclass(slots=True, eq=False)
class Sample:
    """One sample: errors in tolerances and control knobs, shape (ticks, knobs), against seconds since x was presented."""

    t: Array
    error: Array
    u: Array
    clamp_at: float | None
    end_at: float | None
    presented_at: float | None
    number: int | None
    terms: Mapping[str, Array]
    traces: dict[tuple[str, int], Trace] = field(default_factory=dict)  #: made of it so far, by what and knob

    bands: dict[str, tuple[Array, Array, Array]] = field(default_factory=dict)  #: what many knobs do, by what

    @property
    def worst(self) -> tuple[int, float]:
        """The knob whose error is greatest when the knobs are clamped (or at the end), and that error."""
        last = len(self.t) - 1
        if self.clamp_at is not None:
            last = max(int(np.searchsorted(self.t, self.clamp_at, side="right")) - 1, 0)
        row = np.abs(self.error[last])
        if np.isnan(row).all():
            return 0, float("nan")
        knob = int(np.nanargmax(row))
        return knob, float(row[knob])


class Memory:
    """The newest samples, oldest first."""

    def __init__(self, kept: int = KEPT) -> None:
        self.samples: deque[Sample] = deque(maxlen=kept)

    @property
    def knobs(self) -> int:
        """How many knobs the newest sample has; 0 without one."""
        return self.samples[-1].error.shape[1] if self.samples else 0

    def add(
        self,
        t: ArrayLike,
        error: ArrayLike,
        u: ArrayLike,
        clamp_at: float | None,
        end_at: float | None,
        presented_at: float | None,
        number: int | None,
        terms: Mapping[str, ArrayLike] | None,
    ) -> Sample:
        """Keep one more, and let the oldest go.

        Raises:
            ValueError: the shapes do not belong together.
        """
        times = np.asarray(t, dtype=float)
        arrays = {"error": error, "u": u, **(terms or {})}
        made = {name: np.asarray(one, dtype=float) for name, one in arrays.items()}
        made = {name: one[:, None] if one.ndim == 1 else one for name, one in made.items()}
        for name, one in made.items():
            if times.ndim != 1 or one.ndim != 2 or len(one) != len(times) or one.shape != made["error"].shape:
                raise ValueError(
                    f"sample {number}: t has shape {times.shape}, {name} {one.shape}, error {made['error'].shape}. "
                    "Give (ticks,) for t and (ticks, knobs) for the others."
                )
        if not len(times):
            raise ValueError(f"sample {number}: it has no tick. Give at least one.")
        if self.samples and self.knobs != made["error"].shape[1]:
            self.samples.clear()  # another device
        sample = Sample(times, made.pop("error"), made.pop("u"), clamp_at, end_at, presented_at, number, made)
        self.samples.append(sample)
        return sample

    def quantity(self, sample: Sample, what: str) -> Array:
        """Get "error", "u" or a term of a sample, shape (ticks, knobs)."""
        return sample.error if what == "error" else sample.u if what == "u" else sample.terms[what]


def bands_of(values: Array, *, size: bool) -> tuple[Array, Array, Array]:
    """Compute what many knobs do, tick by tick.

    Args:
        values: shape (ticks, knobs).
        size: of their absolute values (errors): median, 95th percentile and maximum; otherwise 5th, 50th and 95th percentile.
    Returns:
        Three arrays of shape (ticks,), nan where no knob has a value.
    """
    if size:
        values = np.abs(values)
    percents = (50, 95, 100) if size else (5, 50, 95)
    empty = np.isnan(values).all(axis=1)
    found = np.full((3, len(values)), np.nan)
    if not empty.all():
        found[:, ~empty] = _percentiles(values[~empty], percents)
    return found[0], found[1], found[2]


def _percentiles(values: Array, percents: Sequence[float]) -> Array:
    """Compute percentiles along rows without their nan; numpy's own goes row by row in Python and takes 100 times as long."""
    ordered = np.sort(values, axis=1)  # nan last
    count = (~np.isnan(ordered)).sum(axis=1)
    place = np.asarray(percents)[:, None] / 100 * (count - 1)
    below = np.floor(place).astype(np.intp)
    above = np.minimum(below + 1, count - 1)
    rows = np.arange(len(ordered))
    part = place - below
    found: Array = (1 - part) * ordered[rows, below] + part * ordered[rows, above]
    return found
