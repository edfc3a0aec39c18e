"""Theorem 3: with any convex coupling a step is Riemannian gradient descent on L, with metric M and an error of second order."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from exact_step import System


def residual(system: System, pair: tuple[float, float]) -> float:
    """|theta_t - theta_{t-1} + epsilon (beta_2 - beta_1) M^-1 grad L|, eq. (30)."""
    width = pair[1] - pair[0]
    natural = np.linalg.solve(system.metric(pair[0]), system.lyapunov_gradient(system.theta, pair))
    return float(np.linalg.norm(system.step(pair) - system.theta + system.epsilon * width * natural))


@pytest.mark.parametrize("energy", ["linear", "spring"])
@pytest.mark.parametrize("coupling", ["quadratic", "cosh", "mirror"])
def test_the_error_is_of_second_order_in_beta_at_any_epsilon(energy: str, coupling: str) -> None:
    for epsilon in (0.1, 1.0):
        system = System(energy, epsilon, coupling)
        errors = [residual(system, (-0.01, -0.01 + width)) for width in (0.04, 0.02, 0.01)]
        for larger, smaller in pairwise(errors):
            assert larger / smaller > 3.0


@pytest.mark.parametrize("energy", ["linear", "spring"])
@pytest.mark.parametrize("coupling", ["cosh", "mirror"])
def test_the_error_is_of_second_order_in_epsilon_at_any_beta(energy: str, coupling: str) -> None:
    errors = [residual(System(energy, epsilon, coupling), (-0.05, 0.3)) for epsilon in (0.02, 0.01, 0.005)]
    for larger, smaller in pairwise(errors):
        assert larger / smaller > 3.0


@pytest.mark.parametrize("coupling", ["cosh", "mirror"])
def test_the_lyapunov_function_falls_with_a_coupling_that_is_not_quadratic(coupling: str) -> None:
    for energy in ("linear", "spring"):
        for epsilon in (0.1, 1.0):
            system = System(energy, epsilon, coupling)
            for pair in ((0.0, 0.5), (-0.02, 0.02)):
                assert system.lyapunov(system.step(pair), pair) < system.lyapunov(system.theta, pair)


def test_the_metric_of_the_mirror_coupling_is_its_own_and_not_1() -> None:
    """As epsilon goes to 0, M goes to the second derivative of U, here 1 + theta^2 on the diagonal."""
    system = System("spring", 1e-4, "mirror")
    assert np.diag(system.metric(0.0)) == pytest.approx(1.0 + system.theta**2, rel=1e-2)
    assert np.abs(np.diag(system.metric(0.0)) - 1.0).max() > 0.1


def test_couplings_per_knob_give_steps_per_knob() -> None:
    """sum (u_k - theta_k)^2 / 2 epsilon_k steps by epsilon_k beta along each component."""
    system = System("linear", 1e-5)
    system.coupling.built = system.coupling.epsilon = 1e-5 * (1.0 + np.arange(21))
    moved = system.step((-5e-4, 5e-4)) - system.theta
    assert moved == pytest.approx(-1e-3 * system.coupling.epsilon * system.loss_gradient(system.theta), rel=0.02)
