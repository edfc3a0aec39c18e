"""One table of a record as it stood at one moment: which of its rows count, and how its columns are fetched.

What counts is found once, when the table is opened: rows up to the last one there was, without those that a resume superseded. So
all columns have one length, however long after each other they are asked for, also while the run goes on.
"""

from __future__ import annotations

import itertools
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aeqlab.protocols import record_schema as schema
from aeqlab.protocols.record_arrays import MATRICES, array_of, fitted, joined

Array = NDArray[Any]
Connect = Callable[[], AbstractContextManager[sqlite3.Connection]]
Facts = tuple[str, str, str]  #: number type, shape and unit of a column, as the record itself says them
#: Rows taken from SQLite in one go, for arrays and for texts: few enough that their values stay in the cache of the processor.
BLOCK, FEW = 2_000, 200
_ORDERED_BY = {"attempts": "attempt", "meta": "rowid", "columns": "rowid"}  # all others by id


class TableOfRecord:
    """Fetches columns of one table; every column it gives has the same rows."""

    def __init__(
        self,
        table: schema.Table,
        path: Path,
        connect: Connect,
        miss: Callable[[str], None],
        *,
        current: bool,
        version: int,
        facts: dict[tuple[str, str], Facts],
    ) -> None:
        """Find out what counts.

        Args:
            table: what the schema says of it.
            path: the record.
            connect: opens the record, or lends a connection that is in a read transaction.
            miss: takes a sentence about what cannot be read.
            current: leave out rows that a resume superseded.
            version: schema version of the record; what an older one lacks is not missed.
            facts: number type, shape and unit by table and column.
        """
        self.table = table
        self.names = [column.name for column in table.columns]
        self._path, self._connect, self._miss, self._facts = path, connect, miss, facts
        self._key = _ORDERED_BY.get(table.name, "id")
        self._there: set[str] = set()  # columns of the file
        self._last: int | None = None  # last row that counts; None: not known
        self._kept: list[tuple[int, int]] = []  # attempt, and the last row it kept of those before it
        self._count: int | None = None
        try:
            with self._reading() as connection:
                self._look(connection, current, version)
        except sqlite3.Error as exc:
            self._say(f"cannot be read: {exc}.")

    # what is there
    def _look(self, connection: sqlite3.Connection, current: bool, version: int) -> None:
        columns = connection.execute(f"PRAGMA table_info({self.table.name})").fetchall()
        self._there = {name for _, name, *_ in columns}
        self._say_what_lacks(version)
        if self._key not in self._there:
            self._key = "rowid"
        self._there.add(self._key)
        if not columns:
            self._count = 0
            return
        if current and self.table.superseded and "attempt" in self._there:
            self._kept = self._kept_by_attempts(connection)
        try:
            self._last = connection.execute(f"SELECT max({self._key}) FROM {self.table.name}").fetchone()[0]
        except sqlite3.DatabaseError:  # the end of the table is damaged: whatever can be read counts
            return
        if self._last is None:
            self._count = 0

    def _say_what_lacks(self, version: int) -> None:
        lacks = [name for name in self.names if name not in self._there]
        if not lacks or version < schema.SCHEMA_VERSION:
            return
        names = ", ".join(lacks)
        what = f"the column{'s' if len(lacks) > 1 else ''} {names}" if len(lacks) < len(self.names) else "the whole table"
        verb = "are" if len(lacks) > 1 and what != "the whole table" else "is"
        self._say(f"{what} {verb} not there and {'read' if verb == 'are' else 'reads'} as empty.")

    def _kept_by_attempts(self, connection: sqlite3.Connection) -> list[tuple[int, int]]:
        kept = f"kept_{self.table.name}"
        try:
            known = {row[1] for row in connection.execute("PRAGMA table_info(attempts)")}
            if not {"attempt", kept} <= known:
                return []
            rows = connection.execute(f"SELECT attempt, {kept} FROM attempts ORDER BY attempt").fetchall()
        except sqlite3.DatabaseError as exc:
            self._say(f"which rows a resume superseded cannot be read, so all of them are given: {exc}.")
            return []
        return [(int(attempt), int(last)) for attempt, last in rows[1:]]

    def has(self, name: str) -> bool:
        """True where the record has this column."""
        return name in self._there

    @property
    def counts(self) -> str:
        """Get the SQL condition of a row that counts."""
        conditions = [] if self._last is None else [f"{self._key} <= {int(self._last)}"]
        conditions += [f"(attempt >= {attempt} OR {self._key} <= {last})" for attempt, last in self._kept]
        return " AND ".join(conditions) or "1"

    @property
    def units(self) -> dict[str, str]:
        """Get the unit of each column."""
        return {name: self._facts.get((self.table.name, name), ("", "", ""))[2] for name in self.names}

    def array_facts(self, name: str) -> tuple[str, str]:
        """Get number type and shape of a column of arrays, "" and "" for plain values."""
        column = self.table.column(name)
        return self._facts.get((self.table.name, name), (column.array, column.shape, ""))[:2]

    # rows
    def count(self) -> int:
        """Count the rows."""
        if self._count is None:
            try:
                with self._reading() as connection:
                    self._count = self._counted(connection)
            except sqlite3.Error as exc:
                self._say(f"cannot be read: {exc}.")
                self._count = 0
        return self._count

    def fetch(self, names: Sequence[str]) -> dict[str, Array]:
        """Fetch columns, as arrays of one length; what cannot be read is empty and said."""
        parts: dict[str, list[Array]] = {name: [] for name in names}
        for block in self.blocks(names):
            for name, values in block.items():
                parts[name].append(values)
        count = self.count()
        return {
            name: fitted(self.table.column(name), joined(parts.pop(name)), count, self.array_facts(name)) for name in list(parts)
        }

    def blocks(self, names: Sequence[str]) -> Iterator[dict[str, Array]]:
        """Fetch columns some thousand rows at a time, those the record has; ends, and says so, where it cannot be read on."""
        there = [name for name in names if name in self._there]
        for values in self._pieces(there, BLOCK, flat=True):
            yield {
                name: array_of(self.table.column(name), values[index :: len(there)], self.array_facts(name))
                for index, name in enumerate(there)
            }

    def tuples(self, names: Sequence[str]) -> Iterator[list[tuple[Any, ...]]]:
        """Fetch rows as `blocks` does, some hundred at a time, as SQLite has them: "" where a plain value is empty."""
        there = [name for name in names if name in self._there]
        return self._pieces(there, FEW, flat=False)

    def extent(self, name: str) -> tuple[int, ...] | None:
        """Get the shape that holds each array of a column of arrays, 0 where none was stored; None for plain values."""
        dtype, shape = self.array_facts(name)
        if not dtype:
            return None
        size = np.dtype(dtype).itemsize
        table, points = self.table.name, "points" in self._there
        rows = f"FROM {table} WHERE {name} IS NOT NULL AND {self.counts}"
        if shape in MATRICES:
            sql = f"SELECT length({name}) / {size} {rows} LIMIT 1"
        elif shape == "(points, n)" and points:
            sql = f"SELECT max(points), max(length({name}) / {size} / max(points, 1)) {rows}"
        else:
            sql = f"SELECT max(length({name})) / {size} {rows}"
        try:
            with self._reading() as connection:
                found = connection.execute(sql).fetchone() if name in self._there else None
        except sqlite3.Error:
            found = None  # whoever reads the rows says so
        length = 2 if shape == "(points, n)" and points else 1
        return tuple(int(value or 0) for value in found or (0,) * length)

    def _counted(self, connection: sqlite3.Connection) -> int:
        try:
            return int(connection.execute(f"SELECT count(*) FROM {self.table.name} WHERE {self.counts}").fetchone()[0])
        except sqlite3.DatabaseError:
            pass
        count = 0  # one by one, so that a damaged page costs what is behind it and nothing before
        as_words, connection.text_factory = connection.text_factory, bytes
        rows = connection.execute(f"SELECT * FROM {self.table.name} WHERE {self.counts} ORDER BY {self._key}")
        try:
            for _ in rows:
                count += 1
        except sqlite3.DatabaseError as exc:
            self._say(f"only {count} rows can be read: {exc}.")
        finally:
            connection.text_factory = as_words
        return count

    def _pieces(self, names: list[str], size: int, *, flat: bool) -> Iterator[list[Any]]:
        """Fetch rows, many in one list: value after value, or tuples; ends, and says so, where it cannot be read on."""
        if not names or self._count == 0:
            return
        columns = names if flat else [name if self.array_facts(name)[0] else f"ifnull({name}, '')" for name in names]
        sql = f"SELECT {', '.join(columns)} FROM {self.table.name} WHERE {self.counts} ORDER BY {self._key}"
        try:
            with self._reading() as connection:
                rows = connection.execute(sql)
                if flat:
                    yield from self._taken(itertools.chain.from_iterable(rows), size, len(names), names)
                else:
                    yield from self._taken(rows, size, 1, names)
        except sqlite3.Error as exc:
            self._say(f"cannot be read: {exc}.")

    def _taken(self, values: Iterator[Any], size: int, width: int, names: list[str]) -> Iterator[list[Any]]:
        """Take so many rows of so many values each; what was read before an error is given before the error is said."""
        done, whole = 0, True
        while True:
            piece: list[Any] = []
            try:
                piece.extend(itertools.islice(values, size * width))
            except sqlite3.DatabaseError as exc:
                whole = False
                self._say(f"only {done + len(piece) // width} rows of {', '.join(names)} can be read: {exc}.")
            if piece:
                yield piece
            done += len(piece) // width
            if len(piece) < size * width:
                if whole:
                    self._count = done
                return

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        """Open the record in a read transaction."""
        with self._connect() as connection:
            ours = not connection.in_transaction
            if ours:
                begin_reading(connection)
            try:
                yield connection
            finally:
                if ours and connection.in_transaction:
                    connection.execute("ROLLBACK")

    def _say(self, what: str) -> None:
        self._miss(f"{self._path.name}, {self.table.name}: {what}")


def begin_reading(connection: sqlite3.Connection) -> None:
    """Begin a read transaction: until it ends, this connection sees the record as it is now."""
    connection.execute("BEGIN")
    connection.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone()  # BEGIN alone takes no lock
