"""The lines of the conformance suite: one function per promise of the device interface.

Each gets a `Bench` and returns a sentence with numbers, or raises `Broken` or `NotApplicable`. They are independent: each
presents its own inputs and sets its own knobs, so that a broken promise shows in its own line.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aeqlab.backends import wire
from aeqlab.backends.device import Clock, Flag, Grade, Knobs, Readout, capabilities
from aeqlab.backends.errors import ArrayRefusedError, DeviceStateError, LimitError
from aeqlab.protocols.aeqprop import cost
from aeqlab.protocols.conformance import Bench, Broken, NotApplicable
from aeqlab.protocols.settling import lag_of, parameter_noise, rounding

Array = NDArray[Any]


def shapes(bench: Bench) -> str:
    """Readings have the shapes, types and names that `info` promises."""
    info, device = bench.info, bench.device
    bench.device.present(bench.inputs())
    readout = bench.read()
    n, start = info.n_parameters, 0
    for block in info.parameters:
        _demand(block.start == start, f"block {block.name} starts at {block.start}, the blocks before it end at {start}")
        start += block.size
    for what, knobs in (("input", info.inputs), ("control", info.controls)):
        arrays = (knobs.low, knobs.high, knobs.rest, knobs.step, knobs.slew_per_s)
        _demand(all(a.shape == (len(knobs),) for a in arrays), f"a limit or slew of the {what} knobs has a wrong shape")
        _demand(bool((knobs.low <= knobs.high).all()), f"a {what} knob has its limits in the wrong order")
    _demand(len(info.controls) == n, f"{len(info.controls)} control knobs for {n} parameters; one each is needed")
    wanted = (bench.samples, len(info.outputs))
    _same("outputs", readout.outputs.shape, wanted)
    _same("output ages", readout.output_ages_s.shape, wanted[1:])
    _demand(bool(np.isfinite(readout.outputs).all()), "an output is not finite")
    _same("type of the outputs", str(readout.outputs.dtype), info.dtype)
    if readout.parameters is None:
        _demand(bench.exact, "no parameters in the readout, and the device does not hold them itself either")
    else:
        _same("parameters", readout.parameters.shape, (n,))
        ages = readout.parameter_ages_s
        _demand(ages is not None and ages.shape == (n,), "parameters are read without their ages")
        _same("type of the parameters", str(readout.parameters.dtype), info.dtype)
    _same("controls", device.controls().shape, (n,))
    low, high = info.beta
    _demand(low <= 0.0 <= high and high > 0.0, f"beta from {low:g} to {high:g} leaves no nudge")
    return f"{len(info.inputs)} inputs, {n} parameters and knobs, {wanted[1]} outputs, {bench.samples} samples, {info.dtype}"


def bad_arrays_refused(bench: Bench) -> str:
    """Wrong shapes, types and values that are not finite are refused before anything moves."""
    device, info = bench.device, bench.info
    x, y = bench.inputs(), np.zeros((bench.samples, len(info.outputs)), dtype=info.dtype)
    device.present(x)
    bench.read()
    u = device.controls()
    before = _snapshot(bench)
    calls: dict[str, tuple[Callable[[Any], None], Array]] = {
        "present": (device.present, x),
        "set_controls": (device.set_controls, u),
        "nudge": (lambda a: device.nudge(a, 0.0), y),
    }
    refused = 0
    for name, (call, good) in calls.items():
        for kind, bad in _bad_arrays(good):
            try:
                call(bad)
            except ArrayRefusedError:
                refused += 1
            else:
                raise Broken(f"{name} took {kind}")
            _demand(before == _snapshot(bench), f"{name} moved something although it refused {kind}")
    for bad_beta in (np.nan, np.inf):
        try:
            device.nudge(y, bad_beta)
        except ArrayRefusedError:
            refused += 1
        else:
            raise Broken(f"nudge took beta = {bad_beta}")
    return f"{refused} bad arrays refused, nothing moved"


def limits_refused(bench: Bench) -> str:
    """A value outside a limit is refused, never clamped in silence, and nothing moves."""
    device = bench.device
    x = bench.inputs()
    device.present(x)
    bench.read()
    u = device.controls()
    try:
        return _limits_refused(bench, x, u)
    finally:  # a value that was taken must not stay
        device.present(x)
        device.set_controls(u)
        device.release()
        bench.read()


def _limits_refused(bench: Bench, x: Array, u: Array) -> str:
    device, info = bench.device, bench.info
    before, tried = _snapshot(bench), 0
    rows: list[tuple[str, Knobs, Array, Callable[[Array], None]]] = [
        ("input knob", info.inputs, x, device.present),
        ("control knob", info.controls, u, device.set_controls),
    ]
    for what, knobs, good, call in rows:
        for k, beyond in _beyond(knobs):
            bad = good.copy()
            bad[..., k] = beyond
            _refused(lambda call=call, bad=bad: call(bad), f"{what} {knobs.names[k]} took {beyond:g}")  # type: ignore[misc]
            tried += 1
    y = np.zeros((bench.samples, len(info.outputs)), dtype=info.dtype)
    for beta, step in ((info.beta[0], -1.0), (info.beta[1], 1.0)):
        if np.isfinite(beta):
            beyond = beta + step * 0.01 * max(1.0, abs(beta))
            _refused(lambda beyond=beyond: device.nudge(y, beyond), f"beta {beyond:g} was taken, outside {info.beta}")  # type: ignore[misc]
            tried += 1
    _demand(before == _snapshot(bench), "a refused value moved something")
    if not tried:
        raise NotApplicable("this device states no limits")
    return f"{tried} values outside limits refused, nothing moved"


def set_then_read(bench: Bench) -> str:
    """A knob goes where it was set, once time has passed, and says so."""
    device, info = bench.device, bench.info
    device.present(bench.inputs())
    device.release()
    bench.read()
    start = device.controls()
    room = np.where(np.isfinite(info.controls.high - info.controls.low), info.controls.high - info.controls.low, 1.0)
    move = np.minimum(0.02 * room, 0.1) * bench.rng.choice([-1.0, 1.0], len(start))
    wanted = np.clip(start + move, info.controls.low, info.controls.high).astype(info.dtype)
    device.set_controls(wanted)
    _demand(np.array_equal(device.controls(), start), "a knob moved before time passed")
    needed = float(np.max(np.abs(move) / info.controls.slew_per_s, initial=0.0)) + 2.0 * (info.tick_s or 0.0)
    passed = 0.0
    for _ in range(10_000):
        readout = bench.read()
        passed += readout.dt
        if passed >= needed and not readout.flags & Flag.SLEWING:
            break
    off = np.abs(device.controls() - wanted) - 0.51 * info.controls.step - rounding(info, wanted)
    k = int(np.argmax(off))
    _demand(
        off[k] <= 0.0,
        f"knob {info.controls.names[k]} was set to {wanted[k]:.9g} and says {device.controls()[k]:.9g} after {passed:g} s",
    )
    device.set_controls(start)
    bench.read()
    return f"{len(start)} knobs moved by {np.max(np.abs(move)):g} {info.controls.unit}, read back within half a step"


def time_only_in_advance(bench: Bench) -> str:
    """Time passes in `advance` and nowhere else, and at least as much as asked for."""
    device, info = bench.device, bench.info
    x = bench.inputs()
    device.present(x)
    first = bench.read()
    y = np.zeros((bench.samples, len(info.outputs)), dtype=info.dtype)
    truth = _truth(bench)
    u = device.controls()
    for _ in range(20):
        device.present(x)
        device.set_controls(u)
        device.nudge(y, 0.0)
        device.release()
        device.controls()
    if info.clock is Clock.VIRTUAL:
        _demand(np.array_equal(truth, _truth(bench)), "theta moved while no time passed")
    second = bench.read()
    gone = second.t - first.t
    slack = 1e-9 * max(1.0, abs(second.t)) + (0.5 if info.clock is Clock.WALL else 0.0)
    _demand(abs(gone - second.dt) <= slack, f"{gone:g} s passed between two readings, the second says it took {second.dt:g} s")
    seconds = 3.7 * (info.tick_s or max(lag_of(info)[0], 1e-3))
    third = device.advance(seconds)
    _demand(third.dt >= seconds * (1 - 1e-9), f"advance({seconds:g}) let {third.dt:g} s pass")
    return f"100 calls took no time; advance({seconds:.4g}) took {third.dt:.4g} s"


def release_restores(bench: Bench) -> str:
    """With the nudge away the free equilibrium comes back."""
    device = bench.device
    _, nudged, y, beta = _start(bench)
    free, u = nudged.outputs, device.controls()
    device.nudge(y, beta)
    pushed = bench.rest().outputs
    device.release()
    if bench.floats:
        device.set_controls(u)
    back = bench.rest().outputs
    moved, left = float(np.max(np.abs(pushed - free))), float(np.max(np.abs(back - free)))
    room = 0.02 * moved + 2.0 * bench.output_error(4)
    _demand(moved > 2.0 * bench.output_error(4), f"a nudge of {beta:g} moved the outputs by no more than {moved:.3g}")
    _demand(left <= room, f"after the release the outputs are {left:.3g} off, {moved:.3g} were moved, {room:.3g} allowed")
    return f"nudge {beta:g} moved the outputs by {moved:.3g}, after the release {left:.2g} were left{_held_word(bench)}"


def more_nudge_lowers_cost(bench: Bench) -> str:
    """At equilibrium a larger beta never has a larger cost (Lemma 10)."""
    device, info = bench.device, bench.info
    _, _, y, _ = _start(bench)
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
    _demand(worst <= spread, f"the cost rises by {worst:.3g} with the nudge: {text}")
    _demand(costs[0] - costs[-1] > spread, f"the nudge does not act on the cost: {text}")
    return text + _held_word(bench)


def homeostasis_holds(bench: Bench) -> str:
    """Theta is held at its target while the knobs have to move: by ten tolerances at least, between two situations."""
    device, info = bench.device, bench.info
    _start(bench)
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
                raise Broken(f"theta was not held: {_why(free)}")
            device.nudge(free.readout.outputs + np.asarray(sign, dtype=info.dtype), bench.nudges[1])
            report = bench.hold(target)
            if not report.accepted:
                raise Broken(f"theta was not held: {_why(report)}")
            tolerance = tolerance if report.tolerance is None else report.tolerance
            off = np.abs(_held(bench, report) - theta) - 1.5 * tolerance
            _demand(
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
    _demand(best >= 10.0, f"no knob moved by ten tolerances ({best:.3g} at most), so holding was not put to the test")
    return text


def clamp_clamps(bench: Bench) -> str:
    """In the nudged phase u does not move while theta does."""
    device, info = bench.device, bench.info
    _, _, y, beta = _start(bench)
    if bench.exact and not bench.floats:
        report = bench.hold(None)
        _demand(report.accepted, f"theta was not held before the clamp: {_why(report)}")
        before = np.array(device.parameters())  # type: ignore[attr-defined]
        u = device.controls()
        device.hold_exactly(False)  # type: ignore[attr-defined]
        device.nudge(y, beta)
        bench.read()
        after = np.array(device.parameters())  # type: ignore[attr-defined]
        noise = 0.0
    else:
        before = np.array(_theta(bench, bench.mean(8)))
        u = device.controls()
        device.nudge(y, beta)
        bench.rest()
        after = np.array(_theta(bench, bench.mean(8)))
        noise = 6.0 * float(np.max(parameter_noise(info), initial=0.0)) / np.sqrt(8.0)
    leak = np.abs(device.controls() - u) - 0.51 * info.controls.step - rounding(info, u)
    device.release()
    bench.read()
    k = int(np.argmax(leak))
    moved = float(np.max(np.abs(after - before)))
    _demand(leak[k] <= 0.0, f"u of {info.controls.names[k]} moved by {leak[k]:.3g} in the nudged phase")
    enough = noise + 10.0 * float(np.max(rounding(info, before)))
    _demand(moved > enough, f"theta moved by {moved:.3g} at most in the nudged phase, {enough:.3g} can be noise")
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
    _demand(seen >= 10, f"only {seen} of 40 readings were fresh")
    _demand(repeats == 0, f"{repeats} of {seen} readings repeat the one before to the last bit and are served as fresh")
    if last.parameters is None or info.response is None:
        return f"{seen} fresh readings of 40, none a repeat"
    quick, slow = _follows(bench, start, np.sign(room) * np.minimum(0.1, 0.2 * np.maximum(room, 0.0)).astype(info.dtype))
    allowed = 0.5 * slow - 6.0 * float(np.max(parameter_noise(info), initial=0.0))
    _demand(quick >= allowed, f"after dead time and five lags theta shows {quick:.3g} of {slow:.3g}: readings are late")
    return f"{seen} fresh readings of 40, none a repeat; a step shows {quick / slow:.0%} after dead time and five lags"


def freeze_freezes(bench: Bench) -> str:
    """`freeze` takes the nudge off, leaves u where it is, and reading goes on."""
    device, info = bench.device, bench.info
    _, free, y, beta = _start(bench)
    device.nudge(y, beta)
    if not bench.floats:
        device.hold_exactly(True)  # type: ignore[attr-defined]
    pushed = (bench.rest() if bench.floats else bench.read()).outputs
    moved_by_nudge = float(np.max(np.abs(pushed - free.outputs)))
    u = device.controls()
    device.freeze()
    readout = bench.read()
    _demand(bool(readout.flags & Flag.FROZEN), "the readout after a freeze does not say FROZEN")
    _demand(np.isfinite(bench.row(readout)).all(), "a reading after the freeze is not finite")
    frozen_at = device.controls()
    slack = info.controls.slew_per_s * readout.dt if np.isfinite(info.controls.slew_per_s).all() else 0.0
    moved = np.abs(frozen_at - u) - 0.51 * info.controls.step - rounding(info, u) - slack
    _demand(bool((moved <= 0).all()), f"u moved by {np.max(np.abs(frozen_at - u)):.3g} at the freeze")
    if bench.floats:
        settled = bench.rest().outputs
        left = float(np.max(np.abs(settled - free.outputs)))
        room = 0.3 * moved_by_nudge + 2.0 * bench.output_error(4)
        _demand(left <= room, f"after the freeze the outputs stay {left:.3g} off their free values: the nudge is on")
    later = np.abs(device.controls() - frozen_at) - 0.51 * info.controls.step - rounding(info, u)
    _demand(bool((later <= 0).all()), f"a frozen knob went on moving by {np.max(later):.3g}")
    return "FROZEN; nudge off, u stands still, readings go on"


def make_safe_makes_safe(bench: Bench) -> str:
    """`make_safe` brings every knob to rest and says how each was confirmed."""
    device, info = bench.device, bench.info
    _, _, y, beta = _start(bench)
    device.nudge(y, beta)
    bench.read()
    report = device.make_safe()
    _demand(bool(report.lines), "an empty report")
    failed = [line.what for line in report.lines if line.grade is Grade.FAILED]
    _demand(not failed, f"not made safe: {', '.join(failed)}")
    off = np.abs(device.controls() - info.controls.rest) - 1.01 * info.controls.step - rounding(info, info.controls.rest)
    k = int(np.argmax(off))
    _demand(off[k] <= 0.0, f"knob {info.controls.names[k]} stands at {device.controls()[k]:.6g}, not at rest")
    readout = bench.read()
    _demand(bool(readout.flags & Flag.FROZEN), "the readout after make_safe does not say FROZEN")
    grades = [str(line.grade) for line in report.lines]
    return "; ".join(f"{grades.count(g)} {g}" for g in dict.fromkeys(grades)) + (
        ", safe" if report.safe else ", NOT confirmed safe"
    )


def state_restores(bench: Bench) -> str:
    """A state that is put back gives the same future, bit for bit."""
    device, info = bench.device, bench.info
    if "Checkpointable" not in capabilities(device):
        raise NotApplicable("this device cannot be checkpointed")
    _start(bench)
    tree = wire.unpack(wire.pack(device.state()))  # type: ignore[attr-defined]
    if info.clock is Clock.WALL:
        device.restore(tree)  # type: ignore[attr-defined]
        bench.read()
        return "a state was put back; a clock on the wall does not repeat itself, so the future was not compared"
    x, u = bench.inputs(), device.controls()

    def future() -> list[Readout]:
        device.present(x)
        device.set_controls(u)
        return [bench.read() for _ in range(10)]

    first = future()
    device.restore(tree)  # type: ignore[attr-defined]
    again = future()
    for i, (a, b) in enumerate(zip(first, again, strict=True)):
        same = np.array_equal(bench.row(a), bench.row(b)) and a.t == b.t and a.flags == b.flags
        _demand(same, f"reading {i + 1} after restoring differs: t {a.t:.9g} and {b.t:.9g}")
    try:
        device.restore({"kind": "nothing of the kind"})  # type: ignore[attr-defined]
    except Exception as exc:
        _demand(type(exc).__name__ == "DeviceConfigError", f"a damaged state raised {type(exc).__name__}: {exc}")
    else:
        raise Broken("a state of something else was taken")
    return f"10 readings came out the same; the state has {len(wire.pack(tree))} bytes"


def closed_is_closed(bench: Bench) -> str:
    """After `close` every call but another `close` is an error."""
    device, info = bench.device, bench.info
    x, u = bench.inputs(), device.controls()
    y = np.zeros((bench.samples, len(info.outputs)), dtype=info.dtype)
    device.close()
    device.close()
    calls: dict[str, Callable[[], Any]] = {
        "present": lambda: device.present(x),
        "set_controls": lambda: device.set_controls(u),
        "controls": device.controls,
        "nudge": lambda: device.nudge(y, 0.0),
        "release": device.release,
        "advance": device.advance,
        "freeze": device.freeze,
        "make_safe": device.make_safe,
    }
    for name, call in calls.items():
        try:
            call()
        except DeviceStateError:
            continue
        raise Broken(f"{name} worked after close")
    return f"{len(calls)} calls refused after close"


LINES: tuple[tuple[str, Callable[[Bench], str]], ...] = (
    ("shapes", shapes),
    ("bad arrays refused", bad_arrays_refused),
    ("limits refused", limits_refused),
    ("set then read", set_then_read),
    ("time passes only in advance", time_only_in_advance),
    ("release restores the free equilibrium", release_restores),
    ("more nudge never raises the cost", more_nudge_lowers_cost),
    ("homeostasis holds theta", homeostasis_holds),
    ("clamp really clamps", clamp_clamps),
    ("readings are fresh", readings_are_fresh),
    ("freeze", freeze_freezes),
    ("make safe", make_safe_makes_safe),
    ("state restores", state_restores),
    ("use after close is an error", closed_is_closed),
)


# What several lines need ----------------------------------------------------------------------------------------------


def _start(bench: Bench) -> tuple[Array, Readout, Array, float]:
    """Come to rest at a fresh input; returns (inputs, readout, a target half a unit off, a nudge)."""
    x = bench.inputs()
    bench.device.present(x)
    bench.device.release()
    if bench.floats:
        bench.device.set_controls(bench.device.controls())
    readout = bench.rest()
    return x, readout, readout.outputs + np.asarray(0.5, dtype=bench.info.dtype), bench.nudges[1]


def _follows(bench: Bench, u: Array, step: Array) -> tuple[float, float]:
    """Step the knobs; returns the rms movement of theta after dead time and five lags, and when it has come to rest."""
    device, info = bench.device, bench.info
    lag, dead = lag_of(info)
    slew = float(np.max(np.abs(step) / info.controls.slew_per_s, initial=0.0))
    bench.rest()
    before = _theta(bench, bench.mean(4))
    device.set_controls(u + step)
    passed = 0.0
    readout = bench.read()
    for _ in range(100_000):
        passed += readout.dt
        if passed >= dead + 5.0 * lag + slew + (info.tick_s or 0.0) and not readout.flags & (Flag.STALE | Flag.LOST):
            break
        readout = bench.read()
    quick = _theta(bench, readout) - before
    bench.wait(60.0)  # late readings come to rest before they arrive, so this waits much longer than they should take
    slow = _theta(bench, bench.mean(4)) - before
    device.set_controls(u)
    bench.wait(10.0)
    return float(np.sqrt(np.mean(quick**2))), float(np.sqrt(np.mean(slow**2)))


def _held_word(bench: Bench) -> str:
    """Say that a one-shot device was judged with its parameters held, as it declares."""
    return "" if bench.floats else " (one-shot device: with theta held)"


def _theta(bench: Bench, readout: Readout) -> Array:
    if readout.parameters is not None:
        return readout.parameters
    return np.array(bench.device.parameters())  # type: ignore[attr-defined]


def _truth(bench: Bench) -> Array:
    """Get theta as it really is, where that is known."""
    known = "KnowsTruth" in capabilities(bench.device)
    return np.array(bench.device.true_parameters()) if known else np.zeros(0)  # type: ignore[attr-defined]


def _held(bench: Bench, report: Any) -> Array:
    """Get theta after a hold: the truth where it is known, else what the hold says."""
    truth = _truth(bench)
    return truth if len(truth) else np.asarray(_theta(bench, report.readout), dtype=np.float64)


def _measured(readout: Readout) -> float:
    """Get when the newest value of a readout was measured."""
    ages = readout.output_ages_s if readout.parameter_ages_s is None else readout.parameter_ages_s
    return readout.t - float(np.min(ages, initial=np.inf)) if len(ages) else readout.t


def _why(report: Any) -> str:
    k, ratio = report.worst
    where = f", parameter {k} is {ratio:.3g} tolerances off" if k >= 0 else ""
    return f"{report.verdict} after {report.ticks} ticks ({report.duration_s:.3g} s){where}"


def _snapshot(bench: Bench) -> bytes:
    """Get everything that decides the future, where it can be had; else the knobs."""
    if "Checkpointable" in capabilities(bench.device):
        return wire.pack(bench.device.state())  # type: ignore[attr-defined]
    return wire.pack(np.asarray(bench.device.controls()))


def _bad_arrays(good: Array) -> list[tuple[str, Any]]:
    nan, inf = good.copy(), good.copy()
    nan[..., -1] = np.nan
    inf[..., 0] = np.inf
    return [
        ("a value that is not a number", nan),
        ("an infinite value", inf),
        ("one value too many", np.concatenate([good, good[..., :1]], axis=-1)),
        ("one dimension too many", good[None]),
        ("complex numbers", good + 1j),
        ("objects", good.astype(object)),
        ("words", np.full(good.shape, "0")),
        ("nothing", None),
    ]


def _beyond(knobs: Knobs) -> list[tuple[int, float]]:
    """Get for the first and last knob with a limit a value beyond it, on both sides."""
    found = []
    for limit, sign in ((knobs.low, -1.0), (knobs.high, 1.0)):
        limited = np.flatnonzero(np.isfinite(limit))
        for k in dict.fromkeys([*limited[:1], *limited[-1:]]):
            found.append((int(k), float(limit[k] + sign * 1e-3 * max(1.0, abs(float(limit[k]))))))
    return found


def _refused(call: Callable[[], None], otherwise: str) -> None:
    try:
        call()
    except LimitError:
        return
    raise Broken(otherwise)


def _same(what: str, found: Any, wanted: Any) -> None:
    _demand(found == wanted, f"{what}: {found}, promised is {wanted}")


def _demand(kept: bool | np.bool_, otherwise: str) -> None:
    if not kept:
        raise Broken(otherwise)
