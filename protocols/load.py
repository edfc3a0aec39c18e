"""Reading a run folder, live or ended, whole or damaged: `load_run(path)` gives arrays with units.

run = load_run("runs/20261123-062105-linear-regression-k3f9")
run.steps["cost_free"], run.theta, run.evaluations["error_rate"], run.events["text"], run.provenance["seed"]
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from aeqlab.protocols import checkpoint
from aeqlab.protocols import record_schema as schema
from aeqlab.protocols.errors import CheckpointError, RecordError
from aeqlab.protocols.record_reader import Rows, newest_theta, opened, theta_of_step
from aeqlab.protocols.record_table import TableOfRecord, begin_reading
from aeqlab.protocols.run_folder import is_alive
from aeqlab.protocols.run_state import ENDED
from aeqlab.protocols.scans import Scan, read_scans

if TYPE_CHECKING:
    import pandas
    import xarray

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
        self._version = schema.SCHEMA_VERSION
        self.is_record = False  #: whether there is a record of ours to read
        self._held: sqlite3.Connection | None = None
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
    def rows(self, table: str, *, current: bool = True) -> Rows:
        """Get the rows of a table by its name; see docs/record.md for all of them.

        Args:
            table: its name, such as `steps`.
            current: leave out the rows that a resume superseded, where the table has such.
        Raises:
            RecordError: there is no table of that name.
        """
        if table not in schema.BY_NAME:
            raise RecordError(f"There is no table {table!r} in a record; there are {', '.join(schema.BY_NAME)}.")
        return Rows(self._table(table, current=current))

    def to_xarray(self, table: str = "steps") -> xarray.Dataset:
        """Get a table as an xarray.Dataset with units, dimensions `step` (or `row`), `point` and `parameter`; extra `export`.

        Raises:
            RecordError: there is no table of that name.
            ExportError: xarray is not installed.
        """
        from aeqlab.protocols.datasets import to_xarray

        return to_xarray(self.rows(table))

    def to_dataframe(self, table: str = "steps") -> pandas.DataFrame:
        """Get a table as a pandas.DataFrame, its units in `attrs["units"]`; extra `export`.

        Raises:
            RecordError: there is no table of that name.
            ExportError: pandas is not installed.
        """
        from aeqlab.protocols.datasets import to_dataframe

        return to_dataframe(self.rows(table))

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """Read everything as it is at one moment until the block ends; a live run goes on meanwhile.

        Raises:
            RecordError: the record cannot be read at all.
        """
        try:
            with opened(self.path / "record.sqlite") as connection:
                begin_reading(connection)
                self._held = connection
                try:
                    yield
                finally:
                    self._held = None
        except sqlite3.Error as exc:
            raise RecordError(f"{self.path / 'record.sqlite'} cannot be read: {exc}.") from exc

    @property
    def steps(self) -> Rows:
        """Get the training steps that count, one row each (sham and unfinished steps are marked, not left out)."""
        return self.rows("steps", current=True)

    @property
    def all_steps(self) -> Rows:
        """Get all rows of steps, those that a resume superseded included."""
        return self.rows("steps", current=False)

    @property
    def thetas(self) -> Rows:
        """Get theta as stages left it, where no step says so."""
        return self.rows("thetas", current=True)

    @property
    def evaluations(self) -> Rows:
        """Get the evaluations that count."""
        return self.rows("evaluations", current=True)

    @property
    def predictions(self) -> Rows:
        """Get the predictions that count: outputs, outputs_of_data and target have shape (rows, outputs), nan where not known."""
        return self.rows("predictions", current=True)

    @property
    def stages(self) -> Rows:
        """Get the stages that count."""
        return self.rows("stages", current=True)

    @property
    def traces(self) -> Rows:
        """Get the courses of phases, thinned: t shape (points,), error and u (points, n) in each row."""
        return self.rows("traces", current=True)

    @property
    def scans(self) -> list[Scan]:
        """Get what stages of scan, ramp, set and step-response set and read, one object for each; see `Scan`."""
        try:
            with self._opened() as connection:
                return read_scans(connection)
        except (sqlite3.Error, ValueError, KeyError) as exc:
            self._miss(f"record.sqlite, scans: {exc}.")
            return []

    @property
    def reports(self) -> Rows:
        """Get what stages reported, JSON texts."""
        return self.rows("reports", current=True)

    @property
    def events(self) -> Rows:
        """Get what happened, of all attempts."""
        return self.rows("events", current=False)

    @property
    def alarms(self) -> Rows:
        """Get the alarms, of all attempts."""
        return self.rows("alarms", current=False)

    @property
    def notes(self) -> Rows:
        """Get the notes, of all attempts."""
        return self.rows("notes", current=False)

    @property
    def attempts(self) -> Rows:
        """Get the processes that worked on the run."""
        return self.rows("attempts", current=False)

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
            raise CheckpointError(f"{self.path.name}: there is no best theta; the run was not evaluated with theta held.")
        return checkpoint.read(found)

    def theta_at(self, step: int) -> Array:
        """Get theta after a training step, shape (parameters,).

        Raises:
            CheckpointError: it was not kept; on a large device only checkpoints keep it.
        """
        found = self._theta_of_record(lambda connection: theta_of_step(connection, step))
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
            with self._opened() as connection:
                found = find(connection)
        except sqlite3.Error as exc:
            self._miss(f"record.sqlite, theta: {exc}.")
            return None
        return None if found is None else np.frombuffer(found, dtype="<f8").copy()

    def _table(self, name: str, *, current: bool) -> TableOfRecord:
        self._read_facts()
        return TableOfRecord(
            schema.BY_NAME[name],
            self.path / "record.sqlite",
            self._opened,
            self._miss,
            current=current,
            version=self._version,
            facts=self._units,
        )

    @contextmanager
    def _opened(self) -> Iterator[sqlite3.Connection]:
        if self._held is not None:
            yield self._held
            return
        with opened(self.path / "record.sqlite") as connection:
            yield connection

    def _read_facts(self) -> None:
        try:
            with self._opened() as connection:
                self._version = connection.execute("PRAGMA user_version").fetchone()[0]
                if self._version > schema.SCHEMA_VERSION:
                    self._miss(
                        f"record.sqlite has version {self._version}, newer than this program's ({schema.SCHEMA_VERSION}); "
                        "what it does not know is left out."
                    )
                there = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
                self.is_record = bool({"meta", "steps"} & there)
                lacks = [name for name in ("meta", "columns") if name not in there and self._version >= schema.SCHEMA_VERSION]
                for name in lacks:
                    self._miss(f"record.sqlite, {name}: the whole table is not there and reads as empty.")
                if "meta" in there:
                    self._facts = {key: json.loads(value) for key, value in connection.execute("SELECT key, value FROM meta")}
                if "columns" in there:
                    rows = connection.execute("SELECT table_name, column_name, dtype, shape, unit FROM columns").fetchall()
                    self._units = {(table, column): (dtype, shape, unit) for table, column, dtype, shape, unit in rows}
        except (sqlite3.Error, ValueError) as exc:
            self._miss(f"record.sqlite cannot be read: {exc}.")

    def _miss(self, sentence: str) -> None:
        if sentence not in self.missing:
            self.missing.append(sentence)


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
