"""The points of a scan: the values along each axis, the shape of the grid, and the order in which its points are visited.

A point is known by its place in the grid in C order: the last axis is the fastest. An axis that goes up and down has 2n - 1
values, those of the way back included, so that hysteresis has a place of its own.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Order = Literal["forward", "snake", "random"]


class AxisLike(Protocol):
    """What says the values of an axis: a list of them, or two ends with a number of points."""

    values: Any
    start: Any
    to: Any
    points: Any
    spacing: Any
    up_and_down: bool


def axis_values(axis: AxisLike) -> Array:
    """Get the values along an axis in the order of travel, shape (length,); the ends are exactly as given."""
    if axis.values is not None:
        way = np.array(axis.values, dtype=np.float64)
    elif axis.spacing == "log":
        with np.errstate(over="ignore"):  # at the last value alone, which is put right below
            way = np.geomspace(axis.start, axis.to, axis.points)
    else:
        way = np.linspace(axis.start, axis.to, axis.points)
    if axis.values is None:
        way[0], way[-1] = axis.start, axis.to
    return np.concatenate([way, way[-2::-1]]) if axis.up_and_down else way


def length(axis: AxisLike) -> int:
    """Count the values along an axis, without making them."""
    n = len(axis.values) if axis.values is not None else int(axis.points)
    return 2 * n - 1 if axis.up_and_down else n


def visits(shape: Sequence[int], order: Order, rng: np.random.Generator | None = None) -> NDArray[np.int64]:
    """Get the places of the grid in the order of their visits, shape (points,).

    Args:
        shape: length of each axis.
        order: forward begins every line anew at its first value; snake turns at the end of every line; random by `rng`.
    """
    if order == "random":
        assert rng is not None
        return rng.permutation(math.prod(shape))
    places = np.zeros(1, dtype=np.int64)
    for n in shape:
        inner = np.broadcast_to(np.arange(n), (len(places), n))
        if order == "snake":  # this axis turns with every step of the ones before it
            inner = np.where(np.arange(len(places))[:, None] % 2, inner[:, ::-1], inner)
        places = (places[:, None] * n + inner).ravel()
    return places


def directions(values: Array) -> Array:
    """Get whether an axis goes up (1) or down (-1) at each of its values, shape (length,); 0 where it stands."""
    before, after = values[:-1], values[1:]
    steps = np.where(after > before, 1.0, np.where(after < before, -1.0, 0.0))
    return np.concatenate([steps[:1], steps]) if len(steps) else np.zeros(len(values))
