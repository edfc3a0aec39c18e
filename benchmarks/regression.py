"""The paper's regression, 1,000 samples with the physics of section 5.1: the run, record included, beside its bare physics.

    python benchmarks/regression.py [repeats]

The floor is the same number of ticks of the same device with nothing around it: no homeostasis, no step, no record. Where other
programs keep the cores busy, the processor time says more than the time on the wall.
"""

from __future__ import annotations

import os
import sqlite3
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path

import numpy as np
from _bench import Bench, Row, command, repeats_from, timed

from aeqlab.backends.kinds import open_device
from aeqlab.protocols.data import load_data
from aeqlab.protocols.experiment import load_experiment

PRESET = "linear-regression"


def bare_physics(phases: int, evaluated: int, ticks: int) -> None:
    """Let every training sample pass `phases` phases, nudged by turns, and so many more samples one, the knobs standing still."""
    experiment = load_experiment(PRESET).experiment
    assert experiment.data is not None
    data = load_data(experiment.data, seed=experiment.seed, base=Path())
    with open_device(experiment.device, seed=experiment.seed, base=Path()) as device:
        for x, y in zip(data.train.inputs, data.train.targets, strict=True):
            device.present(x[np.newaxis])
            for phase in range(phases):
                device.nudge(y[np.newaxis], 0.05 * (phase % 2))
                for _ in range(ticks):
                    device.advance()
        device.release()
        for x in data.train.inputs[:evaluated]:
            device.present(x[np.newaxis])
            for _ in range(ticks):
                device.advance()


def running_seconds(record: Path) -> float:
    """Read from the record of a run how long it took from running to finished."""
    with closing(sqlite3.connect(record)) as connection:
        rows = connection.execute("SELECT word, at FROM events WHERE kind = 'state'")
        at = dict(rows.fetchall())
    return float(at["finished"] - at["running"])


def work_of(record: Path) -> tuple[int, int, int]:
    """Read what a run did: phases of a step, samples evaluated, ticks of a phase."""
    with closing(sqlite3.connect(record)) as connection:
        ticks, free = connection.execute("SELECT max(hold_ticks), count(cost_free) > 0 FROM steps").fetchone()
        evaluated = connection.execute("SELECT coalesce(sum(samples), 0) FROM evaluations").fetchone()[0]
    return (3 if free else 2), int(evaluated), int(ticks)


def children_seconds() -> float:
    """Get the processor time of all commands that have ended."""
    times = os.times()
    return times.children_user + times.children_system


def main() -> None:
    bench = Bench("the regression, 1,000 samples")
    floor = Row("bare physics, as many ticks", [])
    whole = Row("aeqlab run linear-regression, whole command", [], floor, "4 s")
    inside = Row("  from running to finished, record included", [], floor, "3 s")
    floor_work = Row("processor time of the bare physics", [])
    whole_work = Row("processor time of the whole command", [], floor_work)
    for turn in range(repeats_from(sys.argv, 3) + 1):
        with tempfile.TemporaryDirectory() as folder:
            run = command("-m", "aeqlab.app.cli", "run", PRESET, "--quiet", "--runs", folder)
            before = children_seconds()
            seconds = timed(run)
            worked = children_seconds() - before
            (record,) = Path(folder).glob("*/record.sqlite")
            running, work = running_seconds(record), work_of(record)
        begin, begin_work = time.perf_counter(), time.process_time()
        bare_physics(*work)
        if turn:
            floor.seconds.append(time.perf_counter() - begin)
            floor_work.seconds.append(time.process_time() - begin_work)
            whole_work.seconds.append(worked)
            whole.seconds.append(seconds)
            inside.seconds.append(running)
    for row in (floor, inside, whole, floor_work, whole_work):
        bench.add(row)
    bench.show()
    phases, evaluated, ticks = work
    print(f"1,000 samples of {phases} phases and {evaluated} evaluated ones of one phase; {ticks} ticks a phase")


if __name__ == "__main__":
    main()
