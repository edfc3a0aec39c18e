"""The standard plot: named curves with their last values, a legend that switches them, marks, phases, and a crosshair."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike
from PySide6.QtGui import QKeyEvent
from PySide6.QtWidgets import QWidget

from aeqlab.app.window.plots.crosshair import Crosshair, follow_key
from aeqlab.app.window.plots.end_values import EndValue
from aeqlab.app.window.plots.export import Column
from aeqlab.app.window.plots.figures import written
from aeqlab.app.window.plots.graph import Graph, Range
from aeqlab.app.window.plots.layers import Mark, Phase
from aeqlab.app.window.plots.legend import Legend, Name
from aeqlab.app.window.plots.raster import mixed
from aeqlab.app.window.plots.sheet import Entry, Sheet
from aeqlab.app.window.plots.thinning import Array, log_of
from aeqlab.app.window.plots.traces import Points, Trace, View
from aeqlab.app.window.theme import GRID, theme

LogScale: TypeAlias = Literal["auto"] | bool
DECADES = 1.5  #: that positive data must span for the scale to turn logarithmic by itself
WRITTEN = 10  #: curves beyond which no last value is written


@dataclass(slots=True, eq=False)
class Curve:
    """One curve as it was given, and the trace made of it."""

    x: Array
    y: Array
    unit: str
    colour: str | None
    k: int
    dashed: bool
    on: bool
    band: tuple[Array, Array] | None
    stale: bool
    points: bool = False
    least: float = field(init=False)  #: finite y
    most: float = field(init=False)
    gaps: bool = field(init=False)
    _trace: Trace | None = field(init=False, default=None)
    _made_for: tuple[object, ...] = field(init=False, default=())

    def __post_init__(self) -> None:
        known = np.isfinite(self.y)
        self.gaps = not bool(known.all())
        finite = self.y[known] if self.gaps else self.y
        self.least, self.most = (float(finite.min()), float(finite.max())) if len(finite) else (np.nan, np.nan)

    @property
    def ink(self) -> str:
        """The colour it has now: greyed where its data is old."""
        colour = self.colour or theme().curve(self.k)
        return mixed(theme().now.dim, theme().now.sheet, 0.6) if self.stale else colour

    def trace(self, name: str, *, log_x: bool, log_y: bool) -> Trace:
        """Get it in coordinates of the plot; made anew only when something changed."""
        made_for = (name, self.ink, log_x, log_y)
        if self._trace is None or made_for != self._made_for:
            low, high = (None, None) if self.band is None else self.band
            if log_y:
                low, high = (None if one is None else log_of(one) for one in (low, high))
            x, y = (log_of(self.x) if log_x else self.x), (log_of(self.y) if log_y else self.y)
            self._trace, self._made_for = (
                Trace(x, y, self.ink, self.dashed, low, high, name, self.unit, gaps=None if log_y else self.gaps),
                made_for,
            )
        return self._trace

    def symbols(self, name: str, *, log_x: bool, log_y: bool) -> Points:
        """Get it as single points in coordinates of the plot."""
        x, y = (log_of(self.x) if log_x else self.x), (log_of(self.y) if log_y else self.y)
        return Points(x, y, self.ink, name=name, unit=self.unit)

    @property
    def last(self) -> float:
        """The last y that is a number; nan if there is none."""
        finite = np.flatnonzero(np.isfinite(self.y[-100:]))
        return float(self.y[-100:][finite[-1]]) if len(finite) else float("nan")


class CurvePlot(Sheet):
    """Curves against one x. Give them by `set_curve`, again whenever they grew; `redraw()` draws."""

    def __init__(self, title: str = "", parent: QWidget | None = None, *, clock: bool = False, legend: bool = True) -> None:
        """Args: clock: x is seconds since 1970, written as time of day; legend: show the names of curves."""
        super().__init__(title, parent)
        self._curves: dict[str, Curve] = {}
        self._switched: dict[str, bool] = {}
        self._log: LogScale = "auto"
        self._x_range: Range | None = None
        self.ends_written = True  #: whether the last value stands at the end of each curve
        self._legend = Legend(self)
        self._legend.setVisible(legend)
        self._head.addWidget(self._legend, 1)
        self.graph = Graph(self, clock=clock)
        self._column.addWidget(self.graph, 1)
        self._column.setContentsMargins(0, 0, GRID // 2, 0)
        self.crosshair = Crosshair(self.graph)
        self._legend.switched.connect(self.show_curve)
        self.graph.view_changed.connect(self.data_changed)

    # ---- data ----------------------------------------------------------------------------------------------------------

    def set_axes(self, x: str, x_unit: str, y: str, y_unit: str) -> None:
        """Name the axes with their units ("1" or "" where a number has none)."""
        self.graph.set_axes(x, x_unit, y, y_unit)
        self.data_changed()

    def set_curve(
        self,
        name: str,
        x: ArrayLike,
        y: ArrayLike,
        *,
        unit: str = "",
        colour: str | None = None,
        k: int | None = None,
        dashed: bool = False,
        visible: bool = True,
        band: tuple[ArrayLike, ArrayLike] | None = None,
        stale: bool = False,
        points: bool = False,
    ) -> None:
        """Show a curve, in place of the one of the same name.

        Args:
            name: as in the legend and in files.
            x, y: shape (points,); nan in y is a gap. The arrays are kept, not copied: give new ones when they grow.
            unit: of y; left out: that of the axis.
            colour: "#rrggbb"; left out: the k-th colour of the theme, k being the number of the curve.
            dashed: for what was not measured in this run, such as a reference.
            visible: whether it is shown when it appears first; afterwards the legend decides.
            band: low and high, same shape as y, drawn as a tint.
            stale: older than its period: greyed.
            points: single values with nothing between them, such as evaluations: points, no line.
        Raises:
            ValueError: the shapes differ.
        """
        xs, ys = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
        limits = None if band is None else (np.asarray(band[0], dtype=float), np.asarray(band[1], dtype=float))
        if xs.ndim != 1 or any(one.shape != xs.shape for one in (ys, *(limits or ()))):
            raise ValueError(f"curve {name}: x has shape {xs.shape}, y {ys.shape}. Give one y (and one band) for each x.")
        if k is None:
            k = self._curves[name].k if name in self._curves else len(self._curves)
        on = self._switched.get(name, visible)
        self._curves[name] = Curve(xs, ys, unit, colour, k, dashed, on, limits, stale, points)
        self.data_changed()

    def remove_curve(self, name: str) -> None:
        """Take a curve away; nothing happens if there is none of this name."""
        if self._curves.pop(name, None) is not None:
            self.data_changed()

    def clear(self) -> None:
        """Take all curves away; what the legend was set to stays."""
        self._curves.clear()
        self.data_changed()

    def names(self) -> list[str]:
        """Get the names of all curves."""
        return list(self._curves)

    def show_curve(self, name: str, on: bool) -> None:
        """Show or hide a curve, as its entry in the legend does."""
        self._switched[name] = on
        if name in self._curves:
            self._curves[name].on = on
        self.data_changed()

    def set_marks(self, marks: Sequence[Mark]) -> None:
        """Draw lines at places of x, each with a word."""
        self.graph.set_marks(marks)

    def set_phases(self, phases: Sequence[Phase]) -> None:
        """Shade stretches of x, each with a word."""
        self.graph.set_phases(phases)

    def set_levels(self, levels: Sequence[Range]) -> None:
        """Shade bands of y, such as a tolerance."""
        self.graph.set_levels(levels)

    def set_x_range(self, left: float | None, right: float | None = None) -> None:
        """Show this part of x while nobody has zoomed; None shows all."""
        self._x_range = None if left is None or right is None else (left, right)
        self.data_changed()

    # ---- scale ---------------------------------------------------------------------------------------------------------

    @property
    def log_y(self) -> bool:
        """Whether y is logarithmic now."""
        if self._log != "auto":
            return bool(self._log)
        if self.graph.zoomed:
            return self.graph.log_y  # who has zoomed keeps the scale
        shown = [curve for curve in self._curves.values() if curve.on and not np.isnan(curve.least)]
        if not shown or (least := min(curve.least for curve in shown)) <= 0:
            return False
        needed = DECADES - 0.3 if self.graph.log_y else DECADES  # once it is, it stays: no flicker at the border
        return bool(np.log10(max(curve.most for curve in shown) / least) >= needed)

    def set_log_y(self, log: LogScale) -> None:
        """Make y logarithmic or not; "auto": where positive data spans one and a half decades."""
        self._log = log
        self.graph.reset()
        self.data_changed()

    def reset(self) -> None:
        """Show everything again, as a double click does."""
        self.graph.reset()

    # ---- drawing -------------------------------------------------------------------------------------------------------

    def _draw(self) -> None:
        log_y = self.log_y
        if log_y != self.graph.log_y:
            self.graph.set_log(y=log_y)
            self.graph.zoomed = False  # what was zoomed into is no place on the new scale
        shown = {name: curve for name, curve in self._curves.items() if curve.on}
        logs = {"log_x": self.graph.log_x, "log_y": log_y}
        traces = [curve.trace(name, **logs) for name, curve in shown.items() if not curve.points]
        points = [curve.symbols(name, **logs) for name, curve in shown.items() if curve.points]
        empty = not any(len(curve.x) for curve in self._curves.values())
        self.graph.over.awaited = self._awaited if empty else ""
        self._legend.show_names(
            [
                Name(name, curve.ink, curve.on, curve.dashed, "circle" if curve.points else None)
                for name, curve in self._curves.items()
            ]
        )

        def ends(view: View, height: float) -> list[EndValue]:
            if len(shown) > WRITTEN or not self.ends_written:
                return []
            unit = self.graph.names[1][1]
            found = []
            for curve in shown.values():
                last = curve.last
                if not np.isnan(last) and (last > 0 or not log_y):
                    at = float(view.y_pixels(np.log10(last) if log_y else last, height))
                    text = written(last, curve.unit or unit) + (" (old)" if curve.stale else "")
                    found.append(EndValue(at, text, curve.ink, curve.stale))
            return found

        self.graph.draw(traces, points, x_range=self._x_range, ends=ends)

    def columns(self) -> list[Column]:
        """Get x and the curves, hidden ones too; curves of the same x share its column."""
        (x_name, x_unit), (_, y_unit) = self.graph.names
        found: list[Column] = []
        last: Array | None = None
        for name, curve in self._curves.items():
            if last is None or not (last is curve.x or np.array_equal(last, curve.x)):
                found.append(Column(x_name or "x", x_unit, curve.x))
                last = curve.x
            found.append(Column(name, curve.unit or y_unit, curve.y))
            if curve.band is not None:
                found += [
                    Column(f"{name} {which}", curve.unit or y_unit, one)
                    for which, one in zip(("low", "high"), curve.band, strict=True)
                ]
        return found

    # ---- menu and keys -------------------------------------------------------------------------------------------------

    def entries(self) -> list[Entry]:  # noqa: D102
        return [
            Entry("Show everything again", "Home", self.reset),
            Entry("Logarithmic scale", "L", lambda: self.set_log_y(not self.log_y), self.log_y),
            Entry("Choose the scale by the data", "Shift+L", lambda: self.set_log_y("auto"), self._log == "auto"),
            *super().entries(),
        ]

    def keyPressEvent(self, event: QKeyEvent) -> None:  # noqa: D102
        if event.modifiers() or not follow_key(event.key(), self.crosshair, self.graph):
            super().keyPressEvent(event)
