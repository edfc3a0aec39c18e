"""The device drawn: one cell, dot or edge for each knob, coloured by its error, control, step or saturation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PySide6.QtCore import QEvent, QLineF, QPointF, QRectF, Qt, Signal
from PySide6.QtGui import QColor, QHelpEvent, QKeyEvent, QMouseEvent, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QComboBox, QHBoxLayout, QLabel, QToolTip, QWidget

from aeqlab.app.window.plots import places
from aeqlab.app.window.plots.colour_scale import ColourBar, ColourScale, hatch
from aeqlab.app.window.plots.export import Column
from aeqlab.app.window.plots.figures import written
from aeqlab.app.window.plots.sheet import Sheet
from aeqlab.app.window.plots.thinning import Array
from aeqlab.app.window.theme import GRID, SMALL, ink_on, theme

ARROWS = {Qt.Key.Key_Left: (-1, 0), Qt.Key.Key_Right: (1, 0), Qt.Key.Key_Up: (0, -1), Qt.Key.Key_Down: (0, 1)}


@dataclass(frozen=True, slots=True)
class Quantity:
    """What colours show: a value for each knob, its unit, and how its scale goes."""

    values: Array
    unit: str
    two_sided: bool | None
    scale: ColourScale | None


class DeviceDrawing(Sheet):
    """Set places and values; `chosen` is sent with the number of a knob that was clicked, or chosen by Enter."""

    chosen = Signal(int)

    def __init__(self, title: str = "Device", parent: QWidget | None = None) -> None:
        super().__init__(title, parent)
        self._places: places.Places | None = None
        self._names: list[str] = []
        self._quantities: dict[str, Quantity] = {}
        self._saturated = np.zeros(0, dtype=bool)
        self.current = -1  #: the knob that keys have reached
        self._which = QComboBox(self)
        self._which.hide()
        self._which.setAccessibleName("quantity shown as colour")
        self._which.setToolTip("What the colours show (Q: the next)")
        self._which.currentTextChanged.connect(lambda _: self.data_changed())
        self._head.addWidget(self._which)
        self._words = QLabel(self)
        self._head.addWidget(self._words, 1)
        row = QHBoxLayout()
        row.setContentsMargins(GRID, GRID // 2, GRID // 2, GRID)
        self._canvas, self.bar = Canvas(self), ColourBar(self)
        row.addWidget(self._canvas, 1)
        row.addWidget(self.bar)
        self._column.addLayout(row, 1)
        self.set_awaited("the first readout")

    # ---- what is drawn --------------------------------------------------------------------------------------------------

    def set_grid(self, count: int) -> None:
        """Draw knobs in a grid, row by row."""
        self._place(places.grid(count))

    def set_layers(self, sizes: Sequence[int]) -> None:
        """Draw knobs layer by layer; the sizes are how many each layer has."""
        self._place(places.layers(sizes))

    def set_positions(self, at: ArrayLike, edges: ArrayLike | None = None) -> None:
        """Draw knobs at places, shape (knobs, 2); with `edges` the places are nodes and each knob joins two of them."""
        self._place(places.positions(at, edges))

    def _place(self, found: places.Places) -> None:
        self._places, self.current = found, -1
        self.data_changed()

    def set_names(self, names: Sequence[str]) -> None:
        """Name the knobs."""
        self._names = list(names)

    def set_values(
        self, quantity: str, values: ArrayLike, unit: str, *, two_sided: bool | None = None, scale: ColourScale | None = None
    ) -> None:
        """Give a quantity, such as "error" in tol, "control", "step" or "saturation".

        Args:
            quantity: its word; the first one given is shown until another is chosen.
            values: shape (knobs,); nan is not known and is hatched.
            unit: of it.
            two_sided: around zero; left out: where there are both signs.
            scale: a fixed one; left out: it follows the values.
        """
        self._quantities[quantity] = Quantity(np.asarray(values, dtype=float).reshape(-1), unit, two_sided, scale)
        if self._which.findText(quantity) < 0:
            self._which.addItem(quantity)
            self._which.setVisible(self._which.count() > 1)
        self.data_changed()

    def clear(self) -> None:
        """Forget all values; the places stay, and which quantity was chosen."""
        self._quantities.clear()
        self._saturated = np.zeros(0, dtype=bool)
        self.data_changed()

    def set_saturated(self, saturated: ArrayLike) -> None:
        """Tell which knobs stand at a limit, shape (knobs,): they bear a cross as well."""
        self._saturated = np.asarray(saturated, dtype=bool).reshape(-1)
        self.data_changed()

    @property
    def quantity(self) -> str:
        """Get the word of what is shown."""
        return self._which.currentText()

    def show_quantity(self, quantity: str) -> None:
        """Show another quantity, one that was given."""
        self._which.setCurrentText(quantity)

    @property
    def canvas(self) -> Canvas:
        """Get the area in which it is painted."""
        return self._canvas

    def told_of(self, knob: int) -> str:
        """Say name and values of a knob."""
        name = self._names[knob] if knob < len(self._names) else f"knob {knob}"
        parts = [
            f"{word} {written(float(one.values[knob]), one.unit)}"
            for word, one in self._quantities.items()
            if knob < len(one.values)
        ]
        return f"{name}: {', '.join(parts)}" + (", at its limit" if self._is_saturated(knob) else "")

    def _is_saturated(self, knob: int) -> bool:
        return knob < len(self._saturated) and bool(self._saturated[knob])

    # ---- drawing --------------------------------------------------------------------------------------------------------

    def _draw(self) -> None:
        shown = self._quantities.get(self.quantity)
        if shown is not None:
            least = 1.0 if shown.unit == "tol" else 0.0  # within tolerance is no colour to be alarmed by
            scale = shown.scale or ColourScale.of(shown.values, two_sided=shown.two_sided, least=least)
            self.bar.show_scale(scale, self.quantity, shown.unit)
            if self._places is None:
                self.set_grid(len(shown.values))
            colours = scale.colours(shown.values)
        else:
            colours = np.zeros(0, dtype=np.uint32)
        self.bar.setVisible(shown is not None)
        count = int(self._saturated.sum())
        self._words.setFont(theme().font(SMALL))
        self._words.setText(f"✕ {count} at a limit" if count else "")
        self._canvas.show_cells(self._places, colours, self._saturated, self._awaited if shown is None else "")

    def columns(self) -> list[Column]:
        """Get name, place and all quantities of every knob."""
        if self._places is None or not self._quantities:
            return []
        count = len(self._places.at)
        names = [self._names[k] if k < len(self._names) else f"knob {k}" for k in range(count)]
        found = [Column("knob", "", np.array(names))]
        found += [Column(axis, "", self._places.at[:, k]) for k, axis in enumerate(("x", "y down"))]
        return found + [Column(word, one.unit, one.values) for word, one in self._quantities.items()]

    # ---- keys -----------------------------------------------------------------------------------------------------------

    def keyPressEvent(self, event: QKeyEvent) -> None:  # noqa: D102
        if event.modifiers() or self._places is None or not len(self._places.at):
            return super().keyPressEvent(event)
        if event.key() in ARROWS:
            self._step(*ARROWS[Qt.Key(event.key())])
        elif event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter) and self.current >= 0:
            self.chosen.emit(self.current)
        elif event.key() == Qt.Key.Key_Q and self._which.count():
            self._which.setCurrentIndex((self._which.currentIndex() + 1) % self._which.count())
        else:
            super().keyPressEvent(event)
        return None

    def _step(self, right: int, down: int) -> None:
        """Go to the nearest knob in a direction."""
        assert self._places is not None
        at = self._places.at
        if self.current < 0:
            self.go_to(0)
            return
        away = at - at[self.current]
        along, across = away @ (right, down), np.abs(away @ (down, right))
        far = np.where(along > 1e-9, along + 3 * across, np.inf)
        if np.isfinite(far).any():
            self.go_to(int(np.argmin(far)))

    def go_to(self, knob: int) -> None:
        """Mark a knob and say what it is."""
        self.current = knob
        self.setAccessibleDescription(self.told_of(knob))
        self.told.emit(self.told_of(knob))
        self._canvas.update()


class Canvas(QWidget):
    """The area in which the device is painted."""

    def __init__(self, drawing: DeviceDrawing) -> None:
        super().__init__(drawing)
        self._drawing = drawing
        self._places: places.Places | None = None
        self._colours: NDArray[np.uint32] = np.zeros(0, dtype=np.uint32)
        self._saturated: NDArray[np.bool_] = np.zeros(0, dtype=bool)
        self._awaited = ""

    def show_cells(
        self, at: places.Places | None, colours: NDArray[np.uint32], saturated: NDArray[np.bool_], awaited: str
    ) -> None:  # fmt: skip
        """Show knobs at places, coloured."""
        self._places, self._colours, self._saturated, self._awaited = at, colours, saturated, awaited
        self.update()

    def _scaled(self, points: Array) -> Array:
        """Turn places into pixels; the same scale both ways, in the middle."""
        assert self._places is not None
        left, top, right, bottom = self._places.extent
        scale = self._scale()
        offset = ((self.width() - scale * (right - left)) / 2, (self.height() - scale * (bottom - top)) / 2)
        return np.asarray((points - (left, top)) * scale + offset)

    def _scale(self) -> float:
        assert self._places is not None
        left, top, right, bottom = self._places.extent
        return float(min(self.width() / max(right - left, 1e-12), self.height() / max(bottom - top, 1e-12)))

    def paintEvent(self, event: QPaintEvent) -> None:  # noqa: D102
        painter, now = QPainter(self), theme().now
        if self._awaited or self._places is None:
            painter.setPen(QColor(now.dim))
            painter.setFont(theme().font(SMALL))
            painter.drawText(
                self.rect(), Qt.AlignmentFlag.AlignCenter | Qt.TextFlag.TextWordWrap, f"nothing yet: {self._awaited}"
            )
            return
        self._paint_knobs(painter, self._places)

    def _paint_knobs(self, painter: QPainter, at: places.Places) -> None:
        now, side = theme().now, self._scale() * at.pitch
        count = min(len(at.at), len(self._colours))
        centres = self._scaled(at.at[:count])
        pens = [QColor.fromRgb(int(colour)) if colour else None for colour in self._colours[:count].tolist()]
        if at.ends is not None:
            ends = self._scaled(at.ends)
            for (one, other), colour in zip(ends[:count].tolist(), pens, strict=True):
                style = Qt.PenStyle.SolidLine if colour else Qt.PenStyle.DotLine
                painter.setPen(QPen(colour or QColor(now.dim), 4 if colour else 1, style, Qt.PenCapStyle.FlatCap))
                painter.drawLine(QLineF(*one, *other))
            painter.setPen(QPen(QColor(now.text), 1))
            painter.setBrush(QColor(now.sheet))
            radius = min(max(0.12 * side, 2.0), 6.0)
            for x, y in self._scaled(at.nodes if at.nodes is not None else at.at).tolist():
                painter.drawEllipse(QPointF(x, y), radius, radius)
            half = min(max(0.1 * side, 3.0), 6.0)
        else:
            half = side * (0.5 if at.square else 0.42)
            gap = 1.0 if side > 6 else 0.0
            painter.setPen(QPen(QColor(now.line), 1) if side > 6 else Qt.PenStyle.NoPen)
            for (x, y), colour in zip(centres.tolist(), pens, strict=True):
                box = QRectF(x - half, y - half, 2 * half - gap, 2 * half - gap)
                if colour is None:
                    hatch(painter, box)
                else:  # with its outline: the middle of the scale has the colour of the ground
                    painter.setBrush(colour)
                    (painter.drawRect if at.square else painter.drawEllipse)(box)
        for knob in np.flatnonzero(self._saturated[:count]).tolist():
            x, y = centres[knob]
            ink = now.text if at.ends is not None else ink_on((pens[knob] or QColor(now.sheet)).name())
            painter.setPen(QPen(QColor(ink), 2 if half > 6 else 1))
            arm = min(0.45 * half, GRID) if at.ends is None else half
            painter.drawLines([QLineF(x - arm, y - arm, x + arm, y + arm), QLineF(x - arm, y + arm, x + arm, y - arm)])
        if 0 <= self._drawing.current < count:
            x, y = centres[self._drawing.current]
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.setPen(QPen(QColor(now.text), 2))
            painter.drawRect(QRectF(x - half, y - half, 2 * half, 2 * half))

    def knob_at(self, place: QPointF) -> int:
        """Get the knob drawn at a place, or -1."""
        if self._places is None or not len(self._colours):
            return -1
        count = min(len(self._places.at), len(self._colours))
        here = np.array([place.x(), place.y()])
        reach = 0.75 * self._scale() * self._places.pitch
        if self._places.ends is None:
            far = np.abs(self._scaled(self._places.at[:count]) - here).max(axis=1)
        else:
            ends = self._scaled(self._places.ends[:count])
            along = ends[:, 1] - ends[:, 0]
            part = ((here - ends[:, 0]) * along).sum(axis=1) / np.maximum((along**2).sum(axis=1), 1e-12)
            nearest = ends[:, 0] + np.clip(part, 0, 1)[:, None] * along
            far, reach = np.hypot(*(nearest - here).T), min(reach, 10.0)
        knob = int(np.argmin(far)) if len(far) else -1
        return knob if knob >= 0 and far[knob] <= reach else -1

    def knobs_in(self, box: QRectF) -> list[int]:
        """Get the knobs whose middle lies in a box of pixels."""
        if self._places is None or not len(self._colours):
            return []
        x, y = self._scaled(self._places.at[: len(self._colours)]).T
        inside = (x >= box.left()) & (x <= box.right()) & (y >= box.top()) & (y <= box.bottom())
        return [int(k) for k in np.flatnonzero(inside)]

    def choose_at(self, place: QPointF) -> None:
        """Choose the knob drawn at a place, if there is one."""
        knob = self.knob_at(place)
        if knob >= 0:
            self._drawing.go_to(knob)
            self._drawing.chosen.emit(knob)

    def mousePressEvent(self, event: QMouseEvent) -> None:  # noqa: D102
        if event.button() == Qt.MouseButton.LeftButton:
            self.choose_at(event.position())
        super().mousePressEvent(event)

    def event(self, event: QEvent) -> bool:
        """Tell of the knob under the pointer."""
        if isinstance(event, QHelpEvent) and event.type() == QEvent.Type.ToolTip:
            knob = self.knob_at(QPointF(event.pos()))
            if knob >= 0:
                QToolTip.showText(event.globalPos(), self._drawing.told_of(knob), self)
                return True
            QToolTip.hideText()
        return super().event(event)
