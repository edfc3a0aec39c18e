"""A run as it goes on, or as it went: costs, one sample triggered, what was learned, the device drawn."""

from __future__ import annotations

import numpy as np
from PySide6.QtCore import Signal
from PySide6.QtWidgets import QHBoxLayout, QPushButton, QStackedWidget, QVBoxLayout, QWidget

from aeqlab.app.window.four_panels import FourPanels
from aeqlab.app.window.models import run_curves
from aeqlab.app.window.models.run_feed import RunView
from aeqlab.app.window.models.session_feed import SessionView
from aeqlab.app.window.plots.curve_plot import CurvePlot
from aeqlab.app.window.plots.device_drawing import DeviceDrawing
from aeqlab.app.window.plots.layers import Phase
from aeqlab.app.window.plots.learned_function import LearnedFunction
from aeqlab.app.window.plots.oscilloscope import Oscilloscope
from aeqlab.app.window.plots.scan_plot import ScanPlot
from aeqlab.app.window.plots.sheet import Sheet
from aeqlab.app.window.plots.strips import PhaseStrip

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
        self.cost, self.scope, self.drawing = CurvePlot("Cost"), Oscilloscope(), DeviceDrawing()
        self.learned, self.scan, self.errors = LearnedFunction(), ScanPlot(), CurvePlot("Error rate")
        self.results = QStackedWidget()
        for page in (self.learned, self.scan, self.errors):
            self.results.addWidget(page)
        self.panels = FourPanels(
            [("Cost", self.cost), ("One sample, triggered", self.scope), ("Result", self.results), ("Device", self.drawing)]
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
        self._sheets: tuple[Sheet, ...] = (self.cost, self.scope, self.learned, self.scan, self.errors, self.drawing)
        for sheet in self._sheets:
            name = sheet.title
            sheet.set_title("")  # the panel has it
            sheet.setAccessibleName(name)
            sheet.saved.connect(lambda where: self.told.emit(f"Saved {where}."))
            sheet.failed.connect(self.went_wrong)
        self.scope.show_close_up(True)  # what matters is whether it is held
        self._traced = -1  # step of the newest sample in the oscilloscope
        self._knobs = 0
        self.clear()

    def clear(self) -> None:
        """Show no run."""
        self.cost.clear()
        self.errors.clear()
        self.cost.set_axes("training step", "", "cost", "")
        self.cost.set_awaited("the first training step")
        self.scope.clear()
        self.scope.set_awaited("the first sample whose course is kept, about one a second")
        self.learned.set_awaited("the first reading without a nudge")
        self.drawing.set_awaited("the first sample whose course is kept")
        self._traced, self._knobs = -1, 0
        self.sequence.setText("Show sequence")

    def set_run(self, run: RunView, session: SessionView | None) -> None:
        """Take what a run tells now; nothing is drawn before `redraw`."""
        origin = f"{run.folder.name}, {run.state}"
        for sheet in self._sheets:
            sheet.set_origin(origin)
        self._show_costs(run)
        self._show_samples(run)
        self._show_result(run)
        self._show_device(run, session)
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
            self.cost.set_curve(curve.name, curve.x, curve.y, unit=curve.unit, visible=curve.shown, k=k)

    def _show_samples(self, run: RunView) -> None:
        samples = run_curves.traced_samples(run)
        facts = run.facts.get("knobs", {})
        if samples and self._traced < 0:
            self.scope.set_knobs(facts.get("names", [])[: samples[0].u.shape[1]], facts.get("unit", ""))
        for sample in samples:
            if sample.step <= self._traced:
                continue
            self._traced = sample.step
            error = np.where(np.isnan(sample.error), sample.moved, sample.error)
            clamp = None if np.isnan(sample.clamp_s) else sample.clamp_s
            self.scope.add_sample(sample.t, error, sample.u, clamp, number=sample.step, terms=sample.terms)
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

    def _show_result(self, run: RunView) -> None:
        scans = run_curves.scans_of(run) if run.rows("scans") else []
        learned = run_curves.learned_of(run)
        rates = run_curves.error_rates_of(run)
        newest_scan = scans and (learned is None or int(run.column("scans", "step")[-1]) >= learned.step)
        if newest_scan and len(scans[-1].means):
            self._show_scan(scans[-1])
            self.results.setCurrentWidget(self.scan)
        elif rates:
            self.errors.set_axes("training step", "", "error rate", "%")
            for k, curve in enumerate(rates):
                self.errors.set_curve(curve.name, curve.x, curve.y, unit="%", k=k)
            self.results.setCurrentWidget(self.errors)
        elif learned is not None:
            self._show_learned(learned)
            self.results.setCurrentWidget(self.learned)

    def _show_learned(self, learned: run_curves.Learned) -> None:
        if learned.inputs.shape[1] == 1 and learned.outputs.shape[1] == 1:
            x = learned.inputs[:, 0]
            self.learned.show_function(
                x, learned.targets[:, 0], x, learned.outputs[:, 0], held=learned.held,
                x_name=next(iter(learned.input_names), "input"), x_unit=learned.input_unit,
                y_name=next(iter(learned.output_names), "output"), y_unit=learned.output_unit,
            )  # fmt: skip
        else:
            self.learned.show_scatter(learned.targets, learned.outputs, held=learned.held, unit=learned.output_unit)

    def _show_scan(self, scan: run_curves.DrawnScan) -> None:
        (read, unit), first = scan.reads[0], scan.means[:, 0]
        if len(scan.axes) == 2 and scan.shape:
            (slow, slow_unit, ys), (fast, fast_unit, xs) = scan.axes
            order_x, order_y = np.argsort(xs), np.argsort(ys)
            self.scan.start_image(fast, fast_unit, slow, slow_unit, read, unit, xs[order_x], ys[order_y])
            grid = np.full(scan.shape, np.nan)
            grid.ravel()[scan.place] = first
            self.scan.set_image(grid[np.ix_(order_y, order_x)])
        else:
            name, its_unit, _ = scan.axes[-1]
            self.scan.start_line(name, its_unit, read, unit)
            self.scan.set_line(scan.setpoints[:, -1], first, error=scan.deviations[:, 0], up=scan.direction >= 0)

    def _show_device(self, run: RunView, session: SessionView | None) -> None:
        samples = run_curves.traced_samples(run, most=1)
        if not samples:
            return
        last = samples[-1]
        count, facts = last.error.shape[1], run.facts.get("knobs", {})
        if count != self._knobs:
            self._knobs = count
            self.drawing.set_grid(count)
            self.drawing.set_names(facts.get("names", [])[:count])
        held = last.error[np.isfinite(last.error).all(axis=1)]
        if len(held):
            self.drawing.set_values("error", held[-1], "tol" if last.in_tolerances else facts.get("unit", ""), two_sided=True)
        u = last.u[-1]
        if np.isfinite(u).any():
            self.drawing.set_values("control", u, facts.get("unit", ""), two_sided=True)
            low, high = (
                np.array([np.nan if one is None else one for one in facts.get(end, [])[:count]]) for end in ("low", "high")
            )
            if len(low) == len(high) == count:
                self.drawing.set_saturated((u <= low + 1e-9) | (u >= high - 1e-9))
        moved = last.moved[np.isfinite(last.moved).all(axis=1)]
        if len(moved):
            self.drawing.set_values("step", moved[-1], "tol" if last.in_tolerances else facts.get("unit", ""), two_sided=True)
