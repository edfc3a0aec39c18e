"""Walking along a table of a record without reading it: rows by their place, by their step and by their time.

Rows are written one after the other and never deleted, so a place, a step or a time is found by bisection: a few single rows of a
million. Rows that a resume superseded are left out, as in the views `current_...`.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import Any

from aeqlab.protocols.record_reader import columns_of


class Walk:
    """The rows of one table that count, as they stood when it was made; a place is 0 for the first of them.

    Args:
        connection: an open record; the caller keeps it open.
        table: name of the table, with a column `id`.
    Raises:
        sqlite3.Error: the record cannot be read.
    """

    def __init__(self, connection: sqlite3.Connection, table: str) -> None:
        self._connection, self.table = connection, table
        self.columns: tuple[str, ...] = tuple(columns_of(connection, table))
        self._spans = self._find_spans() if "id" in self.columns else []  # first and last id of each, of those that count

    def __len__(self) -> int:
        return sum(last - first + 1 for first, last in self._spans)

    @property
    def spans(self) -> tuple[tuple[int, int], ...]:
        """First and last id of each row of rows that count."""
        return tuple(self._spans)

    def id_at(self, place: int) -> int:
        """Get the id of the row at a place.

        Raises:
            IndexError: there is no such place.
        """
        if place < 0:
            raise IndexError(place)
        for first, last in self._spans:
            if place <= last - first:
                return first + place
            place -= last - first + 1
        raise IndexError(place)

    def row(self, place: int) -> dict[str, Any]:
        """Get the row at a place by column, as SQLite has it: bytes of arrays, None where empty."""
        found = self._connection.execute(f"SELECT * FROM {self.table} WHERE id >= ? LIMIT 1", (self.id_at(place),)).fetchone()
        return {} if found is None else dict(zip(self.columns, found, strict=True))

    def value(self, place: int, column: str) -> Any:
        """Get one value of the row at a place."""
        found = self._connection.execute(
            f"SELECT {column} FROM {self.table} WHERE id >= ? LIMIT 1", (self.id_at(place),)
        ).fetchone()
        return None if found is None else found[0]

    def last_with(self, column: str, most: float) -> int:
        """Get the last place whose value is not above `most`, of a column that grows; -1: all are."""
        return _bisect(len(self), lambda place: _above(self.value(place, column), most)) - 1

    def where(self, condition: str = "1") -> str:
        """Make the SQL condition of the rows that count."""
        if not self._spans:
            return "0"
        spans = " OR ".join(f"id BETWEEN {first} AND {last}" for first, last in self._spans)
        return f"({spans}) AND ({condition})"

    def _find_spans(self) -> list[tuple[int, int]]:
        first, last = self._connection.execute(f"SELECT (SELECT min(id) FROM {self.table}), max(id) FROM {self.table}").fetchone()
        if first is None:
            return []
        kept = f"kept_{self.table}"
        if "attempt" not in self.columns or kept not in columns_of(self._connection, "attempts"):
            return [(first, last)]
        attempts = self._connection.execute(f"SELECT attempt, {kept} FROM attempts ORDER BY attempt").fetchall()
        spans = []
        ends = first - 1
        for k, (attempt, _) in enumerate(attempts):
            begins = ends + 1
            ends = first + _bisect(last - first + 1, lambda n, number=attempt: self._later(first + n, number)) - 1  # type: ignore[misc]
            counts = min([ends, *(keeps for _, keeps in attempts[k + 1 :])])
            if counts >= begins:
                spans.append((begins, counts))
        return spans

    def _later(self, row: int, attempt: int) -> bool:
        found = self._connection.execute(f"SELECT attempt FROM {self.table} WHERE id >= ? LIMIT 1", (row,)).fetchone()
        return found is None or found[0] > attempt


def _above(value: Any, most: float) -> bool:
    return value is not None and value > most


def _bisect(count: int, above: Callable[[int], bool]) -> int:
    """Get the first of `count` numbers of which something is so, where it stays so from there on."""
    low, high = 0, count
    while low < high:
        middle = (low + high) // 2
        if above(middle):
            high = middle
        else:
            low = middle + 1
    return low
