"""Imperfect hardware around a device: its knobs are coarse, slow, drifting or stuck, its readings noisy and late.

What a protocol asks passes through converters of the kind the slow device has. In each tick

    u_k = Q(setpoint_k), moved by at most slew dt;   what acts is u_k + d_k(t), d_k a slow offset (Ornstein-Uhlenbeck)
    read theta(t) = theta(t - dead time) + noise,    likewise the outputs

and a failed knob stays where it was when the device was opened. All of it is announced in `info`, so that homeostasis works as
on a rig. Under exact homeostasis (section 5.3) theta is held inside the device, and the imperfections act on the clamp: the knobs
stand at u_k = Q(theta_k + epsilon_k dE/dtheta_k - d_k - n_k), with n the read noise of the last reading, so that theta leaves its
place by that error as soon as it floats. Slew does not act there: nothing is on its way. Where the range ends the flag SATURATED
is up.

Settling is cut short by a gate: the system moves for so many ticks after the last command (an input, a nudge, a control knob,
holding), then stands still while time, drift and readings go on. Spread couplings are built into the device itself.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aeqlab.backends.checks import checked_vector
from aeqlab.backends.dac import Dac
from aeqlab.backends.device import (
    CAPABILITIES,
    Device,
    DeviceInfo,
    Flag,
    Grade,
    Knobs,
    Readout,
    SafetyLine,
    SafetyReport,
    capabilities,
)
from aeqlab.backends.errors import BackendError, DeviceConfigError, DeviceStateError
from aeqlab.backends.imperfect_parts import Drift, Readings
from aeqlab.backends.imperfections import Imperfections, Indices, notes

Array = NDArray[Any]
MOST_TICKS = 100_000  # in one advance or on the way to rest, as of a simulated device


def imperfect(inner: Device, flaws: Imperfections, *, seed: int) -> ImperfectDevice:
    """Put imperfect hardware around a device in this process that reads its parameters; its other abilities stay.

    Args:
        inner: the device, freshly opened; it belongs to the new one from now on.
        flaws: what is imperfect; `mismatch` is said, but must have been built into `inner`.
        seed: of noise, drift and of which knobs have failed.
    Raises:
        DeviceConfigError: a failed knob there is none of.
    """
    kept = {
        method: _forward(method)
        for ability in capabilities(inner)
        for method in vars(CAPABILITIES[ability])
        if not method.startswith("_") and method not in _OWN
    }
    own = {
        method: getattr(_Abilities, method)
        for ability in capabilities(inner)
        for method in vars(CAPABILITIES[ability])
        if method in _OWN
    }
    cls = type("ImperfectDevice", (ImperfectDevice,), {**kept, **own})
    made: ImperfectDevice = cls(inner, flaws, seed=seed)
    return made


class ImperfectDevice(Device):
    """A device behind imperfect hardware. Make it by `imperfect`."""

    def __init__(self, inner: Device, flaws: Imperfections, *, seed: int) -> None:
        info = inner.info
        if info.response is None:
            raise DeviceConfigError(f"{info.name}: imperfections need a device that says how its parameters answer")
        n = info.n_parameters
        self.inner = inner
        self.failed = flaws.failed(info.controls.names, seed)
        self._info = announced(info, flaws, self.failed)
        self._lag = float(np.min(info.response.lag_s, initial=np.inf))
        self._gate = flaws.settle_ticks
        knobs = self._info.controls
        self._knobs = Dac(
            knobs.low, knobs.high, knobs.rest,
            step=flaws.knob_step, slew_per_s=flaws.fastest, filter_s=0.0, stuck=None,
        )  # fmt: skip
        self._knobs.jump(inner.controls())
        self._knobs.stuck = self.failed if len(self.failed) else None
        self._slews = flaws.slew_per_s is not None
        self._bounded = not knobs.unlimited
        self._drift = Drift(n, sigma=flaws.drift, time_s=flaws.drift_time_s, seed=seed)
        self._readings = Readings(flaws, n, seed=seed)
        #: whether knobs or system have to be looked after between the ticks of one advance
        self._ticks = bool(flaws.drift or flaws.slew_per_s or flaws.dead_time_s or flaws.settle_ticks)
        self._t = 0.0
        self._pace = self._lag  # length of the last tick
        self._ahead = 0.0  # time by which knobs on their way are ahead of the clock
        self._still = 0  # ticks since the last command
        self._holding = self._next_hold = self._frozen = False
        self._next_controls: Array | None = None
        self._sent: Array | None = None  # what acts in the device now, None where that must be set anew
        self._last: Readout | None = None  # of the device itself

    @property
    def info(self) -> DeviceInfo:
        """Get what the device says of itself, imperfections included."""
        return self._info

    # the four abilities
    def _present(self, inputs: Array) -> None:
        self.inner.present(inputs)
        self._still = 0

    def _set_controls(self, u: Array) -> None:
        self._next_controls, self._next_hold, self._frozen = u, False, False
        self._still = 0

    def _controls(self) -> Array:
        return self._held_controls() if self._holding else self._knobs.readback()

    def _nudge(self, targets: Array, beta: float) -> None:
        self.inner.nudge(targets, beta)
        self._frozen = False
        self._still = 0

    def _release(self) -> None:
        self.inner.release()
        self._still = 0

    def _advance(self, seconds: float | None) -> Readout:
        self._take_controls()
        if not self._ticks:
            readout = self._tick(seconds)
            passed = readout.dt
        else:
            readout = self._tick()
            passed, ticks = readout.dt, 1
            while seconds is not None and passed < seconds:
                if ticks == MOST_TICKS:
                    raise DeviceStateError(
                        f"{self._info.name}: after {ticks} ticks only {passed:g} of {seconds:g} s have passed. "
                        "Ask for a shorter time."
                    )
                readout = self._tick()
                passed += readout.dt
                ticks += 1
        return self._reading(readout, passed)

    def _take_controls(self) -> None:
        """Apply what was staged: control knobs, or that theta is to be held."""
        if self._next_controls is not None:
            if self._holding:  # they start from where they were while theta was held
                self._knobs.jump(self._held_controls())
                self._holding, self._sent = False, None
            self._knobs.set(self._next_controls)
            self._next_controls = None
        elif self._next_hold:
            self._holding, self._next_hold = True, False

    def _tick(self, seconds: float | None = None) -> Readout:
        """Let one tick pass, the knobs standing still in it."""
        if not self._holding:
            if self._slews:
                self._move_knobs()
            acting = self._knobs.output + self._drift.offset if self._drift.sigma else self._knobs.output
            if self._sent is None or acting.tobytes() != self._sent.tobytes():
                self._sent = acting.copy()
                self.inner._set_controls(acting.copy())  # what passed our limits, or drifts, needs no second check
        if self._gate is not None and self._still >= self._gate and self._last is not None:
            readout = self._last._replace(dt=self._lag)
        else:
            self._last = readout = self.inner.advance(seconds)
        self._still += 1
        self._t += readout.dt
        self._ahead -= readout.dt
        self._pace = readout.dt or self._pace
        self._drift.pass_time(readout.dt)
        assert readout.parameters is not None
        self._readings.take_in(self._t, readout.parameters, readout.outputs)
        return readout

    def _move_knobs(self) -> None:
        """Move knobs on their way by what slew allows in a tick as long as the last; what was too much or too little is made up
        for in the next, since only after a tick it is known how long it was."""
        if not self._knobs.slewing:
            self._ahead = 0.0
            return
        lead = max(0.0, self._pace - self._ahead)
        self._knobs.move(lead)
        self._ahead += lead

    def _reading(self, now: Readout, passed: float) -> Readout:
        """Make a reading of how things are now."""
        assert now.parameters is not None
        theta, outputs = self._readings.read(self._t, now.parameters, now.outputs)
        flags = now.flags & ~Flag.FROZEN
        if self._frozen:
            flags |= Flag.FROZEN
        if self._knobs.slewing and not self._holding:
            flags |= Flag.SLEWING
        if self._holding and self._bounded and self._railed():
            flags |= Flag.SATURATED
        age = self._readings.age_s
        return Readout(
            self._t, passed, outputs, theta,
            np.full(outputs.shape[1], age) if age else now.output_ages_s,
            np.full(len(theta), age) if age else now.parameter_ages_s,
            flags,
        )  # fmt: skip

    # exact homeostasis
    def _wanted(self) -> Array:
        """Find the setpoints that would hold theta, by a reading with its noise, against the drift there is."""
        u: Array = self.inner.controls()
        if self._drift.sigma:
            u = u - self._drift.offset
        return u - self._readings.error

    def _railed(self) -> bool:
        wanted = self._wanted()
        beyond = (wanted < self._info.controls.lowest) | (wanted > self._info.controls.highest)
        if len(self.failed):
            beyond[self.failed] = False
        return bool(beyond.any())

    def _held_controls(self) -> Array:
        """Get where the knobs stand while theta is held exactly."""
        knobs = self._info.controls
        u = self._knobs.quantised(np.minimum(np.maximum(self._wanted(), knobs.low), knobs.high))
        if len(self.failed):
            u[self.failed] = self._knobs.setpoint[self.failed]
        return u

    def _clamp(self) -> None:
        """Let go of theta: the knobs stay where they are from now on."""
        u = self._held_controls()
        self.inner.hold_exactly(False)  # type: ignore[attr-defined]
        self._knobs.jump(u)
        self._holding, self._sent = False, None

    # safety
    def _freeze(self) -> None:
        self._next_controls, self._next_hold = None, False
        if self._holding:
            with suppress(BackendError):  # no u holds theta where the energy is not finite; the knobs stay as they were
                self._clamp()
            self._holding = False
        self._knobs.hold()
        self.inner.freeze()
        self._frozen, self._sent, self._still = True, None, 0

    def _make_safe(self) -> SafetyReport:
        self._freeze()
        off = [line for line in self.inner.make_safe().lines if line.what == "nudge"]
        self._sent = None
        knobs = self._info.controls
        self._knobs.set(knobs.rest)
        if self._knobs.slewing and not self.inner.presented:  # time passes only with inputs; make safe brings them to rest too
            self.inner.present(np.tile(self._info.inputs.rest, (self._info.samples or 1, 1)))
        for _ in range(MOST_TICKS):
            if not self._knobs.slewing:
                break
            self._tick()
        u = self._knobs.readback()
        return SafetyReport((*off, *_lines(u, knobs, self.failed)))

    def _close(self) -> None:
        self.inner.close()

    # checkpoints
    def _put(self, state: dict[str, Any]) -> None:
        """Put a state back; what is wrong with it raises on the way."""
        self.inner.restore(state["inner"])  # type: ignore[attr-defined]
        self._knobs.restore(state["knobs"])
        self._drift.restore(state["drift"])
        self._readings.restore(state["readings"])
        self._t, self._still = float(state["t"]), int(state["still"])
        self._pace, self._ahead = float(state["pace"]), float(state["ahead"])
        self._holding, self._frozen = bool(state["holding"]), bool(state["frozen"])
        self._next_hold = bool(state["next_hold"])
        self._presented, self._next_controls = state["presented"], state["next_controls"]
        self._sent = state["sent"]
        self._last = None
        if state["last"] is not None:
            t, dt, outputs, theta, flags = state["last"]
            n_outputs, n = len(self._info.outputs), self._info.n_parameters
            self._last = Readout(t, dt, outputs, theta, np.zeros(n_outputs), np.zeros(n), Flag(flags))


class _Abilities(ImperfectDevice):
    """The methods of abilities that imperfections change; each is given to those devices whose inner one has the ability."""

    # HoldsParameters, WritableParameters
    def hold_exactly(self, on: bool) -> None:
        """Hold theta from the next `advance` on, u following as well as it can (True); or clamp u where it is now (False)."""
        self._check_open()
        self._still = 0
        if on:
            self.inner.hold_exactly(True)  # type: ignore[attr-defined]
            self._next_hold, self._next_controls, self._frozen = True, None, False
            self._sent = None
            return
        self._next_hold = False
        if self._holding:
            self._clamp()
        else:
            self.inner.hold_exactly(False)  # type: ignore[attr-defined]

    def write_parameters(self, theta: Array) -> None:
        """Set theta, shape (parameters,), but for those of failed knobs, and u to where it would stay, as well as u can.

        Raises:
            ArrayRefusedError: wrong shape or type, or not finite.
        """
        self._check_open()
        values = checked_vector("theta", theta, self._info.n_parameters, self._info.dtype)
        if len(self.failed):
            values[self.failed] = self.inner.parameters()[self.failed]  # type: ignore[attr-defined]
        self.inner.write_parameters(values)  # type: ignore[attr-defined]
        self._next_controls = None
        if not self._holding:
            self._knobs.jump(self.inner.controls() - self._drift.offset)
        self._sent = None
        self._still = 0

    # Checkpointable
    def state(self) -> dict[str, Any]:
        """Get everything that decides the future, noise and drift included, as a tree for `wire.pack`."""
        self._check_open()
        last = self._last
        return {
            "device": self._info.name,
            "imperfect": list(self._info.notes),
            "inner": self.inner.state(),  # type: ignore[attr-defined]
            "knobs": self._knobs.state(),
            "drift": self._drift.state(),
            "readings": self._readings.state(),
            "t": self._t,
            "pace": self._pace,
            "ahead": self._ahead,
            "still": self._still,
            "holding": self._holding,
            "frozen": self._frozen,
            "presented": self._presented,
            "next_hold": self._next_hold,
            "next_controls": self._next_controls,
            "sent": self._sent,
            "last": None if last is None else [last.t, last.dt, last.outputs, last.parameters, int(last.flags)],
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Put a state back. Raises DeviceConfigError if it is of another device or damaged; the device is then as it was."""
        self._check_open()
        mine = {"device": self._info.name, "imperfect": list(self._info.notes)}
        if not isinstance(state, dict) or {key: state.get(key) for key in mine} != mine:
            raise DeviceConfigError(
                f"{self._info.name}: this is not a state of it with the same imperfections ({'; '.join(self._info.notes)})"
            )
        before = self.state()
        try:
            self._put(state)
        except (KeyError, TypeError, ValueError, IndexError, AttributeError, OverflowError, DeviceConfigError) as exc:
            self._put(before)
            raise DeviceConfigError(f"{self._info.name}: the state to restore is damaged: {type(exc).__name__}: {exc}") from exc


def announced(info: DeviceInfo, flaws: Imperfections, failed: Indices) -> DeviceInfo:
    """Say of a device behind imperfect hardware what it says of itself.

    Raises:
        DeviceConfigError: the range of its knobs leaves no room within the device's own limits.
    """
    knobs, limit = info.controls, flaws.knob_limit
    low, high = np.maximum(knobs.low, -limit), np.minimum(knobs.high, limit)
    if (low > high).any():
        raise DeviceConfigError(f"knob_range: {limit:g} leaves nothing of the device's own limits of its control knobs.")
    step = np.full(len(knobs), flaws.knob_step)
    assert info.response is not None
    return replace(
        info,
        controls=replace(
            knobs,
            low=low,
            high=high,
            rest=np.minimum(np.maximum(knobs.rest, low), high),
            step=np.maximum(knobs.step, step),
            slew_per_s=np.minimum(knobs.slew_per_s, flaws.fastest),
        ),
        outputs=replace(info.outputs, noise=np.hypot(info.outputs.noise, flaws.output_noise)),
        parameters=tuple(replace(block, noise=float(np.hypot(block.noise, flaws.read_noise))) for block in info.parameters),
        response=replace(info.response, dead_time_s=info.response.dead_time_s + flaws.dead_time_s),
        notes=(*info.notes, *notes(flaws, knobs.names, failed)),
    )


def _lines(u: Array, knobs: Knobs, failed: Indices) -> list[SafetyLine]:
    """Grade where the knobs stand after a ramp to rest: the live ones together, each failed one that is elsewhere by name."""
    room = 0.51 * knobs.step + 1e-12 * (1.0 + np.abs(knobs.rest))
    off = np.abs(u - knobs.rest)
    live = np.setdiff1d(np.arange(len(u)), failed)
    lines = []
    if len(live):
        k = int(live[np.argmax(off[live])])
        grade = Grade.ECHOED if (off[live] <= room[live]).all() else Grade.FAILED
        note = "the one farthest from rest; a simulation has no other channel to measure by"
        lines.append(SafetyLine(f"{len(live)} control knobs", grade, float(knobs.rest[k]), float(u[k]), knobs.unit, note))
    for k in failed:
        grade = Grade.ECHOED if off[k] <= room[k] else Grade.FAILED
        lines.append(SafetyLine(knobs.names[k], grade, float(knobs.rest[k]), float(u[k]), knobs.unit, "a failed knob"))
    return lines


def _forward(method: str) -> Callable[..., Any]:
    def call(self: ImperfectDevice, *args: Any) -> Any:
        self._check_open()
        if method in _COMMANDS:
            self._still = 0
        return getattr(self.inner, method)(*args)

    return call


#: Methods of abilities that imperfections change, and those that are passed on but count as commands.
_OWN = frozenset({"hold_exactly", "write_parameters", "state", "restore"})
_COMMANDS = frozenset({"scale_coupling", "clamp_outputs", "start_from_zeros"})
