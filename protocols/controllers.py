"""Control laws: how the control knobs answer the error of theta. The loop around them is in `homeostasis`.

A law works on all knobs at once. It gets what a tick brought and returns the next setpoints, cut to the knobs' limits. All
laws are in velocity form: they add to the value that is really applied, so nothing winds up at a rail or a slew limit, and
taking over from a hand is without a bump.
"""

from __future__ import annotations

from math import sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aeqlab.backends.device import DeviceInfo
from aeqlab.protocols.drift import Drift
from aeqlab.protocols.errors import HoldError
from aeqlab.protocols.hold_settings import HomeostasisSettings
from aeqlab.protocols.settling import declared_tolerance, parameter_noise, parameter_step
from aeqlab.protocols.tuning import Tuning

Array = NDArray[Any]


class Parts:
    """What the parts of a law have moved the knobs since a phase began, each shape (controls,); kept while someone traces it.

    Attributes:
        p, i, d: proportional, integral and derivative part, as the law asked for them, before any limit; a correction between
            two windows counts as integral. None where the law has no such part.
    """

    def __init__(self, n: int, law: str, *, derivative: bool) -> None:
        self.p: Array | None = np.zeros(n) if law == "pid" else None
        self.i: Array = np.zeros(n)
        self.d: Array | None = np.zeros(n) if derivative else None


class Controller:
    """What every law has: limits, the setpoints it gave last, and the target it was last told.

    Attributes:
        continuous: whether it moves at every tick; the quasi-static law moves only between windows.
        u: setpoints given last, shape (controls,), unrounded; of length 0 before the first hold.
        target: theta last held, shape (parameters,); a change by a hold is a learning step, one by `Session.set_target` is not.
        step: size of the last learning step of each parameter (rms over its block); None where none was seen.
        drift, output_drift: how far theta and the outputs of a single sample wander by themselves, as the holds so far showed.
        way: where each knob went by the last correction, -1 or 1, shape (controls,); 0 where nothing is known.
        eased: share of its gain that is left to each knob, shape (controls,): halved whenever it was seen to oscillate.
        tuning: how the gains of each knob differ from the standard ones; None: not at all.
        gain: assumed d(theta)/du; lag_s, dead_s: the slowest lag and dead time, in seconds; None where unknown.
    """

    continuous = True
    law = ""  #: as settings name it
    ki: Array
    parts: Parts | None = None  #: while someone traces what its parts do

    def __init__(self, settings: HomeostasisSettings, info: DeviceInfo) -> None:
        self.settings = settings
        self.tuning: Tuning | None = None
        self.info = info
        self.low, self.high = info.controls.low, info.controls.high
        self.bounded = bool(np.isfinite(self.low).any() or np.isfinite(self.high).any())
        self.u: Array = np.zeros(0)
        self.applied: Array | None = None  # readback when the last hold ended
        self.target: Array | None = None
        self.step: Array | None = None
        self.drift = Drift([block.slice for block in info.parameters], info.n_parameters)
        outputs = len(info.outputs)
        self.output_drift = Drift([slice(k, k + 1) for k in range(outputs)], outputs)
        self.eased: Array = np.ones(len(info.controls))
        self.way: Array = np.zeros(len(info.controls))
        self.prepared = False

    def prepare(self) -> None:
        """Work out gains and shares, once, before the first hold: a device that holds theta itself never needs them."""
        response, n = self.info.response, len(self.info.controls)
        self.n = n
        self.gain: Array = np.ones(n) if response is None else _per_knob(response.gain, n)
        self.lag_s: float | None = None if response is None else float(np.max(response.lag_s, initial=0.0))
        self.dead_s = 0.0 if response is None else float(np.max(response.dead_time_s, initial=0.0))
        self.blocks = [block.slice for block in self.info.parameters]
        self.noise = parameter_noise(self.info)
        self.read_step = parameter_step(self.info)
        self.declared = declared_tolerance(self.info)
        self.noisy = bool(self.noise.any())
        #: the smallest change of theta a knob can make; and what no tolerance goes below: 0.6 of it, as the nearest code leaves
        #: 0.5, and 1.5 steps of the reading, which without noise is off by half of one before and after a correction
        self.lsb = self.info.controls.step * np.abs(self.gain)
        self.least = np.maximum(0.6 * self.lsb, 1.5 * self.read_step)
        play = None if response is None else response.backlash
        self.play: Array | None = None if play is None else _per_knob(play, n)
        #: share of the standard gain that is in force: how much of a measured error one correction takes away
        faster = self.settings.gain * (np.ones(n) if self.tuning is None else self.tuning.factor)
        self.share: Array = np.minimum(1.0, faster)
        self.prepared = True

    def begin_parts(self) -> Parts:
        """Keep what the parts of the law do from now on, until `parts` is set to None."""
        given = (
            self.settings.kd is not None or getattr(self, "kd", None) is not None
        )  # before the first hold only the settings know
        derivative = self.law == "pid" and given
        self.parts = Parts(len(self.info.controls), self.law, derivative=derivative)
        return self.parts

    def tune(self, tuning: Tuning) -> None:
        """Take other gains from the next tick on: the knobs go on from where they stand, since every law adds to that."""
        self.tuning = tuning
        if self.prepared:
            self.prepare()

    def _tuned(self, name: str, gains: Array) -> Array:
        """Get gains as they were tuned, shape (controls,)."""
        return gains if self.tuning is None else self.tuning.of(name, gains, self.law)

    def _share_of(self, standard: Array | None) -> None:
        """Work out what one correction takes away where Ki is not the standard one but was given."""
        if standard is not None and (self.settings.ki is not None or self.tuning is not None):
            given = True if self.settings.ki is not None or self.tuning is None else self.tuning.given
            self.share = np.where(given, np.minimum(1.0, np.abs(self.ki / standard)), self.share)

    def ease(self, knobs: Array) -> None:
        """Halve the gains of some knobs, bool of shape (controls,), for good: they do more than was assumed of them."""
        self.eased = np.where(knobs, 0.5 * self.eased, self.eased)
        self.prepare()

    @property
    def rate(self) -> Array:
        """Get how fast a constant error moves the knobs, per second, shape (controls,), for where no lag is known."""
        raise HoldError(f"{self.info.name}: how theta answers its knob is not known. Identify the response first.")

    def start(self, readback: Array) -> Array:
        """Take the knobs over where they are: keep own setpoints if nobody else moved them, else begin at the readback."""
        if self.owns(readback):
            self.u = self.cut(self.u)
        else:
            self.adopt(readback)
        return self.u

    def adopt(self, readback: Array) -> None:
        """Begin at knobs that somebody else moved, shape (controls,)."""
        self.u = self.cut(np.array(readback, dtype=np.float64))
        self.way = np.zeros(len(self.u))

    def give_up(self) -> None:
        """Note that somebody else moves the knobs: what was set before does not count any more."""
        self.u = np.zeros(0)

    def owns(self, readback: Array) -> bool:
        """Tell whether the knobs, shape (controls,), stand where this controller left them."""
        return len(self.u) == len(readback) and self._mine(readback, self.u)

    def _mine(self, readback: Array, u: Array) -> bool:
        if self.applied is not None and bool((readback == self.applied).all()):
            return True
        room = self.info.controls.step + 1e-9 * (1.0 + np.abs(u))
        return bool((np.abs(readback - u) <= room).all())

    def cut(self, u: Array) -> Array:
        """Cut setpoints to the limits, in place."""
        if self.bounded:
            np.maximum(u, self.low, out=u)
            np.minimum(u, self.high, out=u)
        return u

    def tick(self, error: Array, theta: Array, dt: float, size: float) -> Array:
        """Move after one tick.

        Args:
            error: theta* - theta, shape (parameters,); 0 for knobs that must stand still (stale reading, slewing).
            theta: what was read, same shape.
            dt: device time that passed, in seconds, above 0.
            size: sum of squares of the error, or more; it bounds how far the knobs can move.
        Returns:
            The next setpoints, a new array of shape (controls,).
        """
        raise NotImplementedError

    def correct(self, error: Array, applied: Array | None = None) -> Array:
        """Move once by a mean error, u += G^-1 (theta* - theta). As `tick`.

        A knob that can only be set in steps is moved from the code it stands at, and to the code that is nearest: one that moved
        from the unrounded setpoint would lose up to half a step, and stay where it is though the next code is better. One that
        turns round takes up its play first.

        Args:
            error: theta* - theta, shape (parameters,).
            applied: the knobs as they are, shape (controls,); None: as they were set.
        """
        step = self.info.controls.step
        whole = error / self.gain
        move = self.share * self.eased * whole
        if applied is not None and step.any():
            at = np.where(np.abs(applied - self.u) <= step, applied, self.u)
            move = np.copysign(np.maximum(np.abs(move), step), whole)
            move[np.abs(whole) < 0.5 * step] = 0.0
        else:
            at = self.u
        if self.play is not None:
            way = np.sign(move)
            move = move + np.where(way * self.way < 0.0, way * self.play, 0.0)
            self.way = np.where(way != 0.0, way, self.way)
        if self.parts is not None:
            self.parts.i += at + move - self.u
        self.u = self.cut(at + move)
        return self.u

    def state(self) -> dict[str, Any]:
        """Get what decides the future, as a tree for `wire.pack`."""
        own = {
            "u": self.u, "applied": self.applied, "target": self.target, "step": self.step, "eased": self.eased,
            "way": self.way,
        }  # fmt: skip
        return own | self.drift.state() | self.output_drift.state("output_drift")

    @property
    def walk(self) -> Array:
        """Get how theta and outputs wander by themselves, shape (parameters + outputs,), in their units squared per second."""
        return np.concatenate([self.drift.rate, self.output_drift.rate])

    def restore(self, state: dict[str, Any]) -> None:
        """Put a state back that `state` gave."""
        self.u, self.applied, self.target = state["u"], state["applied"], state["target"]
        self.step = state["step"]
        if "eased" in state:  # a state of an earlier version has neither
            self.eased, self.way = _per_knob(state["eased"], len(self.low)), _per_knob(state["way"], len(self.low))
        self.drift.restore(state)
        if "output_drift_windows" in state:  # nor this
            self.output_drift.restore(state, "output_drift")


class Integral(Controller):
    """Integral control: u += Ki dt (theta* - theta), eqs. 16-17, with Ki = 1/(4 k tau), less with dead time.

    Source: Scellier et al. 2022, section 5.1; with dead time d the gain is at most 1/(2 k (tau + d)), where d counts half a
    tick for the time between a reading and the move that follows from it.
    """

    law = "integral"
    _ki: Any
    _move: Array | None  # holds Ki dt where all gains are one: numpy takes an array faster than it makes one of a float
    _fastest = 0.0
    _room = 0.0  # the way to the nearest limit is at least this
    _near = 0  # ticks so near a limit; the way is measured anew at every eighth of them

    def start(self, readback: Array) -> Array:
        """Take the knobs over."""
        self._room = 0.0
        return super().start(readback)

    def correct(self, error: Array, applied: Array | None = None) -> Array:
        """Move once by a mean error."""
        self._room = 0.0
        return super().correct(error, applied)

    def prepare(self) -> None:
        """Work out the gains. Raises HoldError where there are none."""
        super().prepare()
        standard = None if self.info.response is None else standard_integral_gain(self.info)
        if self.settings.ki is not None:
            self.ki = _per_knob(self.settings.ki, self.n)
        elif standard is not None:
            self.ki = self.settings.gain * standard
        else:
            raise HoldError(
                f"{self.info.name}: how theta answers its knob is not known, so integral control has no gain. "
                "Identify the response, or give homeostasis.ki."
            )
        self.ki = self._tuned("ki", self.ki)
        self._share_of(standard)
        self.ki = self.ki * self.eased
        self._room = 0.0
        same = self.n > 0 and bool((self.ki == self.ki[0]).all())
        self._ki = float(self.ki[0]) if same else self.ki
        self._move = np.zeros(()) if same else None
        self._fastest = float(np.max(np.abs(self.ki), initial=0.0))

    @property
    def rate(self) -> Array:
        """Get the integral gain, per second, shape (controls,)."""
        return self.ki

    def tick(self, error: Array, theta: Array, dt: float, size: float) -> Array:
        """Move after one tick."""
        move = self._move
        if move is None:
            u: Array = error * (self._ki * dt)
        else:
            move[()] = self._ki * dt
            u = error * move
        if self.parts is not None:
            self.parts.i += u
        u += self.u
        if self.bounded:  # far from the limits a bound on the way gone spares looking at every knob
            self._room -= self._fastest * dt * sqrt(size)
            if not self._room > 0.0:
                self.cut(u)
                self._near += 1
                if self._near & 7 == 1:
                    self._room = float(np.minimum(self.high - u, u - self.low).min(initial=np.inf))
        self.u = u
        return u


class PID(Controller):
    """Proportional, integral, derivative; proportional and derivative act on the measurement, so a new target gives no kick.

    u += Ki dt (theta* - theta) - Kp dtheta - Kd d(dtheta/dt). Gains left out follow the SIMC rules for a plant of gain k, lag tau
    and dead time d, with a closed loop of c = max(tau, d): Kp = tau / (k (c + d)), Ki = Kp / min(tau, 4 (c + d)), Kd = 0.
    A device that chooses its ticks may make them two lags long (section 5.1), where a Kp above 0.05 / k oscillates: there Kp = 0.
    """

    law = "pid"
    kp: Array
    kd: Array | None
    _theta: Array | None = None
    _slope: Array | None = None

    def prepare(self) -> None:
        """Work out the gains. Raises HoldError where there are none."""
        super().prepare()
        settings, n = self.settings, self.n
        if self.info.response is None and settings.ki is None:
            raise HoldError(
                f"{self.info.name}: how theta answers its knob is not known, so a PID loop has no gains. "
                "Identify the response, or give homeostasis.ki and kp."
            )
        if self.info.response is not None and self.info.tick_s is None:
            self.kp, self.ki = np.zeros(n), settings.gain * standard_integral_gain(self.info)
        elif self.info.response is not None:
            lag, dead = _per_knob(self.info.response.lag_s, n), _delay(self.info, n)
            close = np.maximum(lag, dead) + dead
            self.kp = settings.gain * lag / (self.gain * close)
            self.ki = self.kp / np.minimum(lag, 4.0 * close)
        else:
            self.kp = np.zeros(n)
        standard = self.ki if self.info.response is not None else None
        if settings.ki is not None:
            self.ki = _per_knob(settings.ki, n)
        if settings.kp is not None:
            self.kp = _per_knob(settings.kp, n)
        kd = self._tuned("kd", np.zeros(n) if settings.kd is None else _per_knob(settings.kd, n))
        self.kp, self.ki = self._tuned("kp", self.kp), self._tuned("ki", self.ki)
        self._share_of(standard)
        self.kd = kd * self.eased if settings.kd is not None or kd.any() else None
        self.kp, self.ki = self.kp * self.eased, self.ki * self.eased

    @property
    def rate(self) -> Array:
        """Get the integral gain, per second, shape (controls,)."""
        return self.ki

    def start(self, readback: Array) -> Array:
        """Take the knobs over; the first reading gives no kick."""
        self._theta = self._slope = None
        return super().start(readback)

    def tick(self, error: Array, theta: Array, dt: float, size: float) -> Array:
        """Move after one tick."""
        u = error * (self.ki * dt)
        parts = self.parts
        if parts is not None:
            parts.i += u
        u += self.u
        if self._theta is not None:  # a stale reading repeats itself, so what it missed counts when it is fresh again
            change = theta - self._theta
            u -= self.kp * change
            if parts is not None and parts.p is not None:
                parts.p -= self.kp * change
            if self.kd is not None:
                slope = change / dt
                if self._slope is not None:
                    u -= self.kd * (slope - self._slope)
                    if parts is not None and parts.d is not None:
                        parts.d -= self.kd * (slope - self._slope)
                self._slope = slope
        self._theta = theta.copy()
        self.u = self.cut(u)
        return u

    def state(self) -> dict[str, Any]:
        """Get what decides the future."""
        return super().state() | {"theta": self._theta, "rate": self._slope}

    def restore(self, state: dict[str, Any]) -> None:
        """Put a state back that `state` gave."""
        super().restore(state)
        self._theta, self._slope = state["theta"], state["rate"]


class QuasiStatic(Controller):
    """For slow scanners: wait, read all, u += G^-1 (theta* - theta), repeat; the knobs stand still in between.

    Under `accept: settled` the loop waits and averages, and calls `correct`. Where ticks are counted it corrects by the newest
    reading as often as dead time and five lags have passed.
    """

    continuous = False
    law = "quasi-static"
    _waited_s = 0.0

    def prepare(self) -> None:
        """Work out the gains. Raises HoldError where there are none."""
        super().prepare()
        if self.info.response is None:
            raise HoldError(
                f"{self.info.name}: how theta answers its knob is not known, so there is no gain to correct by. "
                "Identify the response, or use the integral controller with homeostasis.ki."
            )

    def start(self, readback: Array) -> Array:
        """Take the knobs over; the first correction waits."""
        self._waited_s = 0.0
        return super().start(readback)

    def tick(self, error: Array, theta: Array, dt: float, size: float) -> Array:
        """Move after one tick, if it is time to."""
        self._waited_s += dt
        if self._waited_s >= self.dead_s + 5.0 * (self.lag_s or 0.0):
            self._waited_s = 0.0
            return self.correct(error)
        return self.u


class Ideal(Controller):
    """The device holds theta itself (section 5.3); there is nothing to move."""

    continuous = False
    law = "ideal"

    def tick(self, error: Array, theta: Array, dt: float, size: float) -> Array:
        """Move after one tick."""
        raise HoldError(
            f"{self.info.name} does not hold its parameters itself. Choose the integral, pid or quasi-static controller."
        )


def make_controller(settings: HomeostasisSettings, info: DeviceInfo, tuning: Tuning | None = None) -> Controller:
    """Make the control law that the settings ask for, for one device, with gains as they were tuned.

    Where the settings name none this is the integral law; `hold` lets a device that holds its parameters do it itself.

    Raises:
        HoldError: a list of gains or tolerances that does not have one entry per knob.
    """
    for name in ("ki", "kp", "kd", "tolerance"):
        value = getattr(settings, name)
        if isinstance(value, list) and len(value) != len(info.controls):
            raise HoldError(
                f"homeostasis.{name}: {len(value)} values for the {len(info.controls)} control knobs of {info.name}. "
                "Give one number for all, or one per knob."
            )
    laws: dict[str | None, type[Controller]] = {"pid": PID, "quasi-static": QuasiStatic, "ideal": Ideal}
    made = laws.get(settings.controller, Integral)(settings, info)
    made.tuning = tuning
    return made


def _per_knob(value: Any, n: int) -> Array:
    return np.array(np.broadcast_to(np.asarray(value, dtype=np.float64), (n,)))


def _delay(info: DeviceInfo, n: int) -> Array:
    """Dead time of each loop: the device's own, and half a tick."""
    assert info.response is not None
    return _per_knob(info.response.dead_time_s, n) + 0.5 * (info.tick_s or 0.0)


def standard_integral_gain(info: DeviceInfo) -> Array:
    """Compute Ki = min(1/(4 k tau), 1/(2 k (tau + d))) of each knob, in 1/s per unit of gain, shape (controls,).

    Raises:
        HoldError: a knob that does not move its parameter, or at once.
    """
    assert info.response is not None
    n = len(info.controls)
    gain, lag = _per_knob(info.response.gain, n), _per_knob(info.response.lag_s, n)
    if not (np.isfinite(gain).all() and (gain != 0).all() and (lag > 0).all()):
        raise HoldError(f"{info.name}: a knob with gain 0 or lag 0 s cannot be controlled. Identify the response again.")
    return np.asarray(1.0 / (gain * np.maximum(4.0 * lag, 2.0 * (lag + _delay(info, n)))))
