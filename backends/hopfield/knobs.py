"""The control knobs u without forming them: u = theta + epsilon dE/dtheta at the state theta is at rest with (section 5.3).

A training step never needs u itself, which is as large as theta. It is formed when someone asks, or when theta has to follow
another input or another coupling at knobs that stand still.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Self

from numpy.typing import NDArray
from torch import Tensor

from aeqlab.backends.hopfield.moment import as_array
from aeqlab.backends.hopfield.network import Couplings, Parameters, State, add_pull_, move_parameters_, parameters_in

Array = NDArray[Any]


@dataclass(slots=True)
class ControlKnobs:
    """The knobs, as a formed vector or as the rest of theta at a state.

    Invariant: `formed` is u, shape (parameters,), or None; then u = theta + epsilon dE/dtheta(x, state), and u = theta where
    there is no state either. Whoever changes theta keeps it so, as `follow_` does.
    """

    widths: Sequence[int]
    formed: Tensor | None = None
    x: Tensor | None = None  # input of the state at which theta rests, shape (B, U_0)
    state: State | None = None
    shown: Tensor | None = None  # u as it was last formed for a reader, while it stands still

    def hold(self, x: Tensor, state: State) -> None:
        """Let u follow exactly so that theta rests at this state."""
        self.formed, self.shown = None, None
        self.x, self.state = x, state

    def set(self, u: Tensor) -> None:
        """Set u, a vector that is not edited afterwards."""
        self.formed, self.shown = u, u
        self.x = self.state = None

    def rests_at(self, x: Tensor) -> State | None:
        """Get the state at which theta rests, if u is known through one for this very input."""
        return self.state if self.formed is None and self.x is x else None

    def value(self, theta: Parameters, couplings: Couplings) -> Tensor:
        """Form u, shape (parameters,). Asking changes no later number: a step goes on with what it had."""
        if self.shown is None:
            u = theta.flat.clone() if self.formed is None else self.formed
            if self.x is not None and self.state is not None:
                add_pull_(parameters_in(u, self.widths), couplings, self.x, self.state, sign=-1.0)
            self.shown = u
        return self.shown

    def form(self, theta: Parameters, couplings: Couplings) -> Tensor:
        """Form u and keep it as the knobs, because it can no longer be known through theta."""
        if self.formed is None:
            shown, self.shown = self.shown, None
            u = self.value(theta, couplings)
            self.set(u)
            self.shown = u if shown is None else shown
        assert self.formed is not None
        return self.formed

    def follow_(self, theta: Parameters, couplings: Couplings, x: Tensor, state: State) -> None:
        """Move theta, in place, to where it rests at this state while u stands still: theta = u - epsilon dE/dtheta."""
        held = self.rests_at(x)
        if held is not None:
            move_parameters_(theta, couplings, x, state, held)
            self.state = state
        else:
            theta.flat.copy_(self.form(theta, couplings))
            add_pull_(theta, couplings, x, state)

    def tree(self, presented: Tensor | None) -> dict[str, Any]:
        """Get everything as a tree; an input that is the presented one is not saved twice."""
        same = self.x is not None and self.x is presented
        return {
            "formed": None if self.formed is None else as_array(self.formed),
            "x": None if self.x is None or same else as_array(self.x),
            "same_x": same,
            "state": None if self.state is None else [as_array(s) for s in self.state],
            "shown": None if self.shown is None or self.shown is self.formed else as_array(self.shown),
        }

    @classmethod
    def of(cls, tree: dict[str, Any], widths: Sequence[int], tensor: Callable[[Array], Tensor], presented: Tensor | None) -> Self:
        """Make the knobs from a tree."""
        formed, x, state, shown = (tree[key] for key in ("formed", "x", "state", "shown"))
        return cls(
            widths,
            formed=None if formed is None else tensor(formed),
            x=presented if tree["same_x"] else None if x is None else tensor(x),
            state=None if state is None else tuple(tensor(s) for s in state),
            shown=None if shown is None else tensor(shown),
        )
