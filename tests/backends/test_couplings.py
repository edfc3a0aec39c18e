"""Couplings and costs: derivatives, the u at which theta stands still, and the metric they make."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from aeqlab.backends import costs, couplings
from aeqlab.backends.costs import make_cost
from aeqlab.backends.couplings import Coupling, make_coupling
from aeqlab.backends.errors import DeviceConfigError, UserCodeError

Array = NDArray[Any]
USER = '''
import numpy as np

class Quartic:
    """d^2/2 + d^4/4, stiffer with theta."""
    def energy(self, u, theta):
        d = u - theta
        return d**2 / 2 + d**4 / 4

    def gradient(self, u, theta):
        d = theta - u
        return d + d**3

class Wrong(Quartic):
    def gradient(self, u, theta):
        return 0 * theta

class Short(Quartic):
    def gradient(self, u, theta):
        return theta[:1]

class Absolute:
    def value(self, outputs, targets):
        return np.sqrt(1 + (outputs - targets) ** 2).sum(axis=1)

    def gradient(self, outputs, targets):
        return (outputs - targets) / np.sqrt(1 + (outputs - targets) ** 2)
'''


@pytest.fixture
def user_file(tmp_path: Path) -> Path:
    (tmp_path / "mine.py").write_text(USER, encoding="utf-8")
    return tmp_path


def every_coupling(epsilon: Array, base: Path) -> list[Coupling]:
    return [make_coupling(name, epsilon, base) for name in (*couplings.BUILT_IN, "mine.py:Quartic")]


def test_gradient_and_balance(user_file: Path) -> None:
    rng = np.random.default_rng(0)
    epsilon = rng.uniform(0.05, 2.0, 5)
    for coupling in every_coupling(epsilon, user_file):
        for _ in range(20):
            u, theta, force = rng.normal(size=(3, 5))
            h = 1e-6
            numeric = [(coupling.value(u, theta + h * e) - coupling.value(u, theta - h * e)) / (2 * h) for e in np.eye(5)]
            np.testing.assert_allclose(coupling.gradient(u, theta), numeric, rtol=1e-6, atol=1e-7)
            held = coupling.balance(theta, force)
            np.testing.assert_allclose(coupling.gradient(held, theta), -force, atol=1e-8)
            np.testing.assert_allclose(coupling.balance(theta, 0 * force), theta, atol=1e-12)
            assert coupling.value(theta, theta) == pytest.approx(0, abs=1e-15)
            assert coupling.value(u, theta) > 0


@pytest.mark.parametrize(("name", "metric"), [("quadratic", 1.0), ("cosh", 1.0), ("mirror", 1 + 1.5**2)])
def test_metric_at_rest(name: str, metric: float) -> None:
    coupling = make_coupling(name, np.array([0.2]), Path())
    theta, h = np.array([1.5]), 1e-5
    curvature = (coupling.gradient(theta, theta + h) - coupling.gradient(theta, theta - h)) / (2 * h)
    assert curvature[0] * 0.2 == pytest.approx(metric, rel=1e-6)


def test_scaling_counts_from_what_was_built(user_file: Path) -> None:
    u, theta = np.array([0.3, -0.2]), np.array([0.1, 0.4])
    for coupling in every_coupling(np.array([0.1, 0.4]), user_file):
        before = coupling.value(u, theta)
        coupling.scale(0.5)
        coupling.scale(0.25)
        assert coupling.value(u, theta) == pytest.approx(4 * before)
        np.testing.assert_allclose(coupling.epsilon, [0.025, 0.1])
        with pytest.raises(ValueError, match="above zero"):
            coupling.scale(0.0)


def test_couplings_that_cannot_be(user_file: Path) -> None:
    one = np.array([0.1])
    with pytest.raises(DeviceConfigError, match="no coupling 'quadrtic'"):
        make_coupling("quadrtic", one, user_file)
    with pytest.raises(DeviceConfigError, match="above zero"):
        make_coupling("quadratic", np.array([0.1, 0.0]), user_file)
    with pytest.raises(UserCodeError, match="no u balances"):
        make_coupling("mine.py:Wrong", one, user_file).balance(one, one)
    with pytest.raises(UserCodeError, match="gradient must return shape"):
        make_coupling("mine.py:Short", np.array([0.1, 0.1]), user_file).gradient(np.zeros(2), np.zeros(2))
    with pytest.raises(DeviceConfigError, match="a method energy"):
        make_coupling("mine.py:Absolute", one, user_file)


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_built_in_costs_have_their_derivatives(seed: int) -> None:
    rng = np.random.default_rng(seed)
    s, y = rng.normal(size=(2, 3, 2)) * 3
    for name in costs.BUILT_IN:
        check_cost(make_cost(name, Path()), s, y)


def test_a_cost_of_the_users(user_file: Path) -> None:
    s, y = np.random.default_rng(0).normal(size=(2, 3, 2))
    check_cost(make_cost("mine.py:Absolute", user_file), s, y)
    with pytest.raises(DeviceConfigError, match="there is no cost"):
        make_cost("squared", user_file)
    with pytest.raises(DeviceConfigError, match="a method value"):
        make_cost("mine.py:Quartic", user_file)


def check_cost(cost: costs.Cost, s: Array, y: Array) -> None:
    h = 1e-5
    for i in range(s.shape[1]):
        step = np.zeros(s.shape[1])
        step[i] = h
        slope = (cost.value(s + step, y) - cost.value(s - step, y)) / (2 * h)
        np.testing.assert_allclose(cost.gradient(s, y)[:, i], slope, rtol=1e-5, atol=1e-8)
        bend = (cost.gradient(s + step, y) - cost.gradient(s - step, y))[:, i] / (2 * h)
        np.testing.assert_allclose(cost.curvature(s, y)[:, i], bend, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(cost.gradient(y, y), 0, atol=1e-15)


def test_log_cosh_stays_finite_far_away() -> None:
    far = make_cost("log cosh", Path()).value(np.array([[1e5]]), np.array([[-1e5]]))
    np.testing.assert_allclose(far, 2e5 - np.log(2))


def test_a_users_coupling_that_is_not_a_number_names_its_line(tmp_path: Path) -> None:
    body = "class Mine:\n    def energy(self, u, theta):\n        return (u - theta) ** 2 / 2\n"
    body += "    def gradient(self, u, theta):\n        return (theta - u) * float('nan')\n"
    (tmp_path / "mine.py").write_text(body, encoding="utf-8")
    coupling = make_coupling("mine.py:Mine", np.array([0.1]), tmp_path)
    with pytest.raises(UserCodeError, match=r"mine\.py:4: gradient: it returned nan"):
        coupling.gradient(np.array([1.0]), np.array([0.5]))
