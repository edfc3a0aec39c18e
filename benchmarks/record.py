"""The record: steps committed one by one while a reader in another process polls at 30 Hz.

    python benchmarks/record.py [repeats]

The floor is bare sqlite3: the same values inserted into one table of the same columns, one commit each, under the same
journal mode and the same reader.
"""

from __future__ import annotations

import multiprocessing
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable
from itertools import count
from multiprocessing.synchronize import Event
from pathlib import Path

import numpy as np
from _bench import Bench, repeats_from

from aeqlab.protocols import record_schema as schema
from aeqlab.protocols.record import Record, StepRow, blob

STEPS = 10_000
THETA = np.linspace(-1.0, 1.0, 21)


def poll(path: str, stop: Event) -> None:
    """Read the last rows of a growing file 30 times a second, as a window does."""
    while not stop.is_set():
        try:
            connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
            connection.execute("SELECT step, cost_free, theta FROM steps ORDER BY id DESC LIMIT 100").fetchall()
            connection.close()
        except sqlite3.OperationalError:  # not there yet
            pass
        time.sleep(1 / 30)


def read_meanwhile(path: Path, work: Callable[[], object]) -> None:
    """Do some work while another process reads a file."""
    context = multiprocessing.get_context("spawn")
    stop = context.Event()
    reader = context.Process(target=poll, args=(str(path), stop))
    reader.start()
    try:
        work()
    finally:
        stop.set()
        reader.join()


def row(number: int, theta: bytes | None) -> StepRow:
    """Make the row of a step of the regression."""
    return StepRow(
        number, 1, 0, number, 1.8e9, 10.0 * number, -0.05, 0.05, 0.12, 0.08, 0.1, None, True, False, False, False, 1,
        "ticks", 50, 0.01, 3, "ticks", 50, 0.02, theta,
    )  # fmt: skip


def bare(path: Path) -> tuple[Callable[[], None], Callable[[], None]]:
    """Make a call that inserts with bare sqlite3, and one that closes the file."""
    connection = sqlite3.connect(path, isolation_level=None)
    for pragma in ("page_size = 2048", "journal_mode = WAL", "synchronous = NORMAL"):
        connection.execute(f"PRAGMA {pragma}")
    columns = schema.BY_NAME["steps"].columns
    connection.execute(f"CREATE TABLE steps ({', '.join(f'{column.name} {column.sql}' for column in columns)})")
    sql = schema.insert("steps")
    values = (1, *row(1, blob(THETA)))

    def insert() -> None:
        for _ in range(STEPS):
            connection.execute(sql, values)

    return insert, connection.close


def main() -> None:
    bench = Bench(f"the record: {STEPS} steps committed one by one, a reader at 30 Hz")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        numbers = count(1)
        insert, close = bare(folder / "bare.sqlite")
        record = Record.create(folder / "record.sqlite", durable=False, facts={})

        def steps() -> None:
            for _ in range(STEPS):
                number = next(numbers)
                record.step(row(number, blob(THETA)))
                record.fold_if_due(time.monotonic())

        rows = []
        read_meanwhile(
            folder / "record.sqlite",
            lambda: rows.extend(
                bench.compare(
                    ("bare sqlite3, one commit each", insert),
                    ("record, one step each", steps, f"{1e6 / 15_000:.0f} us"),
                    repeats=repeats_from(sys.argv, 5),
                    per=STEPS,
                )
            ),
        )
        record.close()
        close()
    bench.show()
    for line in rows:
        print(f"{line.name}: {1 / line.median:,.0f} steps/s")


if __name__ == "__main__":
    main()
