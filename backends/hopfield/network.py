"""The dense Hopfield-like network: its parameters and its energy as a sum of named terms (eqs. 20-21). Pure functions.

Letters: B samples of the batch, U_k units of layer k with layer 0 the input, N layers after it. The state is the tuple
(s_1, ..., s_N), each of shape (B, U_k). Energies are per sample, shape (B,); a parameter sees their mean over the batch.
Functions with a trailing underscore change their first argument in place, and say so.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from aeqlab.backends.hopfield.blocks import block_shapes

State = tuple[Tensor, ...]
Box = tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True)
class Parameters:
    """The one flat vector theta and its parts: w_k of shape (U_{k-1}, U_k), b_k of shape (U_k,), all views of `flat`."""

    flat: Tensor
    weights: tuple[Tensor, ...]
    biases: tuple[Tensor, ...]


@dataclass(frozen=True, slots=True)
class Couplings:
    """The softness epsilon of each part of theta, greater than zero.

    `factors`, where there are any, multiply it parameter by parameter: a spread of the couplings, and 0 where a parameter does
    not give way at all.
    """

    weights: tuple[float, ...]
    biases: tuple[float, ...]
    factors: Parameters | None = None

    def scaled(self, factor: float) -> Couplings:
        """Multiply every coupling by one factor."""
        return Couplings(tuple(e * factor for e in self.weights), tuple(e * factor for e in self.biases), self.factors)

    def softest(self) -> Couplings:
        """Get couplings of one value per part that are nowhere less than these."""
        if self.factors is None:
            return self
        return replace(self.scaled(float(self.factors.flat.max())), factors=None)


def parameters_in(flat: Tensor, widths: Sequence[int]) -> Parameters:
    """See a flat vector of shape (parameters,) as weights and biases, without a copy."""
    parts = []
    start = 0
    for shape in block_shapes(widths).values():
        size = math.prod(shape)
        parts.append(flat[start : start + size].view(shape))
        start += size
    return Parameters(flat, tuple(parts[0::2]), tuple(parts[1::2]))


def initial_parameters(widths: Sequence[int], gains: Sequence[float], rng: np.random.Generator) -> np.ndarray:
    """Draw the initial theta, shape (parameters,), float64.

    Source: eq. 113: w ~ U(-c, c) with c = (gain / 2) sqrt(6 / (fan_in + fan_out)), biases 0.
    """
    parts = []
    for below, above, gain in zip(widths[:-1], widths[1:], gains, strict=True):
        c = 0.5 * gain * math.sqrt(6.0 / (below + above))
        parts += [rng.uniform(-c, c, size=below * above), np.zeros(above)]
    return np.concatenate(parts)


# Energies -------------------------------------------------------------------------------------------------------------


def energy_terms(parameters: Parameters, x: Tensor, state: State) -> dict[str, Tensor]:
    """Compute the terms of E(theta, x, s) by name, each of shape (B,).

    Source: eqs. 20-21: |s_k|^2 / 2 ("leak k"), -s_{k-1} w_k s_k ("interaction k"), -b_k s_k ("bias k").
    """
    terms: dict[str, Tensor] = {}
    below = x
    for k, (s, w, b) in enumerate(zip(state, parameters.weights, parameters.biases, strict=True), start=1):
        terms[f"leak {k}"] = 0.5 * s.square().sum(1)
        terms[f"interaction {k}"] = -((below @ w) * s).sum(1)
        terms[f"bias {k}"] = -(s @ b)
        below = s
    return terms


def energy(parameters: Parameters, x: Tensor, state: State) -> Tensor:
    """Compute E(theta, x, s), shape (B,)."""
    return torch.stack(list(energy_terms(parameters, x, state).values())).sum(0)


def cost(outputs: Tensor, targets: Tensor) -> Tensor:
    """Compute C(s, y) = |s_N - y|^2 / 2, shape (B,)."""
    return 0.5 * (outputs - targets).square().sum(1)


def coupling_energy(controls: Parameters, parameters: Parameters, couplings: Couplings) -> Tensor:
    """Compute U(u, theta) = sum of |u - theta|^2 / 2 epsilon over the parts, shape ()."""
    total = parameters.flat.new_zeros(())
    for here, there, epsilons in (
        (controls.weights, parameters.weights, couplings.weights),
        (controls.biases, parameters.biases, couplings.biases),
    ):
        for u, theta, epsilon in zip(here, there, epsilons, strict=True):
            total = total + (u - theta).square().sum() / (2.0 * epsilon)
    return total


# How a parameter answers the state ------------------------------------------------------------------------------------


def add_pull_(parameters: Parameters, couplings: Couplings, x: Tensor, state: State, sign: float = 1.0) -> None:
    """Add -sign epsilon dE/dtheta at this state to theta, in place.

    With theta = u and sign 1 this is the equilibrium of theta at a state; with sign -1 it gives the control knobs that hold
    theta there. Source: section 5.3, dE/dw_k = -s_{k-1}^T s_k and dE/db_k = -s_k, means over the batch.
    """
    below, factors = x, couplings.factors
    for k, s in enumerate(state):
        weight, bias = sign * couplings.weights[k] / len(x), sign * couplings.biases[k] / len(x)
        if factors is None:
            parameters.weights[k].addmm_(below.T, s, alpha=weight)
            parameters.biases[k].add_(s.sum(0), alpha=bias)
        else:
            parameters.weights[k].addcmul_(below.T @ s, factors.weights[k], value=weight)
            parameters.biases[k].addcmul_(s.sum(0), factors.biases[k], value=bias)
        below = s


def move_parameters_(parameters: Parameters, couplings: Couplings, x: Tensor, state: State, held: State) -> None:
    """Move theta, in place, from its equilibrium at `held` to its equilibrium at `state`, control knobs and input standing still.

    theta += epsilon (dE/dtheta(held) - dE/dtheta(state)): u cancels and is never formed; the large first layer takes one product.
    """
    n = len(x)
    if couplings.factors is not None:
        add_pull_(parameters, couplings, x, held, sign=-1.0)
        add_pull_(parameters, couplings, x, state)
        return
    parameters.weights[0].addmm_(x.T, state[0] - held[0], alpha=couplings.weights[0] / n)
    for k in range(1, len(state)):
        product = torch.mm(state[k].T, state[k - 1])  # (U_k, U_{k-1}): faster this way round where the layer above is narrow
        product.addmm_(held[k].T, held[k - 1], alpha=-1.0)
        parameters.weights[k].add_(product.T, alpha=couplings.weights[k] / n)
    for bias, eps, now, before in zip(parameters.biases, couplings.biases, state, held, strict=True):
        bias.add_((now - before).sum(0), alpha=eps / n)
