"""A bump drawn: where theta was told to go, where the model said it would be, and where it was, of the knobs that went worst."""

from __future__ import annotations

import numpy as np
from PySide6.QtWidgets import QWidget

from aeqlab.app.window.plots.curve_plot import CurvePlot
from aeqlab.app.window.plots.layers import Mark
from aeqlab.app.window.theme import theme
from aeqlab.protocols.bump import Bumped

MOST = 4  #: knobs that are drawn: those that settled last
PREDICTED = "predicted"


class BumpPlot(CurvePlot):
    """Shows one bump: measured in full lines, predicted dashed, the target dotted grey."""

    def __init__(self, title: str = "Bump", parent: QWidget | None = None) -> None:
        super().__init__(title, parent)
        self.ends_written = False  # all end where they began
        self.found: Bumped | None = None
        self.drawn: tuple[int, ...] = ()  #: places in the bump of the knobs that are drawn
        self.clear_bump()
        theme().changed.connect(self._draw_anew)

    def clear_bump(self) -> None:
        """Show none."""
        self.found, self.drawn = None, ()
        self.clear()
        self.set_marks([])
        self.set_axes("since the first step", "s", "theta less where it was", "V")
        self.set_awaited("a bump: it steps the targets of the chosen knobs up and down")

    @property
    def note(self) -> str:
        """Say which knobs are drawn, where that is not all of them."""
        if self.found is None or len(self.drawn) == len(self.found.knobs):
            return ""
        return f"the {len(self.drawn)} of {len(self.found.knobs)} that settled last"

    def show_bump(self, found: Bumped) -> None:
        """Draw a bump, its four courses one after another."""
        self.found = found
        worst = np.argsort(-np.where(np.isnan(found.settle_s), np.inf, found.settle_s), kind="stable")[:MOST]
        self.drawn = tuple(int(k) for k in worst)
        starts = np.concatenate([[0.0], np.cumsum([float(one.t[-1]) for one in found.courses])])
        t = np.concatenate([start + one.t for start, one in zip(starts, found.courses, strict=False)])
        measured = np.concatenate([one.measured for one in found.courses])
        predicted = np.concatenate([one.predicted for one in found.courses])
        self.clear()
        self.set_axes("since the first step", "s", "theta less where it was", found.unit)
        for j, k in enumerate(self.drawn):
            name = found.names[k]
            self.set_curve(name, t, measured[:, k], unit=found.unit, k=j)
            self.set_curve(f"{name} {PREDICTED}", t, predicted[:, k], unit=found.unit, k=j, dashed=True)
        gone, corners, heights = 0.0, [0.0], [0.0]
        first = self.drawn[0]
        for start, end, one in zip(starts[:-1], starts[1:], found.courses, strict=True):
            gone += float(one.step[first])
            corners += [float(start), float(end)]
            heights += [gone, gone]
        self.set_curve("target", corners, heights, unit=found.unit, colour=theme().now.dim, k=len(self.drawn))
        self.set_marks([Mark(float(at), one.way) for at, one in zip(starts, found.courses, strict=False)])

    def _draw_anew(self) -> None:
        if self.found is not None:
            self.show_bump(self.found)
