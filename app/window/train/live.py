"""A run as it goes on, or as it went: costs, one sample triggered, what was learned, the device drawn."""

from __future__ import annotations

import numpy as np
from PySide6.QtCore import Signal
from PySide6.QtWidgets import QHBoxLayout, QPushButton, QVBoxLayout, QWidget

from aeqlab.app.window.four_panels import FourPanels
from aeqlab.app.window.models import run_curves
from aeqlab.app.window.models.run_feed import RunView
from aeqlab.app.window.models.session_feed import SessionView
from aeqlab.app.window.plots.curve_plot import CurvePlot
from aeqlab.app.window.plots.layers import Phase
from aeqlab.app.window.plots.oscilloscope import Oscilloscope
from aeqlab.app.window.plots.sheet import Sheet
from aeqlab.app.window.plots.strips import PhaseStrip
from aeqlab.app.window.train.device_panel import DevicePanel
from aeqlab.app.window.train.results import Results

SHOWN_S = 60.0  #: of the device: so much of the last traces the strip of phases shows at most


class LivePanels(QWidget):
    """Shows one run; `redraw` is called by the window's timer. `told` and `went_wrong` bring sentences for the line of messages.

    `sequence_wanted`: someone wants to see its stages.
    """

    sequence_wanted = Signal()
    told = Signal(str)
    went_wrong = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.cost, self.scope, self.device = CurvePlot("Cost"), Oscilloscope(), DevicePanel()
        self.drawing = self.device.drawing
        self.results = Results()
        self.panels = FourPanels(
            [("Cost", self.cost), ("One sample, triggered", self.scope), ("Result", self.results), ("Device", self.device)]
        )
        self.strip = PhaseStrip()
        self.sequence = QPushButton("Show sequence")
        self.sequence.setToolTip("Show the stages of the run; those to come can be changed there")
        self.sequence.clicked.connect(lambda: self.sequence_wanted.emit())
        foot = QHBoxLayout()
        foot.setContentsMargins(0, 0, 0, 0)
        foot.addWidget(self.strip, 1)
        foot.addWidget(self.sequence)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.panels, 1)
        column.addLayout(foot)
        self._sheets: tuple[Sheet, ...] = (self.cost, self.scope, *self.results.sheets, self.drawing)
        for sheet in self._sheets:
            sheet.show_title(False)  # the panel has it
            sheet.saved.connect(lambda where: self.told.emit(f"Saved {where}."))
            sheet.failed.connect(self.went_wrong)
        self.scope.show_close_up(True)  # what matters is whether it is held
        self._traced = -1  # step of the newest sample in the oscilloscope
        self._error_unit = ""  # of its samples
        self.clear()

    def clear(self, *, same_run: bool = False) -> None:
        """Show no run; or, of the same one, nothing of what came later: then what was chosen and zoomed into stays."""
        self.cost.clear()
        self.results.clear(same_run=same_run)
        self.cost.set_axes("training step", "", "cost", "")
        self.cost.set_awaited("the first training step")
        self.scope.set_awaited("the first sample whose course is kept, about one a second")
        self.device.clear()
        if not same_run:
            self.cost.reset()  # what was zoomed into is no place in another run
            self.scope.reset()
            self.scope.clear()
            self.strip.set_phases(())
            self._traced = -1
        self.sequence.setText("Show sequence")

    def set_run(self, run: RunView, session: SessionView | None) -> None:
        """Take what a run tells now; nothing is drawn before `redraw`."""
        origin = f"{run.folder.name}, {run.state}, step {_newest_step(run)}"
        if run.part < 1.0:
            origin += f"; of older steps the least and the greatest cost of every few, {run.part:.1%} of all"
        for sheet in self._sheets:
            sheet.set_origin(origin)
        self._show_costs(run)
        self._show_samples(run)
        self.results.set_run(run)
        self.device.set_run(run)
        where = "" if run.sequence is None else f": {run.sequence.where}"
        self.sequence.setText(f"Show sequence{where}")

    def redraw(self) -> None:
        """Draw what has changed."""
        for sheet in self._sheets:
            sheet.redraw()

    # the panels
    def _show_costs(self, run: RunView) -> None:
        curves = run_curves.costs_of(run)
        if curves:
            self.cost.set_axes("training step", "", "cost", curves[0].unit)
        there = {curve.name for curve in curves}
        for name in self.cost.names():
            if name not in there:
                self.cost.remove_curve(name)
        for k, curve in enumerate(curves):
            self.cost.set_curve(curve.name, curve.x, curve.y, unit=curve.unit, visible=curve.shown, k=k, points=curve.points)

    def _show_samples(self, run: RunView) -> None:
        steps, known = run.column("traces", "step"), []
        if self._traced >= 0 and not (len(steps) and steps[-1] >= self._traced):  # a resume or a replay went back to before them
            known = list(self.scope.memory.samples)
            self.scope.clear()
            self.strip.set_phases(())
            self._traced = -1
        samples = run_curves.traced_samples(run, after=self._traced)
        facts = run.facts.get("knobs", {})
        for sample in samples:
            error_unit = "tol" if sample.in_tolerances else str(run.facts.get("units", {}).get("theta", ""))
            if self._traced < 0 or error_unit != self._error_unit:  # samples in other units are no scale for one another
                self.scope.clear()
                self._error_unit = error_unit
                self.scope.set_knobs(facts.get("names", [])[: sample.u.shape[1]], facts.get("unit", ""), error_unit)
            self._traced = sample.step
            same = next((one for one in known if one.number == sample.step and np.array_equal(one.t, sample.t)), None)
            if same is not None and same.presented_at == sample.presented_s:  # with all that was worked out to draw it
                self.scope.memory.samples.append(same)
                continue
            error = np.where(np.isnan(sample.error), sample.moved, sample.error)
            clamp = None if np.isnan(sample.clamp_s) else sample.clamp_s
            self.scope.add_sample(
                sample.t, error, sample.u, clamp, number=sample.step, presented_at=sample.presented_s, terms=sample.terms
            )
        if samples:
            last = samples[-1]
            clamp_s = last.t[-1] if np.isnan(last.clamp_s) else last.clamp_s
            begun = 0.0 if np.isnan(last.nudge_s) else last.nudge_s
            phases = [Phase(0.0, begun, "free")] if begun > 0 else []
            phases.append(Phase(begun, clamp_s, "hold"))
            if clamp_s < last.t[-1]:
                phases.append(Phase(clamp_s, float(last.t[-1]), "nudge"))
            self.strip.set_range(0.0, float(last.t[-1]))
            self.strip.set_phases(phases)


def _newest_step(run: RunView) -> int:
    step = run.column("steps", "step")
    return int(step[-1]) if len(step) else 0
