"""The line of messages: what was answered or went wrong last, with its time; all of them stand in a list one key away."""

from __future__ import annotations

import time
from collections import deque

from PySide6.QtCore import QSize, Qt, Signal
from PySide6.QtGui import QMouseEvent
from PySide6.QtWidgets import QLabel, QPlainTextEdit, QSizePolicy, QWidget

from aeqlab.app.window.theme import GRID, NORMAL, theme

KEPT = 500


class MessageLine(QLabel):
    """Shows the last message; `opened` asks for the list of all."""

    opened = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.all: deque[tuple[float, str, bool]] = deque(maxlen=KEPT)  #: time, text, whether something went wrong
        self._whole: QPlainTextEdit | None = None
        self.setTextFormat(Qt.TextFormat.PlainText)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        self.setAccessibleName("Last message")
        self.setToolTip("Messages: click, or Ctrl+M, for all of them")
        theme().changed.connect(self._dress)

    def say(self, text: str, wrong: bool = False) -> None:
        """Show a message."""
        self.all.append((time.time(), text, wrong))
        first = text.strip().splitlines()[0] if text.strip() else ""
        more = " …" if len(text.strip().splitlines()) > 1 else ""
        self.setText(f"{time.strftime('%H:%M:%S')}  {'✕ ' if wrong else ''}{first}{more}")
        self._dress()

    def minimumSizeHint(self) -> QSize:
        """Get no width at all: a long message is cut, not the window stretched."""
        return QSize(40, super().minimumSizeHint().height())

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        """Ask for the list."""
        self.opened.emit()

    def in_words(self) -> str:
        """Get all messages, newest last."""
        return "\n".join(
            f"{time.strftime('%H:%M:%S', time.localtime(t))}  {'✕ ' if wrong else ''}{text}" for t, text, wrong in self.all
        )

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
        self.setStyleSheet(f"color: {theme().now.fault if wrong else theme().now.text}")
