"""Theorem 2 and eq. (33): the Lyapunov function never rises in a step, for any epsilon and beta, and bounds the loss."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from exact_step import System

from aeqlab.protocols.aeqprop import nudging_pair
from aeqlab.protocols.hold_settings import HomeostasisSettings, SettlingSettings
from aeqlab.protocols.session import Session

METHODS = ["optimistic", "pessimistic", "centered"]


def largest_beta(system: System, method: str) -> float:
    """The beta whose lower nudge reaches the bound below which the energy is no longer convex; 5 where it is never negative."""
    if method == "optimistic":
        return 5.0
    return -system.convex_above() * (1.0 if method == "pessimistic" else 2.0)


def test_the_bound_of_the_regression_is_the_known_one() -> None:
    """REPRODUCTION item 23: 1 / (1 + epsilon |phi|^2) with |phi|^2 = 11."""
    for epsilon in (0.5, 0.1, 0.01):
        assert System("linear", epsilon).convex_above() == pytest.approx(-1.0 / (1.0 + 11.0 * epsilon), rel=1e-6)


def check_step(energy: str, method: str, epsilon: float, share: float, seed: int) -> None:
    system = System(energy, epsilon, seed=seed)
    pair = nudging_pair(method, share * largest_beta(system, method))
    before, after = system.lyapunov(system.theta, pair), system.lyapunov(system.step(pair), pair)
    assert after <= before + 1e-10 * (1.0 + abs(before)), (energy, method, epsilon, pair)
    assert after < before  # and it learns something


@pytest.mark.parametrize("energy", ["linear", "spring"])
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("epsilon", [0.05, 0.5, 2.0])
def test_the_lyapunov_function_never_rises(energy: str, method: str, epsilon: float) -> None:
    for share in (0.1, 0.9):
        check_step(energy, method, epsilon, share, seed=1)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("energy", ["linear", "spring"])
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("epsilon", [0.05, 0.1, 0.2, 0.5, 1.0, 2.0])
def test_the_lyapunov_function_never_rises_over_many_examples(energy: str, method: str, epsilon: float) -> None:
    for seed in range(12):
        for share in (0.05, 0.3, 0.6, 0.9):
            check_step(energy, method, epsilon, share, seed)


@pytest.mark.parametrize("energy", ["linear", "spring"])
def test_the_lyapunov_function_is_the_mean_cost_over_the_nudges(energy: str) -> None:
    """Eq. (24) by Gauss-Legendre quadrature against eq. (58)."""
    system = System(energy)
    points, weights = np.polynomial.legendre.leggauss(12)
    for pair in ((0.0, 0.2), (-0.2, 0.0), (-0.1, 0.1)):
        middle, half = 0.5 * (pair[0] + pair[1]), 0.5 * (pair[1] - pair[0])
        mean = 0.5 * sum(w * system.cost(system.theta, middle + half * p) for p, w in zip(points, weights, strict=True))
        assert mean == pytest.approx(system.lyapunov(system.theta, pair), rel=1e-8)


@pytest.mark.parametrize("energy", ["linear", "spring", "hopfield"])
@pytest.mark.parametrize("seed", range(4))
def test_the_lyapunov_functions_bound_the_loss(energy: str, seed: int) -> None:
    """Eq. (33): L_{0; beta} <= C <= L_{-beta; 0}, and their distance is O(beta), for centered O(beta^2) (eqs. 34-35)."""
    system = System(energy, seed=seed)
    loss = system.cost(system.theta, 0.0)
    gaps = []
    for beta in (0.1, 0.05):
        below, above = system.lyapunov(system.theta, (0.0, beta)), system.lyapunov(system.theta, (-beta, 0.0))
        assert below <= loss + 1e-9 <= above + 2e-9
        gaps.append((above - below, abs(system.lyapunov(system.theta, (-beta / 2, beta / 2)) - loss)))
    if energy != "hopfield":  # which has kinks at the ends of its box
        assert gaps[0][0] / gaps[1][0] == pytest.approx(2.0, rel=0.2)
        assert gaps[0][1] / gaps[1][1] == pytest.approx(4.0, rel=0.3)


def one_hopfield_step(seed: int, epsilon: float, pair: tuple[float, float]) -> tuple[bool, float, float]:
    """Do one step on the device itself and relax back; returns whether theta came back, and L before and after."""
    system = System("hopfield", epsilon, seed=seed)
    device: Any = system.device
    device.write_parameters(system.theta)
    physics = device._physics
    with Session(
        device,
        homeostasis=HomeostasisSettings(controller="ideal"),
        settling=SettlingSettings(tolerance=1e-4, timeout=5000.0),
    ) as session:

        def nudged(beta: float) -> None:
            session.nudge(system.y, beta) if beta else session.release()

        session.present(system.x)
        nudged(pair[0])
        session.hold(None)
        states = {}

        def settled(beta: float) -> np.ndarray:
            nudged(beta)
            session.settle()
            states[beta] = physics.states().copy()
            return np.asarray(device.parameters())

        start = settled(pair[0])
        after = settled(pair[1])
        upper = states[pair[1]]
        back = settled(pair[0])

    def lyapunov(theta: np.ndarray) -> float:
        energy, parts = physics.energy, []
        for beta in pair:
            s = energy.equilibrium(physics.cost, theta, system.x, system.y, beta, upper)
            value = energy.energy(theta, system.x, s) + beta * physics.cost.value(s[:, energy.output_index], system.y)
            parts.append(float(value.mean()))
        return (parts[1] - parts[0]) / (pair[1] - pair[0])

    moved = np.linalg.norm(after - start)
    return bool(np.linalg.norm(back - start) < 0.02 * moved + 1e-6), lyapunov(start), lyapunov(after)


@pytest.mark.parametrize("epsilon", [0.1, 1.0])
def test_it_holds_on_hopfield_wherever_relaxing_back_returns(epsilon: float) -> None:
    """Assumption 6 wants one basin: steps from which the system does not come back are counted, not judged."""
    returned = jumps = 0
    for seed in range(8):
        came_back, before, after = one_hopfield_step(seed, epsilon, (0.0, 0.2))
        if came_back:
            returned += 1
            assert after <= before + 1e-6 * (1.0 + abs(before))
        else:
            jumps += 1
    print(f"epsilon {epsilon}: {returned} steps came back, {jumps} changed basin")
    assert returned >= 4
