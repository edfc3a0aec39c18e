"""What the device has learned: a curve over its data, predictions against targets, or which class is taken for which."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike
from PySide6.QtGui import QKeyEvent
from PySide6.QtWidgets import QStackedWidget, QWidget

from aeqlab.app.window.plots.confusion import Confusion
from aeqlab.app.window.plots.crosshair import Crosshair, follow_key
from aeqlab.app.window.plots.export import Column
from aeqlab.app.window.plots.graph import Graph
from aeqlab.app.window.plots.legend import Legend, Name
from aeqlab.app.window.plots.sheet import Entry, Sheet
from aeqlab.app.window.plots.thinning import Array
from aeqlab.app.window.plots.traces import Points, Trace
from aeqlab.app.window.theme import theme

HELD, NOT_HELD = "data, held", "data, not held"
FEW = 60  #: points that may be large without hiding the prediction


class LearnedFunction(Sheet):
    """Call one of the three `show_...`; a point whose theta was not held is an open triangle, others are filled circles."""

    def __init__(self, title: str = "Learned function", parent: QWidget | None = None) -> None:
        super().__init__(title, parent)
        self._columns: list[Column] = []
        self._points: list[Points] = []
        self._curve: tuple[Array, Array, str] | None = None
        self._diagonal = False
        self._off: set[str] = set()
        self._legend = Legend(self)
        self._legend.switched.connect(self._switch)
        self._head.addWidget(self._legend, 1)
        self.graph, self.confusion = Graph(self), Confusion(self)
        self._pages = QStackedWidget(self)
        self._pages.addWidget(self.graph)
        self._pages.addWidget(self.confusion)
        self._column.addWidget(self._pages, 1)
        self.crosshair = Crosshair(self.graph)
        self.graph.view_changed.connect(self.data_changed)
        self.set_awaited("the first evaluation")

    def show_function(
        self,
        x: ArrayLike,
        target: ArrayLike,
        curve_x: ArrayLike,
        curve_y: ArrayLike,
        *,
        held: ArrayLike | None = None,
        x_name: str = "input",
        x_unit: str = "",
        y_name: str = "output",
        y_unit: str = "",
    ) -> None:
        """Show the prediction as a curve over the data, for one input.

        Args:
            x, target: the data, shape (points,).
            curve_x, curve_y: what the device predicts, at the places where it was measured, shape (places,).
            held: whether theta was held when a point was last used, shape (points,); left out: not known, drawn as held.
            x_name, x_unit, y_name, y_unit: of the axes.
        """
        order = np.argsort(np.asarray(curve_x, dtype=float), kind="stable")
        xs, ys = np.asarray(curve_x, dtype=float)[order], np.asarray(curve_y, dtype=float)[order]
        self._set_points(x, target, held)
        for points in self._points:
            points.under = True  # the curve passes over its data, which would hide it; of each point the rest is seen
        self._curve, self._diagonal = (xs, ys, "prediction"), False
        self._columns += [Column(f"{x_name} of the prediction", x_unit, xs), Column("prediction", y_unit, ys)]
        self._name_columns(x_name, x_unit, "target", y_unit)
        self.graph.set_axes(x_name, x_unit, y_name, y_unit)
        self._show(self.graph)

    def show_scatter(self, target: ArrayLike, prediction: ArrayLike, *, held: ArrayLike | None = None, unit: str = "") -> None:
        """Show predictions against targets, with the diagonal on which they should lie.

        Args:
            target, prediction: any shape, the same for both; outputs of one sample count as points of their own.
            held: per sample (first axis) or per point; left out: not known, drawn as held.
            unit: of both.
        """
        targets, predictions = np.asarray(target, dtype=float), np.asarray(prediction, dtype=float)
        flags = None if held is None else np.asarray(held, dtype=bool)
        if flags is not None and flags.shape != targets.shape:
            flags = np.broadcast_to(flags.reshape(flags.shape + (1,) * (targets.ndim - flags.ndim)), targets.shape).reshape(-1)
        self._set_points(targets.reshape(-1), predictions.reshape(-1), flags)
        self._curve, self._diagonal = None, True
        self._name_columns("target", unit, "prediction", unit)
        self.graph.set_axes("target", unit, "prediction", unit)
        self._show(self.graph)

    def show_classes(self, truth: ArrayLike, predicted: ArrayLike, names: Sequence[str]) -> None:
        """Show how often each class was taken for which, as a table.

        Args:
            truth, predicted: numbers of classes, shape (samples,).
            names: of the classes.
        """
        self.confusion.show_classes(np.asarray(truth, dtype=np.intp), np.asarray(predicted, dtype=np.intp), names)
        self._columns = self.confusion.columns()
        self._show(self.confusion)

    def clear(self) -> None:
        """Show nothing, but what is awaited."""
        self._points, self._curve, self._diagonal, self._columns = [], None, False, []
        self._show(self.graph)

    def reset(self) -> None:
        """Show everything again, as a double click does."""
        self.graph.reset()

    def _show(self, page: QWidget) -> None:
        self._pages.setCurrentWidget(page)
        self._legend.setVisible(page is self.graph)
        self.data_changed()

    def _set_points(self, x: ArrayLike, y: ArrayLike, held: ArrayLike | None) -> None:
        xs, ys = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
        flags = np.ones(len(xs), dtype=bool) if held is None else np.asarray(held, dtype=bool).reshape(-1)
        if xs.ndim != 1 or xs.shape != ys.shape or flags.shape != xs.shape:
            raise ValueError(f"{len(xs)} points have {ys.size} values and {flags.size} marks of being held. Give one for each.")
        size = 7.0 if len(xs) <= FEW else 4.0
        name = HELD if held is not None else "data"
        self._points = [Points(xs[flags], ys[flags], "", "circle", True, size, name=name)]
        if not flags.all():
            self._points.append(Points(xs[~flags], ys[~flags], "", "triangle", False, size + 2, name=NOT_HELD))
        self._columns = [Column("", "", xs), Column("", "", ys)]
        if held is not None:
            self._columns.append(Column("held", "", flags.astype(int)))

    def _name_columns(self, x: str, x_unit: str, y: str, y_unit: str) -> None:
        self._columns[:2] = [Column(x, x_unit, self._columns[0].values), Column(y, y_unit, self._columns[1].values)]

    def _switch(self, name: str, on: bool) -> None:
        (self._off.discard if on else self._off.add)(name)
        self.data_changed()

    def _draw(self) -> None:
        if self._pages.currentWidget() is self.confusion:
            self.confusion.update()
            return
        for points in self._points:
            points.colour = theme().curve(0) if points.filled else theme().curve(5)
        traces: list[Trace] = []
        names = [
            Name(one.name, one.colour, one.name not in self._off, shape=one.shape, filled=one.filled) for one in self._points
        ]
        if self._curve is not None:
            x, y, name = self._curve
            traces.append(Trace(x, y, theme().curve(1), name=name))
            names.append(Name(name, theme().curve(1), name not in self._off))
        if self._diagonal:
            ends = self._extent()
            traces.append(Trace(ends, ends, theme().now.dim, dashed=True))
            names.append(Name("prediction = target", theme().now.dim, "prediction = target" not in self._off, dashed=True))
        self._legend.show_names(names)
        self.graph.over.awaited = "" if self._points or traces else self._awaited
        shown = [one for one in traces if (one.name or "prediction = target") not in self._off]
        self.graph.draw(shown, [one for one in self._points if one.name not in self._off])

    def _extent(self) -> Array:
        values = np.concatenate([one for points in self._points for one in (points.x, points.y)])
        values = values[np.isfinite(values)]
        return np.array([values.min(), values.max()]) if len(values) else np.array([0.0, 1.0])

    def columns(self) -> list[Column]:
        """Get the numbers shown."""
        return self._columns

    def entries(self) -> list[Entry]:  # noqa: D102
        return [Entry("Show everything again", "Home", self.reset), *super().entries()]

    def keyPressEvent(self, event: QKeyEvent) -> None:  # noqa: D102
        if event.modifiers() or not follow_key(event.key(), self.crosshair, self.graph):
            super().keyPressEvent(event)
