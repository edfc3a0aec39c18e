"""Evaluations where all samples would take too long: as many as fit, the same ones each time, and said."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
from inside import in_this_process
from run_helpers import SMALL, experiment, run_sequence

from aeqlab.protocols import load_run
from aeqlab.protocols.errors import FileErrors
from aeqlab.protocols.run import resume_run, run_experiment
from aeqlab.protocols.run_state import Requests, RunState
from aeqlab.protocols.session import Session
from aeqlab.protocols.subset import in_order

WALL = """
name: wall
seed: 3
device: {kind: slow, energy: linear, epsilon: 0.1, options: {frequencies: 2}, clock: wall, speed: 50}
data: {kind: legendre, degree: 3, samples: 20, test_samples: 80}
homeostasis: {controller: integral, accept: {ticks: 3}}
settling: {accept: {ticks: 3}}
sequence:
  - evaluate
then: freeze
"""


class Presented(Session):
    """Remembers what was presented."""

    shown: list[float]

    def present(self, inputs: np.ndarray) -> None:
        self.__dict__.setdefault("shown", []).append(float(inputs[0, 0]))
        super().present(inputs)


@pytest.fixture
def ticking(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every look at the wall clock find it a second later."""
    clock = itertools.count()
    monkeypatch.setattr("aeqlab.protocols.prediction.time", type("Clock", (), {"monotonic": lambda: float(next(clock))}))


@pytest.mark.usefixtures("ticking")
def test_as_many_as_fit_are_taken_by_the_seed_and_ever_the_same(tmp_path: Path) -> None:
    with in_this_process(Presented) as opened:
        sequence = "evaluate: {budget_s: 10}\ntrain: {beta: 0.1, samples: 2}\nevaluate: {budget_s: 10}\nevaluate: {samples: 6}"
        result, run = run_sequence(tmp_path, sequence, WALL)
    assert result.state is RunState.FINISHED, result.reason
    assert run.evaluations["samples"].tolist() == [10, 10, 6]
    assert len(set(in_order(3, "test", 80).tolist())) == 80
    shown = opened[0].shown
    first, second, plain = shown[1:11], shown[-16:-6], shown[-6:]  # the very first finds the target
    assert first == second
    assert sorted(first) != sorted(plain)
    warned = [text for text in result.warnings if "more than the 10 s they may: 10 are taken, drawn by the seed" in text]
    assert len(warned) == 1
    assert "All 80 test samples take about 80 s on this device" in warned[0]


@pytest.mark.usefixtures("ticking")
def test_a_device_on_the_wall_clock_has_a_minute_unless_all_are_asked_for(tmp_path: Path) -> None:
    with in_this_process():
        result, run = run_sequence(tmp_path, "evaluate\nevaluate: {samples: all}\nevaluate: {on: train}", WALL)
    assert result.state is RunState.FINISHED, result.reason
    assert run.evaluations["samples"].tolist() == [60, 80, 20]
    assert [text for text in run.events["text"] if text.startswith("All 20 train samples take about 20 s on this device")]


@pytest.mark.usefixtures("ticking")
def test_in_virtual_time_all_are_taken_in_their_order(tmp_path: Path) -> None:
    with in_this_process(Presented) as opened:
        result, run = run_sequence(tmp_path, "evaluate: {batch: 1}", SMALL.replace("test_samples: 12", "test_samples: 80"))
    assert result.state is RunState.FINISHED, result.reason
    assert run.evaluations["samples"].tolist() == [80]
    assert opened[0].shown == sorted(opened[0].shown)  # as this set stands
    assert not result.warnings
    assert any("All 80 test samples take about 80 s" in text for text in run.events["text"])


@pytest.mark.usefixtures("ticking")
@pytest.mark.usefixtures("shown_at_every_sample")
def test_a_resumed_run_takes_the_same(tmp_path: Path) -> None:
    requests = Requests()
    text = SMALL.replace("  - evaluate: {}\n", "").replace("sequence:\n", "sequence:\n  - evaluate: {budget_s: 5, batch: 1}\n")
    text = text.replace("then:", "  - evaluate: {budget_s: 5, batch: 1}\nthen:")
    stopped = run_experiment(
        experiment(tmp_path, text),
        runs=tmp_path / "runs",
        requests=requests,
        on_progress=lambda now: requests.ask_stop("a test") if now.stage == "train" else None,
    )
    assert stopped.state is RunState.STOPPED
    result = resume_run(stopped.folder)
    assert load_run(result.folder).evaluations["samples"].tolist() == [5, 5]
    assert not [text for text in result.warnings if "drawn by the seed" in text]


def test_samples_and_a_budget_exclude_each_other(tmp_path: Path) -> None:
    with pytest.raises(FileErrors, match="give either samples or budget_s"):
        run_sequence(tmp_path, "evaluate: {samples: 4, budget_s: 5}")
    with pytest.raises(FileErrors, match="all"):
        run_sequence(tmp_path, "evaluate: {samples: some}")
