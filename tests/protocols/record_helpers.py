"""What the tests of reading share: records made by hand, large or old, without a run."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from aeqlab.protocols import record_schema as schema
from aeqlab.protocols.record import Record, StepRow, blob


def write_steps(record: Record, rows: Iterable[StepRow]) -> None:
    """Write many steps in one transaction."""
    connection = record._connection
    connection.execute("BEGIN")
    connection.executemany(schema.insert("steps"), ((record.attempt, *row) for row in rows))
    connection.execute("COMMIT")


def steps(count: int, seed: int = 1, *, parameters: int = 3, begin: int = 1, **fixed: Any) -> Iterable[StepRow]:
    """Make steps of all kinds of values: whole and broken numbers, small and large ones, empty ones, words."""
    random = np.random.default_rng(seed)
    for step in range(begin, begin + count):
        theta = random.normal(size=parameters)
        row = StepRow(
            step=step, stage=1, epoch=step // 1000, sample=int(random.integers(-(2**40), 2**40)) if step % 7 else None,
            at=1.8e9 + 0.25 * step, t=float(step), beta_1=-0.05, beta_2=0.0, cost_1=float(random.normal()),
            cost_2=float(random.choice([0.0, 1.0, 1e300, -2.5, 2.0**55])),
            cost_free=None if step % 10 else float(random.random()), used=bool(step % 3), sham=not step % 100,
            tries=int(random.integers(0, 70_000)), hold_verdict=str(random.choice(["settled", "ticks", "überschritten", ""])),
            hold_ticks=int(random.integers(-200, 200)), settle_verdict=None, hold_worst=int(random.integers(0, 2**24)),
            moved=float(random.random()),
            theta=None if step % 11 == 0 else blob(theta),
        )  # fmt: skip
        yield row._replace(**fixed)


def make_record(folder: Path, count: int = 0, *, close: bool = True, **facts: Any) -> Record:
    """Make a run folder with a record of so many steps."""
    folder.mkdir(parents=True, exist_ok=True)
    record = Record.create(folder / "record.sqlite", durable=False, facts={"state": "finished", "name": folder.name, **facts})
    if count:
        write_steps(record, steps(count))
    if close:
        record.close()
    return record
