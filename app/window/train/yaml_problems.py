"""What is wrong with the text, one sentence a line; activating one goes to its place."""

from __future__ import annotations

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QColor
from PySide6.QtWidgets import QLabel, QListWidget, QListWidgetItem, QVBoxLayout, QWidget

from aeqlab.app.window.theme import GRID, theme
from aeqlab.app.window.train.form_document import ExperimentDocument
from aeqlab.protocols.errors import Problem


class ProblemList(QWidget):
    """Lists problems and warnings of a document. `chosen(problem)`: one was activated."""

    chosen = Signal(object)

    def __init__(self, document: ExperimentDocument, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.document = document
        self._problems: tuple[Problem, ...] = ()
        self._warnings: tuple[Problem, ...] = ()
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(GRID // 2)
        self.title = QLabel("Not examined yet")
        self.title.setToolTip("F4 goes to the next one, Shift+F4 to the one before")
        column.addWidget(self.title)
        self.list = QListWidget()
        self.list.setAccessibleName("Problems of the experiment")
        self.list.setWordWrap(True)
        self.list.setTextElideMode(Qt.TextElideMode.ElideNone)
        self.list.itemActivated.connect(lambda item: self.chosen.emit(item.data(Qt.ItemDataRole.UserRole)))
        self.list.itemClicked.connect(lambda item: self.chosen.emit(item.data(Qt.ItemDataRole.UserRole)))
        column.addWidget(self.list, 1)
        document.opened.connect(self._opened)
        document.spliced.connect(lambda *_: self._waits())
        document.state_changed.connect(self._waits)
        document.examined.connect(lambda found: self._show(found.problems, found.warnings))
        theme().changed.connect(self._fill)

    def _opened(self) -> None:
        self._problems = self._warnings = ()
        self.list.clear()
        self.title.setText("Being examined: what the text says, and the files that it names")

    def _waits(self) -> None:
        """Say that what is listed is about the text as it was, until typing rests."""
        if not self.document.is_examined:
            self.list.setEnabled(False)

    def _show(self, problems: tuple[Problem, ...], warnings: tuple[Problem, ...]) -> None:
        self.list.setEnabled(True)
        if (problems, warnings) != (self._problems, self._warnings) or not self.list.count():
            self._problems, self._warnings = problems, warnings
            self._fill()

    def _fill(self) -> None:
        self.list.clear()
        for kind, ones, colour in (
            ("", self._problems, theme().now.fault),
            ("warning: ", self._warnings, theme().now.warning),
        ):
            for one in ones:
                item = QListWidgetItem(_in_words(kind, one, self.document.label))
                item.setForeground(QColor(colour))
                item.setData(Qt.ItemDataRole.UserRole, one)
                self.list.addItem(item)
        wrong, doubtful = len(self._problems), len(self._warnings)
        said = f"{wrong} problem{'s' * (wrong != 1)}" if wrong else "No problem found in the text"
        more = f", {doubtful} warning{'s' * (doubtful != 1)}" if doubtful else ""
        self.title.setText(f"{said}{more}{' (F4: next)' if wrong or doubtful else ''}")


def _in_words(kind: str, one: Problem, label: str) -> str:
    """Say a problem without the name of the file where it is this one."""
    elsewhere = f"{one.file}, " if one.file and one.file != label else ""
    line = "" if one.line is None else f"line {one.line}: "
    key = f"{one.key}: " if one.key else ""
    return f"{kind}{elsewhere}{line}{key}{one.message} {one.hint}".strip()
