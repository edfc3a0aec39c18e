"""The record of a run: an SQLite file in which every step is committed on its own, readable while it grows.

WAL mode: no committed row is lost to a kill, and readers never slow the writer. The log is folded into the file every
10 s; `close` leaves a single file. One thread writes; everyone else opens the file on their own (`protocols/load.py`).
"""

from __future__ import annotations

import json
import os
import sqlite3
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from aeqlab.protocols import record_schema as schema
from aeqlab.protocols.errors import RecordError
from aeqlab.protocols.record_reader import newest_theta
from aeqlab.protocols.run_state import Requests

Array = NDArray[Any]
FOLD_EVERY_S = 10.0
TRACED = 64  #: knobs and parameters whose course is kept
_WAL_BYTES = 32 * 1024 * 1024  # fold earlier where this much waits in the log
_PAGE = 2048
#: Tables of kept_..., in the order of `attempts`.
_KEPT = ("steps", "evaluations", "traces", "reports", "stages", "thetas", "predictions", "evaluated", "scans", "points")


class StepRow(NamedTuple):
    """One training step as the record keeps it; meanings in `record_schema`. theta as bytes from `blob`, or None."""

    step: int
    stage: int
    epoch: int
    sample: int
    at: float
    t: float | None = None
    beta_1: float | None = None
    beta_2: float | None = None
    cost_1: float | None = None
    cost_2: float | None = None
    cost_free: float | None = None
    wrong: int | None = None
    used: bool = True
    sham: bool = False
    partial: bool = False
    cost_rose: bool = False
    tries: int = 1
    hold_verdict: str | None = None
    hold_ticks: int | None = None
    hold_error: float | None = None
    hold_worst: int | None = None
    hold_true_error: float | None = None
    settle_verdict: str | None = None
    settle_ticks: int | None = None
    moved: float | None = None
    theta: bytes | None = None
    reads: int | None = None


class EvaluationRow(NamedTuple):
    """One evaluation as the record keeps it; meanings in `record_schema`. What is nan there is empty."""

    step: int
    stage: int
    epoch: int
    at: float
    dataset: str
    samples: int
    parameters: str
    start: str
    cost_free: float
    error_rate: float | None
    held_rate: float | None
    seconds: float
    t: float | None = None
    reads: int | None = None


class PredictionRow(NamedTuple):
    """One prediction as the record keeps it; meanings in `record_schema`. Arrays as bytes from `blob`, or None."""

    step: int
    stage: int
    at: float
    dataset: str
    sample: int
    t: float | None
    verdict: str | None
    outputs: bytes
    outputs_of_data: bytes | None
    target: bytes | None


class EvaluatedRow(NamedTuple):
    """What was read of one sample without a nudge; meanings in `record_schema`. Arrays as bytes from `blob`."""

    step: int
    stage: int
    at: float
    evaluation: int | None
    sample: int
    held: bool
    inputs: bytes
    outputs: bytes
    target: bytes


class PointRow(NamedTuple):
    """One point of a scan as the record keeps it; meanings in `record_schema`. Arrays as bytes from `blob`."""

    step: int
    stage: int
    scan: int
    point: int
    at: float
    t: float | None
    setpoints: bytes
    readbacks: bytes
    means: bytes
    deviations: bytes
    readings: int
    verdict: str
    settled: bool
    ticks: int
    direction: int


def blob(array: Array) -> bytes:
    """Write an array as the record keeps it: float64, little-endian, C order."""
    return np.ascontiguousarray(array, dtype="<f8").tobytes()


class Record:
    """The open record of a run in progress; made by `create` or `reopen`, written by one thread.

    Every method raises RecordError, in a sentence, when the disk is full or the file cannot be written; what was
    committed before stays.
    """

    def __init__(self, path: Path, connection: sqlite3.Connection, attempt: int) -> None:
        self.path = path
        self.attempt = attempt
        self._connection = connection
        self._step_sql = schema.insert("steps")
        self._theta: bytes | None = None  # the last theta that was committed
        self._next_fold = time.monotonic() + FOLD_EVERY_S
        self._closed = False
        #: hears of every alarm: its name, a sentence, and whether the session of the device raised it
        self.on_alarm: Callable[[str, str, bool], None] | None = None

    # begin and end
    @classmethod
    def create(cls, path: Path, *, durable: bool, facts: dict[str, Any]) -> Record:
        """Create an empty record with its first attempt.

        Args:
            path: file that must not exist yet.
            durable: sync every row to the disk (a rig); otherwise the file survives a kill, and a power cut costs seconds.
            facts: what goes into `meta`, by name.
        """
        if path.exists():
            raise RecordError(f"{path}: there is a record already; it is not overwritten.")
        connection = _connect(path, durable, new=True)
        try:
            connection.execute("BEGIN")
            for statement in schema.statements():
                connection.execute(statement)
            connection.executemany(
                schema.insert("columns"),
                [(t.name, c.name, c.array, c.shape, c.unit, c.text) for t in schema.TABLES for c in t.columns],
            )
            connection.execute(f"PRAGMA application_id = {schema.APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version = {schema.SCHEMA_VERSION}")
            first = (1, time.time(), None, "preparing", "", os.getpid(), 0, *(0 for _ in _KEPT))
            connection.execute(schema.insert("attempts"), first)
            connection.execute("COMMIT")
        except sqlite3.Error as exc:
            connection.close()
            raise _sentence(path, exc) from exc
        record = cls(path, connection, 1)
        record.facts(**facts)
        return record

    @classmethod
    def reopen(cls, path: Path, *, durable: bool, from_step: int) -> Record:
        """Open the record of a run that ended, for another attempt. Every row counts until `supersede`.

        Args:
            path: the file.
            durable: as in `create`.
            from_step: training steps of the checkpoint the attempt begins from.
        """
        if not path.exists():
            raise RecordError(f"{path}: no record here. Is this a run folder?")
        connection = _connect(path, durable, new=False)
        try:
            version = connection.execute("PRAGMA user_version").fetchone()[0]
            if version != schema.SCHEMA_VERSION:
                raise RecordError(
                    f"{path}: a record of version {version}, this program writes version {schema.SCHEMA_VERSION}. "
                    "It can be read, not continued."
                )
            attempt = 1 + connection.execute("SELECT max(attempt) FROM attempts").fetchone()[0]
            rows = [connection.execute(f"SELECT coalesce(max(id), 0) FROM {name}").fetchone()[0] for name in _KEPT]
            connection.execute(
                schema.insert("attempts"), (attempt, time.time(), None, "preparing", "", os.getpid(), from_step, *rows)
            )
            connection.execute("DELETE FROM meta WHERE key = 'summary'")  # what the attempt before found is not the end any more
        except sqlite3.Error as exc:
            connection.close()
            raise _sentence(path, exc) from exc
        except RecordError:
            connection.close()
            raise
        return cls(path, connection, attempt)

    def supersede(self, kept: dict[str, int]) -> None:
        """Begin to count from a checkpoint, once this attempt has what it needs to go on from there.

        Args:
            kept: last row of each table that counts, as `last_rows` gave it for that checkpoint; later ones of earlier attempts
                are superseded.
        """
        names = ", ".join(f"kept_{name} = ?" for name in _KEPT)
        rows = [kept.get(name, 0) for name in _KEPT]
        self._execute(f"UPDATE attempts SET {names} WHERE attempt = ?", (*rows, self.attempt))
        try:
            self._theta = newest_theta(self._connection)
        except sqlite3.Error as exc:
            raise _sentence(self.path, exc) from exc

    def close(self) -> None:
        """Fold the log in and leave a single file. May be called twice; never raises for a full disk: the log then stays."""
        if self._closed:
            return
        self._closed = True
        for statement in ("PRAGMA wal_checkpoint(TRUNCATE)", "PRAGMA journal_mode = DELETE"):
            try:
                self._connection.execute(statement)
            except sqlite3.Error:  # a reader is looking, or the disk is full: the file with its log is complete as it is
                continue
        self._connection.close()

    @property
    def closed(self) -> bool:
        """True after `close`."""
        return self._closed

    # rows
    def step(self, row: StepRow) -> None:
        """Commit one training step."""
        try:
            self._connection.execute(self._step_sql, (self.attempt, *row))
        except sqlite3.Error as exc:
            raise _sentence(self.path, exc) from exc
        self._theta = row.theta or self._theta

    def theta(self, step: int, stage: int, theta: bytes | None) -> None:
        """Commit theta as a stage left it, as bytes from `blob`; nothing where the last row that has one says the same."""
        if theta is None or theta == self._theta:
            return
        after = self._execute("SELECT coalesce(max(id), 0) FROM steps", ()).fetchone()[0]
        self._insert("thetas", (step, stage, time.time(), after, theta))
        self._theta = theta

    def evaluation(self, row: EvaluationRow) -> int:
        """Commit one evaluation; returns its row.

        One without a cost is left out of a record that was begun when each had to have one; its row is then 0.
        """
        sql = schema.insert("evaluations").replace("INSERT", "INSERT OR IGNORE", 1)
        cursor = self._execute(sql, (self.attempt, *row))
        return int(cursor.lastrowid or 0) if cursor.rowcount > 0 else 0

    def evaluated(self, rows: Sequence[EvaluatedRow]) -> None:
        """Commit what was read of samples without a nudge: all of it or nothing."""
        self._together("evaluated", rows)

    def prediction(self, row: PredictionRow) -> None:
        """Commit one prediction."""
        self._insert("predictions", row)

    def scan(self, step: int, stage: int, axes: list[dict[str, Any]], shape: Sequence[int], reads: list[dict[str, Any]]) -> int:
        """Commit what a stage is going to set and read; returns its row, which its points name."""
        return self._insert("scans", (step, stage, time.time(), _json(axes), _json(list(shape)), _json(reads)))

    def point(self, row: PointRow) -> None:
        """Commit one point of a scan."""
        self._insert("points", row)

    def points(self, rows: Sequence[PointRow]) -> None:
        """Commit several points together, such as the ticks of one response: all of them or none."""
        self._together("points", rows)

    def trace(
        self,
        step: int,
        stage: int,
        phase: str,
        t: Array,
        error: Array | None,
        u: Array | None,
        tolerance: Array | None = None,
        law: Sequence[Array | None] = (None, None, None),
    ) -> None:
        """Commit the thinned course of a phase.

        Args:
            step, stage, phase: where it belongs, and what it is.
            t: shape (points,).
            error, u: shape (points, n), of which the first 64 columns are kept.
            tolerance: of each parameter, shape (n,), of which the first 64 are kept.
            law: what its proportional, integral and derivative part had moved u, as u; None where there is no such part.
        """
        parts, of_law = ([None if part is None else blob(part[:, :TRACED]) for part in some] for some in ((error, u), law))
        allowed = None if tolerance is None else blob(tolerance[:TRACED])
        self._insert("traces", (step, stage, phase, len(t), blob(t), *parts, allowed, *of_law))

    def report(self, step: int, stage: int, values: dict[str, Any]) -> None:
        """Commit what a stage reported."""
        self._insert("reports", (step, stage, time.time(), _json(values)))

    def event(self, step: int, kind: str, word: str, text: str) -> None:
        """Commit what happened."""
        self._insert("events", (time.time(), step, kind, word, text))

    def alarm(self, name: str, text: str, of_session: bool = False) -> int:
        """Commit an alarm, of the run or of its device's session; returns its row."""
        if self.on_alarm is not None:
            self.on_alarm(name, text, of_session)
        return self._insert("alarms", (time.time(), None, name, text))

    def alarm_cleared(self, alarm: int) -> None:
        """Commit that what an alarm was about is over."""
        self._execute("UPDATE alarms SET cleared_at = ? WHERE id = ?", (time.time(), alarm))

    def note(self, step: int, author: str, text: str) -> None:
        """Commit a person's note."""
        self._insert("notes", (time.time(), step, author, text))

    def asked(self, step: int, requests: Requests) -> None:
        """Commit the commands and the notes that came since the last call."""
        for command, why in requests.take_commands():
            self.event(step, "command", command, why)
        while not requests.notes.empty():
            note = requests.notes.get_nowait()
            self.note(step, note.author, note.text)

    def stage_started(self, path: str, kind: str, options: dict[str, Any]) -> int:
        """Commit the begin of a stage; returns its row."""
        return self._insert("stages", (path, kind, _json(options), time.time(), None, None, None))

    def stage_ended(self, stage: int, outcome: str, result: dict[str, Any] | None) -> None:
        """Commit the end of a stage."""
        self._execute(
            "UPDATE stages SET ended_at = ?, outcome = ?, result = ? WHERE id = ?",
            (time.time(), outcome, None if result is None else _json(result), stage),
        )

    def state(self, step: int, state: str, reason: str, *, ended: bool = False) -> None:
        """Commit a change of the run's state: event, meta and attempt together."""
        now = time.time()
        try:
            self._connection.execute("BEGIN")
            self._insert("events", (now, step, "state", state, reason))
            self._set("state", state)
            self._set("reason", reason)
            self._execute(
                "UPDATE attempts SET state = ?, reason = ?, ended_at = ? WHERE attempt = ?",
                (state, reason, now if ended else None, self.attempt),
            )
            self._connection.execute("COMMIT")
        except RecordError:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise
        except sqlite3.Error as exc:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise _sentence(self.path, exc) from exc

    def facts(self, **facts: Any) -> None:
        """Set facts of the run in `meta`."""
        for key, value in facts.items():
            self._set(key, value)

    def units(self, units: dict[str, str]) -> None:
        """Put the device's units in `columns`, each in place of the word the schema has for it, such as `knob unit`."""
        for word, unit in units.items():
            self._execute("UPDATE columns SET unit = ? WHERE unit = ?", (unit, word))

    # bookkeeping
    def last_rows(self) -> dict[str, int]:
        """Get the last row of each table a resume may supersede, for a checkpoint."""
        return {name: self._execute(f"SELECT coalesce(max(id), 0) FROM {name}", ()).fetchone()[0] for name in schema.SUPERSEDED}

    def fold_if_due(self, now: float) -> None:
        """Fold the log into the file if 10 s have passed; `now` from time.monotonic()."""
        if now >= self._next_fold:
            self._next_fold = now + FOLD_EVERY_S
            self._execute("PRAGMA wal_checkpoint(PASSIVE)", ())

    def _set(self, key: str, value: Any) -> None:
        self._execute("INSERT OR REPLACE INTO meta (key, value) VALUES (?, ?)", (key, _json(value)))

    def _together(self, table: str, rows: Sequence[tuple[Any, ...]]) -> None:
        """Commit several rows of a table: all of them or none."""
        try:
            self._connection.execute("BEGIN")
            self._connection.executemany(schema.insert(table), [(self.attempt, *row) for row in rows])
            self._connection.execute("COMMIT")
        except sqlite3.Error as exc:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise _sentence(self.path, exc) from exc

    def _insert(self, table: str, values: Iterable[Any]) -> int:
        with_attempt = (self.attempt, *values)
        return int(self._execute(schema.insert(table), with_attempt).lastrowid or 0)

    def _execute(self, sql: str, values: tuple[Any, ...]) -> sqlite3.Cursor:
        try:
            return self._connection.execute(sql, values)
        except sqlite3.Error as exc:
            raise _sentence(self.path, exc) from exc


def _connect(path: Path, durable: bool, *, new: bool) -> sqlite3.Connection:
    try:
        # autocommit, so that one statement is one committed row; the owner sees to it that one thread writes at a time
        connection = sqlite3.connect(path, isolation_level=None, timeout=5.0, check_same_thread=False)
    except sqlite3.Error as exc:
        raise _sentence(path, exc) from exc
    try:
        if new:
            connection.execute(f"PRAGMA page_size = {_PAGE}")
        mode = connection.execute("PRAGMA journal_mode = WAL").fetchone()[0]
        if mode != "wal":
            raise RecordError(
                f"{path}: this file system cannot keep a record that is readable while it grows (journal mode {mode}). "
                "Choose a folder on a local disk with --runs."
            )
        connection.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
        connection.execute(f"PRAGMA wal_autocheckpoint = {_WAL_BYTES // _PAGE}")
    except sqlite3.Error as exc:
        connection.close()
        raise _sentence(path, exc) from exc
    except RecordError:
        connection.close()
        raise
    return connection


def _sentence(path: Path, exc: sqlite3.Error) -> RecordError:
    text = str(exc)
    if "full" in text:
        return RecordError(
            f"{path}: the disk is full. Every row written so far is kept. Make room, then continue with `aeqlab resume`."
        )
    if "readonly" in text or "read-only" in text or "unable to open" in text:
        return RecordError(f"{path}: cannot be written ({text}). Choose another folder with --runs.")
    if "malformed" in text or "not a database" in text:
        return RecordError(f"{path}: the record is damaged ({text}).")
    return RecordError(f"{path}: the record cannot be written ({text}).")


def _json(value: Any) -> str:
    """Write JSON that any program reads: it has no word for what is not finite, which is null there."""
    text = json.dumps(value, default=_plain, ensure_ascii=False)
    if "NaN" not in text and "Infinity" not in text:
        return text
    return json.dumps(json.loads(text, parse_constant=lambda word: None), ensure_ascii=False)


def _plain(value: Any) -> Any:
    """Make numpy values and paths plain for JSON."""
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, np.generic):
        return value.item()
    return str(value)
