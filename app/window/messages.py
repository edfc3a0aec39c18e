"""The line of messages: what was answered or went wrong last, with its time; all of them stand in a list one key away."""

from __future__ import annotations

import time
from collections import deque

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QMouseEvent
from PySide6.QtWidgets import QPlainTextEdit, QSizePolicy, QWidget

from aeqlab.app.window.elided import Elided
from aeqlab.app.window.theme import GRID, NORMAL, theme

KEPT = 500
MOST = 12  #: lines of a message that its tooltip shows
HINT = "Messages: click, or Ctrl+M, for all of them"


class MessageLine(Elided):
    """Shows the last message; `opened` asks for the list of all."""

    opened = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent, least=5 * GRID)  # a long message is cut, not the window stretched
        self.all: deque[tuple[float, str, bool]] = deque(maxlen=KEPT)  #: time, text, whether something went wrong
        self._whole: QPlainTextEdit | None = None
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        self.setAccessibleName("Last message")
        self.setToolTip(HINT)
        theme().changed.connect(self._dress)

    def say(self, text: str, wrong: bool = False) -> None:
        """Show a message."""
        self.all.append((time.time(), text, wrong))
        lines = text.strip().splitlines() or [""]
        more = " …" if len(lines) > 1 else ""
        self.setText(f"{time.strftime('%H:%M:%S')}  {'✕ ' if wrong else ''}{lines[0]}{more}")
        self.setToolTip("\n".join([*lines[:MOST], *(["…"] if len(lines) > MOST else []), HINT]))
        if self._whole is not None and self._whole.isVisible():  # somebody reads on
            self._whole.appendPlainText(_line(*self.all[-1]))
        self._dress()

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        """Ask for the list."""
        self.opened.emit()

    def in_words(self) -> str:
        """Get all messages, newest last."""
        return "\n".join(_line(*one) for one in self.all)

    def show_all(self) -> None:
        """Show all messages in a window of its own, which is in nobody's way."""
        if self._whole is None:
            self._whole = QPlainTextEdit(self)
            self._whole.setWindowFlag(Qt.WindowType.Window)
            self._whole.setReadOnly(True)
            self._whole.setWindowTitle("Messages")
            self._whole.resize(90 * GRID, 50 * GRID)
        self._whole.setPlainText(self.in_words())
        self._whole.show()
        self._whole.raise_()

    def _dress(self) -> None:
        wrong = bool(self.all) and self.all[-1][2]
        self.setFont(theme().font(NORMAL, bold=wrong))
        self.setStyleSheet(f"MessageLine {{ color: {theme().now.fault if wrong else theme().now.text} }}")  # not the list of all


def _line(t: float, text: str, wrong: bool) -> str:
    return f"{time.strftime('%H:%M:%S', time.localtime(t))}  {'✕ ' if wrong else ''}{text}"
