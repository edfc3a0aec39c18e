"""Layers and parameters relaxing together to their common equilibrium, the control knobs standing still (Theorems 1-3).

At every moment theta = u - epsilon dE/dtheta, so parameters follow the state and only the state is searched for. The first
layer's weights need not be touched meanwhile: x w_1(s) = x u_1 + (epsilon / B) x x^T s. That equilibrium is a minimum only
while the coupling is strong enough: see `stability.py`.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from aeqlab.backends.hopfield.network import Couplings, Parameters, State, add_pull_, parameters_in
from aeqlab.backends.hopfield.solver import Follow, Surroundings, surroundings_of
from aeqlab.backends.hopfield.stability import gram


def following_unequally(u: Parameters, couplings: Couplings, x: Tensor, around: Surroundings) -> Follow:
    """Make the surroundings as a function of the state where couplings differ within a part: theta is formed at every sweep.

    Args:
        u: control knobs, as parameters.
        couplings: epsilon of each part, with factors.
        x: the input, shape (B, U_0).
        around: what does not follow: box and nudge.
    """
    widths = [x.shape[1], *(len(bias) for bias in u.biases)]

    def follow(state: State) -> Surroundings:
        theta = parameters_in(u.flat.clone(), widths)
        add_pull_(theta, couplings, x, state)
        return surroundings_of(theta, x, around.box, around.beta, around.targets)

    return follow


def following_parameters(couplings: Couplings, x: Tensor, held: State | None, around: Surroundings) -> Follow:
    """Make the surroundings as a function of the state, parameters following it at clamped control knobs.

    Args:
        couplings: epsilon of each part.
        x: the input, shape (B, U_0).
        held: state at which theta is at rest with the clamped knobs, for this same input; None if `around` is made of u itself.
        around: surroundings made of theta (or of u), with the nudge.
    """
    n = len(x)
    first = gram(x, couplings, 0)
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
