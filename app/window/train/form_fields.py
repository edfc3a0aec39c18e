"""One field of the form: what is typed goes to the YAML as it is typed, right or wrong; nothing is clamped or corrected."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from PySide6.QtCore import QObject, QRect, QSize, Qt, Signal
from PySide6.QtGui import QPainter, QPaintEvent, QPalette, QWheelEvent
from PySide6.QtWidgets import QComboBox, QFileDialog, QLineEdit, QPlainTextEdit, QPushButton, QSizePolicy, QWidget

from aeqlab.app.window.models.experiment_edits import Path_
from aeqlab.app.window.models.experiment_inline import Typed, Written, inline
from aeqlab.app.window.models.experiment_inline import meant as meant_by
from aeqlab.app.window.models.experiment_schema import Field, Kind, same
from aeqlab.app.window.theme import GRID, theme
from aeqlab.protocols.errors import FileErrors
from aeqlab.protocols.yaml import Node

NEEDED = "needed"


class UnitEdit(QLineEdit):
    """A line with the unit of its value inside, at its right end."""

    def __init__(self, unit: str = "", parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._unit = unit
        if unit:
            width = self.fontMetrics().horizontalAdvance(unit) + GRID
            self.setTextMargins(0, 0, width, 0)

    def paintEvent(self, event: QPaintEvent) -> None:
        """Draw the line, and the unit."""
        super().paintEvent(event)
        if self._unit:
            painter = QPainter(self)
            painter.setPen(self.palette().color(QPalette.ColorRole.PlaceholderText))
            place = QRect(0, 0, self.width() - GRID, self.height())
            painter.drawText(place, Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter, self._unit)
            painter.end()


class CalmCombo(QComboBox):
    """Choices that the wheel changes only where they have the focus, so that scrolling a form changes nothing."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)

    def minimumSizeHint(self) -> QSize:
        """Let it be narrower than its longest choice."""
        return QSize(12 * GRID, super().minimumSizeHint().height())

    def wheelEvent(self, event: QWheelEvent) -> None:
        """Turn only with the focus."""
        if self.hasFocus():
            super().wheelEvent(event)
        else:
            event.ignore()


class FieldEditor(QObject):
    """Shows one value, in its `core`, and sends what it should be.

    `wanted(value)`: what was typed or chosen, as the text of an experiment takes it; None to take it out, for its default.
    """

    wanted = Signal(object)

    def __init__(self, field: Field, path: Path_, parent: QWidget) -> None:
        super().__init__(parent)
        self.field, self.path = field, path
        self._wrong = self._telling = False
        self.line: QLineEdit | None = None
        self.combo: QComboBox | None = None
        self.box: QPlainTextEdit | None = None
        empty = NEEDED if field.needed else field.default
        if field.kind in (Kind.SWITCH, Kind.CHOICE):
            self.combo = CalmCombo(parent)
            self.combo.setPlaceholderText(empty or "not set")
            self.combo.addItems(list(field.choices))
            self.combo.setCurrentIndex(-1)
            self.combo.activated.connect(self._tell)
        elif field.long:
            self.box = QPlainTextEdit(parent)
            self.box.setTabChangesFocus(True)
            self.box.setPlaceholderText(empty)
            self.box.setFixedHeight(self.box.fontMetrics().lineSpacing() * 3 + GRID * 2)
            self.box.textChanged.connect(self._tell)
        else:
            self.line = UnitEdit(field.unit, parent)
            self.line.setPlaceholderText(empty or "not set")
            self.line.textEdited.connect(self._tell)
            if field.choices:
                self.combo = CalmCombo(parent)
                self.combo.setEditable(True)
                self.combo.setInsertPolicy(QComboBox.InsertPolicy.NoInsert)
                self.combo.setLineEdit(self.line)
                self.combo.addItems(list(field.choices))
                self.combo.setCurrentIndex(-1)
                self.combo.activated.connect(self._tell)
        self.core: QWidget = self.combo or self.box or self.line or QWidget(parent)
        self.browse: QPushButton | None = None
        if field.kind is Kind.PATH:
            self.browse = QPushButton("Browse...", parent)
            self.browse.setToolTip(f"Choose the file or folder for {field.key}")
            self.browse.clicked.connect(self._browse)
        self.base = Path()  #: folder from which a path counts
        self._dialog: QFileDialog | None = None

    @property
    def text(self) -> str:
        """What stands in it."""
        if self.box is not None:
            return self.box.toPlainText()
        if self.line is not None:
            return self.line.text()
        return "" if self.combo is None else self.combo.currentText()

    def value(self) -> Any:
        """Get what is to be written for what stands in it; None for nothing."""
        text = self.text
        if not text.strip():
            return None
        if self.field.kind is Kind.LIST:
            found = _as_written(text if text.lstrip().startswith("[") else f"[{text}]", list, text)
            if not isinstance(found, Written) and self.field.takes == "a list, each a text":  # names such as u[3]
                return [part.strip() for part in text.split(",") if part.strip()]
            return found
        if self.field.kind is Kind.VALUE:
            if text.strip()[0] in "[{":
                return _as_written(text.strip(), list | dict, text)
            if "," in text and "a text" not in self.field.takes and "a list" in self.field.takes:
                return _as_written(f"[{text}]", list, text)
            return Typed(text.strip())
        if self.field.kind in (Kind.NUMBER, Kind.WHOLE, Kind.SWITCH):
            return Typed(text.strip())
        if self.field.kind is Kind.CHOICE and text in self.field.choices:
            return text if not text.isdecimal() else Typed(text)
        return text

    def show_node(self, node: Node | None) -> None:
        """Show what stands in the file; None: nothing, so the default counts. What means the same as typed is left as it is."""
        if node is None:
            wanted = ""
        elif isinstance(node.value, list) and self.field.kind is Kind.LIST:
            wanted = (
                inline(node.plain())[1:-1] if node.value and not isinstance(node.value[0].value, list) else inline(node.plain())
            )
        elif isinstance(node.value, list | dict):
            wanted = inline(node.plain())
        else:
            wanted = node.text if node.text is not None else ""
        if wanted == self.text or self._telling:  # what one types is left alone, however it had to be written
            return
        if not (self._means(node) and (self.has_focus() or (node is not None and isinstance(node.value, list | dict)))):
            self._put(wanted)

    def mark(self, wrong: bool) -> None:
        """Mark it as wrong, or not."""
        if not wrong and not self._wrong:
            return
        self._wrong = wrong
        palette = QPalette()
        if wrong:
            for role in (QPalette.ColorRole.Text, QPalette.ColorRole.ButtonText):
                palette.setColor(role, theme().now.fault)
        self.core.setPalette(palette)

    def has_focus(self) -> bool:
        """Tell whether one types here now."""
        return self.core.hasFocus() or (self.line is not None and self.line.hasFocus())

    def _means(self, node: Node | None) -> bool:
        value = self.value()
        if node is None or value is None:
            return node is None and value is None
        try:
            meant = meant_by(value)
        except FileErrors:
            return False
        return same(meant, node.plain())

    def _put(self, text: str) -> None:
        if self.box is not None:
            self.box.blockSignals(True)
            self.box.setPlainText(text)
            self.box.blockSignals(False)
        elif self.line is not None:
            place = self.line.cursorPosition()
            self.line.setText(text)
            self.line.setCursorPosition(min(place, len(text)) if self.line.hasFocus() else 0)
        elif self.combo is not None:
            index = self.combo.findText(text) if text else -1
            if text and index < 0:  # no choice, but what stands in the file is shown
                self.combo.addItem(text)
                index = self.combo.count() - 1
            self.combo.setCurrentIndex(index)

    def _tell(self, *_: object) -> None:
        self._telling = True
        try:
            self.wanted.emit(self.value())
        finally:
            self._telling = False

    def _browse(self) -> None:
        self._dialog = dialog = QFileDialog(self.core, f"Choose the file for {self.field.key}", str(self.base))
        dialog.setOption(QFileDialog.Option.DontUseNativeDialog)  # a native one would keep the window from FREEZE
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.fileSelected.connect(self.take_path)
        dialog.show()  # not modal: nothing stands in the way of FREEZE and MAKE SAFE

    def take_path(self, chosen: str) -> None:
        """Take a path that was chosen; one below the experiment's folder is written from there."""
        path = Path(chosen)
        try:
            named = Path(os.path.relpath(path, self.base)).as_posix()
        except ValueError:  # another drive
            named = str(path)
        self._put(str(path) if named.startswith("../..") else named)
        self._tell()


def _as_written(written: str, kinds: Any, typed: str) -> Any:
    """Get YAML that was typed as it is; what cannot be read is kept as a text, for the reader to complain of."""
    one = Written(" ".join(written.split()))
    try:
        return one if isinstance(one.meant, kinds) and "#" not in one else typed
    except FileErrors:
        return typed
