"""The table of a connected rig: setpoint and readback side by side, moves by hand, a large jump asked about in its own line.

It takes snapshots and sends wishes. Limits are those that the session said; whether a move is allowed is the session's to say.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from PySide6.QtCore import QEvent, QModelIndex, QPersistentModelIndex, QSortFilterProxyModel, Qt, Signal
from PySide6.QtGui import QKeyEvent, QPainter
from PySide6.QtWidgets import (
    QAbstractItemView,
    QHeaderView,
    QLineEdit,
    QStyle,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QTableView,
    QWidget,
)

from aeqlab.app.window.connect.pieces import Words, button, column, row
from aeqlab.app.window.connect.rig_model import NAME, RigModel, number
from aeqlab.app.window.models.rig_rows import RigRow, large_jump
from aeqlab.app.window.theme import GRID

Index = QModelIndex | QPersistentModelIndex


class _Painter(QStyledItemDelegate):
    """Draws a cell from what the model gives at once: asking it role by role takes ten times as long, and shows at 10 Hz."""

    def __init__(self, view: QTableView, model: RigModel, shown: QSortFilterProxyModel) -> None:
        super().__init__(view)
        self._model, self._shown = model, shown

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: Index) -> None:
        """Draw a cell."""
        source = self._shown.mapToSource(index)
        text, colour, font, side = self._model.look(source.row(), source.column())
        palette = option.palette
        if option.state & QStyle.StateFlag.State_Selected:
            painter.fillRect(option.rect, palette.highlight())
            colour = palette.highlightedText().color()
        if text:
            painter.setFont(font)
            painter.setPen(palette.text().color() if colour is None else colour)
            painter.drawText(option.rect.adjusted(GRID // 2, 0, -GRID // 2, 0), side, text)
        if option.state & QStyle.StateFlag.State_HasFocus:
            painter.setPen(palette.highlight().color())
            painter.drawRect(option.rect.adjusted(0, 0, -1, -1))


class _View(QTableView):
    """Draws again only where something changed; Qt itself would draw all that is in view."""

    def dataChanged(self, first: Index, last: Index, roles: Sequence[int] = ()) -> None:
        """Draw some cells again. An editor that is open keeps what is being typed."""
        self.viewport().update(self.visualRect(first) | self.visualRect(last))


class RigTable(QWidget):
    """The knobs and readouts of a session."""

    move_wanted = Signal(str, float)  #: the name of a knob, and its new value in the unit of its row
    row_chosen = Signal(str)  #: the name of the row that was chosen

    def __init__(self) -> None:
        super().__init__()
        self.model = RigModel(self)
        self.model.value_typed.connect(self._typed)
        self._asked: tuple[str, float] | None = None
        self._shown = QSortFilterProxyModel(self)
        self._shown.setSourceModel(self.model)
        self._shown.setDynamicSortFilter(False)  # names do not change while values do
        self._shown.setFilterCaseSensitivity(Qt.CaseSensitivity.CaseInsensitive)
        self._shown.setFilterKeyColumn(NAME)
        self.view = _View()
        self.view.setModel(self._shown)
        self.view.setItemDelegate(_Painter(self.view, self.model, self._shown))
        self.view.setAccessibleName("knobs and readouts of the rig")
        self.view.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        trigger = QAbstractItemView.EditTrigger
        self.view.setEditTriggers(trigger.DoubleClicked | trigger.EditKeyPressed | trigger.AnyKeyPressed)
        self.view.verticalHeader().hide()
        self.view.verticalHeader().setDefaultSectionSize(3 * GRID)
        self.view.verticalHeader().setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
        self.view.horizontalHeader().setHighlightSections(False)
        for section, width in enumerate((11, 10, 13, 13, 5, 8, 8, 10, 7)):
            self.view.setColumnWidth(section, width * GRID)
        self.view.horizontalHeader().setStretchLastSection(True)
        self.view.selectionModel().currentRowChanged.connect(lambda *_: self.row_chosen.emit(self.chosen()))
        self.filter = QLineEdit()
        self.filter.setPlaceholderText("only names with ...")
        self.filter.setAccessibleName("show only names with")
        self.filter.setClearButtonEnabled(True)
        self.filter.textChanged.connect(self._shown.setFilterFixedString)
        self.question = Words(kind="warning")
        self.move_button = button("Move", self._move, "Moves it, within its slew", "Alt+M")
        self.keep_button = button("Leave it", self.dismiss, "Leaves it where it is; Esc does too", "Alt+E")
        self._strip = row(self.question, self.move_button, self.keep_button, stretch=0)
        self._strip.hide()
        self.words = Words()
        self.words.hide()
        page = column(row(self.filter, None), self.view, self._strip, self.words, stretch=1)
        self.setLayout(page.layout())  # type: ignore[arg-type]

    # what comes in
    def take(self, rows: Sequence[RigRow]) -> int:
        """Show a snapshot; returns how many cells were drawn again."""
        return self.model.take(rows)

    def set_read_only(self, why: str) -> None:
        """Say why nothing can be moved by hand now; empty where it can."""
        self.model.read_only = why
        if why:
            self.dismiss()

    def say(self, text: str, *, wrong: bool = True) -> None:
        """Show a sentence, such as a refusal of the session; empty takes it away."""
        self.words.say(f"✕ {text}" if wrong and text else text, "wrong" if wrong else "plain")
        self.words.setVisible(bool(text))

    def chosen(self) -> str:
        """Get the name of the chosen row; empty where none is."""
        index = self.view.currentIndex()
        return str(self._shown.index(index.row(), NAME).data()) if index.isValid() else ""

    def event(self, event: QEvent) -> bool:
        """Take Esc first while a large jump waits for an answer: it means that, not all panels."""
        if isinstance(event, QKeyEvent) and event.key() == Qt.Key.Key_Escape and self.asking:
            if event.type() == QEvent.Type.ShortcutOverride:
                event.accept()
                return True
            if event.type() == QEvent.Type.KeyPress:
                self.dismiss()
                self.view.setFocus()
                return True
        return super().event(event)

    # moving
    def _typed(self, at: int, text: str) -> None:
        self.dismiss()
        self.say("")
        one = self.model.rows[at]
        try:
            value = float(text.strip().removesuffix(one.unit).strip().replace("−", "-"))
        except ValueError:
            self.say(f"{text!r} is no number. Type a value in {one.unit}, such as {number(one.readback) or '0'}.")
            return
        if not math.isfinite(value):
            self.say(f"{text} is no place to move to. Type a value in {one.unit}.")
            return
        if not one.low <= value <= one.high:
            self.say(f"{one.name}: {value:g} {one.unit} is outside its limits {one.low:g} to {one.high:g} {one.unit}.")
            return
        if large_jump(one, value):
            self._asked = (one.name, value)
            start = number(one.setpoint) or number(one.readback)
            origin = f"from {start} {one.unit}" if start else "from where nobody knows"
            self.question.say(f"Move {one.name} {origin} to {value:g} {one.unit}?", "warning")
            self._strip.show()
            self.keep_button.setFocus()
            return
        self.move_wanted.emit(one.name, value)

    def _move(self) -> None:
        if self._asked is not None:
            asked = self._asked
            self.dismiss()
            self.move_wanted.emit(*asked)

    def dismiss(self) -> None:
        """Take the question away; nothing moves."""
        self._asked = None
        self._strip.hide()

    @property
    def asking(self) -> bool:
        """Whether a large jump waits for an answer."""
        return self._asked is not None
