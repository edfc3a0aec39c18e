"""A scan's overhead per point: a knob scanned in a run, record included, beside the same settling with nothing around it.

    python benchmarks/scan.py [repeats]

The floor is what a point asks of the device: input, nudge off, knobs, settling until it is at rest; in this process for the
simulated device, through its session for the slow one, in virtual time. The overhead is what a point of the stage takes more,
its row on the disk included. Medians of single points, since a loaded machine spoils sums.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from _bench import Bench, Row, in_units, repeats_from

from aeqlab.protocols.experiment import LoadedExperiment, load_experiment
from aeqlab.protocols.load import load_run
from aeqlab.protocols.opening import open_operator
from aeqlab.protocols.run import run_experiment

POINTS = 300
TEXT = """
name: scan
device: {{kind: {kind}, energy: linear, epsilon: 0.1, control_limits: [-2, 2]}}
data: {{kind: legendre, degree: 10, samples: 100}}
sequence:
  - scan: {{over: [{{quantity: u3, from: -0.5, to: 0.5, points: {points}}}], read: [s, theta, u3, cost_free], sample: 0}}
"""


def bare(loaded: LoadedExperiment, folder: Path) -> float:
    """Let the device settle at every point; median seconds of one."""
    operator = open_operator(loaded.experiment, base=folder, folder=folder)
    took = []
    try:
        u = np.zeros(len(operator.info.controls))
        for value in np.linspace(-0.5, 0.5, POINTS):
            began = time.perf_counter()
            u[3] = value
            operator.present(np.array([[0.3]]))
            operator.release()
            operator.set_controls(u)
            operator.settle()
            took.append(time.perf_counter() - began)
    finally:
        operator.freeze("the benchmark is over")
        operator.close()
    return statistics.median(took)


def scanned(loaded: LoadedExperiment, folder: Path) -> float:
    """Scan the same in a run; median seconds from a point to the next, as the record has them."""
    run = load_run(run_experiment(loaded, runs=folder).folder)
    (scan,) = run.scans
    assert scan.complete, run.reason
    return float(np.median(np.diff(scan.points["at"])))


def main() -> None:
    bench = Bench(f"a scan of {POINTS} points, 21 knobs, 24 numbers read")
    told = []
    for kind, name in (("simulated", "simulated, in this process"), ("slow", "slow, through its session")):
        floor = Row(f"settling alone, {name}", [])
        row = Row(f"a point of a scan, {name}", [], floor, "floor + 5 ms")
        for turn in range(repeats_from(sys.argv, 3) + 1):
            with tempfile.TemporaryDirectory() as made:
                folder = Path(made)
                (folder / "scan.yaml").write_text(TEXT.format(kind=kind, points=POINTS), encoding="utf-8")
                loaded = load_experiment(folder / "scan.yaml")
                seconds = bare(loaded, folder / "bare"), scanned(loaded, folder / "runs")
            if turn:
                floor.seconds.append(seconds[0])
                row.seconds.append(seconds[1])
        bench.add(floor)
        bench.add(row)
        over = statistics.median(b - a for a, b in zip(floor.seconds, row.seconds, strict=True))
        told.append(f"{name}: {in_units(max(over, 1e-9))} more per point")
    bench.show()
    print("\n".join(told))


if __name__ == "__main__":
    main()
