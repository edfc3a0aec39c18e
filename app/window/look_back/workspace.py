"""Look back: the table of all runs, the story of the chosen one, and several side by side."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QSplitter, QTabWidget, QVBoxLayout, QWidget

from aeqlab.app.window.look_back.compare_panel import ComparePanel
from aeqlab.app.window.look_back.runs_table import RunsTable
from aeqlab.app.window.look_back.story_panel import StoryPanel
from aeqlab.app.window.theme import GRID
from aeqlab.protocols.run_list import RunLine


class LookBack(QWidget):
    """The workspace. The newest run is chosen at once, so that its story is there without a click.

    Signals:
        open_wanted: path of a run that is to be shown in its views.
        resume_wanted: path of a run to go on with.
        as_that_wanted: path of a run whose experiment is wanted in the form.
        jump_wanted: path of a run, time in s since 1970, and training step or None, of what one wants to see.
    """

    open_wanted = Signal(object)
    resume_wanted = Signal(object)
    as_that_wanted = Signal(object)
    jump_wanted = Signal(object, float, object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.table, self.story, self.compare = RunsTable(), StoryPanel(), ComparePanel()
        self._chosen: Path | None = None
        self._told: RunLine | None = None
        self.below = QTabWidget()
        self.below.setDocumentMode(True)
        self.below.addTab(self.story, "Story")
        self.below.addTab(self.compare, "Comparison")
        self.below.setTabToolTip(0, "What happened in the chosen run (Alt+1)")
        self.below.setTabToolTip(1, "The runs that are compared, side by side (Alt+2)")
        self.parts = QSplitter(Qt.Orientation.Vertical)
        self.parts.setChildrenCollapsible(False)
        self.parts.addWidget(self.table)
        self.parts.addWidget(self.below)
        self.parts.setStretchFactor(0, 2)
        self.parts.setStretchFactor(1, 3)
        self.parts.setSizes([280, 420])
        layout = QVBoxLayout(self)
        layout.setContentsMargins(GRID, GRID, GRID, GRID)
        layout.addWidget(self.parts)
        self.table.chosen.connect(self._choose)
        self.table.open_wanted.connect(self.open_wanted)
        self.table.resume_wanted.connect(self.resume_wanted)
        self.table.as_that_wanted.connect(self.as_that_wanted)
        self.table.compare_wanted.connect(self._compare)
        self.table.watch.lines_read.connect(self._lines_read)
        self.compare.coloured.connect(self.table.set_colours)
        self.story.jump_wanted.connect(self._jump)

    def open_runs_folder(self, path: Path) -> None:
        """Show the runs of a folder from now on; it is watched."""
        self.table.open_folder(path)

    def stop(self) -> None:
        """Read no more, as at the end of the window."""
        self.table.watch.stop()

    # inside
    def _choose(self, path: Path) -> None:
        self._chosen = path
        self._told = self._line()
        self.story.open(path)
        self.below.setCurrentWidget(self.story)

    def _line(self) -> RunLine | None:
        row = None if self._chosen is None else self.table.model.row_of(self._chosen)
        return None if row is None else self.table.model.line(row)

    def _lines_read(self, lines: object) -> None:
        """Tell the story anew where the chosen run went on, or was added to."""
        now = self._line()
        if now is not None and self._told is not None and now != self._told and self._chosen is not None:
            self._told = now
            self.story.open(self._chosen)

    def _compare(self, paths: tuple[Path, ...]) -> None:
        self.compare.compare(paths)
        self.below.setCurrentWidget(self.compare)

    def _jump(self, at: float, step: int | None) -> None:
        if self.story.story is not None:
            self.jump_wanted.emit(self.story.story.path, at, step)
