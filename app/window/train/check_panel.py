"""The check before a run: what `aeqlab check` says of the text as it stands; touches no device."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QColor, QResizeEvent
from PySide6.QtWidgets import QHeaderView, QLabel, QPushButton, QTableWidget, QTableWidgetItem, QVBoxLayout, QWidget

from aeqlab.app.checking import in_words
from aeqlab.app.window.jobs import do
from aeqlab.app.window.theme import GRID, theme
from aeqlab.app.window.train.form_document import ExperimentDocument
from aeqlab.protocols.check import check
from aeqlab.protocols.errors import FileErrors, Problem
from aeqlab.protocols.experiment import load_text


class Checked:
    """What a check found.

    Attributes:
        text: that was checked.
        verdict: the first line.
        lines: name and value of each other line.
        problems: what keeps it from running, and warnings, in words, each with its place.
    """

    def __init__(self, text: str, label: str, base: Path, path: Path | None) -> None:
        self.text = text
        self.lines: list[tuple[str, str]] = []
        self.problems: list[tuple[str, Problem]] = []
        try:
            loaded = load_text(text, label, base, path)
        except FileErrors as exc:
            wrong = len(exc.problems)
            self.verdict = f"cannot run: {wrong} problem{'s' * (wrong > 1)}"
            self.problems = [("problem", one) for one in exc.problems]
            return
        report = check(loaded)
        self.verdict, *rest = in_words(loaded, report)
        self.lines = [(name.strip(), value.strip()) for name, _, value in (line.strip().partition("  ") for line in rest)]
        self.problems = [("problem", one) for one in report.problems] + [("warning", one) for one in report.warnings]


class CheckPanel(QWidget):
    """What the check found; `button` begins it, and belongs where it is always in sight, as its key is dead elsewhere.

    `chosen(problem)`: a line with a place was activated; `checked(found)`: a `Checked`.
    """

    chosen = Signal(object)
    checked = Signal(object)

    def __init__(self, document: ExperimentDocument, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.document = document
        self.found: Checked | None = None
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(GRID // 2)
        self.button = QPushButton("Check")
        self.button.setToolTip("Say what the experiment would do: range of every knob, time, disk; no device is touched (F3)")
        self.button.setShortcut("F3")
        self.button.clicked.connect(self.check)
        self.verdict = QLabel("Not checked yet")
        self.verdict.setWordWrap(True)
        column.addWidget(self.verdict)
        self.list = _Lines()
        self.list.cellActivated.connect(self._activated)
        self.list.cellClicked.connect(self._activated)
        column.addWidget(self.list, 1)
        document.state_changed.connect(self._aged)
        document.opened.connect(self._forget)

    def check(self) -> None:
        """Check the text in a thread."""
        model = self.document.model
        text, label, base, path = model.text, model.label, model.base, model.path
        self.button.setEnabled(False)
        self.verdict.setText("Being checked: files that it names are looked at, no device is touched")

        def take(found: Checked) -> None:
            self.button.setEnabled(True)
            if model is self.document.model:  # else it is about another experiment than the one that is shown
                self._show(found)

        def failed(exc: Exception) -> None:
            self.button.setEnabled(True)
            if model is self.document.model:
                self.verdict.setText(f"The check could not be done: {exc}")

        do(self, lambda: Checked(text, label, base, path), take, failed, name="check experiment")

    def _show(self, found: Checked) -> None:
        self.found = found
        shown = [(kind, str(one), one) for kind, one in found.problems] + [(name, value, None) for name, value in found.lines]
        self.list.setRowCount(len(shown))
        for row, (name, value, problem) in enumerate(shown):
            self._put(row, name, value, problem)
        self.list.fit()
        self._aged()
        self.checked.emit(found)

    def _put(self, row: int, name: str, value: str, problem: Problem | None) -> None:
        for index, text in enumerate((name, value)):
            item = QTableWidgetItem(text)
            item.setTextAlignment(Qt.AlignmentFlag.AlignTop)
            item.setData(Qt.ItemDataRole.UserRole, problem)
            if problem is not None:
                item.setForeground(QColor(theme().now.fault if name == "problem" else theme().now.warning))
            self.list.setItem(row, index, item)

    def _aged(self) -> None:
        """Say whether what is shown is about the text as it stands."""
        if self.found is not None:
            old = self.found.text != self.document.text
            self.list.setEnabled(not old)
            self.verdict.setText(f"{self.found.verdict}{' (before the last change: check again)' if old else ''}")

    def _forget(self) -> None:
        self.found = None
        self.list.setRowCount(0)
        self.verdict.setText("Not checked yet")

    def _activated(self, row: int, _: int) -> None:
        item = self.list.item(row, 0)
        problem = None if item is None else item.data(Qt.ItemDataRole.UserRole)
        if problem is not None:
            self.chosen.emit(problem)


class _Lines(QTableWidget):
    """Names and values, the values over as many lines as they need."""

    def __init__(self) -> None:
        super().__init__(0, 2)
        self.horizontalHeader().hide()
        self.verticalHeader().hide()
        self.verticalHeader().setMinimumSectionSize(GRID)
        self.setShowGrid(False)
        self.setWordWrap(True)
        self.setEditTriggers(QTableWidget.EditTrigger.NoEditTriggers)
        self.setSelectionBehavior(QTableWidget.SelectionBehavior.SelectRows)
        self.horizontalHeader().setSectionResizeMode(0, QHeaderView.ResizeMode.ResizeToContents)
        self.horizontalHeader().setSectionResizeMode(1, QHeaderView.ResizeMode.Stretch)
        self.setTabKeyNavigation(False)
        self.setAccessibleName("What the check found")

    def fit(self) -> None:
        """Make each line as high as it needs to be."""
        for row in range(self.rowCount()):
            self.setRowHeight(row, self.sizeHintForRow(row) + GRID // 2)

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Wrap anew."""
        super().resizeEvent(event)
        self.fit()
