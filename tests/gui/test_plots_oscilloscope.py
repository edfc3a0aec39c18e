"""The oscilloscope and the grid of knobs: what is overlaid, what is said, what is chosen."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from PySide6.QtCore import QPoint, Qt
from PySide6.QtWidgets import QApplication, QWidget
from pytestqt.qtbot import QtBot

from aeqlab.app.window.plots import oscilloscope
from aeqlab.app.window.plots.knob_grid import KnobGrid, settle_times
from aeqlab.app.window.plots.oscilloscope import Oscilloscope
from aeqlab.app.window.plots.samples import Memory, bands_of
from aeqlab.app.window.theme import theme


def shown(qtbot: QtBot, widget: QWidget) -> None:
    theme().apply(QApplication.instance(), dark=False)  # type: ignore[arg-type]
    qtbot.addWidget(widget)
    widget.resize(700, 500)
    widget.show()


def feed(widget: Oscilloscope | KnobGrid, knobs: int, samples: int, clamp_at: float | None = 0.6) -> np.ndarray:
    t = np.arange(0, 0.9, 0.01)
    random = np.random.default_rng(0)
    for k in range(samples):
        error = 9 * np.exp(-t[:, None] / np.linspace(0.05, 0.1, knobs)) + 0.1 * random.normal(size=(90, knobs))
        widget.add_sample(t, error, 0.01 * error, clamp_at, number=k)
    return t


def test_the_last_twenty_are_overlaid_the_newest_strongest_and_on_top(qtbot: QtBot) -> None:
    scope = Oscilloscope()
    shown(qtbot, scope)
    scope.set_knobs(["u00", "u01"])
    feed(scope, 2, 25)
    scope.redraw()
    traces = scope.errors.middle.traces
    assert len(traces) == 40
    assert {one.colour.upper() for one in traces[-2:]} == {theme().curve(0), theme().curve(1)}
    assert [one.name for one in traces[-2:]] == ["u00", "u01"]
    assert all(one.name == "" for one in traces[:-2])
    assert len({one.colour for one in traces}) > 30  # each age has its own strength
    assert [mark.word for mark in scope.errors.over.marks] == ["clamp"]
    assert scope.errors.under.levels == [(-1.0, 1.0)]
    assert "sample 24, with the 19 before it overlaid; worst at the clamp: u0" in scope._caption.text()


def test_the_worst_knob_is_that_at_the_clamp_not_that_of_the_nudge(qtbot: QtBot) -> None:
    memory = Memory()
    error = np.array([[9.0, 0.0], [0.1, -0.4], [5.0, 0.0]])
    sample = memory.add([0.0, 0.5, 1.0], error, error, 0.6, None, None, 1, None)
    assert sample.worst == (1, 0.4)
    assert settle_times(sample).tolist() == [0.5, 0.0]


def test_a_knob_that_left_its_tolerance_again_is_not_settled() -> None:
    memory = Memory()
    error = np.array([[9.0, 0.1, 3.0], [0.5, 0.1, 0.5], [0.5, 2.0, np.nan], [0.5, 0.3, 0.5]])
    sample = memory.add([0.0, 1.0, 2.0, 3.0], error, error, None, None, None, 1, None)
    np.testing.assert_array_equal(settle_times(sample), [1.0, 3.0, 3.0])
    sample = memory.add([0.0, 1.0, 2.0, 3.0], error, error, 2.5, None, None, 2, None)
    np.testing.assert_array_equal(settle_times(sample), [1.0, np.nan, np.nan])


def test_many_knobs_become_bands(qtbot: QtBot) -> None:
    scope = Oscilloscope()
    shown(qtbot, scope)
    feed(scope, 40, 3)
    scope.redraw()
    assert [one.name for one in scope.errors.middle.traces[-3:]] == ["median", "95 %", "max"]
    assert scope.controls.middle.traces[-1].has_band
    values = np.random.default_rng(0).normal(size=(50, 40))
    values[3, :7] = np.nan
    values[4] = np.nan
    found = bands_of(values, size=True)
    for k in (0, 3):
        np.testing.assert_allclose([one[k] for one in found], np.nanpercentile(np.abs(values[k]), (50, 95, 100)))
    assert np.isnan([one[4] for one in found]).all()


def test_rolling_chart_close_up_and_terms_are_one_key_away(qtbot: QtBot) -> None:
    scope = Oscilloscope()
    shown(qtbot, scope)
    t = feed(scope, 2, 4)
    scope.redraw()
    assert scope.errors.view.right == pytest.approx(t[-1])
    qtbot.keyClick(scope, Qt.Key.Key_R)
    scope.redraw(even_if_hidden=True)
    assert scope.errors.view.right == pytest.approx(4 * t[-1])
    assert [phase.word for phase in scope.errors.under.phases] == ["nudged"] * 4
    qtbot.keyClick(scope, Qt.Key.Key_T)
    scope.redraw(even_if_hidden=True)
    assert (scope.errors.view.bottom, scope.errors.view.top) == (-3, 3)
    qtbot.keyClick(scope, Qt.Key.Key_P)
    scope.redraw(even_if_hidden=True)
    assert scope.terms.over.awaited == "a sample with P, I and D; this one was recorded without"
    one = np.zeros((90, 2))
    scope.add_sample(t, one, one, 0.6, terms={"P": one, "I": one + 1, "D": one})
    scope.redraw(even_if_hidden=True)
    assert [trace.name for trace in scope.terms.middle.traces] == ["P of knob 0", "I of knob 0", "D of knob 0"]
    assert "terms" not in scope.terms.over.awaited
    scope.resize(620, 250)  # the panel of Train in a window of 1280 x 800
    for terms, graphs in ((False, (scope.errors, scope.controls)), (True, (scope.errors, scope.terms))):
        scope.show_terms(terms)
        for _ in range(3):
            scope.redraw(even_if_hidden=True)
            QApplication.processEvents()
        words = [graph._axes["left"].label.toPlainText().strip() for graph in graphs]
        assert words == ["error (tol)", "P, I, D (V)" if terms else "control (mV)"], "each axis has its name and its unit"
        assert graphs[1].pixels[1] > 0.6 * graphs[0].pixels[1], "the words below the lowest are not taken from its curves"


def test_graphs_share_x_and_nothing_moves_it_while_one_is_zoomed(qtbot: QtBot) -> None:
    scope = Oscilloscope()
    shown(qtbot, scope)
    feed(scope, 2, 2)
    scope.redraw(even_if_hidden=True)
    scope.controls.zoom(x=0.5)
    wanted = (scope.controls.view.left, scope.controls.view.right)
    assert (scope.errors.view.left, scope.errors.view.right) == wanted
    feed(scope, 2, 2)
    scope.redraw(even_if_hidden=True)
    assert (scope.errors.view.left, scope.errors.view.right) == wanted
    qtbot.keyClick(scope, Qt.Key.Key_Home)
    scope.redraw(even_if_hidden=True)
    assert scope.errors.view.right == pytest.approx(0.89)


def test_a_fast_run_leaves_the_window_most_of_its_time(qtbot: QtBot, monkeypatch: pytest.MonkeyPatch) -> None:
    scope = Oscilloscope()
    shown(qtbot, scope)
    feed(scope, 16, 20)
    times = iter([100.0, 100.05, 100.1, 100.3, 100.35])  # a redraw takes 50 ms
    monkeypatch.setattr(oscilloscope, "time", SimpleNamespace(monotonic=lambda: next(times)))
    assert scope.redraw()
    feed(scope, 16, 1)
    assert not scope.redraw()  # at once again: no
    assert scope.redraw()


def test_a_wrong_shape_is_refused_and_nothing_is_lost(qtbot: QtBot) -> None:
    scope = Oscilloscope()
    qtbot.addWidget(scope)
    feed(scope, 2, 1)
    with pytest.raises(ValueError, match=r"sample 7: t has shape \(3,\), error \(2, 2\)"):
        scope.add_sample([0, 1, 2], np.zeros((2, 2)), np.zeros((2, 2)), number=7)
    with pytest.raises(ValueError, match="no tick"):
        scope.add_sample([], np.zeros((0, 2)), np.zeros((0, 2)))
    assert len(scope.memory.samples) == 1
    names = [f"{one.name} {one.unit}".strip() for one in scope.columns()]
    assert names == ["sample", "since x was presented s", "error knob 0 tol", "error knob 1 tol", "u knob 0 V", "u knob 1 V"]


def test_sixteen_knobs_on_one_scale_a_click_enlarges_and_escape_goes_back(qtbot: QtBot) -> None:
    grid = KnobGrid()
    shown(qtbot, grid)
    grid.set_knobs([f"u{k:02d}" for k in range(16)])
    feed(grid, 16, 3)
    grid.redraw()
    boxes = grid.cells.boxes()
    assert len(boxes) == 16
    assert boxes[15].bottom() < grid.cells.height()
    assert boxes[3].right() < grid.cells.width()
    with qtbot.waitSignal(grid.chosen) as told:
        qtbot.mouseClick(grid.cells, Qt.MouseButton.LeftButton, pos=boxes[6].center().toPoint())
    assert told.args == [6]
    grid.redraw()
    assert grid.large.isVisible()
    assert [one.name for one in grid.large.errors.middle.traces][-1] == "u06"
    qtbot.keyClick(grid, Qt.Key.Key_Escape)
    grid.redraw()
    assert grid.cells.isVisible()
    for key in (Qt.Key.Key_Down, Qt.Key.Key_Right):
        qtbot.keyClick(grid, key)
    assert grid.cells.current == 11
    assert b"u15" in grid.file(".svg")


def test_of_many_knobs_the_worst_ten_are_listed_with_those_not_settled_first(qtbot: QtBot) -> None:
    grid = KnobGrid()
    shown(qtbot, grid)
    grid.set_knobs([f"u{k:03d}" for k in range(64)])
    t = np.linspace(0, 1, 50)
    settle = np.linspace(0.01, 0.64, 64)
    settle[5] = np.nan
    grid.add_sample(t, np.zeros((50, 64)), np.zeros((50, 64)), settle_time_s=settle)
    grid.redraw()
    assert grid.worst.count() == 10
    assert grid.worst.item(0).text().startswith("u005: not settled")
    assert grid.worst.item(1).text().startswith("u063: 640 ms")
    with qtbot.waitSignal(grid.chosen) as told:
        place: QPoint = grid.worst.visualItemRect(grid.worst.item(1)).center()
        qtbot.mouseClick(grid.worst.viewport(), Qt.MouseButton.LeftButton, pos=place)
    assert told.args == [63]
    assert [one.name for one in grid.columns()] == ["knob", "settle time", "error at the clamp"]
