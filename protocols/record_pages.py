"""Columns of a closed record, straight from the pages of its file: SQLite hands rows to Python at a microsecond a row and more.

Only plain rows are read here: a table with a rowid, in a file that is not in WAL mode, values that lie in their page whole. All
else raises `NotPlainError`, and the caller asks SQLite instead, which is also the one that knows what to make of damage.
Names as in "Database File Format" of sqlite.org: a table is a tree of pages, its leaves hold cells, a cell is one row: length,
rowid, a header of serial types, and the values behind it without gaps.
"""

from __future__ import annotations

import itertools
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
_BATCH_BYTES = 8 * 1024 * 1024  # leaves looked at in one go
_LEAF, _INTERIOR = 13, 5
_ONE_BYTE = 0x80  # a varint below is a single byte
_SIZES = np.array([0, 1, 2, 3, 4, 6, 8, 8, 0, 0, 0, 0, *((n - 12) // 2 for n in range(12, _ONE_BYTE))], dtype=np.int64)
_SPARE = 16  # bytes behind a batch, so that a look past its end stays inside
_DEPTH = 12  # no tree of SQLite is deeper
_WORDS = 64  # a column of text has few words, or is read by SQLite
_MIX = 0x9E3779B97F4A7C15  # spreads headers over 64 bits


class NotPlainError(Exception):
    """The table is not of the plain kind that is read here; SQLite reads it."""


class Wanted(NamedTuple):
    """A column to read: its place in the row, and what it is: `int`, `real`, `text`, `blob` or `rowid`."""

    place: int
    kind: str


class Blobs(NamedTuple):
    """Blobs of one length, uint8 of shape (rows, bytes), and in which rows there is one."""

    raw: Array
    there: Array


def read_blocks(
    connection: sqlite3.Connection, path: Path, table: str, wanted: dict[str, Wanted], last: int
) -> Iterator[dict[str, Any]]:
    """Read columns of a table, some thousand rows at a time.

    Args:
        connection: a connection to the file, in a read transaction until the last block: that lock keeps every writer out. Where
            there is none, the file is not touched.
        path: the file.
        table: name of the table.
        wanted: columns by name; one of them is the rowid.
        last: greatest rowid that counts.
    Returns:
        Arrays by name, in the order of the rowids: int64, or float64 with nan for empty places; words as objects of str, "" for
        empty; `Blobs`.
    Raises:
        NotPlainError: the table is not of the plain kind, or damaged, from here on; the blocks before are right.
    """
    # The lock first: closing a file gives up the locks that SQLite holds on it in this process (POSIX). In WAL mode that of a
    # writer may be among them; outside of it there can be none while this connection reads.
    if not connection.in_transaction or connection.execute("PRAGMA journal_mode").fetchone()[0] == "wal":
        raise NotPlainError("a writer may be at work")
    found = connection.execute("SELECT rootpage, sql FROM sqlite_master WHERE type = 'table' AND name = ?", (table,)).fetchone()
    if found is None or "WITHOUT ROWID" in str(found[1]).upper():
        raise NotPlainError("no table with a rowid")
    before = -(2**63)
    try:
        with path.open("rb", buffering=0) as file:
            tree = _Tree(file)
            for pages in tree.leaves(found[0]):
                cells = _Cells(pages, tree.page_size, tree.usable, max(column.place for column in wanted.values()))
                if not len(cells.rowid):
                    continue
                if cells.rowid[0] <= before or (np.diff(cells.rowid) <= 0).any():
                    raise NotPlainError("rows are not in order")
                before = int(cells.rowid[-1])
                if before > last:
                    cells.cut(int(np.searchsorted(cells.rowid, last, side="right")))
                yield {name: cells.values(column) for name, column in wanted.items()}
                if before >= last:
                    return
    except (OSError, IndexError, ValueError, OverflowError) as exc:
        raise NotPlainError(str(exc)) from exc


class _Tree:
    """The pages of a file as a tree of tables."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        head = file.read(100)
        if len(head) < 100 or head[:16] != b"SQLite format 3\0" or head[18:20] != b"\x01\x01" or head[56:60] != b"\0\0\0\x01":
            raise NotPlainError("no database in UTF-8 outside of WAL mode")
        size = int.from_bytes(head[16:18], "big")
        self.page_size = 65536 if size == 1 else size
        self.usable = self.page_size - head[20]

    def leaves(self, root: int) -> Iterator[Array]:
        """Read the leaves below a page in the order of their rows, some at a time, shape (pages, page_size), with spare bytes."""
        numbers = np.array([root], dtype=np.int64)
        for _ in range(_DEPTH):
            (first,) = self._pages(numbers[:1])
            if first[0] == _LEAF:
                break
            numbers = np.concatenate([self._children(page) for part in self._batches(numbers) for page in self._pages(part)])
        else:
            raise NotPlainError("a tree without end")
        for part in self._batches(numbers):
            yield self._pages(part)

    def _batches(self, numbers: Array) -> Iterator[Array]:
        size = max(1, _BATCH_BYTES // self.page_size)
        return (numbers[begin : begin + size] for begin in range(0, len(numbers), size))

    def _children(self, page: Array) -> Array:
        if page[0] != _INTERIOR:
            raise NotPlainError("a page of another kind")
        count = int(page[3:5].view(">u2")[0])
        cells = page[12 : 12 + 2 * count].view(">u2").astype(np.int64)
        children = page[cells[:, None] + np.arange(4)].view(">u4").ravel() if count else np.empty(0, ">u4")
        return np.concatenate([children, page[8:12].view(">u4")]).astype(np.int64)

    def _pages(self, numbers: Array) -> Array:
        """Read pages by their numbers, neighbours in one go."""
        size, count = self.page_size, len(numbers)
        buffer = np.zeros(count * size + _SPARE, dtype=np.uint8)
        edges = [0, *(np.flatnonzero(np.diff(numbers) != 1) + 1).tolist(), count]
        for begin, end in itertools.pairwise(edges):
            self._file.seek((int(numbers[begin]) - 1) * size)
            view = memoryview(buffer[begin * size : end * size])  # type: ignore[arg-type]
            while view:
                got = self._file.readinto(view)  # type: ignore[attr-defined]
                if not got:
                    raise NotPlainError("the file is too short")
                view = view[got:]
        return np.ndarray((count, size), np.uint8, buffer)


class _Cells:
    """The rows in some leaves: the rowid of each, where its values begin, and which header it has.

    Rows differ in few ways, so headers are looked at once per kind and not once per row.
    """

    def __init__(self, pages: Array, page_size: int, usable: int, last_column: int) -> None:
        count = len(pages)
        if (pages[:, 0] != _LEAF).any():
            raise NotPlainError("a page of another kind")
        self._bytes = np.ndarray((count * page_size + _SPARE,), np.uint8, pages.base)
        per_page = pages[:, 3].astype(np.int64) << 8 | pages[:, 4]
        start = np.repeat(np.arange(count) * page_size, per_page)
        number = np.arange(len(start)) - np.repeat(np.cumsum(per_page) - per_page, per_page)
        cell = start + self._gather(">u2", start + 8 + 2 * number)
        payload, at = self._varint(cell)
        self.rowid, head = self._varint(at)
        size = self._bytes[head].astype(np.int64)
        if (size >= _ONE_BYTE).any() or (size < last_column + 2).any():
            raise NotPlainError("rows of an unusual width")
        # overflow: of a long row only the first bytes stand in the page
        least = (usable - 12) * 32 // 255 - 23
        if (payload > usable - 35).any():
            part = least + (payload - least) % (usable - 4)
            payload = np.where(payload <= usable - 35, payload, np.where(part <= usable - 35, part, least))
        if (head + payload > start + page_size).any() or (cell < start + 8).any():
            raise NotPlainError("a row beyond its page")
        self._content = head + size
        self._room = payload - size  # bytes of values in the page
        self._last_type_at = head + 1 + last_column
        self._group(self._gather(f"V{last_column + 1}", head + 1))

    def _group(self, headers: Array) -> None:
        """Find the kinds of headers: `_kind` of each row, serial types of each kind, and where its values are."""
        count, width = len(headers), headers.dtype.itemsize
        padded = np.zeros((count, -(-width // 8) * 8), dtype=np.uint8)
        padded[:, :width] = headers.view(np.uint8).reshape(count, width)
        parts = padded.view(np.uint64)
        mixed = parts @ np.array([_MIX**k % 2**64 | 1 for k in range(parts.shape[1])], dtype=np.uint64)
        _, first, self._kind = np.unique(mixed, return_index=True, return_inverse=True)
        if (parts[first][self._kind] != parts).any():
            raise NotPlainError("two headers that look alike")
        self._types = padded[first, :width].astype(np.int64)
        if (self._types[:, :-1] >= _ONE_BYTE).any():
            raise NotPlainError("a long text before other columns")
        sizes = _SIZES[np.minimum(self._types, _ONE_BYTE - 1)]
        self._ends = np.cumsum(sizes, axis=1)
        self._begins = self._ends - sizes

    def cut(self, count: int) -> None:
        """Keep the first rows."""
        self.rowid, self._kind, self._content = self.rowid[:count], self._kind[:count], self._content[:count]
        self._room, self._last_type_at = self._room[:count], self._last_type_at[:count]

    def values(self, column: Wanted) -> Array | Blobs:
        """Get one column; a text or blob of more than 57 bytes must be the last one that was asked for."""
        if column.kind == "rowid":
            return self.rowid
        if not len(self.rowid):
            raise NotPlainError("a leaf without rows")
        types, begins, ends = (table[:, column.place] for table in (self._types, self._begins, self._ends))
        at = self._content + (begins[0] if len(begins) == 1 else begins[self._kind])
        if (types >= _ONE_BYTE).any():  # of two bytes or more, so rows of one kind may differ in it
            of_rows, _ = self._varint(self._last_type_at)
            if (at + ((of_rows - 12) >> 1) > self._content + self._room).any():
                raise NotPlainError("a value beyond its page")
        else:
            of_rows = types[self._kind]
            if ends.max() > self._room.min() and (ends[self._kind] > self._room).any():
                raise NotPlainError("a value beyond its page")
        kinds = set(types.tolist()) if of_rows.size and (types < _ONE_BYTE).all() else set(np.unique(of_rows).tolist())
        match column.kind:
            case "text":
                return self._words(kinds, of_rows, at)
            case "blob":
                return self._blobs(kinds, of_rows, at)
        return self._numbers(kinds, of_rows, at, whole=column.kind == "int")

    def _numbers(self, kinds: set[int], types: Array, at: Array, *, whole: bool) -> Array:
        if kinds - (set(range(10)) - ({7} if whole else set())):
            raise NotPlainError("a number of another kind")
        dtype = np.int64 if whole and 0 not in kinds else np.float64
        if len(kinds) == 1:
            value = self._number(next(iter(kinds)), at)
            return value.astype(dtype) if isinstance(value, np.ndarray) else np.full(len(at), value, dtype)
        made = np.empty(len(types), dtype)
        for kind in kinds:
            mask = types == kind
            made[mask] = self._number(kind, at[mask])
        return made

    def _number(self, kind: int, at: Array) -> Any:
        match kind:
            case 0:
                return np.nan
            case 1 | 2 | 4 | 6 | 7:
                return self._gather({1: ">i1", 2: ">i2", 4: ">i4", 6: ">i8", 7: ">f8"}[kind], at)
            case 3:
                return self._gather(">i1", at).astype(np.int64) << 16 | self._gather(">u2", at + 1)
            case 5:
                return self._gather(">i2", at).astype(np.int64) << 32 | self._gather(">u4", at + 2)
        return kind - 8

    def _words(self, kinds: set[int], types: Array, at: Array) -> Array:
        made = np.full(len(types), "", dtype=object)
        for kind in kinds - {0, 13}:
            if kind < 13 or kind % 2 == 0:
                raise NotPlainError("a text of another kind")
            rows = np.flatnonzero(types == kind)
            raw = self._gather(f"S{(kind - 13) // 2}", at[rows])
            for _ in range(_WORDS):
                if not len(rows):
                    break
                word = raw[0]
                same = raw == word
                if len(word) < (kind - 13) // 2:
                    raise NotPlainError("a word that ends in zeros")
                made[rows[same]] = word.decode("utf-8")
                rows, raw = rows[~same], raw[~same]
            else:
                raise NotPlainError("many words")
        return made

    def _blobs(self, kinds: set[int], types: Array, at: Array) -> Blobs:
        kinds = kinds - {0}
        if len(kinds) > 1 or any(kind < 12 or kind % 2 for kind in kinds):
            raise NotPlainError("blobs of several lengths")
        length = (kinds.pop() - 12) // 2 if kinds else 0
        there = types != 0
        raw = np.zeros((len(types), length), np.uint8)
        if length:
            raw[there] = self._gather(f"V{length}", at[there]).view(np.uint8).reshape(-1, length)
        return Blobs(raw, there)

    def _gather(self, dtype: str, at: Array) -> Array:
        """Get values that begin at any byte."""
        size = np.dtype(dtype).itemsize
        return np.ndarray((max(0, len(self._bytes) - size + 1),), dtype, self._bytes, strides=(1,))[at]

    def _varint(self, at: Array) -> tuple[Array, Array]:
        """Read numbers of one to eight bytes, seven bits each; returns them, and where the next ones begin."""
        value = np.zeros(len(at), dtype=np.int64)
        more = np.ones(len(at), dtype=bool)
        at = at.copy()
        for _ in range(8):
            byte = self._bytes[at]
            value = np.where(more, value << 7 | (byte & 0x7F), value)
            at += more
            more &= byte >= _ONE_BYTE
            if not more.any():
                return value, at
        raise NotPlainError("a number of nine bytes")
