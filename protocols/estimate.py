"""How long an experiment will take and how much disk it will fill: roughly, by the speed of this computer.

The speed is found by timing two small numpy operations, a few milliseconds in all; how many of them a tick or a step costs was
measured once. A device on the wall clock takes the time its phases take.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from aeqlab.backends.errors import DeviceConfigError
from aeqlab.backends.identification import newest
from aeqlab.backends.rig_settings import RigSettings
from aeqlab.backends.settings import Dimensions
from aeqlab.protocols.data import DataWidths
from aeqlab.protocols.experiment import Experiment
from aeqlab.protocols.grid import length
from aeqlab.protocols.hold_settings import HomeostasisSettings, SettlingSettings, Ticks
from aeqlab.protocols.outline import ABILITIES
from aeqlab.protocols.stages.ask import AskOptions
from aeqlab.protocols.stages.call import CallOptions
from aeqlab.protocols.stages.compare import CompareOptions
from aeqlab.protocols.stages.entry import StageEntry
from aeqlab.protocols.stages.evaluate import EvaluateOptions
from aeqlab.protocols.stages.hold import HoldOptions
from aeqlab.protocols.stages.infer import InferOptions
from aeqlab.protocols.stages.options import Every
from aeqlab.protocols.stages.ramp import RampOptions
from aeqlab.protocols.stages.repeat import RepeatOptions
from aeqlab.protocols.stages.scan import ScanOptions
from aeqlab.protocols.stages.set import SetOptions
from aeqlab.protocols.stages.step_response import StepResponseOptions
from aeqlab.protocols.stages.train_options import AEQPROP_METHODS, TrainOptions

TICK_IN_ADDITIONS = 30.0  #: one tick of section 5.1, and the session around it, in additions of 21 numbers
LAYERED = 4.5  #: so many times that for the energy `hopfield`, whose layers are computed one after the other
SLOW_TICK_IN_ADDITIONS = 500.0  #: one exchange with a slow device through its session
RIG_TICK_IN_ADDITIONS = 15_000.0  #: one exchange with a rig on a bench in lockstep: its messages, and the bench's computing
ENGINE_STEP_IN_ADDITIONS = 8000.0  #: one step of the Hopfield engine on a network so small that calling torch is all there is
PASSES = 80.0  #: one step of the Hopfield engine on 32 samples, in additions to all its parameters
SETTLED_LAGS = 8.0  #: a hold or settle that is accepted when settled, in lags
SETTLED_TICKS = 60  #: the same on a device in virtual time without ticks of its own
BUDGET_S = 60.0  #: time an evaluation may take on the wall clock, unless it says otherwise
STEP_BYTES = 250  #: one row of the record without theta
POINT_BYTES = 120  #: one row of a scan without its numbers
LARGE = 4096  #: above so many parameters a row holds no theta
SURE = (0.5, 3.0)  #: how wrong the estimate may be


@dataclass(frozen=True, slots=True)
class Work:
    """What the sequence asks for: training steps, phases in them, and presentations in evaluations."""

    steps: float = 0
    holds: float = 0
    settles: float = 0
    evaluations: float = 0
    seconds: float = 0  #: of the device, asked for by `hold`, `ramp` and `step-response`
    ticks: float = 0  #: beside those of the phases
    points: float = 0  #: rows of scans
    numbers: float = 0  #: in those rows

    def __add__(self, other: Work) -> Work:
        return Work(*(getattr(self, name) + getattr(other, name) for name in Work.__slots__))

    def __mul__(self, times: float) -> Work:
        return Work(*(getattr(self, name) * times for name in Work.__slots__))


@dataclass(frozen=True, slots=True)
class Estimate:
    """A rough estimate.

    Attributes:
        steps: training steps.
        points: points of scans, ramps and step responses.
        seconds: shortest and longest likely time; None where it cannot be told.
        disk_bytes: size of the run folder at the end.
    """

    steps: int
    seconds: tuple[float, float] | None
    disk_bytes: int
    points: int = 0


def estimate(experiment: Experiment, dimensions: Dimensions | None, widths: DataWidths | None) -> Estimate | None:
    """Estimate time and disk; None where only the user's code or the data tell how much there is to do."""
    if dimensions is None:
        return None
    if widths is None and experiment.data is not None:
        return None
    work = _work(experiment.sequence, experiment, dimensions, widths)
    if work is None:
        return None
    seconds = _seconds(experiment, dimensions, work)
    theta = 8 * dimensions.parameters
    row = STEP_BYTES + (theta if dimensions.parameters <= LARGE else 0)
    disk = work.steps * row + work.points * POINT_BYTES + 8 * work.numbers + 4 * theta + 100_000
    return Estimate(
        steps=math.ceil(work.steps),
        seconds=None if seconds is None else (seconds * SURE[0], seconds * SURE[1]),
        disk_bytes=math.ceil(disk),
        points=math.ceil(work.points),
    )


def _work(sequence: list[StageEntry], experiment: Experiment, dimensions: Dimensions, widths: DataWidths | None) -> Work | None:
    total = Work()
    for entry in sequence:
        if entry.off:
            continue
        match entry.options:
            case TrainOptions() as options:
                part = _training(options, experiment, dimensions, widths)
            case EvaluateOptions() as options:
                part = _evaluation(options, experiment, dimensions, widths)
            case InferOptions() as options:
                part = _inference(options, dimensions, widths)
            case HoldOptions() as options:
                part = Work(seconds=options.seconds)
            case RepeatOptions() as options:
                inner = _work(options.sequence, experiment, dimensions, widths)
                part = None if inner is None or options.until is not None else inner * options.bound
            case ScanOptions() | SetOptions() | RampOptions() | StepResponseOptions() as options:
                part = _points(options, experiment, dimensions)
            case CompareOptions() as options:
                part = _comparison(options, experiment, dimensions, widths)
            case CallOptions() | AskOptions():
                part = None  # only the user's code, or a person, knows
            case _:
                part = Work()
        if part is None:
            return None
        total += part
    return total


def _training(options: TrainOptions, experiment: Experiment, dimensions: Dimensions, widths: DataWidths | None) -> Work | None:
    batch = options.batch or dimensions.samples or 1
    per_epoch = None if widths is None or widths.train_samples is None else widths.train_samples // batch
    if options.samples is not None:
        steps: float = math.ceil(options.samples / batch)
    elif per_epoch is not None:
        steps = (options.epochs or 1) * per_epoch
    else:
        return None
    holds = _holds(options, dimensions, _free_share(options, experiment))
    work = Work(steps, steps * holds, steps if options.method in AEQPROP_METHODS else 0.0)
    every = options.evaluate_every
    if every is not None:
        between = every.samples / batch if every.samples else (every.epochs or 1) * (per_epoch or math.inf)
        one = _evaluation(EvaluateOptions(), experiment, dimensions, widths)
        work = work if one is None else work + one * (steps // between)
    return work


def _free_share(options: TrainOptions, experiment: Experiment) -> float:
    """Get in which share of the steps the cost is read in a phase of its own, by the methods that have none at beta = 0."""
    wish = options.free_phase
    if isinstance(wish, Every):
        return 1.0 / wish.every
    if wish is None:
        return 0.1 if getattr(experiment.device, "clock", "virtual") == "wall" else 1.0
    return float(wish)


def _holds(options: TrainOptions, dimensions: Dimensions, free: float) -> float:
    """Get how many holds a step takes, with a free phase in so many of the steps."""
    match options.method:
        case "optimistic" | "sgd" | "autodiff":
            return 1.0
        case "coupled":
            return 2.0
        case "eqprop":
            return 2.0 + (free if options.variant == "centered" else 0.0)
        case "spsa":
            return 2.0 + free
        case "finite-difference":
            return 2.0 * dimensions.parameters + free
        case _:
            return 1.0 + free


def _points(
    options: ScanOptions | SetOptions | RampOptions | StepResponseOptions, experiment: Experiment, dimensions: Dimensions
) -> Work:
    """Count points, phases and readings of a stage that sets and reads by name."""
    device = experiment.device
    tick = float(getattr(device, "tick_s", None) or 1.0)
    whole = {"theta": dimensions.parameters, "u": dimensions.parameters, "s": dimensions.outputs}
    reads = sum(whole.get(name, 1) for name in options.read or ("s",))
    match options:
        case ScanOptions():
            points: float = math.prod(length(axis) for axis in options.over)
            more = points * options.average if options.average > 1 else 0
            by_hold = more if _held_by_a_loop(options, experiment) else 0
            seconds, numbers = points * options.wait_s, points * 2 * (reads + len(options.over))
            return Work(holds=points + 1 + by_hold, seconds=seconds, ticks=more - by_hold, points=points, numbers=numbers)
        case SetOptions():
            return Work(holds=1, points=1, numbers=2 * (reads + len(options.quantities)))
        case RampOptions():
            seconds = options.seconds or abs(options.to - (options.start or 0.0)) / (options.rate_per_s or 1.0)
            points = min(seconds / tick, seconds / options.every_s if options.every_s else 100.0)
        case StepResponseOptions():
            lag = float(getattr(device, "tau_theta_s", 0.8)) + float(getattr(device, "dead_time_s", 0.0))
            seconds = 2 * options.repeats * (options.seconds or 10.0 * lag)
            points = seconds / tick
    return Work(holds=1, seconds=seconds, points=points, numbers=points * 2 * (reads + 1))


def _held_by_a_loop(options: ScanOptions, experiment: Experiment) -> bool:
    """Tell whether every reading of a scan is the end of a hold; control knobs are called u by every device of ours."""
    by_hand = any(axis.quantity.strip().startswith("u") for axis in options.over)
    holds = "HoldsParameters" in ABILITIES.get(experiment.device.kind, frozenset())
    inside = holds and experiment.homeostasis.controller in (None, "ideal")
    return not inside and (options.parameters or ("frozen" if by_hand else "homeostasis")) == "homeostasis"


def _comparison(
    options: CompareOptions, experiment: Experiment, dimensions: Dimensions, widths: DataWidths | None
) -> Work | None:
    """Count the samples that are asked for; None where only readouts or time bound them."""
    total = Work()
    for one in options.methods.values():
        samples = one.samples or options.samples
        if samples is None:
            return None
        free = False if one.free_phase is None else one.free_phase
        part = _training(one.model_copy(update={"samples": samples, "free_phase": free}), experiment, dimensions, widths)
        if part is None:
            return None
        total += part
        each = _evaluation(options.evaluate, experiment, dimensions, widths)
        if each is not None and options.evaluate.parameters != "locked":
            total += each * (samples / options.evaluate_every + 20)
    return total * options.seeds


def _evaluation(
    options: EvaluateOptions, experiment: Experiment, dimensions: Dimensions, widths: DataWidths | None
) -> Work | None:
    if widths is None:
        return None
    there = widths.train_samples if options.on == "train" else widths.test_samples
    asked = options.samples if isinstance(options.samples, int) else None
    if there is None and asked is None:
        return None
    presentations = min(n for n in (there, asked) if n is not None) / (dimensions.samples or 500)
    device = experiment.device
    if getattr(device, "clock", "virtual") == "wall" and options.samples is None:
        tick = float(getattr(device, "tick_s", 1.0))
        each_s = _ticks(experiment.homeostasis, device, tick) * tick / getattr(device, "speed", 1.0)
        presentations = min(presentations, math.ceil((options.budget_s or BUDGET_S) / each_s))
    return Work(evaluations=presentations)


def _inference(options: InferOptions, dimensions: Dimensions, widths: DataWidths | None) -> Work | None:
    there = None if widths is None else widths.train_samples if options.on == "train" else widths.test_samples
    if options.inputs is not None and options.indices is None and options.samples is None:
        return None  # only the file tells how many
    known = [n for n in (there, options.samples, options.indices and len(options.indices)) if n]
    return Work(evaluations=min(known) / (dimensions.samples or 500)) if known else None


def _seconds(experiment: Experiment, dimensions: Dimensions, work: Work) -> float | None:
    device = experiment.device
    holds, settles = work.holds + work.evaluations, work.settles
    if device.kind == "hopfield":
        if getattr(device, "torch_device", "cpu") != "cpu":
            return None
        return _engine_seconds(experiment, dimensions.parameters, work)
    tick = getattr(device, "tick_s", None)
    ticks = holds * _ticks(experiment.homeostasis, device, tick) + settles * _ticks(experiment.settling, device, tick)
    ticks += work.ticks
    if tick is None:
        layered = LAYERED if getattr(device, "energy", "") == "hopfield" else 1.0
        return ticks * TICK_IN_ADDITIONS * layered * _addition_s(dimensions.parameters)
    if getattr(device, "clock", "virtual") == "wall":
        return float((ticks * tick + work.seconds) / getattr(device, "speed", 1.0))
    of_tick = RIG_TICK_IN_ADDITIONS if device.kind == "rig" else SLOW_TICK_IN_ADDITIONS
    return float(ticks + work.seconds / tick) * of_tick * _addition_s(dimensions.parameters)


def _ticks(settings: HomeostasisSettings | SettlingSettings, device: object, tick: float | None) -> float:
    if isinstance(settings.accept, Ticks):
        return settings.accept.ticks
    if tick is None:
        return SETTLED_TICKS
    return max(settings.reads, (SETTLED_LAGS + settings.window) * _lag_s(device, tick) / tick)


def _lag_s(device: object, tick: float) -> float:
    """Get lag and dead time together; of a rig as it was identified last, else a tick and the one that a reading is late."""
    if not isinstance(device, RigSettings):
        return float(getattr(device, "tau_theta_s", tick)) + float(getattr(device, "dead_time_s", 0.0))
    known = None
    with contextlib.suppress(DeviceConfigError):
        known = newest(Path(device.described.identification or "."))
    return 2.0 * tick if known is None else float(np.median(known.lag_s) + np.median(known.dead_time_s))


def _engine_seconds(experiment: Experiment, parameters: int, work: Work) -> float:
    """Time of the Hopfield engine: a step goes through its parameters so many times, more often for larger batches."""
    train = next((e.options for e in experiment.sequence if isinstance(e.options, TrainOptions) and not e.off), None)
    batch = 32 if train is None or train.batch is None else train.batch
    numbers = np.zeros(min(parameters, 1_000_000), np.float32)
    once = _timed(lambda: np.add(numbers, 1.0, out=numbers), 2) * parameters / len(numbers)
    step = once * PASSES * (1 + batch / 32) / 2
    calls = ENGINE_STEP_IN_ADDITIONS * _addition_s(21)
    phases = work.holds + work.seconds + work.ticks  # of one sample, each a second of this device
    shown = step * (work.steps + work.evaluations * 500 / batch / 3 + phases / batch / 3)
    return shown + calls * (work.steps + work.evaluations + phases)


def _addition_s(parameters: int) -> float:
    numbers = np.zeros(max(21, min(parameters, 100_000)))
    return _timed(lambda: numbers + numbers, 500 if parameters < 10_000 else 20)


def _timed(operation: Callable[[], object], times: int) -> float:
    """Time an operation on this computer: the best of three goes, in seconds."""
    operation()
    best = math.inf
    for _ in range(3):
        began = time.perf_counter()
        for _ in range(times):
            operation()
        best = min(best, (time.perf_counter() - began) / times)
    return best
