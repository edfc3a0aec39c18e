"""A small table of entries of a rig file, such as interlocks or sums: one line each, keys as columns, edited in place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from PySide6.QtCore import QModelIndex, QPersistentModelIndex, Qt, Signal
from PySide6.QtGui import QColor, QPainter, QPaintEvent
from PySide6.QtWidgets import (
    QAbstractItemView,
    QComboBox,
    QHeaderView,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QTableWidget,
    QTableWidgetItem,
    QWidget,
)

from aeqlab.app.window.models.key_fields import CHOICE, KeyField
from aeqlab.app.window.theme import GRID, theme

_WRONG = int(Qt.ItemDataRole.UserRole) + 1  #: whether something is wrong with a cell


class _Delegate(QStyledItemDelegate):
    """Offers the words of a column that has some."""

    def __init__(self, table: EntryTable) -> None:
        super().__init__(table)
        self._table = table

    def createEditor(self, parent: QWidget, option: QStyleOptionViewItem, index: QModelIndex | QPersistentModelIndex) -> QWidget:
        words = self._table.words(index.column())
        if not words:
            return super().createEditor(parent, option, index)
        box = QComboBox(parent)
        box.setEditable(True)
        box.addItems(words)
        box.activated.connect(lambda _: self._done(box))
        return box

    def _done(self, box: QComboBox) -> None:
        self.commitData.emit(box)
        self.closeEditor.emit(box)

    def setEditorData(self, editor: QWidget, index: QModelIndex | QPersistentModelIndex) -> None:
        if editor.property("filled"):  # what is being typed stays, whatever is told of the cell meanwhile
            return
        editor.setProperty("filled", True)
        if isinstance(editor, QComboBox):
            editor.setEditText(str(index.data(Qt.ItemDataRole.EditRole) or ""))
        else:
            super().setEditorData(editor, index)


class EntryTable(QTableWidget):
    """Entries as lines.

    Args:
        fields: the columns.
        name: what a screen reader calls it.
        titles: of columns, where they are not their keys.
        words: more words to pick from, by key.
        fixed: keys that cannot be edited.
    """

    edited = Signal(int, str, object)  #: which line, which key, its new value; None: left out

    def __init__(
        self, fields: Sequence[KeyField], name: str, titles: Mapping[str, str] | None = None,
        words: Mapping[str, Sequence[str]] | None = None, fixed: Sequence[str] = (),
    ) -> None:  # fmt: skip
        super().__init__(0, len(fields))
        self.fields, self._more, self._fixed = tuple(fields), dict(words or {}), frozenset(fixed)
        self._filling = False
        self.setAccessibleName(name)
        self.setHorizontalHeaderLabels([(titles or {}).get(one.key, one.key) for one in fields])
        for column, one in enumerate(fields):
            item = self.horizontalHeaderItem(column)
            if item is not None:
                item.setToolTip(one.about)
        self.setItemDelegate(_Delegate(self))
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        trigger = QAbstractItemView.EditTrigger
        self.setEditTriggers(trigger.DoubleClicked | trigger.EditKeyPressed | trigger.AnyKeyPressed)
        self.verticalHeader().hide()
        self.verticalHeader().setDefaultSectionSize(3 * GRID + 4)
        self.horizontalHeader().setHighlightSections(False)
        self.horizontalHeader().setSectionResizeMode(QHeaderView.ResizeMode.Stretch)
        self.horizontalHeader().setDefaultAlignment(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter)
        self.itemChanged.connect(self._changed)
        theme().changed.connect(self._dress)

    def words(self, column: int) -> list[str]:
        """List what can be picked in a column."""
        one = self.fields[column]
        return [*self._more.get(one.key, ()), *([word for word, _ in one.words] if one.kind == CHOICE else [])]

    def set_words(self, key: str, words: Sequence[str]) -> None:
        """Offer other words for a key."""
        self._more[key] = list(words)

    def show_entries(self, entries: Sequence[Any], problems: Mapping[tuple[int, str], str]) -> None:
        """Show entries, and what is wrong with them by line and key (an empty key: the whole line)."""
        self._filling = True
        self.setRowCount(len(entries))
        for k, entry in enumerate(entries):
            for column, one in enumerate(self.fields):
                value = entry.get(one.key) if isinstance(entry, Mapping) else (entry if column == 0 else None)
                self._show(k, column, one, value, problems.get((k, one.key)) or (problems.get((k, "")) if column == 0 else None))
        self._filling = False

    def _show(self, row: int, column: int, one: KeyField, value: Any, wrong: str | None) -> None:
        item = self.item(row, column)
        if item is None:
            item = QTableWidgetItem()
            self.setItem(row, column, item)
            if one.key in self._fixed:
                item.setFlags(item.flags() & ~Qt.ItemFlag.ItemIsEditable)
        text = one.shown(value)
        if item.data(Qt.ItemDataRole.EditRole) != text:
            item.setData(Qt.ItemDataRole.EditRole, text)
        item.setToolTip(f"{wrong}\n{one.about}" if wrong else one.about)
        item.setData(_WRONG, wrong is not None)
        item.setForeground(QColor(theme().now.fault if wrong else theme().now.text))
        item.setFont(theme().font(bold=wrong is not None, tabular=True))

    def _dress(self) -> None:
        """Take the colours in use."""
        self._filling = True
        for item in (self.item(row, column) for row in range(self.rowCount()) for column in range(self.columnCount())):
            if item is not None:
                item.setForeground(QColor(theme().now.fault if item.data(_WRONG) else theme().now.text))
        self._filling = False

    def paintEvent(self, event: QPaintEvent) -> None:
        """Say in an empty table that nothing is in it."""
        super().paintEvent(event)
        if not self.rowCount():
            painter = QPainter(self.viewport())
            painter.setPen(QColor(theme().now.dim))
            painter.drawText(self.viewport().rect(), Qt.AlignmentFlag.AlignCenter, "none")
            painter.end()

    def tip(self, row: int, key: str, text: str) -> None:
        """Give a cell a tooltip of its own."""
        item = self.item(row, next(k for k, one in enumerate(self.fields) if one.key == key))
        if item is not None:
            self._filling = True
            item.setToolTip(text)
            self._filling = False

    def _changed(self, item: QTableWidgetItem) -> None:
        if not self._filling:
            one = self.fields[item.column()]
            self.edited.emit(item.row(), one.key, one.value(item.text()))

    def focus(self, row: int, key: str) -> None:
        """Choose a cell."""
        column = next((k for k, one in enumerate(self.fields) if one.key == key), 0)
        self.setFocus()
        self.setCurrentCell(row, column)
