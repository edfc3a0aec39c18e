"""What the tests of runs share: small experiments, a worker process, and a comparison of two runs bit for bit."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from aeqlab.protocols import load_run
from aeqlab.protocols.experiment import LoadedExperiment, load_experiment
from aeqlab.protocols.load import Run
from aeqlab.protocols.progress import RunResult
from aeqlab.protocols.run import run_experiment

WORKER = Path(__file__).with_name("run_worker.py")

SMALL = """
name: small
seed: 5
device: {kind: simulated, energy: linear, epsilon: 0.1, options: {frequencies: 3}}
data: {kind: legendre, degree: 4, samples: 60, test_samples: 12}
homeostasis: {controller: integral, accept: {ticks: 12}}
settling: {accept: {ticks: 12}}
sequence:
  - train: {method: centered, beta: 0.2}
  - evaluate: {}
then: freeze
"""


def experiment(folder: Path, text: str = SMALL, *overrides: str) -> LoadedExperiment:
    """Write an experiment into a folder and load it."""
    path = folder / "experiment-under-test.yaml"
    path.write_text(text, encoding="utf-8")
    return load_experiment(path, overrides)


def run_sequence(folder: Path, sequence: str, text: str = SMALL) -> tuple[RunResult, Run]:
    """Run an experiment with stages of its own, one per line."""
    entries = "".join(f"  - {line}\n" for line in sequence.strip().splitlines())
    written = f"{text[: text.index('sequence:')]}sequence:\n{entries}{text[text.index('then:') :]}"
    result = run_experiment(experiment(folder, written), runs=folder / "runs")
    return result, load_run(result.folder)


def start_worker(*words: str | Path, **settings: object) -> subprocess.Popen[bytes]:
    """Start a run in a process of its own; see run_worker.py for the words, and for the settings, which are variables there."""
    return subprocess.Popen(
        [sys.executable, str(WORKER), *map(str, words)], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        stdin=subprocess.DEVNULL, env={**os.environ, **{name: str(value) for name, value in settings.items()}},
        bufsize=0,  # whoever reads some lines leaves all others to `communicate`
    )  # fmt: skip


def wait_for(condition: Callable[[], bool], what: str, timeout_s: float = 60.0) -> None:
    """Wait until something is so; fail with what it was."""
    end = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end, f"waited {timeout_s:g} s for: {what}"
        time.sleep(0.005)


def only_run(runs: Path) -> Run:
    """Open the one run there is in a folder."""
    (folder,) = (path.parent for path in runs.glob("*/record.sqlite"))
    return load_run(folder)


def read_steps(process: subprocess.Popen[bytes], at_least: int) -> int:
    """Read acknowledged steps from a worker until there are so many; returns the last one."""
    assert process.stdout is not None
    last = 0
    while last < at_least:
        line = process.stdout.readline()
        assert line, f"the worker ended after step {last}: {process.stderr.read().decode() if process.stderr else ''}"
        last = int(line)
    return last


def same_runs(one: Run, other: Run) -> None:
    """Assert that what counts of two runs is the same, bit for bit."""
    a, b = one.steps, other.steps
    assert len(a) == len(b)
    for name in ("step", "epoch", "sample", "t", "cost_1", "cost_2", "cost_free", "used", "sham", "hold_ticks", "moved", "theta"):
        np.testing.assert_array_equal(a[name], b[name], err_msg=name)
    for name in ("step", "cost_free", "error_rate", "samples"):
        np.testing.assert_array_equal(one.evaluations[name], other.evaluations[name], err_msg=name)
    np.testing.assert_array_equal(one.theta, other.theta)
