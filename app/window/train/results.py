"""What a run found, in one panel: function, predictions, classes, images, error rates, scans; a tab for each that there is.

The newest kind of result comes to the front by itself until someone chooses a tab; that one then stays.
"""

from __future__ import annotations

import numpy as np
from PySide6.QtCore import QSignalBlocker
from PySide6.QtWidgets import QStackedWidget, QTabBar, QVBoxLayout, QWidget

from aeqlab.app.window.learned_shown import show_learned
from aeqlab.app.window.models import run_curves
from aeqlab.app.window.models.run_feed import RunView
from aeqlab.app.window.plots.curve_plot import CurvePlot
from aeqlab.app.window.plots.image_view import ImageView
from aeqlab.app.window.plots.learned_function import LearnedFunction
from aeqlab.app.window.plots.scan_plot import ScanPlot
from aeqlab.app.window.plots.sheet import Sheet

SHOWN = 40  #: images at once


class Results(QWidget):
    """Shows what was read last; `sheets` are its plots, drawn by whoever draws the others."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.learned, self.classes, self.images = LearnedFunction("Learned"), LearnedFunction("Classes"), ImageView("Images")
        self.errors, self.scan = CurvePlot("Error rate"), ScanPlot()
        self.pages: tuple[tuple[str, Sheet], ...] = (
            ("Learned", self.learned), ("Classes", self.classes), ("Images", self.images), ("Error rate", self.errors),
            ("Scan", self.scan),
        )  # fmt: skip
        self.chosen = ""  #: the tab that someone chose; empty: the newest comes to the front
        self._scanned = -1  # row of the scan that is drawn
        self.tabs = QTabBar()
        self.tabs.setDrawBase(False)
        self.tabs.setAccessibleName("Kinds of results")
        self.stack = QStackedWidget()
        for name, sheet in self.pages:
            self.tabs.addTab(name)
            self.stack.addWidget(sheet)
        self.tabs.setToolTip("What was read last without a nudge, in several ways (left, right: the next one)")
        self.tabs.tabBarClicked.connect(self._chose)
        self.tabs.currentChanged.connect(self._chose)  # by keys: what comes to the front by itself is not told
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        column.addWidget(self.tabs)
        column.addWidget(self.stack, 1)
        self.clear()

    @property
    def sheets(self) -> tuple[Sheet, ...]:
        """Get the plots."""
        return tuple(sheet for _, sheet in self.pages)

    @property
    def shown(self) -> str:
        """Get the name of the tab in front."""
        return self.tabs.tabText(self.tabs.currentIndex())

    def show_page(self, name: str) -> None:
        """Bring a tab to the front, as a click does."""
        self.chosen = name
        self._front(name)

    def clear(self, *, same_run: bool = False) -> None:
        """Show nothing of any run; or, of the same one, nothing of what came later: then the tab that was chosen stays so."""
        if not same_run:
            self.chosen = ""
            for sheet in (self.learned, self.errors, self.scan):
                sheet.reset()  # what was zoomed into is no place in another run
        self._scanned = -1
        self.errors.clear()
        self.learned.clear()
        self.errors.set_awaited("the first evaluation of data with labels")
        self.learned.set_awaited("the first reading without a nudge")
        self._show_tabs({"Learned"})
        self._front("Learned")
        self.tabs.setVisible(False)

    def set_run(self, run: RunView) -> None:
        """Take what a run tells now."""
        scan = run_curves.last_scan(run)
        learned, rates = run_curves.learned_of(run), run_curves.error_rates_of(run)
        there = {"Learned"}
        newest = "Learned"
        if learned is not None:
            show_learned(self.learned, learned)
            there |= self._show_classes(run, learned)
        for k, curve in enumerate(rates):
            self.errors.set_axes("training step", "", "error rate", "%")
            self.errors.set_curve(curve.name, curve.x, curve.y, unit="%", k=k, points=curve.points)
            there.add("Error rate")
            newest = "Error rate"
        if scan is not None and scan.means.size:
            self._show_scan(scan)
            there.add("Scan")
            if learned is None or int(run.column("scans", "step")[-1]) >= learned.step:
                newest = "Scan"
        self._show_tabs(there)
        self.tabs.setVisible(len(there) > 1)
        self._front(self.chosen if self.chosen in there else newest)

    def _front(self, name: str) -> None:
        place = [one for one, _ in self.pages].index(name)
        with QSignalBlocker(self.tabs):
            self.tabs.setCurrentIndex(place)
        self.stack.setCurrentIndex(place)

    def _show_tabs(self, there: set[str]) -> None:
        with QSignalBlocker(self.tabs):
            for k, (name, _) in enumerate(self.pages):
                self.tabs.setTabVisible(k, name in there)

    def _chose(self, index: int) -> None:
        if index >= 0:
            self.chosen = self.tabs.tabText(index)
            self.stack.setCurrentIndex(index)

    # the pages
    def _show_classes(self, run: RunView, learned: run_curves.Learned) -> set[str]:
        """Show classes and images where there are such; returns the names of their tabs."""
        classes, images = run_curves.classes_of(learned, run.data_kind), run_curves.images_of(learned, run.data_kind)
        if classes is not None:
            self.classes.show_classes(classes.truth, classes.predicted, classes.names)
        if images is not None:
            captions: list[str] = []
            wrong: list[bool] = []
            if classes is not None:
                wrong = (classes.truth != classes.predicted)[-SHOWN:].tolist()
                pairs = zip(classes.truth[-SHOWN:].tolist(), classes.predicted[-SHOWN:].tolist(), strict=True)
                captions = [
                    classes.names[said] if true == said else f"{classes.names[true]}: {classes.names[said]}"
                    for true, said in pairs
                ]
            self.images.set_images(images[-SHOWN:], name="input", unit=learned.input_unit, captions=captions, wrong=wrong)
        return {name for name, found in (("Classes", classes), ("Images", images)) if found is not None}

    def _show_scan(self, scan: run_curves.DrawnScan) -> None:
        (read, unit), first = scan.reads[0], scan.means[:, 0]
        another, self._scanned = scan.row != self._scanned, scan.row  # one that goes on is not begun anew: the zoom stays
        if len(scan.axes) == 2 and scan.shape:
            (slow, slow_unit, ys), (fast, fast_unit, xs) = scan.axes
            order_x, order_y = np.argsort(xs), np.argsort(ys)
            if another:
                self.scan.start_image(fast, fast_unit, slow, slow_unit, read, unit, xs[order_x], ys[order_y])
            grid = np.full(scan.shape, np.nan)
            grid.ravel()[scan.place] = first
            self.scan.set_image(grid[np.ix_(order_y, order_x)])
        else:
            name, its_unit, _ = scan.axes[-1]
            if another:
                self.scan.start_line(name, its_unit, read, unit)
            self.scan.set_line(scan.setpoints[:, -1], first, error=scan.deviations[:, 0], up=scan.direction >= 0)
