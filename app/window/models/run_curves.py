"""What is drawn of a run, as plain arrays with names and units: costs, what was learned, samples for the oscilloscope, scans.

Nothing here decides how it looks. A cost that was read under a nudge keeps that in its name; what was not measured is left out.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aeqlab.app.window.models.kept_steps import MEAN as MEAN_COLUMN
from aeqlab.app.window.models.kept_steps import SMOOTH
from aeqlab.app.window.models.run_feed import RunView
from aeqlab.protocols.grid import axis_values
from aeqlab.protocols.stages.scan import Axis
from aeqlab.protocols.words import COSTS

Array = NDArray[Any]
TERMS = {"P": "p", "I": "i", "D": "d"}  #: parts of a control law as people call them, and as the record does
IMAGES = ("mnist", "fashion-mnist", "digits")  #: kinds of data whose inputs are the pixels of a square, row by row
CLOTHES = ("T-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "boot")  #: of Fashion-MNIST
RECENT, FEWEST = 60, 10  #: readings of training that are shown, and how many there must be since the last evaluation
COST_1, COST_2 = COSTS["cost_1"], COSTS["cost_2"]
FREE, MEAN = "cost", f"mean of {SMOOTH}"


@dataclass(frozen=True, slots=True)
class Curve:
    """One curve: x and y of one length, and what it is.

    Attributes:
        name: as the legend says it.
        shown: whether it is shown where nobody chose.
        points: it is single points, such as evaluations.
    """

    name: str
    x: Array
    y: Array
    unit: str
    shown: bool = True
    points: bool = False


@dataclass(frozen=True, slots=True)
class Learned:
    """What was read without a nudge: by the last evaluation, or since then in training, the last `RECENT` samples.

    Attributes:
        inputs: shape (samples, inputs), in `input_unit`.
        outputs, targets: shape (samples, outputs), in `output_unit`.
        held: whether theta was held, shape (samples,).
        step: training steps by then.
        dataset: test or train; `training` where they were read one by one while theta went on learning.
        input_names, output_names: of each.
    """

    inputs: Array
    outputs: Array
    targets: Array
    held: Array
    step: int
    dataset: str
    input_names: tuple[str, ...]
    output_names: tuple[str, ...]
    input_unit: str = ""
    output_unit: str = ""


@dataclass(frozen=True, slots=True)
class TracedSample:
    """One sample whose course was kept, from when its input was presented.

    Attributes:
        step: training step.
        t: s since the input was presented, shape (points,), of both phases.
        error: theta - target in tolerances, (points, n); nan in the nudged phase, where theta is meant to move.
        moved: theta since the clamp in tolerances, (points, n); nan before.
        u: control knobs, (points, n), nan where they were not kept.
        clamp_s: when the knobs were clamped; nan where no nudged phase was kept.
        nudge_s: when the first nudge came on, after a free phase; nan where there was none.
        in_tolerances: False where the record tells no tolerance, and errors are in the unit of theta.
        terms: what P, I and D of the control law had moved the knobs since a phase began, those that the law has, each
            (points, n); nan in the nudged phase. Empty where the record does not have them.
        presented_s: when the input was presented, in s of the device.
    """

    step: int
    t: Array
    error: Array
    moved: Array
    u: Array
    clamp_s: float
    nudge_s: float = np.nan
    in_tolerances: bool = True
    terms: Mapping[str, Array] = field(default_factory=dict)
    presented_s: float = np.nan


def costs_of(run: RunView) -> list[Curve]:
    """Get the curves of cost against training steps, sham steps and those left in their middle left out."""
    unit = _cost_unit(run)
    step = run.column("steps", "step")
    found: list[Curve] = []
    if len(step):
        real = (run.column("steps", "sham") == 0) & (run.column("steps", "used") == 1)
        free = run.column("steps", "cost_free")
        there = np.isfinite(free) & (run.column("steps", "sham") == 0)
        if there.any():
            found.append(Curve(FREE, step[there], free[there], unit))
            mean = run.column("steps", MEAN_COLUMN)  # over every step, those that are no longer here too
            if len(mean) == len(step) and there.sum() >= 2 * SMOOTH and (smooth := np.isfinite(mean)).any():
                found.append(Curve(MEAN, step[smooth], mean[smooth], unit))
        for name, word in (("cost_1", COST_1), ("cost_2", COST_2)):
            cost = run.column("steps", name)
            fine = np.isfinite(cost) & real
            if fine.any():
                found.append(Curve(word, step[fine], cost[fine], unit, shown=not there.any()))
    for dataset in ("test", "train"):
        of = run.column("evaluations", "dataset") == dataset
        if len(of) and of.any():
            cost = run.column("evaluations", "cost_free")[of]
            found.append(Curve(f"cost on the {dataset} set", run.column("evaluations", "step")[of], cost, unit, points=True))
    return found


def _cost_unit(run: RunView) -> str:
    unit = str(run.facts.get("units", {}).get("s", "1"))
    return "1" if unit == "1" else f"{unit}²"


def error_rates_of(run: RunView) -> list[Curve]:
    """Get the error rates of the evaluations, where there are labels."""
    found = []
    for dataset in ("test", "train"):
        of = run.column("evaluations", "dataset") == dataset
        if len(of) and of.any():
            rate = run.column("evaluations", "error_rate")[of]
            if np.isfinite(rate).any():
                found.append(
                    Curve(f"error rate, {dataset} set", run.column("evaluations", "step")[of], 100 * rate, "%", points=True)
                )
    return found


def learned_of(run: RunView) -> Learned | None:
    """Get what was read last; None where the record has nothing of it."""
    evaluation, step = run.column("evaluated", "evaluation"), run.column("evaluated", "step")
    if not len(evaluation):
        return None
    evaluation = evaluation.astype(np.float64)
    evaluated, trained = np.flatnonzero(np.isfinite(evaluation)), np.flatnonzero(np.isnan(evaluation))
    newer = trained[trained > evaluated[-1]] if len(evaluated) else trained
    if len(newer) >= FEWEST or not len(evaluated):
        of, dataset = trained[-RECENT:], "training"
    else:
        last = evaluation[evaluated[-1]]
        of = np.flatnonzero(evaluation == last)
        place = int(np.searchsorted(run.column("evaluations", "id"), last))
        sets = run.column("evaluations", "dataset")
        dataset = str(sets[place]) if place < len(sets) else "test"
    units = run.facts.get("units", {})
    return Learned(
        run.column("evaluated", "inputs")[of], run.column("evaluated", "outputs")[of], run.column("evaluated", "target")[of],
        run.column("evaluated", "held")[of].astype(bool), int(step[of[-1]]), dataset,
        tuple(run.facts.get("inputs", {}).get("names", ())), tuple(run.facts.get("outputs", ())),
        str(units.get("x", "")), str(units.get("s", "")),
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Classes:
    """Which class each sample that was read last belongs to and which it was taken for, shape (samples,); names of all."""

    truth: Array
    predicted: Array
    names: tuple[str, ...]


def classes_of(learned: Learned, data_kind: str = "") -> Classes | None:
    """Tell the classes of samples whose targets are one-hot: one output high, all others low; None of other targets."""
    targets = learned.targets
    if targets.ndim != 2 or targets.shape[1] < 2 or not np.isfinite(targets).all():
        return None
    low, high = targets.min(), targets.max()
    if (
        not high > low
        or not (((targets == high).sum(axis=1) == 1) & ((targets == low).sum(axis=1) == targets.shape[1] - 1)).all()
    ):
        return None
    count = targets.shape[1]
    names = CLOTHES if data_kind == "fashion-mnist" and count == len(CLOTHES) else tuple(str(k) for k in range(count))
    return Classes(targets.argmax(axis=1), learned.outputs.argmax(axis=1), names)


def images_of(learned: Learned, data_kind: str) -> Array | None:
    """Get the inputs that were read last as images, shape (samples, height, width); None where they are none."""
    pixels = learned.inputs.shape[1] if learned.inputs.ndim == 2 else 0
    side = math.isqrt(pixels)
    return learned.inputs.reshape(-1, side, side) if data_kind in IMAGES and pixels and side * side == pixels else None


def traced_samples(run: RunView, most: int = 20, after: int = -1) -> list[TracedSample]:
    """Get the last samples whose course was kept, oldest first: a free phase, the homeostatic one and the nudged one together.

    Args:
        run: the run.
        most: as many at most.
        after: those of later training steps alone; the rest costs nothing.
    """
    steps = run.column("traces", "step")
    parts = {name: run.column("traces", name) for name in ("phase", "t", "error", "u", "tolerance", *TERMS.values())}
    holds = run.column("traces", "phase") == "hold"
    begins = (np.diff(steps) != 0) | (holds[1:] & ~holds[:-1]) if len(steps) == len(holds) else np.diff(steps) != 0
    bounds = [0, *(np.flatnonzero(begins) + 1).tolist(), len(steps)]
    found: list[TracedSample] = []
    for first, last in zip(bounds[-2::-1], bounds[:0:-1], strict=True):
        sham = bool(found) and first < last and found[-1].step == steps[first]  # bears the number of the step before it
        if first == last or (len(found) == most and not sham) or steps[first] <= after:
            break
        phases = [{name: part[k] for name, part in parts.items() if len(part) > k} for k in range(first, last)]
        fine = [one for one in phases if one.get("error") is not None and one["error"].ndim == 2 and len(one["t"])]
        if fine and fine[0]["phase"] == "hold":
            found[len(found) - sham :] = [_sample(int(steps[first]), fine)]
    return found[::-1]


def _sample(step: int, phases: list[dict[str, Any]]) -> TracedSample:
    began, n = float(phases[0]["t"][0]), phases[0]["error"].shape[1]
    allowed = next((one["tolerance"] for one in phases if one.get("tolerance") is not None and len(one["tolerance"]) == n), None)
    scale = np.ones(n) if allowed is None else np.asarray(allowed)
    error: list[Array] = []
    moved: list[Array] = []
    knobs: list[Array] = []
    clamp = nudge = np.nan
    stood = np.full((1, n), np.nan)
    for k, one in enumerate(phases):
        part, nothing = one["error"] / scale, np.full_like(one["error"], np.nan)
        if one["phase"] == "hold":
            u = _like(one.get("u"), part)
            stood = u[-1:]
            nudge = float(one["t"][0]) - began if k else nudge
            error, moved, knobs = [*error, part], [*moved, nothing], [*knobs, u]
        else:
            clamp = float(phases[k - 1]["t"][-1]) - began
            error, moved = [*error, nothing], [*moved, part]
            knobs.append(np.repeat(stood, len(part), axis=0))  # clamped: they stand where they were
    t = np.concatenate([one["t"] for one in phases]) - began
    return TracedSample(
        step, t, np.concatenate(error), np.concatenate(moved), np.concatenate(knobs), clamp, nudge, allowed is not None,
        _terms(phases), began,
    )  # fmt: skip


def _terms(phases: list[dict[str, Any]]) -> dict[str, Array]:
    """Join what the parts of the law did in each phase; a part that no phase has is left out."""
    found = {}
    for word, name in TERMS.items():
        parts = [one.get(name) if one["phase"] == "hold" else None for one in phases]
        if any(part is not None and part.shape == one["error"].shape for part, one in zip(parts, phases, strict=True)):
            found[word] = np.concatenate([_like(part, one["error"]) for part, one in zip(parts, phases, strict=True)])
    return found


def _like(part: Array | None, error: Array) -> Array:
    return np.full_like(error, np.nan) if part is None or part.shape != error.shape else part


@dataclass(frozen=True, slots=True)
class DrawnScan:
    """What one stage of scan, ramp or step-response set and read so far.

    Attributes:
        row: in the record.
        axes: name, unit and values of each; no values where the points follow one another in time.
        shape: length of each axis; empty where they do so.
        reads: name and unit of each reading.
        place: of each point in the grid, from 0 in C order, shape (points,).
        direction: 1: the fastest axis went up, -1: down, 0: neither; shape (points,).
        setpoints, readbacks: shape (points, axes).
        means, deviations: shape (points, reads).
    """

    row: int
    axes: tuple[tuple[str, str, Array], ...]
    shape: tuple[int, ...]
    reads: tuple[tuple[str, str], ...]
    place: Array
    direction: Array
    setpoints: Array
    readbacks: Array
    means: Array
    deviations: Array


def scans_of(run: RunView) -> list[DrawnScan]:
    """Get the scans so far, oldest first; a live one grows. One that is damaged, or of a newer version, is left out."""
    found = (_scan(run, k) for k in range(run.rows("scans")))
    return [scan for scan in found if scan is not None]


def last_scan(run: RunView) -> DrawnScan | None:
    """Get the newest scan; None where there is none, or it cannot be read."""
    count = run.rows("scans")
    return _scan(run, count - 1) if count else None


def _scan(run: RunView, k: int) -> DrawnScan | None:
    try:
        axes, shape, reads = (json.loads(run.column("scans", name)[k]) for name in ("axes", "shape", "reads"))
        along = tuple((one["quantity"], one["unit"], _along(one) if shape else np.empty(0)) for one in axes)
        named = tuple((one["name"], one["unit"]) for one in reads)
    except (ValueError, TypeError, KeyError, IndexError):
        return None
    row = int(run.column("scans", "id")[k])
    place = run.column("points", "point")
    mine = np.flatnonzero(run.column("points", "scan") == row)
    if shape:
        mine = mine[(place[mine] >= 0) & (place[mine] < math.prod(shape))]

    def table(name: str, width: int) -> Array:
        rows = run.column("points", name)[mine]
        fine = [one if one is not None and len(one) == width else np.full(width, np.nan) for one in rows]
        return np.concatenate(fine).reshape(len(fine), width) if fine else np.empty((0, width))

    return DrawnScan(
        row, along, tuple(shape), named, place[mine].astype(np.intp), run.column("points", "direction")[mine],
        table("setpoints", len(axes)), table("readbacks", len(axes)), table("means", len(reads)), table("deviations", len(reads)),
    )  # fmt: skip


def _along(axis: dict[str, Any]) -> Array:
    return axis_values(Axis.model_validate({key: value for key, value in axis.items() if key not in ("kind", "unit")}))
