"""Where the knobs of a device lie, from a CSV file: a place for each, or the two ends of the edge that each stands on.

    knob,x,y            or        knob,x1,y1,x2,y2
    u00,0.0,1.5                   u00,0,0,1,0

The column `knob` may be left out: then the rows are in the order of the knobs. Units are the file's own; y goes up.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

POINT, EDGE = ("x", "y"), ("x1", "y1", "x2", "y2")


@dataclass(frozen=True, slots=True)
class KnobPlaces:
    """Places of knobs, shape (knobs, 2); or of nodes, (nodes, 2), with the two nodes that each knob joins, (knobs, 2)."""

    at: NDArray[np.float64]
    edges: NDArray[np.intp] | None = None


def read_places(path: Path, names: Sequence[str]) -> KnobPlaces:
    """Read a file.

    Args:
        path: the file.
        names: of the knobs, in their order.
    Raises:
        ValueError: it does not say where each knob lies; with line and column.
        OSError: it cannot be read.
    """
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = [row for row in csv.reader(file) if any(cell.strip() for cell in row) and not row[0].lstrip().startswith("#")]
    head = [cell.strip().lower() for cell in rows[0]] if rows else []
    columns = EDGE if set(EDGE) <= set(head) else POINT
    if not set(columns) <= set(head):
        raise ValueError(f"{path.name}: its first line is {','.join(head)!r}. Write knob,x,y or knob,x1,y1,x2,y2 there.")
    found: dict[str, list[float]] = {}
    for k, row in enumerate(rows[1:]):
        name = row[head.index("knob")].strip() if "knob" in head else names[k] if k < len(names) else f"row {k + 1}"
        if name not in names:
            raise ValueError(f"{path.name}, row {k + 1}: there is no knob {name!r}. The knobs are {_some(names)}.")
        if name in found:
            raise ValueError(f"{path.name}, row {k + 1}: {name} has a place already. Give one for each.")
        found[name] = [_number(path, k, row, head, column) for column in columns]
    missing = [name for name in names if name not in found]
    if missing:
        raise ValueError(f"{path.name}: no place for {_some(missing)}. Give one for each of the {len(names)} knobs.")
    values = np.array([found[name] for name in names], dtype=np.float64)
    if columns is POINT:
        return KnobPlaces(values)
    nodes, of = np.unique(values.reshape(-1, 2), axis=0, return_inverse=True)
    return KnobPlaces(nodes, np.asarray(of, dtype=np.intp).reshape(-1, 2))


def _number(path: Path, k: int, row: Sequence[str], head: Sequence[str], column: str) -> float:
    place = head.index(column)
    text = row[place].strip() if place < len(row) else ""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise ValueError(f"{path.name}, row {k + 1}, {column}: {text!r} is no number. Write one such as 0.5.")
    return value


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:6]) + (", ..." if len(names) > 6 else "")
