"""What the window learns of a run: live, ended, killed, resumed, damaged, long."""

from __future__ import annotations

import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pytestqt.qtbot import QtBot

sys.path.insert(0, str(Path(__file__).parents[1] / "protocols"))
from record_helpers import steps, write_steps
from run_helpers import experiment, read_steps, start_worker, wait_for
from shell_helpers import LONG_MS, LONG_S

from aeqlab.app.window.models.growing import Growing
from aeqlab.app.window.models.run_feed import RunFeed, RunView, _Reader
from aeqlab.protocols import load_run
from aeqlab.protocols.control import send
from aeqlab.protocols.record import Record
from aeqlab.protocols.record_tail import RecordTail
from aeqlab.protocols.run import resume_run, run_experiment
from aeqlab.protocols.run_lock import RunLock


def views(feed: RunFeed) -> list[RunView]:
    found: list[RunView] = []
    feed.changed.connect(found.append)
    return found


def test_columns_that_were_handed_out_stay_as_they_are() -> None:
    columns, rng = Growing(), np.random.default_rng(0)
    kept: list[tuple[dict[str, Any], int]] = []
    whole: list[float] = []
    for _ in range(50):
        more = rng.normal(size=rng.integers(0, 200))
        whole += more.tolist()
        columns.append({"id": np.arange(columns.count, columns.count + len(more)), "x": more})
        kept.append((columns.view(), columns.count))
    for view, count in kept:
        assert view["x"].tolist() == whole[:count]
    columns.replace({"id": np.array([3, 10**6]), "x": np.array([7.0, 8.0])})
    assert columns.view()["x"][3] == 7.0
    assert kept[-1][0]["x"][3] == whole[3]
    columns.append({"id": np.array([columns.count])})
    assert np.isnan(columns.view()["x"][-1])
    with pytest.raises(ValueError, match="read-only"):
        kept[-1][0]["x"][0] = 1.0


def test_a_run_that_ended_is_shown_as_its_folder_tells_it(qtbot: QtBot, tmp_path: Path) -> None:
    result = run_experiment(experiment(tmp_path), runs=tmp_path / "runs")
    feed = RunFeed()
    found = views(feed)
    feed.follow(result.folder)
    qtbot.waitUntil(lambda: bool(found) and found[-1].rows("steps") == 60, timeout=LONG_MS)
    view, run = found[-1], load_run(result.folder)
    assert (view.state, view.alive, view.ended, view.name, view.part) == ("finished", False, True, "small", 1.0)
    np.testing.assert_array_equal(view.column("steps", "cost_free"), run.steps["cost_free"])
    np.testing.assert_array_equal(view.theta, run.theta)
    assert view.column("stages", "outcome").tolist() == ["finished", "finished"]
    assert view.missing == ()
    count = len(found)
    qtbot.wait(300)
    assert len(found) <= count + 1, "nothing happens, and so nothing is told"
    lock = RunLock(result.folder / ".lock")
    lock.take()  # as another process does that goes on with it
    try:
        qtbot.waitUntil(lambda: found[-1].alive, timeout=LONG_MS)
        assert {one.state for one in found if one.alive} == {"preparing"}, "what was recorded is of the attempt before"
    finally:
        lock.release()
    qtbot.waitUntil(lambda: found[-1].state == "finished", timeout=LONG_MS)
    feed.close()


def test_a_live_run_grows_answers_commands_and_is_told_apart_when_it_was_killed(qtbot: QtBot, tmp_path: Path) -> None:
    experiment(tmp_path)
    process = start_worker("run", tmp_path / "experiment-under-test.yaml", tmp_path / "runs", "data.samples=100000")
    try:
        wait_for(lambda: bool(list((tmp_path / "runs").glob("*/control.json"))), "the run")
        (folder,) = (path.parent for path in (tmp_path / "runs").glob("*/record.sqlite"))
        feed = RunFeed()
        found = views(feed)
        feed.follow(folder)
        read_steps(process, 20)
        threading.Thread(
            target=process.stdout.read if process.stdout else print, daemon=True
        ).start()  # its pipe must not fill up
        qtbot.waitUntil(lambda: bool(found) and found[-1].rows("steps") >= 20, timeout=LONG_MS)
        qtbot.waitUntil(lambda: found[-1].progress is not None and found[-1].progress["stage"] == "train", timeout=LONG_MS)
        assert found[-1].alive
        send(folder, "pause", timeout_s=LONG_S)
        feed.look()
        qtbot.waitUntil(lambda: found[-1].state == "paused", timeout=LONG_MS)
        qtbot.waitUntil(lambda: (found[-1].progress or {}).get("state") == "paused", timeout=LONG_MS)
    finally:
        process.kill()
        process.wait()
    qtbot.waitUntil(lambda: found[-1].state == "interrupted", timeout=LONG_MS)
    assert "killed" in found[-1].reason
    assert found[-1].progress is None
    feed.close()


def test_a_resume_takes_the_place_of_what_it_superseded(qtbot: QtBot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    experiment(tmp_path)
    monkeypatch.setenv("STAYS_AT", "30")  # it does not come to its end before it is killed
    process = start_worker("run", tmp_path / "experiment-under-test.yaml", tmp_path / "runs")
    read_steps(process, 30)
    process.kill()
    process.wait()
    (folder,) = (path.parent for path in (tmp_path / "runs").glob("*/record.sqlite"))
    feed = RunFeed()
    found = views(feed)
    feed.follow(folder)
    qtbot.waitUntil(lambda: bool(found) and found[-1].rows("steps") >= 30, timeout=LONG_MS)
    resume_run(folder)
    feed.look()
    qtbot.waitUntil(lambda: found[-1].state == "finished" and found[-1].rows("steps") == 60, timeout=LONG_MS)
    assert found[-1].column("steps", "step").tolist() == list(range(1, 61))
    feed.close()


def test_of_a_long_run_a_part_is_there_first_and_then_the_whole(
    qtbot: QtBot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aeqlab.app.window.models.run_feed.LONG", 3_000)
    monkeypatch.setattr("aeqlab.app.window.models.run_feed.COARSE", 500)
    look, seen = _Reader._look, threading.Event()

    def look_later(self: _Reader, tail: RecordTail) -> bool:
        seen.wait(LONG_S)  # of two views that come quickly the window takes the later one
        return look(self, tail)

    monkeypatch.setattr(_Reader, "_look", look_later)
    (tmp_path / "run").mkdir()
    record = Record.create(tmp_path / "run" / "record.sqlite", durable=False, facts={"name": "long", "state": "finished"})
    write_steps(record, steps(5_000))
    record.close()
    feed = RunFeed()
    found = views(feed)
    feed.follow(tmp_path / "run")
    qtbot.waitUntil(lambda: bool(found), timeout=LONG_MS)
    assert found[0].part == 0.1
    assert found[0].rows("steps") == 500
    seen.set()
    qtbot.waitUntil(lambda: found[-1].part == 1.0 and found[-1].rows("steps") == 5_000, timeout=LONG_MS)
    whole, some = found[-1], found[0]
    at = np.searchsorted(whole.column("steps", "step"), some.column("steps", "step"))
    np.testing.assert_array_equal(whole.column("steps", "cost_1")[at], some.column("steps", "cost_1"))
    feed.close()


def test_a_folder_without_a_run_is_told_and_a_damaged_one_opens_as_far_as_it_can(qtbot: QtBot, tmp_path: Path) -> None:
    feed = RunFeed()
    with qtbot.waitSignal(feed.failed, timeout=LONG_MS) as told:
        feed.follow(tmp_path / "nothing")
    assert "there is no such folder" in told.args[0]
    found = views(feed)
    other = run_experiment(experiment(tmp_path), runs=tmp_path / "elsewhere")
    other.folder.rename(tmp_path / "nothing")  # as where a share is mounted late
    qtbot.waitUntil(lambda: bool(found) and found[-1].state == "finished", timeout=LONG_MS)
    result = run_experiment(experiment(tmp_path), runs=tmp_path / "runs")
    with (result.folder / "record.sqlite").open("r+b") as file:
        file.seek(0, 2)
        size = file.tell()
        file.truncate(size * 2 // 3 // 4096 * 4096)
    found = views(feed)
    feed.follow(result.folder)
    qtbot.waitUntil(lambda: bool(found) and bool(found[-1].missing), timeout=LONG_MS)
    assert "cannot be read" in found[-1].missing[0]
    feed.close()
