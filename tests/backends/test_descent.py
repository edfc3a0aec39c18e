"""The steps of section 5.1: accepted only if the energy does not rise, sizes begun anew, time as it was accepted."""

from __future__ import annotations

from decimal import Context, Decimal, localcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from aeqlab.backends.costs import HalfSquaredError
from aeqlab.backends.couplings import Coupling, Quadratic, make_coupling
from aeqlab.backends.descent import GROW, SHRINK, Descent
from aeqlab.backends.energy_kinds import OPTIONS, make_energy
from aeqlab.backends.linear import LinearEnergy, LinearOptions
from aeqlab.backends.linear_descent import LinearDescent

Array = NDArray[Any]
COST = HalfSquaredError()


def system(name: str, coupling: str = "quadratic", samples: int = 1, seed: int = 0, **options: Any) -> Descent:
    """A system somewhere on its way, with a nudge."""
    rng = np.random.default_rng(seed)
    energy = make_energy(name, OPTIONS[name](**options), Path())
    k = energy.n_parameters
    made: Coupling = make_coupling(coupling, rng.uniform(0.05, 0.5, k), Path())
    theta = energy.first_parameters(rng) + 0.1 * rng.normal(size=k)
    if isinstance(energy, LinearEnergy) and isinstance(made, Quadratic) and samples == 1:
        system: Descent = LinearDescent(energy, made, COST, theta, np.random.default_rng(1))
    else:
        system = Descent(energy, made, COST, theta, samples, np.random.default_rng(1))
    system.present(rng.uniform(0, 1, (samples, len(energy.inputs))))
    system.set_controls(theta + 0.2 * rng.normal(size=k))
    system.nudge(rng.normal(size=(samples, len(energy.outputs))), 0.3)
    return system


SYSTEMS: dict[str, dict[str, Any]] = {
    "linear, written out": {"name": "linear"},
    "linear with s squared, written out": {"name": "linear", "s_squared": 0.5},
    "linear, two samples": {"name": "linear", "samples": 2},
    "linear, cosh": {"name": "linear", "coupling": "cosh"},
    "spring": {"name": "spring"},
    "spring, mirror": {"name": "spring", "coupling": "mirror"},
    "hopfield": {"name": "hopfield", "samples": 3},
}
every_system = pytest.mark.parametrize("which", SYSTEMS)


@every_system
@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), beta=st.floats(-0.9, 2.0))
def test_no_step_raises_the_energy_while_the_knobs_stand_still(which: str, seed: int, beta: float) -> None:
    p = system(seed=seed, **SYSTEMS[which])
    p.nudge(p.y, beta)
    before = p.total_energy()
    for _ in range(60):
        p.step_state()
        middle = p.total_energy()
        p.step_parameters()
        after = p.total_energy()
        room = 1e-12 * (1 + abs(before))
        assert middle <= before + room
        assert after <= middle + room
        before = after


@every_system
def test_it_comes_to_rest_where_no_force_is_left(which: str) -> None:
    p = system(**SYSTEMS[which])
    p.nudge(p.y, 0.05)
    p.begin_phase()
    for _ in range(3000):
        p.step_state()
        p.step_parameters()
    force = p.coupling.gradient(p.u, p.theta) + p.energy.parameter_gradient(p.theta, p.x, p.s)
    assert np.abs(force).max() < 1e-6
    rest = p.energy.equilibrium(COST, p.theta, p.x, p.y, 0.05, start=p.s)
    np.testing.assert_allclose(p.s, rest, atol=1e-6)


@every_system
def test_time_is_the_step_that_was_accepted(which: str) -> None:
    p = system(**SYSTEMS[which])
    refused = 0
    for _ in range(200):
        p.step_state()
        theta, eta = p.theta, p.eta_theta
        dt = p.step_parameters()
        if dt:
            assert dt == eta
            assert p.eta_theta in (eta * GROW, eta * (1 / GROW))
        else:
            refused += 1
            assert p.theta is theta
            assert p.eta_theta == eta * SHRINK
    assert 0 < refused < 100


@every_system
def test_a_phase_begins_with_full_steps(which: str) -> None:
    p = system(**SYSTEMS[which])
    for _ in range(20):
        p.step_state()
        p.step_parameters()
    assert (p.eta_s != 1).all()
    p.begin_phase()
    np.testing.assert_array_equal(p.eta_s, np.ones(len(p.s)))
    assert p.eta_theta == p.coupling.built.min()


@pytest.mark.parametrize("which", ["linear, written out", "spring"])
def test_a_first_step_is_that_of_eq_15_with_one_mobility_per_knob(which: str) -> None:
    p = system(**SYSTEMS[which])
    theta = p.theta
    force = (theta - p.u) / p.coupling.epsilon + p.energy.parameter_gradient(theta, p.x, p.s)
    epsilon_min = p.coupling.epsilon.min()
    dt = p.step_parameters()
    assert dt == epsilon_min
    np.testing.assert_allclose(p.theta, theta - dt / epsilon_min * p.coupling.epsilon * force, atol=1e-14)


@pytest.mark.parametrize("s_squared", [0.0, 1.0])
@pytest.mark.parametrize("one_epsilon", [True, False])
def test_the_regression_written_out_walks_as_the_general_one(s_squared: float, one_epsilon: bool) -> None:
    rng = np.random.default_rng(5)
    energy = LinearEnergy(LinearOptions(frequencies=4, s_squared=s_squared))
    epsilon = np.full(9, 0.2) if one_epsilon else rng.uniform(0.05, 0.5, 9)
    theta = rng.normal(size=9)
    fast = LinearDescent(energy, Quadratic(epsilon), COST, theta, np.random.default_rng(0))
    plain = Descent(energy, Quadratic(epsilon), COST, theta, 1, np.random.default_rng(0))
    for phase in range(6):
        x, y = rng.uniform(-1, 1, (2, 1, 1))
        for p in (fast, plain):
            p.present(x)
            p.nudge(y, [0.0, 0.3, -0.2][phase % 3])
            p.begin_phase()
            if phase == 4:
                p.scale_coupling(0.6)
        for _ in range(12):  # before rounding decides whether an energy is unchanged
            u = theta + 0.3 * rng.normal(size=9)
            for p in (fast, plain):
                p.set_controls(u)
                p.step_state()
            assert fast.step_parameters() == pytest.approx(plain.step_parameters(), rel=1e-12)
            np.testing.assert_allclose(fast.theta, plain.theta, rtol=1e-9, atol=1e-12)
            np.testing.assert_allclose(fast.s, plain.s, rtol=1e-9, atol=1e-12)
            np.testing.assert_allclose(fast.eta_s, plain.eta_s, rtol=1e-12)
            assert fast.total_energy() == pytest.approx(plain.total_energy(), rel=1e-9)
            square = float(fast.theta.dot(fast.theta))
            for limit in (0.999 * square, 1.001 * square, 1e12):
                assert fast.beyond(1e12, limit) == plain.beyond(1e12, limit) == (limit < square)
    fast.write(np.ones(9))
    plain.write(np.ones(9))
    assert fast.step_parameters() == plain.step_parameters()
    np.testing.assert_allclose(fast.theta, plain.theta, atol=1e-12)


def in_forty_digits(p: LinearDescent, ticks: int) -> tuple[int, Array]:
    """Walk section 5.1 from where a system with one epsilon stands, with no rounding to speak of; refusals and theta."""

    def exact(values: Any) -> list[Decimal]:
        return [Decimal(float(v)) for v in np.ravel(values)]

    def dot(a: list[Decimal], b: list[Decimal]) -> Decimal:
        return sum((v * w for v, w in zip(a, b, strict=True)), Decimal(0))

    def energy(s: Decimal, theta: list[Decimal]) -> Decimal:
        d = [v - w for v, w in zip(u, theta, strict=True)]
        return ((s - dot(theta, phi)) ** 2 + beta * (s - y) ** 2 + dot(d, d) / epsilon) / 2

    with localcontext(Context(prec=40)):
        theta, u, phi = exact(p.theta), exact(p.u), exact(p._linear.features(p.x))
        (s,), (y,), (beta,), (epsilon,) = exact(p.s), exact(p.y), exact(p.beta), exact(p.coupling.epsilon[0])
        refused, eta_s, eta = 0, Decimal(1), epsilon
        for _ in range(ticks):
            new_s = s - eta_s * (s - dot(theta, phi) + beta * (s - y))
            kept = energy(new_s, theta) <= energy(s, theta)
            s, eta_s = (new_s, eta_s * Decimal("1.05")) if kept else (s, eta_s / 2)
            r = s - dot(theta, phi)
            new_theta = [t + eta * ((v - t) / epsilon + r * f) for t, v, f in zip(theta, u, phi, strict=True)]
            kept = energy(s, new_theta) <= energy(s, theta)
            theta, eta = (new_theta, eta * Decimal("1.05")) if kept else (theta, eta / 2)
            refused += not kept
        return refused, np.array([float(t) for t in theta])


def test_at_rest_the_regression_refuses_no_more_steps_than_exact_arithmetic() -> None:
    """The second phase of a step: u such that theta was held against -beta, then beta; most of 50 ticks are spent at rest."""
    refused = expected = 0
    for seed in range(6):
        rng = np.random.default_rng(seed)
        p = LinearDescent(
            LinearEnergy(LinearOptions()), Quadratic(np.full(21, 0.1)), COST, 0.5 * rng.normal(size=21), np.random.default_rng(0)
        )
        p.present(rng.uniform(-1, 1, (1, 1)))
        y = rng.normal(size=(1, 1))
        p.put_states(p.energy.equilibrium(COST, p.theta, p.x, y, -0.05))
        p.set_controls(p.balanced_controls())
        p.nudge(y, 0.05)
        in_theory, theta = in_forty_digits(p, 50)
        expected += in_theory
        for _ in range(50):
            p.step_state()
            refused += p.step_parameters() == 0.0
        np.testing.assert_allclose(p.theta, theta, atol=1e-9)
    assert expected >= 6
    assert 6 <= refused <= expected


@pytest.mark.parametrize("name", ["linear", "spring", "hopfield"])
def test_the_states_of_a_batch_move_as_they_would_alone(name: str) -> None:
    """With theta held each sample has a step size and a test of its own: eight in a batch walk as eight alone."""
    batch = system(name, coupling="cosh", samples=8)
    alone = [system(name, coupling="cosh") for _ in range(8)]
    assert batch.y is not None
    for b, p in enumerate(alone):
        p.write(batch.theta)
        p.present(batch.x[b : b + 1])
        p.nudge(batch.y[b : b + 1], batch.beta)
    for _ in range(12):
        batch.step_state()
        for b, p in enumerate(alone):
            p.step_state()
            np.testing.assert_allclose(p.s[0], batch.s[b], rtol=1e-10, atol=1e-12)
            np.testing.assert_allclose(p.eta_s[0], batch.eta_s[b])


@pytest.mark.parametrize("which", ["linear, written out", "linear, two samples", "linear, cosh"])
def test_an_unchanged_energy_is_accepted_and_the_size_grows_or_shrinks_by_chance(which: str) -> None:
    p = system(**SYSTEMS[which])
    p.write(np.zeros_like(p.theta))
    p.set_controls(np.zeros_like(p.theta))
    p.nudge(None, 0.0)
    p.put_states(np.zeros_like(p.s))  # nothing pulls at anything
    seen = set()
    for _ in range(60):
        p.begin_phase()
        p.step_state()
        assert p.step_parameters() == p.lag
        seen |= {round(float(eta), 6) for eta in p.eta_s}
        seen.add(round(p.eta_theta / p.lag, 6))
    assert seen == {round(GROW, 6), round(1 / GROW, 6)}


def test_steps_stay_in_the_box() -> None:
    p = system("hopfield", samples=4)
    assert p.energy.box is not None
    p.nudge(50 * np.ones((4, 2)), 3.0)
    for _ in range(100):
        p.step_state()
        p.step_parameters()
        assert (p.s >= p.energy.box[0]).all()
        assert (p.s <= p.energy.box[1]).all()
    np.testing.assert_array_equal(p.outputs(), 2.0)  # pressed against the wall


def test_another_number_of_samples_wakes_the_state_up_anew() -> None:
    p = system("spring", samples=2)
    p.step_state()
    p.present(np.zeros((5, 2)))
    p.begin_phase()
    np.testing.assert_array_equal(p.s, np.zeros((5, 4)))
    assert p.y is None
    assert p.beta == 0
    p.step_state()
    assert p.eta_s.shape == (5,)
