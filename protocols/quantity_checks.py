"""Whether what the stages scan, ramp, set and step-response ask for is possible on a device, and allowed.

Called by the check of a file with what its settings tell of the device, and again when the device is open and says it itself.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from aeqlab.protocols.errors import CapabilityError
from aeqlab.protocols.grid import axis_values
from aeqlab.protocols.hold_settings import HomeostasisSettings
from aeqlab.protocols.outline import Described
from aeqlab.protocols.quantities import Kind, Settable, fractional, settable
from aeqlab.protocols.readings import needs, readables
from aeqlab.protocols.setpoint_modes import Mode, mode_of
from aeqlab.protocols.stages.options import StageOptions
from aeqlab.protocols.stages.ramp import RampOptions
from aeqlab.protocols.stages.scan import ScanOptions
from aeqlab.protocols.stages.set import SetOptions
from aeqlab.protocols.stages.step_response import StepResponseOptions

BY_NAME = (ScanOptions, SetOptions, RampOptions, StepResponseOptions)  #: options of the stages that name quantities

Key = tuple[int | str, ...]
FAR = 0.25  #: a knob that is set farther from rest than this share of its range is worth a word


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that does not fit: its key within the stage's options, what, and whether it is only doubtful."""

    key: Key
    message: str
    doubtful: bool = False


@dataclass(frozen=True, slots=True)
class Around:
    """What is around a stage.

    Attributes:
        device: what it says of itself, open or in outline.
        homeostasis: the experiment's.
        samples: training samples; None where they are not known yet, 0 where the experiment has no data.
    """

    device: Described
    homeostasis: HomeostasisSettings
    samples: int | None

    @property
    def inside(self) -> bool:
        """Whether theta stays inside the device, which holds it itself."""
        return "HoldsParameters" in self.device.abilities and self.homeostasis.controller in (None, "ideal")


def sample_of(options: StageOptions) -> int | None:
    """Get the training sample that one of these stages presents; None for none."""
    sample: int | None = getattr(options, "sample", None)
    return sample


def findings(options: StageOptions, around: Around) -> Iterator[Finding]:
    """Find everything in the options of a stage that its device cannot do; nothing for stages of other kinds."""
    match options:
        case ScanOptions():
            yield from _scan(options, around)
        case SetOptions():
            yield from _set(options, around)
        case RampOptions():
            yield from _ramp(options, around)
        case StepResponseOptions():
            yield from _step_response(options, around)


def _scan(options: ScanOptions, around: Around) -> Iterator[Finding]:
    moved: list[Settable] = []
    for i, axis in enumerate(options.over):
        key: Key = ("over", i, "quantity")
        one, problem = _settable(axis.quantity, around, key)
        if one is None:
            assert problem is not None
            yield problem
            continue
        values = axis_values(axis)
        doubtful = [values.min(), values.max(), *(values[fractional(values)][:1] if one.whole else ())]
        refusal = next((why for value in doubtful if (why := one.refusal(float(value)))), "")
        if refusal:
            yield Finding(("over", i, "values") if axis.values is not None else key, refusal)
        twice = next((other.name for other in moved if _overlap(one, other)), None)
        if twice is not None:
            yield Finding(key, f"{one.name} and {twice} move the same {one.kind}. Keep one of them.")
        moved.append(one)
    yield from _together(moved, options.parameters, options.sample, around, back=True)
    mode = mode_of(options.parameters, [one.kind for one in moved])
    yield from _meanwhile(options, mode)
    yield from _reads(options.read, mode, options.sample, around)


def _meanwhile(options: ScanOptions, mode: Mode) -> Iterator[Finding]:
    """Check how a scan waits and averages against what theta does meanwhile."""
    if mode == "homeostasis" and not options.settle:
        message = "homeostasis holds theta as long as a point settles, and without that nothing holds it."
        yield Finding(("settle",), f"{message} Leave settle out, or say parameters: frozen.")
    if mode == "locked" and options.wait_s:
        yield Finding(("wait_s",), "locked asks the equations alone, in which no time passes. Leave it out.")
    if mode == "locked" and options.average > 1:
        yield Finding(("average",), "locked asks the equations alone, which say the same every time. Leave it out.")


def _set(options: SetOptions, around: Around) -> Iterator[Finding]:
    moved: list[Settable] = []
    for name, value in options.quantities.items():
        key: Key = (name,)
        one, problem = _settable(name, around, key)
        if one is None:
            assert problem is not None
            yield problem
            continue
        if refusal := one.refusal(value):
            yield Finding(key, refusal)
        elif far := _far(one, value):
            yield Finding(key, far, doubtful=True)
        if one.kind is Kind.BETA:
            yield Finding(key, "the nudge is off again at the end of this stage, as of every one.", doubtful=True)
        twice = next((other.name for other in moved if _overlap(one, other)), None)
        if twice is not None:
            yield Finding(key, f"{one.name} and {twice} set the same {one.kind}. Keep one of them.")
        moved.append(one)
    yield from _together(moved, None, options.sample, around, back=False)
    mode = mode_of(None, [one.kind for one in moved])
    yield from _reads(options.read, mode, options.sample, around, held=options.wait and mode == "homeostasis")


def _far(one: Settable, value: float) -> str:
    """Say that a knob is set far from where it rests; empty where it is not, or where that cannot be told."""
    span = one.high - one.low
    if (
        not math.isfinite(span)
        or not math.isfinite(one.rest)
        or one.kind is not Kind.CONTROL
        or abs(value - one.rest) <= FAR * span
    ):
        return ""
    unit = "" if one.unit == "1" else f" {one.unit}"
    how = "at once" if math.isinf(one.slew_per_s) else f"at {one.slew_per_s:g}{unit}/s"
    return (
        f"{one.name}: {value:g}{unit} is {abs(value - one.rest) / span:.0%} of its range away from where it rests, and it goes "
        f"there {how}. A ramp goes slower."
    )


def _ramp(options: RampOptions, around: Around) -> Iterator[Finding]:
    one, problem = _settable(options.quantity, around, ("quantity",))
    if one is None:
        assert problem is not None
        yield problem
        return
    if one.whole:
        yield Finding(("quantity",), f"{one.name} is a whole number, which does not go evenly. Set it, or scan over it.")
    for key, value in (("to", options.to), ("from", options.start)):
        if value is not None and (refusal := one.refusal(value)):
            yield Finding((key,), refusal)
    rate = options.rate_per_s
    if rate is None and options.seconds is not None and options.start is not None:
        rate = abs(options.to - options.start) / options.seconds
    if rate is not None and rate > one.slew_per_s * (1 + 1e-9):
        message = (
            f"{one.name} would go {rate:g} {one.unit}/s, and it slews at {one.slew_per_s:g} {one.unit}/s. Give it more time."
        )
        yield Finding(("rate_per_s" if options.rate_per_s is not None else "seconds",), message)
    yield from _together([one], options.parameters, options.sample, around, back=False)
    yield from _reads(options.read, mode_of(options.parameters, [one.kind]), options.sample, around)


def _step_response(options: StepResponseOptions, around: Around) -> Iterator[Finding]:
    key: Key = ("quantity",)
    one, problem = _settable(options.quantity, around, key)
    if one is None:
        assert problem is not None
        yield problem
        return
    if one.kind not in (Kind.CONTROL, Kind.INPUT, Kind.THETA):
        yield Finding(
            key, f"{one.name} is a {one.kind}; what can be stepped is a control knob, an input knob or a target of theta."
        )
        return
    narrowest = int(np.argmin(one.highs - one.lows))
    low, high = float(one.lows[narrowest]), float(one.highs[narrowest])
    if abs(options.size) > (high - low) * (1 + 1e-12):
        unit = "" if one.unit == "1" else f" {one.unit}"
        message = (
            f"a step of {options.size:g}{unit} is longer than {low:g} to {high:g}{unit}, the limits of {one.place(narrowest)}."
        )
        yield Finding(("size",), f"{message} Choose a smaller one.")
    held = one.kind is Kind.THETA
    if held and around.inside:
        message = f"{around.device.info.name} keeps theta inside, where it follows its target at once."
        yield Finding(key, f"{message} Step a control knob, or use homeostasis: {{controller: integral}}.")
    yield from _together([one], None if held else "frozen", options.sample, around, back=True)
    for i, name in enumerate(options.read or ()):
        yield from _read_of_hold(name, i, around) if held else ()
    yield from _reads(options.read or (), "homeostasis" if held else "frozen", options.sample, around)


def _read_of_hold(name: str, i: int, around: Around) -> Iterator[Finding]:
    try:
        found = readables([name], around.device)
    except CapabilityError:  # said elsewhere
        return
    if any(one.what not in ("theta", "u") for one in found):
        yield Finding(("read", i), f"the course of a hold has theta and u alone; {name} is not in it. Leave it out.")


def _settable(name: str, around: Around, key: Key) -> tuple[Settable | None, Finding | None]:
    try:
        return settable(name, around.device), None
    except CapabilityError as exc:
        return None, Finding(key, str(exc))


def _overlap(one: Settable, other: Settable) -> bool:
    if one.kind is not other.kind:
        return False
    if one.kind is Kind.SETTING:
        return one.name == other.name
    if one.index is None or other.index is None:
        return True
    return bool(set(one.index.tolist()) & set(other.index.tolist()))


def _together(
    moved: Sequence[Settable], wish: Mode | None, sample: int | None, around: Around, *, back: bool
) -> Iterator[Finding]:
    """Check what is moved against one another, against what theta does, and the data; `back`: it is put back at the end."""
    kinds, info, abilities = {one.kind for one in moved}, around.device.info, around.device.abilities
    mode = mode_of(wish, list(kinds))
    names = {one.kind: one.name for one in moved}
    if Kind.CONTROL in kinds and Kind.THETA in kinds:
        message = (
            f"{names[Kind.CONTROL]} is a control knob, with which homeostasis holds {names[Kind.THETA]}. Move one of the two."
        )
        yield Finding((), message)
    elif Kind.CONTROL in kinds and mode != "frozen":
        does = "moves the control knobs itself" if mode == "homeostasis" else "leaves the control knobs without effect"
        yield Finding(("parameters",), f"{mode} {does}, so {names[Kind.CONTROL]} cannot be set. Say parameters: frozen.")
    elif Kind.THETA in kinds and mode == "frozen":
        message = f"{names[Kind.THETA]} is a target of homeostasis, and with parameters: frozen nothing holds it."
        yield Finding(("parameters",), f"{message} Leave parameters out.")
    if mode == "locked":
        if "KnowsEnergy" not in abilities:
            message = f"{info.name} does not know its equations, so theta cannot be locked in them."
            yield Finding(("parameters",), f"{message} Say homeostasis or frozen.")
        for kind in (Kind.SETTING, Kind.COUPLING):
            if kind in kinds:
                yield Finding(("parameters",), f"{names[kind]} has no part in the equations. Leave parameters out.")
    writes = "WritableParameters" in abilities
    if back and around.inside and not writes and mode == "frozen":
        message = f"theta of {info.name} would float away under frozen knobs, and cannot be written back."
        yield Finding(("parameters",), f"{message} Say parameters: homeostasis.")
    if around.inside and not writes and Kind.THETA in kinds and mode == "homeostasis":
        message = (
            f"{info.name} keeps its parameters itself and does not let them be written, so {names[Kind.THETA]} cannot be moved."
        )
        yield Finding((), f"{message} Use homeostasis: {{controller: integral}}.")
    if Kind.BETA in kinds and sample is None:
        yield Finding((), "the nudge goes toward the target of a sample, and none is presented. Say which: sample: 0.")
    if sample is not None and around.samples is not None and sample >= around.samples:
        n = around.samples
        message = (
            f"there are {n} training samples, counted from 0." if n else "the experiment has no data. Add data:, or leave it out."
        )
        yield Finding(("sample",), message)


def _reads(names: Sequence[str], mode: Mode, sample: int | None, around: Around, held: bool | None = None) -> Iterator[Finding]:
    held = mode == "homeostasis" if held is None else held
    for i, name in enumerate(names):
        try:
            found = readables([name], around.device)
        except CapabilityError as exc:
            yield Finding(("read", i), str(exc))
            continue
        if mode == "locked" and any(one.what in ("u", "held", "hold_error") for one in found):
            yield Finding(("read", i), f"{name} has no part in the equations. Leave it out, or parameters: locked.")
        lacking = next((why for one in found if (why := needs(one, sample=sample is not None, held=held))), "")
        if lacking:
            yield Finding(("read", i), lacking)
    try:
        readables(names, around.device)
    except CapabilityError as exc:
        if not any(_fails(name, around.device) for name in names):
            yield Finding(("read",), str(exc))


def _fails(name: str, device: Described) -> bool:
    try:
        readables([name], device)
    except CapabilityError:
        return True
    return False
