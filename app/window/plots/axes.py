"""Axes that paint straight onto the screen.

pyqtgraph paints an axis into a QPicture first. Each painter on a QPicture leaves six references to None behind (PySide6 6.11.3 on
Python 3.11: measured), and the count of None must stay steady over a night of plot updates.
"""

from __future__ import annotations

import re
from typing import Any

import pyqtgraph
from PySide6.QtCore import Qt
from PySide6.QtGui import QFontMetricsF, QPaintEngine, QPainter
from PySide6.QtWidgets import QStyleOptionGraphicsItem, QWidget

LEAST = 3  #: letters of a name that stay beside its unit


class Direct:
    """Paints the specifications of an axis; they are kept until the axis asks for a new picture."""

    picture: object
    _specs: Any = None
    _asked: tuple[float, ...] = ()
    _ticks: Any = None

    def tickValues(self, low: float, high: float, size: float) -> Any:
        """Get the places of ticks, as pyqtgraph chooses them; kept, as the grid asks for the same."""
        axis: Any = self
        asked = (low, high, size, axis.scale, axis.logMode)
        if asked != self._asked:
            self._ticks = super().tickValues(low, high, size)  # type: ignore[misc]
            if axis.logMode:  # a decade is among the coarse and among the fine ones, and would be written twice
                seen: set[float] = set()
                self._ticks = [(step, [one for one in ticks if _new(one, seen)]) for step, ticks in self._ticks]
            self._asked = asked
        return self._ticks

    def updateAutoSIPrefix(self) -> None:
        """Choose a prefix only where it was asked for: pyqtgraph scales the figures once more when it is switched off."""
        axis: Any = self
        if axis.autoSIPrefix:
            super().updateAutoSIPrefix()  # type: ignore[misc]
        else:
            axis.autoSIPrefixScale, axis.labelUnitPrefix = 1.0, ""
            axis._updateLabel()

    def labelString(self) -> str:
        """Write the label. Of one that is longer than its axis the name is cut; the unit goes where both have no room."""
        axis: Any = self
        whole: str = super().labelString()  # type: ignore[misc]
        if axis.orientation not in ("left", "right") or not axis.labelText:
            return whole
        words = re.sub("<.*?>", "", whole).strip()
        metrics, room = QFontMetricsF(axis.label.font()), axis.size().height()
        if metrics.horizontalAdvance(words) <= room:
            return whole
        found = re.search(r" \([^()]*\)$", words)
        name, unit = (words, "") if found is None else (words[: found.start()], found[0])
        if metrics.horizontalAdvance(f"{name[:LEAST]}\N{HORIZONTAL ELLIPSIS}{unit}") > room:
            unit = ""
        cut = metrics.elidedText(name, Qt.TextElideMode.ElideRight, room - metrics.horizontalAdvance(unit))
        return whole.replace(words, cut + unit)

    def resizeEvent(self, event: Any = None) -> None:
        """Put the label into the middle, in the words that fit."""
        axis: Any = self
        if axis.label is not None and axis.label.isVisible() and axis.labelText:
            axis.label.setHtml(axis.labelString())
        super().resizeEvent(event)  # type: ignore[misc]

    def logTickStrings(self, values: list[float], scale: float, spacing: float) -> list[str]:
        """Write the figures of a logarithmic axis: 1, 2 and 5 of each decade; those between would cover each other."""
        strings: list[str] = super().logTickStrings(values, scale, spacing)  # type: ignore[misc]
        leading = [round(10 ** (value % 1), 6) for value in values]
        return [text if first in (1, 2, 5, 10) else "" for text, first in zip(strings, leading, strict=True)]

    def paint(self, painter: QPainter, option: QStyleOptionGraphicsItem, widget: QWidget | None = None) -> None:
        """Paint the axis. A file has other metrics than the screen, so its specifications are made for it."""
        on_screen = painter.paintEngine().type() == QPaintEngine.Type.Raster
        axis: Any = self
        if self.picture is None or not on_screen:
            self._specs = axis.generateDrawSpecs(painter)
            self.picture = True if on_screen else None
        if self._specs is not None:
            axis.drawPicture(painter, *self._specs)


class Axis(Direct, pyqtgraph.AxisItem):  # type: ignore[misc]
    """An axis of numbers."""


class ClockAxis(Direct, pyqtgraph.DateAxisItem):  # type: ignore[misc]
    """An axis of seconds since 1970, written as time of day."""


def _new(tick: float, seen: set[float]) -> bool:
    """Tell whether a tick is none of those that were seen, and count it among them."""
    place = round(float(tick), 6)
    return place not in seen and not seen.add(place)  # type: ignore[func-returns-value]
