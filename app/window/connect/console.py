"""A console for one instrument: what was asked and answered, earlier questions by the arrow keys, and why it may only read."""

from __future__ import annotations

import html
from collections.abc import Sequence

from PySide6.QtCore import QEvent, QObject, Qt, Signal
from PySide6.QtGui import QFontDatabase, QKeyEvent
from PySide6.QtWidgets import QComboBox, QLabel, QLineEdit, QTextBrowser, QWidget

from aeqlab.app.window.connect.pieces import Words, button, column, row
from aeqlab.app.window.theme import theme

MOST_LINES = 2000  #: of the transcript
MOST_KEPT = 200  #: earlier questions
NONE = "There is no instrument to ask: no session is open."


class Console(QWidget):
    """Questions to instruments. It sends wishes; whoever owns the instrument asks it, and says what it answered."""

    asked = Signal(str, str)  #: which instrument, and the text

    def __init__(self) -> None:
        super().__init__()
        self._lines: list[tuple[str, str, str]] = []  # who, kind, text
        self._earlier: list[str] = []
        self._at = 0
        self._waiting = ""
        self._why_none = NONE
        self.instrument = QComboBox()
        self.instrument.setAccessibleName("instrument")
        self.instrument.currentTextChanged.connect(lambda _: self._state_changed())
        self.transcript = QTextBrowser()
        self.transcript.setAccessibleName("what was asked and answered")
        self.transcript.document().setMaximumBlockCount(MOST_LINES)
        fixed = QFontDatabase.systemFont(QFontDatabase.SystemFont.FixedFont)
        self.transcript.setFont(fixed)
        self.state = Words(kind="dim")
        self._read_only: dict[str, str] = {}
        self.line = QLineEdit()
        self.line.setFont(fixed)
        self.line.setAccessibleName("what to ask")
        self.line.setPlaceholderText("such as *IDN? or SYSTem:ERRor?")
        self.line.setToolTip("Enter asks; up and down bring earlier questions back.")
        self.line.returnPressed.connect(self.ask)
        self.line.installEventFilter(self)
        self.ask_button = button("Ask", self.ask, "Sends this line (Enter)")
        page = column(
            row(QLabel("Instrument"), self.instrument, None),
            self.transcript,
            self.state,
            row(self.line, self.ask_button, stretch=0),
            stretch=1,
        )
        self.setLayout(page.layout())  # type: ignore[arg-type]
        theme().changed.connect(self._write_all)
        self._state_changed()

    # what comes in
    def set_instruments(self, names: Sequence[str], why_none: str = NONE) -> None:
        """Say which instruments there are, and where there are none why."""
        self._why_none = why_none
        self._state_changed()
        if [self.instrument.itemText(k) for k in range(self.instrument.count())] == list(names):
            return
        before = self.instrument.currentText()
        self.instrument.clear()
        self.instrument.addItems(list(names))
        if before in names:
            self.instrument.setCurrentText(before)
        self._state_changed()

    def set_read_only(self, why: str, instrument: str = "") -> None:
        """Say why only questions may be sent, such as "a run owns it"; empty: commands too.

        Args:
            why: the reason, a sentence.
            instrument: of which; empty: of all.
        """
        for name in [instrument] if instrument else [self.instrument.itemText(k) for k in range(self.instrument.count())]:
            self._read_only[name] = why
        self._state_changed()

    def answered(self, text: str, *, instrument: str = "", wrong: bool = False) -> None:
        """Show what came back: an answer, or why there is none."""
        self._waiting = ""
        self._add(instrument or self.instrument.currentText(), "wrong" if wrong else "answer", text)
        self._state_changed()

    # asking
    def ask(self) -> None:
        """Send the line, if it may be sent."""
        text, name = self.line.text().strip(), self.instrument.currentText()
        if not text or self._waiting:
            return
        if not name:
            self.state.say(self._why_none, "wrong")
            return
        why = self._read_only.get(name, "")
        if why and "?" not in text:
            self.state.say(f"✕ {text} is no question, and {name} may only be read: {why}", "wrong")
            return
        if not self._earlier or self._earlier[-1] != text:
            self._earlier = [*self._earlier[-MOST_KEPT:], text]
        self._at = len(self._earlier)
        self.line.clear()
        self._waiting = text
        self._add(name, "asked", text)
        self._state_changed()
        self.asked.emit(name, text)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Bring earlier questions back by the arrow keys."""
        if watched is self.line and isinstance(event, QKeyEvent) and event.type() == QEvent.Type.KeyPress:
            step = {Qt.Key.Key_Up: -1, Qt.Key.Key_Down: 1}.get(Qt.Key(event.key()), 0)
            if step and self._earlier:
                self._at = min(max(self._at + step, 0), len(self._earlier))
                self.line.setText(self._earlier[self._at] if self._at < len(self._earlier) else "")
                return True
        return super().eventFilter(watched, event)

    def _state_changed(self) -> None:
        name = self.instrument.currentText()
        why = self._read_only.get(name, "")
        if self._waiting:
            self.state.say(f"Waiting for the answer of {name} to {self._waiting}.")
        elif not name:
            self.state.say(self._why_none, "dim")
        elif why:
            self.state.say(f"Read only: {why}", "warning")
        else:
            self.state.say(f"{name} is asked what is written here.", "dim")
        self.line.setEnabled(bool(name))
        self.ask_button.setEnabled(bool(name) and not self._waiting)

    # the transcript
    def _add(self, name: str, kind: str, text: str) -> None:
        self._lines = [*self._lines[-MOST_LINES:], (name, kind, text)]
        self.transcript.append(self._written(name, kind, text))

    def _write_all(self) -> None:
        self.transcript.clear()
        for line in self._lines:
            self.transcript.append(self._written(*line))

    def _written(self, name: str, kind: str, text: str) -> str:
        now = theme().now
        colour = {"asked": now.dim, "answer": now.text, "wrong": now.fault}[kind]
        mark = {"asked": f"{name} &lt; ", "answer": f"{name} &gt; ", "wrong": f"{name} ✕ "}[kind]
        body = html.escape(text).replace("\n", "<br>")
        return f'<span style="color:{colour}">{mark}{body}</span>'
