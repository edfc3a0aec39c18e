"""A coordinate system with the manners of this window: axes with units, zoom that nothing moves, layers painted fast.

It is pyqtgraph's plot item with our layers in its box. Ranges are computed here from what is drawn, and only while nobody has
zoomed. `draw()` is called by a sheet, at the rate of the window's timer.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import pyqtgraph
from PySide6.QtCore import QEvent, QObject, QPointF, Qt, Signal
from PySide6.QtGui import QColor, QFontMetricsF
from PySide6.QtWidgets import QVBoxLayout, QWidget

from aeqlab.app.window.plots.axes import Axis, ClockAxis
from aeqlab.app.window.plots.end_values import EndValue, EndValues
from aeqlab.app.window.plots.figures import PREFIXED, labelled
from aeqlab.app.window.plots.layers import Mark, Middle, Over, Phase, Under
from aeqlab.app.window.plots.thinning import Array, Columns
from aeqlab.app.window.plots.traces import Points, Trace, View
from aeqlab.app.window.theme import GRID, SMALL, theme

MARGIN = 0.04  #: of the range, left free above and below what is drawn
Range = tuple[float, float]


class Graph(QWidget):
    """One coordinate system.

    `view_changed` is sent when the range or the size changed and a redraw is due; `cursor_moved` with the place of the pointer in
    coordinates of the plot, or with None where it left.
    """

    view_changed = Signal()
    cursor_moved = Signal(object)
    clicked = Signal(float, float)

    def __init__(self, parent: QWidget | None = None, *, clock: bool = False) -> None:
        """Args: clock: x is seconds since 1970 and is written as time of day."""
        super().__init__(parent)
        self._axes = {"left": Axis("left"), "bottom": ClockAxis("bottom") if clock else Axis("bottom")}
        self._plot = pyqtgraph.PlotWidget(axisItems=self._axes, enableMenu=False)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._plot)
        item = self._plot.getPlotItem()
        item.hideButtons()
        item.setMenuEnabled(False)
        self._plot.setCacheMode(self._plot.CacheModeFlag.CacheNone)  # a ground kept as a picture would be one in SVG files too
        self._plot.setFrameShape(self._plot.Shape.NoFrame)
        self._plot.setFocusPolicy(Qt.FocusPolicy.NoFocus)  # keys belong to the sheet
        self._box = item.getViewBox()
        self._box.disableAutoRange()
        self._box.setDefaultPadding(0)
        self.clock = clock
        self.under, self.middle, self.over = Under(self._box, -10), Middle(self._box, 10), Over(self._box, 20)
        self.ends = EndValues()
        item.layout.addItem(self.ends, 2, 3)
        item.layout.setContentsMargins(0, GRID, 0, 0)  # half a figure stands above the uppermost tick
        self._axes["bottom"].setStyle(hideOverlappingLabels=False)
        self.log_x = self.log_y = False
        self.zoomed = False
        self._x_words = True
        self.group: list[Graph] = [self]  #: all that show the same part of x
        self.fixed_y: Range | None = None
        self._box.sigRangeChangedManually.connect(self._was_zoomed)
        self._box.sigRangeChanged.connect(self._moved)
        self._box.sigResized.connect(self._moved)
        scene = self._plot.scene()
        scene.sigMouseMoved.connect(self._pointed)
        scene.sigMouseClicked.connect(self._was_clicked)
        self._plot.viewport().installEventFilter(self)
        theme().changed.connect(self.follow_theme)
        self.set_axes("", "", "", "")
        self.follow_theme()

    # ---- axes ----------------------------------------------------------------------------------------------------------

    def set_axes(self, x: str, x_unit: str, y: str, y_unit: str) -> None:
        """Name both axes with their units."""
        for side, name, unit in (("bottom", x, x_unit), ("left", y, y_unit)):
            axis = self._axes[side]
            prefixed = unit in PREFIXED and not (side == "bottom" and self.clock)
            axis.enableAutoSIPrefix(prefixed)
            if prefixed:
                axis.setLabel(name, units=unit)
            else:
                axis.setLabel(labelled(name, unit) if name else "")
        self.names = ((x, x_unit), (y, y_unit))
        self._axes["bottom"].showLabel(self._x_words and bool(x))

    def set_log(self, *, x: bool | None = None, y: bool | None = None) -> None:
        """Say which axis is logarithmic; what is drawn must be given as log10 there."""
        self.log_x = self.log_x if x is None else x
        self.log_y = self.log_y if y is None else y
        for axis, log in (("bottom", self.log_x), ("left", self.log_y)):
            if not (axis == "bottom" and self.clock):
                self._axes[axis].setLogMode(x=log, y=log)

    def show_x_words(self, on: bool) -> None:
        """Show name and figures of x, or leave them out where another graph stands below with the same x."""
        self._x_words = on
        self._axes["bottom"].setStyle(showValues=on)
        self._axes["bottom"].showLabel(on and bool(self.names[0][0]))
        self._axes["bottom"].setHeight(None if on else GRID)

    def follow_theme(self) -> None:
        """Take the colours and the font in use."""
        now, font = theme().now, theme().font(SMALL, tabular=True)
        self._plot.setBackground(now.sheet)
        metrics = QFontMetricsF(font)
        for axis in self._axes.values():
            axis.setPen(now.line)
            axis.setTextPen(now.text)
            axis.setTickFont(font)
            axis.label.setFont(font)
            axis.label.setDefaultTextColor(QColor(now.text))
        if self._x_words:  # large type needs more room below than the axis takes by itself
            self._axes["bottom"].setHeight(round(2.8 * metrics.height()) if theme().projected else None)
        self._axes["left"].setWidth(round(metrics.horizontalAdvance("−0.0000") + metrics.height()) + GRID + 4)
        self.view_changed.emit()

    # ---- view ----------------------------------------------------------------------------------------------------------

    @property
    def view(self) -> View:
        """What is shown now."""
        (left, right), (bottom, top) = self._box.viewRange()
        return View(left, right, bottom, top)

    @property
    def pixels(self) -> tuple[float, float]:
        """Width and height of the box."""
        rect = self._box.rect()
        return max(rect.width(), 1.0), max(rect.height(), 1.0)

    def link_x(self, other: Graph) -> None:
        """Show the same part of x as another graph, whoever moves it."""
        # pyqtgraph's own link shifts the range of views that lie apart on the screen, or are hidden
        self.group = other.group
        self.group.append(self)

    def _tell_group(self) -> None:
        view = self.view
        for graph in self.group:
            if graph is not self:
                graph._box.setXRange(view.left, view.right, padding=0)

    def reset(self) -> None:
        """Show everything again, also in graphs that are linked."""
        for graph in self.group:
            graph.zoomed = False
            graph.view_changed.emit()

    def zoom(self, x: float = 1.0, y: float = 1.0) -> None:
        """Zoom by hand: a factor below 1 shows less."""
        self.zoomed = True
        self._box.scaleBy((x, y))
        self._tell_group()

    def pan(self, x: float = 0.0, y: float = 0.0) -> None:
        """Move by hand, by parts of what is shown."""
        view = self.view
        self.zoomed = True
        self._box.translateBy(x=x * (view.right - view.left), y=y * (view.top - view.bottom))
        self._tell_group()

    # ---- drawing -------------------------------------------------------------------------------------------------------

    def draw(
        self,
        traces: Sequence[Trace],
        points: Sequence[Points] = (),
        *,
        x_range: Range | None = None,
        ends: Callable[[View, float], Sequence[EndValue]] | None = None,
    ) -> None:
        """Draw these, and fit what is shown to them unless someone has zoomed.

        Args:
            traces, points: in coordinates of the plot, later ones over earlier ones.
            x_range: what of x to show; left out: all there is.
            ends: called with the view and the height of the box, for the values at the right.
        """
        (width, height), ratio = self.pixels, self._plot.devicePixelRatioF()
        left, right = self.view.left, self.view.right
        if not any(graph.zoomed for graph in self.group):
            left, right = x_range or _x_range(traces, points)
        bottom, top = self.view.bottom, self.view.top
        if not self.zoomed:
            bottom, top = self.fixed_y or self._y_range(traces, points, left, right, max(round(width * ratio), 1))
        if (left, right, bottom, top) != (self.view.left, self.view.right, self.view.bottom, self.view.top):
            self._box.blockSignals(True)
            self._box.setRange(xRange=(left, right), yRange=(bottom, top), padding=0)
            self._box.blockSignals(False)
            for side, low, high in (("bottom", left, right), ("left", bottom, top)):
                axis = self._axes[side]
                if tuple(axis.range) != (low, high):  # an axis whose range is set makes all its figures anew
                    axis.setRange(low, high)
        view = View(left, right, bottom, top)
        self.middle.traces, self.middle.points = traces, points
        self.middle.rasterise(view, self._box.rect(), ratio)
        self.under.grid = (self._ticks("bottom", left, right, width), self._ticks("left", bottom, top, height))
        self.under.show_view(view, self._box.rect())
        self.over.show_view(view, self._box.rect())
        self.ends.show_values(() if ends is None else ends(view, height))
        wide = max(graph.ends.needed for graph in self.group if graph is self or not graph.isHidden())
        for graph in self.group:
            graph.ends.widen(wide)

    def _y_range(self, traces: Sequence[Trace], points: Sequence[Points], left: float, right: float, columns: int) -> Range:
        shared: dict[int, Columns] = {}
        low, high = math.inf, -math.inf
        for trace in traces:
            if trace.rises and len(trace.x):
                trace.spans(left, right, columns, shared)
                low, high = min(low, trace.reach[0]), max(high, trace.reach[1])
            else:
                low, high = _wider(low, high, trace.y, trace.y)
        for one in points:
            error = 0.0 if one.error is None else np.nan_to_num(one.error)
            low, high = _wider(low, high, one.y - error, one.y + error)
        return _with_margin(low, high)

    def _ticks(self, side: str, low: float, high: float, size: float) -> list[float]:
        levels = self._axes[side].tickValues(low, high, size)
        return list(levels[0][1]) if levels else []

    # ---- what the person does ------------------------------------------------------------------------------------------

    def to_plot(self, scene_place: QPointF) -> tuple[float, float]:
        """Turn a place in the scene into coordinates of the plot."""
        place = self._box.mapSceneToView(scene_place)
        return place.x(), place.y()

    def _was_zoomed(self, *_: object) -> None:
        self.zoomed = True
        self._tell_group()
        self.view_changed.emit()

    def _moved(self, *_: object) -> None:
        view, rect = self.view, self._box.rect()
        for layer in (self.under, self.middle, self.over):
            layer.show_view(view, rect)
        self.view_changed.emit()

    def _pointed(self, place: QPointF) -> None:
        self.cursor_moved.emit(self.to_plot(place) if self._box.sceneBoundingRect().contains(place) else None)

    def _was_clicked(self, event: object) -> None:
        if not event.double() and event.button() == Qt.MouseButton.LeftButton:  # type: ignore[attr-defined]
            self.clicked.emit(*self.to_plot(event.scenePos()))  # type: ignore[attr-defined]

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Hear a double click anywhere on the plot, on its axes too."""
        if event.type() == QEvent.Type.MouseButtonDblClick:
            self.reset()
        return False

    def leaveEvent(self, event: object) -> None:  # noqa: D102
        self.cursor_moved.emit(None)

    def set_phases(self, phases: Sequence[Phase]) -> None:
        """Shade stretches of x."""
        self.under.phases = self.over.phases = list(phases)
        self.under.update()
        self.over.update()

    def set_levels(self, levels: Sequence[Range]) -> None:
        """Shade bands of y, such as a tolerance."""
        self.under.levels = list(levels)
        self.under.update()

    def set_marks(self, marks: Sequence[Mark]) -> None:
        """Draw lines at places of x, each with a word."""
        self.over.marks = list(marks)
        self.over.update()


def _wider(low: float, high: float, less: Array, more: Array) -> Range:
    one, other = np.fmin.reduce(less, initial=np.inf), np.fmax.reduce(more, initial=-np.inf)
    return min(low, float(one)) if np.isfinite(one) else low, max(high, float(other)) if np.isfinite(other) else high


def _x_range(traces: Sequence[Trace], points: Sequence[Points]) -> Range:
    low, high = math.inf, -math.inf
    for trace in traces:
        if trace.rises and len(trace.x):
            low, high = min(low, float(trace.x[0])), max(high, float(trace.x[-1]))
        else:
            low, high = _wider(low, high, trace.x, trace.x)
    free = 0.0
    for one in points:
        low, high = _wider(low, high, one.x, one.x)
        free = MARGIN
    if not low < high:
        return _with_margin(low, high)
    return low - free * (high - low), high + free * (high - low)


def _with_margin(low: float, high: float) -> Range:
    if low > high:
        return 0.0, 1.0
    free = MARGIN * (high - low) if high - low > 1e-12 * max(abs(low), abs(high)) else max(0.1 * abs(low), 1e-9)
    return low - free, high + free
