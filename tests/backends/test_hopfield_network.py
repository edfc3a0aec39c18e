"""The equations of the Hopfield network: energy, layer updates, settling, gradients, against sums and derivatives written out."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from aeqlab.backends.hopfield.equations import Equations
from aeqlab.backends.hopfield.joint import following_parameters
from aeqlab.backends.hopfield.network import (
    Couplings,
    Parameters,
    add_pull_,
    block_shapes,
    cost,
    coupling_energy,
    energy,
    energy_terms,
    initial_parameters,
    move_parameters_,
    parameters_in,
)  # fmt: skip
from aeqlab.backends.hopfield.solver import (
    Norm,
    Outcome,
    Stop,
    Surroundings,
    backward,
    distance_to_rest,
    forward,
    relaxed_layer,
    settle,
    surroundings_of,
    sweep,
)  # fmt: skip
from aeqlab.backends.hopfield.stability import coupling_load
from aeqlab.backends.streams import INITIAL_PARAMETERS, stream

WIDTHS = (5, 7, 4, 3)
BOX = ((0.0, 1.0), (0.0, 1.0), (-1.0, 2.0))
TIGHT = Stop(Norm.LARGEST, (1e-13,) * 3, 10_000)


def network(seed: int, scale: float = 0.5) -> Parameters:
    rng = np.random.default_rng(seed)
    size = sum(math.prod(shape) for shape in block_shapes(WIDTHS).values())
    return parameters_in(torch.as_tensor(scale * rng.standard_normal(size)), WIDTHS)


def batch(seed: int, samples: int = 6) -> tuple[torch.Tensor, torch.Tensor, tuple[torch.Tensor, ...]]:
    rng = np.random.default_rng(seed + 1)
    x = torch.as_tensor(rng.random((samples, WIDTHS[0])))
    y = torch.as_tensor(np.eye(WIDTHS[-1])[rng.integers(0, WIDTHS[-1], samples)])
    state = tuple(torch.as_tensor(rng.uniform(low, high, (samples, n))) for n, (low, high) in zip(WIDTHS[1:], BOX, strict=True))
    return x, y, state


def test_parts_are_views_in_the_order_w1_b1_w2_b2() -> None:
    theta = network(0)
    parts = [p for pair in zip(theta.weights, theta.biases, strict=True) for p in pair]
    assert list(block_shapes(WIDTHS)) == ["w1", "b1", "w2", "b2", "w3", "b3"]
    assert torch.equal(torch.cat([p.reshape(-1) for p in parts]), theta.flat)
    theta.biases[1][2] = 77.0
    assert 77.0 in theta.flat


def test_energy_is_the_sum_written_out() -> None:
    theta, (x, _, state) = network(1), batch(1)
    found = energy(theta, x, state)
    for b in range(len(x)):
        layers = [x[b], *(s[b] for s in state)]
        e = 0.0
        for k, (below, above) in enumerate(pairwise(layers)):
            for j in range(len(above)):
                e += 0.5 * float(above[j]) ** 2 - float(theta.biases[k][j] * above[j])
                for i in range(len(below)):
                    e -= float(below[i] * theta.weights[k][i, j] * above[j])
        assert float(found[b]) == pytest.approx(e, abs=1e-12)
    assert set(energy_terms(theta, x, state)) == {f"{t} {k}" for t in ("leak", "interaction", "bias") for k in (1, 2, 3)}


def test_initial_weights_are_half_of_xavier_uniform() -> None:
    widths, gains = (100, 80, 10), (0.8, 1.2)
    flat = initial_parameters(widths, gains, stream(3, INITIAL_PARAMETERS))
    theta = parameters_in(torch.as_tensor(flat), widths)
    for w, b, gain in zip(theta.weights, theta.biases, gains, strict=True):
        c = 0.5 * gain * math.sqrt(6 / sum(w.shape))
        assert float(w.abs().max()) <= c
        assert float(w.abs().max()) > 0.99 * c
        assert float(w.std()) == pytest.approx(c / math.sqrt(3), rel=0.1)
        assert not b.any()
    assert np.array_equal(flat, initial_parameters(widths, gains, stream(3, INITIAL_PARAMETERS)))
    assert not np.array_equal(flat, initial_parameters(widths, gains, stream(4, INITIAL_PARAMETERS)))


def test_pull_is_minus_epsilon_times_autograd() -> None:
    theta, (x, _, state) = network(2), batch(2)
    couplings = Couplings((0.1, 0.2, 0.3), (0.4, 0.5, 0.6))
    flat = theta.flat.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(energy(parameters_in(flat, WIDTHS), x, state).mean(), flat)
    moved = parameters_in(theta.flat.clone(), WIDTHS)
    add_pull_(moved, couplings, x, state)
    by_hand, slope = parameters_in(theta.flat.clone(), WIDTHS), parameters_in(gradient, WIDTHS)
    epsilons = couplings.weights + couplings.biases
    for part, g, eps in zip(by_hand.weights + by_hand.biases, slope.weights + slope.biases, epsilons, strict=True):
        part.sub_(eps * g)
    assert torch.allclose(moved.flat, by_hand.flat, atol=1e-14)


def test_moving_from_rest_to_rest_never_forms_u_and_is_the_same() -> None:
    theta, (x, _, held), (_, _, state) = network(3), batch(3), batch(4)
    couplings = Couplings((0.1, 0.2, 0.3), (0.4, 0.5, 0.6))
    by_u = parameters_in(theta.flat.clone(), WIDTHS)
    add_pull_(by_u, couplings, x, held, sign=-1.0)
    add_pull_(by_u, couplings, x, state)
    move_parameters_(theta, couplings, x, state, held)
    assert torch.allclose(theta.flat, by_u.flat, atol=1e-14)


@given(seed=st.integers(0, 10_000), beta=st.floats(-3.0, 3.0), scale=st.floats(0.05, 2.0))
@settings(max_examples=60, deadline=None, derandomize=True)
def test_no_layer_update_ever_raises_the_energy(seed: int, beta: float, scale: float) -> None:
    theta, (x, y, state) = network(seed, scale), batch(seed)
    around = surroundings_of(theta, x, BOX, beta, y)
    total = energy(theta, x, state) + beta * cost(state[-1], y)
    for order in (forward(3), backward(3)):
        for k in order:
            new = relaxed_layer(around, state, k, torch.empty_like(state[k]))
            assert bool(((new >= BOX[k][0]) & (new <= BOX[k][1])).all())
            state = (*state[:k], new, *state[k + 1 :])
            lower = energy(theta, x, state) + beta * cost(state[-1], y)
            assert bool((lower <= total + 1e-11 * (1 + total.abs())).all())
            total = lower


@pytest.mark.parametrize("beta", [-0.5, 0.0, 0.5])
def test_a_settled_state_is_stationary_in_its_box(beta: float) -> None:
    theta, (x, y, start) = network(5), batch(5)
    before = [s.clone() for s in start]
    around = surroundings_of(theta, x, BOX, beta, y)
    settled = settle(around, start, backward(3), TIGHT)
    assert settled.outcome is Outcome.CONVERGED
    assert settled.sweeps > 2
    assert all(torch.equal(a, b) for a, b in zip(before, start, strict=True))  # the start is not edited
    state = tuple(s.clone().requires_grad_() for s in settled.state)
    gradients = torch.autograd.grad((energy(theta, x, state) + beta * cost(state[-1], y)).sum(), state)
    for s, g, (low, high) in zip(settled.state, gradients, BOX, strict=True):
        projected = s - (s - g).clamp(low, high)
        assert float(projected.abs().max()) < 1e-11
    assert distance_to_rest(around, settled.state) < 1e-11
    assert distance_to_rest(around, start) > 1e-3


def test_both_orders_find_the_same_rest_and_a_batch_equals_its_samples() -> None:
    theta, (x, y, start) = network(6, 0.3), batch(6)
    around = surroundings_of(theta, x, BOX, 0.3, y)
    one = settle(around, start, forward(3), TIGHT).state
    other = settle(around, start, backward(3), TIGHT).state
    for k in range(3):
        assert torch.allclose(one[k], other[k], atol=1e-10)
    for b in range(len(x)):
        alone = surroundings_of(theta, x[b : b + 1], BOX, 0.3, y[b : b + 1])
        state = settle(alone, tuple(s[b : b + 1] for s in start), forward(3), TIGHT).state
        assert torch.allclose(state[-1][0], one[-1][b], atol=1e-10)
        assert float(energy(theta, x[b : b + 1], state)[0]) == pytest.approx(float(energy(theta, x, one)[b]), abs=1e-10)


@pytest.mark.parametrize("beta", [-1.0, -1.5, -4.0])
def test_an_output_without_curvature_takes_the_better_end_of_its_box(beta: float) -> None:
    theta, (x, y, state) = network(7), batch(7, samples=20)
    around = surroundings_of(theta, x, BOX, beta, y)
    new = relaxed_layer(around, state, 2, torch.empty_like(state[2]))
    grid = torch.linspace(-1.0, 2.0, 31, dtype=torch.float64)
    seen = set()
    for b in range(len(x)):
        for j in range(WIDTHS[-1]):
            totals = []
            for z in grid:
                out = new[b : b + 1].clone()
                out[0, j] = z
                trial = (state[0][b : b + 1], state[1][b : b + 1], out)
                totals.append(float(energy(theta, x[b : b + 1], trial) + beta * cost(out, y[b : b + 1])))
            assert float(new[b, j]) == pytest.approx(float(grid[int(np.argmin(totals))]))
            seen.add(float(new[b, j]))
    assert seen == {-1.0, 2.0}


def test_a_network_without_hidden_layer_is_a_clamped_linear_map() -> None:
    rng = np.random.default_rng(0)
    theta = parameters_in(torch.as_tensor(rng.standard_normal(4 * 2 + 2)), (4, 2))
    x = torch.as_tensor(rng.random((3, 4)))
    around = surroundings_of(theta, x, ((-1.0, 2.0),))
    settled = settle(around, (torch.zeros(3, 2, dtype=torch.float64),), forward(1), Stop(Norm.SUM, (1e-9,), 10))
    assert torch.allclose(settled.state[0], (x @ theta.weights[0] + theta.biases[0]).clamp(-1.0, 2.0))
    assert settled.sweeps == 2


def test_the_papers_stop_sums_over_units_and_samples_and_every_layer_must_pass() -> None:
    theta, (x, _, start) = network(8, 0.2), batch(8, samples=40)
    around = surroundings_of(theta, x, BOX)
    xi = 1e-3
    settled = settle(around, start, forward(3), Stop(Norm.SUM, (xi,) * 3, 1000))
    state, changes = start, [math.inf]
    sweeps = 0
    while max(changes) >= xi:
        new = sweep(around, state, forward(3))
        changes = [float((a - b).abs().sum()) for a, b in zip(new, state, strict=True)]
        state, sweeps = new, sweeps + 1
    assert settled.sweeps == sweeps
    assert settled.residual == pytest.approx(tuple(changes))
    assert all(torch.equal(a, b) for a, b in zip(settled.state, state, strict=True))
    one_strict = settle(around, start, forward(3), Stop(Norm.SUM, (xi, 1e-9, xi), 1000))
    assert one_strict.sweeps > sweeps


def test_settling_says_when_it_gave_up_and_when_numbers_ran_away() -> None:
    theta, (x, _, start) = network(9), batch(9)
    around = surroundings_of(theta, x, BOX)
    given_up = settle(around, start, forward(3), Stop(Norm.SUM, (1e-12,) * 3, 3))
    assert (given_up.outcome, given_up.sweeps) == (Outcome.MAX_SWEEPS, 3)
    theta.weights[1][0, 0] = math.nan
    broken = settle(surroundings_of(theta, x, BOX), start, forward(3), Stop(Norm.SUM, (1e-12,) * 3, 3))
    assert broken.outcome is Outcome.NOT_FINITE


def test_a_known_drive_is_taken_as_it_is() -> None:
    theta, (x, y, _) = network(10), batch(10)
    around = surroundings_of(theta, x, BOX)
    again = surroundings_of(theta, x, BOX, 0.5, y, around.drive)
    assert isinstance(again, Surroundings)
    assert again.drive is around.drive


def test_coupling_energy_counts_every_part_with_its_epsilon() -> None:
    theta, u = network(11), network(12)
    couplings = Couplings((0.1, 0.2, 0.3), (0.4, 0.5, 0.6))
    expected = sum(
        float(((a - b) ** 2).sum()) / (2 * eps)
        for a, b, eps in zip(
            theta.weights + theta.biases, u.weights + u.biases, couplings.weights + couplings.biases, strict=True
        )
    )
    assert float(coupling_energy(u, theta, couplings)) == pytest.approx(expected)


@pytest.mark.parametrize("beta", [-0.25, 0.0, 0.5])
def test_the_load_is_the_curvature_that_following_parameters_take_away(beta: float) -> None:
    """Against the Hessian, by autograd, of the energy with all parameters eliminated, in the units inside their interval."""
    theta, (x, y, state) = network(13, 0.3), batch(13, samples=4)
    state = (state[0].clone(), *state[1:])
    state[0][:, 2] = 0.0  # at an end: they do not count
    couplings = Couplings((0.3, 0.2, 0.1), (0.05, 0.1, 0.2))
    load = coupling_load(theta, couplings, x, state, BOX, beta)
    u = parameters_in(theta.flat.clone(), WIDTHS)
    add_pull_(u, couplings, x, state, sign=-1.0)
    n = len(x)

    def eliminated(flat: torch.Tensor) -> torch.Tensor:
        s = tuple(torch.split(flat.view(n, -1), list(WIDTHS[1:]), dim=1))
        below = (x, *s[:-1])
        weights = tuple(w + e / n * b.T @ a for w, e, b, a in zip(u.weights, couplings.weights, below, s, strict=True))
        biases = tuple(b + e / n * a.sum(0) for b, e, a in zip(u.biases, couplings.biases, s, strict=True))
        there = Parameters(u.flat, weights, biases)
        return n * coupling_energy(u, there, couplings) + (energy(there, x, s) + beta * cost(s[-1], y)).sum()

    flat = torch.cat(state, dim=1).reshape(-1)
    inside = torch.cat([(s > p) & (s < q) for s, (p, q) in zip(state, BOX, strict=True)], dim=1).reshape(-1)
    own = torch.ones(n, sum(WIDTHS[1:]), dtype=torch.float64)
    own[:, -WIDTHS[-1] :] = 1.0 + beta
    scale = own.reshape(-1)[inside].rsqrt()
    hessian = torch.autograd.functional.hessian(eliminated, flat)[inside][:, inside] * scale[:, None] * scale
    assert load.whole == pytest.approx(1.0 - float(torch.linalg.eigvalsh(hessian)[0]), rel=1e-4)
    assert load.first == pytest.approx(float(torch.linalg.eigvalsh(0.3 * x @ x.T + 0.05)[-1]) / n)
    assert load.whole > load.first


def test_parameters_that_follow_are_where_they_rest() -> None:
    theta, (x, y, held), (_, _, state) = network(14), batch(14), batch(15)
    couplings = Couplings((0.3, 0.2, 0.1), (0.05, 0.1, 0.2))
    follow = following_parameters(couplings, x, held, surroundings_of(theta, x, BOX, 0.5, y))
    moved = parameters_in(theta.flat.clone(), WIDTHS)
    move_parameters_(moved, couplings, x, state, held)
    want, have = surroundings_of(moved, x, BOX, 0.5, y), follow(state)
    for a, b in zip((want.drive, *want.down, *want.biases), (have.drive, *have.down, *have.biases), strict=True):
        assert torch.allclose(a, b, atol=1e-13)
    assert have.targets is y


# The equations as numpy, for those who may know them ------------------------------------------------------------------


def flat_of(seed: int, scale: float = 0.5) -> np.ndarray:
    return np.asarray(network(seed, scale).flat)


def test_gradients_agree_with_finite_differences() -> None:
    equations = Equations(WIDTHS, BOX, torch.device("cpu"))
    theta, (x, y, state) = flat_of(20), batch(20)
    inputs, targets, states = x.numpy(), y.numpy(), torch.cat(state, dim=1).numpy()
    rng = np.random.default_rng(0)
    rest = equations.equilibrium(theta, inputs)
    free = (rest > 0.0) & (rest < 1.0)
    assert free.any()
    assert not free.all()  # some units at an end of their interval: the hard case

    def loss(at: np.ndarray) -> float:
        s = equations.outputs_of(equations.equilibrium(at, inputs))
        return float(0.5 * ((s - targets) ** 2).sum(1).mean())

    partial, total = equations.energy_gradient(theta, inputs, states), equations.loss_gradient(theta, inputs, targets)
    for k in rng.choice(len(theta), 25, replace=False):
        h = np.zeros_like(theta)
        h[k] = 1e-6
        slope = (equations.energy(theta + h, inputs, states) - equations.energy(theta - h, inputs, states)) / 2e-6
        assert partial[k] == pytest.approx(slope, abs=1e-8)
        assert total[k] == pytest.approx((loss(theta + h) - loss(theta - h)) / 2e-6, abs=1e-8)
    assert np.abs(total).max() > 1e-3


def test_energy_and_gradient_of_a_batch_are_means_over_its_samples() -> None:
    equations = Equations(WIDTHS, BOX, torch.device("cpu"))
    theta, (x, y, state) = flat_of(21), batch(21)
    inputs, targets, states = x.numpy(), y.numpy(), torch.cat(state, dim=1).numpy()
    rows = [slice(b, b + 1) for b in range(len(inputs))]
    assert equations.energy(theta, inputs, states) == pytest.approx(
        np.mean([equations.energy(theta, inputs[r], states[r]) for r in rows])
    )
    for whole, parts in (
        (
            equations.energy_gradient(theta, inputs, states),
            [equations.energy_gradient(theta, inputs[r], states[r]) for r in rows],
        ),
        (equations.loss_gradient(theta, inputs, targets), [equations.loss_gradient(theta, inputs[r], targets[r]) for r in rows]),
    ):
        assert np.allclose(whole, np.mean(parts, axis=0), atol=1e-10)
    assert np.array_equal(equations.outputs_of(states), states[:, -3:])
