"""Look back: the table of all runs, the story of the chosen one, several side by side; on a page of its own the replay of one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QKeySequence, QShortcut
from PySide6.QtWidgets import QSplitter, QTabWidget, QVBoxLayout, QWidget

from aeqlab.app.window.look_back.compare_panel import ComparePanel
from aeqlab.app.window.look_back.replay_page import ReplayPage
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
        told: a sentence for the line of messages, and whether it is about something that went wrong.
    """

    open_wanted = Signal(object)
    resume_wanted = Signal(object)
    as_that_wanted = Signal(object)
    told = Signal(str, bool)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.table, self.story, self.compare = RunsTable(), StoryPanel(), ComparePanel()
        self._chosen: Path | None = None
        self._told: RunLine | None = None
        self._replay: ReplayPage | None = None
        self.below = QTabWidget()
        self.below.setDocumentMode(True)
        self.below.addTab(self.story, "Story")
        self.below.addTab(self.compare, "Comparison")
        self.parts = QSplitter(Qt.Orientation.Vertical)
        self.parts.setChildrenCollapsible(False)
        self.parts.addWidget(self.table)
        self.parts.addWidget(self.below)
        self.parts.setStretchFactor(0, 2)
        self.parts.setStretchFactor(1, 3)
        self.parts.setSizes([240, 460])
        runs, self._place = QWidget(), QWidget()
        for page, content in ((runs, self.parts), (self._place, None)):
            column = QVBoxLayout(page)
            column.setContentsMargins(*([GRID] * 4 if content is not None else [0] * 4))
            if content is not None:
                column.addWidget(content)
        self.pages = QTabWidget()
        self.pages.setDocumentMode(True)
        self.pages.addTab(runs, "Runs")
        self.pages.addTab(self._place, "Replay")
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.pages)
        self._tell_keys(runs)
        self.pages.currentChanged.connect(self._turned)
        self.table.chosen.connect(self._choose)
        self.table.open_wanted.connect(self.open_wanted)
        self.table.replay_wanted.connect(self.replay_at)
        self.table.resume_wanted.connect(self.resume_wanted)
        self.table.as_that_wanted.connect(self.as_that_wanted)
        self.table.compare_wanted.connect(self._compare)
        self.table.watch.lines_read.connect(self._lines_read)
        self.compare.coloured.connect(self.table.set_colours)
        self.compare.told.connect(self.told)
        self.story.jump_wanted.connect(self._jump)

    @property
    def replay(self) -> ReplayPage:
        """Get the page of the replay; made when it is first asked for."""
        if self._replay is None:
            self._replay = ReplayPage()
            self._replay.told.connect(self.told)
            column = self._place.layout()
            assert column is not None
            column.addWidget(self._replay)
        return self._replay

    def open_runs_folder(self, path: Path) -> None:
        """Show the runs of a folder from now on; it is watched."""
        self.table.open_folder(path)

    def show_story(self, folder: Path) -> None:
        """Show the story of a run, whether it is in the table or not."""
        self.pages.setCurrentIndex(0)
        if not self.table.select(folder):
            self._choose(folder)
        self.below.setCurrentWidget(self.story)

    def replay_at(self, folder: Path, time: float | None = None) -> None:
        """Show a run as it was at a time in s since 1970, or at its end, with the time line to move along."""
        self.replay.open(folder, time)
        self.pages.setCurrentIndex(1)
        self.replay.player.slider.setFocus()

    def stop(self) -> None:
        """Read no more, as at the end of the window."""
        self.table.watch.stop()
        if self._replay is not None:
            self._replay.close_run()

    # inside
    def _tell_keys(self, runs: QWidget) -> None:
        def to(tabs: QTabWidget, page: QWidget) -> Callable[[], None]:
            def turn() -> None:
                self.pages.setCurrentWidget(runs if tabs is self.below else page)
                tabs.setCurrentWidget(page)

            return turn

        for tabs, page, key, tip in (
            (self.below, self.story, "Alt+1", "What happened in the chosen run"),
            (self.below, self.compare, "Alt+2", "The runs that are compared, side by side"),
            (self.pages, self._place, "Alt+3", "A run as it was at any time"),
            (self.pages, runs, "Alt+4", "All runs, and the story of the chosen one"),
        ):
            tabs.setTabToolTip(tabs.indexOf(page), f"{tip} ({key})")
            shortcut = QShortcut(QKeySequence(key), self, context=Qt.ShortcutContext.WidgetWithChildrenShortcut)
            shortcut.activated.connect(to(tabs, page))

    def _turned(self, index: int) -> None:
        """Replay the chosen run where nothing is replayed yet: an empty page would help nobody."""
        if index == 1 and self.replay.folder is None and self._chosen is not None:
            self.replay.open(self._chosen)

    def _choose(self, path: Path) -> None:
        self._chosen = path
        self._told = self._line()
        self.story.open(path)
        self.below.setCurrentWidget(self.story)

    def _line(self) -> RunLine | None:
        row = None if self._chosen is None else self.table.model.row_of(self._chosen)
        return None if row is None else self.table.model.line(row)

    def _lines_read(self, lines: object) -> None:
        """Tell the story anew where the chosen run went on, was added to, or is in the table only now."""
        now = self._line()
        if now is not None and now != self._told and self._chosen is not None:
            self._told = now
            self.story.open(self._chosen)

    def _compare(self, paths: tuple[Path, ...]) -> None:
        self.compare.compare(paths)
        self.below.setCurrentWidget(self.compare)

    def _jump(self, at: float, step: int | None) -> None:
        if self.story.story is not None:
            self.replay_at(self.story.story.path, at)
