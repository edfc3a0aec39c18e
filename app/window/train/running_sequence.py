"""The stages of the run that is shown, with where each stands; those to come are changed here while the run goes on.

Every change is sent at once and recorded by the run; the list shows what the run has, and never what was only wished. What the
run refuses is said with its reason, and what was typed stays to be mended.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QColor
from PySide6.QtWidgets import (
    QCheckBox,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QPushButton,
    QTreeWidgetItem,
    QVBoxLayout,
    QWidget,
)

from aeqlab.app.window.models.commander import Answer
from aeqlab.app.window.models.experiment_stages import fresh
from aeqlab.app.window.models.running_edits import entry_of, line_of, marked
from aeqlab.app.window.notice import Notice
from aeqlab.app.window.theme import GRID, theme
from aeqlab.app.window.train.sequence_list import THEN
from aeqlab.app.window.train.stage_pieces import set_stage_menu, stage_button, stage_keys, stage_tree
from aeqlab.protocols.errors import FileErrors
from aeqlab.protocols.sequence_told import OFF, RUNNING, TO_COME, ToldSequence, ToldStage, edit_of

SHAPES = {"done": "✓", RUNNING: "▶", TO_COME: "○", OFF: "–", "skipped": "»", "broken off": "✕", "not reached": "○"}
_COLUMNS = ("state", "stage", "what moves", "how long", "marks")
_WIDTHS = (17 * GRID, 18 * GRID, 40 * GRID, 38 * GRID, 12 * GRID)
Entries = list[dict[str, Any]]


class RunningSequence(QWidget):
    """The list. `edit_wanted(text)`: the text of an `edit` that is to be sent to the run; `take_answer` takes what it said."""

    edit_wanted = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.told: ToldSequence | None = None
        self.waiting = False  #: a change was sent, and the run has not answered or not told the sequence since
        self._accepted = False  # the run has said yes to it
        self._sent_at = 0  # changes there were when it was sent
        self._wanted: int | None = None  # the stage to choose once the change is in force
        self._current = ""
        self._filling = False
        column = QVBoxLayout(self)
        column.setContentsMargins(GRID, GRID, GRID, GRID)
        column.setSpacing(GRID)
        self.summary = QLabel()
        self.summary.setWordWrap(True)
        self.notice = Notice()
        self.tree = stage_tree("Stages of the run", _COLUMNS, _WIDTHS, wide=2)
        self.tree.currentItemChanged.connect(lambda item, _: self._enter(item))
        column.addWidget(self.summary)
        column.addWidget(self.notice)
        column.addWidget(self.tree, 1)
        column.addLayout(self._options())
        column.addLayout(self._actions())
        self.hint = QLabel()
        self.hint.setWordWrap(True)
        column.addWidget(self.hint)
        theme().changed.connect(self._fill)
        self.set_value(None)

    # making
    def _options(self) -> QHBoxLayout:
        line = QHBoxLayout()
        line.setSpacing(GRID)
        label = QLabel("Stage and options")
        self.line = QLineEdit()
        self.line.setAccessibleName("Stage and options, as in an experiment file")
        self.line.setToolTip(
            "As in an experiment file; options left out are as they are by themselves (Enter: change, Esc: as it is)"
        )
        self.line.setPlaceholderText("choose a stage that is to come")
        self.line.returnPressed.connect(self.change_options)
        self.line.textEdited.connect(lambda _: self._allow())
        stage_keys("Esc", self.line, self._leave_options)
        label.setBuddy(self.line)
        self.change = QPushButton("Change options")
        self.change.setToolTip("Send what is written here to the run (Enter)")
        self.change.clicked.connect(self.change_options)
        for widget in (label, self.line, self.change):
            line.addWidget(widget)
        return line

    def _actions(self) -> QHBoxLayout:
        line = QHBoxLayout()
        line.setSpacing(GRID // 2)
        self.add = QPushButton("Add stage")
        self.add.setToolTip("Add a stage behind the chosen one, or as the next (Ins)")
        set_stage_menu(self.add, self.add_stage)
        stage_keys("Ins", self.tree, self.add.showMenu)
        line.addWidget(self.add)
        self.copy = self._button(line, "Copy", "Ctrl+D", self.copy_stage, "Copy the chosen stage behind itself")
        self.up = self._button(line, "Move up", "Alt+Up", lambda: self.move_stage(-1), "Let it come before the one above")
        self.down = self._button(line, "Move down", "Alt+Down", lambda: self.move_stage(1), "Let it come after the one below")
        self.out = self._button(line, "Take out", "Del", self.take_out, "Take the chosen stage out of the sequence")
        line.addStretch(1)
        self.off = QCheckBox("Off")
        self.off.setToolTip("The stage stays in the list and is passed over")
        self.off.clicked.connect(lambda on: self.mark("off", on=on))
        self.pause = QCheckBox("Pause after")
        self.pause.setToolTip("The run pauses after the stage until someone continues")
        self.pause.clicked.connect(lambda on: self.mark("pause_after", on=on))
        line.addWidget(self.off)
        line.addWidget(self.pause)
        return line

    def _button(self, line: QHBoxLayout, text: str, keys: str, work: Callable[[], object], meaning: str) -> QPushButton:
        button = stage_button(text, keys, self.tree, work, meaning)
        line.addWidget(button)
        return button

    # what is known
    def set_value(self, told: ToldSequence | None) -> None:
        """Take the sequence as the run tells it; None: nobody tells."""
        in_force = told is None or not told.live or (self._accepted and told.edits > self._sent_at)
        if self.waiting and in_force:  # a change of somebody else's may be told before the run has answered this one
            self.waiting = False
            wanted, self._wanted = self._wanted, None
            if told is not None and wanted is not None and wanted < len(told.own):
                self._current = told.own[wanted].path
        elif told == self.told and told is not None:
            return
        self.told = told
        self._fill()

    def take_answer(self, answer: Answer) -> None:
        """Take what the run said to a command; only that to a change concerns the list."""
        if answer.command != "edit" or not self.waiting:
            return
        if answer.done:
            self._accepted = True
            self.notice.end()
            self.set_value(self.told)  # what it has now may be here already, else it comes with the next look
            return
        self.waiting, self._wanted = False, None
        what = "Nothing was changed." if answer.heard else "No answer came, so it may have been changed: this list will tell."
        self.notice.say(f"{what} {answer.text}")
        self._fill()

    def choose(self, path: str) -> None:
        """Make a stage the chosen one."""
        for item in self._items():
            if item.data(0, Qt.ItemDataRole.UserRole) == path:
                self.tree.setCurrentItem(item)

    @property
    def current(self) -> ToldStage | None:
        """The chosen stage; None for none."""
        rows = () if self.told is None else self.told.rows
        return next((row for row in rows if row.path == self._current), None)

    # what one does
    def add_stage(self, word: str) -> None:
        """Add a stage behind the chosen one where that is to come, else as the next one; without a choice at the end."""
        if self.told is None:
            return
        place = self._place()
        if place is None:
            place = -1 if self.current is not None else len(self.told.to_come) - 1
        self._send(lambda rows: rows.insert(place + 1, fresh(word)), place + 1)

    def copy_stage(self) -> None:
        """Copy the chosen stage behind itself."""
        place = self._place()
        if place is not None:
            self._send(lambda rows: rows.insert(place + 1, dict(rows[place])), place + 1)

    def move_stage(self, by: int) -> None:
        """Move the chosen stage by so many places among those to come."""
        place = self._place()
        if place is not None and self.told is not None and 0 <= place + by < len(self.told.to_come):
            self._send(lambda rows: rows.insert(place + by, rows.pop(place)), place + by)

    def take_out(self) -> None:
        """Take the chosen stage out."""
        place = self._place()
        if place is not None:
            self._send(lambda rows: rows.pop(place), max(place - 1, 0))

    def mark(self, mark: str, *, on: bool) -> None:
        """Switch `off` or `pause_after` of the chosen stage; of the one that runs the latter alone."""
        place, row = self._place(), self.current
        if place is not None:
            self._send(lambda rows: rows.__setitem__(place, marked(rows[place], mark, on=on)), place)
        elif row is not None and row.state == RUNNING and mark == "pause_after":
            self._send(lambda rows: None, None, pause_after_running=on)

    def change_options(self) -> None:
        """Send the stage as it is written in the line."""
        place = self._place()
        if place is None or self.told is None or self.line.text() == self.line.property("shown"):
            return
        try:
            entry = entry_of(self.line.text(), self.told.to_come[place])
        except FileErrors as exc:
            self.notice.say(f"Nothing was sent. {exc}")
            return
        self._send(lambda rows: rows.__setitem__(place, entry), place)

    def _send(self, change: Callable[[Entries], object], choose: int | None, pause_after_running: bool | None = None) -> None:
        told = self.told
        if told is None or not told.live or self.waiting:
            return
        rows = told.to_come
        change(rows)
        self.waiting, self._accepted, self._sent_at = True, False, told.edits
        self._wanted = None if choose is None else told.begun + choose
        self.notice.end()
        self._allow()
        self.edit_wanted.emit(edit_of(told, rows, pause_after_running=pause_after_running))

    def _place(self) -> int | None:
        """Get the place of the chosen stage among those to come; None where it is none of them."""
        row = self.current
        if row is None or self.told is None or not row.editable:
            return None
        return int(row.path) - self.told.begun if int(row.path) >= self.told.begun else None

    # showing
    def _fill(self) -> None:
        self._filling = True
        self.tree.clear()
        items: list[QTreeWidgetItem] = []
        told = self.told
        for row in () if told is None else told.rows:
            marks = ", ".join(word for word, on in (("off", row.off), ("pause after", row.pause_after)) if on)
            number = ".".join(str(int(step) + 1) for step in row.path.split(".") if step.isdigit())
            moves = row.moves or row.options
            item = QTreeWidgetItem([f"{SHAPES.get(row.state, '')} {row.state}", f"{number}  {row.word}", moves, row.lasts, marks])
            item.setData(0, Qt.ItemDataRole.UserRole, row.path)
            for index in range(len(_COLUMNS)):
                item.setToolTip(
                    index, f"{item.text(index)}\n{row.options}" if index in (1, 2) and row.options else item.text(index)
                )
                if row.state in (OFF, "done", "skipped", "not reached"):
                    item.setForeground(index, QColor(theme().now.dim))
                elif row.state == RUNNING:
                    item.setFont(index, theme().font(bold=True))
            if row.depth:
                items[row.depth - 1].addChild(item)
            else:
                self.tree.addTopLevelItem(item)
            items[row.depth :] = [item]
        if told is not None:
            self._add_end(told)
        self.tree.expandAll()
        self._filling = False
        chosen = next((one for one in self._items() if one.data(0, Qt.ItemDataRole.UserRole) == self._current), None)
        if chosen is not None:
            self.tree.setCurrentItem(chosen)
        self._enter(chosen)

    def _add_end(self, told: ToldSequence) -> None:
        """Add the last row, which stays the last."""
        item = QTreeWidgetItem(["", f"then {told.then.upper()}", THEN.get(told.then, ""), "", ""])
        item.setFlags(Qt.ItemFlag.ItemIsEnabled)
        item.setToolTip(1, "What the device does after the last stage; it is said when the run is started")
        item.setFont(1, theme().font(bold=True))
        self.tree.addTopLevelItem(item)

    def _items(self) -> list[QTreeWidgetItem]:
        found, waiting = [], [self.tree.topLevelItem(k) for k in range(self.tree.topLevelItemCount())]
        while waiting:
            item = waiting.pop(0)
            if item is not None:
                found.append(item)
                waiting += [item.child(k) for k in range(item.childCount())]
        return found

    def _enter(self, item: QTreeWidgetItem | None) -> None:
        if self._filling:
            return
        self._current = "" if item is None else str(item.data(0, Qt.ItemDataRole.UserRole) or "")
        self._show_options()

    def _leave_options(self) -> None:
        """Show the options as they are, whatever was typed."""
        self.line.setText(self.line.property("shown"))
        self._allow()

    def _show_options(self) -> None:
        row = self.current
        text = "" if row is None or row.entry is None else line_of(row.entry)
        if text != self.line.property("shown") or self._place() is None:
            self.line.setProperty("shown", text)
            self.line.setText(text)
            self.line.setCursorPosition(0)
        self.off.setChecked(row is not None and row.off)
        self.pause.setChecked(row is not None and row.pause_after)
        self._allow()

    def _allow(self) -> None:
        """Let only that be pressed which can be done."""
        told, row, place = self.told, self.current, self._place()
        free = told is not None and told.live and not self.waiting
        mine = free and place is not None
        last = len(told.to_come) - 1 if told is not None else -1
        self.add.setEnabled(free)
        for button in (self.copy, self.out, self.off):
            button.setEnabled(mine)
        self.up.setEnabled(mine and place is not None and place > 0)
        self.down.setEnabled(mine and place is not None and place < last)
        self.pause.setEnabled(mine or (free and row is not None and row.state == RUNNING and row.depth == 0))
        self.line.setReadOnly(not mine)
        self.change.setEnabled(mine and self.line.text() != self.line.property("shown"))
        self.summary.setText(_summary(told))
        self.hint.setText(_hint(told, row, place, self.waiting))


def _summary(told: ToldSequence | None) -> str:
    if told is None:
        return "Nothing yet: the stages of the run, which it tells once it has begun."
    often = {0: "not changed since it began", 1: "changed once since it began"}.get(told.edits, f"changed {told.edits} times")
    return f"{told.where[:1].upper()}{told.where[1:]}; {often}."


def _hint(told: ToldSequence | None, row: ToldStage | None, place: int | None, waiting: bool) -> str:
    if told is None:
        return ""
    if waiting:
        return "The change was sent; the run's answer is awaited."
    if not told.live:
        return "The run does not run, so nothing can be changed. A resume goes on with these stages."
    if row is None:
        return "Choose a stage to change it, or add one. Each change is sent at once and recorded."
    if place is not None:
        return "It is to come: each change is sent at once and recorded."
    if row.depth:
        return "Stages within a repetition are changed with it: choose the repetition."
    if row.state == RUNNING:
        return "It runs: only Pause after can be changed. Ctrl+F8 skips the rest of it."
    return "It is over and cannot be changed."
