"""The experiment as a form, made from the models that check the files; it and the YAML beside it show the same text."""

from __future__ import annotations

from functools import partial
from typing import Any

from PySide6.QtCore import Qt, QTimer
from PySide6.QtGui import QKeySequence, QShortcut
from PySide6.QtWidgets import QApplication, QFrame, QLabel, QLineEdit, QScrollArea, QVBoxLayout, QWidget

from aeqlab.app.window.models.experiment_edits import Path_
from aeqlab.app.window.models.experiment_schema import (
    Field,
    Kind,
    Section,
    experiment_section,
    section_of,
    stage_meaning,
    stage_variants,
)
from aeqlab.app.window.theme import GRID, SMALL, theme
from aeqlab.app.window.train.form_boxes import Fold, SectionBody
from aeqlab.app.window.train.form_document import ExperimentDocument
from aeqlab.app.window.train.form_fields import FieldEditor
from aeqlab.app.window.train.form_row import clear, matches, node_at, tip, within
from aeqlab.backends.user_code import is_user_code
from aeqlab.protocols.errors import Problem
from aeqlab.protocols.yaml import Node

#: Sections from top to bottom, each with the keys of an experiment in it; the stage that is chosen stands before the last two.
SECTIONS = (
    ("experiment", ("name", "seed")),
    ("device", ("device",)),
    ("data", ("data",)),
    ("homeostasis", ("homeostasis",)),
    ("settling", ("settling",)),
    ("limits", ("limits",)),
    ("then", ("then",)),
    ("for the record", ("operator", "unattended", "notify", "tags", "notes", "runs")),
)
UNFOLDED = ("experiment", "device", "data", "then")  #: from the first; others once something stands in them
FILTER_MS = 150


class ExperimentForm(QWidget):
    """The form of one experiment.

    Args:
        document: the experiment.
    """

    def __init__(self, document: ExperimentDocument, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.document = document
        self.problems: tuple[Problem, ...] = ()
        self._kept: dict[Path_, dict[str, Any]] = {}
        self._stage_path: Path_ | None = None
        self._stage_word = ""
        self.folds: dict[str, Fold] = {}
        self.bodies: dict[str, SectionBody] = {}
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(GRID)
        self.finder = QLineEdit()
        self.finder.setPlaceholderText("Find a setting (Ctrl+F)")
        self.finder.setAccessibleName("Find a setting")
        self.finder.setToolTip("Show only settings with these words in their name or meaning (Ctrl+F)")
        self.finder.setClearButtonEnabled(True)
        column.addWidget(self.finder)
        self.broken = QLabel()
        self.broken.setWordWrap(True)
        self.broken.hide()
        column.addWidget(self.broken)
        self._area = QScrollArea()
        self._area.setWidgetResizable(True)
        self._area.setFrameShape(QFrame.Shape.NoFrame)
        self._area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        column.addWidget(self._area, 1)
        self.help = QLabel("Enter a field: what it means stands here.")
        self.help.setWordWrap(True)
        self.help.setAlignment(Qt.AlignmentFlag.AlignTop)
        self.help.setFont(theme().font(SMALL))
        self.help.setFixedHeight(self.help.fontMetrics().lineSpacing() * 3)
        column.addWidget(self.help)
        self._build()
        self._filter_timer = QTimer(self, singleShot=True, interval=FILTER_MS)
        self._filter_timer.timeout.connect(self._filter)
        self.finder.textChanged.connect(lambda _: self._filter_timer.start())
        shortcut = QShortcut(QKeySequence.StandardKey.Find, self)
        shortcut.setContext(Qt.ShortcutContext.WidgetWithChildrenShortcut)
        shortcut.activated.connect(self.finder.setFocus)
        document.read.connect(self._read)
        document.examined.connect(lambda found: self._mark(found.problems))
        document.opened.connect(self._opened)
        theme().changed.connect(self._dress)
        application = QApplication.instance()
        if isinstance(application, QApplication):
            application.focusChanged.connect(self._entered)
        self._dress()
        self._read(document.tree, ())

    # what its parts ask
    def keep(self, path: Path_, values: dict[str, Any]) -> dict[str, Any]:
        """Remember what a kind that was left had; returns all that is remembered of that place."""
        kept = self._kept.setdefault(path, {})
        kept.update(values)
        return kept

    # what others ask
    @property
    def stage_path(self) -> Path_ | None:
        """Path of the stage whose options are shown; None for none."""
        return self._stage_path

    def show_stage(self, path: Path_ | None) -> None:
        """Show the options of the stage at a path such as ("sequence", 0)."""
        self._stage_path = path
        self._stage_word = ""
        self._update_stage(self.document.tree)
        self._mark(self.problems)
        fold = self.folds.get("stage")
        if fold is not None:  # once the layout knows where it is
            QTimer.singleShot(0, fold, lambda: self._scroll_to(fold))

    def field_at(self, path: Path_) -> FieldEditor | None:
        """Find what one types a value into; None where it was not unfolded yet."""
        return next((one for one in self.findChildren(FieldEditor) if one.path == path), None)

    def _scroll_to(self, fold: Fold) -> None:
        inner = self._area.widget()
        layout = None if inner is None else inner.layout()
        if layout is not None:
            layout.activate()
        self._area.verticalScrollBar().setValue(fold.y())

    def show_field(self, field: FieldEditor) -> None:
        """Bring a field into sight."""
        QTimer.singleShot(0, field, lambda: self._area.ensureWidgetVisible(field.core))

    def go_to(self, path: Path_) -> bool:
        """Enter the field of a path, or the nearest around it; returns whether there is one."""
        for depth in range(len(path), 0, -1):
            field = self.field_at(path[:depth])
            if field is not None:
                self.show_field(field)
                field.core.setFocus()
                return True
        return False

    def _entered(self, _: QWidget | None, now: QWidget | None) -> None:
        """Show what the field means that was entered."""
        if now is None or not self.isAncestorOf(now):
            return
        for one in self.findChildren(FieldEditor):
            if now in (one.core, one.line):
                self.help.setText(f"{'.'.join(map(str, one.path))}: {tip(one.field)}")
                self.help.setToolTip(self.help.text())

    # building
    def _build(self) -> None:
        inner = QWidget()
        column = QVBoxLayout(inner)
        column.setContentsMargins(0, 0, GRID, 0)
        column.setSpacing(GRID)
        whole = experiment_section()
        for title, keys in SECTIONS:
            if title == "then":
                self._stage_column = QVBoxLayout()
                column.addLayout(self._stage_column)
            fields = tuple(field for field in whole.fields if field.key in keys)
            section, path = Section("", fields), ()
            if len(fields) == 1 and fields[0].kind is Kind.SECTION and fields[0].model is not None:
                section, path = section_of(fields[0].model), (fields[0].key,)  # type: ignore[assignment]
            fold = Fold(title, fields[0].meaning, partial(self._body, title, section, path), unfolded=False, large=True)
            self.folds[title] = fold
            column.addWidget(fold)
            if title in UNFOLDED:
                fold.unfold()
        column.addStretch(1)
        self._area.setWidget(inner)

    def _body(self, title: str, section: Section, path: Path_) -> SectionBody:
        body = SectionBody(self, path, section)
        body.order = experiment_section().order if not path else body.order
        self.bodies[title] = body
        body.update_from(node_at(self.document.tree, path))
        body.show_problems()
        return body

    def _opened(self) -> None:
        """Begin anew with another text: what was unfolded and remembered was about the one before."""
        self._kept.clear()
        self._stage_path, self._stage_word = None, ""
        self.folds, self.bodies, self.problems = {}, {}, ()
        self._build()
        self._filter_timer.start()

    # showing
    def _read(self, tree: Node | None, problems: tuple[Problem, ...]) -> None:
        if tree is None:
            where = f" in line {problems[0].line}" if problems and problems[0].line else ""
            said = problems[0].message if problems else ""
            self.broken.setText(f"The text has a mistake{where}: {said} Until it is mended there, fields show what stood before.")
            self.broken.show()
            return
        self.broken.hide()
        self.setUpdatesEnabled(False)
        for body in self.bodies.values():
            body.update_from(node_at(tree, body.path))
        for title, keys in SECTIONS:
            if title not in self.bodies and any(node_at(tree, (key,)) is not None for key in keys):
                self.folds[title].unfold()
        self._update_stage(tree)
        self.setUpdatesEnabled(True)

    def _update_stage(self, tree: Node | None) -> None:
        entry = node_at(tree, self._stage_path) if self._stage_path is not None else None
        word = _word(entry)
        if word != self._stage_word:
            self._stage_word = word
            clear(self._stage_column)
            self.bodies.pop("stage", None)
            self.folds.pop("stage", None)
            if entry is not None and word and self._stage_path is not None:
                place = ".".join(str(step + 1) for step in self._stage_path if isinstance(step, int))
                path = (*self._stage_path, word)
                section = _options_of(word)
                fold = Fold(
                    f"stage {place}: {word}",
                    stage_meaning(word),
                    lambda: self._body("stage", section, path),
                    unfolded=True,
                    large=True,
                )
                self.folds["stage"] = fold
                self._stage_column.addWidget(fold)
                if self.finder.text().strip():
                    self._filter_timer.start()
        body = self.bodies.get("stage")
        if body is not None:
            body.update_from(node_at(tree, body.path))

    def _mark(self, problems: tuple[Problem, ...]) -> None:
        self.problems = problems
        for body in self.bodies.values():
            body.show_problems()
        for title, fold in self.folds.items():
            keys = next((keys for name, keys in SECTIONS if name == title), ())
            if title == "stage" and "stage" in self.bodies:
                keys = (".".join(map(str, self.bodies["stage"].path)),)
            wrong = sum(one.key == key or one.key.startswith(f"{key}.") for one in problems for key in keys)
            base = fold.button.text().split("  -  ")[0]
            fold.rename(f"{base}  -  {wrong} problem{'s' * (wrong > 1)}" if wrong else base)

    def _filter(self) -> None:
        words = self.finder.text().strip()
        whole = experiment_section()
        for title, fold in self.folds.items():
            keys = next((keys for name, keys in SECTIONS if name == title), ())
            fields = [field for field in whole.fields if field.key in keys]
            if words and title not in self.bodies and any(matches(one, words) for top in fields for one in (top, *within(top))):
                fold.unfold()
            body = self.bodies.get(title)
            own = title in words.lower().split() or not words
            shown = body is not None and body.filter("" if own else words)
            fold.setVisible(shown or own)

    def _dress(self) -> None:
        self.broken.setStyleSheet(f"color: {theme().now.fault}")
        self.help.setStyleSheet(f"color: {theme().now.dim}")
        self._mark(self.problems)


def _word(entry: Node | None) -> str:
    """Get the word of a stage, if it is one that has options."""
    if entry is None:
        return ""
    words = [one.word for one in stage_variants()]
    keys = [str(entry.value)] if isinstance(entry.value, str) else list(entry.value) if isinstance(entry.value, dict) else []
    return next((key for key in keys if key in words or is_user_code(key)), "")


def _options_of(word: str) -> Section:
    model = next((one.model for one in stage_variants() if one.word == word), None)
    if model is not None:
        return section_of(model)
    return Section(
        "options of a stage of your own", (), Field("", Kind.VALUE, "passed to the stage under this name", "any value")
    )
