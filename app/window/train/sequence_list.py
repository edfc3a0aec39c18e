"""The sequence as a plain list: each row says what moves and how long; rows are added, copied, moved, switched off."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QColor
from PySide6.QtWidgets import (
    QCheckBox,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QTreeWidgetItem,
    QVBoxLayout,
    QWidget,
)

from aeqlab.app.window.models.experiment_edits import Path_
from aeqlab.app.window.models.experiment_examined import StageRow, rows_of
from aeqlab.app.window.models.experiment_schema import stage_variants
from aeqlab.app.window.models.experiment_stages import become, fresh, set_mark
from aeqlab.app.window.theme import GRID, theme
from aeqlab.app.window.train.form_document import ExperimentDocument
from aeqlab.app.window.train.form_fields import CalmCombo
from aeqlab.app.window.train.form_row import node_at
from aeqlab.app.window.train.stage_pieces import set_stage_menu, stage_button, stage_tree
from aeqlab.protocols.yaml import Node

THEN = {
    "freeze": "nudge off, knobs standing where they are, reading goes on",
    "safe": "knobs ramped to rest, then outputs off",
    "hold": "theta goes on being held",
}
_COLUMNS = ("stage", "what moves", "how long", "marks")
_WIDTHS = (17 * GRID, 30 * GRID, 26 * GRID, 9 * GRID)


class SequenceList(QWidget):
    """The stages of a document. `chosen(path)`: another row is the current one; None for none."""

    chosen = Signal(object)

    def __init__(self, document: ExperimentDocument, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.document = document
        self.rows: tuple[StageRow, ...] = ()
        self._current: Path_ | None = None
        self._filling = False
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(GRID // 2)
        self.tree = stage_tree("Stages of the sequence", _COLUMNS, _WIDTHS, wide=1)
        self.tree.headerItem().setToolTip(2, "Estimated once nothing is wrong with the experiment")
        self.tree.currentItemChanged.connect(lambda item, _: self._entered(item))
        column.addWidget(self.tree, 1)
        column.addLayout(self._ending())
        column.addLayout(self._actions())
        document.opened.connect(self._opened)
        document.read.connect(lambda tree, _: self._read(tree))
        document.examined.connect(lambda found: self._show(found.rows) if found.tree is not None else None)
        theme().changed.connect(self._fill)
        self._read(document.tree)

    # making
    def _ending(self) -> QHBoxLayout:
        line = QHBoxLayout()
        label = QLabel("then")
        label.setToolTip("What the device does after the last stage")
        self.then = CalmCombo()
        for word, meaning in THEN.items():
            self.then.addItem(f"{word.upper()}: {meaning}", word)
        self.then.setAccessibleName("What the device does after the last stage")
        self.then.setToolTip("What the device does after the last stage")
        self.then.activated.connect(self._end_with)
        label.setBuddy(self.then)
        line.addWidget(label)
        line.addWidget(self.then, 1)
        return line

    def _actions(self) -> QHBoxLayout:
        line = QHBoxLayout()
        line.setSpacing(GRID // 2)
        self.add = QPushButton("Add stage")
        self.add.setToolTip("Add a stage behind the chosen one")
        set_stage_menu(self.add, self.add_stage)
        line.addWidget(self.add)
        self.copy = self._button(line, "Copy", "Ctrl+D", self.copy_stage, "Copy the chosen stage behind itself")
        self.up = self._button(line, "Move up", "Alt+Up", lambda: self.move_stage(-1), "Let it come before the one above")
        self.down = self._button(line, "Move down", "Alt+Down", lambda: self.move_stage(1), "Let it come after the one below")
        self.out = self._button(line, "Take out", "Del", self.take_out, "Take the chosen stage out of the sequence")
        line.addStretch(1)
        self.kind = CalmCombo()
        self.kind.addItems([one.word for one in stage_variants()])
        self.kind.setAccessibleName("Kind of the chosen stage")
        self.kind.setToolTip("Make another stage of the chosen one; options that both have stay")
        self.kind.activated.connect(lambda _: self.become(self.kind.currentText()))
        line.addWidget(self.kind)
        self.off = self._check(line, "Off", "off", "The stage stays in the file and is passed over")
        self.pause = self._check(line, "Pause after", "pause_after", "The run pauses after the stage until someone continues")
        return line

    def _button(self, line: QHBoxLayout, text: str, keys: str, work: Callable[[], object], meaning: str) -> QPushButton:
        button = stage_button(text, keys, self.tree, work, meaning)
        line.addWidget(button)
        return button

    def _check(self, line: QHBoxLayout, text: str, mark: str, meaning: str) -> QCheckBox:
        box = QCheckBox(text)
        box.setToolTip(meaning)
        box.clicked.connect(lambda on: self.mark(mark, on=on))
        line.addWidget(box)
        return box

    # what it says
    @property
    def current(self) -> Path_ | None:
        """Path of the chosen stage; None for none."""
        return self._current

    def choose(self, path: Path_ | None) -> None:
        """Make a stage the chosen one."""
        item = self._item(path)
        if item is not None:
            self.tree.setCurrentItem(item)

    # what one does
    def add_stage(self, word: str) -> None:
        """Add a stage behind the chosen one, or at the end."""
        path, index = self._place()
        if self.document.change(lambda model: model.insert(path, index + 1, fresh(word))):
            self.choose((*path, index + 1))

    def copy_stage(self) -> None:
        """Copy the chosen stage behind itself."""
        if self._current is not None:
            path, index = self._place()
            if self.document.change(lambda model: model.duplicate(path, index)):
                self.choose((*path, index + 1))

    def move_stage(self, by: int) -> None:
        """Move the chosen stage by so many places within its list."""
        if self._current is None:
            return
        path, index = self._place()
        here = node_at(self.document.tree, path)
        count = len(here.value) if here is not None and isinstance(here.value, list) else 0
        if 0 <= index + by < count and self.document.change(lambda model: model.move(path, index, index + by)):
            self.choose((*path, index + by))

    def take_out(self) -> None:
        """Take the chosen stage out; undo brings it back."""
        if self._current is not None:
            path, index = self._place()
            if self.document.remove((*path, index)):
                self.choose((*path, max(index - 1, 0)))

    def become(self, word: str) -> None:
        """Make another stage of the chosen one."""
        current = self._current
        if current is not None:
            plain = self._plain(current)
            if self.document.change(lambda model: become(model, current, plain, word)):
                self.chosen.emit(current)
            else:
                self._show_as_it_is()

    def mark(self, mark: str, *, on: bool) -> None:
        """Switch a mark of the chosen stage: `off` or `pause_after`."""
        current = self._current
        if current is not None:
            plain = self._plain(current)
            if not self.document.change(lambda model: set_mark(model, current, plain, mark, on=on)):
                self._show_as_it_is()

    def _end_with(self, index: int) -> None:
        if not self.document.set_value(("then",), self.then.itemData(index)):
            self._read(self.document.tree)

    def _show_as_it_is(self) -> None:
        """Take back what a box was set to and the text refused."""
        self._entered(self._item(self._current))

    def _plain(self, path: Path_) -> Any:
        node = node_at(self.document.tree, path)
        return None if node is None else node.plain()

    def _place(self) -> tuple[Path_, int]:
        """Get the list that the chosen stage is in, and its place there; of no stage, the end of the sequence."""
        if self._current is not None and isinstance(self._current[-1], int):
            return self._current[:-1], self._current[-1]
        return ("sequence",), sum(len(row.path) == 2 for row in self.rows) - 1

    # showing
    def _opened(self) -> None:
        self._current = None
        self.rows = ()

    def _read(self, tree: Node | None) -> None:
        """Show the stages at once; how long they take is kept where nothing else changed, and estimated when typing rests."""
        self.setEnabled(tree is not None)
        if tree is None:
            return
        known = {(row.kind, row.moves): row.lasts for row in self.rows}
        self._show(tuple(replace(row, lasts=known.get((row.kind, row.moves), "")) for row in rows_of(tree)))
        then = node_at(tree, ("then",))
        word = "freeze" if then is None else str(then.text)
        index = self.then.findData(word)
        if index < 0:
            self.then.setPlaceholderText(f"{word}: none of these words")
        self.then.setCurrentIndex(index)

    def _show(self, rows: tuple[StageRow, ...]) -> None:
        if rows != self.rows:
            self.rows = rows
            self._fill()

    def _fill(self) -> None:
        self._filling = True
        self.tree.clear()
        items: dict[Path_, QTreeWidgetItem] = {}
        for row in self.rows:
            item = QTreeWidgetItem(self._texts(row))
            item.setData(0, Qt.ItemDataRole.UserRole, row.path)
            if row.off or row.wrong:
                for index in range(len(_COLUMNS)):
                    item.setForeground(index, QColor(theme().now.fault if row.wrong else theme().now.dim))
            for index in range(len(_COLUMNS)):
                item.setToolTip(index, item.text(index))
            around = items.get(row.path[:-3])
            if around is None:
                self.tree.addTopLevelItem(item)
            else:
                around.addChild(item)
            items[row.path] = item
        self.tree.expandAll()
        current = self._item(self._current)
        if current is not None:
            self.tree.setCurrentItem(current)
        self._filling = False
        self._entered(current)

    @staticmethod
    def _texts(row: StageRow) -> list[str]:
        number = ".".join(str(step + 1) for step in row.path if isinstance(step, int))
        marks = ", ".join(word for word, on in (("off", row.off), ("pause after", row.pause_after)) if on)
        moves = "has problems, see below" if row.wrong else row.moves
        return [f"{number}  {row.kind or 'no stage'}", moves, row.lasts, marks]

    def _item(self, path: Path_ | None) -> QTreeWidgetItem | None:
        waiting = [self.tree.topLevelItem(i) for i in range(self.tree.topLevelItemCount())]
        while waiting:
            item = waiting.pop()
            if item is None:
                continue
            if item.data(0, Qt.ItemDataRole.UserRole) == path:
                return item
            waiting += [item.child(i) for i in range(item.childCount())]
        return None

    def _entered(self, item: QTreeWidgetItem | None) -> None:
        if self._filling:
            return
        path: Path_ | None = None if item is None else tuple(item.data(0, Qt.ItemDataRole.UserRole))
        row = next((row for row in self.rows if row.path == path), None)
        for widget in (self.copy, self.up, self.down, self.out, self.kind, self.off, self.pause):
            widget.setEnabled(row is not None)
        self.off.setChecked(row is not None and row.off)
        self.pause.setChecked(row is not None and row.pause_after)
        self.kind.setCurrentIndex(-1 if row is None else self.kind.findText(row.kind))
        if path != self._current:
            self._current = path
            self.chosen.emit(path)
