"""Tables of values per knob that a rig file names: read for the rows they belong to, and written back where they are CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aeqlab.app.window.models.rig_cells import Row, shown
from aeqlab.app.window.models.rig_entries import COLUMN_OF_CELL
from aeqlab.backends.errors import DeviceConfigError
from aeqlab.backends.rig_table import COLUMNS, rows_of
from aeqlab.protocols.atomic import write_whole
from aeqlab.protocols.errors import RecordError


@dataclass(frozen=True, slots=True)
class Table:
    """A table as it was read.

    Attributes:
        path: of the file.
        columns: values by column, in the order of the names.
        writable: it is CSV; an Excel file is only read, as it may hold what would be lost.
    """

    path: Path
    columns: dict[str, list[Any]]
    writable: bool

    @classmethod
    def read(cls, path: Path, names: list[str]) -> Table:
        """Read a table for some names.

        Raises:
            RecordError: it cannot be read, or does not fit.
        """
        try:
            return cls(path, rows_of(path, names), path.suffix.lower() not in (".xlsx", ".xlsm"))
        except DeviceConfigError as exc:
            raise RecordError(str(exc)) from exc


def write_table(table: Table, rows: Sequence[Row], path: Path) -> None:
    """Write the values of rows into their CSV table; rows of other names, and the order of all, stay.

    Raises:
        RecordError: it cannot be read or written.
    """
    try:
        text = table.path.read_text(encoding="utf-8-sig")
        lines = list(csv.reader(io.StringIO(text)))
        head = [cell.strip() for cell in lines[0]]
        at = {line[head.index("name")].strip(): line for line in lines[1:] if len(line) > head.index("name")}
        changed = path != table.path
        for row in rows:
            line = at.get(row.name)
            if line is None:
                line = [row.name if column == "name" else "" for column in head]
                lines.append(line)
            line += [""] * (len(head) - len(line))
            for k, column in enumerate(head):
                if column in COLUMNS and column != "name":
                    changed |= _put(line, k, _value(row, column))
        if not changed:
            return
        out = io.StringIO()
        csv.writer(out, lineterminator="\r\n" if "\r\n" in text else "\n").writerows(lines)
        write_whole(path, out.getvalue().encode("utf-8"))
    except (OSError, UnicodeDecodeError, ValueError) as exc:
        raise RecordError(f"{path} cannot be written: {getattr(exc, 'strerror', None) or exc}.") from exc


def _value(row: Row, column: str) -> str:
    if column == "channel":
        return row.channel
    cell = {column_: key for key, column_ in COLUMN_OF_CELL.items()}.get(column, column)
    return shown(row.cells.get(cell))


def _put(line: list[str], k: int, value: str) -> bool:
    """Put a value into a line, unless it is there already, however it is written."""
    try:
        if float(line[k]) == float(value):
            return False
    except ValueError:
        pass
    if line[k].strip() == value or (line[k].strip() + "]").replace("[", "") == value.replace("[", ""):
        return False
    line[k] = value
    return True
