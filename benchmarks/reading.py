"""Reading and exporting a run of a million steps, 21 parameters each.

    python benchmarks/reading.py [repeats] [steps]

The floor is bare sqlite3: one column by SELECT, fetched as Python lists. The record is made through the schema, in a few seconds.
"""

from __future__ import annotations

import shutil
import sqlite3
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
from _bench import Bench, repeats_from

from aeqlab.protocols import load_run
from aeqlab.protocols import record_schema as schema
from aeqlab.protocols.export import export_run
from aeqlab.protocols.record import Record, StepRow

STEPS = 1_000_000
PARAMETERS = 21
PLOTTED = ("step", "at", "cost_free", "cost_1", "cost_2", "used")


def make_run(folder: Path, steps: int) -> None:
    """Write the record of a run of so many steps: costs like those of physics, every tenth step with a free one."""
    folder.mkdir()
    record = Record.create(folder / "record.sqlite", durable=False, facts={"state": "finished", "parameters": PARAMETERS})
    record.close()
    (folder / "experiment.yaml").write_text("name: reading\n", encoding="utf-8")
    (folder / "provenance.json").write_text("{}", encoding="utf-8")
    with closing(sqlite3.connect(folder / "record.sqlite")) as connection:
        connection.executemany(schema.insert("steps"), _rows(steps))
        connection.commit()


def _rows(steps: int) -> Iterator[tuple[Any, ...]]:
    random = np.random.default_rng(1)
    for begin in range(0, steps, 10_000):
        costs = random.random((10_000, 6)).tolist()
        theta = random.normal(size=(10_000, PARAMETERS)).tobytes()
        size = 8 * PARAMETERS
        for k, (cost_1, cost_2, free, hold_error, true_error, moved) in enumerate(costs[: steps - begin]):
            number = begin + k
            yield (1, *StepRow(
                number + 1, 1, number // 1000, number % 1000, 1.8e9 + 0.0031 * number, 0.7 * number, -0.05, 0.05, cost_1, cost_2,
                None if number % 10 else free, None, True, number % 100 == 99, False, number % 50 == 0, 1, "ticks", 50,
                hold_error, number % PARAMETERS, true_error, "ticks", 50, moved, theta[k * size : (k + 1) * size],
            ))  # fmt: skip


def bare_column(folder: Path) -> Callable[[], object]:
    """Make a call that fetches one column by bare sqlite3."""

    def call() -> None:
        with closing(sqlite3.connect(folder / "record.sqlite")) as connection:
            connection.execute("SELECT cost_1 FROM steps").fetchall()

    return call


def plotted(folder: Path, names: tuple[str, ...]) -> Callable[[], object]:
    """Make a call that opens a run and reads columns one after the other."""

    def call() -> None:
        rows = load_run(folder).steps
        for name in names:
            rows[name]

    return call


def exported(folder: Path, format: str, out: Path) -> Callable[[], object]:
    """Make a call that exports a run into a place that is empty."""

    def call() -> None:
        shutil.rmtree(out, ignore_errors=True)
        out.mkdir()
        export_run(folder, format, out)

    return call


def main() -> None:
    repeats = repeats_from(sys.argv, 3)
    steps = int(sys.argv[2]) if len(sys.argv) > 2 else STEPS
    bench = Bench(f"reading a run of {steps:,} steps with {PARAMETERS} parameters")
    with tempfile.TemporaryDirectory() as name:
        folder, out = Path(name) / "run", Path(name) / "out"
        make_run(folder, steps)
        bench.compare(
            ("bare sqlite3, one column", bare_column(folder)),
            ("load_run, the six columns one plots", plotted(folder, PLOTTED), "2 s"),
            ("load_run, theta", plotted(folder, ("theta",)), ""),
            ("export to HDF5, everything", exported(folder, "hdf5", out), "10 s"),
            ("export to NetCDF, everything", exported(folder, "netcdf", out), "10 s"),
            ("export to CSV, theta spread over columns", exported(folder, "csv", out), "10 s"),
            repeats=repeats,
        )
    bench.show()


if __name__ == "__main__":
    main()
