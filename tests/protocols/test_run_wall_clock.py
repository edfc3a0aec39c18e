"""Runs on the wall clock: a checkpoint per step, a pause that holds, a worker that stalls or is killed, by the real program."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from run_helpers import experiment, only_run, read_steps, start_worker, wait_for

from aeqlab.app.commanding import send_command
from aeqlab.backends.device import Clock
from aeqlab.backends.journal import Journal, read_journal
from aeqlab.backends.plant_link import end_plant, start_plant
from aeqlab.backends.slow_settings import SlowSettings
from aeqlab.protocols import checkpoint, load_run
from aeqlab.protocols.client import attach, find_sessions
from aeqlab.protocols.control import send
from aeqlab.protocols.load import Run
from aeqlab.protocols.progress import Progress
from aeqlab.protocols.remote import SessionClient
from aeqlab.protocols.run import resume_run, run_experiment
from aeqlab.protocols.run_state import Requests, RunState
from aeqlab.protocols.status import SessionState

pytestmark = [
    pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX"), pytest.mark.usefixtures("own_state"),
]  # fmt: skip

# ten times as fast as a rig; nudged in nearly all of a step, so that a moment of it mostly meets the nudge
WALL = """
name: wall
seed: 3
device: {kind: slow, energy: linear, epsilon: 0.1, options: {frequencies: 2}, clock: wall, speed: 10}
data: {kind: legendre, degree: 3, samples: 1000, test_samples: 4}
homeostasis: {controller: integral, accept: {ticks: 6}}
settling: {accept: {ticks: 25}}
sequence:
  - train: {method: centered, beta: 0.1, free_phase: false, samples: 12}
then: freeze
"""
LONG = WALL.replace("samples: 12", "samples: 100000")
PATIENCE_S = 60.0  #: a run may be held up, and answers a command then
PROGRAM = [sys.executable, "-m", "aeqlab.app.cli"]


@contextmanager
def session_of(run: Run) -> Iterator[SessionClient]:
    """Watch the session of a run."""
    wait_for(lambda: any(Path(s.folder).parent == run.path for s in find_sessions()), "the session")
    found = next(s for s in find_sessions() if Path(s.folder).parent == run.path)
    with attach(found, name="watcher", control=False) as client:
        yield client


@contextmanager
def program(*words: str | Path) -> Iterator[subprocess.Popen[str]]:
    """Run the program in a process of its own; at the end of the block it is gone."""
    process = subprocess.Popen([*PROGRAM, *map(str, words)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def steps_of(folder: Path, at_least: int) -> Run:
    """Wait until the one run of a folder has so many steps."""
    wait_for(lambda: any(folder.glob("*/record.sqlite")), "the record")
    wait_for(lambda: only_run(folder).state != "preparing", "the run")
    wait_for(lambda: len(only_run(folder).steps) >= at_least or only_run(folder).state == "failed", f"{at_least} steps")
    return only_run(folder)


def test_a_checkpoint_per_step_and_a_device_left_as_declared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[int] = []
    save = checkpoint.save

    def saved(folder: Path, tree: dict[str, Any], step: int) -> Path:
        steps.append(step)
        return save(folder, tree, step)

    monkeypatch.setattr(checkpoint, "save", saved)
    result = run_experiment(experiment(tmp_path, WALL), runs=tmp_path / "runs")
    assert (result.state, result.exit_code) == (RunState.FINISHED, 0), result.reason
    assert set(steps) == set(range(13))
    assert steps == sorted(steps)
    assert result.device.startswith("Device frozen: nudge off")
    run = load_run(result.folder)
    assert run.meta["clock"] == "wall"
    assert (np.diff(run.steps["t"]) > 0).all()


def test_then_hold_goes_on_holding_after_the_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = WALL.replace("then: freeze", "then: hold").replace("samples: 12", "samples: 2")
    result = run_experiment(experiment(tmp_path, text), runs=tmp_path / "runs")
    name = result.folder.name
    assert (result.state, result.exit_code) == (RunState.FINISHED, 0), result.reason
    assert result.device.endswith(f"nudge off; its session goes on holding it until `aeqlab stop {name}`.")
    run = load_run(result.folder)
    with session_of(run) as watcher:
        begun = watcher.status()
        assert (begun.state, begun.beta, begun.knobs, begun.control) == (SessionState.HOLDING, 0.0, "loop", "")
        wait_for(lambda: watcher.status().t > begun.t + 2.0, "two seconds of the device")
        readout, _ = watcher.last()
        assert readout is not None
        np.testing.assert_allclose(readout.parameters, run.theta, atol=0.01)  # V; tens of read noises
        assert watcher.status().state is SessionState.HOLDING
    assert send_command("stop", name, tmp_path / "runs") == 0
    assert "the session ends" in capsys.readouterr().out
    wait_for(lambda: not any(Path(s.folder).parent == result.folder for s in find_sessions()), "the end of the session")


def test_a_run_that_does_not_end_holding_takes_its_session_with_it(tmp_path: Path) -> None:
    text = WALL.replace("then: freeze", "then: hold").replace("samples: 12", "samples: 1")
    requests = Requests()
    requests.ask_stop("the test")
    result = run_experiment(experiment(tmp_path, text), runs=tmp_path / "runs", requests=requests)
    assert (result.state, result.device) == (RunState.STOPPED, "The device was not moved.")
    wait_for(lambda: not any(Path(s.folder).parent == result.folder for s in find_sessions()), "the end of the session")


def test_a_pause_goes_on_holding(tmp_path: Path) -> None:
    path = experiment(tmp_path, LONG).path
    with program("run", path, "--runs", tmp_path / "runs") as process:
        run = steps_of(tmp_path / "runs", 2)
        with session_of(run) as watcher:
            send(run.path, "pause", who="ada", timeout_s=PATIENCE_S)
            wait_for(lambda: run.state == "paused", "the pause")
            held = (SessionState.HOLDING, 0.0, "loop")

            def holds() -> bool:  # but for a moment where the run was late in its pause, and went on
                now = watcher.status()
                return (now.state, now.beta, now.knobs) == held

            wait_for(holds, "the hold")
            steps, begun = len(run.steps), watcher.status()
            wait_for(lambda: watcher.status().t > begun.t + 2.0, "two seconds of the device")
            wait_for(holds, "the hold, still")
            assert (run.state, len(run.steps)) == ("paused", steps)
            target = run.steps["theta"][-1]
            readout, _ = watcher.last()
            assert readout is not None
            np.testing.assert_allclose(readout.parameters, target, atol=0.01)  # V; tens of read noises
        send(run.path, "continue", who="ada", timeout_s=PATIENCE_S)
        wait_for(lambda: len(run.steps) > steps, "a step")
        send(run.path, "stop", who="ada", timeout_s=PATIENCE_S)
        _, err = process.communicate(timeout=60)
        assert process.returncode == 3, err


def test_a_worker_that_stalls_goes_on_and_finishes(tmp_path: Path) -> None:
    path = experiment(tmp_path, LONG).path
    with program("run", path, "--runs", tmp_path / "runs") as process:
        run = steps_of(tmp_path / "runs", 3)
        with session_of(run) as watcher:
            frozen = watcher.status()
            while frozen.state is not SessionState.FROZEN:  # it may have been stopped where no nudge was on: once more
                wait_for(lambda: watcher.status().state is SessionState.NUDGED, "the nudge")
                os.kill(process.pid, signal.SIGSTOP)
                time.sleep(0.6)  # the stall is what this test is about
                frozen = watcher.status()
                os.kill(process.pid, signal.SIGCONT)
        wait_for(lambda: "late" in run.events["word"], "the run to go on")
        stood = len(run.steps)
        wait_for(lambda: len(run.steps) >= stood + 4, "four steps more")
        send(run.path, "skip", who="ada", timeout_s=PATIENCE_S)  # the rest of them
        _, err = process.communicate(timeout=60)
    assert (frozen.state, frozen.beta) == (SessionState.FROZEN, 0.0)
    assert process.returncode == 0, err
    steps = run.steps
    assert run.state == "finished"
    assert steps["sample"].tolist() == list(range(len(steps)))
    assert steps["partial"].any()
    assert "late" in run.events["word"].tolist()


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Path]:
    """Start an emulated rig that outlives sessions."""
    settings = SlowSettings(energy="linear", epsilon=0.1, options={"frequencies": 2}, clock=Clock.WALL, speed=10)
    folder = tmp_path / "bench"
    start_plant(settings, seed=3, base=tmp_path, folder=folder)
    yield folder
    end_plant(folder)


def learned_from(journal: Journal) -> list[tuple[float, ...]]:
    """List the inputs, in the order of time, at which the second nudge of a step came on."""
    at = np.searchsorted(journal.inputs.number, journal.nudges.number) - 1
    return [tuple(journal.inputs.values[k]) for k, (beta,) in zip(at, journal.nudges.values, strict=True) if beta > 0.0]


@pytest.mark.parametrize("moment", [pytest.param("committed", marks=pytest.mark.slow), "nudged"])
def test_killed_and_resumed_no_step_is_lost_and_no_nudged_phase_is_done_again(tmp_path: Path, bench: Path, moment: str) -> None:
    path = experiment(tmp_path, LONG.replace("speed: 10", f"address: {bench}, speed: 10")).path
    process = start_worker("run", path, tmp_path / "runs")
    acknowledged = read_steps(process, 4)
    if moment == "nudged":
        came = len(learned_from(read_journal(bench / "journal")))
        wait_for(lambda: len(learned_from(read_journal(bench / "journal"))) > came, "the second nudge")
    process.kill()
    out, _ = process.communicate()
    acknowledged = max([acknowledged, *map(int, out.split())])
    run = only_run(tmp_path / "runs")
    assert run.missing == []
    committed = len(run.all_steps)
    assert run.all_steps["step"].tolist() == list(range(1, committed + 1))
    assert committed - acknowledged in (0, 1)  # it may have been killed before it said so
    wait_for(lambda: not find_sessions(), "the end of the session")
    requests = Requests()

    def watch(progress: Progress) -> None:
        if not requests.skip and len(run.steps) >= committed + 8:
            requests.ask_skip("the test")

    result = resume_run(run.path, requests=requests, on_progress=watch)
    assert (result.state, result.exit_code) == (RunState.FINISHED, 0), result.reason
    steps = run.steps
    done = len(steps)
    assert done >= committed + 8
    assert steps["step"].tolist() == list(range(1, done + 1))
    assert steps["sample"].tolist() == list(range(done))
    assert set(range(1, acknowledged + 1)) <= set(run.all_steps["step"].tolist())
    assert np.flatnonzero(steps["attempt"] == 1).tolist() == list(range((steps["attempt"] == 1).sum()))
    learned = learned_from(read_journal(bench / "journal"))
    assert len(learned) == len(set(learned))
    late = run.events["word"].tolist().count("late")  # this computer was held up, and a sample was left
    assert len(learned) >= done - 1 - late  # one step at most was cut off by the kill before its nudged phase
