"""The energy `hopfield`: a small layered Hopfield-like network in its box (eqs. 20-21), in numpy.

E = sum_k 1/2 |s_k|^2 - s_k . (s_{k-1} w_k) - b_k . s_k, s_0 = x, hidden units in [0, 1], outputs in [-1, 2] (Table 2). For
networks of the size of the paper's section 5.3 there is the engine of the kind `hopfield`; this one is for the physics of 5.1.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

from aeqlab.backends.costs import Cost, HalfSquaredError
from aeqlab.backends.couplings import Coupling
from aeqlab.backends.device import ParameterBlock, channels, knobs
from aeqlab.backends.energies import PreparedEnergy
from aeqlab.backends.errors import DivergedError
from aeqlab.backends.landscape import Landscape, Remembering
from aeqlab.backends.settings import BetaBounds

Array = NDArray[Any]
HIDDEN_BOX = 0.0, 1.0
OUTPUT_BOX = -1.0, 2.0
MOST_SWEEPS = 100_000


class HopfieldOptions(BaseModel):
    """Options of the energy `hopfield`."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    layers: list[Annotated[int, Field(ge=1, le=10_000)]] = Field(
        default=[6, 4, 2], min_length=2, max_length=20, description="units of each layer: inputs, hidden ones, outputs"
    )
    gains: list[Annotated[float, Field(gt=0, le=100)]] | None = Field(
        default=None, description="gain alpha of the first weights of each pair of layers (eq. 113); null for 1"
    )

    @model_validator(mode="after")
    def _gains_fit(self) -> HopfieldOptions:
        if self.gains is not None and len(self.gains) != len(self.layers) - 1:
            raise ValueError(f"gains: {len(self.layers) - 1} are needed, one per pair of layers, given are {len(self.gains)}")
        return self


class HopfieldLandscape(Remembering):
    """The network at one input; what is shared is the layers, the weights, and the pull from below on each layer."""

    def __init__(self, energy: HopfieldEnergy, x: Array) -> None:
        self._network, self._x = energy, x

    def _share(self, theta: Array, s: Array) -> tuple[list[Array], list[Array], list[Array]]:
        weights, biases = self._network.split(theta)
        layers = [s[:, part] for part in self._network.layer_parts]
        below = [self._x, *layers]
        return layers, weights, [under @ w + b for under, w, b in zip(below, weights, biases, strict=False)]

    def value(self, theta: Array, s: Array) -> Array:
        """Compute E of each sample."""
        _, _, pulls = self.shared(theta, s)
        energy: Array = (s * (0.5 * s - np.concatenate(pulls, axis=1))).sum(axis=1)
        return energy

    def state_gradient(self, theta: Array, s: Array) -> Array:
        """Compute s_k - w_k^T s_{k-1} - b_k - w_{k+1} s_{k+1}."""
        layers, weights, pulls = self.shared(theta, s)
        gradient: Array = s - np.concatenate(pulls, axis=1)
        for k, part in enumerate(self._network.layer_parts[:-1]):
            gradient[:, part] -= layers[k + 1] @ weights[k + 1].T
        return gradient

    def parameter_gradient(self, theta: Array, s: Array) -> Array:
        """Compute -s_{k-1} s_k^T and -s_k, mean over the samples."""
        gradient = np.empty_like(theta)
        below = self._x
        for w, b, here in zip(*self._network.split(gradient), self.shared(theta, s)[0], strict=True):
            np.matmul(below.T, here, out=w)
            here.sum(axis=0, out=b)
            below = here
        gradient /= -len(s)
        return gradient


class HopfieldEnergy(PreparedEnergy):
    """A layered network; theta is w1 (n0, n1), b1 (n1), w2, b2, ... flat, row by row."""

    name = "hopfield"
    layered: ClassVar[bool] = True

    def __init__(self, options: HopfieldOptions) -> None:
        sizes = options.layers
        self.gains = options.gains or [1.0] * (len(sizes) - 1)
        self.inputs = knobs(tuple(f"x{i}" for i in range(sizes[0])), low=0.0, high=1.0)
        self.outputs = channels(tuple(f"s{i}" for i in range(sizes[-1])))
        self.n_states = sum(sizes[1:])
        self.output_index = np.arange(self.n_states - sizes[-1], self.n_states)
        blocks, at = [], 0
        for k, (below, above) in enumerate(pairwise(sizes), 1):
            blocks += [ParameterBlock(f"w{k}", (below, above), at), ParameterBlock(f"b{k}", (above,), at + below * above)]
            at += (below + 1) * above
        self.parameters = tuple(blocks)
        self._weights = [(block.slice, block.shape) for block in blocks[::2]]
        self._biases = [block.slice for block in blocks[1::2]]
        ends = np.cumsum([0, *sizes[1:]])
        self.layer_parts = [slice(int(a), int(b)) for a, b in pairwise(ends)]
        low, high = np.full(self.n_states, HIDDEN_BOX[0]), np.full(self.n_states, HIDDEN_BOX[1])
        low[self.output_index], high[self.output_index] = OUTPUT_BOX
        self.box = low, high

    def split(self, theta: Array) -> tuple[list[Array], list[Array]]:
        """Get views of the weights w_k (n_{k-1}, n_k) and biases b_k (n_k,) contained in theta."""
        return [theta[part].reshape(shape) for part, shape in self._weights], [theta[part] for part in self._biases]

    def at(self, x: Array) -> Landscape:
        """Prepare the landscape over one input."""
        return HopfieldLandscape(self, x)

    def state_hessian(self, theta: Array, x: Array, s: Array) -> Array:
        """Compute 1 on the diagonal and -w between neighbouring layers, the same for each sample."""
        weights, _ = self.split(theta)
        one = np.eye(self.n_states)
        for k in range(1, len(weights)):
            one[self.layer_parts[k - 1], self.layer_parts[k]] = -weights[k]
            one[self.layer_parts[k], self.layer_parts[k - 1]] = -weights[k].T
        return np.repeat(one[None], len(s), axis=0)

    def equilibrium(self, cost: Cost, theta: Array, x: Array, y: Array | None, beta: float, start: Array | None = None) -> Array:
        """Minimise each layer given its neighbours, in turn, until nothing moves; where it is concave, the better end of the box.

        Raises:
            DivergedError: the layers never come to rest.
        """
        if not isinstance(cost, HalfSquaredError):
            return super().equilibrium(cost, theta, x, y, beta, start)
        weights, biases = self.split(theta)
        s = self.start(len(x)) if start is None else np.array(start)
        assert self.box is not None
        low, high = self.box
        last = len(self.layer_parts) - 1
        for _ in range(MOST_SWEEPS):
            moved = 0.0
            for k, part in enumerate(self.layer_parts):
                below = x if k == 0 else s[:, self.layer_parts[k - 1]]
                pull = below @ weights[k] + biases[k]
                if k < last:
                    pull = pull + s[:, self.layer_parts[k + 1]] @ weights[k + 1].T
                curvature = 1.0
                if k == last and y is not None:
                    pull, curvature = pull + beta * y, 1.0 + beta
                new = _least(curvature, pull, low[part], high[part])
                moved = max(moved, float(np.abs(new - s[:, part]).max()))
                s[:, part] = new
            if moved <= 1e-13:
                return s
        raise DivergedError(f"{self.name}: the layers do not come to rest in {MOST_SWEEPS} sweeps")

    def first_parameters(self, rng: np.random.Generator) -> Array:
        """Draw weights from U(-c, c), c = alpha/2 sqrt(6 / (n_pre + n_post)) (eq. 113); biases are zero."""
        theta = np.zeros(self.n_parameters)
        for w, gain in zip(self.split(theta)[0], self.gains, strict=True):
            c = gain / 2 * np.sqrt(6 / sum(w.shape))
            w[:] = rng.uniform(-c, c, w.shape)
        return theta

    def beta_bounds(self, coupling: Coupling) -> BetaBounds:
        """Say that the box bounds the energy at every nudge; theta is only linear in it, and every coupling grows faster."""
        return BetaBounds(-np.inf, -np.inf)

    def layers(self, s: Array) -> dict[str, Array]:
        """Get a copy of each layer, shape (B, units); hidden ones are h1, h2, ..."""
        names = [f"h{k}" for k in range(1, len(self.layer_parts))] + ["output"]
        return {name: s[:, part].copy() for name, part in zip(names, self.layer_parts, strict=True)}


def _least(a: float, pull: Array, low: Array, high: Array) -> Array:
    """Find the least point of a/2 z^2 - pull z between low and high; with a <= 0 it is the better of the two ends."""
    if a > 0:
        return np.clip(pull / a, low, high)
    at_high = a / 2 * high * high - pull * high < a / 2 * low * low - pull * low
    return np.where(at_high, high, low)
