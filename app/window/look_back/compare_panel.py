"""Several runs side by side: their costs in one plot, what their experiments differ in, what they found, over seeds too."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from PySide6.QtCore import Qt, QTimer, Signal
from PySide6.QtGui import QColor, QIcon, QPixmap
from PySide6.QtWidgets import (
    QAbstractItemView,
    QComboBox,
    QHBoxLayout,
    QHeaderView,
    QLabel,
    QSplitter,
    QTableWidget,
    QTableWidgetItem,
    QTabWidget,
    QVBoxLayout,
    QWidget,
)

from aeqlab.app.window.jobs import do
from aeqlab.app.window.plots.curve_plot import CurvePlot, LogScale
from aeqlab.app.window.theme import GRID, theme
from aeqlab.app.words import name_in_words, value_in_words
from aeqlab.protocols.run_curve import CostCurve, cost_curve
from aeqlab.protocols.run_differences import Comparison, compare_runs
from aeqlab.protocols.words import cost_in_words

AXES = ("samples", "device time", "wall time")
SCALES: dict[str, LogScale] = {"by the data": "auto", "logarithmic": True, "linear": False}
REDRAW_MS = 40
_UNITS = {"samples": "", "device time": "s", "wall time": "s"}
_FOUND_FIRST = (
    "test_error_rate",
    "test_cost_free",
    "train_cost_free",
    "running_cost_free",
    "held_rate",
    "skipped",
    "steps",
    "seconds",
)


class ComparePanel(QWidget):
    """Compares runs, read in a job.

    Signals:
        coloured: colour of the curve of each run that is compared, by its path.
        told: a sentence for the line of messages, and whether something went wrong.
    """

    coloured = Signal(object)
    told = Signal(str, bool)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.paths: tuple[Path, ...] = ()  #: of what is shown
        self._wanted: tuple[Path, ...] = ()  # that were asked for last
        self.curves: tuple[CostCurve, ...] = ()
        self.comparison: Comparison | None = None
        self.title = QLabel("Select two runs or more in the table and press Compare.")
        self.title.setWordWrap(True)
        self.axis = QComboBox()
        self.axis.addItems(AXES)
        self.axis.setAccessibleName("Against what the cost is drawn")
        self.axis.setToolTip("Against what the cost is drawn; times count from the begin of each run")
        self.scale = QComboBox()
        self.scale.addItems(list(SCALES))
        self.scale.setAccessibleName("Scale of the cost")
        self.scale.setToolTip("Scale of the cost; by the data: logarithmic where it spans decades (L in the plot)")
        self.plot = CurvePlot("Costs of the compared runs")
        self.plot.setMinimumHeight(15 * GRID)
        self.plot.set_awaited("two runs or more, by Compare")
        self.plot.saved.connect(lambda where: self.told.emit(f"Saved {where}.", False))
        self.plot.failed.connect(lambda text: self.told.emit(text, True))
        self.plot.told.connect(lambda text: self.told.emit(text, False))
        self.differences, self.found = _table("Differences of the experiments"), _table("What the runs found")
        tables = QTabWidget()
        tables.setDocumentMode(True)
        tables.addTab(self.differences, "differences of the experiments")
        tables.addTab(self.found, "results, mean and spread over seeds")
        top = QHBoxLayout()
        top.addWidget(self.title, 1)
        top.addWidget(QLabel("cost against"))
        top.addWidget(self.axis)
        top.addWidget(QLabel("scale"))
        top.addWidget(self.scale)
        parts = QSplitter(Qt.Orientation.Vertical)
        parts.setChildrenCollapsible(False)
        parts.addWidget(self.plot)
        parts.addWidget(tables)
        parts.setSizes([300, 120])
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(GRID)
        layout.addLayout(top)
        layout.addWidget(parts, 1)
        self.axis.currentTextChanged.connect(lambda _: self._draw())
        self.scale.currentTextChanged.connect(lambda text: self.plot.set_log_y(SCALES[text]))
        self._timer = QTimer(self)
        self._timer.setInterval(REDRAW_MS)
        self._timer.timeout.connect(self.plot.redraw)
        self._timer.start()
        theme().changed.connect(self._show)

    def compare(self, paths: Sequence[Path]) -> None:
        """Put runs side by side."""
        wanted = self._wanted = tuple(paths)
        self.title.setText(f"Reading {len(paths)} runs ...")
        do(
            self,
            lambda: (compare_runs(wanted), tuple(cost_curve(path) for path in wanted)),
            lambda found: self._take(wanted, *found),
            lambda exc: self._fail(wanted, exc),
            name="compare",
        )

    @property
    def names(self) -> tuple[str, ...]:
        """Get what the compared runs are called: by their names, with the end of the folder's where these are alike."""
        lines = () if self.comparison is None else self.comparison.lines
        names = [line.name for line in lines]
        return tuple(
            line.name if names.count(line.name) == 1 else f"{line.name} {line.path.name.rpartition('-')[2]}" for line in lines
        )

    # inside
    def _take(self, paths: tuple[Path, ...], comparison: Comparison, curves: tuple[CostCurve, ...]) -> None:
        if paths != self._wanted:
            return
        self.paths, self.comparison, self.curves = paths, comparison, curves
        self._show()

    def _fail(self, paths: tuple[Path, ...], exc: Exception) -> None:
        if paths == self._wanted:
            before = f" Shown are still the {len(self.paths)} runs before." if self.paths else ""
            self.title.setText(f"The runs cannot be compared: {exc}.{before}")

    def _show(self) -> None:
        if self.comparison is None:
            self._draw()
            return
        self.coloured.emit({path: theme().curve(k) for k, path in enumerate(self.paths)})
        missing = [*self.comparison.missing, *(curve.missing for curve in self.curves if curve.missing)]
        self.title.setText(f"{len(self.paths)} runs side by side." + "".join(f" {sentence}" for sentence in missing))
        self._draw()
        self._fill_differences(self.comparison)
        self._fill_found(self.comparison)

    def _draw(self) -> None:
        axis = self.axis.currentText()
        units = {curve.unit for curve in self.curves if curve.unit}
        free = all(curve.cost in ("", "cost_free") for curve in self.curves)
        label = "cost without a nudge" if free else "cost (which one: see the names)"
        self.plot.clear()
        self.plot.reset()  # what was zoomed into is no place on another axis
        self.plot.set_axes(axis, _UNITS[axis], label, units.pop() if len(units) == 1 else "")
        self.plot.set_origin(f"costs of {', '.join(path.name for path in self.paths)}")
        for k, (said, curve) in enumerate(zip(self._said(), self.curves, strict=False)):
            x = {"samples": curve.step, "device time": curve.t, "wall time": curve.at}[axis]
            begun = x[0] if axis != "samples" and len(x) else 0.0
            self.plot.set_curve(said, x - begun, curve.value, unit=curve.unit, k=k)

    def _said(self) -> list[str]:
        """Name the curves: which cost it is where it is not that without a nudge, and how many steps a point stands for."""
        said = []
        for name, curve in zip(self.names, self.curves, strict=False):
            which = "" if curve.cost in ("", "cost_free") else f", {cost_in_words(curve.cost)}"
            said.append(f"{name}{which}{f', means of {curve.rows:,} steps' if curve.rows > 1 else ''}")
        return said

    def _fill_differences(self, found: Comparison) -> None:
        rows = [(one.key, *one.values) for one in found.differences]
        _fill(self.differences, ("key", *self.names), rows or [("the experiments are the same", *("" for _ in found.lines))])
        self._colour_heads(self.differences)

    def _fill_found(self, found: Comparison) -> None:
        names = {one.name for group in found.groups for one in group.found}
        ordered = [*(name for name in _FOUND_FIRST if name in names), *sorted(names - set(_FOUND_FIRST))]
        several = [group for group in found.groups if len(group.runs) > 1]
        heads = ("result", *self.names, *(f"mean of {', '.join(self._place(k) for k in group.runs)}" for group in several))
        rows = []
        for name in ordered:
            each = [value_in_words(name, line.summary[name]) if name in line.summary else "" for line in found.lines]
            means = []
            for group in several:
                spread = next((one for one in group.found if one.name == name), None)
                means.append("" if spread is None else _mean(name, spread.mean, spread.spread, spread.count))
            rows.append((name_in_words(name), *each, *means))
        _fill(self.found, heads, rows)
        self._colour_heads(self.found)

    def _place(self, k: int) -> str:
        return self.names[k].rpartition(" ")[2]

    def _colour_heads(self, table: QTableWidget) -> None:
        for k in range(len(self.paths)):
            item = table.horizontalHeaderItem(k + 1)
            if item is None:
                continue
            dot = QPixmap(GRID, GRID)
            dot.fill(QColor(theme().curve(k)))
            item.setIcon(QIcon(dot))


def _table(name: str) -> QTableWidget:
    table = QTableWidget()
    table.setAccessibleName(name)
    table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
    table.setSelectionMode(QAbstractItemView.SelectionMode.ContiguousSelection)
    table.verticalHeader().hide()
    table.verticalHeader().setDefaultSectionSize(3 * GRID)
    table.setShowGrid(False)
    table.setTabKeyNavigation(False)
    return table


def _fill(table: QTableWidget, heads: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    table.clear()
    table.setColumnCount(len(heads))
    table.setRowCount(len(rows))
    table.setHorizontalHeaderLabels(list(heads))
    for row, cells in enumerate(rows):
        for column, text in enumerate(cells):
            item = QTableWidgetItem(text)
            item.setToolTip(text)
            if column:
                item.setFont(theme().font(tabular=True))
            table.setItem(row, column, item)
    table.horizontalHeader().setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
    table.horizontalHeader().setDefaultAlignment(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter)


def _mean(name: str, mean: float, spread: float, count: int) -> str:
    said = value_in_words(name, mean)
    return f"{said} ± {value_in_words(name, spread)} ({count} runs)" if count > 1 else said
