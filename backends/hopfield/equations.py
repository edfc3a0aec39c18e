"""The network's equations for those who may know them: energy, tight equilibrium, gradients. In float64, moving no device.

For diagnostics, the energy-knowing baselines and tests (KnowsEnergy). The gradient of the loss is exact: implicit
differentiation of the equilibrium, whose linear system is solved by the same sweeps.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from aeqlab.backends.errors import DivergedError
from aeqlab.backends.hopfield.network import Box, Couplings, Parameters, State, add_pull_, energy, parameters_in
from aeqlab.backends.hopfield.solver import Norm, Outcome, Stop, backward, forward, settle, surroundings_of

Array = NDArray[Any]

#: Largest change of a unit in one sweep at what is called an equilibrium here.
TIGHT = 1e-13
#: Sweeps after which it is given up.
PATIENCE = 100_000


class Equations:
    """The equations of one network; arrays are numpy, samples first, states with their layers side by side."""

    def __init__(self, widths: Sequence[int], box: Box, where: torch.device) -> None:
        self._widths = tuple(widths)
        self._box = box
        self._where = where

    def energy(self, theta: Array, inputs: Array, states: Array) -> float:
        """Compute E(theta, x, s), mean over the samples; states have shape (samples, states)."""
        return float(energy(self._theta(theta), self._tensor(inputs), self._split(states)).mean())

    def equilibrium(self, theta: Array, inputs: Array, targets: Array | None = None, beta: float = 0.0) -> Array:
        """Find argmin_s E + beta C with theta fixed (eq. 10), from zeros, shape (samples, states).

        Raises:
            DivergedError: the layers do not come to rest.
        """
        y = None if targets is None else self._tensor(targets)
        state = self._rest(self._theta(theta), self._tensor(inputs), y, beta)
        found: Array = torch.cat(state, dim=1).cpu().numpy()
        return found

    def outputs_of(self, states: Array) -> Array:
        """Get the output layer of states, shape (samples, outputs)."""
        return states[:, -self._widths[-1] :].copy()

    def energy_gradient(self, theta: Array, inputs: Array, states: Array) -> Array:
        """Compute dE/dtheta at fixed states, mean over the samples, shape (parameters,)."""
        gradient = torch.zeros_like(self._theta(theta).flat)
        n = len(self._widths) - 1
        one = Couplings((1.0,) * n, (1.0,) * n)
        add_pull_(parameters_in(gradient, self._widths), one, self._tensor(inputs), self._split(states), sign=-1.0)
        found: Array = gradient.cpu().numpy()
        return found

    def loss_gradient(self, theta: Array, inputs: Array, targets: Array) -> Array:
        """Compute the total derivative of C(s(theta, x), y), mean over the samples, shape (parameters,).

        With H the Hessian of E in the units that are inside their interval and H l = dC/ds, it is for w_k the batch mean of
        l_{k-1}^T s_k + s_{k-1}^T l_k and for b_k that of l_k; units at an end of their interval do not answer.
        """
        parameters, x, y = self._theta(theta), self._tensor(inputs), self._tensor(targets)
        state = self._rest(parameters, x, None, 0.0)
        answer = self._adjoint(parameters, state, state[-1] - y)
        gradient = torch.zeros_like(parameters.flat)
        parts = parameters_in(gradient, self._widths)
        for k, (s, a) in enumerate(zip(state, answer, strict=True)):
            below = x if k == 0 else state[k - 1]
            parts.weights[k].addmm_(below.T, a, alpha=1.0 / len(x))
            if k > 0:
                parts.weights[k].addmm_(answer[k - 1].T, s, alpha=1.0 / len(x))
            parts.biases[k].copy_(a.mean(0))
        found: Array = gradient.cpu().numpy()
        return found

    # inside
    def _rest(self, parameters: Parameters, x: Tensor, targets: Tensor | None, beta: float) -> State:
        n = len(self._box)
        start = tuple(x.new_zeros(len(x), width) for width in self._widths[1:])
        around = surroundings_of(parameters, x, self._box, beta, targets)
        order = forward(n) if beta == 0.0 else backward(n)
        settled = settle(around, start, order, Stop(Norm.LARGEST, (TIGHT,) * n, PATIENCE))
        if settled.outcome is not Outcome.CONVERGED:
            raise DivergedError(
                f"the layers did not come to rest in {settled.sweeps} sweeps at beta {beta:g} "
                f"(last change {max(settled.residual):.2g})"
            )
        return settled.state

    def _adjoint(self, parameters: Parameters, state: State, slope: Tensor) -> list[Tensor]:
        """Solve H l = dC/ds by sweeps over the layers, l being 0 where a unit is at an end of its interval."""
        free = [((s > low) & (s < high)).to(s.dtype) for s, (low, high) in zip(state, self._box, strict=True)]
        answer = [torch.zeros_like(s) for s in state]
        last = len(state) - 1
        for _ in range(PATIENCE):
            change = 0.0
            for k in backward(len(state)):
                pull = slope if k == last else answer[k + 1] @ parameters.weights[k + 1].T
                if k > 0:
                    pull = pull + answer[k - 1] @ parameters.weights[k]
                new = pull * free[k]
                change = max(change, float((new - answer[k]).abs().max()))
                answer[k] = new
            if change < TIGHT:
                return answer
        raise DivergedError(f"the response of the equilibrium to the outputs was not found in {PATIENCE} sweeps")

    def _theta(self, theta: Array) -> Parameters:
        return parameters_in(self._tensor(theta), self._widths)

    def _tensor(self, array: Array) -> Tensor:
        return torch.as_tensor(array, dtype=torch.float64, device=self._where)

    def _split(self, states: Array) -> State:
        return tuple(torch.split(self._tensor(states), list(self._widths[1:]), dim=1))
