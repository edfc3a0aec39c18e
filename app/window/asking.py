"""What the window asks and offers under its banner, each in a row of its own; nothing of it keeps anything from being used."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QApplication, QLineEdit, QPlainTextEdit, QVBoxLayout, QWidget

from aeqlab.app.window.control_bar import held_by, taking
from aeqlab.app.window.inline_row import InlineRow
from aeqlab.app.window.models.commander import Answer
from aeqlab.app.window.models.offers import LOOK_BACK, RESUME, SAFE, TAKE, Offer
from aeqlab.app.window.models.run_feed import RunView

ANSWER = (("answer", "Answer", "Sends the answer to the run, which goes on with it (Enter)"),)
NOTE = (
    ("note", "Add note", "Writes it into the record of the run, with your name and the time (Enter)"),
    ("leave", "Drop it", "Nothing is written (Esc)"),
)
CLOSE = (
    ("close", "Close without saving", "The changes are lost; what runs goes on"),
    ("leave", "Stay", "Nothing is closed (Esc)"),
)
CONTROL = "take"


class Asking(QWidget):
    """The rows.

    Signals:
        answered: the answer to the question of the run.
        note_written: the folder of a run, and a note for it.
        resume_wanted, look_back_wanted: the folder of the run.
        safe_wanted, take_wanted: the LostSession.
        control_wanted: take the control token from somebody, as the session names them.
        close_wanted: close the window, though changes are not saved.
    """

    answered = Signal(str)
    note_written = Signal(object, str)
    resume_wanted = Signal(object)
    look_back_wanted = Signal(object)
    safe_wanted = Signal(object)
    take_wanted = Signal(object)
    control_wanted = Signal(str)
    close_wanted = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.offer = InlineRow("What ended, and what may be done")
        self.question = InlineRow("Question of the run", "answer")
        self.note = InlineRow("Note", "what is to be remembered of this run")
        self.control = InlineRow("Taking control")
        self.closing = InlineRow("Closing the window")
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(1)
        for row in (self.offer, self.question, self.note, self.control, self.closing):
            column.addWidget(row)
        self._offered: Offer | None = None
        self._run: RunView | None = None
        self._noted: Path | None = None
        self._sent: tuple[Path, str] | None = None  # the note that was sent last, until it is answered
        self._closed: set[str] = set()
        self._asked = self._holder = ""
        self.offer.chosen.connect(self._take_offer)
        self.question.chosen.connect(lambda _, text: self.answered.emit(text))
        self.note.chosen.connect(self._take_note)
        self.control.chosen.connect(self._take_control)
        self.closing.chosen.connect(self._take_closing)

    def set_value(self, run: RunView | None, offer: Offer | None) -> None:
        """Show the question of the run, if it asks one, and what is offered."""
        before, self._run = self._run, run
        if run is not None and run.alive:  # where it ends once more that is told once more
            self._closed = {one for one in self._closed if not one.startswith(f"{run.folder} ")}
        asked = "" if run is None or not run.alive else str((run.progress or {}).get("question") or "")
        if run is not None and run.alive and run.progress is None and before is not None and before.folder == run.folder:
            asked = self._asked  # it does not answer just now: what is being written stays
        if asked != self._asked:
            self._asked = asked
            if asked:
                what, _, expected = asked.rpartition(" (")
                self.question.end()
                self.question.ask(
                    f"{run.name if run else ''} asks: {what or asked}", ANSWER, hint=expected.rstrip(")") or "answer"
                )
                self._to_field(self.question)
            else:
                self.question.end()
        if offer is None or offer.about in self._closed:
            self._offered = None
            self.offer.end()
        elif offer != self._offered:
            self._offered = offer
            self.offer.ask(offer.text, offer.verbs)

    def write_note(self, run: Path) -> None:
        """Let somebody write a note into a run; it goes there whatever is shown by then."""
        self._noted = run
        self.note.ask(f"Note in {run.name}:", NOTE)
        if self.note.field is not None:
            self.note.field.setFocus()

    def take_answer(self, answer: Answer) -> None:
        """Take what was answered to a command: a note that was not taken stands in its field again."""
        if answer.command != "note" or self._sent is None:
            return
        (run, text), self._sent = self._sent, None
        if not answer.done and self.note.isHidden():
            self.write_note(run)
            if self.note.field is not None:
                self.note.field.setText(text)

    def ask_for_control(self, control: str) -> None:
        """Ask whether the token is to be taken from whoever holds it, and say what that does."""
        who = held_by(control)
        verbs = (
            (CONTROL, f"Take control from {who}", "Does it now"),
            ("leave", f"Leave it to {who}", "Nothing changes; this window goes on watching (Esc)"),
        )
        self._holder = control
        self.control.ask(taking(control), verbs)
        self.control.buttons["leave"].setFocus()

    def ask_to_close(self, unsaved: Sequence[str]) -> None:
        """Ask whether the window is to be closed with these changes not saved."""
        self.closing.ask(f"Not saved: {'; '.join(unsaved)}. Ctrl+S there saves it. What runs goes on in any case.", CLOSE)
        self.closing.buttons["leave"].setFocus()

    def see_control(self, control: str) -> None:
        """Hear who holds the token; where that is not whom it was asked about, ask no more."""
        if control != self._holder:
            self.control.end()

    # inside
    def _take_offer(self, key: str, _: str) -> None:
        offered, run = self._offered, self._run
        if offered is None:
            return
        if key == RESUME and run is not None:
            self.resume_wanted.emit(run.folder)
        elif key == LOOK_BACK and run is not None:
            self.look_back_wanted.emit(run.folder)
        elif key == SAFE:
            self.safe_wanted.emit(offered.lost)
        elif key == TAKE:
            self.take_wanted.emit(offered.lost)
        else:
            self._closed.add(offered.about)
            self._offered = None
            self.offer.end()

    def _take_note(self, key: str, text: str) -> None:
        self.note.end()
        if key == "note" and text.strip() and self._noted is not None:
            self._sent = self._noted, text.strip()
            self.note_written.emit(*self._sent)

    def _take_control(self, key: str, _: str) -> None:
        self.control.end()
        if key == CONTROL:
            self.control_wanted.emit(self._holder)

    def _take_closing(self, key: str, _: str) -> None:
        self.closing.end()
        if key == "close":
            self.close_wanted.emit()

    def _to_field(self, row: InlineRow) -> None:
        """Go to the field of a row, unless somebody is writing somewhere else."""
        if row.field is not None and not isinstance(QApplication.focusWidget(), QLineEdit | QPlainTextEdit):
            row.field.setFocus()
