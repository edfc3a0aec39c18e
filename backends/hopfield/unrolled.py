"""The autodiff baseline of section 5.3: the free relaxation unrolled, and the loss differentiated through every sweep of it.

The layers start from zeros for each batch and are swept from the first hidden one up, as in the free phase, until the phase
would have ended. Then as many sweeps are done once more where torch remembers them.
"""

from __future__ import annotations

import torch
from torch import Tensor

from aeqlab.backends.hopfield.network import Box, Parameters, State, cost, parameters_in
from aeqlab.backends.hopfield.solver import Outcome, Stop, forward, settle, surroundings_of


def loss_and_gradient(
    theta: Tensor, widths: tuple[int, ...], box: Box, x: Tensor, targets: Tensor, stop: Stop
) -> tuple[float, Tensor, Outcome]:
    """Compute the loss at the end of the relaxation from zeros, and its gradient through it, both means over the batch.

    Args:
        theta: the flat parameters, shape (parameters,).
        widths, box: of the network.
        x, targets: one batch, shapes (B, U_0) and (B, U_N).
        stop: when the relaxation ends.
    Returns:
        The loss, the gradient of the shape of theta, and how the relaxation ended. Memory grows with the number of sweeps.
    Source: Scellier et al. 2022, section 5.3, "Baseline".
    """
    with torch.no_grad():
        fixed = parameters_in(theta, widths)
        start = tuple(x.new_zeros(len(x), width) for width in widths[1:])
        settled = settle(surroundings_of(fixed, x, box), start, forward(len(box)), stop)
    leaf = theta.detach().clone().requires_grad_(True)
    state: State = start
    for _ in range(settled.sweeps):
        state = _sweep(parameters_in(leaf, widths), x, state, box)
    loss = cost(state[-1], targets).mean()
    (gradient,) = torch.autograd.grad(loss, leaf)
    return float(loss.detach()), gradient, settled.outcome


def _sweep(parameters: Parameters, x: Tensor, state: State, box: Box) -> State:
    """Relax every layer once, upward, with nothing written in place."""
    layers = list(state)
    for k, (low, high) in enumerate(box):
        below = x if k == 0 else layers[k - 1]
        pull = torch.addmm(parameters.biases[k], below, parameters.weights[k])
        if k + 1 < len(layers):
            pull = torch.addmm(pull, layers[k + 1], parameters.weights[k + 1].T)
        layers[k] = pull.clamp(low, high)
    return tuple(layers)
