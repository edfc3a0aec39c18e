"""Step 5 of the guide: what is wrong still, where the file goes, saving it, and opening a session that can arm the rig."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QFontDatabase, QShowEvent
from PySide6.QtWidgets import QFileDialog, QLineEdit, QListWidget, QListWidgetItem, QPlainTextEdit, QWidget

from aeqlab.app.window.connect.guide_model import GuideModel
from aeqlab.app.window.connect.pieces import Words, button, column, heading, row
from aeqlab.app.window.jobs import do
from aeqlab.app.window.models.rig_problems import RigProblem
from aeqlab.app.window.models.rig_saving import OverwriteError
from aeqlab.app.window.models.rig_yaml import OnDisk
from aeqlab.app.window.theme import GRID
from aeqlab.protocols.errors import RecordError

_PROBLEM = Qt.ItemDataRole.UserRole
NOT_ASKED = "Which settings arming will change, only the instruments can say: open a session on the saved file."


class ArmingStep(QWidget):
    """Problems, the file, and what arming will change."""

    jump = Signal(object)  #: a `RigProblem` that somebody wants to mend
    session_wanted = Signal(str)  #: the path of the saved rig file
    saved = Signal(str)  #: the path

    def __init__(self, guide: GuideModel) -> None:
        super().__init__()
        self.guide = guide
        self._saving = False
        self._asked = 0
        self.problems = QListWidget()
        self.problems.setAccessibleName("what is wrong or missing")
        self.problems.setWordWrap(True)
        self.problems.setToolTip("Enter or a click goes to where it is mended.")
        self.problems.itemClicked.connect(self._go)
        self.problems.itemActivated.connect(self._go)
        self.state = Words()
        self.path = QLineEdit()
        self.path.setAccessibleName("path of the rig file")
        self.path.setPlaceholderText("bench.yaml")
        self.browse_button = button("Browse...", self.browse, "Chooses where the file goes")
        self.save_button = button("Save", self.save, "Writes the rig file; comments in it stay", "Ctrl+S")
        self.over_button = button("Write over the file on disk", lambda: self.save(over=True), "What is in that file now is lost")
        self.over_button.hide()
        self.session_button = button(
            "Open a session on it",
            self._session,
            "Opens the instruments; moves and sets nothing until the rig is armed",
            "Ctrl+Return",
        )
        self.words = Words()
        self.dies = Words()
        self.arming = Words(NOT_ASKED, kind="dim")
        self.listed = QPlainTextEdit()  # a rig has hundreds of settings
        self.listed.setReadOnly(True)
        self.listed.setMaximumHeight(12 * GRID)
        self.listed.setAccessibleName("what arming will change")
        self.listed.hide()
        self.text = QPlainTextEdit()
        self.text.setReadOnly(True)
        self.text.setFont(QFontDatabase.systemFont(QFontDatabase.SystemFont.FixedFont))
        self.text.setLineWrapMode(QPlainTextEdit.LineWrapMode.NoWrap)
        self.text.setAccessibleName("the rig file as it will be saved")
        left = column(
            heading("Still to be mended"), self.state, self.problems, heading("Rig file"),
            row(self.path, self.browse_button, stretch=0), row(self.save_button, self.over_button, self.session_button, None),
            self.words, heading("Arming"), self.arming, self.listed, heading("If this computer dies now"), self.dies, None,
            stretch=2,
        )  # fmt: skip
        right = column(heading("The file as it will be saved"), self.text, stretch=1)
        page = row(left, right)
        layout = page.layout()
        assert layout is not None
        layout.setStretch(0, 1)  # type: ignore[attr-defined]
        layout.setStretch(1, 1)  # type: ignore[attr-defined]
        self.setLayout(layout)
        self.path.textChanged.connect(lambda _: self.over_button.hide())  # it was asked about another file
        guide.changed.connect(self._show_text)
        guide.changed.connect(self.refresh)
        guide.replaced.connect(self._replaced)
        guide.checked.connect(self.refresh)
        self._replaced()

    def _replaced(self) -> None:
        path = self.guide.draft.path
        self.path.setText(str(path) if path is not None else "")
        self.over_button.hide()
        self.words.clear()
        self._show_text()
        self.refresh()

    def showEvent(self, event: QShowEvent) -> None:  # noqa: D102
        super().showEvent(event)
        self._show_text()

    def _show_text(self) -> None:
        if not self.isVisible():
            return
        self._asked += 1
        number = self._asked

        def show(text: str) -> None:
            if number == self._asked and text != self.text.toPlainText():
                bar = self.text.verticalScrollBar()
                at = bar.value()
                self.text.setPlainText(text)
                bar.setValue(at)

        do(self, self.guide.draft.writer(), show, lambda exc: show(f"# {exc}"), name="writing a rig file out")

    def refresh(self) -> None:
        """Show what is wrong, and what becomes of the rig when this computer dies."""
        verdict = self.guide.verdict
        self.problems.clear()
        told: set[str] = set()
        for one in verdict.problems:
            if one.text in told:  # two rows with one channel: the first leads to it
                continue
            told.add(one.text)
            mark = "○" if one.missing else "✕"
            item = QListWidgetItem(f"{mark} {one.step.value}: {one.text}")
            item.setData(_PROBLEM, one)
            self.problems.addItem(item)
        self.problems.setVisible(bool(verdict.problems))
        missing = sum(one.missing for one in verdict.problems)
        wrong = len(verdict.problems) - missing
        if self.guide.checking:
            self.state.say("The file is being checked.", "dim")
        elif not verdict.problems:
            self.state.say("Nothing is missing and nothing is wrong, as far as can be known without connecting.", "good")
        else:
            parts = [f"{missing} missing"] * bool(missing) + [f"{wrong} wrong"] * bool(wrong)
            self.state.say(f"{', '.join(parts)}. The file can be saved as it is; a session needs it whole.", "warning")
        self.dies.say(*self.guide.if_dies())
        self._session_state()

    def _session_state(self) -> None:
        draft = self.guide.draft
        why = ""
        if self.guide.checking:
            why = "The file is being checked."
        elif self.guide.verdict.problems:
            why = "Mend what is wrong first."
        elif draft.path is None or draft.changed:
            why = "Save the file first."
        self.session_button.setEnabled(not why)
        self.session_button.setToolTip(
            why or "Opens the instruments; moves and sets nothing until the rig is armed (Ctrl+Return)"
        )

    def _go(self, item: QListWidgetItem) -> None:
        problem = item.data(_PROBLEM)
        if isinstance(problem, RigProblem):
            self.jump.emit(problem)

    def browse(self) -> None:
        """Ask for the path, beside the window."""
        dialog = QFileDialog(
            self, "Where the rig file goes", self.path.text() or str(Path.cwd() / "bench.yaml"), "Rig files (*.yaml)"
        )
        dialog.setAcceptMode(QFileDialog.AcceptMode.AcceptSave)
        dialog.setOption(QFileDialog.Option.DontConfirmOverwrite, True)  # asked here, in the window
        dialog.setOption(QFileDialog.Option.DontUseNativeDialog)  # a native one would keep the window from FREEZE
        dialog.setDefaultSuffix("yaml")
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.fileSelected.connect(self.path.setText)
        dialog.show()  # not modal, for the same reason

    def save(self, *, over: bool = False) -> None:
        """Save the file, beside the window's thread."""
        name = self.path.text().strip()
        if not name:
            self.words.say("Write where the file goes, such as bench.yaml.", "wrong")
            self.path.setFocus()
            return
        if self._saving:
            return
        path, draft = Path(name).expanduser(), self.guide.draft
        try:
            saving = draft.saving(path)
        except RecordError as exc:
            self.words.say(str(exc), "wrong")
            return
        self._saving = True
        self.save_button.setEnabled(False)
        self.words.say(f"Writing {path}.")

        def done(disk: OnDisk) -> None:
            self._saved_or_not()
            draft.take_saved(saving, disk)
            if draft is not self.guide.draft:
                return
            self.over_button.hide()
            self.guide.recheck()
            self.guide.changed.emit()
            self.words.say(f"Saved as {path}.", "good")
            self.saved.emit(str(path))

        def failed(exc: Exception) -> None:
            self._saved_or_not()
            self.over_button.setVisible(isinstance(exc, OverwriteError))
            self.words.say(str(exc), "wrong")

        do(self, lambda: saving.write(over=over), done, failed, name="saving a rig file")

    def _saved_or_not(self) -> None:
        self._saving = False
        self.save_button.setEnabled(True)

    def _session(self) -> None:
        draft, path = self.guide.draft, self.guide.draft.path
        if path is None:
            return

        def seen(changed: bool) -> None:
            if changed:  # a session would get what is in the file, and not what is shown
                self.words.say(f"{path} was changed by somebody else meanwhile. Open it again, or save this over it.", "wrong")
            else:
                self.session_wanted.emit(str(path.resolve()))

        do(self, draft.changed_on_disk, seen, lambda exc: self.words.say(str(exc), "wrong"), name="looking at a rig file")

    def set_arming(self, told: Sequence[str] | str | None, device: str = "") -> None:
        """Show what the session of a device says that arming will change, or why it does not; None: none is connected."""
        lines = [] if told is None or isinstance(told, str) else list(told)
        said = f"as the session of {device or 'the rig'} said at {time.strftime('%H:%M:%S')}"
        if told is None:
            self.arming.say(NOT_ASKED, "dim")
        elif isinstance(told, str):
            self.arming.say(f"What arming will change is not known, and is asked again: {told}", "warning")
        elif lines:
            many = f"{len(lines)} settings" if len(lines) > 1 else "One setting"
            self.arming.say(f"{many} would be changed, {said}:")
        else:
            self.arming.say(f"Nothing would be changed, {said}: all is as its rig file wants it.")
        self.listed.setPlainText("\n".join(lines))
        self.listed.setVisible(bool(lines))

    def show_problem(self, problem: RigProblem) -> None:
        """Go to where a problem is mended: those of the file itself are in its text."""
        self.text.setFocus()
