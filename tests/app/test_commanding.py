"""Commands to a session that serves no run: freeze, continue, safe, stop; by name and as the only one there is."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from aeqlab.app.cli import main
from aeqlab.app.commanding import line_in_words, tell
from aeqlab.app.exits import ExitCode
from aeqlab.app.launch import read
from aeqlab.backends.device import Grade, SafetyLine, SafetyReport
from aeqlab.protocols.client import FoundSession, attach, find_sessions
from aeqlab.protocols.status import SessionState

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
    assert process.wait(30) == 0


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
