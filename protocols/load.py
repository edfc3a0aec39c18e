"""Reading a run folder, live or ended, whole or damaged: `load_run(path)` gives arrays with units.

run = load_run("runs/20261123-062105-linear-regression-k3f9")
run.steps["cost_free"], run.theta, run.evaluations["error_rate"], run.events["text"], run.provenance["seed"]
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aeqlab.protocols import checkpoint
from aeqlab.protocols import record_schema as schema
from aeqlab.protocols.errors import CheckpointError, RecordError
from aeqlab.protocols.record_reader import Rows, array_of, columns_of, newest_theta, opened
from aeqlab.protocols.run_folder import is_alive
from aeqlab.protocols.run_state import ENDED
from aeqlab.protocols.scans import Scan, read_scans

__all__ = ["Rows", "Run", "load_run"]

Array = NDArray[Any]


class Run:
    """A run as its folder tells it; each property reads the folder anew, so a live run grows under it.

    `missing` collects, in sentences, what could not be read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.missing: list[str] = []
        self._facts: dict[str, Any] = {}
        self._units: dict[tuple[str, str], tuple[str, str, str]] = {}
        self._read_facts()

    # what the run is
    @property
    def meta(self) -> dict[str, Any]:
        """Get the facts of the run by name: state, reason, name, seed, device, units, summary, ..."""
        self._read_facts()
        return dict(self._facts)

    @property
    def alive(self) -> bool:
        """True while a process works on the run."""
        return is_alive(self.path)

    @property
    def state(self) -> str:
        """Get the last recorded state; `interrupted` where its process ended without a word."""
        self._read_facts()
        state = str(self._facts.get("state", "unknown"))
        return state if state in ENDED or state == "unknown" or self.alive else "interrupted"

    @property
    def reason(self) -> str:
        """Get why it is in that state."""
        self._read_facts()
        if self.state == "interrupted":
            return "The process ended without a word (killed, or the computer went down). `aeqlab resume` goes on."
        return str(self._facts.get("reason", ""))

    @property
    def summary(self) -> dict[str, Any]:
        """Get what the run found, by name; empty before its end."""
        self._read_facts()
        found = self._facts.get("summary", {})
        return found if isinstance(found, dict) else {}

    @property
    def provenance(self) -> dict[str, Any]:
        """Get versions, commit, computer, person, seed, begin and end of each attempt."""
        try:
            facts = json.loads((self.path / "provenance.json").read_text(encoding="utf-8"))
        except (OSError, ValueError) as exc:
            self._miss(f"provenance.json cannot be read: {exc}.")
            return {}
        return facts if isinstance(facts, dict) else {}

    @property
    def experiment(self) -> str:
        """Get the experiment as YAML, defaults filled in."""
        try:
            return (self.path / "experiment.yaml").read_text(encoding="utf-8")
        except (OSError, ValueError) as exc:
            self._miss(f"experiment.yaml cannot be read: {exc}.")
            return ""

    # what it recorded
    @property
    def steps(self) -> Rows:
        """Get the training steps that count, one row each (sham and unfinished steps are marked, not left out)."""
        return self._rows("steps", current=True)

    @property
    def all_steps(self) -> Rows:
        """Get all rows of steps, those that a resume superseded included."""
        return self._rows("steps", current=False)

    @property
    def thetas(self) -> Rows:
        """Get theta as stages left it, where no step says so."""
        return self._rows("thetas", current=True)

    @property
    def evaluations(self) -> Rows:
        """Get the evaluations that count."""
        return self._rows("evaluations", current=True)

    @property
    def stages(self) -> Rows:
        """Get the stages that count."""
        return self._rows("stages", current=True)

    @property
    def traces(self) -> Rows:
        """Get the courses of phases, thinned: t shape (points,), error and u (points, n) in each row."""
        rows = self._rows("traces", current=True)
        for name in ("error", "u"):
            for index, (part, points) in enumerate(zip(rows[name], rows["points"], strict=True)):
                if part is not None:
                    rows[name][index] = part.reshape(int(points), -1)
        return rows

    @property
    def scans(self) -> list[Scan]:
        """Get what stages of scan, ramp, set and step-response set and read, one object for each; see `Scan`."""
        try:
            return read_scans(self.path / "record.sqlite")
        except (sqlite3.Error, ValueError, KeyError) as exc:
            self._miss(f"record.sqlite, scans: {exc}.")
            return []

    @property
    def reports(self) -> Rows:
        """Get what stages reported, JSON texts."""
        return self._rows("reports", current=True)

    @property
    def events(self) -> Rows:
        """Get what happened, of all attempts."""
        return self._rows("events", current=False)

    @property
    def alarms(self) -> Rows:
        """Get the alarms, of all attempts."""
        return self._rows("alarms", current=False)

    @property
    def notes(self) -> Rows:
        """Get the notes, of all attempts."""
        return self._rows("notes", current=False)

    @property
    def attempts(self) -> Rows:
        """Get the processes that worked on the run."""
        return self._rows("attempts", current=False)

    # theta
    @property
    def theta(self) -> Array:
        """Get theta as the run left it last, shape (parameters,), in the unit `meta["units"]["theta"]`.

        Raises:
            CheckpointError: neither the record nor a checkpoint holds it.
        """
        found = self._theta_of_record(newest_theta)
        return self._theta_of_checkpoint(checkpoint.load_newest(self.path / "checkpoints").tree) if found is None else found

    @property
    def best(self) -> dict[str, Any]:
        """Get the best evaluated theta: theta, step, and value, name and samples of what was lowest.

        Each set, measure and number of samples has a best of its own; this is that of the test set where there is one, by the
        most samples. The others are in `checkpoints/`.

        Raises:
            CheckpointError: there is none.
        """
        found = checkpoint.find_best(self.path / "checkpoints")
        if found is None:
            raise CheckpointError(f"{self.path.name}: there is no best theta; the run was not evaluated.")
        return checkpoint.read(found)

    def theta_at(self, step: int) -> Array:
        """Get theta after a training step, shape (parameters,).

        Raises:
            CheckpointError: it was not kept; on a large device only checkpoints keep it.
        """
        found = self._theta_of_record(lambda connection: _theta_of_step(connection, step))
        if found is not None:
            return found
        kept = checkpoint.listed_steps(self.path / "checkpoints")
        if step in kept:
            return self._theta_of_checkpoint(checkpoint.read(kept[step]))
        at = ", ".join(map(str, sorted(kept))) or "no step"
        raise CheckpointError(f"{self.path.name}: theta of step {step} was not kept; checkpoints are of step {at}.")

    def __repr__(self) -> str:
        return f"<Run {self.path.name}: {self.state}>"

    # inside
    def _theta_of_checkpoint(self, tree: dict[str, Any]) -> Array:
        for theta in (tree.get("theta"), tree.get("target")):
            if isinstance(theta, np.ndarray):
                return theta
        raise CheckpointError(f"{self.path.name}: its checkpoints hold no theta; the run ended before it was known.")

    def _theta_of_record(self, find: Callable[[sqlite3.Connection], bytes | None]) -> Array | None:
        try:
            with opened(self.path / "record.sqlite") as connection:
                found = find(connection)
        except sqlite3.Error as exc:
            self._miss(f"record.sqlite, theta: {exc}.")
            return None
        return None if found is None else np.frombuffer(found, dtype="<f8").copy()

    def _read_facts(self) -> None:
        try:
            with opened(self.path / "record.sqlite") as connection:
                version = connection.execute("PRAGMA user_version").fetchone()[0]
                if version > schema.SCHEMA_VERSION:
                    self._miss(
                        f"record.sqlite has version {version}, newer than this program's; what it does not know is left out."
                    )
                self._facts = {key: json.loads(value) for key, value in connection.execute("SELECT key, value FROM meta")}
                if not self._units:
                    for table, column, *facts in connection.execute(
                        "SELECT table_name, column_name, dtype, shape, unit FROM columns"
                    ):
                        self._units[table, column] = (facts[0], facts[1], facts[2])
        except (sqlite3.Error, ValueError) as exc:
            self._miss(f"record.sqlite cannot be read: {exc}.")

    def _rows(self, table: str, *, current: bool) -> Rows:
        names = [column.name for column in schema.BY_NAME[table].columns]
        source = f"current_{table}" if current else table
        key = "attempt" if table == "attempts" else "id"
        rows: list[tuple[Any, ...]] = []
        try:
            with opened(self.path / "record.sqlite") as connection:
                there = columns_of(connection, source)  # fewer in a record of an earlier version
                names = [name for name in names if name in there or not there]
                cursor = connection.execute(f"SELECT {', '.join(names)} FROM {source} ORDER BY {key}")
                while True:  # one by one, so that a damaged page costs what is behind it and nothing before
                    row = cursor.fetchone()
                    if row is None:
                        break
                    rows.append(row)
        except sqlite3.Error as exc:
            self._miss(f"record.sqlite, {table}: only {len(rows)} rows can be read: {exc}.")
        columns = dict(zip(names, zip(*rows, strict=True), strict=True)) if rows else dict.fromkeys(names, ())
        made = {
            name: array_of(schema.BY_NAME[table].column(name), values, self._units.get((table, name)))
            for name, values in columns.items()
        }
        return Rows(made, {name: self._units.get((table, name), ("", "", ""))[2] for name in names})

    def _miss(self, sentence: str) -> None:
        if sentence not in self.missing:
            self.missing.append(sentence)


def _theta_of_step(connection: sqlite3.Connection, step: int) -> bytes | None:
    row = connection.execute(
        "SELECT theta FROM current_steps WHERE theta IS NOT NULL AND step = ? ORDER BY id DESC LIMIT 1", (step,)
    ).fetchone()
    return None if row is None else row[0]


def load_run(path: str | Path) -> Run:
    """Open a run folder for reading; it may be running, ended, or damaged.

    Args:
        path: the run folder.
    Returns:
        The run. What could not be read is said in `missing`.
    Raises:
        RecordError: there is no such folder, or nothing in it that a run leaves.
    """
    folder = Path(path)
    if folder.is_file():
        folder = folder.parent
    if not folder.is_dir():
        raise RecordError(f"{folder}: there is no such folder.")
    if not any((folder / name).exists() for name in ("record.sqlite", "experiment.yaml", "provenance.json", "checkpoints")):
        raise RecordError(f"{folder}: nothing here that a run leaves behind.")
    return Run(folder)
