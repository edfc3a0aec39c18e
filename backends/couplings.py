"""The coupling U(u, theta)/epsilon between control knobs and parameters (eqs. 4 and 23): quadratic, or another convex U.

`quadratic`   U = sum (u - theta)^2 / 2                        metric 1
`cosh`        U = sum cosh(u - theta) - 1                      metric cosh(u - theta): stiffens when pulled far
`mirror`      U = sum F(theta) - F(u) - F'(u) (theta - u)      metric F'' = 1 + theta^2, F = theta^2/2 + theta^4/12
or a user's class with `energy(u, theta)` and `gradient(u, theta)` (dU/dtheta). All are divided by epsilon_k knob by knob.
"""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from aeqlab.backends.errors import DeviceConfigError, UserCodeError
from aeqlab.backends.user_code import blamed, is_user_code, load, place_of_code, spoken

Array = NDArray[Any]
RUNAWAY = 1e12  # as in `user_energy`


class Coupling(ABC):
    """U(u, theta)/epsilon with one epsilon per knob.

    Attributes:
        built: epsilon_k the coupling was made with, shape (K,).
        epsilon: epsilon_k as they are now, after `scale`.
        factor: epsilon / built.
        superquadratic: whether U grows faster than a square far away, and so bounds what falls no faster than one.
    """

    superquadratic: ClassVar[bool] = False

    def __init__(self, epsilon: Array) -> None:
        self.built = np.array(epsilon, dtype=np.float64)
        if not (np.isfinite(self.built).all() and (self.built > 0).all()):
            raise DeviceConfigError("every epsilon must be a finite number above zero")
        self.factor = 1.0
        self.epsilon = self.built

    def scale(self, factor: float) -> None:
        """Set epsilon to `factor` times those the coupling was made with."""
        if not (np.isfinite(factor) and factor > 0):
            raise ValueError(f"a coupling is scaled by a finite factor above zero, not by {factor!r}")
        self.factor = float(factor)
        self.epsilon = self.built * self.factor

    @abstractmethod
    def value(self, u: Array, theta: Array) -> float:
        """Compute U/epsilon, summed over the knobs."""

    @abstractmethod
    def gradient(self, u: Array, theta: Array) -> Array:
        """Compute the partial derivative with respect to theta, shape (K,)."""

    @abstractmethod
    def balance(self, theta: Array, force: Array) -> Array:
        """Find the u at which theta stands still: gradient(u, theta) + force = 0, with force = dE/dtheta, all of shape (K,)."""


class Quadratic(Coupling):
    """sum (u - theta)^2 / 2 epsilon, the paper's (eq. 4)."""

    def value(self, u: Array, theta: Array) -> float:
        """Compute sum (u - theta)^2 / 2 epsilon."""
        d = u - theta
        return 0.5 * float(d.dot(d / self.epsilon))

    def gradient(self, u: Array, theta: Array) -> Array:
        """Compute (theta - u) / epsilon."""
        return (theta - u) / self.epsilon

    def balance(self, theta: Array, force: Array) -> Array:
        """Compute u = theta + epsilon dE/dtheta (section 5.1)."""
        return theta + self.epsilon * force


class Cosh(Coupling):
    """sum (cosh(u - theta) - 1) / epsilon."""

    superquadratic = True

    def value(self, u: Array, theta: Array) -> float:
        """Compute it as 2 sinh^2 of half the distance, exact for small ones."""
        h = np.sinh(0.5 * (u - theta))
        return 2.0 * float(h.dot(h / self.epsilon))

    def gradient(self, u: Array, theta: Array) -> Array:
        """Compute sinh(theta - u) / epsilon."""
        gradient: Array = np.sinh(theta - u) / self.epsilon
        return gradient

    def balance(self, theta: Array, force: Array) -> Array:
        """Compute u = theta + arsinh(epsilon dE/dtheta)."""
        u: Array = theta + np.arcsinh(self.epsilon * force)
        return u


class Mirror(Coupling):
    """Bregman divergence of F(theta) = theta^2/2 + theta^4/12: convex in theta, least at theta = u, metric 1 + theta^2."""

    superquadratic = True

    def value(self, u: Array, theta: Array) -> float:
        """Compute (F(theta) - F(u) - F'(u)(theta - u)) / epsilon, with d^2 taken out so that small ones stay exact."""
        d = theta - u
        return float((d * d * (0.5 + (theta * theta + 2 * theta * u + 3 * u * u) / 12)).dot(1 / self.epsilon))

    def gradient(self, u: Array, theta: Array) -> Array:
        """Compute (F'(theta) - F'(u)) / epsilon, F' = theta + theta^3/3."""
        d = theta - u
        gradient: Array = d * (1 + (theta * theta + theta * u + u * u) / 3) / self.epsilon
        return gradient

    def balance(self, theta: Array, force: Array) -> Array:
        """Solve F'(u) = F'(theta) + epsilon dE/dtheta; the cubic has the one real root 2 sinh(arsinh(3r/2)/3)."""
        r = theta + theta**3 / 3 + self.epsilon * force
        u: Array = 2 * np.sinh(np.arcsinh(1.5 * r) / 3)
        return u


class UserCoupling(Coupling):
    """A convex U of the user's own: `energy(u, theta)` per knob, shape (K,), and `gradient(u, theta)` (dU/dtheta), same shape."""

    def __init__(self, epsilon: Array, spec: str, made: Any) -> None:
        super().__init__(epsilon)
        self._spec = spec
        self._made = made

    def value(self, u: Array, theta: Array) -> float:
        """Call the user's `energy`."""
        return float(self._call("energy", u, theta).dot(1 / self.epsilon))

    def gradient(self, u: Array, theta: Array) -> Array:
        """Call the user's `gradient`."""
        return self._call("gradient", u, theta) / self.epsilon

    def balance(self, theta: Array, force: Array) -> Array:
        """Solve for u knob by knob with Newton's method, from the answer of the quadratic coupling.

        Raises:
            UserCodeError: no u was found.
        """
        u = theta + self.epsilon * force
        scale = 1e-12 * (1 + np.abs(force))
        for _ in range(100):
            miss = self.gradient(u, theta) + force
            if (np.abs(miss) <= scale).all():
                return u
            h = 1e-6 * (1 + np.abs(u))
            slope = (self.gradient(u + h, theta) - self.gradient(u - h, theta)) / (2 * h)
            with np.errstate(divide="ignore", invalid="ignore"):
                u = u - miss / slope
            if not np.isfinite(u).all():
                break
        if (np.abs(self.gradient(u, theta) + force) <= 1e-8 * (1 + np.abs(force))).all():
            return u
        raise UserCodeError(f"coupling {self._spec}: no u balances these forces. Is U convex in theta, with its gradient right?")

    def _call(self, method: str, u: Array, theta: Array) -> Array:
        with blamed(f"coupling {self._spec}"):
            given: Array = np.asarray(getattr(self._made, method)(u, theta), dtype=np.float64)
        if given.shape != theta.shape:
            raise UserCodeError(
                f"coupling {self._spec}: {method} must return shape {theta.shape}, this one returned {given.shape}"
            )
        if np.isnan(given.sum()) and np.isnan(given).any() and (np.abs(u) < RUNAWAY).all() and (np.abs(theta) < RUNAWAY).all():
            place = place_of_code(getattr(self._made, method))
            raise UserCodeError(f"coupling {self._spec}: {place}{method}: it returned nan, not a finite number.")
        return given


BUILT_IN: dict[str, type[Coupling]] = {"quadratic": Quadratic, "cosh": Cosh, "mirror": Mirror}


def make_coupling(name: str, epsilon: Array, base: Path) -> Coupling:
    """Make a coupling by its name, or from a user's class.

    Raises:
        DeviceConfigError: no coupling of that name, an epsilon that is not above zero, or a class that lacks a method.
        UserCodeError: the user's class raised.
    """
    if name in BUILT_IN:
        return BUILT_IN[name](epsilon)
    if not is_user_code(name):
        raise DeviceConfigError(f"there is no coupling {name!r}. Choose {', '.join(BUILT_IN)}, or file.py:Class.")
    found = load(name, base)
    name = spoken(name, base)
    with blamed(f"coupling {name}"):
        made = found() if inspect.isclass(found) else found
    for method in ("energy", "gradient"):
        if not callable(getattr(made, method, None)):
            raise DeviceConfigError(f"coupling {name}: a method {method}(u, theta) is needed")
    return UserCoupling(epsilon, name, made)
