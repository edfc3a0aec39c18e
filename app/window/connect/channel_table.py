"""The channel table on the screen: typing begins an edit, Ctrl+D fills down, Ctrl+C and Ctrl+V go to and from a spreadsheet.

What is wrong with the present cell stands in a line below; the same sentence is the tooltip of the cell.
"""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import QAbstractItemModel, QItemSelectionModel, QModelIndex, QPersistentModelIndex, QRect, Qt, Signal
from PySide6.QtGui import QGuiApplication, QKeyEvent, QKeySequence, QMouseEvent, QPainter, QPaintEvent
from PySide6.QtWidgets import (
    QAbstractItemView,
    QComboBox,
    QHeaderView,
    QLabel,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QTableView,
    QWidget,
)

from aeqlab.app.window.connect.channel_model import WIGGLE, ChannelModel
from aeqlab.app.window.connect.guide_model import GuideModel
from aeqlab.app.window.models.rig_cells import DRIVEN, ROLES, Row
from aeqlab.app.window.theme import GRID, theme
from aeqlab.drivers.instrument import Direction
from aeqlab.drivers.offers import in_words

Index = QModelIndex | QPersistentModelIndex
WIDEST = 260  #: px of a column at first


class _Delegate(QStyledItemDelegate):
    """Edits a cell: by picking where there is something to pick from, else by typing."""

    def createEditor(self, parent: QWidget, option: QStyleOptionViewItem, index: Index) -> QWidget:
        model = index.model()
        assert isinstance(model, ChannelModel)
        field = model.fields[index.column()]
        offered = _offered(model, model.row(index), field)
        if offered is None:
            editor = super().createEditor(parent, option, index)
            editor.setFont(theme().font(tabular=True))
            return editor
        box = QComboBox(parent)
        box.setEditable(field != "role")
        box.setInsertPolicy(QComboBox.InsertPolicy.NoInsert)
        for text, words in offered:
            box.addItem(text)
            box.setItemData(box.count() - 1, words, Qt.ItemDataRole.ToolTipRole)
        box.setAccessibleName(field)
        box.activated.connect(lambda _: self._done(box))
        return box

    def _done(self, box: QComboBox) -> None:
        self.commitData.emit(box)
        self.closeEditor.emit(box)

    def setEditorData(self, editor: QWidget, index: Index) -> None:
        if editor.property("filled"):  # what is being typed stays, whatever is told of the cell meanwhile
            return
        editor.setProperty("filled", True)
        if isinstance(editor, QComboBox):
            text = str(index.data(Qt.ItemDataRole.EditRole))
            editor.setCurrentIndex(editor.findText(text))
            if editor.isEditable():
                editor.setEditText(text)
                line = editor.lineEdit()
                if line is not None:
                    line.selectAll()
        else:
            super().setEditorData(editor, index)

    def setModelData(self, editor: QWidget, model: QAbstractItemModel, index: Index) -> None:
        if isinstance(editor, QComboBox):
            model.setData(index, editor.currentText())
        else:
            super().setModelData(editor, model, index)

    def updateEditorGeometry(self, editor: QWidget, option: QStyleOptionViewItem, index: Index) -> None:
        rect = QRect(option.rect)
        rect.setWidth(max(rect.width(), editor.sizeHint().width() if isinstance(editor, QComboBox) else 10 * GRID))
        editor.setGeometry(rect)


def _offered(model: ChannelModel, row: Row, field: str) -> list[tuple[str, str]] | None:
    """List what can be picked for a cell, each with its tooltip; None where it is typed."""
    guide = model.guide
    match field:
        case "role":
            return [(role, "") for role in ROLES]
        case "channel":
            return free_channels(guide, row)
        case "unit":
            return [(unit, "") for unit in dict.fromkeys([*_units(guide, row), "V", "A", "K"])]
        case "measures":
            return [(name, "") for name in ("", *guide.draft.named("control"), *guide.draft.named("input"))]
    return None


def free_channels(guide: GuideModel, row: Row) -> list[tuple[str, str]]:
    """List the channels that a row could take: those of the right direction that no other row has, and its own."""
    taken = {one.channel for one in guide.draft.rows if one.uid != row.uid}
    wanted = Direction.OUT if row.role in DRIVEN else Direction.IN
    return [
        (f"{name}[{channel.key}]", in_words(channel))
        for name in guide.draft.instruments
        for channel in guide.offer(name).channels
        if channel.direction is wanted and f"{name}[{channel.key}]" not in taken
    ]


def _units(guide: GuideModel, row: Row) -> list[str]:
    channel = guide.channel(row)
    return [] if channel is None else [channel.unit]


class ChannelTable(QTableView):
    """The table itself.

    Args:
        guide: holds the rig file.
        fields: keys of the columns.
        name: what a screen reader calls it.
    """

    wiggle_wanted = Signal(str)  #: the channel of the knob
    said = Signal(str)  #: what is wrong with the present cell; empty for nothing

    def __init__(self, guide: GuideModel, fields: Sequence[str], name: str) -> None:
        super().__init__()
        self.rows = ChannelModel(guide, fields)
        self.setModel(self.rows)
        self.setItemDelegate(_Delegate(self))
        self.setAccessibleName(name)
        self.setToolTip(
            "Type to edit, F2 to change; Ctrl+D fills down, Ctrl+C and Ctrl+V exchange with a spreadsheet, Delete empties."
        )
        self.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        trigger = QAbstractItemView.EditTrigger
        self.setEditTriggers(trigger.DoubleClicked | trigger.EditKeyPressed | trigger.AnyKeyPressed)
        self.setHorizontalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.setAlternatingRowColors(False)
        self.verticalHeader().setDefaultSectionSize(3 * GRID + 4)
        self.horizontalHeader().setSectionResizeMode(QHeaderView.ResizeMode.Interactive)
        self.horizontalHeader().setHighlightSections(False)
        self.horizontalHeader().setStretchLastSection(True)
        self.rows.modelReset.connect(self._fit)
        guide.checked.connect(self._say)
        self._fit()

    def _fit(self) -> None:
        self.resizeColumnsToContents()
        for column in range(self.rows.columnCount()):
            least = (
                16 * GRID
                if self.rows.fields[column] in ("name", "channel", "measures") and len(self.rows.fields) < 8
                else 8 * GRID
            )
            self.setColumnWidth(column, min(max(self.columnWidth(column) + GRID, least), WIDEST))

    def cells(self) -> list[tuple[int, int]]:
        """List the chosen cells, row and column."""
        return [(index.row(), index.column()) for index in self.selectionModel().selectedIndexes()]

    def uids(self) -> list[int]:
        """List the rows that have a chosen cell, by what they are known by."""
        return [self.rows.row(self.rows.index(row, 0)).uid for row in sorted({row for row, _ in self.cells()})]

    def show_cell(self, uid: int, field: str) -> None:
        """Bring a cell into view and choose it."""
        index = self.rows.index_of(uid, field)
        if index.isValid():
            self.setFocus()
            self.scrollTo(index, QAbstractItemView.ScrollHint.PositionAtCenter)
            self.selectionModel().setCurrentIndex(index, QItemSelectionModel.SelectionFlag.ClearAndSelect)

    # what the keys do
    def fill_down(self) -> None:
        """Fill the chosen cells from the first of each column."""
        self.rows.fill(self.cells())

    def copy(self) -> None:
        """Copy the chosen cells."""
        QGuiApplication.clipboard().setText(self.rows.copied(self.cells()))

    def paste(self) -> None:
        """Paste a table from the first chosen cell on; a single value goes into every chosen cell."""
        text = QGuiApplication.clipboard().text()
        cells = self.cells()
        if not cells or not text:
            return
        lines = text.rstrip("\r\n").splitlines()
        if len(lines) == 1 and "\t" not in lines[0]:
            rows, columns = sorted({row for row, _ in cells}), sorted({column for _, column in cells})
            text = "\n".join("\t".join([lines[0]] * len(columns)) for _ in rows)
        said = self.rows.paste(min(row for row, _ in cells), min(column for _, column in cells), text)
        if said:
            self.rows.guide.told.emit(said)

    def keyPressEvent(self, event: QKeyEvent) -> None:  # noqa: D102
        for keys, does in (
            (QKeySequence.StandardKey.Copy, self.copy),
            (QKeySequence.StandardKey.Paste, self.paste),
            (QKeySequence.StandardKey.Undo, self.rows.guide.undo),
            (QKeySequence.StandardKey.Redo, self.rows.guide.redo),
        ):
            if event.matches(keys):
                does()
                return
        if event.key() == Qt.Key.Key_D and event.modifiers() == Qt.KeyboardModifier.ControlModifier:
            self.fill_down()
        elif event.key() in (Qt.Key.Key_Delete, Qt.Key.Key_Backspace):
            self.rows.clear(self.cells())
        elif event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter, Qt.Key.Key_Space) and self._field() == WIGGLE:
            self._wiggle(self.currentIndex())
        else:
            super().keyPressEvent(event)

    def _field(self) -> str:
        index = self.currentIndex()
        return self.rows.fields[index.column()] if index.isValid() else ""

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:  # noqa: D102
        super().mouseReleaseEvent(event)
        index = self.indexAt(event.position().toPoint())
        if index.isValid() and self.rows.fields[index.column()] == WIGGLE and event.button() == Qt.MouseButton.LeftButton:
            self._wiggle(index)

    def _wiggle(self, index: QModelIndex) -> None:
        if not str(index.data() or ""):
            return
        if self.rows.wiggle_hint:
            self.rows.guide.told.emit(self.rows.wiggle_hint)
        else:
            self.wiggle_wanted.emit(self.rows.row(index).channel)

    def currentChanged(self, current: Index, previous: Index) -> None:  # noqa: D102
        super().currentChanged(current, previous)
        self._say()

    def _say(self) -> None:
        index = self.currentIndex()
        if not index.isValid() or self.rows.fields[index.column()] == WIGGLE:
            self.said.emit("")
            return
        row = self.rows.row(index)
        self.said.emit("  ".join(self.rows.guide.problems_at(row.uid, self.rows.fields[index.column()])))

    def paintEvent(self, event: QPaintEvent) -> None:  # noqa: D102
        super().paintEvent(event)
        if not self.rows.rowCount():
            painter = QPainter(self.viewport())
            painter.setPen(self.palette().placeholderText().color())
            where = self.viewport().rect().adjusted(2 * GRID, 2 * GRID, -2 * GRID, -2 * GRID)
            painter.drawText(
                where, Qt.AlignmentFlag.AlignCenter | Qt.TextFlag.TextWordWrap, "There is no channel yet. Add some above."
            )


class SentenceLine(QLabel):
    """A line below a table, in which what is wrong with the present cell stands."""

    def __init__(self) -> None:
        super().__init__()
        self.setTextFormat(Qt.TextFormat.PlainText)
        self.setWordWrap(True)
        self.setMinimumHeight(5 * GRID)
        self.setAlignment(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignTop)
        self.setAccessibleName("what is wrong with this cell")
        theme().changed.connect(self._colour)
        self._colour()

    def _colour(self) -> None:
        self.setStyleSheet(f"color: {theme().now.fault};")

    def say(self, text: str) -> None:
        """Show a sentence."""
        self.setText(f"✕ {text}" if text else "")
