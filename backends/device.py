"""The device interface: one physical system behind four abilities.

Everything that learns here is a `Device`: set the input knobs, set the control knobs, nudge the outputs, read out outputs
and parameters. Time passes in `advance` and nowhere else; what the other calls set is staged and applied by the next one.
Protocols are written against this file alone, so they train a simulation and a rig with the same words.

What a device says of itself is in `description`, what it gives back in `readout`, what else it may be able to do in `abilities`;
all of it can be imported from here. Arrays are numpy: float64, unless `info.dtype` says otherwise. Samples come first, always
`(samples, n)`, also for one.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aeqlab.backends.abilities import (
    CAPABILITIES,
    AdjustableCoupling,
    Arms,
    Checkpointable,
    Differentiable,
    DropsNudge,
    Epochs,
    HoldsParameters,
    Identifies,
    KnowsEnergy,
    KnowsTruth,
    Layers,
    Monitored,
    OutputClamp,
    StartsAfresh,
    Unrolls,
    WritableParameters,
    capabilities,
)
from aeqlab.backends.checks import checked_batch, checked_beta, checked_knobs, within_limits
from aeqlab.backends.description import Channels, Clock, ControlResponse, DeviceInfo, Knobs, ParameterBlock, channels, knobs
from aeqlab.backends.errors import DeviceStateError
from aeqlab.backends.readout import Flag, Grade, Readout, SafetyLine, SafetyReport

__all__ = [
    "CAPABILITIES",
    "AdjustableCoupling",
    "Arms",
    "Channels",
    "Checkpointable",
    "Clock",
    "ControlResponse",
    "Device",
    "DeviceInfo",
    "Differentiable",
    "DropsNudge",
    "Epochs",
    "Flag",
    "Grade",
    "HoldsParameters",
    "Identifies",
    "Knobs",
    "KnowsEnergy",
    "KnowsTruth",
    "Layers",
    "Monitored",
    "OutputClamp",
    "ParameterBlock",
    "Readout",
    "SafetyLine",
    "SafetyReport",
    "StartsAfresh",
    "Unrolls",
    "WritableParameters",
    "capabilities",
    "channels",
    "knobs",
]  # fmt: skip

Array = NDArray[Any]


class Device(ABC):
    """One physical system behind four abilities.

    The public methods check every array and every limit here, once, for all devices; a device implements the methods with a
    leading underscore and gets only values that passed. They may stage what they get: it counts from the next `_advance`.
    """

    _closed = False
    _presented: int | None = None  # number of samples of the inputs that are staged or applied
    _applied: int | None = None  # of those that are applied
    newest: Readout | None = None  #: of the last `advance`, also of one in the middle of a loop; None before the first
    newest_at = 0.0  #: when that came, by time.monotonic

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
        info = self.info
        self._set_controls(checked_knobs("control knobs", "control knob", u, info.controls, info.dtype))

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

    def nudge_applied(self) -> float | None:
        """Get the nudge beta that the device itself says is on now, without what is staged; None where it cannot tell."""
        self._check_open()
        return self._nudge_applied()

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
        self._applied = self._presented
        self.newest = readout = self._advance(seconds)
        self.newest_at = time.monotonic()
        return readout

    # safety
    def freeze(self) -> None:
        """Take the nudge off and leave the control knobs where they are, at once, without time passing. Allowed in any state.

        What is staged and not applied yet is dropped: inputs, control knobs and nudge.
        """
        self._check_open()
        self._freeze()
        self._presented = self._applied

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

    @property
    def presented(self) -> bool:
        """True once there is an input: time passes only then."""
        return self._presented is not None

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

    def _nudge_applied(self) -> float | None:
        """Ask what nudge is on; a device that cannot tell leaves this as it is."""
        return None

    def _close(self) -> None:  # noqa: B027 - most devices have nothing to let go
        """Let go of what the device holds."""
