"""Ctrl-C in a notebook's process: a call is left frozen, a run stops at its sample, twice it aborts, and everything goes on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from run_helpers import wait_for

from aeqlab.protocols import load_run

WORKER = Path(__file__).with_name("rig_worker.py")
DEVICES = {
    "here": "{kind: simulated, energy: linear, options: {frequencies: 3}}",
    "session": "{kind: slow, energy: linear, options: {frequencies: 3}}",
}


WAIT = """
from pathlib import Path

def wait(session, options):
    session.present(session.data.train.inputs[:1])
    Path("under way").touch()
    session.advance(900_000.0)  # no sample ends in it
"""


class _Notebook:
    """The process, and what it says."""

    def __init__(self, path: Path) -> None:
        self.told = path.with_name("stderr.txt")
        with self.told.open("wb") as stderr:
            self.process = subprocess.Popen(
                [sys.executable, str(WORKER), str(path)], stdout=subprocess.PIPE, stderr=stderr, text=True
            )

    def says(self) -> Any:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, self.told.read_text(encoding="utf-8")
        return json.loads(line)

    def waits_for(self, condition: Callable[[], bool], what: str) -> None:
        wait_for(lambda: condition() or self.process.poll() is not None, what)
        assert self.process.poll() is None, self.told.read_text(encoding="utf-8")

    def ctrl_c(self) -> None:
        os.kill(self.process.pid, signal.SIGINT)


def _train_steps(runs: Path) -> int:
    return sum(len(load_run(path.parent).steps) for path in runs.glob("*/record.sqlite"))


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
@pytest.mark.parametrize("where", ["here", "session"])
def test_ctrl_c_in_cells_and_in_runs(where: str, tmp_path: Path) -> None:
    path, runs = tmp_path / "bench.yaml", tmp_path / "runs"
    (tmp_path / "wait.py").write_text(WAIT, encoding="utf-8")
    path.write_text(
        f"name: bench\ndevice: {DEVICES[where]}\ndata: {{kind: legendre, degree: 3, samples: 20, test_samples: 4}}\n"
        "sequence: [evaluate]\n",
        encoding="utf-8",
    )
    notebook = _Notebook(path)
    try:
        for what in ("advance", "settle", "hold"):
            assert notebook.says() == "at a tick"
            notebook.ctrl_c()
            reason = f"a cell was interrupted by Ctrl-C during {what}; rig.continue_() goes on"
            assert notebook.says() == [what, "frozen", 0.0, True, reason]
        notebook.waits_for(lambda: _train_steps(runs) > 0, "a step of the run")
        notebook.ctrl_c()
        state, name, left = notebook.says()
        assert (state, left) == ("stopped", "holding")
        assert load_run(runs / name).state == "stopped"
        notebook.waits_for((tmp_path / "under way").exists, "the second run")
        notebook.ctrl_c()
        told = notebook.told
        notebook.waits_for(lambda: told.read_text(encoding="utf-8").count("Stopping at the end") == 2, "the press is heard")
        notebook.ctrl_c()
        state, name, left = notebook.says()
        assert (state, left) == ("aborted", "frozen")
        assert "Aborting at the next tick" in notebook.told.read_text(encoding="utf-8")
        assert notebook.says() == ["finished"]
        assert notebook.process.wait(60) == 0
    finally:
        notebook.process.kill()
        notebook.process.communicate()
