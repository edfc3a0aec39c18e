"""Rows of a record as arrays with units, and opening a record for reading only."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aeqlab.protocols import record_schema as schema

Array = NDArray[Any]


@dataclass(frozen=True)
class Rows(Mapping[str, Array]):
    """The rows of one table as arrays by column, in the order they were written.

    Numbers are float64 or int64 of shape (rows,), nan where a float is empty; columns of whole numbers with empty places are
    float64. `theta` has shape (rows, parameters), `outputs` (rows, outputs), nan where they were not stored. Words are object
    arrays of str. Blobs of varying length, as in `traces`, are object arrays of arrays. `units` says the unit of each column.
    """

    columns: dict[str, Array]
    units: dict[str, str]

    def __getitem__(self, name: str) -> Array:
        try:
            return self.columns[name]
        except KeyError:
            raise KeyError(f"there is no column {name!r}; there are {', '.join(self.columns)}") from None

    def __iter__(self) -> Iterator[str]:
        return iter(self.columns)

    def __len__(self) -> int:
        """Number of rows (not of columns)."""
        return len(next(iter(self.columns.values()), ()))

    def row(self, index: int) -> dict[str, Any]:
        """Get one row by name."""
        return {name: values[index] for name, values in self.columns.items()}


def array_of(column: schema.Column, values: tuple[Any, ...], facts: tuple[str, str, str] | None = None) -> Array:
    """Make the array of one column.

    Args:
        column: what the schema says of it.
        values: as SQLite gives them.
        facts: number type, shape and unit as the record itself says them, if it does.
    """
    dtype, shape = (column.array, column.shape) if facts is None else facts[:2]
    if dtype:
        return _blobs(dtype, shape, values)
    if column.sql.startswith("TEXT"):
        return np.array(["" if value is None else str(value) for value in values], dtype=object)
    if column.sql.startswith("INTEGER") and None not in values:
        return np.array(values, dtype=np.int64)
    return np.array([np.nan if value is None else value for value in values], dtype=np.float64)


def _blobs(dtype: str, shape: str, values: tuple[Any, ...]) -> Array:
    arrays = [None if value is None else np.frombuffer(value, dtype=dtype) for value in values]
    if shape in ("(parameters,)", "(outputs,)"):  # of one length: an array of two dimensions
        n = next((len(array) for array in arrays if array is not None), 0)
        full = np.full((len(arrays), n), np.nan)
        for index, array in enumerate(arrays):
            if array is not None and len(array) == n:
                full[index] = array
        return full
    made = np.empty(len(arrays), dtype=object)
    for index, array in enumerate(arrays):  # not at once: numpy would stack arrays of one length
        made[index] = array
    return made


def newest_theta(connection: sqlite3.Connection) -> bytes | None:
    """Get the theta that was committed last, by a step or at the end of a stage, in its bytes; None: there is none."""
    step = _last_of(connection, "SELECT id, theta FROM current_steps WHERE theta IS NOT NULL ORDER BY id DESC LIMIT 1")
    if not columns_of(connection, "current_thetas"):
        return step[1]
    stage = _last_of(connection, "SELECT after_row, theta FROM current_thetas ORDER BY id DESC LIMIT 1")
    return step[1] if step[0] > stage[0] else stage[1]


def _last_of(connection: sqlite3.Connection, query: str) -> tuple[int, bytes | None]:
    place, theta = connection.execute(query).fetchone() or (-1, None)
    return place, theta


def columns_of(connection: sqlite3.Connection, source: str) -> list[str]:
    """List the columns of a table or view of a record; empty where it has no such table, as one of an earlier version."""
    return [str(row[1]) for row in connection.execute(f"PRAGMA table_info({source})")]


@contextmanager
def opened(path: Path) -> Iterator[sqlite3.Connection]:
    """Open a record for reading; on a medium that cannot be written, as it lies there."""
    if not path.exists():
        raise sqlite3.OperationalError("there is no such file")
    quoted = path.absolute().as_uri()
    connection = sqlite3.connect(f"{quoted}?mode=ro", uri=True, timeout=5.0)
    try:
        try:
            connection.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone()
        except sqlite3.OperationalError as exc:
            if "unable to open" not in str(exc) and "readonly" not in str(exc):
                raise
            connection.close()
            connection = sqlite3.connect(f"{quoted}?immutable=1", uri=True, timeout=5.0)
        yield connection
    finally:
        connection.close()
