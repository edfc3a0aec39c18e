"""A table as CSV: one line of names with units, such as `cost_free [cost]`, then one line per row.

An empty cell is an empty value. Arrays are spread over columns, `theta_0`, `theta_1`, ...; a course of many points, as in
`traces`, over one line per point. Words are quoted where CSV asks for it. Numbers have as many digits as give the same float64
again.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic_core import PydanticSerializationError, to_json

from aeqlab.protocols.record_reader import Rows

Array = NDArray[Any]
_POINTS = "(points"


def write_csv(rows: Rows, path: Path) -> int:
    """Write the rows of a table to a file, arrays behind all else; returns how many lines there are below the head."""
    wide = {name: _width(rows, name) for name in rows.present if rows.extent(name) is not None}
    names = [name for name in rows.present if name not in wide]
    courses = [name for name in wide if rows.shape_word(name).startswith(_POINTS)]
    head = [with_unit(name, rows.units[name]) for name in names]
    for name in wide:
        parts = [name] if rows.shape_word(name) == "(points,)" else [f"{name}_{index}" for index in range(wide[name])]
        head += [with_unit(part, rows.units[name]) for part in parts]
    if courses:
        return write_lines(path, ["point", *head], (_per_point(block, wide) for block in rows.blocks(*names, *wide)))
    return write_lines(path, head, (_per_row(rows, piece, len(names), wide) for piece in rows.tuples(*names, *wide)))


def write_lines(path: Path, head: Sequence[str], pieces: Iterable[Sequence[Sequence[Any]]]) -> int:
    """Write a head and lines.

    Args:
        path: the file.
        head: a name per column.
        pieces: lines, some at a time, each of numbers and words; "" is an empty cell, and so is nan.
    Returns:
        How many lines there are below the head.
    """
    count = 0
    with path.open("wb") as file:
        file.write(_by_csv([head]))
        for lines in pieces:
            if lines:
                file.write(_text(lines))
                count += len(lines)
    return count


def with_unit(name: str, unit: str) -> str:
    """Write a name with its unit, as it stands at the head of a column."""
    return name if unit in ("", "1") else f"{name} [{unit}]"


def _width(rows: Rows, name: str) -> int:
    """Get how many columns the arrays of a column take; a course of single numbers takes one."""
    extent = rows.extent(name) or (0,)
    return extent[1] if len(extent) == 2 else 1 if rows.shape_word(name).startswith(_POINTS) else extent[0]


# lines
def _per_row(rows: Rows, piece: list[tuple[Any, ...]], plain: int, wide: dict[str, int]) -> Sequence[Sequence[Any]]:
    """Spread the arrays of rows, which stand behind their plain values."""
    if not wide:
        return piece
    matrices = [_of_width(rows.arrays(name, [row[plain + k] for row in piece]), wide[name]) for k, name in enumerate(wide)]
    return [[*row[:plain], *numbers] for row, numbers in zip(piece, np.hstack(matrices).tolist(), strict=True)]


def _of_width(values: Array, width: int) -> Array:
    if values.ndim == 2 and values.shape[1] == width:
        return values
    made = np.full((len(values), width), np.nan)
    for row, value in zip(made, values, strict=True):
        if value is not None:
            part = value.ravel()[:width]
            row[: len(part)] = part
    return made


def _per_point(block: dict[str, Array], wide: dict[str, int]) -> list[tuple[Any, ...]]:
    """Repeat the plain values of rows for each of their points."""
    courses = [block[name] for name in wide]
    lengths = [max((len(value) for value in values if value is not None), default=0) for values in zip(*courses, strict=True)]
    columns = [[k for length in lengths for k in range(length)]]
    columns += [np.repeat(values, lengths).tolist() for name, values in block.items() if name not in wide]
    for name in wide:
        parts = [_of_length(value, length, wide[name]) for value, length in zip(block[name], lengths, strict=True)]
        columns += np.concatenate(parts).T.tolist()
    return list(zip(*columns, strict=True))


def _of_length(value: Array | None, length: int, width: int) -> Array:
    made = np.full((length, width), np.nan)
    if value is not None and value.size:
        part = value.reshape(len(value), -1)[:, :width]
        made[: len(part), : part.shape[1]] = part
    return made


# text
def _text(lines: Sequence[Sequence[Any]]) -> bytes:
    """Write lines as text. JSON's writer is ten times quicker than csv's, and its lines differ in brackets and quotes alone.

    Whether a word needs more, because there is a comma or a quote in it, shows in the text as a whole.
    """
    try:
        text = to_json(lines)
    except PydanticSerializationError:  # bytes that are no text, in a damaged record
        return _by_csv(map(_plain, lines))
    commas = np.count_nonzero(np.frombuffer(text, np.uint8) == ord(","))
    special = b"NaN" in text or b"Infinity" in text
    if b"\\" in text or commas != len(lines) * len(lines[0]) - 1 or (special and _has_special_words(lines)):
        return _by_csv(map(_plain, lines))
    text = text[2:-2].replace(b"],[", b"\n").translate(None, b'"') + b"\n"
    return text.replace(b"NaN", b"").replace(b"Infinity", b"inf") if special else text


def _has_special_words(lines: Sequence[Sequence[Any]]) -> bool:
    words = {value for line in lines for value in line if isinstance(value, str)}
    return any("NaN" in word or "Infinity" in word for word in words)


def _plain(line: Sequence[Any]) -> list[Any]:
    return ["" if value != value else value.decode("utf-8", "replace") if isinstance(value, bytes) else value for value in line]


def _by_csv(rows: Iterable[Sequence[Any]]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().encode("utf-8")
