"""Readouts and device time of a run, counted for every method alike: here, behind a session, and over a resume."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from run_helpers import experiment, run_sequence

from aeqlab.protocols import load_run
from aeqlab.protocols.run import resume_run, run_experiment
from aeqlab.protocols.run_state import Requests, RunState
from aeqlab.protocols.training import Training

SLOW = """
name: slow
seed: 5
device: {kind: slow, energy: linear, epsilon: 0.1, options: {frequencies: 1}}
data: {kind: legendre, degree: 2, samples: 40, test_samples: 3}
sequence:
  - train: {method: centered, beta: 0.2}
then: freeze
"""


@pytest.mark.parametrize(
    ("method", "phases"),
    [
        ("method: centered, beta: 0.2, free_phase: false", 2),
        ("method: centered, beta: 0.2", 3),
        ("method: optimistic, beta: 0.2", 2),
        ("method: spsa, learning_rate: 0.01, free_phase: false", 2),
        ("method: finite-difference, learning_rate: 0.01", 15),
        ("method: sgd, learning_rate: 0.01", 1),
        ("method: eqprop, beta: 0.2, learning_rate: 0.01", 2),
        ("method: coupled, beta: 0.2, learning_rate: 0.01", 2),
    ],
)
def test_a_step_takes_the_ticks_of_its_phases(tmp_path: Path, method: str, phases: int) -> None:
    result, run = run_sequence(tmp_path, f"train: {{{method}, samples: 5}}\nevaluate: {{}}\ntrain: {{{method}, samples: 2}}")
    assert result.state is RunState.FINISHED, result.reason
    reads = run.steps["reads"]
    assert (np.diff(reads[:5]) == 12 * phases).all()
    assert run.evaluations["reads"][0] == reads[4] + 12 * 12  # 12 test samples of 12 ticks
    assert reads[5] - run.evaluations["reads"][0] == 12 * phases
    t = run.steps["t"]
    assert (np.diff(t) > 0).all()
    assert t[4] < run.evaluations["t"][0] < t[5]


def test_behind_a_session_the_same_is_counted(tmp_path: Path) -> None:
    result, run = run_sequence(tmp_path, "train: {beta: 0.2, samples: 4, free_phase: false}\nevaluate: {samples: 2}", SLOW)
    assert result.state is RunState.FINISHED, result.reason
    steps = run.steps
    phases = steps["hold_ticks"] + steps["settle_ticks"]
    np.testing.assert_array_equal(np.diff(steps["reads"]), phases[1:])
    ticks = np.diff(steps["t"]) / 0.02  # every readout is an exchange of one tick
    np.testing.assert_allclose(ticks, phases[1:], atol=1e-6)
    assert run.evaluations["reads"][0] > steps["reads"][-1]
    assert (run.evaluations["t"][0] - steps["t"][-1]) / 0.02 == pytest.approx(run.evaluations["reads"][0] - steps["reads"][-1])


def test_an_evaluation_by_the_equations_takes_neither_time_nor_readouts(tmp_path: Path) -> None:
    text = SLOW.replace("epsilon: 0.1", "epsilon: 0.1, knows_energy: true")
    stages = "train: {beta: 0.2, samples: 2}\nevaluate: {parameters: locked}"
    result, run = run_sequence(tmp_path, stages, text)
    assert result.state is RunState.FINISHED, result.reason
    assert run.evaluations["reads"][0] == run.steps["reads"][-1]
    assert run.evaluations["t"][0] == run.steps["t"][-1]


def test_a_resumed_run_goes_on_counting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = run_experiment(experiment(tmp_path), runs=tmp_path / "whole")
    requests, train_on = Requests(), Training._train_on

    def stop_at_twenty(self: Training, samples: Any, number: int) -> None:
        train_on(self, samples, number)
        if self.done == 20:
            requests.ask_stop("a test")

    monkeypatch.setattr(Training, "_train_on", stop_at_twenty)
    halves = run_experiment(experiment(tmp_path), runs=tmp_path / "halves", requests=requests)
    assert halves.state is RunState.STOPPED
    monkeypatch.undo()
    assert resume_run(halves.folder).state is RunState.FINISHED
    ours, theirs = load_run(whole.folder), load_run(halves.folder)
    for name in ("reads", "t"):
        np.testing.assert_array_equal(ours.steps[name], theirs.steps[name])
        np.testing.assert_array_equal(ours.evaluations[name], theirs.evaluations[name])
