"""The table of a connected rig for Qt: snapshots come in, and only the cells that look different are drawn again."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from PySide6.QtCore import QAbstractTableModel, QModelIndex, QObject, QPersistentModelIndex, Qt, Signal
from PySide6.QtGui import QColor, QFont

from aeqlab.app.window.models.rig_rows import RigRow
from aeqlab.app.window.theme import theme

Index = QModelIndex | QPersistentModelIndex
Role = Qt.ItemDataRole
NAME, ROLE, SETPOINT, READBACK, UNIT, LOW, HIGH, OWNER, AGE, STATE = range(10)
TITLES = ("Name", "Role", "Setpoint", "Readback", "Unit", "Low", "High", "Owner", "Age (s)", "State")
TIPS = (
    "", "", "What it was told. Type a value to move it by hand, within its limits and slew.",
    "What the instrument says, or what was read; grey where it is older than its period.", "",
    "Lowest value that a session may set.", "Highest value that a session may set.", "Who moves it.",
    "Age of the readback.", "On its way, at its limit, or old.",
)  # fmt: skip
_NUMBERS = frozenset({SETPOINT, READBACK, LOW, HIGH, AGE})
_RIGHT, _LEFT = (
    Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter,
    Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter,
)
_DRAWN = [Role.DisplayRole, Role.ForegroundRole]


def number(value: float, digits: int = 6) -> str:
    """Write a value; empty for one that is not known, and for a limit that is none."""
    return f"{value:.{digits}g}" if math.isfinite(value) else ""


@lru_cache(maxsize=4096)
def _decimals(low: float, high: float) -> int:
    """Get the decimals that show a millionth of a range; -1 where there is none."""
    span = high - low
    return min(max(5 - math.floor(math.log10(span)), 0), 12) if 0.0 < span < math.inf else -1


def within(value: float, low: float, high: float) -> str:
    """Write a value with the digits that its range deserves, so that those of a column stand below one another."""
    decimals = _decimals(low, high)
    return "" if not math.isfinite(value) else f"{value:.6g}" if decimals < 0 else f"{value:.{decimals}f}"


def age(value: float) -> str:
    """Write an age with no more digits than it is worth."""
    return "?" if math.isnan(value) else f"{value:.1f}" if value < 100 else f"{value:.0f}"


def texts(row: RigRow) -> tuple[str, ...]:
    """Write a row as the table shows it, and whether it is old."""
    setpoint, readback = within(row.setpoint, row.low, row.high), within(row.readback, row.low, row.high)
    low, high = number(row.low), number(row.high)
    return row.name, row.role, setpoint, readback, row.unit, low, high, row.owner, age(row.age_s), row.state


class RigModel(QAbstractTableModel):
    """Rows of a connected rig."""

    value_typed = Signal(int, str)  #: which row, and what was typed into its setpoint

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.rows: tuple[RigRow, ...] = ()
        self.read_only = "No session is open."  #: why nothing can be moved; empty where it can
        self._texts: list[tuple[str, ...]] = []
        self._plain, self._bold = QFont(), QFont()
        self._dim, self._warning = QColor(), QColor()
        theme().changed.connect(self._look)
        self._look()

    def _look(self) -> None:
        self._plain, self._bold = theme().font(tabular=True), theme().font(bold=True, tabular=True)
        self._dim, self._warning = QColor(theme().now.dim), QColor(theme().now.warning)
        if self.rows:
            self.dataChanged.emit(self.index(0, 0), self.index(len(self.rows) - 1, len(TITLES) - 1))

    def take(self, rows: Sequence[RigRow]) -> int:
        """Show a new snapshot; returns how many cells were drawn again."""
        new = tuple(rows)
        names = [(row.name, row.role) for row in new]
        if names != [(row.name, row.role) for row in self.rows]:
            self.beginResetModel()
            self.rows, self._texts = new, [texts(row) for row in new]
            self.endResetModel()
            return len(new) * len(TITLES)
        changed = 0
        runs: list[tuple[int, int, list[int]]] = []  # first and last row, and the columns that changed in all of them
        before, self.rows = self.rows, new
        for k, (old, row) in enumerate(zip(before, new, strict=True)):
            if old is row or old == row:
                continue
            now, was = texts(row), self._texts[k]
            columns = [column for column in range(len(TITLES)) if now[column] != was[column]]
            if old.old != row.old:
                columns = sorted({*columns, READBACK, AGE, STATE})
            if not columns:
                continue
            self._texts[k] = now
            changed += len(columns)
            if runs and runs[-1][1] == k - 1 and runs[-1][2] == columns:  # neighbours are told of together
                runs[-1] = (runs[-1][0], k, columns)
            else:
                runs.append((k, k, columns))
        for top, bottom, columns in runs:
            for column in columns:
                self.dataChanged.emit(self.createIndex(top, column), self.createIndex(bottom, column), _DRAWN)
        return changed

    def rowCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008, D102
        return 0 if parent.isValid() else len(self.rows)

    def columnCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008, D102
        return 0 if parent.isValid() else len(TITLES)

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = Role.DisplayRole) -> Any:
        """Give titles."""
        if orientation == Qt.Orientation.Vertical:
            return None
        if role == Role.DisplayRole:
            return TITLES[section]
        if role == Role.TextAlignmentRole:
            return _RIGHT if section in _NUMBERS else _LEFT
        return TIPS[section] or None if role == Role.ToolTipRole else None

    def data(self, index: Index, role: int = Role.DisplayRole) -> Any:
        """Give a cell as it is shown, coloured and explained."""
        k, column = index.row(), index.column()
        if role == Role.DisplayRole or role == Role.EditRole:
            return self._texts[k][column]
        if role in (Role.ForegroundRole, Role.FontRole, Role.TextAlignmentRole):
            _, colour, font, side = self.look(k, column)
            return colour if role == Role.ForegroundRole else font if role == Role.FontRole else side
        return self._tip(k, column) if role == Role.ToolTipRole else None

    def look(self, k: int, column: int) -> tuple[str, QColor | None, QFont, Qt.AlignmentFlag]:
        """Get all that is needed to draw a cell at once: text, colour, font and side; for a delegate."""
        row = self.rows[k]
        colour = self._dim if row.old and column in (READBACK, AGE, STATE) else None
        if colour is None and column == STATE and row.saturated:
            colour = self._warning
        font = self._bold if column == STATE and row.saturated else self._plain
        return self._texts[k][column], colour, font, _RIGHT if column in _NUMBERS else _LEFT

    def _tip(self, k: int, column: int) -> str:
        row = self.rows[k]
        if column == SETPOINT:
            if not row.movable:
                return f"{row.name} is no knob that a hand moves."
            return self.read_only or f"Type a value from {number(row.low)} to {number(row.high)} {row.unit}. {TIPS[SETPOINT]}"
        if column in (READBACK, AGE) and math.isnan(row.age_s):
            return "It was not read yet, or never is: input knobs are not read back."
        if column in (READBACK, AGE) and row.old:
            return f"The last reading is {age(row.age_s)} s old; it should be no older than {number(row.period_s, 3)} s."
        return TIPS[column]

    def flags(self, index: Index) -> Qt.ItemFlag:
        """Say what can be edited: setpoints of knobs, while there is somebody who takes them."""
        base = Qt.ItemFlag.ItemIsSelectable | Qt.ItemFlag.ItemIsEnabled
        able = index.column() == SETPOINT and self.rows[index.row()].movable and not self.read_only
        return base | Qt.ItemFlag.ItemIsEditable if able else base

    def setData(self, index: Index, value: Any, role: int = Role.EditRole) -> bool:
        """Pass on what was typed: the setpoint itself changes when the session says so, not before."""
        if role != Role.EditRole or index.column() != SETPOINT:
            return False
        self.value_typed.emit(index.row(), str(value))
        return False
