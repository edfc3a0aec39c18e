"""Scans as they grow: over one quantity as points with error bars, up and down apart; over two as an image with its scale."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike
from PySide6.QtCore import QRectF
from PySide6.QtGui import QImage, QKeyEvent, QPainter
from PySide6.QtWidgets import QHBoxLayout, QStyleOptionGraphicsItem, QWidget

from aeqlab.app.window.plots.colour_scale import ColourBar, ColourScale, hatch
from aeqlab.app.window.plots.crosshair import Crosshair, follow_key
from aeqlab.app.window.plots.export import Column
from aeqlab.app.window.plots.figures import written
from aeqlab.app.window.plots.graph import Graph
from aeqlab.app.window.plots.layers import Layer
from aeqlab.app.window.plots.legend import Legend, Name
from aeqlab.app.window.plots.sheet import Entry, Sheet
from aeqlab.app.window.plots.thinning import Array, rising
from aeqlab.app.window.plots.traces import Points, Trace, View
from aeqlab.app.window.theme import GRID, theme

WAYS = ("up", "down")


@dataclass(slots=True)
class Way:
    """The points of one direction of a scan, in the order in which they came."""

    x: list[float] = field(default_factory=list)
    y: list[float] = field(default_factory=list)
    error: list[float] = field(default_factory=list)


class Picture(Layer):
    """An image whose cells lie between given edges; cells without a value are hatched."""

    image: QImage | None = None
    extent: View | None = None

    def paint(self, painter: QPainter, option: QStyleOptionGraphicsItem, widget: QWidget | None = None) -> None:  # noqa: D102
        if self.image is None or self.extent is None:
            return
        box = self.view.rect_of(self.extent, self._rect.width(), self._rect.height())
        hatch(painter, box.intersected(self._rect))
        painter.drawImage(box, self.image)


class ScanPlot(Sheet):
    """Begin with `start_line` or `start_image`, then add points as they are measured, or set them all at once."""

    def __init__(self, title: str = "Scan", parent: QWidget | None = None) -> None:
        super().__init__(title, parent)
        self._ways = {way: Way() for way in WAYS}
        self._off: set[str] = set()
        self._xs = self._ys = np.zeros(0)
        self._z: Array | None = None
        self._names = [("", ""), ("", ""), ("", "")]
        self._legend = Legend(self)
        self._legend.switched.connect(self._switch)
        self._head.addWidget(self._legend, 1)
        self.graph, self.bar = Graph(self), ColourBar(self)
        row = QHBoxLayout()
        row.setSpacing(0)
        row.addWidget(self.graph, 1)
        row.addWidget(self.bar)
        self._column.addLayout(row, 1)
        self._column.setContentsMargins(0, 0, GRID // 2, 0)
        self._picture = Picture(self.graph.under.parentItem(), -5)
        self.crosshair = Crosshair(self.graph)
        self.graph.cursor_moved.connect(self._read_cell)
        self.graph.view_changed.connect(self.data_changed)
        self.bar.hide()
        self.set_awaited("the first point")

    # ---- over one quantity ----------------------------------------------------------------------------------------------

    def start_line(self, x: str, x_unit: str, y: str, y_unit: str) -> None:
        """Begin a scan over one quantity."""
        self._ways = {way: Way() for way in WAYS}
        self._z = None
        self._begin([(x, x_unit), (y, y_unit)])

    def add_point(self, x: float, y: float, *, error: float = float("nan"), up: bool = True) -> None:
        """Add a measured point; `error` is half the length of its bar, in the unit of y."""
        way = self._ways[WAYS[0] if up else WAYS[1]]
        for values, value in ((way.x, x), (way.y, y), (way.error, error)):
            values.append(float(value))
        self.data_changed()

    def set_line(self, x: ArrayLike, y: ArrayLike, *, error: ArrayLike | None = None, up: ArrayLike | None = None) -> None:
        """Show all points of a scan, shape (points,); `up` tells which were measured on the way up."""
        xs, ys = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
        errors = np.full(len(xs), np.nan) if error is None else np.asarray(error, dtype=float)
        ups = np.ones(len(xs), dtype=bool) if up is None else np.asarray(up, dtype=bool)
        if not xs.shape == ys.shape == errors.shape == ups.shape:
            raise ValueError(f"a scan of {xs.size} places has {ys.size} values. Give one of each for every point.")
        for way, chosen in ((WAYS[0], ups), (WAYS[1], ~ups)):
            self._ways[way] = Way(xs[chosen].tolist(), ys[chosen].tolist(), errors[chosen].tolist())
        self.data_changed()

    # ---- over two quantities --------------------------------------------------------------------------------------------

    def start_image(
        self, x: str, x_unit: str, y: str, y_unit: str, z: str, z_unit: str, xs: ArrayLike, ys: ArrayLike
    ) -> None:  # fmt: skip
        """Begin a scan over two quantities, whose planned places are xs and ys, each rising, at least one."""
        self._xs, self._ys = np.asarray(xs, dtype=float), np.asarray(ys, dtype=float)
        if not (len(self._xs) and len(self._ys) and rising(self._xs) and rising(self._ys)):
            raise ValueError("the places of a scan over two quantities must rise. Sort xs and ys before they are shown.")
        self._z = np.full((len(self._ys), len(self._xs)), np.nan)
        self._begin([(x, x_unit), (y, y_unit), (z, z_unit)])

    def add_cell(self, column: int, row: int, value: float) -> None:
        """Add the value measured at xs[column], ys[row]."""
        if self._z is None:
            raise ValueError("there is no scan over two quantities. Begin one by start_image.")
        self._z[row, column] = value
        self.data_changed()

    def set_image(self, z: ArrayLike) -> None:
        """Show all values, shape (rows, columns) as the places given at the start; nan is not measured."""
        values = np.asarray(z, dtype=float)
        if self._z is None or values.shape != self._z.shape:
            wanted = "none was begun" if self._z is None else f"{self._z.shape} was begun"
            raise ValueError(f"an image of shape {values.shape} does not fit: {wanted}. Call start_image with its places.")
        self._z = values.copy()
        self.data_changed()

    def reset(self) -> None:
        """Show everything again, as a double click does."""
        self.graph.reset()

    # ---- drawing --------------------------------------------------------------------------------------------------------

    def _begin(self, names: list[tuple[str, str]]) -> None:
        self._names = names
        self.graph.set_axes(*names[0], *names[1])
        self._picture.image = None
        self.bar.setVisible(self._z is not None)
        self._legend.setVisible(self._z is None)
        self.graph.reset()
        self.data_changed()

    def _switch(self, name: str, on: bool) -> None:
        (self._off.discard if on else self._off.add)(name)
        self.data_changed()

    def _draw(self) -> None:
        if self._z is not None:
            self._draw_image(self._z)
        else:
            self._draw_line()

    def _draw_line(self) -> None:
        traces, points, names = [], [], []
        for k, (name, way) in enumerate(self._ways.items()):
            if not way.x:
                continue
            x, y, error = np.array(way.x), np.array(way.y), np.array(way.error)
            colour, shape = theme().curve(k), ("circle", "square")[k]
            names.append(Name(name, colour, name not in self._off, shape=shape, filled=k == 0))  # type: ignore[arg-type]
            if name in self._off:
                continue
            order = np.argsort(x, kind="stable")
            traces.append(Trace(x[order], y[order], colour, dashed=k == 1))
            bars = None if np.isnan(error).all() else error
            points.append(Points(x, y, colour, shape, k == 0, 7.0, bars, name, self._names[1][1]))  # type: ignore[arg-type]
        self._legend.show_names(names)
        self.graph.over.awaited = "" if names else self._awaited
        self.graph.draw(traces, points)

    def _draw_image(self, z: Array) -> None:
        scale = ColourScale.of(z)
        x, y = edges_of(self._xs), edges_of(self._ys)
        pixels = _evenly(scale.colours(z), x, y)[::-1]
        height, width = pixels.shape
        data = np.ascontiguousarray(pixels).tobytes()
        self._picture.image = QImage(data, width, height, 4 * width, QImage.Format.Format_ARGB32).copy()
        self._picture.extent = View(x[0], x[-1], y[0], y[-1])
        name, unit = self._names[2]
        self.bar.show_scale(scale, name, unit)
        self.graph.over.awaited = self._awaited if np.isnan(z).all() else ""
        self.graph.fixed_y = (float(y[0]), float(y[-1]))
        self.graph.draw([], x_range=(float(x[0]), float(x[-1])))
        self.graph.fixed_y = None
        self._picture.show_view(self.graph.view, QRectF(0, 0, *self.graph.pixels))

    def _read_cell(self, place: tuple[float, float] | None) -> None:
        """Write the value of the cell under the pointer, or that it was not measured."""
        if self._z is None or place is None:
            return
        x, y = edges_of(self._xs), edges_of(self._ys)
        column, row = int(np.searchsorted(x, place[0])) - 1, int(np.searchsorted(y, place[1])) - 1
        if 0 <= column < len(self._xs) and 0 <= row < len(self._ys):
            value = float(self._z[row, column])
            words = "not measured" if np.isnan(value) else written(value, self._names[2][1], 4)
            where = [
                f"{name} {written(one, unit, 4)}"
                for (name, unit), one in zip(self._names[:2], (self._xs[column], self._ys[row]), strict=True)
            ]
            self.graph.over.reading = "\n".join([*where, f"{self._names[2][0]} {words}"])
            self.graph.over.update()

    def columns(self) -> list[Column]:
        """Get the points measured: with direction and error, or x, y and value of every measured cell."""
        if self._z is not None:
            row, column = np.nonzero(np.isfinite(self._z))
            values = (self._xs[column], self._ys[row], self._z[row, column])
            return [Column(name, unit, one) for (name, unit), one in zip(self._names, values, strict=True)]
        ways = list(self._ways.items())
        (x, x_unit), (y, y_unit) = self._names[:2]
        return [
            Column("direction", "", np.array([name for name, way in ways for _ in way.x])),
            Column(x, x_unit, np.array([value for _, way in ways for value in way.x])),
            Column(y, y_unit, np.array([value for _, way in ways for value in way.y])),
            Column(f"error of {y}", y_unit, np.array([value for _, way in ways for value in way.error])),
        ]

    def entries(self) -> list[Entry]:  # noqa: D102
        return [Entry("Show everything again", "Home", self.reset), *super().entries()]

    def keyPressEvent(self, event: QKeyEvent) -> None:  # noqa: D102
        if event.modifiers() or not follow_key(event.key(), self.crosshair, self.graph):
            super().keyPressEvent(event)


def edges_of(places: Array) -> Array:
    """Put edges half-way between places; the outer ones as far out as the next is in."""
    if len(places) == 1:
        half = abs(places[0]) * 0.05 or 0.5
        return np.array([places[0] - half, places[0] + half])
    middle = (places[1:] + places[:-1]) / 2
    return np.concatenate(([2 * places[0] - middle[0]], middle, [2 * places[-1] - middle[-1]]))


def _evenly(colours: np.ndarray, x: Array, y: Array, most: int = 1024) -> np.ndarray:
    """Repeat cells so that an image of equal pixels shows places that are not evenly spaced."""
    for axis, edges in ((1, x), (0, y)):
        widths = np.diff(edges)
        if widths.max() > 1.001 * widths.min():
            at = np.linspace(edges[0], edges[-1], most, endpoint=False) + (edges[-1] - edges[0]) / (2 * most)
            chosen = np.clip(np.searchsorted(edges, at) - 1, 0, len(widths) - 1)
            colours = np.take(colours, chosen, axis=axis)
    return colours
