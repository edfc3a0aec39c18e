"""A form of keys of a rig file: each with its default in grey, what it is for as tooltip, and what is wrong with it below."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QComboBox, QFormLayout, QLabel, QLineEdit, QWidget

from aeqlab.app.window.models.key_fields import CHOICE, OTHER, KeyField
from aeqlab.app.window.theme import GRID, theme


class KeyForm(QWidget):
    """Keys and their values. It shows values and sends wishes; whoever made it puts new values in by `show_values`.

    Args:
        prefix: put before keys in accessible names.
    """

    changed = Signal(str, object)  #: a key and its new value; None: left out

    def __init__(self, prefix: str = "") -> None:
        super().__init__()
        self._prefix = prefix
        self._fields: tuple[KeyField, ...] = ()
        self._editors: dict[str, QLineEdit | QComboBox] = {}
        self._wrong: dict[str, QLabel] = {}
        self._layout = QFormLayout(self)
        self._layout.setContentsMargins(0, 0, 0, 0)
        self._layout.setSpacing(GRID // 2)
        self._layout.setHorizontalSpacing(GRID)
        self._layout.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        theme().changed.connect(self._colour)

    def set_fields(self, fields: Sequence[KeyField], titles: Mapping[str, str] | None = None) -> None:
        """Make the form anew, for other keys."""
        if tuple(fields) == self._fields:
            return
        self._fields = tuple(fields)
        while self._layout.rowCount():
            self._layout.removeRow(0)
        self._editors, self._wrong = {}, {}
        for one in fields:
            editor = self._editor(one)
            title = (titles or {}).get(one.key, one.key)
            editor.setAccessibleName(f"{self._prefix}{one.key}")
            editor.setToolTip(one.about)
            label = QLabel(f"{title}{' (needed)' if one.needed else ''}")
            label.setToolTip(one.about)
            label.setBuddy(editor)
            self._layout.addRow(label, editor)
            self._editors[one.key] = editor
            wrong = QLabel()
            wrong.setTextFormat(Qt.TextFormat.PlainText)
            wrong.setWordWrap(True)
            wrong.hide()
            self._layout.addRow(wrong)
            self._wrong[one.key] = wrong
        self._colour()

    def _editor(self, one: KeyField) -> QLineEdit | QComboBox:
        if one.kind == CHOICE:
            box = QComboBox()
            box.addItem("" if one.needed else f"left out{f': {one.default}' if one.default else ''}", "")
            for word, _ in one.words:
                box.addItem(word, word)
            box.activated.connect(lambda _, one=one, box=box: self._say(one, str(box.currentData())))
            return box
        line = QLineEdit()
        line.setFont(theme().font(tabular=True))
        line.setPlaceholderText(one.default or ("" if one.needed else "left out"))
        if one.kind == OTHER:
            line.setReadOnly(True)
            line.setPlaceholderText("written in the file itself")
        line.editingFinished.connect(lambda one=one, line=line: self._say(one, line.text()))
        return line

    def _say(self, one: KeyField, text: str) -> None:
        editor = self._editors[one.key]
        if one.kind != OTHER and editor.property("shown") != text:
            editor.setProperty("shown", text)
            self.changed.emit(one.key, one.value(text))

    def show_values(self, get: Callable[[str], Any]) -> None:
        """Show values; a field in which somebody types is left alone."""
        for one in self._fields:
            editor, text = self._editors[one.key], one.shown(get(one.key))
            if isinstance(editor, QComboBox):
                at = editor.findData(text)
                if at < 0:
                    editor.addItem(text, text)  # a word that none can be stays visible
                    at = editor.count() - 1
                editor.setCurrentIndex(at)
            elif not (editor.hasFocus() and editor.isModified()):
                editor.setText(text)
            else:
                continue
            editor.setProperty("shown", text)

    def show_problems(self, problems: Mapping[str, str]) -> None:
        """Show what is wrong, each below its field."""
        for key, label in self._wrong.items():
            text = problems.get(key, "")
            label.setText(f"✕ {text}" if text else "")
            label.setVisible(bool(text))

    def focus(self, key: str) -> bool:
        """Put the cursor into a field; False where there is none."""
        editor = self._editors.get(key)
        if editor is not None:
            editor.setFocus()
        return editor is not None

    def _colour(self) -> None:
        for label in self._wrong.values():
            label.setStyleSheet(f"color: {theme().now.fault};")
