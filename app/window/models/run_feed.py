"""What a run folder tells, live or ended: read by a thread, handed to the window as one frozen view after another.

A live run and one of last year are read by the same code. Of a long run a thinned part comes first, so that its curves are there
at once; the whole follows, as far as `kept_steps` keeps it. Traces and single readings are kept of the last samples alone.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PySide6.QtCore import QObject, Signal

from aeqlab.app.window.jobs import Post
from aeqlab.app.window.models.growing import Growing
from aeqlab.app.window.models.kept_steps import KeptSteps
from aeqlab.protocols.control import send
from aeqlab.protocols.errors import ProtocolError
from aeqlab.protocols.load import Run, load_run
from aeqlab.protocols.record_tail import News, RecordTail
from aeqlab.protocols.run_folder import is_alive
from aeqlab.protocols.run_state import ENDED, RunState
from aeqlab.protocols.sequence_told import StageWords, ToldSequence, ask_sequence, read_sequence

Array = NDArray[Any]
log = logging.getLogger("aeqlab.window")

LIVE_S, ENDED_S, STATUS_S = 0.1, 1.0, 0.25  #: how often a live record, one of a run that ended, and a live run are asked
SEQUENCE_S = 5.0  #: and the stages of a live run, where nothing says that they changed
NEWEST = {"traces": 64, "evaluated": 1_000, "predictions": 1_000}  #: so many rows of these are kept, at most twice as many
SMALL = 64  #: rows that there is room for at first in any other, which is copied whenever a row of it changes
LONG, COARSE = 100_000, 20_000  #: from so many steps on a part of so many comes first
STEPS = (
    "step", "stage", "epoch", "sample", "at", "t", "beta_1", "beta_2", "cost_1", "cost_2", "cost_free", "wrong", "used", "sham",
    "partial", "tries", "hold_verdict", "hold_ticks", "hold_error", "hold_worst", "settle_verdict", "settle_ticks", "moved",
)  # fmt: skip
FOLLOWED: dict[str, tuple[str, ...] | None] = {
    "steps": STEPS, "stages": None, "evaluations": None, "events": None, "alarms": None, "notes": None, "scans": None,
    "points": None, "predictions": None, "evaluated": None, "traces": None,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class RunView:
    """A run as it stands; arrays are not to be written.

    Attributes:
        folder: of the run.
        facts: those of its record by name; see `meta` in docs/record.md.
        state, reason: where it is and why; `interrupted` where its process ended without a word.
        alive: whether a process works on it.
        progress: what the run itself answers to `status`; None where it does not run, or does not answer.
        tables: columns of each table by name; of `traces` the last ones alone.
        data_kind: of its data, such as mnist; empty where it is not known, or there are none.
        sequence: its stages, with where each stands; None where nobody tells.
        theta: the last one that the record holds, shape (parameters,); None where it holds none.
        part: what part of the steps is here, 1 for all.
        steps_read, skipped: how many steps were read, those that are no longer here too, and how many of them were presented and
            not used; 0 where only a part was read so far.
        missing: what could not be read, in sentences.
        read_at: when this was read, by time.monotonic.
    """

    folder: Path
    facts: dict[str, Any] = field(default_factory=dict)
    state: str = "unknown"
    reason: str = ""
    alive: bool = False
    progress: dict[str, Any] | None = None
    tables: dict[str, dict[str, Array]] = field(default_factory=dict)
    theta: Array | None = None
    part: float = 1.0
    steps_read: int = 0
    skipped: int = 0
    data_kind: str = ""
    sequence: ToldSequence | None = None
    missing: tuple[str, ...] = ()
    read_at: float = 0.0

    def column(self, table: str, name: str) -> Array:
        """Get a column; empty where nothing of it was read yet."""
        found = self.tables.get(table, {}).get(name)
        return np.empty(0) if found is None else found

    def rows(self, table: str) -> int:
        """Get how many rows of a table are here."""
        return len(self.column(table, "id"))

    @property
    def name(self) -> str:
        """Get what people call it."""
        return str(self.facts.get("name") or self.folder.name)

    @property
    def ended(self) -> bool:
        """Whether it has come to its end, in whatever way."""
        return self.state in ENDED or self.state == "interrupted"


class RunFeed(QObject):
    """Follows one run folder after another. `changed` brings a RunView; `failed` a sentence, where nothing can be read."""

    changed = Signal(object)
    failed = Signal(str)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._reader: _Reader | None = None
        self.folder: Path | None = None

    def follow(self, folder: Path | None) -> None:
        """Follow a run folder from now on; None: none."""
        if self._reader is not None:
            self._reader.stop()
        self._reader, self.folder = None, folder
        if folder is not None:
            self._reader = _Reader(folder, Post(self, self._take, latest=True), Post(self, self._fail))
            self._reader.start()

    def look(self) -> None:
        """Look at once, as after a command that was just sent."""
        if self._reader is not None:
            self._reader.woken.set()

    def close(self) -> None:
        """Follow nothing any more, and wait for the thread, shortly."""
        reader = self._reader
        self.follow(None)
        if reader is not None:
            reader.join(1.0)

    def _take(self, view: RunView) -> None:
        if view.folder == self.folder:
            self.changed.emit(view)

    def _fail(self, told: tuple[Path, str]) -> None:
        if told[0] == self.folder:
            self.failed.emit(told[1])


class _Reader(threading.Thread):
    """Reads one folder until it is stopped."""

    def __init__(self, folder: Path, send: Post, fail: Post) -> None:
        super().__init__(name=f"reads {folder.name}", daemon=True)
        self.folder, self._send, self._fail = folder, send, fail
        self.woken = threading.Event()
        self._over = False
        self._steps = KeptSteps()
        room = {name: 2 * most for name, most in NEWEST.items()}  # no more than is ever kept
        self._tables = {name: Growing(room.get(name, SMALL)) for name in FOLLOWED if name != "steps"}
        self._facts: dict[str, Any] = {}
        self._missing: list[str] = []
        self._progress: dict[str, Any] | None = None
        self._held = self._alive = True  # whether a process held it, and worked on it, when it was looked at last
        self._begins = False  # one has begun to since then, and nothing was heard of it yet
        self._theta: Array | None = None
        self._asked = -np.inf
        self._sequence: ToldSequence | None = None
        self._sequence_at = -np.inf
        self._sequence_for: tuple[Any, ...] = ()
        self._words: StageWords | None = None
        self._told: tuple[Any, ...] = ()

    def stop(self) -> None:
        """Ask it to end."""
        self._over = True
        self.woken.set()

    def run(self) -> None:
        """Read until it is stopped; whatever goes wrong is told, and tried again."""
        run = self._loaded()
        if run is None:
            return
        self._missing += run.missing
        self._first_part(run)
        with RecordTail(self.folder / "record.sqlite", FOLLOWED) as tail:
            while not self._over:
                if self.woken.is_set():  # something was just asked of the run
                    self._asked = self._sequence_at = -np.inf
                self.woken.clear()
                try:
                    alive = self._look(tail)
                except Exception as exc:  # the window goes on, and says what it could not read
                    log.error("%s cannot be read: %s", self.folder, exc, exc_info=exc)
                    self._miss([f"{self.folder.name} cannot be read: {exc}."])
                    alive = True
                self.woken.wait(LIVE_S if alive else ENDED_S)

    def _loaded(self) -> Run | None:
        """Open the record, as soon as that can be done; what keeps it from that is said once. None: it is not wanted any more."""
        said = ""
        while not self._over:
            try:
                return load_run(self.folder)
            except ProtocolError as exc:
                if str(exc) != said:
                    said = str(exc)
                    self._fail((self.folder, said))
            self.woken.wait(ENDED_S)
            self.woken.clear()
        return None

    def _look(self, tail: RecordTail) -> bool:
        held = is_alive(self.folder)
        alive = held and self._held  # at the second look: whoever writes a note holds it for a moment, too
        self._begins = alive and (self._begins or not self._alive)
        self._held, self._alive = held, alive
        read = False
        while not self._over:
            news = tail.more()
            read = self._take(news) or read
            if not news.more:
                break
            if self._steps.read <= LONG:  # of a longer one a part is shown, until all of it was read
                self._tell(alive)
        if read:
            self._theta = tail.newest_theta()
        self._ask(alive)
        self._ask_sequence(alive)
        told = (alive, self._progress and tuple(map(str, self._progress.values())), len(self._missing), self._sequence)
        if read or told != self._told:
            self._told = told
            self._tell(alive)
        return held

    def _take(self, news: News) -> bool:
        if news.anew:
            self._steps.clear()
            for table in self._tables.values():
                table.clear()
        if news.facts is not None:
            self._facts = news.facts
        if "state" in set(news.rows.get("events", {}).get("kind", ())):
            self._begins = False
        for name, rows in news.rows.items():
            (self._steps if name == "steps" else self._tables[name]).append(rows)
        for name, rows in news.changed.items():
            self._tables[name].replace(rows)
        for name, most in NEWEST.items():
            table = self._tables[name]
            if table.count > 2 * most:
                last = {column: values[-most:] for column, values in table.view().items()}
                table.clear()
                table.append(last)
        self._miss(news.missing)
        return news.any

    def _ask(self, alive: bool) -> None:
        """Ask the run itself where it stands."""
        now = time.monotonic()
        if not alive:
            self._progress = None
        elif now - self._asked >= STATUS_S:
            self._asked = now
            try:
                self._progress = send(self.folder, "status", timeout_s=1.0)
                self._begins = False
            except ProtocolError:  # it begins, or ends
                self._progress = None

    def _ask_sequence(self, alive: bool) -> None:
        """Ask for the stages, where one began or ended, someone changed them, or a while has passed."""
        stages, words = self._tables["stages"].view(), self._tables["events"].view().get("word", np.empty(0))
        outcomes = stages.get("outcome", np.empty(0))
        about = (
            alive,
            self._facts.get("state"),
            len(outcomes),
            sum(one is not None for one in outcomes),
            int((words == "edit").sum()),
        )
        now = time.monotonic()
        if about == self._sequence_for and (not alive or now - self._sequence_at < SEQUENCE_S):
            return
        self._sequence_for, self._sequence_at = about, now
        try:
            self._words = self._words or StageWords(self.folder)
            if alive:
                self._sequence = ask_sequence(self.folder, self._words)
            else:
                ended = [(str(path), str(how or "")) for path, how in zip(stages.get("path", ()), outcomes, strict=True)]
                self._sequence = read_sequence(self.folder, ended, self._words)
        except ProtocolError as exc:
            if not alive:
                self._sequence = None
                self._miss([f"The stages of {self.folder.name} cannot be told: {exc}"])
            else:  # it begins, or ends: soon again
                self._sequence_for = ()

    def _tell(self, alive: bool) -> None:
        state = str(self._facts.get("state", "unknown"))
        reason = str(self._facts.get("reason", ""))
        if state not in ENDED and state != "unknown" and not alive:
            state = "interrupted"
            reason = "The process ended without a word (killed, or the computer went down). Resume goes on."
        elif alive and (self._begins or (self._progress or {}).get("state") == RunState.PREPARING):
            state, reason = str(RunState.PREPARING), ""  # what the record says is the state of the attempt before
        tables = {name: table.view() for name, table in self._tables.items()} | {"steps": self._steps.view()}
        view = RunView(
            self.folder, self._facts, state, reason, alive, self._progress, tables, self._theta, self._steps.part,
            self._steps.read, self._steps.skipped, "" if self._words is None else self._words.data_kind, self._sequence,
            tuple(self._missing), time.monotonic(),
        )  # fmt: skip
        self._send(view)

    def _first_part(self, run: Run) -> None:
        """Show a part of the steps of a long run at once; the whole is read after that."""
        try:
            part = coarse_steps(self.folder / "record.sqlite", COARSE)
        except sqlite3.Error:  # damaged, or of an early version: what can be read comes row by row
            return
        if part is None:
            return
        rows, count = part
        few = Growing()
        few.append(rows)
        self._facts = run.meta
        tables = {"steps": few.view()}
        alive = is_alive(self.folder)
        self._send(
            RunView(self.folder, self._facts, run.state, run.reason, alive, None, tables, None, few.count / count,
                    missing=tuple(self._missing), read_at=time.monotonic())
        )  # fmt: skip

    def _miss(self, sentences: list[str]) -> None:
        self._missing += [one for one in sentences if one not in self._missing]


_DRAWN = ("id", "step", "at", "t", "cost_1", "cost_2", "cost_free", "used", "sham", "hold_error", "moved")


def coarse_steps(record: Path, most: int) -> tuple[dict[str, Array], int] | None:
    """Read about `most` steps of a long record, evenly spread, in the columns that are drawn; and how many there are.

    None where the record is not long: then all of it is read at once.

    Raises:
        sqlite3.Error: it cannot be read.
    """
    from aeqlab.protocols.record_reader import columns_of, opened

    with opened(record) as connection:
        low, high = connection.execute("SELECT min(id), max(id) FROM steps").fetchone()
        count = 0 if low is None else high - low + 1
        if count < LONG:
            return None
        names = [name for name in _DRAWN if name in columns_of(connection, "steps")]
        every = count // most
        sql = (
            f"WITH RECURSIVE some(n) AS (SELECT {low} UNION ALL SELECT n + {every} FROM some WHERE n + {every} <= {high}) "
            f"SELECT {', '.join(names)} FROM some JOIN steps ON steps.id = some.n"
        )
        rows = connection.execute(sql).fetchall()
    made = np.array([[np.nan if value is None else value for value in row] for row in rows], dtype=np.float64)
    return {name: made[:, k] for k, name in enumerate(names)}, count
