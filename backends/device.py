"""The device interface: one physical system behind four abilities, and the small interfaces of what else it may be able to do.

Everything that learns here is a `Device`: set the input knobs, set the control knobs, nudge the outputs, read out outputs
and parameters. Time passes in `advance` and nowhere else; what the other calls set is staged and applied by the next one.
Protocols are written against this file alone, so they train a simulation and a rig with the same words.

Arrays are numpy: float64, unless `info.dtype` says otherwise. Samples come first, always `(samples, n)`, also for one.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import IntFlag, StrEnum
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from aeqlab.backends.checks import EDGE, checked_batch, checked_beta, checked_vector, within_limits
from aeqlab.backends.errors import DeviceStateError

Array = NDArray[Any]


# What a device says of itself -----------------------------------------------------------------------------------------


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

    def __post_init__(self) -> None:
        room = EDGE * np.maximum(1.0, np.abs(np.nan_to_num(np.stack([self.low, self.high]), posinf=0.0, neginf=0.0)))
        object.__setattr__(self, "lowest", self.low - room[0])
        object.__setattr__(self, "highest", self.high + room[1])
        object.__setattr__(self, "unlimited", bool(np.isneginf(self.low).all() and np.isposinf(self.high).all()))

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
    """A row of readouts: names, unit, and the read noise of each (standard deviation in `unit`, 0: none known)."""

    names: tuple[str, ...]
    unit: str
    noise: Array

    def __len__(self) -> int:
        return len(self.names)


def channels(names: tuple[str, ...], unit: str = "1", noise: float | Array = 0.0) -> Channels:
    """Make a row of readouts; a scalar noise counts for every one."""
    return Channels(names, unit, np.array(np.broadcast_to(np.asarray(noise, dtype=np.float64), (len(names),))))


@dataclass(frozen=True, slots=True)
class ParameterBlock:
    """A named part of the one flat parameter vector.

    `epsilon` is the coupling of the block (scalar, or one per parameter in shape (size,)), None where it is not known, as on
    a rig. `low` and `high` bound what theta may be told to hold, in `unit`. `noise` is the read noise of theta.
    """

    name: str
    shape: tuple[int, ...]
    start: int
    unit: str = "1"
    epsilon: float | Array | None = None
    low: float = -np.inf
    high: float = np.inf
    noise: float = 0.0

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

    Units: unit of theta per unit of u; seconds of the device's clock.
    """

    gain: Array
    lag_s: Array
    dead_time_s: Array


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
    where it must be identified first. `tick_s` is the shortest `advance` (None: it chooses, as in section 5.1).
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

    @property
    def n_parameters(self) -> int:
        """Length of the flat parameter vector."""
        return sum(block.size for block in self.parameters)


# What a device gives back ---------------------------------------------------------------------------------------------


class Flag(IntFlag):
    """What is special about one readout."""

    NONE = 0
    STALE = 1  #: a value is older than the tick it came with
    LOST = 2  #: a read was lost; the last good values stand in its place, their ages say how old they are
    SLEWING = 4  #: a control knob is still on its way to its setpoint
    REFUSED = 8  #: the section-5.1 step of theta was refused, dt is 0
    FROZEN = 16  #: the device is frozen: no nudge, knobs standing still


class Readout(NamedTuple):
    """One coherent readout, the result of `advance`.

    `t` is the device's time and `dt` what passed of it in this advance, in seconds. `outputs` has shape (samples, outputs);
    `parameters` shape (parameters,), or None on a device that holds them itself and keeps them inside. Ages have the shape
    (outputs,) and (parameters,): seconds since each value was measured.
    """

    t: float
    dt: float
    outputs: Array
    parameters: Array | None
    output_ages_s: Array
    parameter_ages_s: Array | None
    flags: Flag = Flag.NONE


class Grade(StrEnum):
    """How a line of a safety report was confirmed, best first."""

    MEASURED = "measured"  #: by another channel than the one that was set
    ECHOED = "echoed"  #: the instrument says so itself
    SENT = "only sent"  #: nothing came back to confirm it
    FAILED = "failed"  #: it could not be done, or the readback says otherwise


@dataclass(frozen=True, slots=True)
class SafetyLine:
    """One thing that was made safe: what, the value asked for, the value confirmed (None: not confirmed), and how well."""

    what: str
    grade: Grade
    setpoint: float | None = None
    readback: float | None = None
    unit: str = "1"
    note: str = ""


@dataclass(frozen=True, slots=True)
class SafetyReport:
    """What `make_safe` did, line by line."""

    lines: tuple[SafetyLine, ...] = field(default_factory=tuple)

    @property
    def safe(self) -> bool:
        """True only if there are lines and each one was confirmed, by the instrument itself or by a measurement."""
        return bool(self.lines) and all(line.grade in (Grade.MEASURED, Grade.ECHOED) for line in self.lines)


# The interface --------------------------------------------------------------------------------------------------------


class Device(ABC):
    """One physical system behind four abilities.

    The public methods check every array and every limit here, once, for all devices; a device implements the methods with a
    leading underscore and gets only values that passed. They may stage what they get: it counts from the next `_advance`.
    """

    _closed = False
    _presented: int | None = None  # number of samples of the inputs that are staged or applied

    @property
    @abstractmethod
    def info(self) -> DeviceInfo:
        """Get what the device says of itself. Does not change while the device is open."""

    # input knobs
    def present(self, inputs: Array) -> None:
        """Set the input knobs to one example, or to one batch. Staged: applied at the next `advance`.

        Args:
            inputs: shape (samples, inputs), in `info.inputs.unit`.
        Raises:
            ArrayRefusedError: wrong shape or type, or not finite.
            LimitError: a value outside the limits of its knob.
            DeviceStateError: the device is closed.
        """
        self._check_open()
        info = self.info
        batch = checked_batch("inputs", inputs, len(info.inputs), info.samples, info.dtype)
        within_limits("input knob", batch, info.inputs)
        self._present(batch)
        self._presented = len(batch)

    # control knobs
    def set_controls(self, u: Array) -> None:
        """Set the control knobs. Staged: applied at the next `advance`. Refused outside limits, never clamped in silence.

        Args:
            u: setpoints, shape (controls,), in `info.controls.unit`.
        Raises:
            ArrayRefusedError: wrong shape or type, or not finite.
            LimitError: a value outside the limits of its knob.
            DeviceStateError: the device is closed.
        """
        self._check_open()
        knobs_ = self.info.controls
        values = checked_vector("control knobs", u, len(knobs_), self.info.dtype)
        within_limits("control knob", values, knobs_)
        self._set_controls(values)

    def controls(self) -> Array:
        """Get the control knobs as they really are, a copy of shape (controls,): after slew and quantisation, as of the last
        `advance`, as the device reports them."""
        self._check_open()
        return self._controls()

    # nudge
    def nudge(self, targets: Array, beta: float) -> None:
        """Add the energy beta C(s, y) at the outputs. Staged: applied at the next `advance`.

        Args:
            targets: y, shape (samples, outputs), in `info.outputs.unit`, as many samples as were presented.
            beta: strength, within `info.beta`; may be negative; 0 is allowed and keeps the targets known.
        Raises:
            ArrayRefusedError: wrong shape or type, or not finite.
            LimitError: beta outside `info.beta`.
            DeviceStateError: nothing was presented, or the device is closed.
        """
        self._check_open()
        info = self.info
        if self._presented is None:
            raise DeviceStateError(f"{info.name}: nudge before present. Present an input first.")
        batch = checked_batch("targets", targets, len(info.outputs), self._presented, info.dtype)
        self._nudge(batch, checked_beta(beta, info.beta))

    def release(self) -> None:
        """Take the nudge away: beta = 0. Staged: applied at the next `advance`."""
        self._check_open()
        self._release()

    # time and readout
    def advance(self, seconds: float | None = None) -> Readout:
        """Let time pass: the only call in which it does. Staged knobs are applied first.

        Args:
            seconds: shortest time to run, in the device's clock, above 0; None for its shortest tick.
        Returns:
            One coherent readout at the end of it.
        Raises:
            ValueError: seconds is not above zero or not finite.
            DeviceStateError: nothing was presented yet, or the device is closed.
            DivergedError: the physics ran away.
            DeviceLostError: the device does not answer.
        """
        if self._closed or self._presented is None:
            self._check_open()
            raise DeviceStateError(f"{self.info.name}: advance before present. Present an input first.")
        if seconds is not None and not 0.0 < seconds < np.inf:
            raise ValueError(f"{self.info.name}: advance({seconds!r}): a time above 0 s is needed")
        return self._advance(seconds)

    # safety
    def freeze(self) -> None:
        """Take the nudge off and leave the control knobs where they are, at once, without time passing. Allowed in any state."""
        self._check_open()
        self._freeze()

    def make_safe(self) -> SafetyReport:
        """Freeze, bring the control knobs to their rest values within slew, switch outputs off; say how each was confirmed.

        The one other call that takes the device's time, because a ramp does.
        """
        self._check_open()
        return self._make_safe()

    def close(self) -> None:
        """Let the device go. Moves nothing. May be called twice; every other call after it is an error."""
        if not self._closed:
            self._closed = True
            self._close()

    @property
    def closed(self) -> bool:
        """True after `close`."""
        return self._closed

    def __enter__(self) -> Device:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _check_open(self) -> None:
        if self._closed:
            raise DeviceStateError(f"{self.info.name} is closed. Open it again to go on.")

    # what a device implements
    @abstractmethod
    def _present(self, inputs: Array) -> None: ...

    @abstractmethod
    def _set_controls(self, u: Array) -> None: ...

    @abstractmethod
    def _controls(self) -> Array: ...

    @abstractmethod
    def _nudge(self, targets: Array, beta: float) -> None: ...

    @abstractmethod
    def _release(self) -> None: ...

    @abstractmethod
    def _advance(self, seconds: float | None) -> Readout: ...

    @abstractmethod
    def _freeze(self) -> None: ...

    @abstractmethod
    def _make_safe(self) -> SafetyReport: ...

    def _close(self) -> None:  # noqa: B027 - most devices have nothing to let go
        """Let go of what the device holds."""


# What a device may also be able to do ---------------------------------------------------------------------------------


@runtime_checkable
class HoldsParameters(Protocol):
    """Exact homeostasis (section 5.3): the device itself keeps theta and finds u. Neither need cross the border."""

    def hold_exactly(self, on: bool) -> None:
        """Hold theta from the next `advance` on (True), with u following; or clamp u where it is now (False)."""

    def parameters(self) -> Array:
        """Get a copy of theta, shape (parameters,)."""


@runtime_checkable
class WritableParameters(Protocol):
    """Theta can be written, as in a simulation; on a rig theta is only ever held elsewhere."""

    def write_parameters(self, theta: Array) -> None:
        """Set theta, shape (parameters,), and let u follow so that it would stay there."""

    def parameters(self) -> Array:
        """Get a copy of theta, shape (parameters,)."""


@runtime_checkable
class AdjustableCoupling(Protocol):
    """The couplings epsilon_k can be scaled, as a learning-rate schedule wants. Elsewhere beta decays instead."""

    def scale_coupling(self, factor: float) -> None:
        """Multiply every epsilon_k by a factor above 0, counted from those the device was built with."""


@runtime_checkable
class Epochs(Protocol):
    """The device adapts something between epochs, such as its threshold of convergence (Appendix C)."""

    def end_epoch(self) -> dict[str, float]:
        """Adapt, and say what was found, by name."""


@runtime_checkable
class KnowsEnergy(Protocol):
    """The equations are known. For diagnostics, baselines and tests; no protocol that trains may use it."""

    def energy(self, theta: Array, inputs: Array, states: Array) -> float:
        """Compute E(theta, x, s), mean over the samples; states have shape (samples, states)."""

    def equilibrium(self, theta: Array, inputs: Array, targets: Array | None = None, beta: float = 0.0) -> Array:
        """Find s_beta = argmin_s E + beta C with theta fixed (eq. 10), shape (samples, states). Moves nothing."""

    def outputs_of(self, states: Array) -> Array:
        """Get the outputs contained in states, shape (samples, outputs)."""

    def energy_gradient(self, theta: Array, inputs: Array, states: Array) -> Array:
        """Compute the partial derivative dE/dtheta, mean over the samples, shape (parameters,)."""

    def loss_gradient(self, theta: Array, inputs: Array, targets: Array) -> Array:
        """Compute the total derivative of the loss C(s(theta, x), y), mean over the samples, shape (parameters,)."""


@runtime_checkable
class KnowsTruth(Protocol):
    """The true values behind the readings are known, as only a simulation knows them. For tests and rates of false verdicts."""

    def true_parameters(self) -> Array:
        """Get theta without read noise, delay or loss, shape (parameters,)."""


@runtime_checkable
class Differentiable(Protocol):
    """The way to the equilibrium can be differentiated (autodiff baseline only)."""

    def loss_and_gradient(self, inputs: Array, targets: Array) -> tuple[float, Array]:
        """Compute the loss and its gradient through the unrolled relaxation, mean over the samples."""


@runtime_checkable
class Checkpointable(Protocol):
    """The whole state can be taken and put back, bit for bit."""

    def state(self) -> dict[str, Any]:
        """Get everything that decides the future, as a tree for `wire.pack`."""

    def restore(self, state: dict[str, Any]) -> None:
        """Put a state back. Raises DeviceConfigError if it is of another device or damaged."""


@runtime_checkable
class OutputClamp(Protocol):
    """The outputs can be fixed at values (coupled learning, eq. 124); not a nudge, and labelled so."""

    def clamp_outputs(self, values: Array) -> None:
        """Fix the outputs, shape (samples, outputs), from the next `advance` until `release`."""


@runtime_checkable
class Layers(Protocol):
    """The state has named layers worth showing."""

    def layers(self) -> dict[str, Array]:
        """Get a copy of each layer's state by name, shape (samples, ...)."""


@runtime_checkable
class StartsAfresh(Protocol):
    """The state of a sample starts where the last one ended, and can be told not to: an evaluation wants every start alike."""

    def start_from_zeros(self) -> None:
        """Start the state from zeros in the next `advance`."""


CAPABILITIES: dict[str, type] = {
    cls.__name__: cls
    for cls in (
        HoldsParameters, WritableParameters, AdjustableCoupling, Epochs, KnowsEnergy, KnowsTruth, Differentiable,
        Checkpointable, OutputClamp, Layers, StartsAfresh,
    )
}  # fmt: skip


def capabilities(device: object) -> frozenset[str]:
    """Get the names of the capability interfaces an object offers."""
    return frozenset(name for name, cls in CAPABILITIES.items() if isinstance(device, cls))
