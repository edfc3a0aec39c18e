"""The three plots of the demo: what was learned, the cost as it fell, and how theta was held."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from aeqlab.protocols.load import Run

Array = NDArray[Any]
WINDOW = 25  #: steps of the moving mean


def draw(run: Run, folder: Path, theta: Array) -> None:
    """Draw learned.png, cost.png and homeostasis.png into a folder; `theta` is the hidden one."""
    from matplotlib.figure import Figure

    from aeqlab.app.demo import features

    s = np.asarray(run.predictions["outputs"])[:, 0]
    z = np.linspace(-1.0, 1.0, len(s))
    fine = np.linspace(-1.0, 1.0, 400)
    figure = Figure(figsize=(7.0, 4.2), layout="constrained")
    axes = figure.subplots()
    axes.plot(fine, features(fine) @ theta, color="0.6", lw=2.5, label="target, of a hidden theta")
    axes.plot(z, s, "o", ms=4, color="C0", label="the bench after training")
    axes.set(xlabel="input z (V)", ylabel="output s (V)", title=f"Learned function: {run.path.name}")
    axes.legend(frameon=False)
    figure.savefig(folder / "learned.png", dpi=130)

    steps = run.steps
    cost = np.asarray(steps["cost_1"], dtype=np.float64)
    figure = Figure(figsize=(7.0, 4.2), layout="constrained")
    axes = figure.subplots()
    number = np.arange(1, len(cost) + 1)
    axes.semilogy(number, cost, ".", ms=3, color="0.75", label="C of each sample, read under the first nudge")
    if len(cost) >= WINDOW:
        mean = np.convolve(cost, np.ones(WINDOW) / WINDOW, "valid")
        axes.semilogy(number[WINDOW - 1 :], mean, color="C0", label=f"mean of {WINDOW}")
    axes.set(xlabel="training step", ylabel="cost (V²)", title=f"Cost: {run.path.name}")
    axes.legend(frameon=False)
    figure.savefig(folder / "cost.png", dpi=130)

    figure = Figure(figsize=(7.0, 4.2), layout="constrained")
    axes = figure.subplots()
    axes.plot(number, np.asarray(steps["hold_error"], dtype=np.float64), ".", ms=3, color="C0")
    axes.axhline(1.0, color="C3", lw=1, label="tolerance")
    axes.set(
        xlabel="training step", ylabel="worst |theta - target| (tolerances)", ylim=(0, 1.5), title=f"Homeostasis: {run.path.name}"
    )
    axes.legend(frameon=False)
    figure.savefig(folder / "homeostasis.png", dpi=130)
