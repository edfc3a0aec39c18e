"""Replay: what was at a time or a step, of runs that ended, were resumed or are damaged, as fast for long ones as for short."""

from __future__ import annotations

import shutil
import sys
import time
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from aeqlab.app.window.models.replay import Replay
from aeqlab.protocols import load_run
from aeqlab.protocols.record import Record, StepRow, blob

sys.path.insert(0, str(Path(__file__).parents[1] / "protocols"))
from run_helpers import SMALL, experiment, only_run, read_steps, run_sequence, start_worker

from aeqlab.protocols.run import resume_run, run_experiment
from aeqlab.protocols.run_state import Requests


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a finished run with sham steps."""
    folder = tmp_path_factory.mktemp("run")
    text = SMALL.replace("beta: 0.2", "beta: 0.2, epochs: 2, sham_every: 10")
    return run_experiment(experiment(folder, text), runs=folder / "runs").folder


def test_a_place_a_step_and_a_time_give_what_was_then(finished: Path) -> None:
    run = load_run(finished)
    steps = run.steps
    with Replay(finished) as replay:
        assert replay.count == len(steps)
        assert replay.span == (steps["at"][0], steps["at"][-1])
        for place in (0, 17, len(steps) - 1):
            moment = replay.at_place(place)
            row = steps.row(place)
            assert (moment.place, moment.step, moment.at) == (place, row["step"], row["at"])
            assert moment.row["cost_1"] == row["cost_1"]
            assert moment.row["hold_verdict"] == row["hold_verdict"]
            np.testing.assert_array_equal(moment.theta, row["theta"])
            assert moment.stage == ("0", "train")
            assert moment.state == "running"
        assert replay.at_step(40).row["sham"] == 0  # the sham step before it bears the number of the one before
        assert replay.at_step(40).step == 40
        assert replay.last_step == 120 < replay.count, "sham steps are no samples"
        between = 0.5 * (steps["at"][30] + steps["at"][31])
        assert replay.at_time(between).place == 30
        before = replay.at_time(steps["at"][0] - 1e-5)
        assert (before.place, before.step, before.row, before.theta) == (-1, 0, {}, None)
        after = replay.at_time(time.time())
        assert (after.place, after.state) == (len(steps) - 1, "finished")
        assert after.events[-1].word == "finished"
        assert after.events_before == len(run.events)
        assert [event.word for event in replay.at_place(0).events] == ["running"]
        np.testing.assert_array_equal(replay.column("cost_free"), steps["cost_free"])
        with pytest.raises(KeyError):
            replay.column("loss")
        assert replay.missing == []


def test_the_traces_are_those_of_the_last_traced_step(finished: Path) -> None:
    traces = load_run(finished).traces
    with Replay(finished) as replay:
        moment = replay.at_place(replay.count - 1)
        assert moment.traced_step == traces["step"][-1]
        assert {trace.phase for trace in moment.traces} == {"hold", "settle"}
        hold = next(trace for trace in moment.traces if trace.phase == "hold")
        assert hold.error is not None
        assert hold.error.shape == (len(hold.t), 7)


def test_rows_that_a_resume_superseded_are_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHECKPOINT_EVERY_S", "0.1")
    loaded = experiment(tmp_path, SMALL.replace("beta: 0.2", "beta: 0.2, epochs: 500"))
    assert loaded.path is not None
    worker = start_worker("run", loaded.path, tmp_path / "runs")
    read_steps(worker, 150)
    worker.kill()
    worker.communicate()
    folder = only_run(tmp_path / "runs").path
    requests = Requests()
    resume_run(folder, requests=requests, on_progress=lambda now: requests.ask_stop("the test") if now.done > 220 else None)
    run = load_run(folder)
    with Replay(folder) as replay:
        assert replay.count == len(run.steps) <= len(run.all_steps)
        for place in range(0, replay.count, 7):
            moment = replay.at_place(place)
            assert moment.row["id"] == run.steps["id"][place]
            assert replay.place_of_step(moment.step) == place


def test_a_run_without_training_has_the_time_line_of_its_points(tmp_path: Path) -> None:
    result, run = run_sequence(tmp_path, 'scan: {over: [{quantity: "x0", from: -1, to: 1, points: 3}], read: ["s[0]"]}')
    assert result.exit_code == 0, result.reason
    with Replay(run.path) as replay:
        assert (replay.table, replay.count) == ("points", 3)
        assert replay.at_place(1).row["setpoints"] == [0.0]


def test_a_damaged_or_missing_record_says_so_and_raises_nothing(finished: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(finished, tmp_path / "damaged"))
    raw = bytearray((folder / "record.sqlite").read_bytes())
    raw[len(raw) // 3 : 2 * len(raw) // 3] = b"\xff" * (2 * len(raw) // 3 - len(raw) // 3)
    (folder / "record.sqlite").write_bytes(raw)
    with Replay(folder) as replay:
        for place in range(0, max(replay.count, 1), 5):
            replay.at_place(place)
        replay.at_step(50)
        assert replay.missing
    (folder / "record.sqlite").unlink()
    with Replay(folder) as replay:
        assert (replay.count, replay.at_place(3).place, replay.at_time(0.0).state) == (0, -1, "unknown")
        assert replay.missing == ["record.sqlite cannot be read: there is no such file."]


def test_a_long_run_opens_as_fast_as_a_short_one_and_takes_no_room(tmp_path: Path) -> None:
    record = Record.create(tmp_path / "record.sqlite", durable=False, facts={"state": "finished"})
    stage = record.stage_started("0", "train", {"method": "centered"})
    theta = blob(np.zeros(16))
    record._connection.execute("BEGIN")
    for k in range(1, 60_001):
        record.step(StepRow(k, stage, 0, k, 1e9 + k, float(k), cost_1=1.0 / k, hold_verdict="settled", theta=theta))
    record._connection.execute("COMMIT")
    record.close()
    tracemalloc.start()
    began = time.thread_time()  # other programs on the machine do not count
    with Replay(tmp_path) as replay:
        moment = replay.at_step(43_210)
        took = time.thread_time() - began
        held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert moment.row["cost_1"] == 1.0 / 43_210
    assert took < 0.3  # of a million steps 0.02 s
    assert held < 3e6
