"""The lines of the conformance suite: what is refused and what is promised at the border, and the list of all lines.

Each gets a `Bench` and returns a sentence with numbers, or raises `Broken` or `NotApplicable`; see `conformance_physics`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aeqlab.backends import wire
from aeqlab.backends.device import Clock, Flag, Knobs, Readout, capabilities
from aeqlab.backends.errors import ArrayRefusedError, DeviceStateError, LimitError
from aeqlab.backends.imperfections import named
from aeqlab.protocols.conformance_bench import Bench, Broken, NotApplicable, demand, start_at_rest, true_theta
from aeqlab.protocols.conformance_physics import (
    clamp_clamps,
    freeze_drops_what_is_staged,
    freeze_freezes,
    homeostasis_holds,
    make_safe_makes_safe,
    more_nudge_lowers_cost,
    readings_are_fresh,
    release_restores,
)
from aeqlab.protocols.settling import lag_of, rounding

Array = NDArray[Any]


def shapes(bench: Bench) -> str:
    """Readings have the shapes, types and names that `info` promises."""
    info, device = bench.info, bench.device
    bench.device.present(bench.inputs())
    readout = bench.read()
    n, start = info.n_parameters, 0
    for block in info.parameters:
        demand(block.start == start, f"block {block.name} starts at {block.start}, the blocks before it end at {start}")
        start += block.size
    for what, knobs in (("input", info.inputs), ("control", info.controls)):
        arrays = (knobs.low, knobs.high, knobs.rest, knobs.step, knobs.slew_per_s)
        demand(all(a.shape == (len(knobs),) for a in arrays), f"a limit or slew of the {what} knobs has a wrong shape")
        demand(bool((knobs.low <= knobs.high).all()), f"a {what} knob has its limits in the wrong order")
    demand(len(info.controls) == n, f"{len(info.controls)} control knobs for {n} parameters; one each is needed")
    wanted = (bench.samples, len(info.outputs))
    _same("outputs", readout.outputs.shape, wanted)
    _same("output ages", readout.output_ages_s.shape, wanted[1:])
    demand(bool(np.isfinite(readout.outputs).all()), "an output is not finite")
    _same("type of the outputs", str(readout.outputs.dtype), info.dtype)
    if readout.parameters is None:
        demand(bench.exact, "no parameters in the readout, and the device does not hold them itself either")
    else:
        _same("parameters", readout.parameters.shape, (n,))
        ages = readout.parameter_ages_s
        demand(ages is not None and ages.shape == (n,), "parameters are read without their ages")
        _same("type of the parameters", str(readout.parameters.dtype), info.dtype)
    _same("controls", device.controls().shape, (n,))
    low, high = info.beta
    demand(low <= 0.0 <= high and high > 0.0, f"beta from {low:g} to {high:g} leaves no nudge")
    says = "".join(f"; {note}" for note in info.notes)
    return (
        f"{len(info.inputs)} inputs, {n} parameters and knobs, {wanted[1]} outputs, {bench.samples} samples, {info.dtype}{says}"
    )


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
            demand(before == _snapshot(bench), f"{name} moved something although it refused {kind}")
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
    demand(before == _snapshot(bench), "a refused value moved something")
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
    demand(np.array_equal(device.controls(), start), "a knob moved before time passed")
    needed = float(np.max(np.abs(move) / info.controls.slew_per_s, initial=0.0)) + 2.0 * (info.tick_s or 0.0)
    passed = 0.0
    for _ in range(10_000):
        readout = bench.read()
        passed += readout.dt
        if passed >= needed and not readout.flags & Flag.SLEWING:
            break
    off = np.abs(device.controls() - wanted) - 0.51 * info.controls.step - rounding(info, wanted)
    k = int(np.argmax(off))
    wrong = np.flatnonzero(off > 0.0)
    others = f"; it is one of {len(wrong)}: {named(info.controls.names, wrong)}" if len(wrong) > 1 else ""
    demand(
        off[k] <= 0.0,
        f"knob {info.controls.names[k]} was set to {wanted[k]:.9g} and says {device.controls()[k]:.9g} after {passed:g} s"
        + others,
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
    truth = true_theta(bench)
    u = device.controls()
    for _ in range(20):
        device.present(x)
        device.set_controls(u)
        device.nudge(y, 0.0)
        device.release()
        device.controls()
    if info.clock is Clock.VIRTUAL:
        demand(np.array_equal(truth, true_theta(bench)), "theta moved while no time passed")
    second = bench.read()
    gone = second.t - first.t
    slack = 1e-9 * max(1.0, abs(second.t)) + (0.5 if info.clock is Clock.WALL else 0.0)
    demand(abs(gone - second.dt) <= slack, f"{gone:g} s passed between two readings, the second says it took {second.dt:g} s")
    seconds = 3.7 * (info.tick_s or max(lag_of(info)[0], 1e-3))
    third = device.advance(seconds)
    demand(third.dt >= seconds * (1 - 1e-9), f"advance({seconds:g}) let {third.dt:g} s pass")
    return f"100 calls took no time; advance({seconds:.4g}) took {third.dt:.4g} s"


def state_restores(bench: Bench) -> str:
    """A state that is put back gives the same future, bit for bit."""
    device, info = bench.device, bench.info
    if "Checkpointable" not in capabilities(device):
        raise NotApplicable("this device cannot be checkpointed")
    start_at_rest(bench)
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
        demand(same, f"reading {i + 1} after restoring differs: t {a.t:.9g} and {b.t:.9g}")
    try:
        device.restore({"kind": "nothing of the kind"})  # type: ignore[attr-defined]
    except Exception as exc:
        demand(type(exc).__name__ == "DeviceConfigError", f"a damaged state raised {type(exc).__name__}: {exc}")
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
    demand(found == wanted, f"{what}: {found}, promised is {wanted}")


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
    ("freeze drops what is staged", freeze_drops_what_is_staged),
    ("make safe", make_safe_makes_safe),
    ("state restores", state_restores),
    ("use after close is an error", closed_is_closed),
)
