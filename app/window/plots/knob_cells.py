"""Up to 16 small triggered traces on one scale, painted as one picture; each cell can be clicked, or reached by keys."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from PySide6.QtCore import QPointF, QRectF, Qt, Signal
from PySide6.QtGui import QColor, QMouseEvent, QPaintEngine, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QSizePolicy, QWidget

from aeqlab.app.window.plots import raster
from aeqlab.app.window.plots.figures import written
from aeqlab.app.window.plots.layers import BAND, Middle
from aeqlab.app.window.plots.samples import PRESENTED, Sample
from aeqlab.app.window.plots.thinning import Array, Columns, spans
from aeqlab.app.window.plots.traces import View, polyline
from aeqlab.app.window.theme import GRID, SMALL, theme

ARROWS = {Qt.Key.Key_Left: (-1, 0), Qt.Key.Key_Right: (1, 0), Qt.Key.Key_Up: (0, -1), Qt.Key.Key_Down: (0, 1)}
LEAST = 2.0  #: tolerances that the scale reaches at least
TYPICAL = 90.0  #: percent of all errors that the scale holds: one excursion must not flatten 16 traces


class Cells(QWidget):
    """The cells. `chosen` is sent with the number of one that was clicked, or Enter was pressed on."""

    chosen = Signal(int)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._samples: Sequence[Sample] = ()
        self._names: list[str] = []
        self._settle: Array = np.zeros(0)
        self._awaited = ""
        self.trigger = PRESENTED  #: from when times count
        self._cell_view = View(0.0, 1.0, -LEAST, LEAST)
        self.current = -1
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self.setAccessibleName("traces of every knob")
        theme().changed.connect(self.update)

    def show_samples(self, samples: Sequence[Sample], names: Sequence[str], settle: Array, awaited: str) -> None:
        """Show samples, oldest first, with the name and settle time of each knob."""
        self._samples, self._names, self._settle, self._awaited = samples, list(names), settle, awaited
        if samples:
            values = np.abs(np.concatenate([one.error.reshape(-1) for one in samples]))
            values = values[np.isfinite(values)]
            reach = max(float(np.percentile(values, TYPICAL)) if len(values) else 0.0, LEAST)
            right = max(float(one.t[-1]) for one in samples)
            self._cell_view = View(0.0, right or 1.0, -reach, reach)
        self.update()

    @property
    def _across(self) -> int:
        return max(math.ceil(math.sqrt(len(self._names))), 1)

    def boxes(self) -> list[QRectF]:
        """Get the cells, without the margins that hold the one scale."""
        metrics = self.fontMetrics()
        left, foot = metrics.horizontalAdvance("−00 tol") + GRID, metrics.height() + GRID
        across, down = self._across, max(math.ceil(len(self._names) / self._across), 1)
        wide, tall = (self.width() - left - GRID) / across, (self.height() - foot) / down
        head = metrics.height()  # name and settle time stand above each trace
        return [
            QRectF(round(left + k % across * wide), round(k // across * tall) + head, int(wide) - 6, int(tall) - head - 2)
            for k in range(len(self._names))
        ]

    def paintEvent(self, event: QPaintEvent) -> None:  # noqa: D102
        painter, now = QPainter(self), theme().now
        painter.setFont(theme().font(SMALL, tabular=True))
        if self._awaited:
            painter.setPen(QColor(now.dim))
            painter.drawText(self.rect(), Qt.AlignmentFlag.AlignCenter, f"nothing yet: {self._awaited}")
            return
        boxes = self.boxes()
        if not boxes or boxes[0].width() < 8 or boxes[0].height() < 8:
            return
        on_screen = painter.paintEngine().type() == QPaintEngine.Type.Raster and not Middle.as_lines
        for knob, box in enumerate(boxes):
            self._paint_ground(painter, box)
            (self._paint_picture if on_screen else self._paint_lines)(painter, knob, box)
            self._paint_words(painter, knob, box)
        self._paint_scale(painter, boxes)

    def _paint_ground(self, painter: QPainter, box: QRectF) -> None:
        now, view = theme().now, self._cell_view
        painter.fillRect(box, QColor(raster.mixed(now.line, now.sheet, 0.25)))
        top, bottom = (box.top() + float(view.y_pixels(y, box.height())) for y in (1.0, -1.0))
        painter.fillRect(QRectF(box.left(), top, box.width(), bottom - top), QColor(raster.mixed(now.good, now.sheet, BAND)))
        clamp = self._samples[-1].clamp_at
        if clamp is not None:
            painter.setPen(QPen(QColor(now.dim), 1, Qt.PenStyle.DashLine))
            x = box.left() + float(view.x_pixels(clamp, box.width()))
            painter.drawLine(QPointF(x, box.top()), QPointF(x, box.bottom()))

    def _shades(self) -> list[str]:
        """The colours of the samples, oldest first, the newest strongest."""
        count = len(self._samples)
        strengths = [1.0 if k == count - 1 else 0.1 + 0.4 * k / max(count - 1, 1) for k in range(count)]
        return [raster.mixed(theme().now.chosen, theme().now.sheet, one) for one in strengths]

    def _paint_picture(self, painter: QPainter, knob: int, box: QRectF) -> None:
        view, ratio = self._cell_view, self.devicePixelRatioF()
        width, height = round(box.width() * ratio), round(box.height() * ratio)
        found = [spans(one.t, one.error[:, knob], Columns.of(one.t, view.left, view.right, width)) for one in self._samples]
        tops = raster.rows_of(np.array([high for _, high in found]), view.bottom, view.top, height)
        bottoms = raster.rows_of(np.array([low for low, _ in found]), view.bottom, view.top, height)
        pixels = raster.blank(width, height)
        shades = np.array([raster.number_of(colour) for colour in self._shades()], dtype=np.uint32)
        raster.paint(pixels, tops, bottoms, shades)
        painter.drawImage(box, raster.image_of(pixels))

    def _paint_lines(self, painter: QPainter, knob: int, box: QRectF) -> None:
        painter.save()
        painter.setClipRect(box)
        painter.translate(box.topLeft())
        painter.setBrush(Qt.BrushStyle.NoBrush)
        for one, colour in zip(self._samples, self._shades(), strict=True):
            painter.setPen(QPen(QColor(colour), 1))
            x = self._cell_view.x_pixels(one.t, box.width())
            painter.drawPath(polyline(x, self._cell_view.y_pixels(one.error[:, knob], box.height())))
        painter.restore()

    def _paint_words(self, painter: QPainter, knob: int, box: QRectF) -> None:
        now = theme().now
        painter.setPen(QColor(now.text))
        head = painter.fontMetrics().height()
        inside = QRectF(box.left(), box.top() - head, box.width(), head)
        painter.drawText(inside, Qt.AlignmentFlag.AlignTop | Qt.AlignmentFlag.AlignLeft, self._names[knob])
        held = knob < len(self._settle) and not math.isnan(self._settle[knob])
        words = f"held in {written(float(self._settle[knob]), 's', 2)}" if held else "✕ not held"
        painter.setPen(QColor(now.dim if held else now.warning))
        room = painter.fontMetrics().horizontalAdvance(self._names[knob] + "   " + words)
        if room < inside.width():
            painter.drawText(inside, Qt.AlignmentFlag.AlignTop | Qt.AlignmentFlag.AlignRight, words)
        if knob == self.current:
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.setPen(QPen(QColor(now.chosen), 2))
            painter.drawRect(box)

    def _paint_scale(self, painter: QPainter, boxes: Sequence[QRectF]) -> None:
        """Write the one scale at the left of each row, and the time below the last."""
        view, metrics, now = self._cell_view, painter.fontMetrics(), theme().now
        painter.setPen(QColor(now.text))
        right = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
        tall = metrics.height()
        for box in boxes[:: self._across]:
            for value in (view.top, 0.0, view.bottom):
                at = min(max(float(view.y_pixels(value, box.height())), tall / 2), box.height() - tall / 2)
                text = f"{value:.3g}" + (" tol" if value else "")
                painter.drawText(QRectF(0, box.top() + at - tall / 2, box.left() - 4, tall), right, text)
        foot = QRectF(boxes[0].left(), self.height() - tall - 2, boxes[0].width(), tall)
        painter.drawText(foot, Qt.AlignmentFlag.AlignLeft, "0")
        painter.drawText(foot, Qt.AlignmentFlag.AlignRight, written(view.right, "s", 2))
        beside = QRectF(foot.right() + 2 * GRID, foot.top(), self.width(), tall)
        painter.setPen(QColor(now.dim))
        painter.drawText(beside, Qt.AlignmentFlag.AlignLeft, f"{self.trigger}; dashed: clamp; tinted: tolerance")

    def mousePressEvent(self, event: QMouseEvent) -> None:  # noqa: D102
        found = next((k for k, box in enumerate(self.boxes()) if box.adjusted(0, -GRID, 0, 0).contains(event.position())), -1)
        if event.button() == Qt.MouseButton.LeftButton and found >= 0:
            self.current = found
            self.chosen.emit(found)
        else:
            super().mousePressEvent(event)

    def follow_key(self, key: int) -> bool:
        """Move the choice by an arrow, send it by Enter. Returns whether the key was one of these."""
        count = len(self._names)
        if key in ARROWS and count:
            right, down = ARROWS[Qt.Key(key)]
            moved = self.current + right + down * self._across
            self.current = 0 if self.current < 0 else moved if 0 <= moved < count else self.current
            self.setAccessibleDescription(self._names[self.current])
            self.update()
            return True
        if key in (Qt.Key.Key_Return, Qt.Key.Key_Enter) and self.current >= 0:
            self.chosen.emit(self.current)
            return True
        return False
