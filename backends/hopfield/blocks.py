"""How the engine describes its knobs, readouts and parameters: names made on demand, limits that take no memory. No torch."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import overload

import numpy as np
from numpy.typing import NDArray

from aeqlab.backends.device import DeviceInfo, Knobs, ParameterBlock, channels
from aeqlab.backends.hopfield.settings import HopfieldSettings
from aeqlab.backends.imperfections import Indices, notes


def block_shapes(widths: Sequence[int]) -> dict[str, tuple[int, ...]]:
    """Name the parts of theta in their order in the flat vector: w1, b1, w2, b2, ..."""
    shapes: dict[str, tuple[int, ...]] = {}
    for k, (below, above) in enumerate(pairwise(widths), start=1):
        shapes[f"w{k}"] = (below, above)
        shapes[f"b{k}"] = (above,)
    return shapes


def blocks_of(settings: HopfieldSettings) -> tuple[ParameterBlock, ...]:
    """Describe the parts of theta, with their couplings as the settings say."""
    couplings = [e for pair in zip(settings.weight_couplings, settings.bias_couplings, strict=True) for e in pair]
    blocks, start = [], 0
    for (name, shape), epsilon in zip(block_shapes(settings.widths).items(), couplings, strict=True):
        blocks.append(ParameterBlock(name, shape, start, epsilon=epsilon))
        start += math.prod(shape)
    return tuple(blocks)


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

    def index(self, value: str, start: int = 0, stop: int | None = None) -> int:
        """Find a knob by its name, without making all of them; raises ValueError if there is none."""
        found = _NAME.fullmatch(value)
        for block in self._blocks:
            if found is not None and found[1] == block.name:
                where = tuple(int(i) for i in found[2].split(","))
                if len(where) == len(block.shape) and all(i < n for i, n in zip(where, block.shape, strict=True)):
                    return block.start + int(np.ravel_multi_index(where, block.shape))
        raise ValueError(f"there is no control knob {value!r}")


#: The name of a knob, as `KnobNames` makes it.
_NAME = re.compile(r"u_([wb][1-9]\d{0,3})\[(\d{1,9}(?:,\d{1,9})?)\]")


def describe(settings: HopfieldSettings, failed: Indices, factors: NDArray[np.float64] | None) -> DeviceInfo:
    """Describe the engine as a device.

    Args:
        settings: of the engine.
        failed: indices of the knobs that are stuck.
        factors: of the couplings, shape (parameters,); None for none.
    """
    widths, flaws = settings.widths, settings.imperfections
    blocks = blocks_of(settings)
    names = KnobNames(blocks)
    read_noise, output_noise, step, limit = 0.0, 0.0, 0.0, np.inf
    if flaws is not None:
        read_noise, output_noise, step, limit = flaws.read_noise, flaws.output_noise, flaws.knob_step, flaws.knob_limit
        blocks = tuple(replace(block, noise=read_noise, epsilon=_spread(block, factors)) for block in blocks)
    low, high = settings.input_interval
    return DeviceInfo(
        kind="hopfield",
        name="Hopfield network " + "-".join(str(n) for n in widths),
        inputs=_row_of_knobs([f"x[{i}]" for i in range(widths[0])], low, high),
        controls=_row_of_knobs(names, -limit, limit, step),
        outputs=channels(tuple(f"s[{i}]" for i in range(widths[-1])), noise=output_noise),
        parameters=blocks,
        beta=(-np.inf, np.inf),
        samples=None,
        dtype=settings.dtype,
        settles_at_once=True,
        one_shot=settings.parameter_relaxation == "once",
        notes=() if flaws is None else notes(flaws, names, failed),
    )


def _spread(block: ParameterBlock, factors: NDArray[np.float64] | None) -> float | NDArray[np.float64] | None:
    """Get the couplings of a block with their spread, one number where there is none."""
    return block.epsilon if factors is None or block.epsilon is None else block.epsilon * factors[block.slice]


def _row_of_knobs(names: Sequence[str], low: float, high: float, step: float = 0.0) -> Knobs:
    """Make a row of knobs with the same limits, each limit stored once."""

    def same(value: float) -> NDArray[np.float64]:
        return np.broadcast_to(np.float64(value), (len(names),))

    return Knobs(names, "1", same(low), same(high), same(min(max(0.0, low), high)), same(step), same(np.inf))
