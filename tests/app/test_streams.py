"""Streams that are closed, full or unread, and a Ctrl-C in a bad moment: the exit code says how the command went all the same."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

AEQLAB = f"{sys.executable} -m aeqlab.app.cli"
RUN = f"{AEQLAB} run linear-regression --set data.samples=3 --set data.test_samples=2"

pytestmark = pytest.mark.skipif(os.name == "nt", reason="redirections of a POSIX shell")


def shell(line: str) -> subprocess.CompletedProcess[str]:
    """Run a line of the shell; no traceback and no error inside the program come of it."""
    done = subprocess.run(["sh", "-c", line], capture_output=True, text=True, timeout=300)
    assert "Traceback" not in done.stdout + done.stderr
    assert "inside the program" not in done.stderr
    assert "Exception ignored" not in done.stderr
    return done


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&- >&- 2>&-"])
def test_a_run_whose_streams_are_closed_finishes(closed: str) -> None:
    assert shell(f"{RUN} {closed}").returncode == 0
    (record,) = Path("runs").glob("*/record.sqlite")
    assert record.read_bytes().startswith(b"SQLite format 3")  # and nothing was printed into a file of the run


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_output_that_cannot_be_written_is_no_error_of_a_run_and_one_of_a_command_that_prints() -> None:
    run = shell(f"{RUN} > /dev/full")
    assert run.returncode == 0
    assert "stdout: No space left on device." in run.stderr
    assert shell(f"{RUN} 2> /dev/full").returncode == 0
    listed = shell(f"{AEQLAB} schema > /dev/full")
    assert listed.returncode == 1
    assert listed.stderr == "stdout: No space left on device. Not everything could be printed.\n"


def test_a_ctrl_c_where_python_can_raise_nothing_comes_again_without_a_traceback() -> None:
    program = """
import threading
from aeqlab.app.signals import interrupt_again
interrupt_again()
class Cleaned:
    def __del__(self):
        raise KeyboardInterrupt
try:
    Cleaned()
    threading.Event().wait(100)
except KeyboardInterrupt:
    print("interrupted")
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120)
    assert (done.stdout, done.stderr) == ("interrupted\n", "")
