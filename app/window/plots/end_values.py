"""The last value of each curve, written at its end, to the right of the plot; none covers another."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from PySide6.QtCore import QPointF, QRectF, QSizeF, Qt
from PySide6.QtGui import QColor, QFontMetricsF, QPainter, QPen
from PySide6.QtWidgets import QGraphicsWidget, QStyleOptionGraphicsItem, QWidget

from aeqlab.app.window.theme import GRID, SMALL, theme

SWATCH = 10  #: px of the line before a value


@dataclass(frozen=True, slots=True)
class EndValue:
    """One value: where it belongs, in pixels from the top of the plot, what it says, and the colour of its curve."""

    at: float
    text: str
    colour: str
    old: bool = False


class EndValues(QGraphicsWidget):
    """A column beside the plot, as wide as its longest value."""

    def __init__(self) -> None:
        super().__init__()
        self._values: Sequence[EndValue] = ()
        self._wide = self.needed = 2.0 * GRID  #: `needed` by the values, half a figure of the axis at least
        self._set_width(self._wide)

    def show_values(self, values: Sequence[EndValue]) -> None:
        """Show these and no others; the column only grows, so that the plot beside it does not jitter."""
        if values == self._values:
            return
        self._values = values
        metrics = QFontMetricsF(theme().font(SMALL, tabular=True))
        wide = max((math.ceil(metrics.horizontalAdvance(one.text)) for one in values), default=GRID - SWATCH) + SWATCH + 8.0
        if wide > self.needed or not values or wide < 0.6 * self.needed:
            self.needed = wide
        self.update()

    def widen(self, wide: float) -> None:
        """Be as wide as the widest of the graphs that share x."""
        if wide != self._wide:
            self._set_width(wide)

    def _set_width(self, wide: float) -> None:
        grows, self._wide = wide > self._wide, wide
        for set_limit in (self.setMaximumWidth, self.setMinimumWidth) if grows else (self.setMinimumWidth, self.setMaximumWidth):
            set_limit(wide)
        self.updateGeometry()

    def sizeHint(self, which: Qt.SizeHint, constraint: QSizeF | None = None) -> QSizeF:  # type: ignore[override]  # noqa: D102
        return QSizeF(self._wide, -1 if which != Qt.SizeHint.MaximumSize else 1e6)

    def paint(self, painter: QPainter, option: QStyleOptionGraphicsItem, widget: QWidget | None = None) -> None:  # noqa: D102
        painter.setFont(theme().font(SMALL, tabular=True))
        metrics, now = painter.fontMetrics(), theme().now
        tall = metrics.height()
        for at, one in zip(apart([value.at for value in self._values], tall, self.size().height()), self._values, strict=True):
            painter.setPen(QPen(QColor(one.colour), 3))
            painter.drawLine(QPointF(3, at), QPointF(SWATCH, at))
            painter.setPen(QColor(now.dim if one.old else now.text))
            box = QRectF(SWATCH + 4, at - tall / 2, self.size().width() - SWATCH - 4, tall)
            painter.drawText(box, Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignLeft, one.text)


def apart(places: Sequence[float], tall: float, height: float) -> list[float]:
    """Move places apart until each has `tall` pixels to itself, within 0 to height; their order stays."""
    order = sorted(range(len(places)), key=lambda k: places[k])
    found = [0.0] * len(places)
    below = tall / 2
    for k in order:
        found[k] = max(places[k], below)
        below = found[k] + tall
    limit = max(height - tall / 2, tall / 2)
    for k in reversed(order):
        found[k] = min(found[k], limit)
        limit = found[k] - tall
    return found
