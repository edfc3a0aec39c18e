"""The experiment of the Train workspace: its stages and its form beside its YAML, what is wrong with it, and the check."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from PySide6.QtCore import Qt, QTimer, Signal
from PySide6.QtGui import QAction, QKeySequence, QShortcut
from PySide6.QtWidgets import QFileDialog, QHBoxLayout, QLabel, QMenu, QPushButton, QSplitter, QTabWidget, QVBoxLayout, QWidget

from aeqlab.app.window.models.experiment_edits import Path_
from aeqlab.app.window.models.experiment_text import preset_summaries
from aeqlab.app.window.models.launcher import AsShown
from aeqlab.app.window.notice import Notice
from aeqlab.app.window.theme import GRID, theme
from aeqlab.app.window.train.check_panel import CheckPanel
from aeqlab.app.window.train.form import ExperimentForm
from aeqlab.app.window.train.form_document import ExperimentDocument
from aeqlab.app.window.train.sequence_list import SequenceList
from aeqlab.app.window.train.yaml_editor import YamlEditor
from aeqlab.app.window.train.yaml_problems import ProblemList
from aeqlab.protocols.errors import Problem

LOOK_MS = 3000  #: between two looks at the file, while the panel is in sight
_FILES = "Experiments (*.yaml *.yml);;All files (*)"


class ExperimentPanel(QWidget):
    """Opens, shows, changes, checks and saves one experiment; it starts nothing itself.

    `run_wanted(what)`: someone wants a run of it: the `Path` of its file where that says the same, else `AsShown`.
    """

    run_wanted = Signal(object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.document = ExperimentDocument(self)
        self.form = ExperimentForm(self.document)
        self.editor = YamlEditor(self.document)
        self.sequence = SequenceList(self.document)
        self.problems = ProblemList(self.document)
        self.check = CheckPanel(self.document)
        self.notice = Notice()
        self._dialog: QFileDialog | None = None
        column = QVBoxLayout(self)
        column.setContentsMargins(GRID, GRID, GRID, GRID)
        column.setSpacing(GRID)
        column.addLayout(self._bar())
        column.addWidget(self.notice)
        column.addWidget(self._panes(), 1)
        document = self.document
        document.state_changed.connect(self._name)
        document.opened.connect(self._opened)
        document.refused.connect(self._refused)
        document.file_changed.connect(self._file_changed)
        document.saved.connect(lambda _: self._saved())
        self.sequence.chosen.connect(self.form.show_stage)
        self.problems.chosen.connect(self.show_problem)
        self.check.chosen.connect(self.show_problem)
        document.examined.connect(lambda found: self.below.setTabText(0, _counted(len(found.problems), len(found.warnings))))
        self._timer = QTimer(self, interval=LOOK_MS)
        self._timer.timeout.connect(self._look)
        self._timer.start()
        self._told = ""
        self._let_be = ""  # what was told of the file and is to be left so
        for keys, step in (("F4", 1), ("Shift+F4", -1)):
            shortcut = QShortcut(QKeySequence(keys), self)
            shortcut.setContext(Qt.ShortcutContext.WidgetWithChildrenShortcut)
            shortcut.activated.connect(partial(self.editor.go_to_next, step))
        self._name()

    # making
    def _bar(self) -> QHBoxLayout:
        bar = QHBoxLayout()
        bar.setSpacing(GRID)
        self.presets = QPushButton("Open preset")
        self.presets.setToolTip("Experiments that ship with aeqlab; a preset becomes a file of yours when it is saved")
        menu = QMenu(self.presets)
        for name, said in preset_summaries().items():
            action = QAction(f"{name}:  {said}" if said else name, menu)
            action.triggered.connect(lambda _=False, name=name: self.open_preset(name))
            menu.addAction(action)
        self.presets.setMenu(menu)
        bar.addWidget(self.presets)
        self._action(bar, "Open file...", QKeySequence.StandardKey.Open, self._ask_file)
        self.save_button = self._action(bar, "Save", QKeySequence.StandardKey.Save, self.save)
        self._action(bar, "Save as...", QKeySequence.StandardKey.SaveAs, self.save_as)
        self.undo = self._action(bar, "Undo", QKeySequence.StandardKey.Undo, self.document.undo)
        self.redo = self._action(bar, "Redo", QKeySequence.StandardKey.Redo, self.document.redo)
        self.title = QLabel()
        self.title.setFont(theme().font(bold=True))
        bar.addWidget(self.title, 1)
        self.check.button.clicked.connect(lambda: self.below.setCurrentWidget(self.check))
        bar.addWidget(self.check.button)
        self.start = QPushButton("Start run")
        self.start.setToolTip("Start a run of this experiment as it stands here (Ctrl+Return)")
        self.start.setShortcut("Ctrl+Return")
        self.start.clicked.connect(self.want_run)
        bar.addWidget(self.start)
        return bar

    def _action(self, bar: QHBoxLayout, text: str, key: QKeySequence.StandardKey, work: Callable[[], None]) -> QPushButton:
        button = QPushButton(text)
        keys = QKeySequence(key)
        if not keys.isEmpty():
            button.setShortcut(keys)
            button.setToolTip(f"{text.rstrip('.')} ({keys.toString()})")
        button.clicked.connect(work)
        bar.addWidget(button)
        return button

    def _panes(self) -> QSplitter:
        left, right, whole = (
            QSplitter(Qt.Orientation.Vertical),
            QSplitter(Qt.Orientation.Vertical),
            QSplitter(Qt.Orientation.Horizontal),
        )
        self.below = QTabWidget()
        self.below.setDocumentMode(True)
        self.below.addTab(self.problems, "Problems")
        self.below.addTab(self.check, "Check")
        for splitter, widgets, sizes in (
            (left, (self.sequence, self.form), (260, 460)),
            (right, (self.editor, self.below), (500, 220)),
            (whole, (left, right), (640, 620)),
        ):
            for widget in widgets:
                splitter.addWidget(widget)
            splitter.setSizes(list(sizes))
            splitter.setHandleWidth(GRID)
            splitter.setChildrenCollapsible(False)
        return whole

    # files
    def open_preset(self, name: str) -> None:
        """Show a preset, unless there is unsaved work: then it asks first."""
        self._leave(lambda: self.document.open_preset(name), name)

    def open_file(self, path: Path) -> None:
        """Show a file, errors and all, unless there is unsaved work: then it asks first."""
        self._leave(lambda: self.document.open_file(path), path.name)

    def save(self) -> None:
        """Save it into its file; one without a file asks for a name."""
        if self.document.path is None:
            self.save_as()
        else:
            self.document.save()

    def save_as(self) -> None:
        """Ask for a file and save it there."""
        dialog = self._file_dialog("Save the experiment as", QFileDialog.AcceptMode.AcceptSave)
        dialog.setDefaultSuffix("yaml")
        dialog.selectFile(self.document.path.name if self.document.path else f"{self.document.label.replace(' ', '-')}.yaml")
        dialog.setOption(QFileDialog.Option.DontConfirmOverwrite)  # that is asked in a line of the panel, not by a dialog
        dialog.fileSelected.connect(lambda chosen: self.document.save(Path(chosen)))
        dialog.show()

    def _ask_file(self) -> None:
        dialog = self._file_dialog("Open an experiment", QFileDialog.AcceptMode.AcceptOpen)
        dialog.setFileMode(QFileDialog.FileMode.AnyFile)  # of one that is not there Qt would tell in a box that waits
        dialog.fileSelected.connect(lambda chosen: self.open_file(Path(chosen)))
        dialog.show()

    def _file_dialog(self, title: str, mode: QFileDialog.AcceptMode) -> QFileDialog:
        self._dialog = dialog = QFileDialog(self, title, str(self.document.model.base), _FILES)
        dialog.setOption(QFileDialog.Option.DontUseNativeDialog)  # a native one would keep the window from FREEZE
        dialog.setAcceptMode(mode)
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        return dialog

    def _leave(self, go_on: Callable[[], None], where: str) -> None:
        self.notice.leave(self.document.label if self.document.modified else "", self.save, go_on, where)

    # what happened
    def _name(self) -> None:
        document = self.document
        self.title.setText(f"{document.label}{' (not saved)' if document.modified else ''}")
        self.title.setToolTip("a preset, or new: it has no file yet" if document.path is None else str(document.path))
        self.undo.setEnabled(document.model.can_undo)
        self.redo.setEnabled(document.model.can_redo)

    def _refused(self, why: str) -> None:
        self.notice.say(why)

    def _opened(self) -> None:
        self._let_be = ""
        self._name()

    def _saved(self) -> None:
        self._let_be = ""
        self.notice.end()

    def _file_changed(self, why: str, target: Path | None) -> None:
        if why == self._let_be or (why == self._told and self.notice.isVisible()):
            return
        self._tell_of_file(why, target)

    def _tell_of_file(self, why: str, target: Path | None) -> None:
        def leave() -> None:
            self._let_be = why  # looking at the file does not say it again and again

        self._told = why
        choices: list[tuple[str, Callable[[], None] | None]] = []
        if target is None and "not there any more" not in why:
            choices.append(("Load the file", self.document.reload))
        choices += [
            ("Overwrite the file", lambda: self.document.save(target, overwrite=True)),
            ("Save as...", self.save_as),
            ("Later", leave),
        ]
        self.notice.say(why, choices)

    def _look(self) -> None:
        """Look at the file, if it is in sight and nothing is being said."""
        if self.isVisible() and not self.notice.isVisible():
            self.document.look_at_file()

    def show_problem(self, problem: Problem) -> None:
        """Go to the line of a problem, and show its field."""
        if problem.file == self.document.label and problem.line is not None:
            self.editor.go_to(problem.line, problem.column or 1)
        path: Path_ = tuple(int(step) if step.isdecimal() else step for step in problem.key.split(".")) if problem.key else ()
        stage = max((row.path for row in self.sequence.rows if path[: len(row.path)] == row.path), key=len, default=None)
        if stage is not None:
            self.sequence.choose(stage)
        field = self.form.field_at(path)
        if field is not None:
            self.form.show_field(field)

    def want_run(self) -> None:
        """Say that a run is wanted, if nothing is known that would keep it from running."""
        document = self.document
        if not document.is_examined or document.found is None:
            self.notice.say("What was typed last is still being examined; start again in a moment.")
        elif document.found.problems:
            count = len(document.found.problems)
            self.below.setCurrentWidget(self.problems)
            self.notice.say(f"It cannot run yet: {count} problem{'s' * (count > 1)}, listed below. F4 in the text goes to each.")
        else:
            path, text = document.path, document.text

            def looked(why: str) -> None:
                if why:
                    self._tell_of_file(f"{why} Nothing was started.", None)
                elif text == document.text:
                    self.run_wanted.emit(path)
                else:
                    self.want_run()

            if path is None or document.modified:
                self.run_wanted.emit(AsShown(text, document.model.base))
            else:  # what runs is the file: it must say what is shown here
                document.look_at_file(looked)


def _counted(problems: int, warnings: int) -> str:
    found = [f"{count} {word}" for count, word in ((problems, "wrong"), (warnings, "doubtful")) if count]
    return f"Problems: {', '.join(found)}" if found else "Problems: none found"
