"""Values of many knobs from a spreadsheet: a CSV file with a column `name`, put into the rows of those names."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from aeqlab.app.window.models.rig_draft import RigDraft
from aeqlab.app.window.models.rig_entries import CELL_OF_COLUMN
from aeqlab.backends.rig_table import COLUMNS
from aeqlab.protocols.errors import RecordError


@dataclass(frozen=True, slots=True)
class Values:
    """A table as it was read: its columns besides `name`, and its lines by name."""

    columns: tuple[str, ...]
    lines: tuple[tuple[str, tuple[str, ...]], ...]


def read_values(path: Path) -> Values:
    """Read a CSV file, with commas, semicolons or tabs between its values.

    Raises:
        RecordError: it cannot be read, has no column `name`, or one that a rig file does not know.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as exc:
        raise RecordError(f"{path.name} cannot be read: {getattr(exc, 'strerror', None) or exc}.") from exc
    first = text.partition("\n")[0]
    mark = max(",;\t", key=first.count)
    lines = [[cell.strip() for cell in line] for line in csv.reader(text.splitlines(), delimiter=mark) if any(line)]
    if not lines or "name" not in lines[0]:
        raise RecordError(f"{path.name}: its first row has no column `name`. Columns are {', '.join(COLUMNS)}.")
    head = lines[0]
    if unknown := [cell for cell in head if cell and cell not in COLUMNS]:
        raise RecordError(f"{path.name}: there is no column {unknown[0]!r}; columns are {', '.join(COLUMNS)}.")
    at = head.index("name")
    others = [k for k, cell in enumerate(head) if cell and k != at]
    found = [(line[at], tuple(line[k] if k < len(line) else "" for k in others)) for line in lines[1:] if len(line) > at]
    return Values(tuple(head[k] for k in others), tuple(found))


def put_values(draft: RigDraft, values: Values) -> tuple[int, Sequence[str]]:
    """Put values into the rows of their names; an empty cell leaves what is there.

    Returns:
        How many cells were set, and a sentence for everything that found no place.
    """
    by_name = {row.name: row.uid for row in draft.rows if row.name}
    said: list[str] = []
    done = 0
    if unknown := [name for name, _ in values.lines if name not in by_name]:
        more = f" and {len(unknown) - 3} more" if len(unknown) > 3 else ""
        said.append(f"There is no row for {', '.join(unknown[:3])}{more}; nothing was changed for them.")
    for name, cells in values.lines:
        for column, text in zip(values.columns, cells, strict=True):
            if name in by_name and text:
                why = draft.set_cell(by_name[name], CELL_OF_COLUMN.get(column, column), text)
                done += not why
                said += [f"{name}: {why}"] if why else []
    return done, said
