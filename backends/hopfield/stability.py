"""Whether a coupling is strong enough for layers and parameters to have a common equilibrium nearby (Theorems 1-3 suppose one).

With the parameters following the state, theta(s) = u - epsilon dE/dtheta(s), the energy left over is one of the state alone. Its
curvature is the layers' own, 1 (the output 1 + beta), less what connections and couplings take away. While that is less than
all of it in every direction, an equilibrium is a minimum; else the state runs away to the corners of its box.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from aeqlab.backends.hopfield.network import Box, Couplings, Parameters, State

#: Steps of the Lanczos iteration; exact where the state has no more units than this.
STEPS = 24


@dataclass(frozen=True, slots=True)
class Load:
    """How much of the layers' own curvature is taken away; at 1 the joint minimum is gone.

    `first`: by the first layer's parameters alone, the largest eigenvalue of (epsilon_w X X^T + epsilon_b 1 1^T) / B, which is
    the same for every state. `whole`: by all connections and couplings, at one state, in the units inside their interval.
    """

    first: float
    whole: float


def gram(below: Tensor, couplings: Couplings, k: int) -> Tensor:
    """Compute (epsilon_w S S^T + epsilon_b 1 1^T) / B, shape (B, B): how the sum over samples of layer k feeds back to it."""
    return (couplings.weights[k] * (below @ below.T) + couplings.biases[k]) / len(below)


def coupling_load(theta: Parameters, couplings: Couplings, x: Tensor, state: State, box: Box, beta: float) -> Load:
    """Compute the load at a state, with theta at rest there.

    Args:
        theta, couplings: parameters and epsilon of each part.
        x: input, shape (B, U_0).
        state: layers at rest.
        box: interval of each layer.
        beta: nudge to come; an output without curvature (beta <= -1) sits at an end of its interval and does not count.
    """
    curvature = [1.0] * (len(state) - 1) + [1.0 + beta]
    room = []  # 0 where a unit cannot move, else 1 / sqrt(curvature)
    for s, (low, high), c in zip(state, box, curvature, strict=True):
        inside = ((s > low) & (s < high)).to(s.dtype)
        room.append(inside / c**0.5 if c > 0.0 else torch.zeros_like(s))
    grams = [gram(below, couplings, k) for k, below in enumerate((x, *state[:-1]))]
    first = float(torch.linalg.eigvalsh(grams[0].double())[-1])

    def taken(v: Tensor) -> Tensor:
        moved = [a * r for a, r in zip(torch.split(v, [s.shape[1] for s in state], dim=1), room, strict=True)]
        pulls = _change_of_pull(theta, couplings, grams, x, state, moved)
        return torch.cat([p * r for p, r in zip(pulls, room, strict=True)], dim=1)

    scale = torch.cat(room, dim=1)
    return Load(first, _largest_eigenvalue(taken, scale))


def advise(theta: Parameters, couplings: Couplings, x: Tensor, state: State, box: Box, beta: float) -> str:
    """Say which couplings would do: all scaled by one factor that leaves the load half-way between 1 and that of none at all."""
    least = coupling_load(theta, couplings.scaled(0.0), x, state, box, beta).whole
    low, high = 0.0, 1.0
    for _ in range(10 if least < 1.0 else 0):
        middle = 0.5 * (low + high)
        load = coupling_load(theta, couplings.scaled(middle), x, state, box, beta)
        if max(load.first, load.whole) < 0.5 * (1.0 + max(least, 0.0)):
            low = middle
        else:
            high = middle
    if low == 0.0:
        return "no coupling would do, as the layers are unstable even with the parameters held: choose"
    enough = couplings.scaled(low)
    weights, biases = (", ".join(f"{e:.2g}" for e in some) for some in (enough.weights, enough.biases))
    return f"choose weight_couplings: [{weights}] with bias_couplings: [{biases}], or"


def _change_of_pull(
    theta: Parameters, couplings: Couplings, grams: list[Tensor], x: Tensor, state: State, moved: list[Tensor]
) -> list[Tensor]:
    """Differentiate the pull on every layer, s_{k-1} w_k + b_k + s_{k+1} w_{k+1}^T with parameters that follow, along a move.

    The change of w_k, (epsilon / B) (m_{k-1}^T s_k + s_{k-1}^T m_k), is never formed: products over samples, (B, B), are smaller.
    """
    n = len(x)
    pulls = [grams[0] @ moved[0]]
    for k in range(1, len(state)):
        w, eps = theta.weights[k], couplings.weights[k] / n
        below, above = state[k - 1], state[k]
        pulls[k - 1] = pulls[k - 1] + moved[k] @ w.T + eps * (above @ above.T @ moved[k - 1] + above @ moved[k].T @ below)
        pulls.append(moved[k - 1] @ w + eps * (below @ moved[k - 1].T @ above) + grams[k] @ moved[k])
    return pulls


def _largest_eigenvalue(operator: Callable[[Tensor], Tensor], scale: Tensor) -> float:
    """Find the largest eigenvalue of a symmetric operator by Lanczos steps; `scale` says where its vectors are not zero."""
    count = torch.arange(1, scale.numel() + 1, dtype=scale.dtype, device=scale.device).view_as(scale)
    v = torch.cos(count * count) * (scale != 0)  # spread over all directions, the same every time
    size = float(v.norm())
    if size == 0.0:
        return 0.0
    steps = min(STEPS, scale.numel())
    basis = scale.new_empty(steps, scale.numel())
    basis[0] = v.reshape(-1) / size
    diagonal: list[float] = []
    beside: list[float] = []
    for step in range(steps):
        known = basis[: step + 1]
        w = operator(basis[step].view_as(scale)).reshape(-1)
        diagonal.append(float(w @ basis[step]))
        w = w - known.T @ (known @ w)
        size = float(w.norm())
        if step == steps - 1 or size < 1e-6 * (1.0 + max(abs(d) for d in diagonal)):
            break
        beside.append(size)
        basis[step + 1] = w / size
    return float(np.linalg.eigvalsh(np.diag(diagonal) + np.diag(beside, 1) + np.diag(beside, -1))[-1])
