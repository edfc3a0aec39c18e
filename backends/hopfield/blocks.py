"""How the engine describes its knobs, readouts and parameters: names made on demand, limits that take no memory. No torch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import overload

import numpy as np
from numpy.typing import NDArray

from aeqlab.backends.device import DeviceInfo, Knobs, ParameterBlock, channels
from aeqlab.backends.hopfield.settings import HopfieldSettings


class KnobNames(Sequence[str]):
    """The names u of the control knobs, one per parameter: `u_w1[12,345]`. A million names as a tuple would take 60 MB."""

    def __init__(self, blocks: Sequence[ParameterBlock]) -> None:
        self._blocks = tuple(blocks)
        self._n = sum(block.size for block in blocks)

    def __len__(self) -> int:
        return self._n

    @overload
    def __getitem__(self, index: int) -> str: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[str]: ...

    def __getitem__(self, index: int | slice) -> str | Sequence[str]:
        if isinstance(index, slice):
            return tuple(self[i] for i in range(*index.indices(self._n)))
        position = int(index) + (self._n if index < 0 else 0)
        for block in self._blocks:
            if block.start <= position < block.start + block.size:
                where = np.unravel_index(position - block.start, block.shape)
                return f"u_{block.name}[{','.join(str(int(i)) for i in where)}]"
        raise IndexError(f"there are {self._n} control knobs, {index} is none of them")


def describe(settings: HopfieldSettings, shapes: dict[str, tuple[int, ...]]) -> DeviceInfo:
    """Describe the engine as a device; `shapes` name the parts of theta in order."""
    widths = settings.widths
    couplings = [e for pair in zip(settings.weight_couplings, settings.bias_couplings, strict=True) for e in pair]
    blocks = []
    start = 0
    for (name, shape), epsilon in zip(shapes.items(), couplings, strict=True):
        blocks.append(ParameterBlock(name, shape, start, epsilon=epsilon))
        start += math.prod(shape)
    low, high = settings.input_interval
    return DeviceInfo(
        kind="hopfield",
        name="Hopfield network " + "-".join(str(n) for n in widths),
        inputs=_row_of_knobs([f"x[{i}]" for i in range(widths[0])], low, high),
        controls=_row_of_knobs(KnobNames(blocks), -np.inf, np.inf),
        outputs=channels(tuple(f"s[{i}]" for i in range(widths[-1]))),
        parameters=tuple(blocks),
        beta=(-np.inf, np.inf),
        samples=None,
        dtype=settings.dtype,
        settles_at_once=True,
        one_shot=settings.parameter_relaxation == "once",
    )


def _row_of_knobs(names: Sequence[str], low: float, high: float) -> Knobs:
    """Make a row of knobs with the same limits, each limit stored once."""

    def same(value: float) -> NDArray[np.float64]:
        return np.broadcast_to(np.float64(value), (len(names),))

    return Knobs(names, "1", same(low), same(high), same(min(max(0.0, low), high)), same(0.0), same(np.inf))
