"""The energy `spring`: masses on a line joined by springs whose rest lengths are theta.

E = sum_e k_e/2 (s_i - s_j - theta_e)^2 + sum_i (lambda/2 s_i^2 + kappa/4 s_i^4), e = (i, j). Nodes are numbered inputs first
(where they are is x), then hidden ones, then outputs; the on-site terms act on the free nodes. Convex in s and theta together.
"""

from __future__ import annotations

from itertools import combinations
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

from aeqlab.backends.couplings import Coupling, Quadratic
from aeqlab.backends.device import ParameterBlock, channels, knobs
from aeqlab.backends.energies import PreparedEnergy
from aeqlab.backends.landscape import Landscape, Remembering
from aeqlab.backends.settings import BetaBounds

Array = NDArray[Any]
Node = Annotated[int, Field(ge=0)]


class SpringOptions(BaseModel):
    """Options of the energy `spring`."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    inputs: int = Field(default=2, ge=1, le=1000, description="nodes whose positions are the input knobs")
    hidden: int = Field(default=3, ge=0, le=1000, description="free nodes that are not read out")
    outputs: int = Field(default=1, ge=1, le=1000, description="free nodes that are read out")
    edges: list[tuple[Node, Node]] | None = Field(
        default=None, description="pairs of nodes joined by a spring; null joins every pair that is not of two inputs"
    )
    stiffness: Annotated[float, Field(gt=0)] | list[Annotated[float, Field(gt=0)]] = Field(
        default=1.0, description="k of every spring, or one per spring in the order of edges"
    )
    lam: float = Field(default=0.1, ge=0, description="stiffness lambda that pulls every free node to 0")
    kappa: float = Field(default=0.1, ge=0, description="hardening kappa of that pull")

    @model_validator(mode="after")
    def _springs_fit(self) -> SpringOptions:
        n, edges = self.inputs + self.hidden + self.outputs, self.pairs
        for i, j in edges:
            if not (i < n and j < n) or i == j or max(i, j) < self.inputs:
                raise ValueError(f"edge [{i}, {j}]: two different nodes from 0 to {n - 1} are needed, not both inputs")
        if len({frozenset(edge) for edge in edges}) != len(edges):
            raise ValueError("edges: every pair of nodes may be joined once only")
        if isinstance(self.stiffness, list) and len(self.stiffness) != len(edges):
            raise ValueError(f"stiffness: one for each of the {len(edges)} springs is needed, given are {len(self.stiffness)}")
        if self.lam == 0 and (loose := _loose(n, self.inputs, edges)):
            raise ValueError(f"node {loose[0]} hangs on no input by any chain of springs, and lam is 0: nothing says where it is")
        return self

    @property
    def pairs(self) -> list[tuple[int, int]]:
        """The edges, written out."""
        if self.edges is not None:
            return self.edges
        nodes = range(self.inputs + self.hidden + self.outputs)
        return [(i, j) for i, j in combinations(nodes, 2) if j >= self.inputs]


class SpringLandscape(Remembering):
    """The spring energy at one input; what is shared is the stretch s_i - s_j - theta_e of every spring, shape (B, K)."""

    def __init__(self, energy: SpringEnergy, from_inputs: Array) -> None:
        self._k, self._lam, self._kappa = energy.stiffness, energy.lam, energy.kappa
        self._on_states, self._back = energy.on_states, energy.back
        self._from_inputs = from_inputs

    def _share(self, theta: Array, s: Array) -> Array:
        stretch: Array = s @ self._on_states
        stretch += self._from_inputs
        stretch -= theta
        return stretch

    def value(self, theta: Array, s: Array) -> Array:
        """Compute E of each sample."""
        r = self.shared(theta, s)
        square = s * s
        energy: Array = (r * r) @ self._k
        energy += (square * (self._lam + 0.5 * self._kappa * square)).sum(axis=1)
        energy *= 0.5
        return energy

    def state_gradient(self, theta: Array, s: Array) -> Array:
        """Compute the sum of the forces on each free node."""
        gradient: Array = (self.shared(theta, s) * self._k) @ self._back
        gradient += s * (self._lam + self._kappa * s * s)
        return gradient

    def parameter_gradient(self, theta: Array, s: Array) -> Array:
        """Compute -k_e (s_i - s_j - theta_e), mean over the samples."""
        r = self.shared(theta, s)
        gradient: Array = (r[0] if len(r) == 1 else r.mean(axis=0)) * -self._k
        return gradient


class SpringEnergy(PreparedEnergy):
    """A network of springs with trained rest lengths."""

    name = "spring"

    def __init__(self, options: SpringOptions) -> None:
        pairs = options.pairs
        n_in, self.n_states = options.inputs, options.hidden + options.outputs
        self.inputs = knobs(tuple(f"x{i}" for i in range(n_in)))
        self.outputs = channels(tuple(f"s{i}" for i in range(n_in + options.hidden, n_in + self.n_states)))
        self.output_index = np.arange(options.hidden, self.n_states)
        self.parameters = (ParameterBlock("theta", (len(pairs),), 0),)
        self.lam, self.kappa = options.lam, options.kappa
        self.stiffness = np.array(np.broadcast_to(np.asarray(options.stiffness, dtype=np.float64), (len(pairs),)))
        incidence = np.zeros((len(pairs), n_in + self.n_states))  # row e: +1 at i, -1 at j
        for e, (i, j) in enumerate(pairs):
            incidence[e, i], incidence[e, j] = 1.0, -1.0
        self._on_inputs = np.ascontiguousarray(incidence[:, :n_in].T)  # (X, K)
        self.on_states = np.ascontiguousarray(incidence[:, n_in:].T)  # (N, K)
        self.back = np.ascontiguousarray(incidence[:, n_in:])  # (K, N)

    def at(self, x: Array) -> Landscape:
        """Prepare the pull of the inputs on every spring."""
        return SpringLandscape(self, x @ self._on_inputs)

    def state_hessian(self, theta: Array, x: Array, s: Array) -> Array:
        """Compute the stiffness matrix of each sample."""
        hessian = np.repeat(self._matrix(self.stiffness)[None], len(s), axis=0)
        node = np.arange(self.n_states)
        hessian[:, node, node] += 3 * self.kappa * s * s
        return hessian

    def beta_bounds(self, coupling: Coupling) -> BetaBounds:
        """Compute -1 / softest output: from the stiffness matrix, with k/(1 + epsilon k) where theta floats; -inf with kappa."""
        if self.kappa > 0:
            return BetaBounds(-np.inf, -np.inf)
        held = self._softest(self.stiffness)
        if isinstance(coupling, Quadratic):
            return BetaBounds(held, self._softest(self.stiffness / (1 + coupling.built * self.stiffness)))
        return BetaBounds(held, held if coupling.superquadratic else None)

    def _matrix(self, stiffness: Array) -> Array:
        matrix: Array = (self.on_states * stiffness) @ self.back + self.lam * np.eye(self.n_states)
        return matrix

    def _softest(self, stiffness: Array) -> float:
        """K + beta P > 0, P on the outputs, as long as beta > -1 / largest eigenvalue of the outputs' part of K^-1."""
        compliance = np.linalg.inv(self._matrix(stiffness))[np.ix_(self.output_index, self.output_index)]
        return -1 / float(np.linalg.eigvalsh(compliance)[-1])


def _loose(n: int, n_inputs: int, edges: list[tuple[int, int]]) -> list[int]:
    """Find the nodes from which no chain of springs leads to an input."""
    reached = set(range(n_inputs))
    while new := {b for i, j in edges for a, b in ((i, j), (j, i)) if a in reached and b not in reached}:
        reached |= new
    return sorted(set(range(n)) - reached)
