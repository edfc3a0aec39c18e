"""The energy `linear`: the paper's regression (eq. 18), Fourier features inside, optionally with |s|^2.

E = 1/2 (s - theta . phi(z))^2 + c s^2, with phi = 1, sin(pi z), cos(pi z), ..., sin(F pi z), cos(F pi z) and F frequencies.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

from aeqlab.backends.costs import Cost, HalfSquaredError
from aeqlab.backends.couplings import Coupling, Quadratic
from aeqlab.backends.device import ParameterBlock, channels, knobs
from aeqlab.backends.energies import PreparedEnergy
from aeqlab.backends.errors import DivergedError
from aeqlab.backends.landscape import Landscape, Remembering
from aeqlab.backends.settings import BetaBounds

Array = NDArray[Any]


class LinearOptions(BaseModel):
    """Options of the energy `linear`."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    frequencies: int = Field(default=10, ge=0, le=10_000, description="highest frequency F; there are 2F + 1 parameters")
    constant: bool = Field(default=True, description="whether 1 is among the features; without it there are 2F parameters")
    s_squared: float = Field(
        default=0.0, ge=0, le=1e6, description="coefficient c of |s|^2, which bounds negative nudges (Fig. 3)"
    )

    @model_validator(mode="after")
    def _has_features(self) -> LinearOptions:
        if not self.constant and not self.frequencies:
            raise ValueError("without the constant a frequency is needed: there would be no feature at all")
        return self


class LinearLandscape(Remembering):
    """The linear energy at one input; what is shared is the misfit s - theta . phi, shape (B,)."""

    def __init__(self, phi: Array, s_squared: float) -> None:
        self._phi, self._c = phi, s_squared

    def _share(self, theta: Array, s: Array) -> Array:
        misfit: Array = s[:, 0] - self._phi @ theta
        return misfit

    def value(self, theta: Array, s: Array) -> Array:
        """Compute 1/2 (s - theta . phi)^2 + c s^2."""
        r = self.shared(theta, s)
        energy: Array = 0.5 * r * r
        if self._c:
            energy += self._c * s[:, 0] ** 2
        return energy

    def state_gradient(self, theta: Array, s: Array) -> Array:
        """Compute s - theta . phi + 2 c s."""
        gradient: Array = self.shared(theta, s)[:, None] + 2 * self._c * s
        return gradient

    def parameter_gradient(self, theta: Array, s: Array) -> Array:
        """Compute -(s - theta . phi) phi, mean over the samples."""
        gradient: Array = self.shared(theta, s) @ self._phi / -len(s)
        return gradient


class LinearEnergy(PreparedEnergy):
    """E = 1/2 (s - theta . phi(z))^2 + c s^2 (eq. 18 and the added term of Fig. 3)."""

    name = "linear"

    def __init__(self, options: LinearOptions) -> None:
        self.frequencies = options.frequencies
        self._first = int(options.constant)  # where sin and cos begin
        self.s_squared = options.s_squared
        self.inputs = knobs(("z",), low=-1.0, high=1.0)
        self.outputs = channels(("s",))
        self.parameters = (ParameterBlock("theta", (2 * options.frequencies + self._first,), 0),)
        self.n_states = 1
        self.output_index = np.array([0])
        self._waves = np.pi * np.arange(1, options.frequencies + 1)

    def features(self, x: Array) -> Array:
        """Compute phi(z) of each sample, shape (B, 2F + 1), from x (B, 1): 1, sin, cos, sin, cos, ...; 2F without the 1."""
        first = self._first
        phi = np.ones((len(x), 2 * self.frequencies + first))
        angle = x * self._waves
        np.sin(angle, out=phi[:, first::2])
        np.cos(angle, out=phi[:, first + 1 :: 2])
        return phi

    def at(self, x: Array) -> Landscape:
        """Prepare the features of one input."""
        return LinearLandscape(self.features(x), self.s_squared)

    def state_hessian(self, theta: Array, x: Array, s: Array) -> Array:
        """Compute 1 + 2 c."""
        return np.full((len(s), 1, 1), 1 + 2 * self.s_squared)

    def equilibrium(self, cost: Cost, theta: Array, x: Array, y: Array | None, beta: float, start: Array | None = None) -> Array:
        """Solve (1 + 2 c + beta) s = theta . phi + beta y."""
        if not isinstance(cost, HalfSquaredError):
            return super().equilibrium(cost, theta, x, y, beta, start)
        p = (self.features(x) @ theta)[:, None]
        if y is None:
            y, beta = p, 0.0
        stiffness = 1 + 2 * self.s_squared + beta
        if stiffness <= 0:
            raise DivergedError(
                f"linear: at beta {beta:g} the energy has no lower bound; it needs beta > {-1 - 2 * self.s_squared:g}"
            )
        equilibrium: Array = (p + beta * y) / stiffness
        return equilibrium

    def beta_bounds(self, coupling: Coupling) -> BetaBounds:
        """Compute -(1 + 2c) held and -(2c + 1/(1 + sum epsilon_k phi_k^2)) floating, for the softest input.

        With one epsilon |phi|^2 = 1 + F for every input, F without the constant. With several, sin and cos of a
        frequency count with the larger one.
        """
        held = -(1 + 2 * self.s_squared)
        if coupling.superquadratic:
            return BetaBounds(held, held)
        if not isinstance(coupling, Quadratic):
            return BetaBounds(held, None)
        e, first = coupling.built, self._first
        softness = e[:first].sum() + np.maximum(e[first::2], e[first + 1 :: 2]).sum()
        return BetaBounds(held, -(2 * self.s_squared + 1 / (1 + float(softness))))
