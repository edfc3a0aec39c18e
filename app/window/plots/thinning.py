"""A trace of any length, thinned to what a plot of so many pixels can show: the least and the greatest of each column.

Everything here is in coordinates of the plot: on a logarithmic axis give `log_of(x)` or `log_of(y)`; the columns are then as wide
as the pixels are, and what has no logarithm is a gap. A nan is a gap: the line is broken there, even where points lie far apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[np.float64]


def log_of(values: Array) -> Array:
    """Compute log10, with nan where a value is not positive."""
    with np.errstate(divide="ignore", invalid="ignore"):
        found: Array = np.log10(values)
    found[~np.isfinite(found)] = np.nan
    return found


def rising(x: Array) -> bool:
    """Tell whether x never falls and has no nan, which is what thinning asks for."""
    return bool(np.all(x[1:] >= x[:-1])) and not np.isnan(x[:1]).any()


@dataclass(frozen=True, slots=True)
class Columns:
    """Which points of a trace fall into which column of pixels. Made once for all traces that share x.

    `starts` are the first points of the columns that hold any, `filled` the numbers of these columns; `edges` are the places
    between the columns, one more than there are columns.
    """

    edges: Array
    starts: NDArray[np.intp]
    filled: NDArray[np.intp]
    first: int
    last: int

    @classmethod
    def of(cls, x: Array, left: float, right: float, count: int) -> Columns:
        """Sort the points of a rising x into `count` columns from left to right."""
        edges = np.linspace(left, right, count + 1)
        places = np.searchsorted(x, edges)
        places[-1] = np.searchsorted(x, right, side="right")
        filled = np.flatnonzero(places[1:] > places[:-1])
        return cls(edges, places[filled], filled, int(places[0]), int(places[-1]))


def spans(x: Array, y: Array, columns: Columns, *, gaps: bool = True) -> tuple[Array, Array]:
    """Compute from where to where a line through the points reaches in each column of pixels.

    The line is drawn from point to point, so a column without points still has a span, and neighbours touch.

    Args:
        x: rising, shape (points,), in coordinates of the plot.
        y: same shape; nan is a gap.
        columns: of this x.
        gaps: y may hold nan; False is faster.
    Returns:
        Least and greatest y of each column, shape (columns,), nan where there is no line.
    """
    count = len(columns.edges) - 1
    at_edge = np.interp(columns.edges, x, y, left=np.nan, right=np.nan) if len(x) else np.full(count + 1, np.nan)
    low = np.fmin(at_edge[:-1], at_edge[1:])
    high = np.fmax(at_edge[:-1], at_edge[1:])
    if len(columns.starts):
        inside = y[: columns.last]
        least, most = (np.fmin, np.fmax) if gaps else (np.minimum, np.maximum)
        low[columns.filled] = np.fmin(low[columns.filled], least.reduceat(inside, columns.starts))
        high[columns.filled] = np.fmax(high[columns.filled], most.reduceat(inside, columns.starts))
    return low, high


def thin(x: Array, y: Array, pixels: int, left: float | None = None, right: float | None = None) -> tuple[Array, Array]:
    """Thin a trace to at most two points a pixel, the least and the greatest, in the order in which they came.

    Args:
        x: rising, shape (points,), in coordinates of the plot.
        y: same shape; nan is a gap and stays one (each costs one point more).
        pixels: how many columns the plot has, at least one.
        left, right: what of x is shown; left out: all. One point on either side is kept, so that lines reach the border.
    Returns:
        x and y of what to draw; the arrays given where they are short enough already.
    """
    return thin_all(x, [y], pixels, left, right)[0]


def thin_all(
    x: Array, ys: Sequence[Array], pixels: int, left: float | None = None, right: float | None = None
) -> list[tuple[Array, Array]]:
    """Thin several traces of one x, as `thin` does each."""
    begin = 0 if left is None else max(int(np.searchsorted(x, left)) - 1, 0)
    end = len(x) if right is None else min(int(np.searchsorted(x, right, side="right")) + 1, len(x))
    x = x[begin:end]
    if len(x) <= 2 * pixels:
        return [(x, y[begin:end]) for y in ys]
    starts = Columns.of(x, float(x[0]), float(x[-1]), pixels).starts
    ends = np.append(starts[1:], len(x)) - 1
    twice = np.column_stack((x[starts], x[ends])).reshape(-1)
    return [_thinned(x, y[begin:end], starts, ends, twice) for y in ys]


def _thinned(x: Array, y: Array, starts: NDArray[np.intp], ends: NDArray[np.intp], twice: Array) -> tuple[Array, Array]:
    gaps = np.isnan(y)
    low, high = np.fmin.reduceat(y, starts), np.fmax.reduceat(y, starts)
    falls = y[ends] < y[starts]  # the greater first, so that the line goes on from where the column before ended
    both = np.empty((len(starts), 2))
    both[:, 0], both[:, 1] = np.where(falls, high, low), np.where(falls, low, high)
    if not gaps.any():
        return twice, both.reshape(-1)
    slots_x, slots_y = np.repeat(twice, 2).reshape(-1, 4), np.full((len(starts), 4), np.nan)
    slots_y[:, 1:3] = both
    empty = np.isnan(low)
    keep = np.column_stack((gaps[starts] & ~empty, ~empty | gaps[starts], ~empty, gaps[ends] & ~empty))
    return slots_x[keep], slots_y[keep]
