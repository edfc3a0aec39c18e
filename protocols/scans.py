"""Scans of a run as arrays: `load_run(path).scans` gives one object for each, with axes, grids of what was read, and rows.

scan = load_run("last").scans[0]
scan.axes[0].name, scan.axes[0].values, scan.values["s[0]"], scan.deviations["s[0]"], scan.units["s[0]"], scan.points["verdict"]
scan.to_xarray()["s[0]"].sel(u3=0.5, method="nearest")
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from aeqlab.protocols import record_schema as schema
from aeqlab.protocols.grid import axis_values
from aeqlab.protocols.record_arrays import array_of
from aeqlab.protocols.record_reader import columns_of
from aeqlab.protocols.stages.scan import Axis

if TYPE_CHECKING:
    import xarray

Array = NDArray[Any]
_ROWS = ("t", "at", "point", "readings", "verdict", "settled", "ticks", "direction", "step", "attempt")


@dataclass(frozen=True)
class ScanAxis:
    """One axis: the quantity, its kind and unit, and its values in the order of travel; empty where points follow one another."""

    name: str
    kind: str
    unit: str
    values: Array = field(repr=False)


class PointRows(Mapping[str, Array]):
    """The points of one scan as arrays by column, in the order in which they were read; its length is their number."""

    def __init__(self, columns: dict[str, Array], units: dict[str, str]) -> None:
        self._columns, self.units = columns, units

    def __getitem__(self, name: str) -> Array:
        try:
            return self._columns[name]
        except KeyError:
            raise KeyError(f"there is no column {name!r}; there are {', '.join(self._columns)}") from None

    def __iter__(self) -> Iterator[str]:
        return iter(self._columns)

    def __len__(self) -> int:
        return len(self._columns["point"])


@dataclass(frozen=True)
class Scan:
    """What one stage of scan, ramp, set or step-response set and read.

    Attributes:
        path, kind: place of the stage in the sequence, and its word.
        axes: what was set.
        shape: length of each axis; for points that follow one another in time their number.
        setpoints, readbacks: what was asked for and what the device reported, by axis, in the shape of the grid.
        values: what was read, by name, in the shape of the grid; nan where there is no point (yet).
        deviations: standard deviations of one reading, likewise.
        units: of every axis and every reading, by name.
        points: one row per point in the order in which they were read: t, verdict, settled, ticks, direction, ...
    """

    path: str
    kind: str
    axes: tuple[ScanAxis, ...]
    shape: tuple[int, ...]
    setpoints: dict[str, Array] = field(repr=False)
    readbacks: dict[str, Array] = field(repr=False)
    values: dict[str, Array] = field(repr=False)
    deviations: dict[str, Array] = field(repr=False)
    units: dict[str, str] = field(repr=False)
    points: PointRows = field(repr=False)

    @property
    def is_grid(self) -> bool:
        """Whether its points are those of a grid, and do not follow one another in time as those of a ramp do."""
        return all(len(axis.values) for axis in self.axes)

    def to_xarray(self) -> xarray.Dataset:
        """Get it as an xarray.Dataset: axes as coordinates, readings and deviations as variables, with units; extra `export`.

        Raises:
            ExportError: xarray is not installed.
        """
        from aeqlab.protocols.datasets import scan_to_xarray

        return scan_to_xarray(self)

    @property
    def complete(self) -> bool:
        """Whether every point of the grid was read."""
        return len(self.points) >= int(np.prod(self.shape))


def read_scans(connection: sqlite3.Connection) -> list[Scan]:
    """Read the scans of a record, in their order; none in a record of an earlier version.

    Raises:
        sqlite3.Error: the record cannot be read.
    """
    if not columns_of(connection, "current_scans"):
        return []
    return list(_scans(connection))


def _scans(connection: sqlite3.Connection) -> Iterator[Scan]:
    stages = {row[0]: row[1:] for row in connection.execute("SELECT id, path, kind FROM stages")}
    for number, stage, axes, shape, reads in connection.execute(
        "SELECT id, stage, axes, shape, reads FROM current_scans ORDER BY id"
    ).fetchall():
        where, kind = stages.get(stage, ("", ""))
        yield _scan(connection, number, where, kind, json.loads(axes), tuple(json.loads(shape)), json.loads(reads))


def _scan(
    connection: sqlite3.Connection, number: int, path: str, kind: str, axes: list[dict[str, Any]], shape: tuple[int, ...],
    reads: list[dict[str, str]],
) -> Scan:  # fmt: skip
    columns = (*_ROWS, "setpoints", "readbacks", "means", "deviations")
    found = connection.execute(
        f"SELECT {', '.join(columns)} FROM current_points WHERE scan = ? ORDER BY id", (number,)
    ).fetchall()
    by_name = dict(zip(columns, zip(*found, strict=True), strict=True)) if found else dict.fromkeys(columns, ())
    table = schema.BY_NAME["points"]
    rows = {name: array_of(table.column(name), by_name[name], ("", "")) for name in _ROWS}
    whole = shape or (len(found),)
    places = np.asarray(by_name["point"], dtype=np.int64) if shape else np.arange(len(found))
    asked, told = [axis["quantity"] for axis in axes], [read["name"] for read in reads]

    def grids(column: str, names: Sequence[str]) -> dict[str, Array]:
        return _grids([np.frombuffer(value, "<f8") for value in by_name[column]], names, places, whole)

    return Scan(
        path=path,
        kind=kind,
        axes=tuple(
            ScanAxis(axis["quantity"], axis["kind"], axis["unit"], _along(axis) if shape else np.zeros(0)) for axis in axes
        ),
        shape=whole,
        setpoints=grids("setpoints", asked),
        readbacks=grids("readbacks", asked),
        values=grids("means", told),
        deviations=grids("deviations", told),
        units={**{axis["quantity"]: axis["unit"] for axis in axes}, **{read["name"]: read["unit"] for read in reads}},
        points=PointRows(rows, {name: table.column(name).unit for name in _ROWS}),
    )


def _along(axis: dict[str, Any]) -> Array:
    return axis_values(Axis.model_validate({key: value for key, value in axis.items() if key not in ("kind", "unit")}))


def _grids(rows: list[Array], names: Sequence[str], places: Array, shape: tuple[int, ...]) -> dict[str, Array]:
    """Put one row per point into a grid per name; the last one counts where a point was read twice."""
    made = {}
    table = np.array(rows, dtype=np.float64).reshape(len(rows), len(names))
    for k, name in enumerate(names):
        grid = np.full(int(np.prod(shape)), np.nan)
        grid[places] = table[:, k]
        made[name] = grid.reshape(shape)
    return made
