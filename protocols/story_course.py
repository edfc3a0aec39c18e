"""How the training of a run went, in a few numbers, and which of its steps were left out, asked of the record itself."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import dataclass

from aeqlab.protocols.record_walk import Walk
from aeqlab.protocols.story_causes import Left
from aeqlab.protocols.words import cost_in_words

_HELD = "('settled', 'ticks', 'exact')"
#: Steps that changed nothing because something was wrong: not those of a control, whose theta is kept on purpose.
_LEFT = f"used = 0 AND sham = 0 AND (partial = 1 OR hold_verdict NOT IN {_HELD} OR settle_verdict NOT IN {_HELD})"
MOST_LEFT = 100_000  #: of them that are looked at one by one
PART = 1_000  #: readings whose mean stands for the begin of a cost and for its end, at most; a twentieth of all if that is less


@dataclass(frozen=True, slots=True)
class Course:
    """How the training of a run went.

    Attributes:
        steps: training steps done.
        single: a step is one sample.
        cost: which cost was read, `cost_free` or, where there is none, `cost_1` or `cost_probe`; empty: none.
        begin, end: its mean over the first and the last twentieth of the readings, a thousand at most.
        readings: how often it was read.
        first, last: when the first and the last step were written, in s since 1970.
    """

    steps: int = 0
    single: bool = True
    cost: str = ""
    begin: float | None = None
    end: float | None = None
    readings: int = 0
    first: float | None = None
    last: float | None = None

    def sentence(self) -> str:
        """Say it: 1,204 samples, cost 0.41 to 0.06."""
        if not self.steps:
            return "no training steps"
        word = "sample" if self.single else "training step"
        said = f"{self.steps:,} {word}{'' if self.steps == 1 else 's'}"
        if self.begin is None or self.end is None:
            return f"{said}, no cost was read"
        went = f"{self.begin:.3g}" if self.readings == 1 else f"{self.begin:.3g} to {self.end:.3g}"
        name = cost_in_words(self.cost)
        return f"{said}, {name} {went}" + ("" if self.cost == "cost_free" else " (no cost without a nudge was read)")


def course_of(walk: Walk, connection: sqlite3.Connection) -> Course:
    """Find out how many steps there are and how a cost went, from the ends of the table alone."""
    if not len(walk):
        return Course()
    first, last = walk.row(0), walk.row(len(walk) - 1)
    batch = _batch_of(connection)
    for name in ("cost_free", "cost_1"):
        counts = f"{name} IS NOT NULL AND sham = 0"
        readings = connection.execute(f"SELECT count(*) FROM steps WHERE {walk.where(counts)}").fetchone()[0]
        if readings:
            some = max(1, min(PART, readings // 20))
            means = []
            for order in ("ASC", "DESC"):
                part = (
                    f"SELECT {name} AS c, beta_1, beta_2 FROM steps WHERE {walk.where(counts)} ORDER BY id {order} LIMIT {some}"
                )
                means.append(connection.execute(f"SELECT avg(c), max(abs(beta_1)), max(abs(beta_2)) FROM ({part})").fetchone())
            probed = name == "cost_1" and means[1][1] == means[1][2] == 0.0
            cost = "cost_probe" if probed else name
            return Course(int(last["step"]), batch, cost, means[0][0], means[1][0], readings, first["at"], last["at"])
    return Course(int(last["step"]), batch, "", None, None, 0, first["at"], last["at"])


def _batch_of(connection: sqlite3.Connection) -> bool:
    """Tell whether a step is one sample, as far as the stages say it."""
    kinds = dict(connection.execute("SELECT key, value FROM meta WHERE key = 'device_kind'").fetchall())
    options = [row[0] for row in connection.execute("SELECT DISTINCT options FROM stages WHERE kind = 'train'").fetchall()]
    batches = {json.loads(text).get("batch") for text in options}
    return batches <= {None, 1} and "hopfield" not in kinds.get("device_kind", "")


def left_of(walk: Walk, connection: sqlite3.Connection) -> list[Left]:
    """List the steps that changed nothing because something was wrong."""
    rows = connection.execute(f"SELECT step, at FROM steps WHERE {walk.where(_LEFT)} ORDER BY id LIMIT {MOST_LEFT}")
    return [Left(int(step), float(at)) for step, at in rows]
