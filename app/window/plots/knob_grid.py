"""How well every knob holds, on one scale: up to 16 as 4 x 4 triggered traces; of more, bands, a map and the worst ten."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike
from PySide6.QtCore import QEvent, Qt, Signal
from PySide6.QtGui import QKeyEvent
from PySide6.QtWidgets import QHBoxLayout, QListWidget, QListWidgetItem, QPushButton, QStackedWidget, QVBoxLayout, QWidget

from aeqlab.app.window.plots.device_drawing import DeviceDrawing
from aeqlab.app.window.plots.export import Column
from aeqlab.app.window.plots.figures import written
from aeqlab.app.window.plots.knob_cells import Cells
from aeqlab.app.window.plots.lasso import Lasso
from aeqlab.app.window.plots.oscilloscope import Oscilloscope
from aeqlab.app.window.plots.samples import FEW, KEPT, Memory, Sample
from aeqlab.app.window.plots.sheet import Entry, Sheet
from aeqlab.app.window.plots.thinning import Array
from aeqlab.app.window.theme import GRID, SMALL, theme

WORST = 10


class KnobGrid(Sheet):
    """Give it samples as the oscilloscope gets them.

    `chosen` is sent with a knob that was clicked; it is shown enlarged. `many_chosen` brings those in a box that was drawn.
    """

    chosen = Signal(int)
    many_chosen = Signal(object)

    def __init__(self, title: str = "Every knob, triggered", parent: QWidget | None = None, *, kept: int = KEPT) -> None:
        super().__init__(title, parent)
        self.memory = Memory(kept)
        self._names: list[str] = []
        self._unit = "V"
        self._settle = np.zeros(0)
        self.enlarged = -1
        self.all_button = QPushButton("All knobs")
        self.all_button.setToolTip("Shows every knob again (Esc)")
        self.all_button.setFlat(True)
        self.all_button.clicked.connect(lambda: self.choose(-1))
        self.all_button.hide()
        self._head.addStretch(1)
        self._head.addWidget(self.all_button)
        self.cells = Cells(self)
        self.large = Oscilloscope("", self)
        self.bands = Oscilloscope("", self, controls=False)
        self.map = DeviceDrawing("Settle time", self)
        self.worst = QListWidget(self)
        self.worst.setAccessibleName("the knobs that settle last")
        self.worst.itemActivated.connect(lambda item: self.choose(item.data(Qt.ItemDataRole.UserRole)))
        self.worst.itemClicked.connect(lambda item: self.choose(item.data(Qt.ItemDataRole.UserRole)))
        self.map.setMinimumHeight(16 * GRID)
        self.worst.setMinimumHeight(8 * GRID)
        self._pages = QStackedWidget(self)
        for page in (self.cells, self.large, self._many()):
            self._pages.addWidget(page)
        self._column.addWidget(self._pages, 1)
        self.cells.chosen.connect(self.choose)
        self.map.chosen.connect(self.choose)
        self.map.setToolTip("Draw a box with the mouse to choose the knobs in it; a click enlarges one")
        Lasso(self.map).chosen.connect(self.many_chosen)
        self.set_awaited("the first sample")

    def _many(self) -> QWidget:
        page = QWidget(self)
        beside = QVBoxLayout()
        beside.addWidget(self.map, 3)
        beside.addWidget(self.worst, 2)
        row = QHBoxLayout(page)
        row.setContentsMargins(0, 0, GRID, GRID)
        row.addWidget(self.bands, 3)
        row.addLayout(beside, 2)
        return page

    # ---- data -----------------------------------------------------------------------------------------------------------

    def set_knobs(self, names: Sequence[str], unit: str = "V") -> None:
        """Name the knobs, and give the unit of the controls."""
        if (list(names), unit) == (self._names, self._unit):
            return
        self._names, self._unit = list(names), unit
        self.bands.set_knobs(names, unit)
        self.map.set_names(names)
        self.data_changed()

    def set_trigger(self, words: str) -> None:
        """Say from when times count, such as "since x was presented"; samples of another trigger are forgotten."""
        if words != self.cells.trigger:
            self.cells.trigger = self.large.trigger = self.bands.trigger = words
            self.memory.samples.clear()
            self._settle = np.zeros(0)
            self.data_changed()

    def add_sample(
        self,
        t: ArrayLike,
        error_in_tol: ArrayLike,
        u: ArrayLike,
        clamp_at: float | None = None,
        *,
        settle_time_s: ArrayLike | None = None,
        end_at: float | None = None,
        number: int | None = None,
    ) -> None:
        """Show one more sample, as the newest.

        Args:
            t, error_in_tol, u, clamp_at, end_at, number: as the oscilloscope takes them.
            settle_time_s: when each knob came within its tolerance to stay, nan if it did not, shape (knobs,); left out: it
                is read off the errors.
        """
        sample = self.memory.add(t, error_in_tol, u, clamp_at, end_at, None, number, None)
        found = settle_times(sample) if settle_time_s is None else np.asarray(settle_time_s, dtype=float)
        self._settle = found
        self.data_changed()

    @property
    def names(self) -> list[str]:
        """Get the names of the knobs."""
        return list(self._names)

    @property
    def settle(self) -> Array:
        """Get when each knob came within its tolerance to stay, of the newest sample, s; nan if it did not, empty without one."""
        return self._settle.copy()

    def choose(self, knob: int) -> None:
        """Enlarge a knob, or go back to all for -1."""
        self.enlarged = knob
        self.data_changed()
        if knob >= 0:
            self.chosen.emit(knob)

    # ---- drawing --------------------------------------------------------------------------------------------------------

    def _name(self, knob: int) -> str:
        return self._names[knob] if knob < len(self._names) else f"knob {knob}"

    def _draw(self) -> None:
        self._pages.setCurrentIndex(1 if self.enlarged >= 0 else 2 if self.memory.knobs > FEW else 0)
        self._title_label.setText(self._title if self.enlarged < 0 else self._name(self.enlarged))
        self._title_label.setVisible(bool(self._title_label.text()))
        self.all_button.setVisible(self.enlarged >= 0)
        samples = list(self.memory.samples)
        if self.enlarged >= 0:
            self._fill(self.large, samples, [self.enlarged])
        elif self.memory.knobs > FEW:
            self._fill(self.bands, samples, None)
            self.map.set_values("settle time", self._settle, "s")
            self._list_worst()
        else:
            names = [self._name(k) for k in range(self.memory.knobs)]
            self.cells.show_samples(samples, names, self._settle, "" if samples else self._awaited)
        for part in (self.large, self.bands, self.map):
            part.redraw()

    def _fill(self, scope: Oscilloscope, samples: Sequence[Sample], knobs: Sequence[int] | None) -> None:
        chosen = slice(None) if knobs is None else list(knobs)
        scope.clear()
        scope.set_knobs(self._names if knobs is None else [self._name(k) for k in knobs], self._unit)
        for one in samples:
            scope.add_sample(
                one.t, one.error[:, chosen], one.u[:, chosen], one.clamp_at, end_at=one.end_at, number=one.number
            )  # fmt: skip

    def _list_worst(self) -> None:
        """List the knobs that settle last; those that did not settle come first."""
        order = np.argsort(np.where(np.isnan(self._settle), np.inf, self._settle))[::-1][:WORST]
        last = np.abs(_at_clamp(self.memory.samples[-1]))
        rows = [
            f"{self._name(int(k))}: {'not settled' if math.isnan(self._settle[k]) else written(float(self._settle[k]), 's')}, "
            f"{written(float(last[k]), 'tol', 2)}"
            for k in order
        ]
        if rows != [self.worst.item(k).text() for k in range(self.worst.count())]:
            kept = self.worst.currentRow()
            self.worst.clear()
            self.worst.setFont(theme().font(SMALL, tabular=True))
            for k, row in zip(order, rows, strict=True):
                item = QListWidgetItem(row)
                item.setData(Qt.ItemDataRole.UserRole, int(k))
                self.worst.addItem(item)
            self.worst.setCurrentRow(kept)

    def columns(self) -> list[Column]:
        """Get every knob's settle time and error at the clamp, of the newest sample."""
        if not self.memory.samples:
            return []
        count = self.memory.knobs
        return [
            Column("knob", "", np.array([self._name(k) for k in range(count)])),
            Column("settle time", "s", self._settle),
            Column("error at the clamp", "tol", _at_clamp(self.memory.samples[-1])),
        ]

    # ---- menu and keys --------------------------------------------------------------------------------------------------

    def entries(self) -> list[Entry]:  # noqa: D102
        return [Entry("Show all knobs", "Esc", lambda: self.choose(-1)), *super().entries()]

    def event(self, event: QEvent) -> bool:
        """Take Esc first while one knob is enlarged: it means all knobs then, not all panels."""
        if event.type() == QEvent.Type.ShortcutOverride and self.enlarged >= 0:
            assert isinstance(event, QKeyEvent)
            if event.key() == Qt.Key.Key_Escape:
                event.accept()
                return True
        return super().event(event)

    def keyPressEvent(self, event: QKeyEvent) -> None:  # noqa: D102
        if self._pages.currentWidget() is self.cells and self.cells.follow_key(event.key()):
            return
        super().keyPressEvent(event)


def settle_times(sample: Sample) -> Array:
    """Read off when each knob came within its tolerance and stayed until the clamp (or the end); nan if it did not."""
    end = len(sample.t) if sample.clamp_at is None else max(int(np.searchsorted(sample.t, sample.clamp_at, side="right")), 1)
    outside = ~(np.abs(sample.error[:end]) <= 1.0)  # nan counts as outside: it is not known to be held
    last = end - np.argmax(outside[::-1], axis=0)  # the first tick after the last one outside
    last[~outside.any(axis=0)] = 0
    return np.where(last < end, sample.t[np.minimum(last, end - 1)], np.nan)


def _at_clamp(sample: Sample) -> Array:
    end = len(sample.t) if sample.clamp_at is None else max(int(np.searchsorted(sample.t, sample.clamp_at, side="right")), 1)
    return np.asarray(sample.error[end - 1])
