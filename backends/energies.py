"""The energy of a simulated system: what E(theta, x, s) is, and what else the physics may want to know of it.

Built in are `linear`, `hopfield` and `spring` (see `energy_kinds`); a user's own class is wrapped by `user_energy`.
Letters: B samples, N states, K parameters, X inputs, Y outputs. An energy holds no state; theta, x and s are handed in.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from aeqlab.backends.costs import Cost
from aeqlab.backends.couplings import Coupling
from aeqlab.backends.device import Channels, Knobs, ParameterBlock
from aeqlab.backends.equilibrium import minimise
from aeqlab.backends.landscape import Landscape
from aeqlab.backends.settings import BetaBounds

Array = NDArray[Any]


class Energy(ABC):
    """E(theta, x, s), its partial derivatives, and the names and limits of what it is made of.

    Attributes:
        name: as in a file.
        inputs, outputs: the knobs x and the readouts s.
        parameters: blocks of theta, without epsilon, which belongs to the coupling.
        n_states: N, the length of s for one sample.
        output_index: which states are the outputs, shape (Y,).
        box: lowest and highest state, each of shape (N,), or None for all real numbers.
    """

    name: str
    inputs: Knobs
    outputs: Channels
    parameters: tuple[ParameterBlock, ...]
    n_states: int
    output_index: Array
    box: tuple[Array, Array] | None = None
    layered: ClassVar[bool] = False

    @property
    def n_parameters(self) -> int:
        """K, the length of theta."""
        return sum(block.size for block in self.parameters)

    @abstractmethod
    def energy(self, theta: Array, x: Array, s: Array) -> Array:
        """Compute E of each sample, shape (B,), from theta (K,), x (B, X) and s (B, N)."""

    @abstractmethod
    def state_gradient(self, theta: Array, x: Array, s: Array) -> Array:
        """Compute dE/ds of each sample, shape (B, N)."""

    @abstractmethod
    def parameter_gradient(self, theta: Array, x: Array, s: Array) -> Array:
        """Compute the partial derivative dE/dtheta, mean over the samples, shape (K,)."""

    def at(self, x: Array) -> Landscape:
        """Prepare E at one input, for many evaluations; x (B, X) must not be written to afterwards."""
        return Landscape(self, x)

    def state_hessian(self, theta: Array, x: Array, s: Array) -> Array:
        """Compute d2E/ds2 of each sample, shape (B, N, N); here by central differences of the gradient."""
        n = self.n_states
        hessian = np.empty((len(s), n, n))
        for i in range(n):
            step = np.zeros(n)
            step[i] = 1e-5
            hessian[:, i] = (self.state_gradient(theta, x, s + step) - self.state_gradient(theta, x, s - step)) / 2e-5
        return (hessian + hessian.transpose(0, 2, 1)) / 2

    def start(self, samples: int) -> Array:
        """Make the state in which a system wakes up, shape (B, N)."""
        s = np.zeros((samples, self.n_states))
        return s if self.box is None else np.clip(s, *self.box)

    def first_parameters(self, rng: np.random.Generator) -> Array:
        """Draw the theta with which a system wakes up, shape (K,); zeros unless the energy wants otherwise."""
        return np.zeros(self.n_parameters)

    @abstractmethod
    def beta_bounds(self, coupling: Coupling) -> BetaBounds:
        """Say from which beta on E + beta C, with the default cost, is bounded below."""

    def outputs_of(self, s: Array) -> Array:
        """Get a copy of the outputs contained in states, shape (B, Y)."""
        picked: Array = s[:, self.output_index]
        return picked

    def equilibrium(self, cost: Cost, theta: Array, x: Array, y: Array | None, beta: float, start: Array | None = None) -> Array:
        """Find s_beta = argmin_s E + beta C (eq. 10), shape (B, N), from `start` or from where a system wakes up.

        Raises:
            DivergedError: there is no minimum, or none was found.
        """
        out = self.output_index

        def value(s: Array) -> Array:
            e = self.energy(theta, x, s)
            return e if y is None else e + beta * cost.value(s[:, out], y)

        def gradient(s: Array) -> Array:
            g = self.state_gradient(theta, x, s)
            if y is not None:
                g = np.array(g)
                g[:, out] += beta * cost.gradient(s[:, out], y)
            return g

        def hessian(s: Array) -> Array:
            h = self.state_hessian(theta, x, s)
            if y is not None:
                h = np.array(h)
                h[:, out, out] += beta * cost.curvature(s[:, out], y)
            return h

        first = self.start(len(x)) if start is None else np.array(start)
        return minimise(value, gradient, hessian, first, self.box, self.name)

    def loss_gradient(self, cost: Cost, theta: Array, x: Array, y: Array) -> Array:
        """Compute d/dtheta of C(s(theta, x), y), mean over the samples, shape (K,), by implicit differentiation.

        At the equilibrium dE/ds = 0 on every state that is not at a wall of the box; with H = d2E/ds2 there and H v = dC/ds,
        dC/dtheta = - d/dtheta (v . dE/ds), a directional derivative of dE/dtheta along v.
        """
        s = self.equilibrium(cost, theta, x, None, 0.0)
        hessian = self.state_hessian(theta, x, s)
        pull = np.zeros_like(s)
        pull[:, self.output_index] = cost.gradient(s[:, self.output_index], y)
        v = np.zeros_like(s)
        for b in range(len(s)):
            free = np.ones(self.n_states, dtype=bool) if self.box is None else (s[b] > self.box[0]) & (s[b] < self.box[1])
            if free.any():
                v[b, free] = np.linalg.solve(hessian[b][np.ix_(free, free)], pull[b, free])
        h = 1e-4 / max(1.0, float(np.abs(v).max()))  # exact for energies of second order in s along with theta
        plus, minus = self.parameter_gradient(theta, x, s + h * v), self.parameter_gradient(theta, x, s - h * v)
        gradient: Array = (minus - plus) / (2 * h)
        return gradient

    def layers(self, s: Array) -> dict[str, Array]:
        """Get a copy of each named layer of the state, shape (B, ...)."""
        return {"state": s.copy()}


class PreparedEnergy(Energy):
    """An energy that is written as its landscape at one input; a single evaluation makes one and asks it."""

    @abstractmethod
    def at(self, x: Array) -> Landscape:
        """Prepare E at one input, for many evaluations; x (B, X) must not be written to afterwards."""

    def energy(self, theta: Array, x: Array, s: Array) -> Array:
        """Compute E of each sample."""
        return self.at(x).value(theta, s)

    def state_gradient(self, theta: Array, x: Array, s: Array) -> Array:
        """Compute dE/ds of each sample."""
        return self.at(x).state_gradient(theta, s)

    def parameter_gradient(self, theta: Array, x: Array, s: Array) -> Array:
        """Compute dE/dtheta, mean over the samples."""
        return self.at(x).parameter_gradient(theta, s)
