"""A run as it was at a moment, for the views of Train: what had been read by then, and the whole course of its costs around it.

The costs are drawn whole, with a mark where one is; all else is that of the moment. Of a long run the costs of a part of its
steps stand for all: a million steps are there as soon as ten thousand.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from aeqlab.app.window.models.kept_steps import KeptSteps
from aeqlab.app.window.models.replay import Array, Moment, Replay
from aeqlab.app.window.models.run_feed import RunView

DRAWN = ("id", "step", "cost_1", "cost_2", "cost_free", "used", "sham")  #: columns of steps that the costs are drawn of
WHOLE, PART = 20_000, 10_000  #: up to so many steps all are drawn, of more a part of so many
MOST_ROWS = 100_000  #: evaluations, scans and points of them that are drawn at most
TRACES, READINGS = 64, 400  #: phases whose course is shown, and single readings among which the last ones are looked for


@dataclass(frozen=True, slots=True)
class Course:
    """What the views show of a run whatever the moment.

    Attributes:
        tables: columns of steps, evaluations and stages, by table.
        every: steps that one point of the costs stands for.
        facts: of the run, by name.
        missing: what could not be read, in sentences.
    """

    tables: dict[str, dict[str, Array]] = field(repr=False)
    every: int
    facts: dict[str, Any] = field(repr=False)
    missing: tuple[str, ...]


def course_of(replay: Replay) -> Course:
    """Read what stays the same wherever one is."""
    most = WHOLE if replay.count <= WHOLE else PART
    steps = replay.sparse(DRAWN, most) if replay.table == "steps" else {}
    if steps and replay.count <= WHOLE:
        kept = KeptSteps()  # with the mean over the last of them, as Train shows it; of a part of the steps there is none
        kept.append(steps)
        steps = kept.view()
    tables = {name: replay.rows_until(name, "id", np.inf, MOST_ROWS) for name in ("evaluations", "stages")}
    every = max(1, -(-replay.count // most)) if steps else 1
    return Course({"steps": steps, **tables}, every, replay.run.meta, missing_of(replay))


def view_at(replay: Replay, course: Course, moment: Moment) -> RunView:
    """Make what the views of Train show of a moment; where the record has nothing of it, they get nothing."""
    tables = dict(course.tables)
    at = moment.at if np.isfinite(moment.at) else -np.inf
    tables["traces"] = replay.rows_until("traces", "step", moment.step, TRACES) if moment.place >= 0 else {}
    tables["evaluated"] = replay.rows_until("evaluated", "at", at, READINGS)
    tables["scans"] = replay.rows_until("scans", "at", at, MOST_ROWS)
    tables["points"] = replay.rows_until("points", "at", at, MOST_ROWS) if tables["scans"] else {}
    return RunView(
        folder=replay.run.path, facts=course.facts, state=moment.state, reason=moment.reason, tables=tables, theta=moment.theta,
        part=1.0 / course.every, missing=missing_of(replay),
    )  # fmt: skip


def missing_of(replay: Replay) -> tuple[str, ...]:
    """List what could not be read so far, each once."""
    return tuple(dict.fromkeys((*replay.run.missing, *replay.missing)))
