"""The table of runs as Qt sees it: plain lines of `protocols/run_list.py`, sorted and filtered, read in a thread of their own.

A line that changed changes its row; nothing is reset, so what is selected stays selected.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from datetime import datetime
from enum import IntEnum
from functools import partial
from pathlib import Path
from typing import Any

from PySide6.QtCore import (
    QAbstractTableModel,
    QModelIndex,
    QObject,
    QPersistentModelIndex,
    QSortFilterProxyModel,
    Qt,
    QTimer,
    Signal,
)
from PySide6.QtGui import QColor, QFont

from aeqlab.app.window.jobs import do
from aeqlab.app.window.theme import theme
from aeqlab.app.words import name_in_words, size_in_words, value_in_words
from aeqlab.protocols.run_list import RunLine, RunList
from aeqlab.protocols.words import cost_in_words, duration_in_words

Index = QModelIndex | QPersistentModelIndex
_Role = Qt.ItemDataRole
SORT_ROLE, PATH_ROLE, TEXT_ROLE = (int(_Role.UserRole) + k for k in (1, 2, 3))
FIRST = 50  #: newest runs that are shown before the others are read
WATCH_MS = 2000  #: wall time between two looks at the folder
COLOUR = "●"


class Column(IntEnum):
    """Columns of the table, from the left."""

    CURVE = 0
    STATE = 1
    NAME = 2
    DEVICE = 3
    METHOD = 4
    RESULT = 5
    SAMPLES = 6
    DATE = 7
    DURATION = 8
    TAGS = 9
    NOTES = 10
    SIZE = 11


HEADS = ("curve", "state", "run", "device", "method", "result", "samples", "begun", "took", "tags", "notes", "size")
#: The word of a state has a shape beside it, so that no state is told by its colour alone.
SHAPES = {
    "preparing": "◇", "running": "▶", "pausing": "❚❚", "paused": "❚❚", "stopping": "▷", "finished": "●", "stopped": "■",
    "aborted": "▲", "diverged": "↗", "failed": "✕", "interrupted": "◐", "unknown": "?",
}  # fmt: skip
_RIGHT = (Column.SAMPLES, Column.DURATION, Column.NOTES, Column.SIZE)


def state_words(line: RunLine) -> str:
    """Say the state of a run: its shape and its word."""
    return f"{SHAPES.get(line.state, '?')} {line.state}"


def result_words(line: RunLine) -> str:
    """Say what a run found; of one that found nothing yet which cost it read last, and that it is not the end."""
    if line.result is not None:
        said = f"{name_in_words(line.result[0])} {value_in_words(*line.result)}"
    elif line.latest is not None:
        said = f"{cost_in_words(line.latest[0])} {line.latest[1]:.4g}, {'so far' if line.alive else 'when it ended'}"
    else:
        said = ""
    return f"{said} ({'; '.join(line.marks)})" if line.marks else said


def begun_words(line: RunLine) -> str:
    """Say when a run began, of this place."""
    return "" if line.started is None else datetime.fromtimestamp(line.started).strftime("%Y-%m-%d %H:%M")


class RunsModel(QAbstractTableModel):
    """Lines of runs as rows; in the order in which they were first seen."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._lines: list[RunLine] = []
        self._row_of: dict[Path, int] = {}
        self._colours: dict[Path, str] = {}
        theme().changed.connect(self._look_anew)

    def line(self, row: int) -> RunLine:
        """Get the line of a row."""
        return self._lines[row]

    def row_of(self, path: Path) -> int | None:
        """Get the row of a run; None: it is not there."""
        return self._row_of.get(path)

    def set_lines(self, lines: Sequence[RunLine]) -> None:
        """Show these runs: new ones are added, others changed or taken away."""
        there = {line.path for line in lines}
        for row in reversed([row for row, line in enumerate(self._lines) if line.path not in there]):
            self.beginRemoveRows(QModelIndex(), row, row)
            del self._lines[row]
            self._row_of = {line.path: k for k, line in enumerate(self._lines)}
            self.endRemoveRows()
        new = []
        for line in lines:
            known = self._row_of.get(line.path)
            if known is None:
                new.append(line)
            elif self._lines[known] != line:
                self._lines[known] = line
                self.dataChanged.emit(self.index(known, 0), self.index(known, len(Column) - 1))
        if new:
            first = len(self._lines)
            self.beginInsertRows(QModelIndex(), first, first + len(new) - 1)
            self._lines += new
            self._row_of = {line.path: k for k, line in enumerate(self._lines)}
            self.endInsertRows()

    def set_colours(self, colours: Mapping[Path, str]) -> None:
        """Show the colours of the curves of runs that are compared; all others have none."""
        self._colours = dict(colours)
        if self._lines:
            self.dataChanged.emit(self.index(0, Column.CURVE), self.index(len(self._lines) - 1, Column.CURVE))

    # of Qt
    def rowCount(self, parent: Index | None = None) -> int:
        """Count the runs."""
        return 0 if parent is not None and parent.isValid() else len(self._lines)

    def columnCount(self, parent: Index | None = None) -> int:
        """Count the columns."""
        return 0 if parent is not None and parent.isValid() else len(Column)

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = _Role.DisplayRole) -> Any:
        """Get the head of a column."""
        if orientation == Qt.Orientation.Horizontal and role == _Role.DisplayRole:
            return HEADS[section]
        return None

    def data(self, index: Index, role: int = _Role.DisplayRole) -> Any:
        """Get what a cell shows."""
        if not index.isValid():
            return None
        line, column = self._lines[index.row()], Column(index.column())
        match role:
            case _Role.DisplayRole:
                return self._words(line, column)
            case _Role.ToolTipRole:
                return self._tip(line, column)
            case _Role.ForegroundRole:
                return self._ink(line, column)
            case _Role.FontRole if column in (*_RIGHT, Column.DATE):
                return _tabular()
            case _Role.TextAlignmentRole if column in _RIGHT:
                return int(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
            case _Role.AccessibleTextRole:
                return f"{HEADS[column]}: {self._words(line, column) or 'none'}"
        if role == SORT_ROLE:
            return _key(line, column)
        if role == PATH_ROLE:
            return line.path
        if role == TEXT_ROLE:
            return " ".join(self._words(line, one) for one in Column if one is not Column.CURVE) + f" {line.path.name}"
        return None

    def _words(self, line: RunLine, column: Column) -> str:
        match column:
            case Column.CURVE:
                return COLOUR if line.path in self._colours else ""
            case Column.STATE:
                return state_words(line)
            case Column.NAME:
                return line.name
            case Column.DEVICE:
                return line.device or line.device_kind
            case Column.METHOD:
                return ", ".join(line.methods)
            case Column.RESULT:
                return result_words(line)
            case Column.SAMPLES:
                return "" if line.samples is None else f"{line.samples:,}"
            case Column.DATE:
                return begun_words(line)
            case Column.DURATION:
                return "" if line.seconds is None else duration_in_words(line.seconds)
            case Column.TAGS:
                return ", ".join(line.tags)
            case Column.NOTES:
                return f"{line.notes}" if line.notes else ""
            case Column.SIZE:
                return size_in_words(line.size)

    def _tip(self, line: RunLine, column: Column) -> str:
        if line.wrong:
            return "\n".join(line.wrong)
        if column is Column.STATE:
            return line.reason or line.state
        return line.path.name

    def _ink(self, line: RunLine, column: Column) -> QColor | None:
        if column is Column.CURVE and line.path in self._colours:
            return QColor(self._colours[line.path])
        if column is not Column.STATE:
            return None
        now = theme().now
        if line.state in ("failed", "interrupted", "unknown") or line.wrong:
            return QColor(now.fault)
        if line.state in ("diverged", "aborted", "stopped", "paused", "pausing"):
            return QColor(now.warning)
        return QColor(now.good) if line.alive or line.state == "finished" else None

    def _look_anew(self) -> None:
        if self._lines:
            self.dataChanged.emit(self.index(0, 0), self.index(len(self._lines) - 1, len(Column) - 1))


def _tabular() -> QFont:
    return theme().font(tabular=True)


def _key(line: RunLine, column: Column) -> Any:
    """Get what a column is sorted by: numbers by size, words by their letters."""
    match column:
        case Column.RESULT:
            found = line.result or line.latest
            value = None if found is None else found[1]
            return f"{found[0]} {_by_size(float(value))}" if found and isinstance(value, int | float) else ""
        case Column.SAMPLES:
            return -1 if line.samples is None else line.samples
        case Column.DATE:
            return line.started or 0.0
        case Column.DURATION:
            return line.seconds or 0.0
        case Column.NOTES:
            return line.notes
        case Column.SIZE:
            return line.size
        case Column.STATE:
            return line.state
        case Column.NAME:
            return line.name.lower()
        case Column.DEVICE:
            return (line.device or line.device_kind).lower()
        case Column.METHOD:
            return ", ".join(line.methods)
        case Column.TAGS:
            return ", ".join(line.tags).lower()
        case Column.CURVE:
            return 0


def _by_size(value: float) -> str:
    """Write a number so that letters sort as numbers do, however small it is."""
    (bits,) = struct.unpack(">Q", struct.pack(">d", value))
    return f"{bits ^ (2**64 - 1 if bits >> 63 else 2**63):016x}"


class RunsFilter(QSortFilterProxyModel):
    """Shows the runs in whose words all the words occur that were typed."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._wanted: tuple[str, ...] = ()
        self.setSortRole(SORT_ROLE)

    def set_text(self, text: str) -> None:
        """Show what has these words in it, in any order; empty: all."""
        begin, end = (getattr(self, name, None) for name in ("beginFilterChange", "endFilterChange"))  # since Qt 6.10
        if begin is not None and end is not None:
            begin()
        self._wanted = tuple(text.lower().split())
        if begin is not None and end is not None:
            end()
        else:
            self.invalidateFilter()

    def filterAcceptsRow(self, row: int, parent: Index) -> bool:
        """Tell whether a run is shown."""
        if not self._wanted:
            return True
        model = self.sourceModel()
        said = str(model.data(model.index(row, 0, parent), TEXT_ROLE)).lower()
        return all(word in said for word in self._wanted)


class RunsWatch(QObject):
    """Reads the runs of a folder every two seconds, in a thread; only what changed is read anew."""

    lines_read = Signal(object)  #: tuple of RunLine
    went_wrong = Signal(str)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._list: RunList | None = None
        self._busy = False
        self.whole = False  #: whether all runs were read, and not only the newest
        self._timer = QTimer(self)
        self._timer.setInterval(WATCH_MS)
        self._timer.timeout.connect(self.read)

    @property
    def folder(self) -> Path | None:
        """The folder that is watched."""
        return None if self._list is None else self._list.folder

    def open(self, folder: Path) -> None:
        """Watch another folder from now on."""
        self._list, self._busy, self.whole = RunList(folder), False, False
        self.read()
        self._timer.start()

    def stop(self) -> None:
        """Look no more until `open`."""
        self._timer.stop()

    def read(self) -> None:
        """Read now, unless a reading is under way."""
        listed = self._list
        if listed is None or self._busy:
            return
        self._busy = True
        newest = None if self.whole else FIRST
        then, failed = partial(self._take, listed), partial(self._fail, listed)
        do(self, lambda: listed.read(newest), then, failed, name="read runs")

    def _take(self, listed: RunList, lines: tuple[RunLine, ...]) -> None:
        if listed is self._list:
            self._busy = False
            before, self.whole = self.whole, self.whole or len(lines) < FIRST
            self.lines_read.emit(lines)
            if not before and not self.whole:  # now all the others
                self.whole = True
                self.read()

    def _fail(self, listed: RunList, exc: Exception) -> None:
        if listed is self._list:
            self._busy = False
            self.went_wrong.emit(f"{listed.folder} cannot be read: {exc}")
