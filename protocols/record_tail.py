"""Following a record as it grows: `RecordTail.more()` gives the rows that came since it was last asked, in arrays by column.

One connection stays open, and asks SQLite whether anything was written before it reads anything. What a resume supersedes makes
`anew` true: whoever keeps rows lets go of all, and takes what comes then. Rows come some thousand at a time, oldest first.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aeqlab.protocols import record_schema as schema
from aeqlab.protocols.errors import RecordError
from aeqlab.protocols.record_arrays import array_of
from aeqlab.protocols.record_reader import columns_of, current, newest_theta, opened, shape_by_points

Array = NDArray[Any]
MOST = 20_000  #: rows of a table that come at once
FEW = 200  #: of those with arrays of any length
CHANGING = {"stages": "ended_at IS NULL OR outcome IS NULL", "alarms": "cleared_at IS NULL"}  #: rows that change until then


@dataclass(slots=True)
class News:
    """What came since the last time.

    Attributes:
        rows: columns of the new rows of each table that is followed and has some.
        changed: id and columns of rows that were given before and have changed: stages that ended, alarms that are over.
        facts: all facts of the run by name, where any may have changed; else None.
        anew: what was given before does not count any more; `rows` begins again with the first.
        more: there is more to be had at once.
        missing: what could not be read, in sentences.
    """

    rows: dict[str, dict[str, Array]] = field(default_factory=dict)
    changed: dict[str, dict[str, Array]] = field(default_factory=dict)
    facts: dict[str, Any] | None = None
    anew: bool = False
    more: bool = False
    missing: list[str] = field(default_factory=list)

    @property
    def any(self) -> bool:
        """Whether there is anything."""
        return bool(self.rows or self.changed or self.anew or self.missing) or self.facts is not None


class RecordTail:
    """Follows tables of one record.

    Args:
        path: the record.
        tables: columns to follow, by table; None for all columns of a table.
    Raises:
        RecordError: there is no such table, or column.
    """

    def __init__(self, path: Path, tables: Mapping[str, Sequence[str] | None]) -> None:
        self.path = path
        self._tables: dict[str, list[schema.Column]] = {}
        for name, wanted in tables.items():
            if name not in schema.BY_NAME:
                raise RecordError(f"There is no table {name!r} in a record; there are {', '.join(schema.BY_NAME)}.")
            columns = {column.name: column for column in schema.BY_NAME[name].columns}
            unknown = [word for word in wanted or () if word not in columns]
            if unknown:
                raise RecordError(f"The table {name} has no column {', '.join(unknown)}; it has {', '.join(columns)}.")
            self._tables[name] = [columns[word] for word in dict.fromkeys(("id", *(wanted or columns)))]
        self._stack = ExitStack()
        self._connection: sqlite3.Connection | None = None
        self._version: int | None = None
        self._kept: tuple[tuple[int, ...], ...] | None = None  # of each attempt, the last rows it kept of those before
        self._last: dict[str, int] = {}
        self._open_rows: dict[str, set[int]] = {name: set() for name in CHANGING}
        self._said: set[str] = set()
        self._arrays: dict[tuple[str, str], tuple[str, str]] = {}

    def more(self) -> News:
        """Read what came since the last time; nothing where nobody wrote. A record that cannot be read says so in `missing`."""
        news = News()
        try:
            connection = self._connected()
            version = connection.execute("PRAGMA data_version").fetchone()[0]
            if version == self._version:
                return news
            connection.execute("BEGIN")
            try:
                whole = self._read(connection, news)
            finally:
                connection.execute("ROLLBACK")
            self._version = version if whole and not news.more else None
        except (sqlite3.Error, ValueError) as exc:
            self._miss(news, f"{self.path.name} cannot be read: {exc}.")
            self.close()
        return news

    def newest_theta(self) -> Array | None:
        """Get the theta that was committed last, shape (parameters,); None where the record holds none, or cannot be read."""
        try:
            found = newest_theta(self._connected())
        except sqlite3.Error:
            return None
        return None if found is None else np.frombuffer(found, dtype="<f8").copy()

    def close(self) -> None:
        """Let go of the record. What is asked for afterwards opens it again, and goes on where it was."""
        self._stack.close()
        self._connection = self._version = None

    # inside
    def _connected(self) -> sqlite3.Connection:
        if self._connection is None:
            self._connection = self._stack.enter_context(opened(self.path))
            self._connection.isolation_level = None
        return self._connection

    def _read(self, connection: sqlite3.Connection, news: News) -> bool:
        """Read each table; False where one of them is to be tried again."""
        whole = True
        there = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        if "meta" in there:
            news.facts = {key: json.loads(value) for key, value in connection.execute("SELECT key, value FROM meta")}
        if "columns" in there and not self._arrays:
            rows = connection.execute("SELECT table_name, column_name, dtype, shape FROM columns").fetchall()
            self._arrays = {(table, column): (dtype, shape) for table, column, dtype, shape in rows}
        kept = self._kept_by_attempts(connection) if "attempts" in there else ()
        if self._kept is not None and kept != self._kept:
            news.anew = True
            self._last.clear()
            for waiting in self._open_rows.values():
                waiting.clear()
        self._kept = kept
        for name, columns in self._tables.items():
            if name not in there:
                self._miss(news, f"{self.path.name}, {name}: the whole table is not there and reads as empty.")
                continue
            try:
                self._read_table(connection, name, columns, news)
            except sqlite3.OperationalError as exc:  # locked, or a disk that failed once: it goes on where it was
                self._miss(news, f"{self.path.name}, {name}: could not be read at once, and is tried again: {exc}.")
                whole = False
            except sqlite3.DatabaseError as exc:
                self._miss(news, f"{self.path.name}, {name}: cannot be read on: {exc}.")
                self._last[name] = 2**62  # the others are read all the same
        return whole

    def _kept_by_attempts(self, connection: sqlite3.Connection) -> tuple[tuple[int, ...], ...]:
        names = [name for name in columns_of(connection, "attempts") if name == "attempt" or name.startswith("kept_")]
        return tuple(connection.execute(f"SELECT {', '.join(names)} FROM attempts ORDER BY 1").fetchall()) if names else ()

    def _read_table(self, connection: sqlite3.Connection, name: str, columns: list[schema.Column], news: News) -> None:
        source = current(name, "id", connection) if schema.BY_NAME[name].superseded else name
        known = set(columns_of(connection, source))
        columns = [column for column in columns if column.name in known]
        names = ", ".join(column.name for column in columns)
        last, most = self._last.get(name, 0), FEW if any(column.array for column in columns) else MOST
        rows = connection.execute(f"SELECT {names} FROM {source} WHERE id > ? ORDER BY id LIMIT ?", (last, most)).fetchall()
        news.more = news.more or len(rows) == most
        waiting = self._open_rows.get(name)
        if waiting:
            again = ", ".join(map(str, sorted(waiting)))
            changed = connection.execute(f"SELECT {names} FROM {source} WHERE id IN ({again}) ORDER BY id").fetchall()
            if changed:
                news.changed[name] = self._columns(name, columns, changed)
        if rows:
            news.rows[name] = self._columns(name, columns, rows)
            self._last[name] = int(rows[-1][0])
        if waiting is not None:
            still = f"SELECT id FROM {source} WHERE id <= ? AND ({CHANGING[name]})"
            waiting.clear()
            waiting.update(int(row[0]) for row in connection.execute(still, (self._last.get(name, 0),)))

    def _columns(self, table: str, columns: list[schema.Column], rows: list[tuple[Any, ...]]) -> dict[str, Array]:
        made = {}
        for place, column in enumerate(columns):
            facts = self._arrays.get((table, column.name), (column.array, column.shape))
            made[column.name] = array_of(column, [row[place] for row in rows], facts)
        if "points" in made:
            for column in columns:
                if column.shape == "(points, n)":
                    shape_by_points(made[column.name], made["points"])
        return made

    def _miss(self, news: News, sentence: str) -> None:
        if sentence not in self._said:
            self._said.add(sentence)
            news.missing.append(sentence)

    def __enter__(self) -> RecordTail:
        return self

    def __exit__(self, *exc: object) -> None:
        with contextlib.suppress(sqlite3.Error):
            self.close()
