"""The table of all runs: find by typing, sort, choose one or several, and do things with them by plain buttons."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path

from PySide6.QtCore import QItemSelection, Qt, Signal
from PySide6.QtGui import QKeyEvent, QKeySequence, QShortcut
from PySide6.QtWidgets import (
    QAbstractItemView,
    QHBoxLayout,
    QHeaderView,
    QLabel,
    QLineEdit,
    QMenu,
    QPushButton,
    QTableView,
    QVBoxLayout,
    QWidget,
)

from aeqlab.app.window.look_back.run_actions import FORMATS, RunActions
from aeqlab.app.window.models.runs_model import PATH_ROLE, Column, RunsFilter, RunsModel, RunsWatch
from aeqlab.app.window.theme import GRID, theme
from aeqlab.protocols.run_list import RunLine

MOST_COMPARED = 12  #: runs side by side: more curves than these nobody tells apart
_WIDTHS = {
    Column.CURVE: 48, Column.STATE: 104, Column.NAME: 166, Column.DEVICE: 110, Column.METHOD: 110, Column.RESULT: 216,
    Column.SAMPLES: 72, Column.DATE: 126, Column.DURATION: 88, Column.TAGS: 84, Column.NOTES: 46, Column.SIZE: 64,
}  # fmt: skip


class RunsTable(QWidget):
    """All runs of a folder, with what can be done with them.

    Signals:
        chosen: path of the run whose story is wanted, where the selection moved to it.
        open_wanted, replay_wanted: path of a run to show, as it is or as it was.
        resume_wanted, as_that_wanted: path of a run to go on with, or to take the experiment of.
        compare_wanted: paths of the runs to put side by side, as a tuple.
    """

    chosen = Signal(object)
    open_wanted = Signal(object)
    replay_wanted = Signal(object)
    resume_wanted = Signal(object)
    as_that_wanted = Signal(object)
    compare_wanted = Signal(object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.model, self.filter, self.watch = RunsModel(self), RunsFilter(self), RunsWatch(self)
        self.filter.setSourceModel(self.model)
        self.actions_ = RunActions(self)
        self._read_once = False
        self._awaited: Path | None = None  # was asked for before it was in the table; chosen once it is, unless another is
        self._of_folder = ""  # what was said last of the folder itself
        self._noted: Path | None = None
        self._build()
        self.watch.lines_read.connect(self._take)
        self.watch.went_wrong.connect(lambda text: self._say_of_folder(text, wrong=True))
        self.actions_.said.connect(self._say)
        self.actions_.changed.connect(self.watch.read)
        theme().changed.connect(self._paint)
        self._paint()
        self._see_selection()

    # from outside
    def open_folder(self, runs: Path) -> None:
        """Show the runs of another folder from now on."""
        self._read_once = False
        self._say_of_folder(f"Reading the runs in {runs} ...")
        self.model.set_lines(())
        self.watch.open(runs)

    def set_colours(self, colours: Mapping[Path, str]) -> None:
        """Show the colours of the curves of runs that are compared."""
        self.model.set_colours(colours)

    @property
    def selected(self) -> tuple[RunLine, ...]:
        """Get the lines of the selected runs, as they stand in the table from the top."""
        rows = sorted(index.row() for index in self.view.selectionModel().selectedRows())
        found = [self.model.row_of(self.filter.index(row, 0).data(PATH_ROLE)) for row in rows]
        return tuple(self.model.line(row) for row in found if row is not None)

    def select(self, path: Path) -> bool:
        """Select a run, and show it; whether it is there. One that is not is selected as soon as it is, unless another is."""
        row = self.model.row_of(path)
        if row is None:
            self.view.clearSelection()  # the buttons are about no other run than the one that was asked for
            self._awaited = path
            return False
        self._awaited = None
        index = self.filter.mapFromSource(self.model.index(row, 0))
        if not index.isValid():
            self.wanted.clear()
            index = self.filter.mapFromSource(self.model.index(row, 0))
        self.view.selectRow(index.row())
        self.view.scrollTo(index)
        return True

    # inside
    def _build(self) -> None:
        self.wanted = QLineEdit()
        self.wanted.setPlaceholderText("Find: words of name, device, method, state, tags ...")
        self.wanted.setClearButtonEnabled(True)
        self.wanted.setAccessibleName("Find runs")
        self.wanted.setToolTip("Shows the runs in which all these words occur (Ctrl+F)")
        self.wanted.textChanged.connect(self._find)
        self.count = QLabel()
        self.view = _view(self.filter)
        self.view.doubleClicked.connect(lambda _: self._wish(self.open_wanted))
        self.view.entered_key.connect(lambda: self._wish(self.open_wanted))
        self.view.selectionModel().selectionChanged.connect(self._selection_changed)
        self.message = QLabel()
        self.message.setWordWrap(True)
        self.message.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.entry = _Entry()
        self.entry.given.connect(self._note)
        top = QHBoxLayout()
        top.addWidget(self.wanted, 1)
        top.addWidget(self.count)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(GRID)
        layout.addLayout(top)
        layout.addWidget(self.view, 1)
        layout.addLayout(self._buttons())
        layout.addWidget(self.entry)
        layout.addWidget(self.message)

    def _buttons(self) -> QHBoxLayout:
        self.open_button = self._button("Open", "Show this run in its views (Enter)", lambda: self._wish(self.open_wanted))
        self.replay_button = self._button(
            "Replay", "Show this run as it was, with a time line (Ctrl+G)", lambda: self._wish(self.replay_wanted)
        )
        self.compare_button = self._button("Compare", "Put the selected runs side by side (Ctrl+K)", self._compare)
        self.resume_button = self._button(
            "Resume", "Go on with this run from its last checkpoint (Ctrl+R)", lambda: self._wish(self.resume_wanted)
        )
        self.as_that_button = self._button(
            "As that run", "Take the experiment of this run into the form (Ctrl+T)", lambda: self._wish(self.as_that_wanted)
        )
        self.export_button = self._button("Export as", "Write the tables of the selected runs for other programs", None)
        menu = QMenu(self.export_button)
        for name in FORMATS:
            menu.addAction(name, partial(self._export, name))
        self.export_button.setMenu(menu)
        self.bundle_button = self._button(
            "Bundle",
            "Put the selected runs into one file for the archive of a paper",
            lambda: self.actions_.bundle(self._paths()),
        )
        self.folder_button = self._button(
            "Open folder", "Show the folder of this run", lambda: self.actions_.open_folder(self._paths()[0])
        )
        self.note_button = self._button("Add note", "Write a note into this run (Ctrl+N)", lambda: self._ask_note("Note", ""))
        self.tags_button = self._button(
            "Add tags", "Add words to find this run by; they are kept among its notes", lambda: self._ask_note("Tags", "tags: ")
        )
        row = QHBoxLayout()
        row.setSpacing(GRID)
        for button in (
            self.open_button, self.replay_button, self.compare_button, self.resume_button, self.as_that_button,
            self.export_button, self.bundle_button, self.folder_button, self.note_button, self.tags_button,
        ):  # fmt: skip
            row.addWidget(button)
        row.addStretch(1)
        for keys, button in (
            ("Ctrl+K", self.compare_button), ("Ctrl+R", self.resume_button), ("Ctrl+T", self.as_that_button),
            ("Ctrl+N", self.note_button), ("Ctrl+G", self.replay_button),
        ):  # fmt: skip
            self._shortcut(keys, button.click)
        self._shortcut("Ctrl+F", self.wanted.setFocus)
        return row

    def _shortcut(self, keys: str, do_it: object) -> None:
        shortcut = QShortcut(QKeySequence(keys), self, context=Qt.ShortcutContext.WidgetWithChildrenShortcut)
        shortcut.activated.connect(do_it)

    def _button(self, text: str, tip: str, do_it: object) -> QPushButton:
        button = QPushButton(text)
        button.setToolTip(tip)
        if do_it is not None:
            button.clicked.connect(lambda _=False: do_it())  # type: ignore[operator]
        return button

    def _take(self, lines: tuple[RunLine, ...]) -> None:
        self.model.set_lines(lines)
        if self.message.text() == self._of_folder:
            nothing = f"There are no runs in {self.watch.folder}. The first one appears here as soon as it begins."
            self._say_of_folder("" if lines else nothing)
        if not self._read_once:
            self._read_once = True
            self.view.sortByColumn(Column.DATE, Qt.SortOrder.DescendingOrder)
            if lines and self._awaited is None and not self.view.selectionModel().hasSelection():
                self.view.selectRow(0)  # the newest: what one comes for in the morning
        if self._awaited is not None and self.model.row_of(self._awaited) is not None:
            self.select(self._awaited)
        self._say_count()
        self._see_selection()

    def _find(self, text: str) -> None:
        self.filter.set_text(text)
        self._say_count()

    def _say_count(self) -> None:
        shown, there = self.filter.rowCount(), self.model.rowCount()
        self.count.setText(f"{shown:,} of {there:,} runs" if shown != there else f"{there:,} run{'' if there == 1 else 's'}")

    def _selection_changed(self, new: QItemSelection, old: QItemSelection) -> None:
        self._see_selection()
        selected = self.selected
        self._awaited = None if selected else self._awaited
        if len(selected) == 1:
            self.chosen.emit(selected[0].path)

    def _see_selection(self) -> None:
        lines = self.selected
        one = len(lines) == 1
        for button in (
            self.open_button,
            self.replay_button,
            self.as_that_button,
            self.folder_button,
            self.note_button,
            self.tags_button,
        ):
            button.setEnabled(one)
        self.resume_button.setEnabled(one and lines[0].can_resume)
        self.compare_button.setEnabled(2 <= len(lines) <= MOST_COMPARED)
        self.export_button.setEnabled(bool(lines))
        self.bundle_button.setEnabled(bool(lines))

    def _paths(self) -> list[Path]:
        return [line.path for line in self.selected]

    def _wish(self, signal: object) -> None:
        lines = self.selected
        if len(lines) == 1:
            signal.emit(lines[0].path)  # type: ignore[attr-defined]

    def _export(self, format_name: str) -> None:
        self.actions_.export(self._paths(), format_name)

    def _compare(self) -> None:
        self.compare_wanted.emit(tuple(self._paths()))

    def _ask_note(self, what: str, text: str) -> None:
        """Let somebody write a note into the chosen run; it goes there whatever is chosen by then."""
        self._noted = self._paths()[0]
        self.entry.ask(f"{what} of {self._noted.name}", text)

    def _note(self, text: str) -> None:
        if self._noted is not None:
            self.actions_.add_note(self._noted, text)

    def _say_of_folder(self, text: str, *, wrong: bool = False) -> None:
        """Say something that the next reading of the folder may put right."""
        self._of_folder = text
        self._say(text, wrong)

    def _say(self, text: str, wrong: bool) -> None:
        self.message.setText(text)
        self.message.setProperty("wrong", wrong)
        self.message.setVisible(bool(text))
        self._paint()

    def _paint(self) -> None:
        now = theme().now
        self.count.setStyleSheet(f"color: {now.dim}")
        self.message.setStyleSheet(f"color: {now.fault if self.message.property('wrong') else now.dim}")


class _Entry(QWidget):
    """A line for a text that opens below the table; Enter gives it, Escape closes it."""

    given = Signal(str)

    def __init__(self) -> None:
        super().__init__()
        self.label, self.line = QLabel(), QLineEdit()
        self.line.setMaxLength(10_000)
        keep, leave = QPushButton("Keep"), QPushButton("Close")
        keep.setToolTip("Write it into the record (Enter)")
        leave.setToolTip("Write nothing (Escape)")
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(GRID)
        for widget, stretch in ((self.label, 0), (self.line, 1), (keep, 0), (leave, 0)):
            layout.addWidget(widget, stretch)
        self.line.returnPressed.connect(self._give)
        keep.clicked.connect(self._give)
        leave.clicked.connect(self.hide)
        escape = QShortcut(QKeySequence("Escape"), self, context=Qt.ShortcutContext.WidgetWithChildrenShortcut)
        escape.activated.connect(self.hide)
        self.hide()

    def ask(self, name: str, text: str) -> None:
        """Open the line with a text to begin from."""
        self.label.setText(name)
        self.line.setAccessibleName(name)
        self.line.setText(text)
        self.show()
        self.line.setFocus()

    def _give(self) -> None:
        text = self.line.text().strip()
        if text and text != "tags:":
            self.given.emit(text)
            self.hide()


class _View(QTableView):
    """A table that says when Enter is pressed in it."""

    entered_key = Signal()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Take Enter for a wish; all other keys are those of tables."""
        if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
            self.entered_key.emit()
        else:
            super().keyPressEvent(event)


def _view(model: RunsFilter) -> _View:
    view = _View()
    view.setModel(model)
    view.setAccessibleName("Runs")
    view.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
    view.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
    view.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
    view.setTabKeyNavigation(False)
    view.setShowGrid(False)
    view.setWordWrap(False)
    view.setSortingEnabled(True)
    view.sortByColumn(Column.DATE, Qt.SortOrder.DescendingOrder)
    view.verticalHeader().hide()
    view.verticalHeader().setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
    view.verticalHeader().setDefaultSectionSize(3 * GRID)
    view.setMinimumHeight(6 * 3 * GRID)
    head = view.horizontalHeader()
    head.setSectionsMovable(True)
    head.setStretchLastSection(True)
    head.setDefaultAlignment(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter)
    for column, width in _WIDTHS.items():
        view.setColumnWidth(column, width)
    return view
