"""Checking an experiment without touching anything: what is wrong, what each knob may do, what it will cost in time and disk."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from aeqlab.backends.device import Knobs
from aeqlab.backends.imperfections import EngineImperfections, Imperfections
from aeqlab.backends.kinds import DeviceSettings
from aeqlab.backends.rig_plan import plan_of
from aeqlab.backends.rig_settings import RigSettings
from aeqlab.backends.settings import BetaBounds, Dimensions
from aeqlab.backends.silence import if_computer_dies
from aeqlab.backends.user_device import CustomSettings
from aeqlab.protocols.crosscheck import (
    all_stages,
    all_trainings,
    built_in_energy,
    counted,
    device_facts,
    input_limits,
    small_table,
)
from aeqlab.protocols.data import DataWidths, data_widths
from aeqlab.protocols.errors import DataError, Problem
from aeqlab.protocols.estimate import Estimate, estimate
from aeqlab.protocols.experiment import Experiment, LoadedExperiment
from aeqlab.protocols.limits import SessionLimits
from aeqlab.protocols.methods import nudges
from aeqlab.protocols.notify import NotifyEntry
from aeqlab.protocols.outline import outlined_rig
from aeqlab.protocols.reaction import Reaction, reaction_of
from aeqlab.protocols.stages.ask import AskOptions
from aeqlab.protocols.user_files import user_code


@dataclass(frozen=True, slots=True)
class Envelope:
    """What one row of knobs may do at most, by its device's settings.

    Attributes:
        what: input knobs, control knobs, parameters or nudge.
        count: how many of them; None where only the user's code can say.
        unit: of the limits.
        low, high: lowest and highest value the device takes; infinite where it has no limit, None where not known.
        asked: lowest and highest value this experiment asks for, None where that shows only as it runs.
        step, slew_per_s: smallest step (0: none) and fastest change per second (inf: no limit).
        note: what else is to be said.
    """

    what: str
    count: int | None
    unit: str = "1"
    low: float | None = -math.inf
    high: float | None = math.inf
    asked: tuple[float, float] | None = None
    step: float = 0.0
    slew_per_s: float = math.inf
    note: str = ""


@dataclass(frozen=True, slots=True)
class CheckReport:
    """What a check found.

    Attributes:
        problems: what would keep it from running; loading a file raises these as FileErrors, so here they are few.
        warnings: what is allowed and probably not meant.
        envelope: what each row of knobs may do.
        estimate: steps, time and disk; None where only running can tell.
        imperfections: what is imperfect in the simulated hardware, phrase by phrase.
        user_code: code of the user's that a run will import and run, as the file names it; a check does not.
        if_dies: what each instrument that drives something does when this computer dies.
        notified: who is told of what.
        reaction: how soon the device is stopped after what drives it fell silent; None in virtual time.
    """

    problems: tuple[Problem, ...]
    warnings: tuple[Problem, ...]
    envelope: tuple[Envelope, ...]
    estimate: Estimate | None
    imperfections: tuple[str, ...]
    user_code: tuple[str, ...]
    reaction: Reaction | None = None
    if_dies: tuple[str, ...] = ()
    notified: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """True if nothing keeps the experiment from running."""
        return not self.problems


def check(loaded: LoadedExperiment) -> CheckReport:
    """Check a loaded experiment; no device is opened, no code that it names imported, no data read beyond their headers,
    but for small tables."""
    experiment, base = loaded.experiment, loaded.base
    problems: list[Problem] = []
    widths: DataWidths | None = None
    dimensions, bounds = device_facts(experiment.device, base)
    try:
        widths = None if experiment.data is None else data_widths(experiment.data, base)
        table = None if experiment.data is None else small_table(experiment.data, base, experiment.seed)
        if widths is not None and table is not None:
            widths = counted(widths, table)
    except (DataError, OSError) as exc:
        problems.append(loaded.problem("data", str(exc)))
    return CheckReport(
        problems=tuple(problems),
        warnings=(*loaded.warnings, *_questions(loaded)),
        envelope=tuple(_limited(row, experiment.limits) for row in _envelope(experiment, base, dimensions, bounds, widths)),
        estimate=estimate(experiment, dimensions, widths),
        imperfections=() if experiment.device.imperfections is None else tuple(experiment.device.imperfections.in_words()),
        user_code=tuple(dict.fromkeys(_user_code(experiment))),
        reaction=reaction_of(experiment.device),
        if_dies=_if_dies(experiment.device, base),
        notified=tuple(map(_told, experiment.notify)),
    )


def _questions(loaded: LoadedExperiment) -> Iterator[Problem]:
    """Find what waits for ever: for a run that nobody watches."""
    for path, entry in all_stages(loaded.experiment.sequence):
        if entry.pause_after:
            yield loaded.problem(
                ".".join(map(str, (*path, "pause_after"))),
                "the run pauses after this stage until someone continues, by `aeqlab continue` or in the window.",
            )
        if isinstance(entry.options, AskOptions) and entry.options.timeout_s is None:
            yield loaded.problem(
                ".".join(map(str, (*path, "ask"))),
                "waits for an answer for as long as it takes: at the terminal of the run, or by `aeqlab answer`.",
                "Where nobody will be there, give it timeout_s and then.",
            )


def _user_code(experiment: Experiment) -> Iterator[str]:
    stages = [entry.options for _, entry in all_stages(experiment.sequence)]
    for part in (experiment.device, experiment.data, *stages):
        if part is not None:
            yield from user_code(part)


def _envelope(
    experiment: Experiment, base: Path, dimensions: Dimensions | None, bounds: BetaBounds | None, widths: DataWidths | None
) -> Iterator[Envelope]:
    device = experiment.device
    asked = None if widths is None else widths.range
    if isinstance(device, RigSettings):
        info = outlined_rig(device, base)
        if info is not None:
            yield _of_knobs("input knobs", info.inputs, asked)
            yield _of_knobs("control knobs", info.controls, None)
            block = info.parameters[0]
            yield Envelope("parameters", block.size, block.unit, block.low, block.high, note="read, never set")
        yield replace(_nudge(experiment, bounds), low=None, high=None, note=_of_stiffness(device))
        return
    inputs, parameters = _built_in(experiment, base)
    if inputs is not None:
        yield _of_knobs("input knobs", inputs, asked)
    else:
        low, high = input_limits(device, base) or (None, None)
        yield Envelope("input knobs", None if dimensions is None else dimensions.inputs, "1", low, high, asked)
    if isinstance(device, CustomSettings):  # only the user's class can say the rest
        yield Envelope("control knobs", None, low=None, high=None)
        yield Envelope("parameters", None, low=None, high=None, note="read, never set")
        yield replace(_nudge(experiment, bounds), low=None, high=None)
        return
    unit = "V" if hasattr(device, "dac_range_V") else "1"
    count = None if dimensions is None else dimensions.parameters
    reach, knob_step, fastest = _imperfect_knobs(device)
    limits = getattr(device, "control_limits", None) or (-reach, reach)
    yield Envelope(
        "control knobs",
        count,
        unit,
        float(limits[0]),
        float(limits[1]),
        step=float(getattr(device, "dac_step_V", 0.0)) or knob_step,
        slew_per_s=min(float(getattr(device, "slew_V_per_s", math.inf)), fastest),
        note=f"rest at {device.rest_V:g} {unit}" if hasattr(device, "rest_V") else "",
    )
    yield Envelope("parameters", count, unit, *parameters, note="read, never set; told to hold within these limits")
    yield _nudge(experiment, bounds)


def _limited(row: Envelope, limits: SessionLimits | None) -> Envelope:
    """Narrow what a row of knobs may do to the limits of the experiment."""
    key = {"input knobs": "inputs", "control knobs": "controls", "nudge beta": "beta"}.get(row.what)
    if limits is None or key is None:
        return row
    low, high = getattr(limits, key) or (row.low, row.high)
    slew = limits.slew_per_s if key == "controls" and limits.slew_per_s is not None else math.inf
    return replace(row, low=low, high=high, slew_per_s=min(row.slew_per_s, slew))


def _imperfect_knobs(device: DeviceSettings) -> tuple[float, float, float]:
    """Get how far control knobs go either way, their smallest step and their slew, as imperfections say."""
    flaws = device.imperfections
    if not isinstance(flaws, EngineImperfections):
        return math.inf, 0.0, math.inf
    return flaws.knob_limit, flaws.knob_step, flaws.fastest if isinstance(flaws, Imperfections) else math.inf


def _nudge(experiment: Experiment, bounds: BetaBounds | None) -> Envelope:
    """Say how far the device can be nudged, how far this experiment does, and where the energy has no minimum."""
    wishes = [nudges(options) for _, options in all_trainings(experiment.sequence)]
    pairs = [pair for pair in wishes if pair is not None]
    limit = float(getattr(experiment.device, "beta_limit", math.inf))
    note = ""
    if bounds is not None and bounds.held > -math.inf:
        note = f"energy bounded with parameters held above {bounds.held:.4g}"
        if bounds.floating is not None:
            note += f", floating above {bounds.floating:.4g}"
    asked = (min(low for low, _ in pairs), max(high for _, high in pairs)) if pairs else None
    return Envelope("nudge beta", 1, "1", -limit, limit, asked, note=note)


def _told(entry: NotifyEntry) -> str:
    alive = f", a sign of life every {entry.alive_s:g} s" if entry.alive_s else ""
    lacks = f" (nothing is in {entry.lacks} here)" if entry.lacks else ""
    return f"{entry.way} on {', '.join(entry.on)}{alive}{lacks}"


def _if_dies(device: DeviceSettings, base: Path) -> tuple[str, ...]:
    return tuple(if_computer_dies(plan_of(device.described, base))) if isinstance(device, RigSettings) else ()


def _of_stiffness(device: RigSettings) -> str:
    """Say what a rig's nudge may be."""
    entry = device.described.nudge
    return f"{entry.realisation}, at most {entry.beta_max:g}; negative ones as far as realisation and measured stiffness allow"


def _built_in(experiment: Experiment, base: Path) -> tuple[Knobs | None, tuple[float, float]]:
    """Get input knobs and the parameters' limits of a built-in energy; building one runs no code but ours."""
    energy = built_in_energy(experiment.device, base)
    if energy is None:
        return None, (-math.inf, math.inf)
    return energy.inputs, (min(b.low for b in energy.parameters), max(b.high for b in energy.parameters))


def _of_knobs(what: str, knobs: Knobs, asked: tuple[float, float] | None) -> Envelope:
    low, high = float(np.min(knobs.low)), float(np.max(knobs.high))
    return Envelope(what, len(knobs), knobs.unit, low, high, asked, float(np.max(knobs.step)), float(np.min(knobs.slew_per_s)))
