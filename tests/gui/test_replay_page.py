"""The replay as a person uses it: slider, play and pause, samples and events; runs damaged, newer, empty or going on."""

from __future__ import annotations

import shutil
import sqlite3
import sys
import threading
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PySide6.QtCore import QPoint, Qt
from PySide6.QtGui import QGuiApplication, QImage
from PySide6.QtWidgets import QFileDialog, QMenu
from pytestqt.qtbot import QtBot

sys.path.insert(0, str(Path(__file__).parents[1] / "protocols"))
from run_helpers import SMALL, experiment, only_run, read_steps, start_worker

from aeqlab.app.window.look_back.replay_page import ReplayPage
from aeqlab.app.window.look_back.workspace import LookBack
from aeqlab.app.window.models.replay import Replay
from aeqlab.app.window.models.replay_view import PART, course_of, view_at
from aeqlab.app.window.models.run_curves import costs_of, learned_of, traced_samples
from aeqlab.app.window.plots.sheet import Sheet
from aeqlab.protocols import load_run
from aeqlab.protocols.load import Run
from aeqlab.protocols.notes import add_note
from aeqlab.protocols.record import Record, StepRow, blob
from aeqlab.protocols.run import run_experiment
from aeqlab.protocols.run_lock import RunLock
from aeqlab.protocols.run_state import Requests
from aeqlab.protocols.run_story import Story, story_of_run

ROOM = 60_000  #: ms within which something must be so, on a busy machine


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Make a run that a person stopped, with a note in it."""
    folder = tmp_path_factory.mktemp("stopped")
    requests = Requests()
    result = run_experiment(
        experiment(folder, SMALL.replace("beta: 0.2", "beta: 0.2, epochs: 50")), runs=folder / "runs", requests=requests,
        on_progress=lambda now: requests.ask_stop("stop by ada: enough") if now.done > 80 else None,
    )  # fmt: skip
    add_note(result.folder, "ada", "the lamp flickered")
    return load_run(result.folder)


@pytest.fixture
def page(qtbot: QtBot) -> Iterator[ReplayPage]:
    made = ReplayPage()
    qtbot.addWidget(made)
    made.resize(1280, 680)
    made.show()
    yield made
    made.close_run()


def opened(qtbot: QtBot, page: ReplayPage, run: Run, at: float | None = None) -> None:
    """Open a run and wait until its moment, its story and its marks are there."""
    page.open(run.path, at)
    qtbot.waitUntil(lambda: page.moment is not None and bool(page.player.slider.events), timeout=ROOM)


def shows(qtbot: QtBot, page: ReplayPage, place: int) -> None:
    qtbot.waitUntil(lambda: page.moment is not None and page.moment.place == place, timeout=ROOM)


def test_samples_times_and_events_are_gone_to_by_keys_and_the_pointer(qtbot: QtBot, page: ReplayPage, stopped: Run) -> None:
    steps, slider = stopped.steps, page.player.slider
    opened(qtbot, page, stopped)
    last = len(steps) - 1
    qtbot.waitUntil(lambda: page.moment is not None and page.moment.state == "stopped", timeout=ROOM)  # at its very end
    shows(qtbot, page, last)
    words = [event.words for event in slider.events]
    assert any("stopped by ada" in word for word in words), words
    assert any("the lamp flickered" in word for word in words)
    for key, place in ((Qt.Key.Key_Left, last - 1), (Qt.Key.Key_Left, last - 2), (Qt.Key.Key_Right, last - 1)):
        qtbot.keyClick(slider, key)
        shows(qtbot, page, place)
    assert slider.at == pytest.approx(steps["at"][last - 1])
    assert page.moment is not None
    assert page.moment.row["cost_1"] == steps["cost_1"][last - 1]
    qtbot.keyClick(slider, Qt.Key.Key_Home)
    qtbot.waitUntil(lambda: page.moment is not None and page.moment.place <= 0, timeout=ROOM)
    assert not page.views.scope.memory.samples or page.views.scope.memory.samples[-1].number <= 1  # nothing of what came later
    middle = 0.5 * (steps["at"][40] + steps["at"][41])
    x = round(slider._x(middle))
    qtbot.mouseClick(slider, Qt.MouseButton.LeftButton, pos=QPoint(x, slider.height() // 3))
    at = slider._time(x)
    shows(qtbot, page, int(np.searchsorted(steps["at"], at, side="right")) - 1)
    assert f"sample {page.moment.step}" in page.heading.text()
    event = next(one for one in slider.events if "stopped by ada" in one.words)
    while slider.event_now() != event:
        assert page.player.next.isEnabled()
        page.player.next.click()
    qtbot.waitUntil(lambda: "stopped by ada" in page.happened.text() and "now" in page.happened.text(), timeout=ROOM)
    page.player.next.click()
    qtbot.waitUntil(lambda: "the lamp flickered" in page.happened.text(), timeout=ROOM)
    qtbot.keyClick(slider, Qt.Key.Key_Left, Qt.KeyboardModifier.ControlModifier)
    assert slider.at == event.at


def test_the_views_show_that_moment_and_nothing_later(qtbot: QtBot, page: ReplayPage, stopped: Run) -> None:
    steps = stopped.steps
    with Replay(stopped.path) as replay:
        course = course_of(replay)
        moment = replay.at_step(50)
        view = view_at(replay, course, moment)
        nothing = view_at(replay, course, replay.at_time(float(steps["at"][0]) - 1e-5))
    cost = next(curve for curve in costs_of(view) if curve.name == "cost")
    np.testing.assert_array_equal(cost.y, steps["cost_free"][np.isfinite(steps["cost_free"])])
    traced = stopped.traces["step"]
    assert traced_samples(view)[-1].step == traced[traced <= 50][-1]
    learned = learned_of(view)
    assert learned is not None
    assert learned.step <= 50
    assert traced_samples(nothing) == []
    assert learned_of(nothing) is None
    opened(qtbot, page, stopped, float(steps["at"][49]))
    shows(qtbot, page, 49)
    page.views.redraw()
    (mark,) = page.views.cost.graph.over.marks
    assert mark.at == steps["step"][49]
    samples = page.views.scope.memory.samples
    assert samples[-1].number == traced[traced <= 50][-1]
    page.views.results.show_page("Learned")
    page.views.cost.graph.zoom(x=0.5)
    page.player.back.click()
    shows(qtbot, page, 48)
    assert page.views.results.chosen == "Learned", "what was chosen stays so on the way back"
    assert page.views.cost.graph.zoomed


def test_play_goes_on_by_itself_and_pause_stays(qtbot: QtBot, page: ReplayPage, stopped: Run) -> None:
    opened(qtbot, page, stopped, float(stopped.steps["at"][0]))
    player = page.player
    assert player.play.isEnabled()
    assert not player.pause.isEnabled()
    takes = player.takes_s
    player.slower.click()
    assert player.takes_s == 2 * takes
    for _ in range(5):
        player.faster.click()
    player.play.click()
    assert player.playing
    assert not player.play.isEnabled()  # a second press starts nothing
    qtbot.waitUntil(lambda: page.moment is not None and page.moment.place > 3, timeout=ROOM)
    player.pause.click()
    assert not player.playing
    at = player.slider.at
    qtbot.wait(120)
    assert player.slider.at == at
    player.play.click()
    qtbot.waitUntil(lambda: not player.playing, timeout=ROOM)  # it ends by itself
    assert player.slider.at == player.slider.last
    shows(qtbot, page, len(stopped.steps) - 1)


def test_damaged_newer_lost_and_empty_folders_open_as_far_as_they_can(
    qtbot: QtBot, page: ReplayPage, stopped: Run, tmp_path: Path
) -> None:
    def copied(name: str) -> Path:
        return Path(shutil.copytree(stopped.path, tmp_path / name))

    newer = copied("newer")
    with sqlite3.connect(newer / "record.sqlite") as connection:
        connection.execute("PRAGMA user_version = 99")
        connection.execute("ALTER TABLE steps ADD COLUMN flavour TEXT")
    connection.close()
    damaged = copied("damaged")
    raw = bytearray((damaged / "record.sqlite").read_bytes())
    raw[len(raw) // 3 : len(raw) // 2] = b"\xff" * (len(raw) // 2 - len(raw) // 3)
    (damaged / "record.sqlite").write_bytes(raw)
    no_record = copied("lost")
    (no_record / "record.sqlite").unlink()
    for folder, said in ((newer, "newer than this program's"), (damaged, "record.sqlite"), (no_record, "there is no such file")):
        page.open(folder)
        qtbot.waitUntil(lambda said=said: page.moment is not None and said in page.missing.text(), timeout=ROOM)
        assert page.missing.isVisible()
        page.player.back.click()
        page.views.redraw()
    assert page.moment is not None
    assert page.moment.place == -1
    page.open(newer)
    qtbot.waitUntil(lambda: page.moment is not None and page.moment.step > 0, timeout=ROOM)
    empty = tmp_path / "empty"
    empty.mkdir()
    page.open(empty)
    qtbot.waitUntil(lambda: "nothing here that a run leaves behind" in page.heading.text(), timeout=ROOM)
    page.open(tmp_path / "nowhere")
    qtbot.waitUntil(lambda: "there is no such folder" in page.heading.text(), timeout=ROOM)
    assert not page.player.play.isEnabled()


def test_a_run_that_goes_on_grows_on_the_time_line(qtbot: QtBot, tmp_path: Path) -> None:
    loaded = experiment(tmp_path, SMALL.replace("beta: 0.2", "beta: 0.2, epochs: 5000"))
    assert loaded.path is not None
    worker = start_worker("run", loaded.path, tmp_path / "runs")
    back = LookBack()
    qtbot.addWidget(back)
    back.resize(1280, 700)
    back.show()
    try:
        read_steps(worker, 5)
        back.open_runs_folder(tmp_path / "runs")
        folder = only_run(tmp_path / "runs").path
        back.replay_at(folder)
        page = back.replay
        qtbot.waitUntil(lambda: page.opened is not None and page.opened.alive and page.opened.count > 0, timeout=ROOM)
        assert page.opened is not None
        count, end = page.opened.count, page.player.slider.last
        qtbot.waitUntil(
            lambda: page.opened is not None and page.opened.count > count and page.player.slider.last > end, timeout=ROOM
        )
        assert "the run goes on" in page.heading.text()
        worker.kill()
        worker.wait()
        qtbot.waitUntil(lambda: page.opened is not None and not page.opened.alive, timeout=ROOM)
        back.show_story(folder)
        qtbot.waitUntil(lambda: "interrupted" in back.story.sentence.text(), timeout=ROOM)
    finally:
        worker.kill()
        worker.communicate()
        back.stop()


def test_what_is_asked_for_while_the_story_is_read_is_shown(
    qtbot: QtBot, page: ReplayPage, stopped: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on = threading.Event()

    def late(folder: Path) -> Story:
        go_on.wait(ROOM / 1000)
        return story_of_run(folder)

    monkeypatch.setattr("aeqlab.app.window.models.replay_reader.story_of_run", late)
    try:
        page.open(stopped.path)
        shows(qtbot, page, len(stopped.steps) - 1)
        qtbot.keyClick(page.player.slider, Qt.Key.Key_Home)
    finally:
        go_on.set()
    qtbot.waitUntil(lambda: page.moment is not None and page.moment.place <= 0, timeout=ROOM)


def test_that_a_run_ended_is_told_though_somebody_moved_meanwhile(
    qtbot: QtBot, page: ReplayPage, stopped: Run, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(stopped.path, tmp_path / "alive"))
    lock = RunLock(folder / ".lock")
    lock.take()
    try:
        page.open(folder)
        qtbot.waitUntil(lambda: page.moment is not None and bool(page.player.slider.events), timeout=ROOM)
        assert page.opened is not None
        assert page.opened.alive
    finally:
        lock.release()
    page.player.back.click()  # wakes the reader before it would have looked again
    qtbot.waitUntil(lambda: page.opened is not None and not page.opened.alive, timeout=ROOM)
    assert "the run goes on" not in page.heading.text()
    lock.take()
    try:
        qtbot.waitUntil(lambda: page.opened is not None and page.opened.alive, timeout=ROOM)  # somebody resumed it
    finally:
        lock.release()


def test_each_plot_is_saved_and_copied_with_the_run_and_the_moment_in_it(
    qtbot: QtBot, page: ReplayPage, stopped: Run, tmp_path: Path
) -> None:
    opened(qtbot, page, stopped, float(stopped.steps["at"][49]))
    shows(qtbot, page, 49)
    sheets = [sheet for sheet in page.views.findChildren(Sheet) if sheet.isVisible()]
    assert len(sheets) == 4
    for sheet in sheets:
        sheet.redraw()
        for kind in (".png", ".svg", ".csv"):
            path = tmp_path / f"{sheet.accessibleName()}{kind}"
            with qtbot.waitSignal(page.told, timeout=ROOM) as told:
                sheet.save_beside(path)
            assert told.args == [f"Saved {path}.", False]
            told_of = QImage(str(path)).text("Description") if kind == ".png" else path.read_text(encoding="utf-8")
            assert stopped.path.name in told_of, f"{path.name} does not say of which run it is"
            assert "step 50" in told_of
        ET.parse(tmp_path / f"{sheet.accessibleName()}.svg")
        table = (tmp_path / f"{sheet.accessibleName()}.csv").read_text(encoding="utf-8").splitlines()
        assert len(table) > 3
        sheet.setFocus()
        qtbot.keyClick(sheet, Qt.Key.Key_C, Qt.KeyboardModifier.ControlModifier | Qt.KeyboardModifier.ShiftModifier)
        assert stopped.path.name in QGuiApplication.clipboard().text()
        qtbot.keyClick(sheet, Qt.Key.Key_C, Qt.KeyboardModifier.ControlModifier)
        assert stopped.path.name in QGuiApplication.clipboard().image().text("Description")
        menu = sheet.open_menu(sheet.mapToGlobal(QPoint(20, 20)))
        assert isinstance(menu, QMenu)
        assert {"Save as picture (PNG)...", "Copy numbers"} <= {action.text() for action in menu.actions()}
        menu.close()
        qtbot.keyClick(sheet, Qt.Key.Key_E, Qt.KeyboardModifier.ControlModifier)
        (dialog,) = sheet.findChildren(QFileDialog)
        assert not dialog.isModal()
        dialog.close()


def test_a_long_run_shows_its_curves_at_once(qtbot: QtBot, page: ReplayPage, tmp_path: Path) -> None:
    record = Record.create(tmp_path / "record.sqlite", durable=False, facts={"state": "finished", "name": "long"})
    stage, theta = record.stage_started("0", "train", {"method": "centered"}), blob(np.zeros(16))
    record._connection.execute("BEGIN")
    for k in range(1, 25_001):
        record.step(StepRow(k, stage, 0, k, 1e9 + k, float(k), cost_1=1.0 / k, cost_free=2.0 / k, used=True, theta=theta))
    record._connection.execute("COMMIT")
    record.close()
    page.open(tmp_path, 1e9 + 21_210.5)
    shows(qtbot, page, 21_209)
    (cost,) = [column for column in page.views.cost.columns() if column.name == "cost"]
    assert 0.8 * PART < len(cost.values) <= PART + 1
    assert cost.values[-1] == 2.0 / 25_000
    qtbot.waitUntil(lambda: "one step in 3 is drawn" in page.heading.text(), timeout=ROOM)
