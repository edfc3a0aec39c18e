"""The standard plot as a person uses it, and as a file."""

from __future__ import annotations

import csv
import sys
import xml.etree.ElementTree as ET
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from PySide6.QtCore import QPoint, Qt
from PySide6.QtGui import QGuiApplication, QImage
from PySide6.QtWidgets import QApplication, QFileDialog
from pytestqt.qtbot import QtBot

from aeqlab.app.window.plots.curve_plot import CurvePlot
from aeqlab.app.window.plots.end_values import apart
from aeqlab.app.window.plots.figures import span_of_seconds, written
from aeqlab.app.window.plots.layers import Mark, Phase
from aeqlab.app.window.theme import theme

LONG_MS = 60_000  #: within which something must be so, on a busy machine
SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture
def plot(qtbot: QtBot, qapp: QApplication) -> CurvePlot:
    theme().apply(qapp, dark=False)
    made = CurvePlot("Cost")
    qtbot.addWidget(made)
    made.set_axes("step", "", "cost", "V")
    made.resize(700, 400)
    made.show()
    settle(made)
    return made


def settle(plot: CurvePlot) -> None:
    """Draw until the layout has found its place."""
    for _ in range(3):
        plot.redraw()
        plot.grab()
        QApplication.processEvents()


def inked(plot: CurvePlot, colour: str) -> np.ndarray:
    """Count the pixels of a colour in each column of the box."""
    image: QImage = plot.graph.grab().toImage().convertToFormat(QImage.Format.Format_RGB32)
    pixels = np.frombuffer(image.constBits(), dtype=np.uint32).reshape(image.height(), image.bytesPerLine() // 4)
    return np.asarray((pixels & 0xFFFFFF) == int(colour[1:], 16)).sum(axis=0)


def test_it_says_what_is_awaited_until_there_is_something(plot: CurvePlot) -> None:
    plot.set_awaited("the first step")
    settle(plot)
    assert plot.graph.over.awaited == "the first step"
    plot.set_curve("a", [0, 1], [1, 2])
    settle(plot)
    assert plot.graph.over.awaited == ""


def test_a_redraw_happens_only_when_something_changed_and_someone_can_see(plot: CurvePlot) -> None:
    plot.set_curve("a", [0, 1], [1, 2])
    settle(plot)
    assert not plot.redraw()
    plot.set_curve("a", [0, 1, 2], [1, 2, 3])
    assert plot.redraw()
    plot.hide()
    plot.set_curve("a", [0, 1, 2], [1, 2, 4])
    assert not plot.redraw()
    plot.show()
    assert plot.redraw()


def test_the_range_follows_the_data_until_someone_zooms_and_again_after_a_double_click(plot: CurvePlot, qtbot: QtBot) -> None:
    plot.set_curve("a", [0, 10], [1, 2])
    settle(plot)
    plot.set_curve("a", [0, 10, 20], [1, 2, 3])
    settle(plot)
    assert (plot.graph.view.left, plot.graph.view.right) == (0, 20)
    plot.graph.zoom(x=0.5)
    before = plot.graph.view
    plot.set_curve("a", [0, 10, 40], [1, 2, 30])
    settle(plot)
    assert plot.graph.view == before
    viewport = plot.graph._plot.viewport()
    qtbot.mouseDClick(viewport, Qt.MouseButton.LeftButton, pos=viewport.rect().center())
    settle(plot)
    assert plot.graph.view.right == 40
    assert plot.graph.view.top > 30


def test_the_wheel_counts_as_zooming(plot: CurvePlot) -> None:
    plot.set_curve("a", [0, 10], [1, 2])
    settle(plot)
    plot.graph._box.sigRangeChangedManually.emit([True, True])
    assert plot.graph.zoomed
    assert plot.redraw()


def test_data_over_decades_turns_the_scale_and_the_key_turns_it_back(plot: CurvePlot, qtbot: QtBot) -> None:
    plot.set_curve("a", [0, 1, 2], [1.0, 0.5, 0.3])
    settle(plot)
    assert not plot.graph.log_y
    plot.set_curve("a", [0, 1, 2], [1.0, 0.05, 0.003])
    settle(plot)
    assert plot.graph.log_y
    assert plot.graph.view.bottom < -2.5 < 0 < plot.graph.view.top
    qtbot.keyClick(plot, Qt.Key.Key_L)
    settle(plot)
    assert not plot.graph.log_y
    qtbot.keyClick(plot, Qt.Key.Key_L, Qt.KeyboardModifier.ShiftModifier)
    settle(plot)
    assert plot.graph.log_y
    plot.set_curve("b", [0, 1, 2], [0.0, -1.0, 1.0])
    settle(plot)
    assert not plot.graph.log_y


def test_the_legend_switches_curves_and_is_obeyed_afterwards(plot: CurvePlot, qtbot: QtBot) -> None:
    for name in ("a", "b"):
        plot.set_curve(name, [0, 1], [1, 2])
    settle(plot)
    qtbot.keyClick(plot._legend.box("b"), Qt.Key.Key_Space)
    settle(plot)
    assert [trace.name for trace in plot.graph.middle.traces] == ["a"]
    plot.set_curve("b", [0, 1], [1, 3])
    settle(plot)
    assert [trace.name for trace in plot.graph.middle.traces] == ["a"]
    assert [column.name for column in plot.columns()] == ["step", "a", "b"]


def test_the_last_value_stands_at_the_end_of_each_curve(plot: CurvePlot) -> None:
    plot.set_curve("a", [0, 1, 2], [0.0, 0.001, np.nan])
    plot.set_curve("b", [0, 1, 2], [0.0, 0.0, 0.0021], stale=True)
    settle(plot)
    assert [one.text for one in plot.graph.ends._values] == ["1.00 mV", "2.10 mV (old)"]
    assert plot.graph.middle.traces[1].colour != theme().curve(1)


@pytest.mark.parametrize("points", [2, 40_000])
def test_what_is_painted_spans_the_box_and_shows_an_outlier(plot: CurvePlot, points: int) -> None:
    y = np.zeros(points)
    y[0] = 0.0
    plot.set_curve("a", np.arange(points), y + 1, colour="#123456")
    settle(plot)
    columns = inked(plot, "#123456")
    assert (columns > 0).sum() >= plot.graph.pixels[0] - 1
    if points > 2:
        y[points // 2] = 1.0
        plot.set_curve("a", np.arange(points), y + 1, colour="#123456")
        settle(plot)
        assert inked(plot, "#123456").max() > 0.9 * plot.graph.pixels[1]


def test_the_crosshair_finds_the_nearest_point_by_pointer_and_by_key(plot: CurvePlot, qtbot: QtBot) -> None:
    plot.set_curve("a", [0, 1, 2], [0.0, 1.0, 2.0])
    plot.set_curve("b", [0, 1, 2], [2.0, 1.5, 0.0], unit="A")
    settle(plot)
    plot.crosshair.point_to((1.02, 1.48))
    assert plot.crosshair.reading == "step 1\nb 1.500 A"
    qtbot.keyClick(plot, Qt.Key.Key_Right)
    assert plot.crosshair.reading == "step 2\nb 0 A"
    qtbot.keyClick(plot, Qt.Key.Key_Down)
    assert plot.crosshair.reading == "step 2\na 2.000 V"
    qtbot.keyClick(plot, Qt.Key.Key_Escape)
    assert plot.crosshair.reading == ""


def test_shapes_that_do_not_fit_are_refused_by_name(plot: CurvePlot) -> None:
    with pytest.raises(ValueError, match=r"curve a: x has shape \(2,\), y \(3,\)"):
        plot.set_curve("a", [0, 1], [1, 2, 3])


def test_a_png_says_which_run_it_is_of(plot: CurvePlot, tmp_path: Path) -> None:
    plot.set_curve("a", [0, 1], [1, 2])
    plot.set_origin("run 20261123-062105-bench-k3f9, Θ held")
    plot.save(tmp_path / "a.png")
    image = QImage(str(tmp_path / "a.png"))
    assert image.text("Description") == "run 20261123-062105-bench-k3f9, Θ held"
    assert image.text("Title") == "Cost"
    assert image.width() == 2 * plot.width()


def test_an_svg_is_well_formed_and_holds_curves_as_lines(plot: CurvePlot, tmp_path: Path) -> None:
    plot.set_curve("this <run> & all", np.arange(5000), np.sin(np.arange(5000) / 100))
    plot.set_curve("gap", [0, 1000, 2000, 5000], [0, 1, np.nan, 1], dashed=True, band=([0, 0, 0, 0], [1, 1, 1, 1]))
    plot.set_marks([Mark(1000, "clamp")])
    plot.set_phases([Phase(2000, 3000, "nudge")])
    plot.set_origin("run x <&> y")
    settle(plot)
    plot.save(tmp_path / "a.svg")
    root = ET.parse(tmp_path / "a.svg").getroot()
    assert root.find(f"{SVG}title").text == "Cost"  # type: ignore[union-attr]
    assert root.find(f"{SVG}desc").text == "run x <&> y"  # type: ignore[union-attr]
    words = {"".join(text.itertext()).strip() for text in root.iter(f"{SVG}text")}
    assert {"step", "cost (V)", "clamp", "nudge", "this <run> & all"} <= words
    assert root.find(f".//{SVG}image") is None or not any(
        float(image.get("width", 0)) > 100 for image in root.iter(f"{SVG}image")
    )
    lines = [one for one in root.iter() if one.tag in (f"{SVG}polyline", f"{SVG}path")]
    most = max(len((one.get("points") or one.get("d") or "").split()) for one in lines)
    assert 500 < most < 2 * 2 * plot.width()  # thinned, and a line
    assert root.find(f".//{SVG}clipPath") is not None


def test_a_csv_has_units_and_the_run_and_every_number(plot: CurvePlot, tmp_path: Path) -> None:
    y = np.random.default_rng(0).normal(size=100)
    plot.set_curve("a", np.arange(100), y)
    plot.set_curve("b", np.arange(100), np.where(y > 0, y, np.nan), unit="tol")
    plot.set_curve("c", [3, 4], [5, 6])
    plot.set_origin("run x\nof bench16")
    plot.save(tmp_path / "a.csv")
    lines = (tmp_path / "a.csv").read_text(encoding="utf-8").splitlines()
    assert lines[:3] == ["# Cost", "# run x", "# of bench16"]
    rows = list(csv.reader(lines[3:]))
    assert rows[0] == ["step", "a (V)", "b (tol)", "step", "c (V)"]
    assert [float(row[1]) for row in rows[1:]] == y.tolist()
    assert rows[1 + int(np.flatnonzero(y <= 0)[0])][2] == ""
    assert rows[3][3:] == ["", ""]


def test_saving_beside_tells_how_it_went(plot: CurvePlot, qtbot: QtBot, tmp_path: Path) -> None:
    plot.set_curve("a", [0, 1], [1, 2])
    for name in ("a.csv", "a.png"):
        with qtbot.waitSignal(plot.saved, timeout=LONG_MS):
            plot.save_beside(tmp_path / name)
        assert (tmp_path / name).stat().st_size > 20
    (tmp_path / "a.csv").write_text("mine", encoding="utf-8")
    with qtbot.waitSignal(plot.saved, timeout=LONG_MS) as told:
        plot.save_beside(tmp_path / "a.csv", anew=True)  # as the dialog does, which does not ask
    assert told.args == [str(tmp_path / "a-2.csv")]
    assert (tmp_path / "a.csv").read_text(encoding="utf-8") == "mine"
    with qtbot.waitSignal(plot.failed, timeout=LONG_MS) as told:
        plot.save_beside(tmp_path / "missing" / "a.csv")
    assert "Choose another place" in told.args[0]
    with qtbot.waitSignal(plot.failed) as told:
        plot.save_beside(tmp_path / "a.bmp")
    assert ".png, .svg, .csv" in told.args[0]


def test_the_clipboard_gets_a_picture_or_a_table(plot: CurvePlot, qtbot: QtBot) -> None:
    plot.set_curve("a", [0, 1], [1, 2])
    plot.set_origin("run x")
    qtbot.keyClick(plot, Qt.Key.Key_C, Qt.KeyboardModifier.ControlModifier)
    image = QGuiApplication.clipboard().image()
    assert (image.width(), image.text("Description")) == (2 * plot.width(), "run x")
    qtbot.keyClick(plot, Qt.Key.Key_C, Qt.KeyboardModifier.ControlModifier | Qt.KeyboardModifier.ShiftModifier)
    assert QGuiApplication.clipboard().text() == "# Cost\n# run x\nstep\ta (V)\n0.0\t1.0\n1.0\t2.0\n"


def test_menu_and_dialog_keep_nothing_from_being_used(plot: CurvePlot, qtbot: QtBot) -> None:
    menu = plot.open_menu(QPoint(10, 10))
    words = [action.text() for action in menu.actions()]
    assert words[0] == "Show everything again"
    assert "Save numbers (CSV)..." in words
    menu.close()
    qtbot.keyClick(plot, Qt.Key.Key_E, Qt.KeyboardModifier.ControlModifier)
    dialog = plot.findChild(QFileDialog)
    assert dialog is not None
    assert not dialog.isModal()
    assert dialog.testOption(QFileDialog.Option.DontConfirmOverwrite), "the box that asks would keep the window from FREEZE"
    dialog.close()


@pytest.mark.parametrize("updates", [200, pytest.param(1000, marks=pytest.mark.slow)])
def test_updates_leave_no_reference_to_none_behind(plot: CurvePlot, updates: int) -> None:
    plot.resize(260, 160)
    x = np.arange(500)
    counts = []
    for k in range(50 + updates + 1):
        if k >= 50 and k % 25 == 0:
            counts.append(sys.getrefcount(None))
        plot.set_curve("a", x, np.sin(x / 30 + k))
        plot.redraw()
        QApplication.processEvents()
    # an immortal None (Python 3.12) always counts the same; before, a loss would end the interpreter after a while.
    # What other tests left behind may go at any time, but once: the change of most batches is that of the updates.
    assert abs(np.median(np.diff(counts))) < 5


def test_values_do_not_cover_each_other() -> None:
    places = apart([10, 11, 12, 200, 400], 15, 300)
    ordered = sorted(places)
    assert all(b - a >= 15 for a, b in pairwise(ordered))
    assert places[4] <= 300 - 7.5


def test_figures_as_a_person_reads_them() -> None:
    assert [written(0.0123, "V"), written(0.42, "tol"), written(1.2e-5), written(np.nan, "V"), written(999.9e-6, "s")] == [
        "12.3 mV", "0.420 tol", "1.2e-05", "no value", "1.00 ms",
    ]  # fmt: skip
    assert [span_of_seconds(s) for s in (0.3, 250, 12_000)] == ["300 ms", "4 min 10 s", "3 h 20 min"]


def test_figures_of_a_logarithmic_axis_do_not_cover_each_other(plot: CurvePlot) -> None:
    plot.set_curve("a", [0, 1, 2], [0.4, 0.05, 0.005])
    settle(plot)
    axis = plot.graph._axes["left"]
    values = [value for _, level in axis.tickValues(-2.5, 0.0, 300) for value in level]
    written_at = sorted({round(10 ** (value % 1)) for value in values if axis.tickStrings([value], 1.0, 0.0)[0]})
    assert set(written_at) <= {1, 2, 5, 10}
    assert len(written_at) >= 2


def test_figures_of_an_axis_without_a_prefix_are_those_of_the_data(qtbot: QtBot) -> None:
    plot = CurvePlot("Cost")
    qtbot.addWidget(plot)
    plot.resize(500, 300)
    plot.show()
    plot.set_axes("step", "", "cost", "")
    for unit, scaled in (("V", True), ("V²", False), ("1", False)):
        plot.set_axes("step", "", "cost", unit)
        plot.set_curve("cost", np.arange(10), np.linspace(0.01, 0.02, 10))
        settle(plot)
        axis = plot.graph._axes["left"]
        assert (axis.autoSIPrefixScale != 1.0) == scaled, unit


def test_an_axis_that_is_too_short_for_its_words_keeps_its_name(plot: CurvePlot) -> None:
    plot.set_axes("step", "", "cost without a nudge", "V")
    plot.set_curve("a", [0, 10], [0.001, 0.002])
    axis, found = plot.graph._axes["left"], {}
    for tall in (400, 170, 120):
        plot.resize(700, tall)
        settle(plot)
        found[tall] = axis.label.toPlainText().strip()
        assert axis.label.boundingRect().width() <= axis.size().height() + 2 * axis.label.document().documentMargin()
    assert found[400] == "cost without a nudge (mV)"
    assert found[170].startswith("cos")
    assert found[170].endswith("… (mV)")
    assert found[120].startswith("c")


def test_a_scale_may_be_zoomed_out_of_beyond_all_numbers(plot: CurvePlot) -> None:
    plot.set_curve("a", [0, 1, 2], [1.0, 1e-3, 1e-6])
    plot.set_log_y(True)
    settle(plot)
    plot.crosshair.point_to((5.0, 400.0))
    assert "∞" in plot.crosshair.reading
