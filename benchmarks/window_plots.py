"""A redraw of the window's plots, offscreen: 64 traces of 10,000 new points each, and a drawing of 16 x 16 knobs.

    python benchmarks/window_plots.py [repeats]

The floor is the work no plot can leave out: the least and the greatest of each column of pixels, by numpy. The goal is 30
redraws a second: 33 ms for plot and drawing together. pyqtgraph's own curves, thinned and plain, are timed beside them.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

import numpy as np
from _bench import Bench, repeats_from

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

import pyqtgraph
from PySide6.QtWidgets import QApplication, QWidget

from aeqlab.app.window.plots.curve_plot import CurvePlot
from aeqlab.app.window.plots.device_drawing import DeviceDrawing
from aeqlab.app.window.plots.oscilloscope import Oscilloscope
from aeqlab.app.window.plots.thinning import Columns, thin_all
from aeqlab.app.window.theme import theme

TRACES, POINTS, KNOBS = 64, 10_000, 256
SIZE = (640, 400)  #: of one of the four panels of a window of 1280 x 800
FRAMES = 5

Call = Callable[[], None]
random = np.random.default_rng(1)
x = np.linspace(0.0, 10.0, POINTS)
WALKS = [random.normal(size=(TRACES, POINTS)).cumsum(1) for _ in range(2)]  #: every redraw has other data than the one before


def frames(draw: Callable[[int], None]) -> Call:
    """Make a call that draws some frames."""

    def call() -> None:
        for frame in range(FRAMES):
            draw(frame)

    return call


def on_screen() -> None:
    """Let a widget be painted, as the window does."""
    QApplication.processEvents()


def floor(width: int) -> Call:
    starts = Columns.of(x, 0.0, 10.0, width).starts

    def draw(frame: int) -> None:
        for y in WALKS[frame % 2]:
            np.minimum.reduceat(y, starts)
            np.maximum.reduceat(y, starts)

    return frames(draw)


def curves(plot: CurvePlot) -> Callable[[int], None]:
    def draw(frame: int) -> None:
        for k, y in enumerate(WALKS[frame % 2]):
            plot.set_curve(f"u{k:02d}", x, y)
        plot.redraw()
        on_screen()

    return draw


def device(drawing: DeviceDrawing) -> Callable[[int], None]:
    def draw(frame: int) -> None:
        drawing.set_values("error", random.normal(size=KNOBS), "tol")
        drawing.redraw()
        on_screen()

    return draw


def oscilloscope(scope: Oscilloscope) -> Callable[[int], None]:
    t = np.linspace(0.0, 0.9, 90)

    def draw(frame: int) -> None:
        scope.add_sample(t, random.normal(size=(90, 16)), random.normal(size=(90, 16)), 0.6)
        scope.redraw(even_if_hidden=True)
        on_screen()

    return draw


def thinned_only(frame: int) -> None:
    thin_all(x, list(WALKS[frame % 2]), SIZE[0])


def plain(widget: pyqtgraph.PlotWidget, thinned: bool) -> Callable[[int], None]:
    made = [widget.plot(pen=pyqtgraph.mkPen(theme().curve(k), width=1)) for k in range(TRACES)]
    widget.setYRange(-250.0, 250.0)
    widget.setXRange(0.0, 10.0)

    def draw(frame: int) -> None:
        ys = list(WALKS[frame % 2])
        pairs = thin_all(x, ys, SIZE[0]) if thinned else [(x, y) for y in ys]
        for curve, (xs, y) in zip(made, pairs, strict=True):
            curve.setData(xs, y, skipFiniteCheck=True)
        on_screen()

    return draw


def shown(widget: QWidget) -> QWidget:
    widget.resize(*SIZE)
    widget.show()
    return widget


def main() -> None:
    repeats = repeats_from(sys.argv, 5)
    application = QApplication([])
    theme().apply(application, dark=False)
    plot, drawing, scope = CurvePlot("64 traces"), DeviceDrawing(), Oscilloscope()
    thinned, whole = pyqtgraph.PlotWidget(), pyqtgraph.PlotWidget()
    for widget in (plot, drawing, scope, thinned, whole):
        shown(widget)
    drawing.set_grid(KNOBS)
    draw_curves, draw_device, draw_scope = curves(plot), device(drawing), oscilloscope(scope)
    for frame in range(20):  # the layout finds its place, the oscilloscope fills
        draw_scope(frame)
    for frame in range(3):
        draw_curves(frame)

    def both(frame: int) -> None:
        draw_curves(frame)
        draw_device(frame)

    bench = Bench(f"redraws of a panel of {SIZE[0]} x {SIZE[1]}")
    bench.compare(
        ("least and greatest of each column, 64 traces", floor(SIZE[0])),
        (
            "the same, thinned in order (thin_all)",
            frames(thinned_only),
            "20 ms",
        ),
        ("64 curves and 16 x 16 drawing", frames(both), "33 ms"),
        ("64 curves of 10,000 new points", frames(draw_curves), ""),
        ("16 x 16 drawing", frames(draw_device), ""),
        ("pyqtgraph's curves, thinned", frames(plain(thinned, True)), ""),
        ("pyqtgraph's curves, plain", frames(plain(whole, False)), ""),
        ("oscilloscope, 16 knobs, 20 samples overlaid", frames(draw_scope), "at its own pace"),
        repeats=repeats,
        per=FRAMES,
    )
    bench.show()


if __name__ == "__main__":
    main()
