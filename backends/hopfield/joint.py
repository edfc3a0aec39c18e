"""Layers and parameters relaxing together to their common equilibrium, the control knobs standing still (Theorems 1-3).

At every moment theta = u - epsilon dE/dtheta, so parameters follow the state and only the state is searched for. The first
layer's weights need not be touched meanwhile: x w_1(s) = x u_1 + (epsilon / B) x x^T s. That equilibrium is a minimum only
while the coupling is strong enough; `coupling_loads` says how strong it is.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from aeqlab.backends.hopfield.network import Couplings, State
from aeqlab.backends.hopfield.solver import Follow, Surroundings


def following_parameters(couplings: Couplings, x: Tensor, held: State | None, around: Surroundings) -> Follow:
    """Make the surroundings as a function of the state, parameters following it at clamped control knobs.

    Args:
        couplings: epsilon of each part.
        x: the input, shape (B, U_0).
        held: state at which theta is at rest with the clamped knobs, for this same input; None if `around` is made of u itself.
        around: surroundings made of theta (or of u), with the nudge.
    """
    n = len(x)
    first = _gram(x, couplings, 0)
    drive, down, biases = around.drive, list(around.down), list(around.biases)
    if held is not None:  # back from theta to u
        drive = drive - first @ held[0]
        for k in range(1, len(held)):
            down[k - 1] = torch.addmm(down[k - 1], held[k].T, held[k - 1], alpha=-couplings.weights[k] / n)
            biases[k - 1] = biases[k - 1] - couplings.biases[k] / n * held[k].sum(0)

    def follow(state: State) -> Surroundings:
        return replace(
            around,
            drive=torch.addmm(drive, first, state[0]),
            down=tuple(
                torch.addmm(down[k - 1], state[k].T, state[k - 1], alpha=couplings.weights[k] / n) for k in range(1, len(state))
            ),
            biases=tuple(biases[k - 1] + couplings.biases[k] / n * state[k].sum(0) for k in range(1, len(state))),
        )

    return follow


def coupling_loads(couplings: Couplings, x: Tensor, state: State, beta: float) -> tuple[float, ...]:
    """Compute how much of its layer's own curvature each coupling takes away; at 1 the joint minimum is gone.

    With its parameters eliminated, the energy of a layer has the curvature 1 (the output 1 + beta) less the largest eigenvalue
    of (epsilon_w S S^T + epsilon_b 1 1^T) / B, where S of shape (B, U_{k-1}) is the layer below, for the first layer the input.

    Returns:
        For each layer that eigenvalue over that curvature; 0 for an output without curvature, which sits at an end of its box.
    """
    loads = []
    layers_below = (x, *state[:-1])
    for k, below in enumerate(layers_below):
        curvature = 1.0 + beta if k == len(state) - 1 else 1.0
        largest = float(torch.linalg.eigvalsh(_gram(below.double(), couplings, k))[-1])
        loads.append(largest / curvature if curvature > 0.0 else 0.0)
    return tuple(loads)


def weak_coupling(couplings: Couplings, loads: tuple[float, ...]) -> str:
    """Say that a coupling is too weak for a joint equilibrium, by how much, and what would do."""
    k = loads.index(max(loads))
    matrix = "epsilon X X^T / B" if k == 0 else f"epsilon S_{k} S_{k}^T / B"
    room = [0.9 / max(load, 0.9) for load in loads]
    weights = ", ".join(f"{e * r:.2g}" for e, r in zip(couplings.weights, room, strict=True))
    biases = ", ".join(f"{e * r:.2g}" for e, r in zip(couplings.biases, room, strict=True))
    return (
        f"the coupling of layer {k + 1} is too weak for parameter_relaxation: joint. In units of the layer's own curvature the "
        f"largest eigenvalue of {matrix} is {loads[k]:.3g} for these samples; it must stay below 1, else the joint equilibrium "
        f"lies in the corners of the state space. Choose weight_couplings: [{weights}] with bias_couplings: [{biases}], "
        "or parameter_relaxation: once."
    )


def _gram(below: Tensor, couplings: Couplings, k: int) -> Tensor:
    """Compute (epsilon_w S S^T + epsilon_b 1 1^T) / B, shape (B, B): what the sum over samples of a layer feeds back to it."""
    return (couplings.weights[k] * (below @ below.T) + couplings.biases[k]) / len(below)
