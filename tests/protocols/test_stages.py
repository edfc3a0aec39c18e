"""The stages: what they accept, what they do to theta, what they find."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError
from run_helpers import SMALL, experiment

from aeqlab.protocols import load_run
from aeqlab.protocols.load import Run
from aeqlab.protocols.progress import RunResult
from aeqlab.protocols.run import run_experiment
from aeqlab.protocols.run_state import RunState
from aeqlab.protocols.stages.entry import StageEntry
from aeqlab.protocols.stages.registry import stage_kinds

SEQUENCE = SMALL[SMALL.index("sequence:") : SMALL.index("then:")]


def _run(folder: Path, sequence: str, text: str = SMALL) -> tuple[RunResult, Run]:
    lines = "".join(f"  - {line}\n" for line in sequence.strip().splitlines())
    result = run_experiment(experiment(folder, text.replace(SEQUENCE, f"sequence:\n{lines}")), runs=folder / "runs")
    return result, load_run(result.folder)


# options ------------------------------------------------------------------------------------------------------------


def test_every_stage_of_an_entry_is_registered() -> None:
    assert list(stage_kinds()) == list(StageEntry.words())
    for kind in stage_kinds().values():
        assert kind.options.model_config["extra"] == "forbid"
        assert kind.options.model_config["frozen"]
        for name, field in kind.options.model_fields.items():
            assert field.description, (kind.name, name)


def test_entries_there_and_back() -> None:
    tree = {
        "repeat": {"times": 2, "sequence": [{"train": {"beta": 0.1, "free_phase": {"every": 5}}}, "evaluate", {"evaluate": None}]}
    }
    entry = StageEntry.model_validate(tree)
    assert entry.kind == "repeat"
    dumped = entry.model_dump(mode="json")
    assert StageEntry.model_validate(json.loads(json.dumps(dumped))) == entry
    assert dumped["repeat"]["sequence"][0]["train"]["method"] == "centered"


@pytest.mark.parametrize(
    ("tree", "place", "said"),
    [
        ({}, (), "here are 0: none"),
        ({"train": {"beta": 1}, "evaluate": {}}, (), "here are 2: evaluate, train"),
        ({"trian": {}}, ("trian",), "Extra inputs"),
        ({"train": {"beta": 0}}, ("train", "beta"), "greater than 0"),
        ({"train": {}}, ("train",), "centered needs beta"),
        ({"train": {"method": "sgd"}}, ("train",), "sgd needs learning_rate"),
        ({"train": {"method": "sgd", "learning_rate": 1, "beta": 1}}, ("train",), "has none"),
        ({"train": {"beta": 1, "learning_rate": 1}}, ("train",), "is for baselines"),
        ({"train": {"beta": 1, "epochs": 1, "samples": 1}}, ("train",), "not both"),
        ({"train": {"beta": 1, "evaluate_every": {"epochs": 1, "samples": 1}}}, ("train", "evaluate_every"), "one of the two"),
        ({"train": {"beta": float("inf")}}, ("train", "beta"), "finite"),
        ({"repeat": {"times": 2, "sequence": []}}, ("repeat", "sequence"), "at least 1 item"),
        ({"repeat": {"times": 2, "sequence": [{"hold": {}}]}}, ("repeat", "sequence", 0, "hold", "seconds"), "required"),
    ],
)
def test_mistakes_are_at_their_place(tree: dict[str, Any], place: tuple[Any, ...], said: str) -> None:
    with pytest.raises(ValidationError) as caught:
        StageEntry.model_validate(tree)
    errors = caught.value.errors()
    assert any(error["loc"] == place and said in error["msg"] for error in errors), errors


# train --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["optimistic", "pessimistic", "centered"])
def test_aeqprop_learns_and_says_which_cost_is_which(tmp_path: Path, method: str) -> None:
    _, run = _run(tmp_path, f"train: {{method: {method}, beta: 0.2, epochs: 6}}")
    steps = run.steps
    assert steps["cost_free"][-60:].mean() < 0.5 * steps["cost_free"][:60].mean()
    pair = {"optimistic": (0.0, 0.2), "pessimistic": (-0.2, 0.0), "centered": (-0.1, 0.1)}[method]
    assert set(zip(steps["beta_1"], steps["beta_2"], strict=True)) == {pair}
    if method == "optimistic":
        np.testing.assert_array_equal(steps["cost_1"], steps["cost_free"])
    else:
        assert (steps["cost_1"] > steps["cost_free"]).mean() > 0.9  # a negative nudge pushes the output away


@pytest.mark.parametrize("options", ["method: spsa, learning_rate: 0.05", "method: finite-difference, learning_rate: 0.05",
                                     "method: sgd, learning_rate: 0.05"])  # fmt: skip
def test_baselines_learn(tmp_path: Path, options: str) -> None:
    result, run = _run(tmp_path, f"train: {{{options}, epochs: 2}}")
    assert result.state is RunState.FINISHED, result.reason
    assert run.steps["cost_free"][-30:].mean() < 0.8 * run.steps["cost_free"][:30].mean()


def test_the_target_moves_as_the_device_did(tmp_path: Path) -> None:
    _, run = _run(tmp_path, "train: {method: centered, beta: 0.2}")
    theta = run.steps["theta"]
    moved = np.linalg.norm(np.diff(theta, axis=0), axis=1)
    # the row's `moved` is from the clamp, where theta is held up to the error of 12 ticks
    np.testing.assert_allclose(moved, run.steps["moved"][1:], rtol=0.2, atol=1e-3)


def test_free_phases_every_so_often(tmp_path: Path) -> None:
    _, run = _run(tmp_path, "train: {method: centered, beta: 0.2, free_phase: {every: 4}}")
    measured = np.isfinite(run.steps["cost_free"])
    assert measured.nonzero()[0].tolist() == list(range(0, 60, 4))
    _, run = _run(tmp_path, "train: {beta: 0.2, free_phase: false}")
    assert not np.isfinite(run.steps["cost_free"]).any()


def test_epsilon_decays_by_epoch(tmp_path: Path) -> None:
    _, run = _run(tmp_path, "train: {method: centered, beta: 0.2, epochs: 3, epsilon_decay: 0.1, shuffle: false}")
    moved, epoch = run.steps["moved"], run.steps["epoch"]
    cost = np.sqrt(run.steps["cost_free"])
    step = [float(np.median((moved / cost)[epoch == k])) for k in range(3)]
    assert step[1] == pytest.approx(0.1 * step[0], rel=0.35)
    assert step[2] == pytest.approx(0.1 * step[1], rel=0.35)
    assert (run.steps["beta_2"] == 0.1).all()  # the coupling can be scaled here, so beta stays


def test_what_cannot_be_held_is_skipped_and_counted(tmp_path: Path) -> None:
    text = SMALL.replace("accept: {ticks: 12}}\nsettling", "tolerance: 1.0e-14, max_ticks: 30}\nsettling")
    result, run = _run(tmp_path, "train: {beta: 0.2, samples: 5, on_unsettled: {retries: 2, then: skip}}", text)
    assert result.state is RunState.FINISHED
    assert run.steps["used"].tolist() == [0] * 5
    assert run.steps["tries"].tolist() == [3] * 5
    assert run.steps["hold_verdict"].tolist() == ["timeout"] * 5
    assert np.isnan(run.steps["cost_2"]).all()
    assert (result.summary["skipped"], result.summary["held_rate"]) == (5, 0.0)
    np.testing.assert_array_equal(run.steps["theta"], np.tile(run.steps["theta"][0], (5, 1)))  # never used in silence


@pytest.mark.parametrize("method", ["optimistic, beta: 0.2", "spsa, learning_rate: 0.01", "sgd, learning_rate: 0.01"])
def test_where_theta_is_not_held_no_cost_is_the_loss(tmp_path: Path, method: str) -> None:
    text = SMALL.replace("accept: {ticks: 12}}\nsettling", "tolerance: 1.0e-14, max_ticks: 10}\nsettling")
    train = f"train: {{method: {method}, samples: 2, on_unsettled: {{retries: 0, then: skip}}}}"
    result, run = _run(tmp_path, train, text)
    assert run.steps["used"].tolist() == [0, 0]
    assert np.isnan(run.steps["cost_free"]).all()
    assert "running_cost_free" not in result.summary


def test_the_cost_while_training_is_not_that_of_an_evaluation_on_the_training_set(tmp_path: Path) -> None:
    both = "train: {method: centered, beta: 0.2}\nevaluate: {on: train}"
    result, run = _run(tmp_path, both)
    assert result.summary["running_cost_free"] == pytest.approx(run.steps["cost_free"].mean())
    assert result.summary["train_cost_free"] == run.evaluations["cost_free"][0]
    assert result.summary["running_cost_free"] != result.summary["train_cost_free"]


def test_what_cannot_be_held_may_end_the_run(tmp_path: Path) -> None:
    text = SMALL.replace("accept: {ticks: 12}}\nsettling", "tolerance: 1.0e-14, max_ticks: 30}\nsettling")
    result, run = _run(tmp_path, "train: {beta: 0.2, on_unsettled: {retries: 0, then: stop}}", text)
    assert (result.state, result.exit_code) == (RunState.FAILED, 1)
    assert "theta could not be held in 1 tries (timeout; parameter" in result.reason
    assert len(run.steps) == 1


def test_evaluations_on_the_way_and_the_best_of_them(tmp_path: Path) -> None:
    result, run = _run(
        tmp_path, "train: {beta: 0.2, epochs: 2, evaluate_every: {samples: 30}}\nrestore: {theta: best}\nevaluate: {}"
    )
    assert run.evaluations["step"].tolist() == [30, 60, 90, 120, 120]
    best = int(run.evaluations["cost_free"][:4].argmin())
    assert result.summary["best"]["step"] in (run.evaluations["step"][best], 120)
    assert run.evaluations["cost_free"][4] == pytest.approx(run.evaluations["cost_free"][:4].min(), rel=1e-2)


# the others ---------------------------------------------------------------------------------------------------------


def test_evaluate_in_three_ways(tmp_path: Path) -> None:
    sequence = "train: {beta: 0.2, epochs: 3}\n" + "\n".join(
        f"evaluate: {{parameters: {mode}}}" for mode in ("homeostasis", "locked", "frozen")
    )
    _, run = _run(tmp_path, sequence, SMALL.replace("ticks: 12", "ticks: 100"))
    cost = run.evaluations["cost_free"]
    assert run.evaluations["parameters"].tolist() == ["homeostasis", "locked", "frozen"]
    assert cost[1] == pytest.approx(cost[0], rel=1e-3)
    assert cost[2] == pytest.approx(cost[0], rel=1e-3)  # without a nudge this energy does not move theta


def test_evaluate_on_a_part_of_the_training_set(tmp_path: Path) -> None:
    _, run = _run(tmp_path, "evaluate: {on: train, samples: 7}")
    assert run.evaluations["samples"].tolist() == [7]
    assert run.evaluations["dataset"].tolist() == ["train"]


def test_hold_for_a_time(tmp_path: Path) -> None:
    result, run = _run(tmp_path, "hold: {seconds: 20}")
    found = result.summary["stages"]["0"]
    assert found["seconds"] >= 20
    assert found["holds"] > 1
    assert len(run.reports) == found["holds"]


def test_repeat_runs_its_sequence_so_often(tmp_path: Path) -> None:
    sequence = "repeat: {times: 3, sequence: [train: {beta: 0.2, samples: 4}, evaluate: {samples: 2}]}"
    _, run = _run(tmp_path, sequence)
    assert run.stages["path"].tolist() == ["0", "0.0.0", "0.0.1", "0.1.0", "0.1.1", "0.2.0", "0.2.1"]
    assert set(run.stages["outcome"]) == {"finished"}
    assert run.evaluations["step"].tolist() == [4, 8, 12]
    order = run.steps["sample"].tolist()
    assert order == list(range(12))  # each round goes on in the data where the one before left it


def test_restore_random_is_by_the_seed(tmp_path: Path) -> None:
    theta = []
    for number in range(2):
        folder = tmp_path / str(number)
        folder.mkdir()
        _, run = _run(folder, "restore: {theta: random, spread: 0.5}\ntrain: {beta: 0.2, samples: 1}")
        theta.append(run.theta)
    np.testing.assert_array_equal(theta[0], theta[1])
    assert 0.1 < np.std(theta[0]) < 1.0


def test_restore_from_files_and_from_a_step_of_another_run(tmp_path: Path) -> None:
    wanted = np.linspace(-0.3, 0.3, 7)
    np.save(tmp_path / "t.npy", wanted)
    np.savez(tmp_path / "t.npz", theta=wanted, other=np.zeros(2))
    np.savetxt(tmp_path / "t.csv", wanted)
    for name in ("t.npy", "t.npz", "t.csv"):
        result, run = _run(tmp_path, f"restore: {{theta: {name}}}\ntrain: {{beta: 1.0e-6, samples: 2}}")
        np.testing.assert_allclose(run.theta, wanted, atol=1e-3)
        assert (result.folder / "inputs" / name).exists()
    result, source = _run(tmp_path, "train: {beta: 0.2, samples: 30}")
    _, run = _run(tmp_path, f"restore: {{theta: '{result.folder.name}@17'}}\ntrain: {{beta: 1.0e-6, samples: 1}}")
    np.testing.assert_allclose(run.theta, source.theta_at(17), atol=1e-3)


@pytest.mark.parametrize(
    ("theta", "said"),
    [("best", "no best theta yet"), ("wrong.npy", "7 finite real numbers are needed"), ("broken.npy", "cannot be read"),
     ("last@x", "neither a file nor RUN@step"), ("what", "none of random, best, RUN@step")],
)  # fmt: skip
def test_restore_from_what_is_not_there_is_a_sentence(tmp_path: Path, theta: str, said: str) -> None:
    np.save(tmp_path / "wrong.npy", np.zeros(3))
    (tmp_path / "broken.npy").write_bytes(b"\x93NUMPY\x01\x00")
    result, _ = _run(tmp_path, f"restore: {{theta: '{theta}'}}")
    assert result.state is RunState.FAILED
    assert said in result.reason
    assert "Traceback" not in result.reason


def test_a_pickle_in_a_file_of_theta_is_not_run(tmp_path: Path) -> None:
    np.save(tmp_path / "evil.npy", np.array([object()], dtype=object), allow_pickle=True)
    result, _ = _run(tmp_path, "restore: {theta: evil.npy}")
    assert result.state is RunState.FAILED
    assert "cannot be read" in result.reason


def test_a_device_that_is_not_held_raises_an_alarm_once(tmp_path: Path) -> None:
    text = SMALL.replace("accept: {ticks: 12}}\nsettling", "tolerance: 1.0e-14, max_ticks: 30}\nsettling")
    _, run = _run(tmp_path, "train: {beta: 0.2, samples: 5, on_unsettled: {retries: 0}}", text)
    assert run.alarms["name"].tolist() == ["not held"]
    assert np.isnan(run.alarms["cleared_at"]).all()


@pytest.mark.parametrize(("options", "name"), [("method: spsa, learning_rate: 0.01", "cost_probe"), ("beta: 0.2", "cost_1")])
@pytest.mark.usefixtures("shown_at_every_sample")
def test_a_cost_that_is_no_loss_is_shown_by_its_name(tmp_path: Path, options: str, name: str) -> None:
    seen: set[str] = set()
    text = SMALL.replace("method: centered, beta: 0.2", f"{options}, free_phase: false, samples: 5").replace(
        "  - evaluate: {}\n", ""
    )
    run_experiment(experiment(tmp_path, text), runs=tmp_path / "runs", on_progress=lambda now: seen.add(now.cost_name))
    assert seen - {""} == {name}
