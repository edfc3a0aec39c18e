"""Theorem 1: the step is -epsilon beta grad C + O(epsilon^2 beta + epsilon beta^2), and the order of each term is as stated."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from exact_step import System

from aeqlab.protocols.aeqprop import nudging_pair, train_step
from aeqlab.protocols.hold_settings import HomeostasisSettings, SettlingSettings
from aeqlab.protocols.session import Session

METHODS = ["optimistic", "pessimistic", "centered"]
ENERGIES = ["linear", "spring"]


def error(energy: str, method: str, epsilon: float, beta: float, seed: int = 1) -> float:
    """|step + epsilon beta grad C| relative to |epsilon beta grad C|."""
    system = System(energy, epsilon, seed=seed)
    wanted = -epsilon * beta * system.loss_gradient(system.theta)
    return float(np.linalg.norm(system.step(nudging_pair(method, beta)) - system.theta - wanted) / np.linalg.norm(wanted))


@pytest.mark.parametrize("energy", ENERGIES)
@pytest.mark.parametrize(("method", "order"), [("optimistic", 1), ("pessimistic", 1), ("centered", 2)])
def test_the_error_shrinks_with_beta(energy: str, method: str, order: int) -> None:
    """epsilon beta^2, so relative to the step beta; for centered the first order cancels (eq. 35), beta^2 is left."""
    errors = [error(energy, method, 1e-6, beta) for beta in (0.2, 0.1, 0.05)]
    for larger, smaller in pairwise(errors):
        assert larger / smaller == pytest.approx(2.0**order, rel=0.15)


@pytest.mark.parametrize("energy", ENERGIES)
@pytest.mark.parametrize("method", METHODS)
def test_the_error_shrinks_with_epsilon(energy: str, method: str) -> None:
    """epsilon^2 beta, so relative to the step epsilon, or faster: on `linear` F is flat in theta at beta = 0, and M is 1."""
    beta = 1e-4
    floor = error(energy, method, 1e-6, beta)  # what the finite beta leaves
    errors = [error(energy, method, epsilon, beta) for epsilon in (0.2, 0.1, 0.05)]
    if errors[0] < 10 * floor:
        assert energy == "linear"
        assert errors[0] < 0.1 * 0.2
        return
    for larger, smaller in pairwise(errors):
        assert 1.6 < larger / smaller < 2.6


@pytest.mark.parametrize("energy", ENERGIES)
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("controller", ["ideal", "integral"])
def test_the_protocol_s_step_is_the_exact_one(energy: str, method: str, controller: Any) -> None:
    """train_step on the device of section 5.1, converged, against eqs. (27)-(28) solved."""
    system = System(energy, 0.1)
    exact = system.step(nudging_pair(method, 0.05)) - system.theta
    system.device.write_parameters(system.theta)
    with Session(
        system.device,
        homeostasis=HomeostasisSettings(controller=controller, tolerance=1e-7),
        settling=SettlingSettings(tolerance=1e-5, timeout=5000.0),
    ) as session:
        report = train_step(session, system.x, system.y, theta=system.theta, pair=nudging_pair(method, 0.05))
    assert report.used
    assert report.theta_after is not None
    assert np.linalg.norm(report.theta_after - system.theta - exact) < 1e-3 * np.linalg.norm(exact)


@pytest.mark.slow
@pytest.mark.parametrize("energy", ENERGIES)
@pytest.mark.parametrize("method", METHODS)
def test_both_at_once_over_many_examples(energy: str, method: str) -> None:
    """epsilon and beta halved together: the error of the step falls by 8 at least, a quarter of it by the step's own size."""
    for seed in range(10):
        steps = [error(energy, method, epsilon, epsilon, seed) for epsilon in (0.08, 0.04, 0.02)]
        for larger, smaller in pairwise(steps):
            assert larger / smaller > 1.7
