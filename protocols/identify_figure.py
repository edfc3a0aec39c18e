"""The plots of an identification: courses after a step, gains, lags and dead times with their uncertainties, who moves whom."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from aeqlab.protocols.identify import Found


def draw(found: Found, knobs: Sequence[str], path: Path) -> None:
    """Draw an identification into a PNG.

    Raises:
        OSError: it cannot be written.
    """
    from matplotlib.figure import Figure

    made = found.made
    figure = Figure(figsize=(11.0, 7.0), layout="constrained")
    axes = figure.subplots(2, 2)
    times, values = found.course
    order = np.argsort(times, axis=0)
    for k in range(min(values.shape[1], 64)):
        axes[0, 0].plot(times[order[:, k], k], values[order[:, k], k], ".-", lw=0.6, ms=3, alpha=0.6)
    axes[0, 0].set(xlabel="time since the step (s)", ylabel="answer (share of its end)", title="After a step")
    at = np.arange(len(made.gain))
    axes[0, 1].errorbar(at, made.gain, 2 * made.gain_error, fmt="o", ms=4, capsize=2)
    axes[0, 1].set(xlabel="knob", ylabel="gain", title="Gain, with two uncertainties")
    axes[1, 0].errorbar(at, 1e3 * made.lag_s, 2e3 * made.lag_error_s, fmt="o", ms=4, capsize=2, label="lag")
    axes[1, 0].errorbar(
        at + 0.2, 1e3 * made.dead_time_s, 2e3 * made.dead_time_error_s, fmt="s", ms=4, capsize=2, label="dead time"
    )
    axes[1, 0].set(xlabel="knob", ylabel="ms", title="Lag and dead time, with two uncertainties")
    axes[1, 0].legend(frameon=False)
    most = float(np.abs(found.matrix).max(initial=1e-9))
    image = axes[1, 1].imshow(found.matrix, cmap="RdBu_r", vmin=-most, vmax=most)
    axes[1, 1].set(xlabel="knob", ylabel="parameter", title="Who moves whom")
    figure.colorbar(image, ax=axes[1, 1])
    figure.suptitle(
        f"Identified {made.when}: {knobs[0]} to {knobs[-1]}" + (f"; {len(found.faults)} faults" if found.faults else "")
    )
    figure.savefig(path, dpi=110)
