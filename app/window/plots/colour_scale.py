"""Numbers as colours that colour-blind eyes tell apart: a scale from low to high, two-sided around zero where there are signs."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pyqtgraph
from numpy.typing import NDArray
from PySide6.QtCore import QPointF, QRectF, Qt
from PySide6.QtGui import QColor, QImage, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QWidget

from aeqlab.app.window.plots.figures import labelled, written
from aeqlab.app.window.plots.raster import mixed, number_of
from aeqlab.app.window.plots.thinning import Array
from aeqlab.app.window.theme import BLUE, GRID, ORANGE, SKY, SMALL, VERMILION, theme

STEPS = 256
BAR_WIDTH = 2 * GRID


@dataclass(frozen=True, slots=True)
class ColourScale:
    """From `low` to `high`; `two_sided`: the ground in the middle, blue below and orange above."""

    low: float
    high: float
    two_sided: bool = False

    @classmethod
    def of(cls, values: Array, *, two_sided: bool | None = None, least: float = 0.0) -> ColourScale:
        """Fit to the finite values; two-sided where there are both signs, unless told. `least`: the smallest reach."""
        finite = values[np.isfinite(values)]
        low, high = (float(finite.min()), float(finite.max())) if len(finite) else (0.0, 1.0)
        if two_sided or (two_sided is None and low < 0 < high):
            reach = max(abs(low), abs(high), least) or 1.0
            return cls(-reach, reach, True)
        if high - low <= 1e-12 * max(abs(low), abs(high), 1e-300):
            low, high = low - (abs(low) * 0.1 or 0.5), high + (abs(high) * 0.1 or 0.5)
        return cls(low, high)

    def colours(self, values: Array) -> NDArray[np.uint32]:
        """Turn numbers into 0xAARRGGBB, same shape; nan into 0, which is transparent."""
        places = (values - self.low) / (self.high - self.low) * (STEPS - 1)
        known = np.isfinite(values)
        found = self.table[np.clip(np.where(known, places, 0), 0, STEPS - 1).astype(np.intp)]
        return np.where(known, found, np.uint32(0)).astype(np.uint32)

    @property
    def table(self) -> NDArray[np.uint32]:
        """Its colours from low to high, shape (256,)."""
        return _two_sided(theme().dark) if self.two_sided else _one_sided()

    def ticks(self) -> list[float]:
        """Get the numbers to write beside it."""
        return [self.low, (self.low + self.high) / 2, self.high]


@lru_cache(maxsize=2)
def _two_sided(dark: bool) -> NDArray[np.uint32]:
    ends = ((BLUE, VERMILION), (SKY, ORANGE))[dark]
    ground, half = theme().now.sheet if dark else "#F2F2F0", STEPS // 2
    below = [mixed(ends[0], ground, (1 - k / half) ** 0.8) for k in range(half)]
    above = [mixed(ends[1], ground, (k / (half - 1)) ** 0.8) for k in range(half)]
    return np.array([number_of(colour) for colour in below + above], dtype=np.uint32)


@lru_cache(maxsize=1)
def _one_sided() -> NDArray[np.uint32]:
    colours = pyqtgraph.colormap.get("cividis").getLookupTable(nPts=STEPS, alpha=False).astype(np.uint32)
    return np.asarray(0xFF000000 + (colours[:, 0] << 16) + (colours[:, 1] << 8) + colours[:, 2], dtype=np.uint32)


class ColourBar(QWidget):
    """The scale drawn upright, with its name, unit and numbers."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._scale, self._name, self._unit = ColourScale(0, 1), "", ""
        theme().changed.connect(self._fit)
        self._fit()

    def show_scale(self, scale: ColourScale, name: str, unit: str) -> None:
        """Show a scale."""
        if (scale, name, unit) != (self._scale, self._name, self._unit):
            self._scale, self._name, self._unit = scale, name, unit
            self.update()

    def _fit(self) -> None:
        self.setFixedWidth((22 if theme().projected else 11) * GRID)

    def paintEvent(self, event: QPaintEvent) -> None:  # noqa: D102
        painter, now = QPainter(self), theme().now
        painter.setFont(theme().font(SMALL, tabular=True))
        metrics = painter.fontMetrics()
        tall = metrics.height()
        label = labelled(self._name, self._unit)
        box = QRectF(GRID / 2, GRID / 2 + tall, BAR_WIDTH, max(self.height() - 2.5 * tall - GRID, tall))
        column = np.ascontiguousarray(self._scale.table[::-1])
        image = QImage(column.tobytes(), 1, STEPS, 4, QImage.Format.Format_RGB32).copy()
        painter.drawImage(box, image)
        painter.setPen(QPen(QColor(now.line), 1))
        painter.drawRect(box)
        painter.setPen(QColor(now.text))
        painter.drawText(
            QPointF(GRID / 2, metrics.ascent()), metrics.elidedText(label, Qt.TextElideMode.ElideRight, self.width())
        )
        ticks = self._scale.ticks()
        for value in ticks if box.height() > 3 * tall else (ticks[0], ticks[-1]):
            at = box.bottom() - (value - self._scale.low) / (self._scale.high - self._scale.low) * box.height()
            painter.drawText(QPointF(box.right() + GRID / 2, at + metrics.ascent() / 2 - 1), written(value, self._unit, 2))


def hatch(painter: QPainter, box: QRectF) -> None:
    """Hatch what is not known."""
    painter.save()
    painter.setClipRect(box, Qt.ClipOperation.IntersectClip)
    painter.setPen(QPen(QColor(theme().now.line), 1))
    step, reach = float(GRID), box.height()
    x = box.left() - reach
    while x < box.right():
        painter.drawLine(QPointF(x, box.bottom()), QPointF(x + reach, box.top()))
        x += step
    painter.restore()
