"""Leases, and what a session leaves behind."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from aeqlab.backends.device import Clock
from aeqlab.backends.errors import DeviceLostError
from aeqlab.backends.slow_settings import SlowSettings
from aeqlab.protocols import lost as lost_module
from aeqlab.protocols.errors import NotAllowedError
from aeqlab.protocols.lease import acquire, holder_of, slug, state_folder
from aeqlab.protocols.lost import LastCommands, forget, lost_session, lost_sessions, mark_ended, recover

HOLDER = """
import sys
from aeqlab.protocols.lease import acquire
lease = acquire(sys.argv[1], "/a/folder")
print("held", flush=True)
sys.stdin.read()
"""


def holder(address: str) -> subprocess.Popen[str]:
    process = subprocess.Popen([sys.executable, "-c", HOLDER, address], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


@pytest.fixture(autouse=True)
def _own_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AEQLAB_STATE", str(tmp_path / "state"))


def test_a_second_owner_is_refused_by_the_name_of_the_first_and_a_killed_one_leaves_nothing() -> None:
    process = holder("TCPIP::127.0.0.1::5025::SOCKET")
    with pytest.raises(NotAllowedError, match=rf"process {process.pid}, since 20\d\d.*folder /a/folder"):
        acquire("TCPIP::127.0.0.1::5025::SOCKET", "here")
    held = holder_of("TCPIP::127.0.0.1::5025::SOCKET")
    assert held is not None
    assert held.pid == process.pid
    process.send_signal(signal.SIGTERM if sys.platform == "win32" else signal.SIGKILL)
    process.communicate()
    assert holder_of("TCPIP::127.0.0.1::5025::SOCKET") is None
    with acquire("TCPIP::127.0.0.1::5025::SOCKET", "here") as lease:
        assert lease.holder.folder == "here"
        with pytest.raises(NotAllowedError):
            acquire("TCPIP::127.0.0.1::5025::SOCKET", "there")
    assert holder_of("TCPIP::127.0.0.1::5025::SOCKET") is None


def test_other_addresses_have_other_leases() -> None:
    with acquire("a:b", "x"), acquire("a-b", "x"), acquire("a/b", "x"):
        assert len({slug(address) for address in ("a:b", "a-b", "a/b", "a" * 500)}) == 4
    assert all(len(slug(address)) < 100 for address in ("", "a" * 500, "../../etc", "äöü"))


def test_a_state_folder_that_cannot_be_made_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("AEQLAB_STATE", str(tmp_path / "file" / "state"))
    with pytest.raises(NotAllowedError, match="Set AEQLAB_STATE"):
        state_folder()


def leave_behind(address: str, folder: Path, knobs: int = 6) -> LastCommands:
    last = LastCommands(address, "bench", tuple(f"u{k}" for k in range(knobs)), "V", folder)
    last.note("nudged", 0.2, np.linspace(0.0, 1.0, knobs))
    return last


def test_what_is_left_behind_says_what_was_last_commanded(tmp_path: Path) -> None:
    last = leave_behind("a bench", tmp_path)
    [lost] = lost_sessions()
    assert lost.sentence().startswith(
        "bench: state unknown, last commanded u0 = 0 V, u1 = 0.2 V, u2 = 0.4 V, u3 = 0.6 V and 2 more (0 to 1)"
    )
    assert "nudge 0.2" in lost.sentence()
    with acquire("a bench", str(tmp_path)):  # someone sees to it
        assert lost_sessions() == []
        assert lost_session("a bench") is None
        assert lost_session("a bench", held=True) is not None
        with pytest.raises(NotAllowedError):
            forget("a bench")
    last.end("safe", None)
    assert lost_sessions() == []


def test_damage_is_no_lost_session(tmp_path: Path) -> None:
    leave_behind("a bench", tmp_path)
    [path] = state_folder().glob("*.last")
    whole = path.read_bytes()
    for content in (b"", b"junk", whole[:-3], whole[:20]):
        path.write_bytes(content)
        assert lost_sessions() == []
        mark_ended("a bench", "safe")


def test_the_file_is_written_at_a_bounded_rate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(lost_module.time, "monotonic", lambda: now)
    last = LastCommands("a bench", "bench", ("u0",), "V", tmp_path)
    written: list[float] = []
    monkeypatch.setattr(last, "_put", lambda tree: written.append(now))
    for _ in range(1000):
        now += 0.001
        last.note("holding", 0.0, np.zeros(1))
    assert 4 <= len(written) <= 6
    written.clear()
    now += 0.03
    last.note("nudged", 0.1, np.zeros(1))
    assert written == [now]


def test_recover_makes_safe_and_marks_it_only_if_all_was_confirmed(tmp_path: Path) -> None:
    settings = SlowSettings(energy="linear", options={"frequencies": 3}, clock=Clock.VIRTUAL)
    leave_behind("a bench", tmp_path)

    def gone() -> object:
        raise DeviceLostError("nothing answers")

    with pytest.raises(DeviceLostError):
        recover("a bench", gone)  # type: ignore[arg-type]
    assert lost_session("a bench") is not None
    report = recover("a bench", lambda: settings.open(seed=1, base=tmp_path))
    assert report.safe
    assert lost_session("a bench") is None
    assert holder_of("a bench") is None
