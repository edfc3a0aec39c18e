"""How a table of a record lies in HDF5, NetCDF and xarray: dimensions, number types and units of its columns.

Types follow from the schema alone and not from what happens to stand in a column, so that two runs give files of one kind.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aeqlab.protocols.record_reader import Rows

Array = NDArray[Any]
ROW = {"steps": "step"}  #: name of the dimension of the rows; of other tables "row"
#: Units as the conventions of NetCDF write them, so that xarray makes times of them.
UNITS = {"s since 1970 UTC": "seconds since 1970-01-01T00:00:00Z"}


@dataclass(frozen=True, slots=True)
class Layout:
    """Where a column lies.

    Attributes:
        kind: `i8` (whole numbers that are never empty), `f8` (nan where empty) or `text`.
        dimensions: names behind that of the rows.
        shape: lengths of those dimensions; shorter arrays are filled up with nan.
        unit: unit, "" where there is none.
        text: what stands in the column.
    """

    kind: str
    dimensions: tuple[str, ...]
    shape: tuple[int, ...]
    unit: str
    text: str


def layouts_of(rows: Rows) -> dict[str, Layout]:
    """Find out how each column of a table lies; those of which it holds nothing are left out."""
    made = {}
    for name in rows.present:
        column = rows.schema.column(name)
        shape = rows.extent(column.name)
        names: tuple[str, ...] = ()
        kind = "f8"
        if shape is not None and 0 in shape:
            continue
        if shape is not None:
            words = rows.shape_word(column.name).strip("()").replace(" ", "").split(",")
            names = tuple({"parameters": "parameter", "points": "point", "n": "parameter"}.get(w, w) for w in words if w)
            if len(names) != len(shape) or len(shape) > len(set(names)):
                names = tuple(f"{column.name}_{axis}" for axis in range(len(shape)))
        elif column.sql.startswith("TEXT"):
            kind = "text"
        elif column.sql.startswith("INTEGER") and ("NOT NULL" in column.sql or "PRIMARY KEY" in column.sql):
            kind = "i8"
        made[column.name] = Layout(kind, names, shape or (), rows.units[column.name], column.text)
    return made


def filled(values: Array, layout: Layout) -> Array:
    """Bring a column to its layout.

    Args:
        values: as `Rows` gives them, shape (rows,) or (rows, parameters).
        layout: where it goes.
    Returns:
        An array of shape (rows, *layout.shape), nan where an array is shorter or empty.
    """
    if layout.kind == "text":
        return values
    if layout.kind == "i8":
        return values if values.dtype == np.int64 else np.nan_to_num(values, nan=-1).astype(np.int64)
    if not layout.dimensions:
        return values.astype(np.float64, copy=False)
    shape = (len(values), *layout.shape)
    if values.dtype != object and values.shape == shape:
        return values
    made = np.full(shape, np.nan)
    for index, value in enumerate(values):
        if value is not None and value.size:
            part = value[tuple(slice(length) for length in layout.shape)]
            made[index][tuple(map(slice, part.shape))] = part
    return made
