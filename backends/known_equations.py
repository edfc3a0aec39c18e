"""The equations of a device whose energy is built in or a user's, for those who may know them: KnowsEnergy, Differentiable.

For diagnostics, baselines and tests; no protocol that trains with Æqprop asks for any of it. Nothing here moves a device.
"""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from aeqlab.backends.costs import Cost
from aeqlab.backends.energies import Energy

Array = NDArray[Any]


class KnownEquations:
    """A device's equations, as methods of the device; whoever has them sets `_known`, its energy and its cost."""

    _known: tuple[Energy, Cost]

    def energy(self, theta: Array, inputs: Array, states: Array) -> float:
        """Compute E(theta, x, s), mean over the samples; states have shape (samples, states)."""
        return float(self._known[0].energy(theta, inputs, states).mean())

    def equilibrium(self, theta: Array, inputs: Array, targets: Array | None = None, beta: float = 0.0) -> Array:
        """Find s_beta = argmin_s E + beta C with theta fixed (eq. 10), shape (samples, states).

        Raises:
            DivergedError: there is no minimum.
        """
        energy, cost = self._known
        return energy.equilibrium(cost, theta, inputs, targets, beta)

    def outputs_of(self, states: Array) -> Array:
        """Get the outputs contained in states, shape (samples, outputs)."""
        return self._known[0].outputs_of(states)

    def energy_gradient(self, theta: Array, inputs: Array, states: Array) -> Array:
        """Compute the partial derivative dE/dtheta, mean over the samples, shape (parameters,)."""
        return self._known[0].parameter_gradient(theta, inputs, states)

    def loss_gradient(self, theta: Array, inputs: Array, targets: Array) -> Array:
        """Compute the total derivative of the loss C(s(theta, x), y), mean over the samples, shape (parameters,)."""
        energy, cost = self._known
        return energy.loss_gradient(cost, theta, inputs, targets)

    def loss_and_gradient(self, theta: Array, inputs: Array, targets: Array) -> tuple[float, Array]:
        """Compute the loss C(s(theta, x), y) and its total derivative by the implicit function theorem, shape (parameters,).

        At the equilibrium dE/ds(theta, s) = 0, so ds/dtheta = -H^-1 d2E/dsdtheta with H = d2E/ds2: one linear solve.
        """
        energy, cost = self._known
        states = energy.equilibrium(cost, theta, inputs, None, 0.0)
        loss = float(cost.value(energy.outputs_of(states), targets).mean())
        return loss, energy.loss_gradient(cost, theta, inputs, targets)
