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

import numpy as np
import pytest
from run_helpers import experiment, only_run, read_steps, start_worker, wait_for

from aeqlab.backends.journal import Journal, read_journal
from aeqlab.backends.plant_link import end_plant, start_plant
from aeqlab.backends.slow_settings import SlowSettings
from aeqlab.protocols import checkpoint
from aeqlab.protocols.client import attach, find_sessions
from aeqlab.protocols.control import send
from aeqlab.protocols.load import Run
from aeqlab.protocols.remote import SessionClient
from aeqlab.protocols.run import resume_run
from aeqlab.protocols.run_state import RunState
from aeqlab.protocols.status import SessionState

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")

# five times as fast as a rig; nudged in nearly all of a step, so that a moment of it mostly meets the nudge
WALL = """
name: wall
seed: 3
device: {kind: slow, energy: linear, epsilon: 0.1, options: {frequencies: 2}, clock: wall, speed: 5}
data: {kind: legendre, degree: 3, samples: 1000, test_samples: 4}
homeostasis: {controller: integral, accept: {ticks: 6}}
settling: {accept: {ticks: 25}}
sequence:
  - train: {method: centered, beta: 0.1, free_phase: false, samples: 12}
then: freeze
"""
LONG = WALL.replace("samples: 12", "samples: 1000")
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


def test_a_worker_that_stalls_goes_on_and_finishes(tmp_path: Path) -> None:
    path = experiment(tmp_path, WALL).path
    with program("run", path, "--runs", tmp_path / "runs") as process:
        run = steps_of(tmp_path / "runs", 3)
        with session_of(run) as watcher:
            wait_for(lambda: watcher.status().state is SessionState.NUDGED, "the nudge")
            os.kill(process.pid, signal.SIGSTOP)
            time.sleep(0.6)  # the stall is what this test is about
            frozen = watcher.status()
            os.kill(process.pid, signal.SIGCONT)
        out, err = process.communicate(timeout=60)
    assert (frozen.state, frozen.beta) == (SessionState.FROZEN, 0.0)
    assert process.returncode == 0, err
    steps = run.steps
    assert (run.state, len(steps)) == ("finished", 12)
    assert steps["sample"].tolist() == list(range(12))
    assert steps["partial"].any()
    assert "late" in run.events["word"].tolist()
