"""The channel table for Qt: rows of knobs and readouts, edited in place, filled down, pasted, with what is wrong at its cell."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from PySide6.QtCore import QAbstractTableModel, QModelIndex, QPersistentModelIndex, Qt
from PySide6.QtGui import QColor, QFont

from aeqlab.app.window.connect.guide_model import GuideModel
from aeqlab.app.window.models.rig_cells import BY_KEY, CONTROL, INPUT, WORDS, Row, has, shown, unit_of
from aeqlab.app.window.models.rig_draft import RigDraft
from aeqlab.app.window.theme import theme
from aeqlab.drivers.offers import in_words

WIGGLE = "wiggle"  #: the column with a button per knob
Index = QModelIndex | QPersistentModelIndex
Role = Qt.ItemDataRole


class ChannelModel(QAbstractTableModel):
    """Rows of the channel table, some of their fields as columns.

    Args:
        guide: holds the rig file.
        fields: keys of the columns, `WIGGLE` among them where knobs can be wiggled.
    """

    def __init__(self, guide: GuideModel, fields: Sequence[str]) -> None:
        super().__init__(guide)
        self.guide, self.fields = guide, tuple(fields)
        self.wiggle_hint = ""
        self._rows: list[Row] = list(guide.draft.rows)
        guide.changed.connect(self.take)
        guide.replaced.connect(self.take)
        guide.checked.connect(self._repaint)
        theme().changed.connect(self._repaint)

    def take(self) -> None:
        """Show the rows as they are now."""
        rows = list(self.guide.draft.rows)
        same = [row.uid for row in rows] == [row.uid for row in self._rows]
        if same:
            self._rows = rows
            self._repaint()
        else:
            self.beginResetModel()
            self._rows = rows
            self.endResetModel()

    def _repaint(self) -> None:
        if self._rows:
            self.dataChanged.emit(self.index(0, 0), self.index(len(self._rows) - 1, len(self.fields) - 1))
            self.headerDataChanged.emit(Qt.Orientation.Horizontal, 0, len(self.fields) - 1)

    # shape
    def rowCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008, D102
        return 0 if parent.isValid() else len(self._rows)

    def columnCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008, D102
        return 0 if parent.isValid() else len(self.fields)

    def row(self, index: Index) -> Row:
        """Get the row at an index."""
        return self._rows[index.row()]

    def index_of(self, uid: int, field: str) -> QModelIndex:
        """Get the index of a cell; an invalid one where it is not shown."""
        at = next((k for k, row in enumerate(self._rows) if row.uid == uid), None)
        if at is None or field not in self.fields:
            return QModelIndex() if at is None else self.index(at, 0)
        return self.index(at, self.fields.index(field))

    def _alignment(self, field: str) -> Qt.AlignmentFlag:
        side = Qt.AlignmentFlag.AlignLeft if field in WORDS or field == WIGGLE else Qt.AlignmentFlag.AlignRight
        return side | Qt.AlignmentFlag.AlignVCenter

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = Role.DisplayRole) -> Any:
        """Give titles with units above, numbers at the left."""
        if orientation == Qt.Orientation.Vertical:
            return section + 1 if role == Role.DisplayRole else None
        field = self.fields[section]
        if role == Role.TextAlignmentRole:
            return self._alignment(field)
        if field == WIGGLE:
            return {Role.DisplayRole: "Find its cable", Role.ToolTipRole: "Moves one knob to and fro, a little."}.get(Role(role))
        about = BY_KEY[field]
        if role == Role.DisplayRole:
            unit = self._unit(field)
            return f"{about.title} ({unit})" if unit else about.title
        return about.text if role == Role.ToolTipRole else None

    def _unit(self, field: str) -> str:
        """Get the unit that all cells of a column have; empty where there is none, or several."""
        units = {unit_of(row, field) for row in self._rows if has(row.role, field)}
        return next(iter(units)) if len(units) == 1 and field not in WORDS else ""

    def data(self, index: Index, role: int = Role.DisplayRole) -> Any:
        """Give a cell as it is shown, edited, coloured and explained."""
        row, field = self._rows[index.row()], self.fields[index.column()]
        if field == WIGGLE:
            return self._wiggle(row, role)
        there = has(row.role, field)
        match role:
            case Role.DisplayRole:
                return self._shown(row, field) if there else row.role if field == "name" else "-"
            case Role.EditRole:
                return row.shown(field) if there else ""
            case Role.ToolTipRole | Role.AccessibleDescriptionRole:
                return self._tip(row, field)
            case Role.ForegroundRole:
                if self.guide.problems_at(row.uid, field):
                    return QColor(theme().now.fault)
                return None if there and row.get(field) not in (None, "") else QColor(theme().now.dim)
            case Role.FontRole:
                return self._font(bool(self.guide.problems_at(row.uid, field)))
            case Role.TextAlignmentRole:
                return self._alignment(field)
        return None

    def _wiggle(self, row: Row, role: int) -> Any:
        able = row.role in (CONTROL, INPUT) and bool(row.name and row.channel)
        if role == Role.DisplayRole:
            return f"Wiggle {row.name}" if able else ""
        if role == Role.ToolTipRole:
            return self.wiggle_hint if able else None
        if role == Role.ForegroundRole:
            return QColor(theme().now.dim if self.wiggle_hint else theme().now.chosen)
        return None

    def _font(self, wrong: bool) -> QFont:
        return theme().font(bold=wrong, tabular=True)

    def _shown(self, row: Row, field: str) -> str:
        text = row.shown(field)
        wrong = self.guide.problems_at(row.uid, field)
        if not text:
            return "✕ needed" if wrong else ""
        unit = unit_of(row, field) if field not in WORDS and not self._unit(field) else ""
        return f"{'✕ ' if wrong else ''}{text}{f' {unit}' if unit else ''}"

    def _tip(self, row: Row, field: str) -> str:
        if not has(row.role, field):
            return f"A {row.role} has no {BY_KEY[field].title.lower()}."
        parts = self.guide.problems_at(row.uid, field)
        if said := self.guide.draft.fixed(row, field):
            parts.append(said[0].upper() + said[1:])
        if field == "channel" and (channel := self.guide.channel(row)) is not None:
            parts.append(in_words(channel))
        return "\n".join([*parts, BY_KEY[field].text])

    def flags(self, index: Index) -> Qt.ItemFlag:
        """Say what can be edited."""
        row, field = self._rows[index.row()], self.fields[index.column()]
        base = Qt.ItemFlag.ItemIsSelectable | Qt.ItemFlag.ItemIsEnabled
        if field == WIGGLE or not has(row.role, field) or self.guide.draft.fixed(row, field):
            return base
        return base | Qt.ItemFlag.ItemIsEditable

    def setData(self, index: Index, value: Any, role: int = Role.EditRole) -> bool:
        """Put what was typed into the rig file."""
        field = self.fields[index.column()]
        if role != Role.EditRole or field == WIGGLE:
            return False
        uid = self._rows[index.row()].uid
        said = self.guide.edit(lambda draft: draft.set_cell(uid, field, str(value)))
        if said:
            self.guide.told.emit(said[0].upper() + said[1:])
        return not said

    # many cells at once
    def fill(self, cells: Sequence[tuple[int, int]]) -> None:
        """Fill each column of a selection from its first cell; names and channels count on: u00, u01 and dac[1], dac[2]."""
        columns = sorted({column for _, column in cells})
        wanted: list[tuple[int, str, str]] = []
        for column in columns:
            field = self.fields[column]
            if field == WIGGLE:
                continue
            rows = sorted(row for row, one in cells if one == column)
            text = self._rows[rows[0]].shown(field)
            for row in rows[1:]:
                text = next_of(text) if field in ("name", "channel") else text
                wanted.append((self._rows[row].uid, field, text))
        self._put(wanted)

    def clear(self, cells: Sequence[tuple[int, int]]) -> None:
        """Empty some cells; roles and units stay."""
        fields = [(row, self.fields[column]) for row, column in cells]
        self._put([(self._rows[row].uid, field, "") for row, field in fields if field not in ("role", "unit", WIGGLE)])

    def paste(self, row: int, column: int, text: str) -> str:
        """Put a table that was copied from a spreadsheet in, from one cell on; one value goes into all that are `cells`.

        Returns:
            What did not fit, as a sentence; empty where all did.
        """
        lines = [line.split("\t") for line in text.rstrip("\r\n").splitlines()]
        wanted: list[tuple[int, str, str]] = []
        out = 0
        for k, line in enumerate(lines):
            for j, value in enumerate(line):
                at, over = row + k, column + j
                if at < len(self._rows) and over < len(self.fields) and self.fields[over] != WIGGLE:
                    if has(self._rows[at].role, self.fields[over]):
                        wanted.append((self._rows[at].uid, self.fields[over], value))
                    elif value.strip() not in ("", "-"):
                        out += 1
                else:
                    out += 1
        said = self._put(wanted)
        return said or (
            f"{out} values found no cell: there are no more rows or columns, or those have no such value." if out else ""
        )

    def copied(self, cells: Sequence[tuple[int, int]]) -> str:
        """Write some cells as a spreadsheet takes them."""
        rows = sorted({row for row, _ in cells})
        columns = sorted({column for _, column in cells})
        there = set(cells)
        return "\n".join(
            "\t".join(self._plain(row, column) if (row, column) in there else "" for column in columns) for row in rows
        )

    def _plain(self, row: int, column: int) -> str:
        field = self.fields[column]
        return "" if field == WIGGLE else shown(self._rows[row].get(field))

    def _put(self, wanted: Sequence[tuple[int, str, str]]) -> str:
        def change(draft: RigDraft) -> str:
            said = [text for uid, field, value in wanted if (text := draft.set_cell(uid, field, value))]
            return said[0] if said else ""

        said = str(self.guide.edit(change) or "")
        if said:
            self.guide.told.emit(said[0].upper() + said[1:])
        return said


def next_of(text: str) -> str:
    """Count a name or a channel on: u09 becomes u10, dac[1] dac[2]; one without a number stays."""
    matches = list(re.finditer(r"\d+", text))
    if not matches:
        return text
    last = matches[-1]
    digits = last[0]
    return text[: last.start()] + f"{int(digits) + 1:0{len(digits) if digits.startswith('0') else 0}d}" + text[last.end() :]
