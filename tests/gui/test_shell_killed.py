"""`kill -9` of the window, of a run's process and of a session: what goes on, what the window says, and what it offers."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from pytestqt.qtbot import QtBot
from shell_helpers import LONG_S, endless, until, wait_for, window

from aeqlab.app.window.application import Target
from aeqlab.app.window.models.standing import Standing
from aeqlab.protocols import load_run
from aeqlab.protocols.client import find_sessions
from aeqlab.protocols.control import send
from aeqlab.protocols.run_folder import is_alive

SLOW = """
name: slow
seed: 5
device: {kind: slow, energy: linear, options: {frequencies: 2}, tick_s: 0.01}
data: {kind: legendre, degree: 3, samples: 60, test_samples: 12}
homeostasis: {controller: integral, accept: {ticks: 5}}
settling: {accept: {ticks: 5}}
sequence:
  - train: {method: centered, beta: 0.1, samples: 100000}
then: freeze
"""


def test_a_killed_window_harms_no_run_and_a_killed_run_is_told_and_goes_on_from_its_record(
    qtbot: QtBot, qapp: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AEQLAB_STATE", str(tmp_path / "state"))
    monkeypatch.setenv("CHECKPOINT_EVERY_S", "0.2")
    log = tmp_path / "state" / "window.log"
    with endless(tmp_path) as (run, process):
        command = [sys.executable, "-P", "-m", "aeqlab.app.cli", "gui", str(run), "--runs", str(tmp_path / "runs")]
        gui = subprocess.Popen(command, stdin=subprocess.DEVNULL, env={**os.environ, "QT_QPA_PLATFORM": "offscreen"})
        try:
            wait_for(log.exists, "the window in a process of its own", LONG_S)
            before = len(load_run(run).steps)
            wait_for(lambda: len(load_run(run).steps) > before + 5, "steps while it shows them", LONG_S)
            assert gui.poll() is None
        finally:
            gui.kill()
            gui.wait()
        after = len(load_run(run).steps)
        wait_for(lambda: len(load_run(run).steps) > after + 5, "steps after the window was killed", LONG_S)
        with window(qtbot, qapp, tmp_path, monkeypatch, Target(run=run)) as shell:
            until(lambda: shell.banner.sign.value() is Standing.TRAINING, "the run in another window")
            wait_for(lambda: bool(list((run / "checkpoints").glob("*.aeq"))), "a checkpoint", LONG_S)
            process.kill()
            process.wait()
            until(lambda: shell.banner.sign.value() is Standing.FAULT, "FAULT")
            assert "ended without a word" in shell.banner.doing.text()
            until(shell.asking.offer.isVisible, "what may be done")
            assert {"resume", "look back", "leave"} == set(shell.asking.offer.buttons)
            steps = load_run(run).steps["step"]
            assert shell.world.run is not None
            until(lambda: shell.world.run.rows("steps") == len(steps), "every sample")  # type: ignore[union-attr]
            np.testing.assert_array_equal(np.sort(shell.world.run.column("steps", "step")), np.arange(1, len(steps) + 1))
            until(lambda: "the process of the run ended without a word" in shell.night.words.text(), "the night")
            shell.asking.offer.buttons["resume"].click()
            until(lambda: is_alive(run), "the run goes on")
            until(lambda: shell.banner.sign.value() is Standing.TRAINING, "TRAINING again")
            until(lambda: not shell.asking.offer.isVisible(), "nothing is offered any more")
            # what its record said last may still be that of the killed one; what is answered is not
            until(lambda: shell.world.run is not None and shell.world.run.progress is not None, "the answer of the run")
            send(run, "stop", timeout_s=LONG_S)
            until(lambda: not is_alive(run), "its end")


def test_a_killed_session_is_made_safe_by_its_guardian_and_the_window_says_so(
    qtbot: QtBot, qapp: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AEQLAB_STATE", str(tmp_path / "state"))
    with endless(tmp_path, SLOW) as (run, process), window(qtbot, qapp, tmp_path, monkeypatch, Target(run=run)) as shell:
        until(lambda: shell.world.session is not None and shell.world.session.status is not None, "the session of the run")
        until(lambda: shell.control.words.text() == f"control: run {run.name}", "who holds the token")
        (session,) = find_sessions()
        os.kill(session.pid, signal.SIGKILL)
        until(lambda: shell.banner.sign.value() is Standing.SAFE, "what its guardian did")
        assert "the guardian said: the device is SAFE" in shell.banner.doing.text()
        until(lambda: not is_alive(run), "the run ends, without a device")
        offer = shell.asking.offer  # for a moment it may be about a device whose state nobody knows
        until(lambda: offer.isVisible() and "resume" in offer.buttons, "what may be done")
        assert "the guardian said: the device is SAFE" in offer.words.text()
        shell.asking.offer.buttons["look back"].click()
        until(lambda: "session" in shell.past.story.sentence.text(), "its story")
        process.wait()


def test_a_session_that_ends_as_it_should_leaves_nothing_unknown(
    qtbot: QtBot, qapp: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AEQLAB_STATE", str(tmp_path / "state"))
    with endless(tmp_path, SLOW) as (run, _), window(qtbot, qapp, tmp_path, monkeypatch, Target(run=run)) as shell:
        until(lambda: shell.world.session is not None and shell.world.session.status is not None, "the session of the run")
        send(run, "stop", timeout_s=LONG_S)
        until(lambda: not is_alive(run), "the end of the run")
        until(lambda: "its session has ended" in shell.messages.in_words(), "that the session ended, too")
        until(lambda: "stopped" in shell.banner.doing.text(), "how the run ended")
        assert shell.banner.sign.value() is Standing.IDLE
