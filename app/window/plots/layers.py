"""The layers of a graph: phases and grid below, traces in the middle, marks and the crosshair above."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PySide6.QtCore import QPointF, QRectF, Qt
from PySide6.QtGui import QColor, QImage, QPaintEngine, QPainter, QPen
from PySide6.QtWidgets import QGraphicsItem, QStyleOptionGraphicsItem, QWidget

from aeqlab.app.window.plots import raster
from aeqlab.app.window.plots.thinning import Array, Columns, thin
from aeqlab.app.window.plots.traces import Points, Trace, View, polyline
from aeqlab.app.window.theme import SMALL, theme

BAND = 0.22  #: how strongly the band of a curve, or a phase, is tinted
DASH = (8, 12)  #: px drawn of so many


@dataclass(frozen=True, slots=True)
class Phase:
    """A stretch of x, with its word."""

    begin: float
    end: float
    word: str
    colour: str | None = None  #: None: that of secondary things


@dataclass(frozen=True, slots=True)
class Mark:
    """A place on x with a word, such as "clamp"."""

    at: float
    word: str
    colour: str | None = None


class Layer(QGraphicsItem):
    """One layer; it lies in the box of the plot and paints in pixels from its upper left corner."""

    def __init__(self, box: QGraphicsItem, depth: float) -> None:
        super().__init__(box)
        self.setZValue(depth)
        self.view = View(0.0, 1.0, 0.0, 1.0)
        self._rect = QRectF(0, 0, 1, 1)

    def boundingRect(self) -> QRectF:  # noqa: D102
        return self._rect

    def show_view(self, view: View, rect: QRectF) -> None:
        """Follow the part of the plane that is shown, and the size of the box."""
        if rect != self._rect:
            self.prepareGeometryChange()
            self._rect = QRectF(rect)
        self.view = view
        self.update()

    def _x(self, x: float) -> float:
        return float(self.view.x_pixels(x, self._rect.width()))

    def _y(self, y: float) -> float:
        return float(self.view.y_pixels(y, self._rect.height()))


class Under(Layer):
    """Phases, tolerance bands and the grid."""

    phases: Sequence[Phase] = ()
    levels: Sequence[tuple[float, float]] = ()  #: bands of y, from and to
    grid: tuple[Sequence[float], Sequence[float]] = ((), ())  #: places on x and on y

    def paint(self, painter: QPainter, option: QStyleOptionGraphicsItem, widget: QWidget | None = None) -> None:  # noqa: D102
        now, rect = theme().now, self._rect
        for phase in self.phases:
            colour = QColor(raster.mixed(phase.colour or now.dim, now.sheet, 0.6 * BAND))
            left, right = max(self._x(phase.begin), 0.0), min(self._x(phase.end), rect.width())
            if right > left:
                painter.fillRect(QRectF(left, 0, right - left, rect.height()), colour)
        for low, high in self.levels:
            top, bottom = max(self._y(high), 0.0), min(self._y(low), rect.height())
            if bottom > top:
                painter.fillRect(
                    QRectF(0, top, rect.width(), bottom - top), QColor(raster.mixed(now.good, now.sheet, 0.6 * BAND))
                )
        painter.setPen(QPen(QColor(raster.mixed(now.line, now.sheet, 0.6)), 1))
        for x in self.grid[0]:
            at = round(self._x(x)) + 0.5
            painter.drawLine(QPointF(at, 0), QPointF(at, rect.height()))
        for y in self.grid[1]:
            at = round(self._y(y)) + 0.5
            painter.drawLine(QPointF(0, at), QPointF(rect.width(), at))


class Middle(Layer):
    """Traces and points. On the screen traces are an image made by numpy; in a file they are lines."""

    as_lines = False  #: for as long as files are written

    def __init__(self, box: QGraphicsItem, depth: float) -> None:
        super().__init__(box, depth)
        self.traces: Sequence[Trace] = ()
        self.points: Sequence[Points] = ()
        self._image: QImage | None = None
        self._of: View = self.view

    def rasterise(self, view: View, rect: QRectF, ratio: float) -> None:
        """Make the image of all traces; they know their spans from being asked for them for the range of y."""
        width, height = max(round(rect.width() * ratio), 1), max(round(rect.height() * ratio), 1)
        ground, shared = theme().now.sheet, dict[int, Columns]()
        drawn = [trace for trace in self.traces if trace.rises and len(trace.x)]
        found = [trace.spans(view.left, view.right, width, shared) for trace in drawn]
        low, high, colours = [], [], []
        for trace, (_, _, under, over) in zip(drawn, found, strict=True):
            if trace.has_band:
                low.append(under)
                high.append(over)
                colours.append(np.full(width, raster.number_of(raster.mixed(trace.colour, ground, BAND)), dtype=np.uint32))
        for trace, (least, most, _, _) in zip(drawn, found, strict=True):
            low.append(least)
            high.append(most)
            colour = np.full(width, raster.number_of(trace.colour), dtype=np.uint32)
            if trace.dashed:
                colour[np.arange(width) % DASH[1] >= DASH[0]] = 0
            colours.append(colour)
        pixels = raster.blank(width, height)
        if low:
            tops = raster.rows_of(np.array(high), view.bottom, view.top, height)
            bottoms = raster.rows_of(np.array(low), view.bottom, view.top, height)
            raster.paint(pixels, tops, bottoms, np.array(colours))
        self._image, self._of = raster.image_of(pixels) if low else None, view
        self.show_view(view, rect)

    def paint(self, painter: QPainter, option: QStyleOptionGraphicsItem, widget: QWidget | None = None) -> None:  # noqa: D102
        on_screen = painter.paintEngine().type() == QPaintEngine.Type.Raster and not Middle.as_lines
        self._paint_points(painter, [one for one in self.points if one.under])
        if on_screen and self._image is not None:
            target = self.view.rect_of(self._of, self._rect.width(), self._rect.height())
            device = painter.deviceTransform()
            corner, scale = device.map(QPointF(0, 0)), device.m11() or 1.0  # image pixels must fall on pixels of the screen
            shift = QPointF((round(corner.x()) - corner.x()) / scale, (round(corner.y()) - corner.y()) / scale)
            painter.drawImage(target.translated(shift), self._image)
        self._paint_lines(painter, [trace for trace in self.traces if not (on_screen and trace.rises)])
        self._paint_points(painter, [one for one in self.points if not one.under])

    def _paint_lines(self, painter: QPainter, traces: Sequence[Trace]) -> None:
        width, height = self._rect.width(), self._rect.height()
        for trace in traces:
            if trace.has_band and trace.rises:
                assert trace.low is not None
                assert trace.high is not None
                whole = np.isfinite(trace.low) & np.isfinite(trace.high)
                x0, y0 = self._thin(trace.x[whole], trace.low[whole])
                x1, y1 = self._thin(trace.x[whole], trace.high[whole])
                outline = polyline(np.concatenate((x0, x1[::-1])), np.concatenate((y0, y1[::-1])))
                painter.fillPath(outline, QColor(raster.mixed(trace.colour, theme().now.sheet, BAND)))
        for trace in traces:
            x, y = self._thin(trace.x, trace.y) if trace.rises else self._pixels(trace.x, trace.y)
            pen = QPen(QColor(trace.colour), 1)
            if trace.dashed:
                pen.setDashPattern([float(DASH[0]), float(DASH[1] - DASH[0])])
            painter.setPen(pen)
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.drawPath(polyline(x, np.clip(y, -10 * height, 10 * height)) if width else polyline(x, y))

    def _thin(self, x: Array, y: Array) -> tuple[Array, Array]:
        return self._pixels(*thin(x, y, max(int(self._rect.width()), 1), self.view.left, self.view.right))

    def _pixels(self, x: Array, y: Array) -> tuple[Array, Array]:
        return self.view.x_pixels(x, self._rect.width()), self.view.y_pixels(y, self._rect.height())

    def _paint_points(self, painter: QPainter, drawn: Sequence[Points]) -> None:
        size = (self._rect.width(), self._rect.height())
        for points in drawn:
            painter.setPen(QPen(QColor(points.colour), 1))
            painter.setBrush(Qt.BrushStyle.NoBrush)
            if points.error is not None:
                painter.drawPath(points.bars(self.view, *size))
            if points.filled and points.shape != "cross":
                painter.setBrush(QColor(points.colour))
            painter.drawPath(points.path(self.view, *size))


class Over(Layer):
    """Marks with their words, the crosshair with its values, and what is awaited while there is nothing to draw."""

    marks: Sequence[Mark] = ()
    phases: Sequence[Phase] = ()  #: their words
    awaited: str = ""
    cross: tuple[float, float] | None = None  #: in coordinates of the plot
    reading: str = ""  #: lines beside the cursor

    def paint(self, painter: QPainter, option: QStyleOptionGraphicsItem, widget: QWidget | None = None) -> None:  # noqa: D102
        painter.setFont(theme().font(SMALL, tabular=True))
        if self.awaited:
            painter.setPen(QColor(theme().now.dim))
            middle = Qt.AlignmentFlag.AlignCenter | Qt.TextFlag.TextWordWrap
            painter.drawText(self._rect.adjusted(8, 8, -8, -8), middle, f"nothing yet: {self.awaited}")
        self._paint_words(painter)
        self._paint_marks(painter)
        if self.cross is not None:
            self._paint_cursor(painter)

    def _paint_words(self, painter: QPainter) -> None:
        height = painter.fontMetrics().height()
        painter.setPen(QColor(theme().now.dim))
        for phase in self.phases:
            left, right = max(self._x(phase.begin), 0.0), min(self._x(phase.end), self._rect.width())
            if right - left > painter.fontMetrics().horizontalAdvance(phase.word) + 8:
                wide = painter.fontMetrics().horizontalAdvance(phase.word)
                box = QRectF(left + 4, self._rect.height() - height - 2, wide + 2, height)
                painter.fillRect(box, QColor(theme().now.sheet))
                painter.drawText(box, 0, phase.word)

    def _paint_marks(self, painter: QPainter) -> None:
        metrics, now = painter.fontMetrics(), theme().now
        free: list[float] = []  # where each row of words ends
        for mark in sorted(self.marks, key=lambda one: one.at):
            x = round(self._x(mark.at)) + 0.5
            if not 0 <= x <= self._rect.width():
                continue
            painter.setPen(QPen(QColor(mark.colour or now.dim), 1, Qt.PenStyle.DashLine))
            painter.drawLine(QPointF(x, 0), QPointF(x, self._rect.height()))
            wide = metrics.horizontalAdvance(mark.word)
            left = x + 4 if x + 4 + wide < self._rect.width() else x - 4 - wide
            row = next((k for k, end in enumerate(free) if end < left), len(free))
            if row > 3:
                continue  # so many marks that their words would hide the curves; the lines stay
            free[row : row + 1] = [left + wide + 8]
            painter.setPen(QColor(mark.colour or now.text))
            painter.drawText(QPointF(left, metrics.ascent() + 2 + row * metrics.height()), mark.word)

    def _paint_cursor(self, painter: QPainter) -> None:
        assert self.cross is not None
        now, (x, y) = theme().now, (self._x(self.cross[0]), self._y(self.cross[1]))
        painter.setPen(QPen(QColor(now.dim), 1, Qt.PenStyle.DotLine))
        painter.drawLine(QPointF(x, 0), QPointF(x, self._rect.height()))
        painter.drawLine(QPointF(0, y), QPointF(self._rect.width(), y))
        if not self.reading:
            return
        bounds = painter.fontMetrics().boundingRect(self._rect.toRect(), Qt.AlignmentFlag.AlignLeft, self.reading)
        wide, tall = bounds.width() + 12, bounds.height() + 8
        left = x + 8 if x + 8 + wide < self._rect.width() else x - 8 - wide
        top = y - 8 - tall if y - 8 - tall > 0 else y + 8
        box = QRectF(max(left, 0.0), min(max(top, 0.0), max(self._rect.height() - tall, 0.0)), wide, tall)
        painter.setPen(QPen(QColor(now.line), 1))
        painter.setBrush(QColor(now.sheet))
        painter.drawRect(box)
        painter.setPen(QColor(now.text))
        painter.drawText(box.adjusted(6, 4, -6, -4), Qt.AlignmentFlag.AlignLeft, self.reading)
