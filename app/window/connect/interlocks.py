"""Monitors and interlocks of a connected rig: values with their ages, conditions, and what counts as tripped."""

from __future__ import annotations

import math
from collections.abc import Sequence

from PySide6.QtCore import Qt
from PySide6.QtGui import QColor
from PySide6.QtWidgets import QAbstractItemView, QHeaderView, QTableWidget, QTableWidgetItem, QWidget

from aeqlab.app.window.connect.pieces import Words, column, heading
from aeqlab.app.window.connect.rig_model import age, number, within
from aeqlab.app.window.models.rig_rows import InterlockRow, RigRow
from aeqlab.app.window.theme import GRID, theme

MONITOR_TITLES = ("Monitor", "Value", "Unit", "Age (s)", "Alarm below", "Alarm above", "State")
INTERLOCK_TITLES = ("Interlock", "Stops when", "Then", "Reads", "Age (s)", "State")
_ACTIONS = {"warn": "warns", "freeze": "FREEZE", "safe": "MAKE SAFE"}


class _Lines(QTableWidget):
    """A table that only shows, and draws only what changed."""

    def __init__(self, titles: Sequence[str], numbers: Sequence[int], name: str) -> None:
        super().__init__(0, len(titles))
        self._numbers = frozenset(numbers)
        self.setHorizontalHeaderLabels(list(titles))
        self.setAccessibleName(name)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.verticalHeader().hide()
        self.verticalHeader().setDefaultSectionSize(3 * GRID)
        self.horizontalHeader().setHighlightSections(False)
        self.horizontalHeader().setSectionResizeMode(QHeaderView.ResizeMode.Stretch)

    def show_lines(self, lines: Sequence[Sequence[str]], colours: Sequence[str], tips: Sequence[str]) -> None:
        """Show lines of words; the colour is that of the whole line, a word in it says the same."""
        if self.rowCount() != len(lines):
            self.setRowCount(len(lines))
        for k, (line, colour, tip) in enumerate(zip(lines, colours, tips, strict=True)):
            for column_, text in enumerate(line):
                item = self.item(k, column_)
                if item is None:
                    item = QTableWidgetItem()
                    item.setFont(theme().font(tabular=True))
                    side = Qt.AlignmentFlag.AlignRight if column_ in self._numbers else Qt.AlignmentFlag.AlignLeft
                    item.setTextAlignment(side | Qt.AlignmentFlag.AlignVCenter)
                    self.setItem(k, column_, item)
                if item.text() != text:
                    item.setText(text)
                if item.foreground().color().name() != QColor(colour).name():
                    item.setForeground(QColor(colour))
                if item.toolTip() != tip:
                    item.setToolTip(tip)


class Interlocks(QWidget):
    """What watches over a rig, as it stands."""

    def __init__(self) -> None:
        super().__init__()
        self._monitors: tuple[RigRow, ...] = ()
        self._interlocks: tuple[InterlockRow, ...] = ()
        self.monitors = _Lines(MONITOR_TITLES, (1, 3, 4, 5), "monitors")
        self.interlocks = _Lines(INTERLOCK_TITLES, (4,), "interlocks")
        for section in (0, 2, 4, 5):
            self.interlocks.horizontalHeader().setSectionResizeMode(section, QHeaderView.ResizeMode.ResizeToContents)
        self.state = Words(kind="dim")
        page = column(heading("Monitors"), self.monitors, heading("Interlocks"), self.interlocks, self.state)
        self.setLayout(page.layout())  # type: ignore[arg-type]
        theme().changed.connect(self._show)
        self._show()

    def take(self, monitors: Sequence[RigRow], interlocks: Sequence[InterlockRow]) -> None:
        """Show a snapshot: monitors with their alarms as limits, and interlocks."""
        if (tuple(monitors), tuple(interlocks)) != (self._monitors, self._interlocks):
            self._monitors, self._interlocks = tuple(monitors), tuple(interlocks)
            self._show()

    def _show(self) -> None:
        now = theme().now
        lines: list[tuple[str, ...]] = []
        colours: list[str] = []
        tips: list[str] = []
        for one in self._monitors:
            unknown = math.isnan(one.readback)
            beyond = not unknown and not one.low <= one.readback <= one.high
            limited = math.isfinite(one.low) or math.isfinite(one.high)
            state = "no value" if unknown else "old" if one.old else "alarm" if beyond else "within" if limited else ""
            lines.append(
                (
                    one.name,
                    within(one.readback, one.low, one.high),
                    one.unit,
                    age(one.age_s),
                    number(one.low),
                    number(one.high),
                    state,
                )
            )
            colours.append(now.fault if beyond and not one.old else now.dim if one.old or unknown else now.text)
            often = f"Read every {one.period_s:g} s; its" if math.isfinite(one.period_s) else "Its"
            tips.append(f"{often} last reading is {age(one.age_s)} s old.")
        self.monitors.show_lines(lines, colours, tips)
        lines, colours, tips = [], [], []
        for lock in self._interlocks:
            lines.append((lock.name, lock.when, _ACTIONS.get(lock.action, lock.action), lock.values, age(lock.age_s),
                          f"✕ {lock.state}" if lock.bad else lock.state))  # fmt: skip
            colours.append(now.fault if lock.bad else now.text)
            limit = f"older than {lock.stale_s:g} s" if math.isfinite(lock.stale_s) else "too old by the rig file"
            tips.append(lock.why or f"Data {limit} count as tripped.")
        self.interlocks.show_lines(lines, colours, tips)
        bad = [lock.name for lock in self._interlocks if lock.bad]
        if not self._interlocks:
            self.state.say("There is no interlock, or no session is open.", "dim")
        elif bad:
            self.state.say(f"✕ {', '.join(bad)}: nothing goes on while an interlock is tripped.", "wrong")
        else:
            self.state.say(f"None of {len(self._interlocks)} is tripped.", "plain")
