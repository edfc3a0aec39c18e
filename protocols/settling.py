"""Settling: the window test under noise, and the loop that waits with clamped knobs until a phase has come to rest.

Settled means a window: every fresh reading in it counts, none is from before it began, and its mean, its slope and its
spread are judged against what is asked for and against the read noise that is known.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from aeqlab.backends.device import Device, DeviceInfo, Flag, HoldsParameters, Readout
from aeqlab.backends.errors import DivergedError
from aeqlab.protocols.hold_settings import Accept, SettlingSettings, Ticks
from aeqlab.protocols.jumps import ReadingJumps
from aeqlab.protocols.reports import SettleReport, Verdict

__all__ = ["Accept", "SettlingSettings", "Ticks", "settle"]

Array = NDArray[Any]
Interrupt = Callable[[], None]
#: Called with time (s), error of theta and u (or None); the arrays are its own to keep.
Trace = Callable[[float, Array | None, Array | None], None]

#: A device that chooses its ticks (section 5.1) passes no time where its steps are refused, which they are when it has come to
#: rest to the last bit. So that waiting ends there too, each of its ticks counts for at least this share of a lag. And its state
#: moves by ticks and not by time, so a window has at least this many.
LEAST_TICK = 0.1
LEAST_READS = 10
#: A slope is noise as long as it is below this many of its own standard deviations.
SLOPE_SIGMAS = 4.0
#: A spread is noise as long as it is below what this many standard deviations stand for.
SPREAD_SIGMAS = 4.0
#: Mean square of the slope of a random walk over a window, times span / q.
WALK = 1.2
#: What comes to rest changes from one reading to the next by less than this share of what it moved until then.
STEP_SHARE = 0.1
#: So many equal readings of a noisy channel are no chance any more.
DEAD_READS = 3
#: With a noise of 3 steps of its resolution three equal readings in a row come once in a hundred windows; beyond ten, never.
COARSE = 10.0


class Freshness:
    """Which values of a row of readouts are new: measured later than the newest one seen before."""

    def __init__(self, n: int) -> None:
        self._newest = np.full(n, -np.inf)

    def of(self, t: float, ages: Array | None, flags: Flag) -> Array | None:
        """Get a mask of what is new, shape (n,); None where everything is, as told by flags and ages alike."""
        if ages is None or (not ages.any() and (flags is Flag.NONE or not flags & (Flag.STALE | Flag.LOST))):
            return None
        measured = t - ages
        fresh: Array = measured > self._newest + 1e-9 * (1.0 + abs(t))
        if fresh.all():
            self._newest = measured
            return None
        self._newest = np.maximum(self._newest, measured)
        return fresh


class Figures(NamedTuple):
    """What a window of readings says of each channel; arrays of shape (channels,)."""

    reads: Array  #: fresh readings
    mean: Array
    slope: Array  #: change per second, least squares
    spread: Array  #: standard deviation about that line
    lever_s: Array  #: root of the sum of squared distances in time; the slope's standard deviation is noise / lever


class Window:
    """The readings since a window began: rows of channels with their times, and which of them were fresh."""

    def __init__(self) -> None:
        self.t: list[float] = []
        self.rows: list[Array] = []
        self.masks: list[Array | None] = []

    def add(self, t: float, row: Array, fresh: Array | None) -> None:
        """Take in one reading; `fresh` is None where every channel is."""
        self.t.append(t)
        self.rows.append(row)
        self.masks.append(fresh)

    def clear(self) -> None:
        """Begin anew."""
        self.t, self.rows, self.masks = [], [], []

    def drop(self, n: int) -> None:
        """Forget the n oldest readings."""
        del self.t[:n], self.rows[:n], self.masks[:n]

    def full(self, span_s: float, reads: int) -> bool:
        """Tell whether it is long enough and every channel was read often enough."""
        if len(self.t) < reads or self.t[-1] - self.t[0] < span_s * (1.0 - 1e-9):
            return False
        if all(mask is None for mask in self.masks):
            return True
        return bool((self._weights().sum(axis=0) >= reads).all())

    def figures(self) -> Figures:
        """Compute what it says of each channel."""
        x = np.array(self.rows, dtype=np.float64)
        w = self._weights()
        t = np.array(self.t)[:, None]
        count = w.sum(axis=0)
        mean_t = (w * t).sum(axis=0) / count
        mean = (w * x).sum(axis=0) / count
        dt, dx = t - mean_t, x - mean
        lever = (w * dt * dt).sum(axis=0)
        slope = np.divide((w * dt * dx).sum(axis=0), lever, out=np.zeros_like(mean), where=lever > 0)
        residual = dx - slope * dt
        spread = np.sqrt((w * residual * residual).sum(axis=0) / np.maximum(count - 2.0, 1.0))
        return Figures(count, mean, slope, spread, np.sqrt(lever))

    def _weights(self) -> Array:
        ones = np.ones_like(self.rows[0], dtype=np.float64)
        return np.array([ones if mask is None else mask for mask in self.masks], dtype=np.float64)


def still(figures: Figures, span_s: float, noise: Array, tolerance: Array, walk: Array | float = 0.0) -> Array:
    """Tell which channels stand still: no slope and no spread beyond the tolerance that noise and drift do not explain.

    Args:
        figures: what the window says of the channels.
        span_s: how long it is.
        noise: read noise of every channel, in its unit.
        tolerance: how far a channel may go over the window, and spread by.
        walk: rate of its random walk, in its unit squared per second: a window of span T has a slope whose square is 1.2 walk / T
            by it on average, and n readings have a variance about that line of walk T (1 + 4 / n) / 15, as wide as of
            5 readings of noise or fewer.
    """
    slope2 = np.divide(noise, figures.lever_s, out=np.zeros_like(noise), where=figures.lever_s > 0) ** 2
    level = np.abs(figures.slope) <= np.maximum(tolerance / span_s, SLOPE_SIGMAS * np.sqrt(slope2 + WALK * walk / span_s))
    free = np.maximum(figures.reads - 2.0, 1.0)
    wanders = walk * span_s * (1.0 + 4.0 / figures.reads) / 15.0
    most = np.sqrt(noise**2 * _most_of_chi2(free) + wanders * _most_of_chi2(np.minimum(free, 3.0)))
    return np.asarray(level & (figures.spread <= most + 0.5 * tolerance))


def _most_of_chi2(free: Array) -> Array:
    """Get what chi squared over its degrees of freedom hardly exceeds by chance, after Wilson and Hilferty."""
    part = 2.0 / (9.0 * free)
    return np.asarray((1.0 - part + SPREAD_SIGMAS * np.sqrt(part)) ** 3)


def dead_reading(window: Window, noise: Array, step: Array | float = 0.0) -> bool:
    """Tell whether a channel repeats to the last bit though it is known to be noisy: a stale reading served as fresh.

    Where its noise does not reach some steps of its resolution repeats are nothing special. One stuck channel among live ones is
    enough; at least DEAD_READS fresh readings of it are looked at.
    """
    noisy = noise > COARSE * step
    if not noisy.any() or len(window.rows) < DEAD_READS:
        return False
    x, fresh = np.array(window.rows), window._weights() > 0
    same = np.where(fresh, x, -np.inf).max(axis=0) == np.where(fresh, x, np.inf).min(axis=0)
    return bool((noisy & same & (fresh.sum(axis=0) >= DEAD_READS)).any())


def lag_of(info: DeviceInfo) -> tuple[float, float]:
    """Get the slowest lag and dead time, in seconds; a lag of 0 where the response is not known (then readings are counted)."""
    if info.response is None:
        return 0.0, 0.0
    return float(np.max(info.response.lag_s, initial=0.0)), float(np.max(info.response.dead_time_s, initial=0.0))


def still_outputs(window: Window, first: Array, info: DeviceInfo, share: float, walk: Array | float = 0.0) -> bool:
    """Tell whether outputs stand still: over the window they move by less than a share of what they moved since `first`."""
    figures = window.figures()
    noise = np.tile(info.outputs.noise, len(figures.mean) // max(len(info.outputs), 1))
    allowed = np.maximum(share * np.abs(figures.mean - first), rounding(info, figures.mean))
    return bool(still(figures, max(window.t[-1] - window.t[0], 1e-300), noise, allowed, walk).all())


def parameter_step(info: DeviceInfo) -> Array:
    """Get the resolution of the reading of every parameter, shape (parameters,)."""
    step = np.zeros(info.n_parameters)
    for block in info.parameters:
        step[block.slice] = block.step
    return step


def declared_tolerance(info: DeviceInfo) -> Array | None:
    """Get the tolerance that the device declares for each parameter, shape (parameters,), nan for none; None if for none."""
    if all(block.tolerance is None for block in info.parameters):
        return None
    declared = np.full(info.n_parameters, np.nan)
    for block in info.parameters:
        if block.tolerance is not None:
            declared[block.slice] = block.tolerance
    return declared


def parameter_noise(info: DeviceInfo) -> Array:
    """Get the read noise of every parameter, shape (parameters,)."""
    noise = np.zeros(info.n_parameters)
    for block in info.parameters:
        noise[block.slice] = block.noise
    return noise


def block_rms(blocks: Sequence[slice], values: Array) -> Array:
    """Compute the root mean square of each block of parameters, repeated for each of them, shape (parameters,)."""
    out = np.empty(len(values))
    for block in blocks:
        part = values[block]
        out[block] = math.sqrt(float(part @ part) / max(len(part), 1))
    return out


def rounding(info: DeviceInfo, values: Array) -> Array:
    """Get what the device's float type cannot resolve at these values, with room for a few operations."""
    return np.asarray((1e-9 if info.dtype == "float64" else 1e-5) * (1.0 + np.abs(values)))


def holds_parameters(device: Device) -> bool:
    """Tell whether a device holds theta itself; remembered per class, since it is asked in every phase."""
    kind = type(device)
    if kind not in _HOLDS:
        _HOLDS[kind] = isinstance(device, HoldsParameters)
    return _HOLDS[kind]


_HOLDS: dict[type, bool] = {}


def thinned(trace: Trace, keep: int = 256) -> Trace:
    """Thin a trace: every tick at first, every second after `keep` of them, every fourth after as many again, and so on."""
    seen, stride, kept = 0, 1, 0

    def take(t: float, error: Array | None, u: Array | None) -> None:
        nonlocal seen, stride, kept
        if seen % stride == 0:
            trace(t, error, u)
            kept += 1
            if kept == keep:
                stride, kept = stride * 2, 0
        seen += 1

    return take


def settle(
    device: Device,
    settings: SettlingSettings,
    *,
    interrupt: Interrupt | None = None,
    trace: Trace | None = None,
    walk: Array | None = None,
) -> SettleReport:
    """Let state and parameters come to rest with the knobs where they are.

    Args:
        device: what to wait for; a device that holds its parameters lets go of them first.
        settings: when it counts as at rest.
        interrupt: called before every tick; raises to leave.
        trace: gets time, movement of theta since the phase began and None, thinned.
        walk: how far theta and outputs are known to wander by themselves, shape (parameters + outputs,), in their units squared
            per second: that is no movement that could settle.
    Returns:
        How it ended. After the window test the readout is the window's mean where read noise is known.
    Raises:
        DivergedError: a reading is not a finite number.
    """
    if holds_parameters(device):
        device.hold_exactly(False)  # type: ignore[attr-defined]
    return rest(device, settings, interrupt, thinned(trace) if trace is not None else None, walk)


def rest(
    device: Device, settings: SettlingSettings, interrupt: Interrupt | None, trace: Trace | None, walk: Array | None = None
) -> SettleReport:
    """Wait until everything that is read stands still, or for the ticks that are asked for. As `settle`."""
    info = device.info
    if info.settles_at_once:
        if interrupt is not None:
            interrupt()
        readout = device.advance()
        verdict = Verdict.TICKS if readout.flags & Flag.UNSETTLED else Verdict.EXACT
        return SettleReport(True, verdict, 1, readout.dt, readout)
    if isinstance(settings.accept, Ticks):
        return _ticks(device, settings.accept.ticks, interrupt, trace)
    return _settled(device, info, settings, interrupt, trace, walk)


def _ticks(device: Device, ticks: int, interrupt: Interrupt | None, trace: Trace | None) -> SettleReport:
    advance = device.advance
    passed = 0.0
    first: Array | None = None
    for _ in range(ticks):
        if interrupt is not None:
            interrupt()
        readout = advance()
        passed += readout.dt
        if trace is not None and readout.parameters is not None:
            first = readout.parameters if first is None else first
            trace(readout.t, readout.parameters - first, None)
    return SettleReport(True, Verdict.TICKS, ticks, passed, readout)


def _settled(
    device: Device,
    info: DeviceInfo,
    settings: SettlingSettings,
    interrupt: Interrupt | None,
    trace: Trace | None,
    walk: Array | None,
) -> SettleReport:
    lag, dead = lag_of(info)
    reads = settings.reads if lag and info.tick_s is not None else max(settings.reads, LEAST_READS)
    span, wait, limit = settings.window * lag, dead + 4.0 * lag, settings.timeout * (lag + dead)
    n = info.n_parameters
    noise: Array | None = None
    first: Array | None = None
    window, newest, newest_out = Window(), Freshness(n), Freshness(len(info.outputs))
    pace = LEAST_TICK * lag if info.tick_s is None else 0.0
    last_fresh = passed = took = 0.0
    verdict, jumped = Verdict.TIMEOUT, ""
    jumps: ReadingJumps | None = None
    before = np.zeros(0)  # how far they had moved by the reading before
    ticks = 0
    while ticks < settings.max_ticks:
        if interrupt is not None:
            interrupt()
        readout = device.advance()
        ticks += 1
        took += readout.dt
        if readout.flags & Flag.AWAY:  # it comes back, and spoils this phase by that, or it is lost
            last_fresh = passed
            continue
        passed += max(readout.dt, pace)
        outputs, theta = readout.outputs, readout.parameters
        row = outputs.ravel() if theta is None else np.concatenate([theta, outputs.ravel()])
        if noise is None or first is None:
            out_noise = np.tile(info.outputs.noise, len(outputs))
            out_step = np.tile(info.outputs.step, len(outputs))
            noise = out_noise if theta is None else np.concatenate([parameter_noise(info), out_noise])
            step = out_step if theta is None else np.concatenate([parameter_step(info), out_step])
            first, before = row, np.zeros(len(row))
            jumps = ReadingJumps(noise, step) if info.tick_s is not None else None
            drift = walk if walk is not None and len(walk) == len(row) else 0.0
        if not np.isfinite(row).all():
            raise DivergedError(f"{info.name}: a reading is not a finite number")
        if trace is not None and theta is not None:
            trace(readout.t, theta - first[:n], None)
        if readout.dt > 0.0 or pace:
            fresh = _both(newest, newest_out, readout)
            if fresh is None or fresh.all():
                last_fresh = passed
            elif not fresh.any():
                if passed - last_fresh > wait + span + 10.0 * readout.dt:
                    verdict = Verdict.STALE
                    break
                continue
            if jumps is not None:
                k = jumps.see(row, fresh, STEP_SHARE * before + rounding(info, row), judge=passed >= wait)
                if k is not None or readout.flags & Flag.JUMPED:
                    verdict, jumped = Verdict.JUMPED, what_jumped(info, k, n if theta is not None else 0)
                    break
                before = _sizes(info, np.abs(row - first), n if theta is not None else 0)
            if passed >= wait and ticks > 1:
                window.add(passed, row, fresh)
                if window.full(span, reads):
                    figures = window.figures()
                    if dead_reading(window, noise, step):
                        verdict = Verdict.STALE
                        break
                    moved = _sizes(info, np.abs(figures.mean - first), n if theta is not None else 0)
                    allowed = np.maximum(settings.tolerance * moved, rounding(info, figures.mean))
                    if still(figures, max(window.t[-1] - window.t[0], 1e-300), noise, allowed, drift).all():
                        mean = averaged(readout, figures.mean, noise)
                        if info.tick_s is not None and readout.flags & Flag.SATURATED:  # it was not the nudge that was told
                            return SettleReport(False, Verdict.SATURATED, ticks, took, mean)
                        return SettleReport(True, Verdict.SETTLED, ticks, took, mean)
                    window.drop(max(1, len(window.t) // 3))
        if limit and passed > limit:
            break
    return SettleReport(False, verdict, ticks, took, readout, jumped)


def what_jumped(info: DeviceInfo, k: int | None, n: int) -> str:
    """Say which channel of a row of n parameters and then outputs jumped; None: the device knows."""
    if k is None:
        return "a reading changed by more within a tick than the device says it can"
    if k < n:
        return f"parameter {k} changed at once while nothing moved it"
    return f"output {info.outputs.names[(k - n) % len(info.outputs)]} changed at once while nothing moved it"


def _sizes(info: DeviceInfo, moved: Array, n: int) -> Array:
    """Get how far a row of n parameters and then outputs moved; each parameter as its block did."""
    if n:
        moved[:n] = block_rms([block.slice for block in info.parameters], moved[:n])
    return moved


def averaged(readout: Readout, mean: Array, noise: Array) -> Readout:
    """Put the window's mean into a readout, channel by channel, where there is noise to average away."""
    theta = readout.parameters
    n = 0 if theta is None else len(theta)
    outputs = np.where(noise[n:] > 0, mean[n:], readout.outputs.ravel()).reshape(readout.outputs.shape)
    if theta is not None:
        theta = np.where(noise[:n] > 0, mean[:n], theta)
    return readout._replace(outputs=outputs, parameters=theta)


def _both(newest: Freshness, newest_out: Freshness, readout: Readout) -> Array | None:
    """Get which values of a row of theta and outputs are new; None where all are."""
    outputs = newest_out.of(readout.t, readout.output_ages_s, readout.flags)
    theta = None if readout.parameters is None else newest.of(readout.t, readout.parameter_ages_s, readout.flags)
    if outputs is None and theta is None:
        return None
    samples = len(readout.outputs)
    right = np.ones(readout.outputs.size, dtype=bool) if outputs is None else np.tile(outputs, samples)
    if readout.parameters is None:
        return right
    left = np.ones(len(readout.parameters), dtype=bool) if theta is None else theta
    return np.concatenate([left, right])
