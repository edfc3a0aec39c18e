"""The device of the run drawn: where its knobs lie (grid, layers, or places from a file) and what their colours say."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QFileDialog, QHBoxLayout, QLabel, QPushButton, QVBoxLayout, QWidget

from aeqlab.app.window.jobs import do
from aeqlab.app.window.models import run_curves
from aeqlab.app.window.models.knob_places import KnobPlaces, read_places
from aeqlab.app.window.models.run_feed import RunView
from aeqlab.app.window.notice import Notice
from aeqlab.app.window.plots.colour_scale import ColourScale
from aeqlab.app.window.plots.device_drawing import DeviceDrawing
from aeqlab.app.window.theme import GRID
from aeqlab.app.window.train.form_fields import CalmCombo

GRID_, LAYERS, FILE = "in a grid", "layer by layer", "as a file says"
EDGE = 1e-9  #: of the range of a knob; so near a limit it stands at it


class DevicePanel(QWidget):
    """Shows the last sample whose course was kept: error, control, step and saturation of each knob."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.drawing, self.notice = DeviceDrawing(), Notice()
        self._names: list[str] = []
        self._sizes: list[int] = []
        self._places: KnobPlaces | None = None
        self._placed: list[str] = []  # the knobs that these are of
        self._asked = 0  # files that were asked for
        self._dialog: QFileDialog | None = None
        self.layouts = CalmCombo()
        self.layouts.addItems([GRID_, LAYERS])
        self.layouts.setAccessibleName("where knobs are drawn")
        self.layouts.setToolTip("Where the knobs are drawn: in a grid, by the blocks of the parameters, or where a file says")
        self.layouts.activated.connect(lambda _: self._place())
        self.open = QPushButton("Open places...")
        self.open.setToolTip("Open a CSV file with knob,x,y or, for knobs on edges, knob,x1,y1,x2,y2")
        self.open.clicked.connect(self.ask_file)
        line = QHBoxLayout()
        line.setContentsMargins(GRID, GRID // 2, GRID, 0)
        line.setSpacing(GRID)
        label = QLabel("Drawn")
        label.setBuddy(self.layouts)
        line.addWidget(label)
        line.addWidget(self.layouts)
        line.addWidget(self.open)
        line.addStretch(1)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        column.addLayout(line)
        column.addWidget(self.notice)
        column.addWidget(self.drawing, 1)
        self.clear()

    def clear(self) -> None:
        """Show nothing of any run; the layout that was chosen stays."""
        self.drawing.clear()
        self.drawing.set_awaited("the first sample whose course is kept")
        self._names, self._sizes = [], []

    def set_run(self, run: RunView) -> None:
        """Take what a run tells now."""
        samples = run_curves.traced_samples(run, most=1)
        if not samples:
            if run.rows("steps") and not run.facts.get("knobs", {}).get("names"):
                self.drawing.set_awaited("a course of its knobs; of a device that holds theta itself none is kept")
            return
        last, facts, units = samples[-1], run.facts.get("knobs", {}), run.facts.get("units", {})
        count = last.error.shape[1]
        names = [str(name) for name in facts.get("names", [])[:count]] or [f"u{k}" for k in range(count)]
        sizes = _sizes(run.facts.get("blocks", []), count)
        if (names, sizes) != (self._names, self._sizes):
            self._names, self._sizes = names, sizes
            self.drawing.set_names(names)
            self._place()
        unit, theta = str(facts.get("unit", "")), "tol" if last.in_tolerances else str(units.get("theta", ""))
        held = last.error[np.isfinite(last.error).all(axis=1)]
        if len(held):
            self.drawing.set_values("error", held[-1], theta, two_sided=True)
        u = last.u[-1]
        if np.isfinite(u).any():
            self.drawing.set_values("control", u, unit, two_sided=True)
            self._show_saturation(u, *(_limits(facts.get(end, []), count) for end in ("low", "high")))
        moved = last.moved[np.isfinite(last.moved).all(axis=1)]
        if len(moved):
            self.drawing.set_values("step", moved[-1], theta, two_sided=True)

    def _show_saturation(self, u: np.ndarray, low: np.ndarray, high: np.ndarray) -> None:
        """Show how much of the way from the middle of its range to its limit a knob has gone; without limits it is not known."""
        room = np.where(np.isfinite(high - low), high - low, np.nan)
        used = 100 * np.abs(2 * u - low - high) / room
        self.drawing.set_values("saturation", used, "%", scale=ColourScale(0.0, 100.0))
        self.drawing.set_saturated((u <= low + EDGE * room) | (u >= high - EDGE * room))

    # where knobs lie
    def show_layout(self, name: str) -> None:
        """Draw the knobs in one of the ways that there are."""
        self.layouts.setCurrentText(name)
        self._place()

    def open_places(self, path: Path) -> None:
        """Read a file of places in a thread, and draw the knobs there; one that does not fit is told, and nothing changes."""
        names = list(self._names)
        if not names:
            self.notice.say("There are no knobs yet: open the file once a sample was drawn.")
            return
        self._asked += 1
        asked = self._asked

        def take(found: KnobPlaces) -> None:
            if asked == self._asked:  # of several the one that was asked for last
                self._opened(path, names, found)

        def failed(exc: Exception) -> None:
            if asked == self._asked:
                said = exc.strerror if isinstance(exc, OSError) and exc.strerror else exc
                self.notice.say(f"{path.name} cannot be read: {said}." if isinstance(exc, OSError) else str(said))

        do(self, lambda: read_places(path, names), take, failed, name="reads places")

    def ask_file(self) -> None:
        """Ask for a file of places, in a dialog that keeps nothing from being used."""
        self._dialog = dialog = QFileDialog(self, "Open places of knobs", "", "Tables (*.csv);;All files (*)")
        dialog.setOption(QFileDialog.Option.DontUseNativeDialog)
        dialog.setModal(False)
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.fileSelected.connect(lambda chosen: self.open_places(Path(chosen)))
        dialog.show()

    def _opened(self, path: Path, names: list[str], found: KnobPlaces) -> None:
        self.notice.end()
        self._places, self._placed = found, names
        if self.layouts.findText(FILE) < 0:
            self.layouts.addItem(FILE)
        self.layouts.setItemData(self.layouts.findText(FILE), str(path), Qt.ItemDataRole.ToolTipRole)
        self.show_layout(FILE)

    def _place(self) -> None:
        how, count, places = self.layouts.currentText(), len(self._names), self._places
        if not count:
            return
        if how == FILE and self._placed != self._names:
            self.layouts.setCurrentText(GRID_)
            self.notice.say("The places of the file are those of other knobs: drawn in a grid. Open a file for these.")
        if how == FILE and places is not None and self._placed == self._names:
            self.drawing.set_positions(places.at, places.edges)
        elif how == LAYERS:
            self.drawing.set_layers(self._sizes)
        else:
            self.drawing.set_grid(count)


def _sizes(blocks: list[dict[str, object]], count: int) -> list[int]:
    """Get how many of the knobs that are drawn each block of parameters has."""
    found, left = [], count
    for block in blocks:
        shape = block.get("shape")
        size = min(left, math.prod(shape) if isinstance(shape, list) else 0)
        if size:
            found.append(size)
        left -= size
    return [*found, left] if left else found


def _limits(values: list[float | None], count: int) -> np.ndarray:
    found = np.full(count, np.nan)
    known = [np.nan if one is None else one for one in values[:count]]
    found[: len(known)] = known
    return found
