"""The crosshair of a graph: the point nearest to the pointer, with its values; from the keyboard, from point to point."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime

import numpy as np
from PySide6.QtCore import QObject, Qt

from aeqlab.app.window.plots.figures import written
from aeqlab.app.window.plots.graph import Graph
from aeqlab.app.window.plots.traces import Points, Trace

NEAR = 40  #: px within which a point is meant
DIGITS = 4


class Crosshair(QObject):
    """Follows the pointer over one graph; `step` moves it by hand."""

    def __init__(self, graph: Graph) -> None:
        super().__init__(graph)
        self._graph = graph
        self._at: tuple[Trace | Points, int] | None = None
        graph.cursor_moved.connect(self.point_to)

    def point_to(self, place: tuple[float, float] | None) -> None:
        """Show the point nearest to a place in coordinates of the plot; None hides the crosshair."""
        over = self._graph.over
        if place is None:
            over.cross, over.reading, self._at = None, "", None
            over.update()
            return
        self._at = self._nearest(*place)
        if self._at is None:
            over.cross, over.reading = place, self._reading(*place)
            over.update()
        else:
            self._show()

    def step(self, along: int = 0, across: int = 0) -> None:
        """Move to the next point (`along`, at least a pixel away) or to another curve (`across`)."""
        drawn = self._drawn()
        if not drawn:
            return
        if self._at is None or self._at[0] not in drawn:
            self._at = (drawn[0], len(drawn[0].x) - 1)
        else:
            one, index = self._at
            if across:
                other = drawn[(drawn.index(one) + across) % len(drawn)]
                index = int(np.nanargmin(np.abs(other.x - one.x[index])))
                one = other
            if along:
                pixel = (self._graph.view.right - self._graph.view.left) / self._graph.pixels[0]
                far = np.flatnonzero(along * (one.x - one.x[index]) >= pixel)
                index = int(far[0 if along > 0 else -1]) if len(far) else index
            self._at = (one, index)
        self._show()

    @property
    def reading(self) -> str:
        """What is written beside the cross."""
        return self._graph.over.reading

    def _drawn(self) -> list[Trace | Points]:
        middle = self._graph.middle
        drawn: list[Trace | Points] = [*middle.traces, *middle.points]
        return [one for one in drawn if one.name and len(one.x)]

    def _nearest(self, x: float, y: float) -> tuple[Trace | Points, int] | None:
        view, (width, height) = self._graph.view, self._graph.pixels
        per_x, per_y = width / (view.right - view.left), height / (view.top - view.bottom)
        best, found = float(NEAR), None
        for one in self._drawn():
            near: Sequence[int] | np.ndarray = range(len(one.x))
            if isinstance(one, Trace) and one.rises:
                index = int(np.searchsorted(one.x, x))
                near = range(max(index - 1, 0), min(index + 1, len(one.x)))
            near = np.asarray(near, dtype=np.intp)
            far = np.hypot((one.x[near] - x) * per_x, (one.y[near] - y) * per_y)
            if len(far) and not np.isnan(far).all() and (least := int(np.nanargmin(far))) >= 0 and far[least] < best:
                best, found = float(far[least]), (one, int(near[least]))
        return found

    def _show(self) -> None:
        assert self._at is not None
        one, index = self._at
        over, x, y = self._graph.over, float(one.x[index]), float(one.y[index])
        over.reading = self._reading(x, y, one.name, one.unit)
        over.cross = None if math.isnan(y) else (x, y)
        over.update()

    def _reading(self, x: float, y: float, name: str = "", unit: str = "") -> str:
        (x_name, x_unit), (y_name, y_unit) = self._graph.names
        with np.errstate(over="ignore"):  # a scale that was zoomed out of may go beyond what a number holds
            x = float(np.power(10.0, x)) if self._graph.log_x else x
            y = float(np.power(10.0, y)) if self._graph.log_y else y
        if self._graph.clock:
            where = f"{datetime.fromtimestamp(x):%H:%M:%S}"
        elif abs(x) < 1e9 and x == round(x):
            where = f"{x:.0f} {x_unit}".rstrip()
        else:
            where = written(x, x_unit, max(DIGITS, len(str(int(x))) if abs(x) < 1e15 else 0))
        return f"{x_name} {where}\n{name or y_name} {written(y, unit or y_unit, DIGITS)}"


def follow_key(key: int, crosshair: Crosshair, graph: Graph) -> bool:
    """Do what a key asks of a graph: arrows move the crosshair, + and - zoom, Escape hides. Returns whether it was such a key."""
    arrows = {Qt.Key.Key_Left: (-1, 0), Qt.Key.Key_Right: (1, 0), Qt.Key.Key_Up: (0, -1), Qt.Key.Key_Down: (0, 1)}
    if key in arrows:
        along, across = arrows[Qt.Key(key)]
        crosshair.step(along=along, across=across)
    elif key in (Qt.Key.Key_Plus, Qt.Key.Key_Equal):
        graph.zoom(x=0.7)
    elif key == Qt.Key.Key_Minus:
        graph.zoom(x=1 / 0.7)
    elif key == Qt.Key.Key_PageUp:
        graph.pan(x=-0.5)
    elif key == Qt.Key.Key_PageDown:
        graph.pan(x=0.5)
    elif key == Qt.Key.Key_Escape:
        crosshair.point_to(None)
    else:
        return False
    return True
