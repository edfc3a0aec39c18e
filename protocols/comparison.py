"""What compared methods reached: costs at equal samples, readouts and device time, and what the target took; as a table.

A curve is one method with one seed: the points at which it was evaluated. Between two points the earlier one counts. "Equal" is
as much as every curve of the comparison has that did not run away; one that did has an infinite cost after its end. A target that
was not reached counts as infinitely far in medians.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aeqlab.protocols.atomic import write_whole
from aeqlab.protocols.stages.train_options import TrainOptions

Array = NDArray[np.float64]
AXES = {"samples": "samples", "reads": "readouts", "seconds": "s of the device"}


@dataclass(frozen=True, slots=True)
class Curve:
    """One method with one seed; arrays of shape (points,), the first point before any training.

    Attributes:
        name, method, follows: its name in the file, the method, and what that follows.
        seed: of data, order and start.
        along: samples, readouts and device time that the training took until each point, by the names in `AXES`.
        measured: cost_free, and error_rate where there are labels; nan where theta was not held in the evaluation.
        diverged: it ran away after its last point.
    """

    name: str
    method: str
    follows: str
    seed: int
    along: dict[str, Array]
    measured: dict[str, Array]
    diverged: bool = False

    @classmethod
    def of(
        cls,
        name: str,
        follows: str,
        options: TrainOptions,
        seed: int,
        points: Sequence[dict[str, float]],
        *,
        diverged: bool = False,
    ) -> Curve:
        """Make one of the points that a span recorded."""
        columns = {key: np.array([point[key] for point in points]) for key in points[0]}
        along = {key: columns.pop(key) for key in AXES}
        return cls(name, options.method, follows, seed, along, columns, diverged)

    def end(self, axis: str) -> float:
        """Get how far it goes along an axis."""
        return float(self.along[axis][-1])

    def at(self, axis: str, x: Array | float, what: str = "cost_free") -> Array:
        """Get what was measured last at or before x along an axis; infinity after the end of a method that ran away."""
        places, x = self.along[axis], np.asarray(x)
        index = np.searchsorted(places, x * (1 + 1e-12), side="right") - 1
        gone = self.diverged & (x > places[-1] * (1 + 1e-12))
        return np.where(gone, math.inf, self.measured[what][np.maximum(index, 0)])

    def reached(self, goal: tuple[str, float], axis: str) -> float:
        """Get where along an axis a measure is first below a value; infinity if it never is, or is not measured."""
        below = np.flatnonzero(self.measured.get(goal[0], np.array([])) < goal[1])
        return float(self.along[axis][below[0]]) if len(below) else math.inf


@dataclass(frozen=True, slots=True)
class Spread:
    """Median, lowest and highest over the seeds; infinite where a target was not reached, nan where nothing is known."""

    median: float
    lowest: float
    highest: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Take the spread of one value per seed, nan last; of an even number the median is the mean of the two in the middle."""
        ordered = sorted(values, key=lambda value: (math.isnan(value), value))
        middle = ordered[(len(ordered) - 1) // 2] + ordered[len(ordered) // 2]
        return cls(middle / 2, ordered[0], ordered[-1])

    def in_words(self, infinite: str) -> str:
        """Say it, with a word for what is infinite."""
        low, middle, high = (_in_words(value, infinite) for value in (self.lowest, self.median, self.highest))
        return middle if low == middle == high else f"{middle} ({low} to {high})"


@dataclass(frozen=True, slots=True)
class Row:
    """One method: `cost_at` equal samples, readouts and time, and what `target` took along each axis (empty without a goal).

    `diverged` of its `seeds` ran away, `reached` of them reached the target.
    """

    name: str
    method: str
    follows: str
    seeds: int
    diverged: int
    budget: dict[str, float]
    cost_at: dict[str, Spread]
    to_target: dict[str, Spread]
    reached: int

    def in_words(self, target: str | None) -> str:
        """Say it in a sentence."""
        mark = "" if self.follows.startswith("the gradient") else f" ({self.follows})"
        said = f"cost {self.cost_at['seconds'].in_words('infinite')} at equal time{mark}"
        if self.diverged:
            said = f"ran away in {self.diverged} of {self.seeds} seeds; {said}"
        if target is None:
            return said
        samples, seconds = (self.to_target[axis].in_words("never") for axis in ("samples", "seconds"))
        if not self.reached and self.diverged == self.seeds:
            return said
        if not self.reached:
            return f"{said}; {target} not reached in {self.budget['samples']:.4g} samples, {self.budget['seconds']:.4g} s"
        return f"{said}; {target} after {samples} samples, {seconds} s ({self.reached} of {self.seeds} seeds)"


@dataclass(frozen=True, slots=True)
class Summary:
    """A comparison: where along each axis costs are compared, the goal, and a row for each method."""

    equal: dict[str, float]
    goal: tuple[str, float] | None
    rows: tuple[Row, ...]


def _in_words(value: float, infinite: str) -> str:
    return infinite if math.isinf(value) else "not known" if math.isnan(value) else f"{value:.4g}"


def summarise(curves: Sequence[Curve], goal: tuple[str, float] | None) -> Summary:
    """Compare curves: medians and ranges over the seeds, methods in the order in which they come."""
    equal = {axis: reach(curves, axis) for axis in AXES}
    rows = []
    for name in dict.fromkeys(curve.name for curve in curves):
        mine = [curve for curve in curves if curve.name == name]
        rows.append(
            Row(
                name=name,
                method=mine[0].method,
                follows=mine[0].follows,
                seeds=len(mine),
                diverged=sum(curve.diverged for curve in mine),
                budget={axis: max(curve.end(axis) for curve in mine) for axis in AXES},
                cost_at={axis: Spread.of([float(curve.at(axis, equal[axis])) for curve in mine]) for axis in AXES},
                to_target={} if goal is None else {a: Spread.of([curve.reached(goal, a) for curve in mine]) for a in AXES},
                reached=0 if goal is None else sum(math.isfinite(curve.reached(goal, "samples")) for curve in mine),
            )
        )
    return Summary(equal, goal, tuple(rows))


def reach(curves: Sequence[Curve], axis: str) -> float:
    """Get how far along an axis all curves go that did not run away; infinity if all did."""
    return min((curve.end(axis) for curve in curves if not curve.diverged), default=math.inf)


def write_csv(path: Path, summary: Summary) -> None:
    """Write a comparison as CSV, one row per method.

    Empty: a target was not reached, or by half of the seeds; a cost is not known. `inf`: the method ran away.

    Raises:
        OSError: it cannot be written.
    """
    out = io.StringIO()
    lines = [_cells(summary, row) for row in summary.rows]
    writer = csv.DictWriter(out, list(lines[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)
    write_whole(path, out.getvalue().encode("utf-8"))


def _cells(summary: Summary, row: Row) -> dict[str, Any]:
    cells: dict[str, Any] = {"name": row.name, "method": row.method, "follows": row.follows, "seeds": row.seeds}
    cells["diverged"] = row.diverged
    for axis in AXES:
        cells[f"budget_{axis}"] = _number(row.budget[axis])
    for axis in AXES:
        cells[f"equal_{axis}"] = _number(summary.equal[axis])
        cells |= _spread(f"cost_at_equal_{axis}", row.cost_at[axis], infinite="inf")
    if summary.goal is not None:
        what, value = summary.goal
        cells |= {"target": f"{what} < {value:g}", "reached_by_seeds": row.reached}
        for axis in AXES:
            cells |= _spread(f"{axis}_to_target", row.to_target[axis])
    return cells


def _spread(name: str, spread: Spread, infinite: str = "") -> dict[str, str]:
    parts = {"median": spread.median, "lowest": spread.lowest, "highest": spread.highest}
    return {f"{name}_{part}": infinite if math.isinf(value) else _number(value) for part, value in parts.items()}


def _number(value: float) -> str:
    return f"{value:.6g}" if math.isfinite(value) else ""
