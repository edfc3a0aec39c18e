"""Identification: how every parameter answers its knob, what noise there is, how soft the outputs are, what is wrongly wired.

By small steps both ways around where the knobs stand, and by the four abilities alone. First everything is read at rest, for
the noise. Then all knobs are stepped at once and back, each its own way, and followed tick by tick, for lags, dead times and
repeatability. Then codes are stepped, so that each answer tells whose it is, for gains and for the wiring. Last each output is
nudged by itself, for its softness R = ds / (beta (y - s)), knobs standing still and parameters floating. At the end, and whatever
happens on the way, the nudge is off and the knobs are told to go back to where they stood.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aeqlab.backends.device import DeviceInfo, Flag, Readout
from aeqlab.backends.errors import BackendError, LimitError
from aeqlab.backends.identification import Identification
from aeqlab.protocols.errors import IdentifyError, ProtocolError
from aeqlab.protocols.identify_codes import codes
from aeqlab.protocols.identify_fit import Course, GainFit, LagFit, fit_gains, fit_lags, noise_of
from aeqlab.protocols.identify_verdict import odd_gains, small_steps, wiring_faults
from aeqlab.protocols.operator import Operator

Array = NDArray[Any]
AT_REST = 8  #: readings for the noise
COURSE = 7  #: ticks followed after a step, at least
LARGEST = 0.05  #: of a knob's range: no step is larger
SNR = 200.0  #: a step is so many times the noise of what it moves, where the range allows
LSBS = 100.0  #: and so many steps of the knob's resolution
SETTLED = 6.0  #: lags after which what is left of a step is 0.2 %
NUDGES = (0.02, 0.06, 0.2, 0.6)  #: shares of the largest nudge that are tried until an output answers
MISFIT = 0.5  #: distance of the target from the output, in its unit
ANSWERS = 30.0  #: an answer is large enough at so many times its noise
LONGEST_WAIT_S = 60.0  #: what has not come to rest within this time will not


@dataclass(frozen=True, slots=True)
class Found:
    """What an identification found.

    Attributes:
        made: the identification.
        matrix: how much each knob moves each parameter, shape (parameters, controls).
        nudged: how much a nudge of each output moves each output, shape (outputs, outputs), as softness.
        faults: what keeps a loop from being closed, in sentences.
        doubts: what should be looked at, in sentences.
        course: the course after the step: times, answers in steps, both of shape (readings, parameters).
        took_s: time of the device.
    """

    made: Identification
    matrix: Array
    nudged: Array
    faults: tuple[str, ...]
    doubts: tuple[str, ...]
    course: tuple[Array, Array]
    took_s: float


@dataclass
class Identifying:
    """One identification of a device.

    Args:
        operator: the device's operator.
        inputs: what is presented meanwhile, shape (inputs,); None: where the input knobs rest.
        fingerprint: what the result belongs to.
        before: an earlier one of the same device, to compare gains with.
        step: size of the steps as a share of each knob's range; None: from noise and resolution, 5 % at most.
        seconds: time of the device it should take at most; it decides how many codes there are.
        seed: of the codes.
        progress: told what is being done, and how much of it, 0 to 1.
    """

    operator: Operator
    inputs: Array | None = None
    fingerprint: Mapping[str, str] = field(default_factory=dict)
    before: Identification | None = None
    step: float | None = None
    seconds: float = 20.0
    seed: int = 0
    progress: Callable[[str, float], None] = lambda what, part: None

    def run(self) -> Found:
        """Identify; see the module.

        Raises:
            IdentifyError: the device does not read its parameters, or its knobs leave no room for steps.
            Interrupted: someone asked for it; the knobs are told to go back.
        """
        if "Arms" in self.operator.abilities:
            self.operator.device_call("arm")
        info = self.info = self.operator.info
        self._ages: list[Array] = []
        x = info.inputs.rest if self.inputs is None else np.asarray(self.inputs, dtype=np.float64)
        self.operator.present(np.tile(x, (info.samples or 1, 1)).astype(info.dtype))
        self.operator.release()
        self.u0 = np.asarray(self.operator.controls(), dtype=np.float64)
        try:
            return self._identify(info)
        finally:
            with contextlib.suppress(ProtocolError, BackendError):
                self.operator.release()
                self.operator.set_controls(np.clip(self.u0, info.controls.low, info.controls.high).astype(info.dtype))

    def _identify(self, info: DeviceInfo) -> Found:
        self.progress("reading at rest", 0.0)
        first = self._tick()
        if first.parameters is None:
            raise IdentifyError(f"{info.name} does not read its parameters, so how they answer cannot be told.")
        began = first.t - first.dt
        rest = self._come_to_rest(first)
        rows = np.stack([_row(one) for one in rest])
        n = info.n_parameters
        theta_noise, noise_error = noise_of(rows[:, :n], _resolution(info)[:n])
        out_noise, _ = noise_of(rows[:, n:], _resolution(info)[n:])
        base = rows.mean(axis=0)
        step = self._steps(info, theta_noise)
        lags, course, back, gain = self._courses(info, step, base[:n], theta_noise)
        tick = info.tick_s or 0.01
        wait = float(np.max(lags.dead_s + self.age_s + SETTLED * lags.lag_s)) + float(np.max(2 * step / info.controls.slew_per_s))
        self.wait_s = tick * max(1.0, float(np.ceil(wait / tick - 0.05)))  # in whole ticks; not one more for next to nothing
        repeat = self._other_side(info, step, back)
        fit = self._codes(info, step, theta_noise, self.t - began)
        nudged, unsure, softness, soft_error, doubts = self._nudges(info, theta_noise, out_noise)
        own = np.diagonal(fit.matrix) if fit.matrix.shape[0] == fit.matrix.shape[1] else gain
        faults = wiring_faults(fit.matrix, fit.error, info.controls.names, _parameter_names(info))
        faults += _nudge_faults(nudged, unsure, info.outputs.names)
        error = np.sqrt(fit.error**2 + (0.002 * own) ** 2)
        followed = np.abs(fit.matrix).argmax(axis=1) if own is not gain else np.arange(len(own))
        judged = np.where(followed == np.arange(len(own)), own, np.nan)  # of a wrongly wired one there is no gain
        doubts += odd_gains(judged, error, info.controls.names, None if self.before is None else self.before.gain)
        made = Identification(
            t=time.time(), fingerprint=dict(self.fingerprint), gain=own.copy(), gain_error=error, lag_s=lags.lag_s,
            lag_error_s=lags.lag_error_s, dead_time_s=lags.dead_s + self.age_s, dead_time_error_s=lags.dead_error_s,
            noise=theta_noise,
            noise_error=noise_error, repeatability=repeat, output_noise=out_noise,
            softness=softness, softness_error=soft_error, notes=tuple(doubts),
        )  # fmt: skip
        return Found(made, fit.matrix, nudged, tuple(faults), tuple(doubts), course, self.t - began)

    # at rest
    def _come_to_rest(self, last: Readout) -> list[Readout]:
        """Read until two halves of a window do not differ by more than their noise; returns the window."""
        window = [last]
        began = last.t
        while True:
            while len(window) < AT_REST:
                window.append(self._tick())
            rows = np.stack([_row(one) for one in window])
            half = len(rows) // 2
            early, late = rows[:half], rows[half:]
            spread = np.sqrt((early.var(axis=0) + late.var(axis=0)) / half) + _resolution(self.info) + 1e-12
            if (np.abs(early.mean(axis=0) - late.mean(axis=0)) <= 5.0 * spread).all():
                return window
            if window[-1].t - began > LONGEST_WAIT_S:
                raise IdentifyError(
                    f"{self.info.name} does not come to rest: {self._worst(rows)} still moves after {LONGEST_WAIT_S:g} s. "
                    "Look for drift, or for a loop that is still closed."
                )
            window = window[half:]

    def _worst(self, rows: Array) -> str:
        k = int(np.argmax(np.abs(rows[-1] - rows[0]) / (rows.std(axis=0) + 1e-12)))
        names = [*_parameter_names(self.info), *self.info.outputs.names]
        return names[k % len(names)]

    def _steps(self, info: DeviceInfo, noise: Array) -> Array:
        """Choose the size of each knob's step: well above noise and resolution, inside its limits on both sides."""
        knobs = info.controls
        span = np.where(np.isfinite(knobs.high - knobs.low), knobs.high - knobs.low, 2.0)
        usual = float(np.median(noise)) * SNR
        step = np.maximum(np.maximum(usual, LSBS * knobs.step), 0.01 * span) if self.step is None else self.step * span
        step = np.minimum(step, LARGEST * span if self.step is None else step)
        room = np.minimum(knobs.high - self.u0, self.u0 - knobs.low)
        tight = room < step
        if tight.any():  # the centre moves a little away from a limit
            self.u0 = np.clip(self.u0, knobs.low + step, knobs.high - step)
            room = np.minimum(knobs.high - self.u0, self.u0 - knobs.low)
        if (room <= 0).any():
            k = int(np.argmin(room))
            raise IdentifyError(f"{info.name}: {knobs.names[k]} has no room for a step between its limits. Widen them.")
        return np.asarray(np.minimum(step, room))

    # lags
    def _courses(
        self, info: DeviceInfo, step: Array, base: Array, noise: Array
    ) -> tuple[LagFit, tuple[Array, Array], Array, Array]:
        """Step all knobs there and back, and follow both ways tick by tick; the third is where theta comes back to."""
        self.progress("following a step", 0.15)
        self.signs = signs = np.random.default_rng(self.seed).choice([-1.0, 1.0], len(step))
        up, times = self._course(self.u0 + step * signs)
        down, times_down = self._course(self.u0)
        top = up[-3:].mean(axis=0)
        bottom = down[-3:].mean(axis=0)
        change = top - base
        answers = np.abs(change) > 8.0 * noise + 1e-12
        size = np.where(answers, change, 1.0)
        back = np.where(answers, top - bottom, 1.0)
        values = np.concatenate([(up - base) / size, (top - down) / back])
        every = np.concatenate([times, times_down])
        self.age_s = np.mean(self._ages, axis=0)  # how old a reading is when it comes: part of the dead time of a loop
        spread = np.where(answers, 1.5 * noise / np.abs(size), 10.0)  # nothing is learned from what does not answer
        lags = fit_lags(Course(every, values, spread), float(np.max(step / info.controls.slew_per_s)), info.tick_s or 0.01)
        if not answers.all() and answers.any():  # a dead knob has the lag of the others, and is told of as dead
            for row in lags:
                row[~answers] = np.median(row[answers])
        return lags, (every, values), bottom, change / (step * signs)

    def _course(self, u: Array) -> tuple[Array, Array]:
        """Send knobs somewhere and follow until nothing moves; theta, and when each was measured after that, both (ticks, n)."""
        self.operator.set_controls(u.astype(self.info.dtype))
        rows: list[Array] = []
        times: list[Array] = []
        passed = 0.0
        while True:
            readout = self._tick()
            passed += readout.dt
            assert readout.parameters is not None
            rows.append(np.asarray(readout.parameters, dtype=np.float64))
            ages = readout.parameter_ages_s
            self._ages.append(np.zeros(len(rows[0])) if ages is None else np.asarray(ages))
            times.append(passed - self._ages[-1])
            if len(rows) >= COURSE and (self._still(rows) or passed > LONGEST_WAIT_S):
                return np.stack(rows), np.stack(times)

    def _still(self, rows: list[Array]) -> bool:
        """Tell whether the last readings of a course are its end: they move by less than half a per cent of it."""
        last, first = np.stack(rows[-4:]), rows[0]
        way = np.abs(last.mean(axis=0) - first)
        return bool((np.ptp(last, axis=0) <= np.maximum(0.01 * way, 8.0 * last.std(axis=0) + 1e-9)).all()) and len(rows) >= COURSE

    def _other_side(self, info: DeviceInfo, step: Array, back: Array) -> Array:
        """Come back from the other side too; returns how far from `back` theta then stands, for each parameter."""
        self.progress("coming back from the other side", 0.28)
        self._at(self.u0 - step * self.signs)
        return np.asarray(np.abs(self._at(self.u0)[: info.n_parameters] - back))

    # gains
    def _codes(self, info: DeviceInfo, step: Array, noise: Array, used_s: float) -> GainFit:
        """Step coded patterns; what they do beside their mean tells which knob does it."""
        left = max(0.0, 0.95 * self.seconds - used_s - 2 * self.wait_s * len(info.outputs))
        table = codes(len(step), int(left / self.wait_s), np.random.default_rng(self.seed + 1))
        answers = np.empty((len(table), info.n_parameters))
        for k, row in enumerate(table):
            self.progress("telling knobs apart", 0.3 + 0.5 * k / len(table))
            answers[k] = self._at(self.u0 + step * row)[: info.n_parameters]
        self.operator.set_controls(self.u0.astype(info.dtype))
        return fit_gains(table, answers, step, noise)

    def _at(self, u: Array) -> Array:
        """Send knobs somewhere, wait until all has answered, and read: parameters, then outputs."""
        self.operator.set_controls(u.astype(self.info.dtype))
        return self._after_wait()

    def _after_wait(self) -> Array:
        readout = self.operator.advance(self.wait_s)
        self.t = readout.t
        return _row(self._tick() if readout.flags & (Flag.LOST | Flag.STALE) else readout)

    # outputs
    def _nudges(self, info: DeviceInfo, theta_noise: Array, noise: Array) -> tuple[Array, Array, Array, Array, list[str]]:
        """Nudge each output by itself, harder until it answers: what it moves of each, the noise of that, softness of each.

        Parameters float meanwhile, so that theta moves as in a step of training: what that is beside the noise is told too.
        """
        m, n = len(info.outputs), info.n_parameters
        nudged, error, unsure = np.full((m, m), np.nan), np.full(m, np.nan), np.zeros(m)
        doubts: list[str] = []
        steps = np.zeros(m)  # of theta by a nudge of 1 at a misfit of 1, rms over the parameters
        for k in range(m):
            self.progress("nudging outputs", 0.8 + 0.2 * k / m)
            self.operator.release()
            before = self._after_wait()
            free = before[n:]
            for share in NUDGES:
                beta = share * info.beta[1]
                targets = free.copy()
                targets[k] += MISFIT
                try:
                    self.operator.nudge(np.tile(targets, (info.samples or 1, 1)).astype(info.dtype), beta)
                    change = self._after_wait() - before
                    moved = change[n:]
                except LimitError as exc:
                    doubts.append(f"the nudge of {info.outputs.names[k]} could not be made stronger: {exc}")
                    break
                square = float(np.mean(change[:n] ** 2)) - 2.0 * float(np.mean(theta_noise**2))  # of the movement, not the noise
                steps[k] = np.sqrt(max(square, 0.0)) / (beta * MISFIT)
                answer = noise * np.sqrt(2.0) + 1e-12
                soft = moved / (beta * (MISFIT - 0.5 * moved[k]))  # between a force that follows s and one that does not
                nudged[:, k] = soft
                unsure[k] = float(answer[k] / (beta * MISFIT))
                error[k] = unsure[k] + 0.5 * abs(beta * soft[k] * soft[k])
                if np.abs(moved).max() > ANSWERS * answer.max():
                    break
            self.operator.release()
        doubts += small_steps(steps, float(np.median(theta_noise)), info)
        return nudged, unsure, np.diagonal(nudged).copy(), error, doubts

    def _tick(self) -> Readout:
        """Read once, and once more where a read was lost; a device that goes on losing them cannot be identified."""
        for _ in range(20):
            readout = self.operator.advance()
            self.t = readout.t
            if not readout.flags & (Flag.LOST | Flag.STALE):
                return readout
        raise IdentifyError(f"{self.info.name}: twenty readings in a row were lost or stale. Look at its instruments.")


def _row(readout: Readout) -> Array:
    """Get parameters and mean outputs of a readout as one row."""
    outputs = np.asarray(readout.outputs, dtype=np.float64).mean(axis=0)
    return outputs if readout.parameters is None else np.concatenate([np.asarray(readout.parameters, dtype=np.float64), outputs])


def _resolution(info: DeviceInfo) -> Array:
    """Get the resolution of every reading, parameters first."""
    steps = [np.broadcast_to(np.asarray(block.step, dtype=np.float64), (block.size,)) for block in info.parameters]
    return np.concatenate([*steps, info.outputs.step])


def _parameter_names(info: DeviceInfo) -> list[str]:
    if len(info.parameters) == 1:
        return [f"{info.parameters[0].name}[{k}]" for k in range(info.n_parameters)]
    return [f"{block.name}[{k}]" for block in info.parameters for k in range(block.size)]


def _nudge_faults(nudged: Array, error: Array, outputs: Any) -> list[str]:
    """Find nudges that move another output than their own, none, or the wrong way."""
    known = np.where(np.isnan(nudged), 0.0, nudged)
    names = [f"the nudge of {name}" for name in outputs]
    if len(outputs) > 1:
        return wiring_faults(known, error, names, list(outputs))
    value = float(known[0, 0])
    if abs(value) <= 5.0 * float(error[0]):
        return [f"{names[0]} does not move it: it is not connected, or force_per_unit is much too small."]
    return [f"{names[0]} pushes it away from its target: its sign is reversed."] if value < 0 else []
