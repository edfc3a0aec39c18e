"""Replay of a run of any length: what was, at a place of its time line, found by bisection without reading the run.

replay = Replay(path)                                    opens a million steps as fast as ten
moment = replay.at_step(812); moment = replay.at_time(1.79e9); moment = replay.at_place(0)
moment.row["cost_free"], moment.theta, moment.traces, moment.state, moment.events, moment.alarms
replay.column("cost_free")                               a whole column, read when it is first asked for
"""

from __future__ import annotations

import sqlite3
import threading
from collections import OrderedDict
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aeqlab.protocols.load import Run, load_run
from aeqlab.protocols.record_reader import Rows, opened, shape_by_points
from aeqlab.protocols.record_walk import Walk
from aeqlab.protocols.run_list import UNKNOWN

Array = NDArray[Any]
EVENTS = 200  #: events up to a moment that it comes with, the last ones
LATEST = 1e11  #: s since 1970; nothing after it is a time
COLUMNS = 8  #: whole columns that are kept; of a million steps 8 MB each
_DAMAGED = (sqlite3.Error, TypeError, ValueError, KeyError, IndexError)


@dataclass(frozen=True, slots=True)
class Trace:
    """The course of one phase.

    Attributes:
        phase: hold or settle.
        t: time of the device of each point, shape (points,), in s.
        error: theta - target, shape (points, n), in the parameters' unit; None: not kept.
        u: control knobs, shape (points, n), in their unit; None: not kept.
    """

    phase: str
    t: Array = field(repr=False)
    error: Array | None = field(repr=False)
    u: Array | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class Happened:
    """One event: when, in s since 1970, after which training step, of which kind and word, and its sentence."""

    at: float
    step: int
    kind: str
    word: str
    text: str


@dataclass(frozen=True, slots=True)
class Moment:
    """What was at one place of the time line.

    Attributes:
        place: of `Replay.count`, from 0; -1: before the first row, or there are none.
        at: time in s since 1970; nan: nothing was written yet.
        t: time of the device in s; nan: not known.
        step: training step, 0 before the first.
        row: of the table `Replay.table` by column; empty without one. Numbers and words as stored, None where empty, no arrays.
        theta: target after the step, shape (parameters,); None: not kept with the steps.
        traces: of the phases of the last traced step up to then.
        traced_step: that step; None: there are no traces up to then.
        state, reason: of the run then.
        stage: place in the sequence and word of the stage, such as ("0", "train"); empty: none had begun.
        events: up to then, the last `EVENTS` of `events_before`, the newest last.
        alarms: name and sentence of each that was on.
    """

    place: int
    at: float
    t: float
    step: int
    row: dict[str, Any]
    theta: Array | None = field(repr=False)
    traces: tuple[Trace, ...]
    traced_step: int | None
    state: str
    reason: str
    stage: tuple[str, str] | tuple[()]
    events: tuple[Happened, ...] = field(repr=False)
    events_before: int
    alarms: tuple[tuple[str, str], ...]


class Replay:
    """The time line of one run, as it was when it was opened or refreshed; any thread may ask.

    Args:
        path: the run folder.
    Attributes:
        run: the run, for everything that is not bound to a moment.
        table: whose rows make the time line: `steps`, or `points` of a run without training.
        missing: what could not be read, in sentences.
    Raises:
        RecordError: there is no such folder, or nothing in it that a run leaves.
    """

    def __init__(self, path: str | Path) -> None:
        self.run: Run = load_run(path)
        self.table = "steps"
        self.missing: list[str] = []
        self._open = ExitStack()
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        self._rows: Walk | None = None
        self._traces: Walk | None = None
        self._events: Walk | None = None
        self._others: dict[str, Walk] = {}
        self._like: dict[str, Rows] = {}
        self._columns: OrderedDict[str, Array] = OrderedDict()
        try:
            self._connection = self._open.enter_context(opened(self.run.path / "record.sqlite", any_thread=True))
        except sqlite3.Error as exc:
            self._miss(f"record.sqlite cannot be read: {exc}.")
        self.refresh()

    def refresh(self) -> None:
        """Take in what a live run wrote since."""
        with self._lock:
            self._columns.clear()
            self._others.clear()
            steps = self._walk("steps")
            points = self._walk("points") if steps is None or not len(steps) else None
            self.table = "points" if points is not None and len(points) else "steps"
            self._rows = points if self.table == "points" else steps
            self._traces, self._events = self._walk("traces"), self._walk("events")

    def close(self) -> None:
        """Let the record go. May be called twice."""
        with self._lock:
            self._connection = None
            self._open.close()

    def __enter__(self) -> Replay:
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    # the time line
    @property
    def count(self) -> int:
        """Number of places."""
        return 0 if self._rows is None else len(self._rows)

    @property
    def last_step(self) -> int:
        """Number of training steps; there are more places where sham steps were done. 0 without training."""
        with self._lock:
            step = self._value(self.count - 1, "step") if self.table == "steps" and self.count else np.nan
            return int(step) if np.isfinite(step) else 0

    @property
    def span(self) -> tuple[float, float]:
        """Get the times of the first and the last place, in s since 1970; nan where there is none."""
        with self._lock:
            if not self.count:
                return np.nan, np.nan
            return self._value(0, "at"), self._value(self.count - 1, "at")

    def place_of_time(self, at: float) -> int:
        """Get the last place written up to a time, in s since 1970; -1 before the first."""
        with self._lock:
            return self._place("at", at)

    def place_of_step(self, step: int) -> int:
        """Get the place of a training step, or of the last row before it where it is not there; -1 before the first.

        A sham step bears the number of the step before it, and comes after that.
        """
        with self._lock:
            place = self._place("step", step - 1) + 1
            there = place < self.count and self._value(place, "step") == step
            return place if there else place - 1

    # moments
    def at_place(self, place: int) -> Moment:
        """Get what was when a row was written; places outside are those of the ends."""
        with self._lock:
            place = min(max(place, 0), self.count - 1)
            return self._moment(place, self._value(place, "at") if place >= 0 else np.nan)

    def at_step(self, step: int) -> Moment:
        """Get what was at the end of a training step."""
        return self.at_place(self.place_of_step(step))

    def at_time(self, at: float) -> Moment:
        """Get what was at a time in s since 1970: the last row before it, and what happened up to then."""
        with self._lock:
            return self._moment(self._place("at", at), at)

    def column(self, name: str) -> Array:
        """Get a column of the time line, shape (count,), nan where empty; read when it is first asked for.

        Raises:
            KeyError: there is no such column.
        """
        with self._lock:
            if name not in self._columns:
                with self.run.snapshot() if self._connection is not None else ExitStack():
                    values = self.run.rows(self.table).read(name)[name]
                self._columns[name] = values[: self.count]
                while len(self._columns) > COLUMNS:
                    self._columns.popitem(last=False)
            self._columns.move_to_end(name)
            return self._columns[name]

    # what was there
    def rows_until(self, table: str, column: str, most: float, last: int) -> dict[str, Array]:
        """Get the last rows of a table up to a moment, as arrays by column; empty where it cannot be read.

        Args:
            table: its name.
            column: one that grows, such as `at` or `step`.
            most: rows with a greater value in it are left out.
            last: at most so many rows.
        """
        with self._lock:
            try:
                walk = self._others.get(table) or Walk(self._need(), table)
                self._others[table] = walk
                place = walk.last_with(column, most)
                if place < 0:
                    return {}
                first, end = walk.id_at(max(place - last + 1, 0)), walk.id_at(place)
                wanted = walk.where(f"id BETWEEN {first} AND {end}")
                sql = f"SELECT {', '.join(walk.columns)} FROM {table} WHERE {wanted} ORDER BY id"
                return self._arrays(table, walk.columns, self._need().execute(sql).fetchall())
            except _DAMAGED as exc:
                self._miss(f"record.sqlite, {table}: {exc}.")
                return {}

    def sparse(self, names: Sequence[str], most: int) -> dict[str, Array]:
        """Get columns of the time line at about `most` places evenly spread over it, its last included.

        Columns that the record lacks are left out; so is all where it cannot be read.
        """
        with self._lock:
            walk = self._rows
            if walk is None or not len(walk):
                return {}
            try:
                columns = [name for name in names if name in walk.columns]
                every = max(1, -(-len(walk) // most))
                wanted = walk.where()
                if every > 1:  # rows by their ids alone: together with a span SQLite would look at every row of it
                    ids = {walk.id_at(place) for place in (*range(0, len(walk), every), len(walk) - 1)}
                    wanted = f"id IN ({', '.join(map(str, ids))})"
                sql = f"SELECT {', '.join(columns)} FROM {self.table} WHERE {wanted} ORDER BY id"
                return self._arrays(self.table, columns, self._need().execute(sql).fetchall())
            except _DAMAGED as exc:
                self._miss(f"record.sqlite, {self.table}: {exc}.")
                return {}

    # inside
    def _need(self) -> sqlite3.Connection:
        if self._connection is None:
            raise sqlite3.OperationalError("it is closed, or was never open")
        return self._connection

    def _arrays(self, table: str, names: Sequence[str], rows: Sequence[tuple[Any, ...]]) -> dict[str, Array]:
        if table not in self._like:
            self._like[table] = self.run.rows(table, current=False)
        like = self._like[table]
        columns = set(like)  # `in` would read the whole column
        known = [(k, name) for k, name in enumerate(names) if name in columns]
        made = {name: like.arrays(name, [row[k] for row in rows]) for k, name in known}
        for name in made:
            if like.shape_word(name) == "(points, n)" and "points" in made:
                shape_by_points(made[name], made["points"])
        return made

    def _walk(self, table: str) -> Walk | None:
        if self._connection is None:
            return None
        try:
            return Walk(self._connection, table)
        except _DAMAGED as exc:
            self._miss(f"record.sqlite, {table}: {exc}.")
            return None

    def _place(self, column: str, most: float) -> int:
        if self._rows is None:
            return -1
        try:
            return self._rows.last_with(column, most)
        except _DAMAGED as exc:
            self._miss(f"record.sqlite, {self.table}: {exc}.")
            return -1

    def _value(self, place: int, column: str) -> float:
        try:
            value = float(self._rows.value(place, column)) if self._rows is not None else np.nan
            return value if column != "at" or 0.0 <= value < LATEST else np.nan  # of a damaged row it is no time
        except _DAMAGED as exc:
            self._miss(f"record.sqlite, {self.table}, row {place + 1}: {exc}.")
            return np.nan

    def _moment(self, place: int, at: float) -> Moment:
        row: dict[str, Any] = {}
        if place >= 0 and self._rows is not None:
            try:
                row = self._rows.row(place)
            except _DAMAGED as exc:
                self._miss(f"record.sqlite, {self.table}, row {place + 1}: {exc}.")
        theta = row.pop("theta", None)
        blobs = {name: row.pop(name) for name in list(row) if isinstance(row[name], bytes)}
        row |= {name: _floats(value).tolist() for name, value in blobs.items()}
        step = row.get("step")
        number = step if isinstance(step, int) else 0
        traced, traces = self._traced(number, row.get("attempt"))
        before, events = self._happened(at)
        state, reason = self._stood(before)
        t = row.get("t")
        return Moment(
            place, at, float(t) if isinstance(t, float) else np.nan, number, row,
            _floats(theta) if isinstance(theta, bytes) else None, traces, traced, state, reason,
            self._stage(row.get("stage")), events, before, self._on(at),
        )  # fmt: skip

    def _traced(self, step: int, attempt: Any) -> tuple[int | None, tuple[Trace, ...]]:
        walk = self._traces
        if walk is None or not len(walk):
            return None, ()
        try:
            last = walk.last_with("step", step)
            rows: list[dict[str, Any]] = []
            while last >= 0 and (not rows or walk.value(last, "step") == rows[0]["step"]):
                rows.append(walk.row(last))
                last -= 1
            if not rows:
                return None, ()
            return int(rows[0]["step"]), tuple(_trace(row) for row in reversed(rows))
        except _DAMAGED as exc:
            self._miss(f"record.sqlite, traces: {exc}.")
            return None, ()

    def _happened(self, at: float) -> tuple[int, tuple[Happened, ...]]:
        if self._events is None or not len(self._events) or at != at:
            return 0, ()
        sql = f"SELECT at, step, kind, word, text FROM events WHERE id <= ? ORDER BY id DESC LIMIT {EVENTS}"
        try:
            place = self._events.last_with("at", at)
            found = self._ask(sql, self._events.id_at(place)) if place >= 0 else []
        except _DAMAGED as exc:
            self._miss(f"record.sqlite, events: {exc}.")
            return 0, ()
        return place + 1, tuple(Happened(*row) for row in reversed(found))

    def _stood(self, before: int) -> tuple[str, str]:
        if self._events is None or before < 1:
            return ("preparing", "") if self._connection is not None else (UNKNOWN, "")
        sql = "SELECT word, text FROM events WHERE id <= ? AND kind = 'state' ORDER BY id DESC LIMIT 1"
        found = self._ask(sql, self._events.id_at(before - 1))
        return (str(found[0][0]), str(found[0][1])) if found else ("preparing", "")

    def _stage(self, stage: Any) -> tuple[str, str] | tuple[()]:
        found = self._ask("SELECT path, kind FROM stages WHERE id = ?", stage) if isinstance(stage, int) else []
        return (str(found[0][0]), str(found[0][1])) if found else ()

    def _on(self, at: float) -> tuple[tuple[str, str], ...]:
        sql = "SELECT name, text FROM alarms WHERE raised_at <= ?1 AND (cleared_at IS NULL OR cleared_at > ?1) ORDER BY id"
        return tuple((str(name), str(text)) for name, text in self._ask(sql, at)) if at == at else ()

    def _ask(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        if self._connection is None:
            return []
        try:
            return self._connection.execute(sql, values).fetchall()
        except sqlite3.Error as exc:
            self._miss(f"record.sqlite: {exc}.")
            return []

    def _miss(self, sentence: str) -> None:
        if sentence not in self.missing:
            self.missing.append(sentence)


def _floats(raw: bytes) -> Array:
    """Read an array as the record keeps it; half a number at its end is left out."""
    return np.frombuffer(raw[: len(raw) // 8 * 8], dtype="<f8").astype(np.float64)


def _trace(row: dict[str, Any]) -> Trace:
    t = _floats(row["t"])

    def by_points(raw: bytes | None) -> Array | None:
        if not raw or not len(t) or (len(raw) // 8) % len(t):
            return None
        return _floats(raw).reshape(len(t), -1)

    return Trace(str(row["phase"]), t, by_points(row.get("error")), by_points(row.get("u")))
