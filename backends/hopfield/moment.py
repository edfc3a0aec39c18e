"""What an engine has in hand at one moment: what is staged for the next advance, and the sample that is presented.

Both go into a checkpoint as trees of numpy arrays and come back bit for bit.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self

from numpy.typing import NDArray
from torch import Tensor

from aeqlab.backends.hopfield.network import State

Array = NDArray[Any]


class _Tree:
    """Turns a dataclass of tensors, states and plain values into a tree for `wire.pack`, and back."""

    def tree(self) -> dict[str, Any]:
        """Get every field, tensors as numpy arrays and states as lists of them."""
        return {field.name: _plain(getattr(self, field.name)) for field in dataclasses.fields(self)}  # type: ignore[arg-type]

    @classmethod
    def of(cls, tree: dict[str, Any], tensor: Callable[[Array], Tensor]) -> Self:
        """Make one from a tree; raises KeyError or TypeError if it is of something else."""
        names = [field.name for field in dataclasses.fields(cls)]  # type: ignore[arg-type]
        return cls(**{name: _tensors(tree[name], tensor) for name in names})


@dataclass(slots=True)
class Staged(_Tree):
    """What the next advance applies, and how it runs.

    `changed` says that a knob was set since the last advance; `holding` that theta is held exactly, else u is clamped.
    `clamped` are the values at which the outputs stand, None while they are free.
    Targets are None while there is no nudge at all, which is not the same as beta 0: see `HopfieldEngine`.
    """

    x: Tensor | None = None
    u: Tensor | None = None
    targets: Tensor | None = None
    beta: float = 0.0
    clamped: Tensor | None = None
    holding: bool = True
    frozen: bool = False
    changed: bool = False


@dataclass(slots=True)
class Presented(_Tree):
    """The sample in the network: input, layers now, and the layers at rest in the phases of the step so far.

    `free` is the one without nudge and `held` the last one with theta held, at `held_beta`; `trained` says that the step's
    nudged phase is done.
    """

    x: Tensor | None = None
    state: State | None = None
    free: State | None = None
    held: State | None = None
    held_beta: float = 0.0
    trained: bool = False

    def next(self, x: Tensor, keep: bool) -> Presented:
        """Present another sample; its layers start where these ended, if `keep` and this was a step on as many samples."""
        alike = self.state is not None and len(self.state[0]) == len(x)
        return Presented(x, self.state if keep and alike and self.trained else None)


def _plain(value: Any) -> Any:
    if isinstance(value, Tensor):
        return as_array(value)
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return value


def _tensors(value: Any, tensor: Callable[[Array], Tensor]) -> Any:
    if isinstance(value, list):
        return tuple(_tensors(item, tensor) for item in value)
    if value is None or isinstance(value, (bool, int, float)):
        return value
    return tensor(value)


def as_array(tensor: Tensor) -> Array:
    """Copy a tensor to numpy."""
    array: Array = tensor.to("cpu", copy=True).numpy()
    return array
