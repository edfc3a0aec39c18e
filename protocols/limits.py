"""Session limits: a device seen through narrower limits of knobs, nudge and slew, which remembers what was last commanded.

The limits of an experiment lie inside those of the device, and hold for a run, a loop and a person alike, because nobody gets
at the device but through the session.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, field_validator

from aeqlab.backends.device import CAPABILITIES, Clock, Device, DeviceInfo, Knobs, Readout, SafetyReport, capabilities
from aeqlab.backends.errors import BackendError, DeviceConfigError

Array = NDArray[Any]
_STRICT = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class SessionLimits(BaseModel):
    """Limits of the session of the device, inside the device's own; what is left out is as the device has it."""

    model_config = _STRICT
    controls: tuple[float, float] | None = Field(default=None, description="lowest and highest control knob, in the unit of u")
    inputs: tuple[float, float] | None = Field(default=None, description="lowest and highest input knob, in the unit of x")
    beta: tuple[float, float] | None = Field(default=None, description="lowest and highest nudge")
    slew_per_s: float | None = Field(default=None, gt=0, description="fastest change of a control knob, unit of u per second")

    @field_validator("controls", "inputs", "beta")
    @classmethod
    def _in_order(cls, value: tuple[float, float] | None) -> tuple[float, float] | None:
        if value is not None and value[0] > value[1]:
            raise ValueError("two numbers are needed, the lower one first")
        return value

    def sentence(self) -> str:
        """Say them for a person."""
        said = [
            f"{name} {value[0]:g} to {value[1]:g}"
            for name, value in (("controls", self.controls), ("inputs", self.inputs), ("beta", self.beta))
            if value is not None
        ]
        said += [] if self.slew_per_s is None else [f"slew {self.slew_per_s:g} per s"]
        return ", ".join(said) or "none of its own"


def limited(device: Device, limits: SessionLimits | None = None) -> LimitedDevice:
    """See a device through limits; its abilities stay the same.

    Raises:
        DeviceConfigError: a limit lies outside the device's own.
    """
    info = seen_through(device.info, limits or SessionLimits())
    methods = {
        method: _forward(method)
        for ability in capabilities(device)
        for method in vars(CAPABILITIES[ability])
        if not method.startswith("_")
    }
    cls = type("LimitedDevice", (LimitedDevice,), methods)
    made: LimitedDevice = cls(device, info, (limits and limits.slew_per_s) or np.inf)
    made.limits = limits or SessionLimits()
    return made


def bare(device: Device) -> Device:
    """Get a device as it is, behind the limits of its session: only to look at it."""
    while isinstance(device, LimitedDevice):
        device = device.inner
    return device


class LimitedDevice(Device):
    """A device behind the limits of its session. Make it by `limited`.

    `setpoints` are the control knobs as last commanded, shape (controls,); None before the first command. A freeze commands them
    to stay where they are, make safe to go to rest.
    """

    limits = SessionLimits()

    def __init__(self, inner: Device, info: DeviceInfo, slew_per_s: float) -> None:
        self.inner = inner
        self.setpoints: Array | None = None
        self._seen_info = info
        self._slew, self._slews = slew_per_s, bool(np.isfinite(slew_per_s))
        # what was checked against our limits lies inside the device's own, and need not be checked twice
        standard = type(inner).set_controls is Device.set_controls and type(inner).controls is Device.controls
        self._stage = inner._set_controls if standard else inner.set_controls
        self._read_back = inner._controls if standard else inner.controls
        self._slewing: Array | None = None
        self._at = np.empty(0)  # how far they came on the way there, as commanded: a step may be finer than what is read back

    @property
    def info(self) -> DeviceInfo:
        """Get the device's description, with the limits of the session."""
        return self._seen_info

    def _present(self, inputs: Array) -> None:
        self.inner.present(inputs)

    def _set_controls(self, u: Array) -> None:
        self.setpoints = u
        if self._slews:
            if self._slewing is None:
                self._at = self._read_back()
            self._slewing = u
        else:
            self._stage(u)

    def _controls(self) -> Array:
        return self._read_back()

    def _nudge(self, targets: Array, beta: float) -> None:
        self.inner.nudge(targets, beta)

    def _release(self) -> None:
        self.inner.release()

    def _nudge_applied(self) -> float | None:
        return self.inner.nudge_applied()

    def _advance(self, seconds: float | None) -> Readout:
        if self._slewing is None:
            return self.inner.advance(seconds)
        passed = 0.0
        while True:
            readout = self._slewed_tick()
            passed += readout.dt
            if seconds is None or passed >= seconds - 1e-12:
                return readout._replace(dt=passed)

    def _slewed_tick(self) -> Readout:
        """Move every knob towards its setpoint by what the slew allows in one tick, and let that tick pass."""
        if self._slewing is not None:
            room = self._slew * self._tick_s
            self._at = self._at + np.clip(self._slewing - self._at, -room, room)
            self.inner.set_controls(self._at)
            if np.array_equal(self._slewing, self._at):
                self._slewing = None
        return self.inner.advance()

    def _freeze(self) -> None:
        self._slewing = None
        self.inner.freeze()
        self.setpoints = self.inner.controls()

    def _make_safe(self) -> SafetyReport:
        self._freeze()
        if self._slews:
            with contextlib.suppress(BackendError):  # being safe goes before being slow: the device keeps its own slew
                self._ramp_to_rest()
        self._slewing = None
        report = self.inner.make_safe()
        self.setpoints = self._seen_info.controls.rest.copy()
        return report

    def _ramp_to_rest(self) -> None:
        info = self._seen_info
        if self._presented is None:  # time passes only with inputs; make safe brings them to rest too
            self.inner.present(info.inputs_at_rest)
        knobs = self.inner.info.controls
        self._at, self._slewing = np.clip(self.inner.controls(), knobs.low, knobs.high), info.controls.rest
        while self._slewing is not None:  # every tick comes nearer by what the slew allows
            self._slewed_tick()

    @property
    def _tick_s(self) -> float:
        return self._seen_info.tick_s or 0.01

    def _close(self) -> None:
        self.inner.close()


def _forward(method: str) -> Callable[..., Any]:
    def call(self: LimitedDevice, *args: Any) -> Any:
        return getattr(self.inner, method)(*args)

    def restore(self: LimitedDevice, state: dict[str, Any]) -> None:
        self.inner.restore(state)  # type: ignore[attr-defined]
        self._presented, self._applied = self.inner._presented, self.inner._applied
        self._slewing, self.setpoints = None, self.inner.controls()

    def take_identification(self: LimitedDevice, tree: dict[str, Any]) -> str:
        path: str = self.inner.take_identification(tree)  # type: ignore[attr-defined]
        self._seen_info = seen_through(self.inner.info, self.limits)
        return path

    def arm(self: LimitedDevice) -> list[str]:
        changed: list[str] = self.inner.arm()  # type: ignore[attr-defined]
        self._seen_info = seen_through(self.inner.info, self.limits)
        return changed

    special: dict[str, Callable[..., Any]] = {"restore": restore, "take_identification": take_identification, "arm": arm}
    return special.get(method, call)


def seen_through(info: DeviceInfo, limits: SessionLimits) -> DeviceInfo:
    """Describe a device with the limits of a session.

    Raises:
        DeviceConfigError: a limit lies outside the device's own.
    """
    low, high = limits.beta or info.beta
    if info.response is None and not info.simulated:  # negative nudges are allowed once the outputs' stiffness was measured
        low, high = max(low, info.beta[0]), min(high, info.beta[1])
    if not info.beta[0] <= low <= high <= info.beta[1]:
        raise DeviceConfigError(
            f"session limits: beta {low:g} to {high:g} is not inside {info.beta[0]:g} to {info.beta[1]:g} of {info.name}."
        )
    if limits.slew_per_s is not None and info.clock is Clock.VIRTUAL and info.tick_s is None:
        raise DeviceConfigError(f"session limits: {info.name} chooses its own ticks, so a slew cannot be kept. Leave it out.")
    return replace(
        info,
        controls=narrowed(info.controls, limits.controls, "controls", limits.slew_per_s),
        inputs=narrowed(info.inputs, limits.inputs, "inputs"),
        beta=(low, high),
    )


def narrowed(knobs: Knobs, limits: tuple[float, float] | None, what: str, slew: float | None = None) -> Knobs:
    """See a row of knobs through narrower limits, and a slower slew.

    Raises:
        DeviceConfigError: they are not inside the knobs' own, or leave a rest value out.
    """
    if limits is not None:
        low, high = limits
        bad = (low > high) | (low < knobs.lowest) | (high > knobs.highest) | (low > knobs.rest) | (high < knobs.rest)
        if bad.any():
            k = int(np.argmax(bad))
            own = f"{knobs.low[k]:g} to {knobs.high[k]:g}{'' if knobs.unit == '1' else f' {knobs.unit}'} of {knobs.names[k]}"
            raise DeviceConfigError(
                f"session limits: {what} {low:g} to {high:g} is not inside {own}, or leaves its rest value {knobs.rest[k]:g} out."
            )
        knobs = replace(knobs, low=np.full_like(knobs.low, low), high=np.full_like(knobs.high, high))
    if slew is not None:
        knobs = replace(knobs, slew_per_s=np.minimum(knobs.slew_per_s, slew))
    return knobs
