"""Train: the run that is shown, its sequence, and the experiment as a form beside its YAML, in three pages."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QKeySequence, QShortcut
from PySide6.QtWidgets import QTabWidget, QVBoxLayout, QWidget

from aeqlab.app.window.models.commander import Answer
from aeqlab.app.window.models.run_feed import RunView
from aeqlab.app.window.models.session_feed import SessionView
from aeqlab.app.window.train.experiment_panel import ExperimentPanel
from aeqlab.app.window.train.live import LivePanels
from aeqlab.app.window.train.running_sequence import RunningSequence


class Train(QWidget):
    """The workspace.

    `run_wanted` brings the experiment that is to be run: a file, or `AsShown`. `edit_wanted` brings a change of the sequence that
    is to be sent to the run that is shown; `take_answer` takes what it said to that.
    """

    run_wanted = Signal(object)
    edit_wanted = Signal(str)
    told = Signal(str, bool)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.experiment, self.live, self.sequence = ExperimentPanel(), LivePanels(), RunningSequence()
        self.pages = QTabWidget()
        self.pages.setDocumentMode(True)
        self.pages.addTab(self.live, "Run")
        self.pages.addTab(self.sequence, "Sequence")
        self.pages.addTab(self.experiment, "Experiment")
        self.pages.setTabToolTip(0, "What the run that is shown does, or did (Ctrl+Page Up)")
        self.pages.setTabToolTip(1, "Its stages; those to come are changed here while it goes on (Ctrl+Page Up, Ctrl+Page Down)")
        self.pages.setTabToolTip(2, "What is to be done next: the form and its YAML (Ctrl+Page Down)")
        for keys, step in (("Ctrl+PgUp", -1), ("Ctrl+PgDown", 1)):
            shortcut = QShortcut(QKeySequence(keys), self, context=Qt.ShortcutContext.WidgetWithChildrenShortcut)
            shortcut.activated.connect(lambda step=step: self.pages.setCurrentIndex(self.pages.currentIndex() + step))
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.pages)
        self.experiment.run_wanted.connect(self.run_wanted)
        self.sequence.edit_wanted.connect(self.edit_wanted)
        self.live.sequence_wanted.connect(lambda: self.pages.setCurrentWidget(self.sequence))
        self.live.told.connect(lambda text: self.told.emit(text, False))
        self.live.went_wrong.connect(lambda text: self.told.emit(text, True))
        self._folder: Path | None = None

    def show_run(self, folder: Path | None) -> None:
        """Turn to another run, or to none."""
        if folder != self._folder:
            self._folder = folder
            self.live.clear()
            self.sequence.set_value(None)
        if folder is not None:
            self.pages.setCurrentWidget(self.live)

    def show_experiment(self, path: Path) -> None:
        """Open an experiment file in the form; one with mistakes opens with them marked."""
        self.experiment.open_file(path)
        self.pages.setCurrentWidget(self.experiment)

    def set_value(self, run: RunView | None, session: SessionView | None) -> None:
        """Take what is known now; nothing is drawn before `redraw`."""
        if run is not None and run.folder == self._folder:
            self.live.set_run(run, session)
            self.sequence.set_value(run.sequence)

    def take_answer(self, answer: Answer) -> None:
        """Take what was said to a command; only that to a change of the sequence concerns this workspace."""
        self.sequence.take_answer(answer)

    def redraw(self) -> None:
        """Draw what has changed, where it can be seen."""
        if self.live.panels.seen:
            self.live.redraw()
