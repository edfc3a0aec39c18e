"""What the tests of the workspace Train share: the window on runs in processes of their own."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

sys.path.insert(0, str(Path(__file__).parents[1] / "protocols"))
from run_helpers import experiment, start_worker, wait_for
from shell_helpers import window

from aeqlab.app.window.application import Target
from aeqlab.app.window.shell import Shell

LONG_MS = 90_000  #: how long a state is waited for at most: the machine may be busy


@contextmanager
def open_shell(qtbot: QtBot, runs: Path, run: Path | None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shell]:
    """Open the whole window, on a run if there is one."""
    with window(qtbot, QApplication.instance(), runs.parent, monkeypatch, Target(run=run)) as shell:
        yield shell


@contextmanager
def live_run(folder: Path, text: str) -> Iterator[Path]:
    """Let an experiment run in a process of its own; gives its run folder."""
    experiment(folder, text)
    process = start_worker("run", folder / "experiment-under-test.yaml", folder / "runs")
    assert process.stdout is not None
    drain = threading.Thread(target=_drain, args=(process.stdout,), daemon=True)  # its pipe must not fill up
    drain.start()
    try:
        wait_for(lambda: bool(list((folder / "runs").glob("*/control.json"))), "the run", LONG_MS / 1000)
        (found,) = (path.parent for path in (folder / "runs").glob("*/record.sqlite"))
        yield found
    finally:
        process.kill()
        process.wait()
        drain.join(10)


def _drain(pipe: object) -> None:
    while pipe.read(65536):  # type: ignore[attr-defined]
        pass
