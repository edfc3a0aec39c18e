"""All tables of a run in one file, HDF5 or NetCDF: a group per table, a data set per column, what the run is as attributes.

Both are HDF5 underneath. NetCDF adds named dimensions and the names that its conventions have for units, so that
`xarray.open_dataset(file, group="steps")` reads it.
"""

from __future__ import annotations

import io
import itertools
import json
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from aeqlab.protocols.export import facts_of
from aeqlab.protocols.export_layout import ROW, UNITS, Layout, filled, layouts_of
from aeqlab.protocols.export_scans import Series, write_scan
from aeqlab.protocols.record_arrays import joined

if TYPE_CHECKING:
    from aeqlab.protocols.load import Run
    from aeqlab.protocols.scans import Scan

_CHUNK_BYTES = 256 * 1024  # several chunks fit into the cache of the library
_CHUNK_ROWS = 16_384
_AT_ONCE_BYTES = 32 * 1024 * 1024  # written in one go
_LONGEST_ATTRIBUTE = 60_000  # bytes; an attribute of HDF5 ends at 64 kB, longer texts become data sets


def write_hdf5(run: Run, path: Path, tables: Sequence[str], scans: Sequence[Scan]) -> dict[str, int]:
    """Write tables and scans of a run as HDF5; returns the rows of each.

    Each data set has the attributes `unit` and `text`; rows are the first axis.
    """
    import h5py

    with _ForgivingFile(path, "w+") as raw, h5py.File(raw, "w") as file:
        return _write(run, raw, _Hdf5(file, h5py.string_dtype()), tables, scans)


def write_netcdf(run: Run, path: Path, tables: Sequence[str], scans: Sequence[Scan]) -> dict[str, int]:
    """Write tables and scans of a run as NetCDF; returns the rows of each.

    The rows of `steps` are the dimension `step`, those of other tables `row`; further ones are `parameter` and `point`.
    """
    import h5netcdf
    import h5py

    with _ForgivingFile(path, "w+") as raw, h5netcdf.File(raw, "w") as file:
        return _write(run, raw, _NetCdf(file, h5py.string_dtype()), tables, scans)


class _ForgivingFile(io.FileIO):
    """A file that never tells HDF5 of a full disk, for that library loses its way there and ends the process at its exit.

    What cannot be written is dropped; `check` raises the first error, and so does the end of the `with` block.
    """

    error: OSError | None = None

    def write(self, data: Any) -> int:
        """Write all of it, or nothing from the first error on."""
        view = memoryview(data).cast("B")
        whole = len(view)
        try:
            while view and self.error is None:
                view = view[super().write(view) or 0 :]
        except OSError as exc:
            self.error = exc
        return whole

    def truncate(self, size: int | None = None) -> int:
        """Set the length, unless something went wrong."""
        try:
            return super().truncate(size) if self.error is None else size or 0
        except OSError as exc:
            self.error = exc
            return size or 0

    def check(self) -> None:
        """Raise what went wrong, if anything did."""
        if self.error is not None:
            raise self.error

    def __exit__(self, kind: type[BaseException] | None, *rest: Any) -> None:
        super().__exit__(kind, *rest)
        if kind is None or not issubclass(kind, OSError):
            self.check()  # what HDF5 says of it matters less


def _write(run: Run, raw: _ForgivingFile, file: _Hdf5, tables: Sequence[str], scans: Sequence[Scan]) -> dict[str, int]:
    file.say(
        {
            "title": run.path.absolute().name,
            "experiment": run.experiment,
            "provenance": json.dumps(run.provenance, ensure_ascii=False),
        }
    )
    file.group("meta").say(facts_of(run))
    written = {}
    for name in tables:
        rows = run.rows(name)
        layouts = layouts_of(rows)
        group = file.group(name)
        group.say({"text": rows.schema.text})
        blocks = _gathered(rows.blocks(*layouts), layouts)
        first = list(itertools.islice(blocks, 1))
        group.lay_out(name, layouts, sum(map(_length, first)))
        count = 0
        for block in itertools.chain(first, blocks):
            count = group.add(block, count)
            raw.check()
        written[name] = count
    for index, scan in enumerate(scans):
        written[f"scan_{index}"] = write_scan(scan, file.group(f"scan_{index}"))
        raw.check()
    file.say({"missing": "\n".join(run.missing)})  # last: what could not be read is known by now
    return written


class _Hdf5:
    """A group of an HDF5 file."""

    def __init__(self, group: Any, words: Any) -> None:
        self._group = group
        self._words = words
        self._sets: dict[str, Any] = {}
        self._layouts: dict[str, Layout] = {}

    def say(self, facts: dict[str, Any]) -> None:
        """Add attributes; a text too long for one becomes a data set of that name."""
        for key, value in facts.items():
            if isinstance(value, str):
                value = value.replace("\0", "\N{REPLACEMENT CHARACTER}")  # HDF5 ends a text there
                if len(value.encode()) > _LONGEST_ATTRIBUTE:
                    self._long_text(key, value)
                    continue
            self._group.attrs[key] = value

    def group(self, name: str) -> _Hdf5:
        """Make a group inside this one."""
        return type(self)(self._group.create_group(name), self._words)

    def lay_out(self, table: str, layouts: dict[str, Layout], rows: int) -> None:
        """Make an empty data set per column; `rows` is the number of the first ones to come, all of a short table."""
        self._layouts = layouts
        for name, layout in layouts.items():
            made = self._group.create_dataset(
                name, (0, *layout.shape), self._dtype(layout), maxshape=(None, *layout.shape), chunks=_chunks(layout, rows)
            )
            made.attrs.update({"unit": layout.unit, "text": layout.text})
            self._sets[name] = made

    def put(self, name: str, dimensions: Sequence[str], series: Series) -> None:
        """Write a whole column with named dimensions."""
        values = self._storable(series.values)
        made = self._group.create_dataset(name, data=values, dtype=self._words if values.dtype == object else values.dtype)
        made.attrs.update({"unit": series.unit, "text": series.text})
        for place, dimension in enumerate(dimensions):
            made.dims[place].label = dimension

    def add(self, block: dict[str, Any], begin: int) -> int:
        """Add rows behind those there are; returns how many there are then."""
        end = begin + _length(block)
        self._grow(end)
        for name, values in block.items():
            self._sets[name][begin:end] = self._storable(filled(values, self._layouts[name]))
        return end

    def _grow(self, rows: int) -> None:
        for made in self._sets.values():
            made.resize(rows, axis=0)

    def _long_text(self, key: str, value: str) -> None:
        self._group.create_dataset(key, data=value, dtype=self._words)

    def _dtype(self, layout: Layout) -> Any:
        return self._words if layout.kind == "text" else np.dtype(layout.kind)

    @staticmethod
    def _storable(values: Any) -> Any:
        words = values.ravel().tolist() if values.dtype == object else []
        if not any("\0" in word for word in set(words)):
            return values
        return np.array([word.replace("\0", "\N{REPLACEMENT CHARACTER}") for word in words], dtype=object).reshape(values.shape)


class _NetCdf(_Hdf5):
    """A group of a NetCDF file."""

    def lay_out(self, table: str, layouts: dict[str, Layout], rows: int) -> None:
        """Make the dimensions and an empty variable per column; `rows` as there."""
        self._layouts = layouts
        self._row = ROW.get(table, "row")
        self._group.dimensions[self._row] = None
        for name, layout in layouts.items():
            dimensions = []
            for dimension, length in zip(layout.dimensions, layout.shape, strict=True):
                there = self._group.dimensions.get(dimension)
                if there is not None and there.size != length:
                    dimension = f"{dimension}_of_{name}"
                if dimension not in self._group.dimensions:
                    self._group.dimensions[dimension] = length
                dimensions.append(dimension)
            chunks = _chunks(layout, rows)
            made = self._group.create_variable(name, (self._row, *dimensions), self._dtype(layout), chunks=chunks)
            self._explain(made, layout.unit, layout.text)
            self._sets[name] = made

    def put(self, name: str, dimensions: Sequence[str], series: Series) -> None:
        """Write a whole column; its dimensions are made with their lengths where they are not there yet."""
        values = self._storable(series.values)
        for dimension, length in zip(dimensions, values.shape, strict=True):
            if dimension not in self._group.dimensions:
                self._group.dimensions[dimension] = length
        kind = self._words if values.dtype == object else values.dtype
        made = self._group.create_variable(name, tuple(dimensions), kind, data=values)
        self._explain(made, series.unit, series.text)

    @staticmethod
    def _explain(made: Any, unit: str, text: str) -> None:
        made.attrs["long_name"] = text
        if unit:
            made.attrs["units"] = UNITS.get(unit, unit)

    def _grow(self, rows: int) -> None:
        self._group.resize_dimension(self._row, rows)

    def _long_text(self, key: str, value: str) -> None:
        self._group.create_variable(key, (), self._words)[...] = value


def _chunks(layout: Layout, rows: int) -> tuple[int, ...]:
    most = max(1, min(_CHUNK_ROWS, _CHUNK_BYTES // (8 * math.prod(layout.shape))))
    return (math.ceil(rows / math.ceil(rows / most)) if rows else 1), *layout.shape


def _gathered(blocks: Iterator[dict[str, Any]], layouts: dict[str, Layout]) -> Iterator[dict[str, Any]]:
    """Put blocks of rows together: each time something is written costs as much as writing some thousand rows."""
    size = 8 * sum(math.prod(layout.shape) for layout in layouts.values())
    waiting: list[dict[str, Any]] = []
    rows = 0
    for block in blocks:
        waiting.append(block)
        rows += _length(block)
        if rows * size >= _AT_ONCE_BYTES:
            yield _together(waiting)
            waiting, rows = [], 0
    if waiting:
        yield _together(waiting)


def _length(block: dict[str, Any]) -> int:
    return len(next(iter(block.values())))


def _together(blocks: list[dict[str, Any]]) -> dict[str, Any]:
    return {name: joined([block[name] for block in blocks]) for name in blocks[0]}
