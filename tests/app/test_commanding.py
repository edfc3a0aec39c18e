"""Commands to a session: one that serves no run, one whose run hangs, all of them; by name and as the only one there is."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from aeqlab.app import commanding
from aeqlab.app.cli import main
from aeqlab.app.commanding import line_in_words, tell
from aeqlab.app.exits import ExitCode
from aeqlab.app.launch import read
from aeqlab.backends.device import Clock, Grade, SafetyLine, SafetyReport
from aeqlab.backends.slow_settings import SlowSettings
from aeqlab.protocols.client import FoundSession, SessionClient, attach, find_sessions, start_session
from aeqlab.protocols.control import ControlServer
from aeqlab.protocols.load import load_run
from aeqlab.protocols.run_lock import RunLock
from aeqlab.protocols.run_state import Requests
from aeqlab.protocols.session_file import SessionFile
from aeqlab.protocols.status import SessionState

pytestmark = pytest.mark.usefixtures("own_state")
BENCH = """\
name: bench
device: {kind: slow, energy: linear}
data: {kind: legendre, samples: 4}
sequence:
  - train: {beta: 0.1}
"""


@pytest.fixture
def session(tmp_path: Path) -> Iterator[FoundSession]:
    """Serve a slow device by `aeqlab session`, as from another terminal."""
    (tmp_path / "bench.yaml").write_text(BENCH, encoding="utf-8")
    process = subprocess.Popen([sys.executable, "-m", "aeqlab.app.cli", "session", "bench.yaml"], cwd=tmp_path)
    until = time.monotonic() + 60.0
    while not find_sessions() and process.poll() is None and time.monotonic() < until:
        time.sleep(0.02)
    (found,) = find_sessions()
    yield found
    if process.poll() is None:
        process.terminate()
    assert process.wait(120) == 0


def code_of(*arguments: str) -> int:
    """Run one command in this process and get its exit code."""
    with pytest.raises(SystemExit) as exit_:
        main(arguments)
    assert isinstance(exit_.value.code, int)
    return int(exit_.value.code)


def test_a_session_hears_commands(session: FoundSession, capsys: pytest.CaptureFixture[str]) -> None:
    def state() -> SessionState:
        with attach(session, name="test", control=False) as client:
            return client.status().state

    assert code_of("freeze") == 0  # the only session there is
    assert state() is SessionState.FROZEN
    assert "bench: frozen." in capsys.readouterr().out
    assert code_of("continue", "bench") == 0
    assert state() is SessionState.IDLE
    assert code_of("safe", session.address) == 0
    assert state() is SessionState.SAFE
    out = capsys.readouterr().out
    assert "bench: SAFE" in out
    assert "measured" in out
    assert code_of("pause") == ExitCode.FAILED  # that is for runs
    assert code_of("stop") == ExitCode.FAILED  # that is for runs, unless a session is named
    assert "To end a session, name it: bench." in capsys.readouterr().err
    assert code_of("stop", "bench") == 0
    assert "the session ends" in capsys.readouterr().out


@pytest.mark.parametrize("then", ["freeze", "safe", "hold"])
def test_a_session_by_an_experiment_leaves_the_device_as_that_declares(tmp_path: Path, then: str) -> None:
    (tmp_path / "bench.yaml").write_text(f"{BENCH}then: {then}\n", encoding="utf-8")
    assert read(tmp_path / "bench.yaml").then == then


def test_what_was_not_confirmed_is_never_called_safe(capsys: pytest.CaptureFixture[str]) -> None:
    lines = (SafetyLine("u3", Grade.MEASURED, 0.0, 0.0, "V"), SafetyLine("dac output", Grade.SENT, note="it echoes nothing"))
    assert tell("rig", SafetyReport(lines)) == ExitCode.FAILED
    assert capsys.readouterr().out.startswith("rig: NOT CONFIRMED SAFE\n")
    assert line_in_words(lines[0]) == "u3: set to 0 V, reads 0 V, measured"
    assert line_in_words(lines[1]) == "dac output: nothing read back, only sent (it echoes nothing)"


@contextmanager
def hung_run(folder: Path, client: SessionClient | None = None) -> Iterator[Requests]:
    """Be a run that is going on, takes commands and does nothing about them, as one in an endless loop."""
    folder.mkdir(parents=True, exist_ok=True)
    lock, requests = RunLock(folder / ".lock"), Requests()
    (folder / "record.sqlite").touch()
    lock.take()
    server = ControlServer(folder / "control.json", requests, lambda: {"state": "running"})
    try:
        yield requests
    finally:
        server.close()
        lock.release()
        if client is not None:
            client.close()


@contextmanager
def hung_served_run(folder: Path) -> Iterator[SessionClient]:
    """Be such a run, with a session of its own that has the nudge on."""
    asked = SessionFile(device=SlowSettings(energy="linear", clock=Clock.VIRTUAL), with_client=True, name=f"run {folder.name}")
    client = start_session(asked, folder / "session", who=f"run {folder.name}")
    with hung_run(folder, client):
        client.present(np.zeros((1, len(client.info.inputs))))
        client.nudge(np.zeros((1, len(client.info.outputs))), 0.1)
        client.advance()
        yield client


def test_freeze_and_safe_reach_the_device_of_a_run_that_hangs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commanding, "ANSWER_S", 60.0)  # it answers, if late, and does nothing
    with hung_served_run(tmp_path / "runs" / "first") as client:
        assert code_of("freeze") == 0
        status = client.status()
        assert (status.state, status.beta) == (SessionState.FROZEN, 0.0)
        assert "does not act" in capsys.readouterr().err
        assert code_of("safe", "first") == 0
        assert client.status().state is SessionState.SAFE
        assert "SAFE" in capsys.readouterr().out


def start_run(text: str) -> subprocess.Popen[str]:
    """Start `aeqlab run` on an experiment, and wait until it trains."""
    Path("bench.yaml").write_text(text, encoding="utf-8")
    process = subprocess.Popen([sys.executable, "-m", "aeqlab.app.cli", "run", "-q", "bench.yaml"])
    until = time.monotonic() + 60.0
    while not any(len(load_run(path.parent).steps) for path in Path("runs").glob("*/record.sqlite")):
        assert time.monotonic() < until, "it never trained"
        time.sleep(0.05)
    return process


@pytest.mark.parametrize("kind", ["slow", "simulated"])
def test_safe_through_a_run_is_seen_to_its_end(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    for name, limit in (("ANSWER_S", 60.0), ("BEGIN_S", {"safe": 60.0}), ("END_S", 60.0)):  # it acts, if late
        monkeypatch.setattr(commanding, name, limit)
    process = start_run(BENCH.replace("slow", kind).replace("beta: 0.1", "beta: 0.1, epochs: 100000"))
    assert code_of("safe", next(Path("runs").iterdir()).name) == 0
    out = capsys.readouterr().out
    assert "Aborts at the next tick and makes the device safe." in out
    if kind == "slow":  # its session told it, line by line
        assert ": SAFE\n  nudge: set to 0, reads 0, echoed\n  u0: set to 0 V" in out
        assert out.count(" measured") == 21
    else:
        assert "Device safe: 2 echoed." in out
        assert "\nnudge: echoed" in out
    assert process.wait(120) == ExitCode.ABORTED


def test_freeze_reaches_the_device_of_a_run_that_takes_no_commands_and_of_one_that_attached(tmp_path: Path) -> None:
    with hung_served_run(tmp_path / "elsewhere" / "a run") as client, hung_run(tmp_path / "runs" / "a run"):
        (tmp_path / "runs" / "a run" / "control.json").write_text("", encoding="utf-8")
        assert code_of("freeze", "a run") == 0
        assert client.status().state is SessionState.FROZEN


def test_freeze_without_a_name_goes_to_all_there_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commanding, "END_S", 0.05)
    with hung_run(tmp_path / "runs" / "first") as first, hung_run(tmp_path / "runs" / "second") as second:
        (tmp_path / "runs" / "third").mkdir()
        (tmp_path / "runs" / "third" / "record.sqlite").touch()  # not going on
        assert code_of("freeze") == 0
        assert first.freeze
        assert second.freeze
        assert "goes to all 2: first, second." in capsys.readouterr().out
        (tmp_path / "runs" / "first" / "control.json").write_text("", encoding="utf-8")
        assert code_of("safe") == ExitCode.FAILED  # one of them was not reached, the other was
        assert second.abort
        err = capsys.readouterr().err
        assert "takes no commands now" in err
        assert "second: it has not ended yet, so nothing is confirmed." in err
        assert code_of("stop") == ExitCode.FAILED  # that is for one at a time
        assert not second.stop


def test_a_name_that_means_two_sessions_stops_both_and_is_refused_for_the_rest(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = SessionFile(device=SlowSettings(energy="linear", clock=Clock.VIRTUAL), with_client=True, name="bench")
    with start_session(asked, tmp_path / "first") as first, start_session(asked, tmp_path / "second") as second:
        both = [session.address for session in find_sessions()]
        assert code_of("freeze", "slow linear") == 0
        assert [client.status().state for client in (first, second)] == [SessionState.FROZEN] * 2
        out = capsys.readouterr().out
        assert f"'slow linear' means 2, so freeze goes to all 2: bench at {both[0]}, bench at {both[1]}." in out
        assert code_of("continue", "bench") == ExitCode.FAILED
        assert [client.status().state for client in (first, second)] == [SessionState.FROZEN] * 2
        err = capsys.readouterr().err
        assert "'bench' means 2, and continue is for one. Name it by its address:" in err
        assert all(f"  bench at {address}" in err for address in both)
        assert code_of("safe", "bench") == 0
        assert [client.status().state for client in (first, second)] == [SessionState.SAFE] * 2
        assert code_of("freeze", both[0]) == 0  # a name that means one
        assert "means" not in capsys.readouterr().out.splitlines()[-1]
