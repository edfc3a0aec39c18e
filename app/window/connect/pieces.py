"""Small pieces that the steps of the guide share: headings, lines of words, rows of buttons."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import Qt
from PySide6.QtGui import QKeySequence
from PySide6.QtWidgets import QHBoxLayout, QLabel, QPushButton, QVBoxLayout, QWidget

from aeqlab.app.window.theme import GRID, theme


def heading(text: str) -> QLabel:
    """Make a heading."""
    label = QLabel(text)
    label.setFont(theme().font(bold=True))
    return label


class Words(QLabel):
    """A paragraph: plain, dim, or in the colour of what is wrong."""

    def __init__(self, text: str = "", *, kind: str = "plain") -> None:
        super().__init__(text)
        self._kind = kind
        self.setTextFormat(Qt.TextFormat.PlainText)
        self.setWordWrap(True)
        theme().changed.connect(self._colour)
        self._colour()

    def say(self, text: str, kind: str = "plain") -> None:
        """Show a text: plain, dim, good or wrong; a word goes with the colour."""
        self._kind = kind
        self.setText(text)
        self._colour()

    def _colour(self) -> None:
        now = theme().now
        colour = {"plain": now.text, "dim": now.dim, "good": now.good, "wrong": now.fault, "warning": now.warning}[self._kind]
        self.setStyleSheet(f"color: {colour};")


def button(text: str, does: Callable[[], object], tip: str = "", keys: str = "") -> QPushButton:
    """Make a button; its shortcut is told in its tooltip."""
    made = QPushButton(text)
    if keys:
        made.setShortcut(QKeySequence(keys))
    made.setToolTip(f"{tip} ({keys})" if tip and keys else tip or keys)
    made.setAutoDefault(False)
    made.clicked.connect(lambda _: does())
    return made


def row(*widgets: QWidget | None, stretch: int = -1) -> QWidget:
    """Put widgets side by side; None is a space that grows, `stretch` the widget that does."""
    holder = QWidget()
    layout = QHBoxLayout(holder)
    layout.setContentsMargins(0, 0, 0, 0)
    layout.setSpacing(GRID)
    for k, widget in enumerate(widgets):
        if widget is None:
            layout.addStretch(1)
        else:
            layout.addWidget(widget, 1 if k == stretch else 0)
    return holder


def column(*widgets: QWidget | None, margin: int = 0, stretch: int = -1) -> QWidget:
    """Put widgets above one another; None is a space that grows, `stretch` the widget that does."""
    holder = QWidget()
    layout = QVBoxLayout(holder)
    layout.setContentsMargins(margin, margin, margin, margin)
    layout.setSpacing(GRID)
    for k, widget in enumerate(widgets):
        if widget is None:
            layout.addStretch(1)
        else:
            layout.addWidget(widget, 1 if k == stretch else 0)
    return holder
