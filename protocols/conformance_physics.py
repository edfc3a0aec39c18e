"""The lines of the conformance suite that are about physics: nudge, cost, homeostasis, clamp, readings, freeze and safe.

Each gets a `Bench` and returns a sentence with numbers, or raises `Broken` or `NotApplicable`. They are independent: each
presents its own inputs and sets its own knobs, so that a broken promise shows in its own line.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aeqlab.backends.device import DeviceInfo, Flag, Grade, Readout
from aeqlab.backends.imperfections import named
from aeqlab.protocols.aeqprop import cost
from aeqlab.protocols.conformance_bench import Bench, Broken, demand, held_word, start_at_rest, theta_of, true_theta
from aeqlab.protocols.reports import HoldReport
from aeqlab.protocols.settling import lag_of, parameter_noise, rounding

Array = NDArray[Any]


def release_restores(bench: Bench) -> str:
    """With the nudge away the free equilibrium comes back."""
    device = bench.device
    _, nudged, y, beta = start_at_rest(bench)
    free, u = nudged.outputs, device.controls()
    device.nudge(y, beta)
    pushed = bench.rest().outputs
    device.release()
    if bench.floats:
        device.set_controls(u)
    back = bench.rest().outputs
    moved, left = float(np.max(np.abs(pushed - free))), float(np.max(np.abs(back - free)))
    room = 0.02 * moved + 2.0 * bench.output_error(4)
    demand(moved > 2.0 * bench.output_error(4), f"a nudge of {beta:g} moved the outputs by no more than {moved:.3g}")
    demand(left <= room, f"after the release the outputs are {left:.3g} off, {moved:.3g} were moved, {room:.3g} allowed")
    return f"nudge {beta:g} moved the outputs by {moved:.3g}, after the release {left:.2g} were left{held_word(bench)}"


def more_nudge_lowers_cost(bench: Bench) -> str:
    """At equilibrium a larger beta never has a larger cost (Lemma 10)."""
    device, info = bench.device, bench.info
    _, _, y, _ = start_at_rest(bench)
    u = device.controls()
    low, high = bench.nudges
    betas = sorted({low, 0.5 * low, 0.0, 0.5 * high, high})
    costs = []
    for beta in betas:
        if bench.floats:
            device.set_controls(u)
        if beta:
            device.nudge(y, beta)
        else:
            device.release()
        costs.append(cost(info, bench.rest().outputs, y))
    device.release()
    spread = float(np.sqrt(2.0 * max(costs))) * bench.output_error(4) * np.sqrt(len(info.outputs))
    text = ", ".join(f"C({b:g}) = {c:.6g}" for b, c in zip(betas, costs, strict=True))
    worst = max(b - a for a, b in pairwise(costs))
    demand(worst <= spread, f"the cost rises by {worst:.3g} with the nudge: {text}")
    demand(costs[0] - costs[-1] > spread, f"the nudge does not act on the cost: {text}")
    return text + held_word(bench)


def homeostasis_holds(bench: Bench) -> str:
    """Theta is held at its target while the knobs have to move: by ten tolerances at least, between two situations."""
    device, info = bench.device, bench.info
    start_at_rest(bench)
    target: Array | None = None  # a device that holds theta itself is told to hold it where it is
    if bench.exact and bench.homeostasis.controller in (None, "ideal"):
        theta = np.array(device.parameters())  # type: ignore[attr-defined]
    else:
        readout = bench.mean(16)
        assert readout.parameters is not None
        target = theta = np.asarray(readout.parameters, dtype=np.float64)
    best, text = 0.0, ""
    for side in (1.0, -1.0, 1.0, -1.0):
        knobs: list[Array] = []
        tolerance = 10.0 * rounding(info, theta)
        for sign in (side, -side):
            device.present(bench.inputs())
            device.release()
            free = bench.hold(target)
            if not free.accepted:
                raise Broken(f"theta was not held: {_why(free, info)}")
            device.nudge(free.readout.outputs + np.asarray(sign, dtype=info.dtype), bench.nudges[1])
            report = bench.hold(target)
            if not report.accepted:
                raise Broken(f"theta was not held: {_why(report, info)}")
            tolerance = tolerance if report.tolerance is None else report.tolerance
            off = np.abs(_held(bench, report) - theta) - 1.5 * tolerance
            demand(
                bool((off <= 0.0).all()),
                f"theta is {np.max(off + 1.5 * tolerance):.3g} off its target and was called held ({report.verdict})",
            )
            knobs.append(np.asarray(device.controls(), dtype=np.float64))
        ratio = np.abs(knobs[0] - knobs[1]) / tolerance
        k = int(np.argmax(ratio))
        if ratio[k] > best:
            best = float(ratio[k])
            text = f"theta held while u of {info.controls.names[k]} moved {best:.3g} tolerances"
    device.release()
    demand(best >= 10.0, f"no knob moved by ten tolerances ({best:.3g} at most), so holding was not put to the test")
    return text


def clamp_clamps(bench: Bench) -> str:
    """In the nudged phase u does not move while theta does."""
    device, info = bench.device, bench.info
    _, _, y, beta = start_at_rest(bench)
    if bench.exact and not bench.floats:
        report = bench.hold(None)
        demand(report.accepted, f"theta was not held before the clamp: {_why(report, info)}")
        before = np.array(device.parameters())  # type: ignore[attr-defined]
        u = device.controls()
        device.hold_exactly(False)  # type: ignore[attr-defined]
        device.nudge(y, beta)
        bench.read()
        after = np.array(device.parameters())  # type: ignore[attr-defined]
        noise = 0.0
    else:
        before = np.array(theta_of(bench, bench.mean(8)))
        u = device.controls()
        device.nudge(y, beta)
        bench.rest()
        after = np.array(theta_of(bench, bench.mean(8)))
        noise = 6.0 * float(np.max(parameter_noise(info), initial=0.0)) / np.sqrt(8.0)
    leak = np.abs(device.controls() - u) - 0.51 * info.controls.step - rounding(info, u)
    device.release()
    bench.read()
    k = int(np.argmax(leak))
    moved = float(np.max(np.abs(after - before)))
    demand(leak[k] <= 0.0, f"u of {info.controls.names[k]} moved by {leak[k]:.3g} in the nudged phase")
    enough = noise + 10.0 * float(np.max(rounding(info, before)))
    demand(moved > enough, f"theta moved by {moved:.3g} at most in the nudged phase, {enough:.3g} can be noise")
    return f"u stood still while theta moved by {moved:.3g}"


def readings_are_fresh(bench: Bench) -> str:
    """A reading is of now, or says how old it is."""
    device, info = bench.device, bench.info
    device.release()
    device.present(bench.inputs())
    if not bench.floats:
        device.hold_exactly(True)  # type: ignore[attr-defined]
    last = bench.read()
    start = device.controls()
    room = np.minimum(info.controls.high - start, start - info.controls.low)
    stride = np.minimum(0.01, 0.02 * np.maximum(room, 0.0)).astype(info.dtype)
    repeats = seen = 0
    measured = _measured(last)
    for i in range(40):
        if last.parameters is not None:
            device.set_controls(start + stride * (1.0 + (i % 20)) * (1.0 if i % 40 < 20 else -1.0))
        else:
            device.present(bench.inputs())
        readout = bench.read()
        claims = _measured(readout) > measured + 1e-9 * max(1.0, abs(readout.t))
        if claims and readout.dt > 0.0 and not readout.flags & (Flag.STALE | Flag.LOST):
            seen += 1
            repeats += np.array_equal(bench.row(readout), bench.row(last))
        last, measured = readout, _measured(readout)
    device.set_controls(start)
    bench.read()
    demand(seen >= 10, f"only {seen} of 40 readings were fresh")
    demand(repeats == 0, f"{repeats} of {seen} readings repeat the one before to the last bit and are served as fresh")
    if last.parameters is None or info.response is None:
        return f"{seen} fresh readings of 40, none a repeat"
    quick, slow = _follows(bench, start, np.sign(room) * np.minimum(0.1, 0.2 * np.maximum(room, 0.0)).astype(info.dtype))
    allowed = 0.5 * slow - 6.0 * float(np.max(parameter_noise(info), initial=0.0))
    demand(quick >= allowed, f"after dead time and five lags theta shows {quick:.3g} of {slow:.3g}: readings are late")
    return f"{seen} fresh readings of 40, none a repeat; a step shows {quick / slow:.0%} after dead time and five lags"


def freeze_freezes(bench: Bench) -> str:
    """`freeze` takes the nudge off, leaves u where it is, and reading goes on."""
    device, info = bench.device, bench.info
    x, free, y, beta = start_at_rest(bench)
    device.nudge(y, beta)
    if not bench.floats:
        device.hold_exactly(True)  # type: ignore[attr-defined]
    pushed = (bench.rest() if bench.floats else bench.read()).outputs
    moved_by_nudge = float(np.max(np.abs(pushed - free.outputs)))
    u = device.controls()
    device.freeze()
    told = device.nudge_applied()
    demand(not told, f"after the freeze the device says that nudge {told} is on")
    readout = bench.read()
    demand(bool(readout.flags & Flag.FROZEN), "the readout after a freeze does not say FROZEN")
    demand(np.isfinite(bench.row(readout)).all(), "a reading after the freeze is not finite")
    frozen_at = device.controls()
    slack = info.controls.slew_per_s * readout.dt if np.isfinite(info.controls.slew_per_s).all() else 0.0
    moved = np.abs(frozen_at - u) - 0.51 * info.controls.step - rounding(info, u) - slack
    demand(bool((moved <= 0).all()), f"u moved by {np.max(np.abs(frozen_at - u)):.3g} at the freeze")
    if bench.floats:
        if info.freeze_rests_inputs:
            device.present(x)
        settled = bench.rest().outputs
        left = float(np.max(np.abs(settled - free.outputs)))
        room = 0.3 * moved_by_nudge + 2.0 * bench.output_error(4)
        demand(left <= room, f"after the freeze the outputs stay {left:.3g} off their free values: the nudge is on")
    later = np.abs(device.controls() - frozen_at) - 0.51 * info.controls.step - rounding(info, u)
    demand(bool((later <= 0).all()), f"a frozen knob went on moving by {np.max(later):.3g}")
    return f"FROZEN; nudge off{'' if told is None else ', as the device says too'}, u stands still, readings go on"


def freeze_drops_what_is_staged(bench: Bench) -> str:
    """What was set and is not applied yet is dropped by `freeze`: frozen is still, whatever was on its way."""
    device, info = bench.device, bench.info
    other, there = bench.steady()
    x, free, y, beta = start_at_rest(bench)
    u = device.controls()
    aside = np.asarray(np.clip(u + 0.2, info.controls.low, info.controls.high), dtype=info.dtype)
    device.present(other)
    device.set_controls(aside)
    device.nudge(y, beta)
    device.freeze()
    bench.read()
    moved = np.abs(device.controls() - u) - 0.51 * info.controls.step - rounding(info, u)
    demand(bool((moved <= 0).all()), f"control knobs that were staged moved by {np.max(moved):.3g} after the freeze")
    if info.freeze_rests_inputs:
        device.present(x)
    outputs = (bench.rest() if bench.floats else bench.read()).outputs
    left, apart = float(np.max(np.abs(outputs - free.outputs))), float(np.max(np.abs(there - free.outputs)))
    room = 0.3 * apart + 2.0 * bench.output_error(4)
    demand(left <= room, f"inputs or a nudge that were staged moved the outputs by {left:.3g} after the freeze")
    return f"inputs, knobs and a nudge were staged: the outputs moved by {left:.2g} of {apart:.3g}"


def make_safe_makes_safe(bench: Bench) -> str:
    """`make_safe` brings every knob to rest and says how each was confirmed."""
    device, info = bench.device, bench.info
    _, _, y, beta = start_at_rest(bench)
    device.nudge(y, beta)
    bench.read()
    report = device.make_safe()
    demand(bool(report.lines), "an empty report")
    failed = [line.what for line in report.lines if line.grade is Grade.FAILED]
    demand(not failed, f"not made safe: {', '.join(failed)}")
    off = np.abs(device.controls() - info.controls.rest) - 1.01 * info.controls.step - rounding(info, info.controls.rest)
    k = int(np.argmax(off))
    demand(off[k] <= 0.0, f"knob {info.controls.names[k]} stands at {device.controls()[k]:.6g}, not at rest")
    readout = bench.read()
    demand(bool(readout.flags & Flag.FROZEN), "the readout after make_safe does not say FROZEN")
    grades = [str(line.grade) for line in report.lines]
    return "; ".join(f"{grades.count(g)} {g}" for g in dict.fromkeys(grades)) + (
        ", safe" if report.safe else ", NOT confirmed safe"
    )


def _follows(bench: Bench, u: Array, step: Array) -> tuple[float, float]:
    """Step the knobs; returns the rms movement of theta after dead time and five lags, and when it has come to rest."""
    device, info = bench.device, bench.info
    lag, dead = lag_of(info)
    slew = float(np.max(np.abs(step) / info.controls.slew_per_s, initial=0.0))
    bench.rest()
    before = theta_of(bench, bench.mean(4))
    device.set_controls(u + step)
    passed = 0.0
    readout = bench.read()
    for _ in range(100_000):
        passed += readout.dt
        if passed >= dead + 5.0 * lag + slew + (info.tick_s or 0.0) and not readout.flags & (Flag.STALE | Flag.LOST):
            break
        readout = bench.read()
    quick = theta_of(bench, readout) - before
    bench.wait(60.0)  # late readings come to rest before they arrive, so this waits much longer than they should take
    slow = theta_of(bench, bench.mean(4)) - before
    device.set_controls(u)
    bench.wait(10.0)
    return float(np.sqrt(np.mean(quick**2))), float(np.sqrt(np.mean(slow**2)))


def _held(bench: Bench, report: Any) -> Array:
    """Get theta after a hold: the truth where it is known, else what the hold says."""
    truth = true_theta(bench)
    return truth if len(truth) else np.asarray(theta_of(bench, report.readout), dtype=np.float64)


def _measured(readout: Readout) -> float:
    """Get when the newest value of a readout was measured."""
    ages = readout.output_ages_s if readout.parameter_ages_s is None else readout.parameter_ages_s
    return readout.t - float(np.min(ages, initial=np.inf)) if len(ages) else readout.t


def _why(report: HoldReport, info: DeviceInfo) -> str:
    """Say how a hold ended, with the knobs that did not bring their parameters to the target."""
    k, ratio = report.worst
    where = ""
    if report.error is not None and report.tolerance is not None and k >= 0:
        ratios = np.abs(report.error) / report.tolerance
        worst_first = np.argsort(-ratios)[: int((ratios > 1.0).sum())]
        names = named(info.controls.names, worst_first)
        where = f", parameter {k} is {ratio:.3g} tolerances off" + (f"; knobs out of tolerance: {names}" if names else "")
    return f"{report.verdict} after {report.ticks} ticks ({report.duration_s:.3g} s){where}"
