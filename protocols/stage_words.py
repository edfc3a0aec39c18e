"""What a stage moves and how long it takes, in a few words: for a list of stages."""

from __future__ import annotations

from collections.abc import Sequence

from aeqlab.backends.settings import Dimensions
from aeqlab.protocols.data import DataWidths
from aeqlab.protocols.estimate import estimate
from aeqlab.protocols.experiment import Experiment
from aeqlab.protocols.methods import nudges
from aeqlab.protocols.stages.ask import GO_ON, AskOptions
from aeqlab.protocols.stages.call import CallOptions
from aeqlab.protocols.stages.compare import CompareOptions
from aeqlab.protocols.stages.entry import StageEntry
from aeqlab.protocols.stages.evaluate import EvaluateOptions
from aeqlab.protocols.stages.hold import HoldOptions
from aeqlab.protocols.stages.identify import IdentifyOptions
from aeqlab.protocols.stages.infer import InferOptions
from aeqlab.protocols.stages.options import StageOptions
from aeqlab.protocols.stages.ramp import RampOptions
from aeqlab.protocols.stages.repeat import RepeatOptions
from aeqlab.protocols.stages.restore import RestoreOptions
from aeqlab.protocols.stages.scan import Axis, ScanOptions
from aeqlab.protocols.stages.set import SetOptions
from aeqlab.protocols.stages.step_response import StepResponseOptions
from aeqlab.protocols.stages.train_options import AEQPROP_METHODS, TrainOptions
from aeqlab.protocols.words import duration_in_words

SHORT_S = 0.1
MOST = 4  #: quantities, methods or rows named one by one


def what_moves(options: StageOptions) -> str:
    """Say what a stage moves, such as `theta, by nudges of -0.05 and 0.05 (centered)`."""
    match options:
        case TrainOptions():
            return _training(options)
        case EvaluateOptions() | InferOptions():
            return f"input knobs; {_theta(options.parameters or 'homeostasis')}"
        case HoldOptions():
            return "control knobs, so that theta stays"
        case RestoreOptions():
            where = f"random values, spread {options.spread:g}" if options.theta == "random" else options.theta
            return f"theta to {where}"
        case ScanOptions():
            order = "" if options.order == "forward" else f", {options.order}"
            return f"{' x '.join(map(_axis, options.over))}{order}"
        case RampOptions():
            start = "where it is" if options.start is None else f"{options.start:g}"
            return f"{options.quantity} from {start} to {options.to:g}"
        case SetOptions():
            return _listed([f"{name} to {value:g}" for name, value in options.quantities.items()])
        case StepResponseOptions():
            return f"{options.quantity} by {options.size:g} and back"
        case IdentifyOptions():
            share = "a little" if options.step is None else f"{options.step:.3g} of its range"
            when = ", unless that is known and fresh" if options.unless else ""
            return f"every knob by {share} both ways{when}"
        case CompareOptions():
            return f"theta, by {_listed(list(options.methods))}, each from the same start"
        case RepeatOptions():
            return "what the stages within move"
        case AskOptions():
            return f"nothing; asks: {options.text}"
        case CallOptions():
            return f"what {options.function} moves"
        case _:
            return ""


def how_long(entry: StageEntry, experiment: Experiment, dimensions: Dimensions | None, widths: DataWidths | None) -> str:
    """Say how long a stage takes: how much it does, and the time of that on this computer or on the device's clock.

    Args:
        entry: the stage.
        experiment: the one it belongs to.
        dimensions: of its device; None where only the user's code can say.
        widths: of its data; None where it has none, or only the user's code can say.
    """
    options = entry.options
    asked = _asked(options)
    if isinstance(options, AskOptions | CallOptions | IdentifyOptions):
        return asked
    alone = experiment.model_copy(update={"sequence": [entry.model_copy(update={"off": False})]})
    found = estimate(alone, dimensions, widths)
    if found is None or found.seconds is None:
        return asked or "known only when it runs"
    if not asked and found.steps:
        asked = f"{found.steps:,} steps"
    if not asked and found.points > 1:
        asked = f"{found.points:,} points"
    return ", ".join(filter(None, [asked, _span(*found.seconds)]))


def _span(low: float, high: float) -> str:
    """Say an estimate of time."""
    if high < SHORT_S:
        return f"less than {SHORT_S:g} s"
    return (
        f"about {duration_in_words(low)} to {duration_in_words(high)}" if low >= SHORT_S else f"up to {duration_in_words(high)}"
    )


def _training(options: TrainOptions) -> str:
    pair = nudges(options)
    if options.method in AEQPROP_METHODS and pair is not None:
        return f"theta, by nudges of {pair[0]:g} and {pair[1]:g} ({options.method})"
    return f"theta, by {options.method}"


def _theta(parameters: str) -> str:
    said = {"homeostasis": "theta is held", "frozen": "theta floats, knobs standing", "locked": "theta locked in the equations"}
    return said[parameters]


def _axis(axis: Axis) -> str:
    if axis.values is not None:
        return f"{axis.quantity} to {_listed([f'{value:g}' for value in axis.values])}"
    back = " and back" if axis.up_and_down else ""
    return f"{axis.quantity} from {axis.start:g} to {axis.to:g}{back}"


def _asked(options: StageOptions) -> str:
    """Say how much a stage is asked to do, where its options say so in a word."""
    match options:
        case TrainOptions() if options.samples is None:
            return f"{options.epochs or 1} epoch{'s' * ((options.epochs or 1) > 1)}"
        case TrainOptions():
            return f"{options.samples:,} samples"
        case HoldOptions() | IdentifyOptions():
            return f"{options.seconds:g} s of the device"
        case RampOptions() if options.seconds is not None:
            return f"{options.seconds:g} s of the device"
        case RepeatOptions() if options.until is not None:
            return f"until {options.until}, at most {options.bound:,} times"
        case RepeatOptions():
            return f"{options.bound:,} times"
        case CompareOptions():
            return f"{options.seeds:,} seed{'s' * (options.seeds > 1)}"
        case AskOptions() if options.timeout_s is not None:
            return f"until answered, {options.timeout_s:g} s at most"
        case AskOptions():
            return f"until answered: {', '.join(options.choices or GO_ON)}" if options.answer is None else "until answered"
        case CallOptions():
            return "known only when it runs"
        case _:
            return ""


def _listed(words: Sequence[str]) -> str:
    shown = ", ".join(words[:MOST])
    return shown if len(words) <= MOST else f"{shown} and {len(words) - MOST} more"
