"""Sections of a form: titles that fold what is below them, and the fields of one mapping; made when first unfolded."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QGridLayout, QHBoxLayout, QLabel, QLineEdit, QPushButton, QToolButton, QVBoxLayout, QWidget

from aeqlab.app.window.models.experiment_edits import Path_
from aeqlab.app.window.models.experiment_schema import Field, Kind, Section
from aeqlab.app.window.theme import GRID, SMALL, theme
from aeqlab.app.window.train.form_row import FormLike, Part, Row, child, clear, matches, node_at, tip, within
from aeqlab.protocols.yaml import Node

RESET_WIDTH = 10 * GRID  #: of the column of buttons
MOST_AT_ONCE, SHOWN_FIRST = (
    16,
    10,
)  #: fields of a section shown at once; of a longer one so many and those that are set, and the rest folded


class Fold(QWidget):
    """A part with a title that folds it; what is in it is made when it is first unfolded."""

    def __init__(self, title: str, meaning: str, make: Callable[[], QWidget], *, unfolded: bool, large: bool = False) -> None:
        super().__init__()
        self._make = make
        self.is_unfolded = False
        self.inner: QWidget | None = None
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, GRID // 2)
        layout.setSpacing(GRID // 2)
        self.button = QToolButton(self)
        self.button.setText(title)
        self.button.setToolTip(meaning)
        self.button.setAutoRaise(True)
        self.button.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
        self.button.setFont(theme().font(bold=large))
        self.button.clicked.connect(lambda: self._toggle(not self.is_unfolded))
        self.head = QHBoxLayout()
        self.head.addWidget(self.button)
        self.head.addStretch(1)
        layout.addLayout(self.head)
        self._column = QVBoxLayout()
        self._column.setContentsMargins(GRID * 2, 0, 0, 0)
        layout.addLayout(self._column)
        self._toggle(unfolded)

    def unfold(self) -> None:
        """Show what is in it."""
        if not self.is_unfolded:
            self._toggle(True)

    def rename(self, title: str) -> None:
        """Give it another title."""
        self.button.setText(title)

    def _toggle(self, on: bool) -> None:
        self.is_unfolded = on
        self.button.setArrowType(Qt.ArrowType.DownArrow if on else Qt.ArrowType.RightArrow)
        if on and self.inner is None:
            self.inner = self._make()
            self._column.addWidget(self.inner)
        if self.inner is not None:
            self.inner.setVisible(on)


class SectionBody(QWidget):
    """The fields of one mapping."""

    def __init__(self, form: FormLike, path: Path_, section: Section, *, skip: tuple[str, ...] = (), whole: bool = True) -> None:
        super().__init__()
        self._whole = whole  # not the second half of a long section
        self.form, self.path, self.section, self._skip = form, path, section, skip
        self.order = section.order
        self.parts: list[Part] = []
        self._node: Node | None = None
        self._free: list[str] = []
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setHorizontalSpacing(GRID)
        grid.setVerticalSpacing(GRID // 2)
        grid.setColumnStretch(1, 1)
        grid.setColumnMinimumWidth(2, RESET_WIDTH)
        self._grid, self._at = grid, 0
        fields = [field for field in section.fields if field.key not in skip]
        more: list[Field] = []
        if whole and len(fields) > MOST_AT_ONCE:
            here = node_at(form.document.tree, path)
            more = [field for field in fields[SHOWN_FIRST:] if child(here, field.key) is None]
        for field in fields:
            if field not in more:
                self._add(field)
        if more:
            box = MoreBox(form, path, section, tuple(more))
            grid.addWidget(box, self._at, 0, 1, 3)
            self._at += 2
            self.parts.append(box)
        self._rest = QLabel(self)
        self._rest.setWordWrap(True)
        self._rest.setFont(theme().font(SMALL))
        self._rest.hide()
        if section.free is not None:
            self._own = QVBoxLayout()
            grid.addLayout(self._own, self._at, 0, 1, 3)
            self._own_parts: list[Part] = []
            grid.addLayout(self._adder(), self._at + 1, 0, 1, 3)
        grid.addWidget(self._rest, self._at + 2, 0, 1, 3)

    def _add(self, field: Field) -> None:
        from aeqlab.app.window.train.form_kinds import SectionBox, VariantBox  # they hold sections in turn

        path, at = (*self.path, field.key), self._at
        self._at += 2  # the second is for what is wrong
        if field.kind in (Kind.SECTION, Kind.SECTIONS, Kind.NAMED, Kind.VARIANT):
            box: QWidget = (
                VariantBox(self.form, self, field, path) if field.kind is Kind.VARIANT else SectionBox(self.form, field, path)
            )
            self._grid.addWidget(box, at, 0, 1, 3)
            self.parts.append(box)  # type: ignore[arg-type]
        elif field.kind is Kind.STAGES:
            note = QLabel(f"{field.key}: in the list of stages")
            note.setToolTip(tip(field))
            self._grid.addWidget(note, at, 0, 1, 3)
        else:
            self.parts.append(Row(self.form, field, path, self._grid, at, self.get_order))

    def get_order(self) -> tuple[str, ...]:
        """Get the keys of this mapping in their order."""
        return self.order

    def update_from(self, node: Node | None) -> None:
        """Show what stands in this mapping."""
        self._node = node
        if self.section.free is not None:
            self._update_free(node)
        for part in self.parts:
            part.update_from(node)

    def filter(self, words: str) -> bool:
        """Show only the fields with these words."""
        return sum([part.filter(words) for part in self.parts]) > 0

    def show_problems(self) -> None:
        """Show what is wrong with each field, and at the end what belongs to none."""
        for part in self.parts:
            part.show_problems()
        if not self._whole:
            return
        key = ".".join(map(str, self.path))
        fields = set(self.section.order) | set(self._free)
        said = []
        for one in self.form.problems:
            inner = one.key.removeprefix(f"{key}.") if key else one.key
            if (one.key == key and key) or (inner != one.key and inner.split(".")[0] not in fields):
                said.append(f"{one.key}: {one.message} {one.hint}".strip())
        if said or not self._rest.isHidden():
            self._rest.setStyleSheet(f"color: {theme().now.fault}")
            self._rest.setText("\n".join(said))
            self._rest.setVisible(bool(said))

    # keys of a person's own
    def _adder(self) -> QHBoxLayout:
        line = QHBoxLayout()
        name = QLineEdit()
        name.setPlaceholderText("name, such as u3" if self.section.free and self.section.free.kind is Kind.NUMBER else "name")
        name.setAccessibleName(f"name of another value in {'.'.join(map(str, self.path))}")
        button = QPushButton("Add value")

        def add() -> None:
            key, document = name.text().strip(), self.form.document
            if child(self._node, key) is not None:  # what it is would be lost
                document.refused.emit(f"{key} has a value already. Change it there, or give another name.")
            elif key:
                document.set_value((*self.path, key), 0, self.order)
                name.clear()

        button.clicked.connect(add)
        name.returnPressed.connect(add)
        line.addWidget(name, 1)
        line.addWidget(button)
        return line

    def _update_free(self, node: Node | None) -> None:
        keys = list(node.value) if node is not None and isinstance(node.value, dict) else []
        keys = [key for key in keys if key not in self.section.order and key not in self._skip]
        if keys == self._free or self.section.free is None:
            return
        self._free = keys
        self.parts = [part for part in self.parts if part not in self._own_parts]
        clear(self._own)
        body = QWidget()
        grid = QGridLayout(body)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setColumnStretch(1, 1)
        free = self.section.free
        self._own_parts = []
        for index, key in enumerate(keys):
            field = Field(key, free.kind, free.meaning, free.takes, choices=free.choices)
            self._own_parts.append(Row(self.form, field, (*self.path, key), grid, 2 * index, self.get_order))
        self.parts += self._own_parts
        self._own.addWidget(body)


class MoreBox(Fold):
    """The less used half of a long section."""

    def __init__(self, form: FormLike, path: Path_, section: Section, fields: tuple[Field, ...]) -> None:
        self.form, self.path, self._section, self._fields = form, path, section, fields
        self._node: Node | None = None
        self.body: SectionBody | None = None
        meaning = ", ".join(field.key for field in fields)
        super().__init__(f"{len(fields)} more settings", meaning, self._made, unfolded=False)

    def _made(self) -> QWidget:
        self.body = SectionBody(self.form, self.path, replace(self._section, fields=self._fields, free=None), whole=False)
        self.body.order = self._section.order
        self.body.update_from(self._node)
        self.body.show_problems()
        return self.body

    def update_from(self, parent: Node | None) -> None:
        """Show what stands in the file; unfold where something of it does."""
        self._node = parent
        if self.body is not None:
            self.body.update_from(parent)
        elif any(child(parent, field.key) is not None for field in self._fields):
            self.unfold()

    def filter(self, words: str) -> bool:
        """Show only what has these words."""
        found = any(matches(one, words) for field in self._fields for one in (field, *within(field)))
        if words and found:
            self.unfold()
        shown = self.body is None or self.body.filter(words)
        self.setVisible(found and shown)
        return found and shown

    def show_problems(self) -> None:
        """Show what is wrong within."""
        if self.body is not None:
            self.body.show_problems()
