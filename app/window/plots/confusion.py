"""Which class is taken for which: a small table of counts, shaded by share of its row."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PySide6.QtCore import QPointF, QRectF, Qt
from PySide6.QtGui import QColor, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QWidget

from aeqlab.app.window.plots.export import Column
from aeqlab.app.window.plots.raster import mixed
from aeqlab.app.window.theme import GRID, SMALL, ink_on, theme

BIGGEST_CELL = 7 * GRID


class Confusion(QWidget):
    """Rows are the true classes, columns what the device says."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._names: list[str] = []
        self.counts: NDArray[np.int64] = np.zeros((0, 0), dtype=np.int64)

    def show_classes(self, truth: NDArray[np.intp], predicted: NDArray[np.intp], names: Sequence[str]) -> None:
        """Count and show.

        Raises:
            ValueError: the lengths differ, or a class has no name.
        """
        if truth.shape != predicted.shape or truth.ndim != 1:
            raise ValueError(f"{truth.size} true classes and {predicted.size} predicted ones. Give one of each for every sample.")
        size = len(names)
        if len(truth) and (min(truth.min(), predicted.min()) < 0 or max(truth.max(), predicted.max()) >= size):
            raise ValueError(f"a class is outside 0 to {size - 1}. Give a name for each class.")
        self._names = list(names)
        self.counts = np.bincount(truth * size + predicted, minlength=size * size).reshape(size, size)
        wrong = int(self.counts.sum() - np.trace(self.counts))
        self.setAccessibleName(f"confusion table: {wrong} of {len(truth)} wrong")
        self.update()

    def columns(self) -> list[Column]:
        """Get the table."""
        found = [Column("true class", "", np.array(self._names))]
        return found + [Column(f"taken for {name}", "", self.counts[:, k]) for k, name in enumerate(self._names)]

    def paintEvent(self, event: QPaintEvent) -> None:  # noqa: D102
        if not len(self.counts):
            return
        painter, now = QPainter(self), theme().now
        painter.setFont(theme().font(SMALL, tabular=True))
        metrics = painter.fontMetrics()
        size, left = len(self._names), max(metrics.horizontalAdvance(name) for name in self._names) + metrics.height() + 3 * GRID
        top, foot = 2 * metrics.height() + GRID, metrics.height() + GRID
        cell = min((self.width() - left - GRID) / size, (self.height() - top - foot) / size, BIGGEST_CELL)
        if cell < 4:
            return
        centre = Qt.AlignmentFlag.AlignCenter
        shares = self.counts / np.maximum(self.counts.sum(axis=1, keepdims=True), 1)
        for row in range(size):
            for column in range(size):
                box = QRectF(left + column * cell, top + row * cell, cell - 1, cell - 1)
                good = theme().curve(0) if row == column else theme().curve(1)
                colour = mixed(good, now.sheet, float(np.sqrt(shares[row, column])))
                painter.fillRect(box, QColor(colour))
                text = str(self.counts[row, column])
                if self.counts[row, column] and metrics.horizontalAdvance(text) < cell:
                    painter.setPen(QColor(ink_on(colour)))
                    painter.drawText(box, centre, text)
        painter.setPen(QPen(QColor(now.text)))
        for k, name in enumerate(self._names):
            side = QRectF(0, top + k * cell, left - 4, cell)
            painter.drawText(side, Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter, name)
            head = metrics.elidedText(name, Qt.TextElideMode.ElideRight, int(cell))
            painter.drawText(QRectF(left + k * cell, top - metrics.height(), cell, metrics.height()), centre, head)
        painter.drawText(QPointF(left, metrics.ascent()), "device says")
        painter.save()
        painter.translate(metrics.ascent() + 2, top + size * cell / 2 + metrics.horizontalAdvance("true") / 2)
        painter.rotate(-90)
        painter.drawText(QPointF(0, 0), "true")
        painter.restore()
        total, wrong = int(self.counts.sum()), int(self.counts.sum() - np.trace(self.counts))
        share = f" ({wrong / total:.1%})" if total else ""
        painter.setPen(QColor(now.dim))
        painter.drawText(QPointF(left, top + size * cell + metrics.height()), f"{wrong} of {total} wrong{share}")
