"""Where the knobs of a device are drawn: in a grid, layer by layer, or at places from a file; as nodes or along edges."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from aeqlab.app.window.plots.thinning import Array

TALLEST = 8  #: knobs of a layer above each other, at least, before it takes another column


@dataclass(frozen=True, slots=True)
class Places:
    """Places of knobs, x to the right and y down, in a plane that is scaled to fit.

    `at` has shape (knobs, 2); `ends`, if there are edges, shape (knobs, 2, 2): from where to where each goes, and `nodes` the
    places of what they join. `pitch` is the least distance of neighbours.
    """

    at: Array
    pitch: float
    ends: Array | None = None
    nodes: Array | None = None
    square: bool = True  #: cells fill the plane without gaps

    @property
    def extent(self) -> tuple[float, float, float, float]:
        """Left, top, right and bottom of what is drawn, with half a pitch around it."""
        points = self.at if self.nodes is None else np.concatenate((self.at, self.nodes))
        if not len(points):
            return 0.0, 0.0, 1.0, 1.0
        (left, top), (right, bottom) = points.min(axis=0), points.max(axis=0)
        half = self.pitch / 2
        return float(left) - half, float(top) - half, float(right) + half, float(bottom) + half


def grid(count: int) -> Places:
    """Place knobs row by row in a grid that is about square."""
    across = max(math.ceil(math.sqrt(count)), 1)
    index = np.arange(count)
    return Places(np.column_stack((index % across, index // across)).astype(float), 1.0)


def layers(sizes: Sequence[int]) -> Places:
    """Place knobs layer by layer, from left to right, each layer in columns, centred.

    Raises:
        ValueError: a layer has no knob.
    """
    if not sizes or min(sizes) < 1:
        raise ValueError(f"layers of {list(sizes)} knobs cannot be drawn. Give at least one knob for each layer.")
    tallest = min(max(sizes), max(TALLEST, math.ceil(math.sqrt(sum(sizes)))))
    found, x = [], 0.0
    for size in sizes:
        columns = math.ceil(size / tallest)
        rows = math.ceil(size / columns)
        index = np.arange(size)
        found.append(np.column_stack((x + index // rows, index % rows - (rows - 1) / 2)))
        x += columns + 1.5
    return Places(np.concatenate(found), 1.0, square=False)


def positions(at: ArrayLike, edges: ArrayLike | None = None) -> Places:
    """Place knobs at given places.

    Args:
        at: shape (knobs, 2), y up; or with edges: of the nodes, shape (nodes, 2).
        edges: shape (knobs, 2): which two nodes each knob joins.
    Raises:
        ValueError: the shapes do not fit, or an edge names a node that is not there.
    """
    nodes = np.asarray(at, dtype=float)
    if nodes.ndim != 2 or nodes.shape[1] != 2 or not np.isfinite(nodes).all():
        raise ValueError(f"places have shape {nodes.shape}. Give two finite numbers, x and y, for each.")
    nodes = nodes * (1.0, -1.0)
    if edges is None:
        return Places(nodes, _pitch(nodes), square=False)
    pairs: NDArray[np.intp] = np.asarray(edges, dtype=np.intp)
    if pairs.ndim != 2 or pairs.shape[1] != 2 or (pairs.size and not 0 <= pairs.min() <= pairs.max() < len(nodes)):
        raise ValueError(f"edges of shape {pairs.shape} do not fit {len(nodes)} nodes. Give two numbers of nodes for each knob.")
    ends = nodes[pairs]
    return Places(ends.mean(axis=1), _pitch(nodes), ends, nodes, square=False)


def _pitch(points: Array) -> float:
    """Compute the distance of neighbours: the median of the nearest, of a part of the points when there are many."""
    if len(points) < 2:
        return 1.0
    some = points[:: max(len(points) // 500, 1)]
    far = np.hypot(some[:, None, 0] - points[None, :, 0], some[:, None, 1] - points[None, :, 1])
    far[far == 0] = np.inf
    nearest = far.min(axis=1)
    nearest = nearest[np.isfinite(nearest)]
    return float(np.median(nearest)) if len(nearest) else 1.0
