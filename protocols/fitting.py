"""Whether an experiment, its data and the open device fit one another: what only the user's code and the device itself can say.

Called while a run is `preparing`, when the data are loaded and the device is open, and nothing has moved yet.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

import numpy as np

from aeqlab.backends.device import DeviceInfo
from aeqlab.protocols.crosscheck import Path_, all_stages, trainings_of
from aeqlab.protocols.errors import FileErrors, Problem
from aeqlab.protocols.experiment import Experiment
from aeqlab.protocols.methods import lacking, nudges, possible
from aeqlab.protocols.outline import Described
from aeqlab.protocols.quantity_checks import BY_NAME, Around, findings
from aeqlab.protocols.samples import Data
from aeqlab.protocols.stages.compare import CompareOptions
from aeqlab.protocols.stages.evaluate import EvaluateOptions
from aeqlab.protocols.stages.hold import HoldOptions
from aeqlab.protocols.stages.infer import InferOptions
from aeqlab.protocols.stages.train_options import TrainOptions


def check_fit(experiment: Experiment, data: Data | None, info: DeviceInfo, abilities: Collection[str]) -> None:
    """Check that everything fits before anything moves.

    Args:
        experiment: what is asked.
        data: as loaded; None if the experiment has none.
        info: of the open device.
        abilities: names of its capability interfaces.
    Raises:
        FileErrors: everything that does not fit, at once, each with its key in the experiment.
    """
    found = [*_data(data, info), *_homeostasis(experiment, info, abilities)]
    for path, entry in all_stages(experiment.sequence):
        at = (*path, entry.kind)
        match entry.options:
            case EvaluateOptions() as options:
                found += _evaluate(at, options, info, data)
            case InferOptions() as options:
                found += _evaluate(at, options, info, data)
            case CompareOptions() as options:
                found += _evaluate((*at, "evaluate"), options.evaluate, info, data)
            case options if isinstance(options, BY_NAME):
                samples = 0 if data is None else len(data.train)
                around = Around(Described(info, frozenset(abilities)), experiment.homeostasis, samples)
                found += [((*at, *one.key), one.message) for one in findings(options, around) if not one.doubtful]
            case HoldOptions() as options if data is not None and options.sample >= len(data.train):
                found.append(((*at, "sample"), f"there are {len(data.train)} training samples, counted from 0."))
        for where, training in trainings_of(path, entry):
            found += [*_batch(where, training.batch, info, data), *_train(where, training, info, abilities)]
    if found:
        raise FileErrors(Problem(experiment.name, None, None, ".".join(map(str, path)), message) for path, message in found)


def _data(data: Data | None, info: DeviceInfo) -> Iterator[tuple[Path_, str]]:
    if data is None:
        return
    for what, have, need, name in (
        ("inputs", data.inputs, len(info.inputs), "input knobs"),
        ("targets", data.outputs, len(info.outputs), "outputs"),
    ):
        if have != need:
            yield ("data",), f"{data.name} has {have} {what} per sample, {info.name} has {need} {name}. Choose others that fit."
    if data.inputs != len(info.inputs):
        return
    for part, samples in (("training", data.train), ("test", data.test)):
        if samples is None:
            continue
        low, high = np.min(samples.inputs, axis=0), np.max(samples.inputs, axis=0)
        outside = (low < info.inputs.lowest) | (high > info.inputs.highest)
        if outside.any():
            k, n = int(np.argmax(outside)), int(outside.sum())
            unit = "" if info.inputs.unit == "1" else f" {info.inputs.unit}"
            others = "" if n == 1 else f" {n} knobs are asked for too much."
            yield (
                ("data",),
                f"{part} inputs of knob {info.inputs.names[k]} go from {low[k]:g} to {high[k]:g}{unit}, it takes "
                f"{info.inputs.low[k]:g} to {info.inputs.high[k]:g}{unit}.{others} Scale the data.",
            )


def _homeostasis(experiment: Experiment, info: DeviceInfo, abilities: Collection[str]) -> Iterator[tuple[Path_, str]]:
    settings = experiment.homeostasis
    if settings.controller == "ideal" and "HoldsParameters" not in abilities:
        yield ("homeostasis", "controller"), f"{info.name} does not hold its parameters by itself. Use integral."
    for name in ("ki", "kp", "kd", "tolerance"):
        values = getattr(settings, name)
        if isinstance(values, list) and len(values) != info.n_parameters:
            yield ("homeostasis", name), f"{len(values)} values for {info.n_parameters} knobs. Give one for all, or one per knob."


def _batch(at: Path_, batch: int | None, info: DeviceInfo, data: Data | None) -> Iterator[tuple[Path_, str]]:
    if batch is not None and info.samples is not None and batch != info.samples:
        yield (*at, "batch"), f"{info.name} takes {info.samples} at once, not {batch}. Leave it out."
    if data is not None and (batch or info.samples or 1) > len(data.train):
        yield (*at, "batch"), f"a batch of {batch or info.samples} cannot be taken from {len(data.train)} training samples."


def _evaluate(
    at: Path_, options: EvaluateOptions | InferOptions, info: DeviceInfo, data: Data | None
) -> Iterator[tuple[Path_, str]]:
    yield from _batch(at, options.batch, info, None)
    if options.on == "test" and data is not None and data.test is None:
        yield (*at, "on"), "these data have no test samples. Say `on: train`."


def _train(at: Path_, options: TrainOptions, info: DeviceInfo, abilities: Collection[str]) -> Iterator[tuple[Path_, str]]:
    for key, need in lacking(options, abilities):
        wish = options.method if key == "method" else f"{options.method} through: {options.through}"
        yield (*at, key), f"{wish} needs {need}, which {info.name} has not. Methods it can do: {', '.join(possible(abilities))}."
    rates = options.learning_rate
    if isinstance(rates, list) and len(rates) != len(info.parameters):
        names = ", ".join(block.name for block in info.parameters)
        yield (
            (*at, "learning_rate"),
            f"{len(rates)} rates for {len(info.parameters)} blocks of parameters ({names}). Give one for all, or one per block.",
        )
    nudged = nudges(options)
    if nudged is not None and (nudged[0] < info.beta[0] or nudged[1] > info.beta[1]):
        said = f"{options.method} with beta {options.beta:g} nudges from {nudged[0]:g} to {nudged[1]:g}"
        yield (*at, "beta"), f"{said}, {info.name} takes {info.beta[0]:g} to {info.beta[1]:g}. Choose less."
