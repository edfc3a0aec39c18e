"""What a device says of itself before anything moves: its knobs, readouts, parameters, limits, clock and response."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aeqlab.backends.checks import EDGE

Array = NDArray[Any]


@dataclass(frozen=True, slots=True)
class Knobs:
    """A row of knobs: names and unit, limits, rest values, resolution and slew of each.

    Arrays have shape (knobs,) in `unit`; `step` is the smallest change the knob can make (0: none known), `slew_per_s` the
    fastest change per second of the device's clock (inf: none).
    """

    names: Sequence[str]  # a tuple; or names made on demand, where there are millions of knobs
    unit: str
    low: Array
    high: Array
    rest: Array
    step: Array
    slew_per_s: Array
    lowest: Array = field(init=False, repr=False)  # the limits with room for rounding, computed once
    highest: Array = field(init=False, repr=False)
    unlimited: bool = field(init=False, repr=False)  # no knob has a limit on either side
    bounded: bool = field(init=False, repr=False)  # every knob has a limit on both

    def __post_init__(self) -> None:
        room = EDGE * np.maximum(1.0, np.abs(np.nan_to_num(np.stack([self.low, self.high]), posinf=0.0, neginf=0.0)))
        object.__setattr__(self, "lowest", self.low - room[0])
        object.__setattr__(self, "highest", self.high + room[1])
        object.__setattr__(self, "unlimited", bool(np.isneginf(self.low).all() and np.isposinf(self.high).all()))
        object.__setattr__(self, "bounded", bool(np.isfinite(self.lowest).all() and np.isfinite(self.highest).all()))

    def __len__(self) -> int:
        return len(self.names)


def knobs(
    names: tuple[str, ...],
    unit: str = "1",
    low: float | Array = -np.inf,
    high: float | Array = np.inf,
    rest: float | Array = 0.0,
    step: float | Array = 0.0,
    slew_per_s: float | Array = np.inf,
) -> Knobs:
    """Make a row of knobs; a scalar counts for every knob."""
    n = len(names)
    parts = (np.array(np.broadcast_to(np.asarray(v, dtype=np.float64), (n,))) for v in (low, high, rest, step, slew_per_s))
    return Knobs(names, unit, *parts)


@dataclass(frozen=True, slots=True)
class Channels:
    """A row of readouts: names, unit, read noise (standard deviation) and resolution of each in `unit`, 0 where not known."""

    names: tuple[str, ...]
    unit: str
    noise: Array
    step: Array

    def __len__(self) -> int:
        return len(self.names)


def channels(names: tuple[str, ...], unit: str = "1", noise: float | Array = 0.0, step: float | Array = 0.0) -> Channels:
    """Make a row of readouts; a scalar counts for every one."""
    parts = (np.array(np.broadcast_to(np.asarray(v, dtype=np.float64), (len(names),))) for v in (noise, step))
    return Channels(names, unit, *parts)


@dataclass(frozen=True, slots=True)
class ParameterBlock:
    """A named part of the one flat parameter vector.

    `epsilon` is the coupling of the block (scalar, or one per parameter in shape (size,)), None where it is not known, as on
    a rig. `low` and `high` bound what theta may be told to hold, in `unit`. `noise` is the read noise of theta, `step` the
    resolution of its reading (0: none known), `tolerance` what |theta - target| may be where the experiment leaves it at auto
    (None: as that works it out; likewise nan); scalars, or arrays of shape (size,).
    """

    name: str
    shape: tuple[int, ...]
    start: int
    unit: str = "1"
    epsilon: float | Array | None = None
    low: float = -np.inf
    high: float = np.inf
    noise: float | Array = 0.0
    step: float | Array = 0.0
    tolerance: float | Array | None = None

    @property
    def size(self) -> int:
        """Number of parameters in the block."""
        return math.prod(self.shape)

    @property
    def slice(self) -> slice:
        """Where the block stands in the flat vector."""
        return slice(self.start, self.start + self.size)


@dataclass(frozen=True, slots=True)
class ControlResponse:
    """How theta answers its control knob: d(theta)/du, first-order lag and dead time of each, arrays of shape (knobs,).

    Units: unit of theta per unit of u; seconds of the device's clock. `backlash` is the play of each knob, in the unit of u: how
    far it has to turn back before theta follows; None where nothing is known of any.
    """

    gain: Array
    lag_s: Array
    dead_time_s: Array
    backlash: Array | None = None


class Clock(StrEnum):
    """Which clock moves a device: its own, only in `advance`, or the one on the wall."""

    VIRTUAL = "virtual"
    WALL = "wall"


@dataclass(frozen=True, slots=True)
class DeviceInfo:
    """What a device says of itself before anything moves.

    `beta` are the lowest and the highest nudge it accepts. `samples` is the number of samples of one presentation (None: any
    number). `settles_at_once` says that one `advance` reaches the equilibrium; `one_shot` that the nudged phase moves the
    parameters exactly once and not to the joint equilibrium (section 5.3, `parameter_relaxation: once`). `response` is None
    where it must be identified first. `tick_s` is the shortest `advance` (None: it chooses, as in section 5.1). `notes` say in
    words what else is to be known, such as failed knobs. `freeze_rests_inputs`: a freeze also brings the input knobs to rest, so
    that the outputs are not those of the last sample any more. `waits_s`: so long it may wait for hardware that does not answer,
    beyond a tick, in seconds on the wall. `speed` are seconds of its clock per second on the wall, where it
    runs on the wall clock.
    """

    kind: str
    name: str
    inputs: Knobs
    controls: Knobs
    outputs: Channels
    parameters: tuple[ParameterBlock, ...]
    beta: tuple[float, float]
    samples: int | None = 1
    cost: str = "half squared error"
    dtype: str = "float64"
    clock: Clock = Clock.VIRTUAL
    tick_s: float | None = None
    settles_at_once: bool = False
    one_shot: bool = False
    simulated: bool = True
    response: ControlResponse | None = None
    notes: tuple[str, ...] = ()
    freeze_rests_inputs: bool = False
    waits_s: float = 0.0
    speed: float = 1.0

    @property
    def inputs_at_rest(self) -> NDArray[Any]:
        """Get the rest values of the input knobs for one presentation, shape (samples, inputs)."""
        return np.tile(self.inputs.rest, (self.samples or 1, 1)).astype(self.dtype)

    @property
    def n_parameters(self) -> int:
        """Length of the flat parameter vector."""
        return sum(block.size for block in self.parameters)
