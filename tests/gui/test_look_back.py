"""Look back on real runs: the table, the story with its causes to jump to, the comparison, notes, export."""

from __future__ import annotations

import os
import shutil
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from PySide6.QtCore import QItemSelectionModel, QObject, Qt, QUrl, Slot
from PySide6.QtGui import QColor, QDesktopServices
from PySide6.QtWidgets import QPushButton
from pytestqt.qtbot import QtBot

from aeqlab.app.window.application import Target, make_window
from aeqlab.app.window.look_back import compare_panel
from aeqlab.app.window.look_back.story_panel import MOST_ROWS, StoryPanel
from aeqlab.app.window.look_back.workspace import LookBack
from aeqlab.app.window.models.runs_model import HEADS, Column, _by_size, result_words
from aeqlab.app.window.plots.curve_plot import CurvePlot
from aeqlab.app.window.theme import theme
from aeqlab.protocols import load_run
from aeqlab.protocols.control import send
from aeqlab.protocols.notes import add_note
from aeqlab.protocols.run import run_experiment
from aeqlab.protocols.run_curve import cost_curve
from aeqlab.protocols.run_folder import is_alive
from aeqlab.protocols.run_list import read_line
from aeqlab.protocols.run_state import Requests
from aeqlab.protocols.run_story import Story
from aeqlab.protocols.story_causes import Cause, Moment
from aeqlab.protocols.story_marks import Part

sys.path.insert(0, str(Path(__file__).parents[1] / "protocols"))

from run_helpers import SMALL, experiment

PATH = int(Qt.ItemDataRole.UserRole) + 2
LONG_MS = 60_000  #: within which something must be so, on a busy machine


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make runs: two seeds and another method that finished, one stopped, one that ran away, a damaged one, and one of a demo."""
    folder = tmp_path_factory.mktemp("made")
    runs = folder / "runs"
    for seed in (1, 2):
        run_experiment(experiment(folder, SMALL, f"seed={seed}"), runs=runs)
    other = SMALL.replace("method: centered, beta: 0.2", "method: spsa, learning_rate: 0.02").replace(
        "name: small", "name: other"
    )
    finished = run_experiment(experiment(folder, other), runs=runs)
    requests = Requests()
    text = SMALL.replace("beta: 0.2", "beta: 0.2, epochs: 500")
    run_experiment(
        experiment(folder, text), runs=runs, requests=requests,
        on_progress=lambda now: requests.ask_stop("stop by ada: enough") if now.done > 5 else None,
    )  # fmt: skip
    run_experiment(experiment(folder, SMALL.replace("method: centered, beta: 0.2", "method: sgd, learning_rate: 2")), runs=runs)
    damaged = shutil.copytree(finished.folder, runs / "20200101-000000-damaged-abcd")
    (damaged / "record.sqlite").write_bytes(b"no record at all")
    shutil.copytree(finished.folder, runs / "demo-20200102-000000" / "runs" / "20200102-000000-demo-abcd")
    return runs


@pytest.fixture
def runs(made: Path, tmp_path: Path) -> Path:
    """Copy the runs, so that a test may change them."""
    return Path(shutil.copytree(made, tmp_path / "runs"))


@pytest.fixture
def back(qtbot: QtBot, runs: Path) -> LookBack:
    """Open the workspace on the runs, and wait until they are there."""
    widget = LookBack()
    qtbot.addWidget(widget)
    widget.resize(1280, 700)
    widget.show()
    widget.open_runs_folder(runs)
    qtbot.waitUntil(lambda: widget.table.model.rowCount() == 7, timeout=LONG_MS)
    return widget


def path_of(back: LookBack, state: str) -> Path:
    """Find the first run in a state."""
    lines = [back.table.model.line(row) for row in range(back.table.model.rowCount())]
    return next(line.path for line in lines if line.state == state and "demo" not in line.path.name)


def shown(back: LookBack) -> list[list[str]]:
    """Read the table as it stands there."""
    model = back.table.filter
    return [[str(model.index(row, column).data() or "") for column in Column] for row in range(model.rowCount())]


def open_story(qtbot: QtBot, back: LookBack, path: Path) -> None:
    """Choose a run and wait for its story."""
    assert back.table.select(path)
    qtbot.waitUntil(lambda: back.story.story is not None and back.story.story.path == path, timeout=LONG_MS)


def test_every_run_has_its_row_and_the_newest_its_story_without_a_click(qtbot: QtBot, back: LookBack) -> None:
    rows = shown(back)
    dates = [row[Column.DATE] for row in rows]
    assert dates == sorted(dates, reverse=True)
    assert {row[Column.STATE] for row in rows} == {"● finished", "■ stopped", "↗ diverged", "? unknown"}
    assert rows[-1][Column.NAME] == "damaged"
    assert any("demo-20200102" in str(back.table.filter.index(row, 0).data(PATH)) for row in range(7))
    assert "file is not a database" in str(back.table.filter.index(6, Column.STATE).data(Qt.ItemDataRole.ToolTipRole))
    other = next(row for row in rows if row[Column.NAME] == "other")
    assert other[Column.METHOD] == "spsa"
    assert other[Column.RESULT].startswith("cost on the test set ")
    qtbot.waitUntil(lambda: back.story.story is not None, timeout=LONG_MS)
    assert back.story.story is not None
    newest = back.table.filter.index(0, 0).data(PATH)
    assert back.story.story.path == newest
    assert back.story.sentence.text().startswith("Since ")


def test_typing_finds_and_sorting_goes_by_size(qtbot: QtBot, back: LookBack) -> None:
    qtbot.keyClicks(back.table.wanted, "spsa FINISHED")
    assert [row[Column.NAME] for row in shown(back)] == ["other", "other"]
    assert back.table.count.text() == "2 of 7 runs"
    back.table.wanted.clear()
    back.table.view.sortByColumn(Column.SIZE, Qt.SortOrder.AscendingOrder)
    paths = [back.table.filter.index(row, 0).data(PATH) for row in range(7)]
    sizes = [read_line(path).size for path in paths]
    assert sizes == sorted(sizes)
    assert len(HEADS) == len(Column)


def test_buttons_follow_what_is_selected_and_wish_what_they_say(qtbot: QtBot, back: LookBack) -> None:
    table = back.table
    table.select(path_of(back, "finished"))
    assert not table.resume_button.isEnabled()
    stopped = path_of(back, "stopped")
    table.select(stopped)
    for button, signal in (
        (table.open_button, back.open_wanted),
        (table.resume_button, back.resume_wanted),
        (table.as_that_button, back.as_that_wanted),
    ):
        with qtbot.waitSignal(signal) as caught:
            button.click()
        assert caught.args == [stopped]
    with qtbot.waitSignal(back.open_wanted) as caught:
        qtbot.keyClick(table.view, Qt.Key.Key_Return)
    assert caught.args == [stopped]
    table.view.selectAll()
    assert not table.open_button.isEnabled()
    assert table.compare_button.isEnabled()
    assert not table.replay_button.isEnabled()
    table.select(stopped)
    table.view.setFocus()
    qtbot.keyClick(table.view, Qt.Key.Key_G, Qt.KeyboardModifier.ControlModifier)
    assert back.pages.currentIndex() == 1
    assert back.replay.folder == stopped


def test_a_cause_is_told_and_one_goes_there(qtbot: QtBot, back: LookBack) -> None:
    diverged = path_of(back, "diverged")
    open_story(qtbot, back, diverged)
    item = back.story.causes.topLevelItem(0)
    assert item is not None
    assert "diverged" in item.text(0)
    button = back.story.causes.itemWidget(item, 5)
    assert isinstance(button, QPushButton)
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)
    assert back.pages.currentIndex() == 1
    qtbot.waitUntil(lambda: "diverged" in back.replay.happened.text(), timeout=LONG_MS)
    assert back.replay.folder == diverged
    assert back.replay.moment is not None
    assert back.replay.moment.step == load_run(diverged).steps["step"][-1]
    qtbot.keyClick(back, Qt.Key.Key_4, Qt.KeyboardModifier.AltModifier)
    assert back.pages.currentIndex() == 0
    back.story.causes.setCurrentItem(item)
    with qtbot.waitSignal(back.story.jump_wanted) as caught:
        qtbot.keyClick(back.story.causes, Qt.Key.Key_Return)
    assert caught.args[0] == pytest.approx(load_run(diverged).events["at"][-1], abs=1.0)
    assert back.pages.currentIndex() == 1
    details = back.story.details.toPlainText()
    assert "How the device was left" in details
    assert "seed: 5" in details


def test_a_damaged_run_is_told_as_far_as_it_can_be(qtbot: QtBot, back: LookBack) -> None:
    damaged = path_of(back, "unknown")
    open_story(qtbot, back, damaged)
    assert "not all of the record can be read" in back.story.sentence.text()
    assert "What is missing" in back.story.details.toPlainText()


def curve_of(plot: CurvePlot, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Get x and y of a curve, as a file of the plot has them."""
    columns = plot.columns()
    place = next(k for k, column in enumerate(columns) if column.name == name)
    x = next(column for column in reversed(columns[:place]) if column.name == plot.graph.names[0][0])
    return np.asarray(x.values), np.asarray(columns[place].values)


def test_runs_are_compared_with_a_colour_each(qtbot: QtBot, back: LookBack, runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = [back.table.model.line(row) for row in range(back.table.model.rowCount())]
    chosen = [line.path for line in lines if line.state == "finished" and "demo" not in line.path.name]
    back.table.view.clearSelection()
    for path in chosen:
        row = back.table.model.row_of(path)
        assert row is not None
        index = back.table.filter.mapFromSource(back.table.model.index(row, 0))
        flags = QItemSelectionModel.SelectionFlag.Select | QItemSelectionModel.SelectionFlag.Rows
        back.table.view.selectionModel().select(index, flags)
    back.table.compare_button.click()
    qtbot.waitUntil(lambda: len(back.compare.curves) == 3 and "Reading" not in back.compare.title.text(), timeout=LONG_MS)
    plot = back.compare.plot
    assert plot.names() == list(back.compare.names)
    for k, path in enumerate(back.compare.paths):
        row = back.table.model.row_of(path)
        assert row is not None
        assert back.table.model.data(back.table.model.index(row, 0), Qt.ItemDataRole.ForegroundRole) == QColor(theme().curve(k))
    costs = load_run(back.compare.paths[0]).steps["cost_free"]
    assert curve_of(plot, plot.names()[0])[1] == pytest.approx(costs)
    qtbot.waitUntil(lambda: not plot._due, timeout=LONG_MS)  # its own timer draws it
    plot.show_curve(plot.names()[1], False)
    assert plot._curves[plot.names()[1]].on is False
    differences = back.compare.differences
    keys = [differences.item(row, 0).text() for row in range(differences.rowCount())]  # type: ignore[union-attr]
    assert "sequence.0.train.method" in keys
    assert "device.kind" not in keys
    heads = [back.compare.found.horizontalHeaderItem(k).text() for k in range(back.compare.found.columnCount())]  # type: ignore[union-attr]
    assert heads[-1].startswith("mean of ")
    back.compare.axis.setCurrentText("device time")
    back.compare.scale.setCurrentText("linear")
    assert not plot.log_y
    assert plot.graph.names[0] == ("device time", "s")
    t = load_run(back.compare.paths[0]).steps["t"]
    assert curve_of(plot, plot.names()[0])[0] == pytest.approx(t - t[0])
    where = runs / "costs.csv"
    with qtbot.waitSignal(back.told, timeout=LONG_MS) as told:
        plot.save_beside(where)
    assert told.args == [f"Saved {where}.", False]
    table = where.read_text(encoding="utf-8")
    assert all(path.name in table for path in back.compare.paths), "a saved figure names the runs it is of"
    assert table.splitlines()[2].count("device time (s)") == 3
    shown_now = back.compare.paths

    def lost(path: Path) -> None:
        raise OSError("the disk is gone")

    monkeypatch.setattr(compare_panel, "cost_curve", lost)
    back.compare.compare(chosen[:2])
    qtbot.waitUntil(lambda: "Reading" not in back.compare.title.text(), timeout=LONG_MS)
    assert back.compare.title.text() == "The runs cannot be compared: the disk is gone. Shown are still the 3 runs before."
    theme().changed.emit()
    assert back.compare.paths == shown_now


def test_a_note_and_tags_go_into_the_record_and_into_the_row(qtbot: QtBot, back: LookBack) -> None:
    path = path_of(back, "stopped")
    open_story(qtbot, back, path)
    back.table.tags_button.click()
    assert back.table.entry.label.text() == f"Tags of {path.name}"
    back.table.select(path_of(back, "finished"))  # they go where they were begun, whatever is chosen by then
    qtbot.keyClicks(back.table.entry.line, "drift, night")
    qtbot.keyClick(back.table.entry.line, Qt.Key.Key_Return)
    row = back.table.model.row_of(path)
    assert row is not None
    qtbot.waitUntil(lambda: back.table.model.line(row).tags == ("drift", "night"), timeout=LONG_MS)
    assert load_run(path).notes["text"].tolist() == ["tags: drift, night"]
    back.table.select(path)
    qtbot.waitUntil(lambda: "tags: drift, night" in back.story.details.toPlainText(), timeout=LONG_MS)
    causes = back.story.causes
    causes.setCurrentItem(causes.topLevelItem(0))
    add_note(path, "ada", "the lamp flickered")
    qtbot.waitUntil(lambda: "the lamp flickered" in back.story.details.toPlainText(), timeout=LONG_MS)
    assert causes.currentItem() is causes.topLevelItem(0) is not None, "whoever is at a cause stays there"


def test_exports_go_beside_the_runs_and_overwrite_nothing(qtbot: QtBot, back: LookBack, runs: Path) -> None:
    path = path_of(back, "finished")
    back.table.select(path)
    for name in (f"{path.name}-csv", f"{path.name}-2-csv"):
        back.table.actions_.export([path], "CSV")
        assert "Exporting" in back.table.message.text()
        qtbot.waitUntil(lambda: "Exported to" in back.table.message.text(), timeout=LONG_MS)
        assert (runs / "exports" / name / "steps.csv").exists()
    back.table.actions_.bundle([path, path_of(back, "stopped")])
    qtbot.waitUntil(lambda: "Bundled" in back.table.message.text() and "files" in back.table.message.text(), timeout=LONG_MS)
    assert (runs / "exports" / "runs.zip").exists()
    back.table.actions_.export([path_of(back, "unknown")], "CSV")
    qtbot.waitUntil(lambda: bool(back.table.message.property("wrong")), timeout=LONG_MS)
    assert "not" in back.table.message.text()


def test_what_is_selected_stays_selected_while_runs_come_and_go(qtbot: QtBot, back: LookBack, runs: Path) -> None:
    stopped = path_of(back, "stopped")
    open_story(qtbot, back, stopped)
    taken = path_of(back, "diverged")
    shutil.copytree(path_of(back, "finished"), runs / "20300101-000000-later-zzzz")
    shutil.rmtree(taken)
    back.table.watch.read()
    added = runs / "20300101-000000-later-zzzz"
    there = back.table.model.row_of  # a reading that was under way may have seen both, or none of the two yet
    qtbot.waitUntil(lambda: there(added) is not None and there(taken) is None, timeout=LONG_MS)
    assert back.table.model.rowCount() == 7
    assert [line.path for line in back.table.selected] == [stopped]


def test_the_story_of_a_run_that_was_not_in_the_table_yet_is_told_anew_too(qtbot: QtBot, back: LookBack, runs: Path) -> None:
    added = Path(shutil.copytree(path_of(back, "finished"), runs / "20300101-000000-later-zzzz"))
    back.show_story(added)  # before the table has looked again
    qtbot.waitUntil(lambda: back.story.story is not None and back.story.story.path == added, timeout=LONG_MS)
    qtbot.waitUntil(lambda: back.table.model.row_of(added) is not None, timeout=LONG_MS)
    add_note(added, "ada", "the lamp flickered")
    qtbot.waitUntil(lambda: "the lamp flickered" in back.story.details.toPlainText(), timeout=LONG_MS)


def test_what_was_asked_for_is_chosen_though_the_runs_are_read_after_that(qtbot: QtBot, runs: Path, tmp_path: Path) -> None:
    back = LookBack()
    qtbot.addWidget(back)
    (tmp_path / "none").mkdir()
    back.open_runs_folder(tmp_path / "none")
    qtbot.waitUntil(lambda: "There are no runs" in back.table.message.text(), timeout=LONG_MS)
    stopped = next(path for path in runs.iterdir() if read_line(path).state == "stopped")
    first = Path(shutil.copytree(stopped, tmp_path / "none" / stopped.name))
    back.table.watch.read()
    qtbot.waitUntil(lambda: [line.path for line in back.table.selected] == [], timeout=LONG_MS)
    qtbot.waitUntil(lambda: back.table.model.row_of(first) is not None, timeout=LONG_MS)
    assert back.table.message.text() == ""
    back.show_story(stopped)
    assert back.table.selected == (), "the buttons are about no other run than the one whose story is told"
    back.open_runs_folder(runs)
    qtbot.waitUntil(lambda: back.table.model.rowCount() == 7, timeout=LONG_MS)
    assert [line.path for line in back.table.selected] == [stopped]
    qtbot.waitUntil(lambda: back.story.story is not None and back.story.story.path == stopped, timeout=LONG_MS)
    back.stop()


def test_a_cause_that_struck_often_is_unfolded_and_stays_so(qtbot: QtBot, tmp_path: Path) -> None:
    def told(often: int) -> Story:
        moments = tuple(Moment(1e9 + 60.0 * k, k, 1.0, False, (), 0, ()) for k in range(often))
        cause = Cause("adc did not answer", "adc: no reply", Part.CAUSE, 30, moments)
        return Story(tmp_path, "run", "running", "", "adc did not answer", (cause,), 1e9, None)

    panel = StoryPanel()
    qtbot.addWidget(panel)
    panel.show()
    panel.show_story(told(3))
    item = panel.causes.topLevelItem(0)
    assert item is not None
    assert item.childCount() == 0, "its times are made as they are looked at"
    item.setExpanded(True)
    assert item.childCount() == 3
    panel.causes.setCurrentItem(item.child(1))
    panel.show_story(told(1000))
    item = panel.causes.topLevelItem(0)
    assert item is not None
    assert item.text(0).endswith("adc did not answer, 1,000 times")
    assert (item.isExpanded(), item.childCount()) == (True, MOST_ROWS)
    assert panel.causes.currentItem() is item.child(1), "whoever is at one of them stays there"
    button = panel.causes.itemWidget(item.child(1), 5)
    assert isinstance(button, QPushButton)
    with qtbot.waitSignal(panel.jump_wanted) as caught:
        button.click()
    assert caught.args == [1e9 + 60.0, 1]


def test_results_are_sorted_by_size_however_small_they_are() -> None:
    values = [-1e9, -1.0, -1e-300, 0.0, 1e-300, 1e-15, 1e-14, 1.0, 1e9, float("inf")]
    assert sorted(values, key=_by_size) == values


def test_the_newest_of_a_great_many_are_there_first(qtbot: QtBot, made: Path, tmp_path: Path) -> None:
    one = next(path for path in made.iterdir() if "other" in path.name)
    for k in range(120):
        shutil.copytree(one, tmp_path / f"20250101-{k:06d}-many-aaaa", copy_function=os.link)
    back = LookBack()
    qtbot.addWidget(back)
    told: list[int] = []
    back.table.watch.lines_read.connect(lambda lines: told.append(len(lines)))
    back.open_runs_folder(tmp_path)
    qtbot.waitUntil(lambda: back.table.model.rowCount() == 120, timeout=LONG_MS)
    assert told[:2] == [50, 120]


def test_a_curve_of_many_steps_is_averaged_and_says_so(made: Path) -> None:
    path = next(path for path in sorted(made.iterdir()) if "other" in path.name)
    steps = load_run(path).steps
    curve = cost_curve(path, points=20)
    assert curve.rows == 3
    assert len(curve.value) == 20
    np.testing.assert_allclose(curve.value[0], np.mean(steps["cost_free"][:3]))
    assert curve.cost == "cost_free"
    assert result_words(read_line(path)).startswith("cost on the test set")


class Files(QObject):
    """What the desktop has for opening folders, in its place."""

    def __init__(self) -> None:
        super().__init__()
        self.opened: list[Path] = []

    @Slot(QUrl)
    def open(self, url: QUrl) -> None:
        """Take what is to be opened."""
        self.opened.append(Path(url.toLocalFile()))


def test_buttons_of_the_table_do_in_the_window_what_they_say(
    qtbot: QtBot, qapp: object, runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AEQLAB_STATE", str(tmp_path / "state"))
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    monkeypatch.setattr(threading, "excepthook", threading.excepthook)
    window = make_window(qapp, runs, Target())  # type: ignore[arg-type]
    qtbot.addWidget(window)
    window.show()
    files, stopped = Files(), next(path for path in runs.iterdir() if read_line(path).state == "stopped")
    QDesktopServices.setUrlHandler("file", files, "open")
    try:
        window.show_workspace("Look back")
        table = window.past.table
        qtbot.waitUntil(lambda: table.model.rowCount() == 7, timeout=LONG_MS)
        assert table.select(stopped)
        before = len(load_run(stopped).steps)
        table.folder_button.click()
        assert files.opened == [stopped]
        table.as_that_button.click()
        assert window.tabs.currentWidget() is window.train
        document = window.train.experiment.document
        qtbot.waitUntil(lambda: "epochs: 500" in document.text, timeout=LONG_MS)
        window.show_workspace("Look back")
        assert table.resume_button.isEnabled()
        table.resume_button.click()
        qtbot.waitUntil(lambda: is_alive(stopped) and len(load_run(stopped).steps) > before, timeout=LONG_MS)
        qtbot.waitUntil(lambda: window.world.run is not None and window.world.run.folder == stopped, timeout=LONG_MS)
        window.world.commander.to_run("stop")
        qtbot.waitUntil(lambda: not is_alive(stopped), timeout=LONG_MS)
        row = table.model.row_of(stopped)
        assert row is not None
        qtbot.waitUntil(lambda: table.model.line(row).attempts == 2, timeout=LONG_MS)
        window.past.show_story(stopped)
        qtbot.waitUntil(lambda: "resumed" in window.past.story.sentence.text(), timeout=LONG_MS)
    finally:
        QDesktopServices.unsetUrlHandler("file")
        if is_alive(stopped):
            send(stopped, "abort")
        window.close()
