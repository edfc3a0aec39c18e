"""The plant's own journal: every change of every knob with device time and wall time, row by row, safe from kill -9.

A journal is a folder of pieces `journal-000001.bin`, `journal-000002.bin`, ...; the oldest are dropped beyond `keep`, so a long
virtual run stays bounded. A piece is

    line 1      UTF-8 JSON ended by a line feed: format, knob names, unit, slew, rest, device
    rows        little-endian: kind u8, 3 bytes of zero, length of the payload u32, device time f64 (s), wall time i64 (ns since
                1970), row number u64, payload

    kind        payload
    1 setpoint  float64 per control knob, as commanded after quantisation
    2 applied   float64 per control knob, what the output stage really puts out (after slew, before the filter); written at the
                end of each stretch of time in which one moved
    3 nudge     beta float64, then the targets; beta 0 is off
    4 input     float64 per input knob
    6 current   float64 per output: what currents into the outputs push them with; on benches that have such currents
    5 event     UTF-8 JSON object with "event": connect, leave, freeze, make_safe, at_rest, watchdog, state_taken, restored, ...

Every piece begins with rows 1-4 and 6 as they stand, so each can be read alone. A row is one `os.write`, handed to the operating
system before the call returns; a torn last row is ignored by the reader.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import struct
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aeqlab.backends.errors import BackendError

Array = NDArray[np.float64]

SETPOINT, APPLIED, NUDGE, INPUT, EVENT, CURRENT = 1, 2, 3, 4, 5, 6
FORMAT = "aeqlab-journal-1"
_ROW = struct.Struct("<B3xIdqQ")
_PIECE = re.compile(r"journal-(\d{6})\.bin$")


class JournalError(BackendError):
    """A journal that cannot be written or read."""


class JournalWriter:
    """Writes rows; one writer per folder. `row` counts rows since the plant was built, and is part of its state."""

    def __init__(self, folder: Path, header: dict[str, Any], *, piece_bytes: int = 16 * 1024 * 1024, keep: int = 4) -> None:
        self._folder = folder
        self._header = json.dumps({"format": FORMAT, **header}, separators=(",", ":")).encode("utf-8") + b"\n"
        self._piece_bytes = piece_bytes
        self._keep = max(2, keep)
        self._latest: dict[int, tuple[float, bytes]] = {}
        self.row = 0
        self.failed = ""  #: why nothing is written any more
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._number = max((int(path.stem[8:]) for path in journal_pieces(folder)), default=0)
            self._fd = -1
            self._next_piece()
        except OSError as exc:
            raise JournalError(f"{folder}: the journal cannot be written: {exc.strerror}. Choose a folder that can.") from exc

    def write(self, kind: int, t: float, values: Array) -> None:
        """Write one row of numbers (any kind but an event) at device time t."""
        payload = values.tobytes()
        self._latest[kind] = (t, payload)
        self._put(kind, t, payload)

    def event(self, name: str, t: float, **details: Any) -> None:
        """Write one row that says what happened."""
        self._put(EVENT, t, json.dumps({"event": name, **details}, separators=(",", ":")).encode("utf-8"))

    def close(self) -> None:
        """Close the file; may be called twice."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _put(self, kind: int, t: float, payload: bytes) -> None:
        if self._fd < 0:
            return
        self.row += 1
        row = _ROW.pack(kind, len(payload), t, time.time_ns(), self.row) + payload
        try:
            os.write(self._fd, row)
            self._size += len(row)
            if self._size > self._piece_bytes:
                self._next_piece()
        except OSError as exc:  # a full disk stops the journal, not the plant; its status says so
            self.failed = exc.strerror or type(exc).__name__
            self.close()

    def _next_piece(self) -> None:
        self.close()
        self._number += 1
        path = self._folder / f"journal-{self._number:06d}.bin"
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0)
        self._fd = os.open(path, flags, 0o600)
        os.write(self._fd, self._header)
        self._size = len(self._header)
        for kind, (t, payload) in sorted(self._latest.items()):
            self._put(kind, t, payload)
        for old in journal_pieces(self._folder)[: -self._keep]:
            with contextlib.suppress(OSError):
                old.unlink()


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows of one kind: device time (s), wall time (ns since 1970), row number, and values of shape (rows, n)."""

    t: Array
    wall_ns: NDArray[np.int64]
    number: NDArray[np.int64]
    values: Array

    def __len__(self) -> int:
        return len(self.t)


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened, with what was said about it."""

    name: str
    t: float
    wall_ns: int
    number: int
    details: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Journal:
    """A journal as arrays, with the questions asked of it."""

    header: dict[str, Any]
    setpoints: Rows
    applied: Rows
    nudges: Rows  # values of shape (rows, 1): beta
    inputs: Rows
    events: tuple[Event, ...]
    targets: Rows  # of the same rows as nudges; shape (rows, outputs), or (rows, 0) where the header names no outputs
    currents: Rows  # shape (rows, outputs)

    def largest(self) -> Array:
        """Get the largest |applied value| of each knob, shape (knobs,)."""
        return np.abs(self.applied.values).max(axis=0) if len(self.applied) else np.zeros(len(self.header["knobs"]))

    def fastest(self) -> Array:
        """Get the fastest change of each applied knob between two rows, per second of device time, shape (knobs,)."""
        dt = np.diff(self.applied.t)
        moved = dt > 0  # a new piece repeats a row; a restored state goes back in time
        if not moved.any():
            return np.zeros(len(self.header["knobs"]))
        change = np.abs(np.diff(self.applied.values, axis=0))[moved]
        return np.asarray((change / dt[moved, None]).max(axis=0))

    def nudge_off_after(self, wall_ns: int) -> int | None:
        """Get the wall time (ns) of the first moment at or after `wall_ns` at which the nudge was 0; None: never in here."""
        if not len(self.nudges):
            return wall_ns
        before = int(np.searchsorted(self.nudges.wall_ns, wall_ns, side="right")) - 1
        if before < 0 or self.nudges.values[before, 0] == 0.0:
            return wall_ns
        off = np.flatnonzero(self.nudges.values[before:, 0] == 0.0)
        return int(self.nudges.wall_ns[before + off[0]]) if len(off) else None

    def happened(self, name: str, since_wall_ns: int = 0) -> tuple[Event, ...]:
        """Get the events of one name from a wall time on, such as "make_safe" (a ramp begins) and "at_rest" (it ended)."""
        return tuple(e for e in self.events if e.name == name and e.wall_ns >= since_wall_ns)

    def last_setpoints(self) -> Array | None:
        """Get the control knobs as last commanded, shape (knobs,)."""
        return self.setpoints.values[-1].copy() if len(self.setpoints) else None

    def last_applied(self) -> Array | None:
        """Get the control knobs as last put out, shape (knobs,)."""
        return self.applied.values[-1].copy() if len(self.applied) else None

    def last_beta(self) -> float:
        """Get the last nudge."""
        return float(self.nudges.values[-1, 0]) if len(self.nudges) else 0.0


def journal_pieces(folder: Path) -> list[Path]:
    """List the pieces of a journal, oldest first."""
    return sorted(path for path in folder.glob("journal-*.bin") if _PIECE.search(path.name))


def read_journal(path: Path) -> Journal:
    """Read a journal folder, or one piece of it, also while it is being written or after kill -9.

    Raises:
        JournalError: there is none, or it is of another format.
    """
    pieces = [path] if path.is_file() else journal_pieces(path)
    if not pieces:
        raise JournalError(f"{path}: there is no journal here (journal-*.bin).")
    header: dict[str, Any] = {}
    rows: dict[int, list[tuple[float, int, int, bytes]]] = {
        kind: [] for kind in (SETPOINT, APPLIED, NUDGE, INPUT, EVENT, CURRENT)
    }
    for piece in pieces:
        try:
            data = piece.read_bytes()
        except FileNotFoundError:  # rotated away while we read
            continue
        except OSError as exc:
            raise JournalError(f"{piece}: cannot be read: {exc.strerror}.") from exc
        header = _read_piece(piece, data, rows) or header
    if not header:
        raise JournalError(f"{path}: the journal has no complete piece yet.")
    events = []
    for t, wall_ns, number, payload in rows[EVENT]:
        details = json.loads(payload)
        events.append(Event(details.pop("event"), t, wall_ns, number, details))
    outputs = len(header.get("outputs", ()))
    return Journal(
        header,
        _as_rows(rows[SETPOINT], len(header["knobs"])),
        _as_rows(rows[APPLIED], len(header["knobs"])),
        _as_rows(rows[NUDGE], 1),
        _as_rows(rows[INPUT], len(header["inputs"])),
        tuple(events),
        _as_rows(rows[NUDGE], outputs, 1),
        _as_rows(rows[CURRENT], outputs),
    )


def _read_piece(piece: Path, data: bytes, rows: dict[int, list[tuple[float, int, int, bytes]]]) -> dict[str, Any] | None:
    end = data.find(b"\n")
    if end < 0:
        return None
    try:
        header: dict[str, Any] = json.loads(data[:end])
    except ValueError as exc:
        raise JournalError(f"{piece}: the first line is not that of a journal.") from exc
    if not isinstance(header, dict) or header.get("format") != FORMAT:
        raise JournalError(f"{piece}: the first line does not say {FORMAT}: another program or version wrote it.")
    at = end + 1
    while at + _ROW.size <= len(data):
        kind, length, t, wall_ns, number = _ROW.unpack_from(data, at)
        at += _ROW.size
        if at + length > len(data):
            break
        if kind in rows:
            rows[kind].append((t, wall_ns, number, data[at : at + length]))
        at += length
    return header


def _as_rows(rows: list[tuple[float, int, int, bytes]], n: int, skip: int = 0) -> Rows:
    values = np.zeros((len(rows), n))
    for i, row in enumerate(rows if n else ()):
        values[i] = np.frombuffer(row[3], dtype="<f8", offset=8 * skip, count=n)
    return Rows(
        np.array([row[0] for row in rows], dtype=np.float64),
        np.array([row[1] for row in rows], dtype=np.int64),
        np.array([row[2] for row in rows], dtype=np.int64),
        values,
    )
