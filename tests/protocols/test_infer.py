"""The stage `infer`: predictions of samples and of files, recorded one by one, in every mode, gone on with in the middle."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from inside import SLOW, Watched, in_this_process, watched
from run_helpers import SMALL, experiment, run_sequence

from aeqlab.protocols import load_run
from aeqlab.protocols.errors import FileErrors
from aeqlab.protocols.experiment import load_experiment
from aeqlab.protocols.run import resume_run, run_experiment
from aeqlab.protocols.run_state import Requests, RunState

WALLS = """
name: walls
seed: 1
device: {kind: simulated, energy: linear, epsilon: 0.1, options: {frequencies: 3}}
data: {kind: table, path: walls.csv, inputs: [wall], targets: [mass], split: last,
       scale: {inputs: limits, targets: [-1, 1], ranges: {wall: [0, 20], mass: [0, 40]}}}
homeostasis: {controller: integral, accept: {ticks: 30}}
settling: {accept: {ticks: 30}}
sequence:
  - evaluate
then: freeze
"""


@pytest.fixture
def walls(tmp_path: Path) -> Path:
    rows = "".join(f"{i},{2 * i}\n" for i in range(20))
    (tmp_path / "walls.csv").write_text("wall,mass\n" + rows, encoding="utf-8")
    (tmp_path / "new.csv").write_text("name,wall\n1,2.5\n2,7.5\n3,15\n", encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize("mode", ["homeostasis", "frozen", "locked"])
def test_each_prediction_is_written_down(tmp_path: Path, mode: str) -> None:
    sequence = f"train: {{beta: 0.2}}\ninfer: {{parameters: {mode}, batch: 1}}\nevaluate: {{parameters: {mode}, batch: 1}}"
    result, run = run_sequence(tmp_path, sequence, SMALL.replace("ticks: 12", "ticks: 100"))
    assert result.state is RunState.FINISHED, result.reason
    made = run.predictions
    assert made["sample"].tolist() == list(range(12))
    assert made["outputs"].shape == made["target"].shape == (12, 1)
    assert set(made["dataset"]) == {"test"}
    assert set(made["verdict"]) == ({""} if mode == "locked" else {"ticks"})
    assert np.isfinite(made["t"]).all() == (mode != "locked")
    assert np.isnan(made["outputs_of_data"]).all()
    costs = 0.5 * ((made["outputs"] - made["target"]) ** 2).sum(axis=1)
    found = result.summary["stages"]["1"]
    assert found["cost_free"] == pytest.approx(float(costs.mean()))
    assert run.evaluations["cost_free"][0] == pytest.approx(float(costs.mean()), rel=1e-2)
    assert (found["samples"], found["dataset"]) == (12, "test")


def test_a_device_that_is_held_says_how_each_was_held(tmp_path: Path) -> None:
    with in_this_process():
        result, run = run_sequence(tmp_path, "infer: {on: train, indices: [7, 3, 3]}", SLOW)
    assert result.state is RunState.FINISHED, result.reason
    assert run.predictions["sample"].tolist() == [7, 3, 3]
    assert run.predictions.units["outputs"] == "V"
    assert (np.diff(run.predictions["t"]) > 0).all()
    assert result.summary["stages"]["0"]["held_rate"] == 1.0
    assert run.attempts["kept_predictions"].tolist() == [0]


def test_a_file_in_the_units_of_the_data(walls: Path) -> None:
    sequence = "train: {beta: 0.3, epochs: 30}\ninfer: {inputs: new.csv}"
    result, run = run_sequence(walls, sequence, WALLS)
    assert result.state is RunState.FINISHED, result.reason
    made = run.predictions
    assert made["sample"].tolist() == [0, 1, 2]
    assert set(made["dataset"]) == {"new.csv"}
    assert made["target"].size == 0
    np.testing.assert_allclose(made["outputs_of_data"][:, 0], 20 + 20 * made["outputs"][:, 0])
    np.testing.assert_allclose(made["outputs_of_data"][:, 0], [5.0, 15.0, 30.0], atol=4.0)
    assert (result.folder / "inputs" / "new.csv").exists()
    again = load_experiment(result.folder / "experiment.yaml")
    assert again.experiment.sequence[1].options.inputs == "inputs/new.csv"  # type: ignore[attr-defined]


def test_columns_of_an_archive(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", x=np.array([-0.5, 0.0, 0.5]), other=np.zeros((3, 2)))
    result, run = run_sequence(tmp_path, "infer: {inputs: x.npz, columns: [x], samples: 2}")
    assert result.state is RunState.FINISHED, result.reason
    assert run.predictions["sample"].tolist() == [0, 1]


@pytest.mark.parametrize("text", [SMALL, SLOW], ids=["simulated", "slow"])
def test_gone_on_with_in_its_middle(tmp_path: Path, text: str) -> None:
    text = text.replace("train: {method: centered, beta: 0.2}", "infer: {on: train, batch: 1}").replace("  - evaluate: {}\n", "")
    for name in ("whole", "parts"):
        (tmp_path / name).mkdir()
    with in_this_process():
        whole = run_experiment(experiment(tmp_path / "whole", text), runs=tmp_path / "whole" / "runs")
    requests = Requests()
    with in_this_process(watched(100, lambda: requests.ask_stop("a test"))):
        parts = run_experiment(experiment(tmp_path / "parts", text), runs=tmp_path / "parts" / "runs", requests=requests)
    assert parts.state is RunState.STOPPED
    with in_this_process():
        done = len(load_run(parts.folder).predictions)
        parts = resume_run(parts.folder)
    assert parts.state is RunState.FINISHED
    one, other = load_run(whole.folder).predictions, load_run(parts.folder).predictions
    assert 0 < done < len(one)
    assert other["attempt"].tolist() == [1] * done + [2] * (len(one) - done)
    for name in ("sample", "t", "outputs", "target", "verdict"):
        np.testing.assert_array_equal(one[name], other[name])
    assert whole.summary["stages"] == parts.summary["stages"]


def test_theta_that_floats_inside_is_back_afterwards_also_after_a_resume(tmp_path: Path) -> None:
    text = SMALL.replace("{controller: integral, accept: {ticks: 12}}", "{controller: ideal}").replace(
        "  - evaluate: {}\n", "  - infer: {parameters: frozen, batch: 1}\n"
    )
    requests = Requests()
    with in_this_process(Watched) as opened:
        run_experiment(experiment(tmp_path, text), runs=tmp_path / "whole")
    with in_this_process(watched(opened[0].moments - 40, lambda: requests.ask_stop("a test"))):
        parts = run_experiment(experiment(tmp_path, text), runs=tmp_path / "runs", requests=requests)
    assert parts.state is RunState.STOPPED
    parts = resume_run(parts.folder)
    run = load_run(parts.folder)
    assert run.stages["kind"].tolist() == ["train", "infer", "infer"]
    np.testing.assert_array_equal(run.theta, run.steps["theta"][-1])


@pytest.mark.parametrize(
    ("stage", "said"),
    [
        ("infer: {samples: 2, indices: [1]}", "either samples or indices"),
        ("infer: {inputs: new.csv, on: test}", "either on, a set of the data, or inputs"),
        ("infer: {columns: [x]}", "name it with inputs"),
        ("infer: {indices: [99]}", "there are 4 test samples, counted from 0, so 99 is none of them"),
        ("infer: {inputs: gone.csv}", "no such file"),
        ("infer: {inputs: new.csv, columns: [wal]}", "Did you mean 'wall'"),
        ("infer: {inputs: new.csv, columns: [name, wall]}", "gives 2 columns, the device has 1 input knobs"),
    ],
)
def test_mistakes_are_found_before_anything_moves(walls: Path, stage: str, said: str) -> None:
    with pytest.raises(FileErrors, match=said):
        run_sequence(walls, stage, WALLS)


def test_a_row_beyond_a_knob_moves_nothing(walls: Path) -> None:
    (walls / "new.csv").write_text("wall\n5\n31\n", encoding="utf-8")
    result, run = run_sequence(walls, "infer: {inputs: new.csv}", WALLS)
    assert result.state is RunState.FAILED
    assert "row 1, counted from 0: 31 would be 2.1" in result.reason
    assert len(run.predictions) == 0
