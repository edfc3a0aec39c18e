"""A line that says what happened and offers what can be done; it is in nobody's way and waits as long as it likes."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QHBoxLayout, QLabel, QPushButton, QWidget

from aeqlab.app.window.theme import GRID, theme


class Notice(QWidget):
    """One sentence and some buttons; hidden while there is nothing to say."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._line = QHBoxLayout(self)
        self._line.setContentsMargins(GRID, 0, 0, 0)
        self._line.setSpacing(GRID)
        self.label = QLabel()
        self.label.setTextFormat(Qt.TextFormat.PlainText)
        self.label.setWordWrap(True)
        self._line.addWidget(self.label, 1)
        self.buttons: list[QPushButton] = []
        theme().changed.connect(self._dress)
        self._dress()
        self.hide()

    def say(self, sentence: str, choices: Sequence[tuple[str, Callable[[], None] | None]] = (("Close", None),)) -> None:
        """Show a sentence and its buttons, each with what it does; a press also ends the notice."""
        self.end()
        self.label.setText(sentence)
        for text, work in choices:
            button = QPushButton(text)
            button.clicked.connect(lambda _=False, work=work: self._press(work))
            self._line.addWidget(button)
            self.buttons.append(button)
        self.show()

    def leave(self, unsaved: str, save: Callable[[], None], go_on: Callable[[], None], where: str) -> None:
        """Go on where nothing is unsaved; else ask first.

        Args:
            unsaved: what has changes that are not saved; empty for nothing.
            save, go_on: what saves it, and what leaves it for another.
            where: that other one.
        """
        if unsaved:
            self.say(
                f"There are changes in {unsaved} that are not saved.",
                [("Save first", save), (f"Discard them, open {where}", go_on), ("Stay", None)],
            )
        else:
            self.end()
            go_on()

    def end(self) -> None:
        """Say nothing any more."""
        for button in self.buttons:
            button.hide()
            button.deleteLater()
        self.buttons = []
        self.hide()

    def _press(self, work: Callable[[], None] | None) -> None:
        self.end()
        if work is not None:
            work()

    def _dress(self) -> None:
        self.label.setStyleSheet(f"color: {theme().now.warning}; font-weight: bold")
