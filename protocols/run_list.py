"""The runs of a folder at a glance, one line of plain data each, read quickly and again only where a file changed.

runs = RunList(Path("runs")); lines = runs.read()      all of them, the oldest first; damaged ones say what is wrong with them
lines = runs.read(); runs.changed                      only what changed since was read anew
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import re
import sqlite3
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aeqlab.protocols import record_schema as schema
from aeqlab.protocols.record_reader import opened
from aeqlab.protocols.run_folder import is_alive
from aeqlab.protocols.run_state import ENDED, RunState

#: Which result of a summary stands in a list of runs: the first one there is.
RESULTS = (
    "test_error_rate", "test_cost_free", "train_error_rate", "train_cost_free", "running_error_rate", "running_cost_free",
)  # fmt: skip
INTERRUPTED = "interrupted"  #: state of a run whose process ended without a word
UNKNOWN = "unknown"  #: state of a run whose record cannot be read
LATEST = 100  #: steps whose mean cost stands for the result of a run that has none yet
_MARKS = ("record.sqlite", "experiment.yaml", "provenance.json", "checkpoints")  # any of them makes a folder that of a run
DEMOS = "demo-*/runs"  #: where `aeqlab demo` keeps its runs, in the folder of all runs
Key = tuple[object, ...]


@dataclass(frozen=True, slots=True)
class RunLine:
    """What a list of runs says of one run. Times in s since 1970; None and empty: not known.

    Attributes:
        path: the run folder.
        state: as `Run.state`: `interrupted` where its process ended without a word, `unknown` where nothing can be read.
        reason: why, as it was recorded.
        alive: a process works on it now.
        name: of the experiment.
        device, device_kind: its name and kind.
        methods: of training, in the order of the sequence; of a run without training the words of its stages.
        result: name and value that the run found, see `RESULTS`.
        latest: of a run that found nothing yet: `cost_free`, or else `cost_1` or `cost_probe`, and its mean over the last steps.
        marks: what keeps the result from being taken for training along the gradient.
        started, ended: begin of its first attempt; its end, of one that was interrupted the last it wrote.
        seconds: for how long its attempts worked.
        samples: training steps done.
        attempts: processes that worked on it.
        tags, notes, alarms: words to find it by; how many notes and alarms there are.
        size: bytes of its folder.
        version: of its record.
        wrong: what could not be read, in sentences.
        summary: what it found, by name.
    """

    path: Path
    state: str = UNKNOWN
    reason: str = ""
    alive: bool = False
    name: str = ""
    device: str = ""
    device_kind: str = ""
    methods: tuple[str, ...] = ()
    result: tuple[str, Any] | None = None
    latest: tuple[str, float] | None = None
    marks: tuple[str, ...] = ()
    started: float | None = None
    ended: float | None = None
    seconds: float | None = None
    samples: int | None = None
    attempts: int = 0
    tags: tuple[str, ...] = ()
    notes: int = 0
    alarms: int = 0
    size: int = 0
    version: int = schema.SCHEMA_VERSION
    wrong: tuple[str, ...] = ()
    summary: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @property
    def can_resume(self) -> bool:
        """Whether `resume` may go on with it: it ended before its time, and left a checkpoint."""
        from aeqlab.protocols.checkpoint import listed_steps

        return not self.alive and self.state != RunState.FINISHED and bool(listed_steps(self.path / "checkpoints"))


class RunList:
    """The runs of one folder, with those of the demos in it; `read` may be called from any one thread at a time.

    Attributes:
        folder: that holds the run folders.
        changed: paths whose lines are new or other than at the call of `read` before the last; gone ones included.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.changed: frozenset[Path] = frozenset()
        self._kept: dict[Path, tuple[Key, RunLine]] = {}

    def read(self, newest: int | None = None) -> tuple[RunLine, ...]:
        """Read what changed since the last call; the oldest run first. No folder, no runs.

        Args:
            newest: only so many of the newest, for those who do not wait until a great many are read; None: all.
        """
        now: dict[Path, tuple[Key, RunLine]] = {}
        changed = set()
        folders = run_folders(self.folder)
        for path in folders if newest is None else folders[-newest:]:
            key = _key(path)
            before = self._kept.get(path)
            if before is not None and before[0] == key:
                now[path] = before
                continue
            now[path] = key, read_line(path, alive=bool(key[0]))
            if before is None or before[1] != now[path][1]:
                changed.add(path)
        self.changed = frozenset(changed | (self._kept.keys() - now.keys()))
        self._kept = now
        return tuple(line for _, line in now.values())


def run_folders(runs: Path) -> list[Path]:
    """List the run folders in a folder, and those of demos in it, by name, which is by time; those without a record included."""
    demos = sorted(runs.glob(DEMOS))
    return sorted((path for folder in (runs, *demos) for path in _folders_in(folder)), key=lambda path: path.name)


def newest_runs(runs: Path, most: int = 5) -> list[Path]:
    """List the newest run folders that have a record, those of demos too, newest first."""
    found = (path for path in reversed(run_folders(runs)) if (path / "record.sqlite").exists())
    return list(itertools.islice(found, most))


def _folders_in(runs: Path) -> list[Path]:
    try:
        with os.scandir(runs) as found:
            names = sorted(entry.name for entry in found if entry.is_dir() and not entry.name.startswith("."))
    except OSError:
        return []
    return [runs / name for name in names if any((runs / name / mark).exists() for mark in _MARKS)]


def read_line(path: Path, *, alive: bool | None = None) -> RunLine:
    """Read what a list says of one run; whatever is damaged, something is said of it.

    Args:
        path: the run folder.
        alive: whether a process works on it, where that is known.
    """
    wrong: list[str] = []
    found: dict[str, Any] = {"started": _stamped(path.name), "size": _size(path)}
    living = is_alive(path) if alive is None else alive
    if (path / "record.sqlite").exists():
        try:
            with opened(path / "record.sqlite") as connection:
                found |= {name: value for name, value in _Glance(connection, wrong).all().items() if value is not None}
        except (sqlite3.Error, OSError) as exc:
            wrong.append(f"record.sqlite cannot be read: {exc}.")
    else:
        wrong.append("There is no record.sqlite here.")
    if not (path / "experiment.yaml").exists() and found.get("state") not in (None, RunState.PREPARING):
        wrong.append("There is no experiment.yaml here.")
    state = found.get("state", UNKNOWN)
    if state not in ENDED and state != UNKNOWN and not living:
        found |= {"state": INTERRUPTED, "reason": "", "ended": found.pop("wrote", None)}
    if "begun" in found:
        found["seconds"] = _worked(found.pop("begun"), found.get("ended"), time.time() if living else None)
    found.pop("wrote", None)
    if "name" not in found:
        found["name"] = "-".join(path.name.split("-")[2:-1]) or path.name
    return RunLine(path=path, alive=living, wrong=tuple(wrong), **found)


class _Glance:
    """A few small questions to a record; each that it cannot answer costs its own answer and nothing else."""

    def __init__(self, connection: sqlite3.Connection, wrong: list[str]) -> None:
        self._connection, self._wrong = connection, wrong
        self._old = False

    def all(self) -> dict[str, Any]:
        """Get the fields of a line by name; None and missing ones are not known."""
        (version,) = self._connection.execute("PRAGMA user_version").fetchone()
        self._old = version < schema.SCHEMA_VERSION
        if version > schema.SCHEMA_VERSION:
            self._wrong.append(
                f"record.sqlite has version {version}, newer than this program's ({schema.SCHEMA_VERSION}); what it does "
                "not know is left out."
            )
        facts = self._facts()
        summary = facts.get("summary") if isinstance(facts.get("summary"), dict) else {}
        assert summary is not None
        steps = self._last("steps", "step, at")
        event = self._last("events", "step, at")
        attempts = self._rows("SELECT started_at, ended_at FROM attempts ORDER BY attempt")
        tags = facts.get("tags")
        return {
            "version": int(version),
            "state": _text(facts.get("state")),
            "reason": _text(facts.get("reason")),
            "name": _text(facts.get("name")),
            "device": _text(facts.get("device")),
            "device_kind": _text(facts.get("device_kind")),
            "tags": tuple(dict.fromkeys([*(map(str, tags) if isinstance(tags, list) else ()), *self._tags_of_notes()])),
            "methods": self._methods(),
            "result": next(((name, summary[name]) for name in RESULTS if name in summary), None),
            "marks": tuple(str(summary[name]) for name in ("control", "follows") if name in summary),
            "latest": None if any(name in summary for name in RESULTS) else self._latest(),
            "started": attempts[0][0] if attempts else None,
            "ended": attempts[-1][1] if attempts else None,
            "begun": attempts or None,
            "wrote": max((row[1] for row in (steps, event) if row), default=None),
            "samples": steps[0] if steps else None,
            "attempts": len(attempts),
            "notes": self._count("notes"),
            "alarms": self._count("alarms"),
            "summary": summary,
        }

    def _facts(self) -> dict[str, Any]:
        facts = {}
        for key, value in self._rows("SELECT key, value FROM meta"):
            with contextlib.suppress(ValueError, TypeError):
                facts[str(key)] = json.loads(value)
        return facts

    def _methods(self) -> tuple[str, ...] | None:
        found: dict[str, None] = {}
        words: dict[str, None] = {}
        for kind, options in self._rows("SELECT kind, options FROM stages GROUP BY kind, options ORDER BY min(id)"):
            words[str(kind)] = None
            found.update(dict.fromkeys(_methods_of(str(kind), options)))
        return tuple(found or words) or None

    def _tags_of_notes(self) -> list[str]:
        """Get the tags that people gave the run after it was asked for: notes that begin with `tags:`."""
        found = self._rows("SELECT text FROM notes WHERE text LIKE 'tags:%' ORDER BY id")
        return [tag for (text,) in found for tag in re.split(r"[,\s]+", str(text).partition(":")[2]) if tag]

    def _latest(self) -> tuple[str, float] | None:
        rows = self._rows(
            "SELECT avg(cost_free), avg(cost_1), max(abs(beta_1)), max(abs(beta_2)) FROM "
            "(SELECT cost_free, cost_1, beta_1, beta_2 "
            f"FROM steps WHERE sham = 0 ORDER BY id DESC LIMIT {LATEST})"
        )
        free, first, beta_1, beta_2 = rows[0] if rows else (None,) * 4
        if free is not None:
            return "cost_free", float(free)
        if first is None:
            return None
        return "cost_probe" if beta_1 == beta_2 == 0.0 else "cost_1", float(first)

    def _last(self, table: str, columns: str) -> tuple[Any, ...] | None:
        rows = self._rows(f"SELECT {columns} FROM {table} ORDER BY id DESC LIMIT 1")
        return rows[0] if rows else None

    def _count(self, table: str) -> int:
        rows = self._rows(f"SELECT count(*) FROM {table}")
        return int(rows[0][0]) if rows else 0

    def _rows(self, sql: str) -> list[tuple[Any, ...]]:
        try:
            return self._connection.execute(sql).fetchall()
        except sqlite3.Error as exc:
            said = f"record.sqlite: {exc}."
            if said not in self._wrong and not (self._old and "no such" in str(exc)):  # an older record lacks some, rightly
                self._wrong.append(said)
            return []


def _methods_of(kind: str, options: Any) -> list[str]:
    """Get the methods by which a stage trains, a control said with it."""
    try:
        tree = json.loads(options)
    except (ValueError, TypeError):
        return []
    if not isinstance(tree, dict):
        return []
    if kind == "compare" and isinstance(tree.get("methods"), dict):
        return [str(name) for name in tree["methods"]]
    method, control = tree.get("method"), tree.get("control")
    return [f"{method} ({control})" if control else str(method)] if kind == "train" and method else []


def _worked(attempts: list[tuple[float, float | None]], ended: float | None, now: float | None) -> float | None:
    """Add up for how long the attempts worked; of one that was killed and resumed nothing is known but its begin."""
    total = 0.0
    for k, (began, end) in enumerate(attempts):
        if end is None and k == len(attempts) - 1:
            end = now if now is not None else ended
        total += 0.0 if end is None else max(0.0, end - began)
    return total or None


def _key(path: Path) -> Key:
    """Get what tells whether a run changed: whether it is alive, size and time of the files that change with it."""
    return (is_alive(path), *_stamps(path))


def _stamps(path: Path) -> Iterator[tuple[int, int] | None]:
    for name in ("record.sqlite", "record.sqlite-wal", "provenance.json", "experiment.yaml"):
        try:
            found = (path / name).stat()
        except OSError:
            yield None
        else:
            yield found.st_mtime_ns, found.st_size


def _size(path: Path) -> int:
    total = 0
    try:
        with os.scandir(path) as found:
            for entry in found:
                if entry.is_dir(follow_symlinks=False):
                    total += _size(Path(entry.path))
                else:
                    with contextlib.suppress(OSError):
                        total += entry.stat(follow_symlinks=False).st_size
    except OSError:
        pass
    return total


def _stamped(name: str) -> float | None:
    """Read the time in the name of a run folder, local time."""
    try:
        return time.mktime(time.strptime(name[:15], "%Y%m%d-%H%M%S"))
    except (ValueError, OverflowError):
        return None


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None
