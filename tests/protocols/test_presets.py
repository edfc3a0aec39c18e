"""The presets as they ship, run whole: the slow regression through its session beside the simulated one, and the real MNIST."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from aeqlab.backends.simulated_settings import SimulatedSettings
from aeqlab.protocols import load_run
from aeqlab.protocols.aeqprop import nudging_pair, train_step
from aeqlab.protocols.data import load_data
from aeqlab.protocols.experiment import load_experiment
from aeqlab.protocols.homeostasis import HomeostasisSettings
from aeqlab.protocols.load import Run
from aeqlab.protocols.run import run_experiment
from aeqlab.protocols.session import Session
from aeqlab.protocols.settling import SettlingSettings

Array = NDArray[Any]


def _run(tmp_path: Path, preset: str, *overrides: str) -> tuple[Run, dict[str, Any]]:
    result = run_experiment(load_experiment(preset, overrides), runs=tmp_path / "runs")
    assert (result.state, result.exit_code) == ("finished", 0), result.reason
    return load_run(result.folder), result.summary


def _steps_beside_the_simulation(run: Run, steps: int, *overrides: str) -> tuple[Array, Array]:
    """Compute the step of the slow device and that of the simulated one, from the same theta and sample; shape (steps, n)."""
    experiment = load_experiment("linear-slow", overrides).experiment
    assert experiment.data is not None
    train = load_data(experiment.data, seed=experiment.seed, base=Path()).train
    theta = np.asarray(run.steps["theta"])
    picked = np.sort(np.random.default_rng(0).permutation(np.arange(1, len(theta)))[:steps])
    device = SimulatedSettings(energy="linear", epsilon=0.1).open(seed=1, base=Path())
    slow, simulated = [], []
    with Session(device, homeostasis=HomeostasisSettings(), settling=SettlingSettings()) as session:
        for k in picked:
            before, i = theta[k - 1], int(run.steps["sample"][k])
            device.write_parameters(before)  # type: ignore[attr-defined]
            report = train_step(
                session, train.inputs[i : i + 1], train.targets[i : i + 1], theta=before,
                pair=nudging_pair("centered", 0.1), free_phase=False,
            )  # fmt: skip
            assert report.theta_after is not None
            slow.append(theta[k] - before)
            simulated.append(report.theta_after - before)
    return np.array(slow), np.array(simulated)


def _cosines(a: Array, b: Array) -> tuple[float, float]:
    """Get the cosine of all steps taken together, and the median of those of single steps."""
    single = (a * b).sum(axis=1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)
    return float((a * b).sum() / np.linalg.norm(a) / np.linalg.norm(b)), float(np.median(single))


def _check_linear_slow(tmp_path: Path, samples: int, compared: int) -> dict[str, Any]:
    overrides = (f"data.samples={samples}", "data.test_samples=3")
    run, summary = _run(tmp_path, "linear-slow", *overrides)
    assert len(run.steps["step"]) == samples
    assert summary["false_held_rate"] <= 1e-3
    assert summary["false_rejected_rate"] <= 0.05
    together, median = _cosines(*_steps_beside_the_simulation(run, compared, *overrides))
    assert together > 0.98
    assert median > 0.98
    return summary


@pytest.mark.slow
def test_the_slow_device_behind_its_session_steps_as_the_simulated_one(tmp_path: Path) -> None:
    _check_linear_slow(tmp_path, 30, 29)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_ten_thousand_slow_samples_have_no_false_verdicts(tmp_path: Path) -> None:
    summary = _check_linear_slow(tmp_path, 10_000, 500)
    assert summary["running_cost_free"] < 0.1  # the best fit with these features leaves about 0.06


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_one_epoch_of_mnist_ends_at_the_published_error(
    tmp_path: Path, data_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AEQLAB_DATA", str(data_folder))
    run, _ = _run(tmp_path, "mnist-dense", "train.epochs=1")
    assert run.evaluations["samples"][-1] == 10_000
    assert run.evaluations["error_rate"][-1] <= 0.045


def test_a_piece_of_mnist_is_learned_through_run_and_record(
    tmp_path: Path, data_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AEQLAB_DATA", str(data_folder))
    run, summary = _run(
        tmp_path,
        "mnist-dense",
        "train.epochs=1",
        "data.train_samples=1600",
        "data.test_samples=500",
        "device.widths=[784,256,10]",
    )
    assert len(run.steps["step"]) == 50
    assert summary["test_error_rate"] == run.evaluations["error_rate"][-1] < 0.5  # chance is 0.9


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2, 3, 4, 5])
def test_exclusive_or_is_learned(tmp_path: Path, seed: int) -> None:
    _, summary = _run(tmp_path, "xor", f"seed={seed}")
    assert summary["test_cost_free"] < 0.03


def test_exclusive_or_begins_to_be_learned(tmp_path: Path) -> None:
    run, summary = _run(tmp_path, "xor", "train.epochs=60")
    assert run.steps["cost_free"][0] > 0.2
    assert summary["test_cost_free"] < 0.125  # what an output of 1/2 for every pattern costs


@pytest.mark.slow
def test_the_digits_are_learned(tmp_path: Path) -> None:
    _, summary = _run(tmp_path, "digits")
    assert summary["test_error_rate"] < 0.04


def test_a_piece_of_the_digits_is_learned(tmp_path: Path) -> None:
    run, summary = _run(tmp_path, "digits", "train.epochs=2", "train.evaluate_every.epochs=2", "device.widths=[64,32,10]")
    assert run.provenance["data"]["scikit_learn"]
    assert summary["test_error_rate"] < 0.5  # chance is 0.9
