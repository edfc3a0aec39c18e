"""Baselines on a device that keeps theta inside: what they learned is in the device, and nothing brings it back later."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from run_helpers import SMALL, run_sequence

from aeqlab.backends.simulated_settings import SimulatedSettings
from aeqlab.protocols.baselines import finite_difference_step, sgd_step, spsa_step
from aeqlab.protocols.errors import AbortRequested
from aeqlab.protocols.hold_settings import HomeostasisSettings, Ticks
from aeqlab.protocols.run_state import RunState
from aeqlab.protocols.session import Session

INSIDE = SMALL.replace("controller: integral, ", "")
ENGINE = """
name: engine
seed: 5
device: {kind: hopfield, widths: [1, 6, 1], input_interval: [-1, 1], intervals: [[-9, 9], [-9, 9]], gains: [0.3, 0.3]}
data: {kind: legendre, degree: 4, samples: 40, test_samples: 12}
sequence:
  - train: {method: centered, beta: 0.2}
  - evaluate: {}
then: freeze
"""
METHODS = ["spsa", "finite-difference", "sgd"]


def _baseline(method: str, samples: int = 6) -> str:
    return f"train: {{method: {method}, learning_rate: 0.05, samples: {samples}}}"


def _session() -> tuple[Session, np.ndarray, np.ndarray]:
    device = SimulatedSettings(energy="linear", epsilon=0.1, options={"frequencies": 3}).open(seed=2, base=Path())
    session = Session(device, homeostasis=HomeostasisSettings(accept=Ticks(ticks=5)))
    return session, np.full((1, len(session.info.inputs)), 0.3), np.full((1, 1), 0.8)


def _step(method: str, session: Session, x: np.ndarray, y: np.ndarray) -> Any:
    if method == "sgd":
        return sgd_step(session, x, y, theta=None, learning_rate=0.05)
    if method == "spsa":
        return spsa_step(session, x, y, theta=None, learning_rate=0.05, perturbation=1e-3, rng=np.random.default_rng(0))
    return finite_difference_step(session, x, y, theta=None, learning_rate=0.05, perturbation=1e-3)


@pytest.mark.parametrize("method", METHODS)
def test_the_result_is_written_to_the_device_and_stays_there(method: str) -> None:
    session, x, y = _session()
    before = session.parameters()
    report = _step(method, session, x, y)
    assert report.used
    assert report.theta_target_next is None
    np.testing.assert_array_equal(session.parameters(), report.theta_after)
    moved = np.linalg.norm(report.theta_after - before)
    wanted = 0.05 * np.linalg.norm(session.device_call("loss_gradient", before, x, y))
    assert 0.2 * wanted < moved < 5.0 * wanted  # spsa goes along random signs
    session.hold()
    np.testing.assert_array_equal(session.parameters(), report.theta_after)


@pytest.mark.parametrize("method", METHODS)
def test_a_step_left_in_its_middle_gives_theta_back(method: str) -> None:
    session, x, y = _session()
    before = session.parameters()
    left = 7 if method != "sgd" else 3
    ticks = 0

    def leave() -> None:
        nonlocal ticks
        ticks += 1
        if ticks > left:
            raise AbortRequested("asked for")

    session.point_interrupt = leave
    with pytest.raises(AbortRequested):
        _step(method, session, x, y)
    np.testing.assert_array_equal(session.parameters(), before)


@pytest.mark.parametrize("method", METHODS)
def test_a_restore_after_a_baseline_is_not_undone(tmp_path: Path, method: str) -> None:
    wanted = np.linspace(-0.3, 0.3, 7)
    np.savetxt(tmp_path / "theta.csv", wanted)
    result, run = run_sequence(
        tmp_path,
        f"{_baseline(method)}\nrestore: {{theta: theta.csv}}\nevaluate: {{}}\ntrain: {{beta: 1.0e-6, samples: 1}}",
        INSIDE,
    )
    assert result.state is RunState.FINISHED, result.reason
    np.testing.assert_allclose(run.steps["theta"][-1], wanted, atol=1e-4)


@pytest.mark.parametrize("method", METHODS)
def test_the_recorded_theta_is_what_was_learned_and_where_the_device_is(tmp_path: Path, method: str) -> None:
    result, run = run_sequence(tmp_path, f"{_baseline(method, 120)}\nevaluate: {{}}\ntrain: {{beta: 1.0e-6, samples: 1}}", INSIDE)
    assert result.state is RunState.FINISHED, result.reason
    steps = np.linalg.norm(np.diff(run.steps["theta"], axis=0), axis=1)
    np.testing.assert_allclose(steps[:119], run.steps["moved"][1:120])  # no probe in between
    assert steps[-1] < 1e-4  # the Æqprop step that follows begins where the baseline ended
    assert run.steps["cost_free"][90:120].mean() < run.steps["cost_free"][:30].mean()


def test_aeqprop_learns_on_the_engine_after_a_baseline(tmp_path: Path) -> None:
    result, run = run_sequence(tmp_path, f"{_baseline('sgd', 8)}\ntrain: {{beta: 0.5, samples: 40, batch: 4}}", ENGINE)
    assert result.state is RunState.FINISHED, result.reason
    theta = run.steps["theta"][2:]
    assert (np.linalg.norm(np.diff(theta, axis=0), axis=1) > 0).all()
    assert np.linalg.norm(theta[-1] - theta[0]) > 2.0 * np.linalg.norm(theta[1] - theta[0])
