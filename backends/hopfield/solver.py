"""Settling of the layers by sweeps: each in turn takes the state of least energy, given all others (section 5.3, Appendix C).

A loop of init, step, terminate on what stands still during a phase. It knows nothing of devices, phases or learning, edits no
tensor it was given, and says how it ended. Letters as in `network.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

import torch
from torch import Tensor

from aeqlab.backends.hopfield.network import Box, Parameters, State


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What stands still while the layers relax.

    Attributes:
        drive: x w_1 + b_1, shape (B, U_1): the input is clamped, so this is computed once.
        down: w_k^T for k = 2..N, shape (U_k, U_{k-1}), contiguous.
        biases: b_k for k = 2..N, shape (U_k,).
        box: interval of every layer.
        beta, targets: the nudge; targets y of shape (B, U_N), needed where beta is not 0.
        clamped: values at which the output stands, shape (B, U_N), whatever pulls at it; None where it is free.
    """

    drive: Tensor
    down: tuple[Tensor, ...]
    biases: tuple[Tensor, ...]
    box: Box
    beta: float = 0.0
    targets: Tensor | None = None
    clamped: Tensor | None = None


def surroundings_of(
    parameters: Parameters,
    x: Tensor,
    box: Box,
    beta: float = 0.0,
    targets: Tensor | None = None,
    drive: Tensor | None = None,
    clamped: Tensor | None = None,
) -> Surroundings:
    """Gather what stands still when the parameters are held; a drive known from before is taken as it is."""
    if drive is None:
        drive = torch.addmm(parameters.biases[0], x, parameters.weights[0])  # (B, U_1)
    down = tuple(w.T.contiguous() for w in parameters.weights[1:])
    return Surroundings(drive, down, parameters.biases[1:], box, beta, targets, clamped)


class Norm(StrEnum):
    """How the change of a layer in one sweep is measured, over all its units and all samples."""

    SUM = "sum"  #: the paper's L1 norm; tightens with batch and layer
    LARGEST = "largest"


@dataclass(frozen=True, slots=True)
class Stop:
    """When a phase ends: the change of every layer below its threshold, or `max_sweeps` done."""

    norm: Norm
    thresholds: tuple[float, ...]
    max_sweeps: int


class Outcome(StrEnum):
    """How settling ended."""

    CONVERGED = "converged"
    MAX_SWEEPS = "max sweeps"  #: the thresholds were not met
    NOT_FINITE = "not finite"


@dataclass(frozen=True, slots=True)
class Settled:
    """The state found, how the loop ended, its sweeps, and the residual: the change of each layer in the last sweep."""

    state: State
    outcome: Outcome
    sweeps: int
    residual: tuple[float, ...]


#: Surroundings as a function of the state: what moves along with it.
Follow = Callable[[State], Surroundings]


def forward(n: int) -> tuple[int, ...]:
    """Order of a sweep from the first hidden layer to the output."""
    return tuple(range(n))


def backward(n: int) -> tuple[int, ...]:
    """Order of a sweep from the output back to the first hidden layer."""
    return tuple(reversed(range(n)))


def settle(
    around: Surroundings,
    start: State,
    order: Sequence[int],
    stop: Stop,
    follow: Follow | None = None,
) -> Settled:
    """Relax the layers one after the other until they rest.

    Args:
        around: what stands still.
        start: state to start from; not edited.
        order: layers of one sweep in order, counted from 0; each sees the newest of its neighbours.
        stop: when to end.
        follow: surroundings that follow the state, asked before every sweep (the parameters of a joint relaxation).
    """
    buffers = tuple([torch.empty_like(s) for s in start] for _ in range(2))
    state = start
    narrow_first = sorted(order, key=lambda k: start[k].shape[1])
    for sweeps in range(1, stop.max_sweeps + 1):
        if follow is not None:
            around = follow(state)
        previous, state = state, sweep(around, state, order, buffers[sweeps % 2])
        changes: dict[int, float] = {}
        for k in narrow_first:  # the wide layers are measured only when the narrow ones have come to rest
            changes[k] = _change(previous[k], state[k], stop.norm)
            if not changes[k] < stop.thresholds[k]:
                break
        else:
            outcome = Outcome.CONVERGED
            break
    else:
        outcome = Outcome.MAX_SWEEPS
    residual = tuple(changes[k] if k in changes else _change(previous[k], s, stop.norm) for k, s in enumerate(state))
    if not all(r < float("inf") for r in residual):
        outcome = Outcome.NOT_FINITE
    return Settled(state, outcome, sweeps, residual)


def sweep(around: Surroundings, state: State, order: Sequence[int], out: Sequence[Tensor] | None = None) -> State:
    """Relax every layer once, in the order given. `out` are tensors to write into, other than those of the state."""
    layers = list(state)
    for k in order:
        layers[k] = relaxed_layer(around, layers, k, torch.empty_like(layers[k]) if out is None else out[k])
    return tuple(layers)


def relaxed_layer(around: Surroundings, layers: Sequence[Tensor], k: int, out: Tensor) -> Tensor:
    """Compute the state of layer k (from 0) with the least energy, given its neighbours, shape (B, U_k). May write into `out`.

    The energy is a z^2 + b z per unit: the minimum is clamp(-b / 2a, p, q) where a > 0, else the better end of [p, q].
    Source: section 5.3; 2a is 1 in hidden layers and 1 + beta in the output.
    """
    last = k == len(layers) - 1
    if last and around.clamped is not None:
        return out.copy_(around.clamped)
    if k > 0:
        torch.addmm(around.biases[k - 1], layers[k - 1], around.down[k - 1].T, out=out)
        if not last:
            out.addmm_(layers[k + 1], around.down[k])
    elif last:
        out.copy_(around.drive)
    else:
        torch.addmm(around.drive, layers[1], around.down[0], out=out)
    curvature = 1.0
    if last and around.targets is not None and around.beta != 0.0:
        out.add_(around.targets, alpha=around.beta)
        curvature += around.beta
    low, high = around.box[k]
    if curvature > 0.0:
        return (out if curvature == 1.0 else out.div_(curvature)).clamp_(low, high)
    higher_is_better = out > 0.5 * curvature * (low + high)
    return torch.where(higher_is_better, torch.full_like(out, high), torch.full_like(out, low))


def distance_to_rest(around: Surroundings, state: State) -> float:
    """Measure how far from equilibrium a state is, whoever found it: the largest move of a unit if it alone relaxed."""
    moves = [(relaxed_layer(around, state, k, torch.empty_like(s)) - s).abs().max() for k, s in enumerate(state)]
    return float(torch.stack(moves).max())


def _change(old: Tensor, new: Tensor, norm: Norm) -> float:
    difference = (new - old).abs_()
    return float(difference.sum() if norm is Norm.SUM else difference.max())
