"""The names of the curves, each a switch that shows or hides its curve; in rows that wrap."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from PySide6.QtCore import QPoint, QRect, QSize, Qt, Signal
from PySide6.QtGui import QColor, QIcon, QPainter, QPen, QPixmap
from PySide6.QtWidgets import QCheckBox, QLayout, QLayoutItem, QMenu, QPushButton, QWidget

from aeqlab.app.window.plots.traces import Shape, View, symbols
from aeqlab.app.window.theme import GRID, SMALL, theme

SHOWN = 12  #: names shown; of more curves the rest stands in a menu
SWATCH = QSize(22, 12)
SHARP = 2  #: so that it stays crisp in a saved picture


@dataclass(frozen=True, slots=True)
class Name:
    """One entry: the name of a curve and how it is drawn."""

    text: str
    colour: str
    on: bool = True
    dashed: bool = False
    shape: Shape | None = None
    filled: bool = True


class Legend(QWidget):
    """The switches. `switched` tells which name was switched, and whether it is on now."""

    switched = Signal(str, bool)

    def __init__(self, parent: QWidget | None = None, *, shown: int = SHOWN) -> None:
        super().__init__(parent)
        self._shown = shown
        self._flow = Flow(self, GRID)
        self._names: Sequence[Name] = ()
        self._boxes: dict[str, QCheckBox] = {}
        self._more: QPushButton | None = None
        theme().changed.connect(self._follow_theme)

    def _follow_theme(self) -> None:
        self._build(self._names)

    def show_names(self, names: Sequence[Name]) -> None:
        """Show these entries; nothing is built anew while they stay the same."""
        names = tuple(names)
        if names == self._names:
            return
        if [_look(one) for one in names] == [_look(one) for one in self._names]:
            self._names = names
            for one in names[: self._shown]:
                self._boxes[one.text].blockSignals(True)
                self._boxes[one.text].setChecked(one.on)
                self._boxes[one.text].blockSignals(False)
            return
        self._build(names)

    def box(self, name: str) -> QCheckBox:
        """Get the switch of a curve."""
        return self._boxes[name]

    def _build(self, names: Sequence[Name]) -> None:
        self._names = names
        for box in (*self._boxes.values(), self._more):
            if box is not None:
                self._flow.removeWidget(box)
                box.hide()
                box.deleteLater()
        self._boxes, self._more = {}, None
        for one in names[: self._shown]:
            box = QCheckBox(one.text.replace("&", "&&"), self)
            box.setIcon(_swatch(one))
            box.setIconSize(SWATCH)
            box.setFont(theme().font(SMALL))
            box.setChecked(one.on)
            box.setToolTip(f"Show or hide {one.text} (Space)")
            box.toggled.connect(lambda on, text=one.text: self.switched.emit(text, on))
            self._flow.addWidget(box)
            box.show()
            self._boxes[one.text] = box
        if len(names) > self._shown:
            self._more = QPushButton(f"and {len(names) - self._shown} more...", self)
            self._more.setFont(theme().font(SMALL))
            self._more.setFlat(True)
            self._more.clicked.connect(self._open_rest)
            self._flow.addWidget(self._more)
            self._more.show()
        self.updateGeometry()

    def _open_rest(self) -> None:
        menu = QMenu(self)
        menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        for one in self._names[self._shown :]:
            action = menu.addAction(_swatch(one), one.text.replace("&", "&&"))
            action.setCheckable(True)
            action.setChecked(one.on)
            action.toggled.connect(lambda on, text=one.text: self.switched.emit(text, on))
        assert self._more is not None
        menu.popup(self._more.mapToGlobal(QPoint(0, self._more.height())))


def _look(one: Name) -> tuple[object, ...]:
    return one.text, one.colour, one.dashed, one.shape, one.filled


def _swatch(one: Name) -> QIcon:
    """Draw the line or the symbol of a curve."""
    picture = QPixmap(SWATCH * SHARP)
    picture.setDevicePixelRatio(SHARP)
    picture.fill(Qt.GlobalColor.transparent)
    painter = QPainter(picture)
    middle = SWATCH.height() / 2
    if one.shape is not None:
        painter.setPen(QPen(QColor(one.colour), 1))
        if one.filled and one.shape != "cross":
            painter.setBrush(QColor(one.colour))
        view = View(0, 1, 0, 1)
        painter.drawPath(symbols(view.x_pixels(0.5, SWATCH.width())[None], view.y_pixels(0.5, 2 * middle)[None], one.shape, 8.0))
    else:
        pen = QPen(QColor(one.colour), 2)
        if one.dashed:
            pen.setDashPattern([3.0, 1.5])
        painter.setPen(pen)
        painter.drawLine(0, round(middle), SWATCH.width(), round(middle))
    painter.end()
    return QIcon(picture)


class Flow(QLayout):
    """A layout that sets widgets side by side and begins a new row where they end."""

    def __init__(self, parent: QWidget, gap: int) -> None:
        super().__init__(parent)
        self._items: list[QLayoutItem] = []
        self._gap = gap
        self.setContentsMargins(0, 0, 0, 0)

    def addItem(self, item: QLayoutItem) -> None:  # noqa: D102
        self._items.append(item)

    def count(self) -> int:  # noqa: D102
        return len(self._items)

    def itemAt(self, index: int) -> QLayoutItem:  # noqa: D102
        return self._items[index] if 0 <= index < len(self._items) else None  # type: ignore[return-value]

    def takeAt(self, index: int) -> QLayoutItem:  # noqa: D102
        return self._items.pop(index) if 0 <= index < len(self._items) else None  # type: ignore[return-value]

    def expandingDirections(self) -> Qt.Orientation:  # noqa: D102
        return Qt.Orientation(0)

    def hasHeightForWidth(self) -> bool:  # noqa: D102
        return True

    def heightForWidth(self, width: int) -> int:  # noqa: D102
        return self._place(QRect(0, 0, width, 0), really=False)

    def setGeometry(self, rect: QRect) -> None:  # noqa: D102
        super().setGeometry(rect)
        self._place(rect, really=True)

    def sizeHint(self) -> QSize:  # noqa: D102
        return self.minimumSize()

    def minimumSize(self) -> QSize:  # noqa: D102
        size = QSize()
        for item in self._items:
            size = size.expandedTo(item.minimumSize())
        return size

    def _place(self, rect: QRect, *, really: bool) -> int:
        x, y, tall = rect.x(), rect.y(), 0
        for item in self._items:
            size = item.sizeHint()
            if x + size.width() > rect.right() + 1 and x > rect.x():
                x, y, tall = rect.x(), y + tall + self._gap // 4, 0
            if really:
                item.setGeometry(QRect(QPoint(x, y), size))
            x, tall = x + size.width() + self._gap, max(tall, size.height())
        return y + tall - rect.y()
