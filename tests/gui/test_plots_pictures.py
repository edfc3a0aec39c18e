"""Learned function, scans, the device drawn, images and the two strips."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PySide6.QtCore import QPoint, QPointF, Qt
from PySide6.QtGui import QColor, QImage
from PySide6.QtWidgets import QApplication, QWidget
from pytestqt.qtbot import QtBot

from aeqlab.app.window.models.night import NightEvent
from aeqlab.app.window.plots import places
from aeqlab.app.window.plots.colour_scale import ColourScale
from aeqlab.app.window.plots.device_drawing import DeviceDrawing
from aeqlab.app.window.plots.image_view import ImageView
from aeqlab.app.window.plots.layers import Phase
from aeqlab.app.window.plots.learned_function import LearnedFunction
from aeqlab.app.window.plots.scan_plot import ScanPlot, edges_of
from aeqlab.app.window.plots.sheet import Sheet
from aeqlab.app.window.plots.strips import NightStrip, PhaseStrip, _told
from aeqlab.app.window.theme import theme


def shown(qtbot: QtBot, widget: QWidget, width: int = 500, height: int = 360) -> None:
    theme().apply(QApplication.instance(), dark=False)  # type: ignore[arg-type]
    qtbot.addWidget(widget)
    widget.resize(width, height)
    widget.show()
    for _ in range(2):
        if isinstance(widget, Sheet):
            widget.redraw(even_if_hidden=True)
        QApplication.processEvents()


def colour_at(widget: QWidget, place: QPointF) -> QColor:
    image: QImage = widget.grab().toImage()
    return image.pixelColor(place.toPoint())


def test_points_that_were_not_held_have_another_shape(qtbot: QtBot) -> None:
    plot = LearnedFunction()
    plot.show_function([0, 1, 2], [0, 1, 4], [0, 2, 1], [0, 3, 1], held=[True, False, True], x_name="z", x_unit="V")
    shown(qtbot, plot)
    assert [(one.shape, one.filled, len(one.x)) for one in plot.graph.middle.points] == [
        ("circle", True, 2),
        ("triangle", False, 1),
    ]
    np.testing.assert_array_equal(plot.graph.middle.traces[0].x, [0, 1, 2])
    assert [column.name for column in plot.columns()] == ["z", "target", "held", "z of the prediction", "prediction"]


def test_prediction_against_target_has_its_diagonal_and_a_mark_per_sample(qtbot: QtBot) -> None:
    plot = LearnedFunction()
    target = np.arange(6.0).reshape(3, 2)
    plot.show_scatter(target, target + 0.1, held=[True, False, True], unit="V")
    shown(qtbot, plot)
    assert [len(one.x) for one in plot.graph.middle.points] == [4, 2]
    diagonal = plot.graph.middle.traces[0]
    np.testing.assert_array_equal(diagonal.x, diagonal.y)
    with pytest.raises(ValueError, match="3 points have 2 values"):
        plot.show_function([0, 1, 2], [0, 1], [], [])


def test_classes_are_counted_in_a_table(qtbot: QtBot) -> None:
    plot = LearnedFunction()
    plot.show_classes([0, 0, 1, 2], [0, 1, 1, 2], ["a", "b", "c"])
    shown(qtbot, plot)
    assert plot.confusion.counts.tolist() == [[1, 1, 0], [0, 1, 0], [0, 0, 1]]
    assert "1 of 4 wrong" in plot.confusion.accessibleName()
    with pytest.raises(ValueError, match="outside 0 to 2"):
        plot.show_classes([0], [3], ["a", "b", "c"])


def test_a_scan_grows_with_its_ways_apart(qtbot: QtBot) -> None:
    plot = ScanPlot()
    plot.start_line("u03", "V", "theta03", "V")
    shown(qtbot, plot)
    assert plot.graph.over.awaited == "the first point"
    for k in range(5):
        plot.add_point(0.1 * k, 0.2 * k, error=0.01)
    plot.add_point(0.4, 0.9, up=False)
    plot.redraw()
    assert [(one.name, len(one.x), one.error is not None) for one in plot.graph.middle.points] == [
        ("up", 5, True),
        ("down", 1, False),
    ]
    assert [trace.dashed for trace in plot.graph.middle.traces] == [False, True]
    assert plot.columns()[0].values.tolist() == ["up"] * 5 + ["down"]


def test_an_image_shows_cells_at_their_places_and_leaves_the_others_hatched(qtbot: QtBot, tmp_path: Path) -> None:
    plot = ScanPlot()
    plot.start_image("u03", "V", "beta", "", "cost", "V", [0, 1, 2, 3], [0.0, 0.1, 1.0])
    shown(qtbot, plot)
    plot.add_cell(0, 0, 1.0)
    plot.add_cell(3, 2, 2.0)
    for _ in range(2):
        plot.redraw()
        QApplication.processEvents()
    image = plot._picture.image
    assert image is not None
    assert image.pixelColor(0, image.height() - 1).alpha() == 255  # lower left, measured
    assert image.pixelColor(image.width() - 1, 0).alpha() == 255  # upper right, measured
    assert image.pixelColor(0, 0).alpha() == 0  # upper left, not
    share = sum(image.pixelColor(0, y).alpha() == 255 for y in range(image.height())) / image.height()
    assert share == pytest.approx(0.1 / 1.5, abs=0.01)  # rows are as high as their places are apart
    plot._read_cell((3.0, 1.2))
    assert plot.graph.over.reading == "u03 3.000 V\nbeta 1.000\ncost 2.000 V"
    plot._read_cell((1.0, 0.1))
    assert plot.graph.over.reading.endswith("cost not measured")
    assert plot.columns()[2].values.tolist() == [1.0, 2.0]
    plot.save(tmp_path / "scan.svg")
    with pytest.raises(ValueError, match="does not fit"):
        plot.set_image(np.zeros((2, 2)))
    assert edges_of(np.array([2.0])).tolist() == [1.9, 2.1]


def test_a_two_sided_scale_has_its_middle_at_zero_and_nan_no_colour() -> None:
    scale = ColourScale.of(np.array([-1.0, 3.0, np.nan]))
    assert (scale.low, scale.high, scale.two_sided) == (-3.0, 3.0, True)
    low, middle, high, unknown = scale.colours(np.array([-3.0, 0.0, 3.0, np.nan])).tolist()
    assert unknown == 0
    assert len({low, middle, high}) == 3
    assert not ColourScale.of(np.array([2.0, 3.0])).two_sided
    assert ColourScale.of(np.array([0.1, -0.2]), least=1.0).high == 1.0  # within tolerance stays pale


def test_the_device_is_drawn_named_and_chosen(qtbot: QtBot) -> None:
    drawing = DeviceDrawing()
    drawing.set_grid(16)
    drawing.set_names([f"u{k:02d}" for k in range(16)])
    values = np.linspace(-2, 2, 16)
    values[3] = np.nan
    drawing.set_values("error", values, "tol")
    drawing.set_values("control", np.full(16, 0.0123), "V")
    drawing.set_saturated(np.arange(16) == 7)
    shown(qtbot, drawing)
    canvas = drawing._canvas
    spots = canvas._scaled(places.grid(16).at)
    assert [canvas.knob_at(QPointF(*spot)) for spot in spots] == list(range(16))
    low, high = (colour_at(canvas, QPointF(*spots[k])) for k in (0, 15))
    assert low.blue() > low.red()
    assert high.red() > high.blue()
    assert drawing.told_of(7) == "u07: error -0.133 tol, control 12.3 mV, at its limit"
    assert "no value" in drawing.told_of(3)
    with qtbot.waitSignal(drawing.chosen) as told:
        qtbot.mouseClick(canvas, Qt.MouseButton.LeftButton, pos=QPoint(*spots[9].astype(int)))
    assert told.args == [9]
    qtbot.keyClick(drawing, Qt.Key.Key_Right)
    qtbot.keyClick(drawing, Qt.Key.Key_Down)
    assert drawing.current == 14
    with qtbot.waitSignal(drawing.chosen) as told:
        qtbot.keyClick(drawing, Qt.Key.Key_Return)
    assert told.args == [14]
    qtbot.keyClick(drawing, Qt.Key.Key_Q)
    assert drawing.quantity == "control"


def test_saturated_knobs_are_marked_by_shape_too(qtbot: QtBot) -> None:
    drawing = DeviceDrawing()
    drawing.set_values("error", np.zeros(4), "tol")
    shown(qtbot, drawing)
    spot = QPointF(*drawing._canvas._scaled(places.grid(4).at)[2])
    before = colour_at(drawing._canvas, spot)
    drawing.set_saturated([False, False, True, False])
    drawing.redraw()
    assert colour_at(drawing._canvas, spot) != before


def test_layers_positions_and_edges(qtbot: QtBot) -> None:
    assert len(places.layers([6, 20, 2]).at) == 28
    with pytest.raises(ValueError, match="at least one knob"):
        places.layers([3, 0])
    with pytest.raises(ValueError, match="do not fit 2 nodes"):
        places.positions([[0, 0], [1, 1]], [[0, 2]])
    with pytest.raises(ValueError, match="two finite numbers"):
        places.positions([[0, np.nan]])
    drawing = DeviceDrawing()
    drawing.set_positions([[0, 0], [1, 0], [1, 1]], [[0, 1], [1, 2]])
    drawing.set_values("step", [0.1, -0.1], "V")
    shown(qtbot, drawing)
    ends = drawing._canvas._scaled(places.positions([[0, 0], [1, 0], [1, 1]], [[0, 1], [1, 2]]).ends)  # type: ignore[arg-type]
    assert [drawing._canvas.knob_at(QPointF(*spot)) for spot in ends.mean(axis=1)] == [0, 1]
    assert ends[1, 1, 1] < ends[1, 0, 1]  # y goes up


def test_images_as_tiles_tell_their_pixels(qtbot: QtBot) -> None:
    view = ImageView()
    images = np.arange(24.0).reshape(6, 2, 2)
    view.set_images(images, name="weight", unit="V")
    shown(qtbot, view)
    boxes = view._tiles.boxes()
    assert len(boxes) == 6
    assert view._tiles.told_at(boxes[4].bottomRight() - QPointF(2, 2)) == "image 4, row 1, column 1: 19.00 V"
    assert len(view.columns()[3].values) == 24
    with pytest.raises(ValueError, match="cannot be shown"):
        view.set_images(np.zeros(3))


def test_a_click_on_the_night_goes_to_the_event_or_to_the_time(qtbot: QtBot) -> None:
    strip = NightStrip()
    strip.set_range(1_000_000, 1_036_000)
    strip.set_events(
        [
            NightEvent(1_018_000, "silent", "scanner silent, frozen, went on", 1_018_014),
            NightEvent(1_009_000, "alarm", "temperature 301 K"),
        ]
    )
    shown(qtbot, strip, 720, 40)
    assert _told(strip._events[1]).endswith("scanner silent, frozen, went on (14.0 s)")
    for x, wanted in ((363, 1_018_000), (100, 1_005_000)):
        with qtbot.waitSignal(strip.chosen) as told:
            qtbot.mouseClick(strip, Qt.MouseButton.LeftButton, pos=QPoint(x, 10))
        assert told.args[0] == pytest.approx(wanted, abs=60)
    qtbot.keyClick(strip, Qt.Key.Key_Left)
    qtbot.keyClick(strip, Qt.Key.Key_Left)
    assert "temperature 301 K" in strip.accessibleDescription()
    with qtbot.waitSignal(strip.chosen) as told:
        qtbot.keyClick(strip, Qt.Key.Key_Return)
    assert told.args == [1_009_000]
    strip.set_events([NightEvent(1_001_000, "note", "coffee"), *strip._events])
    assert strip.current is not None
    assert strip.current.words == "temperature 301 K"


def test_phases_are_told_by_key(qtbot: QtBot) -> None:
    strip = PhaseStrip()
    shown(qtbot, strip, 500, 24)
    strip.set_phases([Phase(0, 0.6, "hold"), Phase(0.6, 0.9, "nudge")])
    hold, nudge = (colour_at(strip, QPointF(x, 4)) for x in (20, 480))
    assert hold != nudge
    another = PhaseStrip()
    shown(qtbot, another, 500, 24)
    another.set_phases([Phase(0, 0.3, "free"), Phase(0.3, 0.6, "hold"), Phase(0.6, 0.9, "nudge")])
    assert colour_at(another, QPointF(480, 4)) == nudge, "whatever came before it"
    qtbot.keyClick(strip, Qt.Key.Key_Left)
    assert strip.accessibleDescription() == "nudge, 300 ms"


@pytest.mark.parametrize("make", [LearnedFunction, ScanPlot, DeviceDrawing, ImageView])
@pytest.mark.parametrize("kind", [".png", ".svg", ".csv"])
def test_each_can_be_saved_even_while_empty(qtbot: QtBot, make: type[Sheet], kind: str) -> None:
    sheet = make()
    shown(qtbot, sheet)
    sheet.set_origin("run x")
    assert len(sheet.file(kind)) > 10
