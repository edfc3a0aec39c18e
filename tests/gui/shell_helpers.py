"""What the tests of the whole window share: a window in this process, waits with room for a noisy machine, runs and sessions."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from PySide6.QtTest import QTest
from pytestqt.qtbot import QtBot

sys.path.insert(0, str(Path(__file__).parents[1] / "protocols"))
from run_helpers import experiment, read_steps, start_worker, wait_for

from aeqlab.app.window.application import Target, make_window
from aeqlab.app.window.shell import Shell
from aeqlab.app.window.theme import theme

LONG_S = 90.0  #: of a machine that does other things as well
LONG_MS = 90_000

#: A run that goes on until somebody ends it: two stages to skip between.
ENDLESS = """
name: small
seed: 5
device: {kind: simulated, energy: linear, epsilon: 0.1, options: {frequencies: 3}}
data: {kind: legendre, degree: 4, samples: 60, test_samples: 12}
homeostasis: {controller: integral, accept: {ticks: 12}}
settling: {accept: {ticks: 12}}
sequence:
  - train: {method: centered, beta: 0.2, samples: 100000}
  - train: {method: centered, beta: 0.1, samples: 100000}
then: freeze
"""


def until(condition: Callable[[], object], what: str, seconds: float = LONG_S) -> None:
    """Let the window work until something is so; fail with what it was."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"waited {seconds:g} s for: {what}"
        QTest.qWait(10)


@contextmanager
def window(
    qtbot: QtBot, application: object, folder: Path, monkeypatch: pytest.MonkeyPatch, target: Target | None = None
) -> Iterator[Shell]:
    """Open the window on the runs of a folder, with a state folder of its own."""
    monkeypatch.setenv("AEQLAB_STATE", str(folder / "state"))
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    monkeypatch.setattr(threading, "excepthook", threading.excepthook)
    made = make_window(application, folder / "runs", target or Target())  # type: ignore[arg-type]
    qtbot.addWidget(made)
    made.resize(1280, 800)
    made.show()
    try:
        yield made
    finally:
        made.close_now()
        theme().project(False)


@contextmanager
def endless(folder: Path, text: str = ENDLESS) -> Iterator[tuple[Path, subprocess.Popen[bytes]]]:
    """Let a run go on in a process of its own; gives its folder and its process."""
    experiment(folder, text)
    process = start_worker("run", folder / "experiment-under-test.yaml", folder / "runs")
    try:
        wait_for(lambda: bool(list((folder / "runs").glob("*/control.json"))), "the run", LONG_S)
        (run,) = (path.parent for path in (folder / "runs").glob("*/record.sqlite"))
        read_steps(process, 3)
        assert process.stdout is not None
        threading.Thread(target=process.stdout.read, daemon=True).start()  # its pipe must not fill up
        yield run, process
    finally:
        process.kill()
        process.wait()
