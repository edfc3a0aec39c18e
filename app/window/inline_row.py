"""A row under the banner that asks or offers something and keeps nothing from being used: words, perhaps a field, and verbs."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QColor, QKeySequence, QShortcut
from PySide6.QtWidgets import QHBoxLayout, QLabel, QLineEdit, QPushButton, QSizePolicy, QWidget

from aeqlab.app.window.theme import GRID, NORMAL, theme

Verb = tuple[str, str, str]  #: key, words of the button, what it does


class InlineRow(QWidget):
    """Shows words and buttons.

    `chosen` brings the key of the verb, and what is in the field. Enter in the field is the first verb; Esc is the verb `leave`,
    where there is one.

    Args:
        name: for screen readers.
        field: words before there is anything in the field; empty: there is none.
    """

    chosen = Signal(str, str)

    def __init__(self, name: str, field: str = "", parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.words = QLabel()
        self.words.setTextFormat(Qt.TextFormat.PlainText)
        self.words.setWordWrap(True)
        self.words.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.words.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Preferred)
        self.field: QLineEdit | None = None
        self.buttons: dict[str, QPushButton] = {}
        self._verbs: tuple[Verb, ...] = ()
        self._row = QHBoxLayout(self)
        self._row.setContentsMargins(GRID, GRID // 2, GRID, GRID // 2)
        self._row.setSpacing(GRID)
        self._row.addWidget(self.words, 1)
        if field:
            self.field = QLineEdit()
            self.field.setPlaceholderText(field)
            self.field.setAccessibleName(field)
            self.field.setMinimumWidth(30 * GRID)
            self.field.returnPressed.connect(lambda: self._choose(self._verbs[0][0]) if self._verbs else None)
            self._row.addWidget(self.field, 1)
        self.setAccessibleName(name)
        self.setAutoFillBackground(True)
        self._escape = QShortcut(QKeySequence(Qt.Key.Key_Escape), self)
        self._escape.setContext(Qt.ShortcutContext.WidgetWithChildrenShortcut)
        self._escape.activated.connect(lambda: self._choose("leave"))
        theme().changed.connect(self._dress)
        self._dress()
        self.hide()

    def ask(self, words: str, verbs: Sequence[Verb], *, hint: str = "") -> None:
        """Show the row with these words and verbs; the field keeps what was typed into it."""
        if self.words.text() != words:
            self.words.setText(words)
        if self.field is not None and hint:
            self.field.setPlaceholderText(hint)
        if tuple(verbs) != self._verbs:
            self._verbs = tuple(verbs)
            for button in self.buttons.values():
                self._row.removeWidget(button)
                button.deleteLater()
            self.buttons = {key: self._button(key, text, what) for key, text, what in verbs}
        if self.isHidden():
            self.show()

    def end(self) -> None:
        """Hide the row, and empty its field."""
        if self.field is not None:
            self.field.clear()
        self.hide()

    def _button(self, key: str, text: str, what: str) -> QPushButton:
        button = QPushButton(text.replace("&", "&&"))  # a device may be called so; none of it is a key
        button.setToolTip(what)
        button.setAccessibleDescription(what)
        button.clicked.connect(lambda: self._choose(key))
        self._row.addWidget(button)
        return button

    def _choose(self, key: str) -> None:
        if key in self.buttons:
            self.chosen.emit(key, "" if self.field is None else self.field.text())

    def _dress(self) -> None:
        palette = self.palette()
        palette.setColor(palette.ColorRole.Window, QColor(theme().now.sheet))
        self.setPalette(palette)
        self.words.setFont(theme().font(NORMAL, bold=True))
