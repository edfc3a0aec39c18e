"""What becomes of theta in a run: the best of each measure, evaluations that do not move it, large devices that keep it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from run_helpers import SMALL, run_sequence

from aeqlab.protocols import checkpoint, load_run
from aeqlab.protocols.reports import HoldReport
from aeqlab.protocols.run_session import RunSession
from aeqlab.protocols.run_state import RunState

INSIDE = SMALL.replace("controller: integral, ", "")
ENGINE = INSIDE.replace(
    "{kind: simulated, energy: linear, epsilon: 0.1, options: {frequencies: 3}}",
    "{kind: hopfield, widths: [1, 2100, 1], input_interval: [-1, 1]}",
)


# the best -----------------------------------------------------------------------------------------------------------


def test_each_measure_keeps_a_best_of_its_own(tmp_path: Path) -> None:
    sequence = """train: {beta: 0.2, epochs: 3}
evaluate: {}
evaluate: {on: train}
restore: {theta: random, spread: 3.0}
evaluate: {on: train, samples: 5}
evaluate: {samples: 3}
evaluate: {}
restore: {theta: best}
evaluate: {}"""
    result, run = run_sequence(tmp_path, sequence)
    assert result.state is RunState.FINISHED, result.reason
    cost = run.evaluations["cost_free"]
    assert cost[4] > 3.0 * cost[0]
    assert run.best["name"] == "test cost_free"
    assert (run.best["samples"], run.best["step"]) == (12, 180)
    assert min(cost[0], cost[5]) == run.best["value"] == result.summary["best"]["value"]
    assert cost[5] == pytest.approx(cost[0], rel=0.2)  # `restore: best` brought the trained theta back
    kept = sorted(path.name for path in (run.path / "checkpoints").glob("best*"))
    assert kept == [
        "best-test-cost_free-of-12.aeq", "best-test-cost_free-of-3.aeq",
        "best-train-cost_free-of-5.aeq", "best-train-cost_free-of-60.aeq",
    ]  # fmt: skip
    by_train = checkpoint.read(run.path / "checkpoints" / "best-train-cost_free-of-60.aeq")
    assert by_train["value"] == cost[1]


def test_the_training_set_gives_the_best_where_there_is_nothing_else(tmp_path: Path) -> None:
    _, run = run_sequence(tmp_path, "train: {beta: 0.2}\nevaluate: {on: train, samples: 5}\nevaluate: {on: train, samples: 30}")
    assert (run.best["name"], run.best["samples"]) == ("train cost_free", 30)


# evaluations --------------------------------------------------------------------------------------------------------


def test_an_evaluation_with_frozen_knobs_leaves_theta_as_it_was(tmp_path: Path) -> None:
    text = ENGINE.replace("widths: [1, 2100, 1]", "widths: [1, 20, 1], parameter_relaxation: joint")
    sequence = (
        "train: {beta: 0.2, samples: 20, batch: 4}\nevaluate: {parameters: frozen}\ntrain: {beta: 1.0e-6, samples: 4, batch: 4}"
    )
    result, run = run_sequence(tmp_path, sequence, text)
    assert result.state is RunState.FINISHED, result.reason
    theta = run.steps["theta"]
    np.testing.assert_allclose(theta[5], theta[4], rtol=0.0, atol=1e-5)


# restore ------------------------------------------------------------------------------------------------------------


def test_theta_brought_from_afar_is_held_as_well_as_any_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    np.savetxt(tmp_path / "theta.csv", np.full(7, 0.4))
    text = SMALL.replace("accept: {ticks: 12}}\nsettling", "accept: settled}\nsettling")
    allowed: list[float] = []
    hold = RunSession.hold

    def noted(session: RunSession, theta: np.ndarray | None = None) -> HoldReport:
        report = hold(session, theta)
        assert report.tolerance is not None
        allowed.append(float(report.tolerance.max()))
        return report

    monkeypatch.setattr(RunSession, "hold", noted)
    train = "train: {beta: 0.2, samples: 8, free_phase: false}"
    _, run = run_sequence(tmp_path, f"{train}\nrestore: {{theta: theta.csv}}\n{train}", text)
    assert np.abs(run.steps["theta"][7] - 0.4).max() > 0.2  # it was a jump, of much more than a step
    assert len(allowed) == 16
    assert max(allowed[8:]) < 3.0 * max(allowed[:8]) < 0.02


def test_the_theta_of_a_run_is_that_of_its_last_restore(tmp_path: Path) -> None:
    np.savetxt(tmp_path / "theta.csv", np.full(7, 0.4))
    train = "train: {beta: 0.2, samples: 8}"
    _, run = run_sequence(tmp_path, f"{train}\nrestore: {{theta: theta.csv}}")
    np.testing.assert_array_equal(run.theta, np.full(7, 0.4))
    np.testing.assert_array_equal(run.theta_at(8), run.steps["theta"][-1])
    assert (run.thetas["step"].tolist(), run.thetas["after_row"].tolist()) == ([8], [8])
    _, run = run_sequence(tmp_path, f"restore: {{theta: theta.csv}}\n{train}\nevaluate: {{}}")
    np.testing.assert_array_equal(run.theta, run.steps["theta"][-1])
    np.testing.assert_array_equal(run.thetas["theta"], np.full((1, 7), 0.4))  # what came after stood with its step


@pytest.mark.parametrize("text", [SMALL, INSIDE])
def test_the_theta_of_a_run_without_a_step_is_known(tmp_path: Path, text: str) -> None:
    _, run = run_sequence(tmp_path, "evaluate: {}\nrestore: {theta: random, spread: 0.3}\nevaluate: {}\nevaluate: {}", text)
    assert len(run.steps) == 0
    first, second = run.thetas["theta"]  # as found, and as drawn
    assert np.abs(second - first).max() > 0.01
    np.testing.assert_array_equal(run.theta, second)


# large devices ------------------------------------------------------------------------------------------------------


def test_theta_of_a_large_device_is_in_its_checkpoints(tmp_path: Path) -> None:
    result, run = run_sequence(tmp_path, "train: {beta: 0.2, samples: 20, batch: 4}\nevaluate: {}", ENGINE)
    assert result.state is RunState.FINISHED, result.reason
    theta = load_run(result.folder).theta
    assert len(theta) == run.meta["parameters"] > 4096
    np.testing.assert_array_equal(theta, run.best["theta"])
    np.testing.assert_array_equal(theta, run.theta_at(5))
    assert len(run.thetas) == 0
