"""What the record costs a training step of the dense network on MNIST: the run with everything, beside the bare step.

    AEQLAB_DATA=../shared/data python benchmarks/mnist_step.py [repeats]

The floor is `train_step` on the same device, seed and batches, with no run around it. Both take the same relaxations step by
step, so each step is compared with itself: the fastest of its repeats on either side, since load only ever adds. The table
holds the checkpoint at the begin too, which comes every 30 s and not every 120 steps.
"""

from __future__ import annotations

import sqlite3
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path

import numpy as np
from _bench import Bench, Row, repeats_from

from aeqlab.backends.kinds import open_device
from aeqlab.backends.streams import DATA_ORDER, stream
from aeqlab.protocols.aeqprop import nudging_pair, train_step
from aeqlab.protocols.data import load_data
from aeqlab.protocols.experiment import LoadedExperiment, load_experiment
from aeqlab.protocols.run import run_experiment
from aeqlab.protocols.session import Session
from aeqlab.protocols.stages.train_options import TrainOptions

STEPS = 120


def bare_steps(loaded: LoadedExperiment) -> np.ndarray:
    """Time each step without a run, in seconds, shape (STEPS - 1,)."""
    experiment = loaded.experiment
    options = experiment.sequence[0].options
    assert isinstance(options, TrainOptions)
    assert experiment.data is not None
    assert options.beta is not None
    data = load_data(experiment.data, seed=experiment.seed, base=loaded.base)
    batches = data.batches(stream(experiment.seed, DATA_ORDER), options.batch or 32)
    pair = nudging_pair(options.method, options.beta)
    device = open_device(experiment.device, seed=experiment.seed, base=loaded.base)
    at = []
    with Session(device, homeostasis=experiment.homeostasis, settling=experiment.settling) as session:
        for _ in range(STEPS):
            samples = batches.next()
            train_step(session, samples.inputs, samples.targets, theta=None, pair=pair)
            at.append(time.perf_counter())
    return np.diff(at)


def run_steps(loaded: LoadedExperiment) -> np.ndarray:
    """Time each step of a run by its own record, in seconds, shape (STEPS - 1,)."""
    with tempfile.TemporaryDirectory() as folder:
        result = run_experiment(loaded, runs=Path(folder))
        assert result.exit_code == 0, result.reason
        with closing(sqlite3.connect(result.folder / "record.sqlite")) as connection:
            at = [row[0] for row in connection.execute("SELECT at FROM steps ORDER BY id")]
    return np.diff(at)


def main() -> None:
    loaded = load_experiment("mnist-dense", [f"train.samples={32 * STEPS}", "train.epochs=null", "train.evaluate_every=null"])
    floor = Row("train_step, no run", [], per=STEPS - 1)
    whole = Row("the same in a run, with its record", [], floor, "1.03 x floor", STEPS - 1)
    bare, run = [], []
    for _ in range(repeats_from(sys.argv, 4)):
        bare.append(bare_steps(loaded))
        run.append(run_steps(loaded))
        floor.seconds.append(float(bare[-1].sum()))
        whole.seconds.append(float(run[-1].sum()))
    bench = Bench(f"a dense MNIST step, batch 32, {STEPS} steps")
    for row in (floor, whole):
        bench.add(row)
    bench.show()
    dearer = np.median(np.min(run, axis=0) / np.min(bare, axis=0)) - 1
    print(f"each step against itself, fastest of its repeats, median over the steps: {dearer:+.1%} (goal: below 3 %)")


if __name__ == "__main__":
    main()
