"""What a graph draws: lines with their bands, and points; in coordinates of the plot, each with what was found of it last."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

import numpy as np
from pyqtgraph import functions
from PySide6.QtCore import QPointF, QRectF, Qt
from PySide6.QtGui import QPainterPath

from aeqlab.app.window.plots.thinning import Array, Columns, rising, spans

Shape: TypeAlias = Literal["circle", "square", "triangle", "cross", "diamond"]
Spans: TypeAlias = tuple[Array, Array, Array, Array]


@dataclass(frozen=True, slots=True)
class View:
    """The part of the plane that is shown, in coordinates of the plot."""

    left: float
    right: float
    bottom: float
    top: float

    def x_pixels(self, x: Array | float, width: float) -> Array:
        """Turn x into pixels from the left."""
        return np.asarray((np.asarray(x) - self.left) / (self.right - self.left) * width)

    def y_pixels(self, y: Array | float, height: float) -> Array:
        """Turn y into pixels from the top."""
        return np.asarray((self.top - np.asarray(y)) / (self.top - self.bottom) * height)

    def rect_of(self, other: View, width: float, height: float) -> QRectF:
        """Get where another view lies in pixels of this one."""
        left, right = (float(self.x_pixels(x, width)) for x in (other.left, other.right))
        top, bottom = (float(self.y_pixels(y, height)) for y in (other.top, other.bottom))
        return QRectF(QPointF(left, top), QPointF(right, bottom))


@dataclass(slots=True, eq=False)
class Trace:
    """One line through points whose x rises (others are drawn point by point), with a band from `low` to `high` if given."""

    x: Array
    y: Array
    colour: str
    dashed: bool = False
    low: Array | None = None
    high: Array | None = None
    name: str = ""
    unit: str = ""
    gaps: bool | None = None  #: whether y has any; None: to be found out
    rises: bool = field(init=False)
    _key: tuple[float, float, int] | None = field(init=False, default=None)
    _spans: Spans | None = field(init=False, default=None)
    reach: tuple[float, float] = field(init=False, default=(np.nan, np.nan))  #: least and greatest of the spans asked for last

    def __post_init__(self) -> None:
        self.rises = rising(self.x)
        if self.gaps is None:
            self.gaps = not bool(np.isfinite(self.y).all())
        if self.gaps and np.isinf(self.y).any():
            self.y = np.where(np.isinf(self.y), np.nan, self.y)

    def spans(self, left: float, right: float, columns: int, shared: dict[int, Columns]) -> Spans:
        """Get what the line and its band cover in each column of pixels; kept until asked for another view.

        Args:
            left, right: of the view.
            columns: pixels from left to right.
            shared: columns of x arrays seen in this round already, by their identity.
        Returns:
            Least and greatest of the line, then of the band, each of shape (columns,), nan where there is nothing.
        """
        key = (left, right, columns)
        if self._spans is None or key != self._key:
            if id(self.x) not in shared:
                shared[id(self.x)] = Columns.of(self.x, left, right, columns)
            found = shared[id(self.x)]
            low, high = spans(self.x, self.y, found, gaps=bool(self.gaps))
            under = over = low
            if self.low is not None and self.high is not None:
                under, over = spans(self.x, self.low, found)[0], spans(self.x, self.high, found)[1]
            self._key, self._spans = key, (low, high, under, over)
            self.reach = least_and_most(low, high, *((under, over) if self.has_band else ()))
        return self._spans

    @property
    def has_band(self) -> bool:
        """Tell whether there is a band to draw."""
        return self.low is not None and self.high is not None


@dataclass(slots=True, eq=False)
class Points:
    """Points of one shape and colour, with error bars if `error` is given."""

    x: Array
    y: Array
    colour: str
    shape: Shape = "circle"
    filled: bool = True
    size: float = 7.0  #: px
    error: Array | None = None
    name: str = ""
    unit: str = ""
    under: bool = False  #: lines are drawn over them, as a fit over its many data

    def path(self, view: View, width: float, height: float) -> QPainterPath:
        """Make one path of all symbols, in pixels of the view."""
        x, y = view.x_pixels(self.x, width), view.y_pixels(self.y, height)
        shown = np.isfinite(x) & np.isfinite(y) & (np.abs(x) < 1e5) & (np.abs(y) < 1e5)
        return symbols(x[shown], y[shown], self.shape, self.size)

    def bars(self, view: View, width: float, height: float) -> QPainterPath:
        """Make one path of all error bars."""
        assert self.error is not None
        x = view.x_pixels(self.x, width)
        low, high = (view.y_pixels(self.y + sign * self.error, height) for sign in (-1, 1))
        shown = np.isfinite(x) & np.isfinite(low) & np.isfinite(high)
        return segments(x[shown], low[shown], x[shown], high[shown])


def least_and_most(*spans: Array) -> tuple[float, float]:
    """Find the least and the greatest of spans, given as low, high, low, high...; inf and -inf where there is none."""
    least = min(float(np.fmin.reduce(one, initial=np.inf)) for one in spans[::2])
    return least, max(float(np.fmax.reduce(one, initial=-np.inf)) for one in spans[1::2])


def symbols(x: Array, y: Array, shape: Shape, size: float) -> QPainterPath:
    """Make one path of the same symbol at many places, in pixels."""
    if not len(x):
        return QPainterPath()
    half = size / 2
    if shape == "cross":
        one = segments(x - half, y - half, x + half, y + half)
        one.addPath(segments(x - half, y + half, x + half, y - half))
        return one
    corners = np.array(_OUTLINES[shape]) * half
    around_x, around_y = x[:, None] + corners[:, 0], y[:, None] + corners[:, 1]
    joined = np.ones(around_x.shape, dtype=np.int32)
    joined[:, -1] = 0
    path = functions.arrayToQPath(around_x.reshape(-1), around_y.reshape(-1), connect=joined.reshape(-1))
    assert isinstance(path, QPainterPath)
    path.setFillRule(Qt.FillRule.WindingFill)  # symbols that overlap make no holes
    return path


def segments(x0: Array, y0: Array, x1: Array, y1: Array) -> QPainterPath:
    """Make one path of separate lines, in pixels."""
    if not len(x0):
        return QPainterPath()
    x, y = np.column_stack((x0, x1)).reshape(-1), np.column_stack((y0, y1)).reshape(-1)
    path = functions.arrayToQPath(x, y, connect="pairs")
    assert isinstance(path, QPainterPath)
    return path


def polyline(x: Array, y: Array) -> QPainterPath:
    """Make one path through points, broken where a value is nan, in pixels."""
    if len(x) < 2:
        return QPainterPath()
    whole = bool(np.isfinite(x).all() and np.isfinite(y).all())
    path = functions.arrayToQPath(np.ascontiguousarray(x), np.ascontiguousarray(y), connect="all" if whole else "finite")
    assert isinstance(path, QPainterPath)
    return path


def _around(count: int) -> list[tuple[float, float]]:
    return [(float(np.cos(2 * np.pi * k / count)), float(np.sin(2 * np.pi * k / count))) for k in range(count + 1)]


_OUTLINES: dict[str, Sequence[tuple[float, float]]] = {
    "circle": _around(12),
    "square": ((-0.9, -0.9), (0.9, -0.9), (0.9, 0.9), (-0.9, 0.9), (-0.9, -0.9)),
    "triangle": ((0, -1.1), (1, 0.8), (-1, 0.8), (0, -1.1)),
    "diamond": ((0, -1.2), (1.2, 0), (0, 1.2), (-1.2, 0), (0, -1.2)),
}
