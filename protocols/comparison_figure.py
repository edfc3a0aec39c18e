"""The figure of a comparison: cost against samples, device time and readouts; the only place that loads matplotlib for it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from aeqlab.protocols.atomic import file_beside
from aeqlab.protocols.comparison import Curve, reach
from aeqlab.protocols.methods import NOT_THE_GRADIENT
from aeqlab.protocols.stages.compare import CompareOptions

Array = NDArray[np.float64]
#: Okabe and Ito's colours, told apart by everyone; then dashes tell the methods apart once more.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
DASHES = ("-", "--", "-.", ":")
PANELS = {"samples": "training samples", "seconds": "time of the device in training (s)", "reads": "readouts in training"}


def draw(path: Path, curves: Sequence[Curve], options: CompareOptions, *, cost_unit: str = "") -> None:
    """Draw median and range over the seeds of every method, both axes logarithmic, and write it as PNG.

    Args:
        path: of the PNG.
        curves: of every method and seed.
        options: of the comparison, for its target.
        cost_unit: of the cost.
    Raises:
        ImportError: matplotlib is missing or does not load.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12.0, 4.2), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, len(PANELS), sharey=True)
    names = list(dict.fromkeys(curve.name for curve in curves))
    for axis, panel in zip(PANELS, panels, strict=True):
        drawn = False
        for number, name in enumerate(names):
            mine = [curve for curve in curves if curve.name == name]
            x = grid(mine, axis)
            costs = np.array([curve.at(axis, x) for curve in mine])
            drawn = drawn or bool(np.isfinite(costs).any())
            colour = COLOURS[number % len(COLOURS)]
            dashes = DASHES[number // len(COLOURS) % len(DASHES)]
            panel.plot(x, np.median(costs, axis=0), dashes, color=colour, lw=1.8, label=_label(name, mine))
            panel.fill_between(x, costs.min(axis=0), costs.max(axis=0), color=colour, alpha=0.15, lw=0)
        if options.goal is not None and options.goal[0] == "cost_free":
            panel.axhline(options.goal[1], color="#555555", lw=1.0, ls=":")
        panel.set(xlabel=PANELS[axis])
        if drawn:  # nothing has no logarithm
            panel.set(xscale="log", yscale="log")
        panel.grid(visible=True, which="major", color="#dddddd", lw=0.6)
    panels[0].set_ylabel("cost without a nudge" + (f" ({cost_unit})" if cost_unit and cost_unit != "1²" else ""))
    seeds = len({curve.seed for curve in curves})
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=min(len(labels), 6), frameon=False)
    panels[-1].set_title(f"median and range of {seeds} seed{'s' if seeds > 1 else ''}", fontsize=9, loc="right")
    with file_beside(path) as beside:
        figure.savefig(beside, format="png", dpi=110)


def _label(name: str, curves: Sequence[Curve]) -> str:
    """Name a method, with what keeps its curve from being taken for one like the others."""
    diverged = sum(curve.diverged for curve in curves)
    marks = [NOT_THE_GRADIENT] if curves[0].follows == NOT_THE_GRADIENT else []
    marks += [f"ran away in {diverged} of {len(curves)} seeds"] if diverged else []
    return f"{name} ({', '.join(marks)})" if marks else name


def grid(curves: Sequence[Curve], axis: str) -> Array:
    """Make the places along an axis at which curves are drawn: where one was evaluated, as far as all go that did not diverge."""
    every = np.unique(np.concatenate([curve.along[axis] for curve in curves]))
    return every[(every > 0) & (every <= reach(curves, axis))]
