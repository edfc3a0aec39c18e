"""A run in the workspace Train, on real records: oscilloscope with P, I and D; results; the device drawn; files of each."""

from __future__ import annotations

import sys
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PySide6.QtCore import Qt
from PySide6.QtGui import QGuiApplication, QImage
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

sys.path.insert(0, str(Path(__file__).parents[1] / "protocols"))
from run_helpers import SMALL, experiment

from aeqlab.app.window.models import run_curves
from aeqlab.app.window.models.knob_places import KnobPlaces, read_places
from aeqlab.app.window.models.run_feed import RunFeed, RunView
from aeqlab.app.window.train import device_panel
from aeqlab.app.window.train.device_panel import FILE, GRID_, LAYERS
from aeqlab.app.window.train.live import LivePanels
from aeqlab.protocols import load_run
from aeqlab.protocols.run import run_experiment

PID = """
name: held-by-pid
seed: 3
device: {kind: slow, energy: linear, epsilon: 0.1, options: {frequencies: 3}}
data: {kind: legendre, degree: 4, samples: 8, test_samples: 4}
homeostasis: {controller: pid, kp: 0.2, kd: 0.01}
sequence:
  - train: {method: centered, beta: 0.2, sham_every: 5}
  - evaluate: {}
then: freeze
"""
WIDE_MS = 60_000  #: a loaded machine may take its time


def view_of(folder: Path, text: str) -> RunView:
    """Run an experiment here, and read it as the window does."""
    folder.mkdir(exist_ok=True)
    result = run_experiment(experiment(folder, text), runs=folder / "runs")
    feed, found = RunFeed(), []
    feed.changed.connect(found.append)
    feed.follow(result.folder)
    steps = len(load_run(result.folder).steps)
    QtBot(None).waitUntil(  # type: ignore[arg-type]
        lambda: bool(found) and found[-1].rows("steps") == steps and found[-1].sequence is not None, timeout=WIDE_MS
    )
    feed.close()
    return found[-1]  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
def pid(qapp: object, tmp_path_factory: pytest.TempPathFactory) -> RunView:
    return view_of(tmp_path_factory.mktemp("pid"), PID)


@pytest.fixture
def panels(qtbot: QtBot) -> LivePanels:
    made = LivePanels()
    qtbot.addWidget(made)
    made.resize(1280, 640)
    made.show()
    return made


def test_what_p_i_and_d_did_is_recorded_and_drawn(qtbot: QtBot, pid: RunView, panels: LivePanels) -> None:
    samples = run_curves.traced_samples(pid)
    assert samples
    for sample in samples:
        assert list(sample.terms) == ["P", "I", "D"]
        held = sample.t <= sample.clamp_s
        free = held & (sample.t < sample.nudge_s) if np.isfinite(sample.nudge_s) else held
        together = sum(np.nan_to_num(part) for part in sample.terms.values())
        assert np.abs(together[free]).max() > 0
        moved = sample.u[free] - sample.u[free][0]
        np.testing.assert_allclose(moved, together[free] - together[free][0], atol=1e-9)  # no limit was met
        assert all(np.isnan(part[~held]).all() for part in sample.terms.values())

    panels.set_run(pid, None)
    scope = panels.scope
    qtbot.mouseClick(scope.switches["terms"], Qt.MouseButton.LeftButton)
    scope.redraw(even_if_hidden=True)
    assert [trace.name[0] for trace in scope.terms.middle.traces] == ["P", "I", "D"]
    assert "below what P, I, D did to it" in scope._caption.text()
    assert [mark.word for mark in scope.errors.over.marks] == ["clamp"]
    assert scope.errors.under.levels == [(-1.0, 1.0)]
    qtbot.mouseClick(scope.switches["rolling"], Qt.MouseButton.LeftButton)
    assert scope.rolling
    scope.redraw(even_if_hidden=True)
    assert [phase.word for phase in scope.errors.under.phases] == ["nudged"] * len(samples)


def test_a_law_without_a_part_says_so_and_an_older_record_says_it_has_none(
    qtbot: QtBot, tmp_path: Path, panels: LivePanels
) -> None:
    view = view_of(tmp_path, SMALL)
    assert list(run_curves.traced_samples(view)[-1].terms) == ["I"]
    panels.set_run(view, None)
    panels.scope.show_terms(True)
    panels.scope.redraw(even_if_hidden=True)
    assert "the law has no P and no D" in panels.scope._caption.text()
    for name in ("p", "i", "d"):
        view.tables["traces"].pop(name)
    assert run_curves.traced_samples(view)[-1].terms == {}
    panels.clear()
    panels.set_run(view, None)
    panels.scope.redraw(even_if_hidden=True)
    assert "recorded without" in panels.scope.terms.over.awaited


def test_evaluations_are_points_and_the_curve_passes_over_its_data(qtbot: QtBot, pid: RunView, panels: LivePanels) -> None:
    panels.set_run(pid, None)
    panels.cost.redraw(even_if_hidden=True)
    assert [one.name for one in panels.cost.graph.middle.points] == ["cost on the test set"]
    assert "cost" in [one.name for one in panels.cost.graph.middle.traces]
    learned = panels.results.learned
    learned.redraw(even_if_hidden=True)
    assert panels.results.shown == "Learned"
    assert [trace.name for trace in learned.graph.middle.traces] == ["prediction"]
    assert all(points.under for points in learned.graph.middle.points)


def test_the_device_is_drawn_in_three_ways_with_four_quantities(
    qtbot: QtBot, pid: RunView, panels: LivePanels, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    panels.set_run(pid, None)
    device, drawing = panels.device, panels.drawing
    drawing.redraw(even_if_hidden=True)
    words = [drawing._which.itemText(k) for k in range(drawing._which.count())]
    assert words == ["error", "control", "saturation", "step"]
    names = pid.facts["knobs"]["names"]
    count = len(names)
    for word in words:
        drawing.show_quantity(word)
        drawing.redraw(even_if_hidden=True)
        assert drawing.quantity == word
        assert len(drawing._quantities[word].values) == count
    device.show_layout(LAYERS)
    assert drawing._places is not None
    assert not drawing._places.square
    rows = "\n".join(f"{name},{k},{k % 2}" for k, name in reversed(list(enumerate(names))))
    (tmp_path / "places.csv").write_text(f"knob,x,y\n{rows}\n", encoding="utf-8")
    device.open_places(tmp_path / "places.csv")
    qtbot.waitUntil(lambda: device.layouts.currentText() == FILE, timeout=WIDE_MS)
    np.testing.assert_array_equal(drawing._places.at[:, 0], np.arange(count))
    edges = "\n".join(f"{k},0,{k + 1},0" for k in range(count))
    (tmp_path / "edges.csv").write_text(f"x1,y1,x2,y2\n{edges}\n", encoding="utf-8")
    device.open_places(tmp_path / "edges.csv")
    qtbot.waitUntil(lambda: drawing._places is not None and drawing._places.ends is not None, timeout=WIDE_MS)
    drawing.redraw(even_if_hidden=True)
    assert drawing.told_of(0).startswith(str(names[0]))
    go_on = threading.Event()

    def slowly(path: Path, names: list[str]) -> KnobPlaces:
        if path.name == "places.csv":
            go_on.wait(60)
        return read_places(path, names)

    monkeypatch.setattr(device_panel, "read_places", slowly)
    device.open_places(tmp_path / "places.csv")
    device.open_places(tmp_path / "edges.csv")
    go_on.set()
    qtbot.waitUntil(lambda: not any(one.name == "reads places" for one in threading.enumerate()), timeout=WIDE_MS)
    QApplication.processEvents()
    assert drawing._places.ends is not None, "the file that was asked for last is the one that is shown"
    (tmp_path / "few.csv").write_text("knob,x,y\nu0,1,1\n", encoding="utf-8")
    device.open_places(tmp_path / "few.csv")
    qtbot.waitUntil(lambda: not device.notice.isHidden(), timeout=WIDE_MS)
    assert "no place for" in device.notice.label.text()
    assert drawing._places.ends is not None, "what was drawn stays"
    facts = pid.facts | {"knobs": pid.facts["knobs"] | {"names": [f"other{k}" for k in range(count)]}}
    panels.clear()
    panels.set_run(replace(pid, facts=facts), None)
    assert device.layouts.currentText() == GRID_, "places of other knobs are not those of these"
    assert "other knobs" in device.notice.label.text()


def test_nothing_of_one_run_is_left_standing_beside_another(qtbot: QtBot, pid: RunView, panels: LivePanels) -> None:
    panels.set_run(pid, None)
    panels.redraw()
    panels.results.show_page("Learned")
    panels.cost.graph.zoom(x=0.5)
    panels.clear(same_run=True)
    assert panels.cost.graph.zoomed, "whoever looks back in the same run stays where they have zoomed"
    assert panels.results.chosen == "Learned"
    panels.set_run(pid, None)
    panels.clear()
    assert not panels.cost.graph.zoomed
    learned = panels.results.learned
    learned.redraw(even_if_hidden=True)
    assert learned.graph.over.awaited == "the first reading without a nudge"
    assert learned.columns() == []


def test_a_sham_step_is_not_drawn_as_a_part_of_the_step_before(pid: RunView) -> None:
    traces, sample = pid.tables["traces"], run_curves.traced_samples(pid)[-1]
    rows = np.flatnonzero(traces["step"] == sample.step)
    later = {name: one[rows] for name, one in traces.items()}
    for k, t in enumerate(later["t"]):
        later["t"][k] = t + 100.0
    both = {name: np.concatenate([one, later[name]]) for name, one in traces.items()}
    found = run_curves.traced_samples(replace(pid, tables=pid.tables | {"traces": both}))
    assert [one.step for one in found] == [one.step for one in run_curves.traced_samples(pid)]
    np.testing.assert_array_equal(found[-1].t, sample.t)
    (last,) = run_curves.traced_samples(replace(pid, tables=pid.tables | {"traces": both}), most=1)
    assert last.presented_s == sample.presented_s


def with_one_before(run: RunView) -> RunView:
    """Put a copy of the last traced sample before it, as the sample of the step before: a quick run may have traced but one."""
    traces = run.tables["traces"]
    rows = np.flatnonzero(traces["step"] == traces["step"][-1])
    earlier = {name: one[rows] for name, one in traces.items()}
    earlier["step"] = earlier["step"] - 1
    for k, t in enumerate(earlier["t"]):
        earlier["t"][k] = t - 100.0
    both = {name: np.concatenate([earlier[name], one[rows]]) for name, one in traces.items()}
    return replace(run, tables=run.tables | {"traces": both})


def test_samples_that_a_resume_superseded_are_taken_away(pid: RunView, panels: LivePanels) -> None:
    pid = with_one_before(pid)
    panels.set_run(pid, None)
    traces = pid.tables["traces"]
    last = traces["step"][-1]
    assert [one.number for one in panels.scope.memory.samples] == [last - 1, last]
    before = traces["step"] < last
    panels.set_run(replace(pid, tables=pid.tables | {"traces": {name: one[before] for name, one in traces.items()}}), None)
    assert [one.number for one in panels.scope.memory.samples] == [last - 1]
    panels.set_run(pid, None)
    tolerance = np.full(len(traces["step"]), None, dtype=object)
    panels.clear()
    panels.set_run(replace(pid, tables=pid.tables | {"traces": {name: one[before] for name, one in traces.items()}}), None)
    assert panels.scope._error_unit == "tol"
    panels.set_run(replace(pid, tables=pid.tables | {"traces": traces | {"tolerance": tolerance}}), None)
    assert [one.number for one in panels.scope.memory.samples] == [last], "errors in other units are not drawn among them"
    assert panels.scope._error_unit != "tol"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a,b\n1,2\n", "its first line is 'a,b'"),
        ("knob,x,y\nu0,1,1\nu0,2,2\n", "u0 has a place already"),
        ("knob,x,y\nu9,1,1\n", "there is no knob 'u9'"),
        ("knob,x,y\nu0,1,one\n", "row 1, y: 'one' is no number"),
        ("", "its first line is ''"),
    ],
)
def test_a_file_of_places_with_a_mistake_is_refused_with_its_row(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "p.csv").write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=r"p\.csv") as raised:
        read_places(tmp_path / "p.csv", ["u0", "u1"])
    assert said in str(raised.value)


def test_images_of_digits_are_shown_with_what_they_were_taken_for(qtbot: QtBot, tmp_path: Path, panels: LivePanels) -> None:
    pytest.importorskip("sklearn")
    pytest.importorskip("torch")
    from aeqlab.protocols.experiment import preset_text

    text = preset_text("digits")
    view = view_of(tmp_path, text[: text.index("sequence:")] + "sequence:\n  - evaluate: {samples: 50}\nthen: freeze\n")
    panels.set_run(view, None)
    results = panels.results
    there = [results.tabs.tabText(k) for k in range(results.tabs.count()) if results.tabs.isTabVisible(k)]
    assert there == ["Learned", "Classes", "Images", "Error rate"]
    results.show_page("Images")
    panels.set_run(view, None)
    assert results.shown == "Images", "what someone chose stays in front"
    results.images.redraw(even_if_hidden=True)
    learned = run_curves.learned_of(view)
    assert learned is not None
    classes = run_curves.classes_of(learned, view.data_kind)
    assert classes is not None
    np.testing.assert_array_equal(results.images._images[-1].reshape(-1), learned.inputs[-1])
    wrong = int((classes.truth != classes.predicted)[-40:].sum())
    assert sum(results.images._wrong) == wrong
    true, said = int(classes.truth[-1]), int(classes.predicted[-1])
    assert results.images._captions[-1] == (str(true) if true == said else f"{true}: {said}")
    results.classes.redraw(even_if_hidden=True)
    assert results.classes.confusion.counts.sum() == 50


def test_every_plot_is_saved_with_its_run(qtbot: QtBot, pid: RunView, panels: LivePanels, tmp_path: Path) -> None:
    panels.set_run(pid, None)
    panels.scope.show_terms(True)
    for sheet in (panels.cost, panels.scope, panels.results.learned, panels.drawing):
        sheet.redraw(even_if_hidden=True)
        for kind in (".png", ".svg", ".csv"):
            path = tmp_path / f"plot{kind}"
            path.unlink(missing_ok=True)
            with qtbot.waitSignal(panels.told, timeout=WIDE_MS):
                sheet.save_beside(path)
            if kind == ".png":
                picture = QImage(str(path))
                assert pid.folder.name in picture.text("Description")
                assert picture.text("Title") == sheet.title != ""
            else:
                said = path.read_text(encoding="utf-8")
                assert pid.folder.name in said
                assert sheet.title in said
        sheet.copy_numbers()
        assert pid.folder.name in QGuiApplication.clipboard().text()
        sheet.copy_picture()
        assert not QGuiApplication.clipboard().image().isNull()
    assert "P u0" in panels.scope.file(".csv").decode()
