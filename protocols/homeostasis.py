"""Homeostasis: move the control knobs until theta stands at its target. The loop; the laws are in `controllers`.

It is written over `advance` alone and looks at the stop request at every tick. Where the window test decides
(`accept: settled`) a hold has two parts. First the law moves u until theta is near its target. Then u stands still while
windows of readings are averaged; what they show to be left over is corrected at once, u += G^-1 (theta* - theta), and read
again. So u is at rest when it is clamped, and the mean of the last window is theta at exactly that u.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aeqlab.backends.checks import checked_vector
from aeqlab.backends.device import Device, DeviceInfo, Flag, Readout, WritableParameters
from aeqlab.backends.errors import DivergedError
from aeqlab.protocols.controllers import Controller, Ideal, make_controller
from aeqlab.protocols.errors import CapabilityError
from aeqlab.protocols.hold_settings import Accept, HomeostasisSettings, SettlingSettings, Ticks
from aeqlab.protocols.jumps import ReadingJumps
from aeqlab.protocols.oscillation import Oscillation
from aeqlab.protocols.reports import HoldReport, Verdict
from aeqlab.protocols.settling import (
    LEAST_READS,
    LEAST_TICK,
    Freshness,
    Interrupt,
    Trace,
    Window,
    averaged,
    block_rms,
    dead_reading,
    holds_parameters,
    rest,
    rounding,
    still,
    still_outputs,
    thinned,
    what_jumped,
)
from aeqlab.protocols.tolerance import READS_PER_N, Bounds, allowed_error, bounds_of

__all__ = ["Accept", "Controller", "HomeostasisSettings", "SettlingSettings", "Ticks", "hold", "make_controller"]

Array = NDArray[Any]

#: A correction is small up to this many tolerances, if no knob was moved by so many that it takes others along.
SMALL_CORRECTION = 1.5
SMALL_OTHERS = 10.0
#: The drift is learned from windows that begin when no more than this is left of the last move, in tolerances.
STEADY = SMALL_CORRECTION * float(np.exp(-3.0))
#: Outputs stand still if they move over the window by less than this share of what they moved since the hold began.
OUTPUT_SHARE = 0.02
#: An error is a swing from so many tolerances and so many times the read noise on.
SWING_TOLERANCES = 3.0
SWING_NOISE = 5.0
#: The quasi-static law corrects by one reading so often in a hold, if no window would pass whose mean is as far off less so many
#: times the read noise; knobs that are off by less than so many times the noise stand still meanwhile.
COARSE = 3
FAR_NOISE = 1.0
NO_NOISE = 5.0
#: A reading jumps that changes from one tick to the next by more than so many tolerances, knobs standing still; an output that
#: changes by more than this share of what it moved since the hold began. And beyond noise, see `jumps`.
JUMP_TOLERANCES = 10.0
JUMP_SHARE = 0.1
#: A parameter does not follow its knob if that was moved by what is worth so many tolerances, and it by less than a share of it.
IDLE_TOLERANCES = 10.0
IDLE_SHARE = 0.1

Eased = Callable[[Array, Oscillation], None]  #: told which knobs oscillate, bool of shape (controls,), and how


def hold(
    device: Device,
    theta: Array | None,
    settings: HomeostasisSettings,
    controller: Controller,
    *,
    interrupt: Interrupt | None = None,
    trace: Trace | None = None,
    eased: Eased | None = None,
) -> HoldReport:
    """Move u so that theta stands at its target while the system settles.

    Args:
        device: the device; inputs and nudge are what was presented and nudged.
        theta: target, shape (parameters,), in the unit of the parameters; None: where it was last told, or is now.
        settings: when theta counts as held, and how long to try.
        controller: the law, kept from hold to hold so that it starts from its last setpoints.
        interrupt: called before every tick; raises to leave. The knobs then stay where they are.
        trace: gets time (s), theta - theta* and u, thinned.
        eased: called when knobs of a device with ticks of its own oscillate and their gains have been halved; theta is not
            taken for held before they are calm.
    Returns:
        How it ended, with the window's mean as readout where read noise is known.
    Raises:
        ArrayRefusedError: a target of the wrong shape or not finite.
        CapabilityError: the settings ask for something this device is not able to do.
        HoldError: the law has no gains, because the response of the device is not known.
        DivergedError: a reading is not a finite number.
    """
    trace = thinned(trace) if trace is not None else None
    if holds_parameters(device):
        if settings.controller in (None, "ideal"):
            return _hold_exactly(device, theta, settings, interrupt, trace)
        device.hold_exactly(False)  # type: ignore[attr-defined]
    if isinstance(controller, Ideal):
        raise CapabilityError(
            f"{controller.info.name} does not hold its parameters itself. Choose the integral, pid or quasi-static controller."
        )
    if not controller.prepared:
        controller.prepare()
    info = controller.info
    target = _target(device, theta, controller, interrupt)
    stage = _stager(device, info)
    knobs = device.controls()
    foreign = not controller.owns(knobs)
    controller.start(knobs)
    loop = _Loop(device, info, settings, controller, target, stage, interrupt, trace, eased, foreign)
    report = loop.for_ticks(settings.accept.ticks) if isinstance(settings.accept, Ticks) else loop.until_settled()
    controller.applied = device.controls()
    return report


def _target(device: Device, theta: Array | None, controller: Controller, interrupt: Interrupt | None) -> Array:
    """Get the target, and learn from it how large a step is."""
    info = controller.info
    if theta is None:
        if controller.target is None:
            if interrupt is not None:
                interrupt()
            now = device.advance().parameters
            if now is None:
                raise CapabilityError(f"{info.name} does not read its parameters; it cannot be held by a control loop.")
            controller.target = np.array(now, dtype=np.float64)
        return controller.target
    target = np.array(theta, dtype=np.float64)
    if target.shape != (controller.n,) or not target.dot(target) < np.inf:
        target = checked_vector("target of theta", theta, info.n_parameters)  # says what is wrong with it
    if controller.target is not None:
        change = target - controller.target
        if change.any():
            step = block_rms(controller.blocks, change)
            controller.step = step if controller.step is None else np.maximum(step, 0.3 * controller.step)
    controller.target = target
    return target


def _stager(device: Device, info: DeviceInfo) -> Callable[[Array], None]:
    """Get the shortest way to the knobs: what a law gives is finite and within limits, and need not be checked twice."""
    standard = type(device).set_controls is Device.set_controls
    return device._set_controls if standard and info.dtype == "float64" else device.set_controls


def _hold_exactly(
    device: Device, theta: Array | None, settings: HomeostasisSettings, interrupt: Interrupt | None, trace: Trace | None
) -> HoldReport:
    """Let the device hold theta itself (section 5.3), and wait for its state to come to rest."""
    if theta is not None:
        now = device.parameters()  # type: ignore[attr-defined]
        if not np.array_equal(now, np.asarray(theta, dtype=now.dtype)):
            if not isinstance(device, WritableParameters):
                raise CapabilityError(
                    f"{device.info.name} holds its parameters where they are; they cannot be told to be elsewhere."
                )
            device.write_parameters(theta)
    device.hold_exactly(True)  # type: ignore[attr-defined]
    calm = SettlingSettings(
        accept=settings.accept,
        window=settings.window,
        reads=settings.reads,
        timeout=settings.timeout,
        max_ticks=settings.max_ticks,
    )
    report = rest(device, calm, interrupt, trace)
    if report.readout.flags & Flag.SATURATED:
        return HoldReport(False, Verdict.SATURATED, report.ticks, report.duration_s, report.readout)
    return HoldReport(report.accepted, report.verdict, report.ticks, report.duration_s, report.readout)


class _Loop:
    """One hold: what it works with, and the two rules by which it ends."""

    def __init__(
        self,
        device: Device,
        info: DeviceInfo,
        settings: HomeostasisSettings,
        controller: Controller,
        target: Array,
        stage: Callable[[Array], None],
        interrupt: Interrupt | None,
        trace: Trace | None,
        eased: Eased | None,
        foreign: bool,
    ) -> None:
        self.eased = eased
        self.foreign = foreign  # somebody else moved the knobs, perhaps to where only time brings them
        self.device, self.info, self.settings, self.controller = device, info, settings, controller
        self.target, self.stage, self.interrupt, self.trace = target, stage, interrupt, trace
        self.timed = info.tick_s is not None  # a device with ticks of its own may deliver late; section 5.1 never does
        self.newest: Freshness | None = None
        self.stale_ticks = 0
        self.before: Array | None = None  # knobs at the tick before, while they slew
        self.began: tuple[Array, Array] | None = None  # knobs and error at the first reading
        self.jumps: ReadingJumps | None = None
        self.rests = 0.0  # since when knobs stand still
        self.rest_outputs: Array | None = None  # outputs at the tick before, while they do
        self.usual: Bounds | None = None  # of a window after a large correction, once it was needed
        self.swings: Oscillation | None = None
        if self.timed and len(controller.eased) == len(target):
            usual = allowed_error(settings, controller, target, max(1.0, settings.reads / READS_PER_N))
            self.swings = Oscillation(np.maximum(SWING_TOLERANCES * usual, SWING_NOISE * controller.noise) + 2.0 * controller.lsb)

    def for_ticks(self, ticks: int) -> HoldReport:
        """Move at each of a number of ticks: eqs. 14-16 as they stand."""
        advance, tick, stage, target = self.device.advance, self.controller.tick, self.stage, self.target
        interrupt, trace, none, careful = self.interrupt, self.trace, Flag.NONE, self.timed
        passed, infinite = 0.0, np.inf
        theta: Any
        for _ in range(ticks):
            if interrupt is not None:
                interrupt()
            readout = advance()
            dt = readout.dt
            theta = readout.parameters
            error = target - theta
            size = error.dot(error)
            if not size < infinite:
                raise DivergedError(f"{self.info.name}: theta reads as not finite, or is beyond all bounds")
            if dt > 0.0:  # a refused step of theta moves no knob
                passed += dt
                self._adopt()
                if careful or readout.flags is not none:
                    self._calm(readout.t, error)
                    stage(tick(self._usable(readout, error), theta, dt, size))
                else:
                    stage(tick(error, theta, dt, size))
            if trace is not None:
                trace(readout.t, -error, self.controller.u)
        tolerance = allowed_error(self.settings, self.controller, target, 1.0)
        return self._report(True, Verdict.TICKS, ticks, passed, readout, -error, tolerance)

    def until_settled(self) -> HoldReport:
        """Move until theta is near, then let u stand still, average, correct and look again until the window test passes."""
        info, settings, controller, target = self.info, self.settings, self.controller, self.target
        lag = controller.lag_s if controller.lag_s is not None else 1.0 / (4.0 * float(np.min(np.abs(controller.rate))))
        dead = controller.dead_s
        span, wait = settings.window * lag, dead + 3.0 * lag
        noise, lsb = controller.noise, info.controls.step
        near: Array | None = None
        approaching, worst, small = controller.continuous, np.inf, np.zeros(len(target), dtype=bool)
        moved = 0.0 if approaching else np.inf  # by the last move, in tolerances; a window sees the end of a large one
        pace = 0.0 if self.timed else LEAST_TICK * lag
        passed = took = rest_from = last_fresh = railed = there_from = 0.0
        coarse = 0 if controller.continuous else COARSE
        corrected: tuple[float, Array] | None = None  # when, and the error that was
        window, outputs = Window(), Window()
        reads = settings.reads if self.timed else max(settings.reads, LEAST_READS)
        first: Array | None = None
        tolerance: Array | None = None
        verdict, jumped = Verdict.TIMEOUT, ""
        ticks, error = 0, np.zeros(0)
        while ticks < settings.max_ticks and passed <= settings.timeout * (lag + dead):
            if self.interrupt is not None:
                self.interrupt()
            readout = self.device.advance()
            ticks += 1
            dt, theta = readout.dt, readout.parameters
            if theta is None:
                raise CapabilityError(f"{info.name} does not read its parameters; it cannot be held by a control loop.")
            took += dt
            if readout.flags & Flag.AWAY:  # it comes back, and spoils this phase by that, or it is lost
                window.clear()
                outputs.clear()
                self.stale_ticks += 1
                rest_from = last_fresh = passed
                continue
            passed += max(dt, pace)
            error = target - theta
            size = error.dot(error)
            if not size < np.inf:
                raise DivergedError(f"{info.name}: theta reads as not finite, or is beyond all bounds")
            if self.trace is not None:
                self.trace(readout.t, -error, controller.u)
            fresh, moving = self._fresh(readout), self._moving(readout)
            if fresh is None or fresh.any():
                last_fresh = passed
                self.began = self.began or (self.device.controls(), error)
            elif passed - last_fresh > wait + span + 10.0 * dt:
                verdict = Verdict.STALE
                break
            first = readout.outputs.ravel() if first is None else first
            rails = self._rails()
            railed = passed if rails is None else railed
            if approaching:
                if near is None:
                    n = max(1.0, span / max(dt, pace, 1e-9 * lag) / READS_PER_N)
                    near = 1.5 * allowed_error(settings, controller, target, n) + 3.0 * noise
                arrived = (np.abs(error) <= near) | (rails if rails is not None else False)
                seen = fresh is None or bool(fresh.all())
                swings = self._calm(readout.t, error)
                there = seen and moving is None and passed >= dead + 2.0 * lag and not swings and bool(arrived.all())
                there_from = there_from if there else passed
                dwell = lag if self.swings is not None and self.swings.turned else 0.0  # it may be just passing by
                if there and passed - there_from >= dwell:
                    approaching, rest_from, corrected = False, passed, None
                    controller.way = np.zeros_like(controller.way)  # the law went to and fro
                elif dt > 0.0:  # a refused step of theta moves no knob
                    self._adopt()
                    self.stage(controller.tick(_masked(error, fresh, moving), theta, dt, size))
                continue
            if moving is not None:
                rest_from = passed
                window.clear()
                outputs.clear()
                continue
            if jumped := self._jumped(readout, error, fresh, rest_from, passed - rest_from >= wait, first):
                verdict = Verdict.JUMPED
                break
            if passed - rest_from >= wait:
                window.add(passed, error, fresh)
                outputs.add(passed, readout.outputs.ravel(), None)
                if not window.full(span, reads):
                    if coarse and rails is None and (fresh is None or fresh.all()) and self._far(error, span, passed - rest_from):
                        coarse -= 1  # so far off that more readings would tell nothing; a reading that is stuck is not chased
                        self._calm(readout.t, error, corrected)
                        self._adopt()
                        self.stage(controller.correct(_without_noise(error, noise), self.device.controls()))
                        corrected, small = (readout.t, error), np.zeros_like(small)
                        moved = float(np.max(np.abs(error) / self.usual.tolerance)) if self.usual is not None else np.inf
                        rest_from = passed
                        window.clear()
                        outputs.clear()
                    continue
                figures = window.figures()
                if dead_reading(window, noise, controller.read_step):
                    verdict = Verdict.STALE
                    break
                length = window.t[-1] - window.t[0]
                if self.timed and moved * np.exp((rest_from + dead - window.t[0]) / lag) <= STEADY:
                    controller.drift.see(figures, length, noise)
                    if len(outputs.rows[0]) == len(info.outputs):
                        controller.output_drift.see(outputs.figures(), length, info.outputs.noise)
                wanted = allowed_error(settings, controller, target, np.maximum(1.0, figures.reads / READS_PER_N))
                waited = window.t[0] - rest_from
                bounds = bounds_of(settings, controller, wanted, noise / np.sqrt(figures.reads), length, waited, small)
                tolerance, off = bounds.tolerance, np.abs(figures.mean)
                inside = off <= bounds.mean
                # what drifts by more than that in a window, and more than it did before, is not held
                quiet = still(figures, length, noise, wanted, controller.drift.rate)
                wander = controller.output_drift.rate if len(outputs.rows[0]) == len(info.outputs) else 0.0
                calm = still_outputs(outputs, first, info, OUTPUT_SHARE, wander)
                if rails is None and calm and (inside & quiet).all():
                    mean = self._mean(readout, figures.mean, outputs, noise)
                    if self.timed and readout.flags & Flag.SATURATED:  # it is not the nudge that was told
                        return self._report(False, Verdict.SATURATED, ticks, took, mean, -figures.mean, tolerance)
                    return self._report(True, Verdict.SETTLED, ticks, took, mean, -figures.mean, tolerance, bounds.drift)
                if rails is not None and railed <= rest_from and self._stuck(rails, figures.mean, inside):
                    verdict = Verdict.SATURATED
                    error = figures.mean
                    break
                ratio = float(np.max(off / tolerance, initial=0.0))
                if self._calm(readout.t, figures.mean, corrected):
                    worst = np.inf  # corrections by half as much are another matter
                if controller.continuous and ratio > 3.0 and ratio > 0.7 * worst:
                    approaching, near, worst = True, None, np.inf  # corrections do not help: let the law do it
                    moved, small = 0.0, np.zeros_like(small)
                else:
                    self._adopt()
                    before, applied = controller.u, self.device.controls()
                    before = np.where(np.abs(applied - before) <= lsb, applied, before)
                    u = controller.correct(figures.mean, applied)
                    corrected = readout.t, figures.mean
                    moves = np.abs((u - before) * controller.gain) / tolerance
                    moved = float(np.max(moves, initial=0.0))
                    small = (moves <= SMALL_CORRECTION) & (moves <= SMALL_OTHERS).all()
                    self.stage(u)
                    worst = ratio
                rest_from = passed
                window.clear()
                outputs.clear()
        if tolerance is None:
            tolerance = allowed_error(settings, controller, target, max(1.0, settings.reads / READS_PER_N))
        rails = self._rails()
        if verdict is Verdict.TIMEOUT and rails is not None and self._stuck(rails, error, np.zeros_like(small)):
            verdict = Verdict.SATURATED
        report = self._report(False, verdict, ticks, took, readout, -error, tolerance)
        idle = self._idle(error, tolerance) if self.timed and verdict in (Verdict.TIMEOUT, Verdict.SATURATED) else None
        if idle is not None and idle.any() and self.began is not None:  # what moves nothing now is not to jump once it does
            self.controller.u = np.where(idle, self.began[0], self.controller.u)
            self.stage(self.controller.u)
        return replace(report, idle=idle, jumped=jumped)

    def _jumped(
        self, readout: Readout, error: Array, fresh: Array | None, rest_from: float, rested: bool, first: Array
    ) -> str:  # fmt: skip
        """Say what jumped in this reading, knobs standing still since `rest_from`; empty where nothing did."""
        if not self.timed:
            return ""
        info, n = self.info, len(error)
        outputs = readout.outputs.ravel()
        samples = len(readout.outputs)
        if self.jumps is None:
            noise = np.concatenate([self.controller.noise, np.tile(info.outputs.noise, samples)])
            step = np.concatenate([self.controller.read_step * np.ones(n), np.tile(info.outputs.step, samples)])
            self.jumps, self.rests = ReadingJumps(noise, step), rest_from
        if rest_from != self.rests:
            self.jumps.clear()
            self.rests, self.rest_outputs = rest_from, None
        before = self.rest_outputs if self.rest_outputs is not None else outputs
        self.rest_outputs = outputs
        wide = JUMP_TOLERANCES * allowed_error(self.settings, self.controller, self.target, 1.0)
        room = np.concatenate([wide, JUMP_SHARE * np.abs(before - first) + rounding(info, outputs)])
        if fresh is not None:
            fresh = np.concatenate([fresh, np.full(len(outputs), bool(fresh.all()))])
        k = self.jumps.see(np.concatenate([error, outputs]), fresh, room, judge=rested)
        if k is None and not (rested and readout.flags & Flag.JUMPED):
            return ""
        return what_jumped(info, k, n)

    def _idle(self, error: Array, tolerance: Array) -> Array | None:
        """Tell which parameters did not follow their knobs, moved by much in this hold; None where that cannot be told."""
        if self.began is None or len(self.controller.u) != len(error):
            return None
        wanted = np.abs((self.device.controls() - self.began[0]) * self.controller.gain)
        went = np.abs(self.began[1] - error)
        return np.asarray((wanted > IDLE_TOLERANCES * tolerance) & (went < IDLE_SHARE * wanted))

    def _adopt(self) -> None:
        """Begin at knobs that somebody else moved, once time has passed: before it they may read as they were before that."""
        if self.foreign:
            self.controller.adopt(self.device.controls())
            self.foreign = False

    def _calm(self, t: float, error: Array, corrected: tuple[float, Array] | None = None) -> bool:
        """Halve the gain of knobs that oscillate, and tell of it; returns whether there are any.

        Args:
            t: time, in s.
            error: theta* - theta, of a reading, or the mean of a window.
            corrected: when it was corrected before, and what the mean was then.
        """
        if self.swings is None:
            return False
        found = self.swings.see(t, error)
        if corrected is not None and found is None:
            found = self.swings.overshot(corrected[1], error, t - corrected[0])
        if found is None:
            return False
        self.controller.ease(found)
        if self.eased is not None:
            self.eased(found, self.swings)
        return True

    def _mean(self, readout: Readout, mean_error: Array, outputs: Window, noise: Array) -> Readout:
        both = np.concatenate([self.target - mean_error, outputs.figures().mean])
        return averaged(readout, both, np.concatenate([noise, np.tile(self.info.outputs.noise, len(readout.outputs))]))

    def _report(
        self,
        accepted: bool,
        verdict: Verdict,
        ticks: int,
        passed: float,
        readout: Readout,
        error: Array,
        tolerance: Array,
        drift: Array | None = None,
    ) -> HoldReport:
        rails = self._rails()
        rails = np.zeros(len(error), dtype=bool) if rails is None else rails
        if not accepted and len(rails) == len(error):
            rails = rails & ~self._wanted_back(-error)
        return HoldReport(accepted, verdict, ticks, passed, readout, error, tolerance, rails, self.stale_ticks, drift)

    def _usable(self, readout: Readout, error: Array) -> Array:
        """Set the error to 0 where an integrator must stand still: no fresh reading, or a knob on its way."""
        return _masked(error, self._fresh(readout), self._moving(readout))

    def _fresh(self, readout: Readout) -> Array | None:
        """Get which parameters were read anew; None where all were."""
        if self.newest is None:
            self.newest = Freshness(self.info.n_parameters)
        fresh = self.newest.of(readout.t, readout.parameter_ages_s, readout.flags)
        if fresh is not None and not fresh.any():
            self.stale_ticks += 1
        return fresh

    def _moving(self, readout: Readout) -> Array | None:
        """Get which knobs are still on their way to their setpoints; None where none is."""
        if readout.flags is Flag.NONE or not readout.flags & Flag.SLEWING:
            self.before = None
            return None
        now, before = self.device.controls(), self.before
        self.before = now
        moving: Array = np.ones(len(now), dtype=bool) if before is None else now != before
        return moving if moving.any() else None

    def _far(self, error: Array, span_s: float, waited_s: float) -> bool:
        """Tell whether a single reading is so far from the target that a window would not pass: it need not be waited for."""
        noise, reads = self.controller.noise, self.settings.reads
        usual = allowed_error(self.settings, self.controller, self.target, max(1.0, reads / READS_PER_N))
        afar = np.zeros(len(error), dtype=bool)
        self.usual = bounds_of(self.settings, self.controller, usual, noise / np.sqrt(reads), span_s, waited_s, afar)
        return bool((np.abs(error) > np.maximum(self.usual.mean, 0.0) + FAR_NOISE * noise).any())

    def _stuck(self, rails: Array, error: Array, inside: Array) -> bool:
        """Tell whether a knob stands at a limit and is not wanted back: one that a correction threw there too far comes back."""
        return bool((rails & (inside | ~self._wanted_back(error))).any()) if len(rails) == len(error) else True

    def _wanted_back(self, error: Array) -> Array:
        """Tell which of the knobs that stand at a limit would leave it again, bool, shape (controls,)."""
        return np.asarray((error * self.controller.gain < 0) == (self.controller.u >= self.controller.high))

    def _rails(self) -> Array | None:
        """Get which knobs stand at a limit; None where none does."""
        u = self.controller.u
        if not self.controller.bounded:
            return None
        rails: Array = (u <= self.controller.low) | (u >= self.controller.high)
        return rails if rails.any() else None


def _masked(error: Array, fresh: Array | None, moving: Array | None) -> Array:
    if fresh is not None:
        error = np.where(fresh, error, 0.0)
    return error if moving is None else np.where(moving, 0.0, error)


def _without_noise(error: Array, noise: Array) -> Array:
    return np.where(np.abs(error) > NO_NOISE * noise, error, 0.0)
