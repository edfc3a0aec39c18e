"""The table of knobs: one row each, sorted by any column, of which some are chosen; it shows numbers and tells the choice."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from PySide6.QtCore import (
    QAbstractTableModel,
    QItemSelection,
    QItemSelectionModel,
    QModelIndex,
    QObject,
    QPersistentModelIndex,
    QSortFilterProxyModel,
    Qt,
    Signal,
)
from PySide6.QtGui import QColor
from PySide6.QtWidgets import QAbstractItemView, QHeaderView, QLineEdit, QTableView, QWidget

from aeqlab.app.window.connect.pieces import Words, button, column, row
from aeqlab.app.window.models.tune_knobs import COLUMNS, Knobs, in_few_words
from aeqlab.app.window.theme import GRID, theme

Index = QModelIndex | QPersistentModelIndex
Role = Qt.ItemDataRole
SORTED = Role.UserRole
NAME, STATE = 0, 3  # between them stand the first two numbers
LEAST = 8 * GRID  #: px of a column
NUMBERS = {1: 0, 2: 1} | {k + 2: k for k in range(2, len(COLUMNS))}  #: columns that are numbers, and which
WIDTH = len(COLUMNS) + 2
DIGITS = {"error": 2, "settle": 3, "factor": 3, "room": 3, "phase": 3}
SETTLE, ERROR = 1, 2


class KnobModel(QAbstractTableModel):
    """Rows of knobs for Qt; only columns that look different are drawn again."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.knobs = Knobs()
        self._texts: dict[int, list[str]] = {}
        theme().changed.connect(self._look)

    def _look(self) -> None:
        self._redrawn(range(WIDTH))

    def take(self, knobs: Knobs) -> None:
        """Show other numbers."""
        texts = _texts(knobs)
        if knobs.names != self.knobs.names:
            self.beginResetModel()
            self.knobs, self._texts = knobs, texts
            self.endResetModel()
            return
        changed = [k for k in texts if texts[k] != self._texts.get(k)]
        if knobs.old != self.knobs.old:
            changed += [ERROR, STATE]
        self.knobs, self._texts = knobs, texts
        self._redrawn(changed)

    def _redrawn(self, columns: Iterable[int]) -> None:
        if self.knobs.names:
            for k in columns:
                self.dataChanged.emit(self.createIndex(0, k), self.createIndex(len(self.knobs.names) - 1, k))

    def rowCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008, D102
        return 0 if parent.isValid() else len(self.knobs.names)

    def columnCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008, D102
        return 0 if parent.isValid() else WIDTH

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = Role.DisplayRole) -> Any:
        """Give titles, and what they mean."""
        if orientation == Qt.Orientation.Vertical:
            return None
        number = NUMBERS.get(section)
        if role == Role.DisplayRole:
            return "Knob" if section == NAME else "State" if number is None else COLUMNS[number][1]
        if role == Role.ToolTipRole:
            if number is not None:
                return COLUMNS[number][2]
            return "Control knob; choose some to tune them" if section == NAME else "What the session says of it"
        return None

    def data(self, index: Index, role: int = Role.DisplayRole) -> Any:
        """Give a cell."""
        k, section = index.row(), index.column()
        if role == Role.DisplayRole:
            return self._texts[section][k]
        if role == SORTED:
            number = NUMBERS.get(section)
            if number is None or self.knobs.rows is None:
                return k if section == NAME else self._texts[section][k]
            value = float(self.knobs.rows[COLUMNS[number][0]][k])
            return float("inf") if np.isnan(value) else abs(value) if section == ERROR else value
        if role == Role.ForegroundRole and section in (ERROR, STATE):
            if self.knobs.old:
                return QColor(theme().now.dim)
            return QColor(theme().now.warning) if self._texts[STATE][k] not in ("held", "") else None
        if role == Role.FontRole:
            return theme().font(tabular=True)
        if role == Role.TextAlignmentRole:
            side = Qt.AlignmentFlag.AlignRight if section in NUMBERS else Qt.AlignmentFlag.AlignLeft
            return side | Qt.AlignmentFlag.AlignVCenter
        return None


def _texts(knobs: Knobs) -> dict[int, list[str]]:
    """Write every cell, column by column."""
    found = {NAME: list(knobs.names), STATE: [*knobs.states] or [""] * len(knobs.names)}
    for section, number in NUMBERS.items():
        name = COLUMNS[number][0]
        values = [float("nan")] * len(knobs.names) if knobs.rows is None else np.asarray(knobs.rows[name], dtype=float).tolist()
        digits = DIGITS.get(name, 4)
        found[section] = ["" if v != v else "∞" if v == float("inf") else f"{v:.{digits}g}" for v in values]
    return found


class KnobTable(QWidget):
    """The knobs of a session. `chosen_changed` brings the indices of those that are chosen; none: all are meant."""

    chosen_changed = Signal(object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.model = KnobModel(self)
        self._shown = QSortFilterProxyModel(self)
        self._shown.setSourceModel(self.model)
        self._shown.setSortRole(SORTED)
        self._shown.setDynamicSortFilter(False)  # rows do not run away under the pointer while errors change
        self._shown.setFilterCaseSensitivity(Qt.CaseSensitivity.CaseInsensitive)
        self._shown.setFilterKeyColumn(NAME)
        self.view = QTableView()
        self.view.setModel(self._shown)
        self.view.setSortingEnabled(True)
        self.view.sortByColumn(NAME, Qt.SortOrder.AscendingOrder)
        self.view.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.view.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        self.view.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.view.setAccessibleName("knobs: how well they are held, and their gains")
        self.view.setToolTip("Choose knobs with Shift and Ctrl; click a title to sort. Nothing chosen: all knobs are meant.")
        self.view.verticalHeader().hide()
        self.view.verticalHeader().setDefaultSectionSize(3 * GRID)
        self.view.horizontalHeader().setSectionResizeMode(QHeaderView.ResizeMode.Interactive)
        self.filter = QLineEdit()
        self.filter.setPlaceholderText("show only knobs whose names have this")
        self.filter.setAccessibleName("filter of knobs by name")
        self.filter.textChanged.connect(self._shown.setFilterFixedString)
        self.worst_button = button("Choose the worst ten", self.choose_worst, "Those that settle last, or not at all", "Alt+W")
        self.none_button = button("Choose none", lambda: self.choose(()), "Then all knobs are meant", "Alt+N")
        self.words = Words(kind="dim")
        self.words.setWordWrap(False)
        whole = column(
            row(self.filter, self.worst_button, self.none_button, stretch=0), self.view, self.words, stretch=1
        )  # fmt: skip
        layout = whole.layout()
        assert layout is not None
        self.setLayout(layout)
        self._chosen: list[int] = []
        self._sized = False
        self.view.selectionModel().selectionChanged.connect(lambda *_: self._see_choice())
        self._say()

    def value(self) -> list[int]:
        """Get the indices of the chosen knobs, rising; none: all are meant."""
        return list(self._chosen)

    def take(self, knobs: Knobs) -> None:
        """Show other numbers; sorted anew where a column of theirs is sorted by that stands still."""
        before = self.model.knobs
        self.model.take(knobs)
        if knobs.names != before.names:
            self._see_choice()
        elif not _alike(before, knobs, "settle"):
            self._shown.sort(self._shown.sortColumn(), self._shown.sortOrder())
        if knobs.names and not self._sized:
            self._sized = True
            self.view.resizeColumnsToContents()
            for column in range(self._shown.columnCount()):  # numbers that are not known yet will need room
                self.view.setColumnWidth(column, max(self.view.columnWidth(column), LEAST))

    def choose(self, knobs: Iterable[int]) -> None:
        """Choose these knobs, and no others."""
        chosen = QItemSelection()
        for k in knobs:
            at = self._shown.mapFromSource(self.model.index(int(k), NAME))
            if at.isValid():
                chosen.select(at, at)
        flags = QItemSelectionModel.SelectionFlag.ClearAndSelect | QItemSelectionModel.SelectionFlag.Rows
        self.view.selectionModel().select(chosen, flags)

    def choose_worst(self, count: int = 10) -> None:
        """Choose the knobs that settle last, those that do not settle first of all; by their errors where no trace is there."""
        rows = self.model.knobs.rows
        if rows is None:
            return
        settle = rows["settle"]
        size = np.abs(np.nan_to_num(rows["error"])) if np.isnan(settle).all() else np.where(np.isnan(settle), np.inf, settle)
        self.choose(np.argsort(-size, kind="stable")[:count].tolist())

    def _see_choice(self) -> None:
        found = sorted({self._shown.mapToSource(at).row() for at in self.view.selectionModel().selectedRows()})
        if found != self._chosen:
            self._chosen = found
            self.chosen_changed.emit(found)
        self._say()

    def _say(self) -> None:
        names = self.model.knobs.names
        self.words.say(f"Tuned is: {in_few_words(names, self._chosen)}." if names else "No knobs yet.", "dim")


def _alike(one: Knobs, other: Knobs, name: str) -> bool:
    if one.rows is None or other.rows is None:
        return one.rows is other.rows
    return bool(np.array_equal(one.rows[name], other.rows[name], equal_nan=True))
