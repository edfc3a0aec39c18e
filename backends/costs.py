"""The cost C(s, y) by which outputs are nudged: half the squared error, or another one by name.

Costs act on outputs and targets of shape (B, Y) and give one value per sample; beta is not in them.
"""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aeqlab.backends.errors import DeviceConfigError, UserCodeError
from aeqlab.backends.user_code import blamed, is_user_code, load

Array = NDArray[Any]
DEFAULT_COST = "half squared error"


class Cost(ABC):
    """C(s, y) per sample with its derivatives with respect to s."""

    name: str

    @abstractmethod
    def value(self, outputs: Array, targets: Array) -> Array:
        """Compute C of each sample, shape (B,)."""

    @abstractmethod
    def gradient(self, outputs: Array, targets: Array) -> Array:
        """Compute dC/ds, shape (B, Y)."""

    def curvature(self, outputs: Array, targets: Array) -> Array:
        """Compute the diagonal of d2C/ds2, shape (B, Y); the built-in costs are sums over the outputs."""
        return (self.gradient(outputs + 1e-5, targets) - self.gradient(outputs - 1e-5, targets)) / 2e-5


class HalfSquaredError(Cost):
    """C = 1/2 |s - y|^2 (eq. 18)."""

    name = DEFAULT_COST

    def value(self, outputs: Array, targets: Array) -> Array:
        """Compute 1/2 |s - y|^2."""
        d = outputs - targets
        value: Array = 0.5 * (d * d).sum(axis=1)
        return value

    def gradient(self, outputs: Array, targets: Array) -> Array:
        """Compute s - y."""
        return outputs - targets

    def curvature(self, outputs: Array, targets: Array) -> Array:
        """Compute 1."""
        return np.ones_like(outputs)


class LogCosh(Cost):
    """C = sum log cosh(s - y): quadratic near the target, its force never above 1, so that no outlier pulls harder."""

    name = "log cosh"

    def value(self, outputs: Array, targets: Array) -> Array:
        """Compute sum log cosh(s - y), without overflow."""
        d = np.abs(outputs - targets)
        value: Array = (d + np.log1p(np.exp(-2 * d)) - np.log(2.0)).sum(axis=1)
        return value

    def gradient(self, outputs: Array, targets: Array) -> Array:
        """Compute tanh(s - y)."""
        gradient: Array = np.tanh(outputs - targets)
        return gradient

    def curvature(self, outputs: Array, targets: Array) -> Array:
        """Compute 1 - tanh^2(s - y)."""
        curvature: Array = 1 - np.tanh(outputs - targets) ** 2
        return curvature


class UserCost(Cost):
    """A cost of the user's own: `value(outputs, targets)` of shape (B,), and `gradient` of shape (B, Y)."""

    def __init__(self, spec: str, made: Any) -> None:
        self.name = spec
        self._made = made

    def value(self, outputs: Array, targets: Array) -> Array:
        """Call the user's `value`."""
        return self._call("value", outputs, targets, (len(outputs),))

    def gradient(self, outputs: Array, targets: Array) -> Array:
        """Call the user's `gradient`."""
        return self._call("gradient", outputs, targets, outputs.shape)

    def _call(self, method: str, outputs: Array, targets: Array, shape: tuple[int, ...]) -> Array:
        with blamed(f"cost {self.name}"):
            given: Array = np.asarray(getattr(self._made, method)(outputs, targets), dtype=np.float64)
        if given.shape != shape:
            raise UserCodeError(f"cost {self.name}: {method} must return shape {shape}, this one returned {given.shape}")
        return given


BUILT_IN: dict[str, type[Cost]] = {cls.name: cls for cls in (HalfSquaredError, LogCosh)}


def make_cost(name: str, base: Path) -> Cost:
    """Make a cost by its name, or from a user's class.

    Raises:
        DeviceConfigError: no cost of that name, or the class lacks a method.
        UserCodeError: the user's class raised.
    """
    if name in BUILT_IN:
        return BUILT_IN[name]()
    if not is_user_code(name):
        raise DeviceConfigError(f"there is no cost {name!r}. Choose {', '.join(BUILT_IN)}, or file.py:Class.")
    found = load(name, base)
    with blamed(f"cost {name}"):
        made = found() if inspect.isclass(found) else found
    for method in ("value", "gradient"):
        if not callable(getattr(made, method, None)):
            raise DeviceConfigError(f"cost {name}: a method {method}(outputs, targets) is needed")
    return UserCost(name, made)
