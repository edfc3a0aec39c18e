"""A row of the form: the key of a field, what one types, a button to take it out of the file, and what is wrong with it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cache
from typing import Any, Protocol

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QGridLayout, QHBoxLayout, QLabel, QPushButton, QVBoxLayout

from aeqlab.app.window.models.experiment_edits import Path_
from aeqlab.app.window.models.experiment_schema import Field, Kind, section_of
from aeqlab.app.window.theme import GRID, SMALL, theme
from aeqlab.app.window.train.form_document import ExperimentDocument
from aeqlab.app.window.train.form_fields import FieldEditor
from aeqlab.protocols.errors import Problem
from aeqlab.protocols.yaml import Node

LABEL_WIDTH = 17 * GRID  #: of the column of keys


class FormLike(Protocol):
    """What the parts of a form ask of it."""

    document: ExperimentDocument
    problems: tuple[Problem, ...]

    def keep(self, path: Path_, values: dict[str, Any]) -> dict[str, Any]:
        """Remember what a kind that was left had, and get what is remembered."""


class Part(Protocol):
    """One part of a form: a field, or a section of them."""

    def update_from(self, parent: Node | None) -> None:
        """Show what stands in the mapping, or list, that it is in."""

    def filter(self, words: str) -> bool:
        """Show only what has these words; returns whether anything is left."""

    def show_problems(self) -> None:
        """Show what is wrong."""


def child(parent: Node | None, key: int | str) -> Node | None:
    """Get an entry of a mapping or a list; None where there is none."""
    if parent is None:
        return None
    if isinstance(parent.value, dict):
        return parent.value.get(str(key))
    if isinstance(parent.value, list) and isinstance(key, int) and key < len(parent.value):
        return parent.value[key]
    return None


def node_at(tree: Node | None, path: Path_) -> Node | None:
    """Get what stands at a path."""
    for step in path:
        tree = child(tree, step)
    return tree


def matches(field: Field, words: str) -> bool:
    """Tell whether all words are in a field's key or meaning."""
    said = f"{field.key} {field.key.replace('_', ' ')} {field.meaning} {' '.join(field.choices)}".lower()
    return all(word in said for word in words.lower().split())


@cache
def tip(field: Field) -> str:
    """Say all there is to know of a field."""
    parts = [field.meaning[:1].upper() + field.meaning[1:], f"Takes {field.takes}." if field.takes else ""]
    parts.append("It cannot be left out." if field.needed else f"Left out: {field.default}." if field.default else "")
    return " ".join(f"{part.rstrip('.')}." for part in parts if part)


def clear(layout: QVBoxLayout) -> None:
    """Take all widgets out of a layout and delete them."""
    while layout.count():
        item = layout.takeAt(0)
        widget = item.widget() if item is not None else None
        if widget is not None:
            widget.hide()
            widget.deleteLater()


def within(field: Field, depth: int = 0) -> Iterator[Field]:
    """Go through the fields within a field, those of every kind."""
    models = [field.model, *(variant.model for variant in field.variants)]
    for model in models if depth < 3 else ():
        if model is not None:
            for one in section_of(model).fields:
                yield one
                if one.kind is not Kind.STAGES:
                    yield from within(one, depth + 1)


class Row:
    """One field in a grid of a section: its key, what one types, a button to take it out, and what is wrong with it."""

    def __init__(
        self, form: FormLike, field: Field, path: Path_, grid: QGridLayout, at: int, order: Callable[[], Sequence[str]]
    ) -> None:
        body = grid.parentWidget()
        assert body is not None
        self.form, self.field, self.path, self._body, self._grid, self._at, self._order = form, field, path, body, grid, at, order
        self.label = QLabel(field.key, body)
        self.label.setFixedWidth(LABEL_WIDTH)
        self.label.setToolTip(tip(field))
        self.editor = FieldEditor(field, path, body)
        self.editor.core.setToolTip(tip(field))
        self.editor.core.setAccessibleName(".".join(map(str, path)))
        self.label.setBuddy(self.editor.core)
        self.editor.base = form.document.model.base
        self.editor.wanted.connect(self._wanted)
        grid.addWidget(self.label, at, 0, Qt.AlignmentFlag.AlignTop if field.long else Qt.AlignmentFlag.AlignVCenter)
        if self.editor.browse is None:
            grid.addWidget(self.editor.core, at, 1)
        else:
            line = QHBoxLayout()
            line.addWidget(self.editor.core, 1)
            line.addWidget(self.editor.browse)
            grid.addLayout(line, at, 1)
        self._reset: QPushButton | None = None
        self._wrong: QLabel | None = None
        self._refused = ""
        self._shown, self._set = True, False

    def update_from(self, parent: Node | None) -> None:
        """Show what stands in the file."""
        node = child(parent, self.path[-1])
        self.editor.show_node(node)
        self._refused = ""
        if (node is not None) != self._set:
            self._set = node is not None
            self.label.setFont(theme().font(bold=self._set))
            self._show_reset()

    def filter(self, words: str) -> bool:
        """Show it if it has these words."""
        self._shown = matches(self.field, words)
        self.label.setVisible(self._shown)
        self.editor.core.setVisible(self._shown)
        if self.editor.browse is not None:
            self.editor.browse.setVisible(self._shown)
        self._show_reset()
        if self._wrong is not None:
            self._wrong.setVisible(self._shown and bool(self._wrong.text()))
        return self._shown

    def show_problems(self) -> None:
        """Show what is wrong with it, below it."""
        key = ".".join(map(str, self.path))
        said = [
            f"{one.message} {one.hint}".strip() for one in self.form.problems if one.key == key or one.key.startswith(f"{key}.")
        ]
        said = [self._refused, *said] if self._refused else said
        self.editor.mark(bool(said))
        if not said and self._wrong is None:
            return
        if self._wrong is None:
            self._wrong = QLabel(self._body)
            self._wrong.setWordWrap(True)
            self._wrong.setTextFormat(Qt.TextFormat.PlainText)
            self._wrong.setFont(theme().font(SMALL))
            self._grid.addWidget(self._wrong, self._at + 1, 1, 1, 2)
        self._wrong.setStyleSheet(f"color: {theme().now.fault}")
        self._wrong.setText("\n".join(one[:1].upper() + one[1:] for one in dict.fromkeys(said)))
        self._wrong.setVisible(bool(said) and self._shown)

    def _show_reset(self) -> None:
        wanted = self._set and not self.field.needed and self._shown
        if wanted and self._reset is None:
            self._reset = QPushButton("Reset", self._body)
            self._reset.setToolTip(f"Take {self.field.key} out of the file: {self.field.default or 'as when nothing is said'}")
            self._reset.setAccessibleName(f"Reset {self.field.key}")
            self._reset.setFocusPolicy(Qt.FocusPolicy.TabFocus)
            self._reset.clicked.connect(lambda: self.form.document.remove(self.path))
            self._grid.addWidget(self._reset, self._at, 2, Qt.AlignmentFlag.AlignTop)
        if self._reset is not None:
            self._reset.setVisible(wanted)

    def _wanted(self, value: Any) -> None:
        document = self.form.document
        why: list[str] = []
        hear = why.append
        document.refused.connect(hear)
        try:
            if value is None:
                done = document.remove(self.path)
            else:
                done = document.set_value(self.path, value, self._order(), key=("form", self.path))
        finally:
            document.refused.disconnect(hear)
        if not done:  # it stays as it was typed, and is not in the text
            self._refused = f"Not taken over: {' '.join(why)}"
            self.show_problems()
