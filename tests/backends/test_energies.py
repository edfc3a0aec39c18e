"""The built-in energies: gradients and differences, equilibria and scipy, batches and loops, bounds on beta."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.optimize import minimize

from aeqlab.backends.costs import HalfSquaredError, LogCosh
from aeqlab.backends.couplings import Cosh, Quadratic
from aeqlab.backends.energies import Energy
from aeqlab.backends.energy_kinds import OPTIONS, make_energy
from aeqlab.backends.errors import DivergedError

Array = NDArray[Any]
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "linear": ("linear", {"frequencies": 3}),
    "linear with s squared": ("linear", {"frequencies": 2, "s_squared": 0.7}),
    "spring": ("spring", {"kappa": 0.4}),
    "spring of few edges": (
        "spring",
        {
            "inputs": 1,
            "hidden": 2,
            "outputs": 2,
            "edges": [(0, 1), (1, 2), (2, 3), (3, 4), (1, 4)],
            "stiffness": [1, 2, 0.5, 3, 1],
        },
    ),
    "hopfield": ("hopfield", {"layers": [3, 4, 2]}),
    "deep hopfield": ("hopfield", {"layers": [2, 3, 3, 2], "gains": [0.8, 0.5, 0.7]}),
}
every_energy = pytest.mark.parametrize("case", CASES)
COST = HalfSquaredError()


def build(case: str) -> Energy:
    name, options = CASES[case]
    return make_energy(name, OPTIONS[name](**options), Path())


def draw(energy: Energy, seed: int, samples: int) -> tuple[Array, Array, Array, Array]:
    """A random theta, x, s and y, all inside the limits."""
    rng = np.random.default_rng(seed)
    theta = energy.first_parameters(rng) + 0.3 * rng.normal(size=energy.n_parameters)
    low, high = np.maximum(energy.inputs.low, -1), np.minimum(energy.inputs.high, 1)
    x = rng.uniform(low, high, (samples, len(energy.inputs)))
    s = rng.normal(size=(samples, energy.n_states))
    if energy.box is not None:
        s = np.clip(s, *energy.box)
    return theta, x, s, rng.normal(size=(samples, len(energy.outputs)))


def differences(f: Any, at: Array, h: float = 1e-6) -> Array:
    """Central differences of a function of a flat array."""
    steps = h * np.eye(len(at))
    return np.array([(f(at + step) - f(at - step)) / (2 * h) for step in steps])


@every_energy
@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), samples=st.integers(1, 4))
def test_gradients_are_those_of_the_energy(case: str, seed: int, samples: int) -> None:
    energy = build(case)
    theta, x, s, _ = draw(energy, seed, samples)
    of_state = differences(lambda v: float(energy.energy(theta, x, v.reshape(s.shape)).sum()), s.ravel()).reshape(s.shape)
    np.testing.assert_allclose(energy.state_gradient(theta, x, s), of_state, rtol=1e-5, atol=1e-7)
    of_theta = differences(lambda v: float(energy.energy(v, x, s).mean()), theta)
    np.testing.assert_allclose(energy.parameter_gradient(theta, x, s), of_theta, rtol=1e-5, atol=1e-7)
    hessian = energy.state_hessian(theta, x, s)
    for b in range(samples):
        one = differences(lambda v, b=b: energy.state_gradient(theta, x[b : b + 1], v[None])[0], s[b])
        np.testing.assert_allclose(hessian[b], one, rtol=1e-5, atol=1e-6)


@every_energy
@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_batch_equals_loop(case: str, seed: int) -> None:
    energy = build(case)
    theta, x, s, y = draw(energy, seed, 5)
    one = [slice(b, b + 1) for b in range(5)]
    np.testing.assert_allclose(energy.energy(theta, x, s), [energy.energy(theta, x[b], s[b])[0] for b in one], rtol=1e-12)
    together = energy.parameter_gradient(theta, x, s)
    np.testing.assert_allclose(together, np.mean([energy.parameter_gradient(theta, x[b], s[b]) for b in one], axis=0), atol=1e-12)
    rest = energy.equilibrium(COST, theta, x, y, 0.3)
    np.testing.assert_allclose(rest, np.concatenate([energy.equilibrium(COST, theta, x[b], y[b], 0.3) for b in one]), atol=1e-9)
    together = energy.loss_gradient(COST, theta, x, y)
    np.testing.assert_allclose(together, np.mean([energy.loss_gradient(COST, theta, x[b], y[b]) for b in one], axis=0), atol=1e-9)


@every_energy
def test_a_landscape_says_what_the_energy_says_at_any_order_of_questions(case: str) -> None:
    energy = build(case)
    theta, x, s, _ = draw(energy, 3, 2)
    theta2, _, s2, _ = draw(energy, 4, 2)
    at = energy.at(x)
    for t, v in ((theta, s), (theta, s2), (theta2, s2), (theta2, s), (theta, s), (theta, s)):
        np.testing.assert_array_equal(at.state_gradient(t, v), energy.state_gradient(t, x, v))
        np.testing.assert_array_equal(at.parameter_gradient(t, v), energy.parameter_gradient(t, x, v))
        np.testing.assert_array_equal(at.value(t, v), energy.energy(t, x, v))


@every_energy
@pytest.mark.parametrize("beta", [0.0, 0.5, -0.3])
def test_equilibrium_is_the_minimum_scipy_finds(case: str, beta: float) -> None:
    energy = build(case)
    for seed in range(4):
        theta, x, _, y = draw(energy, seed, 1)
        found = energy.equilibrium(COST, theta, x, y, beta)

        def total(v: Array, theta: Array = theta, x: Array = x, y: Array = y) -> float:
            s = v.reshape(1, -1)
            return float(energy.energy(theta, x, s)[0] + beta * COST.value(energy.outputs_of(s), y)[0])

        box = None if energy.box is None else list(zip(*energy.box, strict=True))
        best = minimize(total, energy.start(1).ravel(), bounds=box, method="L-BFGS-B", options={"ftol": 1e-15, "gtol": 1e-9})
        assert total(found.ravel()) <= best.fun + 1e-9
        np.testing.assert_allclose(found.ravel(), best.x, atol=2e-4)


@every_energy
def test_equilibrium_with_another_cost_leaves_no_force(case: str) -> None:
    energy, cost = build(case), LogCosh()
    theta, x, _, y = draw(energy, 1, 3)
    s = energy.equilibrium(cost, theta, x, y, 0.8)
    g = energy.state_gradient(theta, x, s)
    g[:, energy.output_index] += 0.8 * cost.gradient(energy.outputs_of(s), y)
    low, high = energy.box if energy.box is not None else (-np.inf, np.inf)
    assert np.abs(s - np.clip(s - g, low, high)).max() < 1e-8


@every_energy
def test_loss_gradient_is_that_of_the_loss(case: str) -> None:
    energy = build(case)
    theta, x, _, y = draw(energy, 7, 3)

    def loss(v: Array) -> float:
        return float(COST.value(energy.outputs_of(energy.equilibrium(COST, v, x, None, 0.0)), y).mean())

    np.testing.assert_allclose(energy.loss_gradient(COST, theta, x, y), differences(loss, theta, 1e-5), rtol=1e-5, atol=1e-8)


def test_fourier_features_are_those_of_the_paper() -> None:
    energy = make_energy("linear", OPTIONS["linear"](), Path())
    z = 0.37
    theta = np.arange(21.0)
    expected = theta[0] + sum(
        theta[2 * i - 1] * np.sin(i * np.pi * z) + theta[2 * i] * np.cos(i * np.pi * z) for i in range(1, 11)
    )
    rest = energy.equilibrium(COST, theta, np.array([[z]]), None, 0.0)
    np.testing.assert_allclose(rest, [[expected]], rtol=1e-12)


@pytest.mark.parametrize(("epsilon", "bound"), [(0.5, 0.154), (0.1, 0.476), (0.01, 0.90)])
def test_bounds_on_beta_of_the_regression(epsilon: float, bound: float) -> None:
    energy = make_energy("linear", OPTIONS["linear"](), Path())
    bounds = energy.beta_bounds(Quadratic(np.full(21, epsilon)))
    assert bounds.held == -1
    assert bounds.floating == pytest.approx(-bound, rel=5e-3)
    with_s = make_energy("linear", OPTIONS["linear"](s_squared=1.0), Path()).beta_bounds(Quadratic(np.full(21, epsilon)))
    assert with_s.held == -3
    assert with_s.floating == pytest.approx(bounds.floating - 2)
    assert energy.beta_bounds(Cosh(np.full(21, epsilon))).floating == -1


@pytest.mark.parametrize("case", ["linear", "linear with s squared", "loose spring"])
def test_bounds_on_beta_are_where_the_curvature_vanishes(case: str) -> None:
    if case == "loose spring":
        energy: Energy = make_energy("spring", OPTIONS["spring"](kappa=0, lam=0.2, outputs=2), Path())
    else:
        energy = build(case)
    n, k = energy.n_states, energy.n_parameters
    epsilon = np.random.default_rng(0).uniform(0.05, 0.5, k)
    if case.startswith("linear"):
        epsilon[:] = 0.3  # with one epsilon per knob the bound is on the safe side, not exact
    theta, x, s, _ = draw(energy, 0, 1)
    bounds = energy.beta_bounds(Quadratic(epsilon))

    def curvature(beta: float, floating: bool) -> float:
        """Smallest eigenvalue of the Hessian in s, or in s and theta with u standing still."""

        def gradient(v: Array) -> Array:
            g = energy.state_gradient(v[n:], x, v[None, :n])[0]
            g[energy.output_index] += beta * v[energy.output_index]
            return np.concatenate([g, energy.parameter_gradient(v[n:], x, v[None, :n]) + v[n:] / epsilon])

        hessian = differences(gradient, np.concatenate([s[0], theta]), 1e-4)
        return float(np.linalg.eigvalsh(hessian if floating else hessian[:n, :n])[0])

    assert bounds.floating is not None
    for bound, floating in ((bounds.held, False), (bounds.floating, True)):
        assert curvature(bound * 0.99, floating) > 0 > curvature(bound * 1.01, floating)


def test_no_equilibrium_below_the_bound() -> None:
    y = np.ones((1, 1))
    linear = build("linear")
    with pytest.raises(DivergedError, match="beta > -1"):
        linear.equilibrium(COST, np.zeros(7), np.zeros((1, 1)), y, -1.0)
    spring = make_energy("spring", OPTIONS["spring"](kappa=0), Path())
    low = spring.beta_bounds(Quadratic(np.full(spring.n_parameters, 0.1))).held
    with pytest.raises(DivergedError):
        spring.equilibrium(COST, np.zeros(spring.n_parameters), np.zeros((1, 2)), y, 1.1 * low)
    assert np.isfinite(spring.equilibrium(COST, np.zeros(spring.n_parameters), np.zeros((1, 2)), y, 0.9 * low)).all()


@pytest.mark.parametrize("beta", [-1.0, -1.7])
def test_a_concave_output_takes_the_better_end_of_its_box(beta: float) -> None:
    energy = build("hopfield")
    theta, x, _, _ = draw(energy, 2, 1)
    y = np.array([[0.2, 1.4]])
    found = energy.equilibrium(COST, theta, x, y, beta)
    out = energy.output_index

    def total(s: Array) -> float:
        return float(energy.energy(theta, x, s)[0] + beta * COST.value(s[:, out], y)[0])

    assert energy.box is not None
    for unit in out:
        values = []
        for end in np.linspace(energy.box[0][unit], energy.box[1][unit], 31):
            other = found.copy()
            other[0, unit] = end
            values.append(total(other))
        assert total(found) <= min(values) + 1e-12
        assert found[0, unit] in (energy.box[0][unit], energy.box[1][unit])


def test_first_weights_follow_eq_113() -> None:
    energy = make_energy("hopfield", OPTIONS["hopfield"](layers=[60, 40, 20], gains=[0.8, 1.2]), Path())
    theta = energy.first_parameters(np.random.default_rng(0))
    for block, gain in zip(energy.parameters[::2], [0.8, 1.2], strict=True):
        w = theta[block.slice]
        c = gain / 2 * np.sqrt(6 / sum(block.shape))
        assert np.abs(w).max() <= c
        assert np.abs(w).max() == pytest.approx(c, rel=0.02)
        assert w.std() == pytest.approx(c / np.sqrt(3), rel=0.1)
    assert all(not theta[block.slice].any() for block in energy.parameters[1::2])
