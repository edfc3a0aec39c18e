"""What the parts of an experiment say of one another: widths, nudges, files, abilities; found before anything starts.

Nothing here opens a device, imports code that a file names, or reads a data file beyond its header, but for small tables.
What only the user's own code can say is left to the run, which checks it while it is `preparing`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from aeqlab.backends.description import Knobs, knobs
from aeqlab.backends.energies import Energy
from aeqlab.backends.errors import BackendError
from aeqlab.backends.hopfield.settings import HopfieldSettings
from aeqlab.backends.imperfections import Imperfections
from aeqlab.backends.kinds import DeviceSettings
from aeqlab.backends.rig_plan import rig_problems
from aeqlab.backends.rig_settings import RigSettings
from aeqlab.backends.settings import BetaBounds, Dimensions, UnknownUntilPreparing
from aeqlab.backends.simulated_settings import SimulatedSettings
from aeqlab.backends.slow_settings import SlowSettings
from aeqlab.backends.user_code import is_user_code
from aeqlab.backends.user_device import CustomSettings
from aeqlab.protocols.data import Data, DataSettings, DataWidths, data_widths
from aeqlab.protocols.errors import DataError, Problem
from aeqlab.protocols.explain import place_of
from aeqlab.protocols.hold_settings import HomeostasisSettings
from aeqlab.protocols.limits import SessionLimits
from aeqlab.protocols.limits_inside import outside
from aeqlab.protocols.methods import lacking, nudges, offered, possible
from aeqlab.protocols.outline import MOST_PARAMETERS, Described, outlined, outlined_rig
from aeqlab.protocols.places import is_file, resolve
from aeqlab.protocols.quantity_checks import BY_NAME, Around, findings, sample_of
from aeqlab.protocols.scaling import scaled
from aeqlab.protocols.stages.call import CallOptions
from aeqlab.protocols.stages.compare import CompareOptions
from aeqlab.protocols.stages.condition import condition
from aeqlab.protocols.stages.entry import StageEntry
from aeqlab.protocols.stages.evaluate import EvaluateOptions
from aeqlab.protocols.stages.hold import HoldOptions
from aeqlab.protocols.stages.infer import InferOptions
from aeqlab.protocols.stages.options import StageOptions
from aeqlab.protocols.stages.repeat import RepeatOptions
from aeqlab.protocols.stages.restore import RestoreOptions
from aeqlab.protocols.stages.train_options import AEQPROP_METHODS, TrainOptions
from aeqlab.protocols.table import KEPT_BYTES, TableSettings, load_table, table_file, width_of_columns
from aeqlab.protocols.user_files import missing_user_files
from aeqlab.protocols.yaml import Node

_FROM_HERE = "Paths are counted from the folder of the experiment file."
Path_ = tuple[int | str, ...]


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts of an experiment that are valid by themselves; None for one that is missing or wrong."""

    device: DeviceSettings | None = None
    data: DataSettings | None = None
    homeostasis: HomeostasisSettings | None = None
    stages: tuple[tuple[Path_, StageEntry], ...] = ()
    data_wrong: bool = False  #: data are given, but not valid
    limits: SessionLimits | None = None
    seed: int = 0  #: which rows of a table are drawn for the test depends on it


@dataclass(slots=True)
class _Check:
    parts: Parts
    tree: Node
    base: Path
    problems: list[Problem] = field(default_factory=list)
    warnings: list[Problem] = field(default_factory=list)
    dimensions: Dimensions | None = None
    bounds: BetaBounds | None = None
    widths: DataWidths | None = None
    outline: Described | None = None
    outlined: bool = False  #: whether that was tried

    def wrong(self, path: Path_, message: str, hint: str = "") -> None:
        self.problems.append(place_of(self.tree, path).problem(message, hint, key=".".join(map(str, path))))

    def doubtful(self, path: Path_, message: str, hint: str = "") -> None:
        self.warnings.append(place_of(self.tree, path).problem(message, hint, key=".".join(map(str, path))))


def cross_check(parts: Parts, tree: Node, base: Path) -> tuple[list[Problem], list[Problem]]:
    """Check the parts of an experiment against one another.

    Returns:
        Problems, with which it cannot run, and warnings, with which it runs.
    """
    check = _Check(parts, tree, base)
    _device(check)
    _limits(check)
    _data(check)
    _homeostasis(check)
    for path, entry in parts.stages:
        _stage(check, path, entry)
    return check.problems, check.warnings


def all_stages(sequence: list[StageEntry], path: Path_ = ("sequence",)) -> Iterator[tuple[Path_, StageEntry]]:
    """Go through the stages that are not switched off, those within `repeat` too, each with its path in the file."""
    for i, entry in enumerate(sequence):
        if entry.off:
            continue
        yield (*path, i), entry
        if isinstance(entry.options, RepeatOptions):
            yield from all_stages(entry.options.sequence, (*path, i, "repeat", "sequence"))


def all_trainings(sequence: list[StageEntry]) -> Iterator[tuple[Path_, TrainOptions]]:
    """Go through the trainings of a sequence, those that are compared too, each with the path of its options in the file."""
    for path, entry in all_stages(sequence):
        yield from trainings_of(path, entry)


def trainings_of(path: Path_, entry: StageEntry) -> Iterator[tuple[Path_, TrainOptions]]:
    """Go through the trainings of one stage, as `all_trainings`."""
    if isinstance(entry.options, TrainOptions):
        yield (*path, entry.kind), entry.options
    elif isinstance(entry.options, CompareOptions):
        for name, options in entry.options.methods.items():
            yield (*path, entry.kind, "methods", name), options


def device_facts(device: DeviceSettings, base: Path) -> tuple[Dimensions | None, BetaBounds | None]:
    """Get the dimensions of a device and the nudges it stands; None for what only the user's code, or long sums, can say.

    Raises:
        BackendError: its description cannot be built.
    """
    try:
        dimensions = device.dimensions(base)
    except UnknownUntilPreparing:
        return None, None
    if dimensions.parameters > MOST_PARAMETERS and device.kind != "hopfield":
        return dimensions, None
    try:
        return dimensions, device.beta_bounds(base)
    except UnknownUntilPreparing:
        return dimensions, None


def built_in_energy(device: DeviceSettings, base: Path) -> Energy | None:
    """Build the energy of a device if it has one and it is built in; None if it is the user's code, which is not run here."""
    if not isinstance(device, SimulatedSettings) or is_user_code(device.energy):
        return None
    try:
        return device.build_energy(base)
    except BackendError:
        return None


def input_knobs(device: DeviceSettings, base: Path) -> Knobs | None:
    """Get the input knobs of a device, of an engine one that stands for all; None where only the user's code can say."""
    if isinstance(device, HopfieldSettings):
        low, high = device.input_interval
        return knobs(("every input",), low=low, high=high, rest=min(max(0.0, low), high))
    if isinstance(device, RigSettings):
        try:
            info = outlined_rig(device, base)
        except BackendError:  # told with its own key
            return None
        return None if info is None else info.inputs
    energy = built_in_energy(device, base)
    return None if energy is None else energy.inputs


def input_limits(device: DeviceSettings, base: Path) -> tuple[float, float] | None:
    """Get the lowest and highest value that every input knob takes; None where that is not known."""
    row = input_knobs(device, base)
    return None if row is None else (float(np.max(row.low)), float(np.min(row.high)))


def small_table(data: DataSettings, base: Path, seed: int) -> Data | None:
    """Read a table whole, which runs no code; None for one that is too large for a check, and for other data.

    Raises:
        DataError: something is wrong with it.
        OSError: it cannot be read.
    """
    if not isinstance(data, TableSettings) or table_file(data, base).stat().st_size > KEPT_BYTES:
        return None
    return load_table(data, base, seed)


def counted(widths: DataWidths, table: Data) -> DataWidths:
    """Add to what the head of a table says how many rows it has for training and for the test."""
    return replace(widths, train_samples=len(table.train), test_samples=0 if table.test is None else len(table.test))


def _device(check: _Check) -> None:
    device = check.parts.device
    if device is None or (isinstance(device, RigSettings) and device.rig is None):  # what is wrong with its file was told
        return
    for key, message in missing_user_files(device, check.base):
        check.wrong(("device", *key), message, _FROM_HERE)
    try:
        check.dimensions, check.bounds = device_facts(device, check.base)
    except BackendError as exc:
        check.wrong(("device",), str(exc))
    if isinstance(device, RigSettings):
        for place, message in [] if device.rig is None else rig_problems(device.rig, check.base):
            check.wrong(("device", "rig", *place), message)
        return
    _imperfections(check, device)


def _imperfections(check: _Check, device: DeviceSettings) -> None:
    """Check that the knobs that have failed are there, and say what has no effect."""
    if isinstance(device, CustomSettings | RigSettings) or device.imperfections is None:
        return
    flaws = device.imperfections
    if check.dimensions is not None:
        try:
            flaws.failed(device.knob_names(check.dimensions.parameters), seed=0)
        except BackendError as exc:
            check.wrong(("device", "imperfections", "failed_knobs"), str(exc).removeprefix("failed_knobs: "))
    settings = check.parts.homeostasis
    held_inside = settings is None or settings.controller in (None, "ideal")
    if isinstance(flaws, Imperfections) and flaws.slew_per_s is not None and held_inside:
        message = "slew has no effect while the device holds its parameters by itself (ideal homeostasis)."
        hint = "Set homeostasis.controller to integral, pid or quasi-static."
        check.doubtful(("device", "imperfections", "slew_per_s"), message, hint)


def _limits(check: _Check) -> None:
    device, limits = check.parts.device, check.parts.limits
    if device is None or limits is None:
        return
    for key, message in outside(limits, device, input_knobs(device, check.base), check.bounds):
        check.wrong(("limits", key), message)


def _data(check: _Check) -> None:
    data, dimensions = check.parts.data, check.dimensions
    if data is None:
        needing = [path for path, entry in check.parts.stages if _needs_samples(entry)]
        needing += [(*path, entry.kind, "sample") for path, entry in check.parts.stages if sample_of(entry.options) is not None]
        if needing and not check.parts.data_wrong:
            message = "this stage needs samples, and the experiment has no data."
            check.wrong(needing[0], message, "Add data:, such as {kind: legendre}.")
        return
    missing = list(missing_user_files(data, check.base))
    for key, message in missing:
        check.wrong(("data", *key), message, _FROM_HERE)
    try:
        check.widths = data_widths(data, check.base)
    except DataError as exc:
        check.wrong(("data", "path") if hasattr(data, "path") else ("data",), str(exc))
    _table(check, data)
    widths = check.widths
    if widths is None or dimensions is None or check.parts.device is None:
        return
    kind, device = data.kind, check.parts.device.kind
    for what, have, need in (("input", widths.inputs, dimensions.inputs), ("output", widths.outputs, dimensions.outputs)):
        if have != need:
            noun = {"input": "input knobs", "output": "outputs"}[what]
            found = f"{have} {what if what == 'input' else 'target'}{'s' if have != 1 else ''}"
            message = f"{kind} has {found} per sample, the {device} device has {need} {noun if need != 1 else noun[:-1]}."
            check.wrong(("data",), message, "Choose other data, or give the device as many.")
    interval = input_limits(check.parts.device, check.base)
    if interval is not None and widths.range is not None and not interval[0] <= widths.range[0] <= widths.range[1] <= interval[1]:
        message = f"{kind} has inputs from {widths.range[0]:g} to {widths.range[1]:g}, the {device} device takes "
        check.wrong(("data",), f"{message}{interval[0]:g} to {interval[1]:g}.", "Scale the data, or choose another device.")
    limit = None if check.parts.limits is None else check.parts.limits.inputs
    if limit is not None and widths.range is not None and not limit[0] <= widths.range[0] <= widths.range[1] <= limit[1]:
        message = f"{kind} has inputs from {widths.range[0]:g} to {widths.range[1]:g}, limits.inputs allows "
        check.wrong(("data",), f"{message}{limit[0]:g} to {limit[1]:g}.", "Scale the data, or widen the limit.")


def _table(check: _Check, data: DataSettings) -> None:
    """Read a small table whole, which runs no code: what is wrong in its rows is found before a run begins."""
    if not isinstance(data, TableSettings) or check.widths is None:
        return
    try:
        table = small_table(data, check.base, check.parts.seed)
        if table is not None:
            check.widths = counted(check.widths, table)
            _scaling(check, table)
    except OSError as exc:
        check.wrong(("data", "path"), f"{data.path}: cannot be read: {exc.strerror or exc}.")
    except DataError as exc:
        check.wrong(("data", "path"), str(exc))


def _scaling(check: _Check, data: Data) -> None:
    """Scale a table onto the input knobs, as far as their limits are known before the device is open."""
    device = check.parts.device
    if data.to_scale is None or device is None:
        return
    interval = input_limits(device, check.base)
    if interval is None and data.to_scale.settings.inputs is not None:
        return
    low, high = interval or (-np.inf, np.inf)
    try:
        _, told = scaled(data, knobs(tuple(f"x{i}" for i in range(data.inputs)), low=low, high=high))
    except DataError as exc:
        check.wrong(("data", "scale"), str(exc))
        return
    for sentence in told:
        check.doubtful(("data", "scale"), sentence)


def _homeostasis(check: _Check) -> None:
    settings, device = check.parts.homeostasis, check.parts.device
    if settings is None:
        return
    if settings.controller == "ideal" and isinstance(device, SlowSettings | RigSettings):
        message = f"the {device.kind} device does not hold its parameters by itself, so ideal homeostasis is not possible on it."
        check.wrong(("homeostasis", "controller"), message, "Use integral, or leave the key out.")
    if check.dimensions is not None:
        for name in ("ki", "kp", "kd", "tolerance"):
            values = getattr(settings, name)
            if isinstance(values, list) and len(values) != check.dimensions.parameters:
                message = f"{len(values)} values for {check.dimensions.parameters} knobs."
                check.wrong(("homeostasis", name), message, "Give one number for all, or one per knob.")


def _needs_samples(entry: StageEntry) -> bool:
    options = entry.options
    return entry.kind in ("train", "evaluate", "hold", "compare") or (
        isinstance(options, InferOptions) and options.inputs is None
    )


def _stage(check: _Check, path: Path_, entry: StageEntry) -> None:
    at = (*path, entry.kind)
    match entry.options:
        case RepeatOptions() as options:
            _repeat(check, at, options)
        case EvaluateOptions() as options:
            _evaluate(check, at, options)
        case InferOptions() as options:
            _batch(check, at, options.batch, training=False)
            _infer(check, at, options)
        case CompareOptions() as options:
            _evaluate(check, (*at, "evaluate"), options.evaluate)
            if options.start is not None:
                _restore(check, (*at, "start"), options.start)
        case HoldOptions() as options:
            n = None if check.widths is None else check.widths.train_samples
            if n is not None and options.sample >= n:
                check.wrong((*at, "sample"), f"there are {n} training samples, counted from 0.", f"Choose at most {n - 1}.")
        case CallOptions() as options:
            for key, message in missing_user_files(options, check.base):
                check.wrong((*at, *key), message, _FROM_HERE)
        case RestoreOptions() as options:
            _restore(check, at, options)
        case options if isinstance(options, BY_NAME):
            _quantities(check, at, options)

    for where, training in trainings_of(path, entry):
        _batch(check, where, training.batch)
        _train(check, where, training)


def _quantities(check: _Check, at: Path_, options: StageOptions) -> None:
    """Check what is set and read by name, as far as the settings of the device tell what it has."""
    if check.parts.device is None:
        return
    if not check.outlined:
        check.outline, check.outlined = outlined(check.parts.device, check.base, check.parts.limits), True
    if check.outline is None:
        return
    samples = 0 if check.parts.data is None and not check.parts.data_wrong else None
    if check.widths is not None:
        samples = check.widths.train_samples
    around = Around(check.outline, check.parts.homeostasis or HomeostasisSettings(), samples)
    for found in findings(options, around):
        say = check.doubtful if found.doubtful else check.wrong
        say((*at, *found.key), found.message)


def _infer(check: _Check, at: Path_, options: InferOptions) -> None:
    """See that the samples, or the file of inputs and its columns, are there."""
    widths, data = check.widths, check.parts.data
    if options.inputs is not None:
        columns = options.columns or (data.inputs if isinstance(data, TableSettings) else [])
        try:
            n = width_of_columns(options.inputs, columns, options.delimiter, check.base)
        except (DataError, ValueError) as exc:
            check.wrong((*at, "inputs"), str(exc))
            return
        if check.dimensions is not None and n != check.dimensions.inputs:
            message = f"{options.inputs} gives {n} columns, the device has {check.dimensions.inputs} input knobs."
            check.wrong((*at, "columns" if options.columns else "inputs"), message, "Name as many, in the order of the knobs.")
        return
    if options.on == "test" and widths is not None and widths.test_samples == 0:
        check.wrong((*at, "on"), "these data have no test samples.", "Set test_fraction, or infer on train.")
    on = options.on or ("train" if widths is not None and widths.test_samples == 0 else "test")
    there = None if widths is None else getattr(widths, f"{on}_samples")
    if options.indices is not None and there is not None and max(options.indices) >= there:
        message = f"there are {there} {on} samples, counted from 0, so {max(options.indices)} is none of them."
        check.wrong((*at, "indices"), message, f"Choose at most {there - 1}.")


def _evaluate(check: _Check, at: Path_, options: EvaluateOptions) -> None:
    _batch(check, at, options.batch, training=False)
    if options.on == "test" and check.widths is not None and check.widths.test_samples == 0:
        check.wrong((*at, "on"), "these data have no test samples.", "Set test_fraction, or evaluate on train.")


def _repeat(check: _Check, at: Path_, options: RepeatOptions) -> None:
    """A training looks at the test set on the way, where there is one: a condition on the training set has no number then."""
    if options.until is None or not condition(options.until).name.startswith("train_"):
        return
    looks = [entry.options for _, entry in all_stages(options.sequence)]
    on_train = any(isinstance(look, EvaluateOptions | InferOptions) and look.on == "train" for look in looks)
    if not on_train and check.widths is not None and check.widths.test_samples:
        message = f"{condition(options.until).name} is found by no stage within: these data have a test set, which is looked at."
        check.wrong((*at, "until"), message, "Put evaluate: {on: train} into the sequence, or take test_... instead.")


def _restore(check: _Check, at: Path_, options: RestoreOptions) -> None:
    file = options.theta
    if file.lower().endswith((".npy", ".npz", ".csv")) and "@" not in file and not is_file(resolve(check.base, file)):
        check.wrong((*at, "theta"), f"there is no file {file}.", _FROM_HERE)


def _batch(check: _Check, at: Path_, batch: int | None, *, training: bool = True) -> None:
    samples = None if check.dimensions is None else check.dimensions.samples
    if batch is not None and samples is not None and batch != samples:
        message = f"the device takes {samples} sample{'s' if samples > 1 else ''} at once, not {batch}."
        check.wrong((*at, "batch"), message, "Leave batch out, or set batch of the device.")
    n = None if check.widths is None else check.widths.train_samples
    if training and batch is not None and n is not None and batch > n:
        check.wrong((*at, "batch"), f"a batch of {batch} cannot be taken from {n} training samples.", "Choose a smaller batch.")


def _train(check: _Check, at: Path_, options: TrainOptions) -> None:
    device = check.parts.device
    if device is not None:
        for key, need in lacking(options, offered(device)):
            message = f"{_wish(options, key)} needs {need}, which the {device.kind} device has not."
            there = f"Methods it can do: {', '.join(possible(offered(device)))}."
            emulated = isinstance(device, SlowSettings) and not device.knows_energy and "KnowsEnergy" in need
            hint = " Only to compare with, an emulation may say its equations: device.knows_energy: true." if emulated else ""
            check.wrong((*at, key), message, there + hint)
    nudged = nudges(options)
    if nudged is None or options.beta is None:
        return
    lowest, highest = nudged
    scale = lowest / options.beta
    said = f"{options.method} with beta {options.beta:g}"
    limit = getattr(device, "beta_limit", None)
    if limit is not None and max(-lowest, highest) > limit:
        message = f"{said} nudges from {lowest:g} to {highest:g}, the device at most by {limit:g}."
        check.wrong((*at, "beta"), message, f"Choose beta up to {limit * options.beta / max(-lowest, highest):.4g}.")
    allowed = None if check.parts.limits is None else check.parts.limits.beta
    if allowed is not None and not allowed[0] <= lowest <= highest <= allowed[1]:
        message = f"{said} nudges from {lowest:g} to {highest:g}, limits.beta allows {allowed[0]:g} to {allowed[1]:g}."
        check.wrong((*at, "beta"), message, "Choose a smaller beta, or widen the limit.")
    if check.bounds is None or lowest >= 0:
        return
    if lowest <= check.bounds.held:
        message = f"{said} nudges with {lowest:g}; even with the parameters held the energy has a minimum only above "
        check.wrong((*at, "beta"), f"{message}{check.bounds.held:.4g}.", f"Choose beta below {check.bounds.held / scale:.4g}.")
    elif options.method in AEQPROP_METHODS and check.bounds.floating is not None and lowest <= check.bounds.floating:
        message = f"{said} nudges with {lowest:g}; with the parameters floating the energy has a minimum only above "
        hint = f"It runs, and may diverge; beta below {check.bounds.floating / scale:.4g} is safe."
        check.doubtful((*at, "beta"), f"{message}{check.bounds.floating:.4g}.", hint)


def _wish(options: TrainOptions, key: str) -> str:
    """Say what is asked for: the method, or one way of it."""
    return f"the method {options.method}" if key == "method" else f"{options.method} through: {options.through}"
