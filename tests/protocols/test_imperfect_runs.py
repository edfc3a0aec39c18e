"""Experiments on imperfect hardware: made by `--set`, checked, run, stopped and resumed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from run_helpers import SMALL, experiment, same_runs

from aeqlab.backends.simulated_settings import SimulatedSettings
from aeqlab.protocols import load_run
from aeqlab.protocols.check import check
from aeqlab.protocols.errors import FileErrors
from aeqlab.protocols.experiment import load_experiment
from aeqlab.protocols.hold_settings import HomeostasisSettings
from aeqlab.protocols.homeostasis import hold, make_controller
from aeqlab.protocols.progress import Progress
from aeqlab.protocols.reports import Verdict
from aeqlab.protocols.run import resume_run, run_experiment
from aeqlab.protocols.run_state import Requests, RunState

HOPFIELD = """
name: small-engine
seed: 5
device:
  kind: hopfield
  widths: [1, 12, 1]
  intervals: [[0, 1], [-2, 2]]
  input_interval: [-1, 1]
data: {kind: legendre, degree: 2, samples: 60, test_samples: 12}
sequence:
  - train: {method: centered, beta: 0.5, batch: 4, epochs: 6}
  - evaluate: {}
then: freeze
"""
EVERYTHING = (
    "device.imperfections.read_noise=1e-3", "device.imperfections.output_noise=1e-3", "device.imperfections.knob_bits=12",
    "device.imperfections.knob_range=4", "device.imperfections.drift=1e-3", "device.imperfections.mismatch=0.1",
    "device.imperfections.failed_knobs=1", "device.imperfections.settle_ticks=9",
)  # fmt: skip
WITH_TIME = ("device.imperfections.slew_per_s=2", "device.imperfections.dead_time_s=0.05")


@pytest.mark.usefixtures("shown_at_every_sample")
@pytest.mark.parametrize(
    ("text", "flaws"),
    [(SMALL, (*EVERYTHING, *WITH_TIME)), (SMALL, (*EVERYTHING, "homeostasis={}", "settling={}")), (HOPFIELD, EVERYTHING)],
    ids=["integral", "ideal", "engine"],
)
def test_stopped_and_resumed_is_the_same_bit_for_bit(tmp_path: Path, text: str, flaws: tuple[str, ...]) -> None:
    if text is HOPFIELD:
        pytest.importorskip("torch")
    loaded = experiment(tmp_path, text, *flaws)
    whole = run_experiment(loaded, runs=tmp_path / "whole")
    assert whole.state is RunState.FINISHED, whole.reason
    requests = Requests()

    def watch(progress: Progress) -> None:
        if progress.state is RunState.RUNNING and progress.done >= 7:
            requests.ask_stop("the test")

    stopped = run_experiment(loaded, runs=tmp_path / "stopped", requests=requests, on_progress=watch)
    assert stopped.state is RunState.STOPPED
    assert load_run(stopped.folder).steps["step"][-1] < len(load_run(whole.folder).steps)
    assert resume_run(stopped.folder).state is RunState.FINISHED
    same_runs(load_run(whole.folder), load_run(stopped.folder))


def test_a_failed_knob_does_not_keep_the_others_from_learning(tmp_path: Path) -> None:
    theta = {}
    for failed in ("[]", "[2]"):
        loaded = experiment(tmp_path, SMALL, f"device.imperfections.failed_knobs={failed}", "train.epochs=4")
        run = load_run(run_experiment(loaded, runs=tmp_path / "runs").folder)
        theta[failed] = run.theta
    moved = np.abs(theta["[2]"])
    assert run.provenance["device"]["notes"] == ["failed knobs: u2"]
    assert moved[2] < 0.2 * np.abs(theta["[]"]).max()
    assert np.corrcoef(np.delete(theta["[]"], 2), np.delete(theta["[2]"], 2))[0, 1] > 0.5


def test_a_hold_that_wants_more_than_the_range_is_not_accepted() -> None:
    settings = SimulatedSettings(energy="linear", imperfections={"knob_range": 0.5})  # type: ignore[arg-type]
    device: Any = settings.open(seed=1, base=Path())
    device.present(np.zeros((1, 1)))
    homeostasis = HomeostasisSettings()
    controller = make_controller(homeostasis, device.info)
    for theta, verdict in ((0.4, Verdict.SETTLED), (0.6, Verdict.SATURATED)):
        report = hold(device, np.full(21, theta), homeostasis, controller)
        assert report.verdict is verdict
        assert report.accepted == (verdict is Verdict.SETTLED)


def test_a_check_shows_them() -> None:
    flaws = ("knob_bits=8", "knob_range=2", "slew_per_s=3", "failed_knobs=[3, u7]", "read_noise=1e-3")
    report = check(load_experiment("linear-regression", [f"device.imperfections.{flaw}" for flaw in flaws]))
    assert report.ok
    assert not report.warnings
    knobs = next(row for row in report.envelope if row.what == "control knobs")
    assert (knobs.low, knobs.high, knobs.step, knobs.slew_per_s) == (-2.0, 2.0, 4.0 / 256, 3.0)
    said = "; ".join(report.imperfections)
    assert "8 bits" in said
    assert "failed knobs: 3, u7" in said
    assert check(load_experiment("linear-regression", ["device.imperfections={}"])).imperfections == ()


@pytest.mark.parametrize(
    ("source", "flaw", "message"),
    [
        ("linear-regression", "failed_knobs=[21]", "there are 21 knobs, counted from 0; 21 is none of them"),
        ("linear-regression", "failed_knobs=[u21]", "there is no knob 'u21'"),
        ("linear-regression", "failed_knobs=22", "Choose at most 21"),
        ("linear-regression", "knob_bits=12", "12 bits over an infinite range have no step. Give knob_range"),
        ("linear-slow", "failed_knobs=[40]", "40 is none of them"),
        ("linear-slow", "dead_time_s=0.1", "on the slow device this is dead_time_s, a key of the device itself"),
        ("mnist-dense", "failed_knobs=['u_w1[784,0]']", "there is no knob 'u_w1[784,0]'"),
        ("mnist-dense", "dead_time_s=0.1", "a phase of the engine lasts until all has settled"),
        ("mnist-dense", "slew_per_s=1", "a slew would change nothing. Try it on kind: simulated"),
    ],
)
def test_what_cannot_be_is_said_with_its_key(source: str, flaw: str, message: str) -> None:
    with pytest.raises(FileErrors) as caught:
        load_experiment(source, [f"device.imperfections.{flaw}"])
    (problem,) = caught.value.problems
    assert message in problem.message + " " + problem.hint
    assert problem.key == f"device.imperfections.{flaw.partition('=')[0]}"


def test_a_slew_that_does_not_act_is_a_warning() -> None:
    ideal = ["device.imperfections.slew_per_s=1", "homeostasis.controller=ideal"]
    (warning,) = check(load_experiment("linear-regression", ideal)).warnings
    assert "no effect" in warning.message
