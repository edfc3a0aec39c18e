"""The course of the cost of a run in so many points as a plot has, averaged by the record itself, however long the run is."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aeqlab.protocols.record_reader import opened
from aeqlab.protocols.record_walk import Walk
from aeqlab.protocols.words import square_in_words

Array = NDArray[Any]
POINTS = 1000


@dataclass(frozen=True, slots=True)
class CostCurve:
    """The course of a cost, shape (points,) each.

    Attributes:
        cost: which cost it is: `cost_free`, or where none was read `cost_1` or `cost_probe`; empty: none was read.
        step, t, at: training step, time of the device in s, time in s since 1970.
        value: the cost, the mean of so many rows as `rows` says.
        rows: rows that one point stands for.
        unit: of the cost; empty: a pure number, or not known.
        missing: why there is less than there should be; empty: there is all.
    """

    cost: str
    step: Array = field(repr=False)
    t: Array = field(repr=False)
    at: Array = field(repr=False)
    value: Array = field(repr=False)
    rows: int = 1
    unit: str = ""
    missing: str = ""


def cost_curve(path: Path, points: int = POINTS) -> CostCurve:
    """Read the cost of a run, live or ended; of a damaged record what is there.

    Args:
        path: the run folder.
        points: at most so many.
    """
    empty = np.zeros(0)
    try:
        with opened(path / "record.sqlite") as connection:
            walk = Walk(connection, "steps")
            bin_ = max(1, -(-len(walk) // points))
            for name in ("cost_free", "cost_1"):
                counts = walk.where(f"{name} IS NOT NULL AND sham = 0")
                found = connection.execute(
                    f"SELECT avg(step), avg(t), avg(at), avg({name}), max(abs(beta_1)), max(abs(beta_2)) FROM steps "
                    f"WHERE {counts} GROUP BY (id - 1) / {bin_} ORDER BY min(id)"
                ).fetchall()
                if found:
                    step, t, at, value, *betas = np.array(found, dtype=np.float64).T
                    cost = "cost_probe" if name == "cost_1" and not np.any(betas) else name
                    return CostCurve(cost, step, t, at, value, bin_, _unit(connection))
    except (sqlite3.Error, TypeError, ValueError) as exc:
        return CostCurve("", empty, empty, empty, empty, missing=f"{path.name}: its costs cannot be read: {exc}.")
    return CostCurve("", empty, empty, empty, empty, missing=f"{path.name}: no cost was read.")


def _unit(connection: sqlite3.Connection) -> str:
    found = connection.execute("SELECT unit FROM columns WHERE table_name = 'steps' AND column_name = 'cost_free'").fetchone()
    return "" if found is None else square_in_words(str(found[0]))
