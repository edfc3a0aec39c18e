"""The projector: state, cost, what was learned and the device, nothing else, in type that is read from the back of a room."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QKeySequence, QShortcut
from PySide6.QtWidgets import QHBoxLayout, QLabel, QPushButton, QSplitter, QVBoxLayout, QWidget

from aeqlab.app.window.banner import StateSign, loud
from aeqlab.app.window.learned_shown import show_learned
from aeqlab.app.window.models import run_curves
from aeqlab.app.window.models.run_feed import RunView
from aeqlab.app.window.models.standing import Banner
from aeqlab.app.window.plots.curve_plot import CurvePlot
from aeqlab.app.window.plots.device_drawing import DeviceDrawing
from aeqlab.app.window.plots.figures import written
from aeqlab.app.window.plots.learned_function import LearnedFunction
from aeqlab.app.window.plots.sheet import Sheet
from aeqlab.app.window.theme import GRID, LARGE, VERMILION, theme


class Projector(QWidget):
    """Shows a run to a room. `freeze_wanted` is the one button; `back_wanted` (Esc) asks for the window as it was."""

    freeze_wanted = Signal()
    back_wanted = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.sign, self.cost = StateSign(), QLabel()
        self.cost.setTextFormat(Qt.TextFormat.PlainText)
        self.cost.setAccessibleName("Cost")
        self.freeze = QPushButton("FREEZE  F9")
        self.freeze.setToolTip("Nudge off, knobs stand still, loops stop; reading goes on (F9). F11 or Esc: back to the window")
        self.freeze.setMinimumHeight(8 * GRID)
        self.freeze.clicked.connect(self.freeze_wanted)
        head = QHBoxLayout()
        head.setSpacing(3 * GRID)
        head.addWidget(self.sign)
        head.addWidget(self.cost, 1)
        head.addWidget(self.freeze)
        column = QVBoxLayout(self)
        column.setContentsMargins(2 * GRID, 2 * GRID, 2 * GRID, 2 * GRID)
        column.setSpacing(2 * GRID)
        column.addLayout(head)
        self._column = column
        escape = QShortcut(QKeySequence(Qt.Key.Key_Escape), self)
        escape.setContext(Qt.ShortcutContext.WidgetWithChildrenShortcut)
        escape.activated.connect(self.back_wanted)
        self._folder: Path | None = None
        self._plots: QWidget | None = None
        theme().changed.connect(self._dress)
        self._dress()
        self._make_plots()

    def set_value(self, banner: Banner, run: RunView | None) -> None:
        """Take what is known now; nothing is drawn before `redraw`."""
        self.sign.setValue(banner.standing)
        if (None if run is None else run.folder) != self._folder:
            self._folder = None if run is None else run.folder
            self._make_plots()
        if run is None:
            return
        for sheet in self.sheets:
            sheet.set_origin(f"{run.folder.name}, {run.state}")
        self._show_cost(run)
        self._show_learned(run)
        self._show_device(run)

    def redraw(self) -> None:
        """Draw what has changed."""
        for sheet in self.sheets:
            sheet.redraw()

    # inside
    def _make_plots(self) -> None:
        """Begin with empty plots: nothing of one run is left standing beside another."""
        if self._plots is not None:
            self._column.removeWidget(self._plots)
            self._plots.hide()
            self._plots.deleteLater()
        self.cost.setText("no cost was read yet")
        self.curve, self.learned, self.drawing = CurvePlot(), LearnedFunction(), DeviceDrawing()
        self._knobs = 0  # that are drawn
        self.sheets: tuple[Sheet, ...] = (self.curve, self.learned, self.drawing)
        for sheet, name in zip(self.sheets, ("Cost", "Learned function", "Device"), strict=True):
            sheet.set_title("")
            sheet.setAccessibleName(name)
        self.curve.set_axes("training step", "", "cost", "")
        self.curve.set_awaited("the first training step")
        self.learned.set_awaited("the first reading without a nudge")
        self.drawing.set_awaited("the first sample whose course is kept")
        right, whole = QSplitter(Qt.Orientation.Vertical), QSplitter(Qt.Orientation.Horizontal)
        for splitter, parts in ((right, (self.learned, self.drawing)), (whole, (self.curve, right))):
            for part in parts:
                splitter.addWidget(part)
            splitter.setChildrenCollapsible(False)
            splitter.setHandleWidth(2 * GRID)
            splitter.setSizes([1000, 1000])  # alike, whatever they would like
        self._plots = whole
        self._column.addWidget(self._plots, 1)

    def _show_cost(self, run: RunView) -> None:
        curves = [curve for curve in run_curves.costs_of(run) if curve.shown]
        if not curves:
            return
        self.curve.set_axes("training step", "", "cost", curves[0].unit)
        for k, curve in enumerate(curves):
            self.curve.set_curve(curve.name, curve.x, curve.y, unit=curve.unit, k=k)
        main = next((curve for curve in curves if curve.name == run_curves.MEAN), curves[0])
        last = float(main.y[-1])
        self.cost.setText(f"{_called(main.name)}  {written(last, main.unit)}" if math.isfinite(last) else "cost not known")

    def _show_learned(self, run: RunView) -> None:
        found = run_curves.learned_of(run)
        if found is not None:
            show_learned(self.learned, found)

    def _show_device(self, run: RunView) -> None:
        samples = run_curves.traced_samples(run, most=1)
        if not samples:
            return
        last, facts = samples[-1], run.facts.get("knobs", {})
        held = last.error[np.isfinite(last.error).all(axis=1)]
        if len(held):
            count = held.shape[1]
            if count != self._knobs:
                self._knobs = count
                self.drawing.set_grid(count)
            self.drawing.set_names(facts.get("names", [])[:count])
            unit = "tol" if last.in_tolerances else str(run.facts.get("units", {}).get("theta", ""))
            self.drawing.set_values("error", held[-1], unit, two_sided=True)

    def _dress(self) -> None:
        self.cost.setFont(theme().font(LARGE, bold=True, tabular=True))
        self.freeze.setFont(theme().font(bold=True))
        self.freeze.setStyleSheet(loud(VERMILION))
        self.freeze.setMinimumWidth(self.freeze.fontMetrics().horizontalAdvance(self.freeze.text()) + 6 * GRID)


def _called(name: str) -> str:
    """Say which cost it is: what is no free cost keeps its name."""
    return f"cost, {name}" if name == run_curves.MEAN else name
