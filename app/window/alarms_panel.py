"""The alarms of a session: they latch, hang under their first cause, and are acknowledged by name."""

from __future__ import annotations

import time
from collections.abc import Sequence

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QColor
from PySide6.QtWidgets import QHBoxLayout, QHeaderView, QLabel, QPushButton, QTreeWidget, QTreeWidgetItem, QVBoxLayout, QWidget

from aeqlab.app.window.theme import GRID, theme
from aeqlab.protocols.alarms import Alarm

_COLUMNS = ("Time", "Alarm", "What happened", "Times", "State", "Acknowledged")


class AlarmsPanel(QWidget):
    """Lists the open alarms. `acknowledged` asks for one with what hangs under it, by its number; 0 for all."""

    acknowledged = Signal(int)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._shown: tuple[Alarm, ...] = ()
        self.heading = QLabel()
        self.heading.setToolTip("Ctrl+L shows and hides this list; a new alarm brings it up")
        self.tree = QTreeWidget()
        self.tree.setColumnCount(len(_COLUMNS))
        self.tree.setHeaderLabels(list(_COLUMNS))
        self.tree.setAccessibleName("Alarms")
        self.tree.setRootIsDecorated(True)
        self.tree.setWordWrap(True)
        header = self.tree.header()
        header.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        header.setSectionResizeMode(2, QHeaderView.ResizeMode.Stretch)
        header.setStretchLastSection(False)
        self.one = QPushButton("Acknowledge this")
        self.one.setToolTip("Say that you have seen the chosen alarm, with what hangs under it (Enter)")
        self.all = QPushButton("Acknowledge all")
        self.all.setToolTip("Say that you have seen all of them. An alarm whose cause is still there stays.")
        row = QHBoxLayout()
        row.addWidget(self.heading, 1)
        row.addWidget(self.one)
        row.addWidget(self.all)
        column = QVBoxLayout(self)
        column.setContentsMargins(GRID, 0, GRID, GRID)
        column.addLayout(row)
        column.addWidget(self.tree)
        self.one.clicked.connect(self._acknowledge_chosen)
        self.tree.itemActivated.connect(lambda *_: self._acknowledge_chosen())
        self.all.clicked.connect(lambda: self.acknowledged.emit(0))
        self.tree.itemSelectionChanged.connect(self._see_choice)
        theme().changed.connect(self._fill)
        self.setValue(())

    def value(self) -> tuple[Alarm, ...]:
        """Get the alarms that are shown."""
        return self._shown

    def setValue(self, alarms: Sequence[Alarm]) -> None:
        """Show other alarms; the choice stays where its alarm does."""
        if tuple(alarms) != self._shown or not self.heading.text():
            self._shown = tuple(alarms)
            self._fill()

    def _fill(self) -> None:
        chosen = self._chosen()
        self.tree.clear()
        causes: dict[int, QTreeWidgetItem] = {}
        for alarm in self._shown:
            item = QTreeWidgetItem(_words(alarm))
            item.setData(0, Qt.ItemDataRole.UserRole, alarm.number)
            item.setToolTip(2, alarm.text)
            if not alarm.by:
                item.setForeground(1, QColor(theme().now.fault))
                font = item.font(1)
                font.setBold(True)
                item.setFont(1, font)
            parent = causes.get(alarm.cause)
            if parent is None:
                self.tree.addTopLevelItem(item)
                causes[alarm.number] = item
            else:
                parent.addChild(item)
            if alarm.number == chosen:
                self.tree.setCurrentItem(item)
        self.tree.expandAll()
        first = self.tree.topLevelItem(0)
        if chosen is None and first is not None:
            self.tree.setCurrentItem(first)
        unseen = sum(not alarm.by for alarm in self._shown)
        self.heading.setText(
            f"{len(self._shown)} open, {unseen} that nobody has acknowledged" if self._shown else "No open alarms."
        )
        self._see_choice()

    def _chosen(self) -> int | None:
        item = self.tree.currentItem()
        return None if item is None else int(item.data(0, Qt.ItemDataRole.UserRole))

    def _see_choice(self) -> None:
        self.one.setEnabled(self._chosen() is not None)
        self.all.setEnabled(any(not alarm.by for alarm in self._shown))

    def _acknowledge_chosen(self) -> None:
        number = self._chosen()
        if number is not None:
            self.acknowledged.emit(number)


def _words(alarm: Alarm) -> list[str]:
    when = time.strftime("%d %b %H:%M:%S", time.localtime(alarm.t))
    seen = f"{alarm.by}, {time.strftime('%H:%M:%S', time.localtime(alarm.at))}" if alarm.by else "by nobody"
    return [when, alarm.kind, alarm.text, str(alarm.times), "there still" if alarm.active else "over", seen]
