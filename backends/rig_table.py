"""Values per knob from a table: a CSV or Excel file with a column `name` and one column for each of what it says."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

from aeqlab.backends.errors import DeviceConfigError

COLUMNS = (
    "name", "channel", "limits_low", "limits_high", "absolute_low", "absolute_high", "rest", "slew_per_s", "tolerance",
)  # fmt: skip
NUMBERS = frozenset(COLUMNS) - {"name", "channel"}


def rows_of(path: Path, names: list[str]) -> dict[str, list[Any]]:
    """Read a table for some names; rows may stand in any order, and there may be more of them.

    Returns:
        Each column besides `name`, in the order of the names.
    Raises:
        DeviceConfigError: it cannot be read, a name is missing or twice, or a cell is no number.
    """
    lines = _excel(path) if path.suffix.lower() in (".xlsx", ".xlsm") else _csv(path)
    if not lines or "name" not in (head := [str(cell).strip() for cell in lines[0]]):
        raise DeviceConfigError(f"{path.name}: its first row has no column `name`. Columns are {', '.join(COLUMNS)}.")
    if unknown := [cell for cell in head if cell and cell not in COLUMNS]:
        raise DeviceConfigError(f"{path.name}: there is no column {unknown[0]!r}; columns are {', '.join(COLUMNS)}.")
    found: dict[str, list[Any]] = {}
    for number, line in enumerate(lines[1:], 2):
        name = str(line[head.index("name")]).strip()
        if name in found:
            raise DeviceConfigError(f"{path.name}, row {number}: {name} is there twice.")
        found[name] = [_cell(path, number, column, cell) for column, cell in zip(head, line, strict=False)]
    if missing := [name for name in names if name not in found]:
        raise DeviceConfigError(
            f"{path.name}: there is no row for {', '.join(missing[:8])}{', ...' if len(missing) > 8 else ''}."
        )
    return {column: [found[name][k] for name in names] for k, column in enumerate(head) if column and column != "name"}


def _cell(path: Path, row: int, column: str, cell: Any) -> Any:
    if column not in NUMBERS:
        return str(cell).strip()
    try:
        return float(cell)
    except (TypeError, ValueError):
        raise DeviceConfigError(f"{path.name}, row {row}: {column} is {cell!r}, a number is needed.") from None


def _csv(path: Path) -> list[list[Any]]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            return [line for line in csv.reader(file) if any(cell.strip() for cell in line)]
    except (OSError, UnicodeDecodeError) as exc:
        raise DeviceConfigError(f"{path.name} cannot be read: {getattr(exc, 'strerror', None) or exc}.") from exc


def _excel(path: Path) -> list[list[Any]]:
    try:
        import openpyxl
    except ImportError:
        raise DeviceConfigError(
            f'{path.name}: reading Excel files needs openpyxl: pip install "aeqlab[excel]". A CSV file needs nothing.'
        ) from None
    try:
        book = openpyxl.load_workbook(path, read_only=True, data_only=True)
        lines = [["" if cell is None else cell for cell in row] for row in book.worksheets[0].iter_rows(values_only=True)]
        book.close()
    except Exception as exc:  # the library raises what its parts raise
        raise DeviceConfigError(f"{path.name} cannot be read as an Excel file: {exc}.") from exc
    return [line for line in lines if any(str(cell).strip() for cell in line)]
