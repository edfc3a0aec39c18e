"""A user's energy in torch: numpy at the border, gradients by autograd. Imported only when a user's energy asks for torch."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from aeqlab.backends.errors import UserCodeError
from aeqlab.backends.user_code import blamed
from aeqlab.backends.user_energy import UserEnergy

Array = NDArray[Any]


class TorchEnergy(UserEnergy):
    """A user's energy whose `energy(theta, x, s)` takes and returns float64 tensors on the CPU; a module is made float64."""

    def __init__(self, spec: str, made: Any) -> None:
        super().__init__(spec, made)
        if isinstance(made, torch.nn.Module):
            made.double()

    def energy(self, theta: Array, x: Array, s: Array) -> Array:
        """Call the user's `energy` without recording a graph."""
        with torch.no_grad():
            energies: Array = self._tensor(_leaf(theta), _leaf(x), _leaf(s)).detach().double().numpy().copy()
        return self._finite("energy", energies, (theta, x, s), "it returned", walls=True)

    def state_gradient(self, theta: Array, x: Array, s: Array) -> Array:
        """Differentiate the sum over the samples, whose energies do not mix, with respect to s."""
        leaf = _leaf(s).requires_grad_()
        gradient = self._gradient(self._tensor(_leaf(theta), _leaf(x), leaf).sum(), leaf)
        return self._finite("energy", gradient, (theta, x, s), "its slope in s is")

    def parameter_gradient(self, theta: Array, x: Array, s: Array) -> Array:
        """Differentiate the mean over the samples with respect to theta."""
        leaf = _leaf(theta).requires_grad_()
        gradient = self._gradient(self._tensor(leaf, _leaf(x), _leaf(s)).mean(), leaf)
        return self._finite("energy", gradient, (theta, x, s), "its slope in theta is")

    def _tensor(self, theta: torch.Tensor, x: torch.Tensor, s: torch.Tensor) -> torch.Tensor:
        with blamed(f"energy {self.name}"):
            given = self._made.energy(theta, x, s)
        if not isinstance(given, torch.Tensor):
            raise UserCodeError(f"energy {self.name}: energy must return a tensor, this one returned a {type(given).__name__}")
        if given.shape != (len(s),):
            raise UserCodeError(
                f"energy {self.name}: energy must return shape ({len(s)},), this one returned {tuple(given.shape)}"
            )
        return given

    def _gradient(self, value: torch.Tensor, leaf: torch.Tensor) -> Array:
        if not value.requires_grad:  # the energy does not depend on it
            return np.zeros(tuple(leaf.shape))
        with blamed(f"energy {self.name}, its gradient"):
            (gradient,) = torch.autograd.grad(value, leaf, allow_unused=True)
        return np.zeros(tuple(leaf.shape)) if gradient is None else gradient.numpy().copy()


def _leaf(array: Array) -> torch.Tensor:
    return torch.from_numpy(np.array(array, dtype=np.float64))
