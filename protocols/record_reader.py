"""Rows of a record as arrays with units, and opening a record for reading only."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from aeqlab.protocols import record_schema as schema
from aeqlab.protocols.record_arrays import array_of
from aeqlab.protocols.record_table import TableOfRecord

Array = NDArray[Any]
#: Columns that are read together when one of them is asked for: whoever plots one plots others.
PLOTTED = frozenset({"step", "at", "t", "cost_1", "cost_2", "cost_free", "used", "sham"})
_BY_POINTS = "(points, n)"


class Rows(Mapping[str, Array]):
    """The rows of one table as arrays by column, in the order they were written; a column is read when it is first asked for.

    Numbers are float64 or int64 of shape (rows,), nan where a float is empty; columns of whole numbers with empty places are
    float64. `theta` has shape (rows, parameters), `outputs` (rows, outputs), nan where they were not stored. Words are object
    arrays of str. Blobs of varying length, as in `traces`, are object arrays of arrays. `units` says the unit of each column.
    Which rows there are was fixed when the table was opened; a live run has more by now.
    """

    def __init__(self, table: TableOfRecord) -> None:
        self._table = table
        self._read: dict[str, Array] = {}

    @property
    def units(self) -> dict[str, str]:
        """Get the unit of each column."""
        return self._table.units

    @property
    def schema(self) -> schema.Table:
        """Get what the schema says of the table: meaning and type of each column."""
        return self._table.table

    def __getitem__(self, name: str) -> Array:
        if name not in self._read:
            self.read(*(PLOTTED & set(self._table.names) if name in PLOTTED else ()), name)
        return self._read[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._table.names)

    def __len__(self) -> int:
        """Number of rows (not of columns)."""
        return self._table.count()

    def read(self, *names: str) -> dict[str, Array]:
        """Get several columns at once, which is quicker than one after the other.

        Raises:
            KeyError: there is no such column.
        """
        for name in names:
            if name not in self._table.names:
                raise KeyError(f"there is no column {name!r}; there are {', '.join(self._table.names)}")
        new = [name for name in dict.fromkeys(names) if name not in self._read]
        shaped = [name for name in new if self.shape_word(name) == _BY_POINTS]
        fetched = [*new, *(["points"] if shaped and "points" not in [*new, *self._read] else [])]
        if fetched:
            self._read.update(self._table.fetch(fetched))
        for name in shaped:
            shape_by_points(self._read[name], self._read["points"])
        return {name: self._read[name] for name in names}

    def blocks(self, *names: str) -> Iterator[dict[str, Array]]:
        """Read columns some thousand rows at a time, for tables that do not fit into memory; as `read` gives them.

        What the record lacks is left out, and where it cannot be read on, it ends.
        """
        shaped = [name for name in names if self.shape_word(name) == _BY_POINTS]
        fetched = [*names, *(["points"] if shaped and "points" not in names else [])]
        for block in self._table.blocks(fetched):
            if "points" in block:
                for name in shaped:
                    shape_by_points(block[name], block["points"])
            yield {name: block[name] for name in names if name in block}

    def tuples(self, *names: str) -> Iterator[list[tuple[Any, ...]]]:
        """Read rows some hundred at a time as they are stored, for those who write them: bytes of arrays, "" where empty."""
        return self._table.tuples(names)

    def arrays(self, name: str, values: Sequence[Any]) -> Array:
        """Make the arrays of a column of what `tuples` gives of it, as `read` does."""
        return array_of(self.schema.column(name), values, self._table.array_facts(name))

    @property
    def present(self) -> list[str]:
        """Get the columns that the record has; the others read as empty."""
        return [name for name in self._table.names if self._table.has(name)]

    def shape_word(self, name: str) -> str:
        """Get the shape of the arrays of a column as the record says it, such as `(parameters,)`; "" for plain values."""
        return self._table.array_facts(name)[1]

    def extent(self, name: str) -> tuple[int, ...] | None:
        """Get the shape that holds each array of a column, 0 where none was stored; None for plain values."""
        return self._table.extent(name)

    def row(self, index: int) -> dict[str, Any]:
        """Get one row by name."""
        return {name: values[index] for name, values in self.read(*self._table.names).items()}

    def __repr__(self) -> str:
        return f"<Rows of {self._table.table.name}: {', '.join(self._table.names)}>"


def shape_by_points(parts: Array, points: Array) -> None:
    """Give each array of a column one row per point."""
    for index, (part, count) in enumerate(zip(parts, points, strict=True)):
        if part is not None and count > 0 and len(part) % int(count) == 0:
            parts[index] = part.reshape(int(count), -1)


def newest_theta(connection: sqlite3.Connection) -> bytes | None:
    """Get the theta that was committed last, by a step or at the end of a stage, in its bytes; None: there is none."""
    steps = current("steps", "theta", connection)
    if not steps:
        return None
    step = _last_of(connection, f"SELECT id, theta FROM {steps} WHERE theta IS NOT NULL ORDER BY id DESC LIMIT 1")
    if not columns_of(connection, "current_thetas"):
        return step[1]
    stage = _last_of(connection, "SELECT after_row, theta FROM current_thetas ORDER BY id DESC LIMIT 1")
    return step[1] if step[0] > stage[0] else stage[1]


def theta_of_step(connection: sqlite3.Connection, step: int) -> bytes | None:
    """Get the theta after a training step, in its bytes; None: it was not kept."""
    steps = current("steps", "theta", connection)
    if not steps:
        return None
    row = connection.execute(
        f"SELECT theta FROM {steps} WHERE theta IS NOT NULL AND step = ? ORDER BY id DESC LIMIT 1", (step,)
    ).fetchone()
    return None if row is None else row[0]


def current(table: str, column: str, connection: sqlite3.Connection) -> str:
    """Get the name of the rows of a table that count, if they have a column; "" if not. Early records have no view of them."""
    return next((name for name in (f"current_{table}", table) if column in columns_of(connection, name)), "")


def _last_of(connection: sqlite3.Connection, query: str) -> tuple[int, bytes | None]:
    place, theta = connection.execute(query).fetchone() or (-1, None)
    return place, theta


def columns_of(connection: sqlite3.Connection, source: str) -> list[str]:
    """List the columns of a table or view of a record; empty where it has no such table, as one of an earlier version."""
    return [str(row[1]) for row in connection.execute(f"PRAGMA table_info({source})")]


@contextmanager
def opened(path: Path, *, any_thread: bool = False) -> Iterator[sqlite3.Connection]:
    """Open a record for reading; on a medium that cannot be written, as it lies there.

    Args:
        path: the record.
        any_thread: threads other than this one use it too, one at a time, which is for the caller to see to.
    """
    if not path.exists():
        raise sqlite3.OperationalError("there is no such file")
    quoted = path.absolute().as_uri()
    connection = sqlite3.connect(f"{quoted}?mode=ro", uri=True, timeout=5.0, check_same_thread=not any_thread)
    try:
        try:
            connection.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone()
        except sqlite3.OperationalError as exc:
            if "unable to open" not in str(exc) and "readonly" not in str(exc):
                raise
            connection.close()
            connection = sqlite3.connect(f"{quoted}?immutable=1", uri=True, timeout=5.0, check_same_thread=not any_thread)
        except UnicodeDecodeError as exc:  # in the very sentence that says what is wrong
            raise sqlite3.DatabaseError("malformed database schema, its names included") from exc
        connection.text_factory = _word
        yield connection
    finally:
        connection.close()


@lru_cache(1024)  # most columns of words have few of them
def _word(raw: bytes) -> str:
    """Decode a text; a damaged letter costs itself and nothing more."""
    return raw.decode("utf-8", "replace")
