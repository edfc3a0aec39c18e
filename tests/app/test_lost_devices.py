"""After the death of a session: the run, `show` and `safe` say what its guardian did, and `continue` takes a device as it is."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import psutil
import pytest

from aeqlab.app.cli import main
from aeqlab.app.exits import ExitCode
from aeqlab.app.running import say_sessions
from aeqlab.backends.device import Clock
from aeqlab.backends.slow_settings import SlowSettings
from aeqlab.protocols.client import FoundSession, find_sessions, lost_sessions, start_session
from aeqlab.protocols.experiment import load_experiment
from aeqlab.protocols.lost import LastCommands, mark_ended, seen_to
from aeqlab.protocols.session_file import SessionFile
from aeqlab.protocols.status import SessionState

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
BENCH = """\
name: bench
device: {kind: slow, energy: linear, options: {frequencies: 3}}
data: {kind: legendre, samples: 4}
sequence:
  - train: {beta: 0.1, epochs: 100000}
"""
#: `aeqlab` that waits longer for the guardian, which may take its time on a busy machine.
PATIENT = "from aeqlab.protocols import ending; ending.WAIT_S = 60.0; from aeqlab.app.cli import main; main()"


@pytest.fixture(autouse=True)
def _own_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Use a state folder of this test's own, and end what a test leaves behind."""
    monkeypatch.setenv("AEQLAB_STATE", str(tmp_path / "state"))
    yield
    for process in psutil.process_iter(["cmdline"]):
        if str(tmp_path) in " ".join(process.info["cmdline"] or []):
            with suppress(psutil.Error):
                process.kill()


def the_session() -> FoundSession:
    """Wait for the one session there is."""
    until = time.monotonic() + 60.0
    while not (found := find_sessions()):
        assert time.monotonic() < until, "no session began"
        time.sleep(0.02)
    return found[0]


def code_of(*arguments: str) -> int:
    """Run one command in this process and get its exit code."""
    with pytest.raises(SystemExit) as exit_:
        main(arguments)
    assert isinstance(exit_.value.code, int)
    return int(exit_.value.code)


def test_a_run_show_and_safe_quote_the_guardian(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "bench.yaml").write_text(BENCH, encoding="utf-8")
    run = subprocess.Popen(
        [sys.executable, "-c", PATIENT, "run", "bench.yaml"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, encoding="utf-8",
    )  # fmt: skip
    session = the_session()
    until = time.monotonic() + 60.0
    while "train" not in (capsys.readouterr().out, code_of("runs"), capsys.readouterr().out)[2]:
        assert time.monotonic() < until, "it never trained"
        time.sleep(0.05)
    os.kill(session.pid, signal.SIGKILL)
    out, err = run.communicate(timeout=120)
    assert run.returncode == ExitCode.FAILED
    assert (out + err).count("the guardian said: the device is SAFE") == 1
    assert "State of the device unknown" not in out + err
    assert code_of("show") == 0
    assert "the guardian said: the device is SAFE" in capsys.readouterr().out
    until = time.monotonic() + 60.0
    while not seen_to():  # the guardian lets go of the device after its last word
        assert time.monotonic() < until, "the guardian never let go"
        time.sleep(0.02)
    assert code_of("safe", next(Path("runs").iterdir()).name) == 0
    assert f"slow linear at {session.address}: already SAFE since" in capsys.readouterr().out
    other = LastCommands("another bench", "slow linear", ("u0",), "V", tmp_path / "other")
    other.note("nudged", 0.1, np.zeros(1))
    mark_ended("another bench", "safe")
    assert code_of("safe") == ExitCode.FAILED  # none of it is the rig in front of you
    out, err = capsys.readouterr()
    assert not out
    assert "No run is going on in runs, and no session is open." in err
    assert "Nothing was made safe now. What was made safe before:" in err
    for address in ("another bench", session.address):
        assert f"slow linear at {address}: already SAFE since 20" in err
    assert code_of("safe", "slow linear") == 0
    assert capsys.readouterr().out.count("already SAFE since") == 2


def test_continue_takes_the_device_of_a_lost_session_as_it_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = SessionFile(
        device=SlowSettings(energy="linear", clock=Clock.WALL),
        plant=tmp_path / "plant",
        address="bench",
        name="bench",
        then="hold",
    )
    with start_session(file, tmp_path / "first") as client:
        client.present(np.zeros((1, len(client.info.inputs))))
        client.advance()
        session = the_session()
        assert os.getpgid(session.pid) == session.guardian
        os.killpg(session.guardian, signal.SIGSTOP)  # both at once: neither sees to the other
        assert code_of("continue") == ExitCode.FAILED  # it is there, and hangs
        assert "which is there but does not answer" in capsys.readouterr().err
        os.killpg(session.guardian, signal.SIGKILL)
        until = time.monotonic() + 60.0
        while not [lost for lost in lost_sessions() if not lost.hung]:  # one that is dying hangs for a moment
            assert time.monotonic() < until, "it was never lost"
            time.sleep(0.02)
    (tmp_path / "bench.yaml").write_text(BENCH, encoding="utf-8")
    say_sessions(load_experiment(tmp_path / "bench.yaml"))  # as a run of another device begins
    assert capsys.readouterr().err.startswith("warning: slow linear: state unknown, last commanded")
    assert code_of("continue") == 0
    assert "Taken as it is by" in capsys.readouterr().out
    say_sessions(load_experiment(tmp_path / "bench.yaml"))
    assert capsys.readouterr().err == ""
    with start_session(file, tmp_path / "second") as client:
        assert client.status().state is SessionState.IDLE
        until = time.monotonic() + 60.0
        while not any(event.kind == "continue" for event in client.log()[0]):
            assert time.monotonic() < until, "it was not said"
            time.sleep(0.02)
        client.end_session("the test is over", "safe")
    assert not lost_sessions()
