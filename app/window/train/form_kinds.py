"""Parts of a form with settings of their own: kinds that switch, optional settings, lists of settings, settings by name."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from PySide6.QtWidgets import QHBoxLayout, QLabel, QLineEdit, QPushButton, QVBoxLayout, QWidget

from aeqlab.app.window.models.experiment_edits import Path_
from aeqlab.app.window.models.experiment_schema import Field, Kind, Section, Variant, known_keys, section_of
from aeqlab.app.window.models.experiment_text import ExperimentText
from aeqlab.app.window.theme import GRID, theme
from aeqlab.app.window.train.form_boxes import Fold, SectionBody
from aeqlab.app.window.train.form_fields import CalmCombo
from aeqlab.app.window.train.form_row import LABEL_WIDTH, FormLike, child, clear, matches, node_at, tip, within
from aeqlab.protocols.yaml import Node


class VariantBox(QWidget):
    """A choice of kinds, and the settings of the chosen one; what both kinds have is kept when it is switched."""

    def __init__(self, form: FormLike, body: SectionBody, field: Field, path: Path_) -> None:
        super().__init__()
        self.form, self.field, self.path, self._body = form, field, path, body
        self.variant: Variant | None = None
        self.inner: SectionBody | None = None
        self._node: Node | None = None
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(GRID // 2)
        line = QHBoxLayout()
        line.setSpacing(GRID)
        self.label = QLabel(field.tag or field.key)
        self.label.setFixedWidth(LABEL_WIDTH)
        self.label.setToolTip(tip(field))
        line.addWidget(self.label)
        self.combo = CalmCombo(self)
        self.combo.addItems([one.word for one in field.variants])
        self.combo.setCurrentIndex(-1)
        self.combo.setPlaceholderText(field.default or ("needed" if field.needed else "not set"))
        self.combo.setToolTip(tip(field))
        self.combo.setAccessibleName(f"{'.'.join(map(str, path))}: kind")
        self.combo.activated.connect(lambda index: self.switch(field.variants[index]))
        self.combo.setVisible(not field.follows)
        if field.follows:
            self.label.hide()  # never shown by itself: without a parent yet it would be a window of its own
        line.addWidget(self.combo, 1)
        self.reset = QPushButton("Reset")
        self.reset.setToolTip(f"Take {field.key} out of the file")
        self.reset.setAccessibleName(f"Reset {field.key}")
        self.reset.clicked.connect(lambda: form.document.remove(path))
        self.reset.hide()
        line.addWidget(self.reset)
        layout.addLayout(line)
        self._inner = QVBoxLayout()
        self._inner.setContentsMargins(GRID * 2, 0, 0, 0)
        layout.addLayout(self._inner)

    def switch(self, variant: Variant) -> None:
        """Make it of another kind."""
        document, path, tag = self.form.document, self.path, self.field.tag
        plain = None if self._node is None else self._node.plain()
        there = plain if isinstance(plain, dict) else {}
        known = known_keys(variant)
        left = {key: value for key, value in there.items() if key not in known and key != tag}
        kept = self.form.keep(path, left)
        back = {key: value for key, value in kept.items() if key in known and key not in there}
        if variant.model is None:
            done = document.set_value(path, variant.value, self._body.order)
        elif not there:
            done = document.set_value(path, {**({tag: variant.word} if tag else {}), **back}, self._body.order)
        else:
            order = section_of(variant.model).order
            steps: list[Callable[[ExperimentText], object]] = []
            if tag:
                steps.append(lambda model: model.set((*path, tag), variant.word))
            steps += [partial(_take_out, (*path, key)) for key in left]
            steps += [partial(_put_back, (*path, key), value, order) for key, value in back.items()]
            done = document.change(*steps)
        if not done:  # it is as it was
            self.update_from(node_at(document.tree, path[:-1]))

    def update_from(self, parent: Node | None) -> None:
        """Show what stands in the file."""
        self._node = node = child(parent, self.path[-1])
        beside = parent.plain() if parent is not None and isinstance(parent.value, dict) and self.field.follows else {}
        variant = self.field.variant_of(None if node is None else node.plain(), beside)
        if variant is not None and not self.field.follows:
            self.combo.setCurrentIndex(self.field.variants.index(variant))
        elif node is None or isinstance(node.value, list | dict):
            self.combo.setCurrentIndex(-1)
        else:  # a word that is none of them is shown as it stands
            if self.combo.count() == len(self.field.variants):
                self.combo.addItem("")
            self.combo.setItemText(len(self.field.variants), str(node.text))
            self.combo.setCurrentIndex(len(self.field.variants))
        self.label.setFont(theme().font(bold=node is not None))
        self.reset.setVisible(node is not None and not self.field.needed and not self.field.follows)
        if variant != self.variant:
            self.variant = variant
            clear(self._inner)
            self.inner = None
            if variant is not None and variant.model is not None:
                skip = (self.field.tag,) if self.field.tag else ()
                self.inner = SectionBody(self.form, self.path, section_of(variant.model), skip=skip)
                self._inner.addWidget(self.inner)
        if self.inner is not None:
            self.inner.update_from(node)

    def filter(self, words: str) -> bool:
        """Show only what has these words; of a kind that has them itself, everything."""
        if matches(self.field, words) and words:
            words = ""
        inner = self.inner is not None and self.inner.filter(words)
        shown = inner or matches(self.field, words)
        self.setVisible(shown)
        return shown

    def show_problems(self) -> None:
        """Show what is wrong with the kind; the settings show theirs."""
        if self.inner is not None:
            self.inner.show_problems()
            return
        key = ".".join(map(str, self.path))
        said = [f"{one.message} {one.hint}".strip() for one in self.form.problems if one.key == key]
        self.combo.setToolTip("\n".join([*said, tip(self.field)]))


def _take_out(path: Path_, model: ExperimentText) -> None:
    model.remove(path)


def _put_back(path: Path_, value: Any, order: tuple[str, ...], model: ExperimentText) -> None:
    model.set(path, value, order=order)


class SectionBox(Fold):
    """Settings of their own, a list of them, or some by name."""

    def __init__(self, form: FormLike, field: Field, path: Path_) -> None:
        self.form, self.field, self.path = form, field, path
        self._node: Node | None = None
        self.body: SectionBody | EntriesBody | None = None
        super().__init__(field.key, tip(field), self._made, unfolded=False)

    def _made(self) -> QWidget:
        if self.field.kind is Kind.SECTION:
            section = (
                section_of(self.field.model) if self.field.model is not None else Section(self.field.meaning, (), self.field.free)
            )
            self.body = SectionBody(self.form, self.path, section)
        else:
            self.body = EntriesBody(self.form, self.field, self.path)
        self.body.update_from(self._node)
        self.body.show_problems()
        return self.body

    def update_from(self, parent: Node | None) -> None:
        """Show what stands in the file, if it is unfolded."""
        first = self._node is None
        self._node = child(parent, self.path[-1])
        if first and self._node is not None and self.body is None:
            self.unfold()
        elif self.body is not None:
            self.body.update_from(self._node)
        self._title()

    def filter(self, words: str) -> bool:
        """Show only what has these words, unfolded where it has them within."""
        own = matches(self.field, words)
        if words and not own and any(matches(one, words) for one in within(self.field)):
            self.unfold()
        inner = self.body is not None and self.body.filter("" if own else words)
        self.setVisible(own or inner)
        return own or inner

    def show_problems(self) -> None:
        """Show what is wrong within, and how much of it where it is folded."""
        if self.body is not None:
            self.body.show_problems()
        self._title()

    def _title(self) -> None:
        key = ".".join(map(str, self.path))
        wrong = sum(one.key == key or one.key.startswith(f"{key}.") for one in self.form.problems)
        said = f", {wrong} problem{'s' * (wrong > 1)}" if wrong else ""
        said = f": not set{said}" if self._node is None and not wrong else said
        default = f" ({self.field.default})" if self._node is None and self.field.default else ""
        self.rename(f"{self.field.key}{said}{default}")


class EntriesBody(QWidget):
    """The settings in a list, or by name, with buttons to add and to take out."""

    def __init__(self, form: FormLike, field: Field, path: Path_) -> None:
        super().__init__()
        assert field.model is not None
        self.form, self.field, self.path = form, field, path
        self.section = section_of(field.model)
        self.bodies: dict[int | str, SectionBody] = {}
        self.folds: dict[int | str, Fold] = {}
        self._keys: list[int | str] = []
        self._node: Node | None = None
        self._column = QVBoxLayout(self)
        self._column.setContentsMargins(0, 0, 0, 0)
        self._entries = QVBoxLayout()
        self._column.addLayout(self._entries)
        line = QHBoxLayout()
        self._name = QLineEdit()
        self._name.setPlaceholderText("name")
        self._name.setAccessibleName(f"name of another entry of {'.'.join(map(str, path))}")
        self._name.setVisible(field.kind is Kind.NAMED)
        self._name.returnPressed.connect(self._add)
        add = QPushButton("Add entry")
        add.setToolTip(f"Add an entry to {field.key}")
        add.clicked.connect(self._add)
        line.addWidget(self._name, 1)
        line.addWidget(add)
        line.addStretch(0 if field.kind is Kind.NAMED else 1)
        self._column.addLayout(line)

    def update_from(self, node: Node | None) -> None:
        """Show what stands in the list or mapping."""
        self._node = node
        keys: list[int | str] = []
        if node is not None and isinstance(node.value, list):
            keys = list(range(len(node.value)))
        elif node is not None and isinstance(node.value, dict):
            keys = list(node.value)
        if keys != self._keys:
            self._keys, self.bodies, self.folds = keys, {}, {}
            clear(self._entries)
            for key in keys:
                self._entries.addWidget(self._entry(key, unfolded=len(keys) == 1))
        for key, body in self.bodies.items():
            body.update_from(child(node, key))

    def _entry(self, key: int | str, *, unfolded: bool) -> QWidget:
        def make() -> SectionBody:
            body = self.bodies[key] = SectionBody(self.form, (*self.path, key), self.section)
            body.update_from(child(self._node, key))
            body.show_problems()
            return body

        title = f"{self.field.key} {key + 1}" if isinstance(key, int) else str(key)
        fold = Fold(title, f"an entry of {self.field.key}", make, unfolded=unfolded)
        remove = QPushButton("Take out", fold)
        remove.setAccessibleName(f"Take {title} out")
        remove.setToolTip(f"Take {title} out of {self.field.key}")
        remove.clicked.connect(lambda: self.form.document.remove((*self.path, key)))
        fold.head.addWidget(remove)
        self.folds[key] = fold
        return fold

    def _add(self) -> None:
        if self.field.kind is Kind.NAMED:
            name = self._name.text().strip()
            if name in self._keys:  # what it has would be lost
                self.form.document.refused.emit(f"{self.field.key} has an entry {name} already. Give another name.")
            elif name:
                self.form.document.set_value((*self.path, name), {})
                self._name.clear()
        else:
            self.form.document.change(lambda model: model.insert(self.path, len(self._keys), {}))

    def filter(self, words: str) -> bool:
        """Show only the fields with these words."""
        if words and any(matches(field, words) for field in self.section.fields):
            for fold in self.folds.values():
                fold.unfold()
        return sum([body.filter(words) for body in self.bodies.values()]) > 0

    def show_problems(self) -> None:
        """Show what is wrong in each entry."""
        for body in self.bodies.values():
            body.show_problems()
