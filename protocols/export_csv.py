"""A table as CSV: one line of names with units, such as `cost_free [cost]`, then one line per row.

An empty cell is an empty value. Arrays are spread over columns, `theta_0`, `theta_1`, ...; a course of many points, as in
`traces`, over one line per point. Words are quoted where CSV asks for it. Numbers have as many digits as give the same float64
again.
"""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic_core import to_json

from aeqlab.protocols.record_reader import Rows

Array = NDArray[Any]
#: Words that look the same in JSON without its quotes and in CSV.
_PLAIN = re.compile(r'(?!.*Infinity)[^\x00-\x1f\x7f",\[\]\\]*')
_POINTS = "(points"
_LINES = 2_000  # written in one go: few enough that their values stay in the cache of the processor


def write_csv(rows: Rows, path: Path) -> int:
    """Write the rows of a table to a file; returns how many lines there are below the head."""
    names = rows.present
    courses = [name for name in names if rows.shape_word(name).startswith(_POINTS)]
    wide = {name: _width(rows, name) for name in names if rows.extent(name) is not None}
    whole = {name for name in names if rows.schema.column(name).sql.startswith("INTEGER")}
    count = 0
    with path.open("wb") as file:
        file.write(_head(rows, names, wide, bool(courses)))
        for block in rows.blocks(*names):
            columns = _per_point(block, courses, wide) if courses else _per_row(block, wide, whole)
            for begin in range(0, len(columns[0]), _LINES):
                file.write(_lines([column[begin : begin + _LINES] for column in columns]))
            count += len(columns[0])
    return count


def _width(rows: Rows, name: str) -> int:
    """Get how many columns the arrays of a column take; a course of single numbers takes one."""
    extent = rows.extent(name) or (0,)
    return extent[1] if len(extent) == 2 else 1 if rows.shape_word(name).startswith(_POINTS) else extent[0]


def _head(rows: Rows, names: list[str], wide: dict[str, int], courses: bool) -> bytes:
    made = ["point"] if courses else []
    for name in names:
        unit = rows.units[name]
        after = f" [{unit}]" if unit not in ("", "1") else ""
        spread = name in wide and rows.shape_word(name) != "(points,)"
        made += [f"{name}_{index}{after}" for index in range(wide[name])] if spread else [f"{name}{after}"]
    return _by_csv([made])


# columns of a block
def _per_row(block: dict[str, Array], wide: dict[str, int], whole: set[str]) -> list[Array]:
    made: list[Array] = []
    for name, values in block.items():
        if name not in wide:
            made.append(_whole(values) if name in whole else values)
        elif values.ndim == 2 and values.shape[1] == wide[name]:
            made += list(values.T)
        else:
            made += list(_stacked(list(values), wide[name]).T)
    return made


def _per_point(block: dict[str, Array], courses: list[str], wide: dict[str, int]) -> list[Array]:
    """Repeat the plain values of a row for each of its points."""
    lengths = [max((len(block[name][row]) for name in courses if block[name][row] is not None), default=0)
               for row in range(len(block[courses[0]]))]  # fmt: skip
    made: list[Array] = [np.concatenate([np.arange(length) for length in lengths] or [np.empty(0, np.int64)])]
    for name, values in block.items():
        if name not in courses:
            made.append(np.repeat(values, lengths))
            continue
        parts = [_of_length(value, length, wide[name]) for value, length in zip(values, lengths, strict=True)]
        made += list(np.concatenate(parts or [np.empty((0, wide[name]))]).T)
    return made


def _of_length(value: Array | None, length: int, width: int) -> Array:
    made = np.full((length, width), np.nan)
    if value is not None and value.size:
        part = value.reshape(len(value), -1)[:, :width]
        made[: len(part), : part.shape[1]] = part
    return made


def _whole(values: Array) -> Array:
    """Write whole numbers without a point where some are empty, too."""
    if values.dtype != np.float64 or np.isnan(values).all():
        return values
    made = np.empty(len(values), dtype=object)
    made[:] = ["" if value != value else str(int(value)) for value in values.tolist()]
    return made


def _stacked(values: list[Array | None], width: int) -> Array:
    made = np.full((len(values), width), np.nan)
    for row, value in zip(made, values, strict=True):
        if value is not None:
            part = value.ravel()[:width]
            row[: len(part)] = part
    return made


# cells
def _cells(values: Array) -> list[Any]:
    """Make plain values of a column, "" where it is empty."""
    made: list[Any] = values.tolist()
    if values.dtype == np.float64:
        for index in np.flatnonzero(np.isnan(values)).tolist():
            made[index] = ""
    return made


def _lines(columns: list[Array]) -> bytes:
    """Write lines; JSON's writer is ten times quicker than csv's, and its lines are the same but for quotes."""
    rows = list(zip(*map(_cells, columns), strict=True))
    words = set().union(*(column.tolist() for column in columns if column.dtype == object))
    if not all(map(_PLAIN.fullmatch, words)):
        return _by_csv(rows)
    text = to_json(rows)[2:-2].translate(None, b'"').replace(b"],[", b"\n") + b"\n"
    return text.replace(b"Infinity", b"inf") if b"Infinity" in text else text


def _by_csv(rows: list[Any]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().encode("utf-8")
