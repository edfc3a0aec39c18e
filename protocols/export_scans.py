"""Scans of a run for other programs: each by itself, under the names and units of what it set and read.

A scan, ramp, set or step-response is a file or group `scan_0`, `scan_1`, ..., in the order of `load_run(...).scans`. As CSV it
has a line per point, in the order in which they were read; in HDF5 and NetCDF a scan is a grid with its axes as dimensions.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aeqlab.protocols import record_schema as schema
from aeqlab.protocols.export_csv import with_unit, write_lines
from aeqlab.protocols.scans import Scan

Array = NDArray[Any]
_LINES = 200


@dataclass(frozen=True, slots=True)
class Series:
    """What was set, read or found out at the points of a scan.

    Attributes:
        name: such as `u3`, `u3_readback`, `s[0]`, `s[0]_deviation`, `t`, `verdict`.
        unit, text: unit and meaning.
        values: numbers or words, shape (points,), in the order in which the points were read.
    """

    name: str
    unit: str
    text: str
    values: Array


def series_of(scan: Scan) -> list[Series]:
    """List the columns of a scan; a reading with the name of an axis or of another column is called `NAME_read`."""
    table = schema.BY_NAME["points"]
    taken = {*(axis.name for axis in scan.axes), *scan.points}

    def of(grids: dict[str, Array], column: str, after: str = "") -> list[Series]:
        names = {name: f"{name}_read" if column in ("means", "deviations") and name in taken else name for name in grids}
        text = table.column(column).text
        return [Series(names[name] + after, scan.units[name], text, _at_points(scan, grid)) for name, grid in grids.items()]

    rows = [Series(name, scan.points.units[name], table.column(name).text, values) for name, values in scan.points.items()]
    return [
        *of(scan.setpoints, "setpoints"),
        *of(scan.values, "means"),
        *of(scan.deviations, "deviations", "_deviation"),
        *of(scan.readbacks, "readbacks", "_readback"),
        *rows,
    ]


def write_scan_csv(scan: Scan, path: Path) -> int:
    """Write a scan as CSV, a line per point; returns how many there are."""
    series = series_of(scan)
    columns = [one.values.tolist() for one in series]
    lines = list(zip(*columns, strict=True))
    pieces = (lines[begin : begin + _LINES] for begin in range(0, len(lines), _LINES))
    return write_lines(path, [with_unit(one.name, one.unit) for one in series], pieces)


def write_scan(scan: Scan, group: Any) -> int:
    """Write a scan into a group of an HDF5 or NetCDF file; returns how many points there are."""
    group.say({"stage": scan.path, "kind": scan.kind})
    for name, dimensions, series in _laid_out(scan):
        group.put(name.replace("/", "_"), [dimension.replace("/", "_") for dimension in dimensions], series)
    return len(scan.points)


def _laid_out(scan: Scan) -> Iterator[tuple[str, list[str], Series]]:
    """Say for every column of a scan its dimensions, and bring it to them: the axes of a grid, else `point`."""
    if not scan.is_grid:  # its points follow one another
        for one in series_of(scan):
            yield one.name, ["point"], one
        return
    axes = {axis.name: axis for axis in scan.axes}
    for one in series_of(scan):
        if one.name in axes:
            yield one.name, [one.name], Series(one.name, one.unit, one.text, axes[one.name].values)
        else:
            yield one.name, list(axes), Series(one.name, one.unit, one.text, _on_grid(scan, one.values))


def _at_points(scan: Scan, grid: Array) -> Array:
    """Get what stands in a grid at each point; where points follow one another it is in their order already."""
    return np.asarray(grid.ravel()[scan.points["point"]]) if len(scan.axes[0].values) else grid


def _on_grid(scan: Scan, values: Array) -> Array:
    """Put one value per point into the grid; nan, or no word, where there is no point (yet)."""
    made = np.full(scan.shape, "", dtype=object) if values.dtype == object else np.full(scan.shape, np.nan)
    made.ravel()[scan.points["point"]] = values
    return made
